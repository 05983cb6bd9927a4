/*
 * What ssh_key.c, ssh_signature.c and ssh_certificate.c share: fields as RFC 4251 5 has them, and a signature by a key over bytes.
 */
#pragma once

#include <openssl/evp.h>

#include "gitops/base/cursor.h"
#include "gitops/pkey.h"
#include "gitops/ssh.h"

#define SSH_BLOB_MAX 16384 /* of a key, a signature or a certificate, which holds two of either */

gboolean span_is(struct span s, const char *text);
gboolean ssh_take(struct cursor *c, struct span *out, const char *field);
gboolean ssh_take_text(struct cursor *c, const char *expected, const char *field);
/* A positive mpint in its shortest form. */
gboolean ssh_take_mpint(struct cursor *c, struct span *out, const char *field);

enum ssh_algorithm { SSH_ED25519, SSH_ECDSA, SSH_RSA };

struct ssh_type {
	const char *name;
	const char *certificate; /* the type of a certificate for such a key */
	enum ssh_algorithm algorithm;
	const char *curve, *group; /* ECDSA: SSH's name of the curve, and OpenSSL's */
	const EVP_MD *(*digest)(void); /* ECDSA: goes with the curve */
	gboolean security_key;
};

struct ssh_key {
	const struct ssh_type *type;
	EVP_PKEY *pkey;
	gboolean verify_required; /* a certificate demands that its security key knows who touched it */
};

/* The type with that name, or (`certificate`) for whose certificates it stands; NULL if there is none. */
const struct ssh_type *ssh_type_find(struct span name, gboolean certificate);
/* The fields that follow the type's name (in a certificate, its nonce). On FALSE the cursor says why. */
gboolean ssh_key_take(struct cursor *c, const struct ssh_type *type, struct ssh_key *key);

/* `signature` (the algorithm's name and the rest, to the last byte) over the message. `what` begins a refusal. */
gboolean ssh_key_verify(
    const struct ssh_key *key, struct span signature, struct span message, const char *what, GError **error);
