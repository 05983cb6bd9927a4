/*
 * Who may ask and who may say yes, as the running gitops role answers it: each rule of a project beside its forged twin, and what becomes of words that
 * were said once when the ref, the tag, the branch or the policy is another one later.
 */
#include "tests/unit/support_gitops.h"

#include <string.h>

#define DAY (24 * 60 * MINUTE)

/* The policy with one line more in its release rule. */
static void publish_with(struct scene *s, const char *line)
{
	policy_files *files = policy_of_ours(s);
	g_autofree char *more = g_strdup_printf("%s\ntaggers", line);

	sample_replace(files, SAMPLE_PROJECT, "taggers", more);
	publish(s, files);
}

static void publish_replacing(struct scene *s, const char *file, const char *from, const char *to)
{
	policy_files *files = policy_of_ours(s);

	sample_replace(files, file, from, to);
	publish(s, files);
}

static void assert_approval(struct scene *s, const char *id, const char *word, const char *reason)
{
	autoptr(message) answer = decide(s, "v1.2.0", id);

	assert_member(answer, "source", "passed");
	assert_member(answer, "approval", word);
	assert_contains(json_string(answer->body, "approval_reason"), reason);
}

/* ---- who counts ---- */

static void the_taggers_own_approval_counts_only_where_the_policy_says_so(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *own = says(s, "alice", "Approve", id),
			*bobs = says(s, "bob", "Approve", id);
	autoptr(message) no = NULL;
	autoptr(message) yes = NULL;

	publish_replacing(s, SAMPLE_PROJECT, "of = [\"@developers\"]", "of = [\"@developers\", \"alice\"]");
	no = decide(s, "v1.2.0", id);
	assert_member(no, "approval", "waiting");
	assert_listed(
	    no, own, "alice made the tag, and the tagger's own approval does not count under policy \"release\"");
	publish_replacing(s, SAMPLE_PROJECT, "of = [\"@developers\"], count = 2 }]",
	    "of = [\"@developers\", \"alice\"], count = 2 }]\nself_approval = true");
	yes = decide(s, "v1.2.0", id);
	assert_member(yes, "approval", "passed");
	assert_listed(yes, own, NULL);
}

static void where_a_touch_is_asked_for_keys_without_one_do_not_count(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *bobs = says(s, "bob", "Approve", id),
			*carols = says(s, "carol", "Approve", id);
	autoptr(message) no = NULL;
	autoptr(message) yes = decide(s, "v1.2.0", id);

	assert_member(yes, "approval", "passed");
	publish_with(s, "hardware_keys = true");
	no = decide(s, "v1.2.0", id);
	assert_member(no, "approval", "waiting");
	assert_listed(no, bobs, "proves no touch, and policy \"release\"");
}

static void every_line_of_the_quorum_must_be_met(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *bobs = says(s, "bob", "Approve", id), *daves = NULL,
			*carols = says(s, "carol", "Approve", id);

	publish_replacing(s, SAMPLE_PROJECT, "count = 2 }]", "count = 2 }, { of = [\"dave\"], count = 1 }]");
	assert_approval(s, id, "waiting", "0 of 1 approval of dave; waiting for 1 more");
	daves = says(s, "dave", "Approve", id);
	assert_approval(s, id, "passed", "2 of 2 approvals of @developers, 1 of 1 approval of dave");
}

static void one_person_with_two_approvals_is_one(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *first = says(s, "bob", "Approve", id),
			*second = says(s, "bob", "Approve", id);

	assert_approval(s, id, "waiting", "1 of 2 approvals of @developers; waiting for 1 more");
}

static void approvals_that_pin_other_bytes_do_not_count_together(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *bobs = says(s, "bob", "Approve", id), *carols = NULL,
			*message = words("Approve", id);
	autoptr(message) first = decide(s, "v1.2.0", id);
	autoptr(message) answer = NULL;
	autoptr(json) seen = json_object_new();

	json_set_integer(seen, bobs, s->now);
	strstr(message, "sha256:9f")[7] = '0';
	carols = commits("carol", s->source, message);
	answer = decide_with(s, "v1.2.0", id, TRUE, seen);
	assert_member(answer, "approval", "waiting");
	assert_listed(answer, bobs, NULL);
	assert_listed(answer, carols, "but the approval of bob");
}

