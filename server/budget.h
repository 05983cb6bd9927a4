/*
 * A key's budget: `budget = { projects, signatures, days }` warns at 80 % and blocks at 100 %.
 *
 * - projects: projects with a policy that uses the key. A policy version with more is refused when it is loaded (policy_load()), and so nothing
 *   here blocks; what is warned of is a budget of several that is nearly given out. One project of one is what most keys are for.
 * - signatures: uses of the private key, counted by its journal and blocked by judge_use_key().
 * - days: the age of the key's certificate, from the notBefore of the first one in `chain`, or, where there is none, from the creation time that the
 *   OpenPGP key states. It counts from when the key could first be used, not from when it was: a key that lay about is no younger for it.
 */
#pragma once

#include "gitops/policy.h"

/* REFUSED: the key's days are over. So is a key whose beginning cannot be read, if it has such a budget. */
gboolean budget_check_days(const struct policy *policy, const struct policy_key *key, int64_t now_ms, GError **error);
/* A sentence for each part of the budget of which 80 % are used (GStrv, caller frees). `used`: signatures so far; < 0: not known. */
char **budget_warnings(const struct policy *policy, const struct policy_key *key, int64_t used, int64_t now_ms);
