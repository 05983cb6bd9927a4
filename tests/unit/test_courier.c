/* The courier role against a server that behaves badly on purpose, with the test in the engine's place. */
#include "tests/unit/support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/courier.h"
#include "tests/unit/support_role.h"

#define SIZE 100000
#define CUT 40000
#define MAX_SIZE 1000000

static guint16 port;
static pid_t server;
static struct test_role *courier;
static struct config *config;
static char *folder;

/* What watches a channel lives as long as the process. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "fast_unwind_on_malloc=0";
}
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:role_attach\nleak:Curl_ossl\nleak:OPENSSL_init\n";
}

/* The server's part: one child a connection, one row a path. */

static void put(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		data += sent;
		size -= sent;
	}
}

static void put_text(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

static char *pattern(char first)
{
	char *text = g_malloc(SIZE + 1);

	for (int i = 0; i < SIZE; i++)
		text[i] = first + i % 23;
	text[SIZE] = '\0';
	return text;
}

static void serve_cut(int fd, const char *head)
{
	g_autofree char *body = pattern('a');

	if (strstr(head, "Range: bytes=40000-") != NULL && strstr(head, "If-Range: \"one\"") != NULL) {
		put_text(fd,
		    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 40000-99999/100000\r\nETag: \"one\"\r\n"
		    "Content-Length: 60000\r\n\r\n");
		put(fd, body + CUT, SIZE - CUT);
		return;
	}
	put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nETag: \"one\"\r\n\r\n");
	put(fd, body, CUT);
}

static void serve_changed(int fd, const char *head)
{
	g_autofree char *body = pattern(strstr(head, "If-Range: \"one\"") != NULL ? 'A' : 'a');

	put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nETag: \"one\"\r\n\r\n");
	put(fd, body, strstr(head, "If-Range") != NULL ? SIZE : CUT);
}

static void serve_always_cut(int fd, const char *head)
{
	(void)head;
	put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n12345");
}

static void serve_elsewhere(int fd, const char *head)
{
	if (strstr(head, "Range: bytes=5-") == NULL)
		put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"one\"\r\n\r\n12345");
	else
		put_text(fd,
		    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-7/10\r\nContent-Length: 5\r\n\r\n45678");
}

static void serve_redirect(int fd, const char *head)
{
	const char *to = strchr(head, '?') + 1;
	g_autofree char *target = g_strndup(to, strcspn(to, " ")), *where = g_uri_unescape_string(target, NULL);
	g_autofree char *answer =
	    g_strdup_printf("HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 3\r\n\r\nold", where);

	put_text(fd, answer);
}

static void serve_endless(int fd, const char *head)
{
	g_autofree char *body = pattern('a');

	(void)head;
	put_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 20; i++) {
		put_text(fd, "186a0\r\n");
		put(fd, body, SIZE);
		put_text(fd, "\r\n");
	}
}

static void serve_silence(int fd, const char *head)
{
	char byte;

	(void)head;
	while (recv(fd, &byte, 1, 0) > 0)
		;
}

