#include "server/policy_follow.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

#define MARK_MOST 128

/* The newest commit ever found in force, and the root that it was found from. */
struct mark {
	char *commit, *root; /* both NULL: none yet */
};

static void mark_clear(struct mark *mark)
{
	g_free(mark->commit);
	g_free(mark->root);
}

/* A mark that cannot be read is no reason to start from the root again: that would let an old policy back in. */
static gboolean read_mark(const char *path, struct mark *mark, GError **error)
{
	g_autoptr(GError) why = NULL;
	g_autoptr(GBytes) bytes = file_read(path, MARK_MOST, &why);
	g_autofree char *line = NULL;
	g_auto(GStrv) words = NULL;

	if (g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND))
		return TRUE;
	if (bytes != NULL) {
		line = g_strchomp(g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)));
		words = g_strsplit(line, " ", 3);
	}
	/* Earlier versions wrote the commit alone. */
	if (words != NULL && words[0] != NULL && is_object_id(words[0]) &&
	    (words[1] == NULL || (is_object_id(words[1]) && words[2] == NULL))) {
		mark->commit = g_strdup(words[0]);
		mark->root = g_strdup(words[1]);
		return TRUE;
	}
	g_set_error(error, TAGSEAL_ERROR,
	    TAGSEAL_ERROR_FAILED, "%s must hold the id of the newest policy commit in force and that of its root, and nothing is decided without it%s%s",
	    path, why != NULL ? ": " : "", why != NULL ? why->message : "");
	return FALSE;
}

static gboolean write_mark(const char *path, const char *commit, const char *root, GError **error)
{
	g_autofree char *line = g_strdup_printf("%s %s\n", commit, root);

	return file_write(path, line, strlen(line), 0600, error);
}

/* What was once found in force from this root is as good a start as the root: nothing below it is read again. */
static gboolean verify(const struct mark *mark, const char *mirror, const char *root, const char *tip,
    struct policy_chain *chain, GError **error)
{
	if (g_strcmp0(mark->root, root) == 0)
		return policy_verify(mirror, mark->commit, NULL, tip, NULL, NULL, chain, error);
	return policy_verify(mirror, root, mark->commit, tip, NULL, NULL, chain, error);
}

gboolean policy_follow(const char *mark_path, const char *mirror, const char *root, const char *tip,
    struct policy_chain *chain, GError **error)
{
	struct mark mark = { NULL };
	gboolean good = read_mark(mark_path, &mark, error) && verify(&mark, mirror, root, tip, chain, error);

	if (good && (g_strcmp0(mark.commit, chain->commit) != 0 || g_strcmp0(mark.root, root) != 0))
		good = write_mark(mark_path, chain->commit, root, error);
	mark_clear(&mark);
	return good;
}
