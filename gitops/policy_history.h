/*
 * The policy repository's history from the root to one commit as one evidence file, `policy-chain`: a git pack of those commits with
 * all that stands in their trees, always the same bytes for the same commit (so that the log holds them once). With it, an auditor who
 * knows the root needs no clone of the policy repository.
 */
#pragma once

#include <glib.h>

#include "gitops/base/error.h"

#define POLICY_HISTORY "policy-chain"

GBytes *policy_history_write(const char *path, const char *root, const char *commit, GError **error);
/* Makes a bare repository of it at `folder`, every object under its own id. */
gboolean policy_history_read(GBytes *pack, const char *folder, GError **error);
