#include "server/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/base/json.h"
#include "server/names.h"

struct journal {
	char *path, *key, *previous; /* previous: NULL before the first line */
	int fd;
	int64_t last;
	gboolean broken;
};

char *journal_path(const char *folder, const char *token, const char *key)
{
	/* Without '-' in the token's part the first one parts the two names. */
	g_autofree char *t = name_escape(token, FALSE);
	g_autofree char *k = name_escape(key, TRUE);

	return g_strdup_printf("%s/%s-%s.jsonl", folder, t, k);
}

void journal_free(struct journal *journal)
{
	if (journal == NULL)
		return;
	if (journal->fd >= 0)
		close(journal->fd);
	g_free(journal->path);
	g_free(journal->key);
	g_free(journal->previous);
	g_free(journal);
}

int64_t journal_last(const struct journal *journal)
{
	return journal->last;
}

static gboolean fail(const struct journal *journal, const char *what, GError **error)
{
	g_set_error(
	    error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s: %s: %s", journal->path, what, g_strerror(errno));
	return FALSE;
}

static gboolean refuse_line(const struct journal *journal, const char *why, GError **error)
{
	error_refused(error,
	    "%s: line %" G_GINT64_FORMAT " %s; the key is not used until an administrator has looked into it",
	    journal->path, journal->last + 1, why);
	return FALSE;
}

/* Takes one line into the chain. */
static gboolean follow(struct journal *journal, const char *line, size_t size, GError **error)
{
	static const char *const keys[] = { "digest", "key", "number", "previous", "record", "time", NULL };
	autoptr(json) entry = json_parse_canonical(line, size, NULL);
	int64_t time;

	if (entry == NULL || !json_only_keys(entry, keys, "journal", NULL))
		return refuse_line(journal, "is no journal line", error);
	if (json_integer(entry, "number", -1) != journal->last + 1)
		return refuse_line(journal, "does not bear the next number", error);
	if (g_strcmp0(json_string(entry, "key"), journal->key) != 0)
		return refuse_line(journal, "is of another key", error);
	if (g_strcmp0(json_string(entry, "previous"), journal->previous) != 0)
		return refuse_line(journal, "does not follow from the line before it", error);
	if (!is_ulid(json_string(entry, "record") ?: "") || !is_sha256_text(json_string(entry, "digest") ?: "") ||
	    !time_parse_ms(json_string(entry, "time") ?: "", &time))
		return refuse_line(journal, "does not say which record, digest and time", error);
	g_free(journal->previous);
	journal->previous = sha256_text(line, size);
	journal->last++;
	return TRUE;
}

/* The whole file, line by line; *end is where the last whole line ends. */
static gboolean read_chain(struct journal *journal, off_t *end, GError **error)
{
	g_autofree char *line = NULL;
	size_t room = 0;
	ssize_t size = 0;
	gboolean ok = TRUE;
	int copy = fcntl(journal->fd, F_DUPFD_CLOEXEC, 0);
	FILE *in = copy >= 0 ? fdopen(copy, "r") : NULL;

	if (in == NULL)
		return fail(journal, "it cannot be read", error);
	while (ok && (size = getline(&line, &room, in)) > 0 && line[size - 1] == '\n') {
		ok = follow(journal, line, size - 1, error);
		*end += size;
	}
	if (ok && ferror(in))
		ok = fail(journal, "it cannot be read", error);
	fclose(in);
	return ok;
}

/* A new file's name is durable only once its folder is. */
static gboolean sync_folder(const struct journal *journal, const char *folder, GError **error)
{
	autofd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return (fd >= 0 && fsync(fd) == 0) || fail(journal, "its folder cannot be made durable", error);
}

struct journal *journal_open(const char *folder, const char *token, const char *key, gboolean *cut, GError **error)
{
	autoptr(journal) journal = g_new0(struct journal, 1);
	uint64_t size = 0;
	off_t end = 0;

	*cut = FALSE;
	journal->path = journal_path(folder, token, key);
	journal->key = g_strdup(key);
	journal->fd = open(journal->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (journal->fd < 0) {
		fail(journal, "it cannot be opened", error);
		return NULL;
	}
	if (flock(journal->fd, LOCK_EX | LOCK_NB) != 0) {
		fail(journal, "another process writes it", error);
		return NULL;
	}
	if (!sync_folder(journal, folder, error) || !read_chain(journal, &end, error) ||
	    !fd_size(journal->fd, &size, error))
		return NULL;
	*cut = (uint64_t)end < size;
	if (*cut && (ftruncate(journal->fd, end) != 0 || fdatasync(journal->fd) != 0)) {
		fail(journal, "its unfinished last line cannot be cut off", error);
		return NULL;
	}
	return g_steal_pointer(&journal);
}

static void add_use(struct json *uses, const char *line, size_t size, const char *record)
{
	autoptr(json) entry =
	    memmem(line, size, record, strlen(record)) != NULL ? json_parse_canonical(line, size, NULL) : NULL;
	struct json *use;

	if (entry == NULL || g_strcmp0(json_string(entry, "record"), record) != 0)
		return;
	use = json_object_new();
	json_set_string(use, "digest", json_string(entry, "digest"));
	json_set_integer(use, "number", json_integer(entry, "number", 0));
	json_append(uses, use);
}

struct json *journal_uses(const struct journal *journal, const char *record, GError **error)
{
	autoptr(json) uses = json_array_new();
	g_autofree char *line = NULL;
	size_t room = 0;
	ssize_t size;
	FILE *in = fopen(journal->path, "re");
	gboolean whole;

	if (in == NULL) {
		fail(journal, "it cannot be read", error);
		return NULL;
	}
	while ((size = getline(&line, &room, in)) > 0)
		add_use(uses, line, line[size - 1] == '\n' ? size - 1 : size, record);
	whole = !ferror(in) || fail(journal, "it cannot be read", error);
	fclose(in);
	return whole ? g_steal_pointer(&uses) : NULL;
}

gboolean journal_append(
    struct journal *journal, const char *record, const char *digest, int64_t time_ms, int64_t *number, GError **error)
{
	autoptr(json) entry = json_object_new();
	g_autofree char *when = time_format_ms(time_ms);
	g_autofree char *text = NULL;
	g_autofree char *line = NULL;

	if (journal->broken) {
		errno = EIO;
		return fail(journal, "an earlier line could not be written", error);
	}
	json_set_string(entry, "digest", digest);
	json_set_string(entry, "key", journal->key);
	json_set_integer(entry, "number", journal->last + 1);
	json_set_string(entry, "previous", journal->previous);
	json_set_string(entry, "record", record);
	json_set_string(entry, "time", when);
	text = json_text(entry);
	line = g_strconcat(text, "\n", NULL);

	/* What a failed write or sync left on the disk is known only after reading it again. */
	journal->broken = TRUE;
	if (!fd_write_all(journal->fd, line, strlen(line), error))
		return FALSE;
	if (fdatasync(journal->fd) != 0)
		return fail(journal, "a use cannot be made durable", error);
	journal->broken = FALSE;
	g_free(journal->previous);
	journal->previous = sha256_text(text, strlen(text));
	*number = ++journal->last;
	return TRUE;
}
