/* `tagseal verify-provenance`, as scripts call it. */
#include "tests/unit/support_provenance.h"
#include "signer/timestamp.h"
#include "tests/unit/support_pki.h"

#include <string.h>

#define ASK "--builder " BUILDER " --source " SOURCE " --commit " COMMIT " --artifact widget.exe "

static int setup(void **state)
{
	g_autofree char *program = NULL, *statement = statement_v1();

	if (provenance_setup(state) != 0 || pki_begin(state) != 0)
		return -1;
	program = support_program("tagseal");
	g_setenv("TAGSEAL", program, TRUE);
	g_autofree char *envelope = envelope_by("p256", statement), *leaf = material_of("leaf"),
			*other = material_of("stranger");
	g_autofree char *bundle = bundle_with("0.3", leaf, envelope), *stranger = bundle_with("0.3", other, envelope);
	support_write("envelope", envelope);
	support_write("bundle", bundle);
	support_write("stranger", stranger);
	trust_run("printf test >widget.exe; printf tost >other.exe; cp widget.exe again.exe");
	return 0;
}

static int teardown(void **state)
{
	pki_end(state);
	return trust_teardown(state);
}

static void says(const char *arguments, int status, const char *out, const char *err)
{
	g_autofree char *printed = NULL, *told = NULL;

	assert_int_equal(trust_status("\"$TAGSEAL\" verify-provenance %s", arguments), status);
	printed = support_read(".stdout");
	told = support_read(".stderr");
	assert_true(g_str_has_prefix(printed, out));
	assert_true(*out != '\0' || *printed == '\0');
	assert_contains(told, err);
	assert_int_equal(*told != '\0', status != 0);
}

static void what_was_built_is_good(void **state)
{
	says("--key p256.pub " ASK "envelope", 0, "good\nbuilder " BUILDER "\nkey SHA256:", "");
	says("--key p256.pub " ASK "bundle", 0, "good\n", "");
	says("--roots ca.pem " ASK "bundle", 0, "good\n", "");
	says("--key p256.pub " ASK "--artifact again.exe - <envelope", 0, "good\n", "");
}

static void what_was_not_is_refused_with_1(void **state)
{
	says("--key other.pub " ASK "envelope", 1, "",
	    "tagseal: envelope: none of the envelope's 1 signatures is one by a trusted key");
	says("--key p256.pub " ASK "--artifact other.exe envelope", 1, "", "tagseal: envelope: other.exe (sha256:");
	says("--key p256.pub --builder https://x.example.org --source " SOURCE " --commit " COMMIT
	     " --artifact widget.exe envelope",
	    1, "", "the statement's builder is \"" BUILDER "\", and not https://x.example.org");
	says("--key p256.pub --builder " BUILDER " --source https://x.example.org/a --commit " COMMIT
	     " --artifact widget.exe envelope",
	    1, "", "and not the source https://x.example.org/a");
	says("--key p256.pub --builder " BUILDER " --source " SOURCE " --commit " OTHER_COMMIT
	     " --artifact widget.exe envelope",
	    1, "", "is the source at commit " COMMIT ", and not at " OTHER_COMMIT);
	says("--roots foreign.pem " ASK "bundle", 1, "", "has no good chain to the trusted roots");
	says("--roots ca.pem " ASK "envelope", 1, "", "the signature brings no certificate");
	says("--key p256.pub " ASK "widget.exe", 1, "", "tagseal: widget.exe: JSON, line 1");
}

static void identities_may_be_named(void **state)
{
	says("--roots ca.pem " ASK "stranger", 1, "",
	    "its certificate names https://ci.example.org/builders/test, and not the builder");
	says("--roots ca.pem --identity 'https://ci.example.org/builders/*' " ASK "stranger", 0, "good\n", "");
	says("--roots ca.pem --issuer https://token.example.org " ASK "bundle", 1, "", "was vouched for by nobody");
}

static void a_certificate_is_judged_at_the_time_that_is_asked_for(void **state)
{
	says("--roots ca.pem --at 2020-01-01T00:00:00Z " ASK "bundle", 1, "",
	    "and this is held against 2020-01-01T00:00:00.000Z");
}

/* The stamp of an authority over the signature's bytes, in the bundle. */
static void write_stamped(const char *file, const char *over, const struct pki_identity *authority, int64_t at_ms)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *raw = NULL, *response = NULL, *member = NULL, *bundle = support_read("bundle");
	gsize size;

	raw = (char *)g_base64_decode(over, &size);
	g_autoptr(GBytes) data = g_bytes_new(raw, size);
	g_autoptr(GBytes) query = timestamp_query(data, &error);
	g_autoptr(GBytes) stamp = pki_stamp(authority, query, at_ms);
	response = g_base64_encode(g_bytes_get_data(stamp, NULL), g_bytes_get_size(stamp));
	member = g_strdup_printf(
	    "\"timestampVerificationData\":{\"rfc3161Timestamps\":[{\"signedTimestamp\":\"%s\"}]},\"tlogEntries\"",
	    response);
	g_autofree char *stamped = swap(g_steal_pointer(&bundle), "\"tlogEntries\"", member);
	support_write(file, stamped);
}

