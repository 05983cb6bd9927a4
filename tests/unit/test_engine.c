/*
 * The engine, with the test playing every other role: what gitops, the ledger or a flood of deliveries may do to it, and what it keeps over a crash.
 */
#include "tests/unit/support_role.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAG_OBJECT "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"
#define POLICY "1111111111111111111111111111111111111111"
#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static const struct peer wires[] = { { .role = ROLE_LISTEN }, { .role = ROLE_GITOPS }, { .role = ROLE_COURIER },
	{ .role = ROLE_SCAN }, { .role = ROLE_SEAL }, { .role = ROLE_JUDGE }, { .role = ROLE_LEDGER },
	{ .role = ROLE_COUNT } };

struct scene {
	char *state;
	struct config *config;
	struct test_role *engine;
};

static void start(struct scene *s)
{
	s->engine = test_role_start(role_engine, ROLE_ENGINE, 0, s->config, wires);
}

static struct scene *scene_new(void)
{
	static guint count;
	struct scene *s = g_new0(struct scene, 1);
	g_autofree char *name = g_strdup_printf("engine-%u", ++count), *spool = NULL;

	s->state = support_folder(name);
	spool = g_strconcat(s->state, "/spool", NULL);
	assert_int_equal(g_mkdir_with_parents(spool, 0700), 0);
	s->config = test_config(s->state, NULL, "[[token]]\nname = \"main\"\nlabel = \"x\"\npin_file = \"y\"\n");
	start(s);
	return s;
}

static void crash(struct scene *s)
{
	kill(s->engine->pid, SIGKILL);
	assert_int_equal(test_role_wait(s->engine), 128 + SIGKILL);
}

static void scene_free(struct scene *s)
{
	crash(s);
	config_free(s->config);
	g_free(s->state);
	g_free(s);
}
DEFINE_CLEANUP(scene, scene_free)

/* ---- the other roles ---- */

static struct message *next(struct scene *s, enum role role, enum message_kind kind)
{
	struct message *m = test_role_next(s->engine, role);

	if (m->kind != kind)
		fail_msg("%s was asked \"%s\", not \"%s\"", role_name(role), message_name(m->kind), message_name(kind));
	return m;
}

static gboolean is_asked(struct scene *s, enum role role, int within_ms)
{
	struct pollfd polled = { .fd = test_role_fd(s->engine, role), .events = POLLIN };

	return poll(&polled, 1, within_ms) == 1;
}

static void send_to_engine(struct scene *s, enum role as, struct message *m)
{
	g_autoptr(GError) error = NULL;

	assert_ok(message_send(test_role_fd(s->engine, as), m, &error), error);
	message_free(m);
}

static void answer(struct scene *s, enum role as, const struct message *request, enum message_kind kind, int code)
{
	g_autoptr(GError) error = code >= 0 ? g_error_new_literal(TAGSEAL_ERROR, code, "the test says so") : NULL;

	send_to_engine(s, as, message_answer(request, kind, error));
}
#define WELL (-1)

static void add_json(struct message *m, const char *name, const char *text)
{
	g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));

	test_add(m, name, bytes);
}

static void looked(struct scene *s, const struct message *request, const char *policy, const char *look)
{
	struct message *m = message_answer(request, MSG_LOOKED, NULL);

	json_set_string(m->body, "policy", policy);
	add_json(m, "look.json", look);
	send_to_engine(s, ROLE_GITOPS, m);
}

#define WIDGET                                                                                                         \
	"{\"name\":\"acme/widget\",\"source\":\"https://git.example.org/acme/widget.git\",\"hooks\":[],\"rules\":["    \
	"{\"name\":\"release\",\"not_tags\":[],\"tags\":[\"v*\"]}],\"tags\":["
#define TAGGED "{\"id\":\"" TAG_OBJECT "\",\"name\":\"v1\",\"rule\":\"release\"}]}"

/* The first look of an engine that has just started shows the projects, the next one a tag. */
static void show_tag(struct scene *s)
{
	autoptr(message) all = next(s, ROLE_GITOPS, MSG_LOOK);
	autoptr(message) look = NULL;

	looked(s, all, POLICY, "{\"projects\":[" WIDGET "]}]}");
	look = next(s, ROLE_GITOPS, MSG_LOOK);
	looked(s, look, POLICY, "{\"projects\":[" WIDGET TAGGED "]}");
}

