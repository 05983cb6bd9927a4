/* RFC 3161: what is asked, and every reason why an answer is not taken. */
#include <openssl/pem.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "signer/certificate.h"
#include "signer/cms_write.h"
#include "signer/timestamp.h"
#include "signer/tst_info.h"
#include "tests/unit/support_pki.h"

static GBytes *data, *other, *roots;

static int begin(void **state)
{
	pki_begin(state);
	data = g_bytes_new_static("signature value", 15);
	other = g_bytes_new_static("another value..", 15);
	roots = pki_pem(pki.stamp_root.certificate, NULL);
	return 0;
}

static int end(void **state)
{
	g_bytes_unref(data);
	g_bytes_unref(other);
	g_bytes_unref(roots);
	return pki_end(state);
}

static GBytes *accept_now(GBytes *response, GBytes *query, struct timestamp_facts *facts, GError **error)
{
	int64_t now = time_now_ms();

	return timestamp_accept(response, query, roots, now, now, facts, error);
}

static void assert_not_taken(GBytes *response, GBytes *query, const char *words)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) token = accept_now(response, query, NULL, &error);

	assert_null(token);
	assert_says(error, words);
	g_bytes_unref(response);
}

/* A token of the test's own making: what OpenSSL's authority would not issue. */
struct forgery {
	const struct pki_identity *signer;
	GBytes *over;
	struct der nonce;
	int64_t time_ms;
	gboolean without_certificate_id, names_another, accurate_to_an_hour;
	X509 *tsa; /* name in the token */
	const char *status; /* one octet; NULL: granted */
};

static void write_accuracy(GByteArray *out)
{
	size_t mark = der_open(out, DER_SEQUENCE);

	der_write_unsigned(out, (const uint8_t[]){ 0x0E, 0x10 }, 2);
	der_close(out, mark);
}

static void write_name(GByteArray *out, X509 *certificate)
{
	size_t mark = der_open(out, DER_CONTEXT(0)), size;
	const unsigned char *name;

	X509_NAME_get0_der(X509_get_subject_name(certificate), &name, &size);
	der_write(out, DER_CONTEXT(4), name, size);
	der_close(out, mark);
}

static GBytes *tst_info_of(const struct forgery *f)
{
	g_autoptr(GByteArray) info = g_byte_array_new();
	GByteArray *out = g_byte_array_new();
	size_t mark = der_open(info, DER_SEQUENCE), imprint;
	uint8_t digest[32];
	time_t seconds = (f->time_ms != 0 ? f->time_ms : time_now_ms()) / 1000;
	char text[32];
	struct tm tm;

	EVP_Digest(g_bytes_get_data(f->over, NULL), g_bytes_get_size(f->over), digest, NULL, EVP_sha256(), NULL);
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm);
	der_write_small(info, 1);
	der_write_oid(info, "1.2.3.4.1");
	imprint = der_open(info, DER_SEQUENCE);
	der_write_algorithm(info, "2.16.840.1.101.3.4.2.1", TRUE);
	der_write(info, DER_OCTETS, digest, 32);
	der_close(info, imprint);
	der_write_small(info, 7);
	der_write(info, DER_GENERALIZED_TIME, text, strlen(text));
	if (f->accurate_to_an_hour)
		write_accuracy(info);
	if (f->nonce.size > 0)
		g_byte_array_append(info, f->nonce.whole, f->nonce.whole_size);
	if (f->tsa != NULL)
		write_name(info, f->tsa);
	der_close(info, mark);
	der_write(out, DER_OCTETS, info->data, info->len);
	return g_byte_array_free_to_bytes(out);
}

static GBytes *certificate_id(X509 *certificate)
{
	GByteArray *out = g_byte_array_new();
	uint8_t hash[32];
	size_t marks[3];

	X509_digest(certificate, EVP_sha256(), hash, NULL);
	for (guint i = 0; i < 3; i++)
		marks[i] = der_open(out, DER_SEQUENCE);
	der_write(out, DER_OCTETS, hash, 32);
	for (int i = 2; i >= 0; i--)
		der_close(out, marks[i]);
	return g_byte_array_free_to_bytes(out);
}

