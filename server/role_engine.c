/* The engine's process: opens the store, takes up every open release where it stood, then turns its loop. See engine.h for the whole. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

static const struct role_verb verbs[] = {
	{ MSG_HELLO, engine_greeted },
	{ MSG_HOOK, engine_hook },
	{ MSG_ASK, engine_tell },
	{ MSG_LOOKED, engine_answered },
	{ MSG_DECIDED, engine_answered },
	{ MSG_VOUCHED, engine_answered },
	{ MSG_FETCHED, engine_answered },
	{ MSG_STAMPED, engine_answered },
	{ MSG_COPIED, engine_answered },
	{ MSG_INSPECTED, engine_answered },
	{ MSG_DIGESTED, engine_answered },
	{ MSG_ATTACHED, engine_answered },
	{ MSG_READ, engine_answered },
	{ MSG_SCANNED, engine_answered },
	{ MSG_JUDGED, engine_answered },
	{ MSG_RECKONED, engine_answered },
	{ MSG_STAMP_JUDGED, engine_answered },
	{ MSG_APPENDED, engine_answered },
	{ MSG_COUNT, NULL },
};

static void poll_due(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	engine_look(data, NULL);
}

static gboolean start_polling(struct engine *engine, GError **error)
{
	int64_t ms = engine->role->config->git_poll;
	struct timeval every = { ms / 1000, ms % 1000 * 1000 };

	engine->poll_timer = event_new(engine->base, -1, EV_PERSIST, poll_due, engine);
	if (engine->poll_timer == NULL || event_add(engine->poll_timer, &every) < 0) {
		g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "the engine cannot set its timers");
		return FALSE;
	}
	return TRUE;
}

/* Whatever was out when the last engine ended is asked for again: gates look before they act. */
static gboolean take_up(struct engine *engine, GError **error)
{
	struct store_query open = { .open_only = TRUE };
	g_autoptr(GPtrArray) rows = store_list(engine->store, &open, error);
	g_autoptr(GPtrArray) events = store_note_names(engine->store, "event/");

	for (guint i = 0; rows != NULL && i < rows->len; i++) {
		struct release *release = release_load(engine, g_ptr_array_index(rows, i), error);
		if (release == NULL)
			return FALSE;
		gate_wake(engine, release);
	}
	for (guint i = 0; i < events->len; i++)
		g_queue_push_tail(engine->records, g_strdup(g_ptr_array_index(events, i)));
	return rows != NULL;
}

static void tell_start(struct engine *engine)
{
	struct json *extra = json_object_new();
	g_autoptr(GBytes) config = file_read(engine->role->config->name, 1 << 20, NULL);
	g_autofree char *digest = config != NULL ? sha256_text_bytes(config) : NULL;

	json_set_string(extra, "server", "tagseald " TAGSEAL_VERSION);
	json_set_string(extra, "configuration", digest);
	engine_event(engine, "start", NULL, extra);
}

int role_engine(struct role_context *role)
{
	struct engine engine = { .role = role };
	g_autoptr(GError) error = NULL;

	role->data = &engine;
	engine.base = event_base_new();
	engine.releases = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)release_free);
	engine.looks = g_hash_table_new(g_str_hash, g_str_equal);
	engine.asked = g_ptr_array_new();
	engine.records = g_queue_new();
	for (guint r = 0; r < ROLE_COUNT; r++)
		engine.questions[r] = g_queue_new();
	if ((engine.store = store_open(role->config, &error)) == NULL) {
		log_event("crit", "%s", error->message);
		return g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE) ? EXIT_FAILURE
											: ROLE_EXIT_CONFIGURATION;
	}
	engine_load_projects(&engine);
	if (!role_attach(role, verbs, engine.base, &error) || !start_polling(&engine, &error) ||
	    !take_up(&engine, &error)) {
		log_event("crit", "%s", error->message);
		return EXIT_FAILURE;
	}
	role_greet(role);
	tell_start(&engine);
	engine_look(&engine, NULL);
	event_base_dispatch(engine.base);
	return EXIT_FAILURE; /* the loop has always something to wait for */
}
