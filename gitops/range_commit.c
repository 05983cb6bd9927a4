/*
 * A commit as a report shows it. Histories hold commits that our strict parser refuses (other encodings, headers of old tools): what they are is told all the
 * same, and nothing here is proof of anything.
 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"
#include "gitops/base/error.h"
#include "gitops/object.h"
#include "gitops/range_private.h"

#define NAME_SHOWN 200
#define SUBJECT_SHOWN 300

void commit_head_free(struct commit_head *head)
{
	g_free(head->tree);
	g_strfreev(head->parents);
	g_free(head);
}

/* The value of the next line if it is "KEY value"; NULL, and nothing is taken, if it is another one. */
static const char *header(struct cursor *c, const char *key, size_t *size)
{
	size_t length = strlen(key), at = c->at;
	const char *line;

	if (cursor_left(c) > length && memcmp(c->data + c->at, key, length) == 0 && c->data[c->at + length] == ' ' &&
	    cursor_line(c, &line, size, key)) {
		*size -= length + 1;
		return line + length + 1;
	}
	c->at = at;
	return NULL;
}

static char *header_id(struct cursor *c, const char *key)
{
	size_t size;
	const char *value = header(c, key, &size);
	char *id = value != NULL ? g_strndup(value, size) : NULL;

	if (id == NULL || is_object_id(id))
		return id;
	cursor_refuse(c, key, "not a full object id"); /* and so all that follows fails too */
	g_free(id);
	return NULL;
}

/* The committer's seconds: the digits after "> ". */
static int64_t committer_time(const char *line, size_t size)
{
	const char *close = g_strrstr_len(line, (gssize)size, "> ");
	g_autofree char *digits = close != NULL ? g_strndup(close + 2, MIN(12, line + size - close - 2)) : NULL;

	return digits != NULL && g_ascii_isdigit(*digits) ? g_ascii_strtoll(digits, NULL, 10) : 0;
}

struct commit_head *commit_head_read(GBytes *raw, const char *id, GError **error)
{
	autoptr(commit_head) head = g_new0(struct commit_head, 1);
	g_autoptr(GStrvBuilder) parents = g_strv_builder_new();
	gsize size, length;
	const void *data = g_bytes_get_data(raw, &size);
	struct cursor c;
	const char *committer;
	char *parent;

	cursor_init(&c, data, size);
	head->tree = header_id(&c, "tree");
	while ((parent = header_id(&c, "parent")) != NULL) {
		g_strv_builder_add(parents, parent);
		g_free(parent);
	}
	head->parents = g_strv_builder_end(parents);
	if (head->tree == NULL || header(&c, "author", &length) == NULL ||
	    (committer = header(&c, "committer", &length)) == NULL) {
		error_refused(
		    error, "the commit %s does not begin as a commit does: tree, parents, author, committer", id);
		return NULL;
	}
	head->time = committer_time(committer, length);
	return g_steal_pointer(&head);
}

/* ---- showing ---- */

/* "Name <email> seconds +hhmm", or as much of it as there is. */
static struct json *identity(const char *line, size_t size)
{
	struct json *row = json_object_new();
	const char *close = g_strrstr_len(line, (gssize)size, "> ");
	const char *open = g_strstr_len(line, (gssize)size, " <");
	g_autofree char *name = NULL, *email = NULL, *time = NULL;
	int64_t seconds = committer_time(line, size);

	if (open == NULL || close == NULL || close < open + 2) {
		name = text_escape(line, (gssize)size, NAME_SHOWN);
	} else {
		name = text_escape(line, open - line, NAME_SHOWN);
		email = text_escape(open + 2, close - open - 2, NAME_SHOWN);
		time = time_format_ms(MIN(seconds, INT64_C(253402300799)) * 1000);
	}
	json_set_string(row, "name", name);
	json_set_string(row, "email", email);
	json_set_string(row, "time", time);
	return row;
}

static const char *signature_word(const char *headers, size_t size)
{
	static const struct {
		const char *begin, *word;
	} rows[] = {
		{ "\ngpgsig -----BEGIN SSH SIGNATURE-----", "ssh" },
		{ "\ngpgsig -----BEGIN PGP ", "openpgp" },
		{ "\ngpgsig -----BEGIN SIGNED MESSAGE-----", "x509" },
		{ "\ngpgsig", "unknown" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (g_strstr_len(headers, (gssize)size, rows[i].begin) != NULL)
			return rows[i].word;
	return NULL;
}

static char *subject(const char *message, size_t size)
{
	const char *end;

	while (size > 0 && *message == '\n') {
		message++;
		size--;
	}
	end = size > 0 ? memchr(message, '\n', size) : NULL;
	return text_escape(size > 0 ? message : "", end != NULL ? end - message : (gssize)size, SUBJECT_SHOWN);
}

struct json *commit_describe(GBytes *raw, const char *id, const struct commit_head *head)
{
	struct json *row = json_object_new(), *parents = json_array_new();
	gsize size, length;
	const char *data = g_bytes_get_data(raw, &size), *line;
	const char *blank = g_strstr_len(data, (gssize)size, "\n\n");
	size_t headers = blank != NULL ? (size_t)(blank - data) + 1 : size;
	g_autofree char *first = subject(data + MIN(size, headers + 1), size - MIN(size, headers + 1));
	struct cursor c;

	for (char **parent = head->parents; *parent != NULL; parent++)
		json_append_string(parents, *parent);
	json_set_string(row, "id", id);
	json_set(row, "parents", parents);
	cursor_init(&c, data, size);
	c.at = 46 + 48 * g_strv_length(head->parents); /* behind "tree ID" and the parents */
	if ((line = header(&c, "author", &length)) != NULL)
		json_set(row, "author", identity(line, length));
	if ((line = header(&c, "committer", &length)) != NULL)
		json_set(row, "committer", identity(line, length));
	json_set_string(row, "subject", first);
	json_set_string(row, "signature", signature_word(data, headers));
	return row;
}
