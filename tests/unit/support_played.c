#include "tests/unit/support_played.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/unit/support.h"

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

static void G_GNUC_NORETURN be_role(struct played *p, int fd)
{
	struct peer engine = { .role = ROLE_ENGINE, .fd = fd };
	struct role_context role = { .self = p->self, .config = &p->config, .peers = &engine, .peer_count = 1 };

	log_role(role_name(p->self));
	exit(p->run(&role));
}

void played_start(struct played *p)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		close(pair[0]);
		be_role(p, pair[1]);
	}
	close(pair[1]);
	p->fd = pair[0];
	message_free(played_take(p, MSG_HELLO));
}

void played_stop(struct played *p)
{
	int status;

	kill(p->pid, SIGTERM);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	close(p->fd);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

gboolean played_is_silent(struct played *p, int ms)
{
	struct pollfd polled = { .fd = p->fd, .events = POLLIN };

	return poll(&polled, 1, ms) == 0;
}

struct message *played_take(struct played *p, enum message_kind kind)
{
	g_autoptr(GError) error = NULL;
	struct message *m;

	if (played_is_silent(p, 10000))
		fail_msg("no %s came", message_name(kind));
	m = message_receive(p->fd, &error);
	assert_ok(m, error);
	assert_string_equal(message_name(m->kind), message_name(kind));
	return m;
}

void played_send(struct played *p, const struct message *m)
{
	g_autoptr(GError) error = NULL;

	assert_ok(message_send(p->fd, m, &error), error);
}

static struct sockaddr_in loopback(guint16 port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
}

guint16 free_port(void)
{
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof(address);
	autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.sin_port);
}

int dial(guint16 port)
{
	struct sockaddr_in address = loopback(port);
	struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}
