/* Envelopes: how they are written, and whose signature is on them. */
#include "tests/unit/support_provenance.h"

#include <string.h>

static char *good(const char *key)
{
	g_autofree char *statement = statement_v1();

	return envelope_by(key, statement);
}

/* One with this text in place of its signature's members. */
static char *signed_as(const char *format, const char *key) G_GNUC_PRINTF(1, 0);
static char *signed_as(const char *format, const char *key)
{
	g_autofree char *statement = statement_v1();
	g_autofree char *value = signature_by(key, IN_TOTO, statement);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	g_autofree char *signature = g_strdup_printf(format, value);
#pragma GCC diagnostic pop

	return envelope_with(IN_TOTO, statement, signature);
}

static GPtrArray *read_text(const char *text, GError **error)
{
	g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));

	return dsse_read(bytes, error);
}

static void each_kind_of_key_vouches(void **state)
{
	static const char *const kinds[] = { "rsa", "p256", "p384", "p521", "ed25519" };

	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
		is_good(good(kinds[i]), wish_key(kinds[i]));
}

static void another_key_does_not(void **state)
{
	is_refused(good("p256"), wish_key("other"),
	    "none of the envelope's 1 signatures is one by a trusted key over its payloadType and payload: it was "
	    "changed, or another "
	    "key signed it");
	is_refused(good("rsa"), wish_key("p256"), "none of the envelope's 1 signatures");
	is_refused(good("ed25519"), wish_key("rsa"), "none of the envelope's 1 signatures");
}

static void one_of_several_trusted_keys_is_enough(void **state)
{
	trust_run("cat other.pub ed25519.pub p256.pub >many.pub");
	is_good(good("p256"), wish_key("many"));
	is_refused(good("rsa"), wish_key("many"), "none of the envelope's 1 signatures");
}

/* protocol.md's own example: r and s side by side. */
static void the_specifications_example_verifies(void **state)
{
	static const char pem[] =
	    "-----BEGIN PUBLIC KEY-----\n"
	    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZ805D3eqNZywjCI19lInBJOp7YMr\n"
	    "CrzAH3CVTAOQ0jgMeCvVTiaRJaRPRDOv8UMs6U4SvKc6pnrIDOoSYI3fdA==\n-----END PUBLIC KEY-----\n";
	static const char text[] =
	    "{\"payload\": \"aGVsbG8gd29ybGQ=\", \"payloadType\": \"http://example.com/HelloWorld\",\n \"signatures\": "
	    "[{\"sig\": "
	    "\"A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==\"}]}";
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) envelopes = read_text(text, &error);
	g_autoptr(GBytes) key = g_bytes_new_static(pem, strlen(pem));
	g_autoptr(GPtrArray) keys = dsse_keys_parse(key, "the key", &error);
	struct dsse_trust trust = { .keys = keys };
	struct dsse_signer signer = { 0 };

	assert_ok(keys, error);
	assert_ok(dsse_verify(g_ptr_array_index(envelopes, 0), &trust, &signer, &error), error);
	dsse_signer_clear(&signer);
}

static void what_is_signed_is_the_pre_authentication_encoding(void **state)
{
	g_autoptr(GBytes) payload = g_bytes_new_static("hello world", 11);
	g_autoptr(GBytes) pae = dsse_pae("http://example.com/HelloWorld", payload);

	assert_int_equal(g_bytes_get_size(pae), strlen("DSSEv1 29 http://example.com/HelloWorld 11 hello world"));
	assert_memory_equal(g_bytes_get_data(pae, NULL), "DSSEv1 29 http://example.com/HelloWorld 11 hello world",
	    g_bytes_get_size(pae));
}

static void a_signature_over_the_payload_alone_is_refused(void **state)
{
	g_autofree char *statement = statement_v1();

	support_write("bare", statement);
	g_autofree char *value = trust_text("openssl dgst -sha256 -sign p256.key bare | base64 -w0");
	g_autofree char *signature = g_strdup_printf("{\"sig\":\"%s\"}", value);
	is_refused(envelope_with(IN_TOTO, statement, signature), wish_key("p256"), "none of the envelope's 1 signatures");
}

static void rsa_signatures_may_be_pss(void **state)
{
	g_autofree char *statement = statement_v1();
	g_autofree char *ignored = signature_by("rsa", IN_TOTO, statement);
	g_autofree char *value =
	    trust_text("openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sign rsa.key pae | base64 -w0");
	g_autofree char *signature = g_strdup_printf("{\"sig\":\"%s\"}", value);

	is_good(envelope_with(IN_TOTO, statement, signature), wish_key("rsa"));
}

