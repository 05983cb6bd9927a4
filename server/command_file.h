/* Files that commands are given and make. */
#pragma once

#include <glib.h>

#include "gitops/base/error.h"

/* A regular file, open for reading (a pipe cannot be read twice); -1 with error. Caller closes. */
int command_open(const char *path, GError **error);
/*
 * A new file, written beside `path` under a temporary name: nothing stands at `path` until it is whole. Caller frees with
 * command_output_free(), which removes what was not committed.
 * USAGE: `path` is the input `in` by another name, or no file.
 */
struct command_output {
	int fd;
	char *path, *temporary;
};
struct command_output *command_output_new(const char *path, int in, GError **error);
/* Gives it the mode bits of `like` (a descriptor), syncs, renames. */
gboolean command_output_commit(struct command_output *output, int like, GError **error);
void command_output_free(struct command_output *output); /* NULL is fine */
DEFINE_CLEANUP(command_output, command_output_free)
