/* The policy repository's history, commit by commit from the pinned root. */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/policy.h"
#include "gitops/policy_repository.h"
#include "gitops/policy_rights.h"

#define HISTORY_MAX 20000
#define APPROVE "Tagseal-Approve-Policy"

struct walk {
	struct policy_repository *repository;
	struct policy_chain *chain;
	char *tree; /* of the version in force */
	char *pending_tree;
	struct policy *pending; /* NULL also when its files do not read */
	GHashTable *signers; /* of the pending candidate: names owned */
	int64_t (*first_seen)(const char *, void *);
	void *data;
};

void policy_chain_clear(struct policy_chain *chain)
{
	g_clear_pointer(&chain->commit, g_free);
	g_clear_pointer(&chain->tip, g_free);
	g_clear_pointer(&chain->pending, g_free);
	g_clear_pointer(&chain->pending_refused, g_free);
	g_clear_pointer(&chain->pending_widens, g_free);
	g_clear_pointer(&chain->policy, policy_unref);
	memset(chain, 0, sizeof(*chain));
}

static void drop_pending(struct walk *walk)
{
	g_clear_pointer(&walk->chain->pending, g_free);
	g_clear_pointer(&walk->chain->pending_refused, g_free);
	g_clear_pointer(&walk->chain->pending_widens, g_free);
	g_clear_pointer(&walk->pending_tree, g_free);
	g_clear_pointer(&walk->pending, policy_unref);
	g_hash_table_remove_all(walk->signers);
	walk->chain->pending_signed = walk->chain->pending_needed = 0;
}

static void walk_clear(struct walk *walk)
{
	g_free(walk->tree);
	g_free(walk->pending_tree);
	g_clear_pointer(&walk->pending, policy_unref);
	g_hash_table_unref(walk->signers);
	if (walk->repository != NULL)
		policy_repository_free(walk->repository);
}

/* The threshold; one more, or all when there are no more, if the candidate widens a right of one of its own signers. */
static guint signatures_needed(struct walk *walk)
{
	const struct policy *policy = walk->chain->policy;
	guint maintainers = g_strv_length((char **)policy_maintainers(policy));
	guint needed = (guint)policy_threshold(policy);
	GHashTableIter all;
	gpointer person;

	g_clear_pointer(&walk->chain->pending_widens, g_free);
	g_hash_table_iter_init(&all, walk->signers);
	while (walk->pending != NULL && g_hash_table_iter_next(&all, &person, NULL)) {
		walk->chain->pending_widens = policy_widens(policy, walk->pending, person);
		if (walk->chain->pending_widens != NULL)
			return MIN(needed + 1, maintainers);
	}
	return needed;
}

/* Counts the pending candidate's signatures; the commit that completes them is the one in force. */
static void count(struct walk *walk, const char *id)
{
	struct policy_chain *chain = walk->chain;

	chain->pending_signed = g_hash_table_size(walk->signers);
	chain->pending_needed = signatures_needed(walk);
	if (walk->pending == NULL || chain->pending_signed < chain->pending_needed)
		return;
	policy_unref(chain->policy);
	chain->policy = policy_ref(walk->pending);
	g_free(chain->commit);
	chain->commit = g_strdup(id);
	g_free(walk->tree);
	walk->tree = g_strdup(walk->pending_tree);
	drop_pending(walk);
}

static gboolean take_candidate(
    struct walk *walk, const char *id, const struct commit *commit, const char *person, GError **error)
{
	g_autoptr(GError) refused = NULL;
	policy_files *files;

	drop_pending(walk);
	if (g_str_equal(commit->tree, walk->tree))
		return TRUE; /* back to what is in force */
	walk->chain->pending = g_strdup(id);
	walk->pending_tree = g_strdup(commit->tree);
	files = policy_repository_files(walk->repository, commit->tree, &refused);
	if (files != NULL) {
		walk->pending = policy_load(files, &refused);
		g_hash_table_unref(files);
	}
	if (refused != NULL && !g_error_matches(refused, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED) &&
	    !g_error_matches(refused, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE)) {
		g_propagate_error(error, g_steal_pointer(&refused)); /* an object is missing: not found out */
		return FALSE;
	}
	if (walk->pending == NULL)
		walk->chain->pending_refused = g_strdup(refused->message);
	g_hash_table_add(walk->signers, g_strdup(person));
	count(walk, id);
	return TRUE;
}

