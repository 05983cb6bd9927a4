/* The listen role from outside: a real process, real sockets and curl, and the test in the engine's place. */
#include "tests/unit/support.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "server/http.h"
#include "tests/unit/support_net.h"
#include "tests/unit/support_role.h"

#define SECRET "It's a Secret to Everybody"
#define OLD "0000000000000000000000000000000000000000"
#define NEW "61f6bd4c0f7b3eb1d1c0d4a8a7c5c1a3b2d4e5f6"
#define PUSH                                                                                                           \
	"{\"ref\":\"refs/tags/v1\",\"before\":\"" OLD "\",\"after\":\"" NEW                                            \
	"\",\"repository\":{\"full_name\":\"acme/widget\"}}"
#define RELEASE "01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define MAX_BODY 65536
#define DEADLINE 600

static struct test_role *listen_role;
static struct config config;
static guint16 port, tls_port;
static char *certificate;

/* Else the sanitizer keeps what the role has freed, and cannot tell who made what it did not. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=1:fast_unwind_on_malloc=0";
}

/* What watches a channel lives as long as the process. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:role_attach\n";
}

static struct message *take(enum message_kind kind)
{
	struct message *m = test_role_next(listen_role, ROLE_ENGINE);

	assert_string_equal(message_name(m->kind), message_name(kind));
	return m;
}

/* As the engine, under the number that the message has. */
static void tell(const struct message *m)
{
	g_autoptr(GError) error = NULL;

	assert_ok(message_send(test_role_fd(listen_role, ROLE_ENGINE), m, &error), error);
}

static gboolean engine_is_not_asked(void)
{
	struct pollfd polled = { .fd = test_role_fd(listen_role, ROLE_ENGINE), .events = POLLIN };

	return poll(&polled, 1, 50) == 0;
}

static char *address_of(guint16 p)
{
	return g_strdup_printf("127.0.0.1:%u", p);
}

static int start(void **state)
{
	static const struct peer peers[] = { { .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };
	static char *secrets[] = { NULL, NULL, NULL };
	static struct config_hook hooks[] = { { (char *)"github", secrets } };
	g_autofree char *key = support_path("tls.key");

	(void)state;
	certificate = support_path("tls.crt");
	g_free(support_must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
	    "-days", "2", "-subj", "/CN=tagseal", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
	    certificate, NULL));
	secrets[0] = support_path("old.secret");
	secrets[1] = support_path("new.secret");
	support_write(secrets[0], "the secret of last year\n");
	support_write(secrets[1], SECRET "\n");
	g_free(support_must("chmod", "600", secrets[0], secrets[1], NULL));
	port = free_port();
	tls_port = free_port();
	config = (struct config){
		.listen_http = address_of(port),
		.listen_https = address_of(tls_port),
		.listen_certificate = certificate,
		.listen_private_key = key,
		.public_url = (char *)"https://sign.example.org",
		.listen_max_body = MAX_BODY,
		.listen_max_connections = 8,
		.listen_deadline = DEADLINE,
		.hooks = hooks,
		.hook_count = 1,
	};
	listen_role = test_role_start(role_listen, ROLE_LISTEN, 0, &config, peers);
	g_free(config.listen_http);
	g_free(config.listen_https);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kill(listen_role->pid, SIGTERM);
	assert_int_equal(test_role_wait(listen_role), 0); /* leaks end it with another */
	g_free(config.hooks[0].secret_files[0]);
	g_free(config.hooks[0].secret_files[1]);
	g_free(certificate);
	return 0;
}

static void say(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
		if (sent <= 0)
			return; /* the server may have hung up: what it said tells why */
		data += sent;
		size -= sent;
	}
}

static void say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* All that comes until the server closes. */
static char *hear(int fd)
{
	GString *all = g_string_new(NULL);
	char buffer[4096];
	ssize_t got;

	while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		g_string_append_len(all, buffer, got);
	assert_true(got == 0 || errno != EAGAIN);
	return g_string_free(all, FALSE);
}

static char *exchange(const char *text)
{
	autofd int fd = dial(port);

	say_text(fd, text);
	return hear(fd);
}

static char *get(const char *target, const char *fields)
{
	g_autofree char *text =
	    g_strdup_printf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", target, fields);

	return exchange(text);
}

