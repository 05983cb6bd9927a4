/*
 * From the tagged commit and the base downwards, newest first, until nothing is left that the base does not reach. Clocks of committers differ, so the walk
 * goes on below the base for a while: what is older than all of the range, and a little more. A history whose clocks are further off than that shows too much
 * rather than too little, since only real parents of the base are ever left out.
 */
#include <string.h>

#include "gitops/base/error.h"
#include "gitops/range_private.h"

#define COMMIT_MAX ((size_t)4 << 20)
#define SLACK 512 /* commits below the base that are looked at beyond the oldest of the range */

static void node_free(gpointer data)
{
	struct node *node = data;

	g_free(node->id);
	g_clear_pointer(&node->head, commit_head_free);
	g_clear_pointer(&node->raw, g_bytes_unref);
	g_free(node);
}

void walk_clear(struct walk *walk)
{
	g_clear_pointer(&walk->queue, g_sequence_free);
	g_clear_pointer(&walk->nodes, g_hash_table_unref);
}

static gint compare_nodes(gconstpointer a, gconstpointer b, gpointer data)
{
	const struct node *left = a, *right = b;

	(void)data;
	if (left->head->time != right->head->time)
		return left->head->time > right->head->time ? -1 : 1;
	return strcmp(left->id, right->id);
}

/* Everything known below it is released too. */
static void release(struct walk *walk, struct node *first)
{
	g_autoptr(GPtrArray) stack = g_ptr_array_new();

	g_ptr_array_add(stack, first);
	while (stack->len > 0) {
		struct node *node = g_ptr_array_steal_index_fast(stack, stack->len - 1);

		if (node == NULL || node->released)
			continue;
		node->released = TRUE;
		if (node->popped) {
			walk->taken--;
			walk->bytes -= g_bytes_get_size(node->raw);
		} else {
			walk->open--;
		}
		g_clear_pointer(&node->raw, g_bytes_unref);
		for (char **parent = node->head->parents; node->popped && *parent != NULL; parent++)
			g_ptr_array_add(stack, g_hash_table_lookup(walk->nodes, *parent));
	}
}

static gboolean push(struct walk *walk, const char *id, gboolean released, GError **error)
{
	struct node *node = g_hash_table_lookup(walk->nodes, id);
	g_autoptr(GBytes) raw = NULL;

	if (node != NULL) {
		if (released)
			release(walk, node);
		return TRUE;
	}
	if ((raw = objects_read(walk->objects, id, "commit", COMMIT_MAX, error)) == NULL)
		return FALSE;
	node = g_new0(struct node, 1);
	node->id = g_strdup(id);
	g_hash_table_insert(walk->nodes, node->id, node);
	if ((node->head = commit_head_read(raw, id, error)) == NULL)
		return FALSE;
	node->released = released;
	node->raw = released ? NULL : g_steal_pointer(&raw);
	walk->open += !released;
	g_sequence_insert_sorted(walk->queue, node, compare_nodes, NULL);
	return TRUE;
}

/* One of the range; FALSE: there is no room for it. */
static gboolean take(struct walk *walk, struct node *node, int64_t *oldest)
{
	size_t size = g_bytes_get_size(node->raw);

	if (walk->taken >= RANGE_COMMITS_MAX || size > RANGE_COMMIT_BYTES_MAX - walk->bytes) {
		walk->cut = TRUE;
		return FALSE;
	}
	walk->open--;
	walk->taken++;
	walk->bytes += size;
	*oldest = MIN(*oldest, node->head->time);
	return TRUE;
}

static gboolean walk_on(struct walk *walk, GError **error)
{
	int64_t oldest = G_MAXINT64;
	guint slack = SLACK;

	while (!g_sequence_is_empty(walk->queue)) {
		GSequenceIter *first = g_sequence_get_begin_iter(walk->queue);
		struct node *node = g_sequence_get(first);

		if (walk->open == 0 && (walk->taken == 0 || (node->head->time < oldest && slack-- == 0)))
			break;
		if (!node->released && !take(walk, node, &oldest))
			break;
		node->popped = TRUE;
		g_sequence_remove(first);
		for (char **parent = node->head->parents; *parent != NULL; parent++)
			if (!push(walk, *parent, node->released, error))
				return FALSE;
	}
	return TRUE;
}

gboolean walk_run(struct walk *walk, const char *base, const char *commit, GError **error)
{
	walk->nodes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, node_free);
	walk->queue = g_sequence_new(NULL);
	return (base == NULL || push(walk, base, TRUE, error)) && push(walk, commit, FALSE, error) &&
	       walk_on(walk, error);
}

/* ---- order ---- */

static void count_children(const struct walk *walk, const struct node *node)
{
	for (char **parent = node->head->parents; *parent != NULL; parent++) {
		struct node *below = g_hash_table_lookup(walk->nodes, *parent);

		if (below != NULL)
			below->children++;
	}
}

static gboolean in_range(const struct node *node)
{
	return node->popped && !node->released;
}

GPtrArray *walk_commits(const struct walk *walk)
{
	GPtrArray *commits = g_ptr_array_new();
	g_autoptr(GSequence) ready = g_sequence_new(NULL);
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, walk->nodes);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		if (in_range(value))
			count_children(walk, value);
	g_hash_table_iter_init(&iter, walk->nodes);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		if (in_range(value) && ((struct node *)value)->children == 0)
			g_sequence_insert_sorted(ready, value, compare_nodes, NULL);
	while (!g_sequence_is_empty(ready)) {
		GSequenceIter *first = g_sequence_get_begin_iter(ready);
		struct node *node = g_sequence_get(first);

		g_sequence_remove(first);
		g_ptr_array_add(commits, node);
		for (char **parent = node->head->parents; *parent != NULL; parent++) {
			struct node *below = g_hash_table_lookup(walk->nodes, *parent);

			if (below != NULL && in_range(below) && --below->children == 0)
				g_sequence_insert_sorted(ready, below, compare_nodes, NULL);
		}
	}
	return commits;
}

/* ---- links ---- */

/* By which node each released one is reached first, from the base, breadth first. */
static GHashTable *reached_by(const struct walk *walk, struct node *base)
{
	GHashTable *by = g_hash_table_new(NULL, NULL);
	g_autoptr(GQueue) queue = g_queue_new();

	g_hash_table_insert(by, base, NULL);
	g_queue_push_tail(queue, base);
	while (!g_queue_is_empty(queue)) {
		struct node *node = g_queue_pop_head(queue);

		for (char **parent = node->head->parents; *parent != NULL; parent++) {
			struct node *below = g_hash_table_lookup(walk->nodes, *parent);

			if (below == NULL || g_hash_table_contains(by, below))
				continue;
			g_hash_table_insert(by, below, node);
			g_queue_push_tail(queue, below);
		}
	}
	return by;
}

GPtrArray *walk_links(const struct walk *walk, const char *base, const GPtrArray *commits)
{
	GPtrArray *links = g_ptr_array_new();
	g_autoptr(GHashTable) by = NULL, listed = g_hash_table_new(NULL, NULL);

	if (base == NULL)
		return links;
	by = reached_by(walk, g_hash_table_lookup(walk->nodes, base));
	for (guint i = 0; i < commits->len; i++) {
		const struct node *node = commits->pdata[i];

		for (char **parent = node->head->parents; *parent != NULL; parent++) {
			struct node *below = g_hash_table_lookup(walk->nodes, *parent);

			while (below != NULL && below->released && (below = g_hash_table_lookup(by, below)) != NULL &&
			       g_hash_table_add(listed, below))
				g_ptr_array_add(links, below);
		}
	}
	return links;
}
