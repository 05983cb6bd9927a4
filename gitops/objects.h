/*
 * A repository held open for many reads, and trees as their raw bytes say them. Each object's bytes are hashed again and must have the id that was asked for
 * (by libgit2's collision-detecting SHA-1).
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/cleanup.h"

struct objects;
/* A bare repository, or a working clone. UNKNOWN when it cannot be opened. */
struct objects *objects_open(const char *path, GError **error);
void objects_close(struct objects *objects);
DEFINE_CLEANUP(objects, objects_close)

/* The commit that a name, id or tag of the repository stands for. Caller frees; NOT_FOUND. */
char *objects_resolve(struct objects *objects, const char *name, GError **error);
/* Raw object of that id and type ("commit", "tree", "blob"), at most `max` bytes. NOT_FOUND, TOO_LARGE; REFUSED where its bytes are not what its id says. */
GBytes *objects_read(struct objects *objects, const char *id, const char *type, size_t max, GError **error);
/* Is `ancestor` the commit itself, or does it descend from it? An id that is not there, or is no commit, is none. */
gboolean objects_descends(
    struct objects *objects, const char *commit, const char *ancestor, gboolean *does, GError **error);

#define MODE_FOLDER 0040000
#define MODE_FILE 0100000 /* with its permissions below */
#define MODE_LINK 0120000
#define MODE_MODULE 0160000 /* a submodule: a commit of another repository */
#define MODE_KIND 0170000

struct tree_entry {
	uint32_t mode;
	char id[41];
	char *name; /* bytes as they stand, in no particular encoding */
};
/*
 * The entries of a raw tree (of struct tree_entry, freed with the array). Refused as git fsck would: out of order or twice, a name that is empty, ".", ".." or
 * ".git", or holds a '/', a mode of no kind. Old trees' modes (100664, leading zeros) are taken.
 */
GArray *tree_parse(GBytes *raw, const char *id, GError **error);
GArray *tree_read(struct objects *objects, const char *id, GError **error);

/* A path as one line of text, the same for the same bytes and never for others: as it is where that is clean, else in double quotes with \" \\ and \ooo. */
char *path_text(const char *path);
