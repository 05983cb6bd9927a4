/* What the handlers of all blocking roles share: answers, and members of a body that must be there. */
#pragma once

#include <glib.h>

#include "server/role.h"

/* Answers `request` with the outcome of `error` (NULL: "ok"), and nothing more. */
void reply(struct role_context *role, struct peer *to, const struct message *request, enum message_kind kind,
    const GError *error);
/* The member of the body, or REFUSED naming message and member. Borrowed from the message. */
const char *body_string(const struct message *m, const char *key, GError **error);
gboolean body_time(const struct message *m, const char *key, int64_t *ms, GError **error);
/* Base64 in a body. */
GBytes *body_bytes(const struct message *m, const char *key, GError **error);
void body_set_bytes(struct message *m, const char *key, GBytes *bytes);
