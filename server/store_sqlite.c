/*
 * The embedded store: SQLite in WAL mode. synchronous is FULL for durable transactions and NORMAL for the rest: in WAL mode that costs no fsync, and
 * loses at most the newest of them at a power cut, never an older one before a newer.
 */
#include "server/store.h"

#include <sqlite3.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	DURABLE,
	LAZY,
	PUT,
	REMOVE,
	GET,
	FIND,
	LIST,
	COUNT_OPEN,
	PUT_FILE,
	FILES,
	CLEAR_FILES,
	DELIVERY,
	PUT_DELIVERY,
	SEEN,
	PUT_SEEN,
	PUT_NOTE,
	REMOVE_NOTE,
	NOTE,
	NOTE_NAMES,
	STATEMENTS
};

#define COLUMNS "id, project, tag, tag_object, created, updated, open, state"

static const char *const texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[DURABLE] = "PRAGMA synchronous = FULL",
	[LAZY] = "PRAGMA synchronous = NORMAL",
	[PUT] = "INSERT INTO release (" COLUMNS ", outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
		" ON CONFLICT (id) DO UPDATE SET updated = ?6, open = ?7, state = ?8, outcome = ?9",
	[REMOVE] = "DELETE FROM release WHERE id = ?1",
	[GET] = "SELECT " COLUMNS " FROM release WHERE id = ?1",
	[FIND] = "SELECT " COLUMNS " FROM release WHERE project = ?1 AND tag = ?2 AND tag_object = ?3",
	[LIST] = "SELECT " COLUMNS " FROM release WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR tag = ?2)"
		 " AND (?3 IS NULL OR outcome = ?3) AND (?4 IS NULL OR id < ?4) AND (?5 = 0 OR open = 1) ORDER BY id "
		 "DESC LIMIT ?6",
	[COUNT_OPEN] = "SELECT count(*) FROM release WHERE open = 1",
	[PUT_FILE] = "INSERT OR REPLACE INTO file (release, name, data) VALUES (?1, ?2, ?3)",
	[FILES] = "SELECT name, data FROM file WHERE release = ?1",
	[CLEAR_FILES] = "DELETE FROM file WHERE release = ?1",
	[DELIVERY] = "SELECT answer FROM delivery WHERE (host = ?1 AND id = ?2) OR (host = ?1 AND body = ?3) LIMIT 1",
	[PUT_DELIVERY] = "INSERT OR REPLACE INTO delivery (host, id, body, answer, time) VALUES (?1, ?2, ?3, ?4, ?5)",
	[SEEN] = "SELECT object, time FROM seen WHERE project = ?1",
	[PUT_SEEN] = "INSERT OR IGNORE INTO seen (project, object, time) VALUES (?1, ?2, ?3)",
	[PUT_NOTE] = "INSERT OR REPLACE INTO note (name, value) VALUES (?1, ?2)",
	[REMOVE_NOTE] = "DELETE FROM note WHERE name = ?1",
	[NOTE] = "SELECT value FROM note WHERE name = ?1",
	[NOTE_NAMES] = "SELECT name FROM note WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name",
};

static const char schema[] =
    "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;"
    "CREATE TABLE IF NOT EXISTS release (id TEXT PRIMARY KEY, project TEXT NOT NULL, tag TEXT NOT NULL, tag_object "
    "TEXT NOT NULL,"
    " created INTEGER NOT NULL, updated INTEGER NOT NULL, open INTEGER NOT NULL, state BLOB NOT NULL, outcome TEXT,"
    " UNIQUE (project, tag, tag_object)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS release_open ON release (open) WHERE open = 1;"
    "CREATE TABLE IF NOT EXISTS file (release TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY "
    "(release, name));"
    "CREATE TABLE IF NOT EXISTS delivery (host TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, answer BLOB NOT "
    "NULL,"
    " time INTEGER NOT NULL, PRIMARY KEY (host, id)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS delivery_body ON delivery (host, body);"
    "CREATE TABLE IF NOT EXISTS seen (project TEXT NOT NULL, object TEXT NOT NULL, time INTEGER NOT NULL, PRIMARY KEY "
    "(project, object))"
    " WITHOUT ROWID;"
    "DELETE FROM delivery WHERE time < (strftime('%s', 'now') - 30 * 86400) * 1000;" /* hosts do not redeliver what is older */
    "CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;";

