/* May this tag be signed? Each attack beside its good twin, with the very sentence of the refusal. */
#include "gitops/decide.h"

#include <string.h>

#include "tests/unit/support_policy.h"

#define COMMIT "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"
#define TREE "c0ffee00d1e2f30415263748596a7b8c9dae0f12"
#define OTHER_ID "0123456789012345678901234567890123456789"
#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define OTHER_DIGEST "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
#define DAY (INT64_C(24) * 3600 * 1000)
#define SEEN (INT64_C(1767225600) * 1000)
#define RELEASE "projects/acme-widget.toml:5"

/* One release: the sample policy, a tag by alice, and what people said of it. */
struct scene {
	struct policy *policy;
	struct request request;
	GArray *approvals; /* struct approval_evidence */
	struct source_decision source;
	struct approval_decision decision;
};

static GBytes *tag_by(const char *person, const char *name, const char *trailers)
{
	g_autofree char *payload = g_strdup_printf(
	    "object %s\ntype commit\ntag %s\ntagger Somebody <%s@example.org> 1767225600 +0000\n\nRelease\n%s%s",
	    COMMIT, name, person, *trailers != '\0' ? "\n" : "", trailers);

	return sample_sign_tag(payload, person);
}

static void evidence_clear(gpointer data)
{
	struct approval_evidence *evidence = data;

	g_free(evidence->id);
	g_bytes_unref(evidence->raw);
}

/* Takes the files over; NULL: the sample as it is. */
static struct scene *scene_new(policy_files *files, const char *person, const char *tag, const char *trailers)
{
	struct scene *s = g_new0(struct scene, 1);

	s->policy = sample_load(files != NULL ? files : sample_files());
	s->approvals = g_array_new(FALSE, TRUE, sizeof(struct approval_evidence));
	g_array_set_clear_func(s->approvals, evidence_clear);
	s->request = (struct request){
		.policy = s->policy,
		.policy_commit = OTHER_ID,
		.project = "acme/widget",
		.tag = tag,
		.tag_raw = tag_by(person, tag, trailers),
		.tag_first_seen_ms = SEEN,
		.now_ms = SEEN + DAY,
		.tree = TREE,
		.first_object_of_name = TRUE,
	};
	s->request.tag_object = object_id(s->request.tag_raw, "tag", NULL);
	assert_non_null(s->request.tag_object);
	return s;
}

static void scene_free(struct scene *s)
{
	approval_decision_clear(&s->decision);
	source_decision_clear(&s->source);
	g_array_unref(s->approvals);
	g_bytes_unref(s->request.tag_raw);
	g_free((char *)s->request.tag_object);
	policy_unref(s->policy);
	g_free(s);
}
DEFINE_CLEANUP(scene, scene_free)

static struct scene *release(void)
{
	return scene_new(NULL, "alice", "v1.2.0", "");
}

static void source_passes(struct scene *s)
{
	g_autoptr(GError) error = NULL;

	source_decision_clear(&s->source);
	assert_ok(source_decide(&s->request, &s->source, &error), error);
}

static void source_refused(struct scene *s, const char *sentence)
{
	g_autoptr(GError) error = NULL;

	assert_false(source_decide(&s->request, &s->source, &error));
	assert_true(g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED));
	if (!g_str_has_suffix(error->message, sentence))
		fail_msg("\"%s\" does not end with \"%s\"", error->message, sentence);
}

static char *replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	if (at == NULL)
		fail_msg("\"%s\" does not hold \"%s\"", text, from);
	return g_strdup_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static char *approval_message(const struct scene *s)
{
	return g_strdup_printf("Approve acme/widget v1.2.0 for release signing\n\n"
			       "Tagseal-Approve: v1.2.0\n"
			       "Tagseal-Tag: %s\n"
			       "Tagseal-Project: acme/widget\n"
			       "Tagseal-Policy: release\n"
			       "Tagseal-Artifact: " DIGEST " widget-1.2.0.zip\n",
	    s->request.tag_object);
}

/* A signed commit with that message, seen a minute after the one before. Its id, borrowed. */
static const char *says(struct scene *s, const char *person, const char *message)
{
	struct approval_evidence evidence = { .first_seen_ms = SEEN + (s->approvals->len + 1) * INT64_C(60000) };
	g_autofree char *payload = g_strdup_printf("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
						   "author Somebody <%s@example.org> 1767225600 +0000\n"
						   "committer Somebody <%s@example.org> 1767225600 +0000\n\n%s",
	    person, person, message);

	evidence.raw = sample_sign_commit(payload, person);
	evidence.id = object_id(evidence.raw, "commit", NULL);
	assert_non_null(evidence.id);
	g_array_append_val(s->approvals, evidence);
	return evidence.id;
}

static struct approval_evidence *evidence_at(const struct scene *s, guint index)
{
	return &g_array_index(s->approvals, struct approval_evidence, index);
}

static const char *approves(struct scene *s, const char *person)
{
	g_autofree char *message = approval_message(s);

	return says(s, person, message);
}

/* An approval with one change in its message. */
static const char *approves_with(struct scene *s, const char *person, const char *from, const char *to)
{
	g_autofree char *message = approval_message(s);
	g_autofree char *changed = replaced(message, from, to);

	return says(s, person, changed);
}