#define assert_status(answer, status, words)                                                                           \
	do {                                                                                                           \
		assert_contains(answer, "HTTP/1.1 " #status " ");                                                      \
		assert_contains(answer, words);                                                                        \
	} while (0)

static char *github_signature(const char *body)
{
	uint8_t mac[32];
	unsigned int size = sizeof(mac);
	g_autofree char *hex = NULL;

	HMAC(EVP_sha256(), SECRET, strlen(SECRET), (const uint8_t *)body, strlen(body), mac, &size);
	hex = hex_encode(mac, size);
	return g_strdup_printf("X-Hub-Signature-256: sha256=%s\r\n", hex);
}

static int post(const char *body, const char *event, const char *signature)
{
	int fd = dial(port);
	g_autofree char *text =
	    g_strdup_printf("POST /hooks/github HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: "
			    "application/json\r\nX-GitHub-Event: %s\r\nX-GitHub-Delivery: d-1\r\n"
			    "%sContent-Length: %zu\r\n\r\n%s",
		event, signature, strlen(body), body);

	say_text(fd, text);
	return fd;
}

static int deliver(const char *body, const char *event)
{
	g_autofree char *signature = github_signature(body);

	return post(body, event, signature);
}

static void answer_hook(const struct message *question, int status, const char *release, const char *text)
{
	autoptr(message) answer = message_new(MSG_HOOKED, question->number);

	json_set_integer(answer->body, "status", status);
	json_set_string(answer->body, "release", release);
	json_set_string(answer->body, "text", text);
	tell(answer);
}

/* The engine's part of one delivery. */
static void take_hook(int status, const char *release, const char *text)
{
	autoptr(message) question = take(MSG_HOOK);

	answer_hook(question, status, release, text);
}

static void an_authentic_push_reaches_the_engine_and_is_told_its_release(void **state)
{
	autofd int fd = deliver(PUSH, "push");
	autoptr(message) question = take(MSG_HOOK);
	g_autofree char *digest = sha256_text(PUSH, strlen(PUSH)), *answer = NULL;

	(void)state;
	assert_string_equal(json_string(question->body, "host"), "github");
	assert_string_equal(json_string(question->body, "delivery"), "d-1");
	assert_string_equal(json_string(question->body, "body_sha256"), digest);
	assert_string_equal(json_string(question->body, "project"), "acme/widget");
	assert_string_equal(json_string(question->body, "ref"), "refs/tags/v1");
	assert_string_equal(json_string(question->body, "new"), NEW);
	answer_hook(question, 202, RELEASE, NULL);
	answer = hear(fd);
	assert_status(answer, 202, "Location: https://sign.example.org/api/v1/releases/" RELEASE "\r\n");
	assert_contains(answer, "{\"release\":\"https://sign.example.org/api/v1/releases/" RELEASE "\"}");
}

static void what_the_engine_says_of_a_delivery_is_passed_on(void **state)
{
	static const struct {
		int status;
		const char *line, *words;
	} said[] = {
		{ 204, "HTTP/1.1 204 No Content", "nosniff" },
		{ 404, "HTTP/1.1 404 Not Found", "no project is called so" },
		{ 429, "HTTP/1.1 429 Too Many Requests", "Retry-After: 30" },
		{ 503, "HTTP/1.1 503 Service Unavailable", "Retry-After: 5" },
		{ 7, "HTTP/1.1 500 ", "problem+json" },
	};

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(said); i++) {
		autofd int fd = deliver(PUSH, "push");
		g_autofree char *answer = NULL;

		take_hook(said[i].status, NULL, "no project is called so");
		answer = hear(fd);
		assert_contains(answer, said[i].line);
		assert_contains(answer, said[i].words);
	}
}

static void a_replay_is_answered_as_the_engine_answers(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		autofd int fd = deliver(PUSH, "push");
		g_autofree char *answer = NULL;

		take_hook(202, RELEASE, NULL);
		answer = hear(fd);
		assert_status(answer, 202, RELEASE);
	}
}

static void a_forged_delivery_does_not_reach_the_engine(void **state)
{
	g_autofree char *signature = github_signature(PUSH " ");
	autofd int fd = post(PUSH, "push", signature);
	g_autofree char *answer = hear(fd);

	(void)state;
	assert_status(answer, 401, "WWW-Authenticate: ");
	assert_contains(answer, "application/problem+json");
	assert_contains(answer, "the secret at GitHub is not one of those");
	assert_true(engine_is_not_asked());
}