static gboolean take_approval(struct walk *walk, const char *id, const struct commit *commit, const char *approved,
    const char *person, GError **error)
{
	const char *pending = walk->chain->pending;

	if (pending == NULL && g_str_equal(commit->tree, walk->tree))
		return TRUE; /* one signature more for what is in force */
	if (pending == NULL || !g_str_equal(approved, pending)) {
		error_refused(error, "policy commit %s approves %s, which is not the pending candidate%s%s", id,
		    approved, pending != NULL ? " " : ": none is pending", pending != NULL ? pending : "");
		return FALSE;
	}
	if (!g_str_equal(commit->tree, walk->pending_tree)) {
		error_refused(error,
		    "policy commit %s approves candidate %s, but its files differ from it: an approval has the "
		    "candidate's very "
		    "tree",
		    id, pending);
		return FALSE;
	}
	if (!g_hash_table_contains(walk->signers, person))
		g_hash_table_add(walk->signers, g_strdup(person));
	count(walk, id);
	return TRUE;
}

/* The candidate that this commit says it approves; *approved stays NULL for any other commit. */
static gboolean read_approval(const char *id, const GPtrArray *trailers, const char **approved, GError **error)
{
	*approved = NULL;
	for (guint i = 0; i < trailers->len; i++) {
		const struct trailer *trailer = trailers->pdata[i];

		if (!g_str_has_prefix(trailer->key, "Tagseal-") || g_str_equal(trailer->key, APPROVE) ||
		    g_str_equal(trailer->key, "Tagseal-Reason"))
			continue;
		error_refused(error, "policy commit %s: the trailer %s has no meaning in the policy repository", id,
		    trailer->key);
		return FALSE;
	}
	if (!trailer_single(trailers, APPROVE, approved, error)) {
		g_prefix_error(error, "policy commit %s: ", id);
		return FALSE;
	}
	if (*approved == NULL || is_object_id(*approved))
		return TRUE;
	error_refused(error, "policy commit %s: %s must name the candidate by its full id of 40 hex digits", id, APPROVE);
	return FALSE;
}

static gboolean take_signed(
    struct walk *walk, const char *id, const struct commit *commit, const char *person, GError **error)
{
	g_autoptr(GPtrArray) trailers = NULL;
	const char *approved;

	if (!g_strv_contains(policy_maintainers(walk->chain->policy), person)) {
		error_refused(error,
		    "policy commit %s is signed by %s, who is no maintainer in the version in force (%s)", id, person,
		    walk->chain->commit);
		return FALSE;
	}
	trailers = trailers_parse(commit->message, error);
	if (trailers == NULL) {
		g_prefix_error(error, "policy commit %s: ", id);
		return FALSE;
	}
	if (!read_approval(id, trailers, &approved, error))
		return FALSE;
	if (approved != NULL)
		return take_approval(walk, id, commit, approved, person, error);
	if (walk->pending_tree != NULL && g_str_equal(commit->tree, walk->pending_tree)) {
		error_refused(error,
		    "policy commit %s has the files of the pending candidate %s but does not approve it: it needs the "
		    "trailer "
		    "\"%s: %s\"",
		    id, walk->chain->pending, APPROVE, walk->chain->pending);
		return FALSE;
	}
	return take_candidate(walk, id, commit, person, error);
}

static gboolean take_commit(struct walk *walk, const char *id, GError **error)
{
	autoptr(commit) commit = policy_repository_commit(walk->repository, id, error);
	struct signer signer = { 0 };
	gboolean good;

	if (commit == NULL)
		return FALSE;
	walk->chain->verified++;
	if (!commit->is_signed) {
		error_refused(
		    error, "policy commit %s is not signed: every change of the policy is signed by a maintainer", id);
		return FALSE;
	}
	good = people_verify_commit(policy_people(walk->chain->policy), commit,
	    walk->first_seen != NULL ? walk->first_seen(id, walk->data) : time_now_ms(), &signer, error);
	if (!good)
		g_prefix_error(error, "policy commit %s: ", id);
	good = good && take_signed(walk, id, commit, signer.person, error);
	signer_clear(&signer);
	return good;
}

