/*
 * The policy that a record was decided by: read from the evidence, and proven to have been in force by its history from the auditor's
 * root, with all other policies of the log on the same line.
 */
#include <stdio.h>

#include "gitops/audit_private.h"
#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/policy_history.h"
#include "gitops/record.h"

void audit_policy_free(void *data)
{
	struct audit_policy *policy = data;

	if (policy->policy != NULL)
		policy_unref(policy->policy);
	g_free(policy->commit);
	g_free(policy);
}

/* The same paths with the same bytes? */
static gboolean same_files(GHashTable *one, GHashTable *other)
{
	GHashTableIter iter;
	gpointer path, bytes;

	if (g_hash_table_size(one) != g_hash_table_size(other))
		return FALSE;
	g_hash_table_iter_init(&iter, one);
	while (g_hash_table_iter_next(&iter, &path, &bytes)) {
		GBytes *theirs = g_hash_table_lookup(other, path);

		if (theirs == NULL || !g_bytes_equal(bytes, theirs))
			return FALSE;
	}
	return TRUE;
}

static gboolean walks(struct audit *a, const char *repository, const char *from, const char *to, GError **error)
{
	struct policy_chain chain = { NULL };
	gboolean good = policy_verify(repository, a->options->policy_root, from, to, NULL, NULL, &chain, error);

	if (good && g_strcmp0(chain.commit, to) != 0) {
		error_refused(error, "the policy commit %s was not in force", to);
		good = FALSE;
	}
	policy_chain_clear(&chain);
	return good;
}

/* A release may be recorded after one that a newer policy decided, but all policies must be of one line. */
static gboolean is_of_one_line(
    struct audit *a, const char *repository, const char *commit, gboolean *newer, GError **error)
{
	*newer = a->policy_tip == NULL || walks(a, repository, a->policy_tip, commit, NULL);
	if (*newer || walks(a, repository, commit, a->policy_tip, NULL))
		return TRUE;
	error_refused(error, "the policy commits %s and %s, both of this log, are not of one line: the policy was forked",
	    a->policy_tip, commit);
	return FALSE;
}

static gboolean prove_in(
    struct audit *a, const char *repository, const char *commit, GHashTable *files, gboolean *newer, GError **error)
{
	g_autoptr(GHashTable) real = policy_files_from_commit(repository, commit, error);

	if (real == NULL)
		return FALSE;
	if (!same_files(files, real)) {
		error_refused(error, "its policy.json does not hold the files of the policy commit %s", commit);
		return FALSE;
	}
	return walks(a, repository, NULL, commit, error) && is_of_one_line(a, repository, commit, newer, error);
}

/* In the auditor's own clone of the policy repository, or, without one, in a repository made of the history that stands in the evidence:
 * it holds nothing but objects under their ids, so the root that the auditor named is all that must be believed. */
static gboolean prove(
    struct audit *a, const char *commit, GHashTable *files, GBytes *history, gboolean *newer, GError **error)
{
	g_autofree char *folder = NULL;
	gboolean good;

	if (a->options->policy_repo != NULL)
		return prove_in(a, a->options->policy_repo, commit, files, newer, error);
	if ((folder = g_dir_make_tmp("tagseal-audit-XXXXXX", error)) == NULL)
		return FALSE;
	good = policy_history_read(history, folder, error) &&
	       (a->policy_history == NULL || policy_history_read(a->policy_history, folder, error)) &&
	       prove_in(a, folder, commit, files, newer, error);
	path_remove(folder);
	return good;
}

static void judge(struct audit *a, struct audit_policy *policy, GHashTable *files, GBytes *history)
{
	g_autoptr(GError) error = NULL;
	gboolean newer = FALSE;

	policy->can_be_judged = a->options->policy_root != NULL;
	if (!policy->can_be_judged)
		return;
	if (!prove(a, policy->commit, files, history, &newer, &error)) {
		audit_error(a, "its policy", error);
		return;
	}
	if (!newer)
		return;
	g_free(a->policy_tip);
	a->policy_tip = g_strdup(policy->commit);
	g_clear_pointer(&a->policy_history, g_bytes_unref);
	a->policy_history = history != NULL ? g_bytes_ref(history) : NULL;
}

static struct audit_policy *read_policy(struct audit *a, const char *commit, GBytes *evidence, GBytes *history)
{
	g_autofree char *named = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GHashTable) files = policy_evidence_read(evidence, &named, &error);
	struct audit_policy *policy;

	if (files == NULL) {
		audit_bad(a, "its policy.json: %s", error->message);
		return NULL;
	}
	if (g_strcmp0(named, commit) != 0) {
		audit_bad(a, "its policy.json is of another commit than the record's policy");
		return NULL;
	}
	policy = g_new0(struct audit_policy, 1);
	policy->commit = g_strdup(commit);
	policy->policy = policy_load(files, &error);
	if (policy->policy == NULL)
		audit_bad(a, "its policy: %s", error->message);
	else
		judge(a, policy, files, history);
	return policy;
}

/* Known by its bytes too: the same commit with other files, or with another history, is another policy. */
static char *name_of(const char *commit, GBytes *evidence, GBytes *history)
{
	g_autofree char *files = sha256_text_bytes(evidence);
	g_autofree char *before = history != NULL ? sha256_text_bytes(history) : NULL;

	return g_strdup_printf("%s %s %s", commit, files, before != NULL ? before : "none");
}

const struct audit_policy *audit_policy_of(struct audit *a, const char *commit, GHashTable *files)
{
	GBytes *evidence = g_hash_table_lookup(files, "policy.json");
	GBytes *history = g_hash_table_lookup(files, POLICY_HISTORY);
	g_autofree char *name = NULL;
	struct audit_policy *policy;

	if (evidence == NULL) {
		audit_bad(a, "its evidence lacks policy.json, the policy that it was decided by");
		return NULL;
	}
	if (history == NULL && a->options->policy_root != NULL && a->options->policy_repo == NULL) {
		audit_bad(a, "its evidence lacks " POLICY_HISTORY ", the history of that policy from the root");
		return NULL;
	}
	name = name_of(commit, evidence, history);
	policy = g_hash_table_lookup(a->policies, name);
	if (policy == NULL) {
		if ((policy = read_policy(a, commit, evidence, history)) == NULL)
			return NULL;
		g_hash_table_insert(a->policies, g_steal_pointer(&name), policy);
	}
	if (!policy->can_be_judged)
		a->unanchored_policies++;
	return policy->policy != NULL ? policy : NULL;
}
