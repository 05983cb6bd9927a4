/* Signature packets of version 4, read strictly and verified. RFC 4880, 5.2 */
#include <openssl/err.h>
#include <string.h>

#include "signer/openpgp.h"

#define EDDSA_HALF 32

void openpgp_signature_free(struct openpgp_signature *s)
{
	if (s == NULL)
		return;
	g_clear_pointer(&s->embedded, g_bytes_unref);
	g_clear_pointer(&s->hashed, g_bytes_unref);
	g_clear_pointer(&s->numbers[0], g_bytes_unref);
	g_clear_pointer(&s->numbers[1], g_bytes_unref);
	g_clear_pointer(&s->packet, g_bytes_unref);
	g_free(s);
}

/* 5.2.3.1: like a packet's length, but without partial ones, and it counts the type byte. */
static gboolean take_subpacket_length(struct cursor *c, uint32_t *length)
{
	uint8_t first, second;

	if (!cursor_u8(c, &first, "subpacket length"))
		return FALSE;
	*length = first;
	if (first == 255)
		return cursor_be32(c, length, "subpacket length");
	if (first >= 192) {
		if (!cursor_u8(c, &second, "subpacket length"))
			return FALSE;
		*length = ((first - 192) << 8) + second + 192;
	}
	return *length > 0 || cursor_refuse(c, "subpacket length", "it is 0, but counts the type");
}

static int64_t be32_at(const uint8_t *data)
{
	return (int64_t)data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3];
}

static void set_created(struct openpgp_signature *s, const uint8_t *data, G_GNUC_UNUSED size_t size)
{
	s->created = be32_at(data);
}

static void set_expires(struct openpgp_signature *s, const uint8_t *data, G_GNUC_UNUSED size_t size)
{
	s->expires = be32_at(data);
}

static void set_key_expires(struct openpgp_signature *s, const uint8_t *data, G_GNUC_UNUSED size_t size)
{
	s->key_expires = be32_at(data);
}

static void set_key_id(struct openpgp_signature *s, const uint8_t *data, G_GNUC_UNUSED size_t size)
{
	memcpy(s->key_id, data, sizeof(s->key_id));
	s->has_key_id = TRUE;
}

static void set_flags(struct openpgp_signature *s, const uint8_t *data, G_GNUC_UNUSED size_t size)
{
	s->flags = data[0];
	s->has_flags = TRUE;
}

static void set_embedded(struct openpgp_signature *s, const uint8_t *data, size_t size)
{
	g_clear_pointer(&s->embedded, g_bytes_unref);
	s->embedded = g_bytes_new(data, size);
}

static void set_fingerprint(struct openpgp_signature *s, const uint8_t *data, G_GNUC_UNUSED size_t size)
{
	memcpy(s->fingerprint, data + 1, sizeof(s->fingerprint));
	s->has_fingerprint = data[0] == 4;
}

/* What we know. `take` NULL: known, of no consequence here. Only the issuer may stand in the unhashed part, where
 * anybody could write: it says no more than which key to try. */
static const struct subpacket {
	uint8_t type;
	uint32_t min, max;
	gboolean unhashed, once;
	void (*take)(struct openpgp_signature *s, const uint8_t *data, size_t size);
} subpackets[] = {
	{ 2, 4, 4, FALSE, TRUE, set_created },
	{ 3, 4, 4, FALSE, TRUE, set_expires },
	{ 7, 1, 1, FALSE, TRUE, NULL }, /* revocable */
	{ 9, 4, 4, FALSE, TRUE, set_key_expires },
	{ 11, 0, 255, FALSE, TRUE, NULL }, /* preferred ciphers */
	{ 16, 8, 8, TRUE, FALSE, set_key_id },
	{ 21, 0, 255, FALSE, TRUE, NULL }, /* preferred hashes */
	{ 22, 0, 255, FALSE, TRUE, NULL }, /* preferred compressions */
	{ 23, 0, 255, FALSE, TRUE, NULL }, /* key server */
	{ 25, 1, 1, FALSE, TRUE, NULL }, /* primary user id */
	{ 27, 1, 255, FALSE, TRUE, set_flags },
	{ 28, 0, 65535, FALSE, TRUE, NULL }, /* signer's user id */
	{ 30, 0, 255, FALSE, TRUE, NULL }, /* features */
	{ 32, 1, 65535, TRUE, FALSE, set_embedded },
	{ 33, 21, 33, TRUE, FALSE, set_fingerprint },
};

static const struct subpacket *subpacket_of(uint8_t type)
{
	for (guint i = 0; i < G_N_ELEMENTS(subpackets); i++)
		if (subpackets[i].type == type)
			return &subpackets[i];
	return NULL;
}