/* The event of the start comes to the log. */
static void commit_entry(struct scene *s, const struct message *request)
{
	struct message *m = message_answer(request, MSG_APPENDED, NULL);
	struct json *rows = json_array_new(), *entries = json_get(request->body, "entries");

	for (guint i = 0; i < json_length(entries); i++) {
		struct json *row = json_object_new();
		json_set_string(row, "id", json_string(json_at(entries, i), "id"));
		json_set_integer(row, "sequence", i);
		json_set_string(row, "sha256", DIGEST);
		json_append(rows, row);
	}
	json_set(m->body, "entries", rows);
	json_set_boolean(m->body, "pushed", TRUE);
	send_to_engine(s, ROLE_LEDGER, m);
}

static void commit_start(struct scene *s)
{
	autoptr(message) append = next(s, ROLE_LEDGER, MSG_APPEND);

	commit_entry(s, append);
}

static struct json *document_of(const struct message *append)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = message_bytes(append, "document", 1 << 20, &error);
	struct json *document = json_parse_bytes(bytes, &error);

	assert_int_equal(json_length(json_get(append->body, "entries")), 1);
	assert_non_null(document);
	return document;
}

/* Every question about the tag is answered so: all is well, with `count` artifacts. */
static void decide_with(struct scene *s, guint count, const char *word, const char *more)
{
	autoptr(message) request = next(s, ROLE_GITOPS, MSG_DECIDE);
	struct message *m = message_answer(request, MSG_DECIDED, NULL);
	GString *sections = g_string_new("{\"artifacts\":[");

	for (guint i = 0; i < count; i++)
		g_string_append_printf(sections,
		    "%s{\"max_size\":1000,\"name\":\"a%u\",\"pinned_by\":\"approval\",\"sign\":[\"cms\"],\"type\":"
		    "\"raw\","
		    "\"url\":\"https://x.example/a\"}",
		    i > 0 ? "," : "", i);
	g_string_append_printf(sections, "],%s\"scan\":false,\"timestamp\":false}", more);
	json_set_string(m->body, "source", "passed");
	json_set_string(m->body, "approval", word);
	json_set_string(m->body, "approval_reason", "the test says so");
	json_set_string(m->body, "key", "release");
	add_json(m, "sections.json", sections->str);
	add_json(m, "certificates", "PEM");
	send_to_engine(s, ROLE_GITOPS, m);
	g_string_free(sections, TRUE);
}

static void decide(struct scene *s, guint count, const char *word)
{
	decide_with(s, count, word, "");
}

static void fill_output(const struct message *request)
{
	assert_int_equal(write(message_find(request, "output")->fd, "hello\n", 6), 6);
}

/* From the tag's approval to the last question that its people are asked. */
static void until_confirmed(struct scene *s)
{
	decide(s, 1, "passed");
	{
		autoptr(message) fetch = next(s, ROLE_COURIER, MSG_FETCH);
		fill_output(fetch);
		answer(s, ROLE_COURIER, fetch, MSG_FETCHED, WELL);
	}
	{
		autoptr(message) inspect = next(s, ROLE_SEAL, MSG_INSPECT);
		answer(s, ROLE_SEAL, inspect, MSG_INSPECTED, WELL);
	}
}

/* From the tag to the question that judge gets. */
static struct message *until_judge(struct scene *s)
{
	show_tag(s);
	until_confirmed(s);
	decide(s, 1, "passed");
	{
		autoptr(message) digest = next(s, ROLE_SEAL, MSG_DIGEST);
		struct message *m = message_answer(digest, MSG_DIGESTED, NULL);
		json_set(m->body, "digest", json_object_new());
		send_to_engine(s, ROLE_SEAL, m);
	}
	return next(s, ROLE_JUDGE, MSG_JUDGE);
}

static void judged(struct scene *s, const struct message *request, int code)
{
	g_autoptr(GError) error = code >= 0 ? g_error_new_literal(TAGSEAL_ERROR, code, "thrown away") : NULL;
	struct message *m = message_answer(request, MSG_JUDGED, error);
	struct json *use = json_object_new();

	json_set_string(use, "token", "main");
	json_set_string(use, "key", "release");
	json_set_integer(use, "number", 7);
	json_set_string(use, "digest", DIGEST);
	json_set(m->body, "use", use);
	if (error == NULL)
		add_json(m, "signature", "S");
	send_to_engine(s, ROLE_JUDGE, m);
}

