/* The newest documents of an audit repository, read from its tree from the end. */
#include "gitops/replay.h"

#include <git2.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/mirror.h"
#include "gitops/policy_history.h"

#define PAIRS_LEAST 3 /* "00/12/34" */
#define PAIRS_MOST 9
#define BLOB_MOST (64 * 1024 * 1024)

struct replay_log {
	git_repository *git;
	git_tree *root;
};

static gboolean fail(const char *what, GError **error)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, "the audit repository: %s: %s", what,
	    last != NULL ? last->message : "unknown reason");
	return FALSE;
}

void replay_log_free(struct replay_log *log)
{
	git_tree_free(log->root);
	git_repository_free(log->git);
	g_free(log);
}

struct replay_log *replay_log_open(const char *path, GError **error)
{
	autoptr(replay_log) log = g_new0(struct replay_log, 1);
	git_object *tip = NULL;
	g_autofree char *what = NULL;

	if (!mirror_init(error))
		return NULL;
	if (git_repository_open_ext(&log->git, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0) {
		what = g_strdup_printf("cannot open %s", path);
		fail(what, error);
		return NULL;
	}
	if (git_revparse_single(&tip, log->git, "refs/heads/main^{tree}") != 0) {
		what = g_strdup_printf("%s has no branch main", path);
		fail(what, error);
		return NULL;
	}
	log->root = (git_tree *)tip;
	return g_steal_pointer(&log);
}

static GBytes *blob(struct replay_log *log, const git_oid *id, GError **error)
{
	git_blob *found = NULL;
	GBytes *bytes = NULL;

	if (git_blob_lookup(&found, log->git, id) != 0)
		fail("a file cannot be read from this clone", error);
	else if (git_blob_rawsize(found) > BLOB_MOST)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE,
		    "the audit repository holds a file of more than %d bytes", BLOB_MOST);
	else
		bytes = g_bytes_new(git_blob_rawcontent(found), git_blob_rawsize(found));
	git_blob_free(found);
	return bytes;
}

/* ---- newest first ---- */

struct search {
	struct replay_log *log;
	GPtrArray *entries; /* newest first */
	guint most;
};

static void entry_free(gpointer data)
{
	struct replay_entry *entry = data;

	g_free(entry->place);
	json_unref(entry->record);
	g_free(entry);
}

static gboolean is_pair(const char *name)
{
	return g_ascii_isdigit(name[0]) && g_ascii_isdigit(name[1]);
}

static gboolean take_document(struct search *s, const git_tree_entry *file, const char *folder, GError **error)
{
	g_autoptr(GBytes) bytes = blob(s->log, git_tree_entry_id(file), error);
	g_autofree char *place = g_strdup_printf("%s%.2s", folder, git_tree_entry_name(file));
	autoptr(json) document = NULL;
	struct replay_entry *entry;

	if (bytes == NULL)
		return FALSE;
	document = json_parse(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), JSON_STRICT, error);
	if (document == NULL) {
		g_prefix_error(error, "records/%s: ", place);
		return FALSE;
	}
	if (json_get(document, "event") != NULL)
		return TRUE;
	entry = g_new0(struct replay_entry, 1);
	entry->place = g_steal_pointer(&place);
	entry->record = g_steal_pointer(&document);
	g_ptr_array_add(s->entries, entry);
	return TRUE;
}

static gboolean search_tree(struct search *s, const git_tree *tree, const char *folder, guint pairs, GError **error);

static gboolean search_entry(
    struct search *s, const git_tree_entry *entry, const char *folder, guint pairs, GError **error)
{
	const char *name = git_tree_entry_name(entry);
	gboolean is_tree = git_tree_entry_type(entry) == GIT_OBJECT_TREE, good;
	g_autofree char *below = NULL;
	git_tree *tree = NULL;

	if (!is_pair(name) || is_tree != (pairs > 1))
		return TRUE;
	if (!is_tree)
		return name[2] != '-' || take_document(s, entry, folder, error);
	if (git_tree_lookup(&tree, s->log->git, git_tree_entry_id(entry)) != 0)
		return fail("a folder cannot be read from this clone", error);
	below = g_strdup_printf("%s%.2s/", folder, name);
	good = search_tree(s, tree, below, pairs - 1, error);
	git_tree_free(tree);
	return good;
}

/* Numbers of exactly so many pairs of digits, the greatest first, until there are enough records. */
static gboolean search_tree(struct search *s, const git_tree *tree, const char *folder, guint pairs, GError **error)
{
	for (size_t i = git_tree_entrycount(tree); i > 0 && s->entries->len < s->most; i--)
		if (!search_entry(s, git_tree_entry_byindex(tree, i - 1), folder, pairs, error))
			return FALSE;
	return TRUE;
}

/* The numbers have no gap, so there is one of eight digits only if 01000000 is there: "01/00/00" is then a folder. */
static guint most_pairs(const git_tree *records)
{
	g_autoptr(GString) path = g_string_new("01/00");
	guint pairs = PAIRS_LEAST;
	git_tree_entry *entry = NULL;

	for (; pairs < PAIRS_MOST; pairs++) {
		gboolean is_tree;

		g_string_append(path, "/00");
		if (git_tree_entry_bypath(&entry, records, path->str) != 0)
			break;
		is_tree = git_tree_entry_type(entry) == GIT_OBJECT_TREE;
		git_tree_entry_free(entry);
		if (!is_tree)
			break;
	}
	return pairs;
}

static git_tree *subtree(struct replay_log *log, const char *path)
{
	git_tree_entry *entry = NULL;
	git_tree *tree = NULL;

	if (git_tree_entry_bypath(&entry, log->root, path) == 0)
		git_tree_lookup(&tree, log->git, git_tree_entry_id(entry));
	git_tree_entry_free(entry);
	return tree;
}

static void reverse(GPtrArray *array)
{
	for (guint i = 0; i + i + 1 < array->len; i++) {
		gpointer other = array->pdata[array->len - 1 - i];

		array->pdata[array->len - 1 - i] = array->pdata[i];
		array->pdata[i] = other;
	}
}

GPtrArray *replay_log_newest(struct replay_log *log, guint most, GError **error)
{
	g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(entry_free);
	struct search search = { log, entries, most };
	git_tree *records = subtree(log, "records");
	gboolean good = TRUE;

	for (guint pairs = records != NULL ? most_pairs(records) : 0; good && pairs >= PAIRS_LEAST; pairs--)
		good = search_tree(&search, records, "", pairs, error);
	git_tree_free(records);
	if (!good)
		return NULL;
	reverse(entries);
	return g_steal_pointer(&entries);
}

GHashTable *replay_log_evidence(struct replay_log *log, const char *place, GError **error)
{
	g_autoptr(GHashTable) files =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	g_autofree char *path = g_strconcat("evidence/", place, NULL);
	git_tree *tree = subtree(log, path);
	gboolean good = TRUE;

	for (size_t i = 0; tree != NULL && good && i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
		const char *name = git_tree_entry_name(entry);
		GBytes *bytes;

		if (git_tree_entry_type(entry) != GIT_OBJECT_BLOB || g_str_equal(name, POLICY_HISTORY))
			continue;
		bytes = blob(log, git_tree_entry_id(entry), error);
		good = bytes != NULL;
		if (good)
			g_hash_table_insert(files, g_strdup(name), bytes);
	}
	git_tree_free(tree);
	return good ? g_steal_pointer(&files) : NULL;
}
