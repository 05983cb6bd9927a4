/*
 * The record: one canonical JSON document a release, and the events that name it.
 * Everything about a release lives in it, so these are only the few operations that must agree everywhere.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"

enum gate {
	GATE_SOURCE,
	GATE_APPROVAL,
	GATE_FETCH,
	GATE_STRUCTURE,
	GATE_SCAN,
	GATE_SIGN,
	GATE_TIMESTAMP,
	GATE_RECORD,
	GATE_PUBLISH,
	GATE_COUNT
};
const char *gate_name(enum gate gate);
gboolean gate_parse(const char *name, enum gate *gate);

/* A new record: version, id, project, tag. */
struct json *record_new(const char *id, const char *project, const char *tag);
/* Enters a gate's line, in place of an earlier one of that gate: outcome "passed" or an end. */
void record_gate(
    struct json *record, enum gate gate, const char *outcome, int64_t began_ms, int64_t ended_ms, int64_t attempts);
/* That gate's line, or NULL if there is none. Borrowed. */
const struct json *record_gate_line(const struct json *record, enum gate gate);
/* Closes it: outcome signed | rejected | denied | expired | failed. */
void record_end(struct json *record, const char *outcome, enum gate gate, const char *reason);
/*
 * Checks shape and types of every member, and refuses unknown ones. Only version, id, project and tag must be there: a
 * record that ends early has no more. What the ledger adds (previous, sequence) may be there.
 */
gboolean record_check(const struct json *record, GError **error);
/* Its SHA-256 over the canonical bytes, "sha256:…". Caller frees. */
char *record_digest(const struct json *record);

/* An event: {"version":1,"id":ULID,"event":word,"time":…,"record":"sha256:…"|absent, …extra}. Takes `extra`
 * over (may be NULL). */
struct json *record_event_new(const char *word, const char *record_sha256, struct json *extra);
gboolean record_event_check(const struct json *event, GError **error);

/*
 * The policy a record was decided by, as one evidence file `policy.json`: {"commit":…,"files":{PATH: text, or
 * {"base64":…} where the bytes are no clean UTF-8 text}}. `files` are policy_files (people.h). Written and read by gitops, judge and `tagseal audit`.
 */
GBytes *policy_evidence_write(const char *commit, GHashTable *files);
GHashTable *policy_evidence_read(GBytes *evidence, char **commit, GError **error);
