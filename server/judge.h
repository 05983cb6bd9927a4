/*
 * judge's own parts. It believes nobody: the policy is followed from the configured root, the evidence is verified again from its raw bytes, the blob is hashed
 * here, verdicts and digests come from scan and seal on channels of their own.
 */
#pragma once

#include <openssl/evp.h>

#include "gitops/decide.h"
#include "server/config.h"
#include "server/role.h"
#include "signer/format.h"

#define JUDGE_CLOCK_SKEW (5 * 60 * 1000) /* ms that engine's clock may be away from ours */

/* judge_policy.c: the newest policy in force, never behind the one remembered in STATE/judge/policy.mark. */
struct judge_policy {
	char *commit, *tip; /* NULL before the first look */
	struct policy *policy;
	char *proved; /* judge_range.c: the newest range whose commits were found to be signed */
};
void judge_policy_clear(struct judge_policy *p);
gboolean judge_policy_refresh(struct judge_policy *p, const struct config *config, GError **error);

/* judge_verdict.c: what scan and seal said of a blob, the newest few thousand of each. */
struct verdicts;
struct verdicts *verdicts_new(guint max);
void verdicts_free(struct verdicts *v);
void verdicts_put(struct verdicts *v, const char *key, struct json *value); /* takes value over */
/* For what is the same whoever tells it: the first word stays, and is marked by "contradicted" once another one differs. Takes value over. */
void verdicts_agree(struct verdicts *v, const char *key, struct json *value);
const struct json *verdicts_get(const struct verdicts *v, const char *key); /* NULL: none */
/* The key under which a format digest is kept. Caller frees. */
char *verdicts_digest_key(const char *blob, const char *format, const char *hash);

/* judge_request.c: MSG_JUDGE with every member checked. Strings are borrowed from the message. */
struct judge_request {
	const struct message *message;
	const char *id, *project, *tag, *tag_object, *artifact, *blob, *key, *description, *url;
	const struct format *format;
	const char *hash;
	int64_t tag_first_seen, time;
	gboolean first_object;
	int blob_fd;
	GBytes *certificates, *tag_raw, *provenance; /* the last may be NULL */
	int64_t provenance_first_seen;
	GArray *approvals; /* of struct approval_evidence */
	char *range_sha256, *range_base; /* NULL where there is no report, or no base */
	GBytes *range_commits; /* NULL where there are none */
	char *tree; /* of the tagged commit, where that commit is among the approvals */
};
void judge_request_clear(struct judge_request *r);
gboolean judge_request_read(const struct message *m, int64_t now_ms, struct judge_request *r, GError **error);

/* judge_range.c: the report that came with it, which must be about that commit. */
gboolean judge_range_read(const struct message *m, const char *commit, struct judge_request *r, GError **error);

/* judge_evidence.c: the decision made anew, and what it says of this artifact and key. */
struct judge_decision {
	const struct policy *policy; /* that it was made by */
	struct source_decision source;
	struct approval_decision approval;
	const struct policy_rule *rule;
	const struct policy_key *key;
	const struct policy_artifact *artifact;
};
void judge_decision_clear(struct judge_decision *d);
gboolean judge_decide(const struct judge_request *r, const struct judge_policy *policy, int64_t now_ms,
    struct judge_decision *d, GError **error);
/* Blob, certificates and scan verdict are those that the decision demands. */
gboolean judge_check_blob(const struct judge_request *r, const struct judge_decision *d, GError **error);
/* The same of bytes that were read already; `digest` is their SHA-256. The descriptor is engine's, and a second read may find another file. */
gboolean judge_check_content(
    const struct judge_request *r, const struct judge_decision *d, const char *digest, GError **error);
/* commits = "signed" (judge_range.c). */
gboolean judge_check_range(
    const struct judge_request *r, const struct judge_decision *d, struct judge_policy *policy, GError **error);
gboolean judge_check_certificates(
    const struct judge_request *r, const struct judge_decision *d, const struct policy *policy, GError **error);
gboolean judge_check_scan(const struct judge_request *r, const struct judge_decision *d, const struct verdicts *scans,
    int64_t now_ms, GError **error);

/* judge_key.c: which sign process has the key, may it be used, and its use. */
struct judge_keys; /* what the sign processes said of their tokens */
struct judge_keys *judge_keys_new(void);
void judge_keys_free(struct judge_keys *keys);
void judge_keys_forget(struct judge_keys *keys, guint index); /* that sign process started anew */
struct judge_use {
	const char *token; /* name in the configuration */
	int64_t number; /* 0: the key was not used */
	char *digest; /* SHA-256 of what was to be signed, once sign was asked */
	GBytes *signature;
};
/* Has `to_be_signed` signed, and checks the signature with `public_key`. On failure use->number says whether the use was counted. */
gboolean judge_use_key(struct role_context *role, struct judge_keys *keys, const struct judge_request *r,
    const struct judge_decision *d, EVP_PKEY *public_key, GBytes *to_be_signed, struct judge_use *use, GError **error);
/* The uses of the key of that label that its journal has for a record: [{token, number, digest}]. Caller unrefs. */
struct json *judge_uses(
    struct role_context *role, struct judge_keys *keys, const char *label, const char *record, GError **error);