static GBytes *content_type(void)
{
	GByteArray *out = g_byte_array_new();

	der_write_oid(out, OID_TST_INFO);
	return g_byte_array_free_to_bytes(out);
}

static GBytes *attributes_of(const struct forgery *f, GBytes *content)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	GByteArray *out = g_byte_array_new(), *digest = g_byte_array_new();
	uint8_t value[32];
	const uint8_t *octets = g_bytes_get_data(content, NULL);
	size_t header = octets[1] < 0x80 ? 2 : 3;

	EVP_Digest(octets + header, g_bytes_get_size(content) - header, value, NULL, EVP_sha256(), NULL);
	der_write(digest, DER_OCTETS, value, 32);
	cms_attribute_add(all, OID_CONTENT_TYPE, content_type());
	cms_attribute_add(all, OID_MESSAGE_DIGEST, g_byte_array_free_to_bytes(digest));
	if (!f->without_certificate_id)
		cms_attribute_add(all, OID_SIGNING_CERTIFICATE_V2,
		    certificate_id(f->names_another ? pki.root.certificate : f->signer->certificate));
	der_write_set(out, DER_SET, all);
	return g_byte_array_free_to_bytes(out);
}

static GBytes *forge(const struct forgery *f)
{
	g_autoptr(GBytes) content = tst_info_of(f), attributes = attributes_of(f, content);
	g_autoptr(GBytes) signature = pki_sign(f->signer->key, EVP_sha256(), attributes), token = NULL;
	STACK_OF(X509) *certificates = sk_X509_new_null();
	struct cms_recipe recipe = { .content_type = OID_TST_INFO,
		.content_element = content,
		.certificates = certificates,
		.hash = cms_hash_named("sha256"),
		.attributes = attributes,
		.signature = signature };
	GByteArray *out = g_byte_array_new();
	size_t whole = der_open(out, DER_SEQUENCE), info = der_open(out, DER_SEQUENCE);

	sk_X509_push(certificates, f->signer->certificate);
	token = cms_write(&recipe, NULL);
	sk_X509_free(certificates);
	der_write(out, DER_INTEGER, f->status != NULL ? f->status : "\0", 1);
	der_close(out, info);
	der_write_bytes(out, token);
	der_close(out, whole);
	return g_byte_array_free_to_bytes(out);
}

static struct forgery honest(GBytes *query)
{
	struct forgery f = { .signer = &pki.stamper, .over = data };
	struct tst_query asked;

	assert_true(tst_query_read(query, &asked, NULL));
	f.nonce = asked.nonce;
	tst_query_clear(&asked);
	return f;
}

static void a_query_has_the_standards_form(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	g_autofree char *path = pki_file("q.tsq", query), *output = NULL;

	assert_int_equal(g_bytes_get_size(query), 69);
	assert_int_equal(pki_run(&output, "openssl ts -query -in q.tsq -text"), 0);
	assert_contains(output, "Certificate required: yes");
	assert_contains(output, "Hash Algorithm: sha256");
	assert_contains(output, "Nonce: 0x");
}

static void the_vector_is_read_as_a_query(void **state G_GNUC_UNUSED)
{
	static const char vector[] =
	    "30430201013031300d0609608648016503040201050004205891b5b522d5df086d0ff0b110fbd9d21bb4fc71"
	    "63af34d08286a2e846f6be03020801020304050607080101ff";
	uint8_t bytes[69];
	g_autoptr(GBytes) query = NULL;
	struct tst_query asked;

	assert_true(hex_decode(vector, bytes, 69));
	query = g_bytes_new(bytes, 69);
	assert_true(tst_query_read(query, &asked, NULL));
	assert_memory_equal(asked.nonce.data, "\1\2\3\4\5\6\7\10", 8);
	assert_true(asked.certificate && asked.policy == NULL);
	tst_query_clear(&asked);
}

static void two_queries_differ(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) one = timestamp_query(data, NULL), two = timestamp_query(data, NULL);

	assert_false(g_bytes_equal(one, two));
}

