/* Bytes as text: hex, base64, digests, and strangers' text made fit to be shown. */
#include "gitops/base/bytes.h"

#include <openssl/evp.h>
#include <string.h>

#define READ_SIZE (128 * 1024)

char *hex_encode(const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *from = data;
	char *hex = g_malloc(size * 2 + 1);

	for (size_t i = 0; i < size; i++) {
		hex[i * 2] = digits[from[i] >> 4];
		hex[i * 2 + 1] = digits[from[i] & 15];
	}
	hex[size * 2] = '\0';
	return hex;
}

gboolean hex_decode(const char *hex, uint8_t *out, size_t size)
{
	if (hex == NULL || strlen(hex) != size * 2)
		return FALSE;
	for (size_t i = 0; i < size; i++) {
		int high = g_ascii_xdigit_value(hex[i * 2]), low = g_ascii_xdigit_value(hex[i * 2 + 1]);

		if (high < 0 || low < 0)
			return FALSE;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return TRUE;
}

/* Removes LF and CR LF from `text`; NULL if a CR stands alone. */
static GString *without_newlines(const char *text, size_t size)
{
	GString *joined = g_string_sized_new(size);
	const char *end = text + size;

	while (text < end) {
		const char *newline = memchr(text, '\n', end - text), *stop = newline != NULL ? newline : end;
		g_string_append_len(joined, text, stop - text - (newline > text && newline[-1] == '\r'));
		text = newline != NULL ? newline + 1 : end;
	}
	if (memchr(joined->str, '\r', joined->len) == NULL)
		return joined;
	g_string_free(joined, TRUE);
	return NULL;
}

#define BASE64_NONE 0x80 /* no value has this bit */

static const uint8_t *base64_values(void)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static uint8_t values[256];
	static gsize made;

	if (g_once_init_enter(&made)) {
		memset(values, BASE64_NONE, sizeof(values));
		for (uint8_t i = 0; i < 64; i++)
			values[(uint8_t)alphabet[i]] = i;
		g_once_init_leave(&made, 1);
	}
	return values;
}

/* The last four characters where they bear padding. RFC 4648 section 3.5: bits that are left over must be zero, or two texts would mean the same. */
static gboolean base64_tail(const uint8_t *in, size_t padding, uint8_t *out)
{
	const uint8_t *values = base64_values();
	uint8_t a = values[in[0]], b = values[in[1]], c = padding == 1 ? values[in[2]] : 0;

	out[0] = (uint8_t)(a << 2 | b >> 4);
	out[1] = (uint8_t)(b << 4 | c >> 2);
	return ((a | b | c) & BASE64_NONE) == 0 && (padding == 1 ? (c & 3) == 0 : (b & 15) == 0);
}

/* RFC 4648 section 4 */
static GBytes *base64_decode_line(const char *text, size_t size)
{
	const uint8_t *in = (const uint8_t *)text, *values = base64_values();
	size_t padding = 0, out = 0, whole;

	if (size % 4 != 0)
		return NULL;
	while (padding < 2 && padding < size && text[size - padding - 1] == '=')
		padding++;
	whole = padding > 0 ? size - 4 : size;
	g_autofree uint8_t *data = g_malloc(size / 4 * 3 + 1);
	for (size_t i = 0; i < whole; i += 4, out += 3) {
		uint8_t a = values[in[i]], b = values[in[i + 1]], c = values[in[i + 2]], d = values[in[i + 3]];

		if (((a | b | c | d) & BASE64_NONE) != 0)
			return NULL;
		data[out] = (uint8_t)(a << 2 | b >> 4);
		data[out + 1] = (uint8_t)(b << 4 | c >> 2);
		data[out + 2] = (uint8_t)(c << 6 | d);
	}
	if (padding > 0 && !base64_tail(in + whole, padding, data + out))
		return NULL;
	return g_bytes_new_take(g_steal_pointer(&data), out + (padding > 0 ? 3 - padding : 0));
}

GBytes *base64_decode_strict(const char *text, size_t size, gboolean allow_newlines)
{
	if (!allow_newlines)
		return base64_decode_line(text, size);
	g_autoptr(GString) joined = without_newlines(text, size);
	return joined == NULL ? NULL : base64_decode_line(joined->str, joined->len);
}

