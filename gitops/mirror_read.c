/* Reading a mirror: objects within a limit, and who is reachable from where. */
#include <errno.h>
#include <git2.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/mirror.h"

static gboolean git_failed(const char *path, const char *what, GError **error)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, "%s: %s: %s", path, what,
	    last != NULL ? last->message : "unknown reason");
	return FALSE;
}

static git_repository *open_mirror(const char *path, GError **error)
{
	git_repository *repository = NULL;

	if (mirror_init(error) && git_repository_open_ext(&repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0)
		git_failed(path, "the repository could not be opened", error);
	return repository;
}

static gboolean parse_id(const char *text, git_oid *id, GError **error)
{
	if (is_object_id(text) && git_oid_fromstr(id, text) == 0)
		return TRUE;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND, "an object is named by 40 lower-case hex digits");
	return FALSE;
}

/* The header comes first: a blob of gigabytes packs into a few bytes. */
static GBytes *read_object(git_odb *odb, const char *id, git_object_t type, size_t max, GError **error)
{
	git_odb_object *object = NULL;
	git_object_t found;
	git_oid oid, again;
	size_t size;
	GBytes *bytes;

	if (!parse_id(id, &oid, error))
		return NULL;
	if (git_odb_read_header(&size, &found, odb, &oid) != 0 || found != type) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND, "there is no %s %s",
		    git_object_type2string(type), id);
		return NULL;
	}
	if (size > max) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "%s %s has %zu bytes; at most %zu are taken",
		    git_object_type2string(type), id, size, max);
		return NULL;
	}
	if (git_odb_read(&object, odb, &oid) != 0) {
		git_failed(id, "the object could not be read", error);
		return NULL;
	}
	bytes = g_bytes_new(git_odb_object_data(object), git_odb_object_size(object));
	if (git_odb_hash(&again, git_odb_object_data(object), git_odb_object_size(object), type) != 0 ||
	    !git_oid_equal(&again, &oid)) {
		error_refused(error, "%s does not hold what its name says", id);
		g_clear_pointer(&bytes, g_bytes_unref);
	}
	git_odb_object_free(object);
	return bytes;
}

GBytes *mirror_object(const char *path, const char *id, const char *type, size_t max, GError **error)
{
	git_repository *repository = open_mirror(path, error);
	git_odb *odb = NULL;
	GBytes *bytes = NULL;

	if (repository == NULL)
		return NULL;
	if (git_repository_odb(&odb, repository) != 0)
		git_failed(path, "the objects could not be opened", error);
	else
		bytes = read_object(odb, id, git_object_string2type(type), max, error);
	git_odb_free(odb);
	git_repository_free(repository);
	return bytes;
}

struct search {
	git_repository *repository;
	git_oid commit;
	const char *const *globs;
	char *found;
};

static int look_at_branch(git_reference *ref, void *data)
{
	static const char heads[] = "refs/heads/";
	struct search *search = data;
	const char *name = git_reference_name(ref);
	const git_oid *tip = git_reference_target(ref);
	gboolean wanted = FALSE;

	if (g_str_has_prefix(name, heads) && tip != NULL) {
		name += strlen(heads);
		for (const char *const *glob = search->globs; !wanted && *glob != NULL; glob++)
			wanted = glob_match(*glob, name, FALSE, FALSE);
	}
	if (wanted && (git_oid_equal(tip, &search->commit) ||
			  git_graph_descendant_of(search->repository, tip, &search->commit) == 1))
		search->found = g_strdup(name);
	git_reference_free(ref);
	return search->found != NULL;
}

gboolean mirror_branch_of(const char *path, const char *commit, const char *const *globs, char **branch, GError **error)
{
	struct search search = { .globs = globs };
	gboolean ok;
	int done;

	*branch = NULL;
	if (!parse_id(commit, &search.commit, error) || (search.repository = open_mirror(path, error)) == NULL)
		return FALSE;
	done = git_reference_foreach(search.repository, look_at_branch, &search);
	ok = done == 0 || search.found != NULL || git_failed(path, "the branches could not be read", error);
	git_repository_free(search.repository);
	*branch = search.found;
	return ok;
}

