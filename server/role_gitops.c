/* gitops: fetches other people's repositories and says what the policy makes of them. What it says starts work; no key is used on its word alone. */
#include "gitops/base/error.h"
#include "server/gitops_role.h"
#include "server/names.h"

static const struct role_verb verbs[] = {
	{ MSG_LOOK, gitops_look },
	{ MSG_DECIDE, gitops_decide },
	{ MSG_VOUCH, gitops_vouch },
	{ 0, NULL },
};

int role_gitops(struct role_context *role)
{
	g_autoptr(GError) error = NULL;
	struct gitops g = { .role = role };
	int status;

	role->data = &g;
	if (!mirror_init(&error) || !mirror_password_read(role->config, &g.password, &error)) {
		log_event("err", "%s", error->message);
		return ROLE_EXIT_CONFIGURATION;
	}
	mirror_limits_fill(role->config, g.password, &g.limits);
	role_greet(role);
	status = role_serve(role, verbs);
	g_clear_pointer(&g.policy, policy_unref);
	g_clear_pointer(&g.policy_json, g_bytes_unref);
	g_clear_pointer(&g.policy_history, g_bytes_unref);
	g_clear_pointer(&g.ranges, g_hash_table_unref);
	g_clear_pointer(&g.approvals, g_hash_table_unref);
	g_free(g.commit);
	g_free(g.tip);
	mirror_password_free(g.password);
	return status;
}
