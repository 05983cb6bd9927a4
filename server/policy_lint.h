/* What in a good policy is probably not meant: told by `tagseal policy check`, and never a reason to refuse it. */
#pragma once

#include "gitops/policy.h"

/*
 * One sentence each (GStrv, caller frees), in the order of the files:
 * - policy.toml: a threshold that the maintainers who have a key cannot reach;
 * - people/: a person without a key; an OpenPGP key that is over, or ends within 30 days;
 * - keys/: one that no policy uses; a certificate that is over, not yet valid, or ends within 30 days; a chain in which one is not signed by the
 *   next; a budget that is nearly used up; a private key among the files;
 * - projects/: a pattern that matches no tag or branch, or one tag alone; a pattern that stands in two policies; a quorum that cannot be met for the
 *   tags of some tagger, with the keys that count.
 */
char **policy_lint(const struct policy *policy, int64_t now_ms);
