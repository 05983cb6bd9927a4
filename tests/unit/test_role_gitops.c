/* The gitops role over real repositories: what it finds at the sources, and what it answers about a tag in each of its conditions. */
#include "tests/unit/support_builder.h"
#include "tests/unit/support_gitops.h"
#include "tests/unit/support_net.h"

#include <string.h>

#include "gitops/object.h"

/* ---- looking ---- */

static struct json *look(struct scene *s, const char *project)
{
	g_autoptr(GError) error = NULL;
	autoptr(message) m = message_new(MSG_LOOK, 0);
	autoptr(message) answer = NULL;
	g_autoptr(GBytes) bytes = NULL;
	struct json *found, *projects = json_array_new();

	if (project != NULL)
		json_append_string(projects, project);
	json_set(m->body, "projects", projects);
	answer = test_role_ask(s->gitops, ROLE_ENGINE, m, MSG_LOOKED);
	assert_outcome(answer, "ok", NULL);
	bytes = message_bytes(answer, "look.json", 1 << 20, &error);
	found = bytes != NULL ? json_parse_bytes(bytes, &error) : NULL;
	assert_ok(found, error);
	return found;
}

static void tags_that_a_rule_matches_are_listed(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0");
	autoptr(json) found = NULL;

	git("alice", s->source, "tag -s -m 'None of our business' nightly");
	found = look(s, "acme/widget");
	assert_int_equal(json_length(json_get(found, "projects")), 1);
	assert_string_equal(json_string(json_path(found, "projects.0"), "name"), "acme/widget");
	assert_null(json_get(json_path(found, "projects.0"), "error"));
	assert_int_equal(json_length(json_path(found, "projects.0.tags")), 1);
	assert_string_equal(json_string(json_path(found, "projects.0.tags.0"), "id"), id);
	assert_string_equal(json_string(json_path(found, "projects.0.tags.0"), "rule"), "release");
	assert_int_equal(json_length(json_path(found, "projects.0.rules")), 2);
}

/* Which projects there are is told without a look at any of them. */
static void projects_are_told_without_their_sources(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(json) found = NULL;

	g_free(support_must("rm", "-rf", s->source, NULL));
	found = look(s, NULL);
	assert_string_equal(json_string(json_path(found, "projects.0"), "name"), "acme/widget");
	assert_int_equal(json_length(json_path(found, "projects.0.rules")), 2);
	assert_null(json_get(json_path(found, "projects.0"), "tags"));
	assert_null(json_get(json_path(found, "projects.0"), "error"));
}

static void a_source_that_cannot_be_fetched_is_told(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(json) found = NULL;
	g_autofree char *away = g_strconcat(s->source, ".away", NULL);

	g_free(support_must("mv", s->source, away, NULL));
	found = look(s, "acme/widget");
	assert_non_null(json_string(json_path(found, "projects.0"), "error"));
}

/* ---- source ---- */

static void a_good_tag_waits_for_its_approvals(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0");
	autoptr(message) answer = decide(s, "v1.2.0", id);
	autoptr(json) sections = sections_of(answer);

	assert_member(answer, "source", "passed");
	assert_member(answer, "approval", "waiting");
	assert_member(answer, "key", "release-2026");
	assert_member(answer, "purpose", "release");
	assert_member(answer, "rule", "release");
	assert_member(answer, "moved_tags", "reject");
	assert_member(answer, "policy", s->root);
	assert_int_equal(json_integer(answer->body, "approve_by", 0), s->now + INT64_C(14) * 24 * 60 * MINUTE);
	assert_string_equal(json_string(json_get(sections, "source"), "branch"), "main");
	assert_null(json_string(json_path(sections, "artifacts.0"), "sha256"));
	assert_non_null(message_find(answer, "tag"));
	assert_non_null(message_find(answer, "policy.json"));
	assert_non_null(message_find(answer, "certificates"));
	assert_fits_the_record(sections);
}

