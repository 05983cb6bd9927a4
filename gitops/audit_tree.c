/* What a commit of the log added: two trees side by side, folder by folder, only where their ids differ. */
#include <string.h>

#include "gitops/audit_private.h"
#include "gitops/base/bytes.h"

#define DEPTH_MOST 12

static void file_free(gpointer data)
{
	g_free(((struct audit_file *)data)->path);
	g_free(data);
}

struct walk {
	struct audit *a;
	GPtrArray *added;
};

static void compare(struct walk *w, const char *folder, const git_oid *before, const git_oid *now, guint depth);

static git_tree *load(struct walk *w, const char *folder, const git_oid *id)
{
	git_tree *tree = NULL;

	if (git_tree_lookup(&tree, w->a->repository, id) != 0)
		audit_unknown(w->a, "the folder %s cannot be read from this clone", *folder != '\0' ? folder : "/");
	return tree;
}

static void visit(struct walk *w, const char *folder, const git_tree_entry *old, const git_tree_entry *new, guint depth)
{
	g_autofree char *shown = text_escape(git_tree_entry_name(new), -1, 255);
	g_autofree char *path = g_strdup_printf("%s%s", folder, shown);
	git_filemode_t mode = git_tree_entry_filemode_raw(new);

	if (old != NULL && git_oid_equal(git_tree_entry_id(old), git_tree_entry_id(new)) &&
	    git_tree_entry_filemode_raw(old) == mode)
		return;
	if (mode == GIT_FILEMODE_TREE && (old == NULL || git_tree_entry_filemode_raw(old) == mode)) {
		g_autofree char *below = g_strconcat(path, "/", NULL);

		compare(w, below, old != NULL ? git_tree_entry_id(old) : NULL, git_tree_entry_id(new), depth + 1);
	} else if (old != NULL) {
		audit_bad(w->a, "it changes %s", path);
	} else if (mode != GIT_FILEMODE_BLOB) {
		audit_bad(w->a, "%s is no plain file", path);
	} else {
		struct audit_file *file = g_new0(struct audit_file, 1);

		file->path = g_steal_pointer(&path);
		file->id = *git_tree_entry_id(new);
		g_ptr_array_add(w->added, file);
	}
}

/* Readers of git differ in which of two entries of one name they show, and look into an unsorted folder by halves. */
static gboolean is_sound(struct walk *w, const char *folder, git_tree *tree)
{
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	const char *shown = *folder != '\0' ? folder : "/";
	size_t count = git_tree_entrycount(tree);

	if (count == 0 && *folder != '\0')
		audit_bad(w->a, "the folder %s is empty", shown);
	for (size_t i = 0; i < count; i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);

		if (!g_hash_table_add(names, (char *)git_tree_entry_name(entry))) {
			audit_bad(w->a, "the folder %s holds one name twice", shown);
			return FALSE;
		}
		if (i > 0 && git_tree_entry_cmp(git_tree_entry_byindex(tree, i - 1), entry) >= 0) {
			audit_bad(w->a, "the folder %s is not in git's order", shown);
			return FALSE;
		}
	}
	return TRUE;
}

static void find_removed(struct walk *w, const char *folder, git_tree *old, git_tree *new)
{
	for (size_t i = 0; i < git_tree_entrycount(old); i++) {
		const char *name = git_tree_entry_name(git_tree_entry_byindex(old, i));

		if (git_tree_entry_byname(new, name) == NULL) {
			g_autofree char *shown = text_escape(name, -1, 255);

			audit_bad(w->a, "it removes %s%s", folder, shown);
		}
	}
}

static void compare_trees(struct walk *w, const char *folder, git_tree *old, git_tree *new, guint depth)
{
	if (!is_sound(w, folder, new))
		return;
	for (size_t i = 0; i < git_tree_entrycount(new); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(new, i);

		visit(w, folder, old != NULL ? git_tree_entry_byname(old, git_tree_entry_name(entry)) : NULL, entry,
		    depth);
	}
	if (old != NULL)
		find_removed(w, folder, old, new);
}

static void compare(struct walk *w, const char *folder, const git_oid *before, const git_oid *now, guint depth)
{
	git_tree *old = before != NULL ? load(w, folder, before) : NULL, *new = load(w, folder, now);

	if (depth > DEPTH_MOST)
		audit_bad(w->a, "the folder %s is too deep for a log", folder);
	else if (new != NULL && (old != NULL || before == NULL))
		compare_trees(w, folder, old, new, depth);
	git_tree_free(old);
	git_tree_free(new);
}

static gint compare_paths(gconstpointer a, gconstpointer b)
{
	return strcmp((*(struct audit_file *const *)a)->path, (*(struct audit_file *const *)b)->path);
}

GPtrArray *audit_added(struct audit *a, const git_oid *before, const git_oid *now)
{
	struct walk w = { a, g_ptr_array_new_with_free_func(file_free) };

	compare(&w, "", before, now, 0);
	g_ptr_array_sort(w.added, compare_paths);
	return w.added;
}
