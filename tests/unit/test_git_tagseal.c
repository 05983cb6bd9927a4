/* hooks/git-tagseal with real git: what it pushes counts by the server's own decision. */
#include "gitops/decide.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/support_policy.h"

#define SCRIPT TESTS_DIR "/../hooks/git-tagseal"

struct people_at_work {
	char *origin, *alice, *bob, *carol; /* a bare repository, and everybody's clone of it */
	char *artifact, *digest;
};

static struct people_at_work work;

static void git(const char *folder, const char *command)
{
	g_autofree char *line = g_strconcat("git ", command, NULL);

	g_free(support_must_in(folder, "sh", "-c", line, NULL));
}

static char *clone_of(const char *person)
{
	char *path = support_path("clone-%s", person);
	g_autofree char *key = sample_ssh_key(person);
	g_autofree char *setup = g_strdup_printf(
	    "config user.name %s && git config user.email %s@example.org && git config gpg.format ssh && "
	    "git config user.signingkey %s && git config tagseal.project acme/widget && git config tagseal.policy "
	    "release",
	    person, person, key);

	g_free(support_must("git", "clone", "-q", work.origin, path, NULL));
	git(path, setup);
	return path;
}

/* One source repository for all tests; each has a tag of its own. */
static int setup(void **state)
{
	g_autofree char *sum = NULL;

	work.origin = support_folder("origin.git");
	git(work.origin, "init -q --bare -b main .");
	work.alice = clone_of("alice");
	git(work.alice, "commit -q --allow-empty -m First && git push -q origin HEAD:main");
	work.bob = clone_of("bob");
	work.carol = clone_of("carol");
	work.artifact = support_path("widget.zip");
	support_write(work.artifact, "not really a zip\n");
	sum = support_must("sha256sum", work.artifact, NULL);
	work.digest = g_strdup_printf("sha256:%.64s", sum);
	return 0;
}

static int teardown(void **state)
{
	g_free(work.origin);
	g_free(work.alice);
	g_free(work.bob);
	g_free(work.carol);
	g_free(work.artifact);
	g_free(work.digest);
	return 0;
}

/* git tagseal in somebody's clone: words of the command line, separated by single spaces. */
static struct run *tagseal(const char *folder, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line, " ", -1);
	const char *argv[32] = { "sh", SCRIPT };

	for (guint i = 0; words[i] != NULL && i < 28; i++)
		argv[i + 2] = words[i];
	return support_run_in(folder, NULL, argv);
}

static void succeeds(const char *folder, const char *line, const char *words)
{
	autoptr(run) run = tagseal(folder, line);

	if (run->status != 0)
		fail_msg("git tagseal %s: exit %d: %s", line, run->status, run->err);
	assert_contains(run->out, words);
}

static void fails(const char *folder, const char *line, int status, const char *words)
{
	autoptr(run) run = tagseal(folder, line);

	assert_contains(run->err, words);
	assert_int_equal(run->status, status);
}

static void tag(const char *name)
{
	g_autofree char *command = g_strdup_printf("tag -s -m Release %s && git push -q origin %s", name, name);

	git(work.alice, command);
}

static void approves(const char *folder, const char *name)
{
	g_autofree char *line =
	    g_strdup_printf("approve %s --pin %s widget-%s.zip", name, work.digest, *name == 'v' ? name + 1 : name);
	g_autofree char *words = g_strdup_printf("approved %s by commit ", name);

	succeeds(folder, line, words);
}

static GBytes *object(const char *type, const char *id)
{
	const char *argv[] = { "git", "cat-file", type, id, NULL };
	autoptr(run) run = support_run_in(work.origin, NULL, argv);

	assert_int_equal(run->status, 0);
	return g_bytes_new(run->out, run->out_size);
}