/* The event of that word among the documents of a batch, or NULL. */
static struct json *event_among(const struct message *append, const char *word)
{
	for (guint i = 0; i < append->files->len; i++) {
		const struct message_file *file = &g_array_index(append->files, struct message_file, i);
		g_autoptr(GBytes) bytes = g_str_equal(file->name, "document") ? fd_read(file->fd, 1 << 20, NULL) : NULL;
		autoptr(json) document = bytes != NULL ? json_parse_bytes(bytes, NULL) : NULL;

		if (document != NULL && g_strcmp0(json_string(document, "event"), word) == 0)
			return g_steal_pointer(&document);
	}
	return NULL;
}

/* Takes what comes to the log until an event of that word; what comes is committed. */
static struct json *event_in_log(struct scene *s, const char *word)
{
	for (guint i = 0; i < 8; i++) {
		autoptr(message) append = next(s, ROLE_LEDGER, MSG_APPEND);
		struct json *event = event_among(append, word);

		commit_entry(s, append);
		if (event != NULL)
			return event;
	}
	fail_msg("no event \"%s\" came to the log", word);
	return NULL;
}

static void hook(struct scene *s, const char *project, guint number)
{
	struct message *m = message_new(MSG_HOOK, number);
	g_autofree char *delivery = g_strdup_printf("d-%u", number), *body = sha256_text(delivery, strlen(delivery));
	autoptr(message) told = NULL;

	json_set_string(m->body, "host", "github");
	json_set_string(m->body, "delivery", delivery);
	json_set_string(m->body, "body_sha256", body);
	json_set_string(m->body, "project", project);
	json_set_string(m->body, "ref", "refs/heads/main");
	json_set_string(m->body, "old", TAG_OBJECT);
	json_set_string(m->body, "new", TAG_OBJECT);
	send_to_engine(s, ROLE_LISTEN, m);
	told = next(s, ROLE_LISTEN, MSG_HOOKED);
	assert_int_equal(json_integer(told->body, "status", 0), 202);
}

/* ---- the log ---- */

static void an_event_that_the_ledger_could_not_take_is_sent_again(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) first = next(s, ROLE_LEDGER, MSG_APPEND);
	autoptr(message) second = NULL;

	answer(s, ROLE_LEDGER, first, MSG_APPENDED, TAGSEAL_ERROR_UNAVAILABLE);
	second = next(s, ROLE_LEDGER, MSG_APPEND);
	assert_true(json_equal(json_get(first->body, "entries"), json_get(second->body, "entries")));
}

static void an_entry_that_the_ledger_refuses_holds_up_no_other(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) first = next(s, ROLE_LEDGER, MSG_APPEND);
	autoptr(json) event = NULL;

	show_tag(s);
	decide(s, 1, "denied"); /* its record waits behind the first batch */
	assert_false(is_asked(s, ROLE_LEDGER, 300));
	answer(s, ROLE_LEDGER, first, MSG_APPENDED, TAGSEAL_ERROR_UNAVAILABLE);
	for (guint i = 0; i < 4 && event == NULL; i++) {
		autoptr(message) append = next(s, ROLE_LEDGER, MSG_APPEND);

		/* The event of the start is what it cannot take. */
		if (json_length(json_get(append->body, "entries")) > 1)
			answer(s, ROLE_LEDGER, append, MSG_APPENDED, TAGSEAL_ERROR_REFUSED);
		else if ((event = document_of(append)) != NULL && json_get(event, "event") != NULL) {
			answer(s, ROLE_LEDGER, append, MSG_APPENDED, TAGSEAL_ERROR_REFUSED);
			g_clear_pointer(&event, json_unref);
		}
	}
	assert_non_null(event);
	assert_string_equal(json_as_string(json_path(event, "end.outcome")), "denied");
}

static void what_the_ledger_does_not_name_is_not_committed(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) first = next(s, ROLE_LEDGER, MSG_APPEND);
	autoptr(message) second = NULL;
	struct message *m = message_answer(first, MSG_APPENDED, NULL);

	json_set(m->body, "entries", json_array_new());
	send_to_engine(s, ROLE_LEDGER, m);
	second = next(s, ROLE_LEDGER, MSG_APPEND);
	assert_true(json_equal(json_get(first->body, "entries"), json_get(second->body, "entries")));
}

