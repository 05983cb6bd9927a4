/* The state machine: how a release enters gates, waits, goes on and ends. What each gate does stands in gate_*.c. */
#include <stdlib.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

#define FIRST_DELAY_MS 500
#define REASON_MAX 4000 /* bytes; the record takes a little more */
#define LAST_DELAY_MS (5 * 60 * 1000)
#define MOST_ATTEMPTS 48 /* of a thing that is away: some three hours */
#define MOST_ATTEMPTS_ON_INPUT 3 /* of an input that a worker died on, or that could not be scanned */

const struct gate_row gate_rows[GATE_COUNT] = {
	[GATE_SOURCE] = { GATE_SOURCE, gate_source_run, FALSE },
	[GATE_APPROVAL] = { GATE_APPROVAL, gate_approval_run, FALSE },
	[GATE_FETCH] = { GATE_FETCH, gate_fetch_run, FALSE },
	[GATE_STRUCTURE] = { GATE_STRUCTURE, gate_structure_run, FALSE },
	[GATE_SCAN] = { GATE_SCAN, gate_scan_run, FALSE },
	[GATE_SIGN] = { GATE_SIGN, gate_sign_run, TRUE },
	[GATE_TIMESTAMP] = { GATE_TIMESTAMP, gate_timestamp_run, FALSE },
	[GATE_RECORD] = { GATE_RECORD, gate_record_run, TRUE },
	[GATE_PUBLISH] = { GATE_PUBLISH, gate_publish_run, FALSE },
};

static void timer_due(evutil_socket_t fd, short what, void *data)
{
	struct release *release = data;

	(void)fd;
	(void)what;
	if (release->pending == 0 && release->status != STATUS_ENDED) {
		release->status = STATUS_WORKING;
		release->wanted = FALSE;
		gate_rows[release->gate].run(release->engine, release);
	}
}

static void run_in(struct release *release, int64_t ms)
{
	struct timeval in = { ms / 1000, ms % 1000 * 1000 };

	if (release->timer == NULL)
		release->timer = event_new(release->engine->base, -1, 0, timer_due, release);
	event_add(release->timer, &in);
}

static void set_reason(struct release *release, const char *reason)
{
	g_free(release->reason);
	release->reason = g_strdup(reason);
}

void gate_enter(struct engine *engine, struct release *release, enum gate gate)
{
	release->gate = gate;
	release->status = STATUS_WORKING;
	release->attempts = 0;
	release->on_input = 0;
	release->next_ms = 0;
	release->began_ms = time_now_ms();
	set_reason(release, NULL);
	log_event("info", "release=%s project=%s tag=%s gate=%s", release->id, release->project, release->tag,
	    gate_name(gate));
	gate_rows[gate].run(engine, release);
}

void gate_wake(struct engine *engine, struct release *release)
{
	(void)engine;
	if (release->pending > 0)
		release->wanted = TRUE;
	else
		run_in(release, 0);
}

void gate_expect(struct release *release)
{
	release->pending++;
}

void gate_settle(struct engine *engine, struct release *release)
{
	if (release->pending == 1 && release->first_error == NULL) {
		release->pending = 0;
		gate_pass(engine, release);
	} else {
		gate_part(engine, release, NULL);
	}
}

void gate_part(struct engine *engine, struct release *release, const GError *error)
{
	g_autoptr(GError) first = NULL;

	if (error != NULL && release->first_error == NULL)
		release->first_error = g_error_copy(error);
	if (--release->pending > 0)
		return;
	first = g_steal_pointer(&release->first_error);
	release_save(engine, release, gate_rows[release->gate].durable);
	if (first != NULL && !release->wanted)
		gate_error(engine, release, first);
	else
		gate_wake(engine, release);
	release->wanted = FALSE;
}

void gate_pass(struct engine *engine, struct release *release)
{
	/* The record is closed after `timestamp`; what comes later is told by events. */
	if (json_get(release->record, "end") == NULL)
		record_gate(
		    release->record, release->gate, "passed", release->began_ms, time_now_ms(), release->attempts + 1);
	if (release->gate == GATE_TIMESTAMP)
		record_end(release->record, "signed", GATE_TIMESTAMP, NULL);
	if (release->gate == GATE_PUBLISH) {
		gate_finish(engine, release);
		return;
	}
	gate_enter(engine, release, release->gate + 1);
}

void gate_wait(struct engine *engine, struct release *release, const char *reason, int64_t next_ms)
{
	gboolean changed = release->status != STATUS_WAITING || g_strcmp0(reason, release->reason) != 0;

	if (changed)
		log_event("info", "release=%s gate=%s waiting=\"%s\"", release->id, gate_name(release->gate), reason);
	set_reason(release, reason);
	release->status = STATUS_WAITING;
	release->next_ms = next_ms;
	release_save(engine, release, FALSE);
	if (release->wanted)
		run_in(release, 0); /* what it waits for may have come while the answer was on its way */
	else if (next_ms > 0)
		run_in(release, MAX(next_ms - time_now_ms(), 50));
}

