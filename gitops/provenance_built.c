/*
 * From which source, at which commit? A statement may name the source in several places: what the build was asked for
 * (externalParameters, configSource) and what that came to (resolvedDependencies, materials). All that do must agree, since
 * each alone could be a mere dependency, or what a caller of the builder made up.
 */
#include "gitops/provenance_private.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

/* Git's ids in a digest set: SHA-1 of the commit object. gitCommit is SLSA v1's name, sha1 the older. */
static const char *const commit_keys[] = { "gitCommit", "sha1" };

/* NULL where a digest set names no commit. *other: one that is not `commit`, if there is one. Borrowed. */
static const char *commit_of(const struct json *digests, const char *commit, const char **other)
{
	const char *found = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(commit_keys); i++) {
		const char *value = json_string(digests, commit_keys[i]);

		if (value == NULL)
			continue;
		found = value;
		if (!g_str_equal(value, commit))
			*other = value;
	}
	return found;
}

static gboolean other_source(const char *where, const char *uri, const struct provenance_wish *wish, GError **error)
{
	g_autofree char *shown = text_escape(uri, -1, 200);

	error_refused(error,
	    "the statement's %s is \"%s\", and not the source %s: it was built from another repository or ref", where,
	    shown, wish->source);
	return FALSE;
}

static gboolean other_commit(const char *where, const char *commit, const struct provenance_wish *wish, GError **error)
{
	g_autofree char *shown = text_escape(commit, -1, 80);

	error_refused(
	    error, "the statement's %s is the source at commit %s, and not at %s: these artifacts were built from another commit",
	    where, shown, wish->commit);
	return FALSE;
}

/* One place that names what was built: a URI, or an object with one. What is no URI is left to the dependencies. */
static gboolean check_named(const struct statement *statement, const char *path, const struct provenance_wish *wish,
    enum source_match *best, GError **error)
{
	const struct json *value = json_path(statement->predicate, path);
	gboolean is_object = json_kind(value) == JSON_OBJECT;
	const char *uri = is_object ? json_string(value, "uri") : json_as_string(value), *other = NULL;
	enum source_match match;

	if (uri == NULL || strstr(uri, "://") == NULL)
		return TRUE;
	match = source_match(uri, wish->source);
	if (match == SOURCE_OTHER)
		return other_source(path, uri, wish, error);
	*best = MAX(*best, match);
	if (is_object)
		commit_of(json_get(value, "digest"), wish->commit, &other);
	return other == NULL || other_commit(path, other, wish, error);
}

struct resolved {
	guint count; /* dependencies that are the source */
	const char *commit, *other; /* one that is the wish's; one that is another */
	gboolean silent; /* one of them names no commit */
};

static void look_at(const struct json *dependency, const struct provenance_wish *wish, enum source_match *best,
    struct resolved *resolved)
{
	const char *uri = json_string(dependency, "uri"), *other = NULL, *commit;
	enum source_match match = uri != NULL ? source_match(uri, wish->source) : SOURCE_OTHER;

	if (match == SOURCE_OTHER)
		return;
	*best = MAX(*best, match);
	resolved->count++;
	commit = commit_of(json_get(dependency, "digest"), wish->commit, &other);
	resolved->silent |= commit == NULL;
	if (other != NULL)
		resolved->other = other;
	else if (commit != NULL)
		resolved->commit = commit;
}

static gboolean check_resolved(const struct statement *statement, const struct resolved *resolved,
    const struct provenance_wish *wish, GError **error)
{
	const char *where = statement->slsa->dependencies;

	if (resolved->count == 0) {
		error_refused(error, "none of the statement's %s is the source %s: nothing says which commit was built",
		    where, wish->source);
		return FALSE;
	}
	if (resolved->other != NULL && resolved->commit == NULL)
		return other_commit(where, resolved->other, wish, error);
	if (resolved->other != NULL || resolved->silent) {
		error_refused(error,
		    "the statement's %s name the source %u times%s: which commit was built is not certain", where,
		    resolved->count,
		    resolved->other != NULL ? ", at different commits"
		    : resolved->count == 1  ? ", without its commit (gitCommit)"
					    : ", and not always its commit (gitCommit)");
		return FALSE;
	}
	return TRUE;
}

gboolean statement_built_from(const struct statement *statement, const struct provenance_wish *wish, GError **error)
{
	const struct json *dependencies = json_path(statement->predicate, statement->slsa->dependencies);
	enum source_match best = SOURCE_OTHER;
	struct resolved resolved = { 0 };

	for (guint i = 0; statement->slsa->sources[i] != NULL; i++)
		if (!check_named(statement, statement->slsa->sources[i], wish, &best, error))
			return FALSE;
	for (guint i = 0; i < json_length(dependencies); i++)
		look_at(json_at(dependencies, i), wish, &best, &resolved);
	if (!check_resolved(statement, &resolved, wish, error))
		return FALSE;
	if (best == SOURCE_FOUND)
		return TRUE;
	error_refused(error, "the statement names the source without a ref, and %s asks for one", wish->source);
	return FALSE;
}
