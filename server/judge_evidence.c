#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/provenance_policy.h"
#include "server/judge.h"
#include "server/pins.h"
#include "signer/timestamp.h"

void judge_decision_clear(struct judge_decision *d)
{
	source_decision_clear(&d->source);
	approval_decision_clear(&d->approval);
}

/* The release's key, and the least that the key itself demands of a rule. */
static gboolean check_key(
    const struct judge_request *r, const struct policy *policy, struct judge_decision *d, GError **error)
{
	const struct policy_rule *rule = d->rule;
	int64_t people = 0;

	if (!g_str_equal(r->key, rule->key)) {
		error_refused(
		    error, "the rule \"%s\" signs with the key \"%s\", not with \"%s\"", rule->name, rule->key, r->key);
		return FALSE;
	}
	d->key = policy_key(policy, rule->key);
	for (guint i = 0; i < rule->quorum_count; i++)
		people += rule->quorum[i].count;
	if (d->key == NULL)
		error_refused(error, "the policy has no key \"%s\"", rule->key);
	else if (!g_str_equal(d->key->purpose, rule->purpose))
		error_refused(error, "the key \"%s\" is for the purpose \"%s\", the rule \"%s\" for \"%s\"",
		    d->key->name, d->key->purpose, rule->name, rule->purpose);
	else if (people < d->key->require_quorum)
		error_refused(error,
		    "the key \"%s\" requires %" G_GINT64_FORMAT " approvals, the rule \"%s\" only %" G_GINT64_FORMAT,
		    d->key->name, d->key->require_quorum, rule->name, people);
	else if (d->key->require_timestamp && !rule->timestamp)
		error_refused(error, "the key \"%s\" requires a timestamp, the rule \"%s\" does without", d->key->name,
		    rule->name);
	else if (d->key->require_scan && !rule->scan)
		error_refused(
		    error, "the key \"%s\" requires a scan, the rule \"%s\" does without", d->key->name, rule->name);
	else
		return TRUE;
	return FALSE;
}

/* The line of the rule that this artifact stands on, and that the line has it signed so. */
static gboolean find_artifact(const struct judge_request *r, struct judge_decision *d, GError **error)
{
	for (guint i = 0; i < d->rule->artifact_count && d->artifact == NULL; i++) {
		g_autofree char *name =
		    policy_expand(d->rule->artifacts[i].name, r->project, r->tag, d->source.tag->object, error);

		if (name == NULL)
			return FALSE;
		if (g_str_equal(name, r->artifact))
			d->artifact = &d->rule->artifacts[i];
	}
	if (d->artifact == NULL) {
		g_autofree char *shown = text_escape(r->artifact, -1, 200);
		error_refused(error, "the rule \"%s\" has no artifact \"%s\"", d->rule->name, shown);
		return FALSE;
	}
	if (d->artifact->sign == NULL || !g_strv_contains((const char *const *)d->artifact->sign, r->format->name) ||
	    !r->format->supports(d->artifact->type)) {
		error_refused(error, "the rule \"%s\" does not have %s signed as %s", d->rule->name, r->artifact,
		    r->format->name);
		return FALSE;
	}
	return TRUE;
}

/* Only a quorum that is met and that nobody has denied will do: judge never waits. */
static gboolean check_approval(const struct request *request, struct judge_decision *d, GError **error)
{
	if (!approval_decide(request, &d->source, &d->approval, error))
		return FALSE;
	if (d->approval.outcome == APPROVAL_PASSED)
		return TRUE;
	error_refused(
	    error, "not approved: %s", d->approval.reason != NULL ? d->approval.reason : "the quorum is not met");
	return FALSE;
}

gboolean judge_decide(const struct judge_request *r, const struct judge_policy *policy, int64_t now_ms,
    struct judge_decision *d, GError **error)
{
	const struct request request = {
		.policy = policy->policy,
		.policy_commit = policy->commit,
		.project = r->project,
		.tag = r->tag,
		.tag_object = r->tag_object,
		.tag_raw = r->tag_raw,
		.tag_first_seen_ms = r->tag_first_seen,
		.now_ms = now_ms,
		.tree = r->tree,
		.range_sha256 = r->range_sha256,
		.first_object_of_name = r->first_object,
		.approvals = (const struct approval_evidence *)(void *)r->approvals->data,
		.approval_count = r->approvals->len,
	};

	if (!source_decide(&request, &d->source, error) || !check_approval(&request, d, error))
		return FALSE;
	d->rule = d->source.rule;
	d->policy = policy->policy;
	return check_key(r, policy->policy, d, error) && find_artifact(r, d, error);
}

