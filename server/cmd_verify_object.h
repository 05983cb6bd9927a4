/* What `tagseal verify-tag` and `tagseal verify-commit` share. */
#pragma once

#include "gitops/people.h"

/* More than an object may have, so that one that is too large is refused by its parser, with the rule. */
#define OBJECT_READ_MAX (16 * 1024 * 1024)

/* The time of --at (NULL: now) in milliseconds. */
gboolean at_parse(const char *text, int64_t *at_ms, GError **error);
/* "good PERSON FORMAT KEY", or the same as JSON with the object's id. */
void signer_print(const struct signer *signer, GBytes *raw, const char *type, gboolean as_json);