static void a_lightweight_tag_is_refused_with_advice(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = NULL;

	git("alice", s->source, "tag v2.0.0");
	id = tag_object(s, "v2.0.0");
	assert_source(s, "v2.0.0", id, "rejected",
	    "is a lightweight tag, which nobody can sign: delete it, and make it again with git tag -s");
}

static void an_unsigned_tag_and_a_strangers_tag_are_refused(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *plain = NULL, *strange = NULL;

	git("alice", s->source, "tag -a -m plain v2.0.0");
	git("mallory", s->source, "tag -s -m strange v3.0.0");
	plain = tag_object(s, "v2.0.0");
	strange = tag_object(s, "v3.0.0");
	assert_source(s, "v2.0.0", plain, "rejected", "sign");
	assert_source(s, "v3.0.0", strange, "rejected", "tag object");
}

static void a_tag_that_no_rule_matches_is_ignored(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = NULL;

	git("alice", s->source, "tag -s -m x nightly");
	id = tag_object(s, "nightly");
	assert_source(s, "nightly", id, "ignored", "no policy of acme/widget matches");
}

static void a_tag_on_another_branch_is_refused(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = NULL;

	git("alice", s->source, "checkout -q -b topic");
	git("alice", s->source, "commit -q --allow-empty -m aside");
	git("alice", s->source, "tag -s -m x v2.0.0");
	id = tag_object(s, "v2.0.0");
	assert_source(s, "v2.0.0", id, "rejected", "is on none of the branches that the rule \"release\" names (main)");
}

static void a_tag_that_is_not_there_yet_is_waited_for(void **state)
{
	autoptr(scene) s = scene_new();

	assert_source(s, "v9.9.9", "0123456789012345678901234567890123456789", "waiting", "does not show the tag v9.9.9");
}

static void a_moved_tag_is_refused_and_a_deleted_one_denied(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *old = tag_object(s, "v1.2.0"), *moved = NULL, *words = NULL;

	message_free(decide(s, "v1.2.0", old));
	git("alice", s->source, "tag -f -s -m 'Once more' v1.2.0");
	moved = tag_object(s, "v1.2.0");
	words = g_strdup_printf("was moved: it is %s now", moved);
	assert_source(s, "v1.2.0", old, "rejected", words);
	git("alice", s->source, "tag -d v1.2.0");
	assert_source(s, "v1.2.0", moved, "denied", "the tag was deleted at the source");
}

static void commits_that_must_be_signed_are_looked_at(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *good = tag_object(s, "v1.2.0"), *bad = NULL;
	policy_files *files = policy_of_ours(s);
	autoptr(message) answer = NULL;

	sample_replace(files, SAMPLE_PROJECT, "taggers", "commits = \"signed\"\ntaggers");
	publish(s, files);
	git("alice", s->source, "commit -q --allow-empty -m unsigned");
	git("alice", s->source, "tag -s -m x v2.0.0");
	bad = tag_object(s, "v2.0.0");
	answer = decide(s, "v1.2.0", good);
	assert_member(answer, "source", "passed");
	assert_source(s, "v2.0.0", bad, "rejected", "wants signed commits");
}

/* ---- approvals ---- */

static void enough_approvals_pass_and_pin_the_artifact(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *first = says(s, "bob", "Approve", id),
			*second = says(s, "carol", "Approve", id);
	autoptr(message) answer = decide(s, "v1.2.0", id);
	autoptr(json) sections = sections_of(answer);
	const struct json *artifact = json_path(sections, "artifacts.0");

	assert_member(answer, "source", "passed");
	assert_member(answer, "approval", "passed");
	assert_int_equal(json_length(json_get(answer->body, "new_seen")), 2);
	assert_string_equal(json_string(artifact, "name"), "widget-1.2.0.zip");
	assert_string_equal(json_string(artifact, "sha256"), DIGEST);
	assert_string_equal(json_string(artifact, "pinned_by"), "approval");
	assert_string_equal(json_string(artifact, "type"), "zip");
	assert_string_equal(json_as_string(json_path(artifact, "sign.0")), "openpgp");
	assert_fits_the_record(sections);
}

/* ---- provenance ---- */

