#include "server/pins.h"

#include "gitops/base/error.h"

static gboolean lists(char **words, const char *word)
{
	return words != NULL && g_strv_contains((const char *const *)words, word);
}

/* One who may pin: those whom the rule names must, and whoever does must agree with the others. */
static gboolean take(const struct policy_rule *rule, GHashTable *pinned, const char *who, const char *name,
    const char **sha256, const char **by, GError **error)
{
	const char *digest = pinned != NULL ? g_hash_table_lookup(pinned, name) : NULL;

	if (digest == NULL && lists(rule->pinned_by, who) && g_str_equal(who, "provenance")) {
		error_refused(error, "the rule \"%s\" wants provenance to vouch for %s, and none was shown that does",
		    rule->name, name);
		return FALSE;
	}
	if (digest == NULL && lists(rule->pinned_by, who)) {
		error_refused(
		    error, "the rule \"%s\" wants the digest of %s to be pinned by the %s (Tagseal-Artifact: sha256:… %s), and it is not",
		    rule->name, name, who, name);
		return FALSE;
	}
	if (digest != NULL && *sha256 != NULL && !g_str_equal(digest, *sha256)) {
		error_refused(error, "the tag, the approvals and the provenance pin different digests for %s", name);
		return FALSE;
	}
	if (digest != NULL && lists(rule->pinned_by, who) && *by == NULL)
		*by = who;
	if (digest != NULL)
		*sha256 = digest;
	return TRUE;
}

gboolean pin_of(const struct policy_rule *rule, const struct source_decision *source,
    const struct approval_decision *approval, GHashTable *proven, const char *name, const char **sha256,
    const char **by, GError **error)
{
	*sha256 = *by = NULL;
	if (!take(rule, source->pinned, "tag", name, sha256, by, error) ||
	    (approval != NULL && !take(rule, approval->pinned, "approval", name, sha256, by, error)) ||
	    (proven != NULL && !take(rule, proven, "provenance", name, sha256, by, error)))
		return FALSE;
	/* Until the approvals are there, a digest of the tag alone does not settle a rule that asks for theirs. */
	if (*by == NULL || (approval == NULL && lists(rule->pinned_by, "approval")))
		*sha256 = *by = NULL;
	return TRUE;
}

GBytes *key_file(const struct policy *policy, const struct policy_key *key, gboolean openpgp, char **path)
{
	const char *name = openpgp ? key->openpgp : key->chain;
	g_autofree char *folder = g_path_get_dirname(key->file);
	g_autofree char *full = name != NULL ? g_build_filename(folder, name, NULL) : NULL;
	GBytes *file = full != NULL ? policy_file(policy, full) : NULL;

	if (path != NULL)
		*path = g_steal_pointer(&full);
	return file;
}
