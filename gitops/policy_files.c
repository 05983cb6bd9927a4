/* The files of a policy, read from a folder: what a commit's tree would hold, so no links are followed. */
#include "gitops/people.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "gitops/base/bytes.h"
#include "gitops/policy_files.h"

#define FILES_MAX 2000
#define BYTES_MAX (16 * 1024 * 1024)
#define DEPTH_MAX 8

struct walk {
	policy_files *files;
	size_t bytes;
};

policy_files *policy_files_new(void)
{
	return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
}

static gboolean file_take(struct walk *walk, const char *full, const char *path, GError **error)
{
	g_autoptr(GBytes) bytes = file_read(full, BYTES_MAX - walk->bytes, error);

	if (bytes == NULL)
		return FALSE;
	walk->bytes += g_bytes_get_size(bytes);
	g_hash_table_insert(walk->files, g_strdup(path), g_steal_pointer(&bytes));
	if (g_hash_table_size(walk->files) <= FILES_MAX)
		return TRUE;
	g_set_error(
	    error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "a policy of more than %d files is refused", FILES_MAX);
	return FALSE;
}

static gboolean folder_take(struct walk *walk, const char *dir, const char *prefix, guint depth, GError **error)
{
	g_autoptr(GError) reason = NULL;
	g_autoptr(GDir) folder = g_dir_open(dir, 0, &reason);
	const char *name;

	if (folder == NULL) {
		int code = g_error_matches(reason, G_FILE_ERROR, G_FILE_ERROR_NOENT) ? TAGSEAL_ERROR_NOT_FOUND
										     : TAGSEAL_ERROR_UNKNOWN;
		g_set_error(error, TAGSEAL_ERROR, code, "%s: %s", dir, reason->message);
		return FALSE;
	}
	while ((name = g_dir_read_name(folder)) != NULL) {
		g_autofree char *full = g_build_filename(dir, name, NULL);
		g_autofree char *path = g_strconcat(prefix, name, NULL);
		g_autofree char *below = g_strconcat(path, "/", NULL);
		struct stat st;

		if (name[0] == '.')
			continue;
		if (lstat(full, &st) != 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
			error_refused(error, "%s is neither a file nor a folder; links are not followed", full);
			return FALSE;
		}
		if (S_ISREG(st.st_mode) && !file_take(walk, full, path, error))
			return FALSE;
		if (S_ISDIR(st.st_mode) && depth > 0 && !folder_take(walk, full, below, depth - 1, error))
			return FALSE;
	}
	return TRUE;
}

static policy_files *folder_read(const char *dir, const char *prefix, guint depth, GError **error)
{
	g_autoptr(GHashTable) files = policy_files_new();
	struct walk walk = { .files = files };

	return folder_take(&walk, dir, prefix, depth, error) ? g_steal_pointer(&files) : NULL;
}

policy_files *policy_files_from_dir(const char *dir, GError **error)
{
	return folder_read(dir, "", DEPTH_MAX, error);
}

policy_files *policy_files_of_people(const char *dir, GError **error)
{
	return folder_read(dir, "people/", 0, error);
}