static void a_record_that_is_closed_stays_closed_over_a_crash(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) append = NULL;
	autoptr(json) before = NULL;
	autoptr(json) after = NULL;

	commit_start(s);
	show_tag(s);
	decide(s, 1, "denied");
	append = next(s, ROLE_LEDGER, MSG_APPEND);
	before = document_of(append);
	crash(s);
	start(s);
	for (guint i = 0; i < 4 && after == NULL; i++) {
		autoptr(message) again = next(s, ROLE_LEDGER, MSG_APPEND);
		g_autoptr(GBytes) bytes = message_bytes(again, "document", 1 << 20, NULL);

		after = json_parse_bytes(bytes, NULL);
		if (json_get(after, "event") != NULL)
			g_clear_pointer(&after, json_unref);
		commit_entry(s, again);
	}
	assert_non_null(after);
	assert_true(json_equal(before, after));
}

/* ---- uses of keys ---- */

static void a_use_that_came_to_nothing_is_void_in_the_log(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) judge = NULL;
	autoptr(json) event = NULL;

	commit_start(s);
	judge = until_judge(s);
	judged(s, judge, TAGSEAL_ERROR_FAILED);
	event = event_in_log(s, "void");
	assert_int_equal(json_integer(event, "use", 0), 7);
	assert_string_equal(json_string(event, "key"), "release");
	assert_string_equal(json_string(event, "digest"), DIGEST);
	assert_string_equal(json_string(event, "reason"), "thrown away");
}

static void uses_of_a_release_that_is_rejected_later_are_void_in_the_log(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) judge = NULL;
	autoptr(message) attach = NULL;
	autoptr(json) event = NULL;

	commit_start(s);
	judge = until_judge(s);
	judged(s, judge, WELL);
	attach = next(s, ROLE_SEAL, MSG_ATTACH);
	answer(s, ROLE_SEAL, attach, MSG_ATTACHED, TAGSEAL_ERROR_REFUSED);
	event = event_in_log(s, "void");
	assert_int_equal(json_integer(event, "use", 0), 7);
	assert_string_equal(json_string(event, "record"), DIGEST);
}

/* Judge is asked what the journal has for the release, and tells one use. */
static void reckon(struct scene *s, int64_t number)
{
	autoptr(message) question = next(s, ROLE_JUDGE, MSG_RECKON);
	struct message *m = message_answer(question, MSG_RECKONED, NULL);
	struct json *uses = json_array_new(), *use = json_object_new();

	assert_string_equal(json_string(question->body, "key"), "release");
	json_set_string(use, "token", "main");
	json_set_integer(use, "number", number);
	json_set_string(use, "digest", DIGEST);
	json_append(uses, use);
	json_set(m->body, "uses", uses);
	send_to_engine(s, ROLE_JUDGE, m);
}

static void a_use_whose_answer_a_crash_took_is_void_in_the_log(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) judge = NULL;
	autoptr(message) again = NULL;
	autoptr(json) event = NULL;

	commit_start(s);
	judge = until_judge(s);
	crash(s);
	start(s);
	again = next(s, ROLE_JUDGE, MSG_JUDGE);
	answer(s, ROLE_JUDGE, again, MSG_JUDGED, TAGSEAL_ERROR_REFUSED);
	reckon(s, 7);
	event = event_in_log(s, "void");
	assert_int_equal(json_integer(event, "use", 0), 7);
	assert_string_equal(json_string(event, "reason"), "the answer was lost, and the key was asked again");
}

static void a_use_that_was_told_is_not_void_because_a_judge_died(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) judge = NULL;
	autoptr(message) again = NULL;
	autoptr(message) attach = NULL;

	commit_start(s);
	judge = until_judge(s);
	answer(s, ROLE_JUDGE, judge, MSG_JUDGED, TAGSEAL_ERROR_UNAVAILABLE);
	again = next(s, ROLE_JUDGE, MSG_JUDGE);
	judged(s, again, WELL);
	attach = next(s, ROLE_SEAL, MSG_ATTACH);
	answer(s, ROLE_SEAL, attach, MSG_ATTACHED, TAGSEAL_ERROR_REFUSED);
	reckon(s, 7);
	{
		autoptr(json) event = event_in_log(s, "void");
		assert_string_equal(json_string(event, "reason"), "the release did not come to its end");
	}
}