static void an_answer_of_openssls_authority_is_taken(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL), response = pki_stamp(&pki.stamper, query, 0), token = NULL;
	struct timestamp_facts facts = { 0 };
	g_autoptr(GError) error = NULL;

	token = accept_now(response, query, &facts, &error);
	assert_done(token, error);
	assert_string_equal(facts.policy, "1.2.3.4.1");
	assert_string_equal(facts.authority, "CN=Stamps");
	assert_true(ABS(facts.time_ms - time_now_ms()) < 60000);
	timestamp_facts_clear(&facts);
}

static void openssl_accepts_the_token_that_is_taken(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL), response = pki_stamp(&pki.stamper, query, 0);
	g_autoptr(GBytes) token = accept_now(response, query, NULL, NULL);
	g_autofree char *a = pki_file("token", token), *b = pki_file("value", data), *c = pki_file("stamps.pem", roots);
	g_autofree char *output = NULL;

	if (pki_run(&output, "openssl ts -verify -token_in -in token -data value -CAfile stamps.pem") != 0)
		fail_msg("%s", output);
}

static void an_honest_token_of_our_own_is_taken(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct forgery f = honest(query);
	g_autoptr(GBytes) response = NULL, token = NULL;
	g_autoptr(GError) error = NULL;

	f.tsa = pki.stamper.certificate;
	response = forge(&f);
	token = accept_now(response, query, NULL, &error);
	assert_done(token, error);
}

static void a_token_with_a_corrupted_signature_is_not_taken(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL), response = pki_stamp(&pki.stamper, query, 0);

	assert_not_taken(pki_flip(response, g_bytes_get_size(response) - 1), query, "does not verify");
}

static void no_flipped_byte_of_the_content_is_taken(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL), response = pki_stamp(&pki.stamper, query, 0);
	size_t start = pki_find(response, "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04", 13);

	for (size_t at = start; at < start + 150; at++) {
		g_autoptr(GBytes) forged = pki_flip(response, at);
		g_autoptr(GBytes) token = accept_now(forged, query, NULL, NULL);
		assert_null(token);
	}
}

static void no_cut_answer_is_taken(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL), response = pki_stamp(&pki.stamper, query, 0);

	for (gsize size = 0; size < g_bytes_get_size(response); size += 41)
		assert_not_taken(g_bytes_new_from_bytes(response, 0, size), query, "at offset");
}

static void bytes_behind_the_answer_are_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL), response = pki_stamp(&pki.stamper, query, 0);
	GByteArray *longer = g_byte_array_new();

	g_byte_array_append(longer, g_bytes_get_data(response, NULL), g_bytes_get_size(response));
	g_byte_array_append(longer, (const uint8_t *)"\0", 1);
	assert_not_taken(g_byte_array_free_to_bytes(longer), query, "timestamp response");
}

static void a_refusal_tells_the_authoritys_reason(void **state G_GNUC_UNUSED)
{
	static const uint8_t rejected[] = { 0x30, 0x0d, 0x30, 0x0b, 0x02, 0x01, 0x02, 0x30, 0x06, 0x0c, 0x04, 'b', 'u',
		's', 'y' };
	g_autoptr(GBytes) query = timestamp_query(data, NULL);

	assert_not_taken(g_bytes_new_static(rejected, sizeof(rejected)), query, "refused (status 2): busy");
}

static void granted_without_a_token_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);

	assert_not_taken(g_bytes_new_static("\x30\x05\x30\x03\x02\x01\x00", 7), query, "holds no token");
}

static void a_waiting_status_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct forgery f = honest(query);

	f.status = "\3";
	assert_not_taken(forge(&f), query, "refused (status 3)");
}

static void a_token_over_other_data_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct forgery f = honest(query);

	f.over = other;
	assert_not_taken(forge(&f), query, "over other data than was asked for");
}

static void another_nonce_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL), again = timestamp_query(data, NULL);
	g_autoptr(GBytes) response = pki_stamp(&pki.stamper, again, 0);
	struct forgery f = honest(query);

	assert_not_taken(g_bytes_ref(response), query, "nonce is not the query's");
	f.nonce = (struct der){ 0 };
	assert_not_taken(forge(&f), query, "nonce is not the query's");
}

