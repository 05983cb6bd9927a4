/* Both hosts' readers over the same bytes: the first line is the event's name at GitHub, the rest is the body. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#include "gitops/base/bytes.h"
#include "server/webhook.h"

static void check(const struct webhook_host *host, const struct webhook_request *in)
{
	g_autoptr(GError) error = NULL;
	autoptr(webhook_event) event = host->read(in, &error);

	if ((event == NULL) != (error != NULL))
		abort();
	if (event != NULL && event->nothing == NULL &&
	    (!is_ref_name(event->ref) || !is_object_id(event->old) || !is_object_id(event->new)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
	g_autoptr(GHashTable) headers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
	struct webhook_request in = { .headers = headers, .now = 0 };

	if (end == NULL)
		return 0;
	in.body = end + 1;
	in.size = size - (end + 1 - data);
	g_hash_table_replace(headers, (char *)"x-github-event", g_strndup((const char *)data, end - data));
	g_hash_table_replace(headers, (char *)"x-github-delivery", g_strdup("1"));
	g_hash_table_replace(headers, (char *)"webhook-id", g_strdup("1"));
	for (const struct webhook_host *const *host = webhook_hosts; *host != NULL; host++)
		check(*host, &in);
	return 0;
}
