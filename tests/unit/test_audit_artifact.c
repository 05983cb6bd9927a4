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

static GBytes *query, *response; /* the last exchange with the authority, and what its token says */
static struct timestamp_facts facts;

static GBytes *stamp(GBytes *signature)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) roots = pki_pem(pki.stamp_root.certificate, NULL);
	GBytes *token;

	g_clear_pointer(&query, g_bytes_unref);
	g_clear_pointer(&response, g_bytes_unref);
	timestamp_facts_clear(&facts);
	query = timestamp_query(signature, &error);
	response = pki_stamp(&pki.stamper, query, time_now_ms());
	token = timestamp_accept(response, query, roots, time_now_ms(), time_now_ms(), &facts, &error);
	assert_ok(token != NULL, error);
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
	g_autofree char *time = time_format_ms(facts.time_ms);
	g_autofree char *text = g_strdup_printf(
	    "{\"id\":\"" ID "\",\"artifacts\":[{\"name\":\"w\",\"sha256\":\"%s\",\"signed\":{\"sha256\":\"%s\","
	    "\"signatures\":[{\"format\":\"cms\",\"key\":\"release-2026\",\"digest\":\"%s\",\"use\":1,"
	    "\"timestamp\":{\"time\":\"%s\",\"serial\":\"%s\",\"policy\":\"%s\",\"authority\":\"%s\"}}]}}]}",
	    digest, digest, digest, time, facts.serial, facts.policy, facts.authority);
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
	put(s, "1-cms.tsq", query);
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

static void an_artifact_that_is_not_the_approved_one_is_bad(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *other = sha256_text("other", 5);

	json_set_string(json_path(s->record, "artifacts.0.signed"), "sha256", other);
	assert_bad(s, "w was released as another file than was approved");
	json_set_string(json_path(s->record, "artifacts.0"), "sha256", other);
	assert_bad(s, "it is not over the artifact that the record names");
}

/* A certificate that signs nothing: as long as the chain's, and none of it. */
static void a_changed_certificate_that_did_not_sign_is_bad(void **state)
{
	autoptr(scene) s = scene_new();
	GBytes *old = g_hash_table_lookup(s->files, "1-cms.p7s");
	uint8_t *der = NULL;
	int size = i2d_X509(pki.root.certificate, &der);
	g_autoptr(GBytes) flipped = pki_flip(old, pki_find(old, der, (size_t)size) + (size_t)size - 10);

	OPENSSL_free(der);
	put(s, "1-cms.p7s", flipped);
	assert_bad(s, "carries a certificate that is not in the policy's chain");
}

static void another_certificate_than_the_record_names_is_bad(void **state)
{
	autoptr(scene) s = scene_new();

	json_set_string(row(s), "certificate", "CN=Somebody");
	assert_bad(s, "the record names another certificate");
}

static void a_timestamp_over_another_signature_is_bad(void **state)
{
	autoptr(scene) s = scene_new();
	g_autoptr(GBytes) other = g_bytes_new_static("another", 7), token = stamp(other);

	put(s, "1-cms.tsq", query);
	put(s, "1-cms.tsr", response);
	assert_bad(s, "carries another timestamp than the authority's answer");
}

/* The query of another exchange about the very same signature: only the nonce differs. */
static void a_query_that_the_timestamp_does_not_answer_is_bad(void **state)
{
	autoptr(scene) s = scene_new();
	g_autoptr(GBytes) kept = g_bytes_ref(query), other = g_bytes_new_static("another", 7);
	g_autoptr(GBytes) token = stamp(other), flipped = NULL;

	put(s, "1-cms.tsq", query);
	assert_bad(s, "1-cms: timestamp: the token is over other data than was asked for");
	flipped = pki_flip(kept, g_bytes_get_size(kept) - 4);
	put(s, "1-cms.tsq", flipped);
	assert_bad(s, "1-cms: timestamp: the token's nonce is not the query's");
}

