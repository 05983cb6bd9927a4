/* `tagseal verify-tag` and `tagseal verify-commit`, as scripts call them. */
#include "tests/unit/support_trust.h"

#include <string.h>

static char *id; /* of alice's key */

static int setup(void **state)
{
	if (trust_command_setup(state) != 0)
		return -1;
	trust_run("cd repo; git commit -q --allow-empty -S -m one; git tag -s -m Release v1\n"
		  "git cat-file tag v1 >../tag; git cat-file commit HEAD >../commit; git tag -a -m x unsigned\n"
		  "git cat-file tag unsigned >../unsigned; sed s/Release/Forgery/ ../tag >../forged");
	id = trust_text("ssh-keygen -lf a.pub | cut -d' ' -f2");
	return 0;
}

static int teardown(void **state)
{
	g_free(id);
	return trust_teardown(state);
}

static void prints(const char *command)
{
	g_autofree char *expected = g_strdup_printf("good alice ssh %s", id);
	g_autofree char *text = trust_text("\"$TAGSEAL\" %s", command);

	assert_string_equal(text, expected);
}

/* Nothing on stdout, one sentence on stderr. */
static void ends(const char *command, int status, const char *words)
{
	g_autofree char *err = NULL;
	g_autofree char *out = NULL;

	assert_int_equal(trust_status("\"$TAGSEAL\" %s", command), status);
	err = support_read(".stderr");
	out = support_read(".stdout");
	assert_string_equal(out, "");
	assert_contains(err, words);
	assert_true(g_str_has_prefix(err, "tagseal: "));
	assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
}

static void good_objects_name_their_signer(void **state)
{
	prints("verify-tag --people people tag");
	prints("verify-tag --people people --ref refs/tags/v1 --at 2026-01-01T00:00:00Z tag");
	prints("verify-commit --people people commit");
}

static void objects_are_read_from_stdin(void **state)
{
	g_autofree char *text = trust_text("\"$TAGSEAL\" verify-tag --people people - <tag");

	assert_true(g_str_has_prefix(text, "good alice ssh SHA256:"));
}

static void json_names_the_object_too(void **state)
{
	g_autofree char *oid = trust_text("git -C repo rev-parse v1");
	g_autofree char *text = trust_text("\"$TAGSEAL\" verify-tag --json --people people tag");

	assert_contains(text, oid);
	assert_contains(text, "\"person\": \"alice\"");
	assert_contains(text, "\"hardware\": false");
}

static void bad_objects_are_refused_with_1(void **state)
{
	ends("verify-tag --people people forged", 1, "does not fit these bytes");
	ends("verify-tag --people people unsigned", 1, "git tag -s");
	ends("verify-tag --people people commit", 1, "\"tree\" stands where \"object\" must");
	ends("verify-commit --people people tag", 1, "\"object\" stands where \"tree\" must");
}

static void a_tag_under_another_name_is_refused(void **state)
{
	ends("verify-tag --people people --ref refs/tags/v9.9 tag", 1,
	    "names itself \"v1\", but it stands at refs/tags/v9.9");
	ends("verify-tag --people people --ref refs/heads/v1 tag", 1, "names itself \"v1\"");
	ends("verify-tag --people people --ref refs/tags/refs/tags/v1 tag", 1, "names itself \"v1\"");
}

static void wrong_use_ends_with_2(void **state)
{
	ends("verify-tag tag", 2, "--people DIR is missing");
	ends("verify-tag --people people --at yesterday tag", 2, "is no time");
	ends("verify-commit --people people", 2, "takes");
}

static void what_cannot_be_found_out_ends_with_3(void **state)
{
	ends("verify-tag --people people nowhere", 3, "nowhere");
	ends("verify-tag --people nobody tag", 3, "nobody");
	ends("verify-commit --people repo commit", 3, "holds no person");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_objects_name_their_signer),
		cmocka_unit_test(objects_are_read_from_stdin),
		cmocka_unit_test(json_names_the_object_too),
		cmocka_unit_test(bad_objects_are_refused_with_1),
		cmocka_unit_test(a_tag_under_another_name_is_refused),
		cmocka_unit_test(wrong_use_ends_with_2),
		cmocka_unit_test(what_cannot_be_found_out_ends_with_3),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
