/*
 * One commit of the log as bytes: its message, which people and `git log --format='%(trailers)'` read, and its signature.
 */
#pragma once

#include <git2.h>

#include "gitops/ledger.h"

struct ledger_line { /* one document of the commit */
	const struct json *document;
	const char *sha256;
};
/* Subject and trailers. Caller frees. */
char *ledger_message(const struct ledger_line *lines, guint count);

struct ledger_draft {
	const git_oid *tree, *parent; /* parent NULL: the first */
	const char *principal, *message;
	gint64 seconds;
};
/* The signed commit's bytes. `sign` is asked for the signature over what it would be without one. */
GBytes *ledger_commit(const struct ledger_draft *draft, ledger_sign sign, void *data, GError **error);
