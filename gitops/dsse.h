/*
 * Signed statements: DSSE envelopes, bare, as JSON lines, or inside Sigstore bundles (v0.1 to v0.3), and whose
 * signature is on one.   secure-systems-lab/dsse v1.0.2 (protocol.md, envelope.md); sigstore/protobuf-specs
 *
 * What is signed is PAE(payloadType, payload), never the JSON around it. Members that we do not know are passed over, as
 * envelope.md asks; a member twice is refused. Base64 may be standard or URL-safe, padded, and in its only spelling.
 * keyid is a hint that nobody signed: it is shown and never believed.
 */
#pragma once

#include <glib.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

#include "gitops/base/cleanup.h"

#define DSSE_FILE_MAX (16 * 1024 * 1024)
#define DSSE_PAYLOAD_MAX (8 * 1024 * 1024)
#define DSSE_ENVELOPES_MAX 1000
#define DSSE_SIGNATURES_MAX 16
#define DSSE_KEYS_MAX 16

struct dsse_signature {
	GBytes *value;
	char *keyid; /* or NULL */
	GPtrArray *certificates; /* X509 *, the signer's first; from its bundle, or the signature's own `cert`. May be empty. */
};

struct dsse {
	GError *unfit; /* it is JSON, and no envelope (a bundle of another kind): why. Nothing below is set then. */
	char *type; /* payloadType, as it was signed */
	GBytes *payload;
	GPtrArray *signatures; /* struct dsse_signature *, at least one */
	GPtrArray *stamps; /* GBytes *, RFC 3161 responses over the first signature, by the bundle's word */
	guint line; /* in JSON lines; 0: the whole file is this one */
};
void dsse_free(struct dsse *envelope);
DEFINE_CLEANUP(dsse, dsse_free)

/*
 * All envelopes of a file (struct dsse *, at least one), in its order. Refused: no JSON, a member twice, too large.
 * One of several that is no envelope is kept with its reason (`unfit`); a single one that is none refuses the file.
 */
GPtrArray *dsse_read(GBytes *file, GError **error);
/* The bytes that are signed. */
GBytes *dsse_pae(const char *type, GBytes *payload);

/* Public keys in PEM (several may follow each other): RSA from 2048 bits, ECDSA on P-256, P-384, P-521, Ed25519. */
GPtrArray *dsse_keys_parse(GBytes *pem, const char *what, GError **error);
/* Certificates in PEM that are trusted. Both: UNKNOWN where nothing can be read; `what` begins the sentence. */
X509_STORE *dsse_roots_parse(GBytes *pem, const char *what, GError **error);

/* Who may sign. Either keys, or certificates under `roots`. */
struct dsse_trust {
	GPtrArray *keys; /* EVP_PKEY *, or NULL */
	X509_STORE *roots; /* or NULL; authorities between may stand there too */
	char *const *identities; /* with roots: globs, one of which a URI or address of the certificate must match; NULL: the
				  * caller looks at dsse_signer */
	const char *issuer; /* with roots: who vouched for the identity, as Fulcio writes it into the certificate; NULL: any */
	int64_t at_ms; /* when the certificate must be good, where no stamp says when it signed */
	/* Moves *at_ms (`at_ms` before) to the time that this stamp proves for `signature`; leaves it where the stamp's authority
	 * is not known. FALSE: a stamp that must not count. The certificate must be good at all of them. NULL: none is looked at. */
	gboolean (*stamp_time)(GBytes *stamp, GBytes *signature, const void *stamp_data, int64_t *at_ms, GError **error);
	const void *stamp_data;
};

struct dsse_signer {
	char *key; /* "SHA256:" and base64 of the digest of its SubjectPublicKeyInfo */
	X509 *certificate; /* NULL where a key was given */
	int64_t at_ms; /* when the certificate was held to be good */
};
void dsse_signer_clear(struct dsse_signer *signer);

/*
 * Is there a good signature of somebody whom `trust` names? Others beside it do not matter (envelope.md), so that a
 * builder may add the signature of another key. RSA: PKCS#1 v1.5 or PSS, SHA-256, -384, -512. ECDSA: the hash of its curve
 * or SHA-256, in DER or as r and s side by side. Certificates: purpose codeSigning, a chain to the roots at that time.
 */
gboolean dsse_verify(
    const struct dsse *envelope, const struct dsse_trust *trust, struct dsse_signer *signer, GError **error);

/* The URIs and addresses that a certificate gives its holder. Caller frees (g_strfreev). */
char **dsse_identities(X509 *certificate);
/* The text of one of Fulcio's extensions (1.3.6.1.4.1.57264.1.N), or NULL. Caller frees.   sigstore/fulcio, oid-info.md */
char *dsse_fulcio(X509 *certificate, guint number);
#define FULCIO_ISSUER_RAW 1 /* the issuer as it was written before there was 8 */
#define FULCIO_ISSUER 8
#define FULCIO_RUNNER 11
#define FULCIO_SOURCE 12
#define FULCIO_COMMIT 13
