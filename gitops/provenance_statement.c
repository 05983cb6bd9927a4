/* in-toto statements: their kind, their subjects.   in-toto/attestation, spec/v1/statement.md, digest_set.md */
#include "gitops/provenance_private.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

#define PAYLOAD_TYPE "application/vnd.in-toto+json"

static const char *const statement_types[] = { "https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1" };

/* GitHub's workflow, GitLab's and SLSA's own examples, the container-based builder, BuildKit, Google's Cloud Build. */
static const char *const sources_v1[] = { "buildDefinition.externalParameters.workflow.repository",
	"buildDefinition.externalParameters.source", "buildDefinition.externalParameters.repository",
	"buildDefinition.externalParameters.configSource",
	"buildDefinition.externalParameters.buildConfigSource.repository",
	"buildDefinition.externalParameters.sourceToBuild.repository", NULL };
static const char *const sources_v02[] = { "invocation.configSource", NULL };
static const struct slsa versions[] = {
	{ "https://slsa.dev/provenance/v1", "v1", "runDetails.builder.id", "buildDefinition.resolvedDependencies",
	    sources_v1 },
	{ "https://slsa.dev/provenance/v0.2", "v0.2", "builder.id", "materials", sources_v02 },
};

/* A digest of a subject that we can compare. */
struct hash {
	const char *name;
	size_t digits;
};
static const struct hash hashes[] = { { "sha256", 64 }, { "sha512", 128 } };

