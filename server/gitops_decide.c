/* MSG_DECIDE: the gates `source` and `approval` of one tag, with the evidence that they stand on. */
#include "server/gitops_role.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/object.h"
#include "gitops/policy_history.h"
#include "gitops/record.h"
#include "server/names.h"
#include "server/pins.h"
#include "server/reply.h"

#define SEEN_MAX (4 * 1024 * 1024)
#define COMMIT_MAX (1024 * 1024)
#define NEW_SEEN_MAX 1000

/* One question and all that is found out on the way to its answer. Names are borrowed from the message. */
struct decide {
	struct gitops *g;
	const char *project, *tag, *tag_object;
	int64_t first_seen, now;
	gboolean fetch, first_object;
	struct json *seen;
	const struct json *bases;

	const struct policy_project *of;
	struct gitops_source mirror;
	GBytes *tag_raw;
	char *tree, *branch;
	GArray *approvals;
	struct gitops_range range;
	struct source_decision source;
	struct approval_decision approval;
	struct json *artifacts;
	char *provenance; /* where it is fetched from, if the rule asks for it */
	const char *source_word; /* of the answer where the source did not pass; NULL: "rejected" */
	const char *approval_word; /* of the answer; NULL until it is decided */
	char *approval_reason;
};

static void decide_clear(struct decide *d)
{
	json_unref(d->seen);
	gitops_source_clear(&d->mirror);
	g_clear_pointer(&d->tag_raw, g_bytes_unref);
	g_free(d->tree);
	g_free(d->branch);
	g_clear_pointer(&d->approvals, g_array_unref);
	gitops_range_clear(&d->range);
	source_decision_clear(&d->source);
	approval_decision_clear(&d->approval);
	json_unref(d->artifacts);
	g_free(d->provenance);
	g_free(d->approval_reason);
}

static gboolean decide_read(const struct message *m, struct decide *d, GError **error)
{
	g_autoptr(GBytes) seen = NULL;

	if ((d->project = body_string(m, "project", error)) == NULL || (d->tag = body_string(m, "tag", error)) == NULL ||
	    (d->tag_object = body_string(m, "tag_object", error)) == NULL || !body_time(m, "now", &d->now, error) ||
	    !body_time(m, "tag_first_seen", &d->first_seen, error) ||
	    (seen = message_bytes(m, "seen.json", SEEN_MAX, error)) == NULL ||
	    (d->seen = json_parse_bytes(seen, error)) == NULL)
		return FALSE;
	d->fetch = json_boolean(m->body, "fetch", TRUE);
	d->first_object = json_boolean(m->body, "first_object", FALSE);
	d->bases = json_get(m->body, "bases");
	if (is_object_id(d->tag_object))
		return TRUE;
	error_refused(error, "decide: \"tag_object\" is no full object id");
	return FALSE;
}

/* ---- source ---- */

/* Was this object ever fetched? Hosts tell of a tag before they show it: then it is waited for. One that was there and is gone is another matter. */
static gboolean was_there(const struct decide *d)
{
	g_autoptr(GBytes) tag = mirror_object(d->mirror.path, d->tag_object, "tag", OBJECT_MAX, NULL);
	g_autoptr(GBytes) commit =
	    tag == NULL ? mirror_object(d->mirror.path, d->tag_object, "commit", COMMIT_MAX, NULL) : NULL;

	return tag != NULL || commit != NULL;
}

/* The tag must stand at the source, and be the object that the release is about. */
static gboolean check_ref(struct decide *d, GError **error)
{
	g_autofree char *ref = g_strconcat("refs/tags/", d->tag, NULL);
	g_autofree char *shown = text_escape(d->tag, -1, 200);
	g_autoptr(GError) why = NULL;
	g_autofree char *id = is_ref_name(ref) ? mirror_ref_id(d->mirror.path, ref, &why) : NULL;

	if (why != NULL && !g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND)) {
		g_propagate_error(error, g_steal_pointer(&why));
		return FALSE;
	}
	if (g_strcmp0(id, d->tag_object) == 0)
		return TRUE;
	if (!was_there(d)) {
		d->source_word = "waiting";
		error_refused(error, "%s does not show the tag %s as %s yet", d->of->source, shown, d->tag_object);
	} else if (id == NULL) {
		d->source_word = "denied";
		error_refused(error, "the tag was deleted at the source: %s stands no more at %s", shown, d->of->source);
	} else {
		error_refused(error,
		    "the tag %s was moved: it is %s now, and no longer %s; the moved tag is a request of its own",
		    shown, id, d->tag_object);
	}
	return FALSE;
}