static void serve_stamp(int fd, const char *head)
{
	put_text(
	    fd, strstr(head, "application/timestamp-query") != NULL && g_str_has_suffix(head, "query")
		    ? "HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\nContent-Length: 5\r\n\r\nreply"
		    : "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
}

#define FIXED(name, answer)                                                                                            \
	static void name(int fd, const char *head)                                                                     \
	{                                                                                                              \
		(void)head;                                                                                            \
		put_text(fd, answer);                                                                                  \
	}
FIXED(serve_ok, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
FIXED(serve_empty, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
FIXED(serve_missing, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone")
FIXED(serve_broken, "HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nnone")
FIXED(serve_large, "HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n1")
FIXED(serve_page, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nreply")

static const struct {
	const char *path;
	void (*serve)(int fd, const char *head);
} paths[] = { { "/cut", serve_cut }, { "/changed", serve_changed }, { "/always-cut", serve_always_cut },
	{ "/elsewhere", serve_elsewhere }, { "/redirect", serve_redirect }, { "/endless", serve_endless },
	{ "/silence", serve_silence }, { "/stamp", serve_stamp }, { "/ok", serve_ok }, { "/empty", serve_empty },
	{ "/missing", serve_missing }, { "/broken", serve_broken }, { "/large", serve_large }, { "/page", serve_page } };

static void G_GNUC_NORETURN serve_connection(int fd)
{
	char head[8192];
	ssize_t got = recv(fd, head, sizeof(head) - 1, 0);

	head[MAX(got, 0)] = '\0';
	for (guint i = 0; got > 0 && i < G_N_ELEMENTS(paths); i++)
		if (strncmp(strchr(head, ' ') + 1, paths[i].path, strlen(paths[i].path)) == 0) {
			paths[i].serve(fd, head);
			break;
		}
	shutdown(fd, SHUT_WR);
	serve_silence(fd, NULL);
	_exit(0);
}

static void G_GNUC_NORETURN serve_all(int listener)
{
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test program that is ended leaves no server behind */
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fork() == 0)
			serve_connection(fd);
		close(fd);
	}
}

static void start_server(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	autofd int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0); /* on all: 127.0.0.2 too */
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(listen(listener, 16), 0);
	port = ntohs(address.sin_port);
	server = fork();
	if (server == 0)
		serve_all(listener);
}

static int start(void **state)
{
	static const struct peer peers[] = { { .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };
	g_autofree char *more = NULL;

	(void)state;
	start_server();
	folder = support_folder("artifacts");
	more = g_strdup_printf(
	    "[artifacts]\nfolders = [\"%s\"]\nprivate_hosts = [\"127.0.0.1\"]\nhttp_hosts = [\"127.0.0.2\"]\n"
	    "deadline = \"1500ms\"\nmax_size = %d\n"
	    "[[token]]\nname = \"main\"\nlabel = \"main\"\npin_file = \"pin\"\n"
	    "[[timestamp]]\nurl = \"http://127.0.0.1:%u/stamp\"\nroots = \"roots.pem\"\n"
	    "[[timestamp]]\nurl = \"http://127.0.0.1:%u/page\"\nroots = \"roots.pem\"\n"
	    "[[timestamp]]\nurl = \"http://127.0.0.1:%u/silence\"\nroots = \"roots.pem\"\ndeadline = \"300ms\"\n",
	    folder, MAX_SIZE, port, port, port);
	config = test_config("courier", "0123456789012345678901234567890123456789", more);
	courier = test_role_start(role_courier, ROLE_COURIER, 0, config, peers);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kill(courier->pid, SIGTERM);
	assert_int_equal(test_role_wait(courier), 0); /* leaks end it with another */
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	config_free(config);
	g_free(folder);
	return 0;
}

static int output_new(void)
{
	g_autofree char *path = support_path("output");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static struct message *fetch(const char *url, int output, const char *sha256)
{
	autoptr(message) request = message_new(MSG_FETCH, 0);
	g_autoptr(GError) error = NULL;

	json_set_string(request->body, "url", url);
	json_set_integer(request->body, "max_size", 1 << 30);
	json_set_string(request->body, "sha256", sha256);
	assert_ok(message_add_fd(request, "output", output, NULL, 0, &error), error);
	return test_role_ask(courier, ROLE_ENGINE, request, MSG_FETCHED);
}

static char *url_of(const char *path)
{
	return g_strdup_printf("http://127.0.0.1:%u%s", port, path);
}

static void assert_fetched(const char *url, const char *expected)
{
	autofd int output = output_new();
	autoptr(message) answer = fetch(url, output, NULL);
	g_autofree char *digest = sha256_text(expected, strlen(expected));
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = fd_read(output, MAX_SIZE, &error), wanted = g_bytes_new(expected, strlen(expected));

	assert_outcome(answer, "ok", NULL);
	assert_int_equal(json_integer(answer->body, "size", -1), strlen(expected));
	assert_string_equal(json_string(answer->body, "sha256"), digest);
	assert_true(g_bytes_equal(bytes, wanted));
}

static void assert_not_fetched(const char *url, const char *outcome, const char *words)
{
	autofd int output = output_new();
	autoptr(message) answer = fetch(url, output, NULL);

	assert_outcome(answer, outcome, words);
}

static void assert_path_not_fetched(const char *path, const char *outcome, const char *words)
{
	g_autofree char *url = url_of(path);

	assert_not_fetched(url, outcome, words);
}

static void an_artifact_is_fetched_and_hashed(void **state)
{
	g_autofree char *url = url_of("/ok"), *empty = url_of("/empty");

	(void)state;
	assert_fetched(url, "hello");
	assert_fetched(empty, "");
}

static void another_digest_than_the_release_names_is_refused_with_both(void **state)
{
	g_autofree char *url = url_of("/ok"), *other = sha256_text("hullo", 5), *true_one = sha256_text("hello", 5);
	autofd int output = output_new();
	autoptr(message) answer = fetch(url, output, other);
	autoptr(message) good = fetch(url, output, true_one);

	(void)state;
	assert_outcome(answer, "refused", other);
	assert_outcome(answer, "refused", true_one);
	assert_outcome(good, "ok", NULL);
}

static void a_transfer_that_is_cut_goes_on_where_it_stopped(void **state)
{
	g_autofree char *url = url_of("/cut"), *body = pattern('a');

	(void)state;
	assert_fetched(url, body);
}

static void a_file_that_changed_meanwhile_is_taken_from_its_beginning(void **state)
{
	g_autofree char *url = url_of("/changed"), *body = pattern('A');

	(void)state;
	assert_fetched(url, body);
}

static void a_transfer_that_is_always_cut_is_given_up(void **state)
{
	(void)state;
	assert_path_not_fetched("/always-cut", "unavailable", "/always-cut: ");
	assert_path_not_fetched("/elsewhere", "unavailable", "another place");
}

static void an_artifact_that_is_not_there_is_awaited(void **state)
{
	(void)state;
	assert_path_not_fetched("/missing", "unavailable", "/missing: the artifact is not there yet: HTTP 404");
	assert_path_not_fetched("/broken", "unavailable", "HTTP 500");
	assert_not_fetched("http://127.0.0.1:1/x", "unavailable", "127.0.0.1");
}

static void a_silent_server_is_not_waited_for_longer_than_the_deadline(void **state)
{
	gint64 begin = g_get_monotonic_time();

	(void)state;
	assert_path_not_fetched("/silence", "unavailable", "/silence: ");
	assert_in_range((g_get_monotonic_time() - begin) / 1000, 1400, 4000);
}

static void an_artifact_that_is_too_large_is_refused(void **state)
{
	(void)state;
	assert_path_not_fetched("/large", "refused", "larger than 1000000 bytes");
	assert_path_not_fetched("/endless", "refused", "larger than 1000000 bytes");
}

static void a_redirect_is_followed(void **state)
{
	g_autofree char *url = url_of("/redirect?/ok");

	(void)state;
	assert_fetched(url, "hello");
}

static void a_redirect_to_where_we_would_not_go_is_refused(void **state)
{
	g_autofree char *private_one = g_strdup_printf("/redirect?http://127.0.0.2:%u/ok", port);

	(void)state;
	assert_path_not_fetched(private_one, "refused", "artifacts.private_hosts");
	assert_path_not_fetched("/redirect?file:///etc/passwd", "refused", "may lead to https only");
	assert_path_not_fetched("/redirect?http://example.org/", "refused", "artifacts.http_hosts");
	assert_path_not_fetched("/redirect?https://me:secret@example.org/", "refused", "user name or a password");
	assert_path_not_fetched(
	    "/redirect?/redirect%3f/redirect%253f/redirect%25253f/redirect%2525253f/redirect%252525253f/ok", "refused",
	    "more than 5 redirects");
}

static void private_addresses_are_refused_by_what_the_name_resolves_to(void **state)
{
	g_autofree char *url = g_strdup_printf("http://127.0.0.2:%u/ok", port),
			*local = g_strdup_printf("http://localhost:%u/ok", port);

	(void)state;
	assert_not_fetched(url, "refused", "private, loopback or reserved");
	assert_not_fetched(local, "refused", "private, loopback or reserved");
}

static void addresses_that_are_no_source_of_artifacts_are_refused(void **state)
{
	(void)state;
	assert_not_fetched("http://example.org/a", "refused", "artifacts.http_hosts");
	assert_not_fetched("ftp://example.org/a", "refused", "https: addresses");
	assert_not_fetched("https://me:secret@example.org/a", "refused", "https://example.org/a: ");
	assert_not_fetched("nonsense", "refused", "https:");
	assert_not_fetched("http://127.0.0.1:1/a?token=secret", "unavailable", "http://127.0.0.1:1/a: ");
}

static void a_file_below_a_folder_is_taken(void **state)
{
	g_autofree char *path = g_build_filename(folder, "a b.bin", NULL),
			*url = g_strdup_printf("file://%s/a%%20b.bin", folder);

	(void)state;
	support_write(path, "from a folder");
	assert_fetched(url, "from a folder");
}

static void a_file_is_not_taken_from_elsewhere(void **state)
{
	g_autofree char *link = g_build_filename(folder, "link", NULL),
			*dots = g_strdup_printf("file://%s/%%2e%%2e/output", folder);
	g_autofree char *sub = g_build_filename(folder, "sub", NULL);
	g_autofree char *by_link = g_strdup_printf("file://%s/link", folder),
			*missing = g_strdup_printf("file://%s/none", folder);
	g_autofree char *a_folder = g_strdup_printf("file://%s/sub", folder),
			*beside = g_strdup_printf("file://%s-other/a", folder);

	(void)state;
	assert_int_equal(g_mkdir(sub, 0700), 0);
	assert_int_equal(symlink("/etc/passwd", link), 0);
	assert_not_fetched("file:///etc/passwd", "refused", "artifacts.folders");
	assert_not_fetched(dots, "refused", "artifact");
	assert_not_fetched(by_link, "refused", "leads out of");
	assert_not_fetched(beside, "refused", "artifacts.folders");
	assert_not_fetched(a_folder, "refused", "regular file");
	assert_not_fetched(missing, "unavailable", "not there yet");
}

static struct message *stamp(int64_t authority)
{
	autoptr(message) request = message_new(MSG_STAMP, 0);
	g_autoptr(GBytes) query = g_bytes_new_static("query", 5);

	json_set_integer(request->body, "authority", authority);
	test_add(request, "query", query);
	return test_role_ask(courier, ROLE_ENGINE, request, MSG_STAMPED);
}

static void a_timestamp_authority_is_asked_between_two_times(void **state)
{
	int64_t before = time_now_ms();
	autoptr(message) answer = stamp(0);
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) response = message_bytes(answer, "response", 100, &error);

	(void)state;
	assert_outcome(answer, "ok", NULL);
	assert_ok(response, error);
	assert_memory_equal(g_bytes_get_data(response, NULL), "reply", 5);
	assert_in_range(json_integer(answer->body, "sent", 0), before, json_integer(answer->body, "received", 0));
	assert_in_range(json_integer(answer->body, "received", 0), before, time_now_ms());
}

static void an_authority_that_does_not_answer_as_one_is_passed_over(void **state)
{
	autoptr(message) page = stamp(1);
	autoptr(message) silent = stamp(2);
	autoptr(message) none = stamp(3);

	(void)state;
	assert_outcome(page, "unavailable", "application/timestamp-reply");
	assert_outcome(silent, "unavailable", "/silence: ");
	assert_outcome(none, "refused", "authority");
}

static void a_file_is_copied(void **state)
{
	g_autofree char *from = support_path("from"), *to = support_path("to"), *text = g_strnfill(9 << 20, 'x'),
			*copy = NULL;
	autoptr(message) request = message_new(MSG_COPY, 0);
	autoptr(message) answer = NULL;
	autofd int in = -1, out = -1;
	g_autoptr(GError) error = NULL;

	(void)state;
	support_write(from, text);
	in = open(from, O_RDONLY | O_CLOEXEC);
	out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_ok(message_add_fd(request, "from", in, NULL, 9 << 20, &error), error);
	assert_ok(message_add_fd(request, "to", out, NULL, 0, &error), error);
	answer = test_role_ask(courier, ROLE_ENGINE, request, MSG_COPIED);
	assert_outcome(answer, "ok", NULL);
	copy = support_read(to);
	assert_string_equal(copy, text);
}

static void an_engine_that_starts_anew_is_not_answered_what_its_predecessor_asked(void **state)
{
	autoptr(message) request = message_new(MSG_FETCH, 0);
	autoptr(message) hello = message_new(MSG_HELLO, 0);
	g_autofree char *url = url_of("/silence"), *ok = url_of("/ok");
	autofd int output = output_new();
	g_autoptr(GError) error = NULL;

	(void)state;
	json_set_string(request->body, "url", url);
	json_set_integer(request->body, "max_size", 1 << 20);
	assert_ok(message_add_fd(request, "output", output, NULL, 0, &error), error);
	test_role_tell(courier, ROLE_ENGINE, request);
	test_role_tell(courier, ROLE_ENGINE, hello);
	assert_fetched(ok, "hello"); /* would see the other's answer first, or later */
	g_usleep(1600000);
	assert_fetched(ok, "hello");
}

static gboolean is_public(const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return address_is_public((struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return address_is_public((struct sockaddr *)&in6);
}

static void only_addresses_that_are_given_out_are_public(void **state)
{
	static const char *const good[] = { "1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0",
		"100.63.255.255", "100.128.0.0", "192.167.255.255", "223.255.255.255", "2606:4700::1111", "2a00::1" };
	static const char *const bad[] = { "0.0.0.0", "10.1.2.3", "127.0.0.1", "127.255.255.255", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", "198.19.0.1",
		"224.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
		"fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "3fff::1" };

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(good); i++)
		if (!is_public(good[i]))
			fail_msg("%s is public", good[i]);
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
		if (is_public(bad[i]))
			fail_msg("%s is not public", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_artifact_is_fetched_and_hashed),
		cmocka_unit_test(another_digest_than_the_release_names_is_refused_with_both),
		cmocka_unit_test(a_transfer_that_is_cut_goes_on_where_it_stopped),
		cmocka_unit_test(a_file_that_changed_meanwhile_is_taken_from_its_beginning),
		cmocka_unit_test(a_transfer_that_is_always_cut_is_given_up),
		cmocka_unit_test(an_artifact_that_is_not_there_is_awaited),
		cmocka_unit_test(a_silent_server_is_not_waited_for_longer_than_the_deadline),
		cmocka_unit_test(an_artifact_that_is_too_large_is_refused),
		cmocka_unit_test(a_redirect_is_followed),
		cmocka_unit_test(a_redirect_to_where_we_would_not_go_is_refused),
		cmocka_unit_test(private_addresses_are_refused_by_what_the_name_resolves_to),
		cmocka_unit_test(addresses_that_are_no_source_of_artifacts_are_refused),
		cmocka_unit_test(a_file_below_a_folder_is_taken),
		cmocka_unit_test(a_file_is_not_taken_from_elsewhere),
		cmocka_unit_test(a_timestamp_authority_is_asked_between_two_times),
		cmocka_unit_test(an_authority_that_does_not_answer_as_one_is_passed_over),
		cmocka_unit_test(a_file_is_copied),
		cmocka_unit_test(an_engine_that_starts_anew_is_not_answered_what_its_predecessor_asked),
		cmocka_unit_test(only_addresses_that_are_given_out_are_public),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, start, stop);
}
