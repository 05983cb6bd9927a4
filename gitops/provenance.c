/* Provenance: an envelope that is trusted, a statement that says what the project wants, each artifact in it. */
#include "gitops/provenance_private.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

#define REASONS_MAX 3 /* told of several envelopes */
#define GITHUB_RUNNER "https://github.com/actions/runner"

/* What one envelope came to. */
struct verdict {
	GError *why; /* NULL: it meets all but the artifacts */
	struct statement statement;
	struct dsse_signer signer;
};

static void verdict_free(struct verdict *verdict)
{
	g_clear_error(&verdict->why);
	statement_clear(&verdict->statement);
	dsse_signer_clear(&verdict->signer);
	g_free(verdict);
}

static gboolean builder_is(const struct provenance_wish *wish, const char *builder)
{
	for (guint i = 0; wish->builders[i] != NULL; i++)
		if (wish->exact ? g_str_equal(wish->builders[i], builder)
				: glob_match(wish->builders[i], builder, FALSE, FALSE))
			return TRUE;
	return FALSE;
}

static gboolean check_builder(const struct verdict *verdict, const struct provenance_wish *wish, GError **error)
{
	g_autofree char *shown = NULL;

	if (builder_is(wish, verdict->statement.builder))
		return TRUE;
	shown = text_escape(verdict->statement.builder, -1, 200);
	error_refused(error, "the statement's builder is \"%s\", and not %s%s", shown,
	    wish->builders[0] != NULL ? wish->builders[0] : "one that is trusted",
	    wish->builders[0] != NULL && wish->builders[1] != NULL ? " or another that is trusted" : "");
	return FALSE;
}

/*
 * A certificate vouches for the names in it and no others. GitHub's plain runners have no certificate of their own: there the
 * workflow of the source itself signs, and Fulcio says on what kind of runner.
 */
static gboolean certificate_names_builder(X509 *certificate, const char *builder, const char *source)
{
	g_auto(GStrv) names = dsse_identities(certificate);
	g_autofree char *runner = NULL, *by_runner = NULL;

	if (g_strv_contains((const char *const *)names, builder))
		return TRUE;
	if (!g_str_has_prefix(builder, GITHUB_RUNNER))
		return FALSE;
	runner = dsse_fulcio(certificate, FULCIO_RUNNER);
	by_runner = runner != NULL ? g_strconcat(GITHUB_RUNNER "/", runner, NULL) : g_strdup(builder);
	for (guint i = 0; names[i] != NULL; i++)
		if (source_holds(source, names[i]) &&
		    (g_str_equal(builder, by_runner) || g_str_equal(builder, GITHUB_RUNNER)))
			return TRUE;
	return FALSE;
}

static gboolean check_certificate(const struct verdict *verdict, const struct provenance_wish *wish, GError **error)
{
	X509 *certificate = verdict->signer.certificate;
	g_autofree char *source = dsse_fulcio(certificate, FULCIO_SOURCE),
			*commit = dsse_fulcio(certificate, FULCIO_COMMIT);
	g_auto(GStrv) names = dsse_identities(certificate);
	g_autofree char *shown = NULL;

	if (wish->trust.identities == NULL &&
	    !certificate_names_builder(certificate, verdict->statement.builder, wish->source)) {
		shown = names[0] != NULL ? text_escape(names[0], -1, 200) : g_strdup("nobody by a URI or address");
		error_refused(
		    error, "its certificate names %s, and not the builder %s: who may sign for that builder must be said by its identity",
		    shown, verdict->statement.builder);
		return FALSE;
	}
	if (source != NULL && source_match(source, wish->source) == SOURCE_OTHER) {
		shown = text_escape(source, -1, 200);
		error_refused(error, "its certificate was given to a build of %s, and not of %s", shown, wish->source);
		return FALSE;
	}
	if (commit != NULL && !g_str_equal(commit, wish->commit)) {
		shown = text_escape(commit, -1, 80);
		error_refused(
		    error, "its certificate was given to a build of commit %s, and not of %s", shown, wish->commit);
		return FALSE;
	}
	return TRUE;
}

static struct verdict *judge(const struct dsse *envelope, const struct provenance_wish *wish)
{
	struct verdict *verdict = g_new0(struct verdict, 1);

