/* The decision again, from the raw tag, the raw approvals and the policy, by the code that the server decides with; then compared. */
#include <string.h>

#include "gitops/audit_private.h"
#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/decide_private.h"
#include "gitops/record.h"
#include "gitops/replay.h"

struct again { /* one release decided again */
	struct audit *a;
	const struct json *record;
	GHashTable *files;
	struct replay replay;
	struct request *request; /* the replay's */
	struct source_decision source;
	struct approval_decision approval;
};

static const char *text_at(const struct json *value, const char *path)
{
	return json_as_string(json_path(value, path));
}

static gboolean passed(const struct json *record, enum gate gate)
{
	return g_strcmp0(json_string(record_gate_line(record, gate), "outcome"), "passed") == 0;
}

/* ---- evidence ---- */

gboolean audit_first_object(struct audit *a, const struct json *record)
{
	const char *object = text_at(record, "source.tag_object");
	g_autofree char *name = g_strdup_printf("%s\n%s", json_string(record, "project"), json_string(record, "tag"));
	const char *first = g_hash_table_lookup(a->names, name);

	if (first != NULL)
		return g_str_equal(first, object);
	g_hash_table_insert(a->names, g_steal_pointer(&name), g_strdup(object));
	return TRUE;
}

static gboolean prepare(struct again *g)
{
	const char *policy_commit = text_at(g->record, "policy.commit");
	const struct audit_policy *policy = audit_policy_of(g->a, policy_commit, g->files);
	g_autoptr(GError) why = NULL;

	if (policy == NULL)
		return FALSE;
	if (!replay_read(g->record, g->files, &g->replay, &why)) {
		audit_bad(g->a, "%s", why->message);
		return FALSE;
	}
	g->request = &g->replay.request;
	g->request->policy = policy->policy;
	g->request->first_object_of_name = audit_first_object(g->a, g->record);
	return TRUE;
}

/* ---- comparing ---- */

/* What we found must stand in the record; it may say more than the evidence can (branch, url). */
static void compare_source(struct again *g)
{
	const struct json *theirs = json_get(g->record, "source"), *ours = g->source.section;

	for (guint i = 0; i < json_length(ours); i++) {
		const char *key = NULL;
		const struct json *value = json_member(ours, i, &key);

		if (!json_equal(value, json_get(theirs, key)))
			audit_bad(g->a, "its \"source\" says otherwise of \"%s\" than the tag does", key);
	}
}

static void compare_policy(struct again *g)
{
	if (g_strcmp0(text_at(g->record, "policy.name"), g->source.rule->name) != 0)
		audit_bad(g->a, "it was decided by the rule \"%s\", and the policy's rule for this tag is \"%s\"",
		    text_at(g->record, "policy.name"), g->source.rule->name);
	if (text_at(g->record, "policy.file_sha256") != NULL &&
	    g_strcmp0(text_at(g->record, "policy.file_sha256"), g->source.project->file_sha256) != 0)
		audit_bad(g->a, "its policy file has another digest than it says");
	if (g_strcmp0(text_at(g->record, "source.url"), g->source.project->source) != 0)
		audit_bad(g->a, "its source is not the one that the policy names");
}

static void compare_outcome(struct again *g)
{
	static const struct {
		const char *outcome;
		enum approval_outcome ours;
	} ends[] = { { "denied", APPROVAL_DENIED }, { "expired", APPROVAL_EXPIRED } };
	const char *end = text_at(g->record, "end.outcome"), *gate = text_at(g->record, "end.gate");

	if (passed(g->record, GATE_APPROVAL) && g->approval.outcome != APPROVAL_PASSED) {
		audit_bad(g->a, "it passed the gate approval, and the evidence says: %s",
		    g->approval.reason != NULL ? g->approval.reason : "not approved");
		return;
	}
	for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
		/* A deleted tag also denies, and leaves no evidence. */
		if (g_strcmp0(end, ends[i].outcome) == 0 && g_strcmp0(gate, "approval") == 0 &&
		    g->approval.outcome == APPROVAL_PASSED)
			audit_bad(g->a, "it ended as %s, and the evidence says that it was approved", end);
	}
	if (!json_equal(json_get(g->record, "approvals"), g->approval.section))
		audit_bad(g->a, "its \"approvals\" say otherwise than the evidence");
}

