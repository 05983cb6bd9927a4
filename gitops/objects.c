#include "gitops/objects.h"

#include <git2.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"
#include "gitops/base/error.h"
#include "gitops/mirror.h"

#define TREE_MAX ((size_t)16 << 20)

struct objects {
	git_repository *repository;
	git_odb *odb;
};

static gboolean git_failed(const char *what, const char *doing, GError **error)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, "%s could not be %s: %s", what, doing,
	    last != NULL ? last->message : "unknown reason");
	return FALSE;
}

struct objects *objects_open(const char *path, GError **error)
{
	autoptr(objects) o = g_new0(struct objects, 1);

	if (!mirror_init(error))
		return NULL;
	if (git_repository_open_ext(&o->repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0 ||
	    git_repository_odb(&o->odb, o->repository) != 0) {
		git_failed(path, "opened as a git repository", error);
		return NULL;
	}
	return g_steal_pointer(&o);
}

void objects_close(struct objects *o)
{
	if (o == NULL)
		return;
	git_odb_free(o->odb);
	git_repository_free(o->repository);
	g_free(o);
}

char *objects_resolve(struct objects *o, const char *name, GError **error)
{
	git_object *named = NULL, *commit = NULL;
	char hex[GIT_OID_HEXSZ + 1] = "";

	if (git_revparse_single(&named, o->repository, name) == 0 &&
	    git_object_peel(&commit, named, GIT_OBJECT_COMMIT) == 0) {
		git_oid_tostr(hex, sizeof(hex), git_object_id(commit));
	} else {
		g_autofree char *shown = text_escape(name, -1, 200);

		g_set_error(
		    error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND, "no commit stands under the name \"%s\"", shown);
	}
	git_object_free(commit);
	git_object_free(named);
	return *hex != '\0' ? g_strdup(hex) : NULL;
}

static void unref_object(gpointer object)
{
	git_odb_object_free(object);
}

/* The header comes first: a blob of gigabytes packs into a few bytes. */
static gboolean check_header(struct objects *o, const char *id, git_oid *oid, const char *type, size_t max, GError **error)
{
	git_object_t found;
	size_t size;

	if (!is_object_id(id) || git_oid_fromstr(oid, id) != 0 ||
	    git_odb_read_header(&size, &found, o->odb, oid) != 0 || found != git_object_string2type(type))
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND, "there is no %s %s", type, id);
	else if (size > max)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE,
		    "the %s %s has %zu bytes; at most %zu are read", type, id, size, max);
	else
		return TRUE;
	return FALSE;
}

/* libgit2 hashes what it reads (mirror_init() asked for that), so that large blobs need not be hashed twice here. */
GBytes *objects_read(struct objects *o, const char *id, const char *type, size_t max, GError **error)
{
	git_odb_object *object = NULL;
	git_oid oid;
	int done;

	if (!check_header(o, id, &oid, type, max, error))
		return NULL;
	done = git_odb_read(&object, o->odb, &oid);
	if (done == GIT_EMISMATCH)
		error_refused(error, "the %s %s does not hold what its id says: the repository is damaged", type, id);
	else if (done != 0)
		git_failed(id, "read", error);
	return done == 0 ? g_bytes_new_with_free_func(
			       git_odb_object_data(object), git_odb_object_size(object), unref_object, object)
			 : NULL;
}

gboolean objects_descends(struct objects *o, const char *commit, const char *ancestor, gboolean *does, GError **error)
{
	git_object_t type;
	git_oid from, to;
	size_t size;
	int found;

	*does = FALSE;
	if (!is_object_id(commit) || !is_object_id(ancestor) || git_oid_fromstr(&from, commit) != 0 ||
	    git_oid_fromstr(&to, ancestor) != 0 || git_odb_read_header(&size, &type, o->odb, &to) != 0 ||
	    type != GIT_OBJECT_COMMIT)
		return TRUE;
	found = git_oid_equal(&from, &to) ? 1 : git_graph_descendant_of(o->repository, &from, &to);
	*does = found == 1;
	return found >= 0 || git_failed(commit, "followed down its history", error);
}

/* ---- trees ---- */

static void entry_clear(gpointer entry)
{
	g_free(((struct tree_entry *)entry)->name);
}

static gboolean mode_parse(const uint8_t *text, size_t size, uint32_t *mode)
{
	*mode = 0;
	if (size == 0 || size > 7)
		return FALSE;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '7')
			return FALSE;
		*mode = *mode * 8 + (text[i] - '0');
	}
	switch (*mode & MODE_KIND) {
	case MODE_FOLDER:
	case MODE_FILE:
	case MODE_LINK:
	case MODE_MODULE:
		return *mode <= 0177777;
	default:
		return FALSE;
	}
}