/* What the raw provenance vouches for, verified here: at most this artifact. NULL with error; NULL without, if the rule wants none. */
static GHashTable *proven_of(
    const struct judge_request *r, const struct judge_decision *d, const char *digest, GError **error)
{
	const struct provenance_artifact artifact = { r->artifact, digest + strlen("sha256:"), NULL };
	const struct provenance_question q = { .policy = d->policy,
		.project = d->source.project,
		.rule = d->rule,
		.commit = d->source.tag->object,
		.first_seen_ms = r->provenance_first_seen,
		.stamp_time = timestamp_proves,
		.artifacts = &artifact,
		.artifact_count = 1 };
	g_autoptr(GHashTable) proven = NULL;

	if (!g_strv_contains((const char *const *)d->rule->pinned_by, "provenance"))
		return NULL;
	if (r->provenance != NULL && !provenance_decide(r->provenance, &q, NULL, error))
		return NULL;
	proven = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	if (r->provenance != NULL)
		g_hash_table_insert(proven, g_strdup(r->artifact), g_strdup(digest));
	return g_steal_pointer(&proven);
}

gboolean judge_check_content(
    const struct judge_request *r, const struct judge_decision *d, const char *digest, GError **error)
{
	g_autoptr(GError) why = NULL;
	g_autoptr(GHashTable) proven = proven_of(r, d, digest, &why);
	const char *pinned, *by;

	if (why != NULL) {
		g_propagate_error(error, g_steal_pointer(&why));
		return FALSE;
	}
	if (!pin_of(d->rule, &d->source, &d->approval, proven, r->artifact, &pinned, &by, error))
		return FALSE;
	if (!g_str_equal(digest, r->blob))
		error_refused(error, "the blob that was handed over is %s, the release names %s", digest, r->blob);
	else if (pinned == NULL)
		error_refused(error, "nobody pinned the digest of %s", r->artifact);
	else if (!g_str_equal(digest, pinned))
		error_refused(error, "%s is %s, and the %s pins %s", r->artifact, digest, by, pinned);
	else
		return TRUE;
	return FALSE;
}

gboolean judge_check_blob(const struct judge_request *r, const struct judge_decision *d, GError **error)
{
	g_autofree char *digest = sha256_text_fd(r->blob_fd, NULL, error);

	return digest != NULL && judge_check_content(r, d, digest, error);
}

/* Byte for byte the file of the policy: no certificate of anybody's choosing gets into a signature. */
gboolean judge_check_certificates(
    const struct judge_request *r, const struct judge_decision *d, const struct policy *policy, GError **error)
{
	g_autofree char *path = NULL;
	GBytes *file = key_file(policy, d->key, r->format->prehashed, &path);

	if (file == NULL)
		error_refused(error, "%s names no %s, which the format %s needs", d->key->file,
		    r->format->prehashed ? "openpgp key" : "certificate chain", r->format->name);
	else if (!g_bytes_equal(file, r->certificates))
		error_refused(error, "the certificates that were handed over are not the policy's %s", path);
	else
		return TRUE;
	return FALSE;
}

static gboolean check_database_age(
    const struct judge_decision *d, const struct json *report, int64_t now_ms, GError **error)
{
	const char *text = json_string(report, "database_time");
	int64_t when;

	if (d->key->require_max_database_age == 0)
		return TRUE;
	if (text != NULL && time_parse_ms(text, &when) && when >= now_ms - d->key->require_max_database_age)
		return TRUE;
	error_refused(error, "the key \"%s\" requires newer malware databases than those of %s", d->key->name,
	    text != NULL ? text : "an unknown time");
	return FALSE;
}

gboolean judge_check_scan(const struct judge_request *r, const struct judge_decision *d, const struct verdicts *scans,
    int64_t now_ms, GError **error)
{
	const struct json *report = verdicts_get(scans, r->blob);
	const char *verdict = json_string(report, "verdict");

	if (!d->rule->scan && !d->key->require_scan)
		return TRUE;
	/* Verdicts are not kept over a restart: then the file is scanned again. */
	if (report == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "no verdict of scan on %s has reached judge since it started: it must be scanned again", r->artifact);
		return FALSE;
	}
	if (g_strcmp0(verdict, "clean") != 0) {
		error_refused(error, "%s was not found clean: %s", r->artifact, verdict != NULL ? verdict : "no verdict");
		return FALSE;
	}
	return check_database_age(d, report, now_ms, error);
}
