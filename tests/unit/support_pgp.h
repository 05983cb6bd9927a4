/*
 * OpenPGP keys, certificates and signatures made by hand, packet by packet, where gpg would refuse to make them. All keys are
 * EdDSA ones of version 4.   RFC 4880 4.2, 5.2, 5.5
 */
#pragma once

#include <openssl/evp.h>

#include "tests/unit/support.h"

struct pgp_key {
	EVP_PKEY *pkey;
	GByteArray *body; /* of its public key packet */
	uint8_t fingerprint[20];
};
void pgp_key_init(struct pgp_key *key, uint32_t created);
void pgp_key_clear(struct pgp_key *key);
char *pgp_fingerprint(const struct pgp_key *key); /* upper-case hex; caller frees */

/*
 * How a signature is made. An area is written "TYPE=HEX TYPE=HEX …", TYPE with "!" before it if critical; in place of HEX may
 * stand "issuer" (its fingerprint as subpacket 33 has it), "keyid", or "embedded". NULL: empty.
 */
struct pgp_making {
	uint8_t type;
	const char *hashed, *unhashed;
	const GByteArray *embedded;
	uint8_t hash; /* RFC 4880 9.4; 0: SHA-256 */
	uint8_t version; /* 0: 4 */
	gboolean broken; /* does not verify */
};
/* The body of a signature packet over these bytes. */
GByteArray *pgp_sign(const struct pgp_key *by, const GByteArray *over, struct pgp_making m);

/* What signatures of certificates are over: a key, and then a user id or a subkey (NULL: nothing). */
GByteArray *pgp_over(const struct pgp_key *key, const char *uid, const struct pgp_key *subkey);

void pgp_put_packet(GByteArray *to, uint8_t tag, const void *body, size_t size);
/* The parts of a certificate, each with its packet's header. */
void pgp_put_key(GByteArray *to, const struct pgp_key *key);
void pgp_put_subkey(GByteArray *to, const struct pgp_key *key);
void pgp_put_uid(GByteArray *to, const char *uid);
/* Frees the body. */
void pgp_put_signature(GByteArray *to, GByteArray *body);

/* The armor of these packets. Caller frees. */
char *pgp_armor(const GByteArray *packets, const char *label);
