/* Authenticode over PE images: vectors, round trips judged by osslsigncode and sbverify, and the forged twins. */
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

#include "signer/cms_write.h"
#include "signer/pe.h"
#include "tests/unit/support_pki.h"

static int begin(void **state)
{
	g_autofree char *exe = NULL, *dll = NULL, *efi = NULL, *root = NULL;
	g_autoptr(GBytes) pem = NULL;

	pki_begin(state);
	exe = pki_image("a.exe", "x86_64", "");
	dll = pki_image("a.dll", "i686", "-shared");
	efi = pki_image("a.efi", "x86_64", "-Wl,--subsystem,10 -Wl,-e,efi_main");
	pem = pki_pem(pki.root.certificate, NULL);
	root = pki_file("root.pem", pem);
	return 0;
}

static gboolean sign_with(const char *in, const char *out, const struct pki_identity *signer,
    const struct format_parameters *parameters, GError **error)
{
	struct pki_signing wish = { .format = "authenticode", .in = in, .out = out, .signer = signer };

	if (parameters != NULL)
		wish.parameters = *parameters;
	return pki_sign_file(&wish, error);
}

static void sign(const char *in, const char *out)
{
	g_autoptr(GError) error = NULL;

	assert_done(sign_with(in, out, &pki.p256, NULL, &error), error);
}

static void assert_osslsigncode_accepts(const char *name)
{
	g_autofree char *output = NULL;

	if (pki_run(&output, "osslsigncode verify -CAfile root.pem -in %s", name) != 0)
		fail_msg("%s", output);
}

static const struct format_signature *only(GPtrArray *found)
{
	assert_non_null(found);
	assert_int_equal(found->len, 1);
	return g_ptr_array_index(found, 0);
}

static void assert_good(const char *name)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = pki_read("authenticode", name, NULL, &error);

	assert_done(found != NULL && found->len > 0, error);
	for (guint i = 0; i < found->len; i++) {
		const struct format_signature *s = g_ptr_array_index(found, i);
		if (!s->digest_matches || !s->intact)
			fail_msg("%s", s->why);
	}
}

/* One byte of the signed file is another. The header's checksum is set right again. */
static void forge(const char *from, const char *to, size_t at)
{
	autofd int fd = pki_open(from), out = pki_open(to);
	g_autoptr(GBytes) bytes = pki_bytes(fd), forged = pki_flip(bytes, at);
	struct pe pe;
	uint32_t sum;

	assert_true(ftruncate(out, 0) == 0 && lseek(out, 0, SEEK_SET) == 0);
	assert_true(fd_write_all(out, g_bytes_get_data(forged, NULL), g_bytes_get_size(forged), NULL));
	if (!pe_read(out, &pe, NULL) || !pe_checksum(out, &pe, &sum, NULL))
		return;
	sum = GUINT32_TO_LE(sum);
	assert_int_equal(pwrite(out, &sum, 4, pe.checksum_at), 4);
}

static size_t place(const char *name, const void *needle, size_t size)
{
	autofd int fd = pki_open(name);
	g_autoptr(GBytes) bytes = pki_bytes(fd);

	return pki_find(bytes, needle, size);
}

