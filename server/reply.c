#include "server/reply.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

#define TIME_MAX (INT64_C(1) << 52) /* ms: beyond any clock, and safe to add to */

void reply(struct role_context *role, struct peer *to, const struct message *request, enum message_kind kind,
    const GError *error)
{
	autoptr(message) answer = message_answer(request, kind, error);

	role_answer(role, to, answer);
}

const char *body_string(const struct message *m, const char *key, GError **error)
{
	return json_require_string(m->body, key, message_name(m->kind), error);
}

gboolean body_time(const struct message *m, const char *key, int64_t *ms, GError **error)
{
	return json_require_integer(m->body, key, 0, TIME_MAX, ms, message_name(m->kind), error);
}

GBytes *body_bytes(const struct message *m, const char *key, GError **error)
{
	const char *text = body_string(m, key, error);
	GBytes *bytes = text != NULL ? base64_decode_strict(text, strlen(text), FALSE) : NULL;

	if (text != NULL && bytes == NULL)
		error_refused(error, "%s: \"%s\" is not base64", message_name(m->kind), key);
	return bytes;
}

void body_set_bytes(struct message *m, const char *key, GBytes *bytes)
{
	gsize size;
	const guchar *data = g_bytes_get_data(bytes, &size);
	g_autofree char *text = g_base64_encode(data, size);

	json_set_string(m->body, key, text);
}
