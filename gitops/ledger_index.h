/*
 * What the ledger must know of all that stands in the log: ids, sequence numbers, and each project's newest record. Rebuilt from the
 * tree; a file beside the repository saves reading every record again, and is believed only as far as the tree confirms it.
 */
#pragma once

#include <git2.h>
#include <glib.h>

struct ledger_index {
	GHashTable *ids; /* id -> sequence, as pointer */
	GHashTable *projects; /* name -> struct ledger_newest */
	gint64 last; /* sequence; 0: none */
	char *last_id;
};
struct ledger_newest {
	gint64 sequence;
	char *sha256;
};
void ledger_index_clear(struct ledger_index *index);
/* `tree` NULL: an empty log. */
gboolean ledger_index_load(
    struct ledger_index *index, git_repository *repository, const git_oid *tree, const char *cache, GError **error);
/* `project` NULL: an event. */
void ledger_index_add(
    struct ledger_index *index, const char *id, gint64 sequence, const char *project, const char *sha256);
gboolean ledger_index_save(const struct ledger_index *index, const char *cache, GError **error);
