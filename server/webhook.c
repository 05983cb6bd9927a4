#include "server/webhook.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/core_names.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/base/json.h"

const struct webhook_host *const webhook_hosts[] = { &webhook_github, &webhook_standard, NULL };

/* Short secrets can be guessed offline from one delivery that was seen. */
#define KEY_MIN 16
#define DELIVERY_MAX 128
#define PROJECT_MAX 1024

void webhook_event_free(struct webhook_event *event)
{
	if (event == NULL)
		return;
	g_free(event->delivery);
	g_free(event->nothing);
	g_free(event->project);
	g_free(event->ref);
	g_free(event->old);
	g_free(event->new);
	g_free(event);
}

const struct webhook_host *webhook_find(const char *name)
{
	for (const struct webhook_host *const *host = webhook_hosts; *host != NULL; host++)
		if (strcmp((*host)->name, name) == 0)
			return *host;
	return NULL;
}

const char *webhook_header(const struct webhook_request *in, const char *name)
{
	return g_hash_table_lookup(in->headers, name);
}

GBytes *webhook_key(const void *data, size_t size, GError **error)
{
	if (size < KEY_MIN) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "the webhook secret has %zu bytes and needs at least %d; make one with: openssl rand -hex 32", size,
		    KEY_MIN);
		return NULL;
	}
	return g_bytes_new(data, size);
}

gboolean webhook_mac(GBytes *key, const struct webhook_part *parts, guint count, uint8_t out[32], GError **error)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
	OSSL_PARAM parameters[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end() };
	size_t size, written = 0;
	const void *bytes = g_bytes_get_data(key, &size);
	gboolean made = context != NULL && EVP_MAC_init(context, bytes, size, parameters) == 1;

	for (guint i = 0; made && i < count; i++)
		made = EVP_MAC_update(context, parts[i].data, parts[i].size) == 1;
	made = made && EVP_MAC_final(context, out, &written, SHA256_SIZE) == 1 && written == SHA256_SIZE;
	EVP_MAC_CTX_free(context);
	EVP_MAC_free(mac);
	if (!made)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "OpenSSL could not compute HMAC-SHA-256");
	return made;
}

char *webhook_delivery(const struct webhook_request *in, const char *header, GError **error)
{
	const char *id = webhook_header(in, header);
	size_t size = id == NULL ? 0 : strlen(id);

	if (size == 0 || size > DELIVERY_MAX || !text_is_clean(id, size)) {
		error_refused(error, "the header %s must name the delivery, in 1 to %d printable characters", header,
		    DELIVERY_MAX);
		return NULL;
	}
	return g_strdup(id);
}

struct json *webhook_json(const struct webhook_request *in, GError **error)
{
	g_autoptr(GError) why = NULL;
	struct json *body = json_parse(in->body, in->size, JSON_OTHER_NUMBERS, &why);

	if (body != NULL && json_kind(body) == JSON_OBJECT)
		return body;
	error_refused(
	    error, "the body is not a JSON object%s%s", why == NULL ? "" : ": ", why == NULL ? "" : why->message);
	json_unref(body);
	return NULL;
}

static gboolean take_id(char **out, const char *id, const char *what, GError **error)
{
	if (id == NULL || !is_object_id(id)) {
		error_refused(error, "the %s object id must be 40 lower-case hexadecimal digits", what);
		return FALSE;
	}
	*out = g_strdup(id);
	return TRUE;
}

gboolean webhook_push(
    struct webhook_event *event, const char *project, const char *ref, const char *old, const char *new, GError **error)
{
	if (project == NULL || *project == '\0' || strlen(project) > PROJECT_MAX ||
	    !text_is_clean(project, strlen(project))) {
		error_refused(
		    error, "the delivery does not name its project (owner/name, or the URL to clone it from)");
		return FALSE;
	}
	if (ref == NULL || !is_ref_name(ref)) {
		error_refused(error, "the delivery's ref must be a full name that git allows, as refs/tags/v1.2.0");
		return FALSE;
	}
	if (!take_id(&event->old, old, "old", error) || !take_id(&event->new, new, "new", error))
		return FALSE;
	event->project = g_strdup(project);
	event->ref = g_strdup(ref);
	if (!g_str_has_prefix(ref, "refs/tags/") && !g_str_has_prefix(ref, "refs/heads/"))
		event->nothing = g_strdup("neither a branch nor a tag was pushed");
	return TRUE;
}
