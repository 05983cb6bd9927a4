/* The audit repository as its writer leaves it, judged by git and ssh-keygen. */
#include "tests/unit/support.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "gitops/mirror.h"
#include "gitops/record.h"
#include "tests/unit/support_ledger.h"

static const struct mirror_limits limits = { .max_bytes = 1 << 30, .max_objects = 1000000, .deadline_ms = 20000 };

/* What a shell says, standing in the folder. */
static char *in(const char *folder, const char *script)
{
	return support_must_in(folder, "sh", "-e", "-c", script, NULL);
}

static char *cloned(const char *path, const char *name)
{
	char *to = support_path("%s", name);
	g_autofree char *out = support_must("git", "clone", "-q", path, to, NULL);

	return to;
}

static void git_and_ssh_keygen_find_every_commit_good(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("good.git"), *copy = NULL, *shown = NULL, *fsck = NULL;

	{
		autoptr(ledger) ledger = test_ledger(path, key);
		autoptr(json) one = test_record("acme/widget", "v1", "signed");
		autoptr(json) two = test_record("acme/widget", "v2", "rejected");

		test_append(ledger, one);
		test_append(ledger, two);
	}
	copy = cloned(path, "good");
	fsck = in(copy, "git fsck --strict --full");
	shown = in(copy, "git -c gpg.ssh.allowedSignersFile=allowed_signers log --format='%G? %GS' main | sort | uniq "
			 "-c | sed 's/^ *//'");
	assert_string_equal(shown, "3 G ledger@example.org");
	g_free(shown);
	shown = in(copy,
	    "git -c gpg.ssh.allowedSignersFile=allowed_signers log --show-signature 2>&1 | grep -c '^Good \"git\"'");
	assert_string_equal(shown, "3");
}

static void messages_can_be_read_and_their_trailers_listed(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("message.git"), *subject = NULL, *projects = NULL, *outcome = NULL;
	autoptr(ledger) ledger = test_ledger(path, key);
	autoptr(json) record = test_record("acme/widget", "v1.2.0", "signed");
	struct json *policy = json_object_new(), *artifacts = json_array_new(), *artifact = json_object_new();

	json_set_string(policy, "name", "release");
	json_set_string(policy, "commit", "0123456789abcdef0123456789abcdef01234567");
	json_set_string(artifact, "name", "w.exe");
	json_append(artifacts, artifact);
	json_set(record, "policy", policy);
	json_set(record, "artifacts", artifacts);
	test_append(ledger, record);
	subject = in(path, "git log -1 --format=%s main");
	assert_string_equal(subject, "Sign acme/widget v1.2.0 (1 artifact, release)");
	projects = in(path, "git log -1 --format='%(trailers:key=Tagseal-Project,valueonly)' main");
	assert_string_equal(g_strstrip(projects), "acme/widget");
	outcome = in(path, "git log -1 --format='%(trailers:key=Tagseal-Record,valueonly)' main");
	assert_true(g_str_has_prefix(outcome, json_string(record, "id")));
	assert_contains(outcome, " sha256:");
}

static void a_batch_is_one_commit_and_one_pack(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("batch.git"), *before = NULL, *after = NULL, *subject = NULL, *packs = NULL;
	autoptr(ledger) ledger = test_ledger(path, key);
	struct ledger_entry entries[20] = { { NULL } };
	g_autoptr(GError) error = NULL;
	gboolean done;

	before = in(path, "git rev-list --count main");
	for (guint i = 0; i < 20; i++)
		entries[i].document =
		    i % 4 == 3 ? record_event_new("start", NULL, NULL) : test_record("acme/widget", "v1", "signed");
	done = ledger_append(ledger, entries, 20, &error);
	assert_ok(done, error);
	after = in(path, "git rev-list --count main");
	assert_string_equal(after, "2");
	subject = in(path, "git log -1 --format=%s main");
	assert_string_equal(subject, "Record 15 releases and 5 events");
	packs = in(path, "ls objects/pack/*.pack | wc -l");
	assert_string_equal(packs, "2");
	for (guint i = 0; i < 20; i++) {
		assert_int_equal(entries[i].sequence, i + 1);
		assert_string_equal(entries[i].commit, ledger_tip(ledger));
		json_unref(entries[i].document);
		ledger_entry_clear(&entries[i]);
	}
}

