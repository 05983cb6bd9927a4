#include "tests/unit/support_ledger.h"

#include <openssl/evp.h>
#include <string.h>

#include "gitops/record.h"
#include "tests/unit/support.h"

struct test_key {
	EVP_PKEY *pkey;
	GByteArray *blob; /* the public key as SSH writes it */
	char *line;
};

static void put_string(GByteArray *to, const void *data, size_t size)
{
	uint32_t length = GUINT32_TO_BE((uint32_t)size);

	g_byte_array_append(to, (const guint8 *)&length, sizeof(length));
	g_byte_array_append(to, data, (guint)size);
}

struct test_key *test_key_new(void)
{
	struct test_key *key = g_new0(struct test_key, 1);
	uint8_t raw[32];
	size_t size = sizeof(raw);
	g_autofree char *base64 = NULL;

	key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_int_equal(EVP_PKEY_get_raw_public_key(key->pkey, raw, &size), 1);
	key->blob = g_byte_array_new();
	put_string(key->blob, "ssh-ed25519", 11);
	put_string(key->blob, raw, size);
	base64 = g_base64_encode(key->blob->data, key->blob->len);
	key->line = g_strconcat("ssh-ed25519 ", base64, NULL);
	return key;
}

void test_key_free(struct test_key *key)
{
	EVP_PKEY_free(key->pkey);
	g_byte_array_unref(key->blob);
	g_free(key->line);
	g_free(key);
}

const char *test_key_line(const struct test_key *key)
{
	return key->line;
}

/* PROTOCOL.sshsig: what is signed, and what is sent, differ by the key and the signature. */
static void put_head(GByteArray *to, const GByteArray *blob)
{
	g_byte_array_append(to, (const guint8 *)"SSHSIG", 6);
	if (blob != NULL) {
		g_byte_array_append(to, (const guint8 *)"\0\0\0\1", 4);
		put_string(to, blob->data, blob->len);
	}
	put_string(to, "git", 3);
	put_string(to, "", 0);
	put_string(to, "sha512", 6);
}

static void sign_raw(struct test_key *key, const GByteArray *message, uint8_t signature[64])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t size = 64;

	assert_int_equal(EVP_DigestSignInit(context, NULL, NULL, NULL, key->pkey), 1);
	assert_int_equal(EVP_DigestSign(context, signature, &size, message->data, message->len), 1);
	EVP_MD_CTX_free(context);
}

static GBytes *armor(const GByteArray *blob)
{
	g_autofree char *base64 = g_base64_encode(blob->data, blob->len);
	GString *text = g_string_new("-----BEGIN SSH SIGNATURE-----\n");

	for (size_t at = 0, all = strlen(base64); at < all; at += 70)
		g_string_append_printf(text, "%.70s\n", base64 + at);
	g_string_append(text, "-----END SSH SIGNATURE-----");
	return g_string_free_to_bytes(text);
}

GBytes *test_key_sign(void *data, GBytes *payload, GError **error)
{
	struct test_key *key = data;
	g_autoptr(GByteArray) message = g_byte_array_new(), blob = g_byte_array_new(), inner = g_byte_array_new();
	uint8_t digest[64], signature[64];
	unsigned size = sizeof(digest);

	(void)error;
	EVP_Digest(g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), digest, &size, EVP_sha512(), NULL);
	put_head(message, NULL);
	put_string(message, digest, size);
	sign_raw(key, message, signature);
	put_string(inner, "ssh-ed25519", 11);
	put_string(inner, signature, sizeof(signature));
	put_head(blob, key->blob);
	put_string(blob, inner->data, inner->len);
	return armor(blob);
}

struct json *test_record(const char *project, const char *tag, const char *outcome)
{
	g_autofree char *id = ulid_new();
	struct json *record = record_new(id, project, tag);

	record_gate(record, GATE_SOURCE, g_str_equal(outcome, "signed") ? "passed" : outcome, 1000, 2000, 1);
	record_end(record, outcome, GATE_SOURCE, g_str_equal(outcome, "signed") ? NULL : "because of the test");
	return record;
}

struct ledger *test_ledger(const char *path, struct test_key *key)
{
	g_autoptr(GError) error = NULL;
	struct ledger *ledger = ledger_open(path, "ledger@example.org", key->line, test_key_sign, key, &error);

	assert_ok(ledger != NULL, error);
	return ledger;
}

void test_append(struct ledger *ledger, struct json *document)
{
	struct ledger_entry entry = { .document = document };
	g_autoptr(GError) error = NULL;

	assert_ok(ledger_append(ledger, &entry, 1, &error), error);
	ledger_entry_clear(&entry);
}