static gboolean is_hex(const char *text, size_t digits)
{
	return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

static gboolean check_digests(const struct json *digests, guint subject, GError **error)
{
	if (json_kind(digests) != JSON_OBJECT || json_length(digests) == 0) {
		error_refused(error, "the statement's subject %u has no digest: nothing says which file it is", subject);
		return FALSE;
	}
	for (guint i = 0; i < G_N_ELEMENTS(hashes); i++) {
		const struct json *value = json_get(digests, hashes[i].name);

		if (value == NULL || (json_kind(value) == JSON_STRING && is_hex(json_as_string(value), hashes[i].digits)))
			continue;
		error_refused(error, "the statement's subject %u: its %s is not %zu lower-case hex digits", subject,
		    hashes[i].name, hashes[i].digits);
		return FALSE;
	}
	return TRUE;
}

static gboolean check_subjects(const struct json *subjects, GError **error)
{
	if (json_length(subjects) == 0) {
		error_refused(error, "the statement has no subject: it vouches for nothing");
		return FALSE;
	}
	for (guint i = 0; i < json_length(subjects); i++)
		if (!check_digests(json_get(json_at(subjects, i), "digest"), i + 1, error))
			return FALSE;
	return TRUE;
}

static gboolean check_type(const struct json *root, GError **error)
{
	const char *type = json_require_string(root, "_type", "the statement", error);
	g_autofree char *shown = NULL;

	if (type == NULL)
		return FALSE;
	for (guint i = 0; i < G_N_ELEMENTS(statement_types); i++)
		if (g_str_equal(type, statement_types[i]))
			return TRUE;
	shown = text_escape(type, -1, 120);
	error_refused(error, "the payload's _type is \"%s\", and not that of an in-toto statement (%s)", shown,
	    statement_types[0]);
	return FALSE;
}

static const struct slsa *find_slsa(const struct json *root, GError **error)
{
	const char *type = json_require_string(root, "predicateType", "the statement", error);
	g_autofree char *shown = NULL;

	if (type == NULL)
		return NULL;
	for (guint i = 0; i < G_N_ELEMENTS(versions); i++)
		if (g_str_equal(type, versions[i].type))
			return &versions[i];
	shown = text_escape(type, -1, 120);
	error_refused(
	    error, "the statement's predicateType is \"%s\", and only SLSA provenance v1 and v0.2 say what was built from what (%s)",
	    shown, versions[0].type);
	return NULL;
}

static gboolean read_payload(const struct dsse *envelope, struct statement *statement, GError **error)
{
	g_autofree char *shown = NULL;

	if (!g_str_equal(envelope->type, PAYLOAD_TYPE)) {
		shown = text_escape(envelope->type, -1, 120);
		error_refused(error, "the envelope's payloadType is \"%s\", and a statement's is " PAYLOAD_TYPE, shown);
		return FALSE;
	}
	statement->root = json_parse(
	    g_bytes_get_data(envelope->payload, NULL), g_bytes_get_size(envelope->payload), JSON_OTHER_NUMBERS, error);
	if (statement->root == NULL)
		g_prefix_error(error, "the envelope's payload: ");
	return statement->root != NULL;
}

gboolean statement_read(const struct dsse *envelope, struct statement *statement, GError **error)
{
	*statement = (struct statement){ 0 };
	if (!read_payload(envelope, statement, error) || !check_type(statement->root, error) ||
	    (statement->slsa = find_slsa(statement->root, error)) == NULL ||
	    (statement->subjects = json_require(statement->root, "subject", JSON_ARRAY, "the statement", error)) == NULL ||
	    !check_subjects(statement->subjects, error) ||
	    (statement->predicate = json_require(statement->root, "predicate", JSON_OBJECT, "the statement", error)) ==
		NULL)
		return FALSE;
	statement->builder = json_as_string(json_path(statement->predicate, statement->slsa->builder));
	if (statement->builder != NULL && *statement->builder != '\0')
		return TRUE;
	error_refused(error, "the statement names no builder (%s)", statement->slsa->builder);
	return FALSE;
}

void statement_clear(struct statement *statement)
{
	g_clear_pointer(&statement->root, json_unref);
}

enum comparison { NOTHING_SHARED, EQUAL, DIFFERENT };

/* By all digests that both have; one that differs outweighs one that is equal. */
static enum comparison compare(const struct json *subject, const struct provenance_artifact *artifact)
{
	const char *const ours[] = { artifact->sha256, artifact->sha512 };
	enum comparison result = NOTHING_SHARED;

	for (guint i = 0; i < G_N_ELEMENTS(hashes); i++) {
		const char *theirs = json_string(json_get(subject, "digest"), hashes[i].name);

		if (theirs == NULL || ours[i] == NULL)
			continue;
		if (!g_str_equal(theirs, ours[i]))
			return DIFFERENT;
		result = EQUAL;
	}
	return result;
}

/* By its whole name, or the last part of a path. */
static gboolean is_named(const struct json *subject, const char *name)
{
	const char *whole = json_string(subject, "name"), *last = whole != NULL ? strrchr(whole, '/') : NULL;

	return whole != NULL && (g_str_equal(whole, name) || (last != NULL && g_str_equal(last + 1, name)));
}

static gboolean not_covered(const struct statement *statement, const struct provenance_artifact *artifact,
    gboolean named, gboolean shared, GError **error)
{
	g_autofree char *shown = text_escape(artifact->name, -1, 200);

	if (named)
		error_refused(error,
		    "the statement's subject \"%s\" has another digest than this file's sha256:%s: it is not the file "
		    "that was built "
		    "under that name",
		    shown, artifact->sha256);
	else if (!shared)
		error_refused(
		    error, "the statement's subjects have no digest that could be held against %s: a builder must state their sha256",
		    shown);
	else
		error_refused(
		    error, "%s (sha256:%s) is none of the statement's %u subjects: it was changed after it was built, or built elsewhere",
		    shown, artifact->sha256, json_length(statement->subjects));
	return FALSE;
}

gboolean statement_covers(
    const struct statement *statement, const struct provenance_artifact *artifact, gboolean by_name, GError **error)
{
	gboolean found = FALSE, named = FALSE, shared = FALSE;

	for (guint i = 0; i < json_length(statement->subjects); i++) {
		const struct json *subject = json_at(statement->subjects, i);
		enum comparison result = compare(subject, artifact);
		gboolean its_name = by_name && is_named(subject, artifact->name);

		shared |= result != NOTHING_SHARED;
		if (result == EQUAL && its_name)
			return TRUE;
		named |= its_name;
		found |= result == EQUAL;
	}
	return (found && !named) || not_covered(statement, artifact, named, shared, error);
}