static gboolean take_subpacket(struct cursor *c, struct openpgp_signature *s, gboolean hashed, gboolean seen[static 128])
{
	uint32_t length;
	const uint8_t *data;
	const struct subpacket *known;
	uint8_t type;

	if (!take_subpacket_length(c, &length) || !cursor_bytes(c, &data, length, "subpacket"))
		return FALSE;
	type = data[0] & 0x7f;
	known = subpacket_of(type);
	if (known == NULL)
		return (data[0] & 0x80) == 0 ||
		       cursor_refuse(c, "subpacket", "type %u is critical and not known here", type);
	if (length - 1 < known->min || length - 1 > known->max)
		return cursor_refuse(c, "subpacket", "type %u has a wrong length of %u", type, length - 1);
	if (known->once && hashed && seen[type])
		return cursor_refuse(c, "subpacket", "type %u stands twice", type);
	seen[type] = TRUE;
	if (known->take != NULL && (hashed || known->unhashed))
		known->take(s, data + 1, length - 1);
	return TRUE;
}

/* The hashed part is taken last, so that what it says of the issuer overrides what the other part says. */
static gboolean take_area(
    struct cursor *outer, struct openpgp_signature *s, const uint8_t *area, size_t size, gboolean hashed)
{
	gboolean seen[128] = { FALSE };
	struct cursor c;

	cursor_init(&c, area, size);
	while (cursor_left(&c) > 0)
		if (!take_subpacket(&c, s, hashed, seen))
			return cursor_refuse(outer, c.field, "%s", c.reason);
	return !hashed || seen[2] || cursor_refuse(outer, "hashed subpackets", "no creation time stands there");
}

static gboolean take_numbers(struct cursor *c, struct openpgp_signature *s)
{
	guint count = s->algorithm == PGP_RSA ? 1 : 2;

	for (guint i = 0; i < count; i++)
		if ((s->numbers[i] = pgp_number_take(c, "signature value")) == NULL)
			return FALSE;
	return TRUE;
}

static gboolean take_algorithms(struct cursor *c, struct openpgp_signature *s)
{
	uint8_t version;

	if (!cursor_u8(c, &version, "version"))
		return FALSE;
	if (version != 4)
		return cursor_refuse(c, "version", "%u is not read, only version 4", version);
	if (!cursor_u8(c, &s->type, "type") || !cursor_u8(c, &s->algorithm, "key algorithm") ||
	    !cursor_u8(c, &s->hash, "hash algorithm"))
		return FALSE;
	if (s->algorithm != PGP_RSA && s->algorithm != PGP_ECDSA && s->algorithm != PGP_EDDSA)
		return cursor_refuse(c, "key algorithm", "%u is none of RSA, ECDSA, EdDSA", s->algorithm);
	if (pgp_hash(s->hash) == NULL)
		return cursor_refuse(c, "hash algorithm", "%u%s is none of SHA-256, SHA-384, SHA-512", s->hash,
		    s->hash == 2   ? " (SHA-1)"
		    : s->hash == 1 ? " (MD5)"
				   : "");
	return TRUE;
}

static gboolean take_signature(struct cursor *c, struct openpgp_signature *s)
{
	const uint8_t *hashed, *unhashed, *left;
	uint16_t hashed_size, unhashed_size;

	if (!take_algorithms(c, s) || !cursor_be16(c, &hashed_size, "hashed subpackets") ||
	    !cursor_bytes(c, &hashed, hashed_size, "hashed subpackets"))
		return FALSE;
	s->hashed = g_bytes_new(c->data, c->at);
	if (!cursor_be16(c, &unhashed_size, "unhashed subpackets") ||
	    !cursor_bytes(c, &unhashed, unhashed_size, "unhashed subpackets") ||
	    !take_area(c, s, unhashed, unhashed_size, FALSE) || !take_area(c, s, hashed, hashed_size, TRUE) ||
	    !cursor_bytes(c, &left, sizeof(s->left), "first bits of the digest"))
		return FALSE;
	memcpy(s->left, left, sizeof(s->left));
	return take_numbers(c, s);
}

struct openpgp_signature *openpgp_signature_parse(const void *body, size_t size, GError **error)
{
	autoptr(openpgp_signature) s = g_new0(struct openpgp_signature, 1);
	struct cursor c;

	cursor_init(&c, body, size);
	if (!take_signature(&c, s)) {
		cursor_fail(&c, "OpenPGP signature", error);
		return NULL;
	}
	return cursor_end(&c, "OpenPGP signature", error) ? g_steal_pointer(&s) : NULL;
}

struct openpgp_signature *openpgp_signature_read(GBytes *input, GError **error)
{
	g_autoptr(GBytes) binary = pgp_dearmor(input, "SIGNATURE", error);
	autoptr(openpgp_signature) s = NULL;
	struct pgp_packet packet;
	struct cursor c;

