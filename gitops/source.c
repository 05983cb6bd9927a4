/* The gate `source`: is this tag signed by someone who may ask? */
#include "gitops/decide_private.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

void source_decision_clear(struct source_decision *d)
{
	signer_clear(&d->tagger);
	g_clear_pointer(&d->tag, tag_free);
	g_clear_pointer(&d->pinned, g_hash_table_unref);
	g_clear_pointer(&d->supersedes, g_free);
	g_clear_pointer(&d->section, json_unref);
	memset(d, 0, sizeof(*d));
}

gboolean decide_pinned_by(const struct policy_rule *rule, const char *who)
{
	return g_strv_contains((const char *const *)rule->pinned_by, who);
}

GHashTable *decide_artifact_names(const struct policy_project *project, const struct policy_rule *rule, const char *tag,
    const char *commit, GError **error)
{
	g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (guint i = 0; i < rule->artifact_count; i++) {
		g_autofree char *where = policy_rule_where(project, rule);
		char *name = policy_expand(rule->artifacts[i].name, project->name, tag, commit, error);

		if (name == NULL)
			return NULL;
		if (strpbrk(name, "/\\") != NULL || *name == '.') {
			error_refused(error,
			    "the artifact name \"%s\" of %s comes to \"%s\", which is no plain file name",
			    rule->artifacts[i].name, where, name);
			g_free(name);
			return NULL;
		}
		if (g_hash_table_contains(names, name)) {
			error_refused(error, "two artifacts of %s come to the same name, \"%s\"", where, name);
			g_free(name);
			return NULL;
		}
		g_hash_table_add(names, name);
	}
	return g_steal_pointer(&names);
}

/* Project and rule: which policy this tag comes under. */
static gboolean find_rule(const struct request *request, struct source_decision *d, GError **error)
{
	g_autofree char *shown = text_escape(request->tag, -1, 200);

	d->project = policy_project(request->policy, request->project);
	if (d->project == NULL) {
		g_autofree char *name = text_escape(request->project, -1, 200);

		error_refused(error, "the policy in force (%s) knows no project \"%s\"", request->policy_commit, name);
		return FALSE;
	}
	if (!policy_match(d->project, request->tag, &d->rule, error))
		return FALSE;
	if (d->rule != NULL)
		return TRUE;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND, "no policy of %s matches the tag \"%s\" (%s)",
	    d->project->name, shown, d->project->file);
	return FALSE;
}

static gboolean check_object(const struct request *request, struct source_decision *d, GError **error)
{
	g_autofree char *id = object_id(request->tag_raw, "tag", error);
	g_autofree char *name = NULL, *wanted = NULL;

	if (id == NULL)
		return FALSE;
	if (!g_str_equal(id, request->tag_object)) {
		error_refused(error, "the tag object's bytes have the id %s, not %s", id, request->tag_object);
		return FALSE;
	}
	d->tag = tag_parse(request->tag_raw, error);
	if (d->tag == NULL) {
		g_prefix_error(error, "tag object %s: ", request->tag_object);
		return FALSE;
	}
	if (g_str_equal(d->tag->name, request->tag))
		return TRUE;
	name = text_escape(d->tag->name, -1, 200);
	wanted = text_escape(request->tag, -1, 200);
	error_refused(error, "the tag object %s is named \"%s\" inside, but it stands under refs/tags/%s",
	    request->tag_object, name, wanted);
	return FALSE;
}

static gboolean check_tagger(const struct request *request, struct source_decision *d, GError **error)
{
	g_autofree char *where = policy_rule_where(d->project, d->rule);

	if (!people_verify_tag(policy_people(request->policy), d->tag, request->tag_first_seen_ms, &d->tagger, error)) {
		g_prefix_error(error, "tag object %s: ", request->tag_object);
		return FALSE;
	}
	if (policy_lists(request->policy, d->rule->taggers, d->tagger.person))
		return TRUE;
	error_refused(error, "the tag is signed by %s, who is not among the taggers of policy \"%s\" (%s)",
	    d->tagger.person, d->rule->name, where);
	return FALSE;
}

