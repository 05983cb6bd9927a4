/*
 * The content of a commit's tree by SHA-256, so that nothing rests on git's SHA-1 alone. Text, one line a file, by path in the order of its bytes:
 *
 *   100644 blob sha256:… 1234 src/main.c          a file, or (120000) a link: digest and size of its content, the text of the link
 *   160000 commit 5f2ab3… - lib/parser            a submodule: the commit, by the id that its own repository gives it
 *
 * Modes as six octal digits, paths as path_text() writes them. The record's `source.tree_sha256` is the SHA-256 of these lines; whoever has the files can make
 * them again (`tagseal manifest`).
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#define MANIFEST_ENTRIES_MAX 500000
#define MANIFEST_BLOB_MAX ((size_t)1 << 30) /* of one file, which git reads whole */
#define MANIFEST_BYTES_MAX (UINT64_C(16) << 30) /* of all files */

/* Reads every blob. TOO_LARGE above a limit, with the file's name; REFUSED for a damaged object or a malformed tree. */
GBytes *manifest_make(const char *path, const char *commit, GError **error);
