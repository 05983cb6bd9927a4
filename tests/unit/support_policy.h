/*
 * A policy to test with: alice (a release manager), bob and carol (developers, carol also security) and dave, each with an
 * SSH key of this run; mallory has a key that no policy knows. Maintainers are alice, carol and dave, two of them at a time.
 */
#pragma once

#include "gitops/policy.h"
#include "tests/unit/support.h"

#define SAMPLE_POLICY "policy.toml"
#define SAMPLE_PROJECT "projects/acme-widget.toml"
#define SAMPLE_KEY "keys/release-2026.toml"

/* Makes the keys (once) and the files. */
policy_files *sample_files(void);
void sample_set(policy_files *files, const char *path, const char *text);
/* Replaces the first `from`, which must be there. */
void sample_replace(policy_files *files, const char *path, const char *from, const char *to);
/* Loads; the test fails if it is refused. Takes the files over. */
struct policy *sample_load(policy_files *files);
/* The private key's file of a person (made when first asked for); ".pub" stands beside it. Caller frees. */
char *sample_ssh_key(const char *person);

/* An object's raw bytes signed as git does with SSH: a tag's payload and armor, or a commit's payload with the gpgsig header. */
GBytes *sample_sign_tag(const char *payload, const char *person);
GBytes *sample_sign_commit(const char *payload, const char *person);
