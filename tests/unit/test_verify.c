/* Whether a file's signatures are good: chains, stamps, nested ones, and what cannot be found out. */
#include <string.h>
#include <unistd.h>

#include "signer/cms_write.h"
#include "signer/pe.h"
#include "signer/timestamp.h"
#include "signer/verify.h"
#include "tests/unit/support_pki.h"

#define DAY (INT64_C(24) * 3600 * 1000)

static GBytes *roots, *stamp_roots;

static int begin(void **state)
{
	g_autofree char *exe = NULL, *file = NULL, *root = NULL, *stamps = NULL;
	g_autoptr(GBytes) data = g_bytes_new_static("some data\n", 10);

	pki_begin(state);
	exe = pki_image("a.exe", "x86_64", "");
	file = pki_file("data", data);
	roots = pki_pem(pki.root.certificate, NULL);
	stamp_roots = pki_pem(pki.stamp_root.certificate, NULL);
	root = pki_file("roots.pem", roots);
	stamps = pki_file("stamps.pem", stamp_roots);
	return 0;
}

static int end(void **state)
{
	g_bytes_unref(roots);
	g_bytes_unref(stamp_roots);
	return pki_end(state);
}

static int64_t stamp_time; /* 0: now */
static GBytes *stamp_over; /* NULL: the signature */

static GBytes *stamp(GBytes *signature)
{
	g_autoptr(GBytes) query = timestamp_query(stamp_over != NULL ? stamp_over : signature, NULL);
	g_autoptr(GBytes) response = pki_stamp(&pki.stamper, query, stamp_time);
	int64_t at = stamp_time != 0 ? stamp_time : time_now_ms();
	g_autoptr(GError) error = NULL;
	GBytes *token = timestamp_accept(response, query, stamp_roots, at, at, NULL, &error);

	assert_done(token, error);
	return token;
}

static void sign(const char *in, const char *out, const struct pki_identity *signer, gboolean stamped,
    struct format_parameters parameters)
{
	struct pki_signing wish = { .format = strstr(in, "exe") != NULL ? "authenticode" : "cms",
		.in = in,
		.out = out,
		.signer = signer,
		.parameters = parameters,
		.stamp = stamped ? stamp : NULL };
	g_autoptr(GError) error = NULL;

	assert_done(pki_sign_file(&wish, &error), error);
}

static const struct format_parameters plain;

static gboolean verify(
    const char *name, const char *detached, GBytes *with, GBytes *stamps, struct json **report, GError **error)
{
	autofd int fd = pki_open(name), beside = detached != NULL ? pki_open(detached) : -1;
	g_autoptr(GBytes) signature = beside >= 0 ? pki_bytes(beside) : NULL;
	struct verify_options options = { .roots = with, .timestamp_roots = stamps, .detached = signature };

	return verify_file(fd, &options, report, error);
}

static void a_signed_image_is_good(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	autoptr(json) report = NULL;

	sign("a.exe", "s.exe", &pki.p256, FALSE, plain);
	assert_ok(verify("s.exe", NULL, roots, NULL, &report, &error), error);
	assert_int_equal(json_length(report), 1);
	assert_string_equal(json_string(json_at(report, 0), "subject"), "CN=Acme P-256");
	assert_true(json_boolean(json_at(report, 0), "good", FALSE));
}

static void a_stamped_image_tells_its_time(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *output = NULL;
	autoptr(json) report = NULL;

	sign("a.exe", "s.exe", &pki.rsa, TRUE, plain);
	assert_ok(verify("s.exe", NULL, roots, stamp_roots, &report, &error), error);
	assert_string_equal(json_as_string(json_path(report, "0.timestamp.authority")), "CN=Stamps");
	if (pki_run(&output, "osslsigncode verify -CAfile roots.pem -TSA-CAfile stamps.pem -in s.exe") != 0)
		fail_msg("%s", output);
}

static void an_image_stamped_by_others_is_good(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;
	g_autoptr(GError) error = NULL;

	sign("a.exe", "s.exe", &pki.rsa, TRUE, plain);
	assert_int_equal(
	    pki_run(&output,
		"osslsigncode extract-signature -in s.exe -out s.p7 && osslsigncode attach-signature -sigin s.p7 "
		"-CAfile roots.pem -TSA-CAfile stamps.pem -in a.exe -out moved.exe"),
	    0);
	assert_ok(verify("moved.exe", NULL, roots, stamp_roots, NULL, &error), error);
}

static void a_detached_signature_is_good(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	sign("data", "data.p7s", &pki.p384, TRUE, plain);
	assert_ok(verify("data", "data.p7s", roots, stamp_roots, NULL, &error), error);
	assert_refused(verify("a.exe", "data.p7s", roots, stamp_roots, NULL, &error), error, "the file was changed");
}

