/* Test keys and release keys share no certificate authority, under whatever name, and are not one key. */
#include "tests/unit/support_pki.h"
#include "tests/unit/support_policy.h"

/* A certificate for `key` under that name by an issuer of any name and key: what no honest tool would make. */
struct wish {
	const char *subject, *issuer;
	int type; /* of the names' strings: MBSTRING_UTF8, or what V_ASN1_* names */
};

static void set_name(X509_NAME *name, const char *text, int type)
{
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", type, (const unsigned char *)text, -1, -1, 0), 1);
}

static X509 *certify(EVP_PKEY *key, const struct wish *wish, EVP_PKEY *issuer)
{
	static long serial;
	X509 *certificate = X509_new();

	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600 * 24 * 365);
	set_name(X509_get_subject_name(certificate), wish->subject, wish->type);
	set_name(X509_get_issuer_name(certificate), wish->issuer, wish->type);
	X509_set_pubkey(certificate, key);
	assert_int_not_equal(X509_sign(certificate, issuer, EVP_sha256()), 0);
	return certificate;
}

static EVP_PKEY *keys[4]; /* a release authority's, a test authority's, a release leaf's, a test leaf's */
enum { RELEASE_CA, TEST_CA, RELEASE, TEST };

static int begin(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
		keys[i] = EVP_EC_gen("P-256");
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
		EVP_PKEY_free(keys[i]);
	return 0;
}

static X509 *make(int key, const char *subject, const char *issuer, int by)
{
	const struct wish wish = { subject, issuer, MBSTRING_UTF8 };

	return certify(keys[key], &wish, keys[by]);
}

/* The PEM of one or two certificates, which are freed. */
static char *pem(X509 *leaf, X509 *authority)
{
	g_autoptr(GBytes) bytes = authority != NULL ? pki_pem(leaf, authority, NULL) : pki_pem(leaf, NULL);

	X509_free(leaf);
	X509_free(authority);
	return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static char *release_chain(void)
{
	return pem(make(RELEASE, "Release", "Release CA", RELEASE_CA),
	    make(RELEASE_CA, "Release CA", "Release CA", RELEASE_CA));
}

static char *test_chain(void)
{
	return pem(make(TEST, "Test", "Test CA", TEST_CA), make(TEST_CA, "Test CA", "Test CA", TEST_CA));
}

/* Takes both over. */
static struct policy *load(char *release, char *test, GError **error)
{
	policy_files *files = sample_files();
	struct policy *policy;

	sample_set(files, "keys/release.pem", release);
	sample_set(files, "keys/test.pem", test);
	policy = policy_load(files, error);
	g_hash_table_unref(files);
	g_free(release);
	g_free(test);
	return policy;
}

static void refused(char *release, char *test, const char *sentence)
{
	g_autoptr(GError) error = NULL;

	assert_refused(load(release, test, &error), error, sentence);
}

static void good(char *release, char *test)
{
	g_autoptr(GError) error = NULL;
	autoptr(policy) policy = load(release, test, &error);

	assert_ok(policy, error);
}

static void two_authorities_are_good(void **state)
{
	good(release_chain(), test_chain());
}

static void roots_may_be_left_out(void **state)
{
	good(pem(make(RELEASE, "Release", "Release CA", RELEASE_CA), NULL),
	    pem(make(TEST, "Test", "Test CA", TEST_CA), NULL));
}

static void a_self_signed_test_certificate_is_good(void **state)
{
	good(release_chain(), pem(make(TEST, "Test", "Test", TEST), NULL));
}

static void one_authority_is_refused(void **state)
{
	refused(release_chain(),
	    pem(make(TEST, "Test", "Release CA", RELEASE_CA), make(RELEASE_CA, "Release CA", "Release CA", RELEASE_CA)),
	    "keys/release-2026.toml and keys/test.toml are a release key and a test key under the same certificate "
	    "authority, /CN=Release CA; they may share none");
}

static void one_authority_left_out_of_both_files_is_refused(void **state)
{
	refused(pem(make(RELEASE, "Release", "CA", RELEASE_CA), NULL), pem(make(TEST, "Test", "CA", RELEASE_CA), NULL),
	    "under the same certificate authority, /CN=CA; they may share none");
}

/* The same name to X.509, in other bytes. */
static void an_authority_spelt_otherwise_is_refused(void **state)
{
	const struct wish printable = { "Test", "RELEASE  ca", V_ASN1_PRINTABLESTRING };

	refused(pem(make(RELEASE, "Release", "Release CA", RELEASE_CA), NULL),
	    pem(certify(keys[TEST], &printable, keys[RELEASE_CA]), NULL), "under the same certificate authority");
}

static void an_authority_certified_under_two_names_is_refused(void **state)
{
	refused(release_chain(),
	    pem(make(TEST, "Test", "Test CA", RELEASE_CA), make(RELEASE_CA, "Test CA", "Test CA", RELEASE_CA)),
	    "are a release key and a test key under the same certificate authority: the key of /CN=Release CA signed "
	    "/CN=Test; they may share none");
}

/* The release chain ends with its leaf; the key that signed it stands in the test chain, under another name. */
static void a_cross_certified_authority_left_out_of_one_file_is_refused(void **state)
{
	refused(pem(make(RELEASE, "Release", "Release CA", RELEASE_CA), NULL),
	    pem(make(TEST, "Test", "Test CA", RELEASE_CA), make(RELEASE_CA, "Test CA", "Test CA", RELEASE_CA)),
	    "the key of /CN=Test CA signed /CN=Release; they may share none");
	refused(
	    pem(make(RELEASE, "Release", "Release CA", RELEASE_CA), make(RELEASE_CA, "Release CA", "Root", RELEASE_CA)),
	    pem(make(TEST, "Test", "Test CA", RELEASE_CA), NULL), "the key of /CN=Release CA signed /CN=Test");
}

/* The test authority is itself certified by the release authority. */
static void a_test_authority_below_the_release_authority_is_refused(void **state)
{
	refused(release_chain(),
	    pem(make(TEST, "Test", "Test CA", TEST_CA), make(TEST_CA, "Test CA", "Release CA", RELEASE_CA)),
	    "under the same certificate authority, /CN=Release CA");
}

static void one_key_for_tests_and_releases_is_refused(void **state)
{
	refused(release_chain(), pem(make(RELEASE, "Test", "Test", RELEASE), NULL),
	    "with one and the same key, certified as /CN=Release and as /CN=Test");
}

static void a_chain_that_breaks_off_is_refused(void **state)
{
	g_autofree char *whole = test_chain();
	char *cut = g_strndup(whole, strlen(whole) - 60);

	refused(release_chain(), cut, "keys/test.pem: not a chain of 1 to 16 X.509 certificates in PEM");
	good(release_chain(), g_strconcat("Bag attributes\n", whole, "the end\n", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_authorities_are_good),
		cmocka_unit_test(roots_may_be_left_out),
		cmocka_unit_test(a_self_signed_test_certificate_is_good),
		cmocka_unit_test(one_authority_is_refused),
		cmocka_unit_test(one_authority_left_out_of_both_files_is_refused),
		cmocka_unit_test(an_authority_spelt_otherwise_is_refused),
		cmocka_unit_test(an_authority_certified_under_two_names_is_refused),
		cmocka_unit_test(a_cross_certified_authority_left_out_of_one_file_is_refused),
		cmocka_unit_test(a_test_authority_below_the_release_authority_is_refused),
		cmocka_unit_test(one_key_for_tests_and_releases_is_refused),
		cmocka_unit_test(a_chain_that_breaks_off_is_refused),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, begin, end);
}