static void records_and_evidence_stand_at_their_number(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("place.git"), *listed = NULL, *expected = NULL, *tag = NULL;
	autoptr(ledger) ledger = test_ledger(path, key);
	autoptr(json) record = test_record("acme/widget", "v1", "signed");
	g_autoptr(GBytes) raw = g_bytes_new_static("raw tag\n", 8);
	struct ledger_file files[] = { { (char *)"tag", raw }, { (char *)"approval-1", raw } };
	struct ledger_entry entry = { .document = record, .files = files, .file_count = 2 };
	g_autoptr(GError) error = NULL;
	gboolean done = ledger_append(ledger, &entry, 1, &error);

	assert_ok(done, error);
	listed = in(path, "git ls-tree -r --name-only main");
	expected = g_strdup_printf("README.md\nallowed_signers\nevidence/00/00/01/approval-1\nevidence/00/00/01/tag\n"
				   "records/00/00/01-%s.json",
	    json_string(record, "id"));
	assert_string_equal(listed, expected);
	tag = in(path, "git show main:evidence/00/00/01/tag");
	assert_string_equal(tag, "raw tag");
	ledger_entry_clear(&entry);
}

static void each_record_names_the_one_before_it_in_its_project(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("previous.git"), *digest = NULL, *shown = NULL;
	autoptr(ledger) ledger = test_ledger(path, key);
	autoptr(json) a = test_record("acme/widget", "v1", "signed");
	autoptr(json) b = test_record("other/thing", "v1", "signed");
	autoptr(json) c = test_record("acme/widget", "v2", "signed");

	assert_null(ledger_previous(ledger, "acme/widget"));
	test_append(ledger, a);
	digest = in(path,
	    "git cat-file blob main:$(git ls-tree -r --name-only main records | head -1) | sha256sum | cut -c1-64");
	assert_string_equal(ledger_previous(ledger, "acme/widget") + strlen("sha256:"), digest);
	test_append(ledger, b);
	test_append(ledger, c);
	shown = in(path, "git cat-file blob main:$(git ls-tree -r --name-only main records | tail -1)");
	assert_contains(shown, digest);
	g_free(shown);
	shown = in(path,
	    "git cat-file blob main:$(git ls-tree -r --name-only main records | sed -n 2p) | grep -c previous || true");
	assert_string_equal(shown, "0");
}

static void asking_twice_writes_once_and_answers_the_same(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("twice.git"), *count = NULL, *sha256 = NULL, *commit = NULL;
	autoptr(ledger) ledger = test_ledger(path, key);
	autoptr(json) record = test_record("acme/widget", "v1", "signed");
	autoptr(json) later = test_record("acme/widget", "v2", "signed");
	struct ledger_entry entry = { .document = record };
	g_autoptr(GError) error = NULL;
	gboolean done = ledger_append(ledger, &entry, 1, &error);

	assert_ok(done, error);
	sha256 = g_strdup(entry.sha256);
	commit = g_strdup(entry.commit);
	test_append(ledger, later);
	done = ledger_append(ledger, &entry, 1, &error);
	assert_ok(done, error);
	assert_int_equal(entry.sequence, 1);
	assert_string_equal(entry.sha256, sha256);
	assert_string_equal(entry.commit, commit);
	count = in(path, "git rev-list --count main");
	assert_string_equal(count, "3");
	ledger_entry_clear(&entry);
}

static void a_ledger_opened_again_goes_on(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("again.git"), *previous = NULL, *last = NULL;

	for (guint round = 0; round < 3; round++) {
		autoptr(ledger) ledger = test_ledger(path, key);

		assert_int_equal(g_strcmp0(previous, ledger_previous(ledger, "acme/widget")), 0);
		for (guint i = 0; i < 3; i++) {
			autoptr(json) record = test_record("acme/widget", "v1", "signed");

			test_append(ledger, record);
		}
		g_free(previous);
		previous = g_strdup(ledger_previous(ledger, "acme/widget"));
	}
	last = in(path, "git ls-tree -r --name-only main records | tail -1");
	assert_true(g_str_has_prefix(last, "records/00/00/09-"));
}

static void a_second_writer_is_turned_away(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("second.git");
	autoptr(ledger) ledger = test_ledger(path, key);
	g_autoptr(GError) error = NULL;

	assert_fails(ledger_open(path, "ledger@example.org", test_key_line(key), test_key_sign, key, &error), error,
	    TAGSEAL_ERROR_UNAVAILABLE, "written by another process");
}

