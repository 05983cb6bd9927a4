/*
 * What a release would bring: every commit since the last signed release of the project, and what changed in the tree.
 *
 * The range of a tag is what can be reached from the tagged commit and not from the base: the commit of the last signed release that the tagged commit descends
 * from. Without such a release it is the whole history.
 *
 * The report is one canonical JSON document (evidence "range.json"); the SHA-256 of its bytes is the range's digest, which approvers bind by
 * `Tagseal-Range: sha256:…`. It holds facts that follow from base and tagged commit alone, so that an approver's own machine makes the same bytes as the
 * server; whose signatures are good depends on people, and stands in a document of its own ("range-signers.json"), which no digest covers.
 *
 *   { "version": 1, "commit": ID, "base": ID or absent, "complete": true | false, "cut": [sentences, absent if complete],
 *     "commits": [ { "id", "parents": [ID], "author": { "name", "email", "time" }, "committer": {…}, "subject", "signature": "ssh" … or absent } ],
 *     "changes": [ { "path", "status": "added" | "deleted" | "modified" | "renamed" | "mode", "from" (renamed), "mode", "old_mode" (where it changed) } ],
 *     "submodules": [ { "path", "old", "new" } ], "gitmodules": [ { "key", "old", "new" } ] }
 *
 * Commits: children before their parents, else newest first (committer's time, then id). Changes: base tree against tagged tree, by path, as path_text() writes
 * it; renamed is the same content under another name. A submodule that came or went has no "old" or "new".
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/json.h"
#include "gitops/people.h"

#define RANGE_COMMITS_MAX 10000
#define RANGE_COMMIT_BYTES_MAX ((size_t)12 << 20) /* of all raw commits together: they travel as one file */
#define RANGE_CHANGES_MAX 5000
#define RANGE_TREE_ENTRIES_MAX 500000 /* looked at on both sides */

struct range {
	char *commit, *base; /* 40 hex; base NULL: the whole history */
	gboolean complete;
	GPtrArray *commits; /* of GBytes: raw, in the order of the report */
	GPtrArray *ids; /* of char *: theirs */
	struct json *report;
	GBytes *bytes; /* of the report, canonical */
	char *sha256; /* "sha256:…" of these */
	GBytes *proof; /* "range-commits", see range_prove(); NULL where the range was cut */
};
void range_free(struct range *range);
DEFINE_CLEANUP(range, range_free)

/* Reads the repository at `path`. REFUSED where `base` is no ancestor of the commit; what is beyond a limit is cut, and the report says so. */
struct range *range_read(const char *path, const char *base, const char *commit, GError **error);
/* Is `base` the commit itself, or an ancestor of it? UNKNOWN if that cannot be found out; an id that is not there is none. */
gboolean range_is_base(const char *path, const char *base, const char *commit, gboolean *is, GError **error);

/* ---- whose commits they are (range_prove.c) ---- */

/* Whose raw commit is it? "good", "unsigned", or the sentence of the refusal. Caller frees; `signer` is filled where it is good. */
char *range_verdict(GBytes *raw, const struct people *people, int64_t at_ms, struct signer *signer);
/* {"range": digest, "commits": [{"id", "verdict", "person", "format", "key"}]}: all commits of the report, with the verdicts of `people` at that time. */
struct json *range_signers(const struct range *range, const struct people *people, int64_t at_ms);

/*
 * commits = "signed", decided from raw bytes alone. `proof` holds raw commits, each behind a line "commit SIZE": the whole range, and, for parents that are
 * older than the base, a path of commits down to them from the base. Everything that can be reached from `commit`, and is not shown to be reachable from `base`,
 * must be there and bear a good signature of a person; merges too, and both their sides. What `base` is, only the log can say.
 * REFUSED: says how many commits are not signed, and names the first of them with their reasons.
 */
gboolean range_prove(
    GBytes *proof, const char *base, const char *commit, const struct people *people, int64_t at_ms, GError **error);
/* Writes one commit into a proof. */
void range_proof_add(GByteArray *proof, GBytes *raw);
