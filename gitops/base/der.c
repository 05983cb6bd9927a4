#include "gitops/base/der.h"

#include <string.h>

#include "gitops/base/error.h"

#define DEPTH_MAX 40
#define OID_MAX 64 /* octets of contents; the longest that we meet has 12 */

static guint length_octets(size_t size, uint8_t out[static 9])
{
	guint n = 0;

	if (size < 0x80) {
		out[0] = size;
		return 1;
	}
	for (size_t rest = size; rest != 0; rest >>= 8)
		n++;
	out[0] = 0x80 | n;
	for (guint i = 0; i < n; i++)
		out[1 + i] = size >> (8 * (n - 1 - i));
	return n + 1;
}

void der_write(GByteArray *out, uint8_t tag, const void *contents, size_t size)
{
	uint8_t length[9];
	guint n = length_octets(size, length);

	g_byte_array_append(out, &tag, 1);
	g_byte_array_append(out, length, n);
	if (size > 0)
		g_byte_array_append(out, contents, size);
}

size_t der_open(GByteArray *out, uint8_t tag)
{
	g_byte_array_append(out, &tag, 1);
	return out->len;
}

void der_close(GByteArray *out, size_t mark)
{
	uint8_t length[9];
	size_t size = out->len - mark;
	guint n = length_octets(size, length);

	g_byte_array_set_size(out, out->len + n);
	memmove(out->data + mark + n, out->data + mark, size);
	memcpy(out->data + mark, length, n);
}

void der_write_bytes(GByteArray *out, GBytes *whole)
{
	gsize size;
	const void *data = g_bytes_get_data(whole, &size);

	g_byte_array_append(out, data, size);
}

static void append_base128(GByteArray *out, uint64_t value)
{
	uint8_t octets[10];
	guint n = 0;

	do {
		n++;
		octets[sizeof(octets) - n] = (value & 0x7F) | (n > 1 ? 0x80 : 0);
		value >>= 7;
	} while (value != 0);
	g_byte_array_append(out, octets + sizeof(octets) - n, n);
}

void der_write_oid(GByteArray *out, const char *dotted)
{
	char *end;
	size_t mark = der_open(out, DER_OID);
	uint64_t first = g_ascii_strtoull(dotted, &end, 10);
	uint64_t second = g_ascii_strtoull(end + 1, &end, 10);

	append_base128(out, first * 40 + second);
	while (*end == '.')
		append_base128(out, g_ascii_strtoull(end + 1, &end, 10));
	der_close(out, mark);
}

void der_write_unsigned(GByteArray *out, const uint8_t *big_endian, size_t size)
{
	size_t mark = der_open(out, DER_INTEGER);

	while (size > 1 && big_endian[0] == 0) {
		big_endian++;
		size--;
	}
	if (size == 0 || big_endian[0] >= 0x80)
		g_byte_array_append(out, (const uint8_t *)"", 1);
	if (size > 0)
		g_byte_array_append(out, big_endian, size);
	der_close(out, mark);
}

void der_write_small(GByteArray *out, uint8_t value)
{
	der_write_unsigned(out, &value, 1);
}

void der_write_algorithm(GByteArray *out, const char *dotted, gboolean null_parameters)
{
	size_t mark = der_open(out, DER_SEQUENCE);

	der_write_oid(out, dotted);
	if (null_parameters)
		der_write(out, DER_NULL, NULL, 0);
	der_close(out, mark);
}

static int compare_elements(gconstpointer a, gconstpointer b)
{
	return g_bytes_compare(*(GBytes *const *)a, *(GBytes *const *)b);
}

void der_write_set(GByteArray *out, uint8_t tag, GPtrArray *elements)
{
	size_t mark = der_open(out, tag);

	g_ptr_array_sort(elements, compare_elements);
	for (guint i = 0; i < elements->len; i++)
		der_write_bytes(out, g_ptr_array_index(elements, i));
	der_close(out, mark);
}