static gboolean not_contained(struct policy_repository *repository, const char *tip, const char *from, GError **error)
{
	g_autofree char *at = g_strdup(from);

	for (guint i = 0; i < HISTORY_MAX && at != NULL; i++) {
		autoptr(commit) commit = NULL;

		if (g_str_equal(at, tip)) {
			error_refused(error,
			    "the policy branch was rewound: its tip %s stands before %s, which is in force", tip, from);
			return FALSE;
		}
		commit = policy_repository_commit(repository, at, NULL);
		g_free(at);
		at = commit != NULL ? g_strdup(commit->parents[0]) : NULL;
	}
	error_refused(
	    error, "the policy branch was forked: its tip %s does not contain %s, which is in force", tip, from);
	return FALSE;
}

/* Ids from the tip down to the root, which must be reached over commits with one parent each. */
static GPtrArray *collect(
    struct policy_repository *repository, const char *tip, const char *root, gboolean *contained, GError **error)
{
	g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);

	*contained = FALSE;
	g_ptr_array_add(ids, g_strdup(tip));
	while (!g_str_equal(ids->pdata[ids->len - 1], root)) {
		const char *id = ids->pdata[ids->len - 1];
		autoptr(commit) commit = policy_repository_commit(repository, id, error);

		if (commit == NULL)
			return NULL;
		if (g_strv_length(commit->parents) > 1) {
			error_refused(
			    error, "policy commit %s is a merge: the policy's history is one line of commits", id);
			return NULL;
		}
		if (commit->parents[0] == NULL)
			return g_steal_pointer(&ids);
		if (ids->len == HISTORY_MAX) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE,
			    "the policy branch has more than %d commits above its root", HISTORY_MAX);
			return NULL;
		}
		g_ptr_array_add(ids, g_strdup(commit->parents[0]));
	}
	*contained = TRUE;
	return g_steal_pointer(&ids);
}

/* The version where the walk starts is in force because it was pinned, or because it was found so before. */
static gboolean start(struct walk *walk, const char *from, GError **error)
{
	autoptr(commit) commit = policy_repository_commit(walk->repository, from, error);
	policy_files *files = NULL;

	if (commit != NULL)
		files = policy_repository_files(walk->repository, commit->tree, error);
	if (files == NULL)
		return FALSE;
	walk->chain->policy = policy_load(files, error);
	g_hash_table_unref(files);
	if (walk->chain->policy == NULL) {
		g_prefix_error(error, "policy commit %s: ", from);
		return FALSE;
	}
	walk->chain->commit = g_strdup(from);
	walk->tree = g_strdup(commit->tree);
	return TRUE;
}

static gboolean walk_from(struct walk *walk, const char *root, const char *from, const char *tip, GError **error)
{
	gboolean contained;
	g_autoptr(GPtrArray) ids = collect(walk->repository, tip, root, &contained, error);
	guint at;

	if (ids == NULL)
		return FALSE;
	if (!g_ptr_array_find_with_equal_func(ids, from, g_str_equal, &at))
		return not_contained(walk->repository, tip, from, error);
	if (!contained) {
		error_refused(error, "the policy branch at %s does not descend from the pinned root %s", tip, root);
		return FALSE;
	}
	if (!start(walk, from, error))
		return FALSE;
	while (at > 0)
		if (!take_commit(walk, ids->pdata[--at], error))
			return FALSE;
	return TRUE;
}

gboolean policy_verify(const char *path, const char *root, const char *from, const char *tip,
    int64_t (*first_seen)(const char *, void *), void *data, struct policy_chain *chain, GError **error)
{
	struct walk walk = { .chain = chain, .first_seen = first_seen, .data = data };
	gboolean good = FALSE;

	memset(chain, 0, sizeof(*chain));
	chain->tip = g_strdup(tip);
	walk.signers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	walk.repository = policy_repository_open(path, error);
	if (walk.repository != NULL)
		good = walk_from(&walk, root, from != NULL ? from : root, tip, error);
	walk_clear(&walk);
	if (!good)
		policy_chain_clear(chain);
	return good;
}

policy_files *policy_files_from_commit(const char *path, const char *id, GError **error)
{
	autoptr(policy_repository) repository = policy_repository_open(path, error);
	autoptr(commit) commit = NULL;

	if (repository != NULL)
		commit = policy_repository_commit(repository, id, error);
	return commit != NULL ? policy_repository_files(repository, commit->tree, error) : NULL;
}

char *policy_resolve(const char *path, const char *name, GError **error)
{
	autoptr(policy_repository) repository = policy_repository_open(path, error);

	return repository != NULL ? policy_repository_resolve(repository, name, error) : NULL;
}