/* What the server would decide from what stands in the bare repository; all approvals there concern `name` or not. */
static void outcome(const char *name, enum approval_outcome wanted, const char *reason)
{
	autoptr(policy) policy = sample_load(sample_files());
	g_autofree char *id = support_must_in(work.origin, "git", "rev-parse", name, NULL);
	g_autofree char *ids = support_must_in(work.origin, "git", "rev-list", "--reverse", "tagseal/approvals", NULL);
	g_auto(GStrv) commits = g_strsplit(ids, "\n", -1);
	g_autoptr(GBytes) raw = object("tag", id);
	struct approval_evidence evidence[64] = { 0 };
	struct request request = { .policy = policy,
		.policy_commit = id,
		.project = "acme/widget",
		.tag = name,
		.tag_object = id,
		.tag_raw = raw,
		.tag_first_seen_ms = time_now_ms(),
		.now_ms = time_now_ms(),
		.approvals = evidence };
	struct source_decision source;
	struct approval_decision decision;
	g_autoptr(GError) error = NULL;

	for (guint i = 0; commits[i] != NULL && request.approval_count < G_N_ELEMENTS(evidence); i++) {
		GBytes *commit = object("commit", commits[i]);
		g_auto(GStrv) lines = approval_lines(commit);

		if (lines[0] != NULL)
			evidence[request.approval_count++] =
			    (struct approval_evidence){ commits[i], commit, time_now_ms(), FALSE };
		else
			g_bytes_unref(commit);
	}
	assert_ok(source_decide(&request, &source, &error), error);
	assert_ok(approval_decide(&request, &source, &decision, &error), error);
	assert_string_equal(decision.reason, reason);
	assert_int_equal(decision.outcome, wanted);
	approval_decision_clear(&decision);
	source_decision_clear(&source);
	for (guint i = 0; i < request.approval_count; i++)
		g_bytes_unref(evidence[i].raw);
}

static void approvals_made_by_it_count(void **state)
{
	tag("v1.0.0");
	approves(work.bob, "v1.0.0");
	outcome("v1.0.0", APPROVAL_WAITING, "1 of 2 approvals of @developers; waiting for 1 more");
	approves(work.carol, "v1.0.0");
	outcome("v1.0.0", APPROVAL_PASSED, "2 of 2 approvals of @developers");
}

static void a_files_digest_is_computed(void **state)
{
	g_autofree char *line = g_strdup_printf("approve v1.0.1 --artifact %s", work.artifact);
	g_autofree char *vouched = g_strdup_printf("vouch for %s widget.zip", work.digest);

	tag("v1.0.1");
	succeeds(work.bob, line, vouched);
}

static void a_denial_made_by_it_ends_the_release(void **state)
{
	const char *argv[] = { "sh", SCRIPT, "deny", "v1.1.0", "--reason", "the parser leaks", NULL };
	autoptr(run) run = NULL;

	tag("v1.1.0");
	run = support_run_in(work.carol, NULL, argv);
	assert_int_equal(run->status, 0);
	assert_contains(run->out, "denied v1.1.0 by commit ");
	outcome("v1.1.0", APPROVAL_DENIED, "denied by carol: the parser leaks");
}

static void an_approval_can_be_withdrawn_by_it(void **state)
{
	tag("v1.2.0");
	approves(work.bob, "v1.2.0");
	approves(work.carol, "v1.2.0");
	outcome("v1.2.0", APPROVAL_PASSED, "2 of 2 approvals of @developers");
	succeeds(work.bob, "withdraw v1.2.0", "withdrew ");
	outcome("v1.2.0", APPROVAL_WAITING, "1 of 2 approvals of @developers; waiting for 1 more");
	fails(work.bob, "withdraw v1.2.0", 1, "there is no approval of v1.2.0 by bob@example.org");
}

/* Somebody else's approval lands between our look and our push: a hook in the bare repository refuses the first one. */
static void a_lost_race_is_run_again(void **state)
{
	g_autofree char *hook = g_build_filename(work.origin, "hooks", "pre-receive", NULL);

	tag("v1.3.0");
	support_write(hook, "#!/bin/sh\n[ -e lost ] && exit 0\n: >lost\necho 'somebody was faster' >&2\nexit 1\n");
	assert_int_equal(chmod(hook, 0755), 0);
	approves(work.bob, "v1.3.0");
	assert_int_equal(unlink(hook), 0);
	outcome("v1.3.0", APPROVAL_WAITING, "1 of 2 approvals of @developers; waiting for 1 more");
}

static void a_request_is_a_signed_tag_with_its_project(void **state)
{
	g_autofree char *line = g_strdup_printf("request v1.4.0 --pin %s widget-1.4.0.zip", work.digest);
	g_autofree char *raw = NULL;

	succeeds(work.alice, line, "requested v1.4.0 by tag object ");
	raw = support_must_in(work.origin, "git", "cat-file", "tag", "v1.4.0", NULL);
	assert_contains(raw, "\nTagseal-Project: acme/widget\nTagseal-Artifact: sha256:");
	approves(work.bob, "v1.4.0");
	approves(work.carol, "v1.4.0");
	outcome("v1.4.0", APPROVAL_PASSED, "2 of 2 approvals of @developers");
	fails(work.bob, "approve v1.4.0 --pin sha256:0000000000000000000000000000000000000000000000000000000000000000 widget-1.4.0.zip",
	    1, "the tag pins widget-1.4.0.zip with another digest than sha256:00000000");
}

