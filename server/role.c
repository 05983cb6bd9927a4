#include "server/role.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gitops/base/error.h"

struct peer *role_peer(struct role_context *role, enum role of, guint index)
{
	for (guint i = 0; i < role->peer_count; i++)
		if (role->peers[i].role == of && role->peers[i].index == index)
			return &role->peers[i];
	return NULL;
}

/* A process that cannot trust a channel any more ends: the supervisor starts it anew, and its peers learn of it by HELLO. */
static void G_GNUC_NORETURN role_end(const struct role_context *role, const struct peer *peer, const char *reason)
{
	log_event("err", "peer=%s.%u ended: %s", role_name(peer->role), peer->index, reason);
	_exit(role->self == ROLE_ENGINE ? 71 : 70);
}

gint64 role_send(struct role_context *role, struct peer *to, struct message *message)
{
	g_autoptr(GError) error = NULL;

	message->number = ++to->last_number;
	if (!message_send(to->fd, message, &error))
		role_end(role, to, error->message);
	return message->number;
}

void role_answer(struct role_context *role, struct peer *to, struct message *answer)
{
	g_autoptr(GError) error = NULL;

	if (!message_send(to->fd, answer, &error))
		role_end(role, to, error->message);
}

void role_greet(struct role_context *role)
{
	autoptr(message) hello = message_new(MSG_HELLO, 0);

	json_set_boolean(hello->body, "again", role->again);
	for (guint i = 0; i < role->peer_count; i++)
		role_answer(role, &role->peers[i], hello);
}

static const struct role_verb *verb_of(const struct role_verb *verbs, enum message_kind kind)
{
	for (; verbs->handle != NULL; verbs++)
		if (verbs->kind == kind)
			return verbs;
	return NULL;
}

/* Reads one message, checks that this peer may send it, and finds the row that takes it. NULL: the channel is closed. */
static struct message *receive(struct role_context *role, struct peer *from)
{
	g_autoptr(GError) error = NULL;
	struct message *m = message_receive(from->fd, &error);

	if (m == NULL && g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE))
		return NULL;
	if (m == NULL)
		role_end(role, from, error->message);
	if (!message_permitted(m->kind, from->role, role->self))
		role_end(role, from, "it sent a message that it may not send");
	return m;
}

static void dispatch(struct role_context *role, struct peer *from, struct message *m)
{
	const struct role_verb *verb = verb_of(role->verbs, m->kind);

	if (verb != NULL)
		verb->handle(role, from, m);
	else if (m->kind != MSG_HELLO && m->number > from->last_number) /* else it answers what was given up */
		role_end(role, from, "it sent a message that is not taken here");
}

int role_serve(struct role_context *role, const struct role_verb *verbs)
{
	g_autofree struct pollfd *polls = g_new0(struct pollfd, role->peer_count);

	role->verbs = verbs;
	for (guint i = 0; i < role->peer_count; i++)
		polls[i] = (struct pollfd){ .fd = role->peers[i].fd, .events = POLLIN };
	for (;;) {
		guint i = 0;

		if (poll(polls, role->peer_count, -1) < 0) {
			if (errno == EINTR)
				continue;
			return EXIT_FAILURE;
		}
		while (i < role->peer_count && polls[i].revents == 0)
			i++;
		if (i < role->peer_count) {
			struct message *m = receive(role, &role->peers[i]);
			if (m == NULL)
				return EXIT_SUCCESS;
			dispatch(role, &role->peers[i], m);
			message_free(m);
		}
	}
}

struct message *role_call(struct role_context *role, struct peer *to, struct message *request, enum message_kind answer,
    int64_t deadline_ms, GError **error)
{
	gint64 number = role_send(role, to, request), end = g_get_monotonic_time() + deadline_ms * 1000;

	for (;;) {
		struct pollfd polled = { .fd = to->fd, .events = POLLIN };
		gint64 left = (end - g_get_monotonic_time() + 999) / 1000;
		int ready = left > 0 ? poll(&polled, 1, MIN(left, G_MAXINT)) : 0;
		autoptr(message) m = NULL;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
			    "%s did not answer within %" G_GINT64_FORMAT " ms", role_name(to->role), deadline_ms);
			return NULL;
		}
		if ((m = receive(role, to)) == NULL || message_is_again(m)) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
			    "%s ended while it was asked; it is started again", role_name(to->role));
			if (m != NULL)
				dispatch(role, to, m);
			return NULL;
		}
		if (m->kind == answer && m->number == number)
			return g_steal_pointer(&m);
		/* An answer to a question that was given up: nobody waits for it. */
	}
}

struct attachment {
	struct role_context *role;
	struct peer *peer;
};

static void readable(evutil_socket_t fd, short what, void *data)
{
	struct attachment *a = data;
	struct message *m = receive(a->role, a->peer);

	(void)fd;
	(void)what;
	if (m == NULL)
		role_end(a->role, a->peer, "the channel is closed");
	dispatch(a->role, a->peer, m);
	message_free(m);
}

gboolean role_attach(struct role_context *role, const struct role_verb *verbs, struct event_base *base, GError **error)
{
	role->verbs = verbs;
	for (guint i = 0; i < role->peer_count; i++) {
		struct attachment *a = g_new0(struct attachment, 1); /* lives as long as the process */
		struct event *event;

		a->role = role;
		a->peer = &role->peers[i];
		event = event_new(base, a->peer->fd, EV_READ | EV_PERSIST, readable, a);
		if (event == NULL || event_add(event, NULL) < 0) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "cannot watch the channel to %s",
			    role_name(a->peer->role));
			return FALSE;
		}
	}
	return TRUE;
}
