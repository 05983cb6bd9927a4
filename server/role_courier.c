/*
 * courier: carries bytes, and understands none. It fetches artifacts, asks timestamp authorities, and copies what is to be published; hashes and times are
 * all that it adds. curl does the transfers, libevent waits for their sockets. courier_fetch.c, courier_stamp.c, courier_copy.c: one file a request.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gitops/base/error.h"
#include "server/courier.h"

#define CONNECT_MS 15000
#define SLOWEST_BYTES_A_SECOND 1024
#define SLOW_SECONDS 30

void job_begin(struct courier *c, struct job *job, struct message *request, void (*free_job)(struct job *))
{
	job->courier = c;
	job->request = request;
	job->free = free_job;
	g_hash_table_add(c->jobs, job);
}

static void job_free(struct job *job)
{
	message_free(job->request);
	job->free(job);
}

void job_end(struct job *job, struct message *answer)
{
	struct courier *c = job->courier;

	/* Let go of the descriptors first: engine proves that no writer is left as soon as it has the answer. */
	g_hash_table_remove(c->jobs, job);
	job_free(job);
	role_answer(c->role, role_peer(c->role, ROLE_ENGINE, 0), answer);
	message_free(answer);
}

void courier_refuse(struct courier *c, const struct message *request, enum message_kind kind, const GError *error)
{
	autoptr(message) answer = message_answer(request, kind, error);

	role_answer(c->role, role_peer(c->role, ROLE_ENGINE, 0), answer);
}

/* curl calls this with the resolved address: no name can lead elsewhere between the check and the connection. */
static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *t = data;

	(void)purpose;
	if (!t->may_be_private && !address_is_public(&address->addr)) {
		t->address_refused = TRUE;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
}

gboolean transfer_prepare(struct courier *c, struct transfer *t, const char *url, int64_t deadline_ms, GError **error)
{
	const char *ca_file = c->role->config->fetch_ca_file;
	CURL *curl = t->curl = curl_easy_init();

	if (curl == NULL || curl_easy_setopt(curl, CURLOPT_URL, url) != CURLE_OK) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "curl cannot begin another transfer");
		return FALSE;
	}
	curl_easy_setopt(curl, CURLOPT_PRIVATE, t);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->message);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L); /* each hop is checked like the first address */
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* not what the environment says */
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "tagseal/" TAGSEAL_VERSION);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L); /* a kept connection was filtered for another host's rule */
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)MIN(CONNECT_MS, deadline_ms));
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)MAX(deadline_ms, 1));
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST_BYTES_A_SECOND);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SLOW_SECONDS);
	if (ca_file != NULL && *ca_file != '\0')
		curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
	return TRUE;
}

gboolean transfer_start(struct courier *c, struct transfer *t, GError **error)
{
	if (t->headers != NULL)
		curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers);
	t->message[0] = '\0';
	t->address_refused = FALSE;
	t->running = curl_multi_add_handle(c->multi, t->curl) == CURLM_OK;
	if (!t->running)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "curl cannot begin another transfer");
	return t->running;
}

void transfer_clear(struct courier *c, struct transfer *t)
{
	if (t->running)
		curl_multi_remove_handle(c->multi, t->curl);
	t->running = FALSE;
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	if (t->curl != NULL)
		curl_easy_cleanup(t->curl);
	t->curl = NULL;
}

void transfer_error(const struct transfer *t, CURLcode result, const char *shown, GError **error)
{
	if (t->address_refused)
		g_set_error(error, TAGSEAL_ERROR,
		    TAGSEAL_ERROR_REFUSED, "%s: its host stands on a private, loopback or reserved address; if that is meant, name the host in artifacts.private_hosts",
		    shown);
	else
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s: %s", shown,
		    t->message[0] != '\0' ? t->message : curl_easy_strerror(result));
}

