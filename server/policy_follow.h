/* The policy's high-water mark: a file with the newest commit ever found in force, so that nobody who follows the policy goes back behind it. */
#pragma once

#include "gitops/policy.h"

/*
 * policy_verify() from the commit that stands in `mark_path` (none yet: from `root`) to `tip`; then the mark moves, durably. It costs only what is
 * new: below the mark nothing is read, unless another root is pinned than when it was written. A mark that cannot be read is an error: starting
 * from the root again would let an old policy back in.
 */
gboolean policy_follow(const char *mark_path, const char *mirror, const char *root, const char *tip,
    struct policy_chain *chain, GError **error);
