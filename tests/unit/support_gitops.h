/* A gitops role over real repositories: a policy, a source with one signed tag, and people who say what they think of it. The test plays engine. */
#pragma once

#include "tests/unit/support_policy.h"
#include "tests/unit/support_role.h"

#define MINUTE (INT64_C(60) * 1000)
#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

struct scene {
	char *state, *policy, *source, *root;
	struct config *config;
	struct test_role *gitops;
	int64_t now; /* when the tag was first seen */
};
/* A source with one commit, a tag v1.2.0 by alice, and no approval yet. `more`: of the configuration, or NULL. */
struct scene *scene_new(void);
struct scene *scene_with(const char *more);
void scene_free(struct scene *s);
DEFINE_CLEANUP(scene, scene_free)
void scene_start(struct scene *s); /* the role, again */

/* git in that folder, as that person, whose SSH key signs. */
char *git_as(const char *person, const char *folder, const char *arguments);
void git(const char *person, const char *folder, const char *arguments);

/* alice alone maintains; the source is a folder of ours. publish() takes the files over: they are in force then. */
policy_files *policy_of_ours(const struct scene *s);
void publish(struct scene *s, policy_files *files);

char *tag_object(const struct scene *s, const char *tag);
/* A commit on the approvals ref, on top of those that stand there: `message` is all of it. Its id. */
char *commits(const char *person, const char *folder, const char *message);
/* What there is to be said of that tag object. */
char *words(const char *word, const char *tag_id);
char *says(const struct scene *s, const char *person, const char *word, const char *tag_id);
char *withdraws(const struct scene *s, const char *person, const char *approval);

/* The answer, whatever it is. `seen`: first-seen times of approvals, or NULL. */
struct message *decide_of(
    struct scene *s, const char *project, const char *tag, const char *id, gboolean fetch, const struct json *seen);
/* Of our project, and it is one. */
struct message *decide_with(struct scene *s, const char *tag, const char *id, gboolean fetch, const struct json *seen);
struct message *decide(struct scene *s, const char *tag, const char *id);
void assert_member(const struct message *answer, const char *key, const char *value);
/* The source is `word`, and says why. */
void assert_source(struct scene *s, const char *tag, const char *id, const char *word, const char *reason);
struct json *sections_of(const struct message *answer);
/* What engine will put together of the sections must be a record. */
void assert_fits_the_record(const struct json *sections);
/* That commit is listed and does not count, and the record says so with these words. NULL: it counts. */
void assert_listed(const struct message *answer, const char *commit, const char *why);
void assert_not_listed(const struct message *answer, const char *commit);