static struct message *vouch(struct scene *s, GBytes *file, const char *commit, const char *sha256)
{
	autoptr(message) m = message_new(MSG_VOUCH, 0);
	g_autoptr(GBytes) mine = file;
	g_autofree char *text = g_strdup_printf("[{\"name\":\"widget-1.2.0.zip\",\"sha256\":\"%s\"}]", sha256);
	g_autoptr(GBytes) list = g_bytes_new(text, strlen(text));

	json_set_string(m->body, "project", "acme/widget");
	json_set_string(m->body, "tag", "v1.2.0");
	json_set_string(m->body, "commit", commit);
	json_set_integer(m->body, "first_seen", s->now);
	test_add(m, "provenance", mine);
	test_add(m, "artifacts.json", list);
	return test_role_ask(s->gitops, ROLE_ENGINE, m, MSG_VOUCHED);
}

static void assert_vouched(
    struct scene *s, GBytes *file, const char *commit, const char *sha256, const char *outcome, const char *words)
{
	autoptr(message) answer = vouch(s, file, commit, sha256);

	assert_outcome(answer, outcome, words);
	assert_int_equal(message_find(answer, "section.json") != NULL, words == NULL);
}

static void provenance_vouches_for_what_it_names(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *commit = git_as("alice", s->source, "rev-parse HEAD");
	g_autofree char *url = g_strconcat("file://", s->source, NULL), *where = NULL;
	policy_files *files = policy_of_ours(s);
	autoptr(message) answer = NULL;
	autoptr(json) sections = NULL;

	sample_pin_by_provenance(files);
	publish(s, files);
	answer = decide(s, "v1.2.0", id);
	sections = sections_of(answer);
	where = g_strdup_printf("https://ci.example.org/%s/provenance.jsonl", commit);
	assert_string_equal(json_string(sections, "provenance"), where);
	assert_null(json_string(json_path(sections, "artifacts.0"), "sha256"));
	assert_vouched(s, sample_provenance(url, commit, "widget-1.2.0.zip", DIGEST), commit, DIGEST, "ok", NULL);
	assert_vouched(s, sample_provenance(url, id, "widget-1.2.0.zip", DIGEST), commit, DIGEST, "refused",
	    "is the source at commit");
	assert_vouched(s, sample_provenance(url, commit, "widget-1.2.0.zip", DIGEST), commit,
	    "sha256:0000000000000000000000000000000000000000000000000000000000000000", "refused",
	    "has another digest than this file's");
	assert_vouched(s, g_bytes_new_static("[]", 2), commit, DIGEST, "refused", "neither an envelope nor a bundle");
}

static void provenance_that_nobody_asks_for_is_not_looked_at(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0");
	autoptr(message) answer = decide(s, "v1.2.0", id);

	assert_vouched(s, sample_provenance("x", id, "widget-1.2.0.zip", DIGEST), id, DIGEST, "refused",
	    "no policy in force asks for provenance of this tag");
}

/* approval-N is the object of the section's line N, and the bytes are that object. */
static void the_evidence_stands_in_the_order_of_the_section(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *first = says(s, "bob", "Approve", id),
			*second = says(s, "carol", "Approve", id);
	autoptr(message) answer = decide(s, "v1.2.0", id);
	autoptr(json) sections = sections_of(answer);

	assert_int_equal(json_length(json_get(sections, "approvals")), 2);
	for (guint i = 0; i < 2; i++) {
		g_autofree char *name = g_strdup_printf("approval-%u", i + 1),
				*path = g_strdup_printf("approvals.%u", i), *is = NULL;
		g_autoptr(GBytes) raw = message_bytes(answer, name, OBJECT_MAX, NULL);

		is = object_id(raw, "commit", NULL);
		assert_string_equal(is, json_string(json_path(sections, path), "commit"));
	}
}

static void approvals_seen_before_are_not_new(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *first = says(s, "bob", "Approve", id);
	autoptr(json) seen = json_object_new();
	autoptr(message) answer = NULL;

	json_set_integer(seen, first, s->now);
	answer = decide_with(s, "v1.2.0", id, TRUE, seen);
	assert_int_equal(json_length(json_get(answer->body, "new_seen")), 0);
	assert_member(answer, "approval", "waiting");
}