static void a_branch_that_somebody_moved_is_not_built_upon(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("moved.git"), *out = NULL;
	autoptr(ledger) ledger = test_ledger(path, key);
	autoptr(json) record = test_record("acme/widget", "v1", "signed");
	struct ledger_entry entry = { .document = record };
	g_autoptr(GError) error = NULL;

	out = in(path, "git update-ref refs/heads/main $(git commit-tree -p main -m mine main^{tree})");
	assert_fails(ledger_append(ledger, &entry, 1, &error), error, TAGSEAL_ERROR_MOVED, "somebody else moved");
	assert_fails(ledger_append(ledger, &entry, 1, &error), error, TAGSEAL_ERROR_MOVED, "somebody else moved");
	g_clear_pointer(&ledger, ledger_free);
	assert_refused(ledger_open(path, "ledger@example.org", test_key_line(key), test_key_sign, key, &error), error,
	    "is not of this ledger's key");
	ledger_entry_clear(&entry);
}

static void a_ledger_of_another_key_is_not_opened(void **state)
{
	autoptr(test_key) key = test_key_new();
	autoptr(test_key) other = test_key_new();
	g_autofree char *path = support_path("other.git");
	g_autoptr(GError) error = NULL;

	{
		autoptr(ledger) ledger = test_ledger(path, key);
	}
	assert_refused(ledger_open(path, "ledger@example.org", test_key_line(other), test_key_sign, other, &error),
	    error, "is not of this ledger's key");
}

static void a_key_that_signs_wrongly_is_noticed_before_anything_moves(void **state)
{
	autoptr(test_key) key = test_key_new();
	autoptr(test_key) other = test_key_new();
	g_autofree char *path = support_path("wrong.git");
	g_autoptr(GError) error = NULL;

	assert_refused(ledger_open(path, "ledger@example.org", test_key_line(key), test_key_sign, other, &error), error,
	    "no good signature");
}

static void a_folder_that_holds_something_else_is_left_alone(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_folder("else"), *file = g_build_filename(path, "thesis.txt", NULL);
	g_autoptr(GError) error = NULL;

	support_write(file, "mine");
	assert_fails(ledger_open(path, "ledger@example.org", test_key_line(key), test_key_sign, key, &error), error,
	    TAGSEAL_ERROR_USAGE, "neither empty nor an audit repository");
}

static void evidence_with_a_path_for_a_name_is_refused_and_the_log_goes_on(void **state)
{
	static const char *const bad[] = { "../x", "a/b", "", ".hidden", "Tag", "12", "a b" };
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("names.git"), *count = NULL;
	autoptr(ledger) ledger = test_ledger(path, key);
	autoptr(json) record = test_record("acme/widget", "v1", "signed");
	g_autoptr(GBytes) raw = g_bytes_new_static("x", 1);

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct ledger_file file = { (char *)bad[i], raw };
		struct ledger_entry entry = { .document = record, .files = &file, .file_count = 1 };
		g_autoptr(GError) error = NULL;

		assert_refused(ledger_append(ledger, &entry, 1, &error), error, "no name for evidence");
		ledger_entry_clear(&entry);
	}
	test_append(ledger, record);
	count = in(path, "git ls-tree -r --name-only main records | wc -l");
	assert_string_equal(count, "1");
}

static void a_document_of_another_shape_is_refused(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("shape.git");
	autoptr(ledger) ledger = test_ledger(path, key);
	autoptr(json) record = test_record("acme/widget", "v1", "signed");
	struct ledger_entry entry = { .document = record };
	g_autoptr(GError) error = NULL;

	json_set_string(record, "colour", "blue");
	assert_refused(ledger_append(ledger, &entry, 1, &error), error, "\"colour\" is no member");
}

static void packs_stay_few_and_whole_over_many_commits(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("many.git"), *packs = NULL, *count = NULL, *fsck = NULL;
	autoptr(ledger) ledger = test_ledger(path, key);

	for (guint i = 0; i < 60; i++) {
		autoptr(json) record = test_record("acme/widget", "v1", "signed");

		test_append(ledger, record);
	}
	packs = in(path, "ls objects/pack/*.pack | wc -l");
	assert_in_range(atoi(packs), 1, 50);
	count = in(path, "git ls-tree -r --name-only main records | wc -l");
	assert_string_equal(count, "60");
	fsck = in(path, "git fsck --strict --full --no-dangling");
}

/* ---- pushing ---- */

static void a_push_brings_a_remote_up_and_refuses_to_rewind_it(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("push.git"), *remote = support_path("remote.git"), *out = NULL, *tip = NULL;
	g_autofree char *url = g_strconcat("file://", remote, NULL);
	autoptr(ledger) ledger = test_ledger(path, key);
	autoptr(json) record = test_record("acme/widget", "v1", "signed");
	g_autoptr(GError) error = NULL;
	gboolean done;

	out = support_must("git", "init", "-q", "--bare", "-b", "main", remote, NULL);
	test_append(ledger, record);
	done = ledger_push(ledger, url, &limits, &error);
	assert_ok(done, error);
	tip = in(remote, "git rev-parse main");
	assert_string_equal(tip, ledger_tip(ledger));
	done = ledger_push(ledger, url, &limits, &error);
	assert_ok(done, error);
	g_free(out);
	out = in(remote, "git update-ref refs/heads/main $(git commit-tree -p main -m mine main^{tree})");
	assert_fails(ledger_push(ledger, url, &limits, &error), error, TAGSEAL_ERROR_REFUSED, "holds commits on main");
}

