/* Public keys and signatures of keys on the token. RFC 4880, 5.2.3, 5.5.2, 11.1; RFC 6637, 9 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "signer/openpgp.h"

#define SELF_CERTIFICATION 0x13
#define USER_ID_MAX 255

static void put_subpacket(GByteArray *to, uint8_t type, const void *data, size_t size)
{
	pgp_be_put(to, size + 1, 1);
	pgp_be_put(to, type, 1);
	g_byte_array_append(to, data, size);
}

/* Readers that choose from preferences get ours; a self-signature without flags would let the key do anything. */
static void put_self_subpackets(GByteArray *to)
{
	put_subpacket(to, 27, "\x03", 1); /* certify, sign */
	put_subpacket(to, 11, "\x09\x08\x07", 3); /* AES */
	put_subpacket(to, 21, "\x0a\x09\x08", 3); /* SHA-512, -384, -256 */
	put_subpacket(to, 22, "\x02\x01", 2); /* ZLIB, ZIP */
	put_subpacket(to, 30, "\x01", 1); /* modification detection */
}

GByteArray *openpgp_hashed_part(const struct openpgp_key *key, uint8_t type, uint8_t hash, int64_t created)
{
	g_autoptr(GByteArray) area = g_byte_array_new();
	GByteArray *part = g_byte_array_new();
	uint8_t issuer[1 + OPENPGP_FINGERPRINT_SIZE] = { 4 };
	uint32_t time = GUINT32_TO_BE((uint32_t)created);

	memcpy(issuer + 1, key->fingerprint, OPENPGP_FINGERPRINT_SIZE);
	put_subpacket(area, 33, issuer, sizeof(issuer));
	put_subpacket(area, 2, &time, sizeof(time));
	if (type == SELF_CERTIFICATION)
		put_self_subpackets(area);
	pgp_be_put(part, 4, 1);
	pgp_be_put(part, type, 1);
	pgp_be_put(part, key->algorithm, 1);
	pgp_be_put(part, hash, 1);
	pgp_be_put(part, area->len, 2);
	g_byte_array_append(part, area->data, area->len);
	return part;
}

static gboolean put_value(GByteArray *to, const struct openpgp_key *key, GBytes *value, GError **error)
{
	g_autoptr(GBytes) r = NULL, s = NULL;

	if (key->algorithm == PGP_RSA) {
		pgp_number_put(to, value);
		return TRUE;
	}
	if (!ecdsa_split(value, &r, &s, error))
		return FALSE;
	pgp_number_put(to, r);
	pgp_number_put(to, s);
	return TRUE;
}

GBytes *openpgp_signature_write(
    const struct openpgp_key *key, const GByteArray *hashed, const void *digest, GBytes *value, GError **error)
{
	g_autoptr(GByteArray) body = g_byte_array_new(), unhashed = g_byte_array_new(), packet = g_byte_array_new();

	put_subpacket(unhashed, 16, key->fingerprint + 12, 8);
	g_byte_array_append(body, hashed->data, hashed->len);
	pgp_be_put(body, unhashed->len, 2);
	g_byte_array_append(body, unhashed->data, unhashed->len);
	g_byte_array_append(body, digest, 2);
	if (!put_value(body, key, value, error))
		return NULL;
	pgp_packet_put(packet, PGP_SIGNATURE, body->data, body->len);
	return g_byte_array_free_to_bytes(g_steal_pointer(&packet));
}

static void put_curve(GByteArray *to, guint bits)
{
	static const char p256[] = "\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
	static const char p384[] = "\x05\x2b\x81\x04\x00\x22", p521[] = "\x05\x2b\x81\x04\x00\x23";
	const char *oid = bits == 256 ? p256 : bits == 384 ? p384 : p521;

	g_byte_array_append(to, (const uint8_t *)oid, 1 + oid[0]);
}

static GByteArray *key_body(const struct key_parts *parts, int64_t created)
{
	GByteArray *body = g_byte_array_new();

	pgp_be_put(body, 4, 1);
	pgp_be_put(body, created, 4);
	if (parts->n != NULL) {
		pgp_be_put(body, PGP_RSA, 1);
		pgp_number_put(body, parts->n);
		pgp_number_put(body, parts->e);
	} else {
		pgp_be_put(body, PGP_ECDSA, 1);
		put_curve(body, parts->bits);
		pgp_number_put(body, parts->point);
	}
	return body;
}

