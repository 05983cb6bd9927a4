#include "server/http.h"

#include <event2/buffer.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"
#include "gitops/base/error.h"

#define HEADERS_MAX 64

void http_head_free(struct http_head *head)
{
	if (head == NULL)
		return;
	g_free(head->method);
	g_free(head->path);
	g_free(head->query);
	g_hash_table_unref(head->headers);
	g_free(head);
}

static gboolean refuse(int *status, int code, GError **error, const char *sentence)
{
	*status = code;
	error_refused(error, "%s", sentence);
	return FALSE;
}

gboolean http_head_end(const void *data, size_t size, size_t *seen, size_t *end, int *status, GError **error)
{
	const char *bytes = data;

	*end = 0;
	for (; *seen < size && *seen < HTTP_HEAD_MAX; (*seen)++) {
		size_t at = *seen;
		if (bytes[at] == '\0')
			return refuse(status, 400, error, "the request's head holds a NUL byte");
		if (bytes[at] != '\n')
			continue;
		if (at == 0 || bytes[at - 1] != '\r')
			return refuse(
			    status, 400, error, "the lines of a request's head must end with CR LF, not with LF alone");
		if (at >= 3 && bytes[at - 2] == '\n') {
			*end = ++(*seen);
			return TRUE;
		}
	}
	if (*seen >= HTTP_HEAD_MAX)
		return refuse(status, 431, error, "the request's head is larger than 16 KiB");
	return TRUE;
}

/* RFC 9110, 5.6.2 */
static gboolean is_token(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!g_ascii_isalnum(text[i]) && (text[i] == '\0' || strchr("!#$%&'*+-.^_`|~", text[i]) == NULL))
			return FALSE;
	return size > 0;
}

/* Visible characters, blanks and tabs; bytes from 0x80 on are opaque and allowed only in values. */
static gboolean is_field_value(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
			return FALSE;
	return TRUE;
}

static gboolean is_target(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f || strchr("\"<>\\^`{|}#", *text) != NULL)
			return FALSE;
	return TRUE;
}

/* A line without its CR LF. */
static gboolean take_line(struct cursor *c, const char **line, size_t *size)
{
	if (!cursor_line(c, line, size, "line") || *size == 0 || (*line)[*size - 1] != '\r')
		return FALSE;
	*size -= 1;
	return memchr(*line, '\r', *size) == NULL;
}

/* "/path?query", or "http://authority/path?query" as a proxy would be asked. */
static gboolean take_target(struct http_head *head, const char *target, int *status, GError **error)
{
	const char *path = target, *query;

	if (g_ascii_strncasecmp(target, "http://", 7) == 0 || g_ascii_strncasecmp(target, "https://", 8) == 0)
		path = strchr(strstr(target, "//") + 2, '/');
	if (path == NULL || *path != '/' || !is_target(path))
		return refuse(status, 400, error,
		    "the request's target must be a path that begins with /, percent-encoded where needed");
	query = strchr(path, '?');
	head->path = query == NULL ? g_strdup(path) : g_strndup(path, query - path);
	head->query = query == NULL ? NULL : g_strdup(query + 1);
	return TRUE;
}

static gboolean take_request_line(struct http_head *head, struct cursor *c, int *minor, int *status, GError **error)
{
	const char *line;
	size_t size;
	g_autofree char *text = NULL;
	g_auto(GStrv) words = NULL;

	if (!take_line(c, &line, &size))
		return refuse(status, 400, error, "the request has no request line");
	text = g_strndup(line, size);
	words = g_strsplit(text, " ", 4);
	if (g_strv_length(words) != 3 || !is_token(words[0], strlen(words[0])) || strlen(words[0]) > 32)
		return refuse(status, 400, error,
		    "the request line must be a method, a target and a version, one blank between them");
	if (strcmp(words[2], "HTTP/1.1") != 0 && strcmp(words[2], "HTTP/1.0") != 0)
		return refuse(status, 505, error, "this server speaks HTTP/1.1 and HTTP/1.0");
	*minor = words[2][7] - '0';
	head->method = g_strdup(words[0]);
	return take_target(head, words[1], status, error);
}