static void what_is_signed_matches_the_vector(void **state G_GNUC_UNUSED)
{
	static const char expected[] = "317c3010060a2b06010401823702010c31023000301906092a864886f70d010903310c060a2b060"
				       "104018237020104301c060a2b0601040182"
				       "3702010b310e300c060a2b060104018237020115302f06092a864886f70d0109043122042053f4d"
				       "80dbb390c5e5d5187e78030efbcbdf7d7201b"
				       "986b0784d950d225ae1930";
	struct format_digest digest = { .hash = (char *)"sha256", .size = 32 };
	struct format_parameters parameters = { 0 };
	g_autoptr(GBytes) bytes = NULL;
	g_autofree char *hex = NULL;

	for (guint i = 0; i < 32; i++)
		digest.value[i] = i;
	bytes = format_named("authenticode")->to_be_signed(&digest, &parameters, NULL);
	hex = hex_encode(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	assert_string_equal(hex, expected);
}

static void name_and_address_stand_in_the_opus_info(void **state G_GNUC_UNUSED)
{
	struct format_digest digest = { .hash = (char *)"sha256", .size = 32 };
	struct format_parameters parameters = { .description = "Hello", .url = "http://a/" };
	g_autoptr(GBytes) bytes = format_named("authenticode")->to_be_signed(&digest, &parameters, NULL);

	pki_find(bytes, "\x30\x16\xA0\x07\x81\x05Hello\xA1\x0B\x80\x09http://a/", 24);
	parameters.description = "h\xC3\xA9";
	g_bytes_unref(bytes);
	bytes = format_named("authenticode")->to_be_signed(&digest, &parameters, NULL);
	pki_find(bytes, "\xA0\x06\x80\x04\0h\0\xE9", 8);
}

static void osslsigncode_accepts_every_kind_of_image_and_key(void **state G_GNUC_UNUSED)
{
	static const char *const images[] = { "a.exe", "a.dll", "a.efi" };
	const struct pki_identity *signers[] = { &pki.rsa, &pki.p256, &pki.p384 };
	static const char *const hashes[] = { "sha256", "sha512", "sha384" };

	for (guint i = 0; i < 3; i++)
		for (guint j = 0; j < 3; j++) {
			struct format_parameters p = { .hash = hashes[j] };
			g_autoptr(GError) error = NULL;
			assert_done(sign_with(images[i], "signed.exe", signers[j], &p, &error), error);
			assert_osslsigncode_accepts("signed.exe");
			assert_good("signed.exe");
		}
}

static void firmware_tools_accept_a_signed_efi_image(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;
	g_autoptr(GError) error = NULL;

	assert_done(sign_with("a.efi", "signed.efi", &pki.rsa, NULL, &error), error);
	if (pki_run(&output, "sbverify --cert root.pem signed.efi") != 0)
		fail_msg("%s", output);
}

static void an_image_signed_by_others_is_read(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) pem = pki_pem(pki.rsa.certificate, NULL);
	g_autofree char *certificate = pki_file("rsa.pem", pem), *key = pki_path("rsa.key"), *output = NULL;
	BIO *bio = BIO_new_file(key, "w");

	PEM_write_bio_PrivateKey(bio, pki.rsa.key, NULL, NULL, 0, NULL, NULL);
	BIO_free(bio);
	assert_int_equal(
	    pki_run(&output, "osslsigncode sign -certs rsa.pem -key rsa.key -h sha256 -in a.exe -out foreign.exe && "
			     "sbsign --cert rsa.pem --key rsa.key --output foreign.efi a.efi"),
	    0);
	assert_good("foreign.exe");
	assert_good("foreign.efi");
}

static void rsa_signatures_are_reproducible(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *output = NULL;

	assert_done(sign_with("a.exe", "one.exe", &pki.rsa, NULL, &error), error);
	assert_done(sign_with("a.exe", "two.exe", &pki.rsa, NULL, &error), error);
	assert_int_equal(pki_run(&output, "cmp one.exe two.exe"), 0);
}

static void a_signed_input_is_refused_by_default(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	sign("a.exe", "signed.exe");
	assert_false(sign_with("signed.exe", "again.exe", &pki.p256, NULL, &error));
	assert_says(error, "--append adds to it, --replace takes it out");
}

static void a_signature_is_replaced(void **state G_GNUC_UNUSED)
{
	struct format_parameters p = { .replace = TRUE };
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = NULL;
	g_autofree char *key = NULL;

	sign("a.exe", "signed.exe");
	assert_done(sign_with("signed.exe", "again.exe", &pki.p384, &p, &error), error);
	found = pki_read("authenticode", "again.exe", NULL, &error);
	assert_int_equal(X509_cmp(only(found)->certificate, pki.p384.certificate), 0);
	assert_osslsigncode_accepts("again.exe");
}

