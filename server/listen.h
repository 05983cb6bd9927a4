/* Inside of the listen role: what its files share. */
#pragma once

#include "server/http.h"
#include "server/role.h"
#include "server/webhook.h"

struct listen_hook { /* one host, with the keys of all its [[hook]] tables */
	const struct webhook_host *host;
	GPtrArray *keys; /* of GBytes */
};

struct listen {
	struct role_context *role;
	struct event_base *base;
	struct http_server *http;
	GArray *hooks; /* of struct listen_hook */
	GHashTable *asked; /* number of the message -> struct asked (role_listen.c) */
};

typedef void listen_told(struct listen *l, struct http_request *request, const struct message *answer);
/* Asks the engine, and again if it dies meanwhile; `told` answers the client, unless it has gone. Takes `question` over. */
void listen_ask(struct listen *l, struct http_request *request, struct message *question, listen_told *told);
/* Answers with what the engine said, when it is none of the caller's own statuses. */
void listen_refused(struct http_request *request, const struct message *answer);

/* listen_hooks.c: /hooks/NAME */
gboolean hooks_read_keys(struct listen *l, GError **error);
gboolean hooks_admit(struct listen *l, struct http_request *request, const char *name);
void hooks_serve(struct listen *l, struct http_request *request, const char *name);

/* api.c: /api/v1/… and /healthz; `rest` is the path behind the route's */
void api_releases(struct listen *l, struct http_request *request, const char *rest);
void api_release(struct listen *l, struct http_request *request, const char *rest);
void api_health(struct listen *l, struct http_request *request, const char *rest);

/* pages.c: the dashboard, built in */
void page_serve(struct listen *l, struct http_request *request, const char *rest);
