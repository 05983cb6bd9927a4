/* Reads a whole policy version from one text: "=== PATH" begins a file. What is taken must be usable; what is refused says why. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitops/policy.h"
#include "gitops/policy_rights.h"

static policy_files *split(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	g_auto(GStrv) parts = g_strsplit(text, "=== ", -1);
	policy_files *files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);

	for (guint i = 1; parts[0] != NULL && parts[i] != NULL; i++) {
		size_t name = strcspn(parts[i], "\n");
		const char *body = parts[i] + name + (parts[i][name] == '\n');

		g_hash_table_insert(files, g_strndup(parts[i], name), g_bytes_new(body, strlen(body)));
	}
	return files;
}

static void use(const struct policy *policy)
{
	if (policy_threshold(policy) < 1 ||
	    policy_threshold(policy) > (int64_t)g_strv_length((char **)policy_maintainers(policy)))
		abort();
	for (guint i = 0; i < policy_project_count(policy); i++) {
		const struct policy_project *project = policy_project_at(policy, i);
		const struct policy_rule *rule;

		policy_match(project, "v1.2.0", &rule, NULL);
		for (guint j = 0; j < project->rule_count; j++) {
			if (policy_key(policy, project->rules[j].key) == NULL || project->rules[j].pinned_by[0] == NULL)
				abort();
			for (guint k = 0; k < project->rules[j].artifact_count; k++) {
				g_autofree char *name = policy_expand(
				    project->rules[j].artifacts[k].name, project->name, "v1", "c0ffee", NULL);

				if (name == NULL)
					abort();
			}
		}
	}
}

/* A policy is refused if and only if there is a mistake to be told, and gives nobody a right over itself. */
static void compare(const struct policy *policy, policy_files *files)
{
	g_autoptr(GPtrArray) mistakes = policy_mistakes(files, NULL);
	const char *const *names = policy != NULL ? people_names(policy_people(policy)) : NULL;

	if (mistakes == NULL || (policy == NULL) != (mistakes->len > 0))
		abort();
	for (guint i = 0; names != NULL && names[i] != NULL; i++)
		if (policy_widens(policy, policy, names[i]) != NULL)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	policy_files *files = split(data, size);
	g_autoptr(GError) error = NULL;
	autoptr(policy) policy = policy_load(files, &error);

	compare(policy, files);
	g_hash_table_unref(files);
	if ((policy == NULL) != (error != NULL))
		abort();
	if (policy != NULL)
		use(policy);
	return 0;
}