/* ---- provenance ---- */

#define PROVENANCE "\"provenance\":\"https://x.example/provenance\","

/* The courier brings both; what it brings is asked about together. */
static struct message *until_vouch(struct scene *s)
{
	show_tag(s);
	decide_with(s, 1, "passed", PROVENANCE);
	for (guint i = 0; i < 2; i++) {
		autoptr(message) fetch = next(s, ROLE_COURIER, MSG_FETCH);

		assert_string_equal(
		    json_string(fetch->body, "url"), i == 0 ? "https://x.example/a" : "https://x.example/provenance");
		fill_output(fetch);
		answer(s, ROLE_COURIER, fetch, MSG_FETCHED, WELL);
	}
	return next(s, ROLE_GITOPS, MSG_VOUCH);
}

static void vouched(struct scene *s, const struct message *question)
{
	struct message *m = message_answer(question, MSG_VOUCHED, NULL);

	add_json(m, "section.json", "{\"builder\":\"https://ci.example.org\"}");
	send_to_engine(s, ROLE_GITOPS, m);
}

static void a_release_goes_on_when_its_provenance_vouches(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) question = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) list = NULL, file = NULL;

	commit_start(s);
	question = until_vouch(s);
	list = message_bytes(question, "artifacts.json", 1 << 16, &error);
	file = message_bytes(question, "provenance", 1 << 16, &error);
	assert_int_equal(g_bytes_get_size(file), 6);
	assert_non_null(g_strstr_len(g_bytes_get_data(list, NULL), (gssize)g_bytes_get_size(list),
	    "\"name\":\"a0\",\"sha256\":\"sha256:5891b5b5"));
	vouched(s, question);
	{
		autoptr(message) inspect = next(s, ROLE_SEAL, MSG_INSPECT);
		answer(s, ROLE_SEAL, inspect, MSG_INSPECTED, WELL);
	}
	decide_with(s, 1, "passed", PROVENANCE);
	{
		autoptr(message) digest = next(s, ROLE_SEAL, MSG_DIGEST);
		struct message *m = message_answer(digest, MSG_DIGESTED, NULL);
		json_set(m->body, "digest", json_object_new());
		send_to_engine(s, ROLE_SEAL, m);
	}
	{
		autoptr(message) judge = next(s, ROLE_JUDGE, MSG_JUDGE);
		assert_non_null(message_find(judge, "provenance"));
		assert_true(json_integer(judge->body, "provenance_first_seen", 0) > 0);
	}
}

static void a_release_whose_provenance_does_not_vouch_is_rejected(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) question = NULL;
	autoptr(message) append = NULL;
	autoptr(json) record = NULL;

	commit_start(s);
	question = until_vouch(s);
	answer(s, ROLE_GITOPS, question, MSG_VOUCHED, TAGSEAL_ERROR_REFUSED);
	append = next(s, ROLE_LEDGER, MSG_APPEND);
	record = document_of(append);
	assert_string_equal(json_as_string(json_path(record, "end.outcome")), "rejected");
	assert_string_equal(json_as_string(json_path(record, "end.gate")), "fetch");
	assert_false(is_asked(s, ROLE_SEAL, 0));
}

static void a_release_waits_for_provenance_that_is_not_there_yet(void **state)
{
	autoptr(scene) s = scene_new();

	commit_start(s);
	show_tag(s);
	decide_with(s, 1, "passed", PROVENANCE);
	{
		autoptr(message) fetch = next(s, ROLE_COURIER, MSG_FETCH);
		fill_output(fetch);
		answer(s, ROLE_COURIER, fetch, MSG_FETCHED, WELL);
	}
	{
		autoptr(message) fetch = next(s, ROLE_COURIER, MSG_FETCH);
		answer(s, ROLE_COURIER, fetch, MSG_FETCHED, TAGSEAL_ERROR_UNAVAILABLE);
	}
	{
		autoptr(message) again = next(s, ROLE_COURIER, MSG_FETCH);
		assert_string_equal(json_string(again->body, "url"), "https://x.example/provenance");
	}
	assert_false(is_asked(s, ROLE_GITOPS, 0));
}

/* ---- what gitops says ---- */