/* Whoever is said to have vouched for an artifact's digest must have done so. */
static void compare_pins(struct again *g)
{
	const struct json *artifacts = json_get(g->record, "artifacts");

	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *artifact = json_at(artifacts, i);
		const char *by = json_string(artifact, "pinned_by"), *name = json_string(artifact, "name");
		GHashTable *pins = g_strcmp0(by, "tag") == 0        ? g->source.pinned
				   : g_strcmp0(by, "approval") == 0 ? g->approval.pinned
								    : NULL;
		const char *pinned = pins != NULL ? g_hash_table_lookup(pins, name) : NULL;

		if (pins != NULL && g_strcmp0(pinned, json_string(artifact, "sha256")) != 0)
			audit_bad(g->a, "the %s does not vouch for the digest of %s", by, name);
		else if (by != NULL && !decide_pinned_by(g->source.rule, by))
			audit_bad(g->a, "the %s is said to vouch for %s, and the policy does not ask it", by, name);
		else if (by == NULL && json_get(artifact, "signed") != NULL)
			audit_bad(g->a, "nobody vouched for the digest of %s", name);
	}
}

/* "sha256:…" without its head; NULL if it is none. */
static const char *hex_of(const struct json *artifact)
{
	const char *sha256 = json_string(artifact, "sha256");

	return sha256 != NULL && is_sha256_text(sha256) ? sha256 + strlen("sha256:") : NULL;
}

/* The provenance again, from its raw bytes, for one artifact; what the record says of it must be what it says. */
static gboolean vouches(struct again *g, GBytes *file, const struct json *artifact, GError **error)
{
	const struct json *theirs = json_get(artifact, "provenance");
	const struct provenance_artifact one = { json_string(artifact, "name"), hex_of(artifact), NULL };
	struct provenance_question q = { .policy = g->request->policy,
		.project = g->source.project,
		.rule = g->source.rule,
		.commit = g->source.tag->object,
		.stamp_time = g->a->options->stamp_time,
		.artifacts = &one,
		.artifact_count = 1 };
	const char *first_seen = json_string(theirs, "first_seen");
	g_autofree char *digest = sha256_text_bytes(file);

	if (one.sha256 == NULL || first_seen == NULL || !time_parse_ms(first_seen, &q.first_seen_ms) ||
	    g_strcmp0(json_string(theirs, "sha256"), digest) != 0) {
		error_refused(error, "the record does not say which provenance it was, and when it was first seen");
		return FALSE;
	}
	return provenance_decide(file, &q, NULL, error);
}

static void check_provenance(struct again *g)
{
	const struct json *artifacts = json_get(g->record, "artifacts");
	GBytes *file = g_hash_table_lookup(g->files, "provenance");

	if (!decide_pinned_by(g->source.rule, "provenance"))
		return;
	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *artifact = json_at(artifacts, i);
		g_autoptr(GError) why = NULL;

		if (json_get(artifact, "signed") == NULL)
			continue;
		if (file == NULL)
			audit_bad(g->a,
			    "%s was signed, and the provenance that the policy demands is not in the evidence",
			    json_string(artifact, "name"));
		else if (!vouches(g, file, artifact, &why))
			audit_bad(g->a, "%s was signed: %s", json_string(artifact, "name"), why->message);
	}
}

/* ---- what the policy demands of what was signed ---- */

