/*
 * Sources that mean harm: what drips, redirects, lies about its refs or its objects is cut off, with a sentence. And ssh from a real sshd, whose key must be
 * the known one.
 */
#include "tests/unit/support_net.h"
#include "tests/unit/support.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gitops/mirror.h"

/* Where a connection is refused, libgit2 and libssh2 leave some bytes behind: theirs to mend. Nothing else may leak here. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libssh2.so\nleak:libgit2.so\n";
}

#define TIP "0123456789abcdef0123456789abcdef01234567"

static const char *const sources[] = { "refs/tags/*", "refs/heads/*", NULL };
static const struct mirror_limits usual = {
	.max_bytes = 64 << 20,
	.max_objects = 10000,
	.deadline_ms = 20000,
	.allow_private = TRUE,
};

/* ---- a server of one conversation a connection ---- */

/* A whole request: what is left unread when a connection is closed would reset it, and take the answer away. */
static gboolean read_request(int fd, char *request, size_t size)
{
	size_t have = 0;

	for (;;) {
		const char *body = strstr(request, "\r\n\r\n"), *length = strstr(request, "Content-Length: ");
		ssize_t n;

		if (body != NULL) {
			size_t whole = (size_t)(body - request) + 4;
			if (length != NULL && length < body)
				whole += strtoul(length + strlen("Content-Length: "), NULL, 10);
			if (have >= whole)
				return TRUE;
		}
		if (have + 1 >= size || (n = read(fd, request + have, size - 1 - have)) <= 0)
			return FALSE;
		have += (size_t)n;
		request[have] = '\0';
	}
}

struct hostile {
	void (*conversation)(int fd, const char *request);
	enum tagseal_error code; /* what becomes of it */
	const char *words;
	gint64 deadline_ms;
};

static void answer(int peer, const void *data)
{
	const struct hostile *hostile = data;
	char request[4096] = "";

	if (read_request(peer, request, sizeof(request)))
		hostile->conversation(peer, request);
}

