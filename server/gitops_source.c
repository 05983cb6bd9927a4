#include "server/gitops_role.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "server/deadline.h"
#include "server/names.h"

#define SLACK_MS 15000 /* at most: a fetch ends at its own deadline, and the names are set after that */

void gitops_source_clear(struct gitops_source *s)
{
	g_clear_pointer(&s->path, g_free);
	g_clear_pointer(&s->approvals_path, g_free);
}

/* The fetch has a deadline of its own, but not all of libgit2 asks for it: ssh, and reading a repository of this machine, may hang for ever. */
gboolean gitops_fetch(struct gitops *g, const char *path, const char *url, const char *const *sources, GError **error)
{
	static char sentence[512];
	g_autofree char *shown = text_escape(url, -1, 300);
	g_autoptr(GPtrArray) refs = NULL;
	gboolean done;

	g_snprintf(sentence, sizeof(sentence),
	    "role=gitops level=err the fetch of %s did not end at its deadline: ending, to be started again", shown);
	deadline_begin(g->limits.deadline_ms + MIN(g->limits.deadline_ms, SLACK_MS), sentence);
	done = mirror_fetch(path, url, sources, &g->limits, &refs, error);
	deadline_end();
	return done;
}

/* What a glob's matches all begin with, as a refspec's source: a little more than is needed may come, and nothing less. */
static void add_source(GStrvBuilder *sources, const char *folder, const char *glob)
{
	size_t plain = strcspn(glob, "*?[\\");
	g_autofree char *source = g_strdup_printf("%s%.*s%s", folder, (int)plain, glob, glob[plain] != '\0' ? "*" : "");

	g_strv_builder_add(sources, source);
}

/* Tags that no rule matches and branches that no rule names are none of our business: they are not even brought here. */
static char **wanted(const struct policy_project *project)
{
	g_autoptr(GStrvBuilder) sources = g_strv_builder_new();

	for (guint i = 0; i < project->rule_count; i++) {
		const struct policy_rule *rule = &project->rules[i];

		for (char **tag = rule->tags; tag != NULL && *tag != NULL; tag++)
			add_source(sources, "refs/tags/", *tag);
		for (char **branch = rule->branches; branch != NULL && *branch != NULL; branch++)
			add_source(sources, "refs/heads/", *branch);
	}
	if (project->approvals_url == NULL)
		g_strv_builder_add(sources, project->approvals_ref);
	return g_strv_builder_end(sources);
}

gboolean gitops_source_open(
    struct gitops *g, const struct policy_project *project, gboolean fetch, struct gitops_source *s, GError **error)
{
	g_auto(GStrv) sources = wanted(project);
	const char *const one[] = { project->approvals_ref, NULL };
	gboolean own = project->approvals_url != NULL;

	s->path = mirror_path_project(g->role->config, project->name, FALSE);
	s->approvals_path = mirror_path_project(g->role->config, project->name, own);
	return !fetch || (gitops_fetch(g, s->path, project->source, (const char *const *)sources, error) &&
			     (!own || gitops_fetch(g, s->approvals_path, project->approvals_url, one, error)));
}
