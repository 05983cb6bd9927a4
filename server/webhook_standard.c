/*
 * Standard Webhooks: webhook-signature is a list of "v1,<base64>", each the HMAC of "id.timestamp.body"; the timestamp is of this attempt.
 * The body is {"type": "push", "timestamp": …, "data": {"project", "ref", "old", "new"}}, as our hooks/post-receive sends it.
 */
#include <openssl/crypto.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/base/json.h"
#include "server/webhook.h"

#define TOLERANCE_MS (5 * 60 * G_GINT64_CONSTANT(1000))
#define SIGNATURES_MAX 16

static GBytes *key(GBytes *secret, GError **error)
{
	size_t size;
	const char *text = g_bytes_get_data(secret, &size);
	g_autoptr(GBytes) bytes = NULL;

	if (size > 6 && memcmp(text, "whsec_", 6) == 0)
		bytes = base64_decode_strict(text + 6, size - 6, FALSE);
	if (bytes != NULL)
		return webhook_key(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), error);
	g_set_error(error, TAGSEAL_ERROR,
	    TAGSEAL_ERROR_USAGE, "a secret of Standard Webhooks is \"whsec_\" and base64; make one with: echo \"whsec_$(openssl rand -base64 32)\"");
	return NULL;
}

static gboolean is_recent(const struct webhook_request *in, GError **error)
{
	const char *text = webhook_header(in, "webhook-timestamp");
	guint64 seconds;

	if (text == NULL || !g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT32 * G_GINT64_CONSTANT(16), &seconds, NULL)) {
		error_refused(error, "the header webhook-timestamp must be the seconds since 1970 of this attempt");
		return FALSE;
	}
	if (ABS((int64_t)seconds * 1000 - in->now) > TOLERANCE_MS) {
		error_refused(error,
		    "the delivery's timestamp is %" G_GINT64_FORMAT
		    " seconds from this server's clock and may be 300: sign each attempt "
		    "anew, and set the clocks",
		    (int64_t)seconds - in->now / 1000);
		return FALSE;
	}
	return TRUE;
}

/* One entry of the list; other versions than v1 are not ours to judge. */
static gboolean is_signature(const char *entry, const uint8_t ours[SHA256_SIZE])
{
	g_autoptr(GBytes) claimed = NULL;

	if (!g_str_has_prefix(entry, "v1,"))
		return FALSE;
	claimed = base64_decode_strict(entry + 3, strlen(entry + 3), FALSE);
	return claimed != NULL && g_bytes_get_size(claimed) == SHA256_SIZE &&
	       CRYPTO_memcmp(g_bytes_get_data(claimed, NULL), ours, SHA256_SIZE) == 0;
}

static gboolean any_matches(
    const struct webhook_request *in, GPtrArray *keys, char **list, gboolean *matches, GError **error)
{
	const char *id = webhook_header(in, "webhook-id"), *timestamp = webhook_header(in, "webhook-timestamp");
	struct webhook_part parts[] = { { id, strlen(id) }, { ".", 1 }, { timestamp, strlen(timestamp) }, { ".", 1 },
		{ in->body, in->size } };
	uint8_t ours[SHA256_SIZE];

	for (guint i = 0; i < keys->len; i++) {
		if (!webhook_mac(keys->pdata[i], parts, G_N_ELEMENTS(parts), ours, error))
			return FALSE;
		for (char **entry = list; *entry != NULL; entry++)
			*matches |= is_signature(*entry, ours);
	}
	return TRUE;
}

static gboolean authenticate(const struct webhook_request *in, GPtrArray *keys, GError **error)
{
	const char *header = webhook_header(in, "webhook-signature");
	g_autofree char *id = webhook_delivery(in, "webhook-id", error);
	g_auto(GStrv) list = NULL;
	gboolean matches = FALSE;

	if (id == NULL || !is_recent(in, error))
		return FALSE;
	/* A dot in it would let the same bytes be cut in another place. */
	if (strchr(id, '.') != NULL) {
		error_refused(error, "the header webhook-id may hold no full stop");
		return FALSE;
	}
	list = g_strsplit(header == NULL ? "" : header, " ", SIGNATURES_MAX);
	if (!any_matches(in, keys, list, &matches, error))
		return FALSE;
	if (!matches)
		error_refused(error,
		    "no signature in webhook-signature matches (v1, HMAC-SHA-256 of id.timestamp.body): the sender's "
		    "secret is not one of those in our secret files, or the body was changed on its way");
	return matches;
}

static struct webhook_event *read_event(const struct webhook_request *in, GError **error)
{
	autoptr(webhook_event) event = g_new0(struct webhook_event, 1);
	autoptr(json) body = webhook_json(in, error);
	const char *type = body == NULL ? NULL : json_require_string(body, "type", "the body", error);
	const struct json *data = json_get(body, "data");

	if (type == NULL || (event->delivery = webhook_delivery(in, "webhook-id", error)) == NULL)
		return NULL;
	if (strcmp(type, "push") != 0)
		event->nothing = g_strdup("only the type \"push\" is of interest here");
	else if (!webhook_push(event, json_string(data, "project"), json_string(data, "ref"), json_string(data, "old"),
		     json_string(data, "new"), error))
		return NULL;
	return g_steal_pointer(&event);
}

const struct webhook_host webhook_standard = {
	.name = "standard",
	.signature = "webhook-signature",
	.key = key,
	.authenticate = authenticate,
	.read = read_event,
};
