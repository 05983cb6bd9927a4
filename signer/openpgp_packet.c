/* Packets, numbers and armor: the outer layers of OpenPGP. RFC 4880, 3.2, 4.2, 6 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "signer/openpgp.h"

#define ARMOR_WIDTH 64
#define NUMBER_MAX 2048

void pgp_be_put(GByteArray *to, uint32_t value, guint bytes)
{
	while (bytes-- > 0) {
		uint8_t byte = value >> (8 * bytes);
		g_byte_array_append(to, &byte, 1);
	}
}

/* 4.2.2 */
void pgp_packet_put(GByteArray *to, uint8_t tag, const void *body, size_t size)
{
	pgp_be_put(to, 0xc0 | tag, 1);
	if (size < 192) {
		pgp_be_put(to, size, 1);
	} else if (size < 8384) {
		pgp_be_put(to, size - 192 + 0xc000, 2);
	} else {
		pgp_be_put(to, 0xff, 1);
		pgp_be_put(to, size, 4);
	}
	g_byte_array_append(to, body, size);
}

static gboolean take_new_length(struct cursor *c, uint32_t *length)
{
	uint8_t first, second;

	if (!cursor_u8(c, &first, "packet length"))
		return FALSE;
	if (first < 192) {
		*length = first;
		return TRUE;
	}
	if (first == 255)
		return cursor_be32(c, length, "packet length");
	if (first >= 224)
		return cursor_refuse(c, "packet length", "a partial length is not allowed here");
	if (!cursor_u8(c, &second, "packet length"))
		return FALSE;
	*length = ((first - 192) << 8) + second + 192;
	return TRUE;
}

static gboolean take_old_length(struct cursor *c, uint8_t kind, uint32_t *length)
{
	uint8_t one;
	uint16_t two;

	switch (kind) {
	case 0:
		if (!cursor_u8(c, &one, "packet length"))
			return FALSE;
		*length = one;
		return TRUE;
	case 1:
		if (!cursor_be16(c, &two, "packet length"))
			return FALSE;
		*length = two;
		return TRUE;
	case 2:
		return cursor_be32(c, length, "packet length");
	default:
		return cursor_refuse(c, "packet length", "an indeterminate length is not allowed here");
	}
}

gboolean pgp_packet_take(struct cursor *c, struct pgp_packet *packet)
{
	uint8_t head;
	uint32_t length = 0;
	gboolean ok;

	if (!cursor_u8(c, &head, "packet tag"))
		return FALSE;
	if ((head & 0x80) == 0)
		return cursor_refuse(c, "packet tag", "0x%02x is not the start of a packet", head);
	if ((head & 0x40) != 0) {
		packet->tag = head & 0x3f;
		ok = take_new_length(c, &length);
	} else {
		packet->tag = (head >> 2) & 0x0f;
		ok = take_old_length(c, head & 3, &length);
	}
	packet->size = length;
	return ok && cursor_bytes(c, &packet->body, length, "packet body");
}

/* 3.2 */
void pgp_number_put(GByteArray *to, GBytes *number)
{
	gsize size;
	const uint8_t *data = g_bytes_get_data(number, &size);

	while (size > 0 && *data == 0)
		data++, size--;
	pgp_be_put(to, size == 0 ? 0 : size * 8 - (__builtin_clz(*data) - 24), 2);
	g_byte_array_append(to, data, size);
}

GBytes *pgp_number_take(struct cursor *c, const char *field)
{
	uint16_t bits;
	const uint8_t *data;
	size_t size;

	if (!cursor_be16(c, &bits, field))
		return NULL;
	size = (bits + 7) / 8;
	if (size > NUMBER_MAX) {
		cursor_refuse(c, field, "a number of %u bits is too large", bits);
		return NULL;
	}
	if (!cursor_bytes(c, &data, size, field))
		return NULL;
	if (size == 0 || (*data >> ((bits - 1) % 8)) != 1) {
		cursor_refuse(c, field, "the number does not have the %u bits that its length says", bits);
		return NULL;
	}
	return g_bytes_new(data, size);
}

/* 6.1 */
static uint32_t crc24(const uint8_t *data, size_t size)
{
	uint32_t crc = 0xb704ce;

	while (size-- > 0) {
		crc ^= (uint32_t)*data++ << 16;
		for (guint bit = 0; bit < 8; bit++) {
			crc <<= 1;
			if ((crc & 0x1000000) != 0)
				crc ^= 0x1864cfb;
		}
	}
	return crc & 0xffffff;
}

static void crc_text(char out[static 5], const void *data, size_t size)
{
	uint32_t crc = crc24(data, size);
	const uint8_t bytes[] = { crc >> 16, crc >> 8, crc };
	g_autofree char *text = g_base64_encode(bytes, sizeof(bytes));

	memcpy(out, text, 5);
}

