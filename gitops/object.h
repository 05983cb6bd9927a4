/*
 * Git's signed objects, read by one strict parser each from raw bytes (never libgit2's or git's idea of what
 * is signed): the bytes that were signed and the message that is shown are cut from the same buffer.
 * gitformat-signature(5)
 *
 * Refused, with offset and rule: NUL, CR, invalid UTF-8, more than 64 KiB; headers unknown, repeated or out
 * of order; an `encoding` header; no signature, more than one, or one that is not at its place (tags: the
 * end; commits: the gpgsig header); bytes after it.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/error.h"

#define OBJECT_MAX (64 * 1024)

enum signature_format { SIGNATURE_OPENPGP, SIGNATURE_SSH, SIGNATURE_X509 };
const char *signature_format_name(enum signature_format format); /* "openpgp", "ssh", "x509" */

struct identity { /* of a tagger, author or committer line: claims, never proof */
	char *name, *email;
	int64_t time; /* seconds */
};

struct tag {
	char *object; /* 40 hex */
	char *type; /* "commit"; a tag of anything else is refused by tag_parse() */
	char *name;
	struct identity tagger;
	char *message; /* without the signature */
	enum signature_format format;
	char *signature; /* the armor, whole */
	GBytes *payload; /* the bytes that were signed */
};
struct tag *tag_parse(GBytes *raw, GError **error);
void tag_free(struct tag *tag);
DEFINE_CLEANUP(tag, tag_free)

struct commit {
	char *tree;
	char **parents; /* GStrv, may be empty */
	struct identity author, committer;
	char *message;
	gboolean is_signed; /* commit_parse() takes unsigned commits too; then no signature, and payload is
			       all of it */
	enum signature_format format;
	char *signature;
	GBytes *payload;
};
struct commit *commit_parse(GBytes *raw, GError **error);
void commit_free(struct commit *commit);
DEFINE_CLEANUP(commit, commit_free)

/* The id that git gives these bytes ("tag", "commit", "blob"): collision-detecting SHA-1 by libgit2. Caller
 * frees. */
char *object_id(GBytes *raw, const char *type, GError **error);

/*
 * Trailers, by one strict grammar (trailers-and-policy: the last paragraph, every line "Key: value", no
 * folding). The reserved prefix is "Tagseal-": a line that starts with it (any case) anywhere else in the
 * message makes the message invalid, and so does an unknown reserved key. A message without a trailer
 * paragraph has none (an empty list). Values are borrowed from the list.
 */
struct trailer {
	char *key, *value;
	guint line; /* of the message, from 1 */
};
GPtrArray *trailers_parse(const char *message, GError **error); /* of struct trailer, freed with the array */
/* The one value of that key; NULL without error if absent; refused if it stands twice. Keys compare exactly.
 */
gboolean trailer_single(const GPtrArray *trailers, const char *key, const char **value, GError **error);
/* "Tagseal-Artifact: sha256:… NAME" lines to a map NAME -> "sha256:…"; refuses a bad line and a name twice.
 */
GHashTable *trailers_artifacts(const GPtrArray *trailers, GError **error);
