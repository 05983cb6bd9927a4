/* `tagseal sign`, as a script calls it: what comes out is good for others, and when it fails nothing comes out. */
#include "tests/unit/support.h"

#include <string.h>
#include <sys/stat.h>

#include "signer/hsm.h"
#include "signer/openpgp.h"
#include "tests/unit/support_hsm.h"
#include "tests/unit/support_pki.h"

static struct softhsm *softhsm;
static char *tagseal;

/* tagseal sign with this token and the key and certificate of `key`, OPTIONS last; its exit status. */
static int sign_as(char **output, const char *key, const char *options)
{
	return softhsm_run(softhsm, output,
	    "'%s' sign --module %s --token %s --pin-file pin --key %s --certificate %s.pem %s", tagseal, TEST_MODULE,
	    TEST_TOKEN, key, key, options);
}

static void assert_signs(const char *key, const char *options, const char *words)
{
	g_autofree char *said = NULL;
	int status = sign_as(&said, key, options);

	if (status != 0)
		fail_msg("sign %s: status %d: %s", options, status, said);
	assert_contains(said, words);
}

/* With that status and sentence, and no file of that name or half of one. */
static void assert_fails_with(int status, const char *key, const char *options, const char *words)
{
	g_autofree char *said = NULL;
	int got;

	assert_int_equal(softhsm_run(softhsm, NULL, "rm -f out"), 0);
	got = sign_as(&said, key, options);
	if (got != status)
		fail_msg("sign %s: status %d: %s", options, got, said);
	assert_contains(said, words);
	assert_int_equal(g_strstr_len(said, -1, "\n") - said, strlen(said) - 1); /* one sentence */
	assert_int_equal(softhsm_run(softhsm, NULL, "test ! -e out && test -z \"$(ls -A | grep tagseal-)\""), 0);
}

static void assert_run(const char *command)
{
	g_autofree char *said = NULL;

	if (softhsm_run(softhsm, &said, "%s", command) != 0)
		fail_msg("%s: %s", command, said);
}

static void a_pe_image_is_signed_by_every_kind_of_key(void **state)
{
	static const char *const keys[] = { "rsa3072", "p256", "p384" };

	for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autofree char *check = g_strdup_printf("osslsigncode verify -CAfile %s.pem -in out", keys[i]);
		assert_signs(keys[i], "--output out in.exe", "signed out\n");
		assert_run(check);
	}
}

static void any_file_is_signed_by_detached_cms(void **state)
{
	assert_signs("p256", "--output out data", "signed out\n");
	assert_run(
	    "openssl cms -verify -inform DER -in out -content data -binary -CAfile p256.pem -purpose any -out o");
}

static void any_file_is_signed_by_openpgp(void **state)
{
	g_autofree char *said = NULL;

	assert_int_equal(softhsm_run(softhsm, &said,
			     "'%s' sign --module %s --token %s --pin-file pin --key p384 --certificate p384.asc "
			     "--format openpgp --output out data",
			     tagseal, TEST_MODULE, TEST_TOKEN),
	    0);
	assert_string_equal(said, "signed out\n");
	assert_run("sqv --keyring p384.asc out data");
}

static void the_report_is_json(void **state)
{
	assert_signs("p256", "--json --output out in.exe", "\"format\": \"authenticode\"");
}

static void a_signed_file_needs_append_or_replace(void **state)
{
	assert_signs("rsa3072", "--output once in.exe", "signed once");
	assert_fails_with(1, "p256", "--output out once", "bears an Authenticode signature already: --append");
	assert_fails_with(2, "p256", "--append --replace --output out once", "contradict each other");
	assert_signs("p256", "--replace --output out once", "signed out");
	assert_run("osslsigncode verify -CAfile p256.pem -in out");
	assert_signs("p256", "--append --output out once", "signed out");
	assert_run("cat rsa3072.pem p256.pem >both.pem && osslsigncode verify -CAfile both.pem -in out");
}