static void show_and_list_tell_who_approved(void **state)
{
	tag("v1.5.0");
	succeeds(work.bob, "list", "v1.5.0  approved by nobody yet");
	approves(work.bob, "v1.5.0");
	succeeds(work.bob, "list --needed 2", "v1.5.0  approved by bob@example.org");
	succeeds(work.carol, "show v1.5.0", "v1.5.0  approved by bob@example.org");
	succeeds(work.carol, "show v1.5.0", "tagger   alice <alice@example.org>");
}

static void status_falls_back_to_the_approvals(void **state)
{
	tag("v1.6.0");
	approves(work.carol, "v1.6.0");
	succeeds(work.bob, "status v1.6.0 --url http://127.0.0.1:9", "v1.6.0  approved by carol@example.org");
}

/* ---- what there is to approve ---- */

/* alice's signed commit, tagged. */
static void commit_and_tag(const char *name)
{
	g_autofree char *command =
	    g_strdup_printf("commit -q -S --allow-empty -m 'Work for %s' && git push -q origin HEAD:main", name);

	git(work.alice, command);
	tag(name);
}

/* As the server would say it; curl reads files as well. */
static char *server_that_says(const char *tag_name, const char *digest, const char *base)
{
	g_autofree char *folder = support_path("server/api/v1"), *file = g_strconcat(folder, "/releases", NULL);
	g_autofree char *text = g_strdup_printf("release 01JDZX00000000000000000000 acme/widget %s waiting\n"
						"  range %s %s v0\n  source passed\n",
	    tag_name, digest, base);
	g_autofree char *root = support_path("server");

	assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
	support_write(file, text);
	return g_strconcat("file://", root, NULL);
}

/* The programs that were built stand first on the PATH from now on. */
static void tagseal_is_installed(void)
{
	g_autofree char *path = g_strdup_printf("%s:%s", BUILD_DIR, g_getenv("PATH"));

	if (!g_str_has_prefix(g_getenv("PATH"), BUILD_DIR))
		g_setenv("PATH", path, TRUE);
}

static char *digest_of(const char *base, const char *tip)
{
	g_autofree char *program = support_program("tagseal");
	g_autofree char *line = support_must(program, "range", "--only-digest", "--base", base, work.alice, tip, NULL);

	return g_strdup(line + strlen("range "));
}

static void without_the_program_nothing_is_bound(void **state)
{
	if (support_has("tagseal"))
		skip();
	commit_and_tag("v2.0.0");
	fails(work.bob, "approve v2.0.0 --range", 3, "--range needs the program tagseal on the PATH");
	succeeds(work.bob, "show v2.0.0", "is not known here: --url SERVER or --base COMMIT");
	succeeds(work.bob, "show v2.0.0 --base v1.0.0", "which is not on the PATH");
}

static void show_tells_all_since_the_last_signed_release(void **state)
{
	g_autofree char *base = NULL, *digest = NULL, *url = NULL, *line = NULL, *words = NULL;

	tagseal_is_installed();
	commit_and_tag("v2.1.0");
	git(work.alice, "commit -q --no-gpg-sign --allow-empty -m \"$(printf 'Sly \\033[2J')\"");
	commit_and_tag("v2.1.1");
	base = support_must_in(work.origin, "git", "rev-parse", "v2.1.0^{commit}", NULL);
	digest = digest_of("v2.1.0", "v2.1.1");
	url = server_that_says("v2.1.1", digest, base);
	line = g_strdup_printf("show v2.1.1 --url %s", url);
	words = g_strdup_printf("since    %s (as %s says)\n         range %s\n", base, url, digest);
	succeeds(work.bob, line, words);
	succeeds(work.bob, line, "commits (2)");
	succeeds(work.bob, line, "alice: Sly \\x1b[2J\n                        unsigned\n");
}

static void a_range_that_the_server_tells_otherwise_is_refused(void **state)
{
	g_autofree char *base = NULL, *url = NULL, *line = NULL, *approval = NULL;

	tagseal_is_installed();
	commit_and_tag("v2.2.0");
	commit_and_tag("v2.2.1");
	base = support_must_in(work.origin, "git", "rev-parse", "v2.2.0^{commit}", NULL);
	url = server_that_says("v2.2.1", "sha256:00", base);
	line = g_strdup_printf("show v2.2.1 --url %s", url);
	approval = g_strdup_printf("approve v2.2.1 --range --url %s", url);
	fails(work.bob, line, 1, "the server says that this range is sha256:00, and here it is sha256:");
	fails(work.bob, approval, 1, "do not approve before you know why");
}