static void approvals_of_anything_else_are_listed_with_the_reason(void **state)
{
	static const struct {
		const char *from, *to, *why;
	} rows[] = {
		{ "Project: acme/widget", "Project: acme/gadget", "it is for project acme/gadget" },
		{ "Policy: release", "Policy: test", "it is for policy test" },
		{ "Approve: v1.2.0", "Approve: v1.2.1", "it is for tag v1.2.1" },
		{ "Tagseal-Policy: release\n", "", "it has no trailer Tagseal-Policy" },
		{ "Tagseal-Policy", "Tagseal-Promote: x\nTagseal-Policy", "Tagseal-Promote, which has no meaning there" },
		{ "Tagseal-Policy: release\n", "Tagseal-Policy: release\nTagseal-Policy: release\n", "Tagseal-Policy" },
		{ "Words about", "Words\r about", "" },
	};
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0");
	g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
	autoptr(message) answer = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *whole = words("Approve", id);
		char *at = strstr(whole, rows[i].from);
		g_autofree char *text =
		    g_strdup_printf("%.*s%s%s", (int)(at - whole), whole, rows[i].to, at + strlen(rows[i].from));

		g_ptr_array_add(made, commits(i % 2 ? "bob" : "carol", s->source, text));
	}
	answer = decide(s, "v1.2.0", id);
	assert_member(answer, "approval", "waiting");
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
		assert_listed(answer, made->pdata[i], rows[i].why);
}

static void a_key_that_is_revoked_now_does_not_count(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *bobs = says(s, "bob", "Approve", id),
			*carols = says(s, "carol", "Approve", id), *key = sample_ssh_key("bob"), *text = NULL;
	g_autofree char *said = support_must("ssh-keygen", "-l", "-f", key, NULL), *before = NULL;
	g_auto(GStrv) parts = g_strsplit(said, " ", 3); /* bits, fingerprint, rest */
	policy_files *files = policy_of_ours(s);
	GBytes *file = g_hash_table_lookup(files, "people/bob.toml");
	autoptr(message) yes = decide(s, "v1.2.0", id);
	autoptr(message) no = NULL;

	before = g_strndup(g_bytes_get_data(file, NULL), g_bytes_get_size(file));
	text = g_strdup_printf("%s[[revoked]]\nkey = \"%s\"\nwhy = \"laptop lost\"\n", before, parts[1]);
	sample_set(files, "people/bob.toml", text);
	publish(s, files);
	no = decide(s, "v1.2.0", id);
	assert_member(yes, "approval", "passed");
	assert_member(no, "approval", "waiting");
	assert_listed(no, bobs, "laptop lost");
	assert_listed(no, carols, NULL);
}

/* ---- the tag ---- */

static void a_tag_that_two_rules_match_is_refused(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0");

	publish_replacing(s, SAMPLE_PROJECT, "\ntags = [\"*-rc*\"]", "\ntags = [\"*-rc*\", \"v1.*\"]");
	assert_source(s, "v1.2.0", id, "rejected", "two policies");
}

static void where_nobody_approves_the_tag_must_name_its_project(void **state)
{
	static const char *const messages[][2] = {
		{ "Tagseal-Artifact: " DIGEST " widget-1.3.0-rc1.zip",
		    "add the trailer \"Tagseal-Project: acme/widget\"" },
		{ "Tagseal-Project: acme/gadget\nTagseal-Artifact: " DIGEST " widget-1.3.0-rc1.zip",
		    "the tag is for project \"acme/gadget\" (Tagseal-Project), not \"acme/widget\"" },
		{ "Tagseal-Project: acme/widget", "the tag does not pin \"widget-1.3.0-rc1.zip\"" },
		{ "Tagseal-Project: acme/widget\nTagseal-Resign: 01 x\nTagseal-Artifact: " DIGEST
		  " widget-1.3.0-rc1.zip",
		    "the trailer Tagseal-Resign has no meaning in a tag" },
		{ "Tagseal-Project: acme/widget\nTagseal-Supersedes: v1.2.0\nTagseal-Artifact: " DIGEST
		  " widget-1.3.0-rc1.zip",
		    NULL },
	};
	autoptr(scene) s = scene_new();

	for (guint i = 0; i < G_N_ELEMENTS(messages); i++) {
		g_autofree char *line = g_strdup_printf("tag -f -s -m Candidate -m '%s' v1.3.0-rc1", messages[i][0]),
				*id = NULL;

		git("alice", s->source, line);
		id = tag_object(s, "v1.3.0-rc1");
		if (messages[i][1] != NULL) {
			assert_source(s, "v1.3.0-rc1", id, "rejected", messages[i][1]);
		} else {
			autoptr(message) answer = decide(s, "v1.3.0-rc1", id);
			autoptr(json) sections = sections_of(answer);

			assert_member(answer, "approval", "passed");
			assert_string_equal(json_as_string(json_path(sections, "source.supersedes")), "v1.2.0");
		}
	}
}

