/*
 * Public keys and ECDSA signatures taken to numbers, as OpenPGP and SSH write them: big-endian, without leading
 * zero bytes.
 */
#pragma once

#include <glib.h>
#include <openssl/evp.h>

#include "gitops/base/cleanup.h"

struct key_parts {
	guint bits; /* RSA: of the modulus; EC: 256, 384 or 521 */
	GBytes *n, *e; /* RSA, else NULL */
	GBytes *point; /* EC: 04 X Y, else NULL */
};
/* REFUSED: RSA below 2048 bits, another curve or another kind of key. */
struct key_parts *key_parts_new(EVP_PKEY *key, GError **error);
void key_parts_free(struct key_parts *parts);
DEFINE_CLEANUP(key_parts, key_parts_free)
/* The other way round. */
EVP_PKEY *key_parts_to_key(const struct key_parts *parts, GError **error);

/* DER SEQUENCE { r, s } (RFC 3279, 2.2.3) to its numbers, and back. */
gboolean ecdsa_split(GBytes *der, GBytes **r, GBytes **s, GError **error);
GBytes *ecdsa_join(GBytes *r, GBytes *s, GError **error);

/* The hash that is as strong as the key: "sha256", for P-384 "sha384", for P-521 "sha512". gpg refuses a shorter one. */
const char *key_hash_name(EVP_PKEY *key);