/* A lightweight tag is the commit itself: nobody signed anything. */
static gboolean read_tag(struct decide *d, GError **error)
{
	g_autoptr(GError) why = NULL;
	g_autoptr(GBytes) commit = NULL;

	d->tag_raw = mirror_object(d->mirror.path, d->tag_object, "tag", OBJECT_MAX, &why);
	if (d->tag_raw != NULL)
		return TRUE;
	commit = mirror_object(d->mirror.path, d->tag_object, "commit", COMMIT_MAX, NULL);
	if (commit != NULL) {
		g_autofree char *shown = text_escape(d->tag, -1, 200);
		error_refused(error,
		    "%s is a lightweight tag, which nobody can sign: delete it, and make it again with git tag -s %s",
		    shown, shown);
	} else if (g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE)) {
		error_refused(error, "%s", why->message);
	} else {
		g_propagate_error(error, g_steal_pointer(&why));
	}
	return FALSE;
}

static GBytes *tagged_commit(struct decide *d, GError **error)
{
	return mirror_object(d->mirror.path, d->source.tag->object, "commit", COMMIT_MAX, error);
}

/* A commit's first line; the rest is not looked at, since the tagged commit need not be one of those that our strict parser takes. */
static gboolean read_tree(struct decide *d, GError **error)
{
	g_autoptr(GBytes) raw = tagged_commit(d, error);
	gsize size;
	const char *text = raw != NULL ? g_bytes_get_data(raw, &size) : NULL;

	if (raw == NULL)
		return FALSE;
	if (size > 45 && g_str_has_prefix(text, "tree ") && text[45] == '\n')
		d->tree = g_strndup(text + 5, 40);
	if (d->tree != NULL && is_object_id(d->tree))
		return TRUE;
	error_refused(error, "the tagged object %s is no well-formed commit", d->source.tag->object);
	return FALSE;
}

static gboolean check_branch(struct decide *d, GError **error)
{
	const struct policy_rule *rule = d->source.rule;
	g_autofree char *list = NULL;

	if (rule->branches == NULL || rule->branches[0] == NULL)
		return TRUE;
	if (!mirror_branch_of(
		d->mirror.path, d->source.tag->object, (const char *const *)rule->branches, &d->branch, error))
		return FALSE;
	if (d->branch != NULL)
		return TRUE;
	list = g_strjoinv(", ", rule->branches);
	error_refused(error, "the tagged commit %s is on none of the branches that the rule \"%s\" names (%s)",
	    d->source.tag->object, rule->name, list);
	return FALSE;
}

static gboolean check_range(struct decide *d, GError **error)
{
	const struct policy_rule *rule = d->source.rule;
	const struct gitops_range_question question = {
		.path = d->mirror.path,
		.commit = d->source.tag->object,
		.bases = d->bases,
		.rule = rule->name,
		.purpose = rule->purpose,
		.all_signed = g_strcmp0(rule->commits, "signed") == 0,
		.first_seen = d->first_seen,
	};

	return gitops_range(d->g, &question, &d->range, error);
}

static void fill_request(const struct decide *d, struct request *request)
{
	*request = (struct request){
		.policy = d->g->policy,
		.policy_commit = d->g->commit,
		.project = d->project,
		.tag = d->tag,
		.tag_object = d->tag_object,
		.tag_raw = d->tag_raw,
		.tag_first_seen_ms = d->first_seen,
		.now_ms = d->now,
		.tree = d->tree,
		.range_sha256 = d->range.sha256,
		.first_object_of_name = d->first_object,
		.approvals = d->approvals != NULL ? (const struct approval_evidence *)(void *)d->approvals->data : NULL,
		.approval_count = d->approvals != NULL ? d->approvals->len : 0,
	};
}