struct store {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *statements[STATEMENTS];
};

static gboolean fail(const struct store *store, const char *doing, GError **error)
{
	int code = sqlite3_errcode(store->db);

	g_set_error(error, TAGSEAL_ERROR,
	    code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? TAGSEAL_ERROR_FAILED : TAGSEAL_ERROR_UNAVAILABLE,
	    "the job store %s cannot %s: %s", store->path, doing, sqlite3_errmsg(store->db));
	return FALSE;
}

struct store *store_open(const struct config *config, GError **error)
{
	struct store *store = g_new0(struct store, 1);

	store->path = config_path(config, config->store + strlen("sqlite:"));
	if (sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
		NULL) != SQLITE_OK ||
	    sqlite3_exec(store->db, schema, NULL, NULL, NULL) != SQLITE_OK) {
		fail(store, "be opened", error);
		store_close(store);
		return NULL;
	}
	return store;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	for (guint i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->db);
	g_free(store->path);
	g_free(store);
}

/* A statement ready to be bound, or NULL: then the step that follows fails with SQLite's own message. */
static sqlite3_stmt *prepare(struct store *store, enum statement which)
{
	sqlite3_stmt **s = &store->statements[which];

	if (*s == NULL && sqlite3_prepare_v3(store->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, s, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_reset(*s);
	sqlite3_clear_bindings(*s);
	return *s;
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
	if (text != NULL)
		sqlite3_bind_text(s, at, text, -1, SQLITE_TRANSIENT);
}

static void bind_json(sqlite3_stmt *s, int at, const struct json *value)
{
	g_autoptr(GBytes) bytes = json_canonical(value);

	sqlite3_bind_blob(s, at, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), SQLITE_TRANSIENT);
}

/* Runs a statement that gives no rows. */
static gboolean run(struct store *store, sqlite3_stmt *s, const char *doing, GError **error)
{
	gboolean done = s != NULL && sqlite3_step(s) == SQLITE_DONE;

	if (!done)
		fail(store, doing, error);
	sqlite3_reset(s);
	return done;
}

gboolean store_begin(struct store *store, gboolean durable, GError **error)
{
	return run(store, prepare(store, durable ? DURABLE : LAZY), "set its durability", error) &&
	       run(store, prepare(store, BEGIN), "begin", error);
}

gboolean store_commit(struct store *store, GError **error)
{
	if (run(store, prepare(store, COMMIT), "commit", error))
		return TRUE;
	store_rollback(store);
	return FALSE;
}

void store_rollback(struct store *store)
{
	if (!sqlite3_get_autocommit(store->db))
		run(store, prepare(store, ROLLBACK), "roll back", NULL);
}

static GBytes *column_bytes(sqlite3_stmt *s, int at)
{
	return g_bytes_new(sqlite3_column_blob(s, at), sqlite3_column_bytes(s, at));
}

static struct json *column_json(struct store *store, sqlite3_stmt *s, int at, GError **error)
{
	struct json *value = json_parse_canonical(sqlite3_column_blob(s, at), sqlite3_column_bytes(s, at), error);

	if (value == NULL)
		g_prefix_error(error, "the job store %s is damaged: ", store->path);
	return value;
}

void store_release_free(struct store_release *release)
{
	if (release == NULL)
		return;
	g_free(release->id);
	g_free(release->project);
	g_free(release->tag);
	g_free(release->tag_object);
	json_unref(release->state);
	g_free(release);
}

static char *column_text(sqlite3_stmt *s, int at)
{
	return g_strdup((const char *)sqlite3_column_text(s, at));
}

static struct store_release *column_release(struct store *store, sqlite3_stmt *s, GError **error)
{
	struct store_release *release = g_new0(struct store_release, 1);

	release->id = column_text(s, 0);
	release->project = column_text(s, 1);
	release->tag = column_text(s, 2);
	release->tag_object = column_text(s, 3);
	release->created_ms = sqlite3_column_int64(s, 4);
	release->updated_ms = sqlite3_column_int64(s, 5);
	release->open = sqlite3_column_int(s, 6);
	release->state = column_json(store, s, 7, error);
	if (release->state == NULL)
		g_clear_pointer(&release, store_release_free);
	return release;
}

gboolean store_put(struct store *store, const struct store_release *release, GError **error)
{
	sqlite3_stmt *s = prepare(store, PUT);

	if (s != NULL) {
		bind_text(s, 1, release->id);
		bind_text(s, 2, release->project);
		bind_text(s, 3, release->tag);
		bind_text(s, 4, release->tag_object);
		sqlite3_bind_int64(s, 5, release->created_ms);
		sqlite3_bind_int64(s, 6, release->updated_ms);
		sqlite3_bind_int(s, 7, release->open);
		bind_json(s, 8, release->state);
		bind_text(s, 9, json_as_string(json_path(release->state, "record.end.outcome")));
	}
	return run(store, s, "keep a release", error);
}

gboolean store_remove(struct store *store, const char *id, GError **error)
{
	sqlite3_stmt *s = prepare(store, REMOVE);

	if (s != NULL)
		bind_text(s, 1, id);
	return run(store, s, "remove a release", error);
}

/* The first row as a release; NULL without error if there is none. */
static struct store_release *one_release(struct store *store, sqlite3_stmt *s, GError **error)
{
	struct store_release *release = NULL;
	int code = s != NULL ? sqlite3_step(s) : SQLITE_ERROR;

	if (code == SQLITE_ROW)
		release = column_release(store, s, error);
	else if (code != SQLITE_DONE)
		fail(store, "find a release", error);
	sqlite3_reset(s);
	return release;
}

struct store_release *store_get(struct store *store, const char *id, GError **error)
{
	sqlite3_stmt *s = prepare(store, GET);

	if (s != NULL)
		bind_text(s, 1, id);
	return one_release(store, s, error);
}

struct store_release *store_find(
    struct store *store, const char *project, const char *tag, const char *tag_object, GError **error)
{
	sqlite3_stmt *s = prepare(store, FIND);

	if (s != NULL) {
		bind_text(s, 1, project);
		bind_text(s, 2, tag);
		bind_text(s, 3, tag_object);
	}
	return one_release(store, s, error);
}

GPtrArray *store_list(struct store *store, const struct store_query *query, GError **error)
{
	g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)store_release_free);
	sqlite3_stmt *s = prepare(store, LIST);
	int code = SQLITE_ERROR;

	if (s != NULL) {
		bind_text(s, 1, query->project);
		bind_text(s, 2, query->tag);
		bind_text(s, 3, query->outcome);
		bind_text(s, 4, query->before);
		sqlite3_bind_int(s, 5, query->open_only);
		sqlite3_bind_int64(s, 6, query->limit > 0 ? (int64_t)query->limit : -1);
		while ((code = sqlite3_step(s)) == SQLITE_ROW) {
			struct store_release *release = column_release(store, s, error);
			if (release == NULL)
				break;
			g_ptr_array_add(rows, release);
		}
	}
	if (code == SQLITE_DONE) {
		sqlite3_reset(s);
		return g_steal_pointer(&rows);
	}
	if (code != SQLITE_ROW)
		fail(store, "list releases", error);
	sqlite3_reset(s);
	return NULL;
}

