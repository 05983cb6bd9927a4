#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

#define LEASE_TRIES 100
#define LEASE_WAIT_MS 10
#define SLICE (8 * 1024 * 1024) /* hashed at a time: some milliseconds, so that the loop goes on */

static gboolean fail(GError **error, const char *doing)
{
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the spool cannot %s: %s", doing, g_strerror(errno));
	return FALSE;
}

static char *spool_folder(const struct engine *engine)
{
	return config_path(engine->role->config, engine->role->config->spool);
}

/* Blobs stand in 256 folders, by the first two digits. */
static char *blob_path(const struct engine *engine, const char *sha256)
{
	g_autofree char *folder = spool_folder(engine);
	const char *hex = sha256 + strlen("sha256:");

	return g_strdup_printf("%s/%.2s/%s", folder, hex, hex + 2);
}

int spool_temporary(struct engine *engine, GError **error)
{
	g_autofree char *folder = spool_folder(engine);
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);

	if (fd < 0)
		fail(error, "make a file");
	return fd;
}

int spool_open(struct engine *engine, const char *sha256, uint64_t *size, GError **error)
{
	g_autofree char *path = blob_path(engine, sha256);
	struct stat about;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fstat(fd, &about) < 0) {
		fail(error, "open a blob");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*size = about.st_size;
	return fd;
}

gboolean spool_has(struct engine *engine, const char *sha256)
{
	g_autofree char *path = blob_path(engine, sha256);

	return access(path, F_OK) == 0;
}

struct adoption {
	struct engine *engine;
	char *release;
	int fd; /* read-only */
	int broken; /* errno, if it could not even be opened again */
	guint tries;
	EVP_MD_CTX *hash;
	uint64_t size;
	void (*adopted)(struct engine *, struct release *, const char *, uint64_t, const GError *, gpointer);
	gpointer data;
};

static void adoption_end(struct adoption *a, const char *sha256, const GError *error)
{
	struct release *release = g_hash_table_lookup(a->engine->releases, a->release);

	if (release != NULL)
		a->adopted(a->engine, release, sha256, a->size, error, a->data);
	EVP_MD_CTX_free(a->hash);
	if (a->fd >= 0)
		close(a->fd);
	g_free(a->release);
	g_free(a);
}

/* Gives the file its name. A blob that is there already is the same blob. */
static gboolean link_blob(struct adoption *a, const char *sha256, GError **error)
{
	g_autofree char *path = blob_path(a->engine, sha256), *folder = g_path_get_dirname(path);
	g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", a->fd);
	autofd int dir = -1;

	if (fdatasync(a->fd) < 0 || g_mkdir_with_parents(folder, 0700) < 0 ||
	    (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST) ||
	    (dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fsync(dir) < 0)
		return fail(error, "keep a blob");
	return TRUE;
}

static void adopt_slice(evutil_socket_t unused, short what, void *data)
{
	struct adoption *a = data;
	g_autofree char *buffer = g_malloc(SLICE), *sha256 = NULL, *hex = NULL;
	g_autoptr(GError) error = NULL;
	unsigned char digest[SHA256_SIZE];
	ssize_t got = pread(a->fd, buffer, SLICE, a->size);

	(void)unused;
	(void)what;
	if (got > 0 && EVP_DigestUpdate(a->hash, buffer, got) == 1) {
		static const struct timeval at_once = { 0, 0 };
		a->size += got;
		/* A short read was the end: no second turn of the loop for small files. */
		if (got == SLICE) {
			event_base_once(a->engine->base, -1, EV_TIMEOUT, adopt_slice, a, &at_once);
			return;
		}
		got = 0;
	}
	if (got < 0 || EVP_DigestFinal_ex(a->hash, digest, NULL) != 1) {
		fail(&error, "read a file back");
	} else {
		hex = hex_encode(digest, sizeof(digest));
		sha256 = g_strconcat("sha256:", hex, NULL);
		link_blob(a, sha256, &error);
	}
	adoption_end(a, sha256, error);
}

static void adopt_later(struct adoption *a, void (*step)(evutil_socket_t, short, void *), int64_t ms)
{
	struct timeval in = { ms / 1000, ms % 1000 * 1000 };

	event_base_once(a->engine->base, -1, EV_TIMEOUT, step, a, &in);
}

/*
 * A read lease is granted only when nobody has the file open for writing: whoever filled it has let go, and it is read-only from here on. A worker lets go
 * right after it has answered, so it gets a moment.
 */
static void adopt_alone(evutil_socket_t unused, short what, void *data)
{
	struct adoption *a = data;
	g_autoptr(GError) error = NULL;

	if (a->broken == 0 && fcntl(a->fd, F_SETLEASE, F_RDLCK) == 0) {
		fcntl(a->fd, F_SETLEASE, F_UNLCK);
		adopt_slice(unused, what, a);
		return;
	}
	if (a->broken == 0 && (errno == EAGAIN || errno == EBUSY) && a->tries++ < LEASE_TRIES) {
		adopt_later(a, adopt_alone, LEASE_WAIT_MS);
		return;
	}
	if (a->broken != 0)
		errno = a->broken;
	if (a->broken == 0 && (errno == EAGAIN || errno == EBUSY))
		error_refused(&error, "the process that filled the file still holds it open for writing");
	else
		fail(&error, "prove that no writer is left");
	adoption_end(a, NULL, error);
}

void spool_adopt(struct engine *engine, int fd, struct release *release,
    void (*adopted)(struct engine *, struct release *, const char *, uint64_t, const GError *, gpointer), gpointer data)
{
	struct adoption *a = g_new0(struct adoption, 1);
	g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", fd);

	a->engine = engine;
	a->release = g_strdup(release->id);
	a->adopted = adopted;
	a->data = data;
	a->hash = EVP_MD_CTX_new();
	a->fd = fchmod(fd, 0400) == 0 ? open(self, O_RDONLY | O_CLOEXEC) : -1;
	if (a->fd < 0 || EVP_DigestInit_ex(a->hash, EVP_sha256(), NULL) != 1)
		a->broken = errno != 0 ? errno : EIO;
	close(fd);
	adopt_later(a, adopt_alone, 0);
}
