/*
 * The audit repository's writer. One process at a time (a lock file in the repository); the ledger role alone
 * calls it.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"

struct ledger;

/* SSH-signs `payload` (namespace git) with the ledger's key and returns the armor, without a final LF. */
typedef GBytes *(*ledger_sign)(void *data, GBytes *payload, GError **error);

/*
 * Opens the bare repository at `path`, or makes it (first commit: README.md, allowed_signers, configuration
 * that git needs). `principal` is the name in allowed_signers and the committer's address; `public_key` its
 * "ssh-… AAAA…" line. Rebuilds its index of ids from the tree.
 */
struct ledger *ledger_open(
    const char *path, const char *principal, const char *public_key, ledger_sign sign, void *data, GError **error);
void ledger_free(struct ledger *ledger);
DEFINE_CLEANUP(ledger, ledger_free)

struct ledger_file {
	char *name; /* below evidence/NN/NN/NN/: [a-z0-9][a-z0-9._-]*, no path */
	GBytes *data;
};
struct ledger_entry {
	struct json *document; /* record or event; the ledger adds "previous", "sequence" and "evidence" (name -> digest) to a copy */
	struct ledger_file *files;
	guint file_count;
	/* answers */
	gint64 sequence;
	char *sha256, *commit; /* of the document as committed; the commit it stands in */
};
/*
 * All entries in one commit (above a hundred: several): one pack, fsync, one ref update by compare-and-swap. An entry whose id already
 * stands in the log is not written again; its answers are those of then (so asking twice is safe). MOVED if
 * somebody else moved the ref; UNAVAILABLE if the disk or the key is away.
 */
gboolean ledger_append(struct ledger *ledger, struct ledger_entry *entries, guint count, GError **error);
void ledger_entry_clear(struct ledger_entry *entry);
/* Pushes main to a remote (git's own transports through mirror.c's set-up; file, ssh, https). UNAVAILABLE, or
 * REFUSED if it is not a fast-forward there. */
gboolean ledger_push(struct ledger *ledger, const char *url, const void *mirror_limits, GError **error);
const char *ledger_path(const struct ledger *ledger);
const char *ledger_tip(const struct ledger *ledger);
/* Digest of the newest record of that project, or NULL. */
const char *ledger_previous(const struct ledger *ledger, const char *project);