guint store_count_open(struct store *store)
{
	sqlite3_stmt *s = prepare(store, COUNT_OPEN);
	guint count = s != NULL && sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;

	sqlite3_reset(s);
	return count;
}

gboolean store_put_file(struct store *store, const char *release, const char *name, GBytes *data, GError **error)
{
	sqlite3_stmt *s = prepare(store, PUT_FILE);
	size_t size;
	const void *bytes = g_bytes_get_data(data, &size);

	if (s != NULL) {
		bind_text(s, 1, release);
		bind_text(s, 2, name);
		sqlite3_bind_blob64(s, 3, size > 0 ? bytes : "", size, SQLITE_TRANSIENT);
	}
	return run(store, s, "keep a file of a release", error);
}

GHashTable *store_files(struct store *store, const char *release, GError **error)
{
	g_autoptr(GHashTable) files =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	sqlite3_stmt *s = prepare(store, FILES);
	int code = SQLITE_ERROR;

	if (s != NULL) {
		bind_text(s, 1, release);
		while ((code = sqlite3_step(s)) == SQLITE_ROW)
			g_hash_table_insert(files, column_text(s, 0), column_bytes(s, 1));
	}
	if (code != SQLITE_DONE)
		fail(store, "read the files of a release", error);
	sqlite3_reset(s);
	return code == SQLITE_DONE ? g_steal_pointer(&files) : NULL;
}

