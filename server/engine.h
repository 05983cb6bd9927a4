/*
 * The engine: schedules, and is not believed. One evented process that carries each release through its gates by asking the other roles, keeps what it knows in
 * the store and blobs in the spool, and parses nothing that strangers made.
 *
 *   a release:   source → approval → fetch → structure → scan → sign → timestamp → record → publish → ended
 *   status:      WORKING  questions are out, or it is about to run
 *                WAITING  for people, an artifact, or a thing that is away: until `next_ms`, or a hint
 *                ENDED    signed, rejected, denied, expired or failed; recorded
 * A release enters a gate in gate_enter() alone. A gate's run() looks at what is missing and asks for it; when all answers are there it is run again, and with nothing
 * missing it passes. So a gate may be run at any time again: after a crash, an answer that got lost, a hint.
 */
#pragma once

#include <event2/event.h>
#include <glib.h>

#include "gitops/record.h"
#include "server/role.h"
#include "server/store.h"

struct engine;

enum status { STATUS_WORKING, STATUS_WAITING, STATUS_ENDED };

struct release {
	struct engine *engine;
	char *id, *project, *tag, *tag_object;
	int64_t created_ms;
	struct json *record; /* the record, as far as it is known */
	struct json *work; /* what the gates hand each other (below) */
	enum gate gate;
	enum status status;
	char *reason; /* what it waits for */
	int64_t attempts, next_ms, began_ms; /* of the present gate */
	guint on_input; /* of these attempts: ended by the input, not by what was away */
	GHashTable *files; /* name -> GBytes: evidence as the ledger will have it, and "work/…" that it will not */
	GHashTable *unsaved; /* names of files not yet in the store */
	GPtrArray *events; /* struct json: kept by the next save, in its transaction */

	guint pending; /* questions that are out */
	GError *first_error; /* of the answers so far */
	gboolean wanted; /* a hint came while questions were out: run again */
	gboolean reckon; /* a key may have been used for it without our hearing of it: to be found out before it is recorded */
	gboolean looked; /* its source was fetched just now: gitops need not do it again */
	struct event *timer;
	struct message *decided; /* the newest answer of gitops, between source and approval */
};
/*
 * work: { "provenance": { "url" (from gitops), "first_seen", "section" (fetch) },
 *   "rule", "key", "purpose", "base", "timestamp", "scan", "approve_by", "first_object", "asked", "judge_since", "confirmed", "voided": [numbers], "committed", "published",
 *   "artifacts": [{ "name", "url", "type", "sign": […], "max_size", "sha256", "pinned_by",			from gitops
 *                   "blob", "size",									fetch
 *                   "inspected": true, "report": {…},							structure, scan
 *                   "signs": [{ "format",									approval
 *                              "time", "digest": {…}, "use": {…},					sign
 *                              "authority", "stamp": {…}, "output", "output_size", "read": […], "report": {…} }] }] }	timestamp
 */

struct project { /* as gitops last told it */
	char *name, *source;
	char *approvals; /* where its approvals stand, if that is a repository of its own */
	char **hooks;
	struct json *rules; /* [{name, tags, not_tags}] */
};

typedef void (*answer_fn)(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data);

struct engine {
	struct role_context *role;
	struct event_base *base;
	struct store *store;
	GHashTable *releases; /* id -> struct release: open ones */
	GHashTable *projects; /* name -> struct project */
	GQueue *questions[ROLE_COUNT]; /* struct question: not yet asked */
	GPtrArray *asked; /* struct question: out */
	GQueue *records; /* ids of releases and events that wait for the ledger */
	gboolean ledger_busy;
	guint alone; /* so many entries are sent one by one: a batch was not taken, and one of them may be why */
	struct event *poll_timer;
	GHashTable *looks; /* project, "*" for the policy -> struct look (engine_look.c) */
	int64_t judge_since; /* when the present judge greeted: what an earlier one was told is gone with it */
	char *policy; /* commit in force, as gitops last told it; NULL: not known yet */
};

