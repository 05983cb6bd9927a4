#include "signer/sshsig.h"

#include <string.h>

#include "signer/key_parts.h"

#define ARMOR_WIDTH 70

static const struct {
	guint bits;
	const char *type, *curve;
	const EVP_MD *(*md)(void);
} ec_types[] = {
	{ 256, "ecdsa-sha2-nistp256", "nistp256", EVP_sha256 },
	{ 384, "ecdsa-sha2-nistp384", "nistp384", EVP_sha384 },
	{ 521, "ecdsa-sha2-nistp521", "nistp521", EVP_sha512 },
};

static guint ec_type(guint bits)
{
	guint i = 0;

	while (ec_types[i].bits != bits) /* key_parts_new() lets no other curve through */
		i++;
	return i;
}

/* RFC 4251, 5 */
static void put_string(GByteArray *to, const void *data, size_t size)
{
	uint32_t length = GUINT32_TO_BE((uint32_t)size);

	g_byte_array_append(to, (const uint8_t *)&length, sizeof(length));
	g_byte_array_append(to, data, size);
}

static void put_text(GByteArray *to, const char *text)
{
	put_string(to, text, strlen(text));
}

static void put_bytes(GByteArray *to, GBytes *bytes)
{
	put_string(to, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* Two's complement: a number whose top bit is set gets a zero byte before it. */
static void put_mpint(GByteArray *to, GBytes *number)
{
	gsize size;
	const uint8_t *data = g_bytes_get_data(number, &size);
	g_autoptr(GByteArray) padded = g_byte_array_new();

	if (size > 0 && (data[0] & 0x80) != 0)
		g_byte_array_append(padded, (const uint8_t *)"", 1);
	g_byte_array_append(padded, data, size);
	put_string(to, padded->data, padded->len);
}

/* RFC 4253, 6.6; RFC 5656, 3.1 */
static GByteArray *public_blob(const struct key_parts *parts)
{
	GByteArray *blob = g_byte_array_new();

	if (parts->n != NULL) {
		put_text(blob, "ssh-rsa");
		put_mpint(blob, parts->e);
		put_mpint(blob, parts->n);
	} else {
		guint type = ec_type(parts->bits);
		put_text(blob, ec_types[type].type);
		put_text(blob, ec_types[type].curve);
		put_bytes(blob, parts->point);
	}
	return blob;
}

char *sshsig_public_line(EVP_PKEY *key, GError **error)
{
	autoptr(key_parts) parts = key_parts_new(key, error);
	g_autoptr(GByteArray) blob = NULL;
	g_autofree char *text = NULL;

	if (parts == NULL)
		return NULL;
	blob = public_blob(parts);
	text = g_base64_encode(blob->data, blob->len);
	return g_strdup_printf("%s %s", parts->n != NULL ? "ssh-rsa" : ec_types[ec_type(parts->bits)].type, text);
}

static void put_signed_head(GByteArray *to, const char *namespace)
{
	put_text(to, namespace);
	put_text(to, "");
	put_text(to, "sha512");
}

static GByteArray *signed_bytes(const char *namespace, GBytes *payload)
{
	GByteArray *bytes = g_byte_array_new();
	uint8_t digest[64];

	EVP_Digest(g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), digest, NULL, EVP_sha512(), NULL);
	g_byte_array_append(bytes, (const uint8_t *)"SSHSIG", 6);
	put_signed_head(bytes, namespace);
	put_string(bytes, digest, sizeof(digest));
	return bytes;
}

/* RFC 8332, 3; RFC 5656, 3.1.2 */
static GByteArray *signature_blob(const struct key_parts *parts, GBytes *signature, GError **error)
{
	g_autoptr(GByteArray) blob = g_byte_array_new(), numbers = g_byte_array_new();
	g_autoptr(GBytes) r = NULL, s = NULL;

	if (parts->n != NULL) {
		put_text(blob, "rsa-sha2-512");
		put_bytes(blob, signature);
		return g_steal_pointer(&blob);
	}
	if (!ecdsa_split(signature, &r, &s, error))
		return NULL;
	put_mpint(numbers, r);
	put_mpint(numbers, s);
	put_text(blob, ec_types[ec_type(parts->bits)].type);
	put_string(blob, numbers->data, numbers->len);
	return g_steal_pointer(&blob);
}

static GBytes *armor(const struct key_parts *parts, const char *namespace, const GByteArray *signature)
{
	static const uint8_t version[] = { 0, 0, 0, 1 };
	g_autoptr(GByteArray) blob = g_byte_array_new(), public = public_blob(parts);
	g_autoptr(GString) text = g_string_new("-----BEGIN SSH SIGNATURE-----\n");
	g_autofree char *base64 = NULL;
	gsize size;

	g_byte_array_append(blob, (const uint8_t *)"SSHSIG", 6);
	g_byte_array_append(blob, version, sizeof(version));
	put_string(blob, public->data, public->len);
	put_signed_head(blob, namespace);
	put_string(blob, signature->data, signature->len);
	base64 = g_base64_encode(blob->data, blob->len);
	for (const char *line = base64; *line != '\0'; line += strnlen(line, ARMOR_WIDTH))
		g_string_append_printf(text, "%.*s\n", ARMOR_WIDTH, line);
	g_string_append(text, "-----END SSH SIGNATURE-----\n");
	size = text->len;
	return g_bytes_new_take(g_string_free(g_steal_pointer(&text), FALSE), size);
}

GBytes *sshsig_sign(struct hsm *hsm, const char *label, const char *namespace, GBytes *payload, GError **error)
{
	EVP_PKEY *public = hsm_public_key(hsm, label, error);
	autoptr(key_parts) parts = public != NULL ? key_parts_new(public, error) : NULL;
	g_autoptr(GByteArray) data = NULL, blob = NULL;
	g_autoptr(GBytes) signature = NULL;
	const EVP_MD *md;

	if (parts == NULL)
		return NULL;
	if (*namespace == '\0') {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "an SSH signature needs a namespace");
		return NULL;
	}
	data = signed_bytes(namespace, payload);
	md = parts->n != NULL ? EVP_sha512() : ec_types[ec_type(parts->bits)].md();
	if ((signature = hsm_sign(hsm, label, md, data->data, data->len, error)) == NULL ||
	    (blob = signature_blob(parts, signature, error)) == NULL)
		return NULL;
	return armor(parts, namespace, blob);
}
