/* Fetching locks a mirror by itself; this is for what must be done to a mirror and to a file beside it in one go. */
#pragma once

#include <glib.h>

#include "gitops/base/cleanup.h"

/* Waits for the mirror's lock (the file PATH.lock) and takes it; closing the descriptor gives it back. -1 with error. */
int mirror_lock(const char *path, GError **error);
