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
#define SUB_SIGNER_UID 28
#define SUB_ISSUER_FINGERPRINT 33
#define CRITICAL 0x80

/* The one packet that all bytes are. */
static gboolean packet_take(struct cursor *c, struct span *body)
{
	uint8_t tag;

	if (!pgp_take_packet(c, &tag, body))
		return FALSE;
	if (tag != TAG_SIGNATURE)
		return cursor_refuse(c, "packet", "packet %u stands where a signature must", tag);
	if (cursor_left(c) > 0)
		return cursor_refuse(
		    c, "packet", "%zu bytes follow it; exactly one signature must stand", cursor_left(c));
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

static gboolean hashed_check(uint8_t type, struct cursor *c)
{
	static const uint8_t understood[] = { SUB_CREATED, SUB_EXPIRES, SUB_ISSUER, SUB_SIGNER_UID,
		SUB_ISSUER_FINGERPRINT };

	/* Whoever made it critical forbids us to overlook it. */
	return (type & CRITICAL) == 0 || memchr(understood, type & ~CRITICAL, sizeof(understood)) != NULL ||
	       cursor_refuse(c, "subpacket", "critical subpacket %u is not understood", type & ~CRITICAL);
}

/* Nothing signs this area: hints about the issuer are harmless, anything else could change the meaning. */
static gboolean unhashed_check(uint8_t type, struct cursor *c)
{
	return type == SUB_ISSUER || type == SUB_ISSUER_FINGERPRINT ||
	       cursor_refuse(c, "subpacket", "subpacket %u stands where nothing signs it", type & ~CRITICAL);
}

static gboolean area_check(struct cursor *c, gboolean (*check)(uint8_t, struct cursor *))
{
	const uint8_t *data;
	uint16_t size;
	struct cursor area;

	if (!cursor_be16(c, &size, "subpackets") || !cursor_bytes(c, &data, size, "subpackets"))
		return FALSE;
	cursor_init(&area, data, size);
	while (area.field == NULL && cursor_left(&area) > 0) {
		struct cursor sub;
		uint8_t type;

		if (!pgp_take_subpacket(&area, &type, &sub))
			break;
		if (!check(type, &sub))
			return cursor_refuse(c, sub.field, "%s", sub.reason);
	}
	return area.field == NULL || cursor_refuse(c, area.field, "%s", area.reason);
}

static gboolean signature_read(struct cursor *c, struct span body, struct pgp_signature *sig)
{
	if (!pgp_signature_read(body, sig))
		return cursor_refuse(c, "subpackets", "they cannot be read");
	if (sig->created == 0)
		return cursor_refuse(c, "creation time", "it is missing");
	if (sig->strange)
		return cursor_refuse(c, "subpackets", "one stands twice or cannot be read");
	return sig->issuer[0] != '\0' || cursor_refuse(c, "issuer", "it does not say which key made it");
}

gboolean gpgsig_parse(GBytes *packets, struct pgp_signature *sig, GError **error)
{
	struct cursor c, reader;
	struct span body;

	cursor_init(&c, g_bytes_get_data(packets, NULL), g_bytes_get_size(packets));
	if (!packet_take(&c, &body))
		return cursor_fail(&c, "OpenPGP signature", error);
	cursor_init(&reader, body.data, body.size);
	return (head_take(&reader) && area_check(&reader, hashed_check) && area_check(&reader, unhashed_check) &&
		   signature_read(&reader, body, sig)) ||
	       cursor_fail(&reader, "OpenPGP signature", error);
}