static void a_denial_counts(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *first = says(s, "bob", "Approve", id),
			*second = says(s, "carol", "Approve", id), *third = says(s, "carol", "Deny", id);
	autoptr(message) answer = decide(s, "v1.2.0", id);

	assert_member(answer, "approval", "denied");
	assert_contains(json_string(answer->body, "approval_reason"), "denied by carol");
}

/* Whoever may push to the source may also take commits away there; what we saw once counts on. */
static void a_denial_counts_also_after_the_ref_was_rewound(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *first = says(s, "bob", "Approve", id),
			*second = says(s, "carol", "Approve", id), *third = says(s, "carol", "Deny", id);
	g_autofree char *rewind = g_strdup_printf("update-ref refs/heads/tagseal/approvals %s", second);
	autoptr(message) before = decide(s, "v1.2.0", id);
	autoptr(message) after = NULL;

	git("mallory", s->source, rewind);
	after = decide(s, "v1.2.0", id);
	assert_member(before, "approval", "denied");
	assert_member(after, "approval", "denied");
}

static void approvals_of_strangers_are_listed_and_do_not_count(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *first = says(s, "bob", "Approve", id),
			*second = says(s, "mallory", "Approve", id);
	autoptr(message) answer = decide(s, "v1.2.0", id);
	autoptr(json) sections = sections_of(answer);

	assert_member(answer, "approval", "waiting");
	assert_int_equal(json_length(json_get(sections, "approvals")), 2);
	assert_fits_the_record(sections);
}

/* The commit before the tag is the approval: it names the tree, since there was no tag yet. */
static void an_approval_in_the_tags_history_counts(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *tree = git_as("alice", s->source, "rev-parse 'HEAD^{tree}'"),
			*file = g_strconcat(s->state, "/message", NULL);
	g_autofree char *message =
	    g_strdup_printf("Approve\n\nTagseal-Approve: v2.0.0\nTagseal-Tree: %s\nTagseal-Project: acme/widget\n"
			    "Tagseal-Policy: release\nTagseal-Artifact: " DIGEST " widget-2.0.0.zip\n",
		tree);
	g_autofree char *commit = g_strdup_printf("commit -q -S --allow-empty -F '%s'", file), *id = NULL;
	autoptr(message) answer = NULL;

	support_write(file, message);
	git("bob", s->source, commit);
	git("carol", s->source, commit);
	git("alice", s->source, "tag -s -m x v2.0.0");
	id = tag_object(s, "v2.0.0");
	answer = decide(s, "v2.0.0", id);
	assert_member(answer, "source", "passed");
	assert_member(answer, "approval", "passed");
}

/* ---- fetching and the policy ---- */

static void without_fetch_the_mirror_is_asked(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *first = NULL, *second = NULL;
	autoptr(message) before = decide(s, "v1.2.0", id);
	autoptr(message) still = NULL;
	autoptr(message) after = NULL;

	first = says(s, "bob", "Approve", id);
	second = says(s, "carol", "Approve", id);
	still = decide_with(s, "v1.2.0", id, FALSE, NULL);
	after = decide_with(s, "v1.2.0", id, TRUE, NULL);
	assert_member(still, "approval", "waiting");
	assert_member(after, "approval", "passed");
}

