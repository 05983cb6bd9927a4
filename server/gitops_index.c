/*
 * Which commits on a ref for approvals concern which release. Each commit is looked at once by this process, however often it is asked: what was seen
 * before is hidden from the walk. Nothing may be left out, however much others pile on top: a denial that is not found does not count.
 */
#include "server/gitops_role.h"

#include <string.h>

#include "gitops/base/error.h"
#include "gitops/object.h"
#include "server/names.h"

#define NEW_MAX 2000000 /* commits that may come in between two questions */

struct approval_index {
	GHashTable *by_line; /* "Tagseal-Approve: v1.0" -> GPtrArray of ids */
	char **walked; /* tips that everything was reached from; NULL: none yet */
};

static void index_free(gpointer data)
{
	struct approval_index *index = data;

	g_hash_table_unref(index->by_line);
	g_strfreev(index->walked);
	g_free(index);
}

static struct approval_index *index_of(struct gitops *g, const char *path, const char *ref)
{
	char *key = g_strconcat(path, " ", ref, NULL);
	struct approval_index *index;

	if (g->approvals == NULL)
		g->approvals = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, index_free);
	index = g_hash_table_lookup(g->approvals, key);
	if (index != NULL) {
		g_free(key);
		return index;
	}
	index = g_new0(struct approval_index, 1);
	index->by_line =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)(void (*)(void))g_ptr_array_unref);
	g_hash_table_insert(g->approvals, key, index);
	return index;
}

static void note(const char *id, GBytes *raw, gpointer data)
{
	struct approval_index *index = data;
	g_auto(GStrv) lines = raw != NULL ? approval_lines(raw) : NULL; /* too large for our parser: no approval */

	for (char **line = lines; line != NULL && *line != NULL; line++) {
		GPtrArray *ids = g_hash_table_lookup(index->by_line, *line);

		if (ids == NULL) {
			ids = g_ptr_array_new_with_free_func(g_free);
			g_hash_table_insert(index->by_line, g_strdup(*line), ids);
		}
		g_ptr_array_add(ids, g_strdup(id));
	}
}

/* Where approvals may be found: the ref as it stands, and all that it ever left behind. */
static char **tips(const char *path, const char *ref, GError **error)
{
	g_autofree char *folder = mirror_seen(ref);
	g_autoptr(GPtrArray) left = mirror_refs_below(path, folder, error);
	g_autoptr(GStrvBuilder) ids = g_strv_builder_new();
	g_autofree char *tip = NULL;

	if (left == NULL)
		return NULL;
	tip = mirror_ref_id(path, ref, NULL);
	if (tip != NULL)
		g_strv_builder_add(ids, tip);
	for (guint i = 0; i < left->len; i++)
		g_strv_builder_add(ids, ((const struct mirror_ref *)left->pdata[i])->id);
	return g_strv_builder_end(ids);
}

const struct approval_index *approval_index_refresh(struct gitops *g, const char *path, const char *ref, GError **error)
{
	static const char *const none[] = { NULL };
	struct approval_index *index = index_of(g, path, ref);
	g_auto(GStrv) now = tips(path, ref, error);

	if (now == NULL)
		return NULL;
	if (index->walked != NULL && g_strv_equal((const char *const *)now, (const char *const *)index->walked))
		return index;
	if (!mirror_each_commit(path, (const char *const *)now,
		index->walked != NULL ? (const char *const *)index->walked : none, NEW_MAX, OBJECT_MAX, note, index,
		error))
		return NULL;
	g_strfreev(index->walked);
	index->walked = g_steal_pointer(&now);
	return index;
}

const GPtrArray *approval_index_find(const struct approval_index *index, const char *line)
{
	return g_hash_table_lookup(index->by_line, line);
}
