/* The reader of requests: what two readers could take for different things is refused. */
#include "tests/unit/support.h"

#include <event2/buffer.h>
#include <string.h>

#include "server/http.h"

static struct http_head *parse(const char *text, size_t size, int *status, GError **error)
{
	size_t seen = 0, end = 0;

	if (!http_head_end(text, size, &seen, &end, status, error))
		return NULL;
	assert_int_equal(end, size);
	return http_head_parse(text, end, status, error);
}

static struct http_head *assert_parsed(const char *text)
{
	g_autoptr(GError) error = NULL;
	int status = 0;
	struct http_head *head = parse(text, strlen(text), &status, &error);

	assert_ok(head, error);
	return head;
}

static void a_plain_request_is_read(void **state)
{
	autoptr(http_head) head =
	    assert_parsed("POST /hooks/github?a=b%20c HTTP/1.1\r\nHost: x:8080\r\nContent-Length: 12\r\n"
			  "X-Thing:  one \r\nx-thing: two\r\n\r\n");

	(void)state;
	assert_string_equal(head->method, "POST");
	assert_string_equal(head->path, "/hooks/github");
	assert_string_equal(head->query, "a=b%20c");
	assert_string_equal(g_hash_table_lookup(head->headers, "x-thing"), "one, two");
	assert_int_equal(head->length, 12);
	assert_true(head->keep_alive);
	assert_false(head->chunked);
}

static void an_absolute_target_is_read_as_its_path(void **state)
{
	autoptr(http_head) head = assert_parsed("GET http://x/healthz HTTP/1.0\r\n\r\n");

	(void)state;
	assert_string_equal(head->path, "/healthz");
	assert_null(head->query);
	assert_false(head->keep_alive);
}

#define HEAD(fields) "POST / HTTP/1.1\r\n" fields "\r\n"
#define BAD(text, status, words)                                                                                       \
	{                                                                                                              \
		text, sizeof(text) - 1, status, words                                                                  \
	}

