#include "tests/unit/support_ssh.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#include "tests/unit/support_trust.h"

const struct forge forge_sk_ed25519 = { .type = "sk-ssh-ed25519@openssh.com",
	.algorithm = "sk-ssh-ed25519@openssh.com",
	.name = "git",
	.reserved = "",
	.hash = "sha512",
	.application = "ssh:",
	.version = 1,
	.flags = 1,
	.after = "",
	.after_signature = "",
	.security_key = TRUE };

const struct forge forge_ed25519 = { .type = "ssh-ed25519",
	.algorithm = "ssh-ed25519",
	.name = "git",
	.reserved = "",
	.hash = "sha512",
	.version = 1,
	.after = "",
	.after_signature = "" };

const struct forge forge_sk_ecdsa = { .type = "sk-ecdsa-sha2-nistp256@openssh.com",
	.algorithm = "sk-ecdsa-sha2-nistp256@openssh.com",
	.name = "git",
	.reserved = "",
	.hash = "sha256",
	.application = "ssh:",
	.version = 1,
	.flags = 5,
	.after = "",
	.after_signature = "",
	.security_key = TRUE,
	.ecdsa = TRUE };

const struct forge_certificate forge_ed25519_certificate = { .type = "ssh-ed25519-cert-v01@openssh.com",
	.principals = { "alice" },
	.kind = 1,
	.valid_before = G_MAXUINT64,
	.reserved = "",
	.ca_algorithm = "ssh-ed25519",
	.after = "",
	.after_signature = "",
	.after_principals = "" };

const struct forge_certificate forge_sk_certificate = { .type = "sk-ssh-ed25519-cert-v01@openssh.com",
	.principals = { "alice" },
	.kind = 1,
	.valid_before = G_MAXUINT64,
	.reserved = "",
	.ca_algorithm = "ssh-ed25519",
	.after = "",
	.after_signature = "",
	.after_principals = "" };

static void put_raw(GByteArray *to, const void *data, size_t size)
{
	g_byte_array_append(to, data, size);
}

static void put_u32(GByteArray *to, uint32_t value)
{
	guint32 big = GUINT32_TO_BE(value);

	put_raw(to, &big, 4);
}

static void put(GByteArray *to, const void *data, size_t size)
{
	put_u32(to, size);
	put_raw(to, data, size);
}

static void put_text(GByteArray *to, const char *text)
{
	put(to, text, strlen(text));
}

static void put_mpint(GByteArray *to, const BIGNUM *number)
{
	uint8_t bytes[80] = { 0 };
	int size = BN_bn2bin(number, bytes + 1);

	if ((bytes[1] & 0x80) != 0)
		put(to, bytes, size + 1);
	else
		put(to, bytes + 1, size);
}

static GByteArray *key_blob(EVP_PKEY *pkey, const struct forge *f)
{
	GByteArray *blob = g_byte_array_new();
	uint8_t point[80];
	size_t size = sizeof(point);

	put_text(blob, f->type);
	if (f->ecdsa) {
		put_text(blob, "nistp256");
		assert_int_equal(EVP_PKEY_get_octet_string_param(pkey, "pub", point, sizeof(point), &size), 1);
	} else {
		assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, point, &size), 1);
	}
	put(blob, point, size);
	if (f->security_key)
		put_text(blob, f->application);
	return blob;
}

/* What a security key signs. */
static GByteArray *wrap(const GByteArray *message, const struct forge *f)
{
	GByteArray *wrapped = g_byte_array_new();
	uint8_t digest[32];

	put_raw(wrapped, SHA256((const uint8_t *)f->application, strlen(f->application), digest), 32);
	put_raw(wrapped, &f->flags, 1);
	put_u32(wrapped, 7);
	put_raw(wrapped, SHA256(message->data, message->len, digest), 32);
	return wrapped;
}

static void put_signature(GByteArray *to, EVP_PKEY *pkey, const GByteArray *message, const struct forge *f)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t raw[200];
	const uint8_t *der = raw;
	size_t size = sizeof(raw);

	assert_int_equal(EVP_DigestSignInit(context, NULL, f->ecdsa ? EVP_sha256() : NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(context, raw, &size, message->data, message->len), 1);
	EVP_MD_CTX_free(context);
	if (f->ecdsa) {
		ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, size);
		g_autoptr(GByteArray) pair = g_byte_array_new();

		put_mpint(pair, ECDSA_SIG_get0_r(sig));
		put_mpint(pair, ECDSA_SIG_get0_s(sig));
		put(to, pair->data, pair->len);
		ECDSA_SIG_free(sig);
	} else {
		put(to, raw, size);
	}
}

static GByteArray *message_of(GBytes *payload, const struct forge *f)
{
	GByteArray *message = g_byte_array_new();
	gboolean longer = g_str_equal(f->hash, "sha512");
	uint8_t digest[64];

	(longer ? SHA512 : SHA256)(g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), digest);
	put_raw(message, "SSHSIG", 6);
	put_text(message, f->name);
	put_text(message, "");
	put_text(message, f->hash);
	put(message, digest, longer ? 64 : 32);
	return message;
}