static void an_unsigned_file_is_not_good(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	assert_refused(verify("a.exe", NULL, roots, NULL, NULL, &error), error, "it bears no signature");
	assert_refused(verify("data", NULL, roots, NULL, NULL, &error), error, "--detached");
}

static void without_roots_nothing_is_found_out(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	sign("a.exe", "s.exe", &pki.p256, TRUE, plain);
	assert_fails(verify("s.exe", NULL, NULL, stamp_roots, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "--roots");
	assert_fails(verify("s.exe", NULL, roots, NULL, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "timestamp");
}

static void a_bad_signature_is_refused_even_without_roots(void **state G_GNUC_UNUSED)
{
	autofd int fd = -1;
	g_autoptr(GError) error = NULL;

	sign("a.exe", "forged.exe", &pki.p256, FALSE, plain);
	fd = pki_open("forged.exe");
	assert_int_equal(pwrite(fd, "?", 1, 0x50), 1);
	assert_fails(verify("forged.exe", NULL, NULL, NULL, NULL, &error), error, TAGSEAL_ERROR_REFUSED, "changed");
}

static void a_signer_under_other_roots_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	sign("a.exe", "s.exe", &pki.p256, FALSE, plain);
	assert_refused(verify("s.exe", NULL, stamp_roots, NULL, NULL, &error), error, "no good chain to the roots");
}

static void an_expired_certificate_is_good_with_a_stamp_only(void **state G_GNUC_UNUSED)
{
	struct format_parameters then = { .time_ms = time_now_ms() - 100 * DAY };
	g_autoptr(GError) error = NULL;

	sign("a.exe", "bare.exe", &pki.expired, FALSE, then);
	assert_refused(verify("bare.exe", NULL, roots, stamp_roots, NULL, &error), error, "expired");
	stamp_time = then.time_ms;
	sign("a.exe", "stamped.exe", &pki.expired, TRUE, then);
	assert_ok(verify("stamped.exe", NULL, roots, stamp_roots, NULL, &error), error);
	assert_fails(verify("stamped.exe", NULL, roots, NULL, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "timestamp");
	assert_refused(verify("stamped.exe", NULL, stamp_roots, NULL, NULL, &error), error, "no good chain");
	stamp_time = time_now_ms();
	sign("a.exe", "late.exe", &pki.expired, TRUE, then);
	stamp_time = 0;
	assert_refused(verify("late.exe", NULL, roots, stamp_roots, NULL, &error), error, "expired");
}

static void the_time_to_judge_at_may_be_given(void **state G_GNUC_UNUSED)
{
	struct format_parameters then = { .time_ms = time_now_ms() - 100 * DAY };
	struct verify_options options = { .roots = roots, .at_ms = then.time_ms };
	g_autoptr(GError) error = NULL;
	autofd int fd = -1;

	sign("a.exe", "bare.exe", &pki.expired, FALSE, then);
	fd = pki_open("bare.exe");
	assert_ok(verify_file(fd, &options, NULL, &error), error);
}

static void a_lifetime_signer_is_not_prolonged_by_a_stamp(void **state G_GNUC_UNUSED)
{
	struct format_parameters then = { .time_ms = time_now_ms() - 100 * DAY };
	struct pki_identity lifetime =
	    pki_make(&(struct pki_wish){ "Once", "p256", "codeSigning,1.3.6.1.4.1.311.10.3.13", &pki.root, -400, -30 });
	g_autoptr(GError) error = NULL;

	stamp_time = then.time_ms;
	sign("a.exe", "once.exe", &lifetime, TRUE, then);
	stamp_time = 0;
	assert_refused(verify("once.exe", NULL, roots, stamp_roots, NULL, &error), error, "expired");
	pki_drop(&lifetime);
}

static void the_token_of_another_file_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	stamp_over = roots;
	sign("a.exe", "s.exe", &pki.p256, TRUE, plain);
	stamp_over = NULL;
	assert_refused(verify("s.exe", NULL, roots, stamp_roots, NULL, &error), error, "over other data");
}

static void a_token_under_the_signers_root_only_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	sign("a.exe", "s.exe", &pki.p256, TRUE, plain);
	assert_refused(verify("s.exe", NULL, roots, roots, NULL, &error), error, "no good chain to the timestamp roots");
}

