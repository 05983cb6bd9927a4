/* Looking at the sources: by poll and by hint. What gitops finds there becomes releases; what it finds changed wakes those that wait. */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

#define RETRY_MS 5000 /* after the first failure; twice as long after each further one */
#define RETRIES 6
#define POLICY_RETRIES 2 /* nothing goes on without it */

/* Looking at one project, or at the policy: at most one look is out. */
struct look {
	struct engine *engine;
	char *project; /* NULL: the policy */
	gboolean out, again; /* again: something came while it was out */
	guint failed; /* so many in a row */
	struct event *retry;
};

static void project_free(gpointer data)
{
	struct project *project = data;

	g_free(project->name);
	g_free(project->source);
	g_free(project->approvals);
	g_strfreev(project->hooks);
	json_unref(project->rules);
	g_free(project);
}

/* "https://git.example.org/acme/widget.git/" and ".../acme/widget" are one place. */
static gboolean same_place(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	while (n > 0 && a[n - 1] == '/')
		n--;
	while (m > 0 && b[m - 1] == '/')
		m--;
	if (n > 4 && memcmp(a + n - 4, ".git", 4) == 0)
		n -= 4;
	if (m > 4 && memcmp(b + m - 4, ".git", 4) == 0)
		m -= 4;
	return n > 0 && n == m && memcmp(a, b, n) == 0;
}

const struct project *engine_project_of(const struct engine *engine, const char *hint)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, engine->projects);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct project *project = value;
		gboolean named = g_str_equal(project->name, hint) || same_place(project->source, hint);
		for (char **hook = project->hooks; !named && *hook != NULL; hook++)
			named = same_place(*hook, hint);
		if (named)
			return project;
	}
	return NULL;
}

char **engine_projects_approved_at(const struct engine *engine, const char *hint)
{
	g_autoptr(GStrvBuilder) names = g_strv_builder_new();
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, engine->projects);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct project *project = value;

		if (project->approvals != NULL && same_place(project->approvals, hint))
			g_strv_builder_add(names, project->name);
	}
	return g_strv_builder_end(names);
}

static gboolean matches(const struct json *patterns, const char *tag)
{
	for (guint i = 0; i < json_length(patterns); i++)
		if (json_as_string(json_at(patterns, i)) != NULL &&
		    glob_match(json_as_string(json_at(patterns, i)), tag, FALSE, FALSE))
			return TRUE;
	return FALSE;
}

gboolean engine_tag_matters(const struct project *project, const char *tag)
{
	for (guint i = 0; i < json_length(project->rules); i++) {
		const struct json *rule = json_at(project->rules, i);
		if (matches(json_get(rule, "tags"), tag) && !matches(json_get(rule, "not_tags"), tag))
			return TRUE;
	}
	return FALSE;
}

static void take_project(struct engine *engine, const struct json *row)
{
	struct project *project = g_new0(struct project, 1);
	const struct json *hooks = json_get(row, "hooks");
	GStrvBuilder *builder = g_strv_builder_new();

	for (guint i = 0; i < json_length(hooks); i++)
		if (json_as_string(json_at(hooks, i)) != NULL)
			g_strv_builder_add(builder, json_as_string(json_at(hooks, i)));
	project->name = g_strdup(json_string(row, "name"));
	project->source = g_strdup(json_string(row, "source"));
	project->approvals = g_strdup(json_string(row, "approvals"));
	project->hooks = g_strv_builder_end(builder);
	project->rules = json_copy(json_get(row, "rules"));
	g_strv_builder_unref(builder);
	g_hash_table_replace(engine->projects, project->name, project);
}

void engine_load_projects(struct engine *engine)
{
	autoptr(json) note = store_note(engine->store, "projects");

	engine->projects = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, project_free);
	for (guint i = 0; i < json_length(note); i++)
		take_project(engine, json_at(note, i));
}

