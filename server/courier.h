/* Inside of the courier role: what its files share. Everything in it waits in one event loop. */
#pragma once

#include <curl/curl.h>
#include <netinet/in.h>

#include "server/role.h"

struct event_base;
struct event;

struct courier {
	struct role_context *role;
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	GHashTable *jobs; /* a set of struct job */
};

/* One thing that the engine asked for. The files of its kind put it at the head of a struct of their own. */
struct job {
	struct courier *courier;
	struct message *request;
	void (*free)(struct job *job);
};
void job_begin(struct courier *c, struct job *job, struct message *request, void (*free_job)(struct job *));
/* Sends the answer (takes it over) and frees the job. */
void job_end(struct job *job, struct message *answer);

/* A transfer of curl's that belongs to a job: `done` is called when it has ended. */
struct transfer {
	CURL *curl;
	gboolean running;
	struct curl_slist *headers;
	char message[CURL_ERROR_SIZE];
	gboolean may_be_private; /* the host of this transfer may stand on a private address */
	gboolean address_refused;
	void (*done)(struct transfer *t, CURLcode result);
};
/* A handle with all that is the same for every transfer: no proxy, no redirects, verified TLS 1.2+, the address filter. FALSE: failed. */
gboolean transfer_prepare(struct courier *c, struct transfer *t, const char *url, int64_t deadline_ms, GError **error);
gboolean transfer_start(struct courier *c, struct transfer *t, GError **error);
void transfer_clear(struct courier *c, struct transfer *t);
/* What went wrong, for a transfer that did not end well: always UNAVAILABLE or REFUSED. `shown` is the URL for people. */
void transfer_error(const struct transfer *t, CURLcode result, const char *shown, GError **error);

/* courier_address.c: where we may go. Pure. */
struct address {
	char *scheme, *host, *path; /* path of file: URLs, decoded */
	char *shown; /* without credentials and query: for messages */
};
void address_free(struct address *address);
DEFINE_CLEANUP(address, address_free)
/* https:, file:, and http: to hosts that the configuration names (and loopback); no credentials inside. */
struct address *address_parse(const struct config *config, const char *url, GError **error);
/* Neither private, loopback, link-local, multicast nor otherwise reserved (IANA special-purpose registries). */
gboolean address_is_public(const struct sockaddr *address);

/* Each takes its request over. courier_fetch.c, courier_stamp.c, courier_copy.c */
void courier_fetch(struct courier *c, struct message *request);
void courier_stamp(struct courier *c, struct message *request);
void courier_copy(struct courier *c, struct message *request);
/* An answer that tells why. */
void courier_refuse(struct courier *c, const struct message *request, enum message_kind kind, const GError *error);

/* Copies a descriptor's bytes in pieces, one a turn of the loop. `sha256` counts them if given (EVP_MD_CTX). */
struct pump;
struct pump *pump_new(struct courier *c, int from, int to, uint64_t size, void *sha256,
    void (*done)(void *data, const GError *error), void *data);
void pump_free(struct pump *pump);
