/*
 * What counts as a right: a change of the policy that widens the rights of one of its own signers needs a further maintainer.
 *
 * A change widens a signer's rights if it gives that person
 *   - a group; a key, subkey or certificate authority; a revocation taken back or moved to later; another line in `ssh` (its comment aside), for
 *     options are rights; an `x509` entry, or the roots that it names with other bytes;
 *   - a lower `threshold` in policy.toml (this gives it to every signer);
 *   - in a project, new or old, the place of a tagger or approver of a policy of that name, or a place in one quorum line more;
 * or if it weakens a policy in which the person tags or approves:
 *   - `tags` or `branches` with a pattern more, `branches` left out, `not_tags` with one less, another `source`;
 *   - a quorum line gone, with a lower count, or open to a name more; `self_approval` on, `hardware_keys` off, a longer `approve_within`;
 *   - `commits` no longer "signed", a voucher less in `pinned_by`, `moved_tags` allowed, `resign` on, `timestamp` or `scan` off;
 *   - in [policy.provenance] a builder more, other keys, roots (or bytes of them), identities, issuer or source;
 *   - an artifact more, another type of one, or a format more that it is signed in;
 *   - another key, or its key's file: another `label` or purpose, less in `require`, more in `budget`, more `modules`.
 * Patterns and quorum lines are compared as they stand, so that a rewording which means the same counts as well: it costs one signature more,
 * never one too few. What a change gives to others, or takes away, is no right of the signer. A certificate renewed under the same label is none.
 */
#pragma once

#include "gitops/policy.h"

/* The first of the above that holds, as words for people ("… turns self_approval on"): caller frees. NULL: nothing is widened. */
char *policy_widens(const struct policy *before, const struct policy *now, const char *person);