/* The projects are kept, so that webhooks find theirs right after a restart. */
static void keep_projects(struct engine *engine)
{
	autoptr(json) list = json_array_new();
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, engine->projects);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct project *project = value;
		struct json *row = json_object_new(), *hooks = json_array_new();
		for (char **hook = project->hooks; *hook != NULL; hook++)
			json_append_string(hooks, *hook);
		json_set_string(row, "name", project->name);
		json_set_string(row, "source", project->source);
		json_set_string(row, "approvals", project->approvals);
		json_set(row, "hooks", hooks);
		json_set(row, "rules", json_copy(project->rules));
		json_append(list, row);
	}
	if (store_begin(engine->store, FALSE, NULL) &&
	    (!store_put_note(engine->store, "projects", list, NULL) || !store_commit(engine->store, NULL)))
		store_rollback(engine->store);
}

static void look_at(struct engine *engine, const char *project, gboolean fetch_policy);

static gboolean is_tag_name(const char *tag)
{
	g_autofree char *ref = g_strconcat("refs/tags/", tag, NULL);

	return is_ref_name(ref);
}

/* A tag that nobody told us of is seen now. */
static void take_tag(struct engine *engine, const char *project, const struct json *row)
{
	const char *tag = json_string(row, "name"), *id = json_string(row, "id");
	g_autoptr(GError) error = NULL;
	struct store_release *known;
	struct release *release;

	if (tag == NULL || !is_tag_name(tag) || id == NULL || !is_object_id(id))
		return;
	known = store_find(engine->store, project, tag, id, &error);
	if (known != NULL || error != NULL) {
		store_release_free(known);
		return;
	}
	release = release_new(engine, project, tag, id);
	release->looked = TRUE;
	release_save(engine, release, TRUE);
	log_event("info", "release=%s project=%s tag=%s event=found", release->id, project, tag);
	gate_enter(engine, release, GATE_SOURCE);
}

/* Those that wait for people are asked again: an approval, a denial, another tag object may have come. */
static void wake_waiting(struct engine *engine, const char *project)
{
	g_autoptr(GList) all = g_hash_table_get_values(engine->releases);

	for (GList *one = all; one != NULL; one = one->next) {
		struct release *release = one->data;
		if (!g_str_equal(release->project, project) || release->gate > GATE_APPROVAL)
			continue;
		release->looked = TRUE;
		gate_wake(engine, release);
	}
}

static void forget_hint(struct engine *engine, const char *project)
{
	g_autofree char *name = g_strdup_printf("hint/%s", project);

	if (store_begin(engine->store, FALSE, NULL) &&
	    (!store_put_note(engine->store, name, NULL, NULL) || !store_commit(engine->store, NULL)))
		store_rollback(engine->store);
}

/* It becomes a folder's name. The policy has the same rule; gitops, which parses strangers' bytes, is not believed. */
static gboolean is_project(const struct json *row)
{
	const char *name = json_string(row, "name");

	return name != NULL && json_string(row, "source") != NULL &&
	       g_regex_match_simple(
		   "^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$", name, G_REGEX_DOLLAR_ENDONLY, 0);
}

/* The policy's projects are looked at one by one: a source that hangs takes no other with it. */
static void take_policy(struct engine *engine, const struct json *projects)
{
	g_hash_table_remove_all(engine->projects);
	for (guint i = 0; i < json_length(projects); i++) {
		const struct json *row = json_at(projects, i);

		if (!is_project(row)) {
			log_event(
			    "warning", "event=look a project without a plain name, or without a source, is not taken");
			continue;
		}
		take_project(engine, row);
		look_at(engine, json_string(row, "name"), FALSE);
	}
	keep_projects(engine);
	forget_hint(engine, "*");
}

