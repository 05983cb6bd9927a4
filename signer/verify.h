/*
 * Is this file's signature good? What `tagseal verify`, seal's read-back and `tagseal audit` ask.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"
#include "signer/format.h"

struct verify_options {
	GBytes *roots, *timestamp_roots; /* PEM; NULL: what hangs on them is "could not find out" (UNKNOWN) */
	GBytes *openpgp_keys; /* armored or binary */
	GBytes *allowed_signers; /* OpenSSH's file, for SSH signatures in the namespace "file" */
	int64_t at_ms; /* 0: now; a good timestamp token's time counts before it */
	GBytes *detached; /* signature beside the file, or NULL */
};
/* All signatures of the file: every one must be good and there must be one. `report` (may be NULL) gets one
 * object a signature. */
gboolean verify_file(int fd, const struct verify_options *options, struct json **report, GError **error);
