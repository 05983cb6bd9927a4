/*
 * SSH keys, plain ones and security keys (sk-), and signatures by them.   PROTOCOL.sshsig, PROTOCOL.u2f, RFC 4253 6.6,
 * RFC 5656 3.1, RFC 8709
 */
#include "gitops/ssh.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"
#include "gitops/object_text.h"

#define BLOB_MAX 8192 /* of a key or signature; RSA of 16384 bits needs 2 KiB */
#define RSA_BITS_MIN 3072
#define RSA_BITS_MAX 16384
#define SK_APPLICATION "ssh:"
#define SK_USER_PRESENT 0x01
#define SK_USER_VERIFIED 0x04

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_MD_CTX, EVP_MD_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ECDSA_SIG, ECDSA_SIG_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OSSL_PARAM, OSSL_PARAM_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIGNUM, BN_free)

struct span {
	const uint8_t *data;
	size_t size;
};

enum ssh_algorithm { SSH_ED25519, SSH_ECDSA, SSH_RSA };

struct ssh_type {
	const char *name;
	enum ssh_algorithm algorithm;
	const char *curve, *group,
	    *digest; /* ECDSA: SSH's name of the curve, OpenSSL's, and the digest that goes with it */
	gboolean security_key;
};

static const struct ssh_type ssh_types[] = {
	{ "ssh-ed25519", SSH_ED25519, NULL, NULL, NULL, FALSE },
	{ "ecdsa-sha2-nistp256", SSH_ECDSA, "nistp256", "P-256", "SHA256", FALSE },
	{ "ecdsa-sha2-nistp384", SSH_ECDSA, "nistp384", "P-384", "SHA384", FALSE },
	{ "ecdsa-sha2-nistp521", SSH_ECDSA, "nistp521", "P-521", "SHA512", FALSE },
	{ "ssh-rsa", SSH_RSA, NULL, NULL, NULL, FALSE },
	{ "sk-ssh-ed25519@openssh.com", SSH_ED25519, NULL, NULL, NULL, TRUE },
	{ "sk-ecdsa-sha2-nistp256@openssh.com", SSH_ECDSA, "nistp256", "P-256", "SHA256", TRUE },
};

struct ssh_key {
	const struct ssh_type *type;
	EVP_PKEY *pkey;
};

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

static gboolean span_is(struct span s, const char *text)
{
	return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

static gboolean take(struct cursor *c, struct span *out, const char *field)
{
	return cursor_string(c, &out->data, &out->size, BLOB_MAX, field);
}

/* A positive mpint in its shortest form.   RFC 4251 5 */
static gboolean take_mpint(struct cursor *c, struct span *out, const char *field)
{
	if (!take(c, out, field))
		return FALSE;
	if (out->size == 0 || (out->data[0] & 0x80) != 0 ||
	    (out->data[0] == 0 && (out->size == 1 || out->data[1] < 0x80)))
		return cursor_refuse(c, field, "not a positive integer in its shortest form");
	return TRUE;
}

static gboolean take_text(struct cursor *c, const char *expected, const char *field)
{
	struct span s;

	if (!take(c, &s, field))
		return FALSE;
	return span_is(s, expected) || cursor_refuse(c, field, "it must be \"%s\"", expected);
}

/* --- public keys --- */

static EVP_PKEY *pkey_from(const char *algorithm, OSSL_PARAM_BLD *build)
{
	g_autoptr(OSSL_PARAM) params = OSSL_PARAM_BLD_to_param(build);
	g_autoptr(EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
	EVP_PKEY *pkey = NULL;

	if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return NULL;
	return pkey;
}

static EVP_PKEY *ed25519_take(struct cursor *c)
{
	struct span point;
	EVP_PKEY *pkey;

	if (!take(c, &point, "Ed25519 key"))
		return NULL;
	pkey = point.size == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point.data, point.size) : NULL;
	if (pkey == NULL)
		cursor_refuse(c, "Ed25519 key", "not a key of 32 bytes");
	return pkey;
}

static EVP_PKEY *ecdsa_take(struct cursor *c, const struct ssh_type *type)
{
	g_autoptr(OSSL_PARAM_BLD) build = OSSL_PARAM_BLD_new();
	struct span point;
	EVP_PKEY *pkey;

	if (!take_text(c, type->curve, "curve") || !take(c, &point, "point"))
		return NULL;
	pkey = point.size > 0 && point.data[0] == POINT_CONVERSION_UNCOMPRESSED &&
		       OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, type->group, 0) == 1 &&
		       OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.size) == 1
		   ? pkey_from("EC", build)
		   : NULL;
	if (pkey == NULL)
		cursor_refuse(c, "point", "not an uncompressed point of %s", type->curve);
	return pkey;
}