static void an_approval_can_be_bound_to_what_was_shown(void **state)
{
	g_autofree char *digest = NULL, *trailer = NULL, *raw = NULL;

	tagseal_is_installed();
	commit_and_tag("v2.3.0");
	commit_and_tag("v2.3.1");
	digest = digest_of("v2.3.0", "v2.3.1");
	succeeds(work.bob, "approve v2.3.1 --range --base v2.3.0", "bound to all since ");
	raw = support_must_in(work.origin, "git", "cat-file", "commit", "tagseal/approvals", NULL);
	trailer = g_strdup_printf("\nTagseal-Policy: release\nTagseal-Range: %s", digest);
	assert_contains(raw, trailer);
	fails(work.bob, "approve v2.3.1 --range", 2, "--range needs to know the last signed release");
	fails(work.bob, "approve v2.3.0 --range --base v2.3.1", 1, "is no ancestor of the commit");
	fails(work.bob, "show v2.3.1 --base v0", 3, "the base v0 is neither in this clone nor a tag of origin");
	succeeds(work.bob, "show v2.3.1 --base none", "base none: this is the whole history");
}

static void what_could_deceive_a_terminal_is_not_shown(void **state)
{
	autoptr(run) run = NULL;

	git(work.alice, "commit -q -S --allow-empty -m \"$(printf 'Turn \\342\\200\\256around \\302\\2332J')\" && git "
			"push -q origin HEAD:main");
	tag("v2.4.0");
	run = tagseal(work.bob, "show v2.4.0");
	assert_int_equal(run->status, 0);
	assert_contains(run->out, "Turn ?around ?2J");
	assert_null(strstr(run->out, "\342\200\256"));
}

/* ---- */

static void what_cannot_be_released_is_refused(void **state)
{
	git(work.alice, "tag light && git push -q origin light");
	fails(work.bob, "approve light", 1, "light is a lightweight tag: only a signed tag (git tag -s) can be released");
	fails(work.bob, "approve nowhere", 3, "cannot fetch nowhere from origin");
	tag("v1.7.0");
	git(work.alice, "push -q origin v1.7.0:refs/tags/v1.7.1");
	fails(work.bob, "approve v1.7.1", 1, "the tag object under refs/tags/v1.7.1 has another name inside");
}

static void wrong_use_is_told(void **state)
{
	fails(work.bob, "approve", 2, "approve takes a tag");
	fails(work.bob, "aprove v1", 2, "there is no command \"aprove\"");
	fails(work.bob, "approve v1 --pin sha256:00 x", 2, "is not \"sha256:\" and 64 lower-case hex digits");
	fails(work.bob, "approve v1 --nonsense", 2, "there is no option --nonsense");
	fails(work.bob, "approve v1 --project", 2, "--project takes a value");
	succeeds(work.bob, "--help", "Usage: git tagseal COMMAND");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(approvals_made_by_it_count),
		cmocka_unit_test(a_files_digest_is_computed),
		cmocka_unit_test(a_denial_made_by_it_ends_the_release),
		cmocka_unit_test(an_approval_can_be_withdrawn_by_it),
		cmocka_unit_test(a_lost_race_is_run_again),
		cmocka_unit_test(a_request_is_a_signed_tag_with_its_project),
		cmocka_unit_test(show_and_list_tell_who_approved),
		cmocka_unit_test(status_falls_back_to_the_approvals),
		cmocka_unit_test(without_the_program_nothing_is_bound),
		cmocka_unit_test(show_tells_all_since_the_last_signed_release),
		cmocka_unit_test(a_range_that_the_server_tells_otherwise_is_refused),
		cmocka_unit_test(an_approval_can_be_bound_to_what_was_shown),
		cmocka_unit_test(what_could_deceive_a_terminal_is_not_shown),
		cmocka_unit_test(what_cannot_be_released_is_refused),
		cmocka_unit_test(wrong_use_is_told),
	};

	support_isolate();
	g_setenv("GIT_CONFIG_PARAMETERS", "'core.fsync=none'", TRUE); /* nothing here outlives the test */
	g_unsetenv("GIT_AUTHOR_NAME");
	g_unsetenv("GIT_AUTHOR_EMAIL");
	g_unsetenv("GIT_COMMITTER_NAME");
	g_unsetenv("GIT_COMMITTER_EMAIL");
	return cmocka_run_group_tests(tests, setup, teardown);
}
