/* Detached CMS signatures, judged by openssl and GnuTLS, and the forged twins. */
#include <openssl/pem.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "signer/cms_write.h"
#include "tests/unit/support_pki.h"

static int begin(void **state)
{
	g_autoptr(GBytes) pem = NULL, data = g_bytes_new_static("hello\r\nworld\n", 13);
	g_autofree char *root = NULL, *file = NULL;

	pki_begin(state);
	pem = pki_pem(pki.root.certificate, NULL);
	root = pki_file("root.pem", pem);
	file = pki_file("data", data);
	return 0;
}

static gboolean sign_with(const struct pki_identity *signer, const char *hash, GError **error)
{
	struct pki_signing wish = { .format = "cms", .in = "data", .out = "data.p7s", .signer = signer };

	wish.parameters.hash = hash;
	return pki_sign_file(&wish, error);
}

static GBytes *signature(void)
{
	g_autoptr(GError) error = NULL;
	autofd int fd = -1;

	assert_done(sign_with(&pki.p256, NULL, &error), error);
	fd = pki_open("data.p7s");
	return pki_bytes(fd);
}

static GPtrArray *read_with(GBytes *detached, GError **error)
{
	autofd int fd = pki_open("data");

	return format_named("cms")->read(fd, detached, NULL, error);
}

static void assert_flawed(GBytes *detached, const char *words)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = read_with(detached, &error);
	const struct format_signature *s;

	assert_done(found != NULL && found->len == 1, error);
	s = g_ptr_array_index(found, 0);
	assert_false(s->digest_matches && s->intact);
	if (strstr(s->why, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", s->why, words);
	g_bytes_unref(detached);
}

static void assert_unreadable(GBytes *detached, const char *words)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = read_with(detached, &error);

	assert_null(found);
	assert_says(error, words);
	g_bytes_unref(detached);
}

static void openssl_accepts_every_key_as_cades(void **state G_GNUC_UNUSED)
{
	const struct pki_identity *signers[] = { &pki.rsa, &pki.p256, &pki.p384 };
	static const char *const hashes[] = { "sha256", "sha384", "sha512" };

	for (guint i = 0; i < 3; i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *output = NULL;
		assert_done(sign_with(signers[i], hashes[i], &error), error);
		if (pki_run(&output,
			"openssl cms -verify -cades -inform DER -in data.p7s -content data -binary -CAfile root.pem "
			"-no-CApath -no-CAstore -purpose any -out /dev/null") != 0)
			fail_msg("%s", output);
	}
}

static void gnutls_accepts_it(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *output = NULL;

	assert_done(sign_with(&pki.rsa, NULL, &error), error);
	if (pki_run(&output,
		"certtool --p7-verify --infile data.p7s --inder --load-data data --load-ca-certificate root.pem") != 0)
		fail_msg("%s", output);
}

static void a_good_signature_is_read(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) bytes = signature();
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = read_with(bytes, &error);
	const struct format_signature *s;

	assert_done(found != NULL && found->len == 1, error);
	s = g_ptr_array_index(found, 0);
	assert_true(s->digest_matches && s->intact && s->token == NULL);
	assert_int_equal(X509_cmp(s->certificate, pki.p256.certificate), 0);
}

static void what_is_signed_depends_on_nothing_but_digest_and_parameters(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) pem = pki_pem(pki.p256.certificate, NULL), one = NULL, two = NULL;
	struct format_parameters p = { .certificates = pem, .time_ms = time_now_ms() };
	struct format_digest d = { .hash = (char *)"sha256", .size = 32 };

	one = format_named("cms")->to_be_signed(&d, &p, NULL);
	two = format_named("cms")->to_be_signed(&d, &p, NULL);
	assert_true(g_bytes_equal(one, two));
	assert_true(der_check(g_bytes_get_data(one, NULL), g_bytes_get_size(one), "it", NULL));
}

