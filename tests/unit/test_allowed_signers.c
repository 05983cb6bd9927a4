/* SSH signatures over files, made by ssh-keygen and judged by a file of allowed signers. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>

#include "gitops/base/bytes.h"
#include "signer/verify.h"
#include "tests/unit/support_trust.h"

#define NOW 1800000000000 /* 2027-01-15 */

static gboolean judge(const char *file, const char *signature, const char *signers, GError **error)
{
	g_autoptr(GBytes) beside = file_read(signature, 65536, NULL), allowed = g_bytes_new(signers, strlen(signers));
	struct verify_options options = { .detached = beside, .allowed_signers = allowed, .at_ms = NOW };
	autofd int fd = open(file, O_RDONLY | O_CLOEXEC);

	return verify_file(fd, &options, NULL, error);
}

/* A line for KEY.pub with what stands before the key. */
static char *line_for(const char *key, const char *before)
{
	g_autofree char *public_key = trust_text("cat %s.pub", key);

	return g_strdup_printf("%s %s\n", before, public_key);
}

static void good_with(const char *before)
{
	g_autofree char *signers = line_for("ed25519", before);
	g_autoptr(GError) error = NULL;

	if (!judge("data", "ed25519.sig", signers, &error))
		fail_msg("%s: %s", before, error->message);
}

static void bad_with(const char *before, enum tagseal_error code, const char *words)
{
	g_autofree char *signers = line_for("ed25519", before);
	g_autoptr(GError) error = NULL;

	assert_false(judge("data", "ed25519.sig", signers, &error));
	assert_int_equal(error->code, code);
	if (strstr(error->message, words) == NULL)
		fail_msg("%s: %s", before, error->message);
}

static void refused(const char *file, const char *signature, const char *key, const char *words)
{
	g_autofree char *signers = line_for(key, "me");
	g_autoptr(GError) error = NULL;

	assert_false(judge(file, signature, signers, &error));
	assert_refusal(error, words);
}

static void a_signature_by_every_kind_of_key_is_good(void **state)
{
	static const char *const keys[] = { "ed25519", "rsa", "ecdsa" };

	for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autofree char *signers = line_for(keys[i], "me"), *signature = g_strdup_printf("%s.sig", keys[i]);
		g_autoptr(GError) error = NULL;
		if (!judge("data", signature, signers, &error))
			fail_msg("%s", error->message);
		refused("other", signature, keys[i], "does not fit these bytes");
	}
}

static void another_key_is_no_signer(void **state)
{
	refused("data", "ed25519.sig", "rsa", "that signed is none of the allowed signers");
}

static void a_signature_for_git_is_none_for_files(void **state)
{
	refused("data", "git.sig", "ed25519", "made for \"git\", not for \"file\"");
}

static void a_certificate_is_refused_by_name(void **state)
{
	refused("data", "cert.sig", "ed25519", "a certificate stands where a plain key must");
}

static void bytes_around_the_armor_are_refused(void **state)
{
	trust_run("cp ed25519.sig more.sig; echo x >>more.sig; sed 's/^U1NI/U1NJ/' ed25519.sig >magic.sig\n"
		  "printf -- '-----BEGIN SSH SIGNATURE-----\\n\\000\\n-----END SSH SIGNATURE-----\\n' >nul.sig");
	refused("data", "more.sig", "ed25519", "bytes follow the signature's END line");
	refused("data", "nul.sig", "ed25519", "a NUL byte stands in it");
	refused("data", "magic.sig", "ed25519", "magic at offset 0");
}

static void the_options_of_a_line_are_kept(void **state)
{
	good_with("me,you namespaces=\"file\"");
	good_with("me NameSpaces=\"git,f?l*\",valid-after=\"20200101\",valid-before=\"20980101120000Z\"");
	good_with("\"my self\" valid-before=\"20270115080000Z\""); /* NOW: the bound itself counts */
	bad_with("me namespaces=\"git\"", TAGSEAL_ERROR_REFUSED, "not allowed to sign files");
	bad_with("me namespaces=\"*,!file\"", TAGSEAL_ERROR_REFUSED, "not allowed to sign files");
	bad_with("me valid-after=\"20280101Z\"", TAGSEAL_ERROR_REFUSED, "not allowed to sign yet");
	bad_with("me valid-before=\"202701150759Z\"", TAGSEAL_ERROR_REFUSED, "no longer allowed to sign");
	bad_with("me cert-authority", TAGSEAL_ERROR_REFUSED, "as a certificate authority only");
}

static void a_later_line_may_allow_what_an_earlier_one_does_not(void **state)
{
	g_autofree char *first = line_for("ed25519", "me namespaces=\"git\""), *second = line_for("ed25519", "me"),
			*both = g_strconcat("# signers\n\n", first, second, NULL);

	assert_true(judge("data", "ed25519.sig", both, NULL));
}

static void a_file_that_breaks_the_grammar_is_not_believed(void **state)
{
	bad_with("me nonsense=\"1\"", TAGSEAL_ERROR_USAGE, "line 1: an unknown option");
	bad_with("me namespaces=file", TAGSEAL_ERROR_USAGE, "must stand in double quotes");
	bad_with("me namespaces=\"file\",namespaces=\"git\"", TAGSEAL_ERROR_USAGE, "stands twice");
	bad_with("me valid-after=\"20200431\"", TAGSEAL_ERROR_USAGE, "a time must be");
	bad_with("me valid-after=\"2020\"", TAGSEAL_ERROR_USAGE, "a time must be");
	bad_with("me valid-after=\"20210101\",valid-before=\"20200101\"", TAGSEAL_ERROR_USAGE, "not later than");
}

static void without_allowed_signers_nothing_is_found_out(void **state)
{
	g_autoptr(GBytes) beside = file_read("ed25519.sig", 65536, NULL);
	struct verify_options options = { .detached = beside };
	autofd int fd = open("data", O_RDONLY | O_CLOEXEC);
	g_autoptr(GError) error = NULL;

	assert_false(verify_file(fd, &options, NULL, &error));
	assert_true(g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN));
	assert_non_null(strstr(error->message, "without --allowed-signers"));
}

static int setup(void **state)
{
	if (trust_setup(state) != 0)
		return -1;
	trust_run("seq 3000 >data; echo other >other\n"
		  "for t in ed25519 'rsa -b 3072' ecdsa; do k=${t%%%% *}; ssh-keygen -q -t $t -N '' -C me -f $k\n"
		  "ssh-keygen -q -Y sign -f $k -n file <data >$k.sig; done\n"
		  "ssh-keygen -q -Y sign -f ed25519 -n git <data >git.sig\n"
		  "ssh-keygen -q -s rsa -I id -n me ed25519.pub\n"
		  "ssh-keygen -q -Y sign -f ed25519-cert.pub -n file <data >cert.sig");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signature_by_every_kind_of_key_is_good),
		cmocka_unit_test(another_key_is_no_signer),
		cmocka_unit_test(a_signature_for_git_is_none_for_files),
		cmocka_unit_test(a_certificate_is_refused_by_name),
		cmocka_unit_test(bytes_around_the_armor_are_refused),
		cmocka_unit_test(the_options_of_a_line_are_kept),
		cmocka_unit_test(a_later_line_may_allow_what_an_earlier_one_does_not),
		cmocka_unit_test(a_file_that_breaks_the_grammar_is_not_believed),
		cmocka_unit_test(without_allowed_signers_nothing_is_found_out),
	};

	return cmocka_run_group_tests(tests, setup, trust_teardown);
}
