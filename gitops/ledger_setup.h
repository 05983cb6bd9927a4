/*
 * What the audit repository is made of before its first record: git's settings, and the two files that tell an auditor how to check
 * the rest with nothing but git and ssh-keygen.
 */
#pragma once

#include <git2.h>
#include <glib.h>

/* A folder that is there, holds something, and is no repository (nor one that was begun), is not ours to fill. */
gboolean ledger_folder_fits(const char *path, GError **error);
/* Opens the bare repository, or makes it. */
git_repository *ledger_repository(const char *path, GError **error);
/* The first commit's files. Caller frees. */
char *ledger_readme(const char *principal);
char *ledger_allowed_signers(const char *principal, const char *public_key);
