/*
 * record: is it in the log, durably, before anybody gets it? All that is ready goes to the ledger in one batch; a batch is asked for again until the ledger
 * has answered, which is safe, since it writes no id twice.
 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

#define BATCH_ENTRIES 64
static const struct timeval retry = { 2, 0 };
#define BATCH_FILES (MESSAGE_FILES_MAX - 40)

static void add_document(struct message *m, const struct json *document, guint files)
{
	struct json *entries = json_get(m->body, "entries"), *row = json_object_new();
	g_autoptr(GBytes) bytes = json_canonical(document);

	json_set_string(row, "id", json_string(document, "id"));
	json_set_integer(row, "files", files);
	json_append(entries, row);
	message_add_bytes(m, "document", bytes, NULL);
}

static void add_release(struct message *m, const struct release *release)
{
	g_autoptr(GList) names = release_evidence(release);

	add_document(m, release->record, g_list_length(names));
	for (GList *name = names; name != NULL; name = name->next)
		release_attach(release, m, name->data, name->data);
}

/* One entry of the queue: a release's id, or the name of a note that holds an event. FALSE: no room for it in this batch. */
static gboolean add_entry(struct engine *engine, struct message *m, const char *entry)
{
	struct release *release = g_hash_table_lookup(engine->releases, entry);
	autoptr(json) event = release == NULL ? store_note(engine->store, entry) : NULL;
	g_autoptr(GList) names = release != NULL ? release_evidence(release) : NULL;

	if (release != NULL && m->files->len > 0 && m->files->len + 1 + g_list_length(names) > BATCH_FILES)
		return FALSE;
	if (release != NULL)
		add_release(m, release);
	else if (event != NULL)
		add_document(m, event, 0);
	return TRUE;
}

static void take_committed(struct engine *engine, const char *entry, const struct json *row)
{
	struct release *release = g_hash_table_lookup(engine->releases, entry);

	if (release != NULL) {
		json_set(release->work, "committed", json_copy(row));
		gate_part(engine, release, NULL);
	} else if (store_begin(engine->store, FALSE, NULL)) {
		if (!store_put_note(engine->store, entry, NULL, NULL) || !store_commit(engine->store, NULL))
			store_rollback(engine->store);
	}
}

/* What was not committed is asked for again: releases by their gate's own retry, events with the next batch. */
static void give_back(struct engine *engine, GPtrArray *batch, const GError *error)
{
	for (guint i = 0; i < batch->len; i++) {
		const char *entry = g_ptr_array_index(batch, i);
		struct release *release = g_hash_table_lookup(engine->releases, entry);
		if (release != NULL)
			gate_part(engine, release, error);
		else
			g_queue_push_tail(engine->records, g_strdup(entry));
	}
}

/* What the ledger says of that entry; NULL if nothing. */
static const struct json *row_of(const struct json *entries, const char *entry)
{
	const char *id = g_str_has_prefix(entry, "event/") ? entry + strlen("event/") : entry;

	for (guint i = 0; i < json_length(entries); i++)
		if (g_strcmp0(json_string(json_at(entries, i), "id"), id) == 0)
			return json_at(entries, i);
	return NULL;
}

/* Only what was asked for counts as committed, and what is not named in the answer is asked for again. */
static void take_rows(struct engine *engine, GPtrArray *batch, const struct json *entries)
{
	g_autoptr(GPtrArray) missing = g_ptr_array_new();
	g_autoptr(GError) unnamed =
	    g_error_new_literal(TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the ledger did not say that it has it");

	for (guint i = 0; i < batch->len; i++) {
		const struct json *row = row_of(entries, batch->pdata[i]);
		if (row != NULL)
			take_committed(engine, batch->pdata[i], row);
		else
			g_ptr_array_add(missing, batch->pdata[i]);
	}
	give_back(engine, missing, unnamed);
}

static void append_again(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	engine_append(data);
}

static void appended(
    struct engine *engine, struct release *none, struct message *answer, const GError *error, gpointer data)
{
	g_autoptr(GPtrArray) batch = data;
	g_autoptr(GError) behind = NULL;
	const struct json *entries = answer != NULL ? json_get(answer->body, "entries") : NULL;

	(void)none;
	engine->ledger_busy = FALSE;
	if (error == NULL && !json_boolean(answer->body, "pushed", TRUE)) {
		const char *reason = json_string(answer->body, "push_reason");
		g_set_error(&behind, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "the required remote of the audit repository does not have it yet: %s",
		    reason != NULL ? reason : "no reason told");
		error = behind;
	}
	if (error == NULL) {
		take_rows(engine, batch, entries);
		engine_append(engine);
		return;
	}
	log_event("warning", "event=append entries=%u %s", batch->len, error->message);
	if (!g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE) && batch->len > 1) {
		/* One of them is the reason: each is sent alone, so that it holds up no other. */
		engine->alone = batch->len + g_queue_get_length(engine->records);
		g_set_error(&behind, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the ledger did not take a batch: %s",
		    error->message);
		error = behind;
	}
	give_back(engine, batch, error);
	/* Releases come again by themselves; events, and whoever came meanwhile, have no timer of their own. */
	event_base_once(engine->base, -1, EV_TIMEOUT, append_again, engine, &retry);
}

void engine_append(struct engine *engine)
{
	struct message *m;
	GPtrArray *batch;
	guint most;

	if (engine->ledger_busy || g_queue_is_empty(engine->records))
		return;
	m = message_new(MSG_APPEND, 0);
	batch = g_ptr_array_new_with_free_func(g_free);
	json_set(m->body, "entries", json_array_new());
	most = engine->alone > 0 ? 1 : BATCH_ENTRIES;
	engine->alone -= engine->alone > 0;
	while (!g_queue_is_empty(engine->records) && batch->len < most &&
	       add_entry(engine, m, g_queue_peek_head(engine->records)))
		g_ptr_array_add(batch, g_queue_pop_head(engine->records));
	engine->ledger_busy = TRUE;
	engine_ask(engine, ROLE_LEDGER, m, MSG_APPENDED, NULL, appended, batch);
}

void engine_event(struct engine *engine, const char *word, const char *record_sha256, struct json *extra)
{
	autoptr(json) event = record_event_new(word, record_sha256, extra);
	g_autofree char *name = g_strdup_printf("event/%s", json_string(event, "id"));
	g_autoptr(GError) error = NULL;

	if (!store_begin(engine->store, FALSE, &error) || !store_put_note(engine->store, name, event, &error) ||
	    !store_commit(engine->store, &error)) {
		log_event("err", "event=%s %s", word, error->message);
		return;
	}
	g_queue_push_tail(engine->records, g_steal_pointer(&name));
	engine_append(engine);
}

void gate_record_run(struct engine *engine, struct release *release)
{
	const char *outcome = json_as_string(json_path(release->record, "end.outcome"));

	if (json_get(release->work, "committed") == NULL && gate_reckon(engine, release))
		return;
	if (json_get(release->work, "committed") == NULL) {
		/*
		 * A closed record is kept before the ledger may have it: after a crash the very same one is asked for again, and
		 * what was rejected in the log is not decided anew under its id.
		 */
		release_save(engine, release, g_strcmp0(outcome, "signed") != 0);
		gate_expect(release);
		g_queue_push_tail(engine->records, g_strdup(release->id));
		engine_append(engine);
	} else if (g_strcmp0(outcome, "signed") == 0) {
		gate_pass(engine, release);
	} else {
		gate_finish(engine, release);
	}
}
