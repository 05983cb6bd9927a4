/*
 * Connections:
 *
 *   WAIT_HEAD -> WAIT_BODY -> WAIT_ANSWER -> WAIT_SENT -> WAIT_HEAD    kept alive
 *                                            WAIT_SENT -> WAIT_CLOSE   else: what the client still sends is thrown away for a moment, since a close
 *                                                                      with unread bytes would take the answer from it
 * From each: gone, when the client goes or the timer fires (in WAIT_ANSWER the timer answers 503). The state changes in enter() alone, which sets the timer
 * and whether we read.
 */
#include "server/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/base/json.h"

#define READ_AT_ONCE 65536
#define CLOSE_MS 2000
#define SLOWEST_BYTES_A_MS 16 /* a reader of 16 KB/s still gets its file */

enum state { WAIT_HEAD, WAIT_BODY, WAIT_ANSWER, WAIT_SENT, WAIT_CLOSE };

struct listener {
	struct http_server *server;
	struct evconnlistener *socket;
	SSL_CTX *tls;
};

struct http_server {
	struct event_base *base;
	struct http_options options;
	GPtrArray *listeners;
	GHashTable *connections; /* a set */
	GHashTable *waiting; /* request id -> connection */
	guint64 last_id;
};

struct http_connection {
	struct http_server *server;
	struct bufferevent *bev;
	struct event *timer;
	enum state state;
	gboolean tls;
	size_t seen; /* of the head that is coming in */
	struct http_request request; /* from the head on */
	struct http_chunks chunks;
	gboolean keep;
};

static void connection_read(struct http_connection *c);

static void request_clear(struct http_connection *c)
{
	if (c->request.id != 0)
		g_hash_table_remove(c->server->waiting, &c->request.id);
	http_head_free(c->request.head);
	if (c->request.body != NULL)
		evbuffer_free(c->request.body);
	memset(&c->request, 0, sizeof(c->request));
}

static void connection_free(struct http_connection *c)
{
	struct http_server *server = c->server;

	request_clear(c);
	event_free(c->timer);
	bufferevent_free(c->bev);
	if (g_hash_table_remove(server->connections, c) &&
	    g_hash_table_size(server->connections) + 1 == server->options.max_connections)
		for (guint i = 0; i < server->listeners->len; i++)
			evconnlistener_enable(((struct listener *)server->listeners->pdata[i])->socket);
	g_free(c);
}

static void enter(struct http_connection *c, enum state state, int64_t timer_ms)
{
	struct timeval timer = { timer_ms / 1000, timer_ms % 1000 * 1000 };

	c->state = state;
	if (state == WAIT_ANSWER || state == WAIT_SENT)
		bufferevent_disable(c->bev, EV_READ); /* the next request stays in the kernel till this one is answered */
	else
		bufferevent_enable(c->bev, EV_READ);
	event_add(c->timer, &timer);
}

