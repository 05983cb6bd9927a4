/*
 * Reading JSON with yajl's events, and the checks that yajl 2.1 lacks. It takes overlong and surrogate UTF-8, turns a
 * lone \ud800 into '?', joins wrong pairs, lets \u0000 and duplicate keys through and nests without end: so the bytes
 * are checked before it sees them, the structure while it tells it.
 */
#include "gitops/base/json_value.h"

#include <string.h>
#include <yajl/yajl_parse.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

struct reader {
	const char *text;
	size_t size;
	enum json_flags flags;
	yajl_handle yajl;
	struct json *open[JSON_DEPTH_MAX]; /* arrays and objects not yet closed; each but the first is owned by its parent */
	char *keys[JSON_DEPTH_MAX]; /* the key that waits for its value, in an open object */
	size_t key_ends[JSON_DEPTH_MAX];
	guint depth;
	gboolean at_end; /* yajl has all bytes, and is told so */
	struct json *root;
	GError *error;
};

/* "JSON, line L, column C: ..."; always FALSE. Columns count characters from 1. */
static gboolean refuse(struct reader *r, size_t offset, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean refuse(struct reader *r, size_t offset, const char *format, ...)
{
	g_autofree char *reason = NULL;
	guint line = 1, column = 1;
	va_list args;

	if (r->error != NULL)
		return FALSE;
	va_start(args, format);
	reason = g_strdup_vprintf(format, args);
	va_end(args);
	for (size_t i = 0; i < MIN(offset, r->size); i++) {
		if (r->text[i] == '\n') {
			line++;
			column = 1;
		} else if ((r->text[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	error_refused(&r->error, "JSON, line %u, column %u: %s", line, column, reason);
	return FALSE;
}

/* The four hex digits behind \u; -1 if they are not there (yajl then says so). */
static int escape_unit(const struct reader *r, size_t at)
{
	uint8_t bytes[2];
	char hex[5] = { 0 };

	if (at + 6 > r->size || r->text[at] != '\\' || r->text[at + 1] != 'u')
		return -1;
	memcpy(hex, r->text + at + 2, 4);
	return hex_decode(hex, bytes, 2) ? bytes[0] << 8 | bytes[1] : -1;
}

/* At a \u: refuses NUL and halves of surrogate pairs; *at moves behind it. */
static gboolean check_escape(struct reader *r, size_t *at)
{
	int unit = escape_unit(r, *at), low;
	size_t start = *at;

	*at += 2;
	if (unit == 0)
		return refuse(r, start, "a NUL in a string is not allowed");
	if (unit < 0xd800 || unit > 0xdfff)
		return TRUE;
	low = escape_unit(r, start + 6);
	if (unit >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
		return refuse(r, start, "half of a surrogate pair");
	*at = start + 12;
	return TRUE;
}

static gboolean check_bytes(struct reader *r)
{
	const char *end;

	if (!g_utf8_validate_len(r->text, r->size, &end))
		return refuse(r, (size_t)(end - r->text), "it is not valid UTF-8, or holds a NUL");
	for (size_t at = 0; at + 1 < r->size;) {
		if (r->text[at] != '\\')
			at++;
		else if (r->text[at + 1] != 'u')
			at += 2;
		else if (!check_escape(r, &at))
			return FALSE;
	}
	return TRUE;
}

/* Where yajl is: the end of the token whose event runs. */
static size_t offset(const struct reader *r)
{
	return r->at_end ? r->size : yajl_get_bytes_consumed(r->yajl);
}

/* Puts a value where the text has it. */
static void place(struct reader *r, struct json *value)
{
	struct json *parent = r->depth == 0 ? NULL : r->open[r->depth - 1];

	if (parent == NULL)
		r->root = value;
	else if (parent->kind == JSON_ARRAY)
		json_append(parent, value);
	else
		json_member_append(parent, g_steal_pointer(&r->keys[r->depth - 1]), value, r->key_ends[r->depth - 1]);
}

static int open_value(struct reader *r, enum json_kind kind)
{
	struct json *value;

	if (r->depth == JSON_DEPTH_MAX)
		return refuse(r, offset(r) - 1, "arrays and objects are nested deeper than %d", JSON_DEPTH_MAX);
	value = json_value_new(kind);
	place(r, value);
	r->open[r->depth++] = value;
	return TRUE;
}

static int on_null(void *data)
{
	place(data, json_null_new());
	return TRUE;
}

static int on_boolean(void *data, int value)
{
	place(data, json_boolean_new(value));
	return TRUE;
}

/* An integer that every reader of JSON holds exactly, in the one way to write it ("-0" is not). */
static gboolean exact_integer(const char *text, int64_t *number)
{
	return !g_str_equal(text, "-0") &&
	       g_ascii_string_to_signed(text, 10, -JSON_INTEGER_MAX, JSON_INTEGER_MAX, number, NULL);
}

static int on_number(void *data, const char *text, size_t size)
{
	g_autofree char *number = g_strndup(text, size);
	struct reader *r = data;
	struct json *value;
	int64_t integer;

	if (exact_integer(number, &integer)) {
		place(r, json_integer_new(integer));
		return TRUE;
	}
	if (!(r->flags & JSON_OTHER_NUMBERS)) {
		g_autofree char *shown = text_escape(number, -1, 40);

		return refuse(r, offset(r) - size, "the number %s is not an integer of at most 2^53-1", shown);
	}
	value = json_value_new(JSON_NUMBER);
	value->text = g_steal_pointer(&number);
	place(r, value);
	return TRUE;
}

static int on_string(void *data, const unsigned char *text, size_t size)
{
	struct json *value = json_value_new(JSON_STRING);

	value->text = g_strndup((const char *)text, size);
	place(data, value);
	return TRUE;
}

static int on_key(void *data, const unsigned char *text, size_t size)
{
	struct reader *r = data;

	r->keys[r->depth - 1] = g_strndup((const char *)text, size);
	r->key_ends[r->depth - 1] = offset(r);
	return TRUE;
}

static int on_object(void *data)
{
	return open_value(data, JSON_OBJECT);
}

static int on_array(void *data)
{
	return open_value(data, JSON_ARRAY);
}

static int on_array_end(void *data)
{
	struct reader *r = data;

	r->depth--;
	return TRUE;
}

static int compare_members(const void *a, const void *b)
{
	const struct json_member *left = a, *right = b;
	int order = json_key_compare(left->key, right->key);

	return order != 0 ? order : (left->offset > right->offset) - (left->offset < right->offset);
}

static int on_object_end(void *data)
{
	struct reader *r = data;
	GArray *members = r->open[--r->depth]->members;

	g_array_sort(members, compare_members);
	for (guint i = 1; i < members->len; i++) {
		const struct json_member *member = &g_array_index(members, struct json_member, i);

		if (g_str_equal(member->key, member[-1].key)) {
			g_autofree char *shown = text_escape(member->key, -1, 128);

			return refuse(r, member->offset, "the key \"%s\" stands twice", shown);
		}
	}
	return TRUE;
}

static const yajl_callbacks events = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_object_end,
	.yajl_start_array = on_array,
	.yajl_end_array = on_array_end,
};

/* yajl's own words, without the kind of the error before and the full stop behind. */
static gboolean refuse_syntax(struct reader *r, size_t at)
{
	unsigned char *words = yajl_get_error(r->yajl, 0, NULL, 0);
	const char *reason = (const char *)words, *colon = strstr(reason, ": ");
	g_autofree char *sentence = g_strstrip(g_strdup(colon != NULL ? colon + 2 : reason));

	yajl_free_error(r->yajl, words);
	g_strdelimit(sentence, "\n", ' ');
	if (g_str_has_suffix(sentence, "."))
		sentence[strlen(sentence) - 1] = '\0';
	return refuse(r, at, "%s", sentence);
}

static gboolean read_all(struct reader *r)
{
	if (!check_bytes(r))
		return FALSE;
	if (yajl_parse(r->yajl, (const unsigned char *)r->text, r->size) != yajl_status_ok)
		return refuse_syntax(r, offset(r));
	r->at_end = TRUE; /* only now a number in the last place is whole, and a missing bracket missing */
	if (yajl_complete_parse(r->yajl) != yajl_status_ok)
		return refuse_syntax(r, offset(r));
	return TRUE;
}

struct json *json_parse(const void *data, size_t size, enum json_flags flags, GError **error)
{
	struct reader r = { .text = size == 0 ? "" : data, .size = size, .flags = flags };
	gboolean whole;

	r.yajl = yajl_alloc(&events, NULL, &r);
	yajl_config(r.yajl, yajl_dont_validate_strings, 1); /* done by check_bytes(), and better */
	whole = read_all(&r);
	yajl_free(r.yajl);
	for (guint i = 0; i < JSON_DEPTH_MAX; i++)
		g_free(r.keys[i]);
	if (whole)
		return r.root;
	json_unref(r.root);
	g_propagate_error(error, r.error);
	return NULL;
}

struct json *json_parse_bytes(GBytes *bytes, GError **error)
{
	size_t size;
	const void *data = g_bytes_get_data(bytes, &size);

	return json_parse(data, size, JSON_STRICT, error);
}

struct json *json_parse_canonical(const void *data, size_t size, GError **error)
{
	autoptr(json) value = json_parse(data, size, JSON_STRICT, error);
	g_autofree char *canonical = NULL;

	if (value == NULL)
		return NULL;
	canonical = json_text(value);
	if (strlen(canonical) != size || memcmp(canonical, data, size) != 0) {
		error_refused(error, "JSON: it is well-formed, but not in canonical form (RFC 8785)");
		return NULL;
	}
	return g_steal_pointer(&value);
}
