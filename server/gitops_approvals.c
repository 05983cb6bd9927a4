#include "server/gitops_role.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/object.h"
#include "server/names.h"

#define HISTORY_MAX 64 /* approvals that a tagged commit may stand on */
#define KNOWN_MAX 200 /* approvals for one tag by people of the policy */
#define STRANGERS_MAX 16 /* and by others: listed, so that their makers learn why they do not count */

struct gathering {
	const struct policy *policy;
	const struct approval_index *index;
	const char *path; /* of the mirror that the index is of */
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

/* The raw object as text: a cheap test is made on it before any parser sees it. */
static gboolean is_approval(GBytes *raw)
{
	gsize size;
	const char *data = g_bytes_get_data(raw, &size);
	g_autofree char *text = g_strndup(data, size);

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

/* What the index knows by that line. */
static gboolean take_line(struct gathering *g, const char *line, GError **error)
{
	const GPtrArray *ids = approval_index_find(g->index, line);

	for (guint i = 0; ids != NULL && i < ids->len; i++) {
		g_autoptr(GBytes) raw = mirror_object(g->path, ids->pdata[i], "commit", OBJECT_MAX, error);

		if (raw == NULL)
			return FALSE;
		take(g, ids->pdata[i], raw, FALSE);
	}
	return TRUE;
}

/* A withdrawal concerns a release by what it takes back: those of all other releases are not looked at. */
static gboolean take_withdrawals(struct gathering *g, GError **error)
{
	for (guint i = 0; i < g->found->len; i++) { /* grows meanwhile */
		g_autofree char *line =
		    approval_line_withdrawing(g_array_index(g->found, struct approval_evidence, i).id);

		if (!take_line(g, line, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean take_ref(struct gathering *g, const char *tag, const char *tag_object, GError **error)
{
	g_auto(GStrv) lines = approval_lines_of(tag, tag_object);

	for (char **line = lines; *line != NULL; line++)
		if (!take_line(g, *line, error))
			return FALSE;
	return take_withdrawals(g, error);
}

GArray *gitops_approvals(struct gitops *gitops, const struct gitops_source *s, const struct policy_project *project,
    const char *tag, const char *tag_object, const char *commit, const struct json *seen, int64_t now_ms, GError **error)
{
	g_autoptr(GArray) found = g_array_new(FALSE, TRUE, sizeof(struct approval_evidence));
	g_autoptr(GHashTable) ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	struct gathering g = {
		.policy = gitops->policy, .path = s->approvals_path, .seen = seen, .now_ms = now_ms, .ids = ids, .found = found
	};

	g_array_set_clear_func(found, evidence_clear);
	g.index = approval_index_refresh(gitops, s->approvals_path, project->approvals_ref, error);
	if (g.index == NULL || !take_history(&g, s->path, commit, error) || !take_ref(&g, tag, tag_object, error))
		return NULL;
	if (g.known <= KNOWN_MAX)
		return g_steal_pointer(&found);
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
	    "more than %d approvals by people of the policy name the tag %s", KNOWN_MAX, tag);
	return NULL;
}
