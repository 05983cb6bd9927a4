/* `tagseal` is started once a file by scripts: what it links is loaded each time. */
#include "tests/unit/support.h"

#include <string.h>

static void tagseal_links_no_library_that_is_slow_to_load(void **state)
{
	static const char *const heavy[] = { "libgit2", "librnp", "libclamav", "libcurl", "libevent", "libsqlite3" };
	g_autofree char *tagseal = support_program("tagseal");
	g_autofree char *needed = support_must("readelf", "-d", tagseal, NULL);

	assert_contains(needed, "libcrypto");
	for (guint i = 0; i < G_N_ELEMENTS(heavy); i++)
		if (strstr(needed, heavy[i]) != NULL)
			fail_msg(
			    "tagseal links %s: move what needs it to a file of its own, or to tagseal-full", heavy[i]);
}

static void the_commands_that_need_them_are_there_all_the_same(void **state)
{
	g_autofree char *tagseal = support_program("tagseal");
	autoptr(run) audit = support_run(tagseal, "audit", "--help", NULL);
	autoptr(run) scan = support_run(tagseal, "scan", "--help", NULL);

	assert_int_equal(audit->status, 0);
	assert_int_equal(scan->status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tagseal_links_no_library_that_is_slow_to_load),
		cmocka_unit_test(the_commands_that_need_them_are_there_all_the_same),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
