/* What a rule says of its artifacts' digests and of its key's files: asked by gitops, and once more by judge. */
#pragma once

#include "gitops/decide.h"

#define PROVENANCE_MAX (4 * 1024 * 1024) /* bytes of a provenance file */

/*
 * The digest that all whom the rule names pin for the artifact `name`; NULL without error if none of them is there to ask yet. REFUSED when one of them does not
 * pin it, or when two differ. `by` gets the first who vouches. `approval` may be NULL: not decided yet; `proven` too: no provenance was looked at yet,
 * and then it neither pins nor is missed. It is name -> digest, of what provenance was found to vouch for.
 */
gboolean pin_of(const struct policy_rule *rule, const struct source_decision *source,
    const struct approval_decision *approval, GHashTable *proven, const char *name, const char **sha256,
    const char **by, GError **error);

/* The file of the policy that a key's signatures are checked with: its PEM chain, or its OpenPGP key. NULL if it has none. Borrowed; *path (may be NULL) is the caller's. */
GBytes *key_file(const struct policy *policy, const struct policy_key *key, gboolean openpgp, char **path);
