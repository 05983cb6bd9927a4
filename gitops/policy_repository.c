#include "gitops/policy_repository.h"

#include <git2.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

#define FILES_MAX 2000
#define BYTES_MAX (16 * 1024 * 1024)
#define DEPTH_MAX 8

struct policy_repository {
	git_repository *git;
	git_odb *odb;
};

/* "could not find out": what is missing or broken in the clone says nothing about the policy. */
static gboolean fail_git(GError **error, int code, const char *what, const char *id)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, code == GIT_ENOTFOUND ? TAGSEAL_ERROR_NOT_FOUND : TAGSEAL_ERROR_UNKNOWN,
	    "%s %s: %s", what, id, last != NULL ? last->message : "libgit2 gives no reason");
	return FALSE;
}

/*
 * Nothing of the machine's or the user's configuration counts. The owner check guards against commands in a
 * stranger's configuration, and none is ever run from here; a clone may belong to somebody else.
 */
static void set_up(void)
{
	git_libgit2_init();
	git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_SYSTEM, "");
	git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_GLOBAL, "");
	git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_XDG, "");
	git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1);
}

struct policy_repository *policy_repository_open(const char *path, GError **error)
{
	autoptr(policy_repository) repository = g_new0(struct policy_repository, 1);
	int code;

	set_up();
	code = git_repository_open_ext(&repository->git, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
	if (code == 0)
		code = git_repository_odb(&repository->odb, repository->git);
	if (code != 0) {
		fail_git(error, code, "cannot open the policy repository", path);
		return NULL;
	}
	return g_steal_pointer(&repository);
}

void policy_repository_free(struct policy_repository *repository)
{
	git_odb_free(repository->odb);
	git_repository_free(repository->git);
	g_free(repository);
	git_libgit2_shutdown();
}

static GBytes *read_object(
    struct policy_repository *repository, const git_oid *id, git_object_t type, size_t max, GError **error)
{
	char hex[GIT_OID_HEXSZ + 1];
	git_odb_object *object = NULL;
	GBytes *bytes = NULL;
	git_object_t found;
	size_t size;
	int code = git_odb_read_header(&size, &found, repository->odb, id);

	git_oid_tostr(hex, sizeof(hex), id);
	if (code == 0 && found != type) {
		error_refused(error, "policy object %s is a %s, not a %s", hex, git_object_type2string(found),
		    git_object_type2string(type));
		return NULL;
	}
	if (code == 0 && size > max) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE,
		    "policy object %s has %zu bytes, and %zu are the limit", hex, size, max);
		return NULL;
	}
	if (code == 0)
		code = git_odb_read(&object, repository->odb, id);
	if (code != 0) {
		fail_git(error, code, "cannot read policy object", hex);
		return NULL;
	}
	bytes = g_bytes_new(git_odb_object_data(object), git_odb_object_size(object));
	git_odb_object_free(object);
	return bytes;
}

struct commit *policy_repository_commit(struct policy_repository *repository, const char *id, GError **error)
{
	g_autoptr(GBytes) raw = NULL;
	struct commit *commit;
	git_oid oid;

	if (!is_object_id(id) || git_oid_fromstr(&oid, id) != 0) {
		error_refused(error, "a policy commit is named by its full id of 40 hex digits");
		return NULL;
	}
	raw = read_object(repository, &oid, GIT_OBJECT_COMMIT, OBJECT_MAX, error);
	if (raw == NULL)
		return NULL;
	commit = commit_parse(raw, error);
	if (commit == NULL)
		g_prefix_error(error, "policy commit %s: ", id);
	return commit;
}

struct reading {
	struct policy_repository *repository;
	policy_files *files;
	size_t bytes;
	guint depth;
};
static gboolean read_tree(struct reading *reading, const git_oid *id, const char *prefix, GError **error);

static gboolean read_blob(struct reading *reading, const git_oid *id, char *path, GError **error)
{
	GBytes *blob = read_object(reading->repository, id, GIT_OBJECT_BLOB, BYTES_MAX - reading->bytes, error);

	if (blob == NULL) {
		g_prefix_error(error, "%s: ", path);
		g_free(path);
		return FALSE;
	}
	reading->bytes += g_bytes_get_size(blob);
	g_hash_table_insert(reading->files, path, blob);
	if (g_hash_table_size(reading->files) <= FILES_MAX)
		return TRUE;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "the policy has more than %d files", FILES_MAX);
	return FALSE;
}

static gboolean read_entry(struct reading *reading, const git_tree_entry *entry, const char *prefix, GError **error)
{
	const char *name = git_tree_entry_name(entry);
	g_autofree char *path = g_strconcat(prefix, name, NULL);
	g_autofree char *below = NULL;

	if (!text_is_clean(name, strlen(name))) {
		g_autofree char *shown = text_escape(path, -1, 200);

		error_refused(error, "the policy has a file whose name is not printable text: %s", shown);
		return FALSE;
	}
	switch (git_tree_entry_filemode_raw(entry)) {
	case GIT_FILEMODE_BLOB:
	case GIT_FILEMODE_BLOB_EXECUTABLE:
		return read_blob(reading, git_tree_entry_id(entry), g_steal_pointer(&path), error);
	case GIT_FILEMODE_TREE:
		below = g_strconcat(path, "/", NULL);
		return read_tree(reading, git_tree_entry_id(entry), below, error);
	default:
		error_refused(error, "%s: a policy holds plain files and folders, no links or submodules", path);
		return FALSE;
	}
}

static gboolean read_tree(struct reading *reading, const git_oid *id, const char *prefix, GError **error)
{
	git_tree *tree = NULL;
	gboolean good = TRUE;
	int code;

	if (reading->depth == DEPTH_MAX) {
		g_set_error(
		    error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "%s: folders deeper than %d", prefix, DEPTH_MAX);
		return FALSE;
	}
	code = git_tree_lookup(&tree, reading->repository->git, id);
	if (code != 0)
		return fail_git(error, code, "cannot read the policy's tree", git_oid_tostr_s(id));
	reading->depth++;
	for (size_t i = 0; good && i < git_tree_entrycount(tree); i++)
		good = read_entry(reading, git_tree_entry_byindex(tree, i), prefix, error);
	reading->depth--;
	git_tree_free(tree);
	return good;
}

policy_files *policy_repository_files(struct policy_repository *repository, const char *tree, GError **error)
{
	struct reading reading = { .repository = repository };
	git_oid oid;

	reading.files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	if (git_oid_fromstr(&oid, tree) == 0 && read_tree(&reading, &oid, "", error))
		return reading.files;
	g_hash_table_unref(reading.files);
	return NULL;
}

char *policy_repository_resolve(struct policy_repository *repository, const char *name, GError **error)
{
	g_autofree char *commit = g_strconcat(name, "^{commit}", NULL);
	git_object *object = NULL;
	char *id;
	int code = git_revparse_single(&object, repository->git, commit);

	if (code != 0) {
		fail_git(error, code, "the policy repository has no commit called", name);
		return NULL;
	}
	id = g_strdup(git_oid_tostr_s(git_object_id(object)));
	git_object_free(object);
	return id;
}