static char **walk(git_revwalk *walk, guint max, const char *path, GError **error)
{
	g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
	git_oid id;
	int done;

	while ((done = git_revwalk_next(&id, walk)) == 0) {
		char hex[GIT_OID_HEXSZ + 1];

		if (ids->len >= max) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE,
			    "more than %u commits stand between the two", max);
			return NULL;
		}
		g_ptr_array_add(ids, g_strdup(git_oid_tostr(hex, sizeof(hex), &id)));
	}
	if (done != GIT_ITEROVER) {
		git_failed(path, "the history could not be read", error);
		return NULL;
	}
	g_ptr_array_add(ids, NULL);
	return (char **)g_ptr_array_free(g_steal_pointer(&ids), FALSE);
}

char **mirror_commits(const char *path, const char *tip, const char *since, guint max, GError **error)
{
	git_repository *repository;
	git_revwalk *history = NULL;
	git_oid from, to;
	char **ids = NULL;

	if (!parse_id(tip, &to, error) || (since != NULL && !parse_id(since, &from, error)) ||
	    (repository = open_mirror(path, error)) == NULL)
		return NULL;
	if (git_revwalk_new(&history, repository) != 0 ||
	    git_revwalk_sorting(history, GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME) != 0 ||
	    git_revwalk_push(history, &to) != 0 || (since != NULL && git_revwalk_hide(history, &from) != 0))
		git_failed(path, "the history could not be read", error);
	else
		ids = walk(history, max, path, error);
	git_revwalk_free(history);
	git_repository_free(repository);
	return ids;
}

/* ---- commits that are new ---- */

struct news {
	git_odb *odb;
	size_t size;
	void (*each)(const char *id, GBytes *raw, gpointer data);
	gpointer data;
};

static gboolean is_commit(git_odb *odb, const char *id, git_oid *oid)
{
	git_object_t type;
	size_t size;

	return parse_id(id, oid, NULL) && git_odb_read_header(&size, &type, odb, oid) == 0 && type == GIT_OBJECT_COMMIT;
}

static gboolean push_all(
    git_revwalk *walk, git_odb *odb, const char *const *ids, int (*push)(git_revwalk *, const git_oid *))
{
	git_oid oid;

	for (; *ids != NULL; ids++)
		if (is_commit(odb, *ids, &oid) && push(walk, &oid) != 0)
			return FALSE;
	return TRUE;
}

static gboolean hand_over(const struct news *news, char **ids, GError **error)
{
	for (; *ids != NULL; ids++) {
		g_autoptr(GError) why = NULL;
		g_autoptr(GBytes) raw = read_object(news->odb, *ids, GIT_OBJECT_COMMIT, news->size, &why);

		if (raw == NULL && !g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE)) {
			g_propagate_error(error, g_steal_pointer(&why));
			return FALSE;
		}
		news->each(*ids, raw, news->data);
	}
	return TRUE;
}

gboolean mirror_each_commit(const char *path, const char *const *tips, const char *const *hidden, guint max,
    size_t size, void (*each)(const char *id, GBytes *raw, gpointer data), gpointer data, GError **error)
{
	struct news news = { NULL, size, each, data };
	git_repository *repository = open_mirror(path, error);
	git_revwalk *history = NULL;
	g_auto(GStrv) ids = NULL;
	gboolean good;

	if (repository == NULL)
		return FALSE;
	if (git_repository_odb(&news.odb, repository) != 0 || git_revwalk_new(&history, repository) != 0 ||
	    !push_all(history, news.odb, tips, git_revwalk_push) ||
	    !push_all(history, news.odb, hidden, git_revwalk_hide))
		git_failed(path, "the history could not be read", error);
	else
		ids = walk(history, max, path, error);
	good = ids != NULL && hand_over(&news, ids, error);
	git_revwalk_free(history);
	git_odb_free(news.odb);
	git_repository_free(repository);
	return good;
}
