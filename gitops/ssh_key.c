/*
 * SSH keys, plain ones and security keys (sk-), and signatures by them.   PROTOCOL.u2f, RFC 4253 6.6, RFC 5656 3.1, RFC 8709
 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/ssh_private.h"

#define RSA_BITS_MIN 3072
#define RSA_BITS_MAX 16384
#define SK_APPLICATION "ssh:"
#define SK_USER_PRESENT 0x01
#define SK_USER_VERIFIED 0x04

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_MD_CTX, EVP_MD_CTX_free)

static const struct ssh_type ssh_types[] = {
	{ "ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", SSH_ED25519 },
	{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256-cert-v01@openssh.com", SSH_ECDSA, "nistp256", "P-256", EVP_sha256 },
	{ "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384-cert-v01@openssh.com", SSH_ECDSA, "nistp384", "P-384", EVP_sha384 },
	{ "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521-cert-v01@openssh.com", SSH_ECDSA, "nistp521", "P-521", EVP_sha512 },
	{ "ssh-rsa", "ssh-rsa-cert-v01@openssh.com", SSH_RSA },
	{ "sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519-cert-v01@openssh.com", SSH_ED25519, .security_key = TRUE },
	{ "sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", SSH_ECDSA, "nistp256",
	    "P-256", EVP_sha256, TRUE },
};

/* --- fields --- */

