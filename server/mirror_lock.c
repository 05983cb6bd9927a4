#include "server/mirror_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "gitops/base/error.h"

int mirror_lock(const char *path, GError **error)
{
	g_autofree char *name = g_strconcat(path, ".lock", NULL);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	while (fd >= 0 && flock(fd, LOCK_EX) != 0)
		if (errno != EINTR) {
			close(fd);
			fd = -1;
		}
	if (fd < 0)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s cannot be locked: %s", name,
		    g_strerror(errno));
	return fd;
}