/* FALSE: what its source shows could not be found out. */
static gboolean take_source(struct engine *engine, const char *project, const struct json *row)
{
	const struct json *tags = json_get(row, "tags");
	const char *error = json_string(row, "error");

	if (!is_project(row) || !g_str_equal(json_string(row, "name"), project))
		return TRUE; /* the policy does not have it any more */
	if (error != NULL) {
		g_autofree char *shown = text_escape(error, -1, 400);
		log_event("warning", "project=%s %s", project, shown);
		return FALSE;
	}
	take_project(engine, row);
	for (guint n = 0; n < json_length(tags); n++)
		take_tag(engine, project, json_at(tags, n));
	wake_waiting(engine, project);
	forget_hint(engine, project);
	return TRUE;
}

static void take_commit(struct engine *engine, const char *policy)
{
	if (policy == NULL || g_strcmp0(policy, engine->policy) == 0)
		return;
	if (engine->policy != NULL) {
		struct json *extra = json_object_new();

		json_set_string(extra, "policy", policy);
		engine_event(engine, "policy", NULL, extra);
	}
	g_free(engine->policy);
	engine->policy = g_strdup(policy);
}

static void look_again(evutil_socket_t fd, short what, void *data)
{
	struct look *look = data;

	(void)fd;
	(void)what;
	engine_look(look->engine, look->project);
}

/* Soon, and later each time; the poll comes in any case. */
static void look_later(struct look *look)
{
	int64_t ms = (int64_t)RETRY_MS << MIN(look->failed, look->project != NULL ? RETRIES : POLICY_RETRIES);
	struct timeval in = { ms / 1000, ms % 1000 * 1000 };

	look->failed++;
	if (look->retry == NULL)
		look->retry = event_new(look->engine->base, -1, 0, look_again, look);
	event_add(look->retry, &in);
}

static void looked(struct engine *engine, struct release *none, struct message *answer, const GError *error, gpointer data)
{
	struct look *look = data;
	g_autoptr(GError) broken = NULL;
	g_autoptr(GBytes) bytes = error == NULL ? message_bytes(answer, "look.json", 64 << 20, &broken) : NULL;
	autoptr(json) found = bytes != NULL ? json_parse_bytes(bytes, &broken) : NULL;
	gboolean good = found != NULL;

	(void)none;
	look->out = FALSE;
	if (!good) {
		log_event("warning", "event=look project=%s %s", look->project != NULL ? look->project : "*",
		    error != NULL ? error->message : broken->message);
	} else {
		take_commit(engine, json_string(answer->body, "policy"));
		if (look->project == NULL)
			take_policy(engine, json_get(found, "projects"));
		else
			good = take_source(engine, look->project, json_at(json_get(found, "projects"), 0));
	}
	if (good)
		look->failed = 0;
	else
		look_later(look);
	if (look->again)
		engine_look(engine, look->project);
}

static struct look *look_of(struct engine *engine, const char *project)
{
	struct look *look = g_hash_table_lookup(engine->looks, project != NULL ? project : "*");

	if (look == NULL) {
		look = g_new0(struct look, 1);
		look->engine = engine;
		look->project = g_strdup(project);
		g_hash_table_insert(engine->looks, project != NULL ? look->project : (char *)"*", look);
	}
	return look;
}

/* However often one pushes: one look is out, and one more after it. */
static void look_at(struct engine *engine, const char *project, gboolean fetch_policy)
{
	struct look *look = look_of(engine, project);
	struct json *projects;
	struct message *m;

	if (look->out) {
		look->again = TRUE;
		return;
	}
	look->out = TRUE;
	look->again = FALSE;
	m = message_new(MSG_LOOK, 0);
	projects = json_array_new();
	if (project != NULL)
		json_append_string(projects, project);
	json_set(m->body, "projects", projects);
	json_set_boolean(m->body, "fetch_policy", fetch_policy);
	engine_ask(engine, ROLE_GITOPS, m, MSG_LOOKED, NULL, looked, look);
}

void engine_look(struct engine *engine, const char *project)
{
	look_at(engine, project, TRUE);
}