static gboolean decide_source(struct decide *d, GError **error)
{
	struct request request;

	if (!check_ref(d, error) || !read_tag(d, error))
		return FALSE;
	fill_request(d, &request);
	return source_decide(&request, &d->source, error) && read_tree(d, error) && check_branch(d, error) &&
	       check_range(d, error);
}

/* ---- approval ---- */

/* engine's memory may be younger than the tag: a database that was lost, or brought back from a copy. The mirror remembers too. */
static gboolean check_first(struct decide *d, GError **error)
{
	g_autofree char *ref = g_strconcat("refs/tags/", d->tag, NULL), *first = NULL;

	if (!mirror_first(d->mirror.path, ref, &first, error))
		return FALSE;
	d->first_object = d->first_object && (first == NULL || g_str_equal(first, d->tag_object));
	return TRUE;
}

static const char *const approval_words[] = {
	[APPROVAL_PASSED] = "passed",
	[APPROVAL_WAITING] = "waiting",
	[APPROVAL_DENIED] = "denied",
	[APPROVAL_EXPIRED] = "expired",
};

static gboolean add_artifact(struct decide *d, const struct policy_artifact *artifact, GError **error)
{
	const char *commit = d->source.tag->object, *sha256, *by;
	gboolean passed = d->approval.outcome == APPROVAL_PASSED;
	g_autofree char *name = policy_expand(artifact->name, d->project, d->tag, commit, error);
	g_autofree char *url = name != NULL ? policy_expand(artifact->fetch, d->project, d->tag, commit, error) : NULL;
	struct json *row, *sign;

	if (url == NULL ||
	    !pin_of(d->source.rule, &d->source, passed ? &d->approval : NULL, NULL, name, &sha256, &by, error))
		return FALSE;
	row = json_object_new();
	sign = json_array_new();
	for (char **format = artifact->sign; format != NULL && *format != NULL; format++)
		json_append_string(sign, *format);
	json_set_string(row, "name", name);
	json_set_string(row, "url", url);
	json_set_string(row, "type", artifact->type);
	json_set(row, "sign", sign);
	json_set_integer(row, "max_size", (int64_t)artifact->max_size);
	json_set_string(row, "sha256", sha256);
	json_set_string(row, "pinned_by", by);
	json_append(d->artifacts, row);
	return TRUE;
}

static gboolean list_artifacts(struct decide *d, GError **error)
{
	const struct policy_rule *rule = d->source.rule;

	if (rule->provenance.fetch != NULL) {
		d->provenance = policy_expand(rule->provenance.fetch, d->project, d->tag, d->source.tag->object, error);
		if (d->provenance == NULL)
			return FALSE;
	}

	for (guint i = 0; i < rule->artifact_count; i++)
		if (!add_artifact(d, &rule->artifacts[i], error))
			return FALSE;
	return TRUE;
}

/* A quorum whose people did not pin what they had to is met, and no use. */
static gboolean decide_approval(struct decide *d, GError **error)
{
	struct request request;
	g_autoptr(GError) why = NULL;

	d->approvals = gitops_approvals(
	    d->g, &d->mirror, d->of, d->tag, d->tag_object, d->source.tag->object, d->seen, d->now, error);
	if (d->approvals == NULL || !check_first(d, error))
		return FALSE;
	fill_request(d, &request);
	if (!approval_decide(&request, &d->source, &d->approval, error))
		return FALSE;
	d->approval_word = approval_words[d->approval.outcome];
	d->approval_reason = g_strdup(d->approval.reason);
	if (list_artifacts(d, &why))
		return TRUE;
	if (!g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED)) {
		g_propagate_error(error, g_steal_pointer(&why));
		return FALSE;
	}
	d->approval_word = "rejected";
	g_free(d->approval_reason);
	d->approval_reason = g_strdup(why->message);
	return TRUE;
}

/* ---- the answer ---- */

static gboolean add_json(struct message *answer, const char *name, const struct json *value, GError **error)
{
	g_autoptr(GBytes) bytes = json_canonical(value);

	return message_add_bytes(answer, name, bytes, error);
}

static struct json *policy_section(const struct decide *d)
{
	struct json *section = json_object_new();

	json_set_string(section, "name", d->source.rule->name);
	json_set_string(section, "commit", d->g->commit);
	json_set_string(section, "file_sha256", d->source.project->file_sha256);
	return section;
}

