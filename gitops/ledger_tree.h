/*
 * The audit repository's tree, held in memory where it is open for writing: only the folders on the path last touched are
 * loaded, so that a commit costs the same whatever the log's length.
 */
#pragma once

#include <git2.h>
#include <glib.h>

#include "gitops/pack.h"

struct tree;
/* Of the tree with that id, or an empty one (NULL). The repository must outlive it. */
struct tree *tree_open(git_repository *repository, const git_oid *id, GError **error);
void tree_free(struct tree *tree);
DEFINE_CLEANUP(tree, tree_free)
/* Enters a file ("records/00/12/34-ID.json"), making the folders above it. REFUSED if something stands there already: the log only
 * grows. */
gboolean tree_put(struct tree *tree, const char *path, const git_oid *blob, GError **error);
/* Adds all changed folders to the pack and tells the root's id; then lets go of the folders that the last tree_put() did not touch. */
gboolean tree_write(struct tree *tree, struct pack *pack, git_oid *id, GError **error);

/* "00/12/34" of 1234: six digits or more, in pairs. Caller frees. */
char *sequence_path(gint64 sequence);
