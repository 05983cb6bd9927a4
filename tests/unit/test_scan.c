/* Scanning: what libclamav finds, and that nothing that it did not look at is called clean. */
#include "tests/unit/support.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "signer/scan.h"

/* The test file of the European Institute for Computer Antivirus Research, in two halves so that this source is not one. */
static const char eicar[] = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$"
			    "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

static char *database(void)
{
	static char *folder;
	g_autofree char *path = NULL, *hex = hex_encode(eicar, strlen(eicar)), *line = NULL;

	if (folder != NULL)
		return folder;
	folder = support_folder("database");
	path = g_build_filename(folder, "test.ndb", NULL);
	line = g_strdup_printf("Test.Eicar:0:*:%s\n", hex);
	support_write(path, line);
	return folder;
}

static struct scan_options options(void)
{
	static char *temp;

	if (temp == NULL)
		temp = support_folder("temp");
	return (struct scan_options){ .database = database(), .temp = temp, .max_size = 16 << 20 };
}

static struct scanner *shared(void)
{
	static struct scanner *scanner;
	g_autoptr(GError) error = NULL;
	struct scan_options o = options();

	if (scanner == NULL)
		scanner = scanner_open(&o, &error);
	assert_ok(scanner, error);
	return scanner;
}

static gboolean scan_bytes(struct scanner *scanner, const void *data, size_t size, struct json **report, GError **error)
{
	g_autoptr(GBytes) bytes = g_bytes_new(data, size);
	autofd int fd = memfd_from_bytes("artifact", bytes, NULL);

	return scanner_scan(scanner, fd, report, error);
}

static gboolean scan_path(struct scanner *scanner, const char *path, GError **error)
{
	g_autoptr(GBytes) bytes = support_read_bytes(path);

	return scan_bytes(scanner, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), NULL, error);
}

static void a_harmless_file_is_clean_and_the_report_says_with_what(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(json) report = NULL;

	(void)state;
	assert_ok(scan_bytes(shared(), "hello\n", 6, &report, &error), error);
	assert_string_equal(json_string(report, "verdict"), "clean");
	assert_int_equal(json_integer(report, "signatures", 0), 1);
	assert_contains(json_string(report, "engine"), "libclamav");
}

static void malware_is_refused_by_its_name(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(json) report = NULL;

	(void)state;
	assert_fails(scan_bytes(shared(), eicar, strlen(eicar), &report, &error), error, TAGSEAL_ERROR_REFUSED,
	    "Test.Eicar.UNOFFICIAL found");
	assert_string_equal(json_string(report, "verdict"), "infected");
	assert_string_equal(json_string(report, "found"), "Test.Eicar.UNOFFICIAL");
}

static void malware_in_a_zip_is_found(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *file = support_path("eicar.txt"), *zip = support_path("eicar.zip");

	(void)state;
	support_write(file, eicar);
	g_free(support_must("zip", "-q", "-j", zip, file, NULL));
	assert_fails(scan_path(shared(), zip, &error), error, TAGSEAL_ERROR_REFUSED, "Test.Eicar");
}

static void an_encrypted_member_is_not_clean(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *file = support_path("secret.txt"), *zip = support_path("secret.zip");

	(void)state;
	support_write(file, eicar);
	g_free(support_must("zip", "-q", "-j", "-P", "x", zip, file, NULL));
	assert_fails(scan_path(shared(), zip, &error), error, TAGSEAL_ERROR_UNKNOWN, "encrypted");
}

static void a_zip_member_over_the_limit_is_not_clean(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *file = support_path("big"), *zip = support_path("big.zip");
	g_autofree char *zeros = g_malloc0(17 << 20);

	(void)state;
	support_write_bytes(file, zeros, 17 << 20);
	g_free(support_must("zip", "-q", "-j", zip, file, NULL));
	assert_fails(scan_path(shared(), zip, &error), error, TAGSEAL_ERROR_UNKNOWN, "not scanned");
}