static void a_tag_stays_on_its_branch_when_that_goes_on_and_leaves_it_when_it_is_rewound(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0");

	git("alice", s->source, "commit -q -S --allow-empty -m 'One more'");
	assert_approval(s, id, "waiting", "waiting for 2 more");
	git("alice", s->source, "checkout -q --orphan other");
	git("alice", s->source, "commit -q -S --allow-empty -m 'Another beginning'");
	git("alice", s->source, "branch -f main other");
	assert_source(s, "v1.2.0", id, "rejected", "is on none of the branches that the rule \"release\" names (main)");
}

/* By the names of the rule alone: what else the source has is not even fetched. */
static void branches_that_no_rule_names_are_not_fetched(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *refs = NULL,
			*mirror = g_strconcat(s->state, "/mirrors/acme%2Fwidget.git", NULL);

	git("alice", s->source, "branch topic");
	message_free(decide(s, "v1.2.0", id));
	refs = support_must("git", "-C", mirror, "for-each-ref", "--format=%(refname)", NULL);
	assert_string_equal(refs, "refs/heads/main\nrefs/tags/v1.2.0");
}

/* engine's memory may be younger than the tag: a database that was lost says that any tag is the first of its name. */
static void an_approval_by_tree_is_for_the_first_tag_object_also_when_engine_has_forgotten_it(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *tree = git_as("alice", s->source, "rev-parse 'HEAD^{tree}'"),
			*file = support_path("in-history"),
			*commit = g_strdup_printf("commit -q -S --allow-empty -F '%s'", file);
	g_autofree char *message =
	    g_strdup_printf("Approve\n\nTagseal-Approve: v2.0.0\nTagseal-Tree: %s\nTagseal-Project: acme/widget\n"
			    "Tagseal-Policy: release\nTagseal-Artifact: " DIGEST " widget-2.0.0.zip\n",
		tree);
	g_autofree char *first = NULL, *moved = NULL, *carols = NULL;
	autoptr(message) before = NULL;
	autoptr(message) after = NULL;

	support_write(file, message);
	git("bob", s->source, commit);
	git("carol", s->source, commit);
	git("alice", s->source, "tag -s -m x v2.0.0");
	first = tag_object(s, "v2.0.0");
	carols = git_as("carol", s->source, "rev-parse HEAD");
	before = decide(s, "v2.0.0", first);
	git("alice", s->source, "tag -f -s -m y v2.0.0");
	moved = tag_object(s, "v2.0.0");
	after = decide(s, "v2.0.0", moved);
	assert_member(before, "approval", "passed");
	assert_member(after, "approval", "waiting");
	assert_listed(after, carols,
	    "it names a tree, and so counts only for the first tag object of that name; the tag was moved");
}

/* ---- time ---- */

static void a_release_expires_and_what_comes_later_does_not_count(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *bobs = says(s, "bob", "Approve", id),
			*carols = says(s, "carol", "Approve", id);
	autoptr(json) seen = json_object_new();
	autoptr(message) late = NULL;
	autoptr(message) in_time = NULL;

	s->now -= 15 * DAY; /* the tag was first seen then */
	late = decide(s, "v1.2.0", id);
	assert_member(late, "approval", "expired");
	assert_contains(json_string(late->body, "approval_reason"),
	    "0 of 2 approvals of @developers when the time for approvals ended");
	assert_listed(late, bobs, "it was first seen when the time that policy \"release\"");
	json_set_integer(seen, bobs, s->now + DAY);
	json_set_integer(seen, carols, s->now + 13 * DAY);
	in_time = decide_with(s, "v1.2.0", id, TRUE, seen);
	assert_member(in_time, "approval", "passed");
}

/* ---- words that were said once ---- */