static void p384_may_sign_sha256(void **state)
{
	g_autofree char *statement = statement_v1();
	g_autofree char *ignored = signature_by("p384", IN_TOTO, statement);
	g_autofree char *value = trust_text("openssl dgst -sha256 -sign p384.key pae | base64 -w0");
	g_autofree char *signature = g_strdup_printf("{\"sig\":\"%s\"}", value);

	is_good(envelope_with(IN_TOTO, statement, signature), wish_key("p384"));
}

static void sha1_signatures_are_refused(void **state)
{
	g_autofree char *statement = statement_v1();
	g_autofree char *ignored = signature_by("rsa", IN_TOTO, statement);
	g_autofree char *value = trust_text("openssl dgst -sha1 -sign rsa.key pae | base64 -w0");
	g_autofree char *signature = g_strdup_printf("{\"sig\":\"%s\"}", value);

	is_refused(envelope_with(IN_TOTO, statement, signature), wish_key("rsa"), "none of the envelope's 1 signatures");
}

static void a_payload_type_that_was_not_signed_is_refused(void **state)
{
	is_refused(swap(good("p256"), IN_TOTO, "application/vnd.in-toto.other+json"), wish_key("p256"),
	    "none of the envelope's 1 signatures");
}

static void a_payload_that_was_changed_is_refused(void **state)
{
	g_autofree char *statement = statement_v1(), *before = base64_of(statement);
	g_autofree char *forged = swap(statement_v1(), COMMIT, OTHER_COMMIT), *after = base64_of(forged);

	is_refused(swap(good("p256"), before, after), wish_key("p256"), "none of the envelope's 1 signatures");
}

static void the_keyid_is_no_proof(void **state)
{
	is_good(signed_as("{\"keyid\":\"SHA256:of-somebody-else\",\"sig\":\"%s\"}", "p256"), wish_key("p256"));
	is_good(signed_as("{\"sig\":\"%s\"}", "p256"), wish_key("p256"));
	is_refused(signed_as("{\"keyid\":\"p256\",\"sig\":\"%s\"}", "other"), wish_key("p256"), "none of the envelope's");
}

static void signatures_of_others_beside_a_good_one_do_not_matter(void **state)
{
	is_good(
	    signed_as("{\"sig\":\"AAAA\"},{\"sig\":\"%s\"},{\"keyid\":\"x\",\"sig\":\"\"}", "p256"), wish_key("p256"));
	is_refused(signed_as("{\"sig\":\"AAAA\"},{\"sig\":\"%s\"}", "other"), wish_key("p256"),
	    "none of the envelope's 2 signatures");
}

static void an_envelope_without_signatures_is_refused(void **state)
{
	g_autofree char *statement = statement_v1();

	is_refused(envelope_with(IN_TOTO, statement, ""), wish_key("p256"),
	    "the envelope has 0 signatures: it takes one, and 16 are the limit");
	is_refused(envelope_with(IN_TOTO, statement, "{\"sig\":\"\"}"), wish_key("p256"),
	    "none of the envelope's 1 signatures");
	is_refused(envelope_with(IN_TOTO, statement, "\"AAAA\""), wish_key("p256"), "must hold objects with \"sig\"");
	is_refused(envelope_with(IN_TOTO, statement, "{\"keyid\":\"\"}"), wish_key("p256"), "\"sig\" is missing");
	is_refused(
	    swap(good("p256"), "\"signatures\":[", "\"signature\":["), wish_key("p256"), "\"signatures\" is missing");
}

static void more_signatures_than_anybody_makes_are_refused(void **state)
{
	g_autofree char *statement = statement_v1();
	g_autoptr(GString) many = g_string_new("{\"sig\":\"\"}");

	for (guint i = 0; i < DSSE_SIGNATURES_MAX; i++)
		g_string_append(many, ",{\"sig\":\"\"}");
	is_refused(envelope_with(IN_TOTO, statement, many->str), wish_key("p256"), "has 17 signatures");
}

