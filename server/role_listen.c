/*
 * listen: the only process that the world can reach. It reads HTTP, authenticates webhooks, asks the engine, and passes on the answer; it writes nothing and decides
 * nothing. Start here: the table of routes; then listen_hooks.c and api.c.
 */
#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/listen.h"

/* More questions than these at once, and clients are told to come back: the engine is stuck, or we are flooded. */
#define ASKED_MAX 512

static const struct route {
	const char *path;
	gboolean has_rest; /* more follows it */
	const char *methods;
	gboolean (*admit)(struct listen *l, struct http_request *request,
	    const char *rest); /* NULL: a body is of no use, and does no harm */
	void (*serve)(struct listen *l, struct http_request *request, const char *rest);
} routes[] = {
	{ "/hooks/", TRUE, "POST", hooks_admit, hooks_serve },
	{ "/api/v1/releases", FALSE, "GET, HEAD", NULL, api_releases },
	{ "/api/v1/releases/", TRUE, "GET, HEAD", NULL, api_release },
	{ "/healthz", FALSE, "GET, HEAD", NULL, api_health },
	{ "/", FALSE, "GET, HEAD", NULL, page_serve },
	{ "/style.css", FALSE, "GET, HEAD", NULL, page_serve },
	{ "/app.js", FALSE, "GET, HEAD", NULL, page_serve },
};

static gboolean methods_hold(const char *methods, const char *method)
{
	g_auto(GStrv) list = g_strsplit(methods, ", ", -1);

	return g_strv_contains((const char *const *)list, method);
}

/* NULL: it was answered. */
static const struct route *find_route(struct http_request *request)
{
	const char *path = request->head->path;

	for (guint i = 0; i < G_N_ELEMENTS(routes); i++) {
		if (routes[i].has_rest ? !g_str_has_prefix(path, routes[i].path) : strcmp(path, routes[i].path) != 0)
			continue;
		if (methods_hold(routes[i].methods, request->head->method))
			return &routes[i];
		http_problem(request, 405, (const char *const[]){ "Allow", routes[i].methods, NULL },
		    "this address takes %s", routes[i].methods);
		return NULL;
	}
	http_problem(request, 404, NULL,
	    "there is nothing at this address; releases are at /api/v1/releases, webhooks go to /hooks/HOST");
	return NULL;
}

static gboolean admit(struct http_request *request, void *data)
{
	const struct route *route = find_route(request);

	return route != NULL &&
	       (route->admit == NULL || route->admit(data, request, request->head->path + strlen(route->path)));
}

static void serve(struct http_request *request, void *data)
{
	const struct route *route = find_route(request);

	if (route != NULL)
		route->serve(data, request, request->head->path + strlen(route->path));
}

/* A question that the engine has not answered. The client may be gone by then: the request is found by its id, or not. */
struct asked {
	guint64 request;
	listen_told *told;
	struct message *question;
	gint64 number;
};

static void asked_free(gpointer data)
{
	struct asked *asked = data;

	message_free(asked->question);
	g_free(asked);
}

static void ask(struct listen *l, struct asked *asked)
{
	asked->number = role_send(l->role, role_peer(l->role, ROLE_ENGINE, 0), asked->question);
	g_hash_table_replace(l->asked, &asked->number, asked);
}

void listen_ask(struct listen *l, struct http_request *request, struct message *question, listen_told *told)
{
	struct asked *asked;

	if (g_hash_table_size(l->asked) >= ASKED_MAX) {
		message_free(question);
		http_problem(request, 503, (const char *const[]){ "Retry-After", "5", NULL },
		    "this server has more requests at once than it can work on; try again in a moment");
		return;
	}
	asked = g_new0(struct asked, 1);
	asked->request = request->id;
	asked->told = told;
	asked->question = question;
	ask(l, asked);
}

void listen_refused(struct http_request *request, const struct message *answer)
{
	int64_t status = json_integer(answer->body, "status", 500);
	const char *text = json_string(answer->body, "text");
	const char *retry = status == 429 ? "30" : status == 503 ? "5" : NULL;

	if (status < 400 || status > 599)
		status = 500;
	http_problem(request, status, (const char *const[]){ retry == NULL ? NULL : "Retry-After", retry, NULL }, "%s",
	    text != NULL    ? text
	    : status == 404 ? "there is no such thing here"
			    : "the request could not be answered");
}

