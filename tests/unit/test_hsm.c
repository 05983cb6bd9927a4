/* Keys on a token: who gets in, what keys are made, and that they do not get out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "gitops/base/json.h"
#include "signer/hsm_internal.h"
#include "tests/unit/support_hsm.h"

static struct softhsm *softhsm;

static void assert_says(const GError *error, enum tagseal_error code, const char *words)
{
	assert_non_null(error);
	if (strstr(error->message, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error->message, words);
	assert_int_equal(error->code, code);
}

static void assert_ok(gboolean ok, const GError *error)
{
	if (!ok)
		fail_msg("%s", error != NULL ? error->message : "failed without a word");
}

static void assert_open_fails(
    const char *module, const char *token, const char *pin_file, enum tagseal_error code, const char *words)
{
	g_autoptr(GError) error = NULL;

	assert_null(hsm_open(module, token, pin_file, &error));
	assert_says(error, code, words);
}

static void a_wrong_pin_is_refused(void **state)
{
	g_autofree char *pin = softhsm_file(softhsm, "wrong", "654321\n", -1, 0600);

	assert_open_fails(TEST_MODULE, TEST_TOKEN, pin, TAGSEAL_ERROR_REFUSED, "is not that of the token \"tests\"");
}

static void a_pin_file_that_others_can_read_is_refused_with_the_mend(void **state)
{
	g_autofree char *pin = softhsm_file(softhsm, "loose", TEST_PIN "\n", -1, 0640);

	assert_open_fails(TEST_MODULE, TEST_TOKEN, pin, TAGSEAL_ERROR_USAGE, "(mode 0640): chmod 600 ");
}

static void pin_files_that_hold_no_pin_are_refused(void **state)
{
	g_autofree char *empty = softhsm_file(softhsm, "empty", "\n123456\n", -1, 0600);
	g_autofree char *nul = softhsm_file(softhsm, "nul", "123\000456\n", 8, 0600);
	g_autofree char *text = g_strnfill(1000, '1');
	g_autofree char *lengthy = softhsm_file(softhsm, "long", text, -1, 0600);

	assert_open_fails(TEST_MODULE, TEST_TOKEN, empty, TAGSEAL_ERROR_USAGE, "is empty");
	assert_open_fails(TEST_MODULE, TEST_TOKEN, nul, TAGSEAL_ERROR_USAGE, "has a NUL");
	assert_open_fails(TEST_MODULE, TEST_TOKEN, lengthy, TAGSEAL_ERROR_USAGE, "too long");
	assert_open_fails(TEST_MODULE, TEST_TOKEN, softhsm->folder, TAGSEAL_ERROR_USAGE, "is not a regular file");
	assert_open_fails(TEST_MODULE, TEST_TOKEN, "/nonexistent", TAGSEAL_ERROR_USAGE, "No such file");
}

static void a_missing_token_is_named_with_those_there_are(void **state)
{
	assert_open_fails(TEST_MODULE, "nowhere", softhsm->pin_file, TAGSEAL_ERROR_NOT_FOUND,
	    "there is no token with the label \"nowhere\"; the module " TEST_MODULE " shows \"tests\"");
}

static void a_missing_module_is_unavailable(void **state)
{
	assert_open_fails("/nonexistent.so", TEST_TOKEN, softhsm->pin_file, TAGSEAL_ERROR_UNAVAILABLE,
	    "/nonexistent.so cannot be loaded");
	assert_open_fails(
	    "libm.so.6", TEST_TOKEN, softhsm->pin_file, TAGSEAL_ERROR_UNAVAILABLE, "it is not a PKCS#11 module");
}

static void a_second_token_of_the_same_label_is_not_made(void **state)
{
	g_autoptr(GError) error = NULL;

	assert_false(hsm_init_token(TEST_MODULE, TEST_TOKEN, softhsm->pin_file, softhsm->so_pin_file, &error));
	assert_says(error, TAGSEAL_ERROR_REFUSED, "already");
}

static void the_token_tells_that_it_is_software(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);

	assert_string_equal(hsm_info(hsm)->label, TEST_TOKEN);
	assert_string_equal(hsm_info(hsm)->model, "SoftHSM v2");
	assert_true(hsm_info(hsm)->software);
}

static const struct hsm_key_info *info_of(GPtrArray *keys, const char *label)
{
	for (guint i = 0; i < keys->len; i++) {
		const struct hsm_key_info *info = g_ptr_array_index(keys, i);
		if (g_str_equal(info->label, label))
			return info;
	}
	fail_msg("no key \"%s\" in the list", label);
	return NULL;
}

static void keys_of_every_kind_are_made_strong_and_sign(void **state)
{
	static const char *const kinds[] = { "rsa3072", "p256", "p384", "p521" };
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GPtrArray) keys = NULL;
	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
		g_autoptr(GBytes) signature = NULL;
		assert_ok(hsm_generate(hsm, kinds[i], kinds[i], &error), error);
		signature = hsm_sign(hsm, kinds[i], EVP_sha512(), "abc", 3, &error);
		assert_ok(signature != NULL, error);
	}
	keys = hsm_keys(hsm, &error);
	assert_ok(keys != NULL, error);
	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
		const struct hsm_key_info *info = info_of(keys, kinds[i]);
		assert_string_equal(info->kind, kinds[i]);
		assert_true(info->sensitive && info->always_sensitive && info->never_extractable && info->local);
		assert_true(info->sign && !info->decrypt && !info->modifiable);
		assert_null(hsm_key_weakness(info));
	}
}

static void a_label_is_given_once(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;

	assert_ok(hsm_generate(hsm, "once", "p256", &error), error);
	assert_false(hsm_generate(hsm, "once", "p256", &error));
	assert_says(error, TAGSEAL_ERROR_REFUSED, "has a key with the label \"once\" already");
}

static void an_unknown_kind_is_wrong_usage(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;

	assert_false(hsm_generate(hsm, "weak", "rsa1024", &error));
	assert_says(error, TAGSEAL_ERROR_USAGE, "there is no key kind \"rsa1024\"");
}

static void an_unknown_key_is_named_with_those_there_are(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;

	assert_ok(hsm_generate(hsm, "present", "p256", &error), error);
	assert_null(hsm_sign(hsm, "absent", EVP_sha256(), "abc", 3, &error));
	assert_says(error, TAGSEAL_ERROR_NOT_FOUND, "no key with the label \"absent\"");
	assert_non_null(strstr(error->message, "\"present\""));
}

static void only_long_digests_of_the_right_size_are_signed(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;
	uint8_t digest[64] = { 0 };

	assert_ok(hsm_generate(hsm, "sizes", "p256", &error), error);
	assert_null(hsm_sign_digest(hsm, "sizes", EVP_sha1(), digest, 20, &error));
	assert_says(error, TAGSEAL_ERROR_REFUSED, "only SHA-256");
	g_clear_error(&error);
	assert_null(hsm_sign_digest(hsm, "sizes", EVP_sha256(), digest, 48, &error));
	assert_says(error, TAGSEAL_ERROR_REFUSED, "not 48 bytes");
}

static void every_attempt_to_get_a_key_out_is_refused(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;
	autoptr(json) report = NULL;

	assert_ok(hsm_generate(hsm, "guarded", "rsa3072", &error), error);
	assert_ok(hsm_probe(hsm, "guarded", &report, &error), error);
	assert_int_equal(json_length(report), 6);
	assert_string_equal(json_as_string(json_path(report, "0.answer")), "CKR_ATTRIBUTE_SENSITIVE");
	assert_string_equal(json_as_string(json_path(report, "1.answer")), "CKR_ACTION_PROHIBITED");
}

/* As somebody with another tool might do it. */
static void make_weak_key(struct hsm *hsm, const char *label)
{
	static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_MECHANISM mechanism = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
	CK_OBJECT_HANDLE public, private;
	CK_ATTRIBUTE public_template[] = {
		{ CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_LABEL, (void *)label, strlen(label) },
		{ CKA_ID, (void *)label, strlen(label) },
		{ CKA_EC_PARAMS, (void *)key_kinds[2].curve, key_kinds[2].curve_size },
	};
	CK_ATTRIBUTE private_template[] = {
		{ CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_SENSITIVE, &no, sizeof(no) },
		{ CKA_EXTRACTABLE, &yes, sizeof(yes) },
		{ CKA_LABEL, (void *)label, strlen(label) },
		{ CKA_ID, (void *)label, strlen(label) },
	};

	assert_true(hsm_session(hsm, NULL));
	assert_int_equal(hsm->api->C_GenerateKeyPair(
			     hsm->session, &mechanism, public_template, 4, private_template, 5, &public, &private),
	    CKR_OK);
}

