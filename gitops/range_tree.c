/* What changed between two trees: side by side, folder by folder, only where their ids differ. */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/range_private.h"

#define DEPTH_MAX 128
#define GITMODULES_MAX ((size_t)256 << 10)
#define EMPTY_BLOB                                                                                                     \
	"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391" /* any empty file is every other one: no sign of a renaming */

struct change {
	char *path; /* bytes */
	const char *status;
	char *from; /* renamed */
	uint32_t old_mode, mode; /* 0: was not, is not there */
	char old_id[41], id[41];
};

struct comparison {
	struct objects *objects;
	GPtrArray *changes; /* of struct change */
	guint looked_at;
	gboolean cut; /* too many entries: not all was looked at */
};

static void change_free(gpointer data)
{
	struct change *change = data;

	g_free(change->path);
	g_free(change->from);
	g_free(change);
}

static gboolean is_kind(uint32_t mode, uint32_t kind)
{
	return mode != 0 && (mode & MODE_KIND) == kind;
}

static void note(struct comparison *c, const char *path, const struct tree_entry *old, const struct tree_entry *new)
{
	struct change *change = g_new0(struct change, 1);

	change->path = g_strdup(path);
	if (old != NULL) {
		change->old_mode = old->mode;
		memcpy(change->old_id, old->id, sizeof(old->id));
	}
	if (new != NULL) {
		change->mode = new->mode;
		memcpy(change->id, new->id, sizeof(new->id));
	}
	change->status = old == NULL                               ? "added"
			 : new == NULL                             ? "deleted"
			 : strcmp(change->old_id, change->id) == 0 ? "mode"
								   : "modified";
	g_ptr_array_add(c->changes, change);
}

static gboolean compare_trees(
    struct comparison *c, const char *folder, const char *old, const char *new, guint depth, GError **error);

/* One name, as it was and as it is; either may be NULL. */
static gboolean compare_entries(struct comparison *c, const char *folder, const struct tree_entry *old,
    const struct tree_entry *new, guint depth, GError **error)
{
	g_autofree char *path = g_strconcat(folder, old != NULL ? old->name : new->name, NULL);
	g_autofree char *below = g_strconcat(path, "/", NULL);
	gboolean was = old != NULL && is_kind(old->mode, MODE_FOLDER), is = new != NULL &&is_kind(new->mode, MODE_FOLDER);

	if (old != NULL && new != NULL && old->mode == new->mode &&g_str_equal(old->id, new->id))
		return TRUE;
	if (old != NULL && new != NULL && was != is) /* a folder where a file was, or the other way round */
		return compare_entries(c, folder, old, NULL, depth, error) &&
		       compare_entries(c, folder, NULL, new, depth, error);
	if (was || is)
		return compare_trees(c, below, was ? old->id : NULL, is ? new->id : NULL, depth + 1, error);
	note(c, path, old, new);
	return TRUE;
}

static GArray *entries_of(struct comparison *c, const char *id, GError **error)
{
	GArray *entries =
	    id != NULL ? tree_read(c->objects, id, error) : g_array_new(FALSE, FALSE, sizeof(struct tree_entry));

	if (entries != NULL)
		c->looked_at += entries->len;
	return entries;
}

static GHashTable *by_name(const GArray *entries)
{
	GHashTable *names = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < entries->len; i++) {
		struct tree_entry *entry = &g_array_index(entries, struct tree_entry, i);

		g_hash_table_insert(names, entry->name, entry);
	}
	return names;
}

static gboolean compare_trees(
    struct comparison *c, const char *folder, const char *old, const char *new, guint depth, GError **error)
{
	g_autoptr(GArray) before = NULL, now = NULL;
	g_autoptr(GHashTable) names_before = NULL, names_now = NULL;

	if (g_strcmp0(old, new) == 0)
		return TRUE;
	if (depth > DEPTH_MAX || c->looked_at > RANGE_TREE_ENTRIES_MAX) {
		c->cut = TRUE;
		return TRUE;
	}
	if ((before = entries_of(c, old, error)) == NULL || (now = entries_of(c, new, error)) == NULL)
		return FALSE;
	names_before = by_name(before);
	names_now = by_name(now);
	for (guint i = 0; i < now->len; i++) {
		const struct tree_entry *entry = &g_array_index(now, struct tree_entry, i);

		if (!compare_entries(c, folder, g_hash_table_lookup(names_before, entry->name), entry, depth, error))
			return FALSE;
	}
	for (guint i = 0; i < before->len; i++) {
		const struct tree_entry *entry = &g_array_index(before, struct tree_entry, i);

		if (!g_hash_table_contains(names_now, entry->name) &&
		    !compare_entries(c, folder, entry, NULL, depth, error))
			return FALSE;
	}
	return TRUE;
}

/* ---- renames: a file that came has the very content of one that went ---- */

