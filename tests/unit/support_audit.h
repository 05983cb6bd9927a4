/*
 * Logs for the auditor: a ledger with a test key, releases that were decided by the code that the server decides with, and the hands of
 * a forger who has the ledger's key.
 */
#pragma once

#include "gitops/audit.h"
#include "gitops/decide.h"
#include "tests/unit/support.h"
#include "tests/unit/support_ledger.h"
#include "tests/unit/support_policy.h"

#define COMMIT "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"
#define TREE "c0ffee00d1e2f30415263748596a7b8c9dae0f12"
#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define OTHER_DIGEST "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
#define SEEN (INT64_C(1767225600) * 1000)

/* A log, and what an auditor has in hand. */
struct world {
	char *path, *key_file, *policy_root;
	const char *policy_repo;
	struct test_key *key;
	struct ledger *ledger;
	GString *findings;
	struct audit_result result;
};
struct world *world_new(void);
void world_free(struct world *w);
DEFINE_CLEANUP(world, world_free)
/* All anchors; artifacts are called good. */
struct audit_options world_options(struct world *w);
void world_audit(struct world *w, const struct audit_options *options);
void assert_log_good(struct world *w);
/* At least one finding "bad: …" with these words. */
void assert_log_bad(struct world *w, const char *words);
/* Exactly one finding, "bad: …" with these words. */
void assert_log_has_one_flaw(struct world *w, const char *words);

/* A release: real tag, real approvals, and all that its record says. Any of it may be changed before it is appended. */
struct story {
	struct json *record;
	GArray *files; /* of struct ledger_file */
	GArray *approvals; /* of struct approval_evidence */
	GBytes *tag;
	char *tag_object;
};
/* acme/widget v1.2.0, approved by bob and carol, signed with that use of its key. */
struct story *story_new(struct world *w, gint64 use);
/* The same of another tag ("v1.2.1"). */
struct story *story_tagged(struct world *w, const char *tag, gint64 use);
/* Decided by these files, or by those of the policy commit that the world's root names. */
struct story *story_of(struct world *w, const char *tag, gint64 use, GHashTable *files);
struct story *story_at(struct world *w, gint64 use);
void story_free(struct story *s);
DEFINE_CLEANUP(story, story_free)
void story_append(struct world *w, struct story *s);
void story_add(struct story *s, const char *name, GBytes *bytes);
void story_drop(struct story *s, const char *name);
/* A part of its record, which must be there. Borrowed. */
struct json *story_get(const struct story *s, const char *path);

/* A shell script in the repository; the ledger lets go of it first. */
void world_forge(struct world *w, const char *script);
/* A commit on `parents` ("-p main") by the ledger's key: the tree of `from` with what the script did to its index ($GIT_INDEX_FILE). */
void world_commit_tree(struct world *w, const char *parents, const char *from, const char *script, const char *message);
/* One file added on top, by the ledger's key. */
void world_commit(struct world *w, const char *path, const char *text, const char *message);