GBytes *pgp_armor(const char *kind, const void *data, size_t size)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *base64 = g_base64_encode(data, size);
	char crc[5];
	gsize length;

	g_string_append_printf(text, "-----BEGIN PGP %s-----\n\n", kind);
	for (const char *line = base64; *line != '\0'; line += strnlen(line, ARMOR_WIDTH))
		g_string_append_printf(text, "%.*s\n", ARMOR_WIDTH, line);
	crc_text(crc, data, size);
	g_string_append_printf(text, "=%s\n-----END PGP %s-----\n", crc, kind);
	length = text->len;
	return g_bytes_new_take(g_string_free(g_steal_pointer(&text), FALSE), length);
}

struct line {
	const char *text;
	size_t size;
};

/* Without CR and trailing blanks, as 6.2 lets them be. */
static gboolean take_line(struct cursor *c, struct line *line)
{
	if (!cursor_line(c, &line->text, &line->size, "armor"))
		return FALSE;
	while (line->size > 0 && strchr(" \t\r", line->text[line->size - 1]) != NULL)
		line->size--;
	return TRUE;
}

static gboolean line_is(const struct line *line, const char *edge, const char *kind)
{
	g_autofree char *wanted = g_strdup_printf("-----%s PGP %s-----", edge, kind);

	return line->size == strlen(wanted) && memcmp(line->text, wanted, line->size) == 0;
}

static gboolean decode_block(struct cursor *c, const GString *base64, const char *crc, GByteArray *out)
{
	g_autoptr(GBytes) bytes = base64_decode_strict(base64->str, base64->len, FALSE);
	char expected[5];
	gsize size;

	if (bytes == NULL || g_bytes_get_size(bytes) == 0)
		return cursor_refuse(c, "armor", "the block is not base64");
	crc_text(expected, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	if (*crc != '\0' && !g_str_equal(crc, expected))
		return cursor_refuse(c, "armor", "the checksum is not that of the block");
	g_byte_array_append(out, g_bytes_get_data(bytes, &size), g_bytes_get_size(bytes));
	return TRUE;
}

/* After the BEGIN line: header lines, an empty line, base64, the checksum (which may be left out), the END line. */
static gboolean take_block(struct cursor *c, const char *kind, GByteArray *out)
{
	g_autoptr(GString) base64 = g_string_new(NULL);
	struct line line;
	char crc[5] = "";

	do {
		if (!take_line(c, &line))
			return FALSE;
		if (line.size > 0 && memmem(line.text, line.size, ": ", 2) == NULL)
			return cursor_refuse(c, "armor", "no empty line stands before the block");
	} while (line.size > 0);
	while (take_line(c, &line) && line.size > 0 && *line.text != '-') {
		if (*crc != '\0')
			return cursor_refuse(c, "armor", "a line follows the checksum");
		if (line.size == 5 && *line.text == '=')
			memcpy(crc, line.text + 1, 4);
		else
			g_string_append_len(base64, line.text, line.size);
	}
	if (c->field != NULL)
		return FALSE;
	if (!line_is(&line, "END", kind))
		return cursor_refuse(c, "armor", "the line \"-----END PGP %s-----\" is missing", kind);
	return decode_block(c, base64, crc, out);
}

static gboolean take_blocks(struct cursor *c, const char *kind, GByteArray *out)
{
	struct line line;

	while (cursor_left(c) > 0) {
		if (!take_line(c, &line))
			return FALSE;
		if (line.size == 0)
			continue;
		if (!line_is(&line, "BEGIN", kind))
			return cursor_refuse(c, "armor", "the line is not \"-----BEGIN PGP %s-----\"", kind);
		if (!take_block(c, kind, out))
			return FALSE;
	}
	return out->len > 0 || cursor_refuse(c, "armor", "it is empty");
}

GBytes *pgp_dearmor(GBytes *input, const char *kind, GError **error)
{
	gsize size;
	const uint8_t *data = g_bytes_get_data(input, &size);
	g_autoptr(GByteArray) text = g_byte_array_new(), out = g_byte_array_new();
	struct cursor c;

	if (size > OPENPGP_MAX) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "OpenPGP %s: it is larger than 1 MiB", kind);
		return NULL;
	}
	if (size > 0 && (data[0] & 0x80) != 0)
		return g_bytes_ref(input);
	g_byte_array_append(text, data, size);
	if (size > 0 && data[size - 1] != '\n')
		g_byte_array_append(text, (const uint8_t *)"\n", 1);
	cursor_init(&c, text->data, text->len);
	if (!take_blocks(&c, kind, out)) {
		cursor_fail(&c, "OpenPGP", error);
		return NULL;
	}
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

static const struct {
	uint8_t number;
	const char *name;
	const EVP_MD *(*md)(void);
} hashes[] = {
	{ 8, "sha256", EVP_sha256 },
	{ 9, "sha384", EVP_sha384 },
	{ 10, "sha512", EVP_sha512 },
};

const EVP_MD *pgp_hash(uint8_t number)
{
	for (guint i = 0; i < G_N_ELEMENTS(hashes); i++)
		if (hashes[i].number == number)
			return hashes[i].md();
	return NULL;
}

uint8_t pgp_hash_number(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(hashes); i++)
		if (g_str_equal(hashes[i].name, name))
			return hashes[i].number;
	return 0;
}