static void a_file_over_the_limit_is_not_clean(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *zeros = g_malloc0(17 << 20);

	(void)state;
	assert_fails(
	    scan_bytes(shared(), zeros, 17 << 20, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "at most 16777216");
}

static void zstandard_is_not_clean(void **state)
{
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_fails(
	    scan_bytes(shared(), "\x28\xb5\x2f\xfd....", 8, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "Zstandard");
}

static void a_missing_database_folder_is_told(void **state)
{
	g_autoptr(GError) error = NULL;
	struct scan_options o = options();

	(void)state;
	o.database = "/nowhere/clamav";
	assert_fails(scanner_open(&o, &error), error, TAGSEAL_ERROR_UNKNOWN, "there is no folder /nowhere/clamav");
}

static void an_empty_database_folder_is_told(void **state)
{
	g_autoptr(GError) error = NULL;
	struct scan_options o = options();
	g_autofree char *empty = support_folder("empty");

	(void)state;
	o.database = empty;
	assert_fails(scanner_open(&o, &error), error, TAGSEAL_ERROR_UNKNOWN, "run freshclam");
}

static void too_few_signatures_are_told(void **state)
{
	g_autoptr(GError) error = NULL;
	struct scan_options o = options();

	(void)state;
	o.min_signatures = 2;
	assert_fails(scanner_open(&o, &error), error, TAGSEAL_ERROR_UNKNOWN, "have 1 signatures, fewer than the 2");
}

static void a_broken_rule_in_the_databases_is_told(void **state)
{
	g_autoptr(GError) error = NULL;
	struct scan_options o = options();
	g_autofree char *folder = support_folder("broken"), *rule = g_build_filename(folder, "bad.yara", NULL);

	(void)state;
	support_write(rule, "rule broken { strings: $a = \"x\" condition: $b }\n");
	o.database = folder;
	assert_fails(scanner_open(&o, &error), error, TAGSEAL_ERROR_UNKNOWN, "malware databases");
}

static void an_old_database_is_told(void **state)
{
	g_autoptr(GError) error = NULL;
	struct scan_options o = options();
	g_autofree char *folder = support_folder("old"), *path = g_build_filename(folder, "old.ndb", NULL);

	(void)state;
	support_write(path, "Old:0:*:6161616161616161\n");
	g_free(support_must("touch", "-d", "2020-01-01", path, NULL));
	o.database = folder;
	o.max_database_age_ms = 86400000;
	assert_fails(scanner_open(&o, &error), error, TAGSEAL_ERROR_UNKNOWN, "older than is allowed");
}

static void a_temporary_folder_that_is_gone_makes_nothing_clean(void **state)
{
	g_autoptr(GError) error = NULL;
	struct scan_options o = options();
	g_autofree char *temp = support_folder("gone"), *file = support_path("inner.txt"),
			*zip = support_path("inner.zip");
	autoptr(scanner) scanner = NULL;

	(void)state;
	o.temp = temp;
	scanner = scanner_open(&o, &error);
	assert_ok(scanner, error);
	assert_int_equal(rmdir(temp), 0);
	support_write(file, eicar);
	g_free(support_must("zip", "-q", "-j", zip, file, NULL));
	assert_false(scan_path(scanner, zip, &error));
	assert_non_null(error);
}

static void the_command_says_clean_infected_and_not_known(void **state)
{
	g_autofree char *tagseal = support_program("tagseal"), *good = support_path("good.txt"),
			*bad = support_path("bad.txt");
	autoptr(run) clean = NULL;
	autoptr(run) infected = NULL;
	autoptr(run) unknown = NULL;

	(void)state;
	support_write(good, "good\n");
	support_write(bad, eicar);
	clean = support_run(tagseal, "scan", "--database", database(), good, NULL);
	assert_int_equal(clean->status, 0);
	assert_true(g_str_has_prefix(clean->out, "clean "));
	infected = support_run(tagseal, "scan", "--database", database(), bad, NULL);
	assert_int_equal(infected->status, 1);
	assert_contains(infected->err, "Test.Eicar");
	unknown = support_run(tagseal, "scan", "--database", "/nowhere", good, NULL);
	assert_int_equal(unknown->status, 3);
}

/* Opened for reading, a pipe that nobody writes into would hold the command for ever. */
static void a_pipe_is_no_file_to_scan(void **state)
{
	g_autofree char *tagseal = support_program("tagseal"), *pipe = support_path("pipe");
	autoptr(run) run = NULL;

	(void)state;
	assert_int_equal(mkfifo(pipe, 0600), 0);
	run = support_run(tagseal, "scan", "--database", database(), pipe, NULL);
	assert_int_equal(run->status, 3);
	assert_contains(run->err, "is not a regular file");
}

static void a_scanner_that_moved_works_in_its_new_folder_only(void **state)
{
	g_autofree char *old = support_folder("old"), *new = support_folder("new");
	struct scan_options o = options();
	g_autoptr(GError) error = NULL;
	autoptr(scanner) scanner = NULL;

	(void)state;
	o.temp = old;
	assert_ok(scanner = scanner_open(&o, &error), error);
	assert_ok(scanner_move(scanner, new, &error), error);
	assert_int_equal(rmdir(old), 0);
	assert_ok(scan_bytes(scanner, "hello\n", 6, NULL, &error), error);
	assert_int_equal(rmdir(new), 0);
	assert_false(scan_bytes(scanner, "hello\n", 6, NULL, &error));
	assert_contains(error->message, "temporary directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_harmless_file_is_clean_and_the_report_says_with_what),
		cmocka_unit_test(malware_is_refused_by_its_name),
		cmocka_unit_test(a_pipe_is_no_file_to_scan),
		cmocka_unit_test(a_scanner_that_moved_works_in_its_new_folder_only),
		cmocka_unit_test(malware_in_a_zip_is_found),
		cmocka_unit_test(an_encrypted_member_is_not_clean),
		cmocka_unit_test(a_zip_member_over_the_limit_is_not_clean),
		cmocka_unit_test(a_file_over_the_limit_is_not_clean),
		cmocka_unit_test(zstandard_is_not_clean),
		cmocka_unit_test(a_missing_database_folder_is_told),
		cmocka_unit_test(an_empty_database_folder_is_told),
		cmocka_unit_test(too_few_signatures_are_told),
		cmocka_unit_test(a_broken_rule_in_the_databases_is_told),
		cmocka_unit_test(an_old_database_is_told),
		cmocka_unit_test(a_temporary_folder_that_is_gone_makes_nothing_clean),
		cmocka_unit_test(the_command_says_clean_infected_and_not_known),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
