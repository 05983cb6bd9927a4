#include "tests/unit/support_pgp.h"

#include <openssl/sha.h>
#include <string.h>

#include "gitops/base/bytes.h"

static void put(GByteArray *to, const void *data, size_t size)
{
	g_byte_array_append(to, data, size);
}

static void put_u8(GByteArray *to, uint8_t value)
{
	put(to, &value, 1);
}

static void put_u16(GByteArray *to, uint16_t value)
{
	guint16 big = GUINT16_TO_BE(value);

	put(to, &big, 2);
}

static void put_u32(GByteArray *to, uint32_t value)
{
	guint32 big = GUINT32_TO_BE(value);

	put(to, &big, 4);
}

static void put_mpi(GByteArray *to, const uint8_t *data, size_t size)
{
	uint16_t bits;

	while (size > 0 && *data == 0) {
		data++;
		size--;
	}
	for (bits = size * 8; bits > 0 && (data[0] >> ((bits - 1) % 8)) == 0; bits--)
		;
	put_u16(to, bits);
	put(to, data, size);
}

/* 0x99, a length of two bytes, the body: as keys go into every hash. */
static void put_hashed_key(GByteArray *to, const struct pgp_key *key)
{
	put_u8(to, 0x99);
	put_u16(to, key->body->len);
	put(to, key->body->data, key->body->len);
}

void pgp_key_init(struct pgp_key *key, uint32_t created)
{
	static const uint8_t oid[] = { 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1 };
	g_autoptr(GByteArray) hashed = g_byte_array_new();
	uint8_t point[33] = { 0x40 };
	size_t size = 32;

	key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_int_equal(EVP_PKEY_get_raw_public_key(key->pkey, point + 1, &size), 1);
	key->body = g_byte_array_new();
	put_u8(key->body, 4);
	put_u32(key->body, created);
	put_u8(key->body, 22);
	put(key->body, oid, sizeof(oid));
	put_mpi(key->body, point, sizeof(point));
	put_hashed_key(hashed, key);
	SHA1(hashed->data, hashed->len, key->fingerprint);
}

void pgp_key_clear(struct pgp_key *key)
{
	EVP_PKEY_free(key->pkey);
	g_byte_array_unref(key->body);
}

char *pgp_fingerprint(const struct pgp_key *key)
{
	g_autofree char *hex = hex_encode(key->fingerprint, 20);

	return g_ascii_strup(hex, -1);
}

static void put_value(GByteArray *to, const char *value, const struct pgp_key *issuer, const GByteArray *embedded)
{
	g_autofree uint8_t *bytes = g_malloc(strlen(value) / 2 + 1);

	if (g_str_equal(value, "issuer")) {
		put_u8(to, 4);
		put(to, issuer->fingerprint, 20);
	} else if (g_str_equal(value, "keyid")) {
		put(to, issuer->fingerprint + 12, 8);
	} else if (g_str_equal(value, "embedded")) {
		put(to, embedded->data, embedded->len);
	} else {
		assert_true(hex_decode(value, bytes, strlen(value) / 2));
		put(to, bytes, strlen(value) / 2);
	}
}

static void put_area(GByteArray *to, const char *area, const struct pgp_key *issuer, const GByteArray *embedded)
{
	g_auto(GStrv) words = g_strsplit(area != NULL ? area : "", " ", -1);
	g_autoptr(GByteArray) all = g_byte_array_new();

	for (guint i = 0; words[i] != NULL; i++) {
		g_autoptr(GByteArray) one = g_byte_array_new();
		gboolean critical = words[i][0] == '!';
		char *end;

		put_u8(one, g_ascii_strtoull(words[i] + critical, &end, 10) | (critical ? 0x80 : 0));
		assert_int_equal(*end, '=');
		put_value(one, end + 1, issuer, embedded);
		put_u8(all, 255);
		put_u32(all, one->len);
		put(all, one->data, one->len);
	}
	put_u16(to, all->len);
	put(to, all->data, all->len);
}

static const EVP_MD *md_of(uint8_t hash)
{
	return hash == 1 ? EVP_md5() : hash == 2 ? EVP_sha1() : hash == 3 ? EVP_ripemd160() : EVP_sha256();
}

static void put_trailer(GByteArray *to, const GByteArray *head, uint8_t version)
{
	put(to, head->data, head->len);
	put_u8(to, version);
	put_u8(to, 0xff);
	put_u32(to, head->len);
}

static void put_eddsa(GByteArray *to, const struct pgp_key *by, const uint8_t *digest, size_t size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t raw[64];
	size_t raw_size = sizeof(raw);

	assert_int_equal(EVP_DigestSignInit(context, NULL, NULL, NULL, by->pkey), 1);
	assert_int_equal(EVP_DigestSign(context, raw, &raw_size, digest, size), 1);
	EVP_MD_CTX_free(context);
	put_mpi(to, raw, 32);
	put_mpi(to, raw + 32, 32);
}

GByteArray *pgp_sign(const struct pgp_key *by, const GByteArray *over, struct pgp_making m)
{
	GByteArray *body = g_byte_array_new();
	g_autoptr(GByteArray) hashed = g_byte_array_new();
	uint8_t digest[EVP_MAX_MD_SIZE], version = m.version != 0 ? m.version : 4;
	unsigned int size = 0;

	put_u8(body, version);
	put_u8(body, m.type);
	put_u8(body, 22);
	put_u8(body, m.hash != 0 ? m.hash : 8);
	put_area(body, m.hashed, by, m.embedded);
	put(hashed, over->data, over->len);
	put_trailer(hashed, body, version);
	EVP_Digest(hashed->data, hashed->len, digest, &size, md_of(m.hash), NULL);
	put_area(body, m.unhashed, by, m.embedded);
	put(body, digest, 2);
	digest[5] ^= m.broken;
	put_eddsa(body, by, digest, size);
	return body;
}

GByteArray *pgp_over(const struct pgp_key *key, const char *uid, const struct pgp_key *subkey)
{
	GByteArray *over = g_byte_array_new();

	put_hashed_key(over, key);
	if (subkey != NULL)
		put_hashed_key(over, subkey);
	if (uid != NULL) {
		put_u8(over, 0xb4);
		put_u32(over, strlen(uid));
		put(over, uid, strlen(uid));
	}
	return over;
}

void pgp_put_packet(GByteArray *to, uint8_t tag, const void *body, size_t size)
{
	put_u8(to, 0xc0 | tag);
	put_u8(to, 255);
	put_u32(to, size);
	put(to, body, size);
}

void pgp_put_key(GByteArray *to, const struct pgp_key *key)
{
	pgp_put_packet(to, 6, key->body->data, key->body->len);
}

void pgp_put_subkey(GByteArray *to, const struct pgp_key *key)
{
	pgp_put_packet(to, 14, key->body->data, key->body->len);
}

void pgp_put_uid(GByteArray *to, const char *uid)
{
	pgp_put_packet(to, 13, uid, strlen(uid));
}

void pgp_put_signature(GByteArray *to, GByteArray *body)
{
	pgp_put_packet(to, 2, body->data, body->len);
	g_byte_array_unref(body);
}

char *pgp_armor(const GByteArray *packets, const char *label)
{
	g_autofree char *base64 = g_base64_encode(packets->data, packets->len);

	return g_strdup_printf("-----BEGIN PGP %s-----\n\n%s\n-----END PGP %s-----\n", label, base64, label);
}
