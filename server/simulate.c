#include "server/simulate.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/pins.h"

/* A release under one policy. */
struct verdict {
	const char *word;
	char *reason;
	const struct policy_rule *rule; /* NULL: it came to none */
};

static const char *const approval_words[] = {
	[APPROVAL_PASSED] = "approved",
	[APPROVAL_WAITING] = "waiting",
	[APPROVAL_DENIED] = "denied",
	[APPROVAL_EXPIRED] = "expired",
};

void simulated_clear(struct simulated *s)
{
	g_free(s->was_reason);
	g_free(s->now_reason);
	g_free(s->undecided);
	memset(s, 0, sizeof(*s));
}

static void verdict_set(struct verdict *v, const char *word, char *reason)
{
	g_free(v->reason);
	v->word = word;
	v->reason = reason;
}

/* A refusal is a verdict; what could not be found out is the caller's error. */
static gboolean verdict_refused(struct verdict *v, GError **why, GError **error)
{
	if (!g_error_matches(*why, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED)) {
		g_propagate_error(error, g_steal_pointer(why));
		return FALSE;
	}
	verdict_set(v, "rejected", g_strdup((*why)->message));
	return TRUE;
}

static gboolean check_pins(const struct request *request, const struct source_decision *source,
    const struct approval_decision *approval, GError **error)
{
	for (guint i = 0; i < source->rule->artifact_count; i++) {
		g_autofree char *name = policy_expand(
		    source->rule->artifacts[i].name, request->project, request->tag, source->tag->object, error);
		const char *sha256, *by;

		if (name == NULL || !pin_of(source->rule, source, approval, NULL, name, &sha256, &by, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean decide_approval(
    const struct request *request, const struct source_decision *source, struct verdict *v, GError **error)
{
	struct approval_decision approval = { 0 };
	g_autoptr(GError) why = NULL;

	if (!approval_decide(request, source, &approval, error))
		return FALSE;
	verdict_set(v, approval_words[approval.outcome], g_strdup(approval.reason));
	if (approval.outcome == APPROVAL_PASSED)
		verdict_set(
		    v, "approved", g_strdup_printf("policy \"%s\", key \"%s\"", source->rule->name, source->rule->key));
	if (approval.outcome == APPROVAL_PASSED && !check_pins(request, source, &approval, &why)) {
		approval_decision_clear(&approval);
		return verdict_refused(v, &why, error);
	}
	approval_decision_clear(&approval);
	return TRUE;
}

/* FALSE: no policy is for that tag, and the verdict says so. Two that match are source_decide()'s to refuse. */
static gboolean is_ours(const struct request *request, struct verdict *v)
{
	const struct policy_project *project = policy_project(request->policy, request->project);
	const struct policy_rule *rule = NULL;

	if (project == NULL)
		verdict_set(v, "ignored", g_strdup_printf("no file of projects/ names the project %s", request->project));
	else if (policy_match(project, request->tag, &rule, NULL) && rule == NULL)
		verdict_set(v, "ignored", g_strdup_printf("no policy of %s matches the tag", project->file));
	return v->word == NULL;
}

static gboolean decide(const struct request *request, struct verdict *v, GError **error)
{
	struct source_decision source = { NULL };
	g_autoptr(GError) why = NULL;
	gboolean good;

	if (!is_ours(request, v))
		return TRUE;
	if (!source_decide(request, &source, &why)) {
		source_decision_clear(&source);
		return verdict_refused(v, &why, error);
	}
	v->rule = source.rule;
	good = decide_approval(request, &source, v, error);
	source_decision_clear(&source);
	return good;
}

/* ---- what no evidence tells ---- */

static gboolean same_list(char *const *a, char *const *b)
{
	static char *const none[] = { NULL };

	return g_strv_equal((const char *const *)(a != NULL ? a : none), (const char *const *)(b != NULL ? b : none));
}

static gboolean on_branch(const struct policy_rule *rule, const char *branch)
{
	for (guint i = 0; branch != NULL && rule->branches[i] != NULL; i++)
		if (glob_match(rule->branches[i], branch, FALSE, FALSE))
			return TRUE;
	return FALSE;
}

static gboolean pins_by_provenance(const struct policy_rule *rule)
{
	return rule != NULL && g_strv_contains((const char *const *)rule->pinned_by, "provenance");
}

/* Only a release that would go on is held up by what is not known of it. */
static char *unknown_of(const struct json *record, const struct verdict *was, const struct verdict *now)
{
	const char *branch = json_as_string(json_path(record, "source.branch"));
	const struct policy_rule *old = was->rule, *rule = now->rule;

	if (rule == NULL || (!g_str_equal(now->word, "approved") && !g_str_equal(now->word, "waiting")))
		return NULL;
	if (rule->branches != NULL && rule->branches[0] != NULL &&
	    (old == NULL || !same_list(old->branches, rule->branches)) && !on_branch(rule, branch)) {
		g_autofree char *list = g_strjoinv(", ", rule->branches);

		return g_strdup_printf("no evidence tells whether the tagged commit is on one of the branches %s", list);
	}
	if (g_str_equal(rule->commits, "signed") && (old == NULL || !g_str_equal(old->commits, "signed")))
		return g_strdup("no evidence tells whether all its commits are signed");
	if (pins_by_provenance(rule) && !pins_by_provenance(old))
		return g_strdup("no evidence tells its provenance");
	return NULL;
}

/* ---- both sides ---- */

/* Was this the first tag object of its name? The record's own account of the approvals tells, where it hangs on that at all. */
static gboolean find_first(struct replay *replay, const struct json *record, GError **error)
{
	const struct json *said = json_get(record, "approvals");

	for (int first = TRUE; first >= FALSE; first--) {
		struct source_decision source = { NULL };
		struct approval_decision approval = { 0 };
		gboolean found = TRUE, good = TRUE;

		replay->request.first_object_of_name = first;
		if (said != NULL && source_decide(&replay->request, &source, NULL)) {
			good = approval_decide(&replay->request, &source, &approval, error);
			found = good && json_equal(said, approval.section);
		}
		source_decision_clear(&source);
		approval_decision_clear(&approval);
		if (!good)
			return FALSE;
		if (found)
			return TRUE;
	}
	replay->request.first_object_of_name = TRUE;
	return TRUE;
}

static gboolean decide_both(
    struct replay *replay, const struct json *record, const struct policy *now, struct simulated *s, GError **error)
{
	struct verdict old = { NULL }, new = { NULL };
	gboolean good = find_first(replay, record, error) && decide(&replay->request, &old, error);

	replay->request.policy = now;
	good = good && decide(&replay->request, &new, error);
	if (good) {
		s->was = old.word;
		s->now = new.word;
		s->undecided = unknown_of(record, &old, &new);
		/* Another policy or key for what is approved is another answer; other words for the same "no" are not. */
		s->changed = !g_str_equal(old.word, new.word) ||
			     (g_str_equal(new.word, "approved") && !g_str_equal(old.reason, new.reason));
		s->was_reason = g_steal_pointer(&old.reason);
		s->now_reason = g_steal_pointer(&new.reason);
	}
	g_free(old.reason);
	g_free(new.reason);
	return good;
}

gboolean simulate(const struct json *record, GHashTable *files, const struct policy *before, const struct policy *now,
    struct simulated *s, GError **error)
{
	struct replay replay = { .approvals = NULL };
	gboolean good;

	memset(s, 0, sizeof(*s));
	if (g_hash_table_lookup(files, "tag") == NULL) {
		s->was = s->now = "rejected";
		return TRUE;
	}
	if (!replay_read(record, files, &replay, error))
		return FALSE;
	replay.request.policy = before;
	good = decide_both(&replay, record, now, s, error);
	replay_clear(&replay);
	return good;
}