/* Trailers that have a meaning in a tag; all other reserved ones are refused. */
static gboolean check_trailers(
    const struct request *request, struct source_decision *d, const GPtrArray *trailers, GError **error)
{
	static const char *const known[] = { "Tagseal-Artifact", "Tagseal-Supersedes", "Tagseal-Project", NULL };
	const char *project, *supersedes;

	for (guint i = 0; i < trailers->len; i++) {
		const struct trailer *trailer = trailers->pdata[i];

		if (g_str_has_prefix(trailer->key, "Tagseal-") && !g_strv_contains(known, trailer->key)) {
			error_refused(error, "the trailer %s has no meaning in a tag", trailer->key);
			return FALSE;
		}
	}
	if (!trailer_single(trailers, "Tagseal-Project", &project, error) ||
	    !trailer_single(trailers, "Tagseal-Supersedes", &supersedes, error))
		return FALSE;
	d->supersedes = g_strdup(supersedes);
	if (project == NULL && d->rule->quorum_count == 0) {
		error_refused(error,
		    "policy \"%s\" asks for no approval, so the tag itself must say which project it is for: add the "
		    "trailer "
		    "\"Tagseal-Project: %s\"",
		    d->rule->name, request->project);
		return FALSE;
	}
	if (project != NULL && !g_str_equal(project, request->project)) {
		error_refused(
		    error, "the tag is for project \"%s\" (Tagseal-Project), not \"%s\"", project, request->project);
		return FALSE;
	}
	return TRUE;
}

static gboolean check_pins(const struct source_decision *d, GHashTable *names, GError **error)
{
	g_autofree char *where = policy_rule_where(d->project, d->rule);
	GHashTableIter all;
	gpointer name;

	g_hash_table_iter_init(&all, d->pinned);
	while (g_hash_table_iter_next(&all, &name, NULL))
		if (!g_hash_table_contains(names, name)) {
			error_refused(error, "the tag pins \"%s\", and policy \"%s\" (%s) has no artifact of that name",
			    (char *)name, d->rule->name, where);
			return FALSE;
		}
	g_hash_table_iter_init(&all, names);
	while (decide_pinned_by(d->rule, "tag") && g_hash_table_iter_next(&all, &name, NULL))
		if (!g_hash_table_contains(d->pinned, name)) {
			error_refused(error,
			    "the tag does not pin \"%s\", and policy \"%s\" (%s) lets the tag vouch for it: add the "
			    "trailer "
			    "\"Tagseal-Artifact: sha256:… %s\"",
			    (char *)name, d->rule->name, where, (char *)name);
			return FALSE;
		}
	return TRUE;
}

static gboolean check_message(const struct request *request, struct source_decision *d, GError **error)
{
	g_autoptr(GPtrArray) trailers = trailers_parse(d->tag->message, error);
	g_autoptr(GHashTable) names = NULL;
	gboolean good = trailers != NULL && check_trailers(request, d, trailers, error);

	if (good)
		d->pinned = trailers_artifacts(trailers, error);
	if (!good || d->pinned == NULL) {
		g_prefix_error(error, "tag object %s: ", request->tag_object);
		return FALSE;
	}
	names = decide_artifact_names(d->project, d->rule, request->tag, d->tag->object, error);
	return names != NULL && check_pins(d, names, error);
}

static struct json *describe(const struct request *request, const struct source_decision *d)
{
	struct json *section = json_object_new(), *signature = json_object_new();
	g_autofree char *digest = sha256_text_bytes(request->tag_raw);

	json_set_string(signature, "format", signature_format_name(d->tagger.format));
	json_set_string(signature, "key", d->tagger.key);
	json_set_string(signature, "person", d->tagger.person);
	json_set_boolean(signature, "hardware", d->tagger.hardware);
	json_set_string(section, "tag_object", request->tag_object);
	json_set_string(section, "tag_sha256", digest);
	json_set_string(section, "commit", d->tag->object);
	if (request->tree != NULL)
		json_set_string(section, "tree", request->tree);
	json_set_string(section, "supersedes", d->supersedes);
	json_set(section, "signature", signature);
	return section;
}

gboolean source_decide(const struct request *request, struct source_decision *d, GError **error)
{
	memset(d, 0, sizeof(*d));
	if (!find_rule(request, d, error) || !check_object(request, d, error) || !check_tagger(request, d, error) ||
	    !check_message(request, d, error)) {
		source_decision_clear(d);
		return FALSE;
	}
	d->section = describe(request, d);
	return TRUE;
}
