/* What an auditor can tell of a release's signatures from the evidence alone. */
#include "tests/unit/support_pki.h"

#include <string.h>

#include "gitops/record.h"
#include "server/audit_artifact.h"
#include "signer/timestamp.h"
#include "tests/unit/support_policy.h"

#define ID "01JDZX5K3N8Q4W7R2T6Y9A0BCD"
#define OID "0123456789abcdef0123456789abcdef01234567"

struct scene {
	struct json *record;
	GHashTable *files;
};

static GBytes *response; /* the authority's last, and its time */
static int64_t stamped_ms;

static GBytes *stamp(GBytes *signature)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) query = timestamp_query(signature, &error), roots = pki_pem(pki.stamp_root.certificate, NULL);
	struct timestamp_facts facts = { 0 };
	GBytes *token;

	g_clear_pointer(&response, g_bytes_unref);
	response = pki_stamp(&pki.stamper, query, time_now_ms());
	token = timestamp_accept(response, query, roots, time_now_ms(), time_now_ms(), &facts, &error);
	assert_ok(token != NULL, error);
	stamped_ms = facts.time_ms;
	timestamp_facts_clear(&facts);
	return token;
}

static void put(struct scene *s, const char *name, GBytes *bytes)
{
	g_hash_table_insert(s->files, g_strdup(name), g_bytes_ref(bytes));
}

static void put_policy(struct scene *s, X509 *certificate)
{
	g_autoptr(GHashTable) files = sample_files();
	g_autoptr(GBytes) pem = pki_pem(certificate, pki.root.certificate, NULL), evidence = NULL;

	g_hash_table_insert(files, g_strdup("keys/release.pem"), g_bytes_ref(pem));
	evidence = policy_evidence_write(OID, files);
	put(s, "policy.json", evidence);
}

static struct json *record_of(const char *digest)
{
	g_autofree char *time = time_format_ms(stamped_ms);
	g_autofree char *text = g_strdup_printf(
	    "{\"id\":\"" ID "\",\"artifacts\":[{\"name\":\"w\",\"signed\":{\"signatures\":[{\"format\":\"cms\","
	    "\"key\":\"release-2026\",\"digest\":\"%s\",\"use\":1,\"timestamp\":{\"time\":\"%s\"}}]}}]}",
	    digest, time);
	g_autoptr(GError) error = NULL;
	struct json *record = json_parse(text, strlen(text), JSON_STRICT, &error);

	assert_ok(record != NULL, error);
	return record;
}

/* A file signed and stamped, and the evidence of it as the server keeps it. */
static struct scene *scene_new(void)
{
	struct scene *s = g_new0(struct scene, 1);
	g_autofree char *in = NULL, *out = pki_path("w.p7s"), *digest = sha256_text("content", 7);
	g_autoptr(GBytes) content = g_bytes_new_static("content", 7), message = NULL, token = NULL;
	struct pki_signing wish = { .format = "cms", .in = "w", .out = "w.p7s", .signer = &pki.p256, .stamp = stamp };
	g_autoptr(GError) error = NULL;
	gboolean done;

	in = pki_file("w", content);
	unlink(out);
	done = pki_sign_file(&wish, &error);
	assert_ok(done, error);
	message = support_read_bytes(out);
	s->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	put(s, "1-cms.p7s", message);
	put(s, "1-cms.tsr", response);
	put_policy(s, pki.p256.certificate);
	s->record = record_of(digest);
	return s;
}

static void scene_free(struct scene *s)
{
	json_unref(s->record);
	g_hash_table_unref(s->files);
	g_free(s);
}
DEFINE_CLEANUP(scene, scene_free)

static struct json *row(struct scene *s)
{
	return json_path(s->record, "artifacts.0.signed.signatures.0");
}

static void assert_bad(struct scene *s, const char *words)
{
	g_autoptr(GError) error = NULL;

	assert_fails(audit_artifact(s->record, s->files, NULL, &error), error, TAGSEAL_ERROR_REFUSED, words);
}

static void a_signature_and_its_timestamp_are_good(void **state)
{
	autoptr(scene) s = scene_new();
	g_autoptr(GError) error = NULL;
	gboolean good = audit_artifact(s->record, s->files, NULL, &error);

	assert_ok(good, error);
}

static void a_changed_signature_is_bad(void **state)
{
	autoptr(scene) s = scene_new();
	GBytes *old = g_hash_table_lookup(s->files, "1-cms.p7s");
	g_autoptr(GBytes) flipped = pki_flip(old, pki_find(old, "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04", 11) + 16);

	put(s, "1-cms.p7s", flipped);
	assert_bad(s, "1-cms");
}

static void another_certificate_than_the_policys_is_bad(void **state)
{
	autoptr(scene) s = scene_new();

	put_policy(s, pki.rsa.certificate);
	assert_bad(s, "another certificate than the policy's");
}

static void another_digest_than_the_records_is_bad(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *other = sha256_text("other", 5);

	json_set_string(row(s), "digest", other);
	assert_bad(s, "covers another digest than the record says");
}

static void a_timestamp_over_another_signature_is_bad(void **state)
{
	autoptr(scene) s = scene_new();
	g_autoptr(GBytes) other = g_bytes_new_static("another", 7), token = stamp(other);

	put(s, "1-cms.tsr", response);
	assert_bad(s, "its timestamp is over something else");
}

static void a_timestamp_of_another_time_than_recorded_is_bad(void **state)
{
	autoptr(scene) s = scene_new();

	json_set_string(json_get(row(s), "timestamp"), "time", "2020-01-01T00:00:00.000Z");
	assert_bad(s, "of another time than the record says");
}

static void what_has_no_evidence_could_not_be_found_out(void **state)
{
	autoptr(scene) s = scene_new();
	g_autoptr(GError) error = NULL;

	g_hash_table_remove(s->files, "1-cms.tsr");
	assert_fails(
	    audit_artifact(s->record, s->files, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "has no \"1-cms.tsr\"");
	g_hash_table_remove(s->files, "1-cms.p7s");
	assert_fails(
	    audit_artifact(s->record, s->files, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "has no \"1-cms.p7s\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signature_and_its_timestamp_are_good),
		cmocka_unit_test(a_changed_signature_is_bad),
		cmocka_unit_test(another_certificate_than_the_policys_is_bad),
		cmocka_unit_test(another_digest_than_the_records_is_bad),
		cmocka_unit_test(a_timestamp_over_another_signature_is_bad),
		cmocka_unit_test(a_timestamp_of_another_time_than_recorded_is_bad),
		cmocka_unit_test(what_has_no_evidence_could_not_be_found_out),
	};
	int failed;

	support_isolate();
	failed = cmocka_run_group_tests(tests, pki_begin, pki_end);
	g_clear_pointer(&response, g_bytes_unref);
	return failed;
}
