/* The powers of each role, in one table (sandbox.c). */
#pragma once

#include "server/message.h"

/* Gives up all that the role does not need. Called by the role's process before it reads its first message. */
gboolean sandbox_enter(enum role role, GError **error);