/* What curl has finished. A job may begin another transfer in done(), so curl is asked anew each time. */
static void reap(struct courier *c)
{
	CURLMsg *finished;
	int left;

	while ((finished = curl_multi_info_read(c->multi, &left)) != NULL) {
		struct transfer *t = NULL;
		CURLcode result = finished->data.result;

		if (finished->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(finished->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		curl_multi_remove_handle(c->multi, finished->easy_handle);
		t->running = FALSE;
		t->done(t, result);
	}
}

static void act(struct courier *c, curl_socket_t socket, int what)
{
	int running;

	curl_multi_socket_action(c->multi, socket, what, &running);
	reap(c);
}

static void on_socket(evutil_socket_t fd, short what, void *data)
{
	act(data, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	act(data, CURL_SOCKET_TIMEOUT, 0);
}

static int watch_socket(CURL *curl, curl_socket_t socket, int what, void *data, void *socket_data)
{
	struct courier *c = data;
	struct event *event = socket_data;

	(void)curl;
	if (event != NULL)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		event = event_new(c->base, socket,
		    EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0), on_socket,
		    c);
		event_add(event, NULL);
	}
	curl_multi_assign(c->multi, socket, event);
	return 0;
}

static int watch_timer(CURLM *multi, long ms, void *data)
{
	struct courier *c = data;
	struct timeval timer = { ms / 1000, ms % 1000 * 1000 };

	(void)multi;
	if (ms < 0)
		event_del(c->timer);
	else
		event_add(c->timer, &timer);
	return 0;
}

static void on_request(struct role_context *role, struct peer *from, struct message *m)
{
	void (*begin)(struct courier * c, struct message * request) = m->kind == MSG_FETCH   ? courier_fetch
								      : m->kind == MSG_STAMP ? courier_stamp
											     : courier_copy;
	struct message *own = message_new(m->kind, m->number);

	/* The skeleton frees what it gave us: the request's parts move to one that lives as long as the job. */
	(void)from;
	json_unref(own->body);
	own->body = json_ref(m->body);
	g_array_unref(own->files);
	own->files = g_array_ref(m->files);
	begin(role->data, own);
}

/* The engine has just started and waits for nothing of what its predecessor asked. */
static void on_hello(struct role_context *role, struct peer *from, struct message *hello)
{
	struct courier *c = role->data;
	g_autoptr(GList) jobs = g_hash_table_get_keys(c->jobs);

	(void)from;
	(void)hello;
	g_hash_table_remove_all(c->jobs);
	for (GList *i = jobs; i != NULL; i = i->next)
		job_free(i->data);
}

static const struct role_verb verbs[] = {
	{ MSG_HELLO, on_hello },
	{ MSG_FETCH, on_request },
	{ MSG_STAMP, on_request },
	{ MSG_COPY, on_request },
	{ MSG_COUNT, NULL },
};

static void on_end(evutil_socket_t signal_number, short what, void *data)
{
	(void)signal_number;
	(void)what;
	event_base_loopbreak(data);
}

static void courier_run(struct courier *c)
{
	struct event *end = evsignal_new(c->base, SIGTERM, on_end, c->base);

	event_add(end, NULL);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, watch_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, 64L);
	role_greet(c->role);
	event_base_dispatch(c->base);
	on_hello(c->role, NULL, NULL);
	event_free(end);
}

int role_courier(struct role_context *role)
{
	struct courier c = { .role = role };
	g_autoptr(GError) error = NULL;
	int status = EXIT_FAILURE;

	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	c.base = event_base_new();
	c.multi = curl_multi_init();
	c.timer = evtimer_new(c.base, on_timer, &c);
	c.jobs = g_hash_table_new(NULL, NULL);
	role->data = &c;
	if (role_attach(role, verbs, c.base, &error)) {
		courier_run(&c);
		status = EXIT_SUCCESS;
	} else {
		log_event("err", "%s", error->message);
	}
	curl_multi_cleanup(c.multi);
	event_free(c.timer);
	event_base_free(c.base);
	g_hash_table_unref(c.jobs);
	curl_global_cleanup();
	return status;
}
