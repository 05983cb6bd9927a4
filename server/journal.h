/*
 * The key journal: one file a key, one canonical JSON line a use, written before the key is used. The sign role is its only writer.
 *   {"digest":"sha256:…","key":"release-2026","number":1207,"previous":"sha256:…","record":"01J…","time":"2026-…Z"}
 * `digest` is the SHA-256 of what is to be signed, `previous` that of the line before without its LF (the first has none), `number` rises by one a use.
 * So a use can be neither taken back nor hidden: a line that is gone breaks the chain, a number that is missing from the log is seen.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/json.h"

struct journal;

/* FOLDER/TOKEN-KEY.jsonl, with both names escaped. Caller frees. */
char *journal_path(const char *folder, const char *token, const char *key);
/*
 * Opens or makes the journal of a key, takes its lock and checks its whole chain. A last line without LF was never made durable, so the key was
 * never used for it: it is cut off, and *cut says so. REFUSED: the chain is broken, with the line's number. UNAVAILABLE: locked by another
 * process, or the disk is away.
 */
struct journal *journal_open(const char *folder, const char *token, const char *key, gboolean *cut, GError **error);
void journal_free(struct journal *journal);
DEFINE_CLEANUP(journal, journal_free)

/* Number of the last use; 0 if there was none. */
int64_t journal_last(const struct journal *journal);
/* The uses for a record, oldest first: [{"digest", "number"}]. Reads the file again, so it is for the few who must know. Caller unrefs. */
struct json *journal_uses(const struct journal *journal, const char *record, GError **error);
/* One more use, durable when this returns. After a failure the journal takes nothing more until it is opened again. */
gboolean journal_append(
    struct journal *journal, const char *record, const char *digest, int64_t time_ms, int64_t *number, GError **error);
