/*
 * Packs of our own making, for the ledger's group commit: whole objects, none as a delta, zlib level 1, with their index
 * (version 2). One pack a commit costs a few fsyncs, where loose objects cost two a file. gitformat-pack(5)
 *
 * libgit2's own writers do not serve: git_mempack_dump() walks the whole tree, git_odb_write() probes every pack.
 */
#pragma once

#include <git2.h>
#include <glib.h>

#include "gitops/base/error.h"

struct pack;
struct pack *pack_new(void);
void pack_free(struct pack *pack);
DEFINE_CLEANUP(pack, pack_free)
/* Adds an object (once: the same bytes again change nothing) and tells its id. At most 1 GiB. */
gboolean pack_add(struct pack *pack, git_object_t type, const void *data, size_t size, git_oid *id, GError **error);
guint pack_count(const struct pack *pack);
/* The whole file, for packs that travel; nothing can be added after that. Caller unrefs. */
GBytes *pack_finish(struct pack *pack);
/*
 * Writes it durably into `folder` (REPOSITORY/objects/pack): pack, then index, then the folder, each fsynced before the
 * next. A crash leaves at most a temporary file or a pack that nothing names. UNAVAILABLE if the disk refuses.
 */
gboolean pack_write(struct pack *pack, const char *folder, GError **error);

/*
 * Keeps the number of packs in the folder below `most`: the smaller ones are joined by copying their objects, in steps
 * that at least double a pack's size, so that an object is copied a logarithmic number of times. Only packs of our own
 * making (no deltas) are touched. The joined pack is durable before the others go. `merged`: open handles should be opened anew.
 */
gboolean pack_merge(const char *folder, guint most, gboolean *merged, GError **error);
/* Removes what a crash left unfinished. */
void pack_sweep(const char *folder);
