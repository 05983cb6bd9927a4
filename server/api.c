/* The read-only API: questions to the engine, and its answers as JSON, as plain lines, or as a file. */
#include <stdlib.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/listen.h"

#define ANSWER_MAX (64 << 20)
#define VALUE_MAX 1024

static struct message *question_new(const char *ask)
{
	struct message *question = message_new(MSG_ASK, 0);

	json_set_string(question->body, "ask", ask);
	return question;
}

/* The answer's document; NULL: the client has been answered. */
static GBytes *take_document(struct http_request *request, const struct message *answer)
{
	g_autoptr(GError) error = NULL;
	GBytes *bytes;

	if (json_integer(answer->body, "status", 500) != 200 && message_find(answer, "body") == NULL) {
		listen_refused(request, answer);
		return NULL;
	}
	if ((bytes = message_bytes(answer, "body", ANSWER_MAX, &error)) == NULL)
		http_problem(request, 500, NULL, "%s", error->message);
	return bytes;
}

static void on_json(struct listen *l, struct http_request *request, const struct message *answer)
{
	g_autoptr(GBytes) bytes = take_document(request, answer);
	int64_t status = json_integer(answer->body, "status", 500);

	(void)l;
	if (bytes != NULL)
		http_answer(request, status == 200 || (status >= 400 && status <= 599) ? status : 500,
		    "application/json", (const char *const[]){ "Vary", "Accept", NULL }, bytes);
}

/* A word of a line that is split at blanks. */
static void add_word(GString *out, const char *word)
{
	g_autofree char *clean = text_escape(word == NULL || *word == '\0' ? "-" : word, -1, 300);

	g_string_append_printf(out, " %s", g_strdelimit(clean, " ", '_'));
}

/* "  range DIGEST COMMIT TAG", where it begins; "- -": at the beginning. */
static void add_range(GString *out, const struct json *range)
{
	if (range == NULL)
		return;
	g_string_append(out, "  range");
	add_word(out, json_string(range, "sha256"));
	add_word(out, json_as_string(json_path(range, "base.commit")));
	add_word(out, json_as_string(json_path(range, "base.tag")));
	g_string_append_c(out, '\n');
}

static void add_release(GString *out, const struct json *release)
{
	const struct json *gates = json_get(release, "gates");
	const char *outcome = json_string(release, "outcome");

	g_string_append(out, "release");
	add_word(out, json_string(release, "id"));
	add_word(out, json_string(release, "project"));
	add_word(out, json_string(release, "tag"));
	add_word(out, outcome != NULL ? outcome : json_string(release, "state"));
	g_string_append_c(out, '\n');
	add_range(out, json_get(release, "range"));
	for (guint i = 0; i < json_length(gates); i++) {
		const struct json *gate = json_at(gates, i);
		const char *reason = json_string(gate, "reason");
		g_autofree char *clean = text_escape(reason == NULL ? "" : reason, -1, 2000);

		g_string_append_c(out, ' ');
		add_word(out, json_string(gate, "gate"));
		add_word(out, json_string(gate, "outcome"));
		g_string_append_printf(out, "%s%s\n", *clean == '\0' ? "" : " ", clean);
	}
}

/* For `git tagseal status` and `show`: "release ID PROJECT TAG OUTCOME", "  range …" once it is known, then "  GATE OUTCOME REASON" for each gate. */
static void on_lines(struct listen *l, struct http_request *request, const struct message *answer)
{
	g_autoptr(GBytes) bytes = take_document(request, answer), text = NULL;
	g_autoptr(GError) error = NULL;
	autoptr(json) document = bytes == NULL ? NULL : json_parse_bytes(bytes, &error);
	const struct json *releases = json_get(document, "releases");
	GString *out;

	(void)l;
	if (bytes == NULL)
		return;
	if (document == NULL) {
		http_problem(request, 500, NULL, "%s", error->message);
		return;
	}
	out = g_string_new(NULL);
	for (guint i = 0; i < json_length(releases); i++)
		add_release(out, json_at(releases, i));
	text = g_string_free_to_bytes(out);
	http_answer(request, 200, "text/plain; charset=utf-8", (const char *const[]){ "Vary", "Accept", NULL }, text);
}

/* A parameter of the query; FALSE with the sentence. */
static gboolean take_parameter(struct json *body, const char *key, const char *value, GError **error)
{
	guint64 limit;

	if (strcmp(key, "limit") == 0) {
		if (!g_ascii_string_to_unsigned(value, 10, 1, 1000, &limit, NULL)) {
			error_refused(error, "limit must be a number from 1 to 1000");
			return FALSE;
		}
		json_set_integer(body, key, limit);
		return TRUE;
	}
	if (strcmp(key, "before") == 0 && !is_ulid(value)) {
		error_refused(error, "before must be the id of a release");
		return FALSE;
	}
	if (!g_strv_contains((const char *const[]){ "project", "tag", "outcome", "before", NULL }, key)) {
		error_refused(error, "the parameters of this address are project, tag, outcome, limit and before");
		return FALSE;
	}
	if (strlen(value) > VALUE_MAX || !text_is_clean(value, strlen(value)) || json_get(body, key) != NULL) {
		error_refused(error, "%s must be given once, in printable UTF-8", key);
		return FALSE;
	}
	json_set_string(body, key, value);
	return TRUE;
}

