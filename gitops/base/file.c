/* Whole files, descriptors and memfds. */
#include "gitops/base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "gitops/base/error.h"

#define COPY_SIZE (128 * 1024)

/* What a caller can do about this errno. */
static int code_of(int number, int otherwise)
{
	switch (number) {
	case ENOENT:
	case ENOTDIR:
		return TAGSEAL_ERROR_NOT_FOUND;
	case ENOSPC:
	case EDQUOT:
	case EIO:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return TAGSEAL_ERROR_UNAVAILABLE;
	default:
		return otherwise;
	}
}

/* "cannot ACT NAME: why" of errno; always FALSE. */
static gboolean fail(GError **error, int otherwise, const char *act, const char *name)
{
	int number = errno;
	g_autofree char *shown = text_escape(name, -1, 512);

	g_set_error(error, TAGSEAL_ERROR, code_of(number, otherwise), "cannot %s %s: %s", act, shown, g_strerror(number));
	return FALSE;
}

static gboolean too_large(GError **error, const char *name, size_t max)
{
	g_autofree char *shown = text_escape(name, -1, 512);

	g_set_error(
	    error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "%s is larger than the limit of %zu bytes", shown, max);
	return FALSE;
}

/* How many bytes it probably has: a good first size for the buffer, not a promise. */
static size_t expected_size(int fd, size_t max)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return MIN(max, 4096);
	return (size_t)MIN((uint64_t)st.st_size, (uint64_t)max);
}

/* To the end, by pread() from 0 or by read(); `name` and the codes are for the messages. */
static GBytes *read_all(int fd, gboolean positioned, size_t max, const char *name, GError **error)
{
	g_autoptr(GByteArray) all = g_byte_array_new();
	size_t room = expected_size(fd, max), at = 0;

	max = MIN(max, G_MAXUINT / 2); /* the most that a GByteArray holds */
	for (;;) {
		ssize_t got;

		/* One byte beyond what is expected, so that the end is seen without growing. */
		if (all->len == at)
			g_byte_array_set_size(all, (guint)MIN(MAX(room, at * 2) + 1, max + 1));
		got = positioned ? pread(fd, all->data + at, all->len - at, (off_t)at)
				 : read(fd, all->data + at, all->len - at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			fail(error, TAGSEAL_ERROR_UNKNOWN, "read", name);
			return NULL;
		}
		if (got == 0)
			break;
		at += (size_t)got;
		if (at > max) {
			too_large(error, name, max);
			return NULL;
		}
	}
	g_byte_array_set_size(all, (guint)at);
	return g_byte_array_free_to_bytes(g_steal_pointer(&all));
}

GBytes *file_read(const char *path, size_t max, GError **error)
{
	if (strcmp(path, "-") == 0)
		return read_all(STDIN_FILENO, FALSE, max, "standard input", error);

	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		fail(error, TAGSEAL_ERROR_UNKNOWN, "open", path);
		return NULL;
	}
	return read_all(fd, FALSE, max, path, error);
}

GBytes *fd_read(int fd, size_t max, GError **error)
{
	return read_all(fd, TRUE, max, "a descriptor", error);
}

gboolean fd_write_all(int fd, const void *data, size_t size, GError **error)
{
	const uint8_t *from = data;

	while (size > 0) {
		ssize_t put = write(fd, from, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return fail(error, TAGSEAL_ERROR_FAILED, "write to", "a descriptor");
		from += put;
		size -= (size_t)put;
	}
	return TRUE;
}

gboolean fd_pread_all(int fd, void *data, size_t size, uint64_t offset, GError **error)
{
	uint8_t *to = data;

	if (offset > G_MAXINT64 || size > (uint64_t)G_MAXINT64 - offset) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "no file reaches to offset %" PRIu64, offset);
		return FALSE;
	}
	while (size > 0) {
		ssize_t got = pread(fd, to, size, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(error, TAGSEAL_ERROR_UNKNOWN, "read", "a descriptor");
		if (got == 0) {
			error_refused(
			    error, "it ends at byte %" PRIu64 ", where %zu more bytes must follow", offset, size);
			return FALSE;
		}
		to += got;
		offset += (uint64_t)got;
		size -= (size_t)got;
	}
	return TRUE;
}

