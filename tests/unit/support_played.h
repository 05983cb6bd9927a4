/* One role as its own process, with the test in the engine's place. */
#pragma once

#include "server/role.h"

struct played {
	pid_t pid;
	int fd; /* our end of the role's only channel */
	struct config config; /* to be filled in before played_start(); strings are not freed */
	enum role self;
	int (*run)(struct role_context *role);
};
/* Forks, and waits for the role's HELLO. */
void played_start(struct played *p);
/* SIGTERM; it must end with 0 (leaks end it with another). */
void played_stop(struct played *p);
/* The next message, which must be of that kind. */
struct message *played_take(struct played *p, enum message_kind kind);
/* TRUE if the role sends nothing within that time. */
gboolean played_is_silent(struct played *p, int ms);
void played_send(struct played *p, const struct message *m);
/* A port of 127.0.0.1 that nobody listens at. */
guint16 free_port(void);
/* A connection to it, with a time limit on reads. */
int dial(guint16 port);
