#include "server/gitops_role.h"

#include "gitops/policy_history.h"
#include "gitops/record.h"
#include "server/mirror_lock.h"
#include "server/names.h"
#include "server/policy_follow.h"

static gboolean follow(struct gitops *g, const char *path, const char *branch, GError **error)
{
	const struct config *config = g->role->config;
	g_autofree char *mark = config_path(config, "mirrors/policy.mark");
	g_autofree char *tip = mirror_ref_id(path, branch, error);
	struct policy_chain chain = { NULL };

	if (tip == NULL)
		return FALSE;
	if (g_strcmp0(tip, g->tip) == 0)
		return TRUE;
	if (!policy_follow(mark, path, config->policy_root, tip, &chain, error)) {
		policy_chain_clear(&chain);
		return FALSE;
	}
	if (chain.pending_refused != NULL)
		log_event("warning", "policy=%s can never be in force: %s; %s stays so", chain.pending,
		    chain.pending_refused, chain.commit);
	g_clear_pointer(&g->policy, policy_unref);
	if (g_strcmp0(g->commit, chain.commit) != 0) {
		g_clear_pointer(&g->policy_json, g_bytes_unref);
		g_clear_pointer(&g->policy_history, g_bytes_unref);
	}
	g_free(g->commit);
	g_free(g->tip);
	g->policy = policy_ref(chain.policy);
	g->commit = g_strdup(chain.commit);
	g->tip = g_steal_pointer(&tip);
	policy_chain_clear(&chain);
	return TRUE;
}

gboolean gitops_policy(struct gitops *g, gboolean fetch, GError **error)
{
	const struct config *config = g->role->config;
	g_autofree char *path = mirror_path_policy(config),
			*branch = g_strconcat("refs/heads/", config->policy_branch, NULL);
	const char *const sources[] = { branch, NULL };
	autofd int lock = mirror_lock(path, error);

	return lock >= 0 && (!fetch || gitops_fetch(g, path, config->policy_url, sources, error)) &&
	       follow(g, path, branch, error);
}

gboolean gitops_policy_evidence(struct gitops *g, GError **error)
{
	g_autofree char *mirror = mirror_path_policy(g->role->config);
	g_autoptr(GHashTable) files = NULL;

	if (g->policy_history != NULL)
		return TRUE;
	if (g->policy_json == NULL && (files = policy_files_from_commit(mirror, g->commit, error)) != NULL)
		g->policy_json = policy_evidence_write(g->commit, files);
	if (g->policy_json != NULL)
		g->policy_history = policy_history_write(mirror, g->role->config->policy_root, g->commit, error);
	return g->policy_history != NULL;
}