static EVP_PKEY *rsa_take(struct cursor *c)
{
	g_autoptr(OSSL_PARAM_BLD) build = OSSL_PARAM_BLD_new();
	g_autoptr(BIGNUM) bn_e = NULL;
	g_autoptr(BIGNUM) bn_n = NULL;
	struct span e, n;
	EVP_PKEY *pkey = NULL;

	if (!take_mpint(c, &e, "exponent") || !take_mpint(c, &n, "modulus"))
		return NULL;
	bn_e = BN_bin2bn(e.data, e.size, NULL);
	bn_n = BN_bin2bn(n.data, n.size, NULL);
	if (BN_num_bits(bn_n) < RSA_BITS_MIN || BN_num_bits(bn_n) > RSA_BITS_MAX)
		cursor_refuse(
		    c, "modulus", "RSA of %d bits; %d to %d are taken", BN_num_bits(bn_n), RSA_BITS_MIN, RSA_BITS_MAX);
	else if (BN_num_bits(bn_e) > 64 || BN_is_one(bn_e) || !BN_is_odd(bn_e) || !BN_is_odd(bn_n))
		cursor_refuse(c, "exponent", "not a sound RSA key");
	else if (OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) != 1 ||
		 OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e) != 1 ||
		 (pkey = pkey_from("RSA", build)) == NULL)
		cursor_refuse(c, "modulus", "not a key that OpenSSL can use");
	return pkey;
}

static const struct ssh_type *type_take(struct cursor *c)
{
	g_autofree char *shown = NULL;
	struct span name;

	if (!take(c, &name, "key type"))
		return NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(ssh_types); i++)
		if (span_is(name, ssh_types[i].name))
			return &ssh_types[i];
	shown = text_escape((const char *)name.data, name.size, 40);
	if (g_str_has_suffix(shown, "-cert-v01@openssh.com"))
		cursor_refuse(c, "key type", "SSH certificates are not supported yet; list the plain key instead");
	else
		cursor_refuse(c, "key type", "\"%s\" is not supported", shown);
	return NULL;
}