static void a_time_far_from_ours_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	int64_t now = time_now_ms();

	assert_not_taken(pki_stamp(&pki.stamper, query, now + 120000), query, "not within a minute");
	assert_not_taken(pki_stamp(&pki.stamper, query, now - 120000), query, "not within a minute");
}

static void a_poor_accuracy_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct forgery f = honest(query);

	f.accurate_to_an_hour = TRUE;
	assert_not_taken(forge(&f), query, "accuracy is worse");
}

static void a_usage_that_is_not_critical_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct forgery f = honest(query);

	f.signer = &pki.lax_stamper;
	assert_not_taken(forge(&f), query, "not critical");
}

static void a_certificate_for_code_makes_no_stamps(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct forgery f = honest(query);

	f.signer = &pki.p256;
	assert_not_taken(forge(&f), query, "not one for timeStamping");
}

static void a_usage_beside_time_stamping_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct pki_identity both =
	    pki_make(&(struct pki_wish){ "Both", "p256", "critical,timeStamping,codeSigning", &pki.stamp_root, 0, 0 });
	struct forgery f = honest(query);

	f.signer = &both;
	assert_not_taken(forge(&f), query, "more than timeStamping");
	pki_drop(&both);
}

static void a_token_that_names_no_or_another_certificate_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct forgery f = honest(query);

	f.without_certificate_id = TRUE;
	assert_not_taken(forge(&f), query, "with which certificate");
	f.without_certificate_id = FALSE;
	f.names_another = TRUE;
	assert_not_taken(forge(&f), query, "names another certificate");
}

static void a_token_that_names_another_authority_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct forgery f = honest(query);

	f.tsa = pki.root.certificate;
	assert_not_taken(forge(&f), query, "names another authority");
}

static void an_authority_under_the_signers_roots_only_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL);
	struct pki_identity stranger =
	    pki_make(&(struct pki_wish){ "Stranger", "p256", "critical,timeStamping", &pki.root, 0, 0 });
	struct forgery f = honest(query);

	f.signer = &stranger;
	assert_not_taken(forge(&f), query, "no good chain to the timestamp roots");
	pki_drop(&stranger);
}

static void an_old_token_is_judged_at_its_own_time(void **state G_GNUC_UNUSED)
{
	struct pki_identity old =
	    pki_make(&(struct pki_wish){ "Old", "p256", "critical,timeStamping", &pki.stamp_root, -500, -100 });
	int64_t day = INT64_C(24) * 3600 * 1000, now = time_now_ms();
	struct forgery f = { .signer = &old, .over = data, .time_ms = now - 200 * day };
	g_autoptr(GBytes) good = forge(&f), late = NULL;
	g_autoptr(GError) error = NULL;

	assert_done(timestamp_verify(good, data, NULL, NULL, roots, NULL, &error), error);
	f.time_ms = now - 50 * day;
	late = forge(&f);
	assert_false(timestamp_verify(late, data, NULL, NULL, roots, NULL, &error));
	assert_says(error, "certificate has expired");
	pki_drop(&old);
}

static void a_token_is_verified_over_data_or_its_digest(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) query = timestamp_query(data, NULL), response = pki_stamp(&pki.stamper, query, 0);
	g_autoptr(GBytes) token = accept_now(response, query, NULL, NULL), digest = NULL;
	g_autoptr(GError) error = NULL;
	uint8_t value[32];

	EVP_Digest("signature value", 15, value, NULL, EVP_sha256(), NULL);
	digest = g_bytes_new(value, 32);
	assert_done(timestamp_verify(token, data, NULL, query, roots, NULL, &error), error);
	assert_done(timestamp_verify(token, NULL, digest, NULL, roots, NULL, &error), error);
	assert_done(timestamp_verify(response, data, NULL, NULL, roots, NULL, &error), error);
	assert_refused(timestamp_verify(token, other, NULL, NULL, roots, NULL, &error), error, "over other data");
	assert_fails(
	    timestamp_verify(token, data, NULL, NULL, NULL, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "roots");
}

