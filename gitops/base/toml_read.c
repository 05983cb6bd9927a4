/* The one reader of tables: fields are rows, and whatever no row names is an error. */
#include "gitops/base/toml.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

/* What the reading of one field needs. */
struct task {
	const struct toml_field *field;
	void *to; /* the member of the caller's struct */
	const struct toml *node;
	GError **error;
};

struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "K", UINT64_C(1) << 10 },
	{ "M", UINT64_C(1) << 20 },
	{ "G", UINT64_C(1) << 30 },
	{ "T", UINT64_C(1) << 40 },
	{ NULL, 0 },
};

static const struct unit duration_units[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60 * 1000 },
	{ "h", 3600 * 1000 },
	{ "d", 24 * 3600 * 1000 },
	{ NULL, 0 },
};

static gboolean mismatch(const struct task *t, const char *expected)
{
	return toml_fail(t->node, t->error, "\"%s\" must be %s", t->field->key, expected);
}

static gboolean in_range(const struct task *t, int64_t value)
{
	const struct toml_field *f = t->field;

	if ((f->min == 0 && f->max == 0) || (value >= f->min && value <= f->max))
		return TRUE;
	return toml_fail(t->node, t->error,
	    "\"%s\" must be %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT ", not %" G_GINT64_FORMAT, f->key, f->min,
	    f->max, value);
}

/* Digits and a unit, without sign or space; FALSE if it is anything else or too large. */
static gboolean quantity(const char *text, const struct unit *units, int64_t *value)
{
	size_t digits = strspn(text, "0123456789");
	g_autofree char *number = g_strndup(text, digits);
	guint64 count;

	for (; units->suffix != NULL && !g_str_equal(units->suffix, text + digits); units++)
		;
	if (units->suffix == NULL || !g_ascii_string_to_unsigned(number, 10, 0, G_MAXINT64 / units->factor, &count, NULL))
		return FALSE;
	*value = (int64_t)(count * units->factor);
	return TRUE;
}

static gboolean read_string(const struct task *t)
{
	if (toml_kind(t->node) != TOML_STRING)
		return mismatch(t, "a string");
	*(char **)t->to = g_strdup(toml_as_string(t->node));
	return TRUE;
}

static gboolean read_strings(const struct task *t)
{
	g_autoptr(GStrvBuilder) all = g_strv_builder_new();

	if (toml_kind(t->node) != TOML_ARRAY)
		return mismatch(t, "an array of strings");
	for (guint i = 0; i < toml_length(t->node); i++) {
		const struct toml *item = toml_at(t->node, i);

		if (toml_kind(item) != TOML_STRING)
			return mismatch(t, "an array of strings");
		g_strv_builder_add(all, toml_as_string(item));
	}
	*(char ***)t->to = g_strv_builder_end(all);
	return TRUE;
}

static gboolean read_integer(const struct task *t)
{
	if (toml_kind(t->node) != TOML_INTEGER)
		return mismatch(t, "an integer");
	if (!in_range(t, toml_as_integer(t->node)))
		return FALSE;
	*(int64_t *)t->to = toml_as_integer(t->node);
	return TRUE;
}

static gboolean read_boolean(const struct task *t)
{
	if (toml_kind(t->node) != TOML_BOOLEAN)
		return mismatch(t, "true or false");
	*(gboolean *)t->to = toml_as_boolean(t->node);
	return TRUE;
}

static gboolean read_size(const struct task *t)
{
	const char *text = toml_as_string(t->node);
	int64_t size = toml_as_integer(t->node);

	if (text != NULL ? !quantity(text, size_units, &size) : toml_kind(t->node) != TOML_INTEGER || size < 0)
		return mismatch(t, "a size: bytes, or text like \"64K\", \"500M\", \"2G\"");
	if (!in_range(t, size))
		return FALSE;
	*(uint64_t *)t->to = (uint64_t)size;
	return TRUE;
}

static gboolean read_duration(const struct task *t)
{
	const char *text = toml_as_string(t->node);
	int64_t ms;

	if (text == NULL || !quantity(text, duration_units, &ms))
		return mismatch(t, "a duration like \"500ms\", \"30s\", \"5m\", \"6h\", \"14d\"");
	if (!in_range(t, ms))
		return FALSE;
	*(int64_t *)t->to = ms;
	return TRUE;
}

static gboolean read_time(const struct task *t)
{
	if (!toml_has_time(t->node))
		return mismatch(t, "a date and time with its offset, like 2026-03-01T00:00:00Z (no quotes)");
	*(int64_t *)t->to = toml_as_time_ms(t->node);
	return TRUE;
}