/* "?>" and "?~" come to / and + in base64. */
static void base64_may_be_url_safe(void **state)
{
	g_autofree char *statement = swap(statement_v1(), "\"17\"", "\"a?>b?~~~?>\"");
	char *text = envelope_by("p256", statement), *payload = strstr(text, "\"payload\":\"");

	for (char *c = payload + strlen("\"payload\":\""); *c != '"'; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	is_good(text, wish_key("p256"));
}

static void base64_has_one_spelling(void **state)
{
	static const char *const bad[] = { "QQ", "QR==", "QQ==\\n", " QQ==", "QQ=", "Q+_A", "QQ==QQ==", "Q===" };

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *text = g_strdup_printf(
		    "{\"payloadType\":\"t\",\"payload\":\"%s\",\"signatures\":[{\"sig\":\"\"}]}", bad[i]);
		g_autoptr(GError) error = NULL;

		assert_refused(
		    read_text(text, &error), error, "the envelope: \"payload\" is not base64 in its one spelling");
	}
	is_refused(signed_as("{\"sig\":\"%s \"}", "p256"), wish_key("p256"),
	    "a signature of the envelope: \"sig\" is not base64");
}

static void a_key_that_stands_twice_is_refused(void **state)
{
	is_refused(swap(good("p256"), "\"payloadType\"", "\"payload\":\"\",\"payloadType\""), wish_key("p256"),
	    "the key \"payload\" stands twice");
	is_refused(
	    signed_as("{\"sig\":\"AAAA\",\"sig\":\"%s\"}", "p256"), wish_key("p256"), "the key \"sig\" stands twice");
}

static void members_that_nobody_knows_are_passed_over(void **state)
{
	is_good(
	    swap(good("p256"), "{\"payloadType\"", "{\"extra\":{\"payload\":1.5},\"payloadType\""), wish_key("p256"));
}

static void an_envelope_inside_an_envelope_is_no_statement(void **state)
{
	g_autofree char *inner = good("p256");

	is_refused(envelope_by("p256", inner), wish_key("p256"), "the statement: \"_type\" is missing");
}

static void what_is_no_json_is_refused(void **state)
{
	is_refused(g_strdup(""), wish_key("p256"), "JSON, line 1");
	is_refused(g_strdup("-----BEGIN PUBLIC KEY-----"), wish_key("p256"), "JSON, line 1");
	is_refused(g_strdup("[]"), wish_key("p256"), "it is JSON, but no object: neither an envelope nor a bundle");
	is_refused(g_strconcat("{\"payload\":", "\"\"}", "{}", NULL), wish_key("p256"), "JSON, line 1");
}

static void deep_nesting_is_refused(void **state)
{
	g_autoptr(GString) deep = g_string_new("{\"payloadType\":");

	for (guint i = 0; i < 100000; i++)
		g_string_append_c(deep, '[');
	is_refused(g_strdup(deep->str), wish_key("p256"), "nested deeper than 64");
}

static void a_huge_file_is_refused(void **state)
{
	g_autofree char *huge = g_strnfill(DSSE_FILE_MAX, ' ');
	g_autofree char *payload = g_strnfill((DSSE_PAYLOAD_MAX / 3 + 2) * 4, 'A');
	g_autofree char *text =
	    g_strdup_printf("{\"payloadType\":\"t\",\"payload\":\"%s\",\"signatures\":[{\"sig\":\"\"}]}", payload);

	is_refused(g_strconcat(huge, "{}", NULL), wish_key("p256"), "16777218 bytes, and 16777216 are the limit");
	is_refused(g_strdup(text), wish_key("p256"), "and 8388608 are the limit");
}

/* --- JSON lines --- */

static void one_line_that_fits_is_enough(void **state)
{
	g_autofree char *first = good("other"), *second = good("p256");

	is_good(g_strdup_printf("%s\n%s\n", first, second), wish_key("p256"));
	is_good(g_strdup_printf("%s\r\n\n%s", second, first), wish_key("p256"));
	is_good(g_strdup_printf("%s\n", second), wish_key("p256"));
}

static void each_line_that_does_not_fit_says_why(void **state)
{
	g_autofree char *first = good("other"), *other = swap(statement_v1(), COMMIT, OTHER_COMMIT);
	g_autofree char *second = envelope_by("p256", other);

	is_refused(g_strdup_printf("%s\n%s\n{\"payload\":\"\"}\n", first, second), wish_key("p256"),
	    "none of its 3 envelopes vouches for widget.exe: line 1: none of the envelope's 1 signatures");
	is_refused(g_strdup_printf("%s\n%s\n{\"payload\":\"\"}\n", first, second), wish_key("p256"),
	    "; line 2: the statement's buildDefinition.resolvedDependencies is the source at commit " OTHER_COMMIT);
	is_refused(g_strdup_printf("%s\n%s\n{\"payload\":\"\"}\n", first, second), wish_key("p256"),
	    "; line 3: the envelope: ");
}

