/*
 * Keys on a PKCS#11 token. Made and inspected through the PKCS#11 API itself, used through libp11 (EVP_PKEY).
 * PKCS #11 v2.40 Blocks, perhaps for ever: only the sign role and commands call it. Recovery from a lost
 * token is to end the process.
 */
#pragma once

#include <glib.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "gitops/base/error.h"

#define PIN_MAX 256

struct hsm;
/*
 * Loads the module, finds the token by its label, logs in with the PIN that stands in `pin_file` (first line;
 * refused if others may read it). NOT_FOUND no such token (lists those there are) · REFUSED wrong PIN (never
 * tried twice) · USAGE unreadable or loose PIN file · UNAVAILABLE module or token away.
 */
struct hsm *hsm_open(const char *module, const char *token, const char *pin_file, GError **error);
void hsm_free(struct hsm *hsm);
DEFINE_CLEANUP(hsm, hsm_free)

struct hsm_token_info {
	char label[33], manufacturer[33], model[17], serial[17], firmware[8];
	gboolean software; /* SoftHSM and its like: every record says so */
};
const struct hsm_token_info *hsm_info(const struct hsm *hsm);

/* Borrowed until hsm_free(). The private key that signs with the token; its public half. NOT_FOUND names the
 * labels there are. */
EVP_PKEY *hsm_private_key(struct hsm *hsm, const char *label, GError **error);
EVP_PKEY *hsm_public_key(struct hsm *hsm, const char *label, GError **error);

/*
 * Signs the SHA-256/384/512 (`md`) digest of `data`: RSA PKCS#1 v1.5, ECDSA as DER. The signature is verified
 * with the token's own public key before it is returned.
 */
GBytes *hsm_sign(struct hsm *hsm, const char *label, const EVP_MD *md, const void *data, size_t size, GError **error);
/* The same over a digest that was computed elsewhere. */
GBytes *hsm_sign_digest(
    struct hsm *hsm, const char *label, const EVP_MD *md, const void *digest, size_t size, GError **error);

/* Attributes as read back from the token. */
struct hsm_key_info {
	char *label, *kind; /* "rsa3072" "p256" … */
	gboolean is_private, sensitive, always_sensitive, extractable, never_extractable, local, modifiable, sign,
	    decrypt, unwrap, derive;
};
GPtrArray *hsm_keys(struct hsm *hsm, GError **error);
/* NULL, or why a release key may not be like this ("it can be extracted from the token"). Static text. */
const char *hsm_key_weakness(const struct hsm_key_info *info);

/* kind: "rsa3072" "rsa4096" "p256" "p384" "p521". Non-exportable, sign only, not modifiable; attributes read
 * back and refused if weaker. REFUSED if the label exists. */
gboolean hsm_generate(struct hsm *hsm, const char *label, const char *kind, GError **error);
/* Tries what an attacker with the PIN would: to read the private value, to weaken the key's attributes, to copy it
 * extractable, to wrap it out. TRUE when each was refused; REFUSED names the first that was not. `report` (may be
 * NULL) gets one object an attempt: "attempt", "refused", "answer". */
struct json;
gboolean hsm_probe(struct hsm *hsm, const char *label, struct json **report, GError **error);
/* PKCS#10 request / self-signed certificate (codeSigning, test only), PEM. Subject as "CN=Acme,O=Acme,C=US".
 */
GBytes *hsm_csr(struct hsm *hsm, const char *label, const char *subject, GError **error);
GBytes *hsm_self_signed(struct hsm *hsm, const char *label, const char *subject, int days, GError **error);

/* Makes a token on a SoftHSM-like module (C_InitToken on the first uninitialised slot, then the user PIN). */
gboolean hsm_init_token(
    const char *module, const char *token, const char *pin_file, const char *so_pin_file, GError **error);