static void decide(struct scene *s)
{
	g_autoptr(GError) error = NULL;

	source_passes(s);
	s->request.approvals = (const struct approval_evidence *)s->approvals->data;
	s->request.approval_count = s->approvals->len;
	approval_decision_clear(&s->decision);
	assert_ok(approval_decide(&s->request, &s->source, &s->decision, &error), error);
}

static void outcome(struct scene *s, enum approval_outcome wanted, const char *reason)
{
	decide(s);
	assert_string_equal(s->decision.reason, reason);
	assert_int_equal(s->decision.outcome, wanted);
}

static void counts(const struct scene *s, guint index)
{
	const struct json *entry = json_at(s->decision.section, index);

	if (!json_boolean(entry, "counts", FALSE))
		fail_msg("entry %u does not count: %s", index, json_string(entry, "why"));
	assert_null(json_string(entry, "why"));
}

static void does_not_count(const struct scene *s, guint index, const char *why)
{
	const struct json *entry = json_at(s->decision.section, index);

	assert_false(json_boolean(entry, "counts", TRUE));
	assert_string_equal(json_string(entry, "why"), why);
}

/* Bob approves well, carol as given: so the release waits, and her entry says why. */
static void second_does_not_count(struct scene *s, const char *why)
{
	outcome(s, APPROVAL_WAITING, "1 of 2 approvals of @developers; waiting for 1 more");
	counts(s, 0);
	does_not_count(s, 1, why);
}

static void variant_does_not_count(const char *from, const char *to, const char *why)
{
	autoptr(scene) s = release();

	approves(s, "bob");
	approves_with(s, "carol", from, to);
	second_does_not_count(s, why);
}

/* --- the gate `source` --- */

static void a_tag_by_a_tagger_passes(void **state)
{
	autoptr(scene) s = release();
	g_autofree char *text = NULL;

	(void)state;
	source_passes(s);
	assert_string_equal(s->source.project->name, "acme/widget");
	assert_string_equal(s->source.rule->name, "release");
	assert_string_equal(s->source.tagger.person, "alice");
	assert_string_equal(json_string(s->source.section, "commit"), COMMIT);
	assert_string_equal(json_string(s->source.section, "tree"), TREE);
	assert_string_equal(json_string(s->source.section, "tag_object"), s->request.tag_object);
	assert_string_equal(json_as_string(json_path(s->source.section, "signature.person")), "alice");
	assert_string_equal(json_as_string(json_path(s->source.section, "signature.format")), "ssh");
}

static void a_tag_that_no_policy_matches_is_none_of_our_business(void **state)
{
	autoptr(scene) s = scene_new(NULL, "alice", "nightly", "");
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_fails(source_decide(&s->request, &s->source, &error), error, TAGSEAL_ERROR_NOT_FOUND,
	    "no policy of acme/widget matches the tag \"nightly\" (projects/acme-widget.toml)");
}

static void an_unknown_project_is_refused(void **state)
{
	autoptr(scene) s = release();

	(void)state;
	s->request.project = "acme/gadget";
	source_refused(s, "the policy in force (" OTHER_ID ") knows no project \"acme/gadget\"");
}

static void two_policies_that_match_are_refused(void **state)
{
	policy_files *files = sample_files();
	autoptr(scene) s = NULL;

	(void)state;
	sample_replace(files, SAMPLE_PROJECT, "\ntags = [\"*-rc*\"]", "\ntags = [\"v1*\"]");
	s = scene_new(files, "alice", "v1.2.0", "");
	source_refused(s,
	    "two policies match the tag \"v1.2.0\": \"release\" (projects/acme-widget.toml:5) and \"test\" "
	    "(projects/acme-widget.toml:21); one of them must exclude it with not_tags");
}

static void a_tag_under_another_name_is_refused(void **state)
{
	autoptr(scene) s = release();

	(void)state;
	s->request.tag = "v9.9.9";
	source_refused(s, "is named \"v1.2.0\" inside, but it stands under refs/tags/v9.9.9");
}

static void bytes_of_another_object_are_refused(void **state)
{
	autoptr(scene) s = release();

	(void)state;
	g_free((char *)s->request.tag_object);
	s->request.tag_object = g_strdup(OTHER_ID);
	source_refused(s, ", not " OTHER_ID);
}

static void a_tag_by_somebody_who_may_not_ask_is_refused(void **state)
{
	autoptr(scene) s = scene_new(NULL, "bob", "v1.2.0", "");

	(void)state;
	source_refused(s, "the tag is signed by bob, who is not among the taggers of policy \"release\" (" RELEASE ")");
}

static void a_strangers_tag_is_refused(void **state)
{
	autoptr(scene) s = scene_new(NULL, "mallory", "v1.2.0", "");
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_refused(source_decide(&s->request, &s->source, &error), error, "tag object ");
}