/* Those of which a second one would let two readers see two requests. */
static gboolean is_single(const char *name)
{
	static const char *const names[] = { "host", "content-length", "transfer-encoding", "content-type", "expect",
		NULL };

	return g_strv_contains(names, name);
}

static gboolean take_field(struct http_head *head, const char *line, size_t size, int *status, GError **error)
{
	const char *colon = memchr(line, ':', size), *before;
	g_autofree char *name = NULL, *value = NULL;

	if (*line == ' ' || *line == '\t')
		return refuse(status, 400, error, "a header continues on the next line, which HTTP no longer allows");
	if (colon == NULL || !is_token(line, colon - line) || !is_field_value(colon + 1, line + size - colon - 1))
		return refuse(status, 400, error,
		    "a header must be a name, a colon without blanks before it, and a value of visible characters");
	name = g_ascii_strdown(line, colon - line);
	value = g_strstrip(g_strndup(colon + 1, line + size - colon - 1));
	before = g_hash_table_lookup(head->headers, name);
	if (before != NULL && is_single(name)) {
		*status = 400;
		error_refused(error, "the header %s stands twice in the request", name);
		return FALSE;
	}
	if (before != NULL) {
		char *both = g_strconcat(before, ", ", value, NULL);
		g_free(value);
		value = both;
	}
	g_hash_table_replace(head->headers, g_steal_pointer(&name), g_steal_pointer(&value));
	return TRUE;
}

static gboolean take_fields(struct http_head *head, struct cursor *c, int *status, GError **error)
{
	const char *line;
	size_t size;

	for (guint i = 0; i <= HEADERS_MAX; i++) {
		if (!take_line(c, &line, &size))
			return refuse(
			    status, 400, error, "the request's head has a line that does not end with one CR LF");
		if (size == 0)
			return TRUE;
		if (!take_field(head, line, size, status, error))
			return FALSE;
	}
	return refuse(status, 431, error, "the request has more than 64 headers");
}

/* RFC 9112, 6: who frames a body in two ways wants two readers to disagree. */
static gboolean take_framing(struct http_head *head, int *status, GError **error)
{
	const char *coding = g_hash_table_lookup(head->headers, "transfer-encoding");
	const char *length = g_hash_table_lookup(head->headers, "content-length");

	if (coding != NULL && length != NULL)
		return refuse(status, 400, error, "a request has either Content-Length or Transfer-Encoding, not both");
	if (coding != NULL && g_ascii_strcasecmp(coding, "chunked") != 0)
		return refuse(status, 501, error, "the only Transfer-Encoding that is taken here is chunked");
	head->chunked = coding != NULL;
	if (length == NULL)
		return TRUE;
	/* strtoull() would take a sign and blanks */
	if (*length == '\0' || strspn(length, "0123456789") != strlen(length))
		return refuse(status, 400, error, "Content-Length must be a decimal number");
	if (!g_ascii_string_to_unsigned(length, 10, 0, G_MAXINT64, &head->length, NULL))
		return refuse(status, 413, error, "Content-Length is beyond all bounds");
	return TRUE;
}

static gboolean is_host(const char *host)
{
	return *host != '\0' && strlen(host) <= 256 &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~:[]%") == strlen(host);
}

static gboolean take_meaning(struct http_head *head, int minor, int *status, GError **error)
{
	const char *host = g_hash_table_lookup(head->headers, "host"),
		   *expect = g_hash_table_lookup(head->headers, "expect");
	const char *connection = g_hash_table_lookup(head->headers, "connection");
	g_autofree char *options = g_ascii_strdown(connection == NULL ? "" : connection, -1);

	if (host == NULL ? minor == 1 : !is_host(host))
		return refuse(status, 400, error, "the request must name one host in its header Host");
	if (minor == 0 && g_hash_table_contains(head->headers, "transfer-encoding"))
		return refuse(status, 400, error, "HTTP/1.0 has no Transfer-Encoding");
	if (expect != NULL && g_ascii_strcasecmp(expect, "100-continue") != 0)
		return refuse(status, 417, error, "the only expectation that is met here is 100-continue");
	head->expect_continue = expect != NULL && minor == 1;
	head->keep_alive = minor == 1 && strstr(options, "close") == NULL;
	return take_framing(head, status, error);
}

