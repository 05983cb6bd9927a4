#include "gitops/manifest.h"

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/range_private.h"

#define DEPTH_MAX 128
#define COMMIT_MAX ((size_t)4 << 20)

struct listing {
	struct objects *objects;
	GString *text;
	guint entries;
	uint64_t bytes;
};

static gboolean add_blob(struct listing *l, const struct tree_entry *entry, const char *shown, GError **error)
{
	g_autoptr(GBytes) content = objects_read(l->objects, entry->id, "blob", MANIFEST_BLOB_MAX, error);
	g_autofree char *digest = NULL;

	if (content == NULL)
		return FALSE;
	l->bytes += g_bytes_get_size(content);
	if (l->bytes > MANIFEST_BYTES_MAX) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE,
		    "all files before it have more than %" G_GUINT64_FORMAT " bytes", MANIFEST_BYTES_MAX);
		return FALSE;
	}
	digest = sha256_text_bytes(content);
	g_string_append_printf(l->text, "%06o blob %s %zu %s\n", entry->mode, digest, g_bytes_get_size(content), shown);
	return TRUE;
}

static gboolean list_tree(struct listing *l, const char *folder, const char *id, guint depth, GError **error);

static gboolean list_entry(
    struct listing *l, const char *folder, const struct tree_entry *entry, guint depth, GError **error)
{
	g_autofree char *path = g_strconcat(folder, entry->name, NULL), *shown = path_text(path);
	g_autofree char *below = g_strconcat(path, "/", NULL);
	gboolean ok = TRUE;

	if ((entry->mode & MODE_KIND) == MODE_FOLDER)
		return list_tree(l, below, entry->id, depth + 1, error);
	if (++l->entries > MANIFEST_ENTRIES_MAX) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "the tree has more than %d files",
		    MANIFEST_ENTRIES_MAX);
		return FALSE;
	}
	if ((entry->mode & MODE_KIND) == MODE_MODULE)
		g_string_append_printf(l->text, "%06o commit %s - %s\n", entry->mode, entry->id, shown);
	else
		ok = add_blob(l, entry, shown, error);
	if (!ok)
		g_prefix_error(error, "%s: ", shown);
	return ok;
}

/* Git sorts a folder's entries so that whole paths come out in order. */
static gboolean list_tree(struct listing *l, const char *folder, const char *id, guint depth, GError **error)
{
	g_autoptr(GArray) entries = NULL;

	if (depth > DEPTH_MAX) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "folders stand more than %d deep", DEPTH_MAX);
		return FALSE;
	}
	entries = tree_read(l->objects, id, error);
	for (guint i = 0; entries != NULL && i < entries->len; i++)
		if (!list_entry(l, folder, &g_array_index(entries, struct tree_entry, i), depth, error))
			return FALSE;
	return entries != NULL;
}

GBytes *manifest_make(const char *path, const char *commit, GError **error)
{
	autoptr(objects) objects = objects_open(path, error);
	g_autoptr(GBytes) raw = objects != NULL ? objects_read(objects, commit, "commit", COMMIT_MAX, error) : NULL;
	autoptr(commit_head) head = raw != NULL ? commit_head_read(raw, commit, error) : NULL;
	struct listing l = { objects, g_string_new(NULL), 0, 0 };

	if (head == NULL || !list_tree(&l, "", head->tree, 0, error)) {
		g_string_free(l.text, TRUE);
		return NULL;
	}
	return g_string_free_to_bytes(l.text);
}