static void say(int fd, const void *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = write(fd, (const char *)data + at, size - at);

		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

static void say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* The head of an answer that ends with the connection. */
static void head(int fd, const char *type)
{
	g_autofree char *text = g_strdup_printf(
	    "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-%s\r\nConnection: close\r\n\r\n", type);

	say_text(fd, text);
}

static void say_refs(int fd, guint count)
{
	static const char abilities[] = "side-band-64k ofs-delta";
	g_autoptr(GString) all = g_string_new(NULL);

	g_string_append(all, "001e# service=git-upload-pack\n0000");
	for (guint i = 0; i < count; i++) {
		/* Abilities stand behind a NUL. */
		gsize more = i == 0 ? 1 + strlen(abilities) : 0;

		g_string_append_printf(all, "%04x" TIP " refs/tags/v%06u", (guint)(4 + 40 + 1 + 17 + more + 1), i);
		if (i == 0)
			g_string_append_len(g_string_append_c(all, '\0'), abilities, (gssize)strlen(abilities));
		g_string_append_c(all, '\n');
	}
	g_string_append(all, "0000");
	head(fd, "advertisement");
	say(fd, all->str, all->len);
}

static gboolean is_post(const char *request)
{
	return g_str_has_prefix(request, "POST ");
}

/* ---- conversations ---- */

static void drip(int fd, const char *request)
{
	(void)request;
	head(fd, "advertisement");
	say_text(fd, "001e# service=git-upload-pack\n0000003f");
	for (guint i = 0; i < 1000; i++) {
		say_text(fd, "0");
		g_usleep(50 * 1000);
	}
}

static void redirect_to_file(int fd, const char *request)
{
	(void)request;
	say_text(fd, "HTTP/1.1 302 Found\r\nLocation: file:///etc/info/refs?service=git-upload-pack\r\nContent-Length: "
		     "0\r\n\r\n");
}

static void redirect_inside(int fd, const char *request)
{
	(void)request;
	say_text(fd, "HTTP/1.1 302 Found\r\nLocation: "
		     "http://169.254.169.254/info/refs?service=git-upload-pack\r\nContent-Length: 0\r\n\r\n");
}

static void many_refs(int fd, const char *request)
{
	(void)request;
	say_refs(fd, 210000);
}

/* One line of side-band 1. */
static void band(int fd, const void *data, size_t size)
{
	g_autofree char *length = g_strdup_printf("%04x\001", (guint)size + 5);

	say(fd, length, 5);
	say(fd, data, size);
}

static void pack_of(int fd, guint32 objects, gboolean whole)
{
	guint8 pack[32] = { 'P', 'A', 'C', 'K', 0, 0, 0, 2 };
	g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
	gsize size = 20;

	head(fd, "result");
	say_text(fd, "0008NAK\n");
	for (guint i = 0; i < 4; i++)
		pack[8 + i] = (guint8)(objects >> (24 - 8 * i));
	g_checksum_update(sum, pack, 12);
	g_checksum_get_digest(sum, pack + 12, &size);
	band(fd, pack, whole ? 32 : 12);
}

static void pack_of_a_million_objects(int fd, const char *request)
{
	if (!is_post(request)) {
		say_refs(fd, 1);
		return;
	}
	pack_of(fd, 1000000, FALSE);
	for (guint i = 0; i < 20; i++)
		band(fd, "\xb0\x01xxxxxxxxxxxxxxxx", 18);
}

static void pack_of_noise(int fd, const char *request)
{
	if (!is_post(request)) {
		say_refs(fd, 1);
		return;
	}
	pack_of(fd, 1, FALSE);
	band(fd, "\x35this is no zlib stream", 23);
	say_text(fd, "0000");
}

static void empty_pack(int fd, const char *request)
{
	if (!is_post(request)) {
		say_refs(fd, 1);
		return;
	}
	pack_of(fd, 0, TRUE);
	say_text(fd, "0000");
}

/* Progress for ever, and no pack. */
static void chat_for_ever(int fd, const char *request)
{
	if (!is_post(request)) {
		say_refs(fd, 1);
		return;
	}
	head(fd, "result");
	say_text(fd, "0008NAK\n");
	for (guint i = 0; i < 100000; i++) {
		say_text(fd, "000a\002wait\n");
		g_usleep(1000);
	}
}

/* ---- what becomes of them ---- */

#define IMPATIENCE 700 /* ms */
#define PATIENCE 120000

static void hostile_sources_are_cut_off(void **state)
{
	static const struct hostile rows[] = {
		{ drip, TAGSEAL_ERROR_UNAVAILABLE, "did not answer in time", IMPATIENCE },
		{ chat_for_ever, TAGSEAL_ERROR_UNAVAILABLE, "", IMPATIENCE },
		{ redirect_to_file, TAGSEAL_ERROR_UNAVAILABLE, "could not be reached", PATIENCE },
		{ redirect_inside, TAGSEAL_ERROR_UNAVAILABLE, "could not be reached", PATIENCE },
		{ many_refs, TAGSEAL_ERROR_TOO_LARGE, "more than 200000 tags and branches", PATIENCE },
		{ pack_of_a_million_objects, TAGSEAL_ERROR_TOO_LARGE, "it has more objects than one fetch may bring",
		    PATIENCE },
		{ pack_of_noise, TAGSEAL_ERROR_UNAVAILABLE, "could not be fetched", PATIENCE },
		{ empty_pack, TAGSEAL_ERROR_UNAVAILABLE, "advertises refs/tags/v000000 but did not send it", PATIENCE },
	};

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct mirror_limits limits = usual;
		g_autofree char *mirror = support_path("hostile-%u.git", i), *url = NULL;
		g_autoptr(GError) error = NULL;
		gint64 began = g_get_monotonic_time();
		guint16 port;
		pid_t pid = serve(answer, &rows[i], &port);

		limits.deadline_ms = rows[i].deadline_ms;
		url = g_strdup_printf("http://127.0.0.1:%u/a.git", port);
		assert_fails(
		    mirror_fetch(mirror, url, sources, &limits, NULL, &error), error, rows[i].code, rows[i].words);
		if (rows[i].deadline_ms == IMPATIENCE) /* they would go on for 50 s and more */
			assert_in_range(g_get_monotonic_time() - began, 0, 30 * G_USEC_PER_SEC);
		end_child(pid);
	}
}

/* ---- objects that are too large, from a repository that git itself takes ---- */

static void shell(const char *folder, const char *script)
{
	g_autofree char *whole = g_strdup_printf("cd '%s' && %s", folder, script);

	g_free(support_must("sh", "-e", "-c", whole, NULL));
}

static void an_object_that_expands_to_much_is_fetched_and_never_read(void **state)
{
	g_autofree char *path = support_folder("large"), *mirror = support_path("large.git"), *tag = NULL;
	g_autoptr(GError) error = NULL;

	(void)state;
	shell(path,
	    "git init -q -b main . && git commit -q --allow-empty -m one && { printf 'object %s\\ntype commit\\ntag "
	    "v1\\n"
	    "tagger T <t@x> 1 +0000\\n\\n' $(git rev-parse HEAD); head -c 20000000 /dev/zero | tr '\\0' x; } >t && "
	    "git update-ref refs/tags/v1 $(git hash-object -t tag -w t) && rm t");
	tag = support_must("git", "-C", path, "rev-parse", "refs/tags/v1", NULL);
	assert_ok(mirror_fetch(mirror, path, sources, &usual, NULL, &error), error);
	assert_fails(mirror_object(mirror, tag, "tag", 1 << 20, &error), error, TAGSEAL_ERROR_TOO_LARGE,
	    "at most 1048576 are taken");
}

