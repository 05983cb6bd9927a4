#include "server/message.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

static const char *const role_names[ROLE_COUNT] = {
	[ROLE_ENGINE] = "engine",
	[ROLE_LISTEN] = "listen",
	[ROLE_GITOPS] = "gitops",
	[ROLE_COURIER] = "courier",
	[ROLE_SCAN] = "scan",
	[ROLE_SEAL] = "seal",
	[ROLE_JUDGE] = "judge",
	[ROLE_SIGN] = "sign",
	[ROLE_LEDGER] = "ledger",
};

const char *role_name(enum role role)
{
	return role < ROLE_COUNT ? role_names[role] : "?";
}

gboolean role_parse(const char *name, enum role *role)
{
	for (guint i = 0; i < ROLE_COUNT; i++)
		if (g_str_equal(role_names[i], name)) {
			*role = i;
			return TRUE;
		}
	return FALSE;
}

/* Who may send what to whom. HELLO alone goes from any role to any that it is linked to. */
static const struct {
	const char *name;
	enum role from, to;
} kinds[MSG_COUNT] = {
	[MSG_HELLO] = { "hello", ROLE_COUNT, ROLE_COUNT },
	[MSG_HOOK] = { "hook", ROLE_LISTEN, ROLE_ENGINE },
	[MSG_HOOKED] = { "hooked", ROLE_ENGINE, ROLE_LISTEN },
	[MSG_ASK] = { "ask", ROLE_LISTEN, ROLE_ENGINE },
	[MSG_TOLD] = { "told", ROLE_ENGINE, ROLE_LISTEN },
	[MSG_LOOK] = { "look", ROLE_ENGINE, ROLE_GITOPS },
	[MSG_LOOKED] = { "looked", ROLE_GITOPS, ROLE_ENGINE },
	[MSG_DECIDE] = { "decide", ROLE_ENGINE, ROLE_GITOPS },
	[MSG_DECIDED] = { "decided", ROLE_GITOPS, ROLE_ENGINE },
	[MSG_VOUCH] = { "vouch", ROLE_ENGINE, ROLE_GITOPS },
	[MSG_VOUCHED] = { "vouched", ROLE_GITOPS, ROLE_ENGINE },
	[MSG_FETCH] = { "fetch", ROLE_ENGINE, ROLE_COURIER },
	[MSG_FETCHED] = { "fetched", ROLE_COURIER, ROLE_ENGINE },
	[MSG_STAMP] = { "stamp", ROLE_ENGINE, ROLE_COURIER },
	[MSG_STAMPED] = { "stamped", ROLE_COURIER, ROLE_ENGINE },
	[MSG_COPY] = { "copy", ROLE_ENGINE, ROLE_COURIER },
	[MSG_COPIED] = { "copied", ROLE_COURIER, ROLE_ENGINE },
	[MSG_INSPECT] = { "inspect", ROLE_ENGINE, ROLE_SEAL },
	[MSG_INSPECTED] = { "inspected", ROLE_SEAL, ROLE_ENGINE },
	[MSG_DIGEST] = { "digest", ROLE_ENGINE, ROLE_SEAL },
	[MSG_DIGESTED] = { "digested", ROLE_SEAL, ROLE_ENGINE },
	[MSG_DIGEST_SEEN] = { "digest-seen", ROLE_SEAL, ROLE_JUDGE },
	[MSG_ATTACH] = { "attach", ROLE_ENGINE, ROLE_SEAL },
	[MSG_ATTACHED] = { "attached", ROLE_SEAL, ROLE_ENGINE },
	[MSG_READ_BACK] = { "read-back", ROLE_ENGINE, ROLE_SEAL },
	[MSG_READ] = { "read", ROLE_SEAL, ROLE_ENGINE },
	[MSG_SCAN] = { "scan", ROLE_ENGINE, ROLE_SCAN },
	[MSG_SCANNED] = { "scanned", ROLE_SCAN, ROLE_ENGINE },
	[MSG_SCAN_SEEN] = { "scan-seen", ROLE_SCAN, ROLE_JUDGE },
	[MSG_JUDGE] = { "judge", ROLE_ENGINE, ROLE_JUDGE },
	[MSG_JUDGED] = { "judged", ROLE_JUDGE, ROLE_ENGINE },
	[MSG_RECKON] = { "reckon", ROLE_ENGINE, ROLE_JUDGE },
	[MSG_RECKONED] = { "reckoned", ROLE_JUDGE, ROLE_ENGINE },
	[MSG_JUDGE_STAMP] = { "judge-stamp", ROLE_ENGINE, ROLE_JUDGE },
	[MSG_STAMP_JUDGED] = { "stamp-judged", ROLE_JUDGE, ROLE_ENGINE },
	[MSG_KEYS] = { "keys", ROLE_JUDGE, ROLE_SIGN },
	[MSG_KEYS_ARE] = { "keys-are", ROLE_SIGN, ROLE_JUDGE },
	[MSG_USE] = { "use", ROLE_JUDGE, ROLE_SIGN },
	[MSG_USED] = { "used", ROLE_SIGN, ROLE_JUDGE },
	[MSG_USES] = { "uses", ROLE_JUDGE, ROLE_SIGN },
	[MSG_USES_ARE] = { "uses-are", ROLE_SIGN, ROLE_JUDGE },
	[MSG_LEDGER_KEY] = { "ledger-key", ROLE_LEDGER, ROLE_SIGN },
	[MSG_LEDGER_KEY_IS] = { "ledger-key-is", ROLE_SIGN, ROLE_LEDGER },
	[MSG_SIGN_COMMIT] = { "sign-commit", ROLE_LEDGER, ROLE_SIGN },
	[MSG_COMMIT_SIGNED] = { "commit-signed", ROLE_SIGN, ROLE_LEDGER },
	[MSG_APPEND] = { "append", ROLE_ENGINE, ROLE_LEDGER },
	[MSG_APPENDED] = { "appended", ROLE_LEDGER, ROLE_ENGINE },
};