static char *digest_text(const uint8_t digest[static SHA256_SIZE])
{
	g_autofree char *hex = hex_encode(digest, SHA256_SIZE);

	return g_strconcat("sha256:", hex, NULL);
}

/* Fails only without memory or without a SHA-256, and then nothing of ours could be trusted. */
static void must(int done)
{
	if (done != 1)
		g_error("libcrypto cannot compute SHA-256");
}

char *sha256_text(const void *data, size_t size)
{
	uint8_t digest[SHA256_SIZE];

	must(EVP_Digest(size == 0 ? "" : data, size, digest, NULL, EVP_sha256(), NULL));
	return digest_text(digest);
}

char *sha256_text_bytes(GBytes *bytes)
{
	size_t size;
	const void *data = g_bytes_get_data(bytes, &size);

	return sha256_text(data, size);
}

char *sha256_text_fd(int fd, uint64_t *size, GError **error)
{
	g_autofree uint8_t *buffer = g_malloc(READ_SIZE);
	uint8_t digest[SHA256_SIZE];
	uint64_t end, at = 0;
	EVP_MD_CTX *context;

	if (!fd_size(fd, &end, error))
		return NULL;
	context = EVP_MD_CTX_new();
	must(EVP_DigestInit_ex(context, EVP_sha256(), NULL));
	while (at < end) {
		size_t part = MIN(end - at, READ_SIZE);

		if (!fd_pread_all(fd, buffer, part, at, error))
			break;
		must(EVP_DigestUpdate(context, buffer, part));
		at += part;
	}
	must(EVP_DigestFinal_ex(context, digest, NULL));
	EVP_MD_CTX_free(context);
	if (at < end)
		return NULL;
	if (size != NULL)
		*size = end;
	return digest_text(digest);
}

/* Would it move the cursor, reorder or hide text? Not "unassigned": that differs between versions of GLib. */
static gboolean character_is_unsafe(gunichar c)
{
	switch (g_unichar_type(c)) {
	case G_UNICODE_CONTROL:
	case G_UNICODE_FORMAT:
	case G_UNICODE_LINE_SEPARATOR:
	case G_UNICODE_PARAGRAPH_SEPARATOR:
	case G_UNICODE_SURROGATE:
		return TRUE;
	default:
		return FALSE;
	}
}

/* Bytes of the character at `text`, or 0 if it is not valid UTF-8 or NUL. */
static size_t character_size(const char *text, size_t left, gunichar *c)
{
	*c = *text == '\0' ? (gunichar)-1 : g_utf8_get_char_validated(text, (gssize)left);
	if (*c == (gunichar)-1 || *c == (gunichar)-2)
		return 0;
	return (size_t)(g_utf8_next_char(text) - text);
}

char *text_escape(const char *text, gssize size, size_t max)
{
	size_t left = text == NULL ? 0 : size < 0 ? strlen(text) : (size_t)size, fits = 0;
	GString *out = g_string_new(NULL);

	while (left > 0 && out->len <= max) {
		gunichar c;
		size_t step = character_size(text, left, &c);
		gboolean keep = step > 0 && c != '"' && !character_is_unsafe(c);

		step = MAX(step, 1);
		if (keep)
			g_string_append_len(out, text, (gssize)step);
		for (size_t i = 0; !keep && i < step; i++)
			g_string_append_printf(out, "\\x%02x", (uint8_t)text[i]);
		text += step;
		left -= step;
		if (out->len + 3 <= max)
			fits = out->len; /* so much may stand before "..." */
	}
	if (out->len > max) {
		g_string_truncate(out, fits);
		g_string_append(out, max >= 3 ? "..." : "");
	}
	return g_string_free(out, FALSE);
}

gboolean text_is_clean(const char *text, size_t size)
{
	while (size > 0) {
		gunichar c;
		size_t step = character_size(text, size, &c);

		if (step == 0 || character_is_unsafe(c))
			return FALSE;
		text += step;
		size -= step;
	}
	return TRUE;
}
