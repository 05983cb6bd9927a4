/* What dsse.c, dsse_bundle.c, dsse_verify.c and dsse_certificate.c share. */
#pragma once

#include "gitops/base/json.h"
#include "gitops/dsse.h"

void dsse_signature_free(struct dsse_signature *signature);
DEFINE_CLEANUP(dsse_signature, dsse_signature_free)

/* The bytes of a base64 member that must be there, standard or URL-safe. `what` begins the sentence. */
GBytes *dsse_bytes(const struct json *object, const char *key, const char *what, GError **error);
/* A certificate of these DER bytes, all of them; NULL with error. */
X509 *dsse_certificate(GBytes *der, const char *what, GError **error);
/* The members payload, payloadType and signatures into `envelope`. */
gboolean dsse_read_envelope(const struct json *object, struct dsse *envelope, GError **error);
/* TRUE if it says that it is a Sigstore bundle; dsse_read_bundle() then reads it. */
gboolean dsse_is_bundle(const struct json *object);
gboolean dsse_read_bundle(const struct json *object, struct dsse *envelope, GError **error);

/* NULL, or why a signature of this key could not be believed. Static text. */
const char *dsse_key_weakness(EVP_PKEY *key);
/* Is this key's signature on these bytes, in one of the ways that dsse_verify() names? */
gboolean dsse_key_verifies(EVP_PKEY *key, GBytes *signed_bytes, GBytes *signature);
/* "SHA256:…" of the public key. Caller frees. */
char *dsse_key_name(EVP_PKEY *key);
/* May the holder of this signature's certificate sign at that time? Its own signature is not looked at. */
gboolean dsse_certificate_trusted(
    const struct dsse_signature *signature, const struct dsse_trust *trust, int64_t at_ms, GError **error);