static const char *status_title(int status)
{
	static const struct {
		int status;
		const char *title;
	} titles[] = { { 200, "OK" }, { 202, "Accepted" }, { 204, "No Content" }, { 400, "Bad Request" },
		{ 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" }, { 409, "Conflict" }, { 410, "Gone" }, { 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" }, { 417, "Expectation Failed" }, { 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" } };

	for (guint i = 0; i < G_N_ELEMENTS(titles); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "Unknown";
}

/* The page takes scripts, styles and data from this server alone, and nothing frames it. */
static const char *const security_headers[] = { "X-Content-Type-Options", "nosniff", "Content-Security-Policy",
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
	"form-action 'none'; frame-ancestors 'none'",
	"Referrer-Policy", "no-referrer", "X-Frame-Options", "DENY", "Cross-Origin-Opener-Policy", "same-origin",
	"Cross-Origin-Resource-Policy", "same-origin", "Cache-Control", "no-store", NULL };

static void write_headers(struct evbuffer *out, const char *const *headers)
{
	for (; headers != NULL && headers[0] != NULL; headers += 2)
		if (strpbrk(headers[1], "\r\n") == NULL) /* a line break in a value would begin a header of its own */
			evbuffer_add_printf(out, "%s: %s\r\n", headers[0], headers[1]);
}

static void write_head(struct http_connection *c, int status, const char *type, const char *const *headers, uint64_t size)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	time_t now = time(NULL);
	struct tm utc;
	char date[64];

	gmtime_r(&now, &utc);
	evutil_date_rfc1123(date, sizeof(date), &utc);
	evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, status_title(status), date);
	if (status != 204) {
		evbuffer_add_printf(out, "Content-Length: %" G_GUINT64_FORMAT "\r\n", size);
		evbuffer_add_printf(out, "Content-Type: %s\r\n", type);
	}
	write_headers(out, headers);
	write_headers(out, security_headers);
	if (c->tls)
		evbuffer_add_printf(out, "Strict-Transport-Security: max-age=31536000\r\n");
	if (!c->keep)
		evbuffer_add_printf(out, "Connection: close\r\n");
	evbuffer_add(out, "\r\n", 2);
}

/* The head is written; the body follows by the caller. TRUE: it wants one. */
static gboolean begin_answer(
    struct http_connection *c, int status, const char *type, const char *const *headers, uint64_t size)
{
	gboolean head_only = status == 204 || (c->request.head != NULL && strcmp(c->request.head->method, "HEAD") == 0);

	c->keep = c->state == WAIT_ANSWER &&
		  c->request.head->keep_alive; /* with its body unread, a connection cannot go on */
	write_head(c, status, type, headers, size);
	request_clear(c);
	enter(c, WAIT_SENT, c->server->options.deadline + size / SLOWEST_BYTES_A_MS);
	return !head_only && size > 0;
}

void http_answer(struct http_request *request, int status, const char *type, const char *const *headers, GBytes *body)
{
	struct http_connection *c = request->connection;
	size_t size = body == NULL ? 0 : g_bytes_get_size(body);

	if (begin_answer(c, status, type, headers, size))
		evbuffer_add(bufferevent_get_output(c->bev), g_bytes_get_data(body, NULL), size);
}

void http_answer_file(struct http_request *request, const char *type, const char *const *headers, int fd, uint64_t size)
{
	struct http_connection *c = request->connection;
	int own = dup(fd);

	if (own < 0) {
		http_problem(request, 503, NULL, "this server has no file descriptor left; try again in a moment");
		return;
	}
	/* libevent closes it when it is sent; without a body nobody would. */
	if (!begin_answer(c, 200, type, headers, size) ||
	    evbuffer_add_file(bufferevent_get_output(c->bev), own, 0, size) < 0)
		close(own);
}

static void problem(struct http_request *request, int status, const char *const *headers, const char *sentence)
{
	autoptr(json) body = json_object_new();
	g_autoptr(GBytes) bytes = NULL;

	json_set_integer(body, "status", status);
	json_set_string(body, "title", status_title(status));
	json_set_string(body, "detail", sentence);
	bytes = json_canonical(body);
	http_answer(request, status, "application/problem+json", headers, bytes);
}

void http_problem(struct http_request *request, int status, const char *const *headers, const char *format, ...)
{
	g_autofree char *text = NULL, *clean = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	clean = g_utf8_make_valid(text, -1);
	problem(request, status, headers, clean);
}

struct http_request *http_find(struct http_server *server, guint64 id)
{
	struct http_connection *c = g_hash_table_lookup(server->waiting, &id);

	return c == NULL ? NULL : &c->request;
}

static void serve(struct http_connection *c)
{
	enter(c, WAIT_ANSWER, c->server->options.deadline);
	c->server->options.serve(&c->request, c->server->options.data);
}

static void take_body(struct http_connection *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct http_head *head = c->request.head;
	g_autoptr(GError) error = NULL;
	int status;

	if (head->chunked &&
	    !http_chunks_take(&c->chunks, in, c->request.body, c->server->options.max_body, &status, &error)) {
		http_problem(&c->request, status, NULL, "%s", error->message);
		return;
	}
	if (!head->chunked)
		evbuffer_remove_buffer(in, c->request.body,
		    MIN(head->length - evbuffer_get_length(c->request.body), evbuffer_get_length(in)));
	if (head->chunked ? c->chunks.at == CHUNK_DONE : evbuffer_get_length(c->request.body) == head->length)
		serve(c);
}

/* The head is in: may its body follow? */
static void admit(struct http_connection *c)
{
	struct http_server *server = c->server;
	struct http_head *head = c->request.head;

	if (!head->chunked && head->length > server->options.max_body) {
		http_problem(&c->request, 413, NULL,
		    "the body of %" G_GUINT64_FORMAT " bytes is larger than the %" G_GUINT64_FORMAT
		    " that are taken here; the option is listen.max_body",
		    head->length, server->options.max_body);
		return;
	}
	if ((head->chunked || head->length > 0) && !server->options.admit(&c->request, server->options.data))
		return;
	c->state = WAIT_BODY; /* under the deadline that runs since the head was awaited */
	if (head->expect_continue && (head->chunked || head->length > 0))
		evbuffer_add_printf(bufferevent_get_output(c->bev), "HTTP/1.1 100 Continue\r\n\r\n");
	take_body(c);
}

static void take_head(struct http_connection *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t size = MIN(evbuffer_get_length(in), HTTP_HEAD_MAX), end = 0;
	const void *bytes = evbuffer_pullup(in, size);
	g_autoptr(GError) error = NULL;
	int status = 400;
	gboolean taken = http_head_end(bytes, size, &c->seen, &end, &status, &error);

	if (taken && end == 0)
		return;
	c->request.connection = c;
	if (taken)
		taken = (c->request.head = http_head_parse(bytes, end, &status, &error)) != NULL;
	if (!taken) {
		http_problem(&c->request, status, NULL, "%s", error->message);
		return;
	}
	evbuffer_drain(in, end);
	c->seen = 0;
	memset(&c->chunks, 0, sizeof(c->chunks));
	c->request.body = evbuffer_new();
	c->request.id = ++c->server->last_id;
	g_hash_table_insert(c->server->waiting, &c->request.id, c);
	admit(c);
}

static void connection_read(struct http_connection *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	if (c->state == WAIT_CLOSE)
		evbuffer_drain(in, evbuffer_get_length(in));
	else if (c->state == WAIT_BODY)
		take_body(c);
	else if (c->state == WAIT_HEAD && evbuffer_get_length(in) > 0)
		take_head(c);
}

static void on_read(struct bufferevent *bev, void *data)
{
	(void)bev;
	connection_read(data);
}

static void begin_close(struct http_connection *c)
{
	SSL *ssl = c->tls ? bufferevent_openssl_get_ssl(c->bev) : NULL;

	if (ssl != NULL)
		SSL_shutdown(ssl);
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	enter(c, WAIT_CLOSE, CLOSE_MS);
	connection_read(c);
}

/* The output is with the kernel. */
static void on_written(struct bufferevent *bev, void *data)
{
	struct http_connection *c = data;

	if (c->state != WAIT_SENT || evbuffer_get_length(bufferevent_get_output(bev)) > 0)
		return;
	if (!c->keep) {
		begin_close(c);
		return;
	}
	enter(c, WAIT_HEAD, c->server->options.deadline);
	connection_read(c);
}

static void on_event(struct bufferevent *bev, short what, void *data)
{
	(void)bev;
	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0)
		connection_free(data);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
	struct http_connection *c = data;

	(void)fd;
	(void)what;
	if (c->state == WAIT_ANSWER)
		http_problem(&c->request, 503, (const char *const[]){ "Retry-After", "5", NULL },
		    "the answer was not ready in time; try again in a moment");
	else
		connection_free(c);
}

