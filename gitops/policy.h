/*
 * A policy version: policy.toml, people/, projects/, keys/ of one commit, read whole or refused whole (file,
 * line, column).
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/people.h"

struct policy_quorum {
	char **of; /* "@group" or person */
	int64_t count;
};

struct policy_artifact { /* [[policy.artifact]] */
	char *name, *fetch, *type; /* patterns with {tag} {version} {commit} {project} */
	char **sign; /* formats; empty: "no" */
	uint64_t max_size;
};

struct policy_provenance { /* [policy.provenance]: who says from which commit the artifacts were built. fetch NULL: nobody */
	char *fetch; /* pattern, as an artifact's */
	char **builders; /* globs of ids */
	char **keys; /* PEM files beside the project's, or */
	char *roots; /* one with roots, and then */
	char **identities; /* globs of names that the certificate must have; empty: it must name the builder */
	char *issuer, *timestamp_roots; /* or NULL */
	char *source; /* NULL: the project's */
};

struct policy_rule { /* [[policy]] of a project */
	char *name;
	char **tags, **not_tags, **branches, **taggers;
	struct policy_quorum *quorum;
	guint quorum_count;
	gboolean self_approval, hardware_keys, resign;
	int64_t approve_within; /* ms; 0: for ever */
	char *commits; /* "signed" | "any" (default) */
	char *key; /* of keys/ */
	char *purpose; /* "release" | "test" */
	char **pinned_by; /* "tag" "approval" "provenance" */
	struct policy_provenance provenance;
	char *moved_tags; /* "reject" | "allow" */
	gboolean timestamp, scan; /* both default true */
	struct policy_artifact *artifacts;
	guint artifact_count;
	guint line; /* of its [[policy]], for messages */
};

struct policy_project {
	char *name, *file; /* "acme/widget", "projects/acme-widget.toml" */
	char *source; /* the one place tags are fetched from */
	char *approvals_url, *approvals_ref; /* url NULL: the source itself; ref default refs/heads/tagseal/approvals */
	char **hooks; /* other names by which a webhook may call it: "github:acme/widget", "https://…", … */
	struct policy_rule *rules;
	guint rule_count;
	char *file_sha256;
};

struct policy_key { /* keys/NAME.toml */
	char *name, *file, *label, *purpose;
	char *chain; /* file beside it (PEM), or NULL */
	char *openpgp; /* file beside it (.asc), or NULL */
	int64_t require_quorum;
	gboolean require_timestamp, require_scan;
	int64_t require_max_database_age; /* ms, 0: none */
	int64_t budget_projects, budget_signatures,
	    budget_days; /* 0: none. More projects than that refuse the whole version */
	guint budget_line; /* for messages */
	char **modules;
};

struct policy;
struct policy *policy_load(policy_files *files, GError **error);
/*
 * For whoever mends a policy that policy_load() refused: all mistakes that can be told at once, of each file the first one (sentences, char *).
 * Projects are read only once people and keys are good, since their mistakes would else be told a second time as people who are not there.
 */
GPtrArray *policy_mistakes(policy_files *files, GError **error);
struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy);
DEFINE_CLEANUP(policy, policy_unref)

const struct people *policy_people(const struct policy *policy);
guint policy_project_count(const struct policy *policy);
const struct policy_project *policy_project_at(const struct policy *policy, guint index);
const struct policy_project *policy_project(const struct policy *policy, const char *name);
const struct policy_key *policy_key(const struct policy *policy, const char *name);
/* How many projects have a policy that uses the key; *names (may be NULL): "a, b", caller frees. */
guint policy_key_projects(const struct policy *policy, const struct policy_key *key, char **names);
guint policy_key_count(const struct policy *policy);
const struct policy_key *policy_key_at(const struct policy *policy, guint index);
/* The bytes of a file of this version ("keys/release.pem"), or NULL. Borrowed. */
GBytes *policy_file(const struct policy *policy, const char *path);
/* Paths of all its files, borrowed, in no order. Caller frees the array. */
GPtrArray *policy_paths(const struct policy *policy);
const char *const *policy_maintainers(const struct policy *policy);
int64_t policy_threshold(const struct policy *policy);

/* Is this person in a list of names and @groups (a rule's taggers, a quorum line's `of`)? */
gboolean policy_lists(const struct policy *policy, char *const *list, const char *person);

/* The one rule whose tags match; NULL without error if none does (none of our business); refused if two do.
 */
gboolean policy_match(
    const struct policy_project *project, const char *tag, const struct policy_rule **rule, GError **error);
/* "projects/acme-widget.toml:12" of a rule. Caller frees. */
char *policy_rule_where(const struct policy_project *project, const struct policy_rule *rule);
/* "{version}" etc. replaced: {tag} {version} (the tag without a leading v) {commit} {project}. Caller frees.
 * Refuses an unknown {name}. */
char *policy_expand(const char *pattern, const char *project, const char *tag, const char *commit, GError **error);

/*
 * The policy repository's history from the pinned root.
 */
struct policy_chain {
	char *commit; /* newest commit in force: the one whose signature completed the threshold */
	char *tip; /* tip of the branch as it stands */
	char *pending; /* candidate waiting for signatures, or NULL */
	char *pending_refused; /* why the candidate can never come into force (its files do not read): file,
				  line, column; else NULL */
	char *pending_widens; /* why it needs one signature more than the threshold: which right of a signer it widens; else NULL */
	guint pending_signed, pending_needed;
	struct policy *policy; /* of `commit` */
	guint verified; /* commits looked at (those up to `from` not counted) */
};
void policy_chain_clear(struct policy_chain *chain);

/*
 * Walks from `root` (40 hex, trusted by being pinned: its own signature is not asked for) to the branch tip
 * `tip` of the repository at `path` (bare, or a working clone; opened read-only, every object checked against
 * its id). `from` is the newest commit known to be in force (NULL: the root): the walk starts there, and a tip
 * that does not contain it is refused (rewound, forked). `first_seen(commit, data)` gives the time an object
 * was first seen in ms (NULL: now).
 *
 * Every commit above must have one parent, be signed by a maintainer of the version in force below it, and be
 * one of these; anything else refuses the whole branch with a sentence:
 *   - a candidate: another tree than the one in force. It takes the place of a pending one and starts with its
 *     author's signature alone.
 *   - an approval: the pending candidate's very tree and `Tagseal-Approve-Policy: <candidate>`. A maintainer
 *     counts once. One more for a version already in force changes nothing.
 *   - a return to the tree in force: takes a pending candidate back.
 * A candidate is in force with `threshold` maintainers of the version before it; with one more, or all of them
 * when there are no more, if it widens a right of one of its own signers (what counts as one: policy_rights.h).
 *
 * A candidate whose files policy_load() refuses is no reason to refuse the branch, but it never comes into
 * force however many sign: `commit` and `policy` stay the last good ones, `pending` and `pending_refused` name
 * the candidate and the mistake, and a corrected candidate may stand on top.
 */
gboolean policy_verify(const char *path, const char *root, const char *from, const char *tip,
    int64_t (*first_seen)(const char *, void *), void *data, struct policy_chain *chain, GError **error);
/* Reads a commit's files: plain files only, no links or submodules; the limits of policy_files. The commit is
 * not verified: callers have done so. */
policy_files *policy_files_from_commit(const char *path, const char *commit, GError **error);
/* The id that a branch, HEAD or full id of the repository at `path` stands for. Caller frees. */
char *policy_resolve(const char *path, const char *name, GError **error);