static char *signature_in_bundle(void)
{
	return trust_text("sed 's/.*\"sig\":\"\\([^\"]*\\)\".*/\\1/' bundle");
}

static void a_stamp_shows_when_a_certificate_signed(void **state)
{
	g_autofree char *signature = signature_in_bundle();
	g_autoptr(GBytes) pem = pki_pem(pki.stamp_root.certificate, NULL);

	support_write_bytes("stamps.pem", g_bytes_get_data(pem, NULL), g_bytes_get_size(pem));
	write_stamped("stamped", signature, &pki.stamper, time_now_ms());
	write_stamped("elsewhere", "QUJDRA==", &pki.stamper, time_now_ms());
	says("--roots ca.pem --at 2050-01-01T00:00:00Z " ASK "stamped", 1, "",
	    "only a time at which the envelope was seen, or a timestamp");
	says("--roots ca.pem --timestamp-roots stamps.pem --at 2050-01-01T00:00:00Z " ASK "stamped", 0, "good\n", "");
	says("--roots ca.pem --timestamp-roots ca.pem " ASK "stamped", 1, "", "chain");
	says("--roots ca.pem --timestamp-roots stamps.pem " ASK "elsewhere", 1, "", "elsewhere: ");
}

static void json_says_the_same(void **state)
{
	g_autofree char *text = trust_text("\"$TAGSEAL\" verify-provenance --json --roots ca.pem " ASK "bundle");

	assert_contains(text, "\"good\": true");
	assert_contains(text, "\"builder\": \"" BUILDER "\"");
	assert_contains(text, "\"identity\": \"" BUILDER "\"");
	assert_contains(text, "\"predicate\": \"https://slsa.dev/provenance/v1\"");
	says("--json --key other.pub " ASK "envelope", 1, "{", "none of the envelope's 1 signatures");
}

static void wrong_use_ends_with_2(void **state)
{
	says(ASK "envelope", 2, "", "one of --key PEM and --roots PEM says whose word counts");
	says("--key p256.pub --roots ca.pem " ASK "envelope", 2, "", "one of --key PEM and --roots PEM");
	says("--key p256.pub --builder x --source y --commit abc --artifact widget.exe envelope", 2, "",
	    "--commit must be a full id");
	says("--key p256.pub --builder x --source y --commit " COMMIT " envelope", 2, "", "--artifact FILE is missing");
	says("--key p256.pub --source y --commit " COMMIT " --artifact widget.exe envelope", 2, "",
	    "--builder ID, --source URI and --commit OID");
	says("--key p256.pub --identity x " ASK "envelope", 2, "", "are about certificates, and go with --roots");
	says("--roots ca.pem --at yesterday " ASK "bundle", 2, "", "--at must be a time");
	says("--key p256.pub " ASK, 2, "", "takes");
}

static void what_cannot_be_found_out_ends_with_3(void **state)
{
	says("--key p256.pub " ASK "nowhere", 3, "", "nowhere");
	says("--key nowhere " ASK "envelope", 3, "", "nowhere");
	says("--key widget.exe " ASK "envelope", 3, "", "widget.exe holds no public key in PEM");
	says("--roots widget.exe " ASK "bundle", 3, "", "widget.exe: no certificate in PEM stands there");
	says("--key p256.pub " ASK "--artifact nowhere envelope", 3, "", "nowhere");
}

/* A foreign judge of what our own tests sign: openssl, over an encoding that printf made. */
static void openssl_agrees_about_what_is_signed(void **state)
{
	trust_run("get() { sed 's/.*\"'$1'\":\"\\([^\"]*\\)\".*/\\1/' envelope | base64 -d >$1; }\n"
		  "get payload; get sig\n"
		  "{ printf 'DSSEv1 %%d %s %%d ' $(printf %%s %s | wc -c) $(wc -c <payload); cat payload; } >encoding\n"
		  "openssl dgst -sha256 -verify p256.pub -signature sig encoding",
	    IN_TOTO, IN_TOTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_built_is_good),
		cmocka_unit_test(what_was_not_is_refused_with_1),
		cmocka_unit_test(identities_may_be_named),
		cmocka_unit_test(a_certificate_is_judged_at_the_time_that_is_asked_for),
		cmocka_unit_test(a_stamp_shows_when_a_certificate_signed),
		cmocka_unit_test(json_says_the_same),
		cmocka_unit_test(wrong_use_ends_with_2),
		cmocka_unit_test(what_cannot_be_found_out_ends_with_3),
		cmocka_unit_test(openssl_agrees_about_what_is_signed),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