static void a_tag_for_another_project_is_refused(void **state)
{
	autoptr(scene) good = scene_new(NULL, "alice", "v1.2.0", "Tagseal-Project: acme/widget\n");
	autoptr(scene) bad = scene_new(NULL, "alice", "v1.2.0", "Tagseal-Project: acme/gadget\n");

	(void)state;
	source_passes(good);
	source_refused(bad, "the tag is for project \"acme/gadget\" (Tagseal-Project), not \"acme/widget\"");
}

#define RC "v1.2.0-rc1"
#define RC_ARTIFACT "Tagseal-Artifact: " DIGEST " widget-1.2.0-rc1.zip\n"

static void where_nobody_approves_the_tag_names_project_and_artifacts(void **state)
{
	autoptr(scene) good = scene_new(NULL, "bob", RC, "Tagseal-Project: acme/widget\n" RC_ARTIFACT);
	autoptr(scene) no_project = scene_new(NULL, "bob", RC, RC_ARTIFACT);
	autoptr(scene) no_artifact = scene_new(NULL, "bob", RC, "Tagseal-Project: acme/widget\n");

	(void)state;
	outcome(good, APPROVAL_PASSED, "the policy asks for no approval");
	assert_string_equal(g_hash_table_lookup(good->source.pinned, "widget-1.2.0-rc1.zip"), DIGEST);
	source_refused(no_project,
	    "policy \"test\" asks for no approval, so the tag itself must say which project it is for: add the trailer "
	    "\"Tagseal-Project: acme/widget\"");
	source_refused(no_artifact,
	    "the tag does not pin \"widget-1.2.0-rc1.zip\", and policy \"test\" (projects/acme-widget.toml:21) lets "
	    "the tag "
	    "vouch for it: add the trailer \"Tagseal-Artifact: sha256:… widget-1.2.0-rc1.zip\"");
}

static void trailers_that_mean_nothing_in_a_tag_are_refused(void **state)
{
	autoptr(scene) approve = scene_new(NULL, "alice", "v1.2.0", "Tagseal-Approve: v1.2.0\n");
	autoptr(scene) unlisted = scene_new(NULL, "alice", "v1.2.0", "Tagseal-Artifact: " DIGEST " other.zip\n");
	autoptr(scene) twice =
	    scene_new(NULL, "alice", "v1.2.0", "Tagseal-Supersedes: v1.1.0\nTagseal-Supersedes: v1.1.1\n");
	autoptr(scene) good = scene_new(NULL, "alice", "v1.2.0", "Tagseal-Supersedes: v1.1.0\n");

	(void)state;
	source_refused(approve, "the trailer Tagseal-Approve has no meaning in a tag");
	source_refused(
	    unlisted, "the tag pins \"other.zip\", and policy \"release\" (" RELEASE ") has no artifact of that name");
	source_refused(twice, "Tagseal-Supersedes stands twice; it may stand once");
	source_passes(good);
	assert_string_equal(json_string(good->source.section, "supersedes"), "v1.1.0");
}

/* --- the gate `approval` --- */

static void enough_approvals_pass(void **state)
{
	autoptr(scene) s = release();

	(void)state;
	outcome(s, APPROVAL_WAITING, "0 of 2 approvals of @developers; waiting for 2 more");
	approves(s, "bob");
	outcome(s, APPROVAL_WAITING, "1 of 2 approvals of @developers; waiting for 1 more");
	approves(s, "carol");
	outcome(s, APPROVAL_PASSED, "2 of 2 approvals of @developers");
	counts(s, 0);
	counts(s, 1);
	assert_string_equal(g_hash_table_lookup(s->decision.pinned, "widget-1.2.0.zip"), DIGEST);
	assert_string_equal(json_string(json_at(s->decision.section, 1), "person"), "carol");
	assert_string_equal(json_string(json_at(s->decision.section, 1), "word"), "approve");
	assert_string_equal(json_string(json_at(s->decision.section, 1), "first_seen"), "2026-01-01T00:02:00.000Z");
}

static void an_approval_of_something_else_does_not_count(void **state)
{
	(void)state;
	variant_does_not_count(
	    "Approve: v1.2.0", "Approve: v1.2.1", "it is for tag v1.2.1, and this release is of tag v1.2.0");
	variant_does_not_count("Project: acme/widget", "Project: acme/gadget",
	    "it is for project acme/gadget, and this release is of project acme/widget");
	variant_does_not_count(
	    "Policy: release", "Policy: test", "it is for policy test, and this release is of policy release");
	variant_does_not_count("Tagseal-Project: acme/widget\n", "", "it has no trailer Tagseal-Project");
	variant_does_not_count("Tagseal-Policy: release\n", "", "it has no trailer Tagseal-Policy");
}

static void an_approval_of_the_tag_before_it_moved_does_not_count(void **state)
{
	autoptr(scene) s = release();
	g_autofree char *message = approval_message(s);
	g_autofree char *moved = replaced(message, s->request.tag_object, OTHER_ID);
	g_autofree char *why = g_strdup_printf(
	    "it is for tag object " OTHER_ID ", and this release is of tag object %s", s->request.tag_object);
	g_autofree char *shortened = replaced(message, s->request.tag_object, "5f2ab3c");

	(void)state;
	approves(s, "bob");
	says(s, "carol", moved);
	says(s, "carol", shortened);
	second_does_not_count(s, why);
	does_not_count(s, 2, "Tagseal-Tag must be a full id of 40 hex digits");
}

