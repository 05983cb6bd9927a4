/* SSH signatures with a key on the token, judged by ssh-keygen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "signer/sshsig.h"
#include "tests/unit/support_hsm.h"

static struct softhsm *softhsm;
static struct hsm *hsm;

#define MESSAGE "what was signed\n"

/* A key of that kind, its allowed_signers file, and its signature over MESSAGE in the namespace "git". */
static void sign_with(const char *kind)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) payload = g_bytes_new_static(MESSAGE, strlen(MESSAGE)), signature = NULL;
	g_autofree char *line = NULL, *signers = NULL, *a = NULL, *b = NULL, *c = NULL;

	if (hsm_public_key(hsm, kind, NULL) == NULL && !hsm_generate(hsm, kind, kind, &error))
		fail_msg("%s", error->message);
	line = sshsig_public_line(hsm_public_key(hsm, kind, &error), &error);
	assert_non_null(line);
	signers = g_strdup_printf("ledger namespaces=\"git\" %s\n", line);
	a = softhsm_file(softhsm, "signers", signers, -1, 0600);
	b = softhsm_file(softhsm, "message", MESSAGE, -1, 0600);
	if ((signature = sshsig_sign(hsm, kind, "git", payload, &error)) == NULL)
		fail_msg("%s", error->message);
	c = softhsm_file(softhsm, "message.sig", g_bytes_get_data(signature, NULL), g_bytes_get_size(signature), 0600);
}

static int verify(const char *namespace, const char *file)
{
	return softhsm_run(
	    softhsm, NULL, "ssh-keygen -Y verify -f signers -I ledger -n %s -s message.sig <%s", namespace, file);
}

static void ssh_keygen_accepts_every_kind_of_key(void **state)
{
	static const char *const kinds[] = { "rsa3072", "p256", "p384", "p521" };

	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
		sign_with(kinds[i]);
		assert_int_equal(verify("git", "message"), 0);
	}
}

/* r and s are shorter, or need a zero before them, in about every second signature. */
static void numbers_of_every_length_are_written_right(void **state)
{
	for (guint i = 0; i < 24; i++) {
		sign_with("p256");
		assert_int_equal(verify("git", "message"), 0);
	}
}

static void another_namespace_is_refused(void **state)
{
	sign_with("p256");
	assert_int_not_equal(verify("file", "message"), 0);
}

static void another_message_is_refused(void **state)
{
	g_autofree char *other = softhsm_file(softhsm, "other", "what was not signed\n", -1, 0600);

	sign_with("p256");
	assert_int_not_equal(verify("git", "other"), 0);
}

static void another_key_is_refused(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *line = NULL, *signers = NULL, *file = NULL;

	sign_with("p256");
	assert_true(hsm_generate(hsm, "other", "p256", &error));
	line = sshsig_public_line(hsm_public_key(hsm, "other", &error), &error);
	signers = g_strdup_printf("ledger namespaces=\"git\" %s\n", line);
	file = softhsm_file(softhsm, "signers", signers, -1, 0600);
	assert_int_not_equal(verify("git", "message"), 0);
}

static void a_signature_needs_a_namespace(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) payload = g_bytes_new_static("a", 1);

	sign_with("p256");
	assert_null(sshsig_sign(hsm, "p256", "", payload, &error));
	assert_true(g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE));
}

static void keys_that_we_do_not_use_have_no_line(void **state)
{
	g_autoptr(GError) error = NULL;
	EVP_PKEY *weak = EVP_RSA_gen(1024), *strange = EVP_EC_gen("secp256k1"), *edwards = NULL;

	edwards = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_null(sshsig_public_line(weak, &error));
	assert_non_null(strstr(error->message, "1024 bits"));
	g_clear_error(&error);
	assert_null(sshsig_public_line(strange, &error));
	assert_non_null(strstr(error->message, "secp256k1"));
	g_clear_error(&error);
	assert_null(sshsig_public_line(edwards, &error));
	assert_non_null(strstr(error->message, "of this kind"));
	EVP_PKEY_free(weak);
	EVP_PKEY_free(strange);
	EVP_PKEY_free(edwards);
}

static int start(void **state)
{
	softhsm = softhsm_start();
	hsm = softhsm_open(softhsm);
	return 0;
}

static int stop(void **state)
{
	hsm_free(hsm);
	softhsm_stop(softhsm);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ssh_keygen_accepts_every_kind_of_key),
		cmocka_unit_test(numbers_of_every_length_are_written_right),
		cmocka_unit_test(another_namespace_is_refused),
		cmocka_unit_test(another_message_is_refused),
		cmocka_unit_test(another_key_is_refused),
		cmocka_unit_test(a_signature_needs_a_namespace),
		cmocka_unit_test(keys_that_we_do_not_use_have_no_line),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