gboolean span_is(struct span s, const char *text)
{
	return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

gboolean ssh_take(struct cursor *c, struct span *out, const char *field)
{
	return cursor_string(c, &out->data, &out->size, SSH_BLOB_MAX, field);
}

gboolean ssh_take_text(struct cursor *c, const char *expected, const char *field)
{
	struct span s;

	if (!ssh_take(c, &s, field))
		return FALSE;
	return span_is(s, expected) || cursor_refuse(c, field, "it must be \"%s\"", expected);
}

gboolean ssh_take_mpint(struct cursor *c, struct span *out, const char *field)
{
	if (!ssh_take(c, out, field))
		return FALSE;
	if (out->size == 0 || (out->data[0] & 0x80) != 0 ||
	    (out->data[0] == 0 && (out->size == 1 || out->data[1] < 0x80)))
		return cursor_refuse(c, field, "not a positive integer in its shortest form");
	return TRUE;
}

/* --- public keys --- */

void ssh_key_free(struct ssh_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	g_free(key);
}

gboolean ssh_key_is_hardware(const struct ssh_key *key)
{
	return key->type->security_key;
}

const char *ssh_key_type(const struct ssh_key *key)
{
	return key->type->name;
}

static EVP_PKEY *ed25519_take(struct cursor *c)
{
	struct span point;
	EVP_PKEY *pkey;

	if (!ssh_take(c, &point, "Ed25519 key"))
		return NULL;
	pkey = pkey_ed25519(point);
	if (pkey == NULL)
		cursor_refuse(c, "Ed25519 key", "not a key of 32 bytes");
	return pkey;
}

static EVP_PKEY *ecdsa_take(struct cursor *c, const struct ssh_type *type)
{
	struct span point;
	EVP_PKEY *pkey;

	if (!ssh_take_text(c, type->curve, "curve") || !ssh_take(c, &point, "point"))
		return NULL;
	pkey = pkey_ec(type->group, point);
	if (pkey == NULL)
		cursor_refuse(c, "point", "not an uncompressed point of %s", type->curve);
	return pkey;
}

static EVP_PKEY *rsa_take(struct cursor *c)
{
	struct span e, n;
	EVP_PKEY *pkey;
	int bits;

	if (!ssh_take_mpint(c, &e, "exponent") || !ssh_take_mpint(c, &n, "modulus"))
		return NULL;
	pkey = pkey_rsa(n, e);
	bits = pkey != NULL ? EVP_PKEY_get_bits(pkey) : 0;
	if (pkey == NULL)
		cursor_refuse(c, "modulus", "not a sound RSA key");
	else if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
		cursor_refuse(c, "modulus", "RSA of %d bits; %d to %d are taken", bits, RSA_BITS_MIN, RSA_BITS_MAX);
	else
		return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

const struct ssh_type *ssh_type_find(struct span name, gboolean certificate)
{
	for (size_t i = 0; i < G_N_ELEMENTS(ssh_types); i++)
		if (span_is(name, certificate ? ssh_types[i].certificate : ssh_types[i].name))
			return &ssh_types[i];
	return NULL;
}

gboolean ssh_key_take(struct cursor *c, const struct ssh_type *type, struct ssh_key *key)
{
	key->type = type;
	if (type->algorithm == SSH_ED25519)
		key->pkey = ed25519_take(c);
	else if (type->algorithm == SSH_ECDSA)
		key->pkey = ecdsa_take(c, type);
	else
		key->pkey = rsa_take(c);
	return key->pkey != NULL && (!type->security_key || ssh_take_text(c, SK_APPLICATION, "application"));
}

static gboolean key_take(struct cursor *c, struct ssh_key *key)
{
	g_autofree char *shown = NULL;
	const struct ssh_type *type;
	struct span name;

	if (!ssh_take(c, &name, "key type"))
		return FALSE;
	if ((type = ssh_type_find(name, FALSE)) != NULL)
		return ssh_key_take(c, type, key);
	if (ssh_type_find(name, TRUE) != NULL)
		return cursor_refuse(c, "key type", "a certificate stands where a plain key must");
	shown = text_escape((const char *)name.data, name.size, 40);
	return cursor_refuse(c, "key type", "\"%s\" is not supported", shown);
}

struct ssh_key *ssh_key_read(GBytes *blob, GError **error)
{
	struct ssh_key *key = g_new0(struct ssh_key, 1);
	struct cursor c;

	cursor_init(&c, g_bytes_get_data(blob, NULL), g_bytes_get_size(blob));
	if (!key_take(&c, key))
		cursor_fail(&c, "the SSH key", error);
	else if (cursor_end(&c, "the SSH key", error))
		return key;
	ssh_key_free(key);
	return NULL;
}

char *ssh_fingerprint(GBytes *blob)
{
	uint8_t digest[SHA256_SIZE];
	g_autofree char *base64 = NULL;
	char *padding;

	EVP_Digest(g_bytes_get_data(blob, NULL), g_bytes_get_size(blob), digest, NULL, EVP_sha256(), NULL);
	base64 = g_base64_encode(digest, sizeof(digest));
	padding = strchr(base64, '=');
	if (padding != NULL)
		*padding = '\0';
	return g_strconcat("SHA256:", base64, NULL);
}

gboolean ssh_is_fingerprint(const char *text)
{
	return g_str_has_prefix(text, "SHA256:") && strlen(text) == 50 &&
	       strspn(text + 7, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == 43;
}

/* --- signatures --- */

/* A security key signs this in place of the message.   PROTOCOL.u2f */
static void sk_message(struct span message, uint8_t flags, uint32_t counter, uint8_t wrapped[static 69])
{
	guint32 big = GUINT32_TO_BE(counter);

	EVP_Digest(SK_APPLICATION, strlen(SK_APPLICATION), wrapped, NULL, EVP_sha256(), NULL);
	wrapped[32] = flags;
	memcpy(wrapped + 33, &big, sizeof(big));
	EVP_Digest(message.data, message.size, wrapped + 37, NULL, EVP_sha256(), NULL);
}

static gboolean sk_flags_take(struct cursor *c, gboolean verify_required, uint8_t *flags, uint32_t *counter)
{
	if (!cursor_u8(c, flags, "security key flags") || !cursor_be32(c, counter, "security key counter"))
		return FALSE;
	if ((*flags & SK_USER_PRESENT) == 0)
		return cursor_refuse(c, "security key flags", "nobody touched the key (user presence is required)");
	if ((*flags & ~(SK_USER_PRESENT | SK_USER_VERIFIED)) != 0)
		return cursor_refuse(c, "security key flags", "unknown bits in 0x%02x", *flags);
	if (verify_required && (*flags & SK_USER_VERIFIED) == 0)
		return cursor_refuse(c, "security key flags",
		    "its certificate wants a PIN or finger besides the touch (verify-required)");
	return TRUE;
}

/* Two mpints within a string.   RFC 5656 3.1.2 */
static GBytes *ecdsa_signature(struct span blob)
{
	struct span r, s;
	struct cursor c;

	cursor_init(&c, blob.data, blob.size);
	if (!ssh_take_mpint(&c, &r, "r") || !ssh_take_mpint(&c, &s, "s") || cursor_left(&c) != 0)
		return NULL;
	return pkey_ecdsa_signature(r, s);
}

static gboolean pkey_verify(EVP_PKEY *pkey, const EVP_MD *digest, GBytes *signature, struct span message)
{
	g_autoptr(EVP_MD_CTX) context = EVP_MD_CTX_new();

	return signature != NULL && EVP_DigestVerifyInit(context, NULL, digest, NULL, pkey) == 1 &&
	       EVP_DigestVerify(context, g_bytes_get_data(signature, NULL), g_bytes_get_size(signature), message.data,
		   message.size) == 1;
}

/* The digest that a signature algorithm's name stands for; FALSE if it does not fit the key. */
static gboolean algorithm_take(struct cursor *c, const struct ssh_type *type, const EVP_MD **digest)
{
	struct span name;

	if (!ssh_take(c, &name, "signature algorithm"))
		return FALSE;
	*digest = type->digest != NULL ? type->digest() : NULL;
	if (type->algorithm != SSH_RSA)
		return span_is(name, type->name) || cursor_refuse(c, "signature algorithm", "it must be %s", type->name);
	*digest = span_is(name, "rsa-sha2-512") ? EVP_sha512() : span_is(name, "rsa-sha2-256") ? EVP_sha256() : NULL;
	return *digest != NULL || cursor_refuse(c, "signature algorithm", "it must be rsa-sha2-512 or rsa-sha2-256");
}

gboolean ssh_key_verify(
    const struct ssh_key *key, struct span signature, struct span message, const char *what, GError **error)
{
	g_autoptr(GBytes) bytes = NULL;
	struct cursor c;
	const EVP_MD *digest;
	struct span blob;
	uint8_t flags = 0, wrapped[69];
	uint32_t counter = 0;

	cursor_init(&c, signature.data, signature.size);
	if (!algorithm_take(&c, key->type, &digest) || !ssh_take(&c, &blob, "signature bytes") ||
	    (key->type->security_key && !sk_flags_take(&c, key->verify_required, &flags, &counter)))
		return cursor_fail(&c, what, error);
	if (!cursor_end(&c, what, error))
		return FALSE;
	if (key->type->algorithm == SSH_RSA)
		bytes = pkey_rsa_signature(key->pkey, blob); /* as OpenSSH.   RFC 4253 6.6 */
	else if (key->type->algorithm == SSH_ECDSA)
		bytes = ecdsa_signature(blob);
	else
		bytes = g_bytes_new(blob.data, blob.size);
	if (key->type->security_key) {
		sk_message(message, flags, counter, wrapped);
		message = (struct span){ wrapped, sizeof(wrapped) };
	}
	if (pkey_verify(key->pkey, digest, bytes, message))
		return TRUE;
	error_refused(error, "the signature does not fit these bytes: they were changed, or another key made it");
	return FALSE;
}
