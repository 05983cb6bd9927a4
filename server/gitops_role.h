/*
 * The parts of the gitops role: what the sources show, fetched and kept in mirrors that all its workers share, and what the policy says of it.
 */
#pragma once

#include "gitops/decide.h"
#include "gitops/mirror.h"
#include "server/role.h"

struct gitops {
	struct role_context *role;
	struct mirror_limits limits;
	char *password;
	char *commit, *tip; /* of the policy; NULL before the first look */
	struct policy *policy;
	GBytes *policy_json, *policy_history; /* evidence of that commit, made when first asked for */
	GHashTable *ranges; /* gitops_range.c: what was found out of the newest releases */
	GHashTable *approvals; /* of gitops_index.c; NULL before the first one is asked for */
};

/* gitops_policy.c: fetches if asked to, and follows the policy to its newest commit in force. */
gboolean gitops_policy(struct gitops *g, gboolean fetch, GError **error);

/* The policy in force as evidence: its files, and its history from the root. Borrowed until the next gitops_policy(). */
gboolean gitops_policy_evidence(struct gitops *g, GError **error);

/* gitops_source.c: a project's source and, where it has one of its own, its repository of approvals. */
struct gitops_source {
	char *path, *approvals_path; /* mirrors; the same where approvals stand in the source */
};
void gitops_source_clear(struct gitops_source *s);
/* Ends the process where the fetch does not end at its deadline: the supervisor starts another one, and engine asks it again. */
gboolean gitops_fetch(struct gitops *g, const char *path, const char *url, const char *const *sources, GError **error);
gboolean gitops_source_open(
    struct gitops *g, const struct policy_project *project, gboolean fetch, struct gitops_source *s, GError **error);

/* gitops_index.c: what stands on a ref for approvals, or ever stood there, by the lines that approval_lines() finds. The index and the ids are the role's own. */
struct approval_index;
const struct approval_index *approval_index_refresh(struct gitops *g, const char *path, const char *ref, GError **error);
const GPtrArray *approval_index_find(const struct approval_index *index, const char *line); /* of ids; NULL: none */

/* gitops_approvals.c: what was ever seen that may be an approval, a denial or a withdrawal for this tag. `commit` is the tagged one. */
GArray *gitops_approvals(struct gitops *g, const struct gitops_source *s, const struct policy_project *project,
    const char *tag, const char *tag_object, const char *commit, const struct json *seen, int64_t now_ms,
    GError **error); /* of struct approval_evidence */

/* gitops_range.c: what the release would bring, its files by SHA-256, and commits = "signed". */
struct gitops_range_question {
	const char *path, *commit; /* mirror, tagged commit */
	const struct json *bases; /* [{record, tag, commit, purpose}]: signed releases of the project, newest first */
	const char *rule, *purpose;
	gboolean all_signed; /* commits = "signed" */
	int64_t first_seen; /* of the tag: then its commits were seen, too */
};
struct gitops_range {
	struct json *base; /* of the question's `bases`, or NULL: the whole history */
	struct json *section; /* the record's source.range */
	char *sha256, *tree_sha256;
	GBytes *report, *signers, *proof, *manifest; /* evidence; NULL where there is none */
};
void gitops_range_clear(struct gitops_range *r);
/* Also where it refuses, `r` holds what was found out before. */
gboolean gitops_range(struct gitops *g, const struct gitops_range_question *q, struct gitops_range *r, GError **error);

/* gitops_decide.c, gitops_look.c, gitops_vouch.c */
void gitops_decide(struct role_context *role, struct peer *from, struct message *m);
void gitops_vouch(struct role_context *role, struct peer *from, struct message *m);
void gitops_look(struct role_context *role, struct peer *from, struct message *m);