static void what_is_no_whole_image_is_refused(void **state)
{
	assert_run("head -c 2000 in.exe >short.exe");
	assert_fails_with(1, "p256", "--output out short.exe", " at offset ");
}

static void options_that_are_missing_or_wrong_are_wrong_use(void **state)
{
	assert_fails_with(2, "p256", "data", "--output is missing; see tagseal sign --help");
	assert_fails_with(2, "p256", "--output out --format jpeg data", "there is no format \"jpeg\"");
	assert_fails_with(2, "p256", "--output out --format authenticode data", "cannot be signed as authenticode");
	assert_fails_with(2, "p256", "--output out --timestamp http://127.0.0.1:1/ data", "--timestamp needs");
	assert_run("printf 'MSCF\\0\\0\\0\\0' > a.cab");
	assert_fails_with(2, "p256", "--output out a.cab", "of the type cab is signed as authenticode, which");
	assert_fails_with(2, "p256", "--output ./data data", "the output is the input itself");
	assert_fails_with(2, "p256", "--output out", "tagseal");
}

static void a_key_that_is_not_the_certificate_s_is_refused(void **state)
{
	assert_fails_with(1, "p256", "--output out --key p384 data", "is not that of the key \"p384\"");
	assert_fails_with(3, "p256", "--output out --key nobody data", "no key with the label \"nobody\"");
}

static void the_token_must_be_there_and_the_pin_right(void **state)
{
	g_autofree char *wrong = softhsm_file(softhsm, "wrong", "000000\n", -1, 0600);
	g_autofree char *loose = softhsm_file(softhsm, "loose", TEST_PIN "\n", -1, 0644);

	assert_fails_with(1, "p256", "--output out --pin-file wrong data", "is not that of the token");
	assert_fails_with(2, "p256", "--output out --pin-file loose data", "chmod 600 loose");
	assert_fails_with(3, "p256", "--output out --token other data", "there is no token with the label \"other\"");
	assert_fails_with(3, "p256", "--output out --module /nonexistent.so data", "cannot be loaded");
}

static void what_cannot_be_read_or_written_is_told(void **state)
{
	assert_fails_with(3, "p256", "--output out nothing-here", "nothing-here");
	assert_fails_with(3, "p256", "--output nowhere/out data", "nowhere cannot be written to");
	assert_fails_with(3, "p256", "--output out --certificate none.pem data", "none.pem");
	assert_fails_with(1, "p256", "--output out --certificate data data", "the signing certificate: ");
}

static void an_authority_that_is_away_leaves_no_output(void **state)
{
	assert_fails_with(
	    3, "p256", "--output out --timestamp http://127.0.0.1:1/ --timestamp-roots p256.pem data", "127.0.0.1");
}

/* Runs `command` while an authority answers at $TSA; its certificate is tsa.pem, a root by itself. */
static void assert_run_with_authority(const char *command)
{
	g_autofree char *authority = support_program("dev-tsa");
	g_autofree char *script = g_strdup_printf(
	    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tsa.key -out tsa.pem -days 9 "
	    "-subj /CN=Stamps -addext extendedKeyUsage=critical,timeStamping -addext "
	    "keyUsage=critical,digitalSignature "
	    "-addext basicConstraints=critical,CA:FALSE 2>/dev/null || exit 90\n"
	    "'%s' --certificate tsa.pem --key tsa.key >tsa.out 2>&1 & trap \"kill $!\" EXIT\n"
	    "for i in $(seq 100); do grep -q listening tsa.out && break; sleep 0.05; done\n"
	    "TSA=$(sed -n 's/^listening on //p' tsa.out)\n%s",
	    authority, command);

	assert_run(script);
}

static void a_stamp_goes_into_the_signature(void **state)
{
	g_autofree char *command = g_strdup_printf(
	    "'%s' sign --module %s --token %s --pin-file pin --key rsa3072 --certificate rsa3072.pem --timestamp $TSA "
	    "--timestamp-roots tsa.pem --json --output out in.exe | grep '\"timestamp\": \"20' && "
	    "osslsigncode verify -CAfile rsa3072.pem -TSA-CAfile tsa.pem -in out | grep 'Timestamp.*ok\\|Timestamp "
	    "Server'",
	    tagseal, TEST_MODULE, TEST_TOKEN);

	assert_run_with_authority(command);
}