/* application/x-www-form-urlencoded, as a form sends it. */
static gboolean take_query(struct json *body, const char *query, GError **error)
{
	g_auto(GStrv) pairs = g_strsplit(query == NULL ? "" : query, "&", 16);

	for (char **pair = pairs; *pair != NULL && **pair != '\0'; pair++) {
		char *equals = strchr(*pair, '=');
		g_autofree char *value =
		    equals == NULL ? NULL : g_uri_unescape_string(g_strdelimit(equals + 1, "+", ' '), NULL);

		if (value == NULL) {
			error_refused(error, "the address has a query that is not name=value&…, percent-encoded UTF-8");
			return FALSE;
		}
		*equals = '\0';
		if (*value != '\0' && !take_parameter(body, *pair, value, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean wants_lines(const struct http_request *request)
{
	const char *accept = g_hash_table_lookup(request->head->headers, "accept");

	return accept != NULL && strstr(accept, "text/plain") != NULL && strstr(accept, "json") == NULL;
}

void api_releases(struct listen *l, struct http_request *request, const char *rest)
{
	autoptr(message) question = question_new("releases");
	g_autoptr(GError) error = NULL;

	(void)rest;
	if (take_query(question->body, request->head->query, &error))
		listen_ask(l, request, g_steal_pointer(&question), wants_lines(request) ? on_lines : on_json);
	else
		http_problem(request, 400, NULL, "%s", error->message);
}

/* RFC 6266: a plain name for old readers, and the true one. */
static char *disposition(const char *name)
{
	const char *slash = strrchr(name, '/'), *base = slash == NULL ? name : slash + 1;
	g_autofree char *plain = g_strdup(base), *escaped = g_uri_escape_string(base, NULL, FALSE);

	g_strcanon(plain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_+", '_');
	return g_strdup_printf("attachment; filename=\"%s\"; filename*=UTF-8''%s", plain, escaped);
}

static void on_artifact(struct listen *l, struct http_request *request, const struct message *answer)
{
	const struct message_file *file = message_find(answer, "body");
	const char *name = json_string(answer->body, "name");
	g_autofree char *attachment = NULL, *etag = NULL;
	uint64_t size;

	(void)l;
	if (json_integer(answer->body, "status", 500) != 200) {
		listen_refused(request, answer);
		return;
	}
	if (file == NULL || name == NULL || !fd_size(file->fd, &size, NULL) || size != file->size) {
		http_problem(request, 500, NULL, "the artifact's file is not as the engine says");
		return;
	}
	attachment = disposition(name);
	etag = g_strdup_printf("\"%s\"", file->sha256 == NULL ? "" : file->sha256);
	http_answer_file(request, "application/octet-stream",
	    (const char *const[]){ "Content-Disposition", attachment, file->sha256 == NULL ? NULL : "ETag", etag, NULL },
	    file->fd, size);
}

/* Percent-decoded; NULL: not text. */
static char *decode(const char *text)
{
	g_autofree char *decoded = g_uri_unescape_string(text, NULL);

	if (decoded == NULL || *decoded == '\0' || strlen(decoded) > VALUE_MAX ||
	    !text_is_clean(decoded, strlen(decoded)))
		return NULL;
	return g_steal_pointer(&decoded);
}

void api_release(struct listen *l, struct http_request *request, const char *rest)
{
	g_auto(GStrv) words = g_strsplit(rest, "/", 3);
	guint count = g_strv_length(words);
	g_autofree char *name = count == 3 && strcmp(words[1], "artifacts") == 0 ? decode(words[2]) : NULL;
	gboolean is_record = count == 2 && strcmp(words[1], "record") == 0;
	struct message *question;

	if (count == 0 || !is_ulid(words[0]) || (count > 1 && name == NULL && !is_record)) {
		http_problem(request, 404, NULL,
		    "there is nothing at this address; a release is at /api/v1/releases/ID, with /record and "
		    "/artifacts/NAME below it");
		return;
	}
	question = question_new(name != NULL ? "artifact" : is_record ? "record" : "release");
	json_set_string(question->body, "id", words[0]);
	json_set_string(question->body, "name", name);
	listen_ask(l, request, question, name != NULL ? on_artifact : on_json);
}

void api_health(struct listen *l, struct http_request *request, const char *rest)
{
	(void)rest;
	listen_ask(l, request, question_new("health"), on_json);
}
