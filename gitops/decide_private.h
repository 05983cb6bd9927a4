/* What source.c, approval.c and quorum.c share. */
#pragma once

#include "gitops/decide.h"
#include "gitops/object.h"

enum approval_word { WORD_APPROVE = 1, WORD_DENY = 2, WORD_WITHDRAW = 4 };

/* An approval, denial or withdrawal as it was read; nothing is verified. Texts are borrowed from `trailers`. */
struct approval {
	enum approval_word word;
	const char *tag, *withdrawn; /* of Tagseal-Approve or -Deny; of Tagseal-Withdraw */
	const char *tag_object, *tree, *project, *policy, *reason, *range; /* NULL where absent */
	GHashTable *artifacts; /* name -> "sha256:…" */
	struct commit *commit;
	GPtrArray *trailers;
};
struct approval *approval_read(GBytes *raw, GError **error);
void approval_free(struct approval *approval);
DEFINE_CLEANUP(approval, approval_free)

struct approval_names { /* of the release that is to be approved; tree may be NULL */
	const char *project, *tag, *tag_object, *tree, *policy;
};
/* Refused unless it names exactly this release. Sentences begin with "it …". */
gboolean approval_check_names(const struct approval *approval, const struct approval_names *names, GError **error);

/* The names that a rule's artifacts have in this release (a set). Refused where two are the same or one is no
 * plain file name. */
GHashTable *decide_artifact_names(const struct policy_project *project, const struct policy_rule *rule, const char *tag,
    const char *commit, GError **error);
gboolean decide_pinned_by(const struct policy_rule *rule, const char *who);