static char *tip_of(const struct scene *s)
{
	return git_as("alice", s->source, "rev-parse refs/heads/tagseal/approvals");
}

static void rewind_to(const struct scene *s, const char *id)
{
	g_autofree char *line = g_strdup_printf("update-ref refs/heads/tagseal/approvals %s", id);

	git("mallory", s->source, line);
}

static void a_withdrawn_approval_never_counts_again_whoever_replays_it(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *carols = says(s, "carol", "Approve", id),
			*bobs = says(s, "bob", "Approve", id), *back = NULL;
	autoptr(message) before = decide(s, "v1.2.0", id);
	autoptr(message) after = NULL;
	autoptr(message) replayed = NULL;

	back = withdraws(s, "bob", bobs);
	after = decide(s, "v1.2.0", id);
	rewind_to(s, bobs); /* as if it had never been withdrawn */
	replayed = decide(s, "v1.2.0", id);
	assert_member(before, "approval", "passed");
	assert_member(after, "approval", "waiting");
	assert_listed(after, bobs, "bob withdrew it");
	assert_listed(after, back, NULL);
	assert_member(replayed, "approval", "waiting");
	assert_listed(replayed, bobs, "bob withdrew it");
}

static void nobody_withdraws_the_approval_of_another_one(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *bobs = says(s, "bob", "Approve", id),
			*carols = says(s, "carol", "Approve", id), *forged = withdraws(s, "carol", bobs);
	autoptr(message) answer = decide(s, "v1.2.0", id);

	assert_member(answer, "approval", "passed");
	assert_listed(answer, forged, "it withdraws the approval of bob, and only bob may do that");
}

static void a_denial_cannot_be_withdrawn(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *no = says(s, "bob", "Deny", id), *back = withdraws(s, "bob", no);
	autoptr(message) answer = decide(s, "v1.2.0", id);

	assert_member(answer, "approval", "denied");
	assert_listed(answer, back, "only an approval can be withdrawn; a denial stands");
}

/* Withdrawals of years are no part of this release, and do not fill up what one tag may have. */
static void withdrawals_of_other_releases_are_not_listed(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *other = withdraws(s, "bob", s->root),
			*bobs = says(s, "bob", "Approve", id);
	autoptr(message) answer = decide(s, "v1.2.0", id);

	assert_not_listed(answer, other);
	assert_listed(answer, bobs, NULL);
}

/* Junk on top of a denial, and then all of it away: what counts is that it stood there once. */
static void a_denial_under_junk_counts_after_a_rewind_a_restart_and_a_clean_up(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *bobs = says(s, "bob", "Approve", id),
			*carols = says(s, "carol", "Approve", id), *good = tip_of(s), *no = says(s, "carol", "Deny", id),
			*mirror = g_strconcat(s->state, "/mirrors/acme%2Fwidget.git", NULL), *junk = NULL;

	junk = commits("mallory", s->source, "Nothing to see here\n");
	assert_approval(s, id, "denied", "denied by carol");
	rewind_to(s, good);
	assert_approval(s, id, "denied", "denied by carol");
	assert_int_equal(test_role_stop(s->gitops), 0);
	g_free(support_must("git", "-C", mirror, "reflog", "expire", "--all", "--expire=now", NULL));
	g_free(support_must("git", "-C", mirror, "gc", "-q", "--prune=now", NULL));
	scene_start(s);
	assert_approval(s, id, "denied", "denied by carol");
}

/* One that was never fetched cannot be known: the twin of the above, which shows what the fetch is for. */
static void a_denial_that_was_gone_before_anybody_fetched_it_is_not_known(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *bobs = says(s, "bob", "Approve", id),
			*carols = says(s, "carol", "Approve", id), *no = says(s, "carol", "Deny", id);

	rewind_to(s, carols);
	assert_approval(s, id, "passed", "2 of 2 approvals of @developers");
}

/* However many commits stand on top: they hide nothing. */
static void a_denial_under_a_flood_is_found(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *no = says(s, "carol", "Deny", id);
	g_autofree char *flood =
	    g_strdup_printf("cd '%s' && { for i in $(seq 2000); do printf 'commit "
			    "refs/heads/tagseal/approvals\\ncommitter m <m@x> %%d +0000\\ndata 1\\nx'"
			    " $((1700000000 + i)); [ $i != 1 ] || printf '\\nfrom refs/heads/tagseal/approvals^0'; "
			    "printf '\\n\\n'; done; } | git fast-import --quiet",
		s->source);

	g_free(support_must("bash", "-c", flood, NULL));
	assert_approval(s, id, "denied", "denied by carol");
}

