/* tagseald init and check: a working set-up in one command, and each mistake told with its mend. */
#include "tests/unit/support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *tagseald, *folder, *maintainer;

/* One set-up for all tests: a token takes a second to make. */
static int set_up(void **state)
{
	g_autofree char *key = support_path("alice");
	autoptr(run) made = NULL;

	(void)state;
	tagseald = support_program("tagseald");
	folder = support_path("server");
	g_free(support_must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, NULL));
	maintainer = g_strdup_printf("alice:%s.pub", key);
	made = support_run(tagseald, "init", "--folder", folder, "--maintainer", maintainer, NULL);
	if (made->status != 0)
		fprintf(stderr, "%s", made->err);
	return made->status;
}

static int tear_down(void **state)
{
	(void)state;
	g_free(tagseald);
	g_free(folder);
	g_free(maintainer);
	return 0;
}

static char *config(void)
{
	return g_build_filename(folder, "config.toml", NULL);
}

static void init_makes_all_that_a_server_needs(void **state)
{
	static const char *const files[] = { "config.toml", "policy.git/HEAD", "secrets/pin", "secrets/so-pin",
		"secrets/hook-standard" };

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *path = g_build_filename(folder, files[i], NULL);
		assert_int_equal(access(path, R_OK), 0);
	}
}

static void secrets_are_closed_to_others(void **state)
{
	g_autofree char *path = g_build_filename(folder, "secrets/pin", NULL);
	struct stat about;

	(void)state;
	assert_int_equal(stat(path, &about), 0);
	assert_int_equal(about.st_mode & 077, 0);
}

static void the_policy_that_it_makes_is_in_force_from_its_root(void **state)
{
	g_autofree char *tagseal = support_program("tagseal"), *policy = g_build_filename(folder, "policy.git", NULL);
	g_autofree char *root = support_must("git", "-C", policy, "rev-parse", "main", NULL);
	autoptr(run) verified = support_run(tagseal, "policy", "verify", "--root", root, policy, NULL);

	(void)state;
	assert_int_equal(verified->status, 0);
	assert_true(g_str_has_prefix(verified->out, "good"));
}

static void a_folder_that_was_set_up_is_left_alone(void **state)
{
	autoptr(run) again = support_run(tagseald, "init", "--folder", folder, "--maintainer", maintainer, NULL);

	(void)state;
	assert_int_equal(again->status, 2);
	assert_contains(again->err, "set up before");
}

static void a_maintainer_without_a_key_file_is_told_how_to_give_one(void **state)
{
	g_autofree char *other = support_path("other");
	autoptr(run) wrong = support_run(tagseald, "init", "--folder", other, "--maintainer", "bob", NULL);

	(void)state;
	assert_int_equal(wrong->status, 2);
	assert_contains(wrong->err, "NAME:FILE");
}

/* What a failed attempt made is gone again: nobody keeps secrets that open nothing. */
static void a_token_that_there_is_already_is_told_with_the_way_out(void **state)
{
	g_autofree char *other = support_path("second");
	autoptr(run) again = support_run(tagseald, "init", "--folder", other, "--maintainer", maintainer, NULL);

	assert_int_equal(again->status, 1);
	assert_contains(again->err, "give another --token, or --pin-file F to use that one as it is");
	assert_contains(again->err, "there is a token with the label \"tagseal\" already\n");
	assert_int_equal(access(other, F_OK), -1);
}

static void what_was_there_before_a_failed_attempt_stays(void **state)
{
	g_autofree char *other = support_folder("third"), *note = g_build_filename(other, "note", NULL);
	g_autofree char *secrets = g_build_filename(other, "secrets", NULL);
	autoptr(run) again = NULL;

	support_write(note, "mine");
	again = support_run(tagseald, "init", "--folder", other, "--maintainer", maintainer, NULL);
	assert_int_equal(again->status, 1);
	assert_int_equal(access(note, F_OK), 0);
	assert_int_equal(access(secrets, F_OK), -1);
}