static gboolean take_length(struct cursor *c, size_t *size, const char *field)
{
	uint8_t octet, next;
	size_t length = 0;

	if (!cursor_u8(c, &octet, field))
		return FALSE;
	if (octet < 0x80) {
		*size = octet;
		return TRUE;
	}
	if (octet == 0x80)
		return cursor_refuse(c, field, "indefinite length: BER, not DER");
	if (octet > 0x84)
		return cursor_refuse(c, field, "a length of %u octets", octet & 0x7F);
	for (guint n = octet & 0x7F; n > 0; n--) {
		if (!cursor_u8(c, &next, field))
			return FALSE;
		length = length << 8 | next;
	}
	if (length < 0x80 || (octet > 0x81 && length >> (8 * ((octet & 0x7F) - 1)) == 0))
		return cursor_refuse(c, field, "its length is not in the shortest form: BER, not DER");
	*size = length;
	return TRUE;
}

gboolean der_take_any(struct cursor *c, struct der *out, const char *field)
{
	size_t start = c->at;

	if (!cursor_u8(c, &out->tag, field))
		return FALSE;
	if ((out->tag & 0x1F) == 0x1F)
		return cursor_refuse(c, field, "a tag number above 30");
	if (!take_length(c, &out->size, field) || !cursor_bytes(c, &out->data, out->size, field))
		return FALSE;
	out->whole = c->data + start;
	out->whole_size = c->at - start;
	return TRUE;
}

gboolean der_next_is(const struct cursor *c, uint8_t tag)
{
	return c->field == NULL && c->at < c->size && c->data[c->at] == tag;
}

gboolean der_take(struct cursor *c, uint8_t tag, struct der *out, const char *field)
{
	if (c->field == NULL && c->at < c->size && c->data[c->at] != tag)
		return cursor_refuse(c, field, "tag %02X stands where %02X is due", (guint)c->data[c->at], (guint)tag);
	return der_take_any(c, out, field);
}

gboolean der_enter(struct cursor *c, uint8_t tag, struct cursor *inside, const char *field)
{
	struct der element;

	cursor_init(inside, c->data, 0);
	if (!der_take(c, tag, &element, field)) {
		*inside = *c; /* a failed cursor: its takes fail as well, and tell the same reason */
		return FALSE;
	}
	inside->at = element.data - c->data;
	inside->size = inside->at + element.size;
	return TRUE;
}

static char *oid_text(const struct der *oid)
{
	GString *text = g_string_new(NULL);
	uint64_t arc = 0;

	for (size_t i = 0; i < oid->size; i++) {
		gboolean padded = arc == 0 && oid->data[i] == 0x80;
		if (padded || arc >> 56 != 0)
			return (void)g_string_free(text, TRUE), NULL;
		arc = arc << 7 | (oid->data[i] & 0x7F);
		if ((oid->data[i] & 0x80) != 0)
			continue;
		if (text->len == 0)
			g_string_append_printf(text, "%u.%" G_GUINT64_FORMAT, arc < 80 ? (guint)arc / 40 : 2,
			    arc < 80 ? arc % 40 : arc - 80);
		else
			g_string_append_printf(text, ".%" G_GUINT64_FORMAT, arc);
		arc = 0;
	}
	if (oid->size == 0 || (oid->data[oid->size - 1] & 0x80) != 0)
		return (void)g_string_free(text, TRUE), NULL;
	return g_string_free(text, FALSE);
}

char *der_take_oid(struct cursor *c, const char *field)
{
	struct der oid;
	char *text;

	if (!der_take(c, DER_OID, &oid, field))
		return NULL;
	text = oid.size <= OID_MAX ? oid_text(&oid) : NULL;
	if (text == NULL)
		cursor_refuse(c, field, "not an object identifier");
	return text;
}

char *der_take_algorithm(struct cursor *c, struct der *parameters, const char *field)
{
	struct cursor inside;
	struct der value = { 0 };
	g_autofree char *oid = NULL;

	if (!der_enter(c, DER_SEQUENCE, &inside, field) || (oid = der_take_oid(&inside, field)) == NULL ||
	    (cursor_left(&inside) > 0 && !der_take_any(&inside, &value, field))) {
		*c = inside;
		return NULL;
	}
	if (cursor_left(&inside) > 0) {
		cursor_refuse(c, field, "more than one parameter");
		return NULL;
	}
	if (value.tag == DER_NULL && value.size == 0)
		value = (struct der){ 0 };
	if (parameters != NULL)
		*parameters = value;
	else if (value.whole_size > 0) {
		cursor_refuse(c, field, "parameters that %s does not have", oid);
		return NULL;
	}
	return g_steal_pointer(&oid);
}

