/*
 * A role as a process of its own, with the test at the other end of every channel: the test plays engine and all others.
 * What the role answers is checked by the assertions below; a message that does not come within 20 s fails the test.
 */
#pragma once

#include "server/role.h"
#include "tests/unit/support.h"

#define ROLE_PEERS_MAX 8

struct test_role {
	pid_t pid;
	struct peer peers[ROLE_PEERS_MAX]; /* our ends */
	guint peer_count;
	int64_t number;
};

/* A configuration with everything that must be there, and `more` (TOML) after it; state is below support_tmp(). */
struct config *test_config(const char *state, const char *root, const char *more);
/* `peers`: of struct peer with role and index, ended by ROLE_COUNT, in the order in which the role is to read them. Waits for its greetings. */
struct test_role *test_role_start(int (*run)(struct role_context *), enum role self, guint index,
    const struct config *config, const struct peer *peers);
/* Closes the channels and waits: the exit status, 128 + signal if one ended it. */
int test_role_stop(struct test_role *role);
/* Waits for a role that ends by itself. */
int test_role_wait(struct test_role *role);

/* Our end of the channel to that peer. */
int test_role_fd(const struct test_role *role, enum role peer);
/* Sends a message as that peer; nothing is awaited. */
void test_role_tell(struct test_role *role, enum role as, struct message *message);
/* Sends a request as that peer, and waits for its answer of that kind. Caller frees. */
struct message *test_role_ask(struct test_role *role, enum role as, struct message *request, enum message_kind answer);
/* The next message that the role sends to that peer. Caller frees. */
struct message *test_role_next(struct test_role *role, enum role peer);

void test_add(struct message *m, const char *name, GBytes *bytes);
/* An answer with outcome `word` whose reason holds `words` (NULL: any). */
void assert_outcome(const struct message *answer, const char *word, const char *words);