static void names_that_lead_out_of_a_folder_are_not_taken(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) all = next(s, ROLE_GITOPS, MSG_LOOK);
	autoptr(message) look = NULL;
	autoptr(message) decision = NULL;

	looked(s, all, POLICY,
	    "{\"projects\":["
	    "{\"hooks\":[],\"name\":\"../../etc\",\"rules\":[],\"source\":\"https://x.example/\"},"
	    "{\"hooks\":[],\"name\":\"acme/../x\",\"rules\":[],\"source\":\"https://x.example/\"}," WIDGET "]}]}");
	look = next(s, ROLE_GITOPS, MSG_LOOK);
	assert_int_equal(json_length(json_get(look->body, "projects")), 1);
	assert_string_equal(json_as_string(json_at(json_get(look->body, "projects"), 0)), "acme/widget");
	looked(s, look, POLICY,
	    "{\"projects\":[" WIDGET "{\"id\":\"" TAG_OBJECT "\",\"name\":\"../v1\",\"rule\":\"release\"}," TAGGED
	    "]}");
	decision = next(s, ROLE_GITOPS, MSG_DECIDE);
	assert_string_equal(json_string(decision->body, "project"), "acme/widget");
	assert_string_equal(json_string(decision->body, "tag"), "v1");
}

static void a_release_that_no_record_can_hold_is_rejected_before_a_key_is_used(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) append = NULL;
	autoptr(json) record = NULL;

	commit_start(s);
	show_tag(s);
	decide(s, 100, "passed");
	append = next(s, ROLE_LEDGER, MSG_APPEND);
	record = document_of(append);
	assert_string_equal(json_as_string(json_path(record, "end.outcome")), "rejected");
	assert_contains(json_as_string(json_path(record, "end.reason")), "is more than one record takes");
	assert_false(is_asked(s, ROLE_COURIER, 0));
}

/* ---- the last word before the key ---- */

#define DENIAL "\"approvals\":[{\"commit\":\"" TAG_OBJECT "\",\"counts\":true,\"word\":\"deny\"}],"

/* gitops parses what strangers made: where a range begins, it may only choose among the releases that the engine knows. */
static void a_base_that_gitops_makes_up_is_refused(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) request = NULL;
	autoptr(message) append = NULL;
	autoptr(json) record = NULL;
	struct message *m;
	struct json *base = json_object_new();

	show_tag(s);
	commit_start(s);
	request = next(s, ROLE_GITOPS, MSG_DECIDE);
	assert_int_equal(json_length(json_get(request->body, "bases")), 0);
	m = message_answer(request, MSG_DECIDED, NULL);
	json_set_string(base, "commit", TAG_OBJECT);
	json_set_string(m->body, "source", "passed");
	json_set(m->body, "base", base);
	add_json(m, "sections.json", "{\"artifacts\":[]}");
	send_to_engine(s, ROLE_GITOPS, m);
	append = next(s, ROLE_LEDGER, MSG_APPEND);
	record = document_of(append);
	assert_string_equal(json_as_string(json_path(record, "end.outcome")), "rejected");
	assert_contains(json_as_string(json_path(record, "end.reason")), "begin at a release that it was not told of");
}

static void a_denial_that_comes_before_the_key_is_used_is_in_the_record(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) append = NULL;
	autoptr(json) record = NULL;

	commit_start(s);
	show_tag(s);
	until_confirmed(s);
	decide_with(s, 1, "denied", DENIAL);
	append = next(s, ROLE_LEDGER, MSG_APPEND);
	record = document_of(append);
	assert_string_equal(json_as_string(json_path(record, "end.outcome")), "denied");
	assert_string_equal(json_as_string(json_path(record, "end.gate")), "sign");
	assert_string_equal(json_as_string(json_path(record, "approvals.0.word")), "deny");
	assert_false(is_asked(s, ROLE_SEAL, 0));
}

/* The host need not have told of it: the source is asked itself. */
static void the_source_is_fetched_once_more_before_the_key_is_used(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) question = NULL;

	show_tag(s);
	until_confirmed(s);
	question = next(s, ROLE_GITOPS, MSG_DECIDE);
	assert_true(json_boolean(question->body, "fetch", FALSE));
}