static void requests_that_two_readers_could_take_differently_are_refused(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		int status;
		const char *words;
	} bad[] = {
		BAD(HEAD("Host: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n"), 400, "content-length stands twice"),
		BAD(HEAD("Host: x\r\nContent-Length: +5\r\n"), 400, "decimal"),
		BAD(HEAD("Host: x\r\nContent-Length: 5, 5\r\n"), 400, "decimal"),
		BAD(HEAD("Host: x\r\nContent-Length: 0x5\r\n"), 400, "decimal"),
		BAD(HEAD("Host: x\r\nContent-Length:\r\n"), 400, "decimal"),
		BAD(HEAD("Host: x\r\nContent-Length: 99999999999999999999\r\n"), 413, "bounds"),
		BAD(HEAD("Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400, "not both"),
		BAD(HEAD("Host: x\r\nTransfer-Encoding: gzip, chunked\r\n"), 501, "chunked"),
		BAD(HEAD("Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400, "twice"),
		BAD(HEAD("Host: x\r\nX-Y : 1\r\n"), 400, "blanks before"),
		BAD(HEAD("Host: x\r\nX-Y: 1\r\n 2\r\n"), 400, "continues on the next line"),
		BAD(HEAD("Host: x\r\nX-Y: a\0b\r\n"), 400, "NUL"),
		BAD(HEAD("Host: x\r\nX-Y: a\001b\r\n"), 400, "visible"),
		BAD(HEAD("Host: x\r\nX-Y: a\rb\r\n"), 400, "CR LF"),
		BAD(HEAD("Host: x\r\nno colon\r\n"), 400, "colon"),
		BAD(HEAD("Host: x\nX-Y: 1\r\n"), 400, "LF alone"),
		BAD(HEAD("X-Y: 1\r\n"), 400, "Host"),
		BAD(HEAD("Host: x\r\nHost: y\r\n"), 400, "host stands twice"),
		BAD(HEAD("Host: a b\r\n"), 400, "Host"),
		BAD(HEAD("Host: x\r\nExpect: miracles\r\n"), 417, "100-continue"),
		BAD("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "one blank"),
		BAD("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "one blank"),
		BAD("GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400, "begins with /"),
		BAD("GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n", 400, "percent-encoded"),
		BAD("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, "HTTP/1.1"),
		BAD("GET /\r\nHost: x\r\n\r\n", 400, "request line"),
		BAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "HTTP/1.0"),
	};

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		int status = 0;
		autoptr(http_head) head = parse(bad[i].text, bad[i].size, &status, &error);

		assert_refused(head, error, bad[i].words);
		assert_int_equal(status, bad[i].status);
	}
}

static void a_head_without_end_is_refused(void **state)
{
	g_autofree char *text = g_strnfill(HTTP_HEAD_MAX, 'a');
	g_autoptr(GError) error = NULL;
	size_t seen = 0, end = 0;
	int status = 0;

	(void)state;
	assert_true(http_head_end(text, HTTP_HEAD_MAX - 1, &seen, &end, &status, &error));
	assert_int_equal(end, 0);
	assert_refused(http_head_end(text, HTTP_HEAD_MAX, &seen, &end, &status, &error), error, "16 KiB");
	assert_int_equal(status, 431);
}

static void too_many_headers_are_refused(void **state)
{
	g_autoptr(GString) text = g_string_new("GET / HTTP/1.1\r\nHost: x\r\n");
	g_autoptr(GError) error = NULL;
	int status = 0;

	(void)state;
	for (int i = 0; i < 64; i++)
		g_string_append_printf(text, "X-%d: 1\r\n", i);
	g_string_append(text, "\r\n");
	assert_refused(parse(text->str, text->len, &status, &error), error, "64");
	assert_int_equal(status, 431);
}

/* Fed byte by byte; the body as text, or NULL with error. */
static char *chunks(const char *text, uint64_t max, int *status, GError **error)
{
	struct evbuffer *from = evbuffer_new(), *body = evbuffer_new();
	struct http_chunks state = { 0 };
	gboolean taken = TRUE;
	char *result = NULL;

	for (; taken && *text != '\0'; text++) {
		evbuffer_add(from, text, 1);
		taken = http_chunks_take(&state, from, body, max, status, error);
	}
	if (taken && state.at == CHUNK_DONE)
		result = g_strndup((char *)evbuffer_pullup(body, -1), evbuffer_get_length(body));
	evbuffer_free(from);
	evbuffer_free(body);
	return result;
}

static void chunks_make_one_body(void **state)
{
	g_autoptr(GError) error = NULL;
	int status = 0;
	g_autofree char *body = chunks("5\r\nhello\r\n00000B\r\n, world\r\n!!\r\n0\r\n\r\n", 100, &status, &error);

	(void)state;
	assert_ok(body, error);
	assert_string_equal(body, "hello, world\r\n!!");
}

static void chunks_of_another_shape_are_refused(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *words;
	} bad[] = {
		{ "+5\r\nhello\r\n", 400, "hexadecimal" },
		{ "0x5\r\nhello\r\n", 400, "hexadecimal" },
		{ "5;a=b\r\nhello\r\n", 400, "hexadecimal" },
		{ "\r\n", 400, "hexadecimal" },
		{ "5\nhello\n0\n\n                 ", 400, "CR LF" },
		{ "5\r\nhello!\r\n", 400, "CR LF" },
		{ "0\r\nTrailer: x\r\n\r\n", 400, "trailers" },
		{ "11\r\n", 413, "16 bytes" },
		{ "8\r\n12345678\r\n9\r\n", 413, "16 bytes" },
		{ "ffffffffffffffff\r\n", 400, "hexadecimal" },
	};

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		int status = 0;

		assert_refused(chunks(bad[i].text, 16, &status, &error), error, bad[i].words);
		assert_int_equal(status, bad[i].status);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_request_is_read),
		cmocka_unit_test(an_absolute_target_is_read_as_its_path),
		cmocka_unit_test(requests_that_two_readers_could_take_differently_are_refused),
		cmocka_unit_test(a_head_without_end_is_refused),
		cmocka_unit_test(too_many_headers_are_refused),
		cmocka_unit_test(chunks_make_one_body),
		cmocka_unit_test(chunks_of_another_shape_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