static struct json *source_section(const struct decide *d)
{
	struct json *section = d->source.section != NULL ? json_copy(d->source.section) : json_object_new();
	g_autofree char *first_seen = time_format_ms(d->first_seen);

	json_set_string(section, "url", d->of->source);
	json_set_string(section, "tag_object", d->tag_object);
	json_set_string(section, "branch", d->branch);
	json_set_string(section, "tree", d->tree);
	json_set_string(section, "first_seen", first_seen);
	json_set_string(section, "tree_sha256", d->range.tree_sha256);
	if (d->range.section != NULL)
		json_set(section, "range", json_ref(d->range.section));
	return section;
}

static const struct policy_key *key_of(const struct decide *d)
{
	return d->source.rule != NULL ? policy_key(d->g->policy, d->source.rule->key) : NULL;
}

static gboolean add_sections(const struct decide *d, struct message *answer, GError **error)
{
	autoptr(json) sections = json_object_new();
	const struct policy_rule *rule = d->source.rule;
	const struct policy_key *key = key_of(d);

	if (d->of != NULL)
		json_set(sections, "source", source_section(d));
	if (rule != NULL) {
		json_set(sections, "policy", policy_section(d));
		json_set_boolean(sections, "timestamp", rule->timestamp || (key != NULL && key->require_timestamp));
		json_set_boolean(sections, "scan", rule->scan || (key != NULL && key->require_scan));
	}
	json_set(sections, "approvals", d->approval.section != NULL ? json_copy(d->approval.section) : json_array_new());
	json_set(sections, "artifacts", json_ref(d->artifacts));
	json_set_string(sections, "provenance", d->provenance);
	return add_json(answer, "sections.json", sections, error);
}

static gboolean add_key_files(const struct decide *d, struct message *answer, GError **error)
{
	const struct policy_key *key = key_of(d);
	GBytes *chain = key != NULL ? key_file(d->g->policy, key, FALSE, NULL) : NULL;
	GBytes *openpgp = key != NULL ? key_file(d->g->policy, key, TRUE, NULL) : NULL;

	return (chain == NULL || message_add_bytes(answer, "certificates", chain, error)) &&
	       (openpgp == NULL || message_add_bytes(answer, "openpgp", openpgp, error));
}

static GBytes *raw_of(const struct decide *d, const char *id)
{
	for (guint i = 0; d->approvals != NULL && id != NULL && i < d->approvals->len; i++) {
		const struct approval_evidence *evidence = &g_array_index(d->approvals, struct approval_evidence, i);
		if (g_str_equal(evidence->id, id))
			return evidence->raw;
	}
	return NULL;
}

static gboolean add_range(const struct decide *d, struct message *answer, GError **error)
{
	const struct {
		const char *name;
		GBytes *bytes;
	} files[] = {
		{ "range.json", d->range.report },
		{ "range-signers.json", d->range.signers },
		{ "range-commits", d->range.proof },
		{ "manifest", d->range.manifest },
	};

	for (guint i = 0; i < G_N_ELEMENTS(files); i++)
		if (files[i].bytes != NULL && !message_add_bytes(answer, files[i].name, files[i].bytes, error))
			return FALSE;
	return TRUE;
}

/* approval-N is the object of the Nth line of the section. */
static gboolean add_evidence(const struct decide *d, struct message *answer, GError **error)
{
	for (guint i = 0; i < json_length(d->approval.section); i++) {
		g_autofree char *name = g_strdup_printf("approval-%u", i + 1);
		GBytes *raw = raw_of(d, json_string(json_at(d->approval.section, i), "commit"));

		if (raw != NULL && !message_add_bytes(answer, name, raw, error))
			return FALSE;
	}
	return d->tag_raw == NULL || message_add_bytes(answer, "tag", d->tag_raw, error);
}

static gboolean add_policy(const struct decide *d, struct message *answer, GError **error)
{
	return gitops_policy_evidence(d->g, error) &&
	       message_add_bytes(answer, "policy.json", d->g->policy_json, error) &&
	       message_add_bytes(answer, POLICY_HISTORY, d->g->policy_history, error);
}