static gint compare_paths(gconstpointer a, gconstpointer b)
{
	const struct change *left = *(struct change *const *)a, *right = *(struct change *const *)b;
	int order = strcmp(left->path, right->path);

	/* A file that became a folder's name: gone first, then come. */
	return order != 0 ? order : (left->mode != 0) - (right->mode != 0);
}

static gboolean may_be_renamed(uint32_t mode, const char *id)
{
	return (is_kind(mode, MODE_FILE) || is_kind(mode, MODE_LINK)) && !g_str_equal(id, EMPTY_BLOB);
}

static void remove_changes(struct comparison *c, GHashTable *unwanted)
{
	gsize count = 0;
	g_autofree gpointer *all = g_ptr_array_steal(c->changes, &count);

	for (gsize i = 0; i < count; i++) {
		if (g_hash_table_contains(unwanted, all[i]))
			change_free(all[i]);
		else
			g_ptr_array_add(c->changes, all[i]);
	}
}

static void find_renames(struct comparison *c)
{
	g_autoptr(GHashTable) gone = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_queue_free);
	g_autoptr(GHashTable) moved = g_hash_table_new(NULL, NULL);

	for (guint i = 0; i < c->changes->len; i++) {
		struct change *change = c->changes->pdata[i];
		GQueue *same = g_hash_table_lookup(gone, change->old_id);

		if (change->mode != 0 || !may_be_renamed(change->old_mode, change->old_id))
			continue;
		if (same == NULL)
			g_hash_table_insert(gone, change->old_id, same = g_queue_new());
		g_queue_push_tail(same, change);
	}
	for (guint i = 0; i < c->changes->len; i++) {
		struct change *change = c->changes->pdata[i], *from;
		GQueue *same = change->old_mode == 0 && may_be_renamed(change->mode, change->id)
				   ? g_hash_table_lookup(gone, change->id)
				   : NULL;

		if (same == NULL || (from = g_queue_pop_head(same)) == NULL)
			continue;
		change->status = "renamed";
		change->from = g_strdup(from->path);
		change->old_mode = from->old_mode;
		g_hash_table_add(moved, from);
	}
	g_hash_table_remove_all(gone); /* its keys stand in what goes now */
	remove_changes(c, moved);
}

/* ---- telling ---- */

static void set_path(struct json *row, const char *key, const char *path)
{
	g_autofree char *text = path_text(path);

	json_set_string(row, key, text);
}

static void set_mode(struct json *row, const char *key, uint32_t mode)
{
	g_autofree char *text = g_strdup_printf("%06o", mode);

	json_set_string(row, key, text);
}

static struct json *describe(const struct change *change)
{
	struct json *row = json_object_new();

	set_path(row, "path", change->path);
	json_set_string(row, "status", change->status);
	if (change->from != NULL)
		set_path(row, "from", change->from);
	if (change->mode != 0)
		set_mode(row, "mode", change->mode);
	if (change->mode != 0 && change->old_mode != 0 && change->mode != change->old_mode)
		set_mode(row, "old_mode", change->old_mode);
	return row;
}

static struct json *describe_move(const struct change *change)
{
	struct json *row = json_object_new();

	set_path(row, "path", change->path);
	json_set_string(row, "old", is_kind(change->old_mode, MODE_MODULE) ? change->old_id : NULL);
	json_set_string(row, "new", is_kind(change->mode, MODE_MODULE) ? change->id : NULL);
	return row;
}

/* A row that there is no room for is counted. */
static void put(struct json *list, struct json *row, guint *left_out)
{
	if (json_length(list) < RANGE_CHANGES_MAX) {
		json_append(list, row);
		return;
	}
	json_unref(row);
	++*left_out;
}

/* Submodules have a list of their own; where one became a file, or the other way round, both lists tell of it. */
static void tell(const struct comparison *c, struct json *report, struct json *cut)
{
	struct json *changes = json_array_new(), *moves = json_array_new();
	guint left_out = 0;

	for (guint i = 0; i < c->changes->len; i++) {
		const struct change *change = c->changes->pdata[i];
		gboolean was = is_kind(change->old_mode, MODE_MODULE), is = is_kind(change->mode, MODE_MODULE);

		if (was || is)
			put(moves, describe_move(change), &left_out);
		if ((change->old_mode != 0 && !was) || (change->mode != 0 && !is))
			put(changes, describe(change), &left_out);
	}
	json_set(report, "changes", changes);
	json_set(report, "submodules", moves);
	if (left_out > 0) {
		g_autofree char *text = g_strdup_printf(
		    "%u changed paths are not listed: more than %d were changed", left_out, RANGE_CHANGES_MAX);
		json_append_string(cut, text);
	}
	if (c->cut)
		json_append_string(
		    cut, "the trees are too large or too deep to be compared whole: some paths were not looked at");
}

/* ---- .gitmodules: where submodules come from ---- */

