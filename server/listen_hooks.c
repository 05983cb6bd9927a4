/* POST /hooks/NAME: from a delivery to the engine's inbox. What a host sends is answered only when the engine has it durably. */
#include <event2/buffer.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/listen.h"

static struct listen_hook *find_hook(struct listen *l, const char *name)
{
	for (guint i = 0; i < l->hooks->len; i++) {
		struct listen_hook *hook = &g_array_index(l->hooks, struct listen_hook, i);
		if (strcmp(hook->host->name, name) == 0)
			return hook;
	}
	return NULL;
}

static struct listen_hook *add_hook(struct listen *l, const char *name)
{
	struct listen_hook hook = { .host = webhook_find(name) };

	if (hook.host == NULL)
		return NULL;
	hook.keys = g_ptr_array_new_with_free_func((GDestroyNotify)secret_free);
	g_array_append_val(l->hooks, hook);
	return &g_array_index(l->hooks, struct listen_hook, l->hooks->len - 1);
}

static gboolean read_key(struct listen_hook *hook, const char *path, GError **error)
{
	GBytes *secret = secret_read(path, error), *key;

	if (secret == NULL)
		return FALSE;
	key = hook->host->key(secret, error);
	secret_free(secret);
	if (key == NULL) {
		g_prefix_error(error, "%s: ", path);
		return FALSE;
	}
	g_ptr_array_add(hook->keys, key);
	return TRUE;
}

gboolean hooks_read_keys(struct listen *l, GError **error)
{
	const struct config *config = l->role->config;

	for (guint i = 0; i < config->hook_count; i++) {
		const struct config_hook *row = &config->hooks[i];
		struct listen_hook *hook = find_hook(l, row->host);

		if (hook == NULL && (hook = add_hook(l, row->host)) == NULL) {
			g_set_error(
			    error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "[[hook]]: there is no host \"%s\"", row->host);
			return FALSE;
		}
		for (char **path = row->secret_files; path != NULL && *path != NULL; path++)
			if (!read_key(hook, *path, error))
				return FALSE;
	}
	return TRUE;
}

static gboolean is_json(const char *type)
{
	size_t size = type == NULL ? 0 : strcspn(type, "; \t");

	return size == strlen("application/json") && g_ascii_strncasecmp(type, "application/json", size) == 0;
}

static void unauthorized(struct http_request *request, const char *sentence)
{
	http_problem(request, 401, (const char *const[]){ "WWW-Authenticate", "HMAC-SHA256", NULL }, "%s", sentence);
}

gboolean hooks_admit(struct listen *l, struct http_request *request, const char *name)
{
	const struct listen_hook *hook = find_hook(l, name);
	GHashTable *headers = request->head->headers;

	if (hook == NULL) {
		g_autofree char *shown = text_escape(name, -1, 40);
		http_problem(request, 404, NULL,
		    "no webhooks are taken at /hooks/%s; the hosts that are configured stand in the [[hook]] tables",
		    shown);
		return FALSE;
	}
	if (!is_json(g_hash_table_lookup(headers, "content-type"))) {
		http_problem(request, 415, (const char *const[]){ "Accept", "application/json", NULL },
		    "send the webhook as application/json (a form would be signed in another way)");
		return FALSE;
	}
	if (g_hash_table_lookup(headers, hook->host->signature) == NULL) {
		g_autofree char *sentence = g_strdup_printf(
		    "the header %s is missing: set the webhook's secret at the host", hook->host->signature);
		unauthorized(request, sentence);
		return FALSE;
	}
	return TRUE;
}

static void log_hook(const char *name, const struct webhook_event *event, int status, const char *text)
{
	g_autofree char *delivery = text_escape(event->delivery, -1, 128);
	g_autofree char *project = text_escape(event->project == NULL ? "" : event->project, -1, 200);
	g_autofree char *ref = text_escape(event->ref == NULL ? "" : event->ref, -1, 200);

	log_event("info", "hook=%s delivery=\"%s\" project=\"%s\" ref=\"%s\" status=%d %s", name, delivery, project,
	    ref, status, text);
}

static void on_hooked(struct listen *l, struct http_request *request, const struct message *answer)
{
	int64_t status = json_integer(answer->body, "status", 500);
	const char *release = json_string(answer->body, "release");
	autoptr(json) body = json_object_new();
	g_autoptr(GBytes) bytes = NULL;
	g_autofree char *url = NULL;

	if (status == 204) {
		http_answer(request, 204, NULL, NULL, NULL);
		return;
	}
	if (status != 202) {
		listen_refused(request, answer);
		return;
	}
	if (release != NULL && is_ulid(release))
		url = g_strdup_printf("%s/api/v1/releases/%s", l->role->config->public_url, release);
	json_set_string(body, "release", url);
	json_set_string(body, "text", json_string(answer->body, "text"));
	bytes = json_canonical(body);
	http_answer(request, 202, "application/json",
	    (const char *const[]){ url == NULL ? NULL : "Location", url, NULL }, bytes);
}

static void ask_engine(struct listen *l, struct http_request *request, const char *name,
    const struct webhook_request *in, const struct webhook_event *event)
{
	struct message *question = message_new(MSG_HOOK, 0);
	g_autofree char *digest = sha256_text(in->body, in->size);

	json_set_string(question->body, "host", name);
	json_set_string(question->body, "delivery", event->delivery);
	json_set_string(question->body, "body_sha256", digest);
	json_set_string(question->body, "project", event->project);
	json_set_string(question->body, "ref", event->ref);
	json_set_string(question->body, "old", event->old);
	json_set_string(question->body, "new", event->new);
	listen_ask(l, request, question, on_hooked);
}

static void refuse(struct http_request *request, const char *name, const GError *error, int status)
{
	log_event("notice", "hook=%s refused=%d %s", name, status, error->message);
	if (!g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED))
		http_problem(request, 500, NULL, "%s", error->message);
	else if (status == 401)
		unauthorized(request, error->message);
	else
		http_problem(request, status, NULL, "%s", error->message);
}

void hooks_serve(struct listen *l, struct http_request *request, const char *name)
{
	const struct listen_hook *hook = find_hook(l, name);
	size_t size = evbuffer_get_length(request->body);
	struct webhook_request in = { request->head->headers, evbuffer_pullup(request->body, -1), size, time_now_ms() };
	autoptr(webhook_event) event = NULL;
	g_autoptr(GError) error = NULL;

	if (size == 0 && !hooks_admit(l, request, name)) /* else it was admitted before its body */
		return;
	if (!hook->host->authenticate(&in, hook->keys, &error)) {
		refuse(request, name, error, 401);
		return;
	}
	if ((event = hook->host->read(&in, &error)) == NULL) {
		refuse(request, name, error, 400);
		return;
	}
	log_hook(name, event, event->nothing == NULL ? 202 : 204, event->nothing == NULL ? "" : event->nothing);
	if (event->nothing != NULL)
		http_answer(request, 204, NULL, NULL, NULL);
	else
		ask_engine(l, request, name, &in, event);
}
