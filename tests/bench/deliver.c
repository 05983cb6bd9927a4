/*
 * Webhooks as a git host sends them (Standard Webhooks, a connection each), and what they cost.
 *
 *   deliver PORT SECRET-FILE PROJECT REF NEW                 sends one push of a ref
 *   deliver PORT SECRET-FILE PROJECT --beside FOLDER ROUNDS  prints two medians in microseconds: appending as many bytes
 *                                                            to a file of FOLDER and fdatasync(), and a delivery of a new
 *                                                            tag until its answer. In turns, with pauses in which the
 *                                                            server gets done with what it was told
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_US 250000

struct hook {
	int port;
	unsigned char key[96];
	int key_size;
	const char *project;
};

static void die(const char *what)
{
	fprintf(stderr, "deliver: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* "whsec_" and base64 */
static void read_key(struct hook *hook, const char *path)
{
	char line[128] = "";
	FILE *file = fopen(path, "r");
	size_t size;

	if (file == NULL || fgets(line, sizeof(line), file) == NULL || strncmp(line, "whsec_", 6) != 0)
		die(path);
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	size = strlen(line + 6);
	hook->key_size = EVP_DecodeBlock(hook->key, (unsigned char *)line + 6, size);
	while (size > 0 && line[6 + --size] == '=')
		hook->key_size--;
}

static void random_hex(char *out, int bytes)
{
	unsigned char random[32];

	RAND_bytes(random, bytes);
	for (int i = 0; i < bytes; i++)
		sprintf(out + 2 * i, "%02x", random[i]);
}

static int write_body(const struct hook *hook, char *out, size_t size, const char *ref, const char *new)
{
	return snprintf(out, size,
	    "{\"type\":\"push\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"data\":{\"project\":\"%s\",\"ref\":\"%s\","
	    "\"old\":\"%040d\",\"new\":\"%s\"}}",
	    hook->project, ref, 0, new);
}

static int write_request(const struct hook *hook, char *out, size_t size, const char *body, int body_size)
{
	char id[40] = "msg_", content[2048], signature[64];
	unsigned char mac[32];
	long seconds = time(NULL);
	int length;

	random_hex(id + 4, 16);
	length = snprintf(content, sizeof(content), "%s.%ld.%s", id, seconds, body);
	HMAC(EVP_sha256(), hook->key, hook->key_size, (unsigned char *)content, length, mac, NULL);
	EVP_EncodeBlock((unsigned char *)signature, mac, sizeof(mac));
	return snprintf(out, size,
	    "POST /hooks/standard HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
	    "Content-Length: %d\r\nwebhook-id: %s\r\nwebhook-timestamp: %ld\r\nwebhook-signature: v1,%s\r\n\r\n%s",
	    hook->port, body_size, id, seconds, signature, body);
}

/* Until the answer's first bytes are here, which must be those of a 202. */
static void post(const struct hook *hook, const char *request, int size)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(hook->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	char answer[4096] = "";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 || write(fd, request, size) != size ||
	    read(fd, answer, sizeof(answer) - 1) <= 0)
		die("the server cannot be told");
	if (strncmp(answer, "HTTP/1.1 202 ", 13) != 0) {
		fprintf(stderr, "deliver: the server answers: %s\n", answer);
		exit(1);
	}
	close(fd);
}

/* Returns the bytes of the body. */
static int deliver(const struct hook *hook, const char *ref, const char *new, int64_t *took)
{
	char body[1024], request[4096];
	int size = write_body(hook, body, sizeof(body), ref, new);
	int request_size = write_request(hook, request, sizeof(request), body, size);
	int64_t began = now();

	post(hook, request, request_size);
	*took = now() - began;
	return size;
}

static int64_t append(int fd, int size)
{
	static const char bytes[1024];
	int64_t began = now();

	if (write(fd, bytes, size) != size || fdatasync(fd) != 0)
		die("the folder cannot be written to");
	return now() - began;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t median(int64_t *values, int count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void beside(const struct hook *hook, const char *folder, int rounds)
{
	char path[4096], ref[64], new[41] = "";
	int64_t *floors = calloc(rounds, sizeof(int64_t)), *posts = calloc(rounds, sizeof(int64_t)), warm;
	int fd, size;

	snprintf(path, sizeof(path), "%s/bench.append", folder);
	if ((fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0)
		die(path);
	random_hex(new, 20);
	size = deliver(hook, "refs/tags/v900.0.0", new, &warm);
	append(fd, size);
	for (int i = 0; i < rounds; i++) {
		usleep(PAUSE_US);
		floors[i] = append(fd, size);
		snprintf(ref, sizeof(ref), "refs/tags/v900.1.%d", i);
		random_hex(new, 20);
		deliver(hook, ref, new, &posts[i]);
	}
	unlink(path);
	printf("%lld %lld\n", (long long)median(floors, rounds), (long long)median(posts, rounds));
}

int main(int argc, char **argv)
{
	struct hook hook = { 0 };
	int64_t took;

	if (argc != 6 && argc != 7) {
		fprintf(stderr, "Usage: deliver PORT SECRET-FILE PROJECT REF NEW|--beside FOLDER ROUNDS\n");
		return 2;
	}
	hook.port = atoi(argv[1]);
	hook.project = argv[3];
	read_key(&hook, argv[2]);
	if (argc == 7)
		beside(&hook, argv[5], atoi(argv[6]));
	else
		deliver(&hook, argv[4], argv[5], &took);
	return 0;
}
