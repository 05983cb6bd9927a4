/* A request as it comes in: its head, and if that says so, a body in chunks. */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "server/http.h"
#include "tests/fuzz/fuzz.h"

#define BODY_MAX 4096

static void take_chunks(const uint8_t *data, size_t size)
{
	struct evbuffer *from = evbuffer_new(), *body = evbuffer_new();
	struct http_chunks chunks = { 0 };
	g_autoptr(GError) error = NULL;
	int status = 0;

	for (size_t i = 0; i < size && error == NULL; i++) {
		evbuffer_add(from, data + i, 1);
		if (http_chunks_take(&chunks, from, body, BODY_MAX, &status, &error) != (error == NULL))
			abort();
		if (evbuffer_get_length(body) > BODY_MAX)
			abort();
	}
	evbuffer_free(from);
	evbuffer_free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GError) error = NULL;
	autoptr(http_head) head = NULL;
	size_t seen = 0, end = 0;
	int status = 0;

	if (!http_head_end(data, size, &seen, &end, &status, &error) || end == 0)
		return 0;
	head = http_head_parse(data, end, &status, &error);
	if ((head == NULL) != (error != NULL) || (head == NULL && status < 400))
		abort();
	if (head != NULL && head->chunked)
		take_chunks(data + end, size - end);
	return 0;
}
