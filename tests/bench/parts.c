/*
 * What a release cannot do without, each by itself: prints medians in microseconds of one signature by each KEY (the
 * token being open), of scanning all FILEs (the databases being loaded), of hashing all FILEs, and of one fdatasync()
 * after 512 bytes in the folder.
 *
 *   parts ROUNDS MODULE TOKEN PIN-FILE KEY KEY DATABASE FOLDER FILE…
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "signer/hsm.h"
#include "signer/scan.h"

struct parts {
	struct hsm *hsm;
	struct scanner *scanner;
	char **keys, **files;
	int appended;
};

static void die(const char *what, const GError *error)
{
	fprintf(stderr, "parts: %s: %s\n", what, error != NULL ? error->message : g_strerror(errno));
	exit(1);
}

static void sign(const struct parts *p, const char *key)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) signature = hsm_sign(p->hsm, key, EVP_sha256(), "bench", 5, &error);

	if (signature == NULL)
		die(key, error);
}

static void sign_first(const struct parts *p)
{
	sign(p, p->keys[0]);
}

static void sign_second(const struct parts *p)
{
	sign(p, p->keys[1]);
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(path, NULL);
	return fd;
}

static void scan(const struct parts *p)
{
	for (char **path = p->files; *path != NULL; path++) {
		g_autoptr(GError) error = NULL;
		autofd int fd = open_file(*path);
		if (!scanner_scan(p->scanner, fd, NULL, &error))
			die(*path, error);
	}
}

static void hash(const struct parts *p)
{
	for (char **path = p->files; *path != NULL; path++) {
		g_autoptr(GError) error = NULL;
		autofd int fd = open_file(*path);
		g_autofree char *digest = sha256_text_fd(fd, NULL, &error);
		if (digest == NULL)
			die(*path, error);
	}
}

static void synchronize(const struct parts *p)
{
	static const char bytes[512];

	if (write(p->appended, bytes, sizeof(bytes)) != sizeof(bytes) || fdatasync(p->appended) != 0)
		die("the folder cannot be written to", NULL);
}

static void (*const measured[])(const struct parts *) = { sign_first, sign_second, scan, hash, synchronize };

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t cost(const struct parts *p, void (*part)(const struct parts *), int rounds)
{
	g_autofree int64_t *took = g_new0(int64_t, rounds);

	part(p); /* warms up */
	for (int i = 0; i < rounds; i++) {
		int64_t began = now();
		part(p);
		took[i] = now() - began;
	}
	qsort(took, rounds, sizeof(*took), compare);
	return took[rounds / 2];
}

int main(int argc, char **argv)
{
	struct parts p = { 0 };
	struct scan_options options = { .min_signatures = 1 };
	g_autoptr(GError) error = NULL;
	g_autofree char *path = NULL;
	int rounds = argc > 9 ? atoi(argv[1]) : 0;

	if (rounds < 1) {
		fprintf(stderr, "Usage: parts ROUNDS MODULE TOKEN PIN-FILE KEY KEY DATABASE FOLDER FILE…\n");
		return 2;
	}
	options.database = argv[7];
	options.temp = argv[8];
	p.keys = argv + 5;
	p.files = argv + 9;
	path = g_build_filename(argv[8], "bench.append", NULL);
	p.appended = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if ((p.hsm = hsm_open(argv[2], argv[3], argv[4], &error)) == NULL ||
	    (p.scanner = scanner_open(&options, &error)) == NULL)
		die("the token or the scanner", error);
	for (guint i = 0; i < G_N_ELEMENTS(measured); i++)
		printf("%s%lld", i > 0 ? " " : "", (long long)cost(&p, measured[i], rounds));
	printf("\n");
	unlink(path);
	close(p.appended);
	scanner_free(p.scanner);
	hsm_free(p.hsm);
	return 0;
}
