/* A builder with a key of this run, and sample policies that have artifacts pinned by what it says. */
#pragma once

#include "gitops/policy.h"
#include "tests/unit/support.h"

/* The release rule of SAMPLE_PROJECT asks for the builder's provenance in place of what the approvals pin. */
void sample_pin_by_provenance(policy_files *files);
/* What the builder signs: that this file (its digest "sha256:…") was built from that source and commit. */
GBytes *sample_provenance(const char *source, const char *commit, const char *name, const char *sha256);
