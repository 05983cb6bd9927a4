/* MSG_STAMP: one question to one timestamp authority (RFC 3161, 3.4), and the times between which it was answered. */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/courier.h"

#define RESPONSE_MAX (1 << 20)
#define QUERY_MAX 65536

struct stamp {
	struct transfer transfer; /* curl hands it back */
	struct job job;
	const struct config_authority *authority;
	GBytes *query;
	GByteArray *response;
	int64_t sent;
};

static struct stamp *stamp_of(struct job *job)
{
	return (struct stamp *)(void *)((char *)job - offsetof(struct stamp, job));
}

static void stamp_free(struct job *job)
{
	struct stamp *s = stamp_of(job);

	transfer_clear(job->courier, &s->transfer);
	g_bytes_unref(s->query);
	g_byte_array_unref(s->response);
	g_free(s);
}

static size_t on_data(char *data, size_t one, size_t size, void *to)
{
	struct stamp *s = to;

	(void)one;
	if (s->response->len + size > RESPONSE_MAX)
		return 0;
	g_byte_array_append(s->response, (guint8 *)data, size);
	return size;
}

static gboolean check(const struct stamp *s, CURLcode result, const char *shown, GError **error)
{
	long status = 0;
	const char *type = NULL;

	if (result == CURLE_WRITE_ERROR) {
		g_set_error(
		    error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s: its answer is larger than 1 MiB", shown);
		return FALSE;
	}
	if (result != CURLE_OK) {
		transfer_error(&s->transfer, result, shown, error);
		return FALSE;
	}
	curl_easy_getinfo(s->transfer.curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(s->transfer.curl, CURLINFO_CONTENT_TYPE, &type);
	if (status != 200) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s: the authority answered with HTTP %ld",
		    shown, status);
		return FALSE;
	}
	if (type == NULL || g_ascii_strncasecmp(type, "application/timestamp-reply", 27) != 0 ||
	    strspn(type + 27, "; ") < MIN(strlen(type + 27), 1)) {
		g_autofree char *said = text_escape(type == NULL ? "" : type, -1, 60);
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "%s: the answer's type is \"%s\" and not application/timestamp-reply", shown, said);
		return FALSE;
	}
	return TRUE;
}

static void on_done(struct transfer *t, CURLcode result)
{
	struct stamp *s = (struct stamp *)t;
	int64_t received = time_now_ms();
	g_autoptr(GBytes) response = g_bytes_new(s->response->data, s->response->len);
	g_autofree char *shown = text_escape(s->authority->url, strcspn(s->authority->url, "?"), 200);
	g_autoptr(GError) error = NULL;
	struct message *answer;

	if (check(s, result, shown, &error)) {
		answer = message_answer(s->job.request, MSG_STAMPED, NULL);
		if (!message_add_bytes(answer, "response", response, &error)) {
			message_free(answer);
			answer = message_answer(s->job.request, MSG_STAMPED, error);
		}
	} else {
		answer = message_answer(s->job.request, MSG_STAMPED, error);
	}
	json_set_integer(answer->body, "sent", s->sent);
	json_set_integer(answer->body, "received", received);
	job_end(&s->job, answer);
}

static gboolean begin(struct courier *c, struct stamp *s, GError **error)
{
	CURL *curl;

	if (!transfer_prepare(c, &s->transfer, s->authority->url, s->authority->deadline, error))
		return FALSE;
	curl = s->transfer.curl;
	s->transfer.may_be_private = TRUE; /* the admin named it */
	s->transfer.done = on_done;
	s->transfer.headers = curl_slist_append(s->transfer.headers, "Content-Type: application/timestamp-query");
	s->transfer.headers = curl_slist_append(s->transfer.headers, "Accept: application/timestamp-reply");
	s->transfer.headers = curl_slist_append(s->transfer.headers, "Expect:");
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, g_bytes_get_data(s->query, NULL));
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)g_bytes_get_size(s->query));
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, s);
	s->sent = time_now_ms();
	return transfer_start(c, &s->transfer, error);
}

void courier_stamp(struct courier *c, struct message *request)
{
	const struct config *config = c->role->config;
	g_autoptr(GBytes) query = NULL;
	g_autoptr(GError) error = NULL;
	int64_t index = 0;
	struct stamp *s;

	if (!json_require_integer(
		request->body, "authority", 0, (int64_t)config->authority_count - 1, &index, "stamp", &error) ||
	    (query = message_bytes(request, "query", QUERY_MAX, &error)) == NULL) {
		courier_refuse(c, request, MSG_STAMPED, error);
		message_free(request);
		return;
	}
	s = g_new0(struct stamp, 1);
	s->authority = &config->authorities[index];
	s->query = g_steal_pointer(&query);
	s->response = g_byte_array_new();
	job_begin(c, &s->job, request, stamp_free);
	if (!begin(c, s, &error))
		job_end(&s->job, message_answer(s->job.request, MSG_STAMPED, error));
}
