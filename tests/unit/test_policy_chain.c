/* The policy repository's history: what comes into force, and what refuses the branch. */
#include "tests/unit/support_policy.h"

#include <string.h>

#include "server/policy_follow.h"

/* A working clone that real git writes; one a test, so that none sees another's commits. */
struct history {
	char *path;
	policy_files *files; /* the next commit's */
	char *root; /* by mallory, unsigned: in force by being pinned */
};

static void write_files(const struct history *h)
{
	GHashTableIter all;
	gpointer path, bytes;

	g_hash_table_iter_init(&all, h->files);
	while (g_hash_table_iter_next(&all, &path, &bytes)) {
		g_autofree char *full = g_build_filename(h->path, path, NULL);
		g_autofree char *folder = g_path_get_dirname(full);

		assert_int_equal(g_mkdir_with_parents(folder, 0755), 0);
		support_write_bytes(full, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	}
	g_free(support_must_in(h->path, "git", "add", "-A", NULL));
}

/* A commit with the present files, signed by `person` (NULL: by nobody). `parents` are options: "-p", id. */
static char *commit_by(
    const struct history *h, const char *person, const char *message, const char *parent, const char *second)
{
	const char *argv[24] = { "git", "-c", "gpg.format=ssh" };
	g_autofree char *key = person != NULL ? sample_ssh_key(person) : NULL;
	g_autofree char *address = g_strdup_printf("%s@example.org", person != NULL ? person : "nobody");
	g_autofree char *tree = NULL, *signing = g_strconcat("-S", key, NULL);
	guint n = 3;
	autoptr(run) run = NULL;

	write_files(h);
	tree = support_must_in(h->path, "git", "write-tree", NULL);
	g_setenv("GIT_AUTHOR_EMAIL", address, TRUE);
	g_setenv("GIT_COMMITTER_EMAIL", address, TRUE);
	argv[n++] = "commit-tree";
	argv[n++] = tree;
	argv[n++] = "-m";
	argv[n++] = message;
	if (person != NULL)
		argv[n++] = signing;
	if (parent != NULL) {
		argv[n++] = "-p";
		argv[n++] = parent;
	}
	if (second != NULL) {
		argv[n++] = "-p";
		argv[n++] = second;
	}
	run = support_run_in(h->path, NULL, argv);
	if (run->status != 0)
		fail_msg("git commit-tree: %s", run->err);
	return g_strdup(g_strchomp(run->out));
}

static char *candidate(const struct history *h, const char *person, const char *parent)
{
	return commit_by(h, person, "Change the policy", parent, NULL);
}

static char *approve(const struct history *h, const char *person, const char *parent, const char *what)
{
	g_autofree char *message = g_strdup_printf("Approve the change\n\nTagseal-Approve-Policy: %s", what);

	return commit_by(h, person, message, parent, NULL);
}

static int start(void **state)
{
	struct history *h = g_new0(struct history, 1);
	static guint number;
	g_autofree char *name = g_strdup_printf("policy-%u", ++number);

	h->path = support_folder(name);
	g_free(support_must_in(h->path, "git", "init", "-q", NULL));
	h->files = sample_files();
	h->root = candidate(h, NULL, NULL);
	*state = h;
	return 0;
}

static int end(void **state)
{
	struct history *h = *state;

	g_hash_table_unref(h->files);
	g_free(h->path);
	g_free(h->root);
	g_free(h);
	return 0;
}

static struct policy_chain chain_at(const struct history *h, const char *from, const char *tip)
{
	struct policy_chain chain;
	g_autoptr(GError) error = NULL;

	assert_ok(policy_verify(h->path, h->root, from, tip, NULL, NULL, &chain, &error), error);
	assert_non_null(chain.policy);
	assert_string_equal(chain.tip, tip);
	return chain;
}

static void in_force(const struct history *h, const char *tip, const char *commit)
{
	struct policy_chain chain = chain_at(h, NULL, tip);

	assert_string_equal(chain.commit, commit);
	assert_null(chain.pending);
	policy_chain_clear(&chain);
}

static void pending(const struct history *h, const char *tip, const char *commit, guint is_signed, guint needed)
{
	struct policy_chain chain = chain_at(h, NULL, tip);

	assert_string_equal(chain.commit, h->root);
	assert_string_equal(chain.pending, commit);
	assert_int_equal(chain.pending_signed, is_signed);
	assert_int_equal(chain.pending_needed, needed);
	policy_chain_clear(&chain);
}

/* `sentence` may have one %s: a commit's id. */
static void refused(const struct history *h, const char *from, const char *tip, const char *sentence)
{
	struct policy_chain chain;
	g_autoptr(GError) error = NULL;

	assert_refused(policy_verify(h->path, h->root, from, tip, NULL, NULL, &chain, &error), error, sentence);
	assert_null(chain.policy);
}

static void change(const struct history *h, const char *limit)
{
	sample_replace(h->files, SAMPLE_PROJECT, "approve_within = \"14d\"", limit);
}

static void the_pinned_root_is_in_force_without_a_signature(void **state)
{
	struct history *h = *state;

	in_force(h, h->root, h->root);
}

static void a_change_waits_for_the_threshold_and_then_is_in_force(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL, *third = NULL;
	struct policy_chain chain;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	pending(h, first, first, 1, 2);
	second = approve(h, "carol", first, first);
	in_force(h, second, second);
	third = approve(h, "dave", second, first); /* one more changes nothing */
	in_force(h, third, second);
	chain = chain_at(h, second, third);
	assert_int_equal(chain.verified, 1);
	assert_int_equal(policy_project_at(chain.policy, 0)->rules[0].approve_within, INT64_C(7) * 24 * 3600 * 1000);
	policy_chain_clear(&chain);
}

static void one_maintainer_counts_once(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	second = approve(h, "alice", first, first);
	pending(h, second, first, 1, 2);
}

static void another_tree_is_approved_afresh(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL, *third = NULL, *stale = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	sample_replace(h->files, SAMPLE_PROJECT, "7d", "3d");
	second = candidate(h, "carol", first);
	pending(h, second, second, 1, 2);
	stale = approve(h, "dave", second, first);
	refused(h, NULL, stale, "which is not the pending candidate");
	third = approve(h, "dave", second, second);
	in_force(h, third, third);
}

static void an_approval_with_other_files_is_refused(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	sample_replace(h->files, SAMPLE_PROJECT, "7d", "3d");
	second = approve(h, "carol", first, first);
	refused(h, NULL, second, "but its files differ from it: an approval has the candidate's very tree");
}

static void nothing_else_stands_above_a_pending_candidate(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	second = candidate(h, "carol", first);
	refused(h, NULL, second, "but does not approve it: it needs the trailer \"Tagseal-Approve-Policy: ");
}

static void a_return_to_the_tree_in_force_takes_the_candidate_back(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	sample_replace(h->files, SAMPLE_PROJECT, "7d", "14d");
	second = candidate(h, "alice", first);
	in_force(h, second, h->root);
}

static void an_outsider_is_refused(void **state)
{
	struct history *h = *state;
	g_autofree char *by_bob = NULL, *by_mallory = NULL, *by_nobody = NULL;

	change(h, "approve_within = \"7d\"");
	by_bob = candidate(h, "bob", h->root);
	refused(h, NULL, by_bob, "is signed by bob, who is no maintainer in the version in force");
	by_mallory = candidate(h, "mallory", h->root);
	refused(h, NULL, by_mallory, "policy commit ");
	by_nobody = candidate(h, NULL, h->root);
	refused(h, NULL, by_nobody, "is not signed: every change of the policy is signed by a maintainer");
}

static void a_candidate_does_not_make_its_own_maintainers(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL;

	sample_replace(h->files, SAMPLE_POLICY, "\"dave\"", "\"bob\", \"dave\"");
	first = candidate(h, "alice", h->root);
	second = approve(h, "bob", first, first);
	refused(h, NULL, second, "is signed by bob, who is no maintainer in the version in force");
}

static void a_maintainer_removed_in_the_parent_is_refused(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL, *third = NULL;

	sample_replace(h->files, SAMPLE_POLICY, ", \"dave\"", "");
	first = candidate(h, "alice", h->root);
	second = approve(h, "carol", first, first);
	in_force(h, second, second);
	change(h, "approve_within = \"7d\"");
	third = candidate(h, "dave", second);
	refused(h, NULL, third, "is signed by dave, who is no maintainer in the version in force");
}

/* Until the removal is in force, whoever is to be removed may still sign. */
static void a_maintainer_is_removed_only_once_in_force(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL;

	sample_replace(h->files, SAMPLE_POLICY, ", \"dave\"", "");
	first = candidate(h, "alice", h->root);
	second = approve(h, "dave", first, first);
	in_force(h, second, second);
}

static void a_lower_threshold_needs_one_more(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL, *third = NULL;

	sample_replace(h->files, SAMPLE_POLICY, "threshold = 2", "threshold = 1");
	first = candidate(h, "alice", h->root);
	second = approve(h, "carol", first, first);
	pending(h, second, first, 2, 3);
	third = approve(h, "dave", second, first);
	in_force(h, third, third);
}

static void whoever_widens_their_own_rights_needs_one_more(void **state)
{
	struct history *h = *state;
	g_autofree char *own = NULL, *second = NULL, *other = NULL, *foreign = NULL;
	struct policy_chain chain;

	sample_replace(h->files, "people/carol.toml", "\"security\"", "\"release-managers\", \"security\"");
	own = candidate(h, "carol", h->root);
	second = approve(h, "alice", own, own);
	pending(h, second, own, 2, 3);
	chain = chain_at(h, NULL, second);
	assert_string_equal(chain.pending_widens, "people/carol.toml gives carol a key or group");
	policy_chain_clear(&chain);
	/* The same change by two whom it gives nothing. */
	other = candidate(h, "alice", h->root);
	foreign = approve(h, "dave", other, other);
	in_force(h, foreign, foreign);
}

static void a_place_in_a_project_is_a_right_too(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL;

	sample_replace(h->files, SAMPLE_PROJECT, "[\"@release-managers\", \"bob\"]", "[\"@release-managers\", \"dave\"]");
	first = candidate(h, "dave", h->root);
	second = approve(h, "alice", first, first);
	pending(h, second, first, 2, 3);
}

static void a_candidate_that_does_not_read_never_comes_into_force(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL, *third = NULL, *fourth = NULL;
	struct policy_chain chain;

	change(h, "aprove_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	second = approve(h, "carol", first, first);
	chain = chain_at(h, NULL, second);
	assert_string_equal(chain.commit, h->root);
	assert_string_equal(chain.pending, first);
	assert_string_equal(chain.pending_refused,
	    "projects/acme-widget.toml:11:1: unknown key \"aprove_within\"; did you mean \"approve_within\"?");
	policy_chain_clear(&chain);
	sample_replace(h->files, SAMPLE_PROJECT, "aprove", "approve");
	third = candidate(h, "carol", second);
	fourth = approve(h, "alice", third, third);
	in_force(h, fourth, fourth);
}

static void a_merge_is_refused(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	second = commit_by(h, "carol", "Merge", first, h->root);
	refused(h, NULL, second, "is a merge: the policy's history is one line of commits");
}

static void a_rewound_branch_is_refused(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL, *sentence = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	second = approve(h, "carol", first, first);
	sentence = g_strdup_printf(
	    "the policy branch was rewound: its tip %s stands before %s, which is in force", h->root, second);
	refused(h, second, h->root, sentence);
}

static void a_forked_branch_is_refused(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL, *fork = NULL, *sentence = NULL, *foreign = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	second = approve(h, "carol", first, first);
	sample_replace(h->files, SAMPLE_PROJECT, "7d", "3d");
	fork = candidate(h, "alice", h->root);
	sentence = g_strdup_printf(
	    "the policy branch was forked: its tip %s does not contain %s, which is in force", fork, second);
	refused(h, second, fork, sentence);
	foreign = candidate(h, "alice", NULL); /* another root */
	refused(h, NULL, foreign, "the policy branch was forked");
}

/* --- what a server remembers --- */

static guint follow(const struct history *h, const char *root, const char *tip, const char *expected)
{
	g_autofree char *mark = g_strconcat(h->path, ".mark", NULL);
	struct policy_chain chain = { NULL };
	g_autoptr(GError) error = NULL;
	guint verified;

	assert_ok(policy_follow(mark, h->path, root, tip, &chain, &error), error);
	assert_string_equal(chain.commit, expected);
	verified = chain.verified;
	policy_chain_clear(&chain);
	return verified;
}

static void follow_refused(const struct history *h, const char *root, const char *tip, const char *sentence)
{
	g_autofree char *mark = g_strconcat(h->path, ".mark", NULL);
	struct policy_chain chain = { NULL };
	g_autoptr(GError) error = NULL;

	assert_refused(policy_follow(mark, h->path, root, tip, &chain, &error), error, sentence);
	policy_chain_clear(&chain);
}

static void a_second_look_costs_only_what_is_new(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL, *third = NULL, *fourth = NULL, *object = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	second = approve(h, "carol", first, first);
	assert_int_equal(follow(h, h->root, second, second), 2);
	assert_int_equal(follow(h, h->root, second, second), 0);
	follow_refused(h, h->root, first, "the policy branch was rewound: its tip ");
	follow_refused(h, h->root, h->root, "the policy branch was rewound: its tip ");
	/* Nothing below is even there any more. */
	object = g_strdup_printf("%s/.git/objects/%.2s/%s", h->path, h->root, h->root + 2);
	assert_int_equal(unlink(object), 0);
	sample_replace(h->files, SAMPLE_PROJECT, "7d", "3d");
	third = candidate(h, "alice", second);
	assert_int_equal(follow(h, h->root, third, second), 1);
	fourth = approve(h, "dave", third, third);
	assert_int_equal(follow(h, h->root, fourth, fourth), 2);
}

static void another_root_is_looked_for_below_the_mark(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *second = NULL, *foreign = NULL;

	change(h, "approve_within = \"7d\"");
	first = candidate(h, "alice", h->root);
	second = approve(h, "carol", first, first);
	follow(h, h->root, second, second);
	foreign = commit_by(h, NULL, "Another root", NULL, NULL);
	follow_refused(h, foreign, second, "does not descend from the pinned root");
	assert_int_equal(follow(h, first, second, second), 0);
}

static void a_mark_that_cannot_be_read_is_no_new_start(void **state)
{
	struct history *h = *state;
	g_autofree char *mark = g_strconcat(h->path, ".mark", NULL), *old = g_strconcat(h->root, "\n", NULL);
	struct policy_chain chain = { NULL };
	g_autoptr(GError) error = NULL;

	support_write(mark, "c0ffee\n");
	assert_fails(policy_follow(mark, h->path, h->root, h->root, &chain, &error), error, TAGSEAL_ERROR_FAILED,
	    "must hold the id of the newest policy commit in force");
	support_write(mark, "\n");
	g_clear_error(&error);
	assert_fails(policy_follow(mark, h->path, h->root, h->root, &chain, &error), error, TAGSEAL_ERROR_FAILED,
	    "must hold the id of the newest policy commit in force");
	support_write(mark, old); /* as earlier versions wrote it */
	follow(h, h->root, h->root, h->root);
}

static void a_trailer_that_means_nothing_here_is_refused(void **state)
{
	struct history *h = *state;
	g_autofree char *first = NULL, *abbreviated = NULL;

	change(h, "approve_within = \"7d\"");
	first = commit_by(h, "alice", "Change\n\nTagseal-Approve: v1.0", h->root, NULL);
	refused(h, NULL, first, "the trailer Tagseal-Approve has no meaning in the policy repository");
	abbreviated = commit_by(h, "alice", "Change\n\nTagseal-Approve-Policy: c0ffee", h->root, NULL);
	refused(h, NULL, abbreviated, "must name the candidate by its full id of 40 hex digits");
}

static void a_link_in_the_tree_is_no_file_of_a_policy(void **state)
{
	struct history *h = *state;
	g_autofree char *link = g_build_filename(h->path, "people/erin.toml", NULL);
	g_autofree char *tree = NULL, *id = NULL;
	g_autoptr(GError) error = NULL;

	assert_int_equal(symlink("alice.toml", link), 0);
	g_free(support_must_in(h->path, "git", "add", "people/erin.toml", NULL));
	tree = support_must_in(h->path, "git", "write-tree", NULL);
	id = support_must_in(h->path, "git", "commit-tree", "-m", "Link", tree, NULL);
	assert_refused(policy_files_from_commit(h->path, id, &error), error,
	    "people/erin.toml: a policy holds plain files and folders, no links or submodules");
}

static void a_missing_commit_is_not_found(void **state)
{
	struct history *h = *state;
	struct policy_chain chain;
	g_autoptr(GError) error = NULL;
	const char *nowhere = "0123456789012345678901234567890123456789";

	assert_fails(policy_verify(h->path, h->root, NULL, nowhere, NULL, NULL, &chain, &error), error,
	    TAGSEAL_ERROR_NOT_FOUND, "cannot read policy object 0123456789012345678901234567890123456789");
}

#define WITH_HISTORY(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_HISTORY(the_pinned_root_is_in_force_without_a_signature),
		WITH_HISTORY(a_change_waits_for_the_threshold_and_then_is_in_force),
		WITH_HISTORY(one_maintainer_counts_once),
		WITH_HISTORY(another_tree_is_approved_afresh),
		WITH_HISTORY(an_approval_with_other_files_is_refused),
		WITH_HISTORY(nothing_else_stands_above_a_pending_candidate),
		WITH_HISTORY(a_return_to_the_tree_in_force_takes_the_candidate_back),
		WITH_HISTORY(an_outsider_is_refused),
		WITH_HISTORY(a_candidate_does_not_make_its_own_maintainers),
		WITH_HISTORY(a_maintainer_removed_in_the_parent_is_refused),
		WITH_HISTORY(a_maintainer_is_removed_only_once_in_force),
		WITH_HISTORY(a_lower_threshold_needs_one_more),
		WITH_HISTORY(whoever_widens_their_own_rights_needs_one_more),
		WITH_HISTORY(a_place_in_a_project_is_a_right_too),
		WITH_HISTORY(a_candidate_that_does_not_read_never_comes_into_force),
		WITH_HISTORY(a_merge_is_refused),
		WITH_HISTORY(a_rewound_branch_is_refused),
		WITH_HISTORY(a_forked_branch_is_refused),
		WITH_HISTORY(a_second_look_costs_only_what_is_new),
		WITH_HISTORY(another_root_is_looked_for_below_the_mark),
		WITH_HISTORY(a_mark_that_cannot_be_read_is_no_new_start),
		WITH_HISTORY(a_trailer_that_means_nothing_here_is_refused),
		WITH_HISTORY(a_link_in_the_tree_is_no_file_of_a_policy),
		WITH_HISTORY(a_missing_commit_is_not_found),
	};

	support_isolate();
	g_setenv("GIT_CONFIG_PARAMETERS", "'core.fsync=none'", TRUE); /* nothing here outlives the test */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
