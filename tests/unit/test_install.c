/* `cmake --install` under a prefix that the build did not know. */
#include "tests/unit/support.h"

#include <unistd.h>

static char *prefix;

static int install(void **state)
{
	prefix = support_path("prefix");
	g_free(support_must("cmake", "--install", BUILD_DIR, "--prefix", prefix, NULL));
	return 0;
}

static int forget(void **state)
{
	g_free(prefix);
	return 0;
}

static void assert_answers(const char *program, const char *command, const char *words)
{
	g_autofree char *path = g_build_filename(prefix, program, NULL);
	autoptr(run) run = support_run(path, command, "--help", NULL);

	if (run->status != 0)
		fail_msg("%s %s --help: status %d: %s", program, command, run->status, run->err);
	assert_contains(run->out, words);
}

static void both_programs_find_their_parts(void **state)
{
	assert_answers("bin/tagseal", "inspect", "FILE");
	assert_answers("bin/tagseal", "audit", "--policy-root");
	assert_answers("bin/tagseald", "key", "generate");
}

static void a_program_that_was_moved_alone_says_where_it_looked(void **state)
{
	g_autofree char *from = g_build_filename(prefix, "bin/tagseal", NULL), *to = support_path("tagseal");
	autoptr(run) run = NULL;

	g_free(support_must("cp", from, to, NULL));
	run = support_run(to, "audit", "--help", NULL);
	assert_int_equal(run->status, 3);
	assert_contains(run->err, "tagseal-full is none of ");
	assert_contains(run->err, "install both programs");
}

static void help_is_written_as_it_is_in_any_locale(void **state)
{
	g_autofree char *program = support_program("tagseald");
	autoptr(run) run = support_run("/usr/bin/env", "LC_ALL=C", program, "init", "--help", NULL);

	assert_contains(run->out, "NAME:FILE\xE2\x80\xA6");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_programs_find_their_parts),
		cmocka_unit_test(a_program_that_was_moved_alone_says_where_it_looked),
		cmocka_unit_test(help_is_written_as_it_is_in_any_locale),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, install, forget);
}