static void a_signature_is_added_as_a_nested_one(void **state G_GNUC_UNUSED)
{
	struct format_parameters p = { .append = TRUE };
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = NULL;

	sign("a.exe", "signed.exe");
	assert_done(sign_with("signed.exe", "twice.exe", &pki.rsa, &p, &error), error);
	assert_done(sign_with("twice.exe", "thrice.exe", &pki.p384, &p, &error), error);
	found = pki_read("authenticode", "thrice.exe", NULL, &error);
	assert_done(found != NULL, error);
	assert_int_equal(found->len, 3);
	assert_int_equal(((struct format_signature *)g_ptr_array_index(found, 2))->nesting, 1);
	assert_good("thrice.exe");
	assert_osslsigncode_accepts("twice.exe");
	assert_osslsigncode_accepts("thrice.exe");
}

static void nothing_is_added_to_a_bad_signature(void **state G_GNUC_UNUSED)
{
	struct format_parameters p = { .append = TRUE };
	g_autoptr(GError) error = NULL;

	sign("a.exe", "signed.exe");
	forge("signed.exe", "forged.exe", 0x50);
	assert_false(sign_with("forged.exe", "twice.exe", &pki.rsa, &p, &error));
	assert_says(error, "nothing is added to a signature that is not good");
}

static void stripping_gives_the_unsigned_image_back(void **state G_GNUC_UNUSED)
{
	autofd int in = -1, out = -1;
	g_autofree char *output = NULL;
	g_autoptr(GError) error = NULL;

	sign("a.exe", "signed.exe");
	in = pki_open("signed.exe");
	out = pki_open("stripped.exe");
	assert_done(format_named("authenticode")->strip(in, out, &error), error);
	assert_int_equal(pki_run(&output, "cmp a.exe stripped.exe"), 0); /* its size is a multiple of 8 */
	assert_false(format_named("authenticode")->strip(out, in, &error));
	assert_says(error, "there is no signature");
}

static void a_changed_byte_of_the_image_shows(void **state G_GNUC_UNUSED)
{
	g_autoptr(GPtrArray) found = NULL;

	sign("a.exe", "signed.exe");
	forge("signed.exe", "forged.exe", 0x50);
	found = pki_read("authenticode", "forged.exe", NULL, NULL);
	assert_false(only(found)->digest_matches);
	assert_true(only(found)->intact);
	assert_non_null(strstr(only(found)->why, "the file was changed"));
}

static void a_wrong_checksum_shows(void **state G_GNUC_UNUSED)
{
	autofd int fd = -1;
	g_autoptr(GPtrArray) found = NULL;
	struct pe pe;

	sign("a.exe", "sum.exe");
	fd = pki_open("sum.exe");
	assert_true(pe_read(fd, &pe, NULL));
	assert_int_equal(pwrite(fd, "\1\2\3\4", 4, pe.checksum_at), 4);
	found = pki_read("authenticode", "sum.exe", NULL, NULL);
	assert_false(only(found)->digest_matches);
	assert_non_null(strstr(only(found)->why, "checksum is 04030201"));
}

static void a_changed_attribute_shows(void **state G_GNUC_UNUSED)
{
	g_autoptr(GPtrArray) found = NULL;
	static const uint8_t statement[] = { 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x15 };

	sign("a.exe", "signed.exe");
	forge("signed.exe", "forged.exe", place("signed.exe", statement, sizeof(statement)) + 9);
	found = pki_read("authenticode", "forged.exe", NULL, NULL);
	assert_true(only(found)->digest_matches);
	assert_false(only(found)->intact);
	assert_non_null(strstr(only(found)->why, "does not verify with the signer's certificate"));
}