static void a_signature_by_openssl_is_read(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) pem = pki_pem(pki.rsa.certificate, NULL), bytes = NULL, armoured = NULL;
	g_autofree char *certificate = pki_file("rsa.pem", pem), *key = pki_path("rsa.key"), *output = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = NULL, again = NULL;
	autofd int der = -1, text = -1;
	BIO *bio = BIO_new_file(key, "w");

	PEM_write_bio_PrivateKey(bio, pki.rsa.key, NULL, NULL, 0, NULL, NULL);
	BIO_free(bio);
	assert_int_equal(
	    pki_run(&output,
		"openssl cms -sign -binary -in data -signer rsa.pem -inkey rsa.key -outform DER -out foreign.p7s && "
		"openssl cms -cmsout -inform DER -in foreign.p7s -outform PEM -out foreign.pem"),
	    0);
	der = pki_open("foreign.p7s");
	text = pki_open("foreign.pem");
	bytes = pki_bytes(der);
	armoured = pki_bytes(text);
	found = read_with(bytes, &error);
	assert_done(found != NULL && ((struct format_signature *)g_ptr_array_index(found, 0))->intact, error);
	again = read_with(armoured, &error);
	assert_done(again != NULL && ((struct format_signature *)g_ptr_array_index(again, 0))->digest_matches, error);
}

static void an_attached_message_is_not_one_beside_the_file(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;
	autofd int fd = -1;

	assert_int_equal(pki_run(&output, "openssl cms -sign -binary -nodetach -in data -signer rsa.pem -inkey rsa.key "
					  "-outform DER -out whole.p7m"),
	    0);
	fd = pki_open("whole.p7m");
	assert_unreadable(pki_bytes(fd), "carries content of its own");
}

static void a_message_without_signed_attributes_is_refused(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;
	autofd int fd = -1;

	assert_int_equal(
	    pki_run(&output,
		"openssl cms -sign -binary -noattr -in data -signer rsa.pem -inkey rsa.key -outform DER -out bare.p7s"),
	    0);
	fd = pki_open("bare.p7s");
	assert_unreadable(pki_bytes(fd), "signed attributes");
}

static void a_message_without_its_certificate_is_refused(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;
	autofd int fd = -1;

	assert_int_equal(pki_run(&output, "openssl cms -sign -binary -nocerts -in data -signer rsa.pem -inkey rsa.key "
					  "-outform DER -out bare.p7s"),
	    0);
	fd = pki_open("bare.p7s");
	assert_unreadable(pki_bytes(fd), "its certificate is not in the message");
}

static void old_hashes_are_refused(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;
	autofd int fd = -1;

	assert_int_equal(
	    pki_run(&output,
		"openssl cms -sign -binary -md sha1 -in data -signer rsa.pem -inkey rsa.key -outform DER -out old.p7s"),
	    0);
	fd = pki_open("old.p7s");
	assert_unreadable(pki_bytes(fd), "SHA-1 is broken");
}

static void ber_is_refused(void **state G_GNUC_UNUSED)
{
	g_autofree char *output = NULL;
	autofd int fd = -1;

	assert_int_equal(pki_run(&output, "openssl cms -sign -binary -stream -nodetach -in data -signer rsa.pem -inkey "
					  "rsa.key -outform DER -out ber.p7m"),
	    0);
	fd = pki_open("ber.p7m");
	assert_unreadable(pki_bytes(fd), "BER");
}

static void bytes_behind_the_message_are_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) good = signature();
	GByteArray *longer = g_byte_array_new();

	g_byte_array_append(longer, g_bytes_get_data(good, NULL), g_bytes_get_size(good));
	g_byte_array_append(longer, (const uint8_t *)"x", 1);
	assert_unreadable(g_byte_array_free_to_bytes(longer), "1");
}

static void another_file_shows(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) good = signature();
	autofd int other = pki_open("root.pem");
	g_autoptr(GPtrArray) found = format_named("cms")->read(other, good, NULL, NULL);
	const struct format_signature *s = g_ptr_array_index(found, 0);

	assert_false(s->digest_matches);
	assert_true(s->intact);
	assert_non_null(strstr(s->why, "the file was changed"));
}

static void a_changed_attribute_shows(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) good = signature();
	static const uint8_t time[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05, 0x31 };

	assert_flawed(pki_flip(good, pki_find(good, time, sizeof(time)) + 15), "does not verify");
}

