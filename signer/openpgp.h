/*
 * OpenPGP without a library (RFC 4880 version 4; ECDSA RFC 6637; EdDSA as of RFC 9580, 5.5.5.5 legacy), so that the
 * light program can sign and verify: public keys and detached binary signatures of keys on a token, written; the
 * same and other people's, read strictly and verified by OpenSSL. Keys and signatures of git objects are the
 * business of gitops/.
 */
#pragma once

#include <glib.h>
#include <openssl/evp.h>

#include "gitops/base/cursor.h"
#include "signer/hsm.h"
#include "signer/key_parts.h"

#define OPENPGP_FINGERPRINT_SIZE 20
#define OPENPGP_MAX (1024 * 1024) /* of keys or signatures, in bytes */

enum { PGP_RSA = 1, PGP_ECDSA = 19, PGP_EDDSA = 22 };
enum { PGP_SIGNATURE = 2, PGP_PUBLIC_KEY = 6, PGP_USER_ID = 13, PGP_PUBLIC_SUBKEY = 14 };

/* One packet, borrowed from the bytes under the cursor. Refused: partial and indeterminate lengths (RFC 4880, 4.2). */
struct pgp_packet {
	uint8_t tag;
	const uint8_t *body;
	size_t size;
};
gboolean pgp_packet_take(struct cursor *c, struct pgp_packet *packet);
void pgp_packet_put(GByteArray *to, uint8_t tag, const void *body, size_t size);
/* A number with its bit length. Taking refuses leading zero bits that the length does not count. */
GBytes *pgp_number_take(struct cursor *c, const char *field);
void pgp_number_put(GByteArray *to, GBytes *number);
void pgp_be_put(GByteArray *to, uint32_t value, guint bytes);

/* ASCII armor (RFC 4880, 6.2). `kind`: "SIGNATURE", "PUBLIC KEY BLOCK". */
GBytes *pgp_armor(const char *kind, const void *data, size_t size);
/* Binary input comes back as it is; else each armored block of that kind and nothing between them but white space. */
GBytes *pgp_dearmor(GBytes *input, const char *kind, GError **error);

/* A hash that we accept, by OpenPGP's number (8, 9, 10) or by our name; NULL: none of SHA-256, -384, -512. */
const EVP_MD *pgp_hash(uint8_t number);
uint8_t pgp_hash_number(const char *name);

struct openpgp_key {
	uint8_t fingerprint[OPENPGP_FINGERPRINT_SIZE], primary[OPENPGP_FINGERPRINT_SIZE];
	uint8_t algorithm;
	int64_t created, expires; /* seconds since 1970; 0: never */
	GBytes *body; /* of its packet: what the fingerprint and self-signatures are over */
	struct key_parts *parts; /* NULL for EdDSA */
	EVP_PKEY *key;
	char *user_id; /* of the primary key, escaped for messages */
	const char *unusable; /* why it may not sign data ("it was revoked"), static text; or NULL */
};
void openpgp_key_free(void *key);
/*
 * The keys of a file (armored or binary), primary keys and subkeys, each with the verdict of its self-signatures:
 * made by the primary key, SHA-256 or better, flags that allow signing, a subkey's own consent. Keys of other
 * versions or algorithms are left out. REFUSED: not OpenPGP keys, secret keys, no key at all.
 */
GPtrArray *openpgp_keys_read(GBytes *input, GError **error);
/* Upper-case hex. Caller frees. */
char *openpgp_fingerprint_text(const uint8_t fingerprint[static OPENPGP_FINGERPRINT_SIZE]);

struct openpgp_signature {
	uint8_t type, algorithm, hash, left[2];
	int64_t created, expires, key_expires; /* seconds; the latter two after the creation, 0: never */
	gboolean has_fingerprint, has_key_id, has_flags;
	uint8_t fingerprint[OPENPGP_FINGERPRINT_SIZE], key_id[8], flags;
	GBytes *embedded; /* a subkey's consent, or NULL */
	GBytes *hashed; /* from the version through the hashed subpackets */
	GBytes *numbers[2];
	GBytes *packet; /* as it was found, with its header */
};
void openpgp_signature_free(struct openpgp_signature *signature);
DEFINE_CLEANUP(openpgp_signature, openpgp_signature_free)
/*
 * One version 4 signature packet's body. REFUSED: v3, MD5 and SHA-1, no creation time, a subpacket twice, unknown
 * and critical, or of a wrong length, trailing bytes.
 */
struct openpgp_signature *openpgp_signature_parse(const void *body, size_t size, GError **error);
/* A detached signature over a file, armored or binary: exactly one packet, of type 00 (binary). */
struct openpgp_signature *openpgp_signature_read(GBytes *input, GError **error);
/* Ends the hash over the data with the signature's part (RFC 4880, 5.2.4). The digest's size. */
size_t openpgp_signature_digest(
    const struct openpgp_signature *s, EVP_MD_CTX *context, uint8_t digest[static EVP_MAX_MD_SIZE]);
/* Does the value verify with the key? REFUSED tells whether it is the data (first 16 bits) or the value. */
gboolean openpgp_signature_verify(
    const struct openpgp_signature *s, const struct openpgp_key *key, const void *digest, size_t size, GError **error);
/* Was it made by this key, as far as it names one? */
gboolean openpgp_signature_names(const struct openpgp_signature *s, const struct openpgp_key *key);
/* The value as other formats show it: RSA octets, DER for ECDSA, R S for EdDSA. */
GBytes *openpgp_signature_value(const struct openpgp_signature *s, const struct openpgp_key *key);

/*
 * The transferable public key (armored .asc) of a key on the token: `user_id` as "Name <mail>", creation time in
 * seconds since 1970. The time is part of the fingerprint: another time is another key, so it is chosen once.
 */
GBytes *openpgp_certificate(struct hsm *hsm, const char *label, const char *user_id, int64_t created, GError **error);
/* The hashed part of a signature of that type by `key`, made at `created`; caller frees. */
GByteArray *openpgp_hashed_part(const struct openpgp_key *key, uint8_t type, uint8_t hash, int64_t created);
/* The packet from its hashed part, its digest and the signature's value as the token gave it. */
GBytes *openpgp_signature_write(
    const struct openpgp_key *key, const GByteArray *hashed, const void *digest, GBytes *value, GError **error);