/* ssh is libgit2's own: nobody there looks at a clock. */
static void a_source_that_hangs_ends_the_process_at_its_deadline(void **state)
{
	g_autofree char *key = sample_ssh_key("alice");
	g_autofree char *more = g_strdup_printf("[git]\nallow_private = true\ndeadline = \"1s\"\nssh_key_file = "
						"\"%s\"\nssh_known_hosts_file = \"%s.pub\"\n",
	    key, key);
	autoptr(scene) s = scene_with(more);
	policy_files *files = policy_of_ours(s);
	autofd int listening = -1;
	guint16 port = listen_silently(&listening);
	g_autofree char *there = g_strdup_printf("file://%s", s->source),
			*silent = g_strdup_printf("ssh://git@127.0.0.1:%u/widget.git", port);
	autoptr(message) m = message_new(MSG_LOOK, 0);
	struct json *projects = json_array_new();

	sample_replace(files, SAMPLE_PROJECT, there, silent);
	publish(s, files);
	json_append_string(projects, "acme/widget");
	json_set(m->body, "projects", projects);
	test_role_tell(s->gitops, ROLE_ENGINE, m);
	assert_int_equal(test_role_wait(s->gitops), 1);
	scene_start(s);
	m->number = 0;
	json_set(m->body, "projects", json_array_new());
	{
		autoptr(message) answer = test_role_ask(s->gitops, ROLE_ENGINE, m, MSG_LOOKED);
		assert_outcome(answer, "ok", NULL);
	}
}

static void a_rewound_policy_is_refused_also_after_a_restart(void **state)
{
	autoptr(scene) s = scene_new();
	policy_files *files = policy_of_ours(s);
	g_autofree char *id = tag_object(s, "v1.2.0"), *back = g_strdup_printf("reset -q --hard %s", s->root);

	sample_replace(files, SAMPLE_PROJECT, "14d", "13d");
	publish(s, files);
	message_free(decide(s, "v1.2.0", id));
	git("alice", s->policy, back);
	for (guint i = 0; i < 2; i++) {
		autoptr(message) m = message_new(MSG_LOOK, 0);
		autoptr(message) answer = NULL;

		json_set(m->body, "projects", json_array_new());
		answer = test_role_ask(s->gitops, ROLE_ENGINE, m, MSG_LOOKED);
		assert_outcome(answer, "refused", NULL);
		assert_int_equal(test_role_stop(s->gitops), 0);
		scene_start(s);
	}
}

static void an_unknown_project_is_refused(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) answer = decide_of(s, "acme/other", "v1.2.0", s->root, TRUE, NULL);

	assert_member(answer, "source", "rejected");
	assert_contains(json_string(answer->body, "source_reason"), "has no project \"acme/other\"");
}

static int begin(void **state)
{
	(void)state;
	support_isolate();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_that_a_rule_matches_are_listed),
		cmocka_unit_test(projects_are_told_without_their_sources),
		cmocka_unit_test(a_source_that_cannot_be_fetched_is_told),
		cmocka_unit_test(a_good_tag_waits_for_its_approvals),
		cmocka_unit_test(a_lightweight_tag_is_refused_with_advice),
		cmocka_unit_test(an_unsigned_tag_and_a_strangers_tag_are_refused),
		cmocka_unit_test(a_tag_that_no_rule_matches_is_ignored),
		cmocka_unit_test(a_tag_on_another_branch_is_refused),
		cmocka_unit_test(a_tag_that_is_not_there_yet_is_waited_for),
		cmocka_unit_test(a_moved_tag_is_refused_and_a_deleted_one_denied),
		cmocka_unit_test(commits_that_must_be_signed_are_looked_at),
		cmocka_unit_test(enough_approvals_pass_and_pin_the_artifact),
		cmocka_unit_test(provenance_vouches_for_what_it_names),
		cmocka_unit_test(provenance_that_nobody_asks_for_is_not_looked_at),
		cmocka_unit_test(the_evidence_stands_in_the_order_of_the_section),
		cmocka_unit_test(approvals_seen_before_are_not_new),
		cmocka_unit_test(a_denial_counts),
		cmocka_unit_test(a_denial_counts_also_after_the_ref_was_rewound),
		cmocka_unit_test(approvals_of_strangers_are_listed_and_do_not_count),
		cmocka_unit_test(an_approval_in_the_tags_history_counts),
		cmocka_unit_test(without_fetch_the_mirror_is_asked),
		cmocka_unit_test(a_source_that_hangs_ends_the_process_at_its_deadline),
		cmocka_unit_test(a_rewound_policy_is_refused_also_after_a_restart),
		cmocka_unit_test(an_unknown_project_is_refused),
	};

	return cmocka_run_group_tests(tests, begin, NULL);
}
