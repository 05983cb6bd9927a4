/* DSSE envelopes read from JSON: one, several lines of them, or inside Sigstore bundles. */
#include "gitops/dsse_private.h"

#include <openssl/pem.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

void dsse_signature_free(struct dsse_signature *signature)
{
	if (signature->value != NULL)
		g_bytes_unref(signature->value);
	g_free(signature->keyid);
	g_ptr_array_unref(signature->certificates);
	g_free(signature);
}

void dsse_free(struct dsse *envelope)
{
	if (envelope == NULL)
		return;
	g_clear_error(&envelope->unfit);
	g_free(envelope->type);
	if (envelope->payload != NULL)
		g_bytes_unref(envelope->payload);
	g_ptr_array_unref(envelope->signatures);
	g_ptr_array_unref(envelope->stamps);
	g_free(envelope);
}

static struct dsse *dsse_new(void)
{
	struct dsse *envelope = g_new0(struct dsse, 1);

	envelope->signatures = g_ptr_array_new_with_free_func((GDestroyNotify)dsse_signature_free);
	envelope->stamps = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	return envelope;
}

/* RFC 4648, section 5 to section 4; a text that uses both alphabets is in neither, and left as it is. */
static GBytes *decode(const char *text)
{
	g_autofree char *standard = NULL;

	if (strpbrk(text, "-_") == NULL || strpbrk(text, "+/") != NULL)
		return base64_decode_strict(text, strlen(text), FALSE);
	standard = g_strdup(text);
	for (char *c = standard; *c != '\0'; c++)
		*c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
	return base64_decode_strict(standard, strlen(standard), FALSE);
}

GBytes *dsse_bytes(const struct json *object, const char *key, const char *what, GError **error)
{
	const char *text = json_require_string(object, key, what, error);
	GBytes *bytes;

	if (text == NULL)
		return NULL;
	bytes = decode(text);
	if (bytes == NULL)
		error_refused(
		    error, "%s: \"%s\" is not base64 in its one spelling (one alphabet, padded, no white space, no stray bits)",
		    what, key);
	return bytes;
}

X509 *dsse_certificate(GBytes *der, const char *what, GError **error)
{
	const unsigned char *start = g_bytes_get_data(der, NULL), *at = start;
	X509 *certificate = g_bytes_get_size(der) == 0 ? NULL : d2i_X509(NULL, &at, (long)g_bytes_get_size(der));

	if (certificate != NULL && (size_t)(at - start) == g_bytes_get_size(der))
		return certificate;
	X509_free(certificate);
	error_refused(error, "%s is no X.509 certificate in DER", what);
	return NULL;
}

/* slsa-github-generator and in-toto add the signer's certificate in PEM, authorities between behind it. */
static gboolean read_pem(const char *pem, GPtrArray *certificates, GError **error)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate;

	while (certificates->len < DSSE_KEYS_MAX && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		g_ptr_array_add(certificates, certificate);
	BIO_free(bio);
	if (certificates->len > 0)
		return TRUE;
	error_refused(error, "the envelope: a signature's \"cert\" holds no certificate in PEM");
	return FALSE;
}

static struct dsse_signature *read_signature(const struct json *object, GError **error)
{
	autoptr(dsse_signature) signature = g_new0(struct dsse_signature, 1);
	const char *pem = json_string(object, "cert");

	signature->certificates = g_ptr_array_new_with_free_func((GDestroyNotify)X509_free);
	if (json_kind(object) != JSON_OBJECT) {
		error_refused(error, "the envelope: \"signatures\" must hold objects with \"sig\"");
		return NULL;
	}
	signature->keyid = g_strdup(json_string(object, "keyid"));
	signature->value = dsse_bytes(object, "sig", "a signature of the envelope", error);
	if (signature->value == NULL || (pem != NULL && *pem != '\0' && !read_pem(pem, signature->certificates, error)))
		return NULL;
	return g_steal_pointer(&signature);
}

static gboolean read_signatures(const struct json *list, struct dsse *envelope, GError **error)
{
	guint count = json_length(list);

	if (count == 0 || count > DSSE_SIGNATURES_MAX) {
		error_refused(error, "the envelope has %u signatures: it takes one, and %d are the limit", count,
		    DSSE_SIGNATURES_MAX);
		return FALSE;
	}
	for (guint i = 0; i < count; i++) {
		struct dsse_signature *signature = read_signature(json_at(list, i), error);

		if (signature == NULL)
			return FALSE;
		g_ptr_array_add(envelope->signatures, signature);
	}
	return TRUE;
}