static void an_approval_taken_back_before_the_key_is_used_has_the_release_wait_again(void **state)
{
	autoptr(scene) s = scene_new();

	commit_start(s);
	show_tag(s);
	until_confirmed(s);
	decide(s, 1, "waiting");
	decide(s, 1, "waiting"); /* the gates are asked anew */
	assert_false(is_asked(s, ROLE_GITOPS, 300));
	assert_false(is_asked(s, ROLE_LEDGER, 0));
	assert_false(is_asked(s, ROLE_SEAL, 0));
}

/* ---- sources that hang ---- */

static const struct peer two_workers[] = { { .role = ROLE_LISTEN }, { .role = ROLE_GITOPS, .index = 0 },
	{ .role = ROLE_GITOPS, .index = 1 }, { .role = ROLE_LEDGER }, { .role = ROLE_COUNT } };

#define GADGET                                                                                                         \
	"{\"approvals\":\"https://git.example.org/approvals.git\",\"name\":\"acme/gadget\",\"source\":"                \
	"\"https://git.example.org/acme/gadget.git\",\"hooks\":[],\"rules\":["                                         \
	"{\"name\":\"release\",\"not_tags\":[],\"tags\":[\"v*\"]}],\"tags\":["

/* What that gitops worker is asked next, or NULL. */
static struct message *asked_of(struct scene *s, guint worker)
{
	int fd = s->engine->peers[1 + worker].fd;
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	return poll(&polled, 1, 500) == 1 ? message_receive(fd, NULL) : NULL;
}

static void worker_says(struct scene *s, guint worker, struct message *m)
{
	g_autoptr(GError) error = NULL;

	assert_ok(message_send(s->engine->peers[1 + worker].fd, m, &error), error);
	message_free(m);
}

static void worker_looked(struct scene *s, guint worker, const struct message *request, const char *look)
{
	struct message *m = message_answer(request, MSG_LOOKED, NULL);

	json_set_string(m->body, "policy", POLICY);
	add_json(m, "look.json", look);
	worker_says(s, worker, m);
}

static const char *project_asked(const struct message *m)
{
	const char *project = json_string(m->body, "project");

	return project != NULL ? project : json_as_string(json_at(json_get(m->body, "projects"), 0));
}

/* The first worker hangs in the widget's source: whatever else is asked of it waits, and all others go on. */
static void a_source_that_hangs_takes_one_worker_and_no_second_one(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) all = NULL;
	autoptr(message) hanging = NULL;
	autoptr(message) other = NULL;

	crash(s);
	s->engine = test_role_start(role_engine, ROLE_ENGINE, 0, s->config, two_workers);
	all = asked_of(s, 0);
	worker_looked(s, 0, all, "{\"projects\":[" WIDGET "]}," GADGET "]}]}");
	hanging = asked_of(s, 0);
	other = asked_of(s, 1);
	assert_string_equal(project_asked(hanging), "acme/widget");
	assert_string_equal(project_asked(other), "acme/gadget");
	hook(s, "acme/widget", 1);
	worker_looked(s, 1, other, "{\"projects\":[" GADGET TAGGED "]}");
	/* All that is put to the worker that is free is about the gadget, until there is no more. */
	for (guint i = 0;; i++) {
		autoptr(message) asked = asked_of(s, 1);

		if (asked == NULL) {
			assert_true(i > 0);
			break;
		}
		assert_int_equal(asked->kind, MSG_DECIDE);
		assert_string_equal(project_asked(asked), "acme/gadget");
		worker_says(s, 1, message_answer(asked, MSG_DECIDED, NULL));
	}
}

static void a_source_whose_worker_ended_is_looked_at_again(void **state)
{
	autoptr(scene) s = scene_new();
	struct message *hello = message_new(MSG_HELLO, 0);
	autoptr(message) all = next(s, ROLE_GITOPS, MSG_LOOK);
	autoptr(message) hanging = NULL;
	autoptr(message) again = NULL;

	looked(s, all, POLICY, "{\"projects\":[" WIDGET "]}]}");
	hanging = next(s, ROLE_GITOPS, MSG_LOOK);
	json_set_boolean(hello->body, "again", TRUE);
	send_to_engine(s, ROLE_GITOPS, hello);
	again = next(s, ROLE_GITOPS, MSG_LOOK);
	assert_string_equal(project_asked(again), "acme/widget");
}

/* ---- approvals in a repository of their own ---- */

