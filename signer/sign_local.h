/*
 * One file signed here, with a key on a token of ours: no policy, no log. What the server spreads over processes
 * (format.h), in a row: structure, digest, signature, timestamp, attach, and then the output parsed afresh, verified
 * and compared with the input before it gets its name.
 */
#pragma once

#include "signer/format.h"
#include "signer/hsm.h"

struct sign_request {
	const char *file, *output; /* paths; the output replaces what bears its name */
	const char *format; /* NULL: the one native to the bytes, or "cms" */
	struct format_parameters parameters; /* hash NULL: as strong as the key; time_ms 0: now */
	const char *timestamp_url; /* or NULL; then with timestamp_roots */
	GBytes *timestamp_roots; /* PEM */
};

struct signing;
/*
 * All that needs no key: the file's structure, its digest, the certificate. `request` is borrowed until
 * signing_free(). REFUSED: the file or the certificate; USAGE: what does not go together.
 */
struct signing *signing_new(const struct sign_request *request, GError **error);
void signing_free(struct signing *signing); /* a signing that did not finish leaves nothing behind */
DEFINE_CLEANUP(signing, signing_free)
/* Signs, stamps, writes and reads back. FALSE: there is no output, and one that was there is as it was. */
gboolean signing_finish(struct signing *signing, struct hsm *hsm, const char *label, GError **error);
/* "type", "format", "digest", "certificate" or "key", "timestamp" of a finished signing. Caller unrefs. */
struct json *signing_report(const struct signing *signing);
