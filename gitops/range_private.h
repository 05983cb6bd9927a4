/* What the parts of the range report share. */
#pragma once

#include "gitops/objects.h"
#include "gitops/range.h"

/* ---- range_commit.c: the little that any commit tells, also one that our strict parser refuses */
struct commit_head {
	char *tree;
	char **parents; /* ids; what git itself takes for them */
	int64_t time; /* the committer's, in seconds; 0 if it does not read */
};
void commit_head_free(struct commit_head *head);
DEFINE_CLEANUP(commit_head, commit_head_free)
/* REFUSED where the bytes do not begin as a commit does. */
struct commit_head *commit_head_read(GBytes *raw, const char *id, GError **error);
/* A row of "commits". */
struct json *commit_describe(GBytes *raw, const char *id, const struct commit_head *head);

/* ---- range_walk.c: which commits these are */
struct node {
	char *id;
	struct commit_head *head;
	GBytes *raw; /* NULL once known to be below the base */
	gboolean released; /* the base, or reachable from it */
	gboolean popped;
	guint children; /* in the range, for the order */
};
struct walk {
	struct objects *objects;
	GHashTable *nodes; /* id -> struct node */
	GSequence *queue; /* struct node, newest first */
	guint open; /* in the queue, and not released */
	guint taken; /* popped, and not released */
	size_t bytes; /* of these */
	gboolean cut;
};
void walk_clear(struct walk *walk);
/* `base` may be NULL. */
gboolean walk_run(struct walk *walk, const char *base, const char *commit, GError **error);
/* Those of the range, in the report's order: of struct node, borrowed. */
GPtrArray *walk_commits(const struct walk *walk);
/* Below the base, on the way from it to parents of the range: of struct node, borrowed. */
GPtrArray *walk_links(const struct walk *walk, const char *base, const GPtrArray *commits);

/* ---- range_tree.c: what changed between two trees (`old` NULL: the empty one). Fills "changes", "submodules" and "gitmodules"; what was cut is added to `cut`. */
gboolean range_changes(
    struct objects *objects, const char *old, const char *new, struct json *report, struct json *cut, GError **error);
