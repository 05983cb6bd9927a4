/* `tagseal range` and `tagseal manifest`, as approvers and auditors call them. */
#include "gitops/base/json.h"
#include "tests/unit/support_trust.h"

#include <string.h>

static int setup(void **state)
{
	if (trust_command_setup(state) != 0)
		return -1;
	trust_run("cd repo; echo one >one; git add -A; git commit -q -S -m One; git tag -s -m Release v1\n"
		  "echo two >two; git add -A; git commit -q -S -m Two; git mv one uno; git commit -q -m Three\n"
		  "git update-index --add --cacheinfo 160000,1111111111111111111111111111111111111111,lib\n"
		  "git commit -q -S -m \"$(printf 'Four \\033[31m')\"; git tag -s -m Release v2");
	return 0;
}

static void fails(const char *command, int status, const char *words)
{
	g_autofree char *err = NULL;

	assert_int_equal(trust_status("\"$TAGSEAL\" %s", command), status);
	err = support_read(".stderr");
	assert_contains(err, words);
}

static void it_tells_commits_changes_and_the_line_that_binds_them(void **state)
{
	g_autofree char *text = trust_text("\"$TAGSEAL\" range --base v1 --people people repo v2");
	g_autofree char *digest = trust_text("\"$TAGSEAL\" range --base v1 --only-digest repo v2");

	assert_true(g_str_has_prefix(text, "range sha256:"));
	assert_contains(text, digest);
	assert_contains(text, "\nTagseal-Range: sha256:");
	assert_contains(text, "commits (3)\n");
	assert_contains(text, " Alice: Two\n               signed by alice, ssh SHA256:");
	assert_contains(text, " Alice: Three\n               unsigned\n");
	assert_contains(text, "Four \\x1b[31m");
	assert_contains(text, "  renamed  uno (was one)\n");
	assert_contains(text, "  lib from - to 1111111111111111111111111111111111111111\n");
}

static void without_people_no_signature_is_called_good(void **state)
{
	g_autofree char *text = trust_text("\"$TAGSEAL\" range --whole repo v2");

	assert_contains(text, "base none: this is the whole history\n");
	assert_contains(text, "bears a signature, not checked here");
	assert_null(strstr(text, "signed by"));
}

static void the_digest_is_that_of_the_report(void **state)
{
	g_autofree char *text = trust_text("\"$TAGSEAL\" range --json --base v1 --people people repo v2");
	g_autoptr(GError) error = NULL;
	autoptr(json) document = json_parse(text, strlen(text), JSON_STRICT, &error);
	g_autoptr(GBytes) report = NULL;
	g_autofree char *digest = NULL;

	assert_ok(document, error);
	report = json_canonical(json_get(document, "range"));
	digest = sha256_text_bytes(report);
	assert_string_equal(json_string(document, "sha256"), digest);
	assert_int_equal(json_length(json_get(document, "signers")), 3);
	assert_string_equal(json_as_string(json_path(document, "signers.1.verdict")), "unsigned");
}

static void what_is_asked_wrongly_is_said(void **state)
{
	fails("range repo v2", 2, "either --base COMMIT");
	fails("range --whole --base v1 repo v2", 2, "either --base COMMIT");
	fails("range --base v2 repo v1", 1, "is no ancestor");
	fails("range --base nothing repo v1", 3, "no commit stands under the name \"nothing\"");
	fails("range --whole nowhere v1", 3, "could not be opened");
	fails("manifest --expect x repo v1", 2, "--expect wants");
}

static void a_manifest_has_the_digest_that_sha256sum_gives(void **state)
{
	g_autofree char *sum = trust_text("\"$TAGSEAL\" manifest repo v2 | sha256sum | cut -c1-64");
	g_autofree char *good = trust_text("\"$TAGSEAL\" manifest --expect sha256:%s repo v2", sum);
	g_autofree char *other = g_strdup_printf("manifest --expect sha256:%s repo v1", sum);
	g_autofree char *lines = trust_text("\"$TAGSEAL\" manifest repo v2");

	assert_true(g_str_has_prefix(good, "good sha256:"));
	fails(other, 1, "the files of v1 have the digest sha256:");
	assert_contains(lines, "160000 commit 1111111111111111111111111111111111111111 - lib\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_tells_commits_changes_and_the_line_that_binds_them),
		cmocka_unit_test(without_people_no_signature_is_called_good),
		cmocka_unit_test(the_digest_is_that_of_the_report),
		cmocka_unit_test(what_is_asked_wrongly_is_said),
		cmocka_unit_test(a_manifest_has_the_digest_that_sha256sum_gives),
	};

	return cmocka_run_group_tests(tests, setup, trust_teardown);
}
