/*
 * The policy that a record was decided by: read from the evidence, and proven to have been in force by its history from the auditor's
 * root. Policies move only forward: a record decided by an older one than the record before it is a finding.
 */
#include "gitops/audit_private.h"
#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
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

/* From the root, through the newest one so far, to this commit: in force if the walk says that it is the newest that is. */
static gboolean prove(struct audit *a, const char *commit, GHashTable *files, GError **error)
{
	struct policy_chain chain = { NULL };
	g_autoptr(GHashTable) real = policy_files_from_commit(a->options->policy_repo, commit, error);
	gboolean good;

	if (real == NULL)
		return FALSE;
	if (!same_files(files, real)) {
		error_refused(error, "its policy.json does not hold the files of the policy commit %s", commit);
		return FALSE;
	}
	if (!policy_verify(
		a->options->policy_repo, a->options->policy_root, a->policy_tip, commit, NULL, NULL, &chain, error))
		return FALSE;
	good = g_strcmp0(chain.commit, commit) == 0;
	if (!good)
		error_refused(error, "the policy commit %s was not in force", commit);
	policy_chain_clear(&chain);
	return good;
}

static void judge(struct audit *a, struct audit_policy *policy, GHashTable *files)
{
	g_autoptr(GError) error = NULL;

	if (a->options->policy_root == NULL || a->options->policy_repo == NULL)
		return;
	policy->in_force = prove(a, policy->commit, files, &error);
	if (!policy->in_force) {
		audit_error(a, "its policy", error);
		return;
	}
	g_free(a->policy_tip);
	a->policy_tip = g_strdup(policy->commit);
}

static struct audit_policy *read_policy(struct audit *a, const char *commit, GBytes *evidence)
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
		judge(a, policy, files);
	return policy;
}

const struct audit_policy *audit_policy_of(struct audit *a, const char *commit, GHashTable *files)
{
	GBytes *evidence = g_hash_table_lookup(files, "policy.json");
	g_autofree char *name = NULL;
	struct audit_policy *policy;
	g_autofree char *sha256 = NULL;

	if (evidence == NULL) {
		audit_bad(a, "its evidence lacks policy.json, the policy that it was decided by");
		return NULL;
	}
	/* Known by its bytes too: the same commit with other files is another policy. */
	sha256 = sha256_text_bytes(evidence);
	name = g_strdup_printf("%s %s", commit, sha256);
	policy = g_hash_table_lookup(a->policies, name);
	if (policy == NULL) {
		if ((policy = read_policy(a, commit, evidence)) == NULL)
			return NULL;
		g_hash_table_insert(a->policies, g_steal_pointer(&name), policy);
	}
	if (!policy->in_force && (a->options->policy_root == NULL || a->options->policy_repo == NULL))
		a->unanchored_policies++;
	return policy->policy != NULL ? policy : NULL;
}