struct http_head *http_head_parse(const void *data, size_t size, int *status, GError **error)
{
	autoptr(http_head) head = g_new0(struct http_head, 1);
	struct cursor c;
	int minor;

	head->headers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	if (memchr(data, '\0', size) != NULL) {
		refuse(status, 400, error, "the request's head holds a NUL byte");
		return NULL;
	}
	cursor_init(&c, data, size);
	if (!take_request_line(head, &c, &minor, status, error) || !take_fields(head, &c, status, error) ||
	    !take_meaning(head, minor, status, error))
		return NULL;
	if (cursor_left(&c) != 0) {
		refuse(status, 400, error, "bytes follow the request's head");
		return NULL;
	}
	return g_steal_pointer(&head);
}

/* The line in front of `from`, without its CR LF; NULL: not all of it is there. FALSE: no line of at most `max` bytes. */
static gboolean chunk_line(struct evbuffer *from, size_t max, char **line, int *status, GError **error)
{
	size_t size;

	*line = evbuffer_readln(from, &size, EVBUFFER_EOL_CRLF_STRICT);
	if ((*line != NULL && (size > max || strlen(*line) != size)) ||
	    (*line == NULL && evbuffer_get_length(from) > max + 1)) {
		free(*line);
		*line = NULL;
		return refuse(status, 400, error,
		    "a chunk must be its size in hexadecimal digits, CR LF, that many bytes, CR LF; "
		    "extensions and trailers are not taken here");
	}
	return TRUE;
}

static gboolean chunk_size(struct http_chunks *chunks, const char *line, int *status, GError **error)
{
	if (*line == '\0' || strspn(line, "0123456789abcdefABCDEF") != strlen(line) ||
	    !g_ascii_string_to_unsigned(line, 16, 0, G_MAXINT64, &chunks->left, NULL))
		return refuse(status, 400, error, "a chunk's size must be hexadecimal digits and nothing else");
	chunks->at = chunks->left == 0 ? CHUNK_LAST_END : CHUNK_DATA;
	return TRUE;
}

/* One step; FALSE with *more FALSE: wait for more bytes. */
static gboolean chunk_step(struct http_chunks *chunks, struct evbuffer *from, struct evbuffer *body, gboolean *more,
    int *status, GError **error)
{
	char *line = NULL;
	gboolean taken = TRUE;

	if (chunks->at == CHUNK_DATA) {
		int moved = evbuffer_remove_buffer(from, body, MIN(chunks->left, evbuffer_get_length(from)));
		chunks->left -= MAX(moved, 0);
		*more = chunks->left == 0;
		chunks->at = *more ? CHUNK_DATA_END : CHUNK_DATA;
		return TRUE;
	}
	if (!chunk_line(from, chunks->at == CHUNK_SIZE ? 16 : 0, &line, status, error))
		return FALSE;
	*more = line != NULL;
	if (line != NULL && chunks->at == CHUNK_SIZE)
		taken = chunk_size(chunks, line, status, error);
	else if (line != NULL)
		chunks->at = chunks->at == CHUNK_DATA_END ? CHUNK_SIZE : CHUNK_DONE;
	free(line);
	return taken;
}

gboolean http_chunks_take(
    struct http_chunks *chunks, struct evbuffer *from, struct evbuffer *body, uint64_t max, int *status, GError **error)
{
	gboolean more = TRUE;

	while (more && chunks->at != CHUNK_DONE) {
		if (!chunk_step(chunks, from, body, &more, status, error))
			return FALSE;
		if (chunks->at == CHUNK_DATA && evbuffer_get_length(body) + chunks->left > max) {
			*status = 413;
			error_refused(error,
			    "the body is larger than %" G_GUINT64_FORMAT " bytes, the most that is taken here", max);
			return FALSE;
		}
	}
	return TRUE;
}
