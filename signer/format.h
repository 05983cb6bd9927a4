/*
 * How a file is signed. One file a format (format_*.c), one row in the table.
 *
 * Signing is split, so that no process that parses a stranger's bytes can reach a key:
 *   seal   digest()	reads the file (streaming, constant memory), gives what its signature is over
 *   judge  to_be_signed()	pure: from that digest and the parameters to the bytes that the key signs.
 * Deterministic: judge makes them anew. sign   hash and sign those bytes (hsm_sign() with the digest
 * algorithm of the parameters) courier, judge	timestamp over the signature value, where the format has a
 * place for it seal   attach()	writes input, signature and token to the output (streaming) seal   read()
 * in a fresh worker: what signatures stand in the output; and strip(), to compare with the input
 */
#pragma once

#include <glib.h>
#include <openssl/x509.h>

#include "gitops/base/json.h"

struct format_parameters {
	const char *hash; /* "sha256" (default), "sha384", "sha512" */
	GBytes *certificates; /* PEM chain, leaf first; or for OpenPGP the transferable public key (.asc) */
	int64_t time_ms; /* when: signing time attribute, OpenPGP creation time */
	const char *description, *url; /* Authenticode, or NULL */
	gboolean append, replace; /* of a signature already there */
};

struct format_digest {
	char *hash;
	uint8_t value[64];
	size_t size;
	uint64_t file_size;
	gboolean was_signed; /* the input bears a signature already */
	uint8_t content[32]; /* linear formats: the SHA-256 of the very bytes that the digest was made of, out of the same read */
};

struct file_type; /* type.h */

struct format_signature { /* one signature that read() found */
	char *format, *digest; /* "sha256:…" of format_digest as the signature claims it */
	X509 *certificate; /* or NULL (OpenPGP) */
	char *key; /* OpenPGP fingerprint; else SHA-256 of the certificate */
	int64_t made_ms, expires_ms; /* OpenPGP: by its own word, and when it or its key expires (0: never) */
	GBytes *signature; /* the signature value octets */
	GBytes *cms; /* the whole SignedData or OpenPGP signature, as evidence */
	GBytes *token; /* RFC 3161 token DER, or NULL */
	gboolean digest_matches; /* the file's own digest, recomputed, is the one claimed */
	gboolean intact; /* signature value verifies with the certificate or key over its attributes */
	char *why; /* where one of them is FALSE */
	guint nesting;
};
void format_signature_free(struct format_signature *s);

struct format {
	const char *name; /* "authenticode" "cms" "openpgp" */
	const char *suffix; /* of a detached signature (".p7s" ".asc"), or NULL: it goes into the file */
	gboolean stamped; /* has a place for an RFC 3161 token */
	gboolean (*supports)(const char *type); /* can files of that type be signed so? */
	gboolean (*digest)(int fd, const struct format_parameters *p, struct format_digest *out, GError **error);
	/* Linear formats: judge computes digest() itself over the whole blob. */
	gboolean linear;
	/* OpenPGP: the key's digest covers the file and a trailer of the signature, so digest() makes all of it (from
	 * the parameters' time, hash and key) and to_be_signed() gives that digest: hsm_sign_digest(), not hsm_sign(). */
	gboolean prehashed;
	GBytes *(*to_be_signed)(const struct format_digest *d, const struct format_parameters *p, GError **error);
	/* `out` is empty and open for writing; detached formats write just the signature. token may be NULL.
	 */
	gboolean (*attach)(int in, int out, const struct format_digest *d, const struct format_parameters *p,
	    GBytes *signature, GBytes *token, GError **error);
	/* Signatures of `fd`; detached formats take the signature's bytes beside it. Certificate trust and
	 * tokens are verify.h's business. `keys`: OpenPGP public keys to look in, or NULL. Returns a
	 * GPtrArray of struct format_signature (empty: unsigned). */
	GPtrArray *(*read)(int fd, GBytes *detached, GBytes *keys, GError **error);
	/* The file without any signature, or NULL for detached formats. */
	gboolean (*strip)(int in, int out, GError **error);
};
extern const struct format *const formats[]; /* NULL-terminated */
const struct format *format_named(const char *name);
/* The format native to that type, or NULL: it has none, or we do not have it (yet). */
const struct format *format_native(const struct file_type *type);

/* Parses PEM; leaf first, must chain upward in order. REFUSED: no codeSigning, CA, not yet or no longer valid
 * at `at_ms`, key too weak. */
STACK_OF(X509) * certificates_load(GBytes *pem, int64_t at_ms, GError **error);