/* ---- a repository of their own ---- */

static char *own_repository(struct scene *s)
{
	char *path = g_strconcat(s->state, "/approvals", NULL);
	g_autofree char *line = g_strdup_printf("approvals = { url = \"file://%s\" }\nhooks = ", path);

	g_free(support_must("git", "init", "-q", "-b", "main", path, NULL));
	publish_replacing(s, SAMPLE_PROJECT, "hooks = ", line);
	return path;
}

static void approvals_in_a_repository_of_their_own_count_and_those_in_the_source_do_not(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *own = own_repository(s), *said = words("Approve", id),
			*bobs = NULL, *carols = NULL, *stray = says(s, "carol", "Approve", id);
	autoptr(message) before = NULL;
	autoptr(message) after = NULL;

	bobs = commits("bob", own, said);
	before = decide(s, "v1.2.0", id);
	carols = commits("carol", own, said);
	after = decide(s, "v1.2.0", id);
	assert_member(before, "approval", "waiting");
	assert_listed(before, bobs, NULL);
	assert_not_listed(before, stray);
	assert_member(after, "approval", "passed");
	assert_listed(after, carols, NULL);
}

static void a_denial_in_a_repository_of_their_own_outlives_its_ref(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *own = own_repository(s), *said = words("Deny", id),
			*no = commits("bob", own, said);

	assert_approval(s, id, "denied", "denied by bob");
	git("mallory", own, "update-ref -d refs/heads/tagseal/approvals");
	assert_approval(s, id, "denied", "denied by bob");
}

static void approvals_that_cannot_be_fetched_are_waited_for(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = tag_object(s, "v1.2.0"), *own = own_repository(s);
	autoptr(message) answer = NULL;

	g_free(support_must("rm", "-rf", own, NULL));
	answer = decide_of(s, "acme/widget", "v1.2.0", id, TRUE, NULL);
	assert_outcome(answer, "unavailable", "/approvals could not be reached");
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
		cmocka_unit_test(the_taggers_own_approval_counts_only_where_the_policy_says_so),
		cmocka_unit_test(where_a_touch_is_asked_for_keys_without_one_do_not_count),
		cmocka_unit_test(every_line_of_the_quorum_must_be_met),
		cmocka_unit_test(one_person_with_two_approvals_is_one),
		cmocka_unit_test(approvals_that_pin_other_bytes_do_not_count_together),
		cmocka_unit_test(approvals_of_anything_else_are_listed_with_the_reason),
		cmocka_unit_test(a_key_that_is_revoked_now_does_not_count),
		cmocka_unit_test(a_tag_that_two_rules_match_is_refused),
		cmocka_unit_test(where_nobody_approves_the_tag_must_name_its_project),
		cmocka_unit_test(a_tag_stays_on_its_branch_when_that_goes_on_and_leaves_it_when_it_is_rewound),
		cmocka_unit_test(branches_that_no_rule_names_are_not_fetched),
		cmocka_unit_test(an_approval_by_tree_is_for_the_first_tag_object_also_when_engine_has_forgotten_it),
		cmocka_unit_test(a_release_expires_and_what_comes_later_does_not_count),
		cmocka_unit_test(a_withdrawn_approval_never_counts_again_whoever_replays_it),
		cmocka_unit_test(nobody_withdraws_the_approval_of_another_one),
		cmocka_unit_test(a_denial_cannot_be_withdrawn),
		cmocka_unit_test(withdrawals_of_other_releases_are_not_listed),
		cmocka_unit_test(a_denial_under_junk_counts_after_a_rewind_a_restart_and_a_clean_up),
		cmocka_unit_test(a_denial_that_was_gone_before_anybody_fetched_it_is_not_known),
		cmocka_unit_test(a_denial_under_a_flood_is_found),
		cmocka_unit_test(approvals_in_a_repository_of_their_own_count_and_those_in_the_source_do_not),
		cmocka_unit_test(a_denial_in_a_repository_of_their_own_outlives_its_ref),
		cmocka_unit_test(approvals_that_cannot_be_fetched_are_waited_for),
	};

	return cmocka_run_group_tests(tests, begin, NULL);
}
