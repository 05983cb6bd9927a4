/*
 * Every message between our processes, and how one travels. Canonical JSON over SOCK_SEQPACKET pairs, at most 64 KiB; records, evidence and artifacts never
 * ride inside but as sealed memfds or read-only descriptors beside it (SCM_RIGHTS), named in it with size and SHA-256.
 * The receiver trusts nothing: length, kind, sender and number are checked here, every member of the body by the handler.
 *
 * A role's death: the supervisor keeps both ends of every pair and starts the role again on the same ends. A role that starts greets each
 * peer with HELLO: whatever the peer had asked before is lost and may be asked again. Answers carry the number of what they answer; an answer
 * to a number that is no longer awaited is dropped.
 *
 * Outcomes in answers are words: "ok", "refused" (the evidence is bad), "unavailable" (try again later), "unknown" (could not find out),
 * "failed" (trying again will not help); `reason` is the sentence for all but "ok".
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/json.h"

enum role {
	ROLE_ENGINE,
	ROLE_LISTEN,
	ROLE_GITOPS,
	ROLE_COURIER,
	ROLE_SCAN,
	ROLE_SEAL,
	ROLE_JUDGE,
	ROLE_SIGN,
	ROLE_LEDGER,
	ROLE_COUNT
};
const char *role_name(enum role role);
gboolean role_parse(const char *name, enum role *role);

enum message_kind {
	/* any -> any: I have just started. {again: boolean}: another process was here before me, and what it was asked is lost */
	MSG_HELLO,

	/* listen -> engine -> listen. body: {host, delivery, body_sha256, project, ref, old, new} of an authenticated delivery; `project` is what the host
	 * calls it (full name or clone URL): a hint only. Answer when durable: {status: HTTP status, release: ULID or absent, text} */
	MSG_HOOK,
	MSG_HOOKED,
	/* body: {ask: "releases" | "release" | "artifact" | "health" | "record", id, name, tag, project, outcome, before, limit}
	 * answer: {status} + file "body" (JSON, canonical; or the artifact's bytes, read-only) */
	MSG_ASK,
	MSG_TOLD,

	/* engine -> gitops -> engine. {projects: [names], fetch_policy: boolean}: those sources are fetched; with no name, the projects are told and none is
	 * {outcome, reason, policy} + file "look.json": {projects: [{name, source, approvals: URL of a repository of its own, hooks: […],
	 * rules: [{name, tags, not_tags}], and of those fetched error, tags: [{name, id, rule}]}]} (tags that a rule matches) */
	MSG_LOOK,
	MSG_LOOKED,
	/* {project, tag, tag_object, tag_first_seen, now, fetch: boolean, first_object, bases: [{record, tag, commit, purpose}] (signed releases of the project,
	 * newest first)} + file "seen.json" {approval commit: first seen ms}
	 * {outcome, reason, policy, source: "passed|rejected|denied|waiting|ignored", source_reason, approval: "passed|waiting|denied|expired|rejected", approval_reason,
	 *  approve_by: ms, key, purpose, rule, moved_tags, new_seen: [ids],
	 *  base: the one of `bases` that the range begins at, {} if none does}
	 * + files: "sections.json" {policy, source, approvals, artifacts: [{name, url, type, sign: […], max_size, sha256, pinned_by}], provenance: URL or absent,
	 *   timestamp, scan},
	 *   "certificates" (PEM), "openpgp" (.asc) of the key where there are any, and evidence: "tag", "approval-N", "policy.json", "policy-chain",
	 *   "range.json", "range-signers.json", "range-commits", "manifest" */
	MSG_DECIDE,
	MSG_DECIDED,

	/* Does this provenance vouch for what was fetched? {project, tag, commit, first_seen: ms} + files "provenance", "artifacts.json" [{name, sha256}]
	 * {outcome, reason} + file "section.json": the record's "provenance" */
	MSG_VOUCH,
	MSG_VOUCHED,

	/* engine -> courier -> engine. {url, max_size, sha256 or absent} + file "output" (empty, writable)
	 * {outcome, reason, size, sha256} (the courier has closed the file) */
	MSG_FETCH,
	MSG_FETCHED,
	/* {authority: index} + file "query"; {outcome, reason, sent, received} + file "response" */
	MSG_STAMP,
	MSG_STAMPED,
	/* {} + files "from" (readable), "to" (empty, writable): copied and fsynced; {outcome, reason} */
	MSG_COPY,
	MSG_COPIED,

	/* engine -> seal -> engine. {type, name} + file "blob"; {outcome, reason, facts} */
	MSG_INSPECT,
	MSG_INSPECTED,
	/* {format, hash, time, description, url} + files "blob", "certificates"; {outcome, reason, digest: {hash, value, size, was_signed}} */
	MSG_DIGEST,
	MSG_DIGESTED,
	/* seal -> judge, no answer, sent before DIGESTED: {blob: sha256, format, hash, value (hex), size, was_signed} */
	MSG_DIGEST_SEEN,
	/* {format, hash, time, description, url, digest} + files "blob", "certificates", "signature", "token" (or none), "output"; {outcome, reason} */
	MSG_ATTACH,
	MSG_ATTACHED,
	/* a fresh worker: {format, digest} + files "blob" (the input), "output" (the signed file or the detached signature), "certificates", "scratch" (empty, writable)
	 * {outcome, reason, signatures: […]} + file "evidence" (the signature as it was read): parsed, intact, of this certificate, and stripped it equals the input */
	MSG_READ_BACK,
	MSG_READ,

	/* engine -> scan -> engine. {name} + file "blob"; {outcome: ok | refused (infected) | unknown (not scanned), reason, report} */
	MSG_SCAN,
	MSG_SCANNED,
	/* scan -> judge, no answer, sent before SCANNED: {blob: sha256, report} where report.verdict is "clean" or anything else */
	MSG_SCAN_SEEN,

	/* engine -> judge -> engine. {id, project, tag, tag_object, tag_first_seen, first_object, base: commit or absent, artifact: name, blob: sha256, key, format, hash, time,
	 * description, url, now} + files "blob", "certificates" and evidence "tag", "approval-N", "range.json", "range-commits", "seen.json"
	 * {outcome, reason, use: {token, key, number, digest}} (also when the use came to nothing) + file "signature" */
	MSG_JUDGE,
	MSG_JUDGED,
	/* {id, key}: what has the journal of that key for that release, whose answers may have been lost? {outcome, reason, uses: [{token, number, digest}]} */
	MSG_RECKON,
	MSG_RECKONED,
	/* {authority: index, sent, received} + files "signature", "query", "response"; {outcome, reason, facts: {time, serial, policy, authority}} + file "token" */
	MSG_JUDGE_STAMP,
	MSG_STAMP_JUDGED,

	/* judge -> sign -> judge. {}: {token: {label, manufacturer, model, serial, firmware, software}, keys: [{label, kind, weakness, last_use}]} */
	MSG_KEYS,
	MSG_KEYS_ARE,
	/* {record: ULID, key: label, hash, prehashed: boolean, data: base64, public_key: base64 DER}; {outcome, reason, number, signature: base64} */
	MSG_USE,
	MSG_USED,
	/* {record: ULID, key: label}; {outcome, reason, uses: [{number, digest}]} */
	MSG_USES,
	MSG_USES_ARE,

	/* ledger -> sign -> ledger: its own key, commits only. {}: {public_key: "ssh-… line"} · {payload: base64} (a commit's bytes): {outcome, reason, armor} */
	MSG_LEDGER_KEY,
	MSG_LEDGER_KEY_IS,
	MSG_SIGN_COMMIT,
	MSG_COMMIT_SIGNED,

	/* engine -> ledger -> engine. {entries: [{id, files: count}]} + files: per entry "document" then its evidence
	 * {outcome, reason, entries: [{id, sequence, sha256, commit}], pushed: boolean, push_reason} (required remotes have it when pushed) */
	MSG_APPEND,
	MSG_APPENDED,

	MSG_COUNT
};
const char *message_name(enum message_kind kind);
/* May a message of this kind go from that role to this? One table in message.c. */
gboolean message_permitted(enum message_kind kind, enum role from, enum role to);