const char *message_name(enum message_kind kind)
{
	return kind < MSG_COUNT ? kinds[kind].name : "?";
}

gboolean message_permitted(enum message_kind kind, enum role from, enum role to)
{
	return kind == MSG_HELLO || (kind < MSG_COUNT && kinds[kind].from == from && kinds[kind].to == to);
}

static void file_clear(gpointer data)
{
	struct message_file *file = data;

	g_free(file->name);
	g_free(file->sha256);
	if (file->fd >= 0)
		close(file->fd);
}

struct message *message_new(enum message_kind kind, int64_t number)
{
	struct message *m = g_new0(struct message, 1);

	m->kind = kind;
	m->number = number;
	m->body = json_object_new();
	m->files = g_array_new(FALSE, TRUE, sizeof(struct message_file));
	g_array_set_clear_func(m->files, file_clear);
	return m;
}

void message_free(struct message *m)
{
	if (m == NULL)
		return;
	json_unref(m->body);
	g_array_unref(m->files);
	g_free(m);
}

gboolean message_add_fd(struct message *m, const char *name, int fd, const char *sha256, uint64_t size, GError **error)
{
	struct message_file file = { .name = g_strdup(name), .sha256 = g_strdup(sha256), .size = size };

	file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (file.fd < 0) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "cannot hand on the file \"%s\": %s", name,
		    g_strerror(errno));
		file_clear(&file);
		return FALSE;
	}
	g_array_append_val(m->files, file);
	return TRUE;
}

gboolean message_add_bytes(struct message *m, const char *name, GBytes *bytes, GError **error)
{
	g_autofree char *digest = sha256_text_bytes(bytes);
	autofd int fd = memfd_from_bytes(name, bytes, error);

	return fd >= 0 && message_add_fd(m, name, fd, digest, g_bytes_get_size(bytes), error);
}

const struct message_file *message_find(const struct message *m, const char *name)
{
	for (guint i = 0; i < m->files->len; i++) {
		const struct message_file *file = &g_array_index(m->files, struct message_file, i);
		if (g_str_equal(file->name, name))
			return file;
	}
	return NULL;
}

const struct message_file *message_require(const struct message *m, const char *name, GError **error)
{
	const struct message_file *file = message_find(m, name);

	if (file == NULL)
		error_refused(error, "the message \"%s\" came without its file \"%s\"", message_name(m->kind), name);
	return file;
}

