/* What the parts of the auditor share. */
#pragma once

#include <git2.h>

#include "gitops/audit.h"
#include "gitops/decide.h"
#include "gitops/people.h"
#include "gitops/policy.h"

struct audit {
	const struct audit_options *options;
	struct audit_result *result;
	git_repository *repository;
	git_odb *odb;
	struct people *keys; /* the ledger's */
	gint64 last; /* sequence number of the newest document so far */
	GHashTable *newest; /* project -> digest of its newest record */
	GHashTable *ids; /* of all documents so far */
	GHashTable *digests; /* of all records so far: what events may name */
	GHashTable *names; /* project LF tag -> id of the tag object first recorded under it */
	GHashTable *signed_once; /* project LF tag LF tag object -> record that signed it */
	GHashTable *releases; /* id of a record that was signed -> struct audit_release */
	GHashTable *uses; /* key -> GArray of use numbers */
	GHashTable *policies; /* commit -> struct audit_policy */
	char *policy_tip; /* newest policy commit that a record was decided by */
	GBytes *policy_history; /* and its history, if that stood in the evidence */
	guint unchecked_artifacts, unanchored_policies;
	const char *about; /* what the findings now being made are about */
};

/* "bad: ABOUT: …" and "unknown: ABOUT: …" */
void audit_bad(struct audit *a, const char *format, ...) G_GNUC_PRINTF(2, 3);
void audit_unknown(struct audit *a, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* An error of a check as a finding: refused is bad, all else could not be found out. */
void audit_error(struct audit *a, const char *doing, const GError *error);

/* A blob, or NULL with error (UNKNOWN): it is missing from this clone. */
GBytes *audit_blob(struct audit *a, const git_oid *id, git_object_t type, GError **error);

/* ---- audit_tree.c: what a commit added ---- */
struct audit_file {
	char *path;
	git_oid id;
};
/* Files of `now` that `before` (NULL: the empty tree) has not, sorted by path; anything changed, removed or of another kind than a
 * plain file is a finding. */
GPtrArray *audit_added(struct audit *a, const git_oid *before, const git_oid *now);

/* ---- audit_record.c: one document ---- */
/* `files`: evidence name -> GBytes, or NULL if it could not be read. `message`: the commit's. */
void audit_document(
    struct audit *a, gint64 sequence, const char *id, GBytes *bytes, GHashTable *files, const char *message);
/* One that was checked before (--since): only what later ones are held against is taken from it. */
void audit_remember(struct audit *a, const char *id, GBytes *bytes);
/* Numbers of each key's uses that stand nowhere, and what nobody could judge. */
void audit_finish(struct audit *a);

/* ---- audit_evidence.c: the files beside it ---- */
/* FALSE after a finding: then they are not what was recorded, and nothing is decided by them. */
gboolean audit_evidence(struct audit *a, const struct json *record, GHashTable *files);

/* ---- audit_policy.c: the policy that a record names ---- */
struct audit_policy {
	char *commit;
	struct policy *policy; /* NULL: not readable */
	gboolean can_be_judged; /* a root was at hand; what it said is a finding */
};
void audit_policy_free(void *policy);
/* By the record's commit and the evidence; NULL after a finding. Borrowed. */
const struct audit_policy *audit_policy_of(struct audit *a, const char *commit, GHashTable *files);

/* ---- audit_decide.c: the decision again ---- */
/* Was another tag object recorded under this name before? The log itself is the memory. */
gboolean audit_first_object(struct audit *a, const struct json *record);
void audit_decide(struct audit *a, const struct json *record, GHashTable *files);

/* ---- audit_range.c: what the release brought, and where that began */
struct audit_release {
	char *project, *commit, *purpose; /* purpose NULL: not known */
};
GHashTable *audit_releases_new(void);
/* What later ranges may begin at. `rule`: that it was decided by; NULL where it is not at hand (--since), and then its purpose is not held against anything. */
void audit_note_release(struct audit *a, const struct json *record, const struct policy_rule *rule);
void audit_range(struct audit *a, const struct json *record, GHashTable *files, const struct request *request,
    const struct policy_rule *rule);