static void without_a_signature_the_body_is_not_even_awaited(void **state)
{
	g_autofree char *answer =
	    exchange("POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		     "Content-Length: 1000\r\n\r\n");

	(void)state;
	assert_status(answer, 401, "x-hub-signature-256 is missing");
}

static void a_ping_is_nothing_to_do(void **state)
{
	autofd int fd = deliver("{\"zen\":\"x\"}", "ping");
	g_autofree char *answer = hear(fd);

	(void)state;
	assert_status(answer, 204, "nosniff");
	assert_true(engine_is_not_asked());
}

static void authentic_json_that_is_broken_is_refused(void **state)
{
	autofd int fd = deliver("{\"ref\":", "push");
	g_autofree char *answer = hear(fd);

	(void)state;
	assert_status(answer, 400, "not a JSON object");
}

static void wrong_addresses_methods_and_types_are_told(void **state)
{
	g_autofree char *host = exchange("POST /hooks/gitlab HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
	g_autofree char *standard = exchange("POST /hooks/standard HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
	g_autofree char *method = get("/hooks/github", "");
	g_autofree char *write = exchange("DELETE /api/v1/releases HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	g_autofree char *nothing = get("/nothing", "");
	g_autofree char *form = exchange("POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Type: "
					 "application/x-www-form-urlencoded\r\n\r\n{}");

	(void)state;
	assert_status(host, 404, "/hooks/gitlab");
	assert_status(standard, 404, "[[hook]]");
	assert_status(method, 405, "Allow: POST\r\n");
	assert_status(write, 405, "Allow: GET, HEAD\r\n");
	assert_status(nothing, 404, "nothing at this address");
	assert_status(form, 415, "application/json");
}

#define HOOK_HEAD                                                                                                      \
	"POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Hub-Signature-256: "            \
	"sha256=00\r\n"

static void a_body_that_is_too_large_is_refused_by_its_length_alone(void **state)
{
	g_autofree char *answer = exchange(HOOK_HEAD "Expect: 100-continue\r\nContent-Length: 65537\r\n\r\n");

	(void)state;
	assert_status(answer, 413, "65536");
	assert_contains(answer, "listen.max_body");
	assert_null(strstr(answer, "100 Continue"));
}

static void a_body_in_chunks_is_refused_once_it_is_too_large(void **state)
{
	autofd int fd = dial(port);
	g_autofree char *half = g_strnfill(MAX_BODY / 2, 'x'), *answer = NULL;

	(void)state;
	say_text(fd, HOOK_HEAD "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 2; i++) {
		say_text(fd, "8000\r\n");
		say_text(fd, half);
		say_text(fd, "\r\n");
	}
	say_text(fd, "1\r\n");
	answer = hear(fd);
	assert_status(answer, 413, "65536");
}

static void a_body_in_chunks_is_taken(void **state)
{
	autofd int fd = dial(port);
	g_autofree char *signature = github_signature("{}"), *answer = NULL;
	g_autofree char *head =
	    g_strdup_printf("POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; "
			    "charset=utf-8\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: d\r\n%s"
			    "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
		signature);

	(void)state;
	say_text(fd, head);
	say_text(fd, "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n");
	answer = hear(fd);
	assert_status(answer, 400, "name its project"); /* so it was authentic */
}

static uint64_t resident(void)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/statm", (int)listen_role->pid), *text = support_read(path);

	return g_ascii_strtoull(strchr(text, ' '), NULL, 10) * 4096;
}

static void thirty_megabytes_do_not_grow_it(void **state)
{
	autofd int fd = dial(port);
	uint64_t before = resident();
	g_autofree char *mega = g_strnfill(1 << 20, 'x'), *answer = NULL;

	(void)state;
	say_text(fd, HOOK_HEAD "Content-Length: 31457280\r\n\r\n");
	for (int i = 0; i < 30; i++)
		say(fd, mega, 1 << 20);
	answer = hear(fd);
	assert_status(answer, 413, "31457280");
	assert_true(resident() < before + (8 << 20));
}

static void a_client_that_dribbles_is_cut_off(void **state)
{
	autofd int fd = dial(port);
	gint64 begin = g_get_monotonic_time(), took;
	char byte;
	ssize_t got = -1;

	(void)state;
	say_text(fd, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
	for (int i = 0; i < 50 && got != 0; i++) {
		say_text(fd, "a");
		g_usleep(50000);
		got = recv(fd, &byte, 1, MSG_DONTWAIT);
		if (got < 0 && errno == ECONNRESET)
			got = 0;
	}
	took = (g_get_monotonic_time() - begin) / 1000;
	assert_int_equal(got, 0);
	assert_in_range(took, DEADLINE - 100, DEADLINE * 3);
}

static void a_client_that_never_begins_is_cut_off(void **state)
{
	autofd int fd = dial(port), secure = dial(tls_port);
	char byte;

	(void)state;
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	assert_true(recv(secure, &byte, 1, 0) <= 0);
}

static void more_connections_than_allowed_wait_their_turn(void **state)
{
	int held[8];
	g_autofree char *answer = NULL;
	gint64 begin = g_get_monotonic_time();

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(held); i++)
		held[i] = dial(port);
	answer = get("/", "");
	assert_status(answer, 200, "tagseal");
	assert_true(g_get_monotonic_time() - begin > 200000); /* when those that held the places were cut off */
	for (guint i = 0; i < G_N_ELEMENTS(held); i++)
		close(held[i]);
}

static void requests_that_two_readers_could_take_differently_are_answered_and_cut(void **state)
{
	g_autofree char *lengths = exchange(HOOK_HEAD "Content-Length: 2\r\nContent-Length: 200\r\n\r\n{}");
	g_autofree char *folded = exchange("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n");
	g_autofree char *bare = exchange("GET / HTTP/1.1\nHost: x\n\n");

	(void)state;
	assert_status(lengths, 400, "stands twice");
	assert_status(folded, 400, "Connection: close");
	assert_status(bare, 400, "LF alone");
}

static void requests_in_one_packet_are_answered_in_order(void **state)
{
	g_autofree char *answers = exchange("HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
					    "GET /style.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	const char *second = strstr(answers, "HTTP/1.1 404"), *third = strstr(answers, "text/css");

	(void)state;
	assert_true(g_str_has_prefix(answers, "HTTP/1.1 200"));
	assert_non_null(second);
	assert_non_null(third);
	assert_true(second < third);
	assert_true(strstr(answers, "<html") == NULL); /* HEAD */
}

static void when_the_engine_dies_it_is_asked_again(void **state)
{
	autofd int fd = deliver(PUSH, "push");
	autoptr(message) lost = take(MSG_HOOK);
	autoptr(message) hello = message_new(MSG_HELLO, 0);
	g_autofree char *answer = NULL;

	(void)state;
	tell(hello);
	take_hook(202, RELEASE, NULL);
	answer_hook(lost, 204, NULL, NULL); /* its first number is no longer awaited */
	answer = hear(fd);
	assert_status(answer, 202, RELEASE);
}

static void when_the_engine_is_silent_the_sender_is_told_to_come_back(void **state)
{
	autofd int fd = deliver(PUSH, "push");
	autoptr(message) question = take(MSG_HOOK);
	g_autofree char *answer = hear(fd), *after = NULL;

	(void)state;
	assert_status(answer, 503, "Retry-After: 5");
	answer_hook(question, 202, RELEASE, NULL); /* nobody waits for it */
	after = get("/", "");
	assert_status(after, 200, "tagseal");
}

static void answer_ask(const struct message *question, int status, const char *name, const char *document)
{
	autoptr(message) answer = message_new(MSG_TOLD, question->number);
	g_autoptr(GBytes) bytes = document == NULL ? NULL : g_bytes_new_static(document, strlen(document));
	g_autoptr(GError) error = NULL;

	json_set_integer(answer->body, "status", status);
	json_set_string(answer->body, "name", name);
	if (bytes != NULL)
		assert_ok(message_add_bytes(answer, "body", bytes, &error), error);
	tell(answer);
}

/* GET, with the engine's part: what it is asked, as text, and the answer. */
static char *ask(const char *target, const char *fields, int status, const char *document, char **asked)
{
	autofd int fd = dial(port);
	g_autofree char *text =
	    g_strdup_printf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", target, fields);
	autoptr(message) question = NULL;

	say_text(fd, text);
	question = take(MSG_ASK);
	*asked = json_text(question->body);
	answer_ask(question, status, "dist/w\xc3\xafget \"1\".exe", document);
	return hear(fd);
}

#define LIST                                                                                                           \
	"{\"releases\":[{\"gates\":[{\"gate\":\"source\",\"outcome\":\"passed\",\"reason\":\"signed by alice\"},{"     \
	"\"gate\":\"approval\",\"outcome\":\"waiting\",\"reason\":\"1 of 2\"}],\"id\":\"" RELEASE                      \
	"\",\"project\":\"acme/widget\",\"range\":{\"base\":{\"commit\":\"5f2a\",\"tag\":\"v0\"},"                     \
	"\"sha256\":\"sha256:9f86\"},\"state\":\"waiting\",\"tag\":\"v1\"}]}"

static void releases_are_listed_as_the_engine_tells(void **state)
{
	g_autofree char *asked = NULL;
	g_autofree char *answer =
	    ask("/api/v1/releases?project=acme%2Fwidget&tag=v1&limit=5&before=" RELEASE, "", 200, LIST, &asked);

	(void)state;
	assert_string_equal(asked,
	    "{\"ask\":\"releases\",\"before\":\"" RELEASE "\",\"limit\":5,\"project\":\"acme/widget\",\"tag\":\"v1\"}");
	assert_status(answer, 200, "Content-Type: application/json\r\n");
	assert_contains(answer, LIST);
}

static void releases_are_listed_in_lines_for_scripts(void **state)
{
	g_autofree char *asked = NULL,
			*answer = ask("/api/v1/releases?tag=v1", "Accept: text/plain\r\n", 200, LIST, &asked);

	(void)state;
	assert_status(answer, 200, "Content-Type: text/plain; charset=utf-8\r\n");
	assert_contains(answer,
	    "\r\n\r\nrelease " RELEASE " acme/widget v1 waiting\n  range sha256:9f86 5f2a v0\n  source "
	    "passed signed by alice\n  approval waiting 1 of 2\n");
}

static void a_bad_parameter_is_told(void **state)
{
	static const char *const bad[] = { "limit=0", "limit=x", "limit=1001", "before=x", "colour=red", "tag=%00",
		"tag=%1b", "tag=a&tag=b" };

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *target = g_strconcat("/api/v1/releases?", bad[i], NULL), *answer = get(target, "");
		assert_status(answer, 400, "problem+json");
	}
}

static void one_release_and_its_record_are_asked_for_by_id(void **state)
{
	g_autofree char *asked = NULL, *asked_record = NULL;
	g_autofree char *release = ask("/api/v1/releases/" RELEASE, "", 200, "{\"id\":1}", &asked);
	g_autofree char *record = ask("/api/v1/releases/" RELEASE "/record", "", 404, NULL, &asked_record);
	g_autofree char *wrong = get("/api/v1/releases/../../etc/passwd", "");

	(void)state;
	assert_string_equal(asked, "{\"ask\":\"release\",\"id\":\"" RELEASE "\"}");
	assert_status(release, 200, "{\"id\":1}");
	assert_string_equal(asked_record, "{\"ask\":\"record\",\"id\":\"" RELEASE "\"}");
	assert_status(record, 404, "problem+json");
	assert_status(wrong, 404, "nothing at this address");
}

static void an_artifact_is_downloaded_as_a_file(void **state)
{
	g_autofree char *asked = NULL;
	g_autofree char *answer =
	    ask("/api/v1/releases/" RELEASE "/artifacts/dist%2Fw%C3%AFget%20%221%22.exe", "", 200, "MZ", &asked);

	(void)state;
	assert_contains(asked, "\"ask\":\"artifact\"");
	assert_contains(asked, "dist/w\xc3\xafget \\\"1\\\".exe");
	assert_status(answer, 200, "Content-Type: application/octet-stream\r\n");
	assert_contains(answer, "Content-Disposition: attachment; filename=\"w__get__1_.exe\"; "
				"filename*=UTF-8''w%C3%AFget%20%221%22.exe\r\n");
	assert_contains(answer, "X-Content-Type-Options: nosniff");
	assert_contains(answer, "Content-Length: 2\r\n");
	assert_true(g_str_has_suffix(answer, "\r\n\r\nMZ"));
}

static void health_has_the_engine_s_status(void **state)
{
	g_autofree char *asked = NULL, *answer = ask("/healthz", "", 503, "{\"status\":\"degraded\"}", &asked);

	(void)state;
	assert_status(answer, 503, "{\"status\":\"degraded\"}");
}

static void the_page_runs_no_script_but_its_own(void **state)
{
	g_autofree char *page = get("/", ""), *script = get("/app.js", "");

	(void)state;
	assert_status(page, 200, "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; ");
	assert_contains(page, "<script src=\"/app.js\" defer></script>");
	assert_null(strstr(page, "<script>"));
	assert_null(strstr(page, "style="));
	assert_null(strstr(page, "onclick"));
	assert_null(strstr(script, "innerHTML"));
	assert_null(strstr(page, "Server:"));
}

static void https_speaks_tls_1_2_and_later(void **state)
{
	g_autofree char *url = g_strdup_printf("https://127.0.0.1:%u/style.css", tls_port);
	g_autofree char *answer = support_must("curl", "-sSi", "--http1.1", "--cacert", certificate, url, url, NULL);
	autoptr(run) old = support_run("curl", "-sS", "--tls-max", "1.1", "--cacert", certificate, url, NULL);
	autoptr(run) stranger = support_run("curl", "-sS", url, NULL);

	(void)state;
	assert_status(answer, 200, "Strict-Transport-Security");
	assert_contains(answer, "text/css");
	assert_int_not_equal(old->status, 0);
	assert_int_not_equal(stranger->status, 0);
}

static gboolean never(struct http_request *request, void *data)
{
	(void)request;
	(void)data;
	return FALSE;
}

static void a_taken_port_is_one_sentence(void **state)
{
	struct event_base *base = event_base_new();
	const struct http_options options = { .max_body = 1, .max_connections = 1, .deadline = 1, .admit = never };
	autoptr(http_server) server = http_server_new(base, &options);
	g_autofree char *address = address_of(port);
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_refused(http_server_listen(server, address, NULL, "listen.http", &error), error,
	    "listen.http: cannot listen at 127.0.0.1:");
	assert_refused(http_server_listen(server, address, NULL, "listen.http", &error), error,
	    "stop the program that listens there");
	assert_refused(
	    http_server_listen(server, "8080", NULL, "listen.http", &error), error, "is not an address and a port");
	g_clear_pointer(&server, http_server_free);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_authentic_push_reaches_the_engine_and_is_told_its_release),
		cmocka_unit_test(what_the_engine_says_of_a_delivery_is_passed_on),
		cmocka_unit_test(a_replay_is_answered_as_the_engine_answers),
		cmocka_unit_test(a_forged_delivery_does_not_reach_the_engine),
		cmocka_unit_test(without_a_signature_the_body_is_not_even_awaited),
		cmocka_unit_test(a_ping_is_nothing_to_do),
		cmocka_unit_test(authentic_json_that_is_broken_is_refused),
		cmocka_unit_test(wrong_addresses_methods_and_types_are_told),
		cmocka_unit_test(a_body_that_is_too_large_is_refused_by_its_length_alone),
		cmocka_unit_test(a_body_in_chunks_is_refused_once_it_is_too_large),
		cmocka_unit_test(a_body_in_chunks_is_taken),
		cmocka_unit_test(thirty_megabytes_do_not_grow_it),
		cmocka_unit_test(a_client_that_dribbles_is_cut_off),
		cmocka_unit_test(a_client_that_never_begins_is_cut_off),
		cmocka_unit_test(more_connections_than_allowed_wait_their_turn),
		cmocka_unit_test(requests_that_two_readers_could_take_differently_are_answered_and_cut),
		cmocka_unit_test(requests_in_one_packet_are_answered_in_order),
		cmocka_unit_test(when_the_engine_dies_it_is_asked_again),
		cmocka_unit_test(when_the_engine_is_silent_the_sender_is_told_to_come_back),
		cmocka_unit_test(releases_are_listed_as_the_engine_tells),
		cmocka_unit_test(releases_are_listed_in_lines_for_scripts),
		cmocka_unit_test(a_bad_parameter_is_told),
		cmocka_unit_test(one_release_and_its_record_are_asked_for_by_id),
		cmocka_unit_test(an_artifact_is_downloaded_as_a_file),
		cmocka_unit_test(health_has_the_engine_s_status),
		cmocka_unit_test(the_page_runs_no_script_but_its_own),
		cmocka_unit_test(https_speaks_tls_1_2_and_later),
		cmocka_unit_test(a_taken_port_is_one_sentence),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, start, stop);
}