static void a_remote_that_is_away_is_unavailable(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("away.git");
	autoptr(ledger) ledger = test_ledger(path, key);
	g_autoptr(GError) error = NULL;

	assert_fails(ledger_push(ledger, "file:///nowhere/at/all.git", &limits, &error), error,
	    TAGSEAL_ERROR_UNAVAILABLE, "nowhere");
}

/* ---- crashes ---- */

/* Appends until it is killed, telling each number it was answered. */
static void append_for_ever(const char *path, struct test_key *key, int out)
{
	struct ledger *ledger = test_ledger(path, key);

	for (;;) {
		struct json *record = test_record("acme/widget", "v1", "signed");
		struct ledger_entry entry = { .document = record };

		if (!ledger_append(ledger, &entry, 1, NULL) || write(out, &entry.sequence, sizeof(entry.sequence)) < 0)
			_exit(1);
		ledger_entry_clear(&entry);
		json_unref(record);
	}
}

/* Killed a moment after so many answers; the last number that was answered. */
static gint64 killed_after(const char *path, struct test_key *key, guint answers, guint us)
{
	int pipes[2];
	gint64 sequence, last = 0;
	pid_t pid;
	int status;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		close(pipes[0]);
		append_for_ever(path, key, pipes[1]);
	}
	close(pipes[1]);
	for (guint i = 0; i < answers; i++) {
		assert_int_equal(read(pipes[0], &sequence, sizeof(sequence)), sizeof(sequence));
		last = sequence;
	}
	g_usleep(us);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	while (read(pipes[0], &sequence, sizeof(sequence)) == sizeof(sequence))
		last = sequence;
	close(pipes[0]);
	return last;
}

static void a_writer_killed_at_any_time_leaves_a_log_that_goes_on(void **state)
{
	autoptr(test_key) key = test_key_new();
	g_autofree char *path = support_path("crash.git"), *fsck = NULL, *count = NULL;
	gint64 answered = 0, there;

	for (guint round = 0; round < 12; round++) {
		gint64 last = killed_after(path, key, round % 3, (guint)g_random_int_range(1, 60000));

		answered = MAX(answered, last);
	}
	{
		autoptr(ledger) ledger = test_ledger(path, key);
		autoptr(json) record = test_record("acme/widget", "v1", "signed");

		test_append(ledger, record);
	}
	fsck = in(path, "git fsck --strict --full --no-dangling");
	count = in(path, "git ls-tree -r --name-only main records | wc -l");
	there = g_ascii_strtoll(count, NULL, 10);
	assert_true(answered > 0);
	assert_in_range(there, answered + 1, answered + 14); /* each kill may have hit between the ref and the answer */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(git_and_ssh_keygen_find_every_commit_good),
		cmocka_unit_test(messages_can_be_read_and_their_trailers_listed),
		cmocka_unit_test(a_batch_is_one_commit_and_one_pack),
		cmocka_unit_test(records_and_evidence_stand_at_their_number),
		cmocka_unit_test(each_record_names_the_one_before_it_in_its_project),
		cmocka_unit_test(asking_twice_writes_once_and_answers_the_same),
		cmocka_unit_test(a_ledger_opened_again_goes_on),
		cmocka_unit_test(a_second_writer_is_turned_away),
		cmocka_unit_test(a_branch_that_somebody_moved_is_not_built_upon),
		cmocka_unit_test(a_ledger_of_another_key_is_not_opened),
		cmocka_unit_test(a_key_that_signs_wrongly_is_noticed_before_anything_moves),
		cmocka_unit_test(a_folder_that_holds_something_else_is_left_alone),
		cmocka_unit_test(evidence_with_a_path_for_a_name_is_refused_and_the_log_goes_on),
		cmocka_unit_test(a_document_of_another_shape_is_refused),
		cmocka_unit_test(packs_stay_few_and_whole_over_many_commits),
		cmocka_unit_test(a_push_brings_a_remote_up_and_refuses_to_rewind_it),
		cmocka_unit_test(a_remote_that_is_away_is_unavailable),
		cmocka_unit_test(a_writer_killed_at_any_time_leaves_a_log_that_goes_on),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
