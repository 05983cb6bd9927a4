#include "tests/unit/support_role.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000

struct config *test_config(const char *state, const char *root, const char *more)
{
	g_autoptr(GError) error = NULL;
	static const char *const folders[] = { "mirrors", "judge", "journal", "temp", NULL };
	g_autofree char *text = g_strdup_printf("state = \"%s\"\n"
						"[policy]\nurl = \"file://%s/policy\"\nroot = \"%s\"\n"
						"[ledger]\ntoken = \"main\"\nkey = \"ledger\"\n%s",
	    state, support_tmp(), root != NULL ? root : "1111111111111111111111111111111111111111", more);
	struct config *config = config_parse(text, strlen(text), "test.toml", &error);

	if (config == NULL)
		fail_msg("%s", error->message);
	for (guint i = 0; folders[i] != NULL; i++) {
		g_autofree char *path = config_path(config, folders[i]);
		assert_int_equal(g_mkdir_with_parents(path, 0700), 0);
	}
	return config;
}

static void G_GNUC_NORETURN become(int (*run)(struct role_context *), struct role_context *context, struct test_role *ours)
{
	int status;

	for (guint i = 0; i < ours->peer_count; i++)
		close(ours->peers[i].fd);
	log_role(role_name(context->self));
	status = run(context);
	exit(status);
}

static struct message *next_from(const struct peer *peer)
{
	g_autoptr(GError) error = NULL;
	struct pollfd polled = { .fd = peer->fd, .events = POLLIN };
	struct message *m;

	if (poll(&polled, 1, PATIENCE_MS) != 1)
		fail_msg("no message to %s", role_name(peer->role));
	m = message_receive(polled.fd, &error);
	if (m == NULL)
		fail_msg("to %s: %s", role_name(peer->role), error->message);
	return m;
}

struct test_role *test_role_start(int (*run)(struct role_context *), enum role self, guint index,
    const struct config *config, const struct peer *peers)
{
	struct test_role *role = g_new0(struct test_role, 1);
	struct peer theirs[ROLE_PEERS_MAX] = { { 0 } };
	struct role_context context = { .self = self, .index = index, .config = config, .peers = theirs };

	for (; peers->role != ROLE_COUNT; peers++) {
		int ends[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
		theirs[role->peer_count] = (struct peer){ .role = peers->role, .index = peers->index, .fd = ends[0] };
		role->peers[role->peer_count++] =
		    (struct peer){ .role = peers->role, .index = peers->index, .fd = ends[1] };
	}
	context.peer_count = role->peer_count;
	role->pid = fork();
	assert_true(role->pid >= 0);
	if (role->pid == 0)
		become(run, &context, role);
	for (guint i = 0; i < role->peer_count; i++) {
		autoptr(message) hello = NULL;

		close(theirs[i].fd);
		hello = next_from(&role->peers[i]);
		assert_int_equal(hello->kind, MSG_HELLO);
	}
	return role;
}

int test_role_wait(struct test_role *role)
{
	int status = 0;

	assert_int_equal(waitpid(role->pid, &status, 0), role->pid);
	for (guint i = 0; i < role->peer_count; i++)
		close(role->peers[i].fd);
	g_free(role);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int test_role_stop(struct test_role *role)
{
	for (guint i = 0; i < role->peer_count; i++)
		shutdown(role->peers[i].fd, SHUT_WR);
	return test_role_wait(role);
}

int test_role_fd(const struct test_role *role, enum role peer)
{
	for (guint i = 0; i < role->peer_count; i++)
		if (role->peers[i].role == peer)
			return role->peers[i].fd;
	fail_msg("no channel to %s", role_name(peer));
	return -1;
}

void test_role_tell(struct test_role *role, enum role as, struct message *message)
{
	g_autoptr(GError) error = NULL;

	message->number = ++role->number;
	assert_ok(message_send(test_role_fd(role, as), message, &error), error);
}

struct message *test_role_next(struct test_role *role, enum role peer)
{
	const struct peer ours = { .role = peer, .fd = test_role_fd(role, peer) };

	return next_from(&ours);
}

struct message *test_role_ask(struct test_role *role, enum role as, struct message *request, enum message_kind answer)
{
	struct message *m;

	test_role_tell(role, as, request);
	m = test_role_next(role, as);
	assert_int_equal(m->kind, answer);
	assert_int_equal(m->number, request->number);
	return m;
}

void test_add(struct message *m, const char *name, GBytes *bytes)
{
	g_autoptr(GError) error = NULL;

	assert_ok(message_add_bytes(m, name, bytes, &error), error);
}

void assert_outcome(const struct message *answer, const char *word, const char *words)
{
	const char *outcome = json_string(answer->body, "outcome"), *reason = json_string(answer->body, "reason");

	if (g_strcmp0(outcome, word) != 0)
		fail_msg("outcome is %s (%s), not %s", outcome, reason != NULL ? reason : "no reason", word);
	if (words != NULL)
		assert_contains(reason, words);
}
