/*
 * Webhooks: what a git host sends, reduced to one event. A delivery is only a hint to look: nothing of it is believed but that its sender knows our secret;
 * what counts is fetched from the source. One file a host (webhook_*.c), one row in webhook_hosts.
 *
 * The host is bound to the path (/hooks/NAME) and never guessed from headers: Gitea sends the headers of the whole family at once.
 * Pure functions over bytes: no sockets, no clock but `now`.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/cleanup.h"

struct json;

struct webhook_request {
	GHashTable *headers; /* lower-case name -> value */
	const uint8_t *body; /* as it came, never written again */
	size_t size;
	int64_t now; /* ms */
};

struct webhook_event {
	char *delivery; /* the sender's name for it */
	char *nothing; /* why there is nothing to do (a ping, an event of another kind), and then there is none of: */
	char *project, *ref, *old, *new;
};
void webhook_event_free(struct webhook_event *event);
DEFINE_CLEANUP(webhook_event, webhook_event_free)

struct webhook_host {
	const char *name;
	const char *signature; /* header without which nothing needs to be read */
	/* The key that a secret file's line stands for; USAGE with the sentence for the admin. */
	GBytes *(*key)(GBytes *secret, GError **error);
	/* Does any of the keys vouch for these bytes? Looks at no byte of the body's meaning. REFUSED: 401. */
	gboolean (*authenticate)(const struct webhook_request *in, GPtrArray *keys, GError **error);
	/* Only after authenticate(). REFUSED: 400. */
	struct webhook_event *(*read)(const struct webhook_request *in, GError **error);
};
extern const struct webhook_host webhook_github; /* docs.github.com: "Validating webhook deliveries", "push" */
extern const struct webhook_host webhook_standard; /* standard-webhooks/spec 1.0.0; our hooks/post-receive sends these */
extern const struct webhook_host *const webhook_hosts[]; /* ends with NULL */
const struct webhook_host *webhook_find(const char *name); /* NULL if there is none */

/* For the hosts' files. */
const char *webhook_header(const struct webhook_request *in, const char *name); /* NULL if absent */
/* HMAC-SHA-256 over the parts, one after the other. */
struct webhook_part {
	const void *data;
	size_t size;
};
gboolean webhook_mac(GBytes *key, const struct webhook_part *parts, guint count, uint8_t out[32], GError **error);
/* At least 16 bytes; a copy. */
GBytes *webhook_key(const void *data, size_t size, GError **error);
/* The sender's name for the delivery, from that header. */
char *webhook_delivery(const struct webhook_request *in, const char *header, GError **error);
/* Takes the event's fields from strangers' JSON strings; checks each. Refs that are neither branch nor tag are nothing to do. */
gboolean webhook_push(struct webhook_event *event, const char *project, const char *ref, const char *old,
    const char *new, GError **error);
struct json *webhook_json(const struct webhook_request *in, GError **error);