static void a_key_that_can_leave_is_told(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GPtrArray) keys = NULL;
	g_autoptr(GError) error = NULL;

	make_weak_key(hsm, "leaky");
	keys = hsm_keys(hsm, &error);
	assert_ok(keys != NULL, error);
	assert_non_null(strstr(hsm_key_weakness(info_of(keys, "leaky")), "can be extracted from the token"));
	assert_false(hsm_probe(hsm, "leaky", NULL, &error));
	assert_says(error, TAGSEAL_ERROR_REFUSED, "its private value can be read");
}

static void two_keys_of_one_label_are_not_guessed_between(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;

	make_weak_key(hsm, "twin");
	make_weak_key(hsm, "twin");
	assert_null(hsm_private_key(hsm, "twin", &error));
	assert_says(error, TAGSEAL_ERROR_REFUSED, "several keys with the label \"twin\"");
}

static void a_private_key_without_its_public_half_is_told(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;
	CK_OBJECT_HANDLE public;

	make_weak_key(hsm, "half");
	public = hsm_find(hsm, CKO_PUBLIC_KEY, "half", &error);
	assert_ok(public != 0, error);
	assert_int_equal(hsm->api->C_DestroyObject(hsm->session, public), CKR_OK);
	assert_null(hsm_public_key(hsm, "half", &error));
	assert_says(error, TAGSEAL_ERROR_NOT_FOUND, "has no public key object with the same CKA_ID");
}

