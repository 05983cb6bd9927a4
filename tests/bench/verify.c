/*
 * One signed tag: prints the CPU time in microseconds of judging it (parsing, and people_verify_tag()), of OpenSSL's bare verification of
 * the same SSH signature with the hashing that it needs (0 for OpenPGP), and of `git verify-tag`. Medians of ROUNDS, in each of which the
 * three follow each other; CPU time, since other work on the machine must not count.
 *
 *   verify ROUNDS PEOPLE REPOSITORY TAG
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "gitops/base/bytes.h"
#include "gitops/people.h"
#include "gitops/ssh_private.h"

#define TIMES 200 /* of each within a round; git is run twice */

struct bench {
	struct people *people;
	GBytes *raw;
	char **git; /* the command */
	/* SSH: */
	EVP_PKEY *pkey;
	const EVP_MD *payload_md, *md;
	GBytes *payload, *message, *signature;
};

static void die(const char *what, const GError *error)
{
	fprintf(stderr, "verify: %s: %s\n", what, error != NULL ? error->message : g_strerror(errno));
	exit(1);
}

static double ours(const struct bench *b)
{
	g_autoptr(GError) error = NULL;
	int64_t now = time_now_ms();

	for (int i = 0; i < TIMES; i++) {
		autoptr(tag) tag = tag_parse(b->raw, &error);
		struct signer signer = { 0 };
		if (tag == NULL || !people_verify_tag(b->people, tag, now, &signer, &error))
			die("the tag", error);
		signer_clear(&signer);
	}
	return TIMES;
}

static double bare(const struct bench *b)
{
	uint8_t digest[EVP_MAX_MD_SIZE];

	for (int i = 0; b->pkey != NULL && i < TIMES; i++) {
		EVP_MD_CTX *context = EVP_MD_CTX_new();
		if (EVP_Digest(g_bytes_get_data(b->payload, NULL), g_bytes_get_size(b->payload), digest, NULL,
			b->payload_md, NULL) != 1 ||
		    EVP_DigestVerifyInit(context, NULL, b->md, NULL, b->pkey) != 1 ||
		    EVP_DigestVerify(context, g_bytes_get_data(b->signature, NULL), g_bytes_get_size(b->signature),
			g_bytes_get_data(b->message, NULL), g_bytes_get_size(b->message)) != 1)
			die("OpenSSL does not find the signature good", NULL);
		EVP_MD_CTX_free(context);
	}
	return TIMES;
}

