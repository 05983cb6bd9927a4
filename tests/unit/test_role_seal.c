/* The seal role: what it refuses to take for a file's type, what it tells judge, and that it reads back what it wrote. */
#include "tests/unit/support_pki.h"
#include "tests/unit/support_role.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gitops/cms.h"

static struct config *config;
static GBytes *chain, *image, *text;

static const struct peer wires[] = { { .role = ROLE_JUDGE }, { .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };

static int begin(void **state)
{
	g_autofree char *path = NULL, *folder = NULL;

	pki_begin(state);
	path = pki_image("image.exe", "x86_64", "");
	image = support_read_bytes(path);
	text = g_bytes_new_static("hello\n", 6);
	chain = pki_pem(pki.p256.certificate, pki.root.certificate, NULL);
	folder = support_folder("state");
	config = test_config(
	    folder, NULL, "[seal]\ndeadline = \"10s\"\n[[token]]\nname = \"main\"\nlabel = \"x\"\npin_file = \"y\"\n");
	return 0;
}

static int end(void **state)
{
	g_bytes_unref(chain);
	g_bytes_unref(image);
	g_bytes_unref(text);
	config_free(config);
	return pki_end(state);
}

static struct test_role *start(void)
{
	return test_role_start(role_seal, ROLE_SEAL, 0, config, wires);
}

static struct message *inspect(const char *type, GBytes *blob)
{
	struct test_role *role = start();
	autoptr(message) request = message_new(MSG_INSPECT, 0);
	struct message *answer;

	json_set_string(request->body, "type", type);
	json_set_string(request->body, "name", "file");
	test_add(request, "blob", blob);
	answer = test_role_ask(role, ROLE_ENGINE, request, MSG_INSPECTED);
	assert_int_equal(test_role_stop(role), 0);
	return answer;
}

static void a_file_of_the_type_that_the_policy_names_passes(void **state)
{
	autoptr(message) pe = inspect("pe", image);
	autoptr(message) raw = inspect("raw", text);

	assert_outcome(pe, "ok", NULL);
	assert_string_equal(json_string(json_get(pe->body, "facts"), "type"), "pe");
	assert_outcome(raw, "ok", NULL);
}

static void another_type_is_refused_and_both_are_named(void **state)
{
	autoptr(message) text_as_pe = inspect("pe", text);
	autoptr(message) pe_as_raw = inspect("raw", image);
	autoptr(message) unknown = inspect("floppy", image);

	assert_outcome(text_as_pe, "refused", "of the type raw, and the policy expects pe");
	assert_outcome(pe_as_raw, "refused", "of the type pe, and the policy expects raw");
	assert_outcome(unknown, "refused", "no file type \"floppy\"");
}

static void a_type_without_rules_is_taken_as_raw_alone(void **state)
{
	g_autoptr(GBytes) zip = g_bytes_new_static("PK\3\4", 4);
	autoptr(message) as_zip = inspect("zip", zip);
	autoptr(message) as_raw = inspect("raw", zip);

	assert_outcome(as_zip, "refused", "no structure rules for zip yet: list it as type raw");
	assert_outcome(as_raw, "ok", NULL);
}

static void a_broken_structure_is_refused(void **state)
{
	g_autoptr(GBytes) cut = g_bytes_new_from_bytes(image, 0, g_bytes_get_size(image) - 600);
	autoptr(message) answer = inspect("pe", cut);

	assert_outcome(answer, "refused", NULL);
}

static struct message *task(enum message_kind kind, const char *format, GBytes *blob)
{
	struct message *m = message_new(kind, 0);

	json_set_string(m->body, "format", format);
	json_set_string(m->body, "hash", "sha256");
	json_set_integer(m->body, "time", time_now_ms());
	test_add(m, "blob", blob);
	test_add(m, "certificates", chain);
	return m;
}

static struct json *digest_of(struct test_role *role, const char *format, GBytes *blob)
{
	autoptr(message) request = task(MSG_DIGEST, format, blob);
	autoptr(message) answer = test_role_ask(role, ROLE_ENGINE, request, MSG_DIGESTED);
	autoptr(message) seen = test_role_next(role, ROLE_JUDGE);

	assert_outcome(answer, "ok", NULL);
	assert_int_equal(seen->kind, MSG_DIGEST_SEEN);
	return json_copy(json_get(answer->body, "digest"));
}

static void judge_is_told_the_digest_of_that_very_blob(void **state)
{
	struct test_role *role = start();
	autoptr(message) request = task(MSG_DIGEST, "authenticode", image);
	autoptr(message) answer = NULL;
	autoptr(message) seen = NULL;
	g_autofree char *sha256 = sha256_text_bytes(image);

	/* The blob's own SHA-256 is computed, not taken from the message. */
	answer = test_role_ask(role, ROLE_ENGINE, request, MSG_DIGESTED);
	seen = test_role_next(role, ROLE_JUDGE);
	assert_int_equal(seen->kind, MSG_DIGEST_SEEN);
	assert_string_equal(json_string(seen->body, "blob"), sha256);
	assert_string_equal(json_string(seen->body, "format"), "authenticode");
	assert_string_equal(json_string(seen->body, "value"), json_string(json_get(answer->body, "digest"), "value"));
	assert_false(json_boolean(seen->body, "was_signed", TRUE));
	assert_int_equal(test_role_stop(role), 0);
}

static void a_format_that_does_not_suit_the_file_is_refused(void **state)
{
	struct test_role *role = start();
	autoptr(message) request = task(MSG_DIGEST, "authenticode", text);
	autoptr(message) answer = test_role_ask(role, ROLE_ENGINE, request, MSG_DIGESTED);

	assert_outcome(answer, "refused", "a file of the type raw cannot be signed as authenticode");
	assert_int_equal(test_role_stop(role), 0);
}

static struct format_digest digest_from(const struct json *object)
{
	struct format_digest digest = { .hash = g_strdup(json_string(object, "hash")),
		.file_size = json_integer(object, "size", 0) };

	digest.size = strlen(json_string(object, "value")) / 2;
	assert_true(hex_decode(json_string(object, "value"), digest.value, digest.size));
	return digest;
}

/* What judge and sign would give for this digest. */
static GBytes *signature_for(const struct message *request, const char *name, const struct json *object)
{
	g_autoptr(GError) error = NULL;
	struct format_digest digest = digest_from(object);
	const struct format_parameters p = {
		.hash = "sha256", .certificates = chain, .time_ms = json_integer(request->body, "time", 0)
	};
	g_autoptr(GBytes) to_be_signed = format_named(name)->to_be_signed(&digest, &p, &error);

	assert_ok(to_be_signed, error);
	g_free(digest.hash);
	return pki_sign(pki.p256.key, EVP_sha256(), to_be_signed);
}

static GBytes *attached(struct test_role *role, const char *format, GBytes *blob)
{
	g_autoptr(GError) error = NULL;
	autoptr(json) digest = digest_of(role, format, blob);
	autoptr(message) request = task(MSG_ATTACH, format, blob);
	autoptr(message) answer = NULL;
	g_autoptr(GBytes) signature = signature_for(request, format, digest);
	autofd int output = memfd_new("output", &error);

	json_set(request->body, "digest", json_ref(digest));
	test_add(request, "signature", signature);
	assert_ok(message_add_fd(request, "output", output, NULL, 0, &error), error);
	answer = test_role_ask(role, ROLE_ENGINE, request, MSG_ATTACHED);
	assert_outcome(answer, "ok", NULL);
	return fd_read(output, 1 << 24, NULL);
}

/* `certificates`: those that were to sign; `output`: what is read back. */
static struct message *read_back(
    struct test_role *role, const char *format, GBytes *blob, GBytes *output, GBytes *certificates)
{
	g_autoptr(GError) error = NULL;
	autoptr(json) digest = digest_of(role, format, blob);
	autoptr(message) request = message_new(MSG_READ_BACK, 0);
	autofd int scratch = memfd_new("scratch", &error);

	json_set_string(request->body, "format", format);
	json_set(request->body, "digest", json_ref(digest));
	test_add(request, "blob", blob);
	test_add(request, "certificates", certificates);
	test_add(request, "output", output);
	assert_ok(message_add_fd(request, "scratch", scratch, NULL, 0, &error), error);
	return test_role_ask(role, ROLE_ENGINE, request, MSG_READ);
}

static void what_was_signed_is_read_back(void **state)
{
	static const char *const formats_of[] = { "authenticode", "cms" };
	struct test_role *role = start();

	for (guint i = 0; i < G_N_ELEMENTS(formats_of); i++) {
		g_autoptr(GBytes) output = attached(role, formats_of[i], image);
		autoptr(message) answer = read_back(role, formats_of[i], image, output, chain);

		assert_outcome(answer, "ok", NULL);
		assert_int_equal(json_length(json_get(answer->body, "signatures")), 1);
		assert_string_equal(json_string(json_path(answer->body, "signatures.0"), "format"), formats_of[i]);
		assert_non_null(message_find(answer, "evidence"));
	}
	assert_int_equal(test_role_stop(role), 0);
}

static void an_output_that_is_not_the_input_with_a_signature_is_refused(void **state)
{
	struct test_role *role = start();
	g_autoptr(GBytes) other = pki_flip(image, 0x420);
	g_autoptr(GBytes) output = attached(role, "authenticode", other);
	g_autoptr(GBytes) detached = attached(role, "cms", other);
	autoptr(message) inside = read_back(role, "authenticode", image, output, chain);
	autoptr(message) beside = read_back(role, "cms", image, detached, chain);

	assert_outcome(inside, "refused", "has not the digest of the file that was to be signed");
	assert_outcome(beside, "refused", "not good when read back");
	assert_int_equal(test_role_stop(role), 0);
}

static void a_signature_of_another_certificate_is_refused(void **state)
{
	struct test_role *role = start();
	g_autoptr(GBytes) output = attached(role, "authenticode", image);
	g_autoptr(GBytes) others = pki_pem(pki.rsa.certificate, pki.root.certificate, NULL);
	autoptr(message) answer = read_back(role, "authenticode", image, output, others);

	assert_outcome(answer, "refused", "of another certificate than the one that was to sign");
	assert_int_equal(test_role_stop(role), 0);
}

static void an_output_without_a_signature_is_refused(void **state)
{
	struct test_role *role = start();
	autoptr(message) answer = read_back(role, "authenticode", image, image, chain);

	assert_outcome(answer, "refused", "bears no signature when read back");
	assert_int_equal(test_role_stop(role), 0);
}

static void a_message_without_its_file_is_refused(void **state)
{
	struct test_role *role = start();
	autoptr(message) request = message_new(MSG_INSPECT, 0);
	autoptr(message) answer = NULL;

	json_set_string(request->body, "type", "pe");
	answer = test_role_ask(role, ROLE_ENGINE, request, MSG_INSPECTED);
	assert_outcome(answer, "refused", "came without its file \"blob\"");
	assert_int_equal(test_role_stop(role), 0);
}

static void a_message_that_is_not_seals_ends_it(void **state)
{
	struct test_role *role = start();
	autoptr(message) request = message_new(MSG_USE, 0);

	test_role_tell(role, ROLE_ENGINE, request);
	assert_int_equal(test_role_wait(role), 70);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_of_the_type_that_the_policy_names_passes),
		cmocka_unit_test(another_type_is_refused_and_both_are_named),
		cmocka_unit_test(a_type_without_rules_is_taken_as_raw_alone),
		cmocka_unit_test(a_broken_structure_is_refused),
		cmocka_unit_test(judge_is_told_the_digest_of_that_very_blob),
		cmocka_unit_test(a_format_that_does_not_suit_the_file_is_refused),
		cmocka_unit_test(what_was_signed_is_read_back),
		cmocka_unit_test(an_output_that_is_not_the_input_with_a_signature_is_refused),
		cmocka_unit_test(a_signature_of_another_certificate_is_refused),
		cmocka_unit_test(an_output_without_a_signature_is_refused),
		cmocka_unit_test(a_message_without_its_file_is_refused),
		cmocka_unit_test(a_message_that_is_not_seals_ends_it),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
