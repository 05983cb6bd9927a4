/*
 * A small, strict HTTP/1.1 server (RFC 9110, 9112) over libevent's bufferevents, in plain or over TLS; one thread, one event base.
 *
 * libevent's own evhttp decides nothing before a whole body is in memory, cannot cut off a slow client, and takes duplicate lengths, folded lines and bare
 * line feeds. With a strict reader in front of it little of it is left, so this stands alone:
 *  (1) a head is read whole, at most HTTP_HEAD_MAX, and refused if two readers could take it for different things;
 *  (2) the owner sees the head before the body, and may answer at once; a body is never larger than it may be;
 *  (3) each request has one deadline, from its first byte awaited to its last byte read, and one for its answer;
 *  (4) every answer has the same security headers; every error is a problem document (RFC 9457) with one sentence that mends.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/cleanup.h"

struct evbuffer;
struct event_base;
struct ssl_ctx_st;

#define HTTP_HEAD_MAX 16384

/* http_head.c: pure. */
struct http_head {
	char *method, *path, *query; /* path and query as they came, still percent-encoded; query may be NULL */
	GHashTable *headers; /* lower-case name -> value; several of one name joined by ", " */
	gboolean keep_alive, chunked, expect_continue;
	uint64_t length; /* of the body, if not chunked */
};
void http_head_free(struct http_head *head);
DEFINE_CLEANUP(http_head, http_head_free)
/* `data` ends with the empty line. NULL: *status is what to answer, and error the sentence. */
struct http_head *http_head_parse(const void *data, size_t size, int *status, GError **error);
/* Where the head ends in these first bytes of a request (0: not yet in it), looking from *seen on, which is moved. FALSE: a bare line feed or NUL, or too large. */
gboolean http_head_end(const void *data, size_t size, size_t *seen, size_t *end, int *status, GError **error);

/* A body in chunks; extensions and trailers are refused. */
struct http_chunks {
	enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_LAST_END, CHUNK_DONE } at;
	uint64_t left;
};
/* Moves what is there to `body`, at most `max` bytes of it; done when at == CHUNK_DONE. */
gboolean http_chunks_take(struct http_chunks *chunks, struct evbuffer *from, struct evbuffer *body, uint64_t max,
    int *status, GError **error);

struct http_server;
struct http_connection;
struct http_request {
	guint64 id; /* never given twice */
	struct http_head *head;
	struct evbuffer *body;
	struct http_connection *connection;
};

struct http_options {
	uint64_t max_body;
	guint max_connections; /* more at once wait in the kernel */
	int64_t deadline; /* ms */
	/* The head is in and its body still to come. FALSE: it was answered, and the connection will be closed. */
	gboolean (*admit)(struct http_request *request, void *data);
	/* The request is whole. Answered now, or later by http_find(). */
	void (*serve)(struct http_request *request, void *data);
	void *data;
};
struct http_server *http_server_new(struct event_base *base, const struct http_options *options);
void http_server_free(struct http_server *server); /* closes all connections */
DEFINE_CLEANUP(http_server, http_server_free)
/* "127.0.0.1:8080" or "[::]:8080", several separated by commas; `tls` NULL for plain HTTP. `option` names it in the sentence when that fails. */
gboolean http_server_listen(
    struct http_server *server, const char *addresses, struct ssl_ctx_st *tls, const char *option, GError **error);
/* A request that waits for its answer; NULL: its client is gone, or it took too long. */
struct http_request *http_find(struct http_server *server, guint64 id);

/* Answers; the request is gone after each. `headers`: name, value, …, NULL; may be NULL. HEAD gets the same without a body. */
void http_answer(struct http_request *request, int status, const char *type, const char *const *headers, GBytes *body);
/* The file's bytes [0, size), streamed; the descriptor is duplicated. */
void http_answer_file(struct http_request *request, const char *type, const char *const *headers, int fd, uint64_t size);
/* application/problem+json: status, its title, and the sentence. */
void http_problem(struct http_request *request, int status, const char *const *headers, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