static void nested_signatures_are_reported_each(void **state G_GNUC_UNUSED)
{
	struct format_parameters append = { .append = TRUE };
	g_autoptr(GError) error = NULL;
	autoptr(json) report = NULL;

	sign("a.exe", "s.exe", &pki.p256, TRUE, plain);
	sign("s.exe", "both.exe", &pki.rsa, TRUE, append);
	assert_ok(verify("both.exe", NULL, roots, stamp_roots, &report, &error), error);
	assert_int_equal(json_length(report), 2);
}

static void a_nested_signature_of_a_stranger_spoils_the_file(void **state G_GNUC_UNUSED)
{
	struct pki_identity stranger =
	    pki_make(&(struct pki_wish){ "Stranger", "p256", "codeSigning", &pki.stamp_root, 0, 0 });
	g_autoptr(GBytes) chain = pki_pem(stranger.certificate, NULL), tbs = NULL, signature = NULL;
	const struct format *format = format_named("authenticode");
	struct format_parameters p = { .append = TRUE, .certificates = chain, .time_ms = time_now_ms() };
	struct format_digest digest;
	g_autoptr(GError) error = NULL;
	g_autofree char *hash = NULL;
	autofd int in = -1, out = pki_open("spoiled.exe");

	sign("a.exe", "s.exe", &pki.p256, FALSE, plain);
	in = pki_open("s.exe");
	assert_true(format->digest(in, &p, &digest, NULL));
	hash = digest.hash;
	tbs = format->to_be_signed(&digest, &p, NULL);
	signature = pki_sign(stranger.key, EVP_sha256(), tbs);
	assert_true(format->attach(in, out, &digest, &p, signature, NULL, NULL));
	assert_refused(verify("spoiled.exe", NULL, roots, NULL, NULL, &error), error, "no good chain");
	pki_drop(&stranger);
}

/* A signature by a certificate that certificates_load() would not take. */
static void a_signer_without_the_usage_is_refused(void **state G_GNUC_UNUSED)
{
	const struct format *format = format_named("authenticode");
	struct format_digest digest;
	struct format_parameters p = { 0 };
	g_autoptr(GBytes) tbs = NULL, signature = NULL, message = NULL;
	g_autofree char *hash = NULL;
	g_autoptr(GError) error = NULL;
	STACK_OF(X509) *certificates = sk_X509_new_null();
	autofd int in = pki_open("a.exe"), out = pki_open("mail.exe");
	autoptr(cms) cms = NULL;
	g_autoptr(GPtrArray) found = NULL;
	struct pe pe;

	sign("a.exe", "s.exe", &pki.p256, FALSE, plain);
	found = pki_read("authenticode", "s.exe", NULL, NULL);
	cms = cms_read(((struct format_signature *)g_ptr_array_index(found, 0))->cms, "it", NULL);
	assert_true(format->digest(in, &p, &digest, NULL));
	hash = digest.hash;
	tbs = format->to_be_signed(&digest, &p, NULL);
	signature = pki_sign(pki.mail.key, EVP_sha256(), tbs);
	sk_X509_push(certificates, pki.mail.certificate);
	message = cms_write(&(struct cms_recipe){ .content_type = OID_SPC_INDIRECT_DATA,
				.content_element = cms->content_element,
				.certificates = certificates,
				.hash = cms_hash_named("sha256"),
				.attributes = tbs,
				.signature = signature,
				.null_parameters = TRUE },
	    &error);
	sk_X509_free(certificates);
	assert_done(message, error);
	assert_true(pe_read(in, &pe, NULL) && pe_write(in, out, &pe, message, NULL));
	assert_refused(verify("mail.exe", NULL, roots, NULL, NULL, &error), error, "does not name codeSigning");
}

/* The Ed25519 key of RFC 8032's first test, and its signature over "hello\n". */
static const char pgp_key[] =
    "c633045e0be10016092b06010401da470f01010740d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a"
    "68f707511acd1754657374203c74657374406578616d706c652e636f6d3ec2890413160800311621046ba900248d02e0"
    "23fa608875cf2d8fb97a0c941a05025e0be100021b03040b09080704150a090803160201021e01000a0910cf2d8fb97a"
    "0c941ad91f0100e8fc80271f131c068019318a02a1bde1da3c7b9e6db84c8d088c60cc58f5beb40100df3283609a43db"
    "2d8771e4e5a0865d73dd263575700ef8abd9ccdc6e0bd5390d";
static const char pgp_signature[] =
    "c27504001608001d1621046ba900248d02e023fa608875cf2d8fb97a0c941a05025e0be100000a0910cf2d8fb97a0c94"
    "1a199900fe23deeb2c766b98248713ae73268e878a987bc5806a415acf05d334ea68c6e9b700ff7462c170c706007bed"
    "abce9e7f7fc504fd3e366b8c0ae64ea3ffad590ffd690b";