/* Full jitter around a doubling delay, so that releases that fell together do not come back together. */
static int64_t delay_ms(int64_t attempts)
{
	int64_t most = attempts < 10 ? FIRST_DELAY_MS << attempts : LAST_DELAY_MS;

	most = MIN(most, LAST_DELAY_MS);
	return most / 2 + g_random_int_range(0, (gint32)(most / 2) + 1);
}

/* How long is long enough depends on the gate: a build may take hours, a file that a worker dies on is not tried for ever. */
static gboolean tried_enough(const struct engine *engine, const struct release *release, const GError *error)
{
	if (release->gate == GATE_FETCH && g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE))
		return time_now_ms() - release->began_ms > engine->role->config->wait_for_artifact;
	if (g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN))
		return release->on_input >= MOST_ATTEMPTS_ON_INPUT;
	return release->attempts >= MOST_ATTEMPTS;
}

void gate_error(struct engine *engine, struct release *release, const GError *error)
{
	release->attempts++;
	release->on_input += g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN);
	if (g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED))
		gate_end(engine, release, "rejected", error->message);
	else if (g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED) || tried_enough(engine, release, error))
		gate_end(engine, release, "failed", error->message);
	else
		gate_wait(engine, release, error->message, time_now_ms() + delay_ms(release->attempts));
}

void gate_end(struct engine *engine, struct release *release, const char *outcome, const char *reason)
{
	g_autofree char *told = NULL;

	if (release->gate >= GATE_RECORD) { /* closed already: it can only be tried again */
		gate_wait(engine, release, reason, time_now_ms() + LAST_DELAY_MS);
		return;
	}
	/* What the log does not take would be asked for for ever. */
	if (*reason == '\0' || strlen(reason) > REASON_MAX || !g_utf8_validate(reason, -1, NULL))
		reason = told = text_escape(*reason == '\0' ? "no reason was given" : reason, -1, REASON_MAX / 2);
	record_gate(release->record, release->gate, outcome, release->began_ms, time_now_ms(), MAX(release->attempts, 1));
	record_end(release->record, outcome, release->gate, reason);
	log_event("notice", "release=%s gate=%s outcome=%s reason=\"%s\"", release->id, gate_name(release->gate),
	    outcome, reason);
	gate_enter(engine, release, GATE_RECORD);
}

static void void_use(
    struct engine *engine, struct release *release, struct json *artifact, struct json *sign, guint number)
{
	(void)engine;
	(void)artifact;
	(void)number;
	if (json_get(sign, "use") != NULL)
		gate_void(release, json_get(sign, "use"), json_as_string(json_path(release->work, "committed.sha256")),
		    "the release did not come to its end");
}

void gate_finish(struct engine *engine, struct release *release)
{
	/* Its record names no signature, so that the uses would be missing in the log. */
	if (g_strcmp0(json_as_string(json_path(release->record, "end.outcome")), "signed") != 0)
		gate_each_sign(engine, release, void_use);
	release->status = STATUS_ENDED;
	set_reason(release, NULL);
	release_save(engine, release, FALSE);
	log_event("notice", "release=%s project=%s tag=%s outcome=%s", release->id, release->project, release->tag,
	    json_as_string(json_path(release->record, "end.outcome")));
	g_hash_table_remove(engine->releases, release->id);
}

gboolean gate_attach_blob(
    struct engine *engine, struct message *message, const char *name, const char *sha256, GError **error)
{
	uint64_t size;
	autofd int fd = spool_open(engine, sha256, &size, error);

	return fd >= 0 && message_add_fd(message, name, fd, sha256, size, error);
}

void gate_attach_certificates(const struct release *release, struct message *message, const char *format)
{
	release_attach(
	    release, message, g_str_equal(format, "openpgp") ? "work/openpgp" : "work/certificates", "certificates");
}

void gate_each_sign(struct engine *engine, struct release *release,
    void (*each)(struct engine *, struct release *, struct json *artifact, struct json *sign, guint number))
{
	struct json *artifacts = json_get(release->work, "artifacts");
	guint number = 0;

	for (guint i = 0; i < json_length(artifacts); i++) {
		struct json *artifact = json_at(artifacts, i), *signs = json_get(artifact, "signs");
		for (guint n = 0; n < json_length(signs); n++)
			each(engine, release, artifact, json_at(signs, n), ++number);
	}
}