/* The key as our own reader sees it, which also makes its fingerprint. */
static struct openpgp_key *key_of_packet(const GByteArray *packet, GError **error)
{
	g_autoptr(GBytes) bytes = g_bytes_new(packet->data, packet->len);
	g_autoptr(GPtrArray) keys = openpgp_keys_read(bytes, error);

	return keys != NULL ? g_ptr_array_steal_index(keys, 0) : NULL;
}

static size_t self_digest(const struct openpgp_key *key, const GByteArray *hashed, const EVP_MD *md,
    const char *user_id, uint8_t digest[static EVP_MAX_MD_SIZE])
{
	g_autoptr(GByteArray) data = g_byte_array_new();
	unsigned int size = 0;

	pgp_be_put(data, 0x99, 1);
	pgp_be_put(data, g_bytes_get_size(key->body), 2);
	g_byte_array_append(data, g_bytes_get_data(key->body, NULL), g_bytes_get_size(key->body));
	pgp_be_put(data, 0xb4, 1);
	pgp_be_put(data, strlen(user_id), 4);
	g_byte_array_append(data, (const uint8_t *)user_id, strlen(user_id));
	g_byte_array_append(data, hashed->data, hashed->len);
	pgp_be_put(data, 0x04ff, 2);
	pgp_be_put(data, hashed->len, 4);
	EVP_Digest(data->data, data->len, digest, &size, md, NULL);
	return size;
}

static GBytes *self_signature(
    struct hsm *hsm, const char *label, const struct openpgp_key *key, const char *user_id, GError **error)
{
	uint8_t number = pgp_hash_number(key_hash_name(key->key)), digest[EVP_MAX_MD_SIZE];
	g_autoptr(GByteArray) hashed = openpgp_hashed_part(key, SELF_CERTIFICATION, number, key->created);
	size_t size = self_digest(key, hashed, pgp_hash(number), user_id, digest);
	g_autoptr(GBytes) value = hsm_sign_digest(hsm, label, pgp_hash(number), digest, size, error);

	return value != NULL ? openpgp_signature_write(key, hashed, digest, value, error) : NULL;
}

static gboolean check_arguments(const char *user_id, int64_t created, GError **error)
{
	size_t size = strlen(user_id);
	const char *why = NULL;

	if (size == 0 || size > USER_ID_MAX || !text_is_clean(user_id, size))
		why = "a user id is one line of 1 to 255 bytes, like \"Acme Release <release@acme.example>\"";
	else if (created <= 0 || created > G_MAXUINT32)
		why = "a creation time lies between 1970 and 2106";
	else if (created > time_now_ms() / 1000)
		why = "the creation time lies in the future: no program would accept the key yet";
	if (why != NULL)
		g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, why);
	return why == NULL;
}

static GBytes *transferable(struct hsm *hsm, const char *label, GByteArray *packets, const char *user_id, GError **error)
{
	g_autoptr(GPtrArray) owner = g_ptr_array_new_with_free_func(openpgp_key_free);
	struct openpgp_key *key = key_of_packet(packets, error);
	g_autoptr(GBytes) signature = NULL;

	if (key == NULL)
		return NULL;
	g_ptr_array_add(owner, key);
	if ((signature = self_signature(hsm, label, key, user_id, error)) == NULL)
		return NULL;
	pgp_packet_put(packets, PGP_USER_ID, user_id, strlen(user_id));
	g_byte_array_append(packets, g_bytes_get_data(signature, NULL), g_bytes_get_size(signature));
	return pgp_armor("PUBLIC KEY BLOCK", packets->data, packets->len);
}

GBytes *openpgp_certificate(struct hsm *hsm, const char *label, const char *user_id, int64_t created, GError **error)
{
	g_autoptr(GByteArray) body = NULL, packets = g_byte_array_new();
	autoptr(key_parts) parts = NULL;
	EVP_PKEY *public;

	if (!check_arguments(user_id, created, error) || (public = hsm_public_key(hsm, label, error)) == NULL ||
	    (parts = key_parts_new(public, error)) == NULL)
		return NULL;
	body = key_body(parts, created);
	pgp_packet_put(packets, PGP_PUBLIC_KEY, body->data, body->len);
	return transferable(hsm, label, packets, user_id, error);
}