	if (dsse_verify(envelope, &wish->trust, &verdict->signer, &verdict->why) &&
	    statement_read(envelope, &verdict->statement, &verdict->why) && check_builder(verdict, wish, &verdict->why) &&
	    (verdict->signer.certificate == NULL || check_certificate(verdict, wish, &verdict->why)))
		statement_built_from(&verdict->statement, wish, &verdict->why);
	return verdict;
}

/* Why none of several will do: their reasons, as far as anybody would read them. */
static void tell_all(GPtrArray *envelopes, GPtrArray *reasons, const char *name, GError **error)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *shown = text_escape(name, -1, 200);

	for (guint i = 0; i < reasons->len && i < REASONS_MAX; i++) {
		const struct dsse *envelope = g_ptr_array_index(envelopes, i);

		g_string_append_printf(text, "%s line %u: %s", i == 0 ? "" : ";", envelope->line,
		    (const char *)g_ptr_array_index(reasons, i));
	}
	if (reasons->len > REASONS_MAX)
		g_string_append_printf(text, "; and %u more", reasons->len - REASONS_MAX);
	error_refused(error, "none of its %u envelopes vouches for %s:%s", reasons->len, shown, text->str);
}

/* The first verdict that vouches for the artifact; NULL with error. */
static const struct verdict *find(GPtrArray *envelopes, GPtrArray *verdicts, const struct provenance_wish *wish,
    const struct provenance_artifact *artifact, GError **error)
{
	g_autoptr(GPtrArray) reasons = g_ptr_array_new_with_free_func(g_free);

	for (guint i = 0; i < verdicts->len; i++) {
		const struct verdict *verdict = g_ptr_array_index(verdicts, i);
		g_autoptr(GError) why = NULL;

		if (verdict->why == NULL && statement_covers(&verdict->statement, artifact, wish->by_name, &why))
			return verdict;
		g_ptr_array_add(reasons, g_strdup(verdict->why != NULL ? verdict->why->message : why->message));
	}
	if (reasons->len == 1) {
		const struct verdict *verdict = g_ptr_array_index(verdicts, 0);

		g_set_error(error, TAGSEAL_ERROR, verdict->why != NULL ? verdict->why->code : TAGSEAL_ERROR_REFUSED,
		    "%s", (const char *)g_ptr_array_index(reasons, 0));
	} else {
		tell_all(envelopes, reasons, artifact->name, error);
	}
	return NULL;
}

static struct json *make_section(GBytes *file, const struct verdict *verdict, const struct provenance_wish *wish)
{
	autoptr(json) section = json_object_new();
	g_autofree char *digest = sha256_text_bytes(file);

	json_set_string(section, "sha256", digest);
	json_set_string(section, "predicate", verdict->statement.slsa->type);
	json_set_string(section, "builder", verdict->statement.builder);
	json_set_string(section, "source", wish->source);
	json_set_string(section, "commit", wish->commit);
	json_set_string(section, "key", verdict->signer.key);
	if (verdict->signer.certificate != NULL) {
		g_auto(GStrv) names = dsse_identities(verdict->signer.certificate);
		g_autofree char *issuer = dsse_fulcio(verdict->signer.certificate, FULCIO_ISSUER);

		json_set_string(section, "identity", names[0]);
		json_set_string(section, "issuer", issuer);
	}
	return g_steal_pointer(&section);
}

gboolean provenance_verify(GBytes *file, const struct provenance_wish *wish, struct json **section, GError **error)
{
	g_autoptr(GPtrArray) envelopes = dsse_read(file, error);
	g_autoptr(GPtrArray) verdicts = g_ptr_array_new_with_free_func((GDestroyNotify)verdict_free);
	const struct verdict *first = NULL;

	if (envelopes == NULL)
		return FALSE;
	for (guint i = 0; i < envelopes->len; i++)
		g_ptr_array_add(verdicts, judge(g_ptr_array_index(envelopes, i), wish));
	for (guint i = 0; i < wish->artifact_count; i++) {
		const struct verdict *verdict = find(envelopes, verdicts, wish, &wish->artifacts[i], error);

		if (verdict == NULL)
			return FALSE;
		if (first == NULL)
			first = verdict;
	}
	if (first == NULL) {
		error_refused(error, "there is no artifact that it could vouch for");
		return FALSE;
	}
	if (section != NULL)
		*section = make_section(file, first, wish);
	return TRUE;
}
