#include "server/policy_follow.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

/* The newest commit ever found in force. A mark that cannot be read is no reason to start from the root again: that would let an old policy back in. */
static gboolean read_mark(const char *path, char **mark, GError **error)
{
	g_autoptr(GError) why = NULL;
	g_autoptr(GBytes) bytes = file_read(path, 64, &why);

	*mark = NULL;
	if (g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND))
		return TRUE;
	if (bytes != NULL)
		*mark = g_strchomp(g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)));
	if (*mark != NULL && is_object_id(*mark))
		return TRUE;
	g_clear_pointer(mark, g_free);
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED,
	    "%s must hold the id of the newest policy commit in force, and nothing is decided without it%s%s", path,
	    why != NULL ? ": " : "", why != NULL ? why->message : "");
	return FALSE;
}

static gboolean write_mark(const char *path, const char *commit, GError **error)
{
	g_autofree char *line = g_strconcat(commit, "\n", NULL);

	return file_write(path, line, strlen(line), 0600, error);
}

gboolean policy_follow(const char *mark_path, const char *mirror, const char *root, const char *tip,
    struct policy_chain *chain, GError **error)
{
	g_autofree char *mark = NULL;

	if (!read_mark(mark_path, &mark, error) || !policy_verify(mirror, root, mark, tip, NULL, NULL, chain, error))
		return FALSE;
	return g_strcmp0(mark, chain->commit) == 0 || write_mark(mark_path, chain->commit, error);
}