static struct bufferevent *bufferevent_of(struct listener *l, evutil_socket_t fd)
{
	SSL *ssl;
	struct bufferevent *bev;

	if (l->tls == NULL)
		return bufferevent_socket_new(l->server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if ((ssl = SSL_new(l->tls)) == NULL)
		return NULL;
	bev = bufferevent_openssl_socket_new(l->server->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL)
		SSL_free(ssl);
	else
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

static void on_accept(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *address, int size, void *data)
{
	struct listener *l = data;
	struct bufferevent *bev = bufferevent_of(l, fd);
	struct http_connection *c;

	(void)socket;
	(void)address;
	(void)size;
	if (bev == NULL) {
		close(fd);
		return;
	}
	c = g_new0(struct http_connection, 1);
	c->server = l->server;
	c->bev = bev;
	c->tls = l->tls != NULL;
	c->timer = evtimer_new(l->server->base, on_timer, c);
	g_hash_table_add(l->server->connections, c);
	if (g_hash_table_size(l->server->connections) >= l->server->options.max_connections)
		for (guint i = 0; i < l->server->listeners->len; i++)
			evconnlistener_disable(((struct listener *)l->server->listeners->pdata[i])->socket);
	bufferevent_setwatermark(bev, EV_READ, 0, READ_AT_ONCE);
	bufferevent_setcb(bev, on_read, on_written, on_event, c);
	bufferevent_enable(bev, EV_WRITE);
	enter(c, WAIT_HEAD, l->server->options.deadline);
}

static void listener_free(gpointer data)
{
	struct listener *l = data;

	evconnlistener_free(l->socket);
	SSL_CTX_free(l->tls);
	g_free(l);
}

struct http_server *http_server_new(struct event_base *base, const struct http_options *options)
{
	struct http_server *server = g_new0(struct http_server, 1);

	server->base = base;
	server->options = *options;
	server->listeners = g_ptr_array_new_with_free_func(listener_free);
	server->connections = g_hash_table_new(NULL, NULL);
	server->waiting = g_hash_table_new(g_int64_hash, g_int64_equal);
	return server;
}

void http_server_free(struct http_server *server)
{
	g_autoptr(GList) connections = NULL;

	if (server == NULL)
		return;
	g_ptr_array_set_size(server->listeners, 0);
	connections = g_hash_table_get_keys(server->connections);
	for (GList *i = connections; i != NULL; i = i->next)
		connection_free(i->data);
	g_ptr_array_unref(server->listeners);
	g_hash_table_unref(server->connections);
	g_hash_table_unref(server->waiting);
	g_free(server);
}

static gboolean listen_at(
    struct http_server *server, const char *address, SSL_CTX *tls, const char *option, GError **error)
{
	struct sockaddr_storage socket_address;
	int size = sizeof(socket_address), one = 1;
	struct listener *l;

	if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&socket_address, &size) < 0 ||
	    strchr(address, ':') == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "%s: \"%s\" is not an address and a port, as 127.0.0.1:8080 or [::1]:8080", option, address);
		return FALSE;
	}
	l = g_new0(struct listener, 1);
	l->server = server;
	l->socket = evconnlistener_new_bind(server->base, on_accept, l,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC, 512, (struct sockaddr *)&socket_address,
	    size);
	if (l->socket == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "%s: cannot listen at %s: %s; %s", option,
		    address, g_strerror(errno),
		    errno == EADDRINUSE ? "stop the program that listens there, or choose another port"
					: "choose an address of this machine, and a port that this user may take");
		g_free(l);
		return FALSE;
	}
	if (tls != NULL && SSL_CTX_up_ref(tls) == 1)
		l->tls = tls;
	/* Connections inherit it; without it each answer over TLS waits 40 ms for the client's acknowledgement. */
	setsockopt(evconnlistener_get_fd(l->socket), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	g_ptr_array_add(server->listeners, l);
	return TRUE;
}

gboolean http_server_listen(
    struct http_server *server, const char *addresses, SSL_CTX *tls, const char *option, GError **error)
{
	g_auto(GStrv) list = g_strsplit(addresses, ",", -1);

	for (char **address = list; *address != NULL; address++)
		if (!listen_at(server, g_strstrip(*address), tls, option, error))
			return FALSE;
	return TRUE;
}