static void check_signature(struct again *g, const char *name, const struct json *signature)
{
	const struct policy_rule *rule = g->source.rule;
	const struct policy_key *key = policy_key(g->request->policy, rule->key);
	const char *format = json_string(signature, "format");
	gboolean (*stamped)(const char *) = g->a->options->stamped;
	gboolean has_place = format == NULL || stamped == NULL || stamped(format);

	if (g_strcmp0(json_string(signature, "key"), rule->key) != 0)
		audit_bad(g->a, "%s was signed with the key %s, and the policy says %s", name,
		    json_string(signature, "key"), rule->key);
	if ((rule->timestamp || (key != NULL && key->require_timestamp)) && has_place &&
	    json_get(signature, "timestamp") == NULL)
		audit_bad(g->a, "%s has no timestamp, and the policy demands one", name);
}

static void check_signed(struct again *g)
{
	const struct json *artifacts = json_get(g->record, "artifacts");
	const struct policy_rule *rule = g->source.rule;
	const struct policy_key *key = policy_key(g->request->policy, rule->key);
	gboolean scan = rule->scan || (key != NULL && key->require_scan);

	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *artifact = json_at(artifacts, i),
				  *signatures = json_path(artifact, "signed.signatures");
		const char *name = json_string(artifact, "name");

		if (json_length(signatures) > 0 && scan && g_strcmp0(text_at(artifact, "scan.verdict"), "clean") != 0)
			audit_bad(g->a, "%s was signed without a clean scan, and the policy demands one", name);
		for (guint n = 0; n < json_length(signatures); n++)
			check_signature(g, name, json_at(signatures, n));
	}
}

/* ---- deciding ---- */

static void decide(struct again *g)
{
	g_autoptr(GError) error = NULL;

	if (!source_decide(g->request, &g->source, &error)) {
		if (passed(g->record, GATE_SOURCE))
			audit_bad(g->a, "it passed the gate source, and the evidence says: %s", error->message);
		return;
	}
	compare_source(g);
	compare_policy(g);
	/* The source may have been rejected for what no evidence shows: the branch, or a tag that had moved. */
	if (!passed(g->record, GATE_SOURCE))
		return;
	audit_range(g->a, g->record, g->files, g->request, g->source.rule);
	audit_note_release(g->a, g->record, g->source.rule);
	if (!approval_decide(g->request, &g->source, &g->approval, &error)) {
		audit_error(g->a, "its approvals", error);
		return;
	}
	compare_outcome(g);
	if (passed(g->record, GATE_APPROVAL)) {
		compare_pins(g);
		check_provenance(g);
		check_signed(g);
	}
}

/* A record that carries signatures, or says that it was signed, must have passed both gates. */
static gboolean claims_more(const struct json *record)
{
	const struct json *artifacts = json_get(record, "artifacts");
	gboolean more = g_strcmp0(text_at(record, "end.outcome"), "signed") == 0;

	for (guint i = 0; i < json_length(artifacts); i++)
		more = more || json_get(json_at(artifacts, i), "signed") != NULL;
	return more;
}

void audit_decide(struct audit *a, const struct json *record, GHashTable *files)
{
	struct again again = { .a = a, .record = record, .files = files };

	if (claims_more(record) && !(passed(record, GATE_SOURCE) && passed(record, GATE_APPROVAL))) {
		audit_bad(a, "it was signed without having passed the gates source and approval");
		return;
	}
	/* Rejected before anything was read: there is nothing to decide again. */
	if (!passed(record, GATE_SOURCE) && g_hash_table_lookup(files, "tag") == NULL)
		return;
	if (text_at(record, "policy.commit") == NULL || text_at(record, "source.tag_object") == NULL) {
		if (passed(record, GATE_SOURCE))
			audit_bad(a, "it passed the gate source, and names no policy or no tag");
		return;
	}
	if (prepare(&again))
		decide(&again);
	source_decision_clear(&again.source);
	approval_decision_clear(&again.approval);
	replay_clear(&again.replay);
}
