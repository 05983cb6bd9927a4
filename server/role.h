/*
 * The skeleton that all role processes share: what a role gets from the supervisor, its table of messages, its loop.
 * A role's main file has one const table of the messages it takes; anything else that arrives ends the process.
 */
#pragma once

#include <glib.h>

#include "server/config.h"
#include "server/message.h"

struct event_base;

struct peer {
	guint own; /* which of our own instances it belongs to: scan's zygote is started with the peers of all its workers */
	enum role role;
	guint index;
	int fd;
	gint64 last_number; /* of requests we sent */
	gboolean busy; /* for roles that give one thing at a time to a worker */
	void *data; /* the role's own */
};

struct role_context {
	enum role self;
	guint index;
	gboolean again; /* another process of this role was here before: what it was asked is lost */
	const struct config *config;
	struct peer *peers;
	guint peer_count;
	const struct role_verb *verbs;
	void *data; /* the role's own */
};

/* A handler takes the message over only if it steals it (g_steal_pointer); else it is freed afterwards. */
struct role_verb {
	enum message_kind kind;
	void (*handle)(struct role_context *role, struct peer *from, struct message *message);
};

/* One row a role (roles.c): what main.c starts and how often. */
struct role_row {
	enum role role;
	int (*run)(struct role_context *role); /* the process; its exit status */
	guint (*count)(const struct config *config); /* how many of them */
};
extern const struct role_row role_rows[ROLE_COUNT];
/* Exit statuses that the supervisor understands: the configuration or the machine is wrong, starting again will not help. */
#define ROLE_EXIT_CONFIGURATION 78
/* Which roles are wired to each other; one table in roles.c. */
gboolean role_linked(enum role a, enum role b);

struct peer *role_peer(struct role_context *role, enum role of, guint index); /* NULL if there is none */
/* Greets every peer (HELLO). Called once the role is ready to work. */
void role_greet(struct role_context *role);
/* Blocking roles: one message at a time, from the first readable peer in the order of `peers`; returns when the channel to the engine (or the only peer) is closed. */
int role_serve(struct role_context *role, const struct role_verb *verbs);
/* Blocking roles: asks a peer and waits for its answer; UNAVAILABLE after `deadline_ms`, or when the peer greets meanwhile (it died). */
struct message *role_call(struct role_context *role, struct peer *to, struct message *request, enum message_kind answer,
    int64_t deadline_ms, GError **error);
/* Evented roles: the same dispatch from libevent. */
gboolean role_attach(struct role_context *role, const struct role_verb *verbs, struct event_base *base, GError **error);
/* Sends a request under the peer's next number, which it returns; a failure to send ends the process (the supervisor starts it again). */
gint64 role_send(struct role_context *role, struct peer *to, struct message *message);
/* Sends an answer. */
void role_answer(struct role_context *role, struct peer *to, struct message *answer);

/* One line an event to stderr: "role=gitops release=01… gate=source …". Strangers' text is escaped here. Levels as syslog's names. */
void log_event(const char *level, const char *format, ...) G_GNUC_PRINTF(2, 3);
void log_role(const char *name); /* sets role= of all later lines */

/* A role's process: `tagseald --role NAME --index I --config-fd FD --config-name F --peer OWN:ROLE:INDEX:FD …` (supervisor.c). */
int role_main(int argc, char **argv);

int role_engine(struct role_context *role);
int role_listen(struct role_context *role);
int role_gitops(struct role_context *role);
int role_courier(struct role_context *role);
int role_scan(struct role_context *role);
int role_seal(struct role_context *role);
int role_judge(struct role_context *role);
int role_sign(struct role_context *role);
int role_ledger(struct role_context *role);