/* "[submodule "NAME"]", or any other: what stands behind it, on the same line. */
static const char *take_section(const char *text, char **section)
{
	const char *open = strchr(text, '"'), *close = open != NULL ? strchr(open + 1, '"') : NULL;
	const char *end = strchr(close != NULL ? close : text, ']');

	g_free(*section);
	if (end == NULL)
		end = text + strlen(text) - 1;
	*section = close != NULL && close < end ? g_strdup_printf("submodule.%.*s", (int)(close - open - 1), open + 1)
						: g_strndup(text, (gsize)(end + 1 - text));
	return end + 1;
}

/* Each "key = value" under the name of its section, "submodule.NAME.url": for people to see, so that values stay as they are written. */
static void take_line(const char *line, char **section, GHashTable *keys)
{
	g_autofree char *text = g_strstrip(g_strdup(line));
	char *value;

	if (*text == '[') {
		take_line(take_section(text, section), section, keys);
		return;
	}
	if (*text == '#' || *text == ';' || *text == '\0')
		return;
	value = strchr(text, '=');
	if (value != NULL)
		*value++ = '\0';
	g_strchomp(text);
	g_hash_table_insert(keys, g_strconcat(*section != NULL ? *section : "", ".", text, NULL),
	    g_strdup(value != NULL ? g_strstrip(value) : ""));
}

static GHashTable *gitmodules_keys(GBytes *raw)
{
	GHashTable *keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	gsize size = 0;
	const char *data = raw != NULL ? g_bytes_get_data(raw, &size) : "";
	g_autofree char *text = g_strndup(data, size), *section = NULL;
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (char **line = lines; *line != NULL; line++)
		take_line(*line, &section, keys);
	return keys;
}

static const struct tree_entry *find_entry(const GArray *entries, const char *name)
{
	for (guint i = 0; entries != NULL && i < entries->len; i++)
		if (g_str_equal(g_array_index(entries, struct tree_entry, i).name, name))
			return &g_array_index(entries, struct tree_entry, i);
	return NULL;
}

/* NULL without error where the tree has no such file. */
static gboolean gitmodules_of(
    struct objects *objects, const char *tree, GHashTable **keys, struct json *cut, GError **error)
{
	g_autoptr(GArray) entries = tree != NULL ? tree_read(objects, tree, error) : NULL;
	const struct tree_entry *entry = find_entry(entries, ".gitmodules");
	g_autoptr(GBytes) raw = NULL;
	g_autoptr(GError) why = NULL;

	if (tree != NULL && entries == NULL)
		return FALSE;
	if (entry != NULL && (is_kind(entry->mode, MODE_FILE) || is_kind(entry->mode, MODE_LINK)) &&
	    (raw = objects_read(objects, entry->id, "blob", GITMODULES_MAX, &why)) == NULL) {
		if (!g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE)) {
			g_propagate_error(error, g_steal_pointer(&why));
			return FALSE;
		}
		json_append_string(
		    cut, "a .gitmodules is too large to be read: where submodules come from was not compared");
	}
	*keys = gitmodules_keys(raw);
	return TRUE;
}

static void tell_key(struct json *list, const char *key, const char *old, const char *new)
{
	struct json *row = json_object_new();
	g_autofree char *shown = text_escape(key, -1, 300);
	g_autofree char *was = old != NULL ? text_escape(old, -1, 1000) : NULL;
	g_autofree char *is = new != NULL ? text_escape(new, -1, 1000) : NULL;

	json_set_string(row, "key", shown);
	json_set_string(row, "old", was);
	json_set_string(row, "new", is);
	json_append(list, row);
}

static struct json *compare_gitmodules(GHashTable *before, GHashTable *now)
{
	struct json *list = json_array_new();
	g_autoptr(GHashTable) all = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GList) keys = NULL;
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, before);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		g_hash_table_add(all, key);
	g_hash_table_iter_init(&iter, now);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		g_hash_table_add(all, key);
	keys = g_list_sort(g_hash_table_get_keys(all), (GCompareFunc)strcmp);
	for (GList *one = keys; one != NULL; one = one->next) {
		const char *old = g_hash_table_lookup(before, one->data), *new = g_hash_table_lookup(now, one->data);

		if (g_strcmp0(old, new) != 0)
			tell_key(list, one->data, old, new);
	}
	return list;
}

/* ---- all of it ---- */

gboolean range_changes(
    struct objects *objects, const char *old, const char *new, struct json *report, struct json *cut, GError **error)
{
	struct comparison c = { .objects = objects };
	g_autoptr(GPtrArray) changes = g_ptr_array_new_with_free_func(change_free);
	g_autoptr(GHashTable) before = NULL, now = NULL;

	c.changes = changes;
	if (!compare_trees(&c, "", old, new, 0, error) || !gitmodules_of(objects, old, &before, cut, error) ||
	    !gitmodules_of(objects, new, &now, cut, error))
		return FALSE;
	g_ptr_array_sort(changes, compare_paths);
	find_renames(&c);
	tell(&c, report, cut);
	json_set(report, "gitmodules", compare_gitmodules(before, now));
	return TRUE;
}