static void a_token_that_there_is_can_be_used_with_its_pin(void **state)
{
	g_autofree char *other = support_path("fourth"), *pin = g_build_filename(folder, "secrets/pin", NULL);
	g_autofree char *text = NULL, *path = g_build_filename(other, "config.toml", NULL);
	g_autofree char *line = g_strdup_printf("pin_file = \"%s\"", pin);
	autoptr(run) made =
	    support_run(tagseald, "init", "--folder", other, "--maintainer", maintainer, "--pin-file", pin, NULL);
	autoptr(run) checked = NULL;

	assert_int_equal(made->status, 0);
	text = support_read(path);
	assert_contains(text, line);
	checked = support_run(tagseald, "check", "--config", path, NULL);
	assert_contains(checked->out, "good ledger key");
}

static void check_changes_nothing_and_gives_a_mend_with_each_finding(void **state)
{
	g_autofree char *path = config(), *ours = g_build_filename(folder, "state", NULL);
	autoptr(run) checked = NULL;
	g_auto(GStrv) lines = NULL;

	assert_int_equal(rmdir(ours), 0);
	checked = support_run(tagseald, "check", "--config", path, NULL);
	assert_int_equal(access(ours, F_OK), -1);
	assert_contains(checked->out, "is made when the server first starts");
	lines = g_strsplit(checked->out, "\n", -1);
	for (char **line = lines; *line != NULL; line++)
		if (g_str_has_prefix(*line, "bad") && strstr(*line, "; to mend it, ") == NULL)
			fail_msg("no mend in: %s", *line);
}

static void check_names_what_is_missing_and_passes_over_nothing(void **state)
{
	g_autofree char *path = config();
	autoptr(run) checked = support_run(tagseald, "check", "--config", path, NULL);

	(void)state;
	assert_int_not_equal(checked->status, 0);
	assert_contains(checked->out, "good token main");
	assert_contains(checked->out, "good ledger key");
	assert_contains(checked->out, "bad  timestamp authorities");
	assert_contains(checked->out, "bad  malware databases");
	assert_contains(checked->out, "no projects/*.toml yet");
}

static void check_tells_a_wrong_pin(void **state)
{
	g_autofree char *path = config(), *pin = g_build_filename(folder, "secrets/pin", NULL),
			*right = support_read(pin);
	autoptr(run) checked = NULL;

	(void)state;
	assert_ok(file_write(pin, "000000\n", 7, 0600, NULL), NULL);
	checked = support_run(tagseald, "check", "--config", path, NULL);
	assert_ok(file_write(pin, right, strlen(right), 0600, NULL), NULL);
	assert_int_equal(checked->status, 1);
	assert_contains(checked->out, "bad  token main");
	assert_contains(checked->out, "PIN");
}

static void a_mistake_in_the_configuration_is_told_by_line_and_column(void **state)
{
	g_autofree char *path = support_path("wrong.toml"), *good = config(), *text = support_read(good);
	g_autofree char *wrong = g_strconcat(text, "[pulbish]\n", NULL);
	autoptr(run) checked = NULL;

	(void)state;
	support_write(path, wrong);
	checked = support_run(tagseald, "check", "--config", path, NULL);
	assert_int_not_equal(checked->status, 0);
	assert_contains(checked->err, "wrong.toml:");
	assert_contains(checked->err, "did you mean \"publish\"");
}

static void a_missing_configuration_ends_the_server_with_one_sentence(void **state)
{
	autoptr(run) served = support_run(tagseald, "--config", "/nowhere/config.toml", NULL);

	(void)state;
	assert_int_not_equal(served->status, 0);
	assert_contains(served->err, "/nowhere/config.toml");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_makes_all_that_a_server_needs),
		cmocka_unit_test(secrets_are_closed_to_others),
		cmocka_unit_test(the_policy_that_it_makes_is_in_force_from_its_root),
		cmocka_unit_test(a_folder_that_was_set_up_is_left_alone),
		cmocka_unit_test(a_maintainer_without_a_key_file_is_told_how_to_give_one),
		cmocka_unit_test(a_token_that_there_is_already_is_told_with_the_way_out),
		cmocka_unit_test(what_was_there_before_a_failed_attempt_stays),
		cmocka_unit_test(a_token_that_there_is_can_be_used_with_its_pin),
		cmocka_unit_test(check_changes_nothing_and_gives_a_mend_with_each_finding),
		cmocka_unit_test(check_names_what_is_missing_and_passes_over_nothing),
		cmocka_unit_test(check_tells_a_wrong_pin),
		cmocka_unit_test(a_mistake_in_the_configuration_is_told_by_line_and_column),
		cmocka_unit_test(a_missing_configuration_ends_the_server_with_one_sentence),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
