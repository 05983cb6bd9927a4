#include "server/command_file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#include "gitops/base/bytes.h"

static gboolean fail(GError **error, const char *verb, const char *path)
{
	int code = errno == ENOENT ? TAGSEAL_ERROR_NOT_FOUND : TAGSEAL_ERROR_UNKNOWN;
	g_autofree char *shown = text_escape(path, -1, 300);

	g_set_error(error, TAGSEAL_ERROR, code, "cannot %s %s: %s", verb, shown, g_strerror(errno));
	return FALSE;
}

int command_open(const char *path, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return fail(error, "read", path), -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	errno = EINVAL;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, "%s is not a regular file", path);
	return -1;
}

/* What stands there may be replaced only if it is a file, and not the one that is read. */
static gboolean may_replace(const char *path, int in, GError **error)
{
	const char *why = NULL;
	struct stat there, input;

	if (stat(path, &there) != 0)
		return TRUE;
	if (!S_ISREG(there.st_mode))
		why = "the output exists and is not a regular file";
	else if (fstat(in, &input) != 0 || (there.st_dev == input.st_dev && there.st_ino == input.st_ino))
		why = "the output is the input itself: give --output another name";
	if (why != NULL)
		g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, why);
	return why == NULL;
}

struct command_output *command_output_new(const char *path, int in, GError **error)
{
	struct command_output *output;

	if (!may_replace(path, in, error))
		return NULL;
	output = g_new0(struct command_output, 1);
	output->path = g_strdup(path);
	output->temporary = g_strdup_printf("%s.XXXXXX", path);
	output->fd = g_mkstemp_full(output->temporary, O_RDWR | O_CLOEXEC, 0600);
	if (output->fd >= 0)
		return output;
	fail(error, "write", path);
	g_clear_pointer(&output->temporary, g_free);
	command_output_free(output);
	return NULL;
}

gboolean command_output_commit(struct command_output *output, int like, GError **error)
{
	struct stat st;

	if (fstat(like, &st) != 0 || fchmod(output->fd, st.st_mode & 0777) != 0 || fsync(output->fd) != 0 ||
	    rename(output->temporary, output->path) != 0)
		return fail(error, "write", output->path);
	g_clear_pointer(&output->temporary, g_free);
	return TRUE;
}

void command_output_free(struct command_output *output)
{
	if (output == NULL)
		return;
	if (output->fd >= 0)
		close(output->fd);
	if (output->temporary != NULL)
		g_unlink(output->temporary);
	g_free(output->temporary);
	g_free(output->path);
	g_free(output);
}
