/* The key journal: numbers that rise, a chain that shows every change, a torn end that was never used. */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <string.h>

#include "server/journal.h"

#define RECORD "01JDZX00000000000000000000"
#define DIGEST "sha256:0000000000000000000000000000000000000000000000000000000000000000"

static char *folder, *path;

static int new_folder(void **state)
{
	static guint count;
	g_autofree char *name = g_strdup_printf("journal-%u", count++);

	(void)state;
	folder = support_folder(name);
	path = journal_path(folder, "main", "release");
	return 0;
}

static int free_folder(void **state)
{
	(void)state;
	g_free(folder);
	g_free(path);
	return 0;
}

static struct journal *reopened(gboolean *cut)
{
	g_autoptr(GError) error = NULL;
	struct journal *journal = journal_open(folder, "main", "release", cut, &error);

	assert_ok(journal, error);
	return journal;
}

static int64_t used(struct journal *journal)
{
	g_autoptr(GError) error = NULL;
	int64_t number = 0;

	assert_ok(journal_append(journal, RECORD, DIGEST, 1772323200000, &number, &error), error);
	return number;
}

static void use_times(guint times)
{
	gboolean cut;
	autoptr(journal) journal = reopened(&cut);

	while (times-- > 0)
		used(journal);
}

static void assert_broken(const char *text, const char *words)
{
	g_autoptr(GError) error = NULL;
	gboolean cut;

	support_write(path, text);
	assert_fails(journal_open(folder, "main", "release", &cut, &error), error, TAGSEAL_ERROR_REFUSED, words);
}

static void numbers_rise_by_one_and_go_on_after_a_restart(void **state)
{
	gboolean cut;

	use_times(3);
	{
		autoptr(journal) journal = reopened(&cut);
		assert_false(cut);
		assert_int_equal(journal_last(journal), 3);
		assert_int_equal(used(journal), 4);
		assert_int_equal(used(journal), 5);
	}
}

static void each_line_names_the_digest_of_the_line_before(void **state)
{
	g_autofree char *text = NULL, *first = NULL, *member = NULL;
	g_auto(GStrv) lines = NULL;

	use_times(2);
	text = support_read(path);
	lines = g_strsplit(text, "\n", -1);
	first = sha256_text(lines[0], strlen(lines[0]));
	member = g_strdup_printf("\"previous\":\"%s\"", first);
	assert_null(strstr(lines[0], "previous"));
	assert_contains(lines[1], member);
	assert_contains(lines[0], "\"number\":1,\"record\":\"" RECORD "\",\"time\":\"2026-03-01T00:00:00.000Z\"}");
}

static void a_torn_last_line_is_cut_off_and_its_number_used_again(void **state)
{
	gboolean cut;
	g_autofree char *whole = NULL, *torn = NULL;

	use_times(2);
	whole = support_read(path);
	torn = g_strconcat(whole, "{\"digest\":\"sha25", NULL);
	support_write(path, torn);
	{
		autoptr(journal) journal = reopened(&cut);
		assert_true(cut);
		assert_int_equal(used(journal), 3);
	}
	use_times(0);
}

static void a_line_that_was_taken_out_is_noticed(void **state)
{
	g_autofree char *text = NULL;

	use_times(3);
	text = support_read(path);
	assert_broken(strchr(text, '\n') + 1, "line 1 does not bear the next number");
}

static void a_line_that_was_changed_is_noticed(void **state)
{
	g_autofree char *text = NULL;

	use_times(3);
	text = support_read(path);
	strstr(text, "sha256:0")[7] = '1';
	assert_broken(text, "line 2 does not follow from the line before it");
}

static void another_keys_journal_is_refused(void **state)
{
	g_autofree char *other = journal_path(folder, "main", "other"), *text = NULL;

	use_times(1);
	text = support_read(path);
	support_write(other, text);
	{
		g_autoptr(GError) error = NULL;
		gboolean cut;
		assert_refused(journal_open(folder, "main", "other", &cut, &error), error, "line 1 is of another key");
	}
}

static void text_that_is_no_line_of_ours_is_refused(void **state)
{
	assert_broken("hello\n", "line 1 is no journal line");
	assert_broken("{}\n", "does not bear the next number");
}

static void the_uses_for_a_record_are_told_and_no_others(void **state)
{
	static const char other[] = "01JDZX11111111111111111111";
	g_autoptr(GError) error = NULL;
	gboolean cut;
	autoptr(journal) journal = reopened(&cut);
	autoptr(json) uses = NULL;
	int64_t number;

	used(journal);
	assert_ok(journal_append(journal, other, DIGEST, 1772323200000, &number, &error), error);
	used(journal);
	uses = journal_uses(journal, RECORD, &error);
	assert_ok(uses, error);
	assert_int_equal(json_length(uses), 2);
	assert_int_equal(json_integer(json_at(uses, 0), "number", 0), 1);
	assert_int_equal(json_integer(json_at(uses, 1), "number", 0), 3);
	assert_string_equal(json_string(json_at(uses, 1), "digest"), DIGEST);
}

static void two_processes_cannot_write_one_journal(void **state)
{
	g_autoptr(GError) error = NULL;
	gboolean cut;
	autoptr(journal) journal = reopened(&cut);

	assert_fails(journal_open(folder, "main", "release", &cut, &error), error, TAGSEAL_ERROR_UNAVAILABLE,
	    "another process writes it");
	used(journal);
}

static void no_two_names_share_a_file(void **state)
{
	g_autofree char *a = journal_path("d", "a-b", "c"), *b = journal_path("d", "a", "b-c"),
			*up = journal_path("d", "..", "../x");

	assert_string_not_equal(a, b);
	assert_string_equal(b, "d/a-b-c.jsonl");
	assert_string_equal(up, "d/%2E.-%2E.%2Fx.jsonl");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_folder, free_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(numbers_rise_by_one_and_go_on_after_a_restart),
		TEST(each_line_names_the_digest_of_the_line_before),
		TEST(a_torn_last_line_is_cut_off_and_its_number_used_again),
		TEST(a_line_that_was_taken_out_is_noticed),
		TEST(a_line_that_was_changed_is_noticed),
		TEST(another_keys_journal_is_refused),
		TEST(text_that_is_no_line_of_ours_is_refused),
		TEST(the_uses_for_a_record_are_told_and_no_others),
		TEST(two_processes_cannot_write_one_journal),
		TEST(no_two_names_share_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