static void a_token_of_tomorrow_is_refused(void **state G_GNUC_UNUSED)
{
	struct forgery f = { .signer = &pki.stamper, .over = data, .time_ms = time_now_ms() + 86400000 };
	g_autoptr(GBytes) token = forge(&f);
	g_autoptr(GError) error = NULL;

	assert_refused(timestamp_verify(token, data, NULL, NULL, roots, NULL, &error), error, "its time");
}

/* Starts our authority; its address is read from its first line. */
static GPid start_authority(char **url)
{
	g_autofree char *program = support_program("dev-tsa"), *certificate = support_path("tsa.pem");
	g_autofree char *key = support_path("tsa.key");
	g_autoptr(GBytes) pem = pki_pem(pki.stamper.certificate, NULL);
	char *argv[] = { program, (char *)"--certificate", certificate, (char *)"--key", key, NULL };
	BIO *bio = BIO_new_file(key, "w");
	char line[200];
	GPid pid;
	int out;
	FILE *stream;

	PEM_write_bio_PrivateKey(bio, pki.stamper.key, NULL, NULL, 0, NULL, NULL);
	BIO_free(bio);
	support_write_bytes(certificate, g_bytes_get_data(pem, NULL), g_bytes_get_size(pem));
	assert_true(g_spawn_async_with_pipes(
	    NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL, &out, NULL, NULL));
	stream = fdopen(out, "r");
	assert_non_null(fgets(line, sizeof(line), stream));
	fclose(stream);
	assert_true(g_str_has_prefix(line, "listening on http://127.0.0.1:"));
	*url = g_strstrip(g_strdup(line + strlen("listening on ")));
	return pid;
}

static void a_stamp_is_fetched_from_our_own_authority(void **state G_GNUC_UNUSED)
{
	g_autofree char *url = NULL;
	GPid pid = start_authority(&url);
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) query = timestamp_query(data, NULL), response = timestamp_fetch(url, query, &error),
			  token = NULL;
	int status;

	assert_done(response, error);
	token = accept_now(response, query, NULL, &error);
	assert_done(token, error);
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_fails(timestamp_fetch(url, query, &error), error, TAGSEAL_ERROR_UNAVAILABLE, "did not answer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_has_the_standards_form),
		cmocka_unit_test(the_vector_is_read_as_a_query),
		cmocka_unit_test(two_queries_differ),
		cmocka_unit_test(an_answer_of_openssls_authority_is_taken),
		cmocka_unit_test(openssl_accepts_the_token_that_is_taken),
		cmocka_unit_test(an_honest_token_of_our_own_is_taken),
		cmocka_unit_test(a_token_with_a_corrupted_signature_is_not_taken),
		cmocka_unit_test(no_flipped_byte_of_the_content_is_taken),
		cmocka_unit_test(no_cut_answer_is_taken),
		cmocka_unit_test(bytes_behind_the_answer_are_refused),
		cmocka_unit_test(a_refusal_tells_the_authoritys_reason),
		cmocka_unit_test(granted_without_a_token_is_refused),
		cmocka_unit_test(a_waiting_status_is_refused),
		cmocka_unit_test(a_token_over_other_data_is_refused),
		cmocka_unit_test(another_nonce_is_refused),
		cmocka_unit_test(a_time_far_from_ours_is_refused),
		cmocka_unit_test(a_poor_accuracy_is_refused),
		cmocka_unit_test(a_usage_that_is_not_critical_is_refused),
		cmocka_unit_test(a_certificate_for_code_makes_no_stamps),
		cmocka_unit_test(a_usage_beside_time_stamping_is_refused),
		cmocka_unit_test(a_token_that_names_no_or_another_certificate_is_refused),
		cmocka_unit_test(a_token_that_names_another_authority_is_refused),
		cmocka_unit_test(an_authority_under_the_signers_roots_only_is_refused),
		cmocka_unit_test(an_old_token_is_judged_at_its_own_time),
		cmocka_unit_test(a_token_is_verified_over_data_or_its_digest),
		cmocka_unit_test(a_token_of_tomorrow_is_refused),
		cmocka_unit_test(a_stamp_is_fetched_from_our_own_authority),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
