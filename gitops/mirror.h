/*
 * Mirrors of other people's repositories: fetched within limits (bytes, objects, time), in a process that may
 * be killed. https over our own OpenSSL stream (deadline, byte limit, CA file, address filter, TLS 1.2/1.3);
 * ssh; file. Blocks; only the gitops role and commands call it. libgit2 is set up once by mirror_init(): no
 * system, global or XDG configuration, owner check off for our own folders, streams registered.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/error.h"

struct mirror_limits {
	uint64_t max_bytes; /* of one fetch */
	uint32_t max_objects;
	int64_t deadline_ms; /* of one fetch */
	const char *ca_file; /* PEM, or NULL: the system's */
	gboolean allow_private; /* loopback and private addresses allowed */
	gboolean allow_http; /* plain http; else only to loopback */
	const char *ssh_key_file, *ssh_known_hosts_file; /* or NULL */
	const char *user, *password; /* https credentials, or NULL */
};

gboolean mirror_init(GError **error); /* once a process */

struct mirror_ref {
	char *name; /* "refs/tags/v1.0" */
	char *id; /* 40 hex: a tag object for annotated tags */
};
/*
 * Brings refs matching the NULL-terminated refspec sources ("refs/tags/STAR", "refs/heads/STAR", names) of
 * `url` into the bare repository `path` (made if missing). Branches and tags stand under the same names
 * there; refs gone at the source go here too, but what a name once pointed to stays reachable for good, below
 * mirror_seen(name) unless the name now stands at a commit that contains it. `refs` gets the advertised refs that match
 * (of struct mirror_ref, freed with the array). UNAVAILABLE when the source cannot be reached in time, TOO_LARGE above a
 * limit, REFUSED for a url or certificate that is not allowed.
 */
gboolean mirror_fetch(const char *path, const char *url, const char *const *sources, const struct mirror_limits *limits,
    GPtrArray **refs, GError **error);
/* Where the names are that keep what `ref` left behind: "refs/tagseal/seen/<SHA-256 of the name>/", then an id. A hash, since any name
 * may be a folder of another's. Caller frees. */
char *mirror_seen(const char *ref);
/* The object at which a ref stood when this mirror first saw it, where it has left that since; NULL without error: it never did. Caller frees. */
gboolean mirror_first(const char *path, const char *ref, char **id, GError **error);
/* Just what the source advertises now (ls-remote). */
gboolean mirror_list(const char *url, const struct mirror_limits *limits, GPtrArray **refs, GError **error);

/* Raw object of that id and type ("tag", "commit", "blob"), at most `max` bytes, re-hashed. NOT_FOUND,
 * TOO_LARGE. */
GBytes *mirror_object(const char *path, const char *id, const char *type, size_t max, GError **error);
/* Is `commit` reachable from any branch of the mirror that matches one of the globs? Names it, or NULL
 * without error. */
gboolean mirror_branch_of(const char *path, const char *commit, const char *const *globs, char **branch, GError **error);
/* Ids of commits reachable from `tip` but not from `since` (NULL: all), newest first, at most `max`
 * (TOO_LARGE above). */
char **mirror_commits(const char *path, const char *tip, const char *since, guint max, GError **error);
/*
 * Hands each() the raw commits that can be reached from `tips` but not from `hidden` (both NULL-terminated; what is no commit there is left out), in no order
 * that counts; one of more than `size` bytes as NULL. TOO_LARGE above `max` commits, and before any is handed over.
 */
gboolean mirror_each_commit(const char *path, const char *const *tips, const char *const *hidden, guint max,
    size_t size, void (*each)(const char *id, GBytes *raw, gpointer data), gpointer data, GError **error);
