/* Provenance as a rule of the policy demands it: asked by the gitops role, by judge, and by `tagseal audit`. */
#pragma once

#include "gitops/policy.h"
#include "gitops/provenance.h"

/* As in dsse_trust; `stamp_data` is the PEM of the rule's timestamp_roots. */
typedef gboolean (*stamp_time_fn)(
    GBytes *stamp, GBytes *signature, const void *stamp_data, int64_t *at_ms, GError **error);

struct provenance_question {
	const struct policy *policy;
	const struct policy_project *project;
	const struct policy_rule *rule; /* whose pinned_by names "provenance" */
	const char *commit; /* the tagged one */
	int64_t first_seen_ms; /* of the file: certificates must be good then, where no stamp says otherwise */
	stamp_time_fn stamp_time; /* or NULL: the caller cannot tell, and stamps do not count */
	const struct provenance_artifact *artifacts;
	guint artifact_count;
};
/* FALSE with REFUSED: the sentence names the rule. `section` as provenance_verify()'s, with "first_seen"; may be NULL. */
gboolean provenance_decide(
    GBytes *file, const struct provenance_question *question, struct json **section, GError **error);