static void on_answer(struct role_context *role, struct peer *from, struct message *answer)
{
	struct listen *l = role->data;
	gint64 number = answer->number;
	struct asked *asked = g_hash_table_lookup(l->asked, &number);
	struct http_request *request = asked == NULL ? NULL : http_find(l->http, asked->request);

	(void)from;
	if (request != NULL && answer->kind == asked->question->kind + 1)
		asked->told(l, request, answer);
	g_hash_table_remove(l->asked, &number);
}

/* The engine has just started: what its predecessor was asked is lost. A webhook must not be, since few hosts send one twice. */
static void on_hello(struct role_context *role, struct peer *from, struct message *hello)
{
	struct listen *l = role->data;
	g_autoptr(GList) all = g_hash_table_get_values(l->asked);

	(void)from;
	(void)hello;
	g_hash_table_steal_all(l->asked);
	for (GList *i = all; i != NULL; i = i->next)
		if (http_find(l->http, ((struct asked *)i->data)->request) != NULL)
			ask(l, i->data);
		else
			asked_free(i->data);
}

static const struct role_verb verbs[] = {
	{ MSG_HELLO, on_hello },
	{ MSG_HOOKED, on_answer },
	{ MSG_TOLD, on_answer },
	{ MSG_COUNT, NULL },
};

static gboolean tls_fail(GError **error, const char *what, const char *path)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "%s: cannot use \"%s\": %s", what, path,
	    reason != NULL ? reason : "OpenSSL gives no reason");
	return FALSE;
}

static gboolean tls_load(SSL_CTX *tls, const struct config *config, GError **error)
{
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(tls, config->listen_certificate) != 1)
		return tls_fail(error, "listen.certificate", config->listen_certificate);
	if (SSL_CTX_use_PrivateKey_file(tls, config->listen_private_key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(tls) != 1)
		return tls_fail(error, "listen.private_key", config->listen_private_key);
	return TRUE;
}

static gboolean listen_https(struct listen *l, GError **error)
{
	const struct config *config = l->role->config;
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	gboolean listening = tls != NULL;

	if (tls == NULL)
		return tls_fail(error, "listen.https", config->listen_https);
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	listening = tls_load(tls, config, error) &&
		    http_server_listen(l->http, config->listen_https, tls, "listen.https", error);
	SSL_CTX_free(tls); /* the listeners hold it */
	return listening;
}

static gboolean start(struct listen *l, GError **error)
{
	const struct config *config = l->role->config;
	const struct http_options options = {
		.max_body = config->listen_max_body,
		.max_connections = config->listen_max_connections,
		.deadline = config->listen_deadline,
		.admit = admit,
		.serve = serve,
		.data = l,
	};

	l->http = http_server_new(l->base, &options);
	if (!hooks_read_keys(l, error) ||
	    (*config->listen_http != '\0' &&
		!http_server_listen(l->http, config->listen_http, NULL, "listen.http", error)) ||
	    (*config->listen_https != '\0' && !listen_https(l, error)) || !role_attach(l->role, verbs, l->base, error))
		return FALSE;
	log_event("notice", "event=listen http=\"%s\" https=\"%s\" public_url=\"%s\"", config->listen_http,
	    config->listen_https, config->public_url);
	return TRUE;
}

static void hook_clear(gpointer data)
{
	g_ptr_array_unref(((struct listen_hook *)data)->keys);
}

static void listen_clear(struct listen *l)
{
	http_server_free(l->http);
	g_hash_table_unref(l->asked);
	g_array_unref(l->hooks);
	event_base_free(l->base);
}

static void on_end(evutil_socket_t signal_number, short what, void *data)
{
	(void)signal_number;
	(void)what;
	event_base_loopbreak(data);
}

int role_listen(struct role_context *role)
{
	struct listen l = { .role = role, .base = event_base_new() };
	struct event *end = evsignal_new(l.base, SIGTERM, on_end, l.base);
	g_autoptr(GError) error = NULL;
	int status = EXIT_SUCCESS;

	role->data = &l;
	l.asked = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, asked_free);
	l.hooks = g_array_new(FALSE, TRUE, sizeof(struct listen_hook));
	g_array_set_clear_func(l.hooks, hook_clear);
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to clients that have gone */
	event_add(end, NULL);
	if (start(&l, &error)) {
		role_greet(role);
		event_base_dispatch(l.base);
	} else {
		log_event("err", "%s", error->message);
		status = ROLE_EXIT_CONFIGURATION;
	}
	event_free(end);
	listen_clear(&l);
	return status;
}
