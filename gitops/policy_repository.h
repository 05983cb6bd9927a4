/* Reading a policy repository's objects, each re-hashed. For policy_chain.c; not thread-safe. */
#pragma once

#include "gitops/object.h"
#include "gitops/policy.h"

struct policy_repository;
/* `path`: a bare repository or a working clone's folder (no search upwards, no configuration but its own). */
struct policy_repository *policy_repository_open(const char *path, GError **error);
void policy_repository_free(struct policy_repository *repository);
DEFINE_CLEANUP(policy_repository, policy_repository_free)

struct commit *policy_repository_commit(struct policy_repository *repository, const char *id, GError **error);
/* All files of the tree with that id. */
policy_files *policy_repository_files(struct policy_repository *repository, const char *tree, GError **error);
char *policy_repository_resolve(struct policy_repository *repository, const char *name, GError **error);
