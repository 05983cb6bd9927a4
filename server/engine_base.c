/*
 * Which signed releases of a project a new one may be measured against. gitops finds the newest that the tagged commit descends from; once it has, this release
 * keeps it, so that what approvers bound themselves to does not change when another release is signed meanwhile.
 */
#include "gitops/base/error.h"
#include "server/engine.h"

#define BASES_MAX 100 /* releases looked at, newest first */

/* NULL: it is none. Only what stands in the log already can be named in a record that comes after it. */
static struct json *base_of(const struct store_release *row, const struct release *release)
{
	const char *commit = json_as_string(json_path(row->state, "record.source.commit"));
	const char *purpose = json_as_string(json_path(row->state, "work.purpose"));
	struct json *base;

	if (commit == NULL || purpose == NULL || json_path(row->state, "work.committed") == NULL ||
	    g_str_equal(row->tag_object, release->tag_object))
		return NULL;
	base = json_object_new();
	json_set_string(base, "record", row->id);
	json_set_string(base, "tag", row->tag);
	json_set_string(base, "commit", commit);
	json_set_string(base, "purpose", purpose);
	return base;
}

struct json *engine_bases(struct engine *engine, const struct release *release)
{
	struct store_query query = { .project = release->project, .outcome = "signed", .limit = BASES_MAX };
	struct json *bases = json_array_new(), *kept = json_get(release->work, "base");
	g_autoptr(GPtrArray) rows = kept == NULL ? store_list(engine->store, &query, NULL) : NULL;

	if (json_length(kept) > 0)
		json_append(bases, json_copy(kept));
	for (guint i = 0; rows != NULL && i < rows->len; i++) {
		struct json *base = base_of(g_ptr_array_index(rows, i), release);

		if (base != NULL)
			json_append(bases, base);
	}
	return bases;
}

gboolean engine_keep_base(struct release *release, const struct json *body, GError **error)
{
	const struct json *base = json_get(body, "base");
	autoptr(json) ours = json_length(base) > 0 ? engine_bases(release->engine, release) : json_array_new();
	gboolean known = json_length(base) == 0;

	for (guint i = 0; !known && i < json_length(ours); i++)
		known = json_equal(base, json_at(ours, i));
	if (!known) {
		error_refused(error, "the gitops process has the range begin at a release that it was not told of");
		return FALSE;
	}
	if (base != NULL)
		json_set(release->work, "base", json_copy(base));
	return TRUE;
}