GBytes *message_bytes(const struct message *m, const char *name, size_t max, GError **error)
{
	const struct message_file *file = message_require(m, name, error);
	g_autoptr(GBytes) bytes = NULL;
	g_autofree char *digest = NULL;

	if (file == NULL || (bytes = fd_read(file->fd, max, error)) == NULL)
		return NULL;
	digest = sha256_text_bytes(bytes);
	if (file->sha256 != NULL && !g_str_equal(digest, file->sha256)) {
		error_refused(error, "the file \"%s\" of the message \"%s\" is not the one that the message names",
		    name, message_name(m->kind));
		return NULL;
	}
	return g_steal_pointer(&bytes);
}

static const struct {
	const char *word;
	enum tagseal_error code;
} outcomes[] = {
	{ "refused", TAGSEAL_ERROR_REFUSED },
	{ "refused", TAGSEAL_ERROR_TOO_LARGE },
	{ "refused", TAGSEAL_ERROR_NOT_FOUND },
	{ "unavailable", TAGSEAL_ERROR_UNAVAILABLE },
	{ "unavailable", TAGSEAL_ERROR_MOVED },
	{ "unknown", TAGSEAL_ERROR_UNKNOWN },
	{ "failed", TAGSEAL_ERROR_FAILED },
};

struct message *message_answer(const struct message *request, enum message_kind kind, const GError *error)
{
	struct message *m = message_new(kind, request->number);
	const char *word = error == NULL ? "ok" : "failed";

	for (guint i = 0; error != NULL && i < G_N_ELEMENTS(outcomes); i++)
		if (g_error_matches(error, TAGSEAL_ERROR, outcomes[i].code))
			word = outcomes[i].word;
	json_set_string(m->body, "outcome", word);
	if (error != NULL) {
		g_autofree char *clean = g_utf8_make_valid(error->message, -1);
		json_set_string(m->body, "reason", clean);
	}
	return m;
}

gboolean message_outcome(const struct message *answer, GError **error)
{
	const char *word = json_string(answer->body, "outcome"), *reason = json_string(answer->body, "reason");

	if (word != NULL && g_str_equal(word, "ok"))
		return TRUE;
	for (guint i = 0; word != NULL && i < G_N_ELEMENTS(outcomes); i++)
		if (g_str_equal(word, outcomes[i].word)) {
			g_set_error_literal(error, TAGSEAL_ERROR, outcomes[i].code, reason != NULL ? reason : word);
			return FALSE;
		}
	g_set_error(
	    error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "the answer \"%s\" has no outcome", message_name(answer->kind));
	return FALSE;
}

gboolean message_is_again(const struct message *m)
{
	return m->kind == MSG_HELLO && json_boolean(m->body, "again", TRUE);
}

static GBytes *message_encode(const struct message *m)
{
	autoptr(json) envelope = json_object_new();
	struct json *files = json_array_new();

	json_set_string(envelope, "kind", message_name(m->kind));
	json_set_integer(envelope, "number", m->number);
	json_set(envelope, "body", json_ref(m->body));
	for (guint i = 0; i < m->files->len; i++) {
		const struct message_file *file = &g_array_index(m->files, struct message_file, i);
		struct json *row = json_object_new();
		json_set_string(row, "name", file->name);
		json_set_integer(row, "size", file->size);
		if (file->sha256 != NULL)
			json_set_string(row, "sha256", file->sha256);
		json_append(files, row);
	}
	json_set(envelope, "files", files);
	return json_canonical(envelope);
}

static gboolean check_size(const struct message *m, size_t size, GError **error)
{
	if (size <= MESSAGE_MAX && m->files->len <= MESSAGE_FILES_MAX)
		return TRUE;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE,
	    "a message \"%s\" of %zu bytes and %u files is over our limit", message_name(m->kind), size, m->files->len);
	return FALSE;
}

#define NUMBER_DIGITS 19 /* its number is given only when it is sent */

gboolean message_fits(const struct message *m, GError **error)
{
	g_autoptr(GBytes) bytes = message_encode(m);

	return check_size(m, g_bytes_get_size(bytes) + NUMBER_DIGITS, error);
}

gboolean message_send(int fd, const struct message *m, GError **error)
{
	g_autoptr(GBytes) bytes = message_encode(m);
	struct iovec iov = { (void *)g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes) };
	char control[CMSG_SPACE(sizeof(int) * MESSAGE_FILES_MAX)] = { 0 };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (!check_size(m, iov.iov_len, error))
		return FALSE;
	if (m->files->len > 0) {
		struct cmsghdr *rights;
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * m->files->len);
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * m->files->len);
		for (guint i = 0; i < m->files->len; i++)
			memcpy(CMSG_DATA(rights) + i * sizeof(int), &g_array_index(m->files, struct message_file, i).fd,
			    sizeof(int));
	}
	while (sendmsg(fd, &header, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "cannot send \"%s\": %s",
		    message_name(m->kind), g_strerror(errno));
		return FALSE;
	}
	return TRUE;
}

