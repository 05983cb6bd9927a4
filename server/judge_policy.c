#include "server/judge.h"
#include "server/names.h"
#include "server/policy_follow.h"

void judge_policy_clear(struct judge_policy *p)
{
	g_clear_pointer(&p->commit, g_free);
	g_clear_pointer(&p->tip, g_free);
	g_clear_pointer(&p->proved, g_free);
	g_clear_pointer(&p->policy, policy_unref);
}

gboolean judge_policy_refresh(struct judge_policy *p, const struct config *config, GError **error)
{
	g_autofree char *mirror = mirror_path_policy(config), *mark = config_path(config, "judge/policy.mark");
	g_autofree char *branch = g_strconcat("refs/heads/", config->policy_branch, NULL);
	g_autofree char *tip = mirror_ref_id(mirror, branch, error);
	struct policy_chain chain = { NULL };

	if (tip == NULL)
		return FALSE;
	if (g_strcmp0(tip, p->tip) == 0)
		return TRUE;
	if (!policy_follow(mark, mirror, config->policy_root, tip, &chain, error)) {
		policy_chain_clear(&chain);
		return FALSE;
	}
	judge_policy_clear(p);
	p->commit = g_strdup(chain.commit);
	p->policy = policy_ref(chain.policy);
	p->tip = g_steal_pointer(&tip);
	policy_chain_clear(&chain);
	return TRUE;
}