static void a_changed_signature_shows(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) good = signature();

	assert_flawed(pki_flip(good, g_bytes_get_size(good) - 1), "does not verify");
}

static void a_swapped_signature_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) good = signature(), cut = NULL;
	autoptr(cms) cms = cms_read(good, "it", NULL);
	const struct cms_signer *signer = g_ptr_array_index(cms->signers, 0);
	g_autoptr(GBytes) other = pki_sign(pki.p384.key, EVP_sha256(), signer->to_be_signed);
	g_autoptr(GError) error = NULL;
	struct cms_recipe recipe = { .content_type = OID_DATA,
		.certificates = cms->certificates,
		.hash = signer->hash,
		.attributes = signer->to_be_signed,
		.signature = other };

	assert_null(cms_write(&recipe, &error));
	assert_says(error, "it belongs to another key");
}

static void every_cut_is_refused(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) good = signature();

	for (gsize size = 0; size < g_bytes_get_size(good); size += 29)
		assert_unreadable(g_bytes_new_from_bytes(good, 0, size), "at offset");
}

static void every_flipped_byte_is_noticed(void **state G_GNUC_UNUSED)
{
	g_autoptr(GBytes) good = signature();
	autoptr(cms) cms = cms_read(good, "it", NULL);
	gsize size;
	const uint8_t *data = g_bytes_get_data(good, &size);
	gsize certificates_end = pki_find(good, "\x31\x82", 2);

	/* What follows the certificates is all signed or tells who signed; the last SET is the signers'. */
	while (memmem(data + certificates_end + 1, size - certificates_end - 1, "\x31\x82", 2) != NULL)
		certificates_end =
		    (const uint8_t *)memmem(data + certificates_end + 1, size - certificates_end - 1, "\x31\x82", 2) -
		    data;
	for (gsize at = certificates_end; at < size; at++) {
		g_autoptr(GBytes) forged = pki_flip(good, at);
		g_autoptr(GPtrArray) found = read_with(forged, NULL);
		const struct format_signature *s = found != NULL ? g_ptr_array_index(found, 0) : NULL;
		if (s != NULL && s->digest_matches && s->intact)
			fail_msg("the byte at %zu may be anything", at);
	}
}

/* What this process holds grows by no more than its buffers. */
static void a_large_file_takes_no_memory(void **state G_GNUC_UNUSED)
{
	autofd int fd = pki_open("large");
	struct rusage before, after;
	struct format_parameters p = { 0 };
	struct format_digest digest;
	g_autofree char *hash = NULL;

	assert_int_equal(ftruncate(fd, INT64_C(256) << 20), 0);
	getrusage(RUSAGE_SELF, &before);
	assert_true(format_named("cms")->digest(fd, &p, &digest, NULL));
	hash = digest.hash;
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 8 * 1024);
	assert_int_equal(digest.file_size, INT64_C(256) << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openssl_accepts_every_key_as_cades),
		cmocka_unit_test(gnutls_accepts_it),
		cmocka_unit_test(a_good_signature_is_read),
		cmocka_unit_test(what_is_signed_depends_on_nothing_but_digest_and_parameters),
		cmocka_unit_test(a_signature_by_openssl_is_read),
		cmocka_unit_test(an_attached_message_is_not_one_beside_the_file),
		cmocka_unit_test(a_message_without_signed_attributes_is_refused),
		cmocka_unit_test(a_message_without_its_certificate_is_refused),
		cmocka_unit_test(old_hashes_are_refused),
		cmocka_unit_test(ber_is_refused),
		cmocka_unit_test(bytes_behind_the_message_are_refused),
		cmocka_unit_test(another_file_shows),
		cmocka_unit_test(a_changed_attribute_shows),
		cmocka_unit_test(a_changed_signature_shows),
		cmocka_unit_test(a_swapped_signature_is_refused),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(every_flipped_byte_is_noticed),
		cmocka_unit_test(a_large_file_takes_no_memory),
	};

	return cmocka_run_group_tests(tests, begin, pki_end);
}
