/* TOML nodes: building them from what toml++ tells, and asking them. */
#include "gitops/base/toml.h"

#include <stdarg.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/base/toml_shim.h"

G_STATIC_ASSERT(
    (int)SHIM_STRING == (int)TOML_STRING && (int)SHIM_TIME == (int)TOML_TIME && (int)SHIM_TABLE == (int)TOML_TABLE);

#define SIZE_MAX_TOML (1024 * 1024)

struct toml {
	enum toml_kind kind;
	guint line, column;
	char *file; /* the root's; borrowed from it below */
	char *key;
	char *text;
	int64_t integer; /* also times, in milliseconds */
	gboolean boolean, has_nul, bad_time;
	struct toml *root;
	GPtrArray *children; /* tables and arrays */
};

static void node_free(void *data)
{
	struct toml *node = data;

	if (node->children != NULL)
		g_ptr_array_unref(node->children);
	if (node == node->root)
		g_free(node->file);
	g_free(node->key);
	g_free(node->text);
	g_free(node);
}

static struct toml *node_new(enum toml_kind kind, guint line, guint column)
{
	struct toml *node = g_new0(struct toml, 1);

	node->kind = kind;
	node->line = line;
	node->column = column;
	if (kind == TOML_TABLE || kind == TOML_ARRAY)
		node->children = g_ptr_array_new_with_free_func(node_free);
	return node;
}

/* As a C string; a NUL inside is legal in TOML, but would let two readers see two texts. */
static char *take_text(struct toml *node, const char *text, size_t size)
{
	node->has_nul |= memchr(text, '\0', size) != NULL;
	return g_strndup(text, size);
}

/* toml_shim_add */
static void *node_add(void *parent_, const struct toml_shim_node *from)
{
	struct toml *parent = parent_, *node = node_new((enum toml_kind)from->kind, from->line, from->column);

	node->root = parent->root;
	node->file = parent->file;
	node->integer = from->integer;
	node->boolean = from->boolean;
	if (from->key != NULL)
		node->key = take_text(node, from->key, from->key_size);
	if (from->text != NULL)
		node->text = take_text(node, from->text, from->text_size);
	if (node->kind == TOML_TIME && node->text != NULL)
		node->bad_time = !time_parse_ms(node->text, &node->integer);
	g_ptr_array_add(parent->children, node);
	return node;
}

static int compare_places(const void *a, const void *b)
{
	const struct toml *left = *(struct toml *const *)a, *right = *(struct toml *const *)b;

	if (left->line != right->line)
		return left->line < right->line ? -1 : 1;
	return (left->column > right->column) - (left->column < right->column);
}

/* Puts members in the file's order, and refuses what TOML allows but no reader of ours could hold. */
static gboolean finish(struct toml *node, GError **error)
{
	if (node->has_nul)
		return toml_fail(node, error, "a NUL in a string is not allowed");
	if (node->bad_time)
		return toml_fail(node, error, "%s is no moment that exists", node->text);
	if (node->children == NULL)
		return TRUE;
	if (node->kind == TOML_TABLE)
		g_ptr_array_sort(node->children, compare_places);
	for (guint i = 0; i < node->children->len; i++) {
		if (!finish(g_ptr_array_index(node->children, i), error))
			return FALSE;
	}
	return TRUE;
}

static gboolean fail_at(GError **error, const char *name, guint line, guint column, const char *reason)
{
	g_autofree char *shown = text_escape(name, -1, 256), *words = text_escape(reason, -1, 256);

	error_refused(error, "%s:%u:%u: %s", shown, line, column, words);
	return FALSE;
}

/* toml++ takes some UTF-8 that is none. */
static gboolean check_bytes(const char *text, size_t size, const char *name, GError **error)
{
	guint line = 1, column = 1;
	const char *end;

	if (size > SIZE_MAX_TOML) {
		g_autofree char *shown = text_escape(name, -1, 256);

		error_refused(error, "%s: it is larger than the limit of %d bytes", shown, SIZE_MAX_TOML);
		return FALSE;
	}
	if (g_utf8_validate_len(text, size, &end))
		return TRUE;
	for (const char *p = text; p < end; p = g_utf8_next_char(p)) {
		line += *p == '\n';
		column = *p == '\n' ? 1 : column + 1;
	}
	return fail_at(error, name, line, column, "it is not valid UTF-8, or holds a NUL");
}

struct toml *toml_parse(const char *text, size_t size, const char *name, GError **error)
{
	struct toml_shim_error failure = { 0 };

	if (!check_bytes(size == 0 ? "" : text, size, name, error))
		return NULL;
	autoptr(toml) root = node_new(TOML_TABLE, 1, 1);
	root->root = root;
	root->file = text_escape(name, -1, 256);
	if (!toml_shim_read(size == 0 ? "" : text, size, node_add, root, &failure)) {
		fail_at(error, name, failure.line, failure.column, failure.reason);
		return NULL;
	}
	return finish(root, error) ? g_steal_pointer(&root) : NULL;
}

void toml_free(struct toml *root)
{
	if (root != NULL)
		node_free(root);
}

enum toml_kind toml_kind(const struct toml *node)
{
	return node->kind;
}

guint toml_line(const struct toml *node)
{
	return node->line;
}

const char *toml_file(const struct toml *node)
{
	return node->file;
}

const struct toml *toml_get(const struct toml *table, const char *key)
{
	const char *name;

	for (guint i = 0; i < toml_length(table); i++) {
		const struct toml *member = toml_member(table, i, &name);

		if (member != NULL && g_str_equal(name, key))
			return member;
	}
	return NULL;
}

guint toml_length(const struct toml *node)
{
	return node == NULL || node->children == NULL ? 0 : node->children->len;
}

const struct toml *toml_at(const struct toml *array, guint index)
{
	return index < toml_length(array) ? g_ptr_array_index(array->children, index) : NULL;
}

const struct toml *toml_member(const struct toml *table, guint index, const char **key)
{
	const struct toml *member = toml_at(table, index);

	if (member == NULL || member->key == NULL)
		return NULL;
	if (key != NULL)
		*key = member->key;
	return member;
}

const char *toml_as_string(const struct toml *node)
{
	return node != NULL && node->kind == TOML_STRING ? node->text : NULL;
}

int64_t toml_as_integer(const struct toml *node)
{
	return node != NULL && node->kind == TOML_INTEGER ? node->integer : 0;
}

gboolean toml_as_boolean(const struct toml *node)
{
	return node != NULL && node->kind == TOML_BOOLEAN && node->boolean;
}

gboolean toml_has_time(const struct toml *node)
{
	return node != NULL && node->kind == TOML_TIME && node->text != NULL;
}

int64_t toml_as_time_ms(const struct toml *node)
{
	return toml_has_time(node) ? node->integer : 0;
}

gboolean toml_fail(const struct toml *node, GError **error, const char *format, ...)
{
	g_autofree char *reason = NULL;
	va_list args;

	va_start(args, format);
	reason = g_strdup_vprintf(format, args);
	va_end(args);
	error_refused(error, "%s:%u:%u: %s", node->file, node->line, node->column, reason);
	return FALSE;
}