static void trailers_are_read_strictly(void **state)
{
	(void)state;
	variant_does_not_count("Tagseal-Policy: release\n", "Tagseal-Policy: release\nTagseal-Policy: release\n",
	    "message line 7: Tagseal-Policy stands twice; it may stand once");
	variant_does_not_count("Tagseal-Policy: release\n", "Tagseal-Policy: release\nTagseal-Urgent: yes\n",
	    "message line 7: \"Tagseal-Urgent\" is no trailer that tagseal knows; keys that start with Tagseal- are "
	    "reserved and "
	    "written exactly so");
	variant_does_not_count("Tagseal-Policy: release\n", "Tagseal-Policy: release\nTagseal-Range: v1.1.0..v1.2.0\n",
	    "Tagseal-Range must be \"sha256:\" and 64 lower-case hex digits");
	variant_does_not_count("Tagseal-Policy: release\n",
	    "Tagseal-Policy: release\nTagseal-Resign: 01JDZX0000000000000000000A release-2027\n",
	    "it carries the trailer Tagseal-Resign, which has no meaning there");
	variant_does_not_count("Tagseal-Policy: release\n", "Tagseal-Policy: release\nTagseal-Deny: v1.2.0\n",
	    "it has more than one of Tagseal-Approve, Tagseal-Deny and Tagseal-Withdraw");
	variant_does_not_count(
	    "Tagseal-Approve: v1.2.0\n", "", "it has no trailer Tagseal-Approve, Tagseal-Deny or Tagseal-Withdraw");
	variant_does_not_count("Tagseal-Artifact: ", "Tagseal-Artifact: " DIGEST " widget-1.2.0.zip\nTagseal-Artifact: ",
	    "message line 8: the artifact \"widget-1.2.0.zip\" stands twice");
	variant_does_not_count("Approve acme/widget v1.2.0 for release signing\n\n",
	    "Approve\n\nTagseal-Policy: release\n\n",
	    "message line 3: a line that starts with Tagseal- must stand in the last paragraph, where every line is "
	    "\"Key: "
	    "value\" without folding");
}

static void an_approval_bound_to_another_range_does_not_count(void **state)
{
	static const char other[] = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
	autoptr(scene) s = release();
	g_autofree char *unknown = g_strdup_printf(
	    "it is bound to the range %s (Tagseal-Range), and the range of this release is not known here", other);
	g_autofree char *differs = g_strdup_printf("it is bound to the range %s (Tagseal-Range), and the range of this "
						   "release is " DIGEST ": git tagseal show v1.2.0 tells it anew",
	    other);

	(void)state;
	approves_with(s, "bob", "Tagseal-Artifact", "Tagseal-Range: " DIGEST "\nTagseal-Artifact");
	s->request.range_sha256 = DIGEST;
	approves_with(s, "carol", "Tagseal-Artifact",
	    "Tagseal-Range: sha256:0000000000000000000000000000000000000000000000000000000000000000\nTagseal-Artifact");
	second_does_not_count(s, differs);
	s->request.range_sha256 = NULL;
	decide(s);
	does_not_count(s, 1, unknown);
	s->request.range_sha256 = other;
	decide(s);
	counts(s, 1);
	assert_false(json_boolean(json_at(s->decision.section, 0), "counts", TRUE));
}

static void one_person_is_one_approval(void **state)
{
	policy_files *files = sample_files();
	g_autofree char *key = sample_ssh_key("bob-token"), *pub = g_strconcat(key, ".pub", NULL);
	g_autofree char *line = g_strstrip(support_read(pub));
	g_autofree char *both = g_strdup_printf("ssh = [\"%s\", ", line);
	autoptr(scene) s = NULL;
	g_autofree char *message = NULL, *payload = NULL;
	struct approval_evidence second = { .first_seen_ms = SEEN + 60000 };

	(void)state;
	sample_replace(files, "people/bob.toml", "ssh = [", both);
	s = scene_new(files, "alice", "v1.2.0", "");
	approves(s, "bob");
	message = approval_message(s);
	payload = g_strdup_printf(
	    "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor Bob <bob@example.org> 1767225600 +0000\n"
	    "committer Bob <bob@example.org> 1767225600 +0000\n\n%s",
	    message);
	second.raw = sample_sign_commit(payload, "bob-token");
	second.id = object_id(second.raw, "commit", NULL);
	g_array_append_val(s->approvals, second);
	outcome(s, APPROVAL_WAITING, "1 of 2 approvals of @developers; waiting for 1 more");
	counts(s, 1);
	assert_string_equal(json_string(json_at(s->decision.section, 1), "person"), "bob");
}

static void a_person_counts_in_every_line_that_lists_them(void **state)
{
	policy_files *files = sample_files();
	autoptr(scene) s = NULL;

	(void)state;
	sample_replace(
	    files, SAMPLE_PROJECT, "count = 2 }", "count = 2 }, { of = [\"@security\", \"dave\"], count = 1 }");
	s = scene_new(files, "alice", "v1.2.0", "");
	outcome(s, APPROVAL_WAITING,
	    "0 of 2 approvals of @developers, 0 of 1 approval of @security or dave; waiting for 3 more");
	approves(s, "carol");
	outcome(s, APPROVAL_WAITING, "1 of 2 approvals of @developers; waiting for 1 more");
	approves(s, "bob");
	outcome(s, APPROVAL_PASSED, "2 of 2 approvals of @developers, 1 of 1 approval of @security or dave");
}

