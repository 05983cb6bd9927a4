/* What provenance.c, provenance_statement.c, provenance_built.c and provenance_source.c share. */
#pragma once

#include "gitops/provenance.h"

/* An in-toto statement whose shape was checked. Borrowed from `root`. */
struct statement {
	struct json *root;
	const struct json *subjects, *predicate;
	const struct slsa *slsa;
	const char *builder;
};
/* REFUSED: not in-toto's payloadType, another kind of statement or predicate, a subject without a usable digest. */
gboolean statement_read(const struct dsse *envelope, struct statement *statement, GError **error);
void statement_clear(struct statement *statement);
/* Is the artifact among its subjects? */
gboolean statement_covers(
    const struct statement *statement, const struct provenance_artifact *artifact, gboolean by_name, GError **error);

/* A version of SLSA's provenance: where it says what. Paths are json_path()'s, inside the predicate. */
struct slsa {
	const char *type, *name;
	const char *builder, *dependencies;
	const char *const *sources; /* where it names what was built, as a URI or as { uri, digest }; NULL at the end */
};
/* Was it built from the wish's source at its commit? */
gboolean statement_built_from(const struct statement *statement, const struct provenance_wish *wish, GError **error);

enum source_match {
	SOURCE_OTHER, /* another place, or another ref than the one asked for */
	SOURCE_WITHOUT_REF, /* the place, but a ref was asked for and none is named */
	SOURCE_FOUND,
};
enum source_match source_match(const char *uri, const char *wanted);
/* Is this URI that of something inside the source (…/.github/workflows/release.yml@refs/heads/main)? */
gboolean source_holds(const char *wanted, const char *uri);