static void a_query_without_a_nonce_is_bad(void **state)
{
	autoptr(scene) s = scene_new();
	gsize size;
	const uint8_t *data = g_bytes_get_data(query, &size);
	g_autofree uint8_t *cut = g_memdup2(data, size);
	g_autoptr(GBytes) without = NULL;

	/* the nonce is an INTEGER of 8 octets, right before the BOOLEAN */
	cut[1] -= 10;
	memcpy(cut + size - 13, data + size - 3, 3);
	without = g_bytes_new(cut, size - 10);
	put(s, "1-cms.tsq", without);
	assert_bad(s, "the query asks for no nonce");
}

static void a_timestamp_that_the_record_does_not_tell_of_is_bad(void **state)
{
	static const char *const members[] = { "time", "serial", "policy", "authority" };

	for (guint i = 0; i < G_N_ELEMENTS(members); i++) {
		autoptr(scene) s = scene_new();
		g_autofree char *words = g_strdup_printf("the %s of its timestamp is ", members[i]);

		json_set_string(json_get(row(s), "timestamp"), members[i], "2020-01-01T00:00:00.000Z");
		assert_bad(s, words);
	}
	{
		autoptr(scene) s = scene_new();

		json_set(row(s), "timestamp", NULL);
		assert_bad(s, "it carries what nobody signed");
	}
}

static void a_timestamp_is_held_against_the_roots_that_the_auditor_brought(void **state)
{
	autoptr(scene) s = scene_new();
	g_autoptr(GBytes) theirs = pki_pem(pki.stamp_root.certificate, NULL), other = pki_pem(pki.root.certificate, NULL);
	struct audit_stamps stamps = { NULL };
	g_autoptr(GError) error = NULL;

	assert_ok(audit_artifact(s->record, s->files, &stamps, &error), error);
	assert_int_equal(stamps.unanchored, 1);
	stamps = (struct audit_stamps){ .roots = theirs };
	assert_ok(audit_artifact(s->record, s->files, &stamps, &error), error);
	assert_int_equal(stamps.unanchored, 0);
	stamps.roots = other;
	assert_refused(
	    audit_artifact(s->record, s->files, &stamps, &error), error, "no good chain to the timestamp roots given");
}

static void evidence_that_is_not_there_is_bad(void **state)
{
	static const char *const names[] = { "1-cms.tsr", "1-cms.tsq", "1-cms.p7s" };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		autoptr(scene) s = scene_new();
		g_autofree char *words = g_strdup_printf("its evidence lacks \"%s\"", names[i]);

		g_hash_table_remove(s->files, names[i]);
		assert_bad(s, words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signature_and_its_timestamp_are_good),
		cmocka_unit_test(a_changed_signature_is_bad),
		cmocka_unit_test(another_certificate_than_the_policys_is_bad),
		cmocka_unit_test(another_certificate_than_the_record_names_is_bad),
		cmocka_unit_test(a_changed_certificate_that_did_not_sign_is_bad),
		cmocka_unit_test(another_digest_than_the_records_is_bad),
		cmocka_unit_test(an_artifact_that_is_not_the_approved_one_is_bad),
		cmocka_unit_test(a_timestamp_over_another_signature_is_bad),
		cmocka_unit_test(a_query_that_the_timestamp_does_not_answer_is_bad),
		cmocka_unit_test(a_query_without_a_nonce_is_bad),
		cmocka_unit_test(a_timestamp_that_the_record_does_not_tell_of_is_bad),
		cmocka_unit_test(a_timestamp_is_held_against_the_roots_that_the_auditor_brought),
		cmocka_unit_test(evidence_that_is_not_there_is_bad),
	};
	int failed;

	support_isolate();
	failed = cmocka_run_group_tests(tests, pki_begin, pki_end);
	g_clear_pointer(&query, g_bytes_unref);
	g_clear_pointer(&response, g_bytes_unref);
	timestamp_facts_clear(&facts);
	return failed;
}