static void somebody_not_on_the_list_does_not_count(void **state)
{
	autoptr(scene) s = release();

	(void)state;
	approves(s, "bob");
	approves(s, "dave");
	second_does_not_count(s, "dave is not among the approvers of policy \"release\" (" RELEASE ")");
	approves(s, "mallory");
	decide(s);
	assert_false(json_boolean(json_at(s->decision.section, 2), "counts", TRUE));
	assert_null(json_string(json_at(s->decision.section, 2), "person"));
}

static struct scene *tagger_who_develops(const char *extra)
{
	policy_files *files = sample_files();
	g_autofree char *rule = g_strconcat("approve_within = \"14d\"\n", extra, NULL);

	sample_replace(files, "people/bob.toml", "\"developers\"", "\"developers\", \"release-managers\"");
	sample_replace(files, SAMPLE_PROJECT, "approve_within = \"14d\"\n", rule);
	return scene_new(files, "bob", "v1.2.0", "");
}

static void a_taggers_own_approval_counts_only_where_the_policy_says_so(void **state)
{
	autoptr(scene) bad = tagger_who_develops("");
	autoptr(scene) good = tagger_who_develops("self_approval = true\n");

	(void)state;
	approves(bad, "carol");
	approves(bad, "bob");
	second_does_not_count(bad,
	    "bob made the tag, and the tagger's own approval does not count under policy \"release\" (" RELEASE ")");
	approves(good, "carol");
	approves(good, "bob");
	outcome(good, APPROVAL_PASSED, "2 of 2 approvals of @developers");
}

static void where_hardware_keys_are_asked_for_others_do_not_count(void **state)
{
	policy_files *files = sample_files();
	autoptr(scene) s = NULL;
	const struct json *entry;

	(void)state;
	sample_replace(files, SAMPLE_PROJECT, "approve_within", "hardware_keys = true\napprove_within");
	s = scene_new(files, "alice", "v1.2.0", "");
	approves(s, "bob");
	outcome(s, APPROVAL_WAITING, "0 of 2 approvals of @developers; waiting for 2 more");
	entry = json_at(s->decision.section, 0);
	assert_contains(json_string(entry, "why"),
	    " proves no touch, and policy \"release\" (" RELEASE ") counts hardware keys only (sk- keys)");
	assert_contains(json_string(entry, "why"), json_string(entry, "key"));
}

static char *fingerprint(const char *person)
{
	g_autofree char *key = sample_ssh_key(person);
	g_autofree char *line = support_must("ssh-keygen", "-lf", key, NULL);
	g_auto(GStrv) words = g_strsplit(line, " ", 3);

	return g_strdup(words[1]);
}

static struct scene *with_revoked(const char *person, const char *since)
{
	policy_files *files = sample_files();
	g_autofree char *path = g_strdup_printf("people/%s.toml", person), *key = fingerprint(person);
	g_autofree char *text = g_strdup_printf("\n[[revoked]]\nkey = \"%s\"\nsince = %s\nwhy = \"lost\"\n", key, since);

	GBytes *old = g_hash_table_lookup(files, path);
	g_autofree char *whole =
	    g_strdup_printf("%.*s%s", (int)g_bytes_get_size(old), (const char *)g_bytes_get_data(old, NULL), text);

	sample_set(files, path, whole);
	return scene_new(files, "alice", "v1.2.0", "");
}

static void a_key_revoked_since_then_does_not_count_now(void **state)
{
	autoptr(scene) later = with_revoked("carol", "2026-01-01T12:00:00Z");
	autoptr(scene) future = with_revoked("carol", "2026-02-01T00:00:00Z");
	g_autofree char *key = fingerprint("carol");
	g_autofree char *why = g_strdup_printf(
	    "the key %s of carol is revoked since 2026-01-01T12:00:00.000Z (lost, people/carol.toml)", key);

	(void)state;
	approves(later, "bob");
	approves(later, "carol"); /* first seen before it was revoked */
	second_does_not_count(later, why);
	approves(future, "bob");
	approves(future, "carol");
	outcome(future, APPROVAL_PASSED, "2 of 2 approvals of @developers");
}

static void a_denial_by_an_approver_ends_the_release(void **state)
{
	autoptr(scene) s = release();

	(void)state;
	approves(s, "bob");
	approves(s, "carol");
	approves_with(
	    s, "carol", "Tagseal-Approve: v1.2.0\n", "Tagseal-Deny: v1.2.0\nTagseal-Reason: the parser leaks\n");
	outcome(s, APPROVAL_DENIED, "denied by carol: the parser leaks");
	counts(s, 2);
	assert_string_equal(json_string(json_at(s->decision.section, 2), "word"), "deny");
}