/* The whole key blob. On FALSE the cursor (or cursor_end()) says why. */
static gboolean key_take(struct cursor *c, struct ssh_key *key)
{
	key->type = type_take(c);
	if (key->type == NULL)
		return FALSE;
	if (key->type->algorithm == SSH_ED25519)
		key->pkey = ed25519_take(c);
	else if (key->type->algorithm == SSH_ECDSA)
		key->pkey = ecdsa_take(c, key->type);
	else
		key->pkey = rsa_take(c);
	return key->pkey != NULL && (!key->type->security_key || take_text(c, SK_APPLICATION, "application"));
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

struct ssh_signature {
	GBytes *blob, *key; /* what the rest points into; the key's own blob */
	struct span key_span, hash;
	struct cursor signature;
	char *namespace;
};

void ssh_signature_free(struct ssh_signature *signature)
{
	if (signature == NULL)
		return;
	g_clear_pointer(&signature->blob, g_bytes_unref);
	g_clear_pointer(&signature->key, g_bytes_unref);
	g_free(signature->namespace);
	g_free(signature);
}

GBytes *ssh_signature_key(const struct ssh_signature *signature)
{
	return signature->key;
}

const char *ssh_signature_hash(const struct ssh_signature *signature)
{
	return span_is(signature->hash, "sha256") ? "sha256" : "sha512";
}

static gboolean blob_take(struct cursor *c, const char *namespace, struct ssh_signature *sig)
{
	struct span name, reserved, signature;
	g_autofree char *shown = NULL;
	uint32_t version;

	if (!cursor_magic(c, "SSHSIG", 6, "magic") || !cursor_be32(c, &version, "version"))
		return FALSE;
	if (version != 1)
		return cursor_refuse(c, "version", "version %u; only 1 is known", version);
	if (!take(c, &sig->key_span, "public key") || !take(c, &name, "namespace"))
		return FALSE;
	shown = text_escape((const char *)name.data, name.size, 24);
	if (!span_is(name, namespace))
		return cursor_refuse(c, "namespace", "made for \"%s\", not for \"%s\"", shown, namespace);
	if (!take(c, &reserved, "reserved"))
		return FALSE;
	if (reserved.size != 0)
		return cursor_refuse(c, "reserved", "it must be empty, since nothing signs it");
	if (!take(c, &sig->hash, "hash algorithm"))
		return FALSE;
	if (!span_is(sig->hash, "sha256") && !span_is(sig->hash, "sha512"))
		return cursor_refuse(c, "hash algorithm", "only sha256 and sha512 are taken");
	if (!take(c, &signature, "signature"))
		return FALSE;
	cursor_init(&sig->signature, signature.data, signature.size);
	return TRUE;
}

struct ssh_signature *ssh_signature_read(const char *armor, const char *namespace, GError **error)
{
	autoptr(ssh_signature) sig = g_new0(struct ssh_signature, 1);
	const char *body;
	struct cursor c;
	size_t size;

	armor_body(armor, &body, &size);
	sig->namespace = g_strdup(namespace);
	if ((sig->blob = base64_decode_strict(body, size, TRUE)) == NULL) {
		error_refused(error, "SSH signature: what stands between its BEGIN and END lines is not base64");
		return NULL;
	}
	cursor_init(&c, g_bytes_get_data(sig->blob, NULL), g_bytes_get_size(sig->blob));
	if (!blob_take(&c, namespace, sig)) {
		cursor_fail(&c, "SSH signature", error);
		return NULL;
	}
	if (!cursor_end(&c, "SSH signature", error))
		return NULL;
	sig->key = g_bytes_new(sig->key_span.data, sig->key_span.size);
	return g_steal_pointer(&sig);
}

static void put_string(GByteArray *to, const void *data, guint32 size)
{
	guint32 length = GUINT32_TO_BE(size);

	g_byte_array_append(to, (const guint8 *)&length, sizeof(length));
	g_byte_array_append(to, data, size);
}

struct ssh_signature *ssh_signature_read_file(GBytes *file, const char *namespace, GError **error)
{
	gsize size = g_bytes_get_size(file);
	g_autofree char *text = g_strndup(g_bytes_get_data(file, NULL), size);
	enum signature_format format;
	const char *why = strlen(text) != size ? "a NUL byte stands in it" : armor_refusal(text, size, &format);

	if (why == NULL && format != SIGNATURE_SSH)
		why = "it is not one of SSH";
	if (why == NULL)
		return ssh_signature_read(text, namespace, error);
	error_refused(error, "SSH signature: %s", why);
	return NULL;
}

/* What the key signed: the payload's digest in its wrapping. */
static GByteArray *signed_message(const struct ssh_signature *sig, const void *digest, size_t size)
{
	GByteArray *message = g_byte_array_new();

	g_byte_array_append(message, (const guint8 *)"SSHSIG", 6);
	put_string(message, sig->namespace, strlen(sig->namespace));
	put_string(message, "", 0);
	put_string(message, sig->hash.data, sig->hash.size);
	put_string(message, digest, size);
	return message;
}

/* A security key signs this in place of the message.   PROTOCOL.u2f */
static GByteArray *sk_message(const GByteArray *message, uint8_t flags, uint32_t counter)
{
	GByteArray *wrapped = g_byte_array_new();
	uint8_t digest[SHA256_SIZE];
	guint32 big = GUINT32_TO_BE(counter);

	EVP_Digest(SK_APPLICATION, strlen(SK_APPLICATION), digest, NULL, EVP_sha256(), NULL);
	g_byte_array_append(wrapped, digest, sizeof(digest));
	g_byte_array_append(wrapped, &flags, 1);
	g_byte_array_append(wrapped, (const guint8 *)&big, sizeof(big));
	EVP_Digest(message->data, message->len, digest, NULL, EVP_sha256(), NULL);
	g_byte_array_append(wrapped, digest, sizeof(digest));
	return wrapped;
}

static gboolean sk_flags_take(struct cursor *c, uint8_t *flags, uint32_t *counter)
{
	if (!cursor_u8(c, flags, "security key flags") || !cursor_be32(c, counter, "security key counter"))
		return FALSE;
	if ((*flags & SK_USER_PRESENT) == 0)
		return cursor_refuse(c, "security key flags", "nobody touched the key (user presence is required)");
	if ((*flags & ~(SK_USER_PRESENT | SK_USER_VERIFIED)) != 0)
		return cursor_refuse(c, "security key flags", "unknown bits in 0x%02x", *flags);
	return TRUE;
}

/* RFC 5656 3.1.2's two mpints as the DER that OpenSSL wants. */
static GBytes *ecdsa_der(struct span blob)
{
	g_autoptr(ECDSA_SIG) sig = ECDSA_SIG_new();
	struct span r, s;
	struct cursor c;
	unsigned char *der = NULL;
	GBytes *bytes;
	int size;

	cursor_init(&c, blob.data, blob.size);
	if (!take_mpint(&c, &r, "r") || !take_mpint(&c, &s, "s") || cursor_left(&c) != 0)
		return NULL;
	if (ECDSA_SIG_set0(sig, BN_bin2bn(r.data, r.size, NULL), BN_bin2bn(s.data, s.size, NULL)) != 1)
		return NULL;
	size = i2d_ECDSA_SIG(sig, &der);
	bytes = size > 0 ? g_bytes_new(der, size) : NULL;
	OPENSSL_free(der);
	return bytes;
}

/* Some signers drop leading zeros: OpenSSH pads them again, and so do we.   RFC 4253 6.6 */
static GBytes *rsa_padded(struct span blob, const EVP_PKEY *pkey)
{
	size_t size = EVP_PKEY_get_size(pkey);
	guint8 *padded;

	if (blob.size == 0 || blob.size > size)
		return NULL;
	padded = g_malloc0(size);
	memcpy(padded + size - blob.size, blob.data, blob.size);
	return g_bytes_new_take(padded, size);
}

static gboolean pkey_verify(EVP_PKEY *pkey, const char *digest, GBytes *signature, const GByteArray *message)
{
	g_autoptr(EVP_MD_CTX) context = EVP_MD_CTX_new();

	return signature != NULL && EVP_DigestVerifyInit_ex(context, NULL, digest, NULL, NULL, pkey, NULL) == 1 &&
	       EVP_DigestVerify(context, g_bytes_get_data(signature, NULL), g_bytes_get_size(signature), message->data,
		   message->len) == 1;
}

/* The digest that a signature algorithm's name stands for; FALSE if it does not fit the key. */
static gboolean algorithm_take(struct cursor *c, const struct ssh_type *type, const char **digest)
{
	struct span name;

	if (!take(c, &name, "signature algorithm"))
		return FALSE;
	*digest = type->digest;
	if (type->algorithm != SSH_RSA)
		return span_is(name, type->name) || cursor_refuse(c, "signature algorithm", "it must be %s", type->name);
	*digest = span_is(name, "rsa-sha2-512") ? "SHA512" : span_is(name, "rsa-sha2-256") ? "SHA256" : NULL;
	return *digest != NULL || cursor_refuse(c, "signature algorithm", "it must be rsa-sha2-512 or rsa-sha2-256");
}

gboolean ssh_signature_verify(const struct ssh_signature *sig, const struct ssh_key *key, const void *payload_digest,
    size_t digest_size, GError **error)
{
	g_autoptr(GByteArray) plain = signed_message(sig, payload_digest, digest_size), wrapped = NULL;
	const GByteArray *message = plain;
	g_autoptr(GBytes) signature = NULL;
	struct cursor reader = sig->signature, *c = &reader;
	const char *digest;
	struct span blob;
	uint8_t flags = 0;
	uint32_t counter = 0;

	if (!algorithm_take(c, key->type, &digest) || !take(c, &blob, "signature bytes") ||
	    (key->type->security_key && !sk_flags_take(c, &flags, &counter)))
		return cursor_fail(c, "SSH signature", error);
	if (!cursor_end(c, "SSH signature", error))
		return FALSE;
	if (key->type->algorithm == SSH_RSA)
		signature = rsa_padded(blob, key->pkey);
	else if (key->type->algorithm == SSH_ECDSA)
		signature = ecdsa_der(blob);
	else
		signature = g_bytes_new(blob.data, blob.size);
	if (key->type->security_key)
		message = wrapped = sk_message(message, flags, counter);
	if (pkey_verify(key->pkey, digest, signature, message))
		return TRUE;
	error_refused(error, "the signature does not fit these bytes: they were changed, or another key made it");
	return FALSE;
}