gboolean dsse_read_envelope(const struct json *object, struct dsse *envelope, GError **error)
{
	const char *type = json_require_string(object, "payloadType", "the envelope", error);
	const struct json *signatures;

	if (type == NULL || (envelope->payload = dsse_bytes(object, "payload", "the envelope", error)) == NULL ||
	    (signatures = json_require(object, "signatures", JSON_ARRAY, "the envelope", error)) == NULL)
		return FALSE;
	envelope->type = g_strdup(type);
	if (g_bytes_get_size(envelope->payload) > DSSE_PAYLOAD_MAX) {
		error_refused(error, "the envelope's payload has %zu bytes, and %d are the limit",
		    g_bytes_get_size(envelope->payload), DSSE_PAYLOAD_MAX);
		return FALSE;
	}
	return read_signatures(signatures, envelope, error);
}

static struct dsse *read_one(const struct json *value)
{
	autoptr(dsse) envelope = dsse_new();

	if (json_kind(value) != JSON_OBJECT)
		error_refused(&envelope->unfit, "it is JSON, but no object: neither an envelope nor a bundle");
	else if (dsse_is_bundle(value))
		dsse_read_bundle(value, envelope, &envelope->unfit);
	else
		dsse_read_envelope(value, envelope, &envelope->unfit);
	return g_steal_pointer(&envelope);
}

/* Does every line that is not empty hold one whole object? Pretty-printed JSON never does. */
static gboolean are_lines(char *const *lines)
{
	guint count = 0;

	for (; *lines != NULL; lines++) {
		size_t size = strlen(*lines);

		if (size == 0)
			continue;
		if (**lines != '{' || (*lines)[size - 1] != '}')
			return FALSE;
		count++;
	}
	return count > 1;
}

static GPtrArray *read_lines(char *const *lines, GError **error)
{
	g_autoptr(GPtrArray) envelopes = g_ptr_array_new_with_free_func((GDestroyNotify)dsse_free);

	for (guint i = 0; lines[i] != NULL; i++) {
		autoptr(json) value = NULL;
		struct dsse *envelope;

		if (*lines[i] == '\0')
			continue;
		value = json_parse(lines[i], strlen(lines[i]), JSON_OTHER_NUMBERS, error);
		if (value == NULL) {
			g_prefix_error(error, "line %u of the JSON lines: ", i + 1);
			return NULL;
		}
		if (envelopes->len == DSSE_ENVELOPES_MAX) {
			error_refused(error, "it holds more than %d envelopes", DSSE_ENVELOPES_MAX);
			return NULL;
		}
		envelope = read_one(value);
		envelope->line = i + 1;
		g_ptr_array_add(envelopes, envelope);
	}
	return g_steal_pointer(&envelopes);
}

/* The file's lines without white space around them; NULL where NULs would hide a part. Caller frees. */
static char **split(GBytes *file)
{
	size_t size;
	const char *data = g_bytes_get_data(file, &size);
	g_autofree char *text = NULL;
	char **lines;

	if (size == 0 || memchr(data, '\0', size) != NULL)
		return NULL;
	text = g_strndup(data, size);
	lines = g_strsplit(text, "\n", -1);
	for (guint i = 0; lines[i] != NULL; i++)
		g_strstrip(lines[i]);
	return lines;
}

static GPtrArray *read_whole(GBytes *file, GError **error)
{
	g_autoptr(GPtrArray) envelopes = g_ptr_array_new_with_free_func((GDestroyNotify)dsse_free);
	autoptr(json) value = json_parse(g_bytes_get_data(file, NULL), g_bytes_get_size(file), JSON_OTHER_NUMBERS, error);
	struct dsse *envelope;

	if (value == NULL)
		return NULL;
	envelope = read_one(value);
	g_ptr_array_add(envelopes, envelope);
	if (envelope->unfit != NULL) {
		g_propagate_error(error, g_steal_pointer(&envelope->unfit));
		return NULL;
	}
	return g_steal_pointer(&envelopes);
}

GPtrArray *dsse_read(GBytes *file, GError **error)
{
	g_auto(GStrv) lines = NULL;

	if (g_bytes_get_size(file) > DSSE_FILE_MAX) {
		error_refused(error, "it has %zu bytes, and %d are the limit", g_bytes_get_size(file), DSSE_FILE_MAX);
		return NULL;
	}
	lines = split(file);
	return lines != NULL && are_lines(lines) ? read_lines(lines, error) : read_whole(file, error);
}

GBytes *dsse_pae(const char *type, GBytes *payload)
{
	size_t size;
	const char *data = g_bytes_get_data(payload, &size);
	GString *pae = g_string_sized_new(size + 128);

	g_string_append_printf(pae, "DSSEv1 %zu %s %zu ", strlen(type), type, size);
	g_string_append_len(pae, data, (gssize)size);
	return g_string_free_to_bytes(pae);
}