static void a_stamp_under_another_root_is_refused(void **state)
{
	g_autofree char *command =
	    g_strdup_printf("rm -f out; '%s' sign --module %s --token %s --pin-file pin --key rsa3072 --certificate "
			    "rsa3072.pem --timestamp "
			    "$TSA --timestamp-roots p256.pem --output out in.exe; test $? = 1 && test ! -e out",
		tagseal, TEST_MODULE, TEST_TOKEN);

	assert_run_with_authority(command);
}

static void an_output_that_was_there_is_replaced_only_by_a_whole_one(void **state)
{
	assert_run("echo precious >kept");
	assert_int_not_equal(sign_as(NULL, "p256", "--output kept --key p384 data"), 0);
	assert_run("grep -q precious kept");
	assert_signs("p256", "--output kept data", "signed kept");
	assert_run("! grep -q precious kept");
}

static void a_signed_program_stays_executable(void **state)
{
	assert_run("chmod 755 in.exe");
	assert_signs("p256", "--output out in.exe", "signed out");
	assert_run("test -x out");
}

static void make_key(struct hsm *hsm, const char *kind)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *pem = g_strconcat(kind, ".pem", NULL), *asc = g_strconcat(kind, ".asc", NULL);
	g_autoptr(GBytes) certificate = NULL, key = NULL;
	g_autofree char *a = NULL, *b = NULL;

	assert_ok(hsm_generate(hsm, kind, kind, &error), error);
	certificate = hsm_self_signed(hsm, kind, "CN=Acme,O=Acme,C=US", 30, &error);
	key = openpgp_certificate(hsm, kind, "Acme <release@acme.example>", 1700000000, &error);
	assert_ok(certificate != NULL && key != NULL, error);
	a = softhsm_file(softhsm, pem, g_bytes_get_data(certificate, NULL), g_bytes_get_size(certificate), 0600);
	b = softhsm_file(softhsm, asc, g_bytes_get_data(key, NULL), g_bytes_get_size(key), 0600);
}

static int start(void **state)
{
	static const char *const kinds[] = { "rsa3072", "p256", "p384" };
	g_autofree char *image = NULL, *data = NULL;
	struct hsm *hsm;

	softhsm = softhsm_start();
	tagseal = support_program("tagseal");
	hsm = softhsm_open(softhsm);
	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
		make_key(hsm, kinds[i]);
	hsm_free(hsm);
	image = pki_image("in.exe", "x86_64", "");
	data = softhsm_file(softhsm, "data", "some data\n", -1, 0644);
	return softhsm_run(softhsm, NULL, "cp '%s' in.exe", image);
}

static int stop(void **state)
{
	softhsm_stop(softhsm);
	g_free(tagseal);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pe_image_is_signed_by_every_kind_of_key),
		cmocka_unit_test(any_file_is_signed_by_detached_cms),
		cmocka_unit_test(any_file_is_signed_by_openpgp),
		cmocka_unit_test(the_report_is_json),
		cmocka_unit_test(a_signed_file_needs_append_or_replace),
		cmocka_unit_test(what_is_no_whole_image_is_refused),
		cmocka_unit_test(options_that_are_missing_or_wrong_are_wrong_use),
		cmocka_unit_test(a_key_that_is_not_the_certificate_s_is_refused),
		cmocka_unit_test(the_token_must_be_there_and_the_pin_right),
		cmocka_unit_test(what_cannot_be_read_or_written_is_told),
		cmocka_unit_test(an_authority_that_is_away_leaves_no_output),
		cmocka_unit_test(a_stamp_goes_into_the_signature),
		cmocka_unit_test(a_stamp_under_another_root_is_refused),
		cmocka_unit_test(an_output_that_was_there_is_replaced_only_by_a_whole_one),
		cmocka_unit_test(a_signed_program_stays_executable),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