static void a_denial_by_anybody_else_or_of_something_else_ends_nothing(void **state)
{
	autoptr(scene) s = release();
	g_autofree char *message = approval_message(s), *deny = NULL, *other = NULL;

	(void)state;
	deny = replaced(message, "Tagseal-Approve", "Tagseal-Deny");
	other = replaced(deny, "Deny: v1.2.0", "Deny: v1.2.1");
	approves(s, "bob");
	approves(s, "carol");
	says(s, "dave", deny);
	says(s, "carol", other);
	outcome(s, APPROVAL_PASSED, "2 of 2 approvals of @developers");
	does_not_count(s, 2, "dave is not among the approvers of policy \"release\" (" RELEASE ")");
	does_not_count(s, 3, "it is for tag v1.2.1, and this release is of tag v1.2.0");
}

static void a_withdrawn_approval_never_counts_again(void **state)
{
	autoptr(scene) s = release();
	g_autofree char *id = g_strdup(approves(s, "carol"));
	g_autofree char *message = g_strdup_printf("Take it back\n\nTagseal-Withdraw: %s\n", id);
	g_autofree char *withdrawal = NULL, *why = NULL;
	struct approval_evidence replayed = *evidence_at(s, 0);

	(void)state;
	approves(s, "bob");
	withdrawal = g_strdup(says(s, "carol", message));
	replayed.id = g_strdup(replayed.id);
	replayed.raw = g_bytes_ref(replayed.raw);
	replayed.first_seen_ms = SEEN + DAY / 2;
	g_array_append_val(s->approvals, replayed);
	why = g_strdup_printf("carol withdrew it (%s)", withdrawal);
	outcome(s, APPROVAL_WAITING, "1 of 2 approvals of @developers; waiting for 1 more");
	does_not_count(s, 0, why);
	does_not_count(s, 3, why);
	counts(s, 2);
	approves_with(s, "carol", "Approve acme", "Approve after all acme"); /* another commit: it counts */
	outcome(s, APPROVAL_PASSED, "2 of 2 approvals of @developers");
}

static void only_ones_own_approval_can_be_withdrawn(void **state)
{
	autoptr(scene) s = release();
	g_autofree char *id = g_strdup(approves(s, "carol"));
	g_autofree char *message = g_strdup_printf("Take it back\n\nTagseal-Withdraw: %s\n", id);
	g_autofree char *denial = NULL, *back = NULL;

	(void)state;
	approves(s, "bob");
	says(s, "bob", message);
	says(s, "bob", "Take it back\n\nTagseal-Withdraw: " OTHER_ID "\n");
	outcome(s, APPROVAL_PASSED, "2 of 2 approvals of @developers");
	does_not_count(s, 2, "it withdraws the approval of carol, and only carol may do that");
	does_not_count(s, 3, "it withdraws " OTHER_ID ", which is no approval of this release");
	denial = g_strdup(approves_with(s, "bob", "Tagseal-Approve", "Tagseal-Deny"));
	back = g_strdup_printf("Take it back\n\nTagseal-Withdraw: %s\n", denial);
	says(s, "bob", back);
	outcome(s, APPROVAL_DENIED, "denied by bob");
	does_not_count(s, 5, "only an approval can be withdrawn; a denial stands");
}

static void approvals_that_pin_other_bytes_do_not_count_together(void **state)
{
	autoptr(scene) s = release();
	const char *first = approves(s, "bob");
	g_autofree char *why = g_strdup_printf(
	    "it pins \"widget-1.2.0.zip\" as " OTHER_DIGEST ", but the approval of bob (%s) pins it as " DIGEST, first);

	(void)state;
	approves_with(s, "carol", DIGEST, OTHER_DIGEST);
	second_does_not_count(s, why);
}

static void an_approval_must_pin_every_artifact_and_no_other(void **state)
{
	(void)state;
	variant_does_not_count("Tagseal-Artifact: " DIGEST " widget-1.2.0.zip\n", "",
	    "it does not pin \"widget-1.2.0.zip\" (Tagseal-Artifact), and policy \"release\" (" RELEASE
	    ") lets the approvals vouch for it");
	variant_does_not_count("widget-1.2.0.zip", "widget-1.2.1.zip",
	    "it pins \"widget-1.2.1.zip\", and policy \"release\" (" RELEASE ") has no artifact of that name");
}

static void an_approval_must_pin_what_the_tag_pins(void **state)
{
	autoptr(scene) s = scene_new(NULL, "alice", "v1.2.0", "Tagseal-Artifact: " DIGEST " widget-1.2.0.zip\n");

	(void)state;
	approves(s, "bob");
	approves_with(s, "carol", DIGEST, OTHER_DIGEST);
	second_does_not_count(s, "it pins \"widget-1.2.0.zip\" as " OTHER_DIGEST ", but the tag pins it as " DIGEST);
	approves_with(s, "carol", "Approve acme", "Approve now acme");
	outcome(s, APPROVAL_PASSED, "2 of 2 approvals of @developers");
}