static const char *name_refusal(const char *name)
{
	if (*name == '\0')
		return "a name is empty";
	if (strchr(name, '/') != NULL)
		return "a name holds a slash";
	if (g_str_equal(name, ".") || g_str_equal(name, "..") || g_ascii_strcasecmp(name, ".git") == 0)
		return "a name is \".\", \"..\" or \".git\"";
	return NULL;
}

/* The field up to that byte, which is passed over. */
static gboolean take_until(struct cursor *c, uint8_t end, const uint8_t **field, size_t *size, const char *name)
{
	const uint8_t *at = c->data + c->at, *stop = cursor_left(c) > 0 ? memchr(at, end, cursor_left(c)) : NULL;

	if (stop == NULL)
		return cursor_refuse(c, name, "does not end");
	*size = (size_t)(stop - at);
	return cursor_bytes(c, field, *size, name) && cursor_skip(c, 1, name);
}

static gboolean take_entry(struct cursor *c, struct tree_entry *entry)
{
	const uint8_t *mode, *name, *id;
	size_t mode_size, name_size;
	g_autofree char *hex = NULL;
	const char *refusal;

	if (!take_until(c, ' ', &mode, &mode_size, "mode") || !take_until(c, '\0', &name, &name_size, "name") ||
	    !cursor_bytes(c, &id, 20, "id"))
		return FALSE;
	if (!mode_parse(mode, mode_size, &entry->mode))
		return cursor_refuse(c, "mode", "none of a file, folder, link or submodule");
	entry->name = g_strndup((const char *)name, name_size);
	hex = hex_encode(id, 20);
	memcpy(entry->id, hex, sizeof(entry->id));
	refusal = name_refusal(entry->name);
	return refusal == NULL || cursor_refuse(c, "name", "%s", refusal);
}

/* Git's order: folders as if their names ended in '/'. */
static int compare_names(const struct tree_entry *a, const struct tree_entry *b)
{
	size_t n = strlen(a->name), m = strlen(b->name), common = MIN(n, m);
	int order = memcmp(a->name, b->name, common);
	uint8_t x = n > common ? (uint8_t)a->name[common] : (a->mode & MODE_KIND) == MODE_FOLDER ? '/' : '\0';
	uint8_t y = m > common ? (uint8_t)b->name[common] : (b->mode & MODE_KIND) == MODE_FOLDER ? '/' : '\0';

	return order != 0 ? order : (int)x - (int)y;
}

/* Neighbours tell the order; a file and a folder of one name need not be neighbours. */
static gboolean check_order(const GArray *entries, GError **error)
{
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < entries->len; i++) {
		const struct tree_entry *entry = &g_array_index(entries, struct tree_entry, i);
		g_autofree char *shown = text_escape(entry->name, -1, 200);

		if (!g_hash_table_add(names, entry->name)) {
			error_refused(error, "the name \"%s\" stands twice", shown);
			return FALSE;
		}
		if (i > 0 && compare_names(entry - 1, entry) >= 0) {
			error_refused(error, "the name \"%s\" is out of order", shown);
			return FALSE;
		}
	}
	return TRUE;
}

GArray *tree_parse(GBytes *raw, const char *id, GError **error)
{
	g_autoptr(GArray) entries = g_array_new(FALSE, TRUE, sizeof(struct tree_entry));
	g_autofree char *what = g_strdup_printf("the tree %s", id);
	struct cursor c;
	gsize size;
	const void *data = g_bytes_get_data(raw, &size);

	g_array_set_clear_func(entries, entry_clear);
	cursor_init(&c, data, size);
	while (cursor_left(&c) > 0) {
		struct tree_entry entry = { 0 };
		gboolean good = take_entry(&c, &entry);

		g_array_append_val(entries, entry);
		if (!good) {
			cursor_fail(&c, what, error);
			return NULL;
		}
	}
	if (check_order(entries, error))
		return g_steal_pointer(&entries);
	g_prefix_error(error, "%s: ", what);
	return NULL;
}

GArray *tree_read(struct objects *o, const char *id, GError **error)
{
	g_autoptr(GBytes) raw = objects_read(o, id, "tree", TREE_MAX, error);

	return raw != NULL ? tree_parse(raw, id, error) : NULL;
}

char *path_text(const char *path)
{
	GString *text;

	if (*path != '"' && text_is_clean(path, strlen(path)))
		return g_strdup(path);
	text = g_string_new("\"");
	for (; *path != '\0'; path++) {
		if (*path == '"' || *path == '\\')
			g_string_append_printf(text, "\\%c", *path);
		else if (*path < ' ' || *path > '~')
			g_string_append_printf(text, "\\%03o", (guint)(guchar)*path);
		else
			g_string_append_c(text, *path);
	}
	return g_string_free(g_string_append_c(text, '"'), FALSE);
}
