#include "gitops/policy_history.h"

#include <git2.h>

#include "gitops/mirror.h"
#include "gitops/pack.h"

#define COMMITS_MOST 20000
#define DEPTH_MOST 8

static gboolean failed(const char *what, GError **error)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, "the policy's history: %s: %s", what,
	    last != NULL ? last->message : "unknown reason");
	return FALSE;
}

struct copy {
	git_repository *repository;
	git_odb *odb;
	struct pack *pack;
};

static gboolean copy_object(struct copy *c, const git_oid *id, GError **error)
{
	git_odb_object *object = NULL;
	git_oid same;
	gboolean ok = git_odb_read(&object, c->odb, id) == 0 || failed("an object could not be read", error);

	ok = ok && pack_add(c->pack, git_odb_object_type(object), git_odb_object_data(object),
		       git_odb_object_size(object), &same, error);
	git_odb_object_free(object);
	return ok;
}

static gboolean copy_tree(struct copy *c, const git_oid *id, guint depth, GError **error)
{
	git_tree *tree = NULL;
	gboolean ok = depth <= DEPTH_MOST && copy_object(c, id, error) &&
		      (git_tree_lookup(&tree, c->repository, id) == 0 || failed("a folder could not be read", error));

	for (size_t i = 0; ok && i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);

		if (git_tree_entry_type(entry) == GIT_OBJECT_TREE)
			ok = copy_tree(c, git_tree_entry_id(entry), depth + 1, error);
		else if (git_tree_entry_type(entry) == GIT_OBJECT_BLOB)
			ok = copy_object(c, git_tree_entry_id(entry), error);
	}
	git_tree_free(tree);
	return ok || (error != NULL && *error != NULL) ? ok : failed("its folders are too deep", error);
}

static gboolean copy_commit(struct copy *c, const char *hex, GError **error)
{
	git_commit *commit = NULL;
	git_oid id;
	gboolean ok;

	if (git_oid_fromstr(&id, hex) != 0 || git_commit_lookup(&commit, c->repository, &id) != 0)
		return failed("a commit could not be read", error);
	ok = copy_object(c, &id, error) && copy_tree(c, git_commit_tree_id(commit), 0, error);
	git_commit_free(commit);
	return ok;
}

GBytes *policy_history_write(const char *path, const char *root, const char *commit, GError **error)
{
	g_auto(GStrv) ids =
	    g_str_equal(root, commit) ? g_new0(char *, 1) : mirror_commits(path, commit, root, COMMITS_MOST, error);
	autoptr(pack) pack = pack_new();
	struct copy c = { .pack = pack };
	gboolean ok = ids != NULL;

	if (ok && (git_repository_open_ext(&c.repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0 ||
		      git_repository_odb(&c.odb, c.repository) != 0))
		ok = failed("the repository could not be opened", error);
	ok = ok && copy_commit(&c, root, error);
	for (guint i = ids != NULL ? g_strv_length(ids) : 0; ok && i > 0; i--)
		ok = copy_commit(&c, ids[i - 1], error);
	git_odb_free(c.odb);
	git_repository_free(c.repository);
	return ok ? pack_finish(pack) : NULL;
}

gboolean policy_history_read(GBytes *pack, const char *folder, GError **error)
{
	g_autofree char *packs = g_build_filename(folder, "objects/pack", NULL);
	git_repository *repository = NULL;
	git_indexer *indexer = NULL;
	git_indexer_progress progress = { 0 };
	gsize size;
	const void *data = g_bytes_get_data(pack, &size);
	gboolean ok;

	if (!mirror_init(error))
		return FALSE;
	ok = git_repository_init(&repository, folder, TRUE) == 0 && git_indexer_new(&indexer, packs, 0, NULL, NULL) == 0;
	if (!ok)
		failed("a folder for it could not be made", error);
	else if (git_indexer_append(indexer, data, size, &progress) != 0 || git_indexer_commit(indexer, &progress) != 0) {
		const git_error *last = git_error_last();

		error_refused(error, "the policy's history as evidence is no good pack: %s",
		    last != NULL ? last->message : "unknown reason");
		ok = FALSE;
	}
	git_indexer_free(indexer);
	git_repository_free(repository);
	return ok;
}