static void a_release_expires_when_nobody_approves_in_time(void **state)
{
	autoptr(scene) s = release();

	(void)state;
	approves(s, "bob");
	s->request.now_ms = SEEN + 14 * DAY;
	outcome(s, APPROVAL_WAITING, "1 of 2 approvals of @developers; waiting for 1 more");
	s->request.now_ms++;
	outcome(s, APPROVAL_EXPIRED,
	    "1 of 2 approvals of @developers when the time for approvals ended (2026-01-15T00:00:00.000Z)");
	approves(s, "carol");
	outcome(s, APPROVAL_PASSED, "2 of 2 approvals of @developers"); /* in time, though asked later */
	evidence_at(s, 1)->first_seen_ms = SEEN + 14 * DAY + 1;
	decide(s);
	assert_int_equal(s->decision.outcome, APPROVAL_EXPIRED);
	does_not_count(s, 1, "it was first seen when the time that policy \"release\" (" RELEASE ") gives had passed");
}

/* Carol's approval names the tree and stands in the tagged commit's history. */
static void approves_tree(struct scene *s, const char *tree)
{
	g_autofree char *line = g_strdup_printf("Tagseal-Tag: %s", s->request.tag_object);
	g_autofree char *named = g_strdup_printf("Tagseal-Tree: %s", tree);

	approves(s, "bob");
	approves_with(s, "carol", line, named);
	evidence_at(s, 1)->in_history = TRUE;
}

static void an_approval_in_history_names_the_tree(void **state)
{
	autoptr(scene) s = release();

	(void)state;
	approves_tree(s, TREE);
	outcome(s, APPROVAL_PASSED, "2 of 2 approvals of @developers");
	s->request.first_object_of_name = FALSE;
	second_does_not_count(
	    s, "it names a tree, and so counts only for the first tag object of that name; the tag was moved");
	s->request.first_object_of_name = TRUE;
	evidence_at(s, 1)->in_history = FALSE;
	second_does_not_count(s, "it names a tree instead of the tag object, which only an approval in the history of "
				 "the tagged commit may");
	evidence_at(s, 1)->in_history = TRUE;
	s->request.tree = NULL;
	second_does_not_count(s, "it names a tree, and the tagged commit's tree is not known here");
}

static void an_approval_of_another_tree_does_not_count(void **state)
{
	autoptr(scene) s = release();

	(void)state;
	approves_tree(s, OTHER_ID);
	second_does_not_count(s, "it is for tree " OTHER_ID ", and this release is of tree " TREE);
	variant_does_not_count("Tagseal-Policy: release\n", "Tagseal-Policy: release\nTagseal-Tree: " TREE "\n",
	    "it names both a tag object (Tagseal-Tag) and a tree (Tagseal-Tree)");
}

static void evidence_under_a_wrong_id_does_not_count(void **state)
{
	autoptr(scene) s = release();
	g_autofree char *why = NULL;

	(void)state;
	approves(s, "bob");
	approves(s, "carol");
	why = g_strdup_printf("its bytes have the id %s", evidence_at(s, 1)->id);
	g_free(evidence_at(s, 1)->id);
	evidence_at(s, 1)->id = g_strdup(OTHER_ID);
	second_does_not_count(s, why);
}

static void a_commit_with_another_persons_address_does_not_count(void **state)
{
	autoptr(scene) s = release();
	g_autofree char *message = approval_message(s);
	g_autofree char *payload = g_strdup_printf(
	    "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor Carol <carol@example.org> 1767225600 +0000\n"
	    "committer Bob <bob@example.org> 1767225600 +0000\n\n%s",
	    message);
	struct approval_evidence evidence = { .first_seen_ms = SEEN };

	(void)state;
	evidence.raw = sample_sign_commit(payload, "bob");
	evidence.id = object_id(evidence.raw, "commit", NULL);
	g_array_append_val(s->approvals, evidence);
	outcome(s, APPROVAL_WAITING, "0 of 2 approvals of @developers; waiting for 2 more");
	does_not_count(s,
	    0, "bob signed it, but the author's address carol@example.org is carol's: sign with the address of the key's owner");
}

static void an_unsigned_commit_does_not_count(void **state)
{
	autoptr(scene) s = release();
	g_autofree char *message = approval_message(s);
	g_autofree char *text = g_strdup_printf(
	    "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor Bob <bob@example.org> 1767225600 +0000\n"
	    "committer Bob <bob@example.org> 1767225600 +0000\n\n%s",
	    message);
	struct approval_evidence evidence = { .first_seen_ms = SEEN };

	(void)state;
	evidence.raw = g_bytes_new(text, strlen(text));
	evidence.id = object_id(evidence.raw, "commit", NULL);
	g_array_append_val(s->approvals, evidence);
	outcome(s, APPROVAL_WAITING, "0 of 2 approvals of @developers; waiting for 2 more");
	does_not_count(s, 0, "it is not signed");
}

/* --- the small questions --- */

static gboolean found(struct scene *s, guint i, const char *tag, const char *tag_object)
{
	g_auto(GStrv) lines = approval_lines(evidence_at(s, i)->raw), wanted = approval_lines_of(tag, tag_object);

	for (char **line = wanted; *line != NULL; line++)
		if (g_strv_contains((const char *const *)lines, *line))
			return TRUE;
	return FALSE;
}

