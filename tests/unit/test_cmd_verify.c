/* The commands inspect, verify, strip and verify-timestamp as scripts call them: first lines, exit statuses, reasons. */
#include <string.h>
#include <unistd.h>

#include "gitops/base/json.h"
#include "signer/timestamp.h"
#include "tests/unit/support_pki.h"

static char *tagseal;
static GBytes *stamp_roots;

static GBytes *stamp(GBytes *signature)
{
	g_autoptr(GBytes) query = timestamp_query(signature, NULL), response = pki_stamp(&pki.stamper, query, 0);
	int64_t now = time_now_ms();

	return timestamp_accept(response, query, stamp_roots, now, now, NULL, NULL);
}

static void sign(const char *format, const char *in, const char *out)
{
	struct pki_signing wish = { .format = format, .in = in, .out = out, .signer = &pki.p256, .stamp = stamp };
	g_autoptr(GError) error = NULL;

	assert_ok(pki_sign_file(&wish, &error), error);
}

static int begin(void **state)
{
	g_autofree char *exe = NULL, *file = NULL, *root = NULL, *stamps = NULL, *query = NULL, *response = NULL;
	g_autoptr(GBytes) data = g_bytes_new_static("some data\n", 10), roots = NULL, tsq = NULL, tsr = NULL;

	pki_begin(state);
	tagseal = support_program("tagseal");
	exe = pki_image("a.exe", "x86_64", "");
	file = pki_file("data", data);
	roots = pki_pem(pki.root.certificate, NULL);
	stamp_roots = pki_pem(pki.stamp_root.certificate, NULL);
	root = pki_file("roots.pem", roots);
	stamps = pki_file("stamps.pem", stamp_roots);
	tsq = timestamp_query(data, NULL);
	tsr = pki_stamp(&pki.stamper, tsq, 0);
	query = pki_file("data.tsq", tsq);
	response = pki_file("data.tsr", tsr);
	sign("authenticode", "a.exe", "s.exe");
	sign("cms", "data", "data.p7s");
	return 0;
}

static int end(void **state)
{
	g_free(tagseal);
	g_bytes_unref(stamp_roots);
	return pki_end(state);
}

static void assert_runs(int status, const char *words, const char *arguments)
{
	g_autofree char *output = NULL;
	int actual = pki_run(&output, "%s %s", tagseal, arguments);

	assert_contains(output, words);
	if (actual != status)
		fail_msg("exit status %d where %d is due: %s", actual, status, output);
}

static void inspect_begins_with_type_and_digest(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL, *sum = NULL, *expected = NULL;

	assert_int_equal(pki_run(&output, "%s inspect s.exe", tagseal), 0);
	assert_int_equal(pki_run(&sum, "sha256sum < s.exe"), 0);
	expected = g_strdup_printf("pe sha256:%.64s\n", sum);
	assert_true(g_str_has_prefix(output, expected));
	assert_contains(output, "CN=Acme P-256");
	assert_contains(output, "timestamp 2");
	assert_runs(0, "raw sha256:", "inspect data.p7s");
	assert_runs(3, "cannot read", "inspect nothing");
}

static void inspect_tells_a_change(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;

	assert_int_equal(
	    pki_run(&output, "cp s.exe f.exe && printf X | dd of=f.exe bs=1 seek=80 conv=notrunc status=none"), 0);
	assert_runs(0, "the file was changed", "inspect f.exe");
	assert_runs(1, "f.exe: authenticode signature: the file's digest", "verify --roots roots.pem f.exe");
}

static void inspect_speaks_json(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;
	autoptr(json) object = NULL;

	assert_int_equal(pki_run(&output, "%s inspect --json s.exe", tagseal), 0);
	object = json_parse(output, strlen(output), JSON_STRICT, NULL);
	assert_string_equal(json_string(object, "type"), "pe");
	assert_string_equal(json_as_string(json_path(object, "signatures.0.timestamp.authority")), "CN=Stamps");
}

