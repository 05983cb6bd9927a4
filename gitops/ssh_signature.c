/* SSH signatures (SSHSIG): the armor, the blob, and what was signed.   PROTOCOL.sshsig */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/object_text.h"
#include "gitops/ssh_private.h"

struct ssh_signature {
	GBytes *blob, *key; /* what the rest points into; the key's own blob */
	struct span key_span, hash, signature;
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
	struct span name, reserved;
	g_autofree char *shown = NULL;
	uint32_t version;

	if (!cursor_magic(c, "SSHSIG", 6, "magic") || !cursor_be32(c, &version, "version"))
		return FALSE;
	if (version != 1)
		return cursor_refuse(c, "version", "version %u; only 1 is known", version);
	if (!ssh_take(c, &sig->key_span, "public key") || !ssh_take(c, &name, "namespace"))
		return FALSE;
	if (!span_is(name, namespace)) {
		shown = text_escape((const char *)name.data, name.size, 24);
		return cursor_refuse(c, "namespace", "made for \"%s\", not for \"%s\"", shown, namespace);
	}
	if (!ssh_take(c, &reserved, "reserved"))
		return FALSE;
	if (reserved.size != 0)
		return cursor_refuse(c, "reserved", "it must be empty, since nothing signs it");
	if (!ssh_take(c, &sig->hash, "hash algorithm"))
		return FALSE;
	if (!span_is(sig->hash, "sha256") && !span_is(sig->hash, "sha512"))
		return cursor_refuse(c, "hash algorithm", "only sha256 and sha512 are taken");
	return ssh_take(c, &sig->signature, "signature");
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
	sig->key = g_bytes_new_from_bytes(
	    sig->blob, sig->key_span.data - (const uint8_t *)g_bytes_get_data(sig->blob, NULL), sig->key_span.size);
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
	GByteArray *message = g_byte_array_sized_new(256);

	g_byte_array_append(message, (const guint8 *)"SSHSIG", 6);
	put_string(message, sig->namespace, strlen(sig->namespace));
	put_string(message, "", 0);
	put_string(message, sig->hash.data, sig->hash.size);
	put_string(message, digest, size);
	return message;
}

gboolean ssh_signature_verify(const struct ssh_signature *sig, const struct ssh_key *key, const void *payload_digest,
    size_t digest_size, GError **error)
{
	g_autoptr(GByteArray) message = signed_message(sig, payload_digest, digest_size);

	return ssh_key_verify(key, sig->signature, (struct span){ message->data, message->len }, "SSH signature", error);
}
