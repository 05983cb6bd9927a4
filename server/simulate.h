/* `tagseal policy simulate`: a past release decided again, once by the policy of its day and once by another. */
#pragma once

#include "gitops/replay.h"

struct simulated {
	const char *was,
	    *now; /* "approved", "waiting", "denied", "expired", "rejected", "ignored" (no policy is for it) */
	char *was_reason, *now_reason; /* where approved: the policy and the key */
	gboolean changed;
	char *undecided; /* why it cannot be told under the new policy: no evidence says; else NULL */
};
void simulated_clear(struct simulated *s);

/*
 * Both answers come from the evidence, so that what no evidence shows (a tag that had moved, a scan) is the same on both sides and makes no
 * difference; what the new policy newly asks of the source repository (branches, signed commits) leaves it undecided. FALSE: the record could
 * not be replayed at all. A record whose tag was never read has nothing to decide: both "rejected".
 */
gboolean simulate(const struct json *record, GHashTable *files, const struct policy *before, const struct policy *now,
    struct simulated *s, GError **error);
