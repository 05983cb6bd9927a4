#include "gitops/gpgsig.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"

/* --- armor --- */

/* RFC 4880 6.1 */
static uint32_t crc24(const uint8_t *data, size_t size)
{
	uint32_t crc = 0xb704ce;

	for (size_t i = 0; i < size; i++) {
		crc ^= (uint32_t)data[i] << 16;
		for (int bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ ((crc & 0x800000) != 0 ? 0x1864cfb : 0);
	}
	return crc & 0xffffff;
}

static gboolean crc_fits(GBytes *data, const char *line)
{
	g_autoptr(GBytes) sum = base64_decode_strict(line + 1, strlen(line + 1), FALSE);
	const uint8_t *p = sum != NULL ? g_bytes_get_data(sum, NULL) : NULL;
	gsize size;
	const uint8_t *bytes = g_bytes_get_data(data, &size);

	return p != NULL && g_bytes_get_size(sum) == 3 &&
	       ((uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]) == crc24(bytes, size);
}

/* The lines between the markers: headers (ignored: nothing signs them), an empty line, base64, and perhaps "=" and a sum. */
static GBytes *body_decode(char **lines, GError **error)
{
	g_autoptr(GString) base64 = g_string_new(NULL);
	g_autoptr(GBytes) data = NULL;
	const char *sum = NULL;

	while (*lines != NULL && strstr(*lines, ": ") != NULL)
		lines++;
	if (*lines == NULL || **lines != '\0') {
		error_refused(error, "OpenPGP armor: there is no empty line before the base64");
		return NULL;
	}
	for (lines++; *lines != NULL && sum == NULL; lines++)
		if (**lines == '=')
			sum = *lines;
		else
			g_string_append(base64, *lines);
	data = *lines == NULL ? base64_decode_strict(base64->str, base64->len, FALSE) : NULL;
	if (data == NULL || g_bytes_get_size(data) == 0)
		error_refused(error, "OpenPGP armor: what stands between its BEGIN and END lines is not base64");
	else if (sum != NULL && !crc_fits(data, sum))
		error_refused(error, "OpenPGP armor: its checksum does not fit; the file was damaged");
	else
		return g_steal_pointer(&data);
	return NULL;
}

GBytes *gpgsig_dearmor(const char *text, size_t size, const char *label, GError **error)
{
	g_autofree char *copy = g_strstrip(g_strndup(text, size));
	g_autofree char *begin = g_strdup_printf("-----BEGIN %s-----", label);
	g_autofree char *end = g_strdup_printf("-----END %s-----", label);
	g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
	guint count = g_strv_length(lines);
	GBytes *data;

	for (guint i = 0; i < count; i++)
		g_strchomp(lines[i]);
	if (count < 3 || !g_str_equal(lines[0], begin) || !g_str_equal(lines[count - 1], end)) {
		error_refused(
		    error, "OpenPGP armor: it must go from \"%s\" to \"%s\", with nothing around it", begin, end);
		return NULL;
	}
	for (guint i = 1; i < count - 1; i++)
		if (g_str_has_prefix(lines[i], "-----")) {
			error_refused(error, "OpenPGP armor: more than one block; exactly one must stand");
			return NULL;
		}
	g_clear_pointer(&lines[count - 1], g_free);
	data = body_decode(lines + 1, error);
	return data;
}

/* --- packets --- */

#define TAG_SIGNATURE 2
#define SUB_CREATED 2
#define SUB_EXPIRES 3
#define SUB_ISSUER 16
#define SUB_NOTATION 20
#define SUB_SIGNER_UID 28
#define SUB_ISSUER_FINGERPRINT 33
#define CRITICAL 0x80

/* RFC 4880 4.2.2 and 5.2.3.1 share this form; lengths that come in parts are refused. */
static gboolean take_length(struct cursor *c, size_t *length, const char *field)
{
	uint8_t first, second;
	uint32_t wide;

	if (!cursor_u8(c, &first, field))
		return FALSE;
	if (first < 192) {
		*length = first;
		return TRUE;
	}
	if (first < 224) {
		if (!cursor_u8(c, &second, field))
			return FALSE;
		*length = ((size_t)(first - 192) << 8) + second + 192;
		return TRUE;
	}
	if (first != 255)
		return cursor_refuse(c, field, "a length in parts");
	if (!cursor_be32(c, &wide, field))
		return FALSE;
	*length = wide;
	return TRUE;
}

/* Headers of the old form.   RFC 4880 4.2.1 */
static gboolean take_old_length(struct cursor *c, uint8_t kind, size_t *length)
{
	uint8_t one;
	uint16_t two;
	uint32_t four;

	if (kind == 0 && cursor_u8(c, &one, "packet"))
		*length = one;
	else if (kind == 1 && cursor_be16(c, &two, "packet"))
		*length = two;
	else if (kind == 2 && cursor_be32(c, &four, "packet"))
		*length = four;
	else
		return cursor_refuse(c, "packet", "it has no length");
	return TRUE;
}

/* The one packet that all bytes are. */
static gboolean packet_take(struct cursor *c, struct cursor *body)
{
	const uint8_t *data;
	uint8_t header, tag;
	size_t length = 0;

	if (!cursor_u8(c, &header, "packet"))
		return FALSE;
	if ((header & 0x80) == 0)
		return cursor_refuse(c, "packet", "not an OpenPGP packet");
	tag = (header & 0x40) != 0 ? header & 0x3f : header >> 2 & 0x0f;
	if (tag != TAG_SIGNATURE)
		return cursor_refuse(c, "packet", "packet %u stands where a signature must", tag);
	if (!((header & 0x40) != 0 ? take_length(c, &length, "packet") : take_old_length(c, header & 3, &length)) ||
	    !cursor_bytes(c, &data, length, "packet"))
		return FALSE;
	if (cursor_left(c) > 0)
		return cursor_refuse(
		    c, "packet", "%zu bytes follow it; exactly one signature must stand", cursor_left(c));
	cursor_init(body, data, length);
	return TRUE;
}

static const struct {
	uint8_t id;
	const char *name;
	gboolean good;
} publics[] = { { 1, "RSA", TRUE }, { 19, "ECDSA", TRUE }, { 22, "EdDSA", TRUE }, { 17, "DSA", FALSE } },
  hashes[] = { { 8, "SHA-256", TRUE }, { 9, "SHA-384", TRUE }, { 10, "SHA-512", TRUE }, { 12, "SHA3-256", TRUE },
	  { 14, "SHA3-512", TRUE }, { 1, "MD5", FALSE }, { 2, "SHA-1", FALSE }, { 3, "RIPEMD-160", FALSE },
	  { 11, "SHA-224", FALSE } };

static gboolean head_take(struct cursor *c)
{
	uint8_t version, type, public, hash;
	size_t p = 0, h = 0;

	if (!cursor_u8(c, &version, "version"))
		return FALSE;
	if (version != 4)
		return cursor_refuse(c, "version", "version %u; only 4 is supported", version);
	if (!cursor_u8(c, &type, "type") || !cursor_u8(c, &public, "key algorithm") ||
	    !cursor_u8(c, &hash, "hash algorithm"))
		return FALSE;
	if (type > 1)
		return cursor_refuse(c, "type", "0x%02x is no signature over a document", type);
	while (p < G_N_ELEMENTS(publics) && publics[p].id != public)
		p++;
	if (p == G_N_ELEMENTS(publics) || !publics[p].good)
		return cursor_refuse(c, "key algorithm", "%u (%s) is refused; take RSA, ECDSA or EdDSA", public,
		    p < G_N_ELEMENTS(publics) ? publics[p].name : "unknown");
	while (h < G_N_ELEMENTS(hashes) && hashes[h].id != hash)
		h++;
	if (h == G_N_ELEMENTS(hashes) || !hashes[h].good)
		return cursor_refuse(c, "hash algorithm",
		    "%u (%s) is refused; take SHA-256 or longer (gpg --digest-algo)", hash,
		    h < G_N_ELEMENTS(hashes) ? hashes[h].name : "unknown");
	return TRUE;
}

static gboolean fingerprint_take(struct cursor *c, struct gpgsig *sig)
{
	const uint8_t *data;
	uint8_t version;
	g_autofree char *hex = NULL;

	if (!cursor_u8(c, &version, "issuer") || version != 4 || cursor_left(c) != 20)
		return cursor_refuse(c, "issuer", "not the fingerprint of a version 4 key");
	if (!cursor_bytes(c, &data, 20, "issuer"))
		return FALSE;
	hex = hex_encode(data, 20);
	g_free(sig->issuer);
	sig->issuer = g_ascii_strup(hex, -1);
	return TRUE;
}

static gboolean time_take(struct cursor *c, int64_t *time, const char *field)
{
	uint32_t value;

	if (*time != 0)
		return cursor_refuse(c, field, "it stands twice");
	if (!cursor_be32(c, &value, field))
		return FALSE;
	*time = value;
	return cursor_left(c) == 0 || cursor_refuse(c, field, "it is too long");
}

static gboolean hashed_take(uint8_t type, struct cursor *c, struct gpgsig *sig)
{
	gboolean critical = (type & CRITICAL) != 0;

	switch (type & ~CRITICAL) {
	case SUB_CREATED:
		return time_take(c, &sig->created, "creation time");
	case SUB_EXPIRES:
		return time_take(c, &sig->expires, "expiry");
	case SUB_ISSUER_FINGERPRINT:
		return fingerprint_take(c, sig);
	case SUB_ISSUER:
	case SUB_SIGNER_UID:
		return TRUE;
	default: /* whoever made it critical forbids us to overlook it */
		return !critical ||
		       cursor_refuse(c, "subpacket", "critical subpacket %u is not understood", type & ~CRITICAL);
	}
}

/* Nothing signs this area: hints about the issuer are harmless, anything else could change the meaning. */
static gboolean unhashed_take(uint8_t type, struct cursor *c, struct gpgsig *sig)
{
	(void)sig;
	return type == SUB_ISSUER || type == SUB_ISSUER_FINGERPRINT ||
	       cursor_refuse(c, "subpacket", "subpacket %u stands where nothing signs it", type & ~CRITICAL);
}

static gboolean area_take(
    struct cursor *c, gboolean (*each)(uint8_t, struct cursor *, struct gpgsig *), struct gpgsig *sig)
{
	const uint8_t *data;
	uint16_t size;
	struct cursor area;

	if (!cursor_be16(c, &size, "subpackets") || !cursor_bytes(c, &data, size, "subpackets"))
		return FALSE;
	cursor_init(&area, data, size);
	while (area.field == NULL && cursor_left(&area) > 0) {
		struct cursor sub;
		size_t length;
		uint8_t type;

		if (!take_length(&area, &length, "subpacket") || !cursor_bytes(&area, &data, length, "subpacket"))
			break;
		cursor_init(&sub, data, length);
		if (!cursor_u8(&sub, &type, "subpacket") || !each(type, &sub, sig))
			return cursor_refuse(c, sub.field, "%s", sub.reason);
	}
	return area.field == NULL || cursor_refuse(c, area.field, "%s", area.reason);
}

gboolean gpgsig_parse(GBytes *packets, struct gpgsig *sig, GError **error)
{
	struct cursor c, body = { 0 };

	*sig = (struct gpgsig){ 0 };
	cursor_init(&c, g_bytes_get_data(packets, NULL), g_bytes_get_size(packets));
	if (!packet_take(&c, &body))
		return cursor_fail(&c, "OpenPGP signature", error);
	if (head_take(&body) && area_take(&body, hashed_take, sig) && area_take(&body, unhashed_take, sig) &&
	    (sig->created != 0 || cursor_refuse(&body, "creation time", "it is missing")))
		return TRUE;
	g_clear_pointer(&sig->issuer, g_free);
	return cursor_fail(&body, "OpenPGP signature", error);
}
