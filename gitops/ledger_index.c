#include "gitops/ledger_index.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/base/json.h"

#define CACHE_MAX ((size_t)64 << 20)

static void newest_free(gpointer data)
{
	g_free(((struct ledger_newest *)data)->sha256);
	g_free(data);
}

void ledger_index_clear(struct ledger_index *index)
{
	g_clear_pointer(&index->ids, g_hash_table_unref);
	g_clear_pointer(&index->projects, g_hash_table_unref);
	g_clear_pointer(&index->last_id, g_free);
	index->last = 0;
}

static void index_init(struct ledger_index *index)
{
	ledger_index_clear(index);
	index->ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	index->projects = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, newest_free);
}

static void note_project(struct ledger_index *index, const char *project, gint64 sequence, const char *sha256)
{
	struct ledger_newest *newest = g_hash_table_lookup(index->projects, project);

	if (newest != NULL && newest->sequence >= sequence)
		return;
	newest = g_new0(struct ledger_newest, 1);
	newest->sequence = sequence;
	newest->sha256 = g_strdup(sha256);
	g_hash_table_replace(index->projects, g_strdup(project), newest);
}

void ledger_index_add(struct ledger_index *index, const char *id, gint64 sequence, const char *project, const char *sha256)
{
	g_hash_table_replace(index->ids, g_strdup(id), GSIZE_TO_POINTER((gsize)sequence));
	if (project != NULL)
		note_project(index, project, sequence, sha256);
	if (sequence > index->last) {
		index->last = sequence;
		g_free(index->last_id);
		index->last_id = g_strdup(id);
	}
}

/* "records/00/12/" and "34-ID.json" to 1234 and ID. Caller frees. */
static char *parse_path(const char *folder, const char *name, gint64 *sequence)
{
	const char *dash = strchr(name, '-');
	gint64 number = 0;

	if (!g_str_has_prefix(folder, "records/") || dash == NULL || !g_str_has_suffix(dash, ".json"))
		return NULL;
	for (const char *at = folder + strlen("records/"); *at != '\0'; at++) {
		if (g_ascii_isdigit(*at))
			number = number * 10 + (*at - '0');
	}
	for (const char *at = name; at < dash; at++)
		number = number * 10 + (*at - '0');
	*sequence = number;
	return g_strndup(dash + 1, strlen(dash + 1) - strlen(".json"));
}

struct walk {
	struct ledger_index *index;
	git_repository *repository;
	gint64 known; /* records up to here need not be read; G_MAXINT64: none is */
	GError *error;
};

static gboolean read_record(struct walk *walk, const git_tree_entry *entry, gint64 sequence)
{
	git_blob *blob = NULL;
	autoptr(json) record = NULL;
	g_autofree char *sha256 = NULL;
	const char *project;

	if (git_blob_lookup(&blob, walk->repository, git_tree_entry_id(entry)) != 0) {
		g_set_error(&walk->error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "record %" G_GINT64_FORMAT " could not be read: %s", sequence, git_error_last()->message);
		return FALSE;
	}
	record = json_parse(git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob), JSON_STRICT, &walk->error);
	sha256 = sha256_text(git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
	git_blob_free(blob);
	if (record == NULL)
		return FALSE;
	project = json_get(record, "event") == NULL ? json_string(record, "project") : NULL;
	if (project != NULL)
		note_project(walk->index, project, sequence, sha256);
	return TRUE;
}

static int visit(const char *folder, const git_tree_entry *entry, void *data)
{
	struct walk *walk = data;
	g_autofree char *id = NULL;
	gint64 sequence;

	if (*folder == '\0')
		return !g_str_equal(git_tree_entry_name(entry), "records"); /* positive: not descended into */
	if (git_tree_entry_type(entry) != GIT_OBJECT_BLOB ||
	    (id = parse_path(folder, git_tree_entry_name(entry), &sequence)) == NULL)
		return 0;
	if (walk->known == G_MAXINT64)
		ledger_index_add(walk->index, id, sequence, NULL, NULL);
	else if (sequence > walk->known && !read_record(walk, entry, sequence))
		return -1;
	return 0;
}

static gboolean walk_records(struct walk *walk, git_tree *tree, GError **error)
{
	if (git_tree_walk(tree, GIT_TREEWALK_PRE, visit, walk) == 0)
		return TRUE;
	if (walk->error != NULL)
		g_propagate_error(error, g_steal_pointer(&walk->error));
	else
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "the log's records could not be listed: %s", git_error_last()->message);
	return FALSE;
}

/* Up to which record the cache tells the projects' newest; 0: it is of no use. */
static gint64 read_cache(struct ledger_index *index, const char *cache)
{
	g_autoptr(GBytes) bytes = file_read(cache, CACHE_MAX, NULL);
	autoptr(json) value = bytes != NULL ? json_parse_bytes(bytes, NULL) : NULL;
	const struct json *projects = json_get(value, "projects");
	gint64 sequence = json_integer(value, "sequence", 0);
	const char *id = json_string(value, "id");

	if (id == NULL || sequence <= 0 || g_hash_table_lookup(index->ids, id) != GSIZE_TO_POINTER((gsize)sequence))
		return 0;
	for (guint i = 0; i < json_length(projects); i++) {
		const char *name = NULL;
		const struct json *newest = json_member(projects, i, &name);
		const char *sha256 = json_string(newest, "sha256");

		if (sha256 != NULL && is_sha256_text(sha256))
			note_project(index, name, json_integer(newest, "sequence", 0), sha256);
	}
	return sequence;
}

gboolean ledger_index_load(
    struct ledger_index *index, git_repository *repository, const git_oid *tree, const char *cache, GError **error)
{
	struct walk walk = { index, repository, G_MAXINT64, NULL };
	git_tree *root = NULL;
	gboolean ok = FALSE;

	index_init(index);
	if (tree == NULL)
		return TRUE;
	if (git_tree_lookup(&root, repository, tree) != 0) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the log's tree could not be read: %s",
		    git_error_last()->message);
		return FALSE;
	}
	if (walk_records(&walk, root, error)) {
		walk.known = read_cache(index, cache);
		ok = walk_records(&walk, root, error);
	}
	git_tree_free(root);
	if (ok && g_hash_table_size(index->ids) != index->last) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED,
		    "the log holds %u documents but its last has number %" G_GINT64_FORMAT "; it was tampered with",
		    g_hash_table_size(index->ids), index->last);
		return FALSE;
	}
	return ok;
}

gboolean ledger_index_save(const struct ledger_index *index, const char *cache, GError **error)
{
	autoptr(json) value = json_object_new();
	struct json *projects = json_object_new();
	g_autoptr(GBytes) bytes = NULL;
	GHashTableIter iter;
	gpointer name, newest;

	g_hash_table_iter_init(&iter, index->projects);
	while (g_hash_table_iter_next(&iter, &name, &newest)) {
		struct json *one = json_object_new();

		json_set_string(one, "sha256", ((struct ledger_newest *)newest)->sha256);
		json_set_integer(one, "sequence", ((struct ledger_newest *)newest)->sequence);
		json_set(projects, name, one);
	}
	json_set_integer(value, "sequence", index->last);
	json_set_string(value, "id", index->last_id);
	json_set(value, "projects", projects);
	bytes = json_canonical(value);
	return file_write(cache, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), 0600, error);
}