#define MESSAGE_MAX (64 * 1024)
#define MESSAGE_FILES_MAX 240

struct message_file {
	char *name;
	char *sha256; /* "sha256:…", or NULL for one to be written */
	uint64_t size;
	int fd; /* owned by the message */
};

struct message {
	enum message_kind kind;
	int64_t number; /* of the request; an answer repeats it */
	struct json *body;
	GArray *files; /* of struct message_file */
};
struct message *message_new(enum message_kind kind, int64_t number);
void message_free(struct message *m); /* closes its descriptors */
DEFINE_CLEANUP(message, message_free)
/* The descriptor is duplicated; sha256 may be NULL (to be written). */
gboolean message_add_fd(struct message *m, const char *name, int fd, const char *sha256, uint64_t size, GError **error);
/* Bytes as a sealed memfd, hashed. */
gboolean message_add_bytes(struct message *m, const char *name, GBytes *bytes, GError **error);
const struct message_file *message_find(const struct message *m, const char *name); /* NULL if absent */
/* As message_find(), REFUSED if absent. */
const struct message_file *message_require(const struct message *m, const char *name, GError **error);
/* The file's bytes, at most `max`, checked against size and SHA-256 of the message. */
GBytes *message_bytes(const struct message *m, const char *name, size_t max, GError **error);
/* An answer to `request` of that kind, with outcome and reason from `error` (NULL: "ok"). */
struct message *message_answer(const struct message *request, enum message_kind kind, const GError *error);
/* The outcome of an answer as an error: TRUE if "ok", else error set with the reason and the matching code. */
gboolean message_outcome(const struct message *answer, GError **error);

/* A greeting of a process that took another one's place? */
gboolean message_is_again(const struct message *m);

/* Can it be sent at all? TOO_LARGE if not. */
gboolean message_fits(const struct message *m, GError **error);
/* Blocking. UNAVAILABLE when the other end is closed. */
gboolean message_send(int fd, const struct message *m, GError **error);
/* NULL with UNAVAILABLE at the end of the channel, REFUSED for anything that is not a well-formed message: then end the process. */
struct message *message_receive(int fd, GError **error);