static GBytes *from_hex(const char *hex)
{
	size_t size = strlen(hex) / 2;
	uint8_t *bytes = g_malloc(size);

	assert_true(hex_decode(hex, bytes, size));
	return g_bytes_new_take(bytes, size);
}

static void an_openpgp_signature_is_judged_by_the_keys_given(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) hello = g_bytes_new_static("hello\n", 6), key = from_hex(pgp_key),
			  signature = from_hex(pgp_signature);
	struct verify_options options = { .openpgp_keys = key, .detached = signature };
	autofd int fd = memfd_from_bytes("hello", hello, NULL), other = pki_open("data");
	g_autoptr(GError) error = NULL;

	assert_ok(verify_file(fd, &options, NULL, &error), error);
	assert_fails(verify_file(other, &options, NULL, &error), error, TAGSEAL_ERROR_REFUSED, "openpgp signature");
	options.openpgp_keys = NULL;
	assert_fails(verify_file(fd, &options, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "--openpgp-keys");
}

/* OpenPGP has no stamp: the signature's own word for when it was made moves nothing. */
static void an_openpgp_signature_must_be_good_at_the_time_asked_for(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;
	g_autoptr(GBytes) key = NULL, signature = NULL;
	struct verify_options options = { 0 };
	g_autoptr(GError) error = NULL;
	autofd int fd = pki_open("data"), key_fd = -1, signature_fd = -1;

	if (pki_run(&output,
		"mkdir -m 700 gpg && G='gpg -q --batch --homedir gpg --pinentry-mode loopback --passphrase x' && "
		"$G --faked-system-time 20200101T000000 --quick-gen-key old ed25519 sign 30d && "
		"$G --faked-system-time 20200102T000000 --detach-sign -o old.sig data && $G --export -o old.gpg; "
		"s=$?; gpgconf --homedir gpg --kill gpg-agent; exit $s") != 0)
		fail_msg("%s", output);
	options.openpgp_keys = key = pki_bytes(key_fd = pki_open("old.gpg"));
	options.detached = signature = pki_bytes(signature_fd = pki_open("old.sig"));
	assert_refused(verify_file(fd, &options, NULL, &error), error, "its key expired at 2020-01-31T00:00:00.000Z");
	assert_true(time_parse_ms("2020-01-10T00:00:00Z", &options.at_ms));
	assert_ok(verify_file(fd, &options, NULL, &error), error);
	assert_true(time_parse_ms("2020-01-01T12:00:00Z", &options.at_ms));
	assert_refused(verify_file(fd, &options, NULL, &error), error, "after the time that it is judged at");
}

static void a_detached_kind_that_nobody_knows_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) ssh = g_bytes_new_static("-----BEGIN SSH SIGNATURE-----\n", 30);
	struct verify_options options = { .roots = roots, .detached = roots };
	g_autoptr(GError) error = NULL;
	autofd int fd = pki_open("data");

	assert_refused(verify_file(fd, &options, NULL, &error), error, "neither CMS, OpenPGP nor SSH");
	options.detached = ssh;
	assert_refused(verify_file(fd, &options, NULL, &error), error, "the signature has no END line");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signed_image_is_good),
		cmocka_unit_test(a_stamped_image_tells_its_time),
		cmocka_unit_test(an_image_stamped_by_others_is_good),
		cmocka_unit_test(a_detached_signature_is_good),
		cmocka_unit_test(an_unsigned_file_is_not_good),
		cmocka_unit_test(without_roots_nothing_is_found_out),
		cmocka_unit_test(a_bad_signature_is_refused_even_without_roots),
		cmocka_unit_test(a_signer_under_other_roots_is_refused),
		cmocka_unit_test(an_expired_certificate_is_good_with_a_stamp_only),
		cmocka_unit_test(the_time_to_judge_at_may_be_given),
		cmocka_unit_test(a_lifetime_signer_is_not_prolonged_by_a_stamp),
		cmocka_unit_test(the_token_of_another_file_is_refused),
		cmocka_unit_test(a_token_under_the_signers_root_only_is_refused),
		cmocka_unit_test(nested_signatures_are_reported_each),
		cmocka_unit_test(a_nested_signature_of_a_stranger_spoils_the_file),
		cmocka_unit_test(a_signer_without_the_usage_is_refused),
		cmocka_unit_test(an_openpgp_signature_is_judged_by_the_keys_given),
		cmocka_unit_test(an_openpgp_signature_must_be_good_at_the_time_asked_for),
		cmocka_unit_test(a_detached_kind_that_nobody_knows_is_refused),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
