/* `tagseald key`, as an admin calls it. */
#include "tests/unit/support.h"

#include <string.h>

#include "tests/unit/support_hsm.h"

static struct softhsm *softhsm;

/* Runs `tagseald key ARGUMENTS` with this token's options. */
static int key(char **output, const char *arguments)
{
	g_autofree char *program = support_program("tagseald");

	return softhsm_run(softhsm, output, "'%s' key %s --module %s --token %s --pin-file pin", program, arguments,
	    TEST_MODULE, TEST_TOKEN);
}

static void assert_key(int status, const char *arguments, const char *words)
{
	g_autofree char *said = NULL;
	int got = key(&said, arguments);

	if (got != status)
		fail_msg("key %s: status %d: %s", arguments, got, said);
	assert_contains(said, words);
}

static void a_key_is_made_listed_and_probed(void **state)
{
	assert_key(0, "generate --label release --kind p256", "made release\n");
	assert_key(
	    0, "list", "release                  p256     software (SoftHSM v2): for release only where \"modules\"");
	assert_key(0, "list --json", "\"never_extractable\": true");
	assert_key(0, "list --json", "\"software\": true");
	assert_key(0, "probe --label release", "safe release\n");
	assert_key(0, "probe --label release", "wrap it out: refused (CKR_KEY_UNEXTRACTABLE)");
	assert_key(0, "probe --label release --json", "\"attempt\": \"read the private value\"");
}

static void a_label_that_is_taken_is_refused(void **state)
{
	assert_key(0, "generate --label taken --kind p256", "made taken");
	assert_key(1, "generate --label taken --kind p256", "has a key with the label \"taken\" already\n");
}

static void requests_certificates_and_openpgp_keys_are_written(void **state)
{
	assert_key(0, "generate --label papers --kind p384", "made papers");
	assert_key(0, "csr --label papers --subject CN=Acme,C=US", "-----BEGIN CERTIFICATE REQUEST-----\n");
	assert_key(0, "self-signed --label papers --subject CN=Acme --days 9 --output self.pem", "wrote self.pem\n");
	assert_int_equal(softhsm_run(softhsm, NULL, "openssl verify -CAfile self.pem -purpose any self.pem"), 0);
	assert_key(0,
	    "openpgp-export --label papers --user-id 'Acme <a@acme.example>' --created 2026-03-01T00:00:00Z "
	    "--output acme.asc",
	    "wrote acme.asc\n");
	assert_int_equal(softhsm_run(softhsm, NULL, "gpg --batch --import acme.asc"), 0);
}

static void wrong_use_ends_with_2_and_says_how(void **state)
{
	assert_key(2, "generate --label x", "--kind is missing; see tagseald key generate --help\n");
	assert_key(2, "generate --label x --kind rsa512", "there is no key kind \"rsa512\"");
	assert_key(2, "polish", "there is no \"key polish\"");
	assert_key(2, "openpgp-export --label x --user-id a --created yesterday", "is not a time like 2026");
	assert_key(2, "csr --label x --subject Acme --days", "tagseald key");
}

static void each_verb_shows_and_takes_its_own_options_alone(void **state)
{
	g_autofree char *list = NULL, *csr = NULL;

	assert_int_equal(key(&list, "list --help"), 0);
	assert_contains(list, "--pin-file");
	assert_null(strstr(list, "--kind"));
	assert_null(strstr(list, "--output"));
	assert_int_equal(key(&csr, "csr --help"), 0);
	assert_contains(csr, "--subject");
	assert_contains(csr, "--output");
	assert_null(strstr(csr, "--created"));
	assert_key(2, "list --kind p256", "see tagseald key list --help");
}

static void a_key_that_is_not_there_cannot_be_probed(void **state)
{
	assert_key(3, "probe --label nothing", "has no key with the label \"nothing\"\n");
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
		cmocka_unit_test(a_key_is_made_listed_and_probed),
		cmocka_unit_test(a_label_that_is_taken_is_refused),
		cmocka_unit_test(requests_certificates_and_openpgp_keys_are_written),
		cmocka_unit_test(wrong_use_ends_with_2_and_says_how),
		cmocka_unit_test(each_verb_shows_and_takes_its_own_options_alone),
		cmocka_unit_test(a_key_that_is_not_there_cannot_be_probed),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