static X509 *certificate_of(GBytes *pem)
{
	BIO *bio = BIO_new_mem_buf(g_bytes_get_data(pem, NULL), g_bytes_get_size(pem));
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	return certificate;
}

static void a_self_signed_certificate_is_for_code_signing(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) pem = NULL;
	X509 *certificate;

	assert_ok(hsm_generate(hsm, "selfie", "p384", &error), error);
	pem = hsm_self_signed(hsm, "selfie", "CN=Acme\\, Inc., O=Acme,C=US", 30, &error);
	assert_ok(pem != NULL, error);
	certificate = certificate_of(pem);
	assert_non_null(certificate);
	assert_int_equal(X509_get_extended_key_usage(certificate), XKU_CODE_SIGN);
	assert_int_equal(X509_check_ca(certificate), 0);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(certificate), hsm_public_key(hsm, "selfie", &error)), 1);
	X509_free(certificate);
}

static void openssl_accepts_a_certificate_request(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) pem = NULL;
	g_autofree char *path = NULL, *said = NULL;

	assert_ok(hsm_generate(hsm, "request", "rsa3072", &error), error);
	pem = hsm_csr(hsm, "request", "CN=Acme,O=Acme,C=US", &error);
	assert_ok(pem != NULL, error);
	path = softhsm_file(softhsm, "r.csr", g_bytes_get_data(pem, NULL), g_bytes_get_size(pem), 0600);
	assert_int_equal(softhsm_run(softhsm, &said, "openssl req -in r.csr -verify -noout -subject"), 0);
	assert_non_null(strstr(said, "CN = Acme, O = Acme, C = US"));
}

static void a_subject_that_is_no_name_is_wrong_usage(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;

	assert_ok(hsm_generate(hsm, "nameless", "p256", &error), error);
	assert_null(hsm_csr(hsm, "nameless", "Acme", &error));
	assert_says(error, TAGSEAL_ERROR_USAGE, "has a part \"Acme\"");
	g_clear_error(&error);
	assert_null(hsm_csr(hsm, "nameless", "CN=Acme,C=USA", &error));
	assert_says(error, TAGSEAL_ERROR_USAGE, "has a part \"C\"");
}

/* Last: it spoils the token for libp11. */
static void an_ed25519_key_on_the_token_is_told_since_it_hides_all_others(void **state)
{
	autoptr(hsm) hsm = softhsm_open(softhsm);
	g_autoptr(GError) error = NULL;

	assert_int_equal(softhsm_run(softhsm, NULL,
			     "pkcs11-tool --module %s --token-label %s --login --pin %s --keypairgen --key-type "
			     "EC:edwards25519 --label ed",
			     TEST_MODULE, TEST_TOKEN, TEST_PIN),
	    0);
	assert_null(hsm_private_key(hsm, "ed", &error));
	assert_says(error, TAGSEAL_ERROR_REFUSED, "holds an Ed25519 key, which hides all its keys");
}

static int start(void **state)
{
	softhsm = softhsm_start();
	return 0;
}

static int stop(void **state)
{
	softhsm_stop(softhsm);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_pin_is_refused),
		cmocka_unit_test(a_pin_file_that_others_can_read_is_refused_with_the_mend),
		cmocka_unit_test(pin_files_that_hold_no_pin_are_refused),
		cmocka_unit_test(a_missing_token_is_named_with_those_there_are),
		cmocka_unit_test(a_missing_module_is_unavailable),
		cmocka_unit_test(a_second_token_of_the_same_label_is_not_made),
		cmocka_unit_test(the_token_tells_that_it_is_software),
		cmocka_unit_test(keys_of_every_kind_are_made_strong_and_sign),
		cmocka_unit_test(a_label_is_given_once),
		cmocka_unit_test(an_unknown_kind_is_wrong_usage),
		cmocka_unit_test(an_unknown_key_is_named_with_those_there_are),
		cmocka_unit_test(only_long_digests_of_the_right_size_are_signed),
		cmocka_unit_test(every_attempt_to_get_a_key_out_is_refused),
		cmocka_unit_test(a_key_that_can_leave_is_told),
		cmocka_unit_test(two_keys_of_one_label_are_not_guessed_between),
		cmocka_unit_test(a_private_key_without_its_public_half_is_told),
		cmocka_unit_test(a_self_signed_certificate_is_for_code_signing),
		cmocka_unit_test(openssl_accepts_a_certificate_request),
		cmocka_unit_test(a_subject_that_is_no_name_is_wrong_usage),
		cmocka_unit_test(an_ed25519_key_on_the_token_is_told_since_it_hides_all_others),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
