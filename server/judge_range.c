/* The range report as judge takes it: what approvers bound themselves to, and whose commits stand in it. What the base is, only the log can say. */
#include "gitops/range.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/judge.h"

#define EVIDENCE_MAX ((size_t)16 << 20)

/* Absent is no mistake: then approvals that bind a range do not count. What is there must be about the tagged commit. */
gboolean judge_range_read(const struct message *m, const char *commit, struct judge_request *r, GError **error)
{
	g_autoptr(GBytes) bytes = NULL;
	autoptr(json) report = NULL;
	gsize size;
	const void *data;

	if (message_find(m, "range.json") == NULL)
		return TRUE;
	if ((bytes = message_bytes(m, "range.json", EVIDENCE_MAX, error)) == NULL)
		return FALSE;
	data = g_bytes_get_data(bytes, &size);
	if ((report = json_parse_canonical(data, size, error)) == NULL) {
		g_prefix_error(error, "judge: the range report: ");
		return FALSE;
	}
	if (g_strcmp0(json_string(report, "commit"), commit) != 0) {
		error_refused(error, "judge: the range report is about another commit than the tagged one");
		return FALSE;
	}
	/* gitops wrote the report; engine, which gitops cannot make say so, knows which release was signed last. */
	if (g_strcmp0(json_string(report, "base"), json_string(m->body, "base")) != 0) {
		error_refused(error, "judge: the range report begins elsewhere than the release");
		return FALSE;
	}
	r->range_sha256 = sha256_text_bytes(bytes);
	r->range_base = g_strdup(json_string(report, "base"));
	if (message_find(m, "range-commits") != NULL)
		r->range_commits = message_bytes(m, "range-commits", EVIDENCE_MAX, error);
	return message_find(m, "range-commits") == NULL || r->range_commits != NULL;
}

/* What was proved before need not be again: each artifact of a release asks. The policy is part of the question. */
static char *question_of(const struct judge_request *r, const struct judge_policy *policy, const char *commit)
{
	g_autofree char *evidence = sha256_text_bytes(r->range_commits);

	return g_strdup_printf("%s %s %s %s %" G_GINT64_FORMAT, policy->commit, commit,
	    r->range_base != NULL ? r->range_base : "-", evidence, r->tag_first_seen);
}

gboolean judge_check_range(
    const struct judge_request *r, const struct judge_decision *d, struct judge_policy *policy, GError **error)
{
	const char *commit = d->source.tag->object;
	g_autofree char *question = NULL;
	g_autoptr(GError) why = NULL;

	if (g_strcmp0(d->rule->commits, "signed") != 0)
		return TRUE;
	if (r->range_commits == NULL) {
		error_refused(error, "the rule \"%s\" wants signed commits, and the evidence holds none", d->rule->name);
		return FALSE;
	}
	question = question_of(r, policy, commit);
	if (g_strcmp0(question, policy->proved) == 0)
		return TRUE;
	if (!range_prove(r->range_commits, r->range_base, commit, policy_people(policy->policy), r->tag_first_seen, &why)) {
		if (g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED))
			error_refused(error, "the rule \"%s\" wants signed commits, and %s", d->rule->name, why->message);
		else
			g_propagate_error(error, g_steal_pointer(&why));
		return FALSE;
	}
	g_free(policy->proved);
	policy->proved = g_steal_pointer(&question);
	return TRUE;
}