static gboolean check_elements(struct cursor *c, guint depth)
{
	struct der element;

	while (cursor_left(c) > 0) {
		struct cursor inside = *c;
		if (!der_take_any(c, &element, "element"))
			return FALSE;
		if ((element.tag & 0x20) == 0)
			continue;
		if (depth == DEPTH_MAX)
			return cursor_refuse(c, "element", "nested deeper than %d", DEPTH_MAX);
		inside.at = element.data - c->data;
		inside.size = inside.at + element.size;
		if (!check_elements(&inside, depth + 1)) {
			*c = inside;
			return FALSE;
		}
	}
	return TRUE;
}

gboolean der_check(const void *data, size_t size, const char *what, GError **error)
{
	struct cursor c;
	struct der whole;

	cursor_init(&c, data, size);
	if (!der_take_any(&c, &whole, "element"))
		return cursor_fail(&c, what, error);
	if (!cursor_end(&c, what, error))
		return FALSE;
	cursor_init(&c, data, size);
	return check_elements(&c, 0) || cursor_fail(&c, what, error);
}

struct frame { /* how deep we are, and down to where lengths may be indefinite */
	guint depth, indefinite;
};

static gboolean copy_elements(struct cursor *c, GByteArray *out, struct frame frame, gboolean until_end);

/* One element, whatever the form of its length, to `out` with a definite one. */
static gboolean copy_element(struct cursor *c, GByteArray *out, struct frame frame)
{
	struct frame below = { frame.depth + 1, frame.indefinite };
	struct cursor inside = *c;
	struct der element;
	size_t mark;
	gboolean good;

	if (frame.depth > DEPTH_MAX)
		return cursor_refuse(c, "element", "nested deeper than %d", DEPTH_MAX);
	if (frame.depth <= frame.indefinite && cursor_left(c) >= 2 && (c->data[c->at] & 0x20) != 0 &&
	    (c->data[c->at] & 0x1F) != 0x1F && c->data[c->at + 1] == 0x80) {
		mark = der_open(out, c->data[c->at]);
		good = cursor_skip(c, 2, "element") && copy_elements(c, out, below, TRUE);
		der_close(out, mark);
		return good;
	}
	if (!der_take_any(c, &element, "element"))
		return FALSE;
	if ((element.tag & 0x20) == 0) {
		der_write(out, element.tag, element.data, element.size);
		return TRUE;
	}
	inside.at = element.data - c->data;
	inside.size = inside.at + element.size;
	mark = der_open(out, element.tag);
	good = copy_elements(&inside, out, below, FALSE);
	der_close(out, mark);
	if (!good)
		*c = inside;
	return good;
}

/* All elements to the end of `c`, or to the end-of-contents octets, which are taken. */
static gboolean copy_elements(struct cursor *c, GByteArray *out, struct frame frame, gboolean until_end)
{
	while (cursor_left(c) > 0) {
		if (until_end && cursor_left(c) >= 2 && c->data[c->at] == 0 && c->data[c->at + 1] == 0)
			return cursor_skip(c, 2, "element");
		if (!copy_element(c, out, frame))
			return FALSE;
	}
	return !until_end || cursor_refuse(c, "element", "an indefinite length without its end");
}

GBytes *der_from_ber(GBytes *ber, guint depth, const char *what, GError **error)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	struct cursor c;

	cursor_init(&c, g_bytes_get_data(ber, NULL), g_bytes_get_size(ber));
	if (!copy_element(&c, out, (struct frame){ 0, depth }))
		return (void)cursor_fail(&c, what, error), NULL;
	return cursor_end(&c, what, error) ? g_byte_array_free_to_bytes(g_steal_pointer(&out)) : NULL;
}