static void a_changed_signature_shows(void **state G_GNUC_UNUSED)
{
	g_autoptr(GPtrArray) found = NULL, forged = NULL;
	gsize size;
	const void *value;

	sign("a.exe", "signed.exe");
	found = pki_read("authenticode", "signed.exe", NULL, NULL);
	value = g_bytes_get_data(only(found)->signature, &size);
	forge("signed.exe", "forged.exe", place("signed.exe", value, size) + size - 1);
	forged = pki_read("authenticode", "forged.exe", NULL, NULL);
	assert_false(only(forged)->intact);
}

static void a_changed_digest_in_the_content_shows(void **state G_GNUC_UNUSED)
{
	g_autoptr(GPtrArray) forged = NULL;
	autofd int fd = -1;
	struct pe pe;
	uint8_t digest[32];

	sign("a.exe", "signed.exe");
	fd = pki_open("signed.exe");
	assert_true(pe_read(fd, &pe, NULL) && pe_digest(fd, &pe, EVP_sha256(), digest, NULL));
	forge("signed.exe", "forged.exe", place("signed.exe", digest, 32));
	forged = pki_read("authenticode", "forged.exe", NULL, NULL);
	assert_false(only(forged)->digest_matches);
	assert_false(only(forged)->intact);
}

static void another_certificate_of_that_name_does_not_verify(void **state G_GNUC_UNUSED)
{
	struct pki_identity other = pki_make(&(struct pki_wish){ "Acme P-256", "p256", "codeSigning", &pki.root, 0, 0 });
	g_autoptr(GError) error = NULL;
	struct pki_identity mixed = { other.key, pki.p256.certificate };

	assert_false(sign_with("a.exe", "mixed.exe", &mixed, NULL, &error));
	assert_says(error, "it belongs to another key");
	pki_drop(&other);
}

/* The image with any bytes as its certificate. */
static GPtrArray *read_with(GBytes *signature, GError **error)
{
	autofd int in = pki_open("a.exe"), out = memfd_new("image", NULL);
	struct pe pe;

	assert_true(pe_read(in, &pe, NULL) && pe_write(in, out, &pe, signature, NULL));
	return format_named("authenticode")->read(out, NULL, NULL, error);
}

static GBytes *signature_of(const char *name)
{
	g_autoptr(GPtrArray) found = pki_read("authenticode", name, NULL, NULL);

	return g_bytes_ref(only(found)->cms);
}

static void assert_unreadable(GBytes *signature, const char *words)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = read_with(signature, &error);

	assert_null(found);
	assert_says(error, words);
	g_bytes_unref(signature);
}

static void a_signature_cut_anywhere_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) whole = NULL;

	sign("a.exe", "signed.exe");
	whole = signature_of("signed.exe");
	for (gsize size = 2; size < g_bytes_get_size(whole); size += 37) {
		g_autoptr(GError) error = NULL;
		g_autoptr(GBytes) cut = g_bytes_new_from_bytes(whole, 0, size);
		g_autoptr(GPtrArray) found = read_with(cut, &error);
		assert_null(found);
		assert_says(error, "at offset");
	}
}

static void a_signature_nested_in_a_nested_one_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) leaf = NULL, inner = NULL;
	autoptr(cms) cms = NULL;
	autoptr(cms) middle = NULL;

	sign("a.exe", "signed.exe");
	leaf = signature_of("signed.exe");
	cms = cms_read(leaf, "it", NULL);
	inner = cms_add_unsigned(cms, OID_NESTED_SIGNATURE, leaf, NULL);
	middle = cms_read(inner, "it", NULL);
	assert_unreadable(cms_add_unsigned(cms, OID_NESTED_SIGNATURE, inner, NULL), "nested in a nested one");
}