static void a_line_that_is_no_json_spoils_the_file(void **state)
{
	g_autofree char *line = good("p256");

	is_refused(g_strdup_printf("%s\n{\"a\":1,\"a\":2}\n", line), wish_key("p256"),
	    "line 2 of the JSON lines: JSON, line 1, column 11: the key \"a\" stands twice");
	is_refused(g_strdup_printf("%s\ngarbage\n", line), wish_key("p256"), "JSON, line 2");
}

static void json_may_be_written_for_people(void **state)
{
	g_autofree char *line = good("p256");

	support_write("line", line);
	is_good(trust_text("sed 's/,/,\\n  /g; s/:{/: {\\n/g' line"), wish_key("p256"));
}

/* --- bundles --- */

static void each_version_of_a_bundle_is_read(void **state)
{
	g_autofree char *material = material_of("leaf"), *envelope = good("p256");
	g_autofree char *chain = swap(
	    swap(g_strdup(material), "\"certificate\":", "\"x509CertificateChain\":{\"certificates\":["), "}", "}]}");

	is_good(bundle_with("0.1", chain, envelope), wish_roots("ca"));
	is_good(bundle_with("0.2", chain, envelope), wish_roots("ca"));
	is_good(bundle_with("0.3", material, envelope), wish_roots("ca"));
	is_good(swap(bundle_with("0.3", material, envelope), "bundle+json;version=0.3", "bundle.v0.3+json"),
	    wish_roots("ca"));
	is_good(bundle_with("0.3", "\"publicKey\":{\"hint\":\"p256\"}", envelope), wish_key("p256"));
	is_good(bundle_with("0.3", material, envelope), wish_key("p256"));
	is_refused(bundle_with("0.3", chain, envelope), wish_roots("ca"),
	    "a Sigstore bundle 0.3 may not have an x509CertificateChain");
}

static void bundles_of_another_kind_are_refused(void **state)
{
	g_autofree char *material = material_of("leaf"), *envelope = good("p256");

	is_refused(bundle_with("0.4", material, envelope),
	    wish_roots("ca"), "the bundle's mediaType \"application/vnd.dev.sigstore.bundle+json;version=0.4\" is none of Sigstore's bundles 0.1 to 0.3");
	is_refused(swap(bundle_with("0.3", material, envelope),
		       "\"dsseEnvelope\":", "\"messageSignature\":{},\"dsseEnvelope\":"),
	    wish_roots("ca"), "the bundle holds a messageSignature over a file");
	is_refused(swap(bundle_with("0.3", material, envelope), "dsseEnvelope", "envelope"), wish_roots("ca"),
	    "\"dsseEnvelope\" is missing");
	is_refused(bundle_with("0.3", "\"publicKey\":{},\"certificate\":{}", envelope), wish_roots("ca"),
	    "must have one of certificate");
	is_refused(bundle_with("0.3", "\"a\":1", envelope), wish_roots("ca"), "must have one of certificate");
	is_refused(bundle_with("0.3", "\"certificate\":{\"rawBytes\":\"MAA=\"}", envelope), wish_roots("ca"),
	    "a certificate of the bundle is no X.509 certificate in DER");
	is_refused(bundle_with("0.3", "\"publicKey\":{\"hint\":\"p256\"}", envelope), wish_roots("ca"),
	    "the signature brings no certificate that could be held against the roots");
}

static void a_bundle_has_one_signature(void **state)
{
	g_autofree char *material = material_of("leaf"),
			*two = signed_as("{\"sig\":\"%s\"},{\"sig\":\"AAAA\"}", "p256");

	is_refused(bundle_with("0.3", material, two), wish_roots("ca"),
	    "has 2 signatures, and a Sigstore bundle has exactly one");
}

static void a_bundles_certificate_must_be_its_signers(void **state)
{
	g_autofree char *material = material_of("leaf"), *envelope = good("other");

	is_refused(bundle_with("0.3", material, envelope), wish_roots("ca"),
	    "the signature is not by its certificate's key over payloadType and payload: it was changed");
}

