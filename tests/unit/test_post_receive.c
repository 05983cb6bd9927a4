/* hooks/post-receive in a real bare repository, with real pushes, against a real listen role; the test is the engine. */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/support_net.h"
#include "tests/unit/support_role.h"

#define SECRET "whsec_AP8BAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4=" /* with a NUL and a byte of 0xff in it */
#define RELEASE "01ARZ3NDEKTSV4RRFFQ69G5FAV"

static struct test_role *listen_role;
static struct config config;
static char *bare, *work, *secret;

/* What watches a channel lives as long as the process. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "fast_unwind_on_malloc=0";
}
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:role_attach\n";
}

static void configure(const char *key, const char *value)
{
	g_free(support_must_in(bare, "git", "config", key, value, NULL));
}

static void start_listening(guint16 port)
{
	static const struct peer peers[] = { { .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };
	static char *secrets[] = { NULL, NULL };
	static struct config_hook hook = { (char *)"standard", secrets };
	g_autofree char *address = g_strdup_printf("127.0.0.1:%u", port);

	secrets[0] = secret;
	config = (struct config){ .listen_http = address,
		.listen_https = (char *)"",
		.public_url = (char *)"https://sign.example.org",
		.listen_max_body = 65536,
		.listen_max_connections = 8,
		.listen_deadline = 10000,
		.hooks = &hook,
		.hook_count = 1 };
	listen_role = test_role_start(role_listen, ROLE_LISTEN, 0, &config, peers);
}

static int start(void **state)
{
	guint16 port = free_port();
	g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/", port), *hook = NULL;

	(void)state;
	bare = support_folder("widget.git");
	work = support_folder("work");
	secret = support_path("widget.secret");
	support_write(secret, SECRET "\n");
	g_free(support_must("chmod", "600", secret, NULL));
	g_free(support_must("git", "init", "-q", "--bare", bare, NULL));
	hook = g_build_filename(bare, "hooks", "post-receive", NULL);
	g_free(support_must("cp", TESTS_DIR "/../hooks/post-receive", hook, NULL));
	configure("tagseal.url", url);
	configure("tagseal.project", "acme/\"widget\"");
	configure("tagseal.secretFile", secret);
	g_free(support_must("git", "init", "-q", "-b", "main", work, NULL));
	g_free(support_must_in(work, "git", "commit", "-q", "--allow-empty", "-m", "one", NULL));
	start_listening(port);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kill(listen_role->pid, SIGTERM);
	assert_int_equal(test_role_wait(listen_role), 0);
	g_free(bare);
	g_free(work);
	g_free(secret);
	return 0;
}

/* A push that goes on while the test plays the engine. */
static pid_t push(const char *ref)
{
	g_autofree char *log = support_path("push.log");
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(fd, STDERR_FILENO);
		execlp("git", "git", "-C", work, "push", "-q", bare, ref, NULL);
		_exit(127);
	}
	return pid;
}

/* It must succeed, whatever the hook did. What the pusher saw. */
static char *pushed(pid_t pid)
{
	g_autofree char *log = support_path("push.log");
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return support_read(log);
}

static void answer(struct message *question, int status, const char *release)
{
	autoptr(message) told = message_new(MSG_HOOKED, question->number);
	g_autoptr(GError) error = NULL;

	json_set_integer(told->body, "status", status);
	json_set_string(told->body, "release", release);
	assert_ok(message_send(test_role_fd(listen_role, ROLE_ENGINE), told, &error), error);
}

static void a_pushed_tag_reaches_the_engine_and_its_release_the_pusher(void **state)
{
	g_autofree char *tag = NULL, *seen = NULL, *new = NULL;
	autoptr(message) question = NULL;
	pid_t pid;

	(void)state;
	g_free(support_must_in(work, "git", "tag", "-a", "-m", "v1", "v1", NULL));
	tag = support_must_in(work, "git", "rev-parse", "v1", NULL);
	pid = push("v1");
	question = test_role_next(listen_role, ROLE_ENGINE);
	assert_int_equal(question->kind, MSG_HOOK);
	assert_string_equal(json_string(question->body, "host"), "standard");
	assert_string_equal(json_string(question->body, "project"), "acme/\"widget\"");
	assert_string_equal(json_string(question->body, "ref"), "refs/tags/v1");
	assert_string_equal(json_string(question->body, "old"), "0000000000000000000000000000000000000000");
	assert_string_equal(json_string(question->body, "new"), tag);
	answer(question, 202, RELEASE);
	seen = pushed(pid);
	assert_contains(seen, "tagseal: refs/tags/v1: https://sign.example.org/api/v1/releases/" RELEASE);
}

static void a_pushed_branch_is_told_in_silence(void **state)
{
	pid_t pid = push("main");
	autoptr(message) question = test_role_next(listen_role, ROLE_ENGINE);
	g_autofree char *seen = NULL;

	(void)state;
	assert_string_equal(json_string(question->body, "ref"), "refs/heads/main");
	answer(question, 204, NULL);
	seen = pushed(pid);
	assert_string_equal(seen, "");
}

static void another_secret_is_told_and_does_not_fail_the_push(void **state)
{
	g_autofree char *other = support_path("other.secret"), *seen = NULL;

	(void)state;
	support_write(other, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	configure("tagseal.secretFile", other);
	seen = pushed(push("main:refs/heads/one"));
	configure("tagseal.secretFile", secret);
	assert_contains(
	    seen, "tagseal: the server could not be told of refs/heads/one: no signature in webhook-signature matches");
	assert_contains(seen, "the server will find the push by itself");
}

static void a_server_that_is_away_does_not_fail_the_push(void **state)
{
	g_autofree char *url = support_must_in(bare, "git", "config", "tagseal.url", NULL), *seen = NULL;

	(void)state;
	configure("tagseal.url", "http://127.0.0.1:1");
	seen = pushed(push("main:refs/heads/two"));
	configure("tagseal.url", url);
	assert_contains(seen, "could not be told of refs/heads/two");
}

static void a_silent_server_does_not_hold_up_the_push_for_ever(void **state)
{
	pid_t pid = push("main:refs/heads/three");
	autoptr(message) question =
	    test_role_next(listen_role, ROLE_ENGINE); /* and never answered before the push has ended */
	g_autofree char *seen = pushed(pid);

	(void)state;
	assert_contains(seen, "could not be told of refs/heads/three");
	answer(question, 204, NULL);
}

static void what_is_not_configured_is_told_and_does_not_fail_the_push(void **state)
{
	g_autofree char *seen = NULL, *short_one = support_path("short.secret"), *seen_short = NULL;

	(void)state;
	support_write(short_one, "whsec_AAAA\n");
	configure("tagseal.secretFile", short_one);
	seen_short = pushed(push("main:refs/heads/four"));
	configure("tagseal.secretFile", secret);
	g_free(support_must_in(bare, "git", "config", "--unset", "tagseal.project", NULL));
	seen = pushed(push("main:refs/heads/five"));
	assert_contains(seen_short, "24 to 64 bytes");
	assert_contains(seen, "set tagseal.project");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pushed_tag_reaches_the_engine_and_its_release_the_pusher),
		cmocka_unit_test(a_pushed_branch_is_told_in_silence),
		cmocka_unit_test(another_secret_is_told_and_does_not_fail_the_push),
		cmocka_unit_test(a_server_that_is_away_does_not_fail_the_push),
		cmocka_unit_test(a_silent_server_does_not_hold_up_the_push_for_ever),
		cmocka_unit_test(what_is_not_configured_is_told_and_does_not_fail_the_push),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, start, stop);
}