static double git(const struct bench *b)
{
	int status = 0;

	for (int i = 0; i < 2; i++)
		if (!g_spawn_sync(NULL, b->git, NULL,
			G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL,
			NULL, &status, NULL) ||
		    status != 0)
			die("git verify-tag does not find the tag good", NULL);
	return 2;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* What this process and those that it waited for have used. */
static double cpu_used(void)
{
	struct rusage self, children;

	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	return seconds(self.ru_utime) + seconds(self.ru_stime) + seconds(children.ru_utime) + seconds(children.ru_stime);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void put_string(GByteArray *to, const void *data, size_t size)
{
	guint32 length = GUINT32_TO_BE(size);

	g_byte_array_append(to, (const guint8 *)&length, sizeof(length));
	g_byte_array_append(to, data, size);
}

/* What the key signed.   PROTOCOL.sshsig */
static GBytes *message_of(const struct bench *b, const char *hash)
{
	GByteArray *message = g_byte_array_new();
	uint8_t digest[EVP_MAX_MD_SIZE];

	EVP_Digest(g_bytes_get_data(b->payload, NULL), g_bytes_get_size(b->payload), digest, NULL, b->payload_md, NULL);
	g_byte_array_append(message, (const guint8 *)"SSHSIG", 6);
	put_string(message, "git", 3);
	put_string(message, "", 0);
	put_string(message, hash, strlen(hash));
	put_string(message, digest, EVP_MD_get_size(b->payload_md));
	return g_byte_array_free_to_bytes(message);
}

/* The last string of the blob: the algorithm's name, and the signature. */
static GBytes *signature_of(GBytes *blob, const struct ssh_key *key, const EVP_MD **md)
{
	struct span part = { 0 }, name, bytes, r, s;
	struct cursor c;

	cursor_init(&c, g_bytes_get_data(blob, NULL), g_bytes_get_size(blob));
	cursor_skip(&c, 10, "head");
	while (c.field == NULL && cursor_left(&c) > 0)
		ssh_take(&c, &part, "field");
	cursor_init(&c, part.data, part.size);
	if (!ssh_take(&c, &name, "name") || !ssh_take(&c, &bytes, "bytes"))
		die("the signature cannot be read", NULL);
	*md = key->type->digest != NULL ? key->type->digest() : NULL;
	if (key->type->algorithm == SSH_RSA) {
		*md = EVP_sha512();
		return pkey_rsa_signature(key->pkey, bytes);
	}
	if (key->type->algorithm == SSH_ED25519)
		return g_bytes_new(bytes.data, bytes.size);
	cursor_init(&c, bytes.data, bytes.size);
	if (!ssh_take_mpint(&c, &r, "r") || !ssh_take_mpint(&c, &s, "s"))
		die("the signature cannot be read", NULL);
	return pkey_ecdsa_signature(r, s);
}

static void prepare_bare(struct bench *b)
{
	g_autoptr(GError) error = NULL;
	autoptr(tag) tag = tag_parse(b->raw, &error);
	autoptr(ssh_signature) signature = NULL;
	autoptr(ssh_key) key = NULL;
	g_autofree char *base64 = NULL, *end = NULL;
	g_autoptr(GBytes) blob = NULL;
	const char *hash;

	if (tag == NULL)
		die("the tag", error);
	if (tag->format != SIGNATURE_SSH)
		return;
	signature = ssh_signature_read(tag->signature, "git", &error);
	if (signature == NULL || (key = ssh_key_read(ssh_signature_key(signature), &error)) == NULL)
		die("the signature", error);
	hash = ssh_signature_hash(signature);
	base64 = g_strdup(strchr(tag->signature, '\n') + 1);
	*strstr(base64, "-----END") = '\0';
	blob = base64_decode_strict(base64, strlen(base64), TRUE);
	b->payload = g_bytes_ref(tag->payload);
	b->payload_md = g_str_equal(hash, "sha256") ? EVP_sha256() : EVP_sha512();
	b->message = message_of(b, hash);
	b->signature = signature_of(blob, key, &b->md);
	b->pkey = key->pkey;
	EVP_PKEY_up_ref(b->pkey);
}

static GBytes *tag_read(const char *repository, const char *name)
{
	char *argv[] = { "git", "-C", (char *)repository, "cat-file", "tag", (char *)name, NULL };
	g_autoptr(GError) error = NULL;
	char *text = NULL;

	if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &text, NULL, NULL, &error))
		die("git", error);
	return g_bytes_new_take(text, strlen(text));
}

int main(int argc, char **argv)
{
	static double (*const things[])(const struct bench *) = { ours, bare, git };
	int rounds = argc == 5 ? atoi(argv[1]) : 0;
	g_autofree double *used = g_new0(double, 3 * (rounds + 1));
	g_autoptr(GError) error = NULL;
	struct bench b = { 0 };

	if (rounds <= 0)
		die("usage: verify ROUNDS PEOPLE REPOSITORY TAG", NULL);
	char *command[] = { "git", "-C", argv[3], "verify-tag", argv[4], NULL };
	b.git = command;
	if ((b.people = people_load_dir(argv[2], &error)) == NULL)
		die(argv[2], error);
	b.raw = tag_read(argv[3], argv[4]);
	prepare_bare(&b);
	for (int i = 0; i < rounds; i++)
		for (int t = 0; t < 3; t++) {
			double before = cpu_used(), times = things[t](&b);
			used[t * rounds + i] = (cpu_used() - before) / times;
		}
	for (int t = 0; t < 3; t++)
		qsort(used + t * rounds, rounds, sizeof(double), compare);
	printf("%.2f %.2f %.2f\n", used[rounds / 2] * 1e6, b.pkey != NULL ? used[rounds + rounds / 2] * 1e6 : 0.0,
	    used[2 * rounds + rounds / 2] * 1e6);
	return 0;
}