/* --- what may be trusted --- */

static void keys_that_cannot_be_trusted_are_told(void **state)
{
	static const struct {
		const char *script, *words;
	} cases[] = {
		{ "openssl genrsa 1024 | openssl pkey -pubout", "it is an RSA key shorter than 2048 bits" },
		{ "openssl ecparam -name secp256k1 -genkey -noout | openssl pkey -pubout",
		    "on none of the curves P-256, P-384 and P-521" },
		{ "openssl genpkey -algorithm X25519 | openssl pkey -pubout", "it is neither RSA, ECDSA nor Ed25519" },
		{ "cat p256.key", "holds a block \"PRIVATE KEY\"" },
		{ "cat leaf.pem", "(certificates are trusted by their roots)" },
		{ "echo", "holds no public key in PEM" },
		{ "cat p256.pub; head -3 other.pub",
		    "holds no public key in PEM (\"-----BEGIN PUBLIC KEY-----\"), or a broken one" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GBytes) pem = trust_output("(%s) 2>/dev/null", cases[i].script);
		g_autoptr(GError) error = NULL;

		assert_fails(dsse_keys_parse(pem, "builder.pem", &error), error, TAGSEAL_ERROR_UNKNOWN, cases[i].words);
	}
}

static void an_rsa_key_may_be_in_its_older_form(void **state)
{
	trust_run("openssl rsa -pubin -in rsa.pub -RSAPublicKey_out -out old.pub 2>/dev/null; grep -q 'BEGIN RSA "
		  "PUBLIC KEY' old.pub");
	is_good(good("rsa"), wish_key("old"));
}

static void roots_that_are_none_are_told(void **state)
{
	g_autoptr(GBytes) pem = support_read_bytes("p256.pub");
	g_autoptr(GError) error = NULL;

	assert_fails(dsse_roots_parse(pem, "roots.pem", &error), error, TAGSEAL_ERROR_UNKNOWN,
	    "roots.pem: no certificate in PEM stands there");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_key_vouches),
		cmocka_unit_test(another_key_does_not),
		cmocka_unit_test(one_of_several_trusted_keys_is_enough),
		cmocka_unit_test(the_specifications_example_verifies),
		cmocka_unit_test(what_is_signed_is_the_pre_authentication_encoding),
		cmocka_unit_test(a_signature_over_the_payload_alone_is_refused),
		cmocka_unit_test(rsa_signatures_may_be_pss),
		cmocka_unit_test(p384_may_sign_sha256),
		cmocka_unit_test(sha1_signatures_are_refused),
		cmocka_unit_test(a_payload_type_that_was_not_signed_is_refused),
		cmocka_unit_test(a_payload_that_was_changed_is_refused),
		cmocka_unit_test(the_keyid_is_no_proof),
		cmocka_unit_test(signatures_of_others_beside_a_good_one_do_not_matter),
		cmocka_unit_test(an_envelope_without_signatures_is_refused),
		cmocka_unit_test(more_signatures_than_anybody_makes_are_refused),
		cmocka_unit_test(base64_may_be_url_safe),
		cmocka_unit_test(base64_has_one_spelling),
		cmocka_unit_test(a_key_that_stands_twice_is_refused),
		cmocka_unit_test(members_that_nobody_knows_are_passed_over),
		cmocka_unit_test(an_envelope_inside_an_envelope_is_no_statement),
		cmocka_unit_test(what_is_no_json_is_refused),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(a_huge_file_is_refused),
		cmocka_unit_test(one_line_that_fits_is_enough),
		cmocka_unit_test(each_line_that_does_not_fit_says_why),
		cmocka_unit_test(a_line_that_is_no_json_spoils_the_file),
		cmocka_unit_test(json_may_be_written_for_people),
		cmocka_unit_test(each_version_of_a_bundle_is_read),
		cmocka_unit_test(bundles_of_another_kind_are_refused),
		cmocka_unit_test(a_bundle_has_one_signature),
		cmocka_unit_test(a_bundles_certificate_must_be_its_signers),
		cmocka_unit_test(keys_that_cannot_be_trusted_are_told),
		cmocka_unit_test(an_rsa_key_may_be_in_its_older_form),
		cmocka_unit_test(roots_that_are_none_are_told),
	};
	return cmocka_run_group_tests(tests, provenance_setup, trust_teardown);
}
