/* budget.projects of a key: how many projects may have a policy that uses it. */
#include "gitops/policy_private.h"

static gboolean uses(const struct policy_project *project, const struct policy_key *key)
{
	for (guint i = 0; i < project->rule_count; i++)
		if (g_str_equal(project->rules[i].key, key->name))
			return TRUE;
	return FALSE;
}

guint policy_key_projects(const struct policy *policy, const struct policy_key *key, char **names)
{
	g_autoptr(GStrvBuilder) found = g_strv_builder_new();
	g_auto(GStrv) list = NULL;

	for (guint i = 0; i < policy->projects->len; i++) {
		const struct policy_project *project = policy->projects->pdata[i];

		if (uses(project, key))
			g_strv_builder_add(found, project->name);
	}
	list = g_strv_builder_end(found);
	if (names != NULL)
		*names = g_strjoinv(", ", list);
	return g_strv_length(list);
}

gboolean policy_check_budgets(const struct policy *policy, GError **error)
{
	for (guint i = 0; i < policy->keys->len; i++) {
		const struct policy_key *key = policy->keys->pdata[i];
		g_autofree char *names = NULL;
		guint count = policy_key_projects(policy, key, &names);

		if (key->budget_projects == 0 || count <= key->budget_projects)
			continue;
		error_refused(error,
		    "%s:%u: the key \"%s\" has a budget of %" G_GINT64_FORMAT
		    " project%s, and %u use it: %s; give one of them a key of its own",
		    key->file, key->budget_line, key->name, key->budget_projects, key->budget_projects == 1 ? "" : "s",
		    count, names);
		return FALSE;
	}
	return TRUE;
}