	if (binary == NULL)
		return NULL;
	cursor_init(&c, g_bytes_get_data(binary, NULL), g_bytes_get_size(binary));
	if (!pgp_packet_take(&c, &packet) ||
	    (packet.tag != PGP_SIGNATURE && !cursor_refuse(&c, "packet tag", "%u is not a signature", packet.tag))) {
		cursor_fail(&c, "OpenPGP signature", error);
		return NULL;
	}
	if (!cursor_end(&c, "OpenPGP signature (exactly one is expected)", error) ||
	    (s = openpgp_signature_parse(packet.body, packet.size, error)) == NULL)
		return NULL;
	if (s->type != 0) {
		error_refused(
		    error, "OpenPGP signature: its type is 0x%02x, not 0x00 (over the bytes of a file)", s->type);
		return NULL;
	}
	s->packet = g_steal_pointer(&binary);
	return g_steal_pointer(&s);
}

size_t openpgp_signature_digest(
    const struct openpgp_signature *s, EVP_MD_CTX *context, uint8_t digest[static EVP_MAX_MD_SIZE])
{
	uint32_t length = GUINT32_TO_BE((uint32_t)g_bytes_get_size(s->hashed));
	unsigned int size = 0;

	EVP_DigestUpdate(context, g_bytes_get_data(s->hashed, NULL), g_bytes_get_size(s->hashed));
	EVP_DigestUpdate(context, "\x04\xff", 2);
	EVP_DigestUpdate(context, &length, sizeof(length));
	return EVP_DigestFinal_ex(context, digest, &size) == 1 ? size : 0;
}

gboolean openpgp_signature_names(const struct openpgp_signature *s, const struct openpgp_key *key)
{
	if (!s->has_fingerprint && !s->has_key_id)
		return FALSE;
	if (s->has_fingerprint && memcmp(s->fingerprint, key->fingerprint, sizeof(key->fingerprint)) != 0)
		return FALSE;
	return !s->has_key_id || memcmp(s->key_id, key->fingerprint + 12, sizeof(s->key_id)) == 0;
}

/* `size` bytes, with zero bytes before the number; FALSE if it does not fit. */
static gboolean put_padded(GByteArray *to, GBytes *number, size_t size)
{
	size_t length = g_bytes_get_size(number);

	if (length > size)
		return FALSE;
	for (size_t i = length; i < size; i++)
		g_byte_array_append(to, (const uint8_t *)"", 1);
	g_byte_array_append(to, g_bytes_get_data(number, NULL), length);
	return TRUE;
}

GBytes *openpgp_signature_value(const struct openpgp_signature *s, const struct openpgp_key *key)
{
	g_autoptr(GByteArray) value = g_byte_array_new();
	gboolean fits;

	if (s->algorithm == PGP_ECDSA)
		return ecdsa_join(s->numbers[0], s->numbers[1], NULL);
	if (s->algorithm == PGP_RSA)
		fits = put_padded(value, s->numbers[0], EVP_PKEY_get_size(key->key));
	else
		fits = put_padded(value, s->numbers[0], EDDSA_HALF) && put_padded(value, s->numbers[1], EDDSA_HALF);
	return fits ? g_byte_array_free_to_bytes(g_steal_pointer(&value)) : NULL;
}

/* EdDSA signs the digest as its message (RFC 9580, 5.2.3.3); the others sign it as a digest. */
static gboolean value_verifies(EVP_PKEY *key, const EVP_MD *md, GBytes *value, const void *digest, size_t digest_size)
{
	gsize size;
	const uint8_t *data = g_bytes_get_data(value, &size);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
	EVP_MD_CTX *whole = EVP_MD_CTX_new();
	gboolean ok;

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
		ok = EVP_DigestVerifyInit(whole, NULL, NULL, NULL, key) == 1 &&
		     EVP_DigestVerify(whole, data, size, digest, digest_size) == 1;
	else
		ok = EVP_PKEY_verify_init(context) == 1 && EVP_PKEY_CTX_set_signature_md(context, md) == 1 &&
		     EVP_PKEY_verify(context, data, size, digest, digest_size) == 1;
	EVP_MD_CTX_free(whole);
	EVP_PKEY_CTX_free(context);
	ERR_clear_error();
	return ok;
}

gboolean openpgp_signature_verify(
    const struct openpgp_signature *s, const struct openpgp_key *key, const void *digest, size_t size, GError **error)
{
	g_autoptr(GBytes) value = NULL;

	if (size < 32 || memcmp(digest, s->left, sizeof(s->left)) != 0) {
		error_refused(error, "OpenPGP signature: it is over other data (the digest's first bits differ)");
		return FALSE;
	}
	if (s->algorithm != key->algorithm) {
		error_refused(error, "OpenPGP signature: it names another key algorithm than the key has");
		return FALSE;
	}
	value = openpgp_signature_value(s, key);
	if (value == NULL || !value_verifies(key->key, pgp_hash(s->hash), value, digest, size)) {
		error_refused(error, "OpenPGP signature: its value does not verify with the key");
		return FALSE;
	}
	return TRUE;
}
