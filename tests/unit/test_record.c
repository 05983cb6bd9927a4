/* The record's shape, its gates and its evidence of the policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/record.h"

#define ID "01JDZX5K3N8Q4W7R2T6Y9A0BCD"
#define OID "0123456789abcdef0123456789abcdef01234567"
#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TIME "\"2026-03-01T00:00:00.000Z\""

static const char whole[] =
    "{\"version\":1,\"id\":\"" ID "\",\"project\":\"acme/widget\",\"tag\":\"v1.2.0\","
    "\"policy\":{\"name\":\"release\",\"commit\":\"" OID "\",\"file_sha256\":\"" DIGEST "\"},"
    "\"source\":{\"url\":\"https://git.example.org/acme/widget.git\",\"tag_object\":\"" OID
    "\",\"tag_sha256\":\"" DIGEST "\",\"commit\":\"" OID "\",\"tree\":\"" OID
    "\",\"branch\":\"main\",\"signature\":{\"format\":\"ssh\",\"key\":"
    "\"SHA256:abc\",\"person\":\"alice\"},\"first_seen\":" TIME "},"
    "\"approvals\":[{\"commit\":\"" OID "\",\"sha256\":\"" DIGEST
    "\",\"word\":\"approve\",\"person\":\"bob\",\"format\":"
    "\"ssh\",\"key\":\"SHA256:def\",\"first_seen\":" TIME ",\"counts\":true}],"
    "\"artifacts\":[{\"name\":\"w.exe\",\"size\":12,\"sha256\":\"" DIGEST "\",\"from\":\"https://example.org/w.exe\","
    "\"pinned_by\":\"approval\",\"scan\":{\"engine\":\"1.4.3\",\"database_version\":7,\"database_time\":" TIME
    ",\"signatures\":100,\"verdict\":\"clean\"},\"signed\":{\"sha256\":\"" DIGEST "\",\"size\":20,\"signatures\":[{"
    "\"format\":\"authenticode\",\"path\":\"w.exe\",\"key\":\"release\",\"certificate\":\"" DIGEST
    "\",\"digest\":\"" DIGEST "\",\"use\":1207,\"timestamp\":{\"authority\":\"CN=tsa\",\"time\":" TIME
    ",\"serial\":\"0a\",\"policy\":\"1.2.3\"}}]}}],"
    "\"gates\":[{\"gate\":\"source\",\"outcome\":\"passed\",\"began\":" TIME ",\"ended\":" TIME ",\"attempts\":1}],"
    "\"end\":{\"outcome\":\"signed\",\"gate\":\"timestamp\"},\"previous\":\"" DIGEST "\",\"sequence\":7}";

static struct json *parse(const char *text)
{
	g_autoptr(GError) error = NULL;
	struct json *value = json_parse(text, strlen(text), JSON_STRICT, &error);

	assert_null(error);
	return value;
}

/* The whole record with `from` replaced by `to` is refused with these words. */
static void assert_refused(const char *from, const char *to, const char *words)
{
	g_auto(GStrv) parts = g_strsplit(whole, from, 2);
	g_autofree char *text = g_strjoinv(to, parts);
	autoptr(json) record = parse(text);
	g_autoptr(GError) error = NULL;

	assert_non_null(parts[1]);
	assert_false(record_check(record, &error));
	assert_true(g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED));
	if (strstr(error->message, words) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", error->message, words);
}

static void a_whole_record_passes(void **state)
{
	autoptr(json) record = parse(whole);
	g_autoptr(GError) error = NULL;

	(void)state;
	if (!record_check(record, &error))
		fail_msg("%s", error->message);
}

static void a_new_record_with_gates_and_an_end_passes(void **state)
{
	autoptr(json) record = record_new(ID, "acme/widget", "v1.2.0");
	g_autoptr(GError) error = NULL;

	(void)state;
	record_gate(record, GATE_SOURCE, "passed", 1000, 2000, 1);
	record_gate(record, GATE_APPROVAL, "expired", 2000, 3000, 1);
	record_end(record, "expired", GATE_APPROVAL, "nobody approved within 14 days");
	assert_true(record_check(record, &error));
	assert_int_equal(json_length(json_get(record, "gates")), 2);
	assert_string_equal(json_as_string(json_path(record, "gates.0.began")), "1970-01-01T00:00:01.000Z");
}

static void a_gate_entered_again_replaces_its_line(void **state)
{
	autoptr(json) record = record_new(ID, "acme/widget", "v1.2.0");

	(void)state;
	record_gate(record, GATE_SOURCE, "failed", 1000, 2000, 1);
	record_gate(record, GATE_SOURCE, "passed", 1000, 3000, 2);
	assert_int_equal(json_length(json_get(record, "gates")), 1);
	assert_string_equal(json_as_string(json_path(record, "gates.0.outcome")), "passed");
}

static void members_that_nobody_knows_are_refused_at_every_depth(void **state)
{
	(void)state;
	assert_refused("\"version\":1", "\"colour\":1,\"version\":1", "record: \"colour\" is no member of it");
	assert_refused(
	    "\"person\":\"alice\"", "\"persons\":1,\"person\":\"alice\"", "record, source, signature: \"persons\"");
	assert_refused("\"use\":1207", "\"use\":1207,\"uses\":1", "signed, signatures 1: \"uses\"");
}

