/*
 * GitHub and GitHub Enterprise Server. X-Hub-Signature-256 is "sha256=" and the HMAC of the body in hex. Of the events only `push` has full ref names
 * and object ids (`create` has neither), so only it is read. The delivery's id is outside of the MAC: it identifies, and proves nothing.
 */
#include <openssl/crypto.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/base/json.h"
#include "server/webhook.h"

#define SIGNATURE "x-hub-signature-256"

static GBytes *key(GBytes *secret, GError **error)
{
	return webhook_key(g_bytes_get_data(secret, NULL), g_bytes_get_size(secret), error);
}

static gboolean authenticate(const struct webhook_request *in, GPtrArray *keys, GError **error)
{
	const char *header = webhook_header(in, SIGNATURE);
	struct webhook_part body = { in->body, in->size };
	uint8_t claimed[SHA256_SIZE], ours[SHA256_SIZE];
	gboolean matches = FALSE;

	/* Hosts without a secret send "sha256=" with nothing behind it. */
	if (header == NULL || !g_str_has_prefix(header, "sha256=") || !hex_decode(header + 7, claimed, sizeof(claimed))) {
		error_refused(error,
		    "the header X-Hub-Signature-256 must be \"sha256=\" and 64 hexadecimal digits; set a secret in the "
		    "webhook's settings at GitHub");
		return FALSE;
	}
	for (guint i = 0; i < keys->len; i++) {
		if (!webhook_mac(keys->pdata[i], &body, 1, ours, error))
			return FALSE;
		matches |= CRYPTO_memcmp(ours, claimed, sizeof(ours)) == 0;
	}
	if (!matches)
		error_refused(error, "the signature does not match: the secret at GitHub is not one of those in our "
				     "secret files, or the "
				     "body was changed on its way");
	return matches;
}

static gboolean read_push(struct webhook_event *event, const struct webhook_request *in, GError **error)
{
	autoptr(json) body = webhook_json(in, error);

	return body != NULL &&
	       webhook_push(event, json_as_string(json_path(body, "repository.full_name")), json_string(body, "ref"),
		   json_string(body, "before"), json_string(body, "after"), error);
}

static struct webhook_event *read_event(const struct webhook_request *in, GError **error)
{
	const char *kind = webhook_header(in, "x-github-event");
	autoptr(webhook_event) event = g_new0(struct webhook_event, 1);

	if ((event->delivery = webhook_delivery(in, "x-github-delivery", error)) == NULL)
		return NULL;
	if (kind == NULL) {
		error_refused(error, "the header X-GitHub-Event is missing");
		return NULL;
	}
	if (strcmp(kind, "push") != 0)
		event->nothing = g_strdup("only push events are of interest here");
	else if (!read_push(event, in, error))
		return NULL;
	return g_steal_pointer(&event);
}

const struct webhook_host webhook_github = {
	.name = "github",
	.signature = SIGNATURE,
	.key = key,
	.authenticate = authenticate,
	.read = read_event,
};
