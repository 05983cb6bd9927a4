/* The sign role over a SoftHSM: every use is counted first, the ledger's key signs commits alone, a wrong PIN is tried once. */
#include "tests/unit/support_hsm.h"
#include "tests/unit/support_role.h"

#include <fcntl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/reply.h"
#include "signer/sshsig.h"

#define RECORD "01JDZX00000000000000000000"

static struct softhsm *softhsm;
static struct config *config;
static char *state_folder, *public_key, *ledger_public_key;

static const struct peer wires[] = { { .role = ROLE_JUDGE }, { .role = ROLE_LEDGER }, { .role = ROLE_COUNT } };

static char *public_key_of(struct hsm *hsm, const char *label)
{
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(hsm_public_key(hsm, label, NULL), &der);
	char *text = g_base64_encode(der, size);

	OPENSSL_free(der);
	return text;
}

static int group_setup(void **state)
{
	autoptr(hsm) hsm = NULL;
	g_autofree char *more = NULL;

	(void)state;
	softhsm = softhsm_start();
	hsm = softhsm_open(softhsm);
	assert_true(hsm_generate(hsm, "release", "p256", NULL));
	assert_true(hsm_generate(hsm, "ledger", "p256", NULL));
	public_key = public_key_of(hsm, "release");
	ledger_public_key = public_key_of(hsm, "ledger");
	state_folder = softhsm_path(softhsm, "state");
	more = g_strdup_printf("[[token]]\nname = \"main\"\nmodule = \"%s\"\nlabel = \"%s\"\npin_file = \"%s\"\n",
	    TEST_MODULE, TEST_TOKEN, softhsm->pin_file);
	config = test_config(state_folder, NULL, more);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	config_free(config);
	softhsm_stop(softhsm);
	g_free(state_folder);
	g_free(public_key);
	g_free(ledger_public_key);
	return 0;
}

static struct test_role *start(void)
{
	return test_role_start(role_sign, ROLE_SIGN, 0, config, wires);
}

static struct message *use_message(const char *key, const char *public)
{
	struct message *m = message_new(MSG_USE, 0);
	g_autoptr(GBytes) data = g_bytes_new_static("to be signed", 12);

	json_set_string(m->body, "record", RECORD);
	json_set_string(m->body, "key", key);
	json_set_string(m->body, "hash", "sha256");
	json_set_boolean(m->body, "prehashed", FALSE);
	json_set_string(m->body, "public_key", public);
	body_set_bytes(m, "data", data);
	return m;
}

static struct message *use(struct test_role *role, const char *key, const char *public)
{
	autoptr(message) request = use_message(key, public);

	return test_role_ask(role, ROLE_JUDGE, request, MSG_USED);
}

static int64_t last_use(struct test_role *role)
{
	autoptr(message) request = message_new(MSG_KEYS, 0);
	autoptr(message) answer = test_role_ask(role, ROLE_JUDGE, request, MSG_KEYS_ARE);

	assert_outcome(answer, "ok", NULL);
	return json_integer(json_path(answer->body, "keys.0"), "last_use", -1);
}

static gboolean verifies(const char *public, const char *data, const struct message *answer)
{
	g_autoptr(GBytes) signature = body_bytes(answer, "signature", NULL);
	gsize size;
	g_autofree guchar *der = g_base64_decode(public, &size);
	const unsigned char *at = der;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, size);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	gboolean good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
			EVP_DigestVerify(ctx, g_bytes_get_data(signature, NULL), g_bytes_get_size(signature),
			    (const guchar *)data, strlen(data)) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return good;
}

static void a_use_is_signed_and_its_number_rises_over_restarts(void **state)
{
	struct test_role *role = start();
	int64_t before = last_use(role);

	for (guint i = 1; i <= 2; i++) {
		autoptr(message) answer = use(role, "release", public_key);
		assert_outcome(answer, "ok", NULL);
		assert_int_equal(json_integer(answer->body, "number", 0), before + i);
		assert_true(verifies(public_key, "to be signed", answer));
	}
	assert_int_equal(test_role_stop(role), 0);
	role = start();
	assert_int_equal(last_use(role), before + 2);
	assert_int_equal(test_role_stop(role), 0);
}

