/*
 * A judge that follows a policy repository with one project, before it a release that is approved, and around it the test as engine, scan, seal and sign.
 * Each of these says what a sound one would, unless the court is told otherwise.
 */
#pragma once

#include <openssl/evp.h>

#include "tests/unit/support_policy.h"
#include "tests/unit/support_role.h"

#define COMMIT "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"
#define ID "01JDZX00000000000000000000"
#define MINUTE (INT64_C(60) * 1000)

/* Made by court_begin(): a program, another file, the release key's certificates, those of another key; and where the timestamp authority's root is. */
extern GBytes *court_image, *court_text, *court_chain, *court_other_chain;
extern char *court_stamp_roots;
int court_begin(void **state);
int court_end(void **state);

struct court {
	char *state, *repository, *root;
	struct config *config;
	struct test_role *judge;
	GBytes *tag, *blob, *certificates;
	char *tag_object;
	GPtrArray *approvals; /* GBytes of commits */
	int64_t now, tag_first_seen;
	/* what the sign process would answer */
	const char *model, *weakness;
	gboolean software, away;
	int64_t last_use, keys_asked, uses;
	EVP_PKEY *signs_with;
};
/* Over these files of a policy (taken over; NULL: court_policy(), in a repository that all such courts share): a tag by alice, and no approval yet. */
struct court *court_with(policy_files *files);
void court_free(struct court *s);
DEFINE_CLEANUP(court, court_free)
/* bob and carol approve the program, which is enough. */
struct court *court_approve(struct court *s);
struct court *court_approved(void); /* over NULL, approved */
policy_files *court_policy(void);
/* The judge, again. */
void court_start(struct court *s);
char *court_git(const struct court *s, const char *arguments);
/* The files as the next commit, signed by alice, and in the mirror. Takes the files over. */
char *court_publish(struct court *s, policy_files *files);

GBytes *court_tag(const char *person, const char *name);
void court_set_tag(struct court *s, GBytes *tag);
char *court_commit(struct court *s, const char *person, const char *trailers);
char *court_approves(struct court *s, const char *person, const char *word, GBytes *blob);

/* ---- scan and seal ---- */

void scan_says(struct court *s, GBytes *blob, const char *verdict, int64_t database_ms);
void seal_says(struct court *s, GBytes *blob, gboolean was_signed);
void all_is_well(struct court *s);

/* ---- engine ---- */

struct message *court_request(const struct court *s);
/* Asks, answers what judge asks of sign meanwhile, and gives judge's answer. Takes the request over. */
struct message *court_judged(struct court *s, struct message *request);
/* The release as it stands must end so, and no key be used. */
void assert_judged(struct court *s, const char *outcome, const char *words);

struct member {
	const char *key;
	struct json *value; /* taken over */
	const char *words; /* of the refusal */
};
/* The same, for each of these with one member of the message changed; ended by a NULL key. */
void assert_members(const struct member *members);