/* Whoever asked for JSON gets one document, also with the refusal. */
static void a_refusal_is_one_json_document_too(void **state G_GNUC_UNUSED)
{
	static const struct {
		const char *arguments;
		int status;
	} asked[] = {
		{ "inspect --json nothing", 3 },
		{ "inspect --json", 2 },
		{ "inspect --nonsense --json data", 2 },
		{ "strip --json --output none data", 1 },
		{ "verify --json --at noon data", 2 },
		{ "verify-timestamp --json --roots stamps.pem --data s.exe data.tsr", 1 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(asked); i++) {
		g_autofree char *output = NULL;
		autoptr(json) object = NULL;
		pki_run(&output, "%s %s 2>/dev/null", tagseal, asked[i].arguments);
		object = json_parse(output, strlen(output), JSON_STRICT, NULL);
		assert_false(json_boolean(object, "good", TRUE));
		assert_non_null(json_string(object, "why"));
		assert_int_equal(json_integer(object, "exit", 0), asked[i].status);
	}
}

static void files_of_types_without_a_reader_are_not_judged(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;

	assert_int_equal(pki_run(&output, "printf 'MSCF\\0\\0\\0\\0' > a.cab"), 0);
	assert_runs(0, "cab sha256:", "inspect a.cab");
	assert_runs(3, "cannot verify the signatures inside a file of type cab yet", "verify --roots roots.pem a.cab");
	assert_runs(3, "cannot take the signatures of a file of type cab out yet", "strip --output none a.cab");
}

static void strip_replaces_neither_its_input_nor_what_is_no_file(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL, *after = NULL;

	assert_int_equal(pki_run(&output, "cp s.exe i.exe && ln -s i.exe link.exe && mkdir -p dir"), 0);
	assert_runs(2, "the output is the input itself", "strip --output i.exe i.exe");
	assert_runs(2, "the output is the input itself", "strip --output link.exe i.exe");
	assert_runs(2, "is not a regular file", "strip --output /dev/null i.exe");
	assert_runs(2, "is not a regular file", "strip --output dir i.exe");
	assert_int_equal(pki_run(&after, "cmp s.exe i.exe && test -c /dev/null"), 0);
}

static void a_name_cannot_pass_off_a_second_line(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;

	assert_int_equal(pki_run(&output, "cp s.exe \"$(printf 'a\\ngood b')\""), 0);
	assert_runs(0, "good a\\x0Agood b\n",
	    "verify --roots roots.pem --timestamp-roots stamps.pem \"$(printf 'a\\ngood b')\"");
}

static void verify_says_good(void **state G_GNUC_UNUSED)
{
	assert_runs(0, "good s.exe\n", "verify --roots roots.pem --timestamp-roots stamps.pem s.exe");
	assert_runs(0, "good data\n", "verify --roots roots.pem --timestamp-roots stamps.pem --detached data.p7s data");
	assert_runs(0, "\"good\": true", "verify --json --roots roots.pem --timestamp-roots stamps.pem s.exe");
}

static void verify_says_no_with_a_reason(void **state G_GNUC_UNUSED)
{
	assert_runs(1, "a.exe: it bears no signature", "verify --roots roots.pem a.exe");
	assert_runs(1, "good s.exe", "verify --roots roots.pem --timestamp-roots stamps.pem s.exe a.exe");
	assert_runs(1, "no good chain", "verify --roots stamps.pem --timestamp-roots stamps.pem s.exe");
}

static void verify_says_when_it_cannot_find_out(void **state G_GNUC_UNUSED)
{
	assert_runs(3, "--roots", "verify s.exe");
	assert_runs(3, "cannot read nothing", "verify --roots roots.pem nothing");
	assert_runs(3, "roots.none", "verify --roots roots.none s.exe");
}

static void wrong_use_is_told(void **state G_GNUC_UNUSED)
{
	assert_runs(2, "--at yesterday is no time", "verify --at yesterday s.exe");
	assert_runs(2, "signature of one file", "verify --detached data.p7s data s.exe");
	assert_runs(2, "--output", "strip s.exe");
	assert_runs(2, "--roots", "verify-timestamp --data data data.tsr");
	assert_runs(2, "one of --data", "verify-timestamp --roots stamps.pem data.tsr");
}

static void strip_gives_the_unsigned_file_back(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;

	assert_runs(0, "stripped u.exe\n", "strip --output u.exe s.exe");
	assert_int_equal(pki_run(&output, "cmp a.exe u.exe"), 0);
}

static void a_failed_strip_leaves_no_file(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;

	assert_runs(1, "no signature in it", "strip --output none.exe a.exe");
	assert_runs(1, "type raw", "strip --output none.exe data");
	assert_int_equal(pki_run(&output, "ls none.exe*"), 2);
}

static void verify_timestamp_tells_the_time(void **state G_GNUC_UNUSED)
{
	g_autofree char *sum = NULL, *arguments = NULL;

	assert_runs(0, "good 2", "verify-timestamp --roots stamps.pem --data data --query data.tsq data.tsr");
	assert_int_equal(pki_run(&sum, "sha256sum < data"), 0);
	arguments = g_strdup_printf("verify-timestamp --roots stamps.pem --digest %.64s data.tsr", sum);
	assert_runs(0, "good 2", arguments);
}

static void verify_timestamp_refuses_other_data(void **state G_GNUC_UNUSED)
{
	assert_runs(1, "over other data", "verify-timestamp --roots stamps.pem --data a.exe data.tsr");
	assert_runs(1, "no good chain", "verify-timestamp --roots roots.pem --data data data.tsr");
	assert_runs(1, "timestamp", "verify-timestamp --roots stamps.pem --data data data");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inspect_begins_with_type_and_digest),
		cmocka_unit_test(inspect_tells_a_change),
		cmocka_unit_test(inspect_speaks_json),
		cmocka_unit_test(a_refusal_is_one_json_document_too),
		cmocka_unit_test(files_of_types_without_a_reader_are_not_judged),
		cmocka_unit_test(strip_replaces_neither_its_input_nor_what_is_no_file),
		cmocka_unit_test(a_name_cannot_pass_off_a_second_line),
		cmocka_unit_test(verify_says_good),
		cmocka_unit_test(verify_says_no_with_a_reason),
		cmocka_unit_test(verify_says_when_it_cannot_find_out),
		cmocka_unit_test(wrong_use_is_told),
		cmocka_unit_test(strip_gives_the_unsigned_file_back),
		cmocka_unit_test(a_failed_strip_leaves_no_file),
		cmocka_unit_test(verify_timestamp_tells_the_time),
		cmocka_unit_test(verify_timestamp_refuses_other_data),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
