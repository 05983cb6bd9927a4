/* The ledger role: what engine sends is committed, signed by the key that sign holds, and pushed; what is no record of ours is not. */
#include "tests/unit/support_hsm.h"
#include "tests/unit/support_role.h"

#include <poll.h>
#include <string.h>

#include "gitops/record.h"
#include "server/reply.h"
#include "signer/sshsig.h"

static const struct peer wires[] = { { .role = ROLE_SIGN }, { .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };

static struct softhsm *softhsm;
static struct hsm *hsm;

struct scene {
	char *state, *required, *optional;
	struct config *config;
	struct test_role *ledger;
	gboolean away; /* sign has no token */
};

static char *bare(const char *state, const char *name)
{
	char *path = g_build_filename(state, name, NULL);

	g_free(support_must("git", "init", "-q", "--bare", "-b", "main", path, NULL));
	return path;
}

static struct scene *scene_new(void)
{
	static guint count;
	struct scene *s = g_new0(struct scene, 1);
	g_autofree char *name = g_strdup_printf("ledger-%u", count++), *more = NULL;

	s->state = support_folder(name);
	s->required = bare(s->state, "required.git");
	s->optional = bare(s->state, "optional.git");
	more = g_strdup_printf(
	    "[[token]]\nname = \"main\"\nlabel = \"x\"\npin_file = \"y\"\n"
	    "[[audit_remote]]\nurl = \"file://%s\"\nrequired = true\n[[audit_remote]]\nurl = \"file://%s\"\n",
	    s->required, s->optional);
	s->config = test_config(s->state, NULL, more);
	s->ledger = test_role_start(role_ledger, ROLE_LEDGER, 0, s->config, wires);
	return s;
}

static void scene_free(struct scene *s)
{
	assert_int_equal(test_role_stop(s->ledger), 0);
	config_free(s->config);
	g_free(s->state);
	g_free(s->required);
	g_free(s->optional);
	g_free(s);
}
DEFINE_CLEANUP(scene, scene_free)

static struct message *ledger_key(const struct message *request)
{
	struct message *answer = message_answer(request, MSG_LEDGER_KEY_IS, NULL);
	g_autofree char *line = sshsig_public_line(hsm_public_key(hsm, "ledger", NULL), NULL);

	json_set_string(answer->body, "public_key", line);
	return answer;
}

static struct message *commit_signed(const struct message *request)
{
	struct message *answer = message_answer(request, MSG_COMMIT_SIGNED, NULL);
	g_autoptr(GBytes) payload = body_bytes(request, "payload", NULL),
			  armor = sshsig_sign(hsm, "ledger", "git", payload, NULL);
	g_autofree char *text = g_strndup(g_bytes_get_data(armor, NULL), g_bytes_get_size(armor));

	json_set_string(answer->body, "armor", text);
	return answer;
}

static void play_sign(struct scene *s)
{
	g_autoptr(GError) error = NULL;
	autoptr(message) request = test_role_next(s->ledger, ROLE_SIGN);
	autoptr(message) answer = NULL;

	if (s->away) {
		g_autoptr(GError) why = g_error_new(TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the token is away");
		answer = message_answer(
		    request, request->kind == MSG_LEDGER_KEY ? MSG_LEDGER_KEY_IS : MSG_COMMIT_SIGNED, why);
	} else {
		answer = request->kind == MSG_LEDGER_KEY ? ledger_key(request) : commit_signed(request);
	}
	assert_ok(message_send(test_role_fd(s->ledger, ROLE_SIGN), answer, &error), error);
}

static struct message *append_message(const char *id, struct json *document, guint files)
{
	struct message *m = message_new(MSG_APPEND, 0);
	struct json *entries = json_array_new(), *row = json_object_new();
	g_autoptr(GBytes) bytes = json_canonical(document);

	json_set_string(row, "id", id);
	json_set_integer(row, "files", files);
	json_append(entries, row);
	json_set(m->body, "entries", entries);
	test_add(m, "document", bytes);
	return m;
}

/* Takes the message over. */
static struct message *append(struct scene *s, struct message *message)
{
	autoptr(message) mine = message;
	struct pollfd fds[2] = { { .fd = test_role_fd(s->ledger, ROLE_SIGN), .events = POLLIN },
		{ .fd = test_role_fd(s->ledger, ROLE_ENGINE), .events = POLLIN } };

	test_role_tell(s->ledger, ROLE_ENGINE, mine);
	for (;;) {
		assert_true(poll(fds, 2, 20000) > 0);
		if (fds[1].revents != 0)
			return test_role_next(s->ledger, ROLE_ENGINE);
		play_sign(s);
	}
}

static struct json *record_of(const char *id)
{
	struct json *record = record_new(id, "acme/widget", "v1.2.0");

	record_gate(record, GATE_SOURCE, "rejected", 1772323200000, 1772323201000, 1);
	record_end(record, "rejected", GATE_SOURCE, "the tag is not signed");
	return record;
}

static struct message *append_record(struct scene *s, const char *id)
{
	autoptr(json) record = record_of(id);
	struct message *m = append_message(id, record, 1);
	g_autoptr(GBytes) tag = g_bytes_new_static("a tag", 5);

	test_add(m, "tag", tag);
	return append(s, m);
}

static void a_record_is_committed_signed_and_pushed(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = ulid_new(), *tip = NULL, *signers = NULL, *verified = NULL;
	autoptr(message) answer = append_record(s, id);
	const char *commit = json_string(json_path(answer->body, "entries.0"), "commit");

	assert_outcome(answer, "ok", NULL);
	assert_string_equal(json_string(json_path(answer->body, "entries.0"), "id"), id);
	assert_true(json_boolean(answer->body, "pushed", FALSE));
	tip = support_must_in(s->required, "git", "rev-parse", "main", NULL);
	assert_string_equal(tip, commit);
	signers = g_build_filename(s->state, "signers", NULL);
	{
		g_autofree char *text = support_must_in(s->required, "git", "show", "main:allowed_signers", NULL);
		g_autofree char *setting = g_strdup_printf("gpg.ssh.allowedSignersFile=%s", signers);
		support_write(signers, text);
		verified = support_must_in(s->required, "git", "-c", setting, "verify-commit", "main", NULL);
	}
}

static void an_optional_remote_has_it_soon_after(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = ulid_new();
	autoptr(message) answer = append_record(s, id);
	const char *commit = json_string(json_path(answer->body, "entries.0"), "commit");
	gboolean there = FALSE;

	for (guint i = 0; i < 200 && !there; i++) {
		autoptr(run) git = support_run("git", "-C", s->optional, "rev-parse", "-q", "--verify", "main", NULL);
		there = git->status == 0 && g_str_has_prefix(git->out, commit);
		g_usleep(50000);
	}
	assert_true(there);
}

static void asking_twice_writes_it_once(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = ulid_new();
	autoptr(message) first = append_record(s, id);
	autoptr(message) second = append_record(s, id);

	assert_outcome(second, "ok", NULL);
	assert_true(json_equal(json_get(first->body, "entries"), json_get(second->body, "entries")));
}

static void an_event_is_taken_too(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(json) event = record_event_new("start", NULL, NULL);
	g_autofree char *id = g_strdup(json_string(event, "id"));
	autoptr(message) answer = append(s, append_message(id, event, 0));

	assert_outcome(answer, "ok", NULL);
}

static void a_remote_that_is_away_is_told_and_the_record_stands(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = ulid_new();
	autoptr(message) answer = NULL;

	g_free(support_must("rm", "-rf", s->required, NULL));
	answer = append_record(s, id);
	assert_outcome(answer, "ok", NULL);
	assert_false(json_boolean(answer->body, "pushed", TRUE));
	assert_non_null(json_string(answer->body, "push_reason"));
}

static void without_its_key_nothing_is_written(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = ulid_new();
	autoptr(message) away = NULL;
	autoptr(message) back = NULL;

	s->away = TRUE;
	away = append_record(s, id);
	assert_outcome(away, "unavailable", "the token is away");
	s->away = FALSE;
	back = append_record(s, id);
	assert_outcome(back, "ok", NULL);
}

static void a_document_that_is_no_record_is_refused(void **state)
{
	autoptr(scene) s = scene_new();
	g_autofree char *id = ulid_new(), *other = ulid_new();
	autoptr(json) record = record_of(id);
	autoptr(message) named = append(s, append_message(other, record, 0));
	autoptr(message) strange = NULL;
	autoptr(message) short_of = NULL;

	assert_outcome(named, "refused", "with the id that the message gives");
	json_set_string(record, "mood", "good");
	strange = append(s, append_message(id, record, 0));
	assert_outcome(strange, "refused", "\"mood\" is no member of it");
	json_set(record, "mood", NULL);
	short_of = append(s, append_message(id, record, 1));
	assert_outcome(short_of, "refused", "fewer files came than the entries name");
}

static int begin(void **state)
{
	(void)state;
	softhsm = softhsm_start();
	support_isolate();
	{
		g_autofree char *conf = softhsm_path(softhsm, "softhsm2.conf");
		g_setenv("SOFTHSM2_CONF", conf, TRUE);
	}
	hsm = softhsm_open(softhsm);
	assert_true(hsm_generate(hsm, "ledger", "p256", NULL));
	return 0;
}

static int end(void **state)
{
	(void)state;
	hsm_free(hsm);
	softhsm_stop(softhsm);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_committed_signed_and_pushed),
		cmocka_unit_test(an_optional_remote_has_it_soon_after),
		cmocka_unit_test(asking_twice_writes_it_once),
		cmocka_unit_test(an_event_is_taken_too),
		cmocka_unit_test(a_remote_that_is_away_is_told_and_the_record_stands),
		cmocka_unit_test(without_its_key_nothing_is_written),
		cmocka_unit_test(a_document_that_is_no_record_is_refused),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
