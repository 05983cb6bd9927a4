/*
 * The job store: what the engine knows and must not forget. One backend a file (store_sqlite.c). Only the engine opens it.
 * Writes happen inside store_begin() … store_commit(); a durable transaction is on the disk when store_commit() returns, another one with the next durable
 * one at the latest (enough for gates, which may be run again; not for what was promised or signed).
 * Every function that returns gboolean or a pointer sets error UNAVAILABLE (disk, lock) or FAILED (damaged store).
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/json.h"
#include "server/config.h"

struct store;
struct store *store_open(const struct config *config, GError **error);
void store_close(struct store *store);

gboolean store_begin(struct store *store, gboolean durable, GError **error);
gboolean store_commit(struct store *store, GError **error);
void store_rollback(struct store *store);

struct store_release {
	char *id, *project, *tag, *tag_object;
	int64_t created_ms, updated_ms;
	gboolean open; /* not ended yet */
	struct json *state; /* the engine's: record, work, gate, attempts … (engine.h) */
};
void store_release_free(struct store_release *release);

/* Inserts or replaces by id; `state` is written whole. */
gboolean store_put(struct store *store, const struct store_release *release, GError **error);
gboolean store_remove(struct store *store, const char *id, GError **error);
/* NULL without error if there is none. */
struct store_release *store_get(struct store *store, const char *id, GError **error);
/* The release of that very tag object; NULL without error if there is none. */
struct store_release *store_find(
    struct store *store, const char *project, const char *tag, const char *tag_object, GError **error);

struct store_query {
	const char *project, *tag, *outcome; /* NULL: any */
	const char *before; /* id: older ones only */
	gboolean open_only;
	guint limit;
};
/* Newest first (ids sort by time); of struct store_release. */
GPtrArray *store_list(struct store *store, const struct store_query *query, GError **error);
guint store_count_open(struct store *store);

/* Files of a release: evidence and what is on its way, small enough for a row. */
gboolean store_put_file(struct store *store, const char *release, const char *name, GBytes *data, GError **error);
GHashTable *store_files(struct store *store, const char *release, GError **error); /* name -> GBytes */
gboolean store_clear_files(struct store *store, const char *release, GError **error);

/* Deliveries of webhooks: the same id, or the same body, is answered as before. NULL without error if it is new. */
struct json *store_delivery(
    struct store *store, const char *host, const char *delivery, const char *body_sha256, GError **error);
gboolean store_put_delivery(struct store *store, const char *host, const char *delivery, const char *body_sha256,
    const struct json *answer, GError **error);

/* When objects were first seen: {object id: ms}. */
struct json *store_seen(struct store *store, const char *project, GError **error);
gboolean store_put_seen(struct store *store, const char *project, const char *object, int64_t ms, GError **error);

/* Small documents by name: the projects as last looked at, events that wait for the ledger ("event/ULID"), hints ("hint/PROJECT"). */
gboolean store_put_note(struct store *store, const char *name, const struct json *note, GError **error); /* NULL removes */
struct json *store_note(struct store *store, const char *name);
GPtrArray *store_note_names(struct store *store, const char *prefix); /* of char * */
