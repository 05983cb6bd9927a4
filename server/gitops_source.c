#include "server/gitops_role.h"

#include "server/names.h"

void gitops_source_clear(struct gitops_source *s)
{
	g_clear_pointer(&s->path, g_free);
	g_clear_pointer(&s->approvals_path, g_free);
}

static gboolean fetch_mirror(
    struct gitops *g, const char *path, const char *url, const char *const *sources, GError **error)
{
	g_autoptr(GPtrArray) refs = NULL;

	return mirror_fetch(path, url, sources, &g->limits, &refs, error);
}

gboolean gitops_source_open(
    struct gitops *g, const struct policy_project *project, gboolean fetch, struct gitops_source *s, GError **error)
{
	/* A ref for approvals that is no branch must be named to be fetched. */
	const char *const all[] = { "refs/tags/*", "refs/heads/*", project->approvals_ref, NULL };
	const char *const one[] = { project->approvals_ref, NULL };
	gboolean own = project->approvals_url != NULL;

	s->path = mirror_path_project(g->role->config, project->name, FALSE);
	s->approvals_path = mirror_path_project(g->role->config, project->name, own);
	return !fetch || (fetch_mirror(g, s->path, project->source, all, error) &&
			     (!own || fetch_mirror(g, s->approvals_path, project->approvals_url, one, error)));
}
