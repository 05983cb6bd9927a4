/*
 * The exchange with a timestamp authority, for commands. libcurl is loaded when it is first needed: with all that it brings it
 * would triple the time in which `tagseal` starts.
 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <string.h>

#include "signer/timestamp.h"

#define RESPONSE_MAX (1024 * 1024)

struct curl_functions {
	CURL *(*init)(void);
	CURLcode (*set)(CURL *, CURLoption, ...);
	CURLcode (*perform)(CURL *);
	CURLcode (*info)(CURL *, CURLINFO, ...);
	void (*cleanup)(CURL *);
	const char *(*reason)(CURLcode);
	struct curl_slist *(*add)(struct curl_slist *, const char *);
	void (*drop)(struct curl_slist *);
};

static gboolean load(struct curl_functions *curl, GError **error)
{
	static const struct {
		const char *name;
		size_t offset;
	} symbols[] = {
		{ "curl_easy_init", offsetof(struct curl_functions, init) },
		{ "curl_easy_setopt", offsetof(struct curl_functions, set) },
		{ "curl_easy_perform", offsetof(struct curl_functions, perform) },
		{ "curl_easy_getinfo", offsetof(struct curl_functions, info) },
		{ "curl_easy_cleanup", offsetof(struct curl_functions, cleanup) },
		{ "curl_easy_strerror", offsetof(struct curl_functions, reason) },
		{ "curl_slist_append", offsetof(struct curl_functions, add) },
		{ "curl_slist_free_all", offsetof(struct curl_functions, drop) },
	};
	void *library = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL); /* stays for the life of the process */

	for (guint i = 0; i < G_N_ELEMENTS(symbols); i++) {
		void *symbol = library != NULL ? dlsym(library, symbols[i].name) : NULL;
		if (symbol == NULL) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
			    "timestamps are fetched by libcurl, which cannot be loaded: %s", dlerror());
			return FALSE;
		}
		memcpy((char *)curl + symbols[i].offset, &symbol, sizeof(symbol));
	}
	return TRUE;
}

static size_t take_body(const void *data, size_t size, size_t count, void *body)
{
	GByteArray *bytes = body;

	if (bytes->len + size * count > RESPONSE_MAX)
		return 0;
	g_byte_array_append(bytes, data, size * count);
	return size * count;
}

static void set_up(const struct curl_functions *curl, CURL *handle, const char *url, GBytes *query, GByteArray *body,
    struct curl_slist *headers)
{
	curl->set(handle, CURLOPT_URL, url);
	curl->set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
	curl->set(handle, CURLOPT_FOLLOWLOCATION, 0L);
	curl->set(handle, CURLOPT_NOSIGNAL, 1L);
	curl->set(handle, CURLOPT_CONNECTTIMEOUT, 10L);
	curl->set(handle, CURLOPT_TIMEOUT, 30L);
	curl->set(handle, CURLOPT_HTTPHEADER, headers);
	curl->set(handle, CURLOPT_POSTFIELDSIZE, (long)g_bytes_get_size(query));
	curl->set(handle, CURLOPT_POSTFIELDS, g_bytes_get_data(query, NULL));
	curl->set(handle, CURLOPT_WRITEFUNCTION, take_body);
	curl->set(handle, CURLOPT_WRITEDATA, body);
}

static gboolean judge(const struct curl_functions *curl, CURL *handle, CURLcode code, const char *url, GError **error)
{
	const char *type = NULL;
	long status = 0;

	curl->info(handle, CURLINFO_RESPONSE_CODE, &status);
	curl->info(handle, CURLINFO_CONTENT_TYPE, &type);
	if (code != CURLE_OK)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "the timestamp authority %s did not answer: %s", url, curl->reason(code));
	else if (status != 200)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "the timestamp authority %s answered with HTTP status %ld", url, status);
	else if (type == NULL || g_ascii_strncasecmp(type, "application/timestamp-reply", 27) != 0)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "%s did not answer as a timestamp authority does (application/timestamp-reply)", url);
	else
		return TRUE;
	return FALSE;
}

GBytes *timestamp_fetch(const char *url, GBytes *query, GError **error)
{
	struct curl_functions curl;
	g_autoptr(GByteArray) body = g_byte_array_new();
	struct curl_slist *headers;
	gboolean good;
	CURL *handle;

	if (!load(&curl, error))
		return NULL;
	handle = curl.init();
	headers = curl.add(NULL, "Content-Type: application/timestamp-query");
	set_up(&curl, handle, url, query, body, headers);
	good = judge(&curl, handle, curl.perform(handle), url, error);
	curl.drop(headers);
	curl.cleanup(handle);
	return good ? g_byte_array_free_to_bytes(g_steal_pointer(&body)) : NULL;
}