/* The signature's blob, by the book but for what `f` says otherwise. */
static GByteArray *sshsig(EVP_PKEY *pkey, const GByteArray *key, GBytes *payload, const struct forge *f)
{
	g_autoptr(GByteArray) plain = message_of(payload, f);
	g_autoptr(GByteArray) message = f->security_key ? wrap(plain, f) : g_byte_array_ref(plain);
	g_autoptr(GByteArray) signature = g_byte_array_new();
	GByteArray *blob = g_byte_array_new();

	put_text(signature, f->algorithm);
	put_signature(signature, pkey, message, f);
	if (f->security_key) {
		put_raw(signature, &f->flags, 1);
		put_u32(signature, 7);
	}
	put_raw(signature, f->after_signature, strlen(f->after_signature));
	put_raw(blob, "SSHSIG", 6);
	put_u32(blob, f->version);
	put(blob, key->data, key->len);
	put_text(blob, f->name);
	put_text(blob, f->reserved);
	put_text(blob, f->hash);
	put(blob, signature->data, signature->len);
	put_raw(blob, f->after, strlen(f->after));
	return blob;
}

static void put_u64(GByteArray *to, uint64_t value)
{
	guint64 big = GUINT64_TO_BE(value);

	put_raw(to, &big, 8);
}

/* A name and its value as a list of one; an empty list without a name. */
static void put_option(GByteArray *to, const char *name, const char *value)
{
	g_autoptr(GByteArray) list = g_byte_array_new();
	g_autoptr(GByteArray) data = g_byte_array_new();

	if (name != NULL) {
		put_text(list, name);
		if (value != NULL)
			put_text(data, value);
		put(list, data->data, data->len);
	}
	put(to, list->data, list->len);
}

static void put_principals(GByteArray *to, const struct forge_certificate *c)
{
	g_autoptr(GByteArray) list = g_byte_array_new();

	for (size_t i = 0; i < G_N_ELEMENTS(c->principals) && c->principals[i] != NULL; i++)
		put_text(list, c->principals[i]);
	put_raw(list, c->after_principals, strlen(c->after_principals));
	put(to, list->data, list->len);
}

static EVP_PKEY *ed25519_new(void)
{
	return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static void put_authority(GByteArray *to, EVP_PKEY *ca, const struct forge_certificate *c)
{
	g_autoptr(GByteArray) key = key_blob(ca, &forge_ed25519), signature = g_byte_array_new();
	EVP_PKEY *signer = c->ca_lies ? ed25519_new() : ca;

	put(to, key->data, key->len);
	put_text(signature, c->ca_algorithm);
	put_signature(signature, signer, to, &forge_ed25519);
	put_raw(signature, c->after_signature, strlen(c->after_signature));
	put(to, signature->data, signature->len);
	put_raw(to, c->after, strlen(c->after));
	if (signer != ca)
		EVP_PKEY_free(signer);
}

/* The certificate's blob in place of the plain key's. */
static GByteArray *certificate_blob(const GByteArray *plain, EVP_PKEY *ca, const struct forge *f)
{
	const struct forge_certificate *c = f->certificate;
	size_t type = 4 + strlen(f->type);
	GByteArray *blob = g_byte_array_new();

	put_text(blob, c->type);
	put_text(blob, "nonce");
	put_raw(blob, plain->data + type, plain->len - type);
	put_u64(blob, 7);
	put_u32(blob, c->kind);
	put_text(blob, "id of alice");
	put_principals(blob, c);
	put_u64(blob, c->valid_after);
	put_u64(blob, c->valid_before);
	put_option(blob, c->critical, c->critical_value);
	put_option(blob, c->extension, NULL);
	put_text(blob, c->reserved);
	put_authority(blob, ca, c);
	return blob;
}

static void write_line(const char *path, const char *type, const GByteArray *blob)
{
	g_autofree char *base64 = g_base64_encode(blob->data, blob->len);
	g_autofree char *line = g_strdup_printf("%s %s", type, base64);

	support_write(path, line);
}

GBytes *forge_tag(const struct forge *f)
{
	EVP_PKEY *pkey = f->ecdsa ? EVP_EC_gen("P-256") : ed25519_new(), *ca = ed25519_new();
	g_autoptr(GBytes) payload =
	    trust_output("printf 'object %%040d\ntype commit\ntag v9\ntagger A <alice@example.org> 1 "
			 "+0000\n\nm\n' 1");
	g_autoptr(GByteArray) plain = key_blob(pkey, f), authority = key_blob(ca, &forge_ed25519);
	g_autoptr(GByteArray) key = f->certificate != NULL ? certificate_blob(plain, ca, f) : g_byte_array_ref(plain);
	g_autoptr(GByteArray) blob = sshsig(pkey, key, payload, f);
	g_autofree char *base64 = g_base64_encode(blob->data, blob->len);
	g_autofree char *text = g_strdup_printf("%.*s-----BEGIN SSH SIGNATURE-----\n%s\n-----END SSH SIGNATURE-----\n",
	    (int)g_bytes_get_size(payload), (const char *)g_bytes_get_data(payload, NULL), base64);

	write_line("forged.pub", f->type, plain);
	write_line("authority.pub", "ssh-ed25519", authority);
	EVP_PKEY_free(pkey);
	EVP_PKEY_free(ca);
	return g_bytes_new(text, strlen(text));
}

int forge_judged(GBytes *raw)
{
	g_autofree char *text = g_strndup(g_bytes_get_data(raw, NULL), g_bytes_get_size(raw));
	char *armor = strstr(text, "-----BEGIN");

	support_write("forged.sig", armor);
	*armor = '\0';
	support_write("forged.txt", text);
	return trust_status("echo \"alice $(cat forged.pub)\" >allowed\n"
			    "echo \"alice cert-authority $(cat authority.pub)\" >>allowed\n"
			    "ssh-keygen -Y verify -f allowed -I alice -n git -s forged.sig <forged.txt");
}