static void members_of_the_wrong_type_or_form_are_refused(void **state)
{
	(void)state;
	assert_refused("\"version\":1", "\"version\":2", "\"version\" must be 1");
	assert_refused(ID, "01JDZX", "\"id\" must be a ULID");
	assert_refused("\"use\":1207", "\"use\":-1", "\"use\" must be a whole number");
	assert_refused("\"counts\":true", "\"counts\":\"yes\"", "\"counts\" must be true or false");
	assert_refused("2026-03-01T00:00:00.000Z", "2026-03-01T00:00:00Z", "\"first_seen\" must be a UTC time");
	assert_refused("\"outcome\":\"signed\"", "\"outcome\":\"fine\"", "one of signed, rejected, denied");
	assert_refused("\"tag\":\"v1.2.0\"", "\"tag\":\"v1\\u001b[0m\"", "\"tag\" must be one line of printable text");
	assert_refused("\"tag_object\":\"" OID,
	    "\"tag_object\":\""
	    "0123",
	    "full git object id");
	assert_refused("\"previous\":\"sha256:", "\"previous\":\"sha512:", "\"previous\" must be sha256:");
}

static void members_that_must_be_there_are_missed(void **state)
{
	(void)state;
	assert_refused("\"project\":\"acme/widget\",", "", "record: \"project\" is missing");
	assert_refused("\"counts\":true", "\"why\":\"late\"", "approvals 1: \"counts\" is missing");
}

static void the_digest_is_over_the_canonical_bytes(void **state)
{
	autoptr(json) a = parse("{\"version\":1,\"id\":\"x\"}");
	autoptr(json) b = parse("{ \"id\" : \"x\", \"version\" : 1 }");
	g_autofree char *one = record_digest(a), *other = record_digest(b);
	g_autofree char *expected = sha256_text("{\"id\":\"x\",\"version\":1}", 22);

	(void)state;
	assert_string_equal(one, other);
	assert_string_equal(one, expected);
}

static void every_gate_has_a_name_that_is_read_back(void **state)
{
	enum gate found;

	(void)state;
	for (guint gate = 0; gate < GATE_COUNT; gate++) {
		assert_true(gate_parse(gate_name(gate), &found));
		assert_int_equal(found, gate);
	}
	assert_false(gate_parse("gate", &found));
	assert_false(gate_parse(NULL, &found));
}

static void events_are_checked(void **state)
{
	struct json *extra = json_object_new();
	autoptr(json) good = NULL;
	autoptr(json) alone = record_event_new("published", NULL, NULL);
	autoptr(json) strange = record_event_new("party", DIGEST, NULL);
	g_autoptr(GError) error = NULL;

	(void)state;
	json_set_string(extra, "url", "https://example.org/");
	good = record_event_new("published", DIGEST, extra);
	assert_true(record_event_check(good, &error));
	assert_false(record_event_check(alone, &error));
	assert_non_null(strstr(error->message, "must name its record"));
	g_clear_error(&error);
	assert_false(record_event_check(strange, &error));
	assert_non_null(strstr(error->message, "\"event\" must be one of published"));
}

static void policy_files_come_back_byte_for_byte(void **state)
{
	g_autoptr(GHashTable) files =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	g_autoptr(GHashTable) read = NULL;
	g_autoptr(GBytes) evidence = NULL;
	g_autofree char *commit = NULL;
	g_autoptr(GError) error = NULL;

	(void)state;
	g_hash_table_insert(files, g_strdup("policy.toml"), g_bytes_new("threshold = 1\n", 14));
	g_hash_table_insert(files, g_strdup("people/a.pgp"), g_bytes_new("\x99\0\xff", 3));
	g_hash_table_insert(files, g_strdup("empty"), g_bytes_new("", 0));
	evidence = policy_evidence_write(OID, files);
	read = policy_evidence_read(evidence, &commit, &error);
	assert_non_null(read);
	assert_string_equal(commit, OID);
	assert_int_equal(g_hash_table_size(read), 3);
	assert_true(
	    g_bytes_equal(g_hash_table_lookup(read, "people/a.pgp"), g_hash_table_lookup(files, "people/a.pgp")));
	assert_true(g_bytes_equal(g_hash_table_lookup(read, "policy.toml"), g_hash_table_lookup(files, "policy.toml")));
	assert_int_equal(g_bytes_get_size(g_hash_table_lookup(read, "empty")), 0);
}

static void policy_evidence_of_another_shape_is_refused(void **state)
{
	static const char *const bad[] = { "[]", "{\"commit\":\"main\",\"files\":{}}", "{\"files\":{}}",
		"{\"commit\":\"" OID "\",\"files\":{\"a\":1}}",
		"{\"commit\":\"" OID "\",\"files\":{\"a\":{\"base64\":\"!\"}}}",
		"{\"commit\":\"" OID "\",\"files\":{},\"more\":1}" };

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GBytes) evidence = g_bytes_new_static(bad[i], strlen(bad[i]));
		g_autoptr(GError) error = NULL;

		assert_null(policy_evidence_read(evidence, NULL, &error));
		assert_non_null(error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_record_passes),
		cmocka_unit_test(a_new_record_with_gates_and_an_end_passes),
		cmocka_unit_test(a_gate_entered_again_replaces_its_line),
		cmocka_unit_test(members_that_nobody_knows_are_refused_at_every_depth),
		cmocka_unit_test(members_of_the_wrong_type_or_form_are_refused),
		cmocka_unit_test(members_that_must_be_there_are_missed),
		cmocka_unit_test(the_digest_is_over_the_canonical_bytes),
		cmocka_unit_test(every_gate_has_a_name_that_is_read_back),
		cmocka_unit_test(events_are_checked),
		cmocka_unit_test(policy_files_come_back_byte_for_byte),
		cmocka_unit_test(policy_evidence_of_another_shape_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