static void the_journal_holds_the_digest_of_what_was_signed(void **state)
{
	struct test_role *role = start();
	g_autofree char *digest = sha256_text("to be signed", 12),
			*path = g_strdup_printf("%s/journal/main-release.jsonl", state_folder);
	g_autofree char *text = NULL;

	message_free(use(role, "release", public_key));
	text = support_read(path);
	assert_contains(text, digest);
	assert_contains(text, RECORD);
	assert_int_equal(test_role_stop(role), 0);
}

static void the_uses_for_a_release_are_told_also_after_a_restart(void **state)
{
	struct test_role *role = start();
	autoptr(message) request = message_new(MSG_USES, 0);
	int64_t last;

	message_free(use(role, "release", public_key));
	last = last_use(role);
	assert_int_equal(test_role_stop(role), 0);
	role = start();
	json_set_string(request->body, "record", RECORD);
	json_set_string(request->body, "key", "release");
	{
		autoptr(message) answer = test_role_ask(role, ROLE_JUDGE, request, MSG_USES_ARE);
		const struct json *uses = json_get(answer->body, "uses");
		assert_outcome(answer, "ok", NULL);
		assert_int_equal(json_integer(json_at(uses, json_length(uses) - 1), "number", 0), last);
	}
	assert_int_equal(test_role_stop(role), 0);
}

static void a_token_tells_what_it_is_and_not_the_ledgers_key(void **state)
{
	struct test_role *role = start();
	autoptr(message) request = message_new(MSG_KEYS, 0);
	autoptr(message) answer = test_role_ask(role, ROLE_JUDGE, request, MSG_KEYS_ARE);

	assert_true(json_boolean(json_get(answer->body, "token"), "software", FALSE));
	assert_int_equal(json_length(json_get(answer->body, "keys")), 1);
	assert_string_equal(json_string(json_path(answer->body, "keys.0"), "label"), "release");
	assert_null(json_string(json_path(answer->body, "keys.0"), "weakness"));
	assert_int_equal(test_role_stop(role), 0);
}

static void the_ledgers_key_is_refused_for_a_release(void **state)
{
	struct test_role *role = start();
	autoptr(message) answer = use(role, "ledger", ledger_public_key);
	g_autofree char *path = g_strdup_printf("%s/journal/main-ledger.jsonl", state_folder);

	assert_outcome(answer, "refused", "the ledger's own: it signs commits and nothing else");
	assert_null(json_string(answer->body, "signature"));
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(test_role_stop(role), 0);
}

static void a_use_for_another_certificates_key_is_refused_and_not_counted(void **state)
{
	struct test_role *role = start();
	int64_t before = last_use(role);
	autoptr(message) answer = use(role, "release", ledger_public_key);

	assert_outcome(answer, "refused", "not of the key that the token \"main\" holds");
	assert_int_equal(last_use(role), before);
	assert_int_equal(test_role_stop(role), 0);
}

static void an_unknown_key_is_refused_and_not_counted(void **state)
{
	struct test_role *role = start();
	autoptr(message) answer = use(role, "nobody", public_key);

	assert_outcome(answer, "refused", "nobody");
	assert_int_equal(json_integer(answer->body, "number", 0), 0);
	assert_int_equal(test_role_stop(role), 0);
}

static void a_use_that_is_badly_asked_for_is_refused(void **state)
{
	static const struct {
		const char *key, *value, *words;
	} cases[] = {
		{ "record", "somebody", "not named by a ULID" },
		{ "hash", "sha1", "none of sha256, sha384, sha512" },
		{ "data", "!", "is not base64" },
	};
	struct test_role *role = start();

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		autoptr(message) request = use_message("release", public_key);
		autoptr(message) answer = NULL;

		json_set_string(request->body, cases[i].key, cases[i].value);
		answer = test_role_ask(role, ROLE_JUDGE, request, MSG_USED);
		assert_outcome(answer, "refused", cases[i].words);
	}
	assert_int_equal(test_role_stop(role), 0);
}

