#include "server/gitops_role.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/object.h"
#include "server/names.h"

#define WALK_MAX 10000 /* commits looked at, newest first */
#define HISTORY_MAX 64 /* approvals that a tagged commit may stand on */
#define KNOWN_MAX 200 /* approvals for one tag by people of the policy */
#define STRANGERS_MAX 16 /* and by others: listed, so that their makers learn why they do not count */

struct gathering {
	const struct policy *policy;
	const char *tag, *tag_object;
	const struct json *seen;
	int64_t now_ms;
	GHashTable *ids; /* those looked at */
	GArray *found;
	guint known, strangers;
};

static void evidence_clear(void *data)
{
	struct approval_evidence *evidence = data;

	g_free(evidence->id);
	g_clear_pointer(&evidence->raw, g_bytes_unref);
}

/* The raw object as text: cheap tests are made on it before any parser sees it. */
static char *text_of(GBytes *raw)
{
	gsize size;
	const char *data = g_bytes_get_data(raw, &size);

	return g_strndup(data, size);
}

static gboolean is_approval(GBytes *raw)
{
	g_autofree char *text = text_of(raw);

	return approval_is_one(text);
}

static gboolean by_a_person(const struct gathering *g, GBytes *raw, int64_t at_ms)
{
	autoptr(commit) commit = commit_parse(raw, NULL);
	struct signer signer = { NULL };
	gboolean known = commit != NULL && commit->is_signed &&
			 people_verify_commit(policy_people(g->policy), commit, at_ms, &signer, NULL);

	signer_clear(&signer);
	return known;
}

/* Anybody who may push can fill the ref: strangers' approvals never crowd out those of people whom the policy knows. */
static void take(struct gathering *g, const char *id, GBytes *raw, gboolean in_history)
{
	struct approval_evidence evidence = { .first_seen_ms = json_integer(g->seen, id, g->now_ms),
		.in_history = in_history };

	if (!g_hash_table_add(g->ids, g_strdup(id)))
		return;
	/* One in the tag's history may name a tree in place of the tag object. */
	if (!is_approval(raw) || (!in_history && !approval_concerns(raw, g->tag, g->tag_object)))
		return;
	if (by_a_person(g, raw, evidence.first_seen_ms))
		g->known++;
	else if (g->strangers++ >= STRANGERS_MAX)
		return;
	evidence.id = g_strdup(id);
	evidence.raw = g_bytes_ref(raw);
	g_array_append_val(g->found, evidence);
}

/* The tagged commit, then its first parents, as long as they are approvals. */
static gboolean take_history(struct gathering *g, const char *path, const char *commit, GError **error)
{
	g_autofree char *id = g_strdup(commit);

	for (guint i = 0; id != NULL && i < HISTORY_MAX; i++) {
		g_autoptr(GError) why = NULL;
		g_autoptr(GBytes) raw = mirror_object(path, id, "commit", OBJECT_MAX, &why);
		autoptr(commit) parsed = NULL;

		/* A commit too large for our parser is no approval. */
		if (g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE))
			return TRUE;
		if (raw == NULL) {
			g_propagate_error(error, g_steal_pointer(&why));
			return FALSE;
		}
		if (!is_approval(raw))
			return TRUE;
		take(g, id, raw, TRUE);
		parsed = commit_parse(raw, NULL);
		g_free(id);
		id = parsed != NULL ? g_strdup(parsed->parents[0]) : NULL;
	}
	return TRUE;
}

/* Where approvals may be found: the ref as it stands, and each approval that was once fetched, whatever became of the ref since. */
static GPtrArray *tips(const char *path, const char *ref, GError **error)
{
	g_autoptr(GPtrArray) kept = mirror_refs_below(path, "refs/tagseal/seen/", error);
	g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *tip = NULL;

	if (kept == NULL)
		return NULL;
	tip = mirror_ref_id(path, ref, NULL);
	if (tip != NULL)
		g_ptr_array_add(ids, g_steal_pointer(&tip));
	for (guint i = 0; i < kept->len; i++) {
		const struct mirror_ref *seen = kept->pdata[i];
		g_autoptr(GBytes) raw = mirror_object(path, seen->id, "commit", OBJECT_MAX, NULL);

		if (raw != NULL && is_approval(raw))
			g_ptr_array_add(ids, g_strdup(seen->id));
	}
	g_ptr_array_add(ids, NULL);
	return g_steal_pointer(&ids);
}

static gboolean take_ref(struct gathering *g, const char *path, const char *ref, GError **error)
{
	g_autoptr(GPtrArray) from = tips(path, ref, error);
	g_auto(GStrv) ids = from != NULL ? mirror_walk(path, (const char *const *)from->pdata, WALK_MAX, error) : NULL;

	for (guint i = 0; ids != NULL && ids[i] != NULL; i++) {
		g_autoptr(GBytes) raw = mirror_object(path, ids[i], "commit", OBJECT_MAX, NULL);

		if (raw != NULL)
			take(g, ids[i], raw, FALSE);
	}
	return ids != NULL;
}

GArray *gitops_approvals(const struct gitops_source *s, const struct policy_project *project, const struct policy *policy,
    const char *tag, const char *tag_object, const char *commit, const struct json *seen, int64_t now_ms, GError **error)
{
	g_autoptr(GArray) found = g_array_new(FALSE, TRUE, sizeof(struct approval_evidence));
	g_autoptr(GHashTable) ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	struct gathering g = {
		.policy = policy, .tag = tag, .tag_object = tag_object, .seen = seen, .now_ms = now_ms, .ids = ids, .found = found
	};

	g_array_set_clear_func(found, evidence_clear);
	if (!take_history(&g, s->path, commit, error) || !take_ref(&g, s->approvals_path, project->approvals_ref, error))
		return NULL;
	if (g.known <= KNOWN_MAX)
		return g_steal_pointer(&found);
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
	    "more than %d approvals by people of the policy name the tag %s", KNOWN_MAX, tag);
	return NULL;
}