/* ---- ssh ---- */

struct sshd {
	char *folder, *key, *known, *other_known, *stranger, *url;
	pid_t pid;
};

static void die_with_parent(gpointer data)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static gboolean sshd_start(struct sshd *d, const char *repository)
{
	guint16 port = free_port();
	g_autofree char *config = NULL, *file = NULL;
	char *argv[] = { (char *)"/usr/sbin/sshd", (char *)"-D", (char *)"-e", (char *)"-f", NULL, NULL };
	g_autoptr(GError) error = NULL;

	d->folder = support_folder("sshd");
	d->key = g_build_filename(d->folder, "user", NULL);
	d->stranger = g_build_filename(d->folder, "stranger", NULL);
	d->known = g_build_filename(d->folder, "known", NULL);
	d->other_known = g_build_filename(d->folder, "other-known", NULL);
	d->url = g_strdup_printf("ssh://%s@127.0.0.1:%u%s", g_get_user_name(), port, repository);
	config = g_strdup_printf(
	    "cd '%s'; for k in user stranger host other; do ssh-keygen -q -t ed25519 -N '' -C '' -f $k; done; cp "
	    "user.pub allowed; "
	    "echo \"[127.0.0.1]:%u $(cat host.pub)\" >known; echo \"[127.0.0.1]:%u $(cat other.pub)\" >other-known; "
	    "[ \"$(id -u)\" != 0 ] || mkdir -p /run/sshd; "
	    "printf 'ListenAddress 127.0.0.1\\nPort %u\\nHostKey %s/host\\nAuthorizedKeysFile %s/allowed\\nPidFile "
	    "none\\n"
	    "StrictModes no\\nUsePAM no\\nPasswordAuthentication no\\nKbdInteractiveAuthentication "
	    "no\\nPermitRootLogin yes\\n' >config",
	    d->folder, port, port, port, d->folder, d->folder);
	g_free(support_must("sh", "-c", config, NULL));
	file = g_build_filename(d->folder, "config", NULL);
	argv[4] = file;
	if (!g_spawn_async(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL, die_with_parent,
		NULL, &d->pid, &error))
		return FALSE;
	for (guint i = 0; i < 100; i++) {
		struct sockaddr_in address = {
			.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) }
		};
		autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return TRUE;
		g_usleep(50 * 1000);
	}
	return FALSE;
}

static void sshd_stop(struct sshd *d)
{
	end_child(d->pid);
	g_free(d->folder);
	g_free(d->key);
	g_free(d->known);
	g_free(d->other_known);
	g_free(d->stranger);
	g_free(d->url);
}

static void ssh_fetches_from_the_known_host_alone(void **state)
{
	g_autofree char *path = support_folder("by-ssh"), *mirror = support_path("by-ssh.git"), *tag = NULL, *here = NULL;
	struct sshd d = { NULL };
	struct mirror_limits limits = usual;
	g_autoptr(GPtrArray) refs = NULL;
	g_autoptr(GError) error = NULL;

	(void)state;
	if (access("/usr/sbin/sshd", X_OK) != 0)
		skip();
	shell(path, "git init -q -b main . && git commit -q --allow-empty -m one && git tag -a v1 -m v1");
	tag = support_must("git", "-C", path, "rev-parse", "refs/tags/v1", NULL);
	assert_true(sshd_start(&d, path));

	limits.ssh_key_file = d.key;
	assert_fails(mirror_list(d.url, &limits, &refs, &error), error, TAGSEAL_ERROR_REFUSED,
	    "no known_hosts file is configured");
	limits.ssh_known_hosts_file = d.other_known;
	assert_fails(mirror_list(d.url, &limits, &refs, &error), error, TAGSEAL_ERROR_REFUSED,
	    "does not stand in the configured known_hosts file");
	limits.ssh_known_hosts_file = d.known;
	assert_ok(mirror_fetch(mirror, d.url, sources, &limits, &refs, &error), error);
	assert_int_equal(refs->len, 2);
	here = support_must("git", "-C", mirror, "rev-parse", "refs/tags/v1", NULL);
	assert_string_equal(here, tag);
	limits.ssh_key_file = d.stranger;
	assert_fails(
	    mirror_list(d.url, &limits, &refs, &error), error, TAGSEAL_ERROR_UNAVAILABLE, "could not be reached");
	sshd_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_sources_are_cut_off),
		cmocka_unit_test(an_object_that_expands_to_much_is_fetched_and_never_read),
		cmocka_unit_test(ssh_fetches_from_the_known_host_alone),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