static void what_concerns_a_release_is_found_by_its_lines(void **state)
{
	autoptr(scene) s = release();
	g_auto(GStrv) lines = NULL;
	g_autofree char *line = NULL;

	(void)state;
	approves(s, "bob");
	approves_with(s, "bob", "Approve: v1.2.0", "Approve: v1.2.1");
	says(s, "bob", "Take it back\n\nTagseal-Withdraw: " OTHER_ID "\n");
	assert_true(found(s, 0, "v1.2.0", s->request.tag_object));
	assert_true(found(s, 1, "v1.2.0", s->request.tag_object)); /* by the tag object */
	assert_false(found(s, 1, "v1.2.0", OTHER_ID));
	assert_false(found(s, 2, "v1.2.0", s->request.tag_object));
	lines = approval_lines(evidence_at(s, 2)->raw);
	line = approval_line_withdrawing(OTHER_ID);
	assert_int_equal(g_strv_length(lines), 1);
	assert_string_equal(lines[0], line);
	assert_true(approval_is_one("Subject\n\nTagseal-Deny: v1"));
	assert_false(approval_is_one("Subject about Tagseal-Approve: v1\n\nTagseal-Approve-Policy: c0ffee\n"));
}

static void an_approval_alone_can_be_verified(void **state)
{
	autoptr(scene) s = release();
	const struct people *people = policy_people(s->policy);
	struct signer signer;
	g_autoptr(GError) error = NULL;

	(void)state;
	approves(s, "dave"); /* anybody whom people/ knows */
	approves_with(s, "bob", "Tagseal-Approve", "Tagseal-Deny");
	assert_ok(approval_verify(people, "acme/widget", "v1.2.0", s->request.tag_object, NULL, "release",
		      evidence_at(s, 0)->raw, SEEN, &signer, &error),
	    error);
	assert_string_equal(signer.person, "dave");
	signer_clear(&signer);
	assert_refused(approval_verify(people, "acme/widget", "v1.2.0", s->request.tag_object, NULL, "release",
			   evidence_at(s, 1)->raw, SEEN, &signer, &error),
	    error, "it is a denial, not an approval");
	assert_refused(approval_verify(people, "acme/gadget", "v1.2.0", s->request.tag_object, NULL, "release",
			   evidence_at(s, 0)->raw, SEEN, &signer, &error),
	    error, "it is for project acme/widget, and this release is of project acme/gadget");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tag_by_a_tagger_passes),
		cmocka_unit_test(a_tag_that_no_policy_matches_is_none_of_our_business),
		cmocka_unit_test(an_unknown_project_is_refused),
		cmocka_unit_test(two_policies_that_match_are_refused),
		cmocka_unit_test(a_tag_under_another_name_is_refused),
		cmocka_unit_test(bytes_of_another_object_are_refused),
		cmocka_unit_test(a_tag_by_somebody_who_may_not_ask_is_refused),
		cmocka_unit_test(a_strangers_tag_is_refused),
		cmocka_unit_test(a_tag_for_another_project_is_refused),
		cmocka_unit_test(where_nobody_approves_the_tag_names_project_and_artifacts),
		cmocka_unit_test(trailers_that_mean_nothing_in_a_tag_are_refused),
		cmocka_unit_test(enough_approvals_pass),
		cmocka_unit_test(an_approval_of_something_else_does_not_count),
		cmocka_unit_test(an_approval_of_the_tag_before_it_moved_does_not_count),
		cmocka_unit_test(trailers_are_read_strictly),
		cmocka_unit_test(an_approval_bound_to_another_range_does_not_count),
		cmocka_unit_test(one_person_is_one_approval),
		cmocka_unit_test(a_person_counts_in_every_line_that_lists_them),
		cmocka_unit_test(somebody_not_on_the_list_does_not_count),
		cmocka_unit_test(a_taggers_own_approval_counts_only_where_the_policy_says_so),
		cmocka_unit_test(where_hardware_keys_are_asked_for_others_do_not_count),
		cmocka_unit_test(a_key_revoked_since_then_does_not_count_now),
		cmocka_unit_test(a_denial_by_an_approver_ends_the_release),
		cmocka_unit_test(a_denial_by_anybody_else_or_of_something_else_ends_nothing),
		cmocka_unit_test(a_withdrawn_approval_never_counts_again),
		cmocka_unit_test(only_ones_own_approval_can_be_withdrawn),
		cmocka_unit_test(approvals_that_pin_other_bytes_do_not_count_together),
		cmocka_unit_test(an_approval_must_pin_every_artifact_and_no_other),
		cmocka_unit_test(an_approval_must_pin_what_the_tag_pins),
		cmocka_unit_test(a_release_expires_when_nobody_approves_in_time),
		cmocka_unit_test(an_approval_in_history_names_the_tree),
		cmocka_unit_test(an_approval_of_another_tree_does_not_count),
		cmocka_unit_test(evidence_under_a_wrong_id_does_not_count),
		cmocka_unit_test(a_commit_with_another_persons_address_does_not_count),
		cmocka_unit_test(an_unsigned_commit_does_not_count),
		cmocka_unit_test(what_concerns_a_release_is_found_by_its_lines),
		cmocka_unit_test(an_approval_alone_can_be_verified),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
