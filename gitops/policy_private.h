/*
 * What the readers of a policy version share: policy.c (the whole), policy_key.c and policy_project.c (one
 * file each).
 */
#pragma once

#include "gitops/base/error.h"
#include "gitops/base/toml.h"
#include "gitops/policy.h"

struct policy {
	gint references;
	policy_files *files;
	struct people *people;
	GPtrArray *keys; /* struct policy_key, read before the projects, which are held against them */
	GPtrArray *projects; /* struct policy_project */
	char **maintainers; /* sorted, each once, groups expanded */
	int64_t threshold;
};

/* Reads one keys/NAME.toml or projects/NAME.toml into a new object, held against what the policy has so far. */
struct policy_key *policy_key_read(const struct policy *policy, const char *file, GBytes *text, GError **error);
void policy_key_free(struct policy_key *key);
DEFINE_CLEANUP(policy_key, policy_key_free)
struct policy_project *policy_project_read(const struct policy *policy, const char *file, GBytes *text, GError **error);
void policy_project_free(struct policy_project *project);
DEFINE_CLEANUP(policy_project, policy_project_free)

/* Refuses `node` (an array of people and @groups) when it is empty, or names one whom people/ does not know. */
gboolean policy_check_principals(const struct people *people, const struct toml *node, GError **error);
/* The people that a list of names and @groups comes to: sorted, each once. Caller frees. */
char **policy_principals(const struct people *people, char *const *list);
/* Refuses a name that is not plain ASCII ([A-Za-z0-9] first, then also . _ - and, with `slash`, single slashes). */
gboolean policy_check_name(const struct toml *node, gboolean slash, GError **error);
/* Refuses a node that is not an array of tables. `what` names it: "[[policy]]". */
gboolean policy_check_tables(const struct toml *node, const char *what, GError **error);
/* [policy.provenance] of a rule of the project file `file` (policy_provenance.c); `rule` has been read. NULL: there is none. */
gboolean policy_provenance_read(const struct policy *policy, const struct toml *node, const char *file,
    const char *project, struct policy_rule *rule, GError **error);
/* The path of a file that stands beside `file`. Caller frees. */
char *policy_beside(const char *file, const char *name);
void policy_provenance_clear(struct policy_provenance *provenance);
/* A pattern whose {names} are known ones, and that comes to printable text. */
gboolean policy_check_pattern(
    const struct toml *node, const char *pattern, const char *project, gboolean is_name, GError **error);
/* A test chain and a release chain may share no certificate authority (policy_chains.c). */
gboolean policy_check_chains(const struct policy *policy, GError **error);
/* No key serves more projects than its budget has (policy_budget.c). */
gboolean policy_check_budgets(const struct policy *policy, GError **error);