/* --- asking (engine_ask.c). The message is taken over. The answer goes to `answer` once: error is set when none came (the worker died). A release that is gone meanwhile gets no answer. */
void engine_ask(struct engine *engine, enum role role, struct message *message, enum message_kind answer_kind,
    struct release *release, answer_fn answer, gpointer data);
void engine_answered(struct role_context *role, struct peer *from, struct message *answer); /* every answer's verb */
void engine_greeted(struct role_context *role, struct peer *from, struct message *hello);

/* --- a release's life (release.c) */
struct release *release_new(struct engine *engine, const char *project, const char *tag, const char *tag_object);
struct release *release_load(struct engine *engine, const struct store_release *row, GError **error);
void release_free(struct release *release);
/* State as the store and the API have it. Caller unrefs. */
struct json *release_state(const struct release *release);
/* Writes it in a transaction of its own. The store being away ends the process: what cannot be kept must not go on. */
void release_save(struct engine *engine, struct release *release, gboolean durable);
/* An event that becomes durable together with the state that it belongs to, so that it is told once. Takes `extra` over. */
void release_event(struct release *release, const char *word, const char *record_sha256, struct json *extra);
/*
 * Names of the files that the ledger will have, sorted; names are borrowed. What a signature left behind goes there only with a release that was signed: a
 * good signature over what was never released is not given to the world.
 */
GList *release_evidence(const struct release *release);
void release_set_file(struct release *release, const char *name, GBytes *data);
GBytes *release_file(const struct release *release, const char *name); /* borrowed; NULL if absent */
/* Adds a file of the release to a message; nothing if it is absent. */
void release_attach(const struct release *release, struct message *message, const char *name, const char *as);

/* --- the state machine (gate.c) */
struct gate_row {
	enum gate gate;
	void (*run)(struct engine *engine, struct release *release);
	gboolean durable; /* what it found out must not be found out again */
};
extern const struct gate_row gate_rows[GATE_COUNT];
void gate_enter(struct engine *engine, struct release *release, enum gate gate);
/* Runs the present gate (soon, from the event loop); a release whose questions are still out runs when they are answered. */
void gate_wake(struct engine *engine, struct release *release);
/* Counts one question; each answer ends in gate_part(). A run() begins with one for itself and ends in gate_settle(): passes if nothing was missing. */
void gate_expect(struct release *release);
void gate_settle(struct engine *engine, struct release *release);
/* One answer more; error NULL or borrowed. The last one decides: run again, or what the first error says. */
void gate_part(struct engine *engine, struct release *release, const GError *error);
void gate_pass(struct engine *engine, struct release *release);
/* Waits for people or an artifact; `next_ms` is when to look again at the latest (0: only a hint or the poll wakes it). */
void gate_wait(struct engine *engine, struct release *release, const char *reason, int64_t next_ms);
/* What an error means: REFUSED ends it (rejected), UNAVAILABLE waits and tries again with growing delays, then fails. */
void gate_error(struct engine *engine, struct release *release, const GError *error);
/* Closes the record with this outcome and goes on to `record`. */
void gate_end(struct engine *engine, struct release *release, const char *outcome, const char *reason);
/* The release is over: nothing is left to be done for it. */
void gate_finish(struct engine *engine, struct release *release);