static void an_attribute_that_stands_twice_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) leaf = NULL;
	static const uint8_t statement[] = { 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0b };
	gsize size;
	uint8_t *copy;

	sign("a.exe", "signed.exe");
	leaf = signature_of("signed.exe");
	copy = g_memdup2(g_bytes_get_data(leaf, &size), g_bytes_get_size(leaf));
	size = g_bytes_get_size(leaf);
	copy[pki_find(leaf, statement, sizeof(statement)) + 11] = 0x0c; /* a second opus info */
	assert_unreadable(g_bytes_new_take(copy, size), "attribute 1.3.6.1.4.1.311.2.1.12 stands twice");
}

static void another_kind_of_file_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) leaf = NULL;
	static const uint8_t image_data[] = { 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f };

	sign("a.exe", "signed.exe");
	leaf = signature_of("signed.exe");
	assert_unreadable(pki_flip(leaf, pki_find(leaf, image_data, sizeof(image_data)) + 9), "another kind of file");
}

static void sha1_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) pem = pki_pem(pki.rsa.certificate, NULL);
	g_autofree char *certificate = pki_file("rsa.pem", pem), *output = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = NULL;

	assert_int_equal(
	    pki_run(&output, "osslsigncode sign -certs rsa.pem -key rsa.key -h sha1 -in a.exe -out old.exe"), 0);
	found = pki_read("authenticode", "old.exe", NULL, &error);
	assert_null(found);
	assert_says(error, "SHA-1 is broken and not accepted");
}

static void certificates_that_may_not_sign_code_are_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) mail = NULL, expired = NULL, authority = NULL;

	assert_false(sign_with("a.exe", "no.exe", &pki.mail, NULL, &mail));
	assert_says(mail, "does not name codeSigning");
	assert_false(sign_with("a.exe", "no.exe", &pki.expired, NULL, &expired));
	assert_says(expired, "is valid from");
	assert_false(sign_with("a.exe", "no.exe", &pki.root, NULL, &authority));
	assert_says(authority, "certificate authority");
}

static void a_chain_in_the_wrong_order_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) pem = pki_pem(pki.p256.certificate, pki.stamp_root.certificate, NULL);
	g_autoptr(GError) error = NULL;

	assert_null(certificates_load(pem, time_now_ms(), &error));
	assert_says(error, "did not issue the one before it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_signed_matches_the_vector),
		cmocka_unit_test(name_and_address_stand_in_the_opus_info),
		cmocka_unit_test(osslsigncode_accepts_every_kind_of_image_and_key),
		cmocka_unit_test(firmware_tools_accept_a_signed_efi_image),
		cmocka_unit_test(an_image_signed_by_others_is_read),
		cmocka_unit_test(rsa_signatures_are_reproducible),
		cmocka_unit_test(a_signed_input_is_refused_by_default),
		cmocka_unit_test(a_signature_is_replaced),
		cmocka_unit_test(a_signature_is_added_as_a_nested_one),
		cmocka_unit_test(nothing_is_added_to_a_bad_signature),
		cmocka_unit_test(stripping_gives_the_unsigned_image_back),
		cmocka_unit_test(a_changed_byte_of_the_image_shows),
		cmocka_unit_test(a_wrong_checksum_shows),
		cmocka_unit_test(a_changed_attribute_shows),
		cmocka_unit_test(a_changed_signature_shows),
		cmocka_unit_test(a_changed_digest_in_the_content_shows),
		cmocka_unit_test(another_certificate_of_that_name_does_not_verify),
		cmocka_unit_test(a_signature_cut_anywhere_is_refused),
		cmocka_unit_test(a_signature_nested_in_a_nested_one_is_refused),
		cmocka_unit_test(an_attribute_that_stands_twice_is_refused),
		cmocka_unit_test(another_kind_of_file_is_refused),
		cmocka_unit_test(sha1_is_refused),
		cmocka_unit_test(certificates_that_may_not_sign_code_are_refused),
		cmocka_unit_test(a_chain_in_the_wrong_order_is_refused),
	};

	return cmocka_run_group_tests(tests, begin, pki_end);
}
