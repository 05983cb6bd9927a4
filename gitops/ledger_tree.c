#include "gitops/ledger_tree.h"

#include <string.h>

struct node {
	GPtrArray *entries; /* of struct entry, in git's order */
	gboolean changed;
	guint touched; /* number of the tree_put() that last went through */
};

struct entry {
	char *name;
	gboolean is_folder;
	git_filemode_t mode;
	git_oid id;
	struct node *open; /* a folder that is loaded */
};

struct tree {
	git_repository *repository; /* borrowed */
	struct node *root;
	guint puts;
};

static void node_free(struct node *node)
{
	if (node == NULL)
		return;
	g_ptr_array_unref(node->entries);
	g_free(node);
}

static void entry_free(gpointer data)
{
	struct entry *entry = data;

	node_free(entry->open);
	g_free(entry->name);
	g_free(entry);
}

static struct node *node_new(void)
{
	struct node *node = g_new0(struct node, 1);

	node->entries = g_ptr_array_new_with_free_func(entry_free);
	return node;
}

static struct node *node_load(git_repository *repository, const git_oid *id, GError **error)
{
	struct node *node = node_new();
	git_tree *tree = NULL;

	if (git_tree_lookup(&tree, repository, id) != 0) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "a folder of the log could not be read: %s", git_error_last()->message);
		node_free(node);
		return NULL;
	}
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *from = git_tree_entry_byindex(tree, i);
		struct entry *entry = g_new0(struct entry, 1);

		entry->name = g_strdup(git_tree_entry_name(from));
		entry->mode = git_tree_entry_filemode_raw(from);
		entry->is_folder = git_tree_entry_type(from) == GIT_OBJECT_TREE;
		entry->id = *git_tree_entry_id(from);
		g_ptr_array_add(node->entries, entry);
	}
	git_tree_free(tree);
	return node;
}

struct tree *tree_open(git_repository *repository, const git_oid *id, GError **error)
{
	struct node *root = id != NULL ? node_load(repository, id, error) : node_new();
	struct tree *tree;

	if (root == NULL)
		return NULL;
	tree = g_new0(struct tree, 1);
	tree->repository = repository;
	tree->root = root;
	return tree;
}

void tree_free(struct tree *tree)
{
	if (tree == NULL)
		return;
	node_free(tree->root);
	g_free(tree);
}

/* Git orders a folder as if its name ended in '/'. */
static int compare_names(const char *a, gboolean a_folder, const char *b, gboolean b_folder)
{
	size_t n = strlen(a), m = strlen(b), least = MIN(n, m);
	int order = memcmp(a, b, least);
	unsigned char x = n > least ? (unsigned char)a[least] : (a_folder ? '/' : 0);
	unsigned char y = m > least ? (unsigned char)b[least] : (b_folder ? '/' : 0);

	return order != 0 ? order : (int)x - (int)y;
}

/* The entry, or NULL and where it belongs. A file and a folder of one name do not stand beside each other. */
static struct entry *find(const struct node *node, const char *name, gboolean folder, guint *place)
{
	guint low = 0, high = node->entries->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;
		struct entry *entry = node->entries->pdata[middle];
		int order = compare_names(entry->name, entry->is_folder, name, folder);

		if (order == 0)
			return entry;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*place = low;
	return NULL;
}

static struct entry *insert(struct node *node, const char *name, gboolean folder, guint place)
{
	struct entry *entry = g_new0(struct entry, 1);

	entry->name = g_strdup(name);
	entry->is_folder = folder;
	entry->mode = folder ? GIT_FILEMODE_TREE : GIT_FILEMODE_BLOB;
	g_ptr_array_insert(node->entries, (gint)place, entry);
	return entry;
}

/* The folder below `node`, loaded or made. */
static struct node *descend(struct tree *tree, struct node *node, const char *name, GError **error)
{
	guint place = 0;
	struct entry *entry = find(node, name, TRUE, &place);

	if (entry == NULL) {
		entry = insert(node, name, TRUE, place);
		entry->open = node_new();
	} else if (entry->open == NULL) {
		entry->open = node_load(tree->repository, &entry->id, error);
	}
	return entry->open;
}

gboolean tree_put(struct tree *tree, const char *path, const git_oid *blob, GError **error)
{
	g_auto(GStrv) parts = g_strsplit(path, "/", -1);
	struct node *node = tree->root;
	guint last = g_strv_length(parts) - 1, place = 0;

	tree->puts++;
	for (guint i = 0; i <= last; i++) {
		node->changed = TRUE;
		node->touched = tree->puts;
		if (i < last && (node = descend(tree, node, parts[i], error)) == NULL)
			return FALSE;
	}
	if (find(node, parts[last], FALSE, &place) != NULL) {
		error_refused(error, "%s stands in the log already, and the log only grows", path);
		return FALSE;
	}
	insert(node, parts[last], FALSE, place)->id = *blob;
	return TRUE;
}

static gboolean node_write(struct node *node, guint last, struct pack *pack, git_oid *id, GError **error)
{
	g_autoptr(GString) bytes = g_string_new(NULL);

	for (guint i = 0; i < node->entries->len; i++) {
		struct entry *entry = node->entries->pdata[i];

		if (entry->open != NULL && entry->open->changed && !node_write(entry->open, last, pack, &entry->id, error))
			return FALSE;
		g_string_append_printf(bytes, "%o %s", (unsigned)entry->mode, entry->name);
		g_string_append_len(bytes, "\0", 1);
		g_string_append_len(bytes, (const char *)entry->id.id, GIT_OID_RAWSZ);
		if (entry->open != NULL && entry->open->touched != last)
			g_clear_pointer(&entry->open, node_free);
	}
	node->changed = FALSE;
	return pack_add(pack, GIT_OBJECT_TREE, bytes->str, bytes->len, id, error);
}

gboolean tree_write(struct tree *tree, struct pack *pack, git_oid *id, GError **error)
{
	return node_write(tree->root, tree->puts, pack, id, error);
}

char *sequence_path(gint64 sequence)
{
	g_autofree char *digits = g_strdup_printf("%06" G_GINT64_FORMAT, sequence);
	GString *path = g_string_new(NULL);

	if (strlen(digits) % 2 != 0) {
		char *even = g_strconcat("0", digits, NULL);

		g_free(digits);
		digits = even;
	}
	for (const char *at = digits; *at != '\0'; at += 2)
		g_string_append_printf(path, "%s%.2s", at == digits ? "" : "/", at);
	return g_string_free(path, FALSE);
}
