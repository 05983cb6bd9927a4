#include "gitops/range.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/range_private.h"

void range_free(struct range *range)
{
	if (range == NULL)
		return;
	g_free(range->commit);
	g_free(range->base);
	g_clear_pointer(&range->commits, g_ptr_array_unref);
	g_clear_pointer(&range->ids, g_ptr_array_unref);
	json_unref(range->report);
	g_clear_pointer(&range->bytes, g_bytes_unref);
	g_clear_pointer(&range->proof, g_bytes_unref);
	g_free(range->sha256);
	g_free(range);
}

/* ---- is it a base? ---- */

gboolean range_is_base(const char *path, const char *base, const char *commit, gboolean *is, GError **error)
{
	autoptr(objects) objects = objects_open(path, error);

	*is = FALSE;
	return objects != NULL && objects_descends(objects, commit, base, is, error);
}

static gboolean check_base(struct objects *objects, const char *base, const char *commit, GError **error)
{
	g_autoptr(GBytes) raw = objects_read(objects, commit, "commit", RANGE_COMMIT_BYTES_MAX, error);
	gboolean is = FALSE;

	if (raw == NULL || base == NULL)
		return raw != NULL;
	if (!objects_descends(objects, commit, base, &is, error))
		return FALSE;
	if (!is)
		error_refused(
		    error, "%s is no ancestor of the commit %s: nothing can be told that changed since", base, commit);
	return is;
}

/* ---- the report ---- */

static void tell_commits(struct range *range, const GPtrArray *nodes, struct json *list)
{
	range->commits = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	range->ids = g_ptr_array_new_with_free_func(g_free);
	for (guint i = 0; i < nodes->len; i++) {
		const struct node *node = nodes->pdata[i];

		json_append(list, commit_describe(node->raw, node->id, node->head));
		g_ptr_array_add(range->commits, g_bytes_ref(node->raw));
		g_ptr_array_add(range->ids, g_strdup(node->id));
	}
}

static const char *tree_of(const struct walk *walk, const char *commit)
{
	const struct node *node = commit != NULL ? g_hash_table_lookup(walk->nodes, commit) : NULL;

	return node != NULL ? node->head->tree : NULL;
}

static gboolean make_proof(
    struct range *range, const struct walk *walk, const GPtrArray *nodes, struct objects *objects, GError **error)
{
	g_autoptr(GPtrArray) links = walk_links(walk, range->base, nodes);
	GByteArray *proof = g_byte_array_new();
	gboolean ok = TRUE;

	for (guint i = 0; i < nodes->len; i++)
		range_proof_add(proof, ((const struct node *)nodes->pdata[i])->raw);
	for (guint i = 0; ok && i < links->len; i++) {
		const char *id = ((const struct node *)links->pdata[i])->id;
		g_autoptr(GBytes) raw = objects_read(objects, id, "commit", RANGE_COMMIT_BYTES_MAX, error);

		ok = raw != NULL;
		if (ok)
			range_proof_add(proof, raw);
	}
	range->proof = g_byte_array_free_to_bytes(proof);
	return ok;
}

static gboolean make_report(struct range *range, const struct walk *walk, struct objects *objects, GError **error)
{
	g_autoptr(GPtrArray) nodes = walk_commits(walk);
	struct json *commits = json_array_new();
	autoptr(json) cut = json_array_new();

	json_set_integer(range->report, "version", 1);
	json_set_string(range->report, "commit", range->commit);
	json_set_string(range->report, "base", range->base);
	tell_commits(range, nodes, commits);
	json_set(range->report, "commits", commits);
	if (walk->cut)
		json_append_string(cut, "older commits are not listed: there are more than one report takes");
	else if (!make_proof(range, walk, nodes, objects, error))
		return FALSE;
	if (!range_changes(objects, tree_of(walk, range->base), tree_of(walk, range->commit), range->report, cut, error))
		return FALSE;
	range->complete = json_length(cut) == 0;
	json_set_boolean(range->report, "complete", range->complete);
	if (!range->complete)
		json_set(range->report, "cut", json_ref(cut));
	return TRUE;
}

struct range *range_read(const char *path, const char *base, const char *commit, GError **error)
{
	autoptr(range) range = g_new0(struct range, 1);
	autoptr(objects) objects = objects_open(path, error);
	struct walk walk = { .objects = objects };
	gboolean ok;

	if (objects == NULL || !check_base(objects, base, commit, error))
		return NULL;
	range->commit = g_strdup(commit);
	range->base = g_strdup(base);
	range->report = json_object_new();
	ok = walk_run(&walk, base, commit, error) && make_report(range, &walk, objects, error);
	walk_clear(&walk);
	if (!ok)
		return NULL;
	range->bytes = json_canonical(range->report);
	range->sha256 = sha256_text_bytes(range->bytes);
	return g_steal_pointer(&range);
}