gboolean store_clear_files(struct store *store, const char *release, GError **error)
{
	sqlite3_stmt *s = prepare(store, CLEAR_FILES);

	if (s != NULL)
		bind_text(s, 1, release);
	return run(store, s, "remove the files of a release", error);
}

struct json *store_delivery(
    struct store *store, const char *host, const char *delivery, const char *body_sha256, GError **error)
{
	sqlite3_stmt *s = prepare(store, DELIVERY);
	struct json *answer = NULL;
	int code = SQLITE_ERROR;

	if (s != NULL) {
		bind_text(s, 1, host);
		bind_text(s, 2, delivery);
		bind_text(s, 3, body_sha256);
		code = sqlite3_step(s);
	}
	if (code == SQLITE_ROW)
		answer = column_json(store, s, 0, error);
	else if (code != SQLITE_DONE)
		fail(store, "look up a delivery", error);
	sqlite3_reset(s);
	return answer;
}

gboolean store_put_delivery(struct store *store, const char *host, const char *delivery, const char *body_sha256,
    const struct json *answer, GError **error)
{
	sqlite3_stmt *s = prepare(store, PUT_DELIVERY);

	if (s != NULL) {
		bind_text(s, 1, host);
		bind_text(s, 2, delivery);
		bind_text(s, 3, body_sha256);
		bind_json(s, 4, answer);
		sqlite3_bind_int64(s, 5, time_now_ms());
	}
	return run(store, s, "keep a delivery", error);
}

struct json *store_seen(struct store *store, const char *project, GError **error)
{
	sqlite3_stmt *s = prepare(store, SEEN);
	autoptr(json) seen = json_object_new();
	int code = SQLITE_ERROR;

	if (s != NULL) {
		bind_text(s, 1, project);
		while ((code = sqlite3_step(s)) == SQLITE_ROW)
			json_set_integer(seen, (const char *)sqlite3_column_text(s, 0), sqlite3_column_int64(s, 1));
	}
	if (code != SQLITE_DONE)
		fail(store, "tell when objects were first seen", error);
	sqlite3_reset(s);
	return code == SQLITE_DONE ? g_steal_pointer(&seen) : NULL;
}

gboolean store_put_seen(struct store *store, const char *project, const char *object, int64_t ms, GError **error)
{
	sqlite3_stmt *s = prepare(store, PUT_SEEN);

	if (s != NULL) {
		bind_text(s, 1, project);
		bind_text(s, 2, object);
		sqlite3_bind_int64(s, 3, ms);
	}
	return run(store, s, "keep when an object was first seen", error);
}

gboolean store_put_note(struct store *store, const char *name, const struct json *note, GError **error)
{
	sqlite3_stmt *s = prepare(store, note != NULL ? PUT_NOTE : REMOVE_NOTE);

	if (s != NULL) {
		bind_text(s, 1, name);
		if (note != NULL)
			bind_json(s, 2, note);
	}
	return run(store, s, "keep a note", error);
}

struct json *store_note(struct store *store, const char *name)
{
	sqlite3_stmt *s = prepare(store, NOTE);
	struct json *note = NULL;

	if (s != NULL) {
		bind_text(s, 1, name);
		if (sqlite3_step(s) == SQLITE_ROW)
			note = column_json(store, s, 0, NULL);
	}
	sqlite3_reset(s);
	return note;
}

GPtrArray *store_note_names(struct store *store, const char *prefix)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	sqlite3_stmt *s = prepare(store, NOTE_NAMES);

	if (s != NULL) {
		bind_text(s, 1, prefix);
		while (sqlite3_step(s) == SQLITE_ROW)
			g_ptr_array_add(names, column_text(s, 0));
	}
	sqlite3_reset(s);
	return names;
}