static void a_push_to_a_repository_of_approvals_has_its_projects_looked_at(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) all = next(s, ROLE_GITOPS, MSG_LOOK);

	looked(s, all, POLICY, "{\"projects\":[" WIDGET "]}," GADGET "]}]}");
	for (guint i = 0; i < 2; i++) {
		autoptr(message) first = next(s, ROLE_GITOPS, MSG_LOOK);
		looked(s, first, POLICY, "{\"projects\":[]}");
	}
	hook(s, "https://git.example.org/approvals", 1);
	{
		autoptr(message) look = next(s, ROLE_GITOPS, MSG_LOOK);
		assert_string_equal(project_asked(look), "acme/gadget");
	}
	assert_false(is_asked(s, ROLE_GITOPS, 300));
}

static void a_policy_that_came_into_force_is_told_to_the_log(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(json) event = NULL;

	commit_start(s);
	for (guint i = 0; i < 2; i++) {
		autoptr(message) look = next(s, ROLE_GITOPS, MSG_LOOK);

		looked(s, look, i == 0 ? POLICY : TAG_OBJECT, "{\"projects\":[" WIDGET "]}]}");
		if (i == 0)
			hook(s, "acme/widget", 1);
	}
	event = event_in_log(s, "policy");
	assert_string_equal(json_string(event, "policy"), TAG_OBJECT);
	hook(s, "acme/widget", 2);
	assert_true(is_asked(s, ROLE_GITOPS, 5000));
}

/* ---- floods ---- */

static void many_pushes_are_one_look_and_one_after_it(void **state)
{
	autoptr(scene) s = scene_new();
	autoptr(message) all = next(s, ROLE_GITOPS, MSG_LOOK);

	looked(s, all, POLICY, "{\"projects\":[" WIDGET "]}]}");
	for (guint i = 1; i <= 30; i++)
		hook(s, "acme/widget", i);
	for (guint i = 0; i < 2; i++) {
		autoptr(message) look = next(s, ROLE_GITOPS, MSG_LOOK);
		assert_string_equal(json_as_string(json_at(json_get(look->body, "projects"), 0)), "acme/widget");
		looked(s, look, POLICY, "{\"projects\":[" WIDGET "]}]}");
	}
	assert_false(is_asked(s, ROLE_GITOPS, 500));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_that_the_ledger_could_not_take_is_sent_again),
		cmocka_unit_test(an_entry_that_the_ledger_refuses_holds_up_no_other),
		cmocka_unit_test(what_the_ledger_does_not_name_is_not_committed),
		cmocka_unit_test(a_record_that_is_closed_stays_closed_over_a_crash),
		cmocka_unit_test(a_use_that_came_to_nothing_is_void_in_the_log),
		cmocka_unit_test(a_use_whose_answer_a_crash_took_is_void_in_the_log),
		cmocka_unit_test(a_use_that_was_told_is_not_void_because_a_judge_died),
		cmocka_unit_test(uses_of_a_release_that_is_rejected_later_are_void_in_the_log),
		cmocka_unit_test(a_release_goes_on_when_its_provenance_vouches),
		cmocka_unit_test(a_release_whose_provenance_does_not_vouch_is_rejected),
		cmocka_unit_test(a_release_waits_for_provenance_that_is_not_there_yet),
		cmocka_unit_test(names_that_lead_out_of_a_folder_are_not_taken),
		cmocka_unit_test(a_release_that_no_record_can_hold_is_rejected_before_a_key_is_used),
		cmocka_unit_test(a_push_to_a_repository_of_approvals_has_its_projects_looked_at),
		cmocka_unit_test(a_source_whose_worker_ended_is_looked_at_again),
		cmocka_unit_test(a_source_that_hangs_takes_one_worker_and_no_second_one),
		cmocka_unit_test(an_approval_taken_back_before_the_key_is_used_has_the_release_wait_again),
		cmocka_unit_test(the_source_is_fetched_once_more_before_the_key_is_used),
		cmocka_unit_test(a_base_that_gitops_makes_up_is_refused),
		cmocka_unit_test(a_denial_that_comes_before_the_key_is_used_is_in_the_record),
		cmocka_unit_test(a_policy_that_came_into_force_is_told_to_the_log),
		cmocka_unit_test(many_pushes_are_one_look_and_one_after_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
