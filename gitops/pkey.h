/* Public keys and signatures as SSH and OpenPGP write them, for OpenSSL. Internal to gitops/. */
#pragma once

#include <glib.h>
#include <openssl/evp.h>
#include <stdint.h>

struct span {
	const uint8_t *data;
	size_t size;
};

/* NULL if OpenSSL cannot use such a key. Caller frees. */
EVP_PKEY *pkey_ed25519(struct span point);
/* An uncompressed point of a curve that has that name in OpenSSL. */
EVP_PKEY *pkey_ec(const char *group, struct span point);
EVP_PKEY *pkey_rsa(struct span modulus, struct span exponent);

/* The signature as OpenSSL wants it; NULL if it cannot be one. */
GBytes *pkey_ecdsa_signature(struct span r, struct span s);
/* Some signers drop leading zeros, which are put back here. */
GBytes *pkey_rsa_signature(const EVP_PKEY *pkey, struct span s);