static void a_digest_of_the_wrong_size_is_refused(void **state)
{
	struct test_role *role = start();
	autoptr(message) request = use_message("release", public_key);
	autoptr(message) answer = NULL;

	json_set_boolean(request->body, "prehashed", TRUE);
	answer = test_role_ask(role, ROLE_JUDGE, request, MSG_USED);
	assert_outcome(answer, "refused", "a digest of 12 bytes is no sha256");
	assert_int_equal(test_role_stop(role), 0);
}

static void a_journal_that_was_tampered_with_stops_its_key(void **state)
{
	g_autofree char *path = g_strdup_printf("%s/journal/main-release.jsonl", state_folder), *text = NULL;
	struct test_role *role = start();
	autoptr(message) answer = NULL;

	message_free(use(role, "release", public_key));
	message_free(use(role, "release", public_key));
	assert_int_equal(test_role_stop(role), 0);
	text = support_read(path);
	support_write(path, strchr(text, '\n') + 1);
	role = start();
	answer = use(role, "release", public_key);
	assert_outcome(answer, "refused", "line 1 does not bear the next number");
	assert_null(json_string(answer->body, "signature"));
	assert_int_equal(test_role_stop(role), 0);
	support_write(path, text);
}

#define COMMIT                                                                                                         \
	"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"                                                              \
	"author Ledger <ledger@tagseal> 1772323200 +0000\n"                                                            \
	"committer Ledger <ledger@tagseal> 1772323200 +0000\n\nSign acme/widget v1.0\n"

static struct message *sign_commit(struct test_role *role, const char *text)
{
	autoptr(message) request = message_new(MSG_SIGN_COMMIT, 0);
	g_autoptr(GBytes) payload = g_bytes_new_static(text, strlen(text));

	body_set_bytes(request, "payload", payload);
	return test_role_ask(role, ROLE_LEDGER, request, MSG_COMMIT_SIGNED);
}

static void a_commit_is_signed_so_that_ssh_keygen_accepts_it(void **state)
{
	struct test_role *role = start();
	autoptr(message) request = message_new(MSG_LEDGER_KEY, 0);
	autoptr(message) key = test_role_ask(role, ROLE_LEDGER, request, MSG_LEDGER_KEY_IS);
	autoptr(message) answer = sign_commit(role, COMMIT);
	g_autofree char *line = g_strdup_printf("ledger %s\n", json_string(key->body, "public_key"));

	assert_outcome(answer, "ok", NULL);
	g_free(softhsm_file(softhsm, "signers", line, -1, 0600));
	g_free(softhsm_file(softhsm, "commit", COMMIT, -1, 0600));
	g_free(softhsm_file(softhsm, "commit.sig", json_string(answer->body, "armor"), -1, 0600));
	assert_int_equal(
	    softhsm_run(softhsm, NULL, "ssh-keygen -Y verify -f signers -I ledger -n git -s commit.sig <commit"), 0);
	assert_int_equal(test_role_stop(role), 0);
}

static void what_is_no_commit_is_not_signed_with_the_ledgers_key(void **state)
{
	struct test_role *role = start();
	autoptr(message) a = sign_commit(role, "to be signed");
	autoptr(message) b = sign_commit(role,
	    "object 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nx\n");

	assert_outcome(a, "refused", "signs commits and nothing else");
	assert_outcome(b, "refused", "signs commits and nothing else");
	assert_int_equal(test_role_stop(role), 0);
}

static struct message *ask_keys(struct test_role *role)
{
	autoptr(message) request = message_new(MSG_KEYS, 0);

	return test_role_ask(role, ROLE_JUDGE, request, MSG_KEYS_ARE);
}