static gboolean read_choice(const struct task *t)
{
	g_auto(GStrv) choices = g_strsplit(t->field->choices, "|", -1);
	const char *text = toml_as_string(t->node);

	if (text == NULL || !g_strv_contains((const char *const *)choices, text)) {
		g_autofree char *list = g_strjoinv("\", \"", choices), *shown = text_escape(text, -1, 64);
		const char *near = text == NULL ? NULL : name_nearest(text, (const char *const *)choices);

		if (near != NULL)
			return toml_fail(t->node, t->error,
			    "\"%s\" must be one of \"%s\", not \"%s\"; did you mean \"%s\"?", t->field->key, list,
			    shown, near);
		return toml_fail(t->node, t->error, "\"%s\" must be one of \"%s\"", t->field->key, list);
	}
	*(char **)t->to = g_strdup(text);
	return TRUE;
}

static gboolean read_node(const struct task *t)
{
	*(const struct toml **)t->to = t->node;
	return TRUE;
}

static gboolean (*const readers[])(const struct task *) = {
	[TOML_T_STRING] = read_string,
	[TOML_T_STRINGS] = read_strings,
	[TOML_T_INTEGER] = read_integer,
	[TOML_T_BOOLEAN] = read_boolean,
	[TOML_T_SIZE] = read_size,
	[TOML_T_DURATION] = read_duration,
	[TOML_T_TIME] = read_time,
	[TOML_T_CHOICE] = read_choice,
	[TOML_T_NODE] = read_node,
};

/* Rows may leave out the quotes round a default that TOML wants as a string. */
static gboolean default_needs_quotes(const struct toml_field *field)
{
	switch (field->type) {
	case TOML_T_STRING:
	case TOML_T_CHOICE:
	case TOML_T_SIZE:
	case TOML_T_DURATION:
		return field->dflt[0] != '"' && field->dflt[0] != '\'';
	default:
		return FALSE;
	}
}

/* A default passes the same reader as a written value: it can't be out of range either. */
static gboolean read_default(const struct toml_field *field, void *to, GError **error)
{
	const char *quote = default_needs_quotes(field) ? "'" : "";
	g_autofree char *text = g_strdup_printf("value = %s%s%s", quote, field->dflt, quote);
	g_autofree char *name = g_strdup_printf("default of %s", field->key);
	autoptr(toml) root = toml_parse(text, strlen(text), name, error);
	struct task t = { .field = field, .to = to, .error = error };

	if (root == NULL)
		return FALSE;
	t.node = toml_get(root, "value");
	return readers[field->type](&t);
}

static gboolean read_field(
    const struct toml *table, const struct toml_field *field, char *out, const char *what, GError **error)
{
	struct task t = { .field = field, .to = out + field->offset, .error = error };

	t.node = toml_get(table, field->key);
	if (t.node != NULL)
		return readers[field->type](&t);
	if (field->required)
		return toml_fail(table, error, "%s: \"%s\" is missing", what, field->key);
	if (field->dflt != NULL && field->type != TOML_T_NODE) /* a borrowed node has nothing to live in */
		return read_default(field, t.to, error);
	if (field->type == TOML_T_STRINGS)
		*(char ***)t.to = g_new0(char *, 1);
	return TRUE;
}

static gboolean fail_unknown(
    const struct toml *node, const char *key, const struct toml_field *fields, size_t count, GError **error)
{
	g_autofree const char **names = g_new0(const char *, count + 1);
	g_autofree char *shown = text_escape(key, -1, 64);
	const char *near;

	for (size_t i = 0; i < count; i++)
		names[i] = fields[i].key;
	near = name_nearest(key, names);
	if (near != NULL)
		return toml_fail(node, error, "unknown key \"%s\"; did you mean \"%s\"?", shown, near);
	return toml_fail(node, error, "unknown key \"%s\"", shown);
}

static gboolean check_keys(const struct toml *table, const struct toml_field *fields, size_t count, GError **error)
{
	for (guint i = 0; i < toml_length(table); i++) {
		const char *key = NULL;
		const struct toml *node = toml_member(table, i, &key);
		size_t row = 0;

		while (row < count && !g_str_equal(fields[row].key, key))
			row++;
		if (row == count)
			return fail_unknown(node, key, fields, count, error);
	}
	return TRUE;
}

gboolean toml_read(const struct toml *table, const struct toml_field *fields, size_t count, void *out, const char *what,
    GError **error)
{
	if (toml_kind(table) != TOML_TABLE)
		return toml_fail(table, error, "%s must be a table", what);
	if (!check_keys(table, fields, count, error))
		return FALSE;
	for (size_t i = 0; i < count; i++) {
		if (!read_field(table, &fields[i], out, what, error)) {
			toml_clear(fields, count, out);
			return FALSE;
		}
	}
	return TRUE;
}

void toml_clear(const struct toml_field *fields, size_t count, void *out)
{
	for (size_t i = 0; i < count; i++) {
		void *at = (char *)out + fields[i].offset;

		if (fields[i].type == TOML_T_STRING || fields[i].type == TOML_T_CHOICE)
			g_clear_pointer((char **)at, g_free);
		else if (fields[i].type == TOML_T_STRINGS)
			g_clear_pointer((char ***)at, g_strfreev);
		else if (fields[i].type == TOML_T_NODE)
			*(const struct toml **)at = NULL;
	}
}
