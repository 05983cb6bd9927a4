#include <stdlib.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

static const char *const status_names[] = { "working", "waiting", "ended" };

static void event_free_json(void *event)
{
	json_unref(event);
}

static struct release *release_alloc(
    struct engine *engine, const char *id, const char *project, const char *tag, const char *tag_object)
{
	struct release *release = g_new0(struct release, 1);

	release->engine = engine;
	release->id = g_strdup(id);
	release->project = g_strdup(project);
	release->tag = g_strdup(tag);
	release->tag_object = g_strdup(tag_object);
	release->unsaved = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	release->events = g_ptr_array_new_with_free_func(event_free_json);
	return release;
}

struct release *release_new(struct engine *engine, const char *project, const char *tag, const char *tag_object)
{
	g_autofree char *id = ulid_new();
	struct release *release = release_alloc(engine, id, project, tag, tag_object);

	release->created_ms = release->began_ms = time_now_ms();
	release->record = record_new(id, project, tag);
	release->work = json_object_new();
	release->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	g_hash_table_insert(engine->releases, release->id, release);
	return release;
}

struct release *release_load(struct engine *engine, const struct store_release *row, GError **error)
{
	struct release *release = release_alloc(engine, row->id, row->project, row->tag, row->tag_object);
	const char *gate = json_string(row->state, "gate");

	release->created_ms = row->created_ms;
	release->record = json_copy(json_get(row->state, "record"));
	release->work = json_copy(json_get(row->state, "work"));
	release->reason = g_strdup(json_string(row->state, "reason"));
	release->next_ms = json_integer(row->state, "next", 0);
	release->began_ms = json_integer(row->state, "began", row->created_ms);
	release->status = STATUS_WAITING;
	release->files = store_files(engine->store, row->id, error);
	if (release->files == NULL || gate == NULL || !gate_parse(gate, &release->gate)) {
		if (release->files != NULL)
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED,
			    "the store has the release %s without a gate", row->id);
		release_free(release);
		return NULL;
	}
	/* Whatever ended us may have lost the answer to a use of its key. */
	release->reckon = release->gate == GATE_SIGN || json_get(release->work, "confirmed") != NULL;
	g_hash_table_insert(engine->releases, release->id, release);
	return release;
}

void release_free(struct release *release)
{
	if (release == NULL)
		return;
	if (release->timer != NULL)
		event_free(release->timer);
	message_free(release->decided);
	json_unref(release->record);
	json_unref(release->work);
	g_clear_error(&release->first_error);
	if (release->files != NULL)
		g_hash_table_unref(release->files);
	g_hash_table_unref(release->unsaved);
	g_ptr_array_unref(release->events);
	g_free(release->reason);
	g_free(release->tag_object);
	g_free(release->tag);
	g_free(release->project);
	g_free(release->id);
	g_free(release);
}

struct json *release_state(const struct release *release)
{
	struct json *state = json_object_new();

	json_set(state, "record", json_ref(release->record));
	json_set(state, "work", json_ref(release->work));
	json_set_string(state, "gate", gate_name(release->gate));
	json_set_string(state, "status", status_names[release->status]);
	json_set_integer(state, "attempts", release->attempts);
	json_set_integer(state, "next", release->next_ms);
	json_set_integer(state, "began", release->began_ms);
	if (release->reason != NULL)
		json_set_string(state, "reason", release->reason);
	return state;
}

static gboolean save(struct engine *engine, struct release *release, gboolean durable, GError **error)
{
	struct store_release row = { release->id, release->project, release->tag, release->tag_object,
		release->created_ms, time_now_ms(), release->status != STATUS_ENDED, NULL };
	autoptr(json) state = release_state(release);
	GHashTableIter names;
	gpointer name;

	row.state = state;
	if (!store_begin(engine->store, durable, error) || !store_put(engine->store, &row, error))
		return FALSE;
	g_hash_table_iter_init(&names, release->unsaved);
	while (g_hash_table_iter_next(&names, &name, NULL))
		if (!store_put_file(engine->store, release->id, name, g_hash_table_lookup(release->files, name), error))
			return FALSE;
	for (guint i = 0; i < release->events->len; i++) {
		g_autofree char *note = g_strdup_printf("event/%s", json_string(release->events->pdata[i], "id"));
		if (!store_put_note(engine->store, note, release->events->pdata[i], error))
			return FALSE;
	}
	if (release->status == STATUS_ENDED && !store_clear_files(engine->store, release->id, error))
		return FALSE;
	return store_commit(engine->store, error);
}

void release_save(struct engine *engine, struct release *release, gboolean durable)
{
	g_autoptr(GError) error = NULL;

	if (!save(engine, release, durable, &error)) {
		log_event("crit", "release=%s %s", release->id, error->message);
		exit(EXIT_FAILURE); /* the supervisor starts us again, and we go on from what the store has */
	}
	g_hash_table_remove_all(release->unsaved);
	for (guint i = 0; i < release->events->len; i++)
		g_queue_push_tail(
		    engine->records, g_strdup_printf("event/%s", json_string(release->events->pdata[i], "id")));
	if (release->events->len > 0) {
		g_ptr_array_set_size(release->events, 0);
		engine_append(engine);
	}
}

void release_event(struct release *release, const char *word, const char *record_sha256, struct json *extra)
{
	g_ptr_array_add(release->events, record_event_new(word, record_sha256, extra));
}

/* Is that file one of those that the record speaks of? */
static gboolean is_evidence(const struct release *release, const char *name)
{
	const char *outcome = json_as_string(json_path(release->record, "end.outcome"));

	if (g_str_has_prefix(name, "work/"))
		return FALSE;
	if (g_str_has_prefix(name, "approval-"))
		return g_ascii_strtoull(name + strlen("approval-"), NULL, 10) <=
		       json_length(json_get(release->record, "approvals"));
	if (g_str_has_prefix(name, "range"))
		return json_path(release->record, "source.range") != NULL;
	if (g_str_equal(name, "manifest"))
		return json_path(release->record, "source.tree_sha256") != NULL;
	return !g_ascii_isdigit(*name) || outcome == NULL || g_str_equal(outcome, "signed");
}

GList *release_evidence(const struct release *release)
{
	GList *names = NULL;
	GHashTableIter files;
	gpointer name;

	g_hash_table_iter_init(&files, release->files);
	while (g_hash_table_iter_next(&files, &name, NULL))
		if (is_evidence(release, name))
			names = g_list_prepend(names, name);
	return g_list_sort(names, (GCompareFunc)strcmp);
}

void release_set_file(struct release *release, const char *name, GBytes *data)
{
	g_hash_table_insert(release->files, g_strdup(name), g_bytes_ref(data));
	g_hash_table_add(release->unsaved, g_strdup(name));
}

GBytes *release_file(const struct release *release, const char *name)
{
	return g_hash_table_lookup(release->files, name);
}

void release_attach(const struct release *release, struct message *message, const char *name, const char *as)
{
	g_autoptr(GError) error = NULL;
	GBytes *data = release_file(release, name);

	if (data != NULL && !message_add_bytes(message, as, data, &error)) {
		log_event("crit", "release=%s %s", release->id, error->message);
		exit(EXIT_FAILURE);
	}
}