/* Ids that engine has not seen yet: they were first seen now. The rest of a flood is told the next time. */
static void add_new_seen(const struct decide *d, struct json *body)
{
	struct json *ids = json_array_new();

	for (guint i = 0; d->approvals != NULL && i < d->approvals->len && json_length(ids) < NEW_SEEN_MAX; i++) {
		const char *id = g_array_index(d->approvals, struct approval_evidence, i).id;
		if (json_get(d->seen, id) == NULL)
			json_append_string(ids, id);
	}
	json_set(body, "new_seen", ids);
}

static void fill_body(const struct decide *d, const GError *refusal, struct json *body)
{
	const struct policy_rule *rule = d->source.rule;
	const struct policy_key *key = key_of(d);

	json_set_string(body, "policy", d->g->commit);
	json_set_string(body, "source",
	    refusal == NULL          ? "passed"
	    : d->source_word != NULL ? d->source_word
				     : "rejected");
	json_set_string(body, "source_reason", refusal != NULL ? refusal->message : NULL);
	json_set_string(body, "approval", d->approval_word != NULL ? d->approval_word : "waiting");
	json_set_string(body, "approval_reason", d->approval_reason);
	if (d->range.section != NULL)
		json_set(body, "base", d->range.base != NULL ? json_ref(d->range.base) : json_object_new());
	if (rule != NULL) {
		json_set_string(body, "rule", rule->name);
		json_set_string(body, "key", rule->key);
		json_set_string(body, "purpose", key != NULL ? key->purpose : rule->purpose);
		json_set_string(body, "moved_tags", rule->moved_tags);
		if (rule->approve_within > 0)
			json_set_integer(body, "approve_by", d->first_seen + rule->approve_within);
	}
	add_new_seen(d, body);
}

/* Refused evidence is an answer like any other; only what could not be found out is an error. */
static gboolean is_refusal(const GError *error)
{
	return g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED) ||
	       g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND) ||
	       g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE);
}

/* A tag that no rule matches is none of our business: it is not even fetched. */
static gboolean check_rule(struct decide *d, GError **error)
{
	const struct policy_rule *rule = NULL;
	g_autofree char *shown = NULL;

	if (!policy_match(d->of, d->tag, &rule, error))
		return FALSE;
	if (rule != NULL)
		return TRUE;
	shown = text_escape(d->tag, -1, 200);
	d->source_word = "ignored";
	error_refused(error, "no policy of %s matches the tag \"%s\" (%s)", d->of->name, shown, d->of->file);
	return FALSE;
}

/* TRUE: decided, with *refusal where the source is rejected. FALSE: could not be found out. */
static gboolean decide(struct decide *d, GError **refusal, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (!gitops_policy(d->g, d->fetch, error))
		return FALSE;
	d->of = policy_project(d->g->policy, d->project);
	if (d->of == NULL) {
		g_autofree char *shown = text_escape(d->project, -1, 200);
		error_refused(refusal, "the policy (%s) has no project \"%s\"", d->g->commit, shown);
		return TRUE;
	}
	if (!check_rule(d, refusal))
		return TRUE;
	if (!gitops_source_open(d->g, d->of, d->fetch, &d->mirror, error))
		return FALSE;
	if (decide_source(d, &why))
		return decide_approval(d, error);
	if (is_refusal(why)) {
		g_propagate_error(refusal, g_steal_pointer(&why));
		return TRUE;
	}
	g_propagate_error(error, g_steal_pointer(&why));
	return FALSE;
}

void gitops_decide(struct role_context *role, struct peer *from, struct message *m)
{
	struct decide d = { .g = role->data, .artifacts = json_array_new() };
	g_autoptr(GError) error = NULL, refusal = NULL;
	autoptr(message) answer = NULL;

	if (decide_read(m, &d, &error) && decide(&d, &refusal, &error)) {
		answer = message_answer(m, MSG_DECIDED, NULL);
		fill_body(&d, refusal, answer->body);
		if (!add_sections(&d, answer, &error) || !add_key_files(&d, answer, &error) ||
		    !add_evidence(&d, answer, &error) || !add_range(&d, answer, &error) ||
		    !add_policy(&d, answer, &error))
			g_clear_pointer(&answer, message_free);
	}
	if (answer == NULL)
		answer = message_answer(m, MSG_DECIDED, error);
	role_answer(role, from, answer);
	decide_clear(&d);
}
