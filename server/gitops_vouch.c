/* MSG_VOUCH: was what the engine fetched built from the tagged commit, by whom the policy names? Said early; judge finds it out again. */
#include "server/gitops_role.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/provenance_policy.h"
#include "server/pins.h"
#include "server/reply.h"
#include "signer/timestamp.h"

#define LIST_MAX (1024 * 1024)

static const struct policy_rule *rule_of(
    const struct gitops *g, const struct message *m, const struct policy_project **project, GError **error)
{
	const char *name = body_string(m, "project", error), *tag = name != NULL ? body_string(m, "tag", error) : NULL;
	const struct policy_rule *rule = NULL;

	if (tag == NULL)
		return NULL;
	*project = policy_project(g->policy, name);
	if (*project == NULL || !policy_match(*project, tag, &rule, NULL) || rule == NULL ||
	    rule->provenance.fetch == NULL) {
		error_refused(error, "no policy in force asks for provenance of this tag");
		return NULL;
	}
	return rule;
}

/* Names and digests; the texts live as long as the list. */
static GArray *artifacts_of(const struct json *list, GError **error)
{
	g_autoptr(GArray) artifacts = g_array_new(FALSE, TRUE, sizeof(struct provenance_artifact));

	for (guint i = 0; i < json_length(list); i++) {
		const char *name = json_string(json_at(list, i), "name"),
			   *sha256 = json_string(json_at(list, i), "sha256");
		struct provenance_artifact artifact;

		if (name == NULL || sha256 == NULL || !is_sha256_text(sha256)) {
			error_refused(error, "vouch: an artifact has no name or no digest");
			return NULL;
		}
		artifact = (struct provenance_artifact){ name, sha256 + strlen("sha256:"), NULL };
		g_array_append_val(artifacts, artifact);
	}
	return g_steal_pointer(&artifacts);
}

static gboolean vouch(struct gitops *g, const struct message *m, struct json **section, GError **error)
{
	struct provenance_question q = { .stamp_time = timestamp_proves };
	g_autoptr(GBytes) file = message_bytes(m, "provenance", PROVENANCE_MAX, error);
	g_autoptr(GBytes) bytes = file != NULL ? message_bytes(m, "artifacts.json", LIST_MAX, error) : NULL;
	autoptr(json) list = bytes != NULL ? json_parse_bytes(bytes, error) : NULL;
	g_autoptr(GArray) artifacts = list != NULL ? artifacts_of(list, error) : NULL;

	if (artifacts == NULL || !gitops_policy(g, FALSE, error) || (q.rule = rule_of(g, m, &q.project, error)) == NULL ||
	    (q.commit = body_string(m, "commit", error)) == NULL || !body_time(m, "first_seen", &q.first_seen_ms, error))
		return FALSE;
	q.policy = g->policy;
	q.artifacts = (const struct provenance_artifact *)(void *)artifacts->data;
	q.artifact_count = artifacts->len;
	return provenance_decide(file, &q, section, error);
}

void gitops_vouch(struct role_context *role, struct peer *from, struct message *m)
{
	g_autoptr(GError) error = NULL, broken = NULL;
	autoptr(json) section = NULL;
	gboolean good = vouch(role->data, m, &section, &error);
	autoptr(message) answer = message_answer(m, MSG_VOUCHED, error);
	g_autoptr(GBytes) bytes = good ? json_canonical(section) : NULL;

	if (bytes != NULL && !message_add_bytes(answer, "section.json", bytes, &broken))
		log_event("err", "%s", broken->message);
	role_answer(role, from, answer);
}