void gate_source_run(struct engine *engine, struct release *release);
void gate_approval_run(struct engine *engine, struct release *release);
void gate_fetch_run(struct engine *engine, struct release *release);
void gate_structure_run(struct engine *engine, struct release *release);
void gate_scan_run(struct engine *engine, struct release *release);
void gate_sign_run(struct engine *engine, struct release *release);
void gate_timestamp_run(struct engine *engine, struct release *release);
void gate_record_run(struct engine *engine, struct release *release);
void gate_publish_run(struct engine *engine, struct release *release);
/* Signed releases that this one may be measured against, newest first: [{record, tag, commit, purpose}] (engine_base.c). */
struct json *engine_bases(struct engine *engine, const struct release *release);
/* Keeps the one that gitops chose; refused unless it is one of ours. None is always taken: then the range is the whole history. */
gboolean engine_keep_base(struct release *release, const struct json *body, GError **error);
/* Asks gitops what the source and the people say now; gate_source_run() and gate_approval_run() share it. */
void gate_decide(struct engine *engine, struct release *release, gboolean fetch, answer_fn answer);
/* Part of `fetch` (fetch_provenance.c): asks for what is missing of the provenance that the rule wants; nothing if it wants none. */
void gate_fetch_provenance(struct engine *engine, struct release *release);
/* Asked once more before the keys are used: FALSE if it has ended, or begins again because other people say other things than the record has; then
 * the question is counted as answered. */
gboolean gate_confirmed(struct engine *engine, struct release *release, struct message *answer);
/* Asks scan about a blob and sets member "report" of `into` (borrowed by the release's work). */
void gate_scan_blob(
    struct engine *engine, struct release *release, struct json *into, const char *blob, const char *name);
/* The work of one signature of one artifact; calls each(…) for all. */
void gate_each_sign(struct engine *engine, struct release *release,
    void (*each)(struct engine *, struct release *, struct json *artifact, struct json *sign, guint number));
/* Adds "certificates": the chain, or the OpenPGP certificate, as the format wants it. */
void gate_attach_certificates(const struct release *release, struct message *message, const char *format);
/* Adds a blob of the spool under that name, read-only; an error ends the part. */
gboolean gate_attach_blob(
    struct engine *engine, struct message *message, const char *name, const char *sha256, GError **error);

/* Before a release is recorded: TRUE if the key's journal had to be asked whether it was used for it without our hearing of it; what it has
 * and nobody told is called void. The gate is run again afterwards. */
gboolean gate_reckon(struct engine *engine, struct release *release);
/* The log must show a key's use that came to nothing. `use` as judge told it. */
void gate_void(struct release *release, const struct json *use, const char *record_sha256, const char *reason);

/* An event for the ledger: kept in the store until it is committed. */
void engine_event(struct engine *engine, const char *word, const char *record_sha256, struct json *extra);
/* Sends what waits to the ledger, if it is idle. */
void engine_append(struct engine *engine);

/* --- looking at sources (engine_look.c) */
void engine_look(struct engine *engine, const char *project); /* NULL: the policy, and then each of its projects */
void engine_load_projects(struct engine *engine);
const struct project *engine_project_of(
    const struct engine *engine, const char *hint); /* name, source URL or a name of `hooks` */
/* Names of the projects whose approvals stand in a repository of their own at that place. Caller frees. */
char **engine_projects_approved_at(const struct engine *engine, const char *hint);
gboolean engine_tag_matters(const struct project *project, const char *tag);

/* --- what listen asks (engine_listen.c) */
void engine_hook(struct role_context *role, struct peer *from, struct message *message);
void engine_tell(struct role_context *role, struct peer *from, struct message *message);

/* --- the spool (spool.c): blobs by SHA-256, each written once and read-only from then on */
int spool_temporary(struct engine *engine, GError **error); /* unnamed, writable; -1 with error. Caller closes */
/* Once no writer is left: read-only, hashed in slices (the loop goes on), synced, linked under its SHA-256. Takes `fd` over. */
void spool_adopt(struct engine *engine, int fd, struct release *release,
    void (*adopted)(
	struct engine *, struct release *, const char *sha256, uint64_t size, const GError *error, gpointer data),
    gpointer data);
int spool_open(struct engine *engine, const char *sha256, uint64_t *size, GError **error); /* read-only; -1 with error */
gboolean spool_has(struct engine *engine, const char *sha256);