/* Writes another version of the PIN file: other contents, and surely another time. */
static void write_pin(const char *pin)
{
	static time_t time = 1772323200;
	const struct timespec times[2] = { { ++time, 0 }, { time, 0 } };

	support_write(softhsm->pin_file, pin);
	assert_int_equal(utimensat(AT_FDCWD, softhsm->pin_file, times, 0), 0);
}

/* SoftHSM shows a wrong PIN by its flag USER_PIN_COUNT_LOW; here a right PIN behind an old time shows that it was not even tried. */
static void a_wrong_pin_is_tried_once_until_its_file_changes(void **state)
{
	struct stat st;
	struct timespec times[2];
	struct test_role *role;
	autoptr(message) first = NULL;
	autoptr(message) second = NULL;
	autoptr(message) third = NULL;

	write_pin("wrong\n");
	role = start();
	first = ask_keys(role);
	assert_outcome(first, "unavailable", "refused the PIN");
	assert_int_equal(test_role_stop(role), 0);

	/* The right PIN, made to look like the same version of the file: it is not tried, so the token stays away. */
	assert_int_equal(stat(softhsm->pin_file, &st), 0);
	times[0] = times[1] = st.st_mtim;
	support_write(softhsm->pin_file, TEST_PIN "\n");
	assert_int_equal(utimensat(AT_FDCWD, softhsm->pin_file, times, 0), 0);
	role = start();
	second = ask_keys(role);
	assert_outcome(second, "unavailable", "not tried again");

	/* A new version: the process ends, to be started again, and opens the token. */
	write_pin(TEST_PIN "\n");
	{
		autoptr(message) request = message_new(MSG_KEYS, 0);
		test_role_tell(role, ROLE_JUDGE, request);
	}
	assert_int_equal(test_role_wait(role), EXIT_FAILURE); /* not in order: the question in hand is asked again */
	role = start();
	third = ask_keys(role);
	assert_outcome(third, "ok", NULL);
	assert_int_equal(test_role_stop(role), 0);
}

static void a_token_that_is_away_is_told_and_ends_the_process(void **state)
{
	g_autofree char *conf = g_strdup(g_getenv("SOFTHSM2_CONF"));
	struct test_role *role;
	autoptr(message) answer = NULL;
	autoptr(message) commit = NULL;

	g_setenv("SOFTHSM2_CONF", "/nonexistent", TRUE);
	role = start();
	answer = use(role, "release", public_key);
	commit = sign_commit(role, COMMIT);
	assert_outcome(answer, "unavailable", NULL);
	assert_outcome(commit, "unavailable", NULL);
	assert_int_equal(test_role_wait(role), 1);
	g_setenv("SOFTHSM2_CONF", conf, TRUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_use_is_signed_and_its_number_rises_over_restarts),
		cmocka_unit_test(the_journal_holds_the_digest_of_what_was_signed),
		cmocka_unit_test(the_uses_for_a_release_are_told_also_after_a_restart),
		cmocka_unit_test(a_token_tells_what_it_is_and_not_the_ledgers_key),
		cmocka_unit_test(the_ledgers_key_is_refused_for_a_release),
		cmocka_unit_test(a_use_for_another_certificates_key_is_refused_and_not_counted),
		cmocka_unit_test(an_unknown_key_is_refused_and_not_counted),
		cmocka_unit_test(a_use_that_is_badly_asked_for_is_refused),
		cmocka_unit_test(a_digest_of_the_wrong_size_is_refused),
		cmocka_unit_test(a_journal_that_was_tampered_with_stops_its_key),
		cmocka_unit_test(a_commit_is_signed_so_that_ssh_keygen_accepts_it),
		cmocka_unit_test(what_is_no_commit_is_not_signed_with_the_ledgers_key),
		cmocka_unit_test(a_wrong_pin_is_tried_once_until_its_file_changes),
		cmocka_unit_test(a_token_that_is_away_is_told_and_ends_the_process),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