/* Where sendfile() cannot (a pipe, a filter on system calls). */
static gboolean copy_by_hand(int from, uint64_t offset, uint64_t size, int to, GError **error)
{
	g_autofree uint8_t *buffer = g_malloc(COPY_SIZE);

	while (size > 0) {
		size_t part = MIN(size, COPY_SIZE);

		if (!fd_pread_all(from, buffer, part, offset, error) || !fd_write_all(to, buffer, part, error))
			return FALSE;
		offset += part;
		size -= part;
	}
	return TRUE;
}

gboolean fd_copy(int from, uint64_t offset, uint64_t size, int to, GError **error)
{
	off_t at = (off_t)offset;

	if (offset > G_MAXINT64 || size > (uint64_t)G_MAXINT64 - offset) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE, "no file reaches to offset %" PRIu64, offset);
		return FALSE;
	}
	while (size > 0) {
		ssize_t put = sendfile(to, from, &at, (size_t)MIN(size, 1U << 30));

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) /* also finds the words for an early end and for real failures */
			return copy_by_hand(from, (uint64_t)at, size, to, error);
		size -= (uint64_t)put;
	}
	return TRUE;
}

gboolean fd_size(int fd, uint64_t *size, GError **error)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail(error, TAGSEAL_ERROR_UNKNOWN, "look at", "a descriptor");
	if (!S_ISREG(st.st_mode)) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, "it is not a regular file");
		return FALSE;
	}
	*size = (uint64_t)st.st_size;
	return TRUE;
}

/* The rename is durable only when the folder is. */
static gboolean sync_folder(const char *folder, GError **error)
{
	autofd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) != 0)
		return fail(error, TAGSEAL_ERROR_FAILED, "sync the folder", folder);
	return TRUE;
}

static gboolean write_synced(
    const char *temporary, int fd, const void *data, size_t size, int mode, const char *path, GError **error)
{
	if (fchmod(fd, (mode_t)mode) != 0)
		return fail(error, TAGSEAL_ERROR_FAILED, "set the mode of", path);
	if (!fd_write_all(fd, data, size, error)) {
		g_prefix_error(error, "%s: ", path);
		return FALSE;
	}
	if (fsync(fd) != 0 || rename(temporary, path) != 0)
		return fail(error, TAGSEAL_ERROR_FAILED, "write", path);
	return TRUE;
}

/* A device or pipe that must not be replaced by a file: for root, a rename onto /dev/null would end the machine's. */
static gboolean is_special(const char *path)
{
	struct stat st;

	return g_str_has_prefix(path, "/dev/") || (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

static gboolean write_into(const char *path, const void *data, size_t size, GError **error)
{
	autofd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return fail(error, TAGSEAL_ERROR_FAILED, "open", path);
	return fd_write_all(fd, data, size, error);
}

gboolean file_write(const char *path, const void *data, size_t size, int mode, GError **error)
{
	if (is_special(path))
		return write_into(path, data, size, error);

	g_autofree char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
	g_autofree char *temporary = g_strdup_printf("%s/.%.200s.XXXXXX", folder, name);
	autofd int fd = mkostemp(temporary, O_CLOEXEC);

	if (fd < 0)
		return fail(error, TAGSEAL_ERROR_FAILED, "write", path);
	if (!write_synced(temporary, fd, data, size, mode, path, error)) {
		unlink(temporary);
		return FALSE;
	}
	return sync_folder(folder, error);
}

int memfd_new(const char *name, GError **error)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		fail(error, TAGSEAL_ERROR_UNAVAILABLE, "create the memfd", name);
	return fd;
}

static gboolean memfd_seal(int fd, GError **error)
{
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
		return fail(error, TAGSEAL_ERROR_FAILED, "seal", "a memfd");
	return TRUE;
}

int memfd_from_bytes(const char *name, GBytes *bytes, GError **error)
{
	size_t size;
	const void *data = g_bytes_get_data(bytes, &size);
	autofd int fd = memfd_new(name, error);
	int sealed = fd;

	if (fd < 0 || !fd_write_all(fd, data, size, error) || !memfd_seal(fd, error))
		return -1;
	fd = -1; /* the caller's now */
	return sealed;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	remove(path);
	return 0;
}

void path_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
