/*
 * A release decided again from what the log holds of it: by `tagseal audit` under the policy that it was decided by, by `tagseal policy simulate`
 * under another one. Also the reading of those documents, newest first, where the log as a whole is not what is judged.
 */
#pragma once

#include "gitops/base/json.h"
#include "gitops/decide.h"

/* The question that the gates `source` and `approval` were asked. Strings and bytes are borrowed from the record and its evidence. */
struct replay {
	struct request request;
	GArray *approvals; /* of struct approval_evidence */
};
/*
 * `files`: evidence name -> GBytes*. REFUSED where the evidence lacks an object that the record names, or holds another one. The policy is the
 * caller's to set, and first_object_of_name too.
 */
gboolean replay_read(const struct json *record, GHashTable *files, struct replay *replay, GError **error);
void replay_clear(struct replay *replay);

/* ---- replay_log.c: documents of a clone, as they stand; nothing of it is verified ---- */
struct replay_log;
struct replay_log *replay_log_open(const char *path, GError **error);
void replay_log_free(struct replay_log *log);
DEFINE_CLEANUP(replay_log, replay_log_free)

struct replay_entry {
	char *place; /* "00/12/34" */
	struct json *record;
};
/* The newest `most` records (events are passed over), oldest of them first: of struct replay_entry*. Reads only what it answers. */
GPtrArray *replay_log_newest(struct replay_log *log, guint most, GError **error);
/* Evidence name -> GBytes* of that place, without the policy's history; empty if it has none. */
GHashTable *replay_log_evidence(struct replay_log *log, const char *place, GError **error);
