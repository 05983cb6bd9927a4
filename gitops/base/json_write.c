/* Writing JSON: canonical (RFC 8785), and the same indented for people. */
#include "gitops/base/json_value.h"

#include "gitops/base/bytes.h"

struct writer {
	GString *out;
	gboolean pretty; /* line breaks, and characters that a terminal or an eye could take wrongly as \u */
	int depth;
};

static void put_value(struct writer *w, const struct json *value);

/* RFC 8785 section 3.2.2.2: the short form where there is one, else \u and lower-case hex. */
static gboolean put_escape(GString *out, char c)
{
	static const char short_forms[] = "\bb\ff\nn\rr\tt\"\"\\\\";

	for (const char *p = short_forms; *p != '\0'; p += 2) {
		if (c == *p) {
			g_string_append_c(out, '\\');
			g_string_append_c(out, p[1]);
			return TRUE;
		}
	}
	if ((guchar)c >= 0x20)
		return FALSE;
	g_string_append_printf(out, "\\u%04x", (guchar)c);
	return TRUE;
}

static void put_utf16(GString *out, const char *text, size_t size)
{
	g_autofree gunichar2 *units = g_utf8_to_utf16(text, (glong)size, NULL, NULL, NULL);

	for (const gunichar2 *unit = units; unit != NULL && *unit != 0; unit++)
		g_string_append_printf(out, "\\u%04x", *unit);
}

static void put_string(struct writer *w, const char *text)
{
	g_string_append_c(w->out, '"');
	for (const char *next; *text != '\0'; text = next) {
		next = g_utf8_next_char(text);
		if (put_escape(w->out, *text))
			continue;
		if (w->pretty && !text_is_clean(text, (size_t)(next - text)))
			put_utf16(w->out, text, (size_t)(next - text));
		else
			g_string_append_len(w->out, text, next - text);
	}
	g_string_append_c(w->out, '"');
}

static void put_break(struct writer *w)
{
	if (w->pretty)
		g_string_append_printf(w->out, "\n%*s", w->depth * 2, "");
}

static void put_members(struct writer *w, const struct json *value)
{
	gboolean is_object = value->kind == JSON_OBJECT;
	const char *key = NULL;

	w->depth++;
	for (guint i = 0; i < json_length(value); i++) {
		const struct json *item = is_object ? json_member(value, i, &key) : json_at(value, i);

		if (i > 0)
			g_string_append_c(w->out, ',');
		put_break(w);
		if (is_object) {
			put_string(w, key);
			g_string_append(w->out, w->pretty ? ": " : ":");
		}
		put_value(w, item);
	}
	w->depth--;
	if (json_length(value) > 0)
		put_break(w);
}

static void put_value(struct writer *w, const struct json *value)
{
	switch (json_kind(value)) {
	case JSON_NULL:
		g_string_append(w->out, "null");
		break;
	case JSON_BOOLEAN:
		g_string_append(w->out, value->boolean ? "true" : "false");
		break;
	case JSON_INTEGER:
		g_string_append_printf(w->out, "%" G_GINT64_FORMAT, value->integer);
		break;
	case JSON_NUMBER:
		g_string_append(w->out, value->text);
		break;
	case JSON_STRING:
		put_string(w, value->text);
		break;
	case JSON_ARRAY:
	case JSON_OBJECT:
		g_string_append_c(w->out, value->kind == JSON_ARRAY ? '[' : '{');
		put_members(w, value);
		g_string_append_c(w->out, value->kind == JSON_ARRAY ? ']' : '}');
		break;
	}
}

static GString *write_value(const struct json *value, gboolean pretty)
{
	struct writer w = { .out = g_string_new(NULL), .pretty = pretty };

	put_value(&w, value);
	return w.out;
}

GBytes *json_canonical(const struct json *value)
{
	return g_string_free_to_bytes(write_value(value, FALSE));
}

char *json_text(const struct json *value)
{
	return g_string_free(write_value(value, FALSE), FALSE);
}

char *json_pretty(const struct json *value)
{
	return g_string_free(write_value(value, TRUE), FALSE);
}