/* Takes the descriptors out of the control data before anything can fail, so that none leaks. */
static GArray *take_descriptors(struct msghdr *header)
{
	GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			g_array_append_vals(fds, CMSG_DATA(c), (c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	return fds;
}

static gboolean read_files(struct message *m, const struct json *rows, GArray *fds, GError **error)
{
	static const char *const keys[] = { "name", "sha256", "size", NULL };

	if (json_kind(rows) != JSON_ARRAY || json_length(rows) != fds->len) {
		error_refused(error, "a message \"%s\" names %u files and brings %u", message_name(m->kind),
		    json_length(rows), fds->len);
		return FALSE;
	}
	for (guint i = 0; i < fds->len; i++) {
		const struct json *row = json_at(rows, i);
		const char *name = json_require_string(row, "name", "a file of a message", error);
		const char *sha256 = json_string(row, "sha256");
		struct message_file file = { .fd = -1 };
		int64_t size;

		if (name == NULL || !json_only_keys(row, keys, "a file of a message", error) ||
		    !json_require_integer(row, "size", 0, G_MAXINT64 >> 10, &size, "a file of a message", error))
			return FALSE;
		if (sha256 != NULL && !is_sha256_text(sha256)) {
			error_refused(error, "a file of a message \"%s\" bears no SHA-256", message_name(m->kind));
			return FALSE;
		}
		file.name = g_strdup(name);
		file.sha256 = g_strdup(sha256);
		file.size = size;
		file.fd = g_array_index(fds, int, i);
		g_array_index(fds, int, i) = -1;
		g_array_append_val(m->files, file);
	}
	return TRUE;
}

static struct message *message_decode(const void *data, size_t size, GArray *fds, GError **error)
{
	static const char *const keys[] = { "body", "files", "kind", "number", NULL };
	autoptr(json) envelope = json_parse_canonical(data, size, error);
	autoptr(message) m = NULL;
	const char *name;
	struct json *body;
	int64_t number;

	if (envelope == NULL || !json_only_keys(envelope, keys, "a message", error) ||
	    (name = json_require_string(envelope, "kind", "a message", error)) == NULL ||
	    !json_require_integer(envelope, "number", 0, G_MAXINT64 >> 10, &number, "a message", error) ||
	    (body = json_require(envelope, "body", JSON_OBJECT, "a message", error)) == NULL)
		return NULL;
	m = message_new(MSG_COUNT, number);
	for (guint i = 0; i < MSG_COUNT; i++)
		if (g_str_equal(kinds[i].name, name))
			m->kind = i;
	if (m->kind == MSG_COUNT) {
		g_autofree char *shown = text_escape(name, -1, 40);
		error_refused(error, "there is no message \"%s\"", shown);
		return NULL;
	}
	json_unref(m->body);
	m->body = json_ref(body);
	if (!read_files(m, json_get(envelope, "files"), fds, error))
		return NULL;
	return g_steal_pointer(&m);
}

struct message *message_receive(int fd, GError **error)
{
	g_autofree char *buffer = g_malloc(MESSAGE_MAX + 1);
	struct iovec iov = { buffer, MESSAGE_MAX + 1 };
	char control[CMSG_SPACE(sizeof(int) * (MESSAGE_FILES_MAX + 1))];
	struct msghdr header = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	g_autoptr(GArray) fds = NULL;
	struct message *m = NULL;
	ssize_t size;

	while ((size = recvmsg(fd, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (size <= 0) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the channel is closed%s%s",
		    size < 0 ? ": " : "", size < 0 ? g_strerror(errno) : "");
		return NULL;
	}
	fds = take_descriptors(&header);
	if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || size > MESSAGE_MAX)
		error_refused(error, "a message is larger than %d bytes or brings more than %d files", MESSAGE_MAX,
		    MESSAGE_FILES_MAX);
	else
		m = message_decode(buffer, size, fds, error);
	for (guint i = 0; i < fds->len; i++)
		if (g_array_index(fds, int, i) >= 0)
			close(g_array_index(fds, int, i));
	return m;
}
