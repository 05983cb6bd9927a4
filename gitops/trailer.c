/*
 * One strict grammar for trailers. git's own (25 % rule, folding, comments, configured separators) and libgit2's disagree on
 * text that an attacker chooses, so whatever either could read otherwise is refused here.
 */
#include "gitops/object.h"

#include <string.h>

#include "gitops/base/bytes.h"

#define PREFIX "Tagseal-"
#define LINE_MAX_BYTES 1000

static const char *const reserved[] = { "Approve", "Deny", "Withdraw", "Tag", "Tree", "Project", "Policy", "Artifact",
	"Range", "Supersedes", "Promote", "Approve-Policy", "Resign", "Reason", "Rebuilt", NULL };

static void trailer_free(void *data)
{
	struct trailer *trailer = data;

	g_free(trailer->key);
	g_free(trailer->value);
	g_free(trailer);
}

static gboolean is_blank(const char *line)
{
	return line[strspn(line, " \t")] == '\0';
}

/* Any case, and indented too: what a person would read as ours. */
static gboolean looks_reserved(const char *line)
{
	return g_ascii_strncasecmp(line + strspn(line, " \t"), PREFIX, strlen(PREFIX)) == 0;
}

/* "Key: value", key [A-Z][A-Za-z0-9-]*, value clean and without spaces around it. */
static struct trailer *line_parse(const char *line, guint number)
{
	size_t key = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");
	const char *value = line + key + 2;
	struct trailer *trailer;
	size_t size;

	if (!g_ascii_isupper(line[0]) || line[key] != ':' || line[key + 1] != ' ')
		return NULL;
	size = strlen(value);
	if (size == 0 || strlen(line) > LINE_MAX_BYTES || value[0] == ' ' || value[size - 1] == ' ' ||
	    !text_is_clean(value, size))
		return NULL;
	trailer = g_new(struct trailer, 1);
	*trailer = (struct trailer){ .key = g_strndup(line, key), .value = g_strdup(value), .line = number };
	return trailer;
}

/* The last paragraph as [*from, *to) of the lines; empty if it is also the first one, which is the title. */
static void last_paragraph(char **lines, guint *from, guint *to)
{
	*to = g_strv_length(lines);
	while (*to > 0 && is_blank(lines[*to - 1]))
		(*to)--;
	for (*from = *to; *from > 0 && !is_blank(lines[*from - 1]);)
		(*from)--;
	for (guint i = 0; i < *from; i++)
		if (!is_blank(lines[i]))
			return;
	*from = *to;
}

/* NULL unless every line of the paragraph is a trailer. */
static GPtrArray *block_parse(char **lines, guint from, guint to)
{
	g_autoptr(GPtrArray) trailers = g_ptr_array_new_with_free_func(trailer_free);

	for (guint i = from; i < to; i++) {
		struct trailer *trailer = line_parse(lines[i], i + 1);

		if (trailer == NULL)
			return NULL;
		g_ptr_array_add(trailers, trailer);
	}
	return g_steal_pointer(&trailers);
}

static gboolean keys_known(const GPtrArray *trailers, GError **error)
{
	for (guint i = 0; i < trailers->len; i++) {
		const struct trailer *t = g_ptr_array_index(trailers, i);

		if (!looks_reserved(t->key))
			continue;
		if (!g_str_has_prefix(t->key, PREFIX) || !g_strv_contains(reserved, t->key + strlen(PREFIX))) {
			g_autofree char *key = text_escape(t->key, -1, 64);
			error_refused(error,
			    "message line %u: \"%s\" is no trailer that tagseal knows; keys that start with " PREFIX
			    " are reserved and written exactly so",
			    t->line, key);
			return FALSE;
		}
	}
	return TRUE;
}

/* Control characters could make a viewer show other lines than we read. */
static gboolean text_checked(const char *message, char **lines, GError **error)
{
	if (!g_utf8_validate(message, -1, NULL)) {
		error_refused(error, "the message is not valid UTF-8");
		return FALSE;
	}
	for (guint i = 0; lines[i] != NULL; i++)
		for (const char *p = lines[i]; *p != '\0'; p = g_utf8_next_char(p)) {
			gunichar u = g_utf8_get_char(p);

			if ((u != '\t' && g_unichar_iscntrl(u)) || u == 0x2028 || u == 0x2029) {
				error_refused(error, "message line %u: control character U+%04X is refused", i + 1, u);
				return FALSE;
			}
		}
	return TRUE;
}

GPtrArray *trailers_parse(const char *message, GError **error)
{
	g_auto(GStrv) lines = g_strsplit(message, "\n", -1);
	g_autoptr(GPtrArray) trailers = NULL;
	guint from, to;

	if (!text_checked(message, lines, error))
		return NULL;
	last_paragraph(lines, &from, &to);
	trailers = block_parse(lines, from, to);
	if (trailers == NULL) {
		trailers = g_ptr_array_new_with_free_func(trailer_free);
		from = to;
	}
	for (guint i = 0; lines[i] != NULL; i++)
		if ((i < from || i >= to) && looks_reserved(lines[i])) {
			error_refused(error,
			    "message line %u: a line that starts with " PREFIX
			    " must stand in the last paragraph, where every line is \"Key: value\" without folding",
			    i + 1);
			return NULL;
		}
	return keys_known(trailers, error) ? g_steal_pointer(&trailers) : NULL;
}

gboolean trailer_single(const GPtrArray *trailers, const char *key, const char **value, GError **error)
{
	*value = NULL;
	for (guint i = 0; i < trailers->len; i++) {
		const struct trailer *t = g_ptr_array_index(trailers, i);

		if (!g_str_equal(t->key, key))
			continue;
		if (*value != NULL) {
			error_refused(error, "message line %u: %s stands twice; it may stand once", t->line, key);
			return FALSE;
		}
		*value = t->value;
	}
	return TRUE;
}

/* "sha256:… NAME" into the map. */
static gboolean artifact_take(GHashTable *artifacts, const struct trailer *t, GError **error)
{
	const char *space = strchr(t->value, ' ');
	g_autofree char *digest = space != NULL ? g_strndup(t->value, space - t->value) : NULL;
	g_autofree char *shown = NULL;

	if (digest == NULL || !is_sha256_text(digest) || space[1] == ' ') {
		error_refused(error,
		    "message line %u: " PREFIX "Artifact must be \"sha256:\", 64 lower-case hex digits, one space and "
		    "the file's name",
		    t->line);
		return FALSE;
	}
	if (g_hash_table_contains(artifacts, space + 1)) {
		shown = text_escape(space + 1, -1, 128);
		error_refused(error, "message line %u: the artifact \"%s\" stands twice", t->line, shown);
		return FALSE;
	}
	g_hash_table_insert(artifacts, g_strdup(space + 1), g_steal_pointer(&digest));
	return TRUE;
}

GHashTable *trailers_artifacts(const GPtrArray *trailers, GError **error)
{
	g_autoptr(GHashTable) artifacts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

	for (guint i = 0; i < trailers->len; i++) {
		const struct trailer *t = g_ptr_array_index(trailers, i);

		if (g_str_equal(t->key, PREFIX "Artifact") && !artifact_take(artifacts, t, error))
			return NULL;
	}
	return g_steal_pointer(&artifacts);
}
