/*
 * May this tag be signed? The gates `source` and `approval` as pure functions over raw evidence: called by
 * the gitops role, by judge, and by `tagseal audit`. One implementation, three callers.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/json.h"
#include "gitops/policy.h"

struct approval_evidence {
	char *id; /* 40 hex; checked against the bytes */
	GBytes *raw;
	int64_t first_seen_ms;
	gboolean in_history; /* reachable from the tagged commit, not from the approvals ref */
};

struct request {
	const struct policy *policy;
	const char *policy_commit;
	const char *project, *tag; /* names; tag without refs/tags/ */
	const char *tag_object; /* 40 hex */
	GBytes *tag_raw;
	int64_t tag_first_seen_ms, now_ms;
	const char *tree; /* of the tagged commit, or NULL if not looked at */
	const char *range_sha256; /* digest of the range report (range.h), or NULL: then no approval that binds a range counts */
	gboolean first_object_of_name; /* no other tag object was ever seen under this name */
	const struct approval_evidence *approvals;
	guint approval_count;
};

struct source_decision {
	const struct policy_project *project; /* borrowed from the policy */
	const struct policy_rule *rule;
	struct signer tagger;
	struct tag *tag;
	GHashTable *pinned; /* name -> "sha256:…" by the tag's trailers; empty if none */
	char *supersedes; /* the tag that this one takes the place of, by its trailer, or NULL */
	struct json *section; /* the record's "source" without url/branch/first_seen knowledge that only a
				 caller has (they add it) */
};
void source_decision_clear(struct source_decision *d);
/* FALSE with REFUSED: the sentence names object, rule, file and line. */
gboolean source_decide(const struct request *request, struct source_decision *d, GError **error);

enum approval_outcome { APPROVAL_PASSED, APPROVAL_WAITING, APPROVAL_DENIED, APPROVAL_EXPIRED };
struct approval_decision {
	enum approval_outcome outcome;
	char *reason; /* "1 of 2 approvals of @developers; waiting for 1 more", "denied by carol: …" */
	struct json *section; /* the record's "approvals": each with counts and, where it does not, why */
	GHashTable *pinned; /* name -> digest, by the counted approvals; equal among all of them */
};
void approval_decision_clear(struct approval_decision *d);
/*
 * FALSE only when it could not be found out. Approvals that do not count are in the section with their reason.
 *
 * - All lines of the quorum must be met; a person counts in every line that lists them, and once in each.
 * - A denial by a person of any line ends the release, also beside a met quorum. It needs a key that was good
 *   when it was first seen, nothing more: not the hardware, the time limit or the absence of a later revocation.
 * - A withdrawal takes its maker's own approval out for ever; a denial cannot be withdrawn.
 * - Approvals first seen after the policy's time limit do not count, so that the answer does not depend on when
 *   the question is asked.
 * - Where approvals disagree about a digest, the tag's counts, then that of the approval first seen; the others
 *   do not count, and say with which they disagree.
 */
gboolean approval_decide(
    const struct request *request, const struct source_decision *source, struct approval_decision *d, GError **error);

/* `tagseal verify-approval`: does this raw commit count? *person borrowed from signer. Whether a range that it binds is this release's is not looked at. */
gboolean approval_verify(const struct people *people, const char *project, const char *tag, const char *tag_object,
    const char *tree, const char *policy, GBytes *raw, int64_t at_ms, struct signer *signer, GError **error);
/* Does this commit message look like an approval, denial or withdrawal for us (cheap test before the full
 * one)? */
gboolean approval_is_one(const char *message);
/* By which of its lines a raw commit concerns a release: those that approve or deny a tag, name a tag object, or withdraw ("Tagseal-Approve: v1.0");
 * NULL-terminated, empty where it is nothing of that kind. So a badly written one is found too, and the record can say why it does not count. Nothing
 * is verified. Caller frees. */
char **approval_lines(GBytes *raw);
/* The lines of whatever approves or denies that tag or names that object, and of whatever withdraws that commit. */
char **approval_lines_of(const char *tag, const char *tag_object);
char *approval_line_withdrawing(const char *commit);
