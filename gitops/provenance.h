/*
 * Were these artifacts built from that commit, by that builder? An in-toto Statement (v0.1, v1) with SLSA provenance
 * (v1, v0.2) in a DSSE envelope says so, if somebody who is trusted signed it.   in-toto/attestation; slsa.dev/spec
 *
 * One implementation for `tagseal verify-provenance`, the engine's gate, judge, and `tagseal audit`.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"
#include "gitops/dsse.h"

struct provenance_artifact {
	const char *name; /* for messages; with `by_name` the subject's */
	const char *sha256,
	    *sha512; /* 64 and 128 lower-case hex digits; sha512 may be NULL: then a subject that has nothing
				      * else is refused */
};

struct provenance_wish {
	struct dsse_trust trust;
	char *const *builders; /* globs, or the very ids (`exact`) */
	gboolean exact;
	/* A git URL, or a statement's URI: git+, .git, a default port and the case of scheme and host do not matter, anything else
	 * does. With a ref (…@refs/tags/v1) the statement must name that ref, and no other. */
	const char *source;
	const char *commit; /* full id */
	const struct provenance_artifact *artifacts;
	guint artifact_count;
	gboolean by_name; /* a subject of an artifact's very name must have its digest: two files may not change places */
};

/*
 * The envelopes of a file: each artifact must be vouched for by one of them, which alone meets all of the wish:
 *   - a good signature of somebody trusted over application/vnd.in-toto+json. A certificate must moreover name the builder
 *     (unless `identities` were given), and what Fulcio writes into it of source and commit must be these;
 *   - the builder's id; the source's URI, wherever the statement names what was built; and the commit, which every
 *     dependency that is the source must resolve to;
 *   - a subject with the artifact's SHA-256 (or SHA-512), and no other digest of the two that differs.
 * FALSE with REFUSED: the sentence of the only envelope, or of the first three. `section`: what the record keeps of it
 * ("sha256" of the file, "builder", "source", "commit", "predicate", "key" or "certificate" and "identity"), of the envelope
 * that vouches for the first artifact. May be NULL.
 */
gboolean provenance_verify(GBytes *file, const struct provenance_wish *wish, struct json **section, GError **error);
