#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "signer/hsm_internal.h"

static gboolean pin_usage(GError **error, const char *path, const char *why)
{
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "the PIN file %s %s", path, why);
	return FALSE;
}

/* A PIN that others can read is no PIN: better to stop here than to sign with it. */
static gboolean pin_file_is_private(int fd, const char *path, GError **error)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return pin_usage(error, path, g_strerror(errno));
	if (!S_ISREG(st.st_mode))
		return pin_usage(error, path, "is not a regular file");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return pin_usage(error, path, "belongs to another user, who could change it");
	if ((st.st_mode & 077) != 0) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "the PIN file %s is open to others (mode %04o): chmod 600 %s", path, st.st_mode & 07777, path);
		return FALSE;
	}
	return TRUE;
}

static gboolean pin_take_line(char pin[static PIN_MAX], size_t size, const char *path, GError **error)
{
	size_t length = strcspn(pin, "\r\n");

	if (length == PIN_MAX - 1)
		return pin_usage(error, path, "has a first line that is too long for a PIN");
	if (length < size && pin[length] == '\0')
		return pin_usage(error, path, "has a NUL in its first line");
	explicit_bzero(pin + length, PIN_MAX - length);
	if (length == 0)
		return pin_usage(error, path, "is empty: the PIN must stand in its first line");
	return TRUE;
}

gboolean pin_read(const char *path, char pin[static PIN_MAX], GError **error)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t size;
	g_autofree char *why = fd < 0 ? g_strdup_printf("cannot be opened: %s", g_strerror(errno)) : NULL;

	memset(pin, 0, PIN_MAX);
	if (fd < 0)
		return pin_usage(error, path, why);
	if (!pin_file_is_private(fd, path, error))
		return FALSE;
	do
		size = read(fd, pin, PIN_MAX - 1);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return pin_usage(error, path, "cannot be read");
	return pin_take_line(pin, size, path, error);
}
