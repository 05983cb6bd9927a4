#include <arpa/inet.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/courier.h"

#define URL_MAX 2048

void address_free(struct address *address)
{
	if (address == NULL)
		return;
	g_free(address->scheme);
	g_free(address->host);
	g_free(address->path);
	g_free(address->shown);
	g_free(address);
}

struct range {
	const char *network;
	int bits;
};

/* IANA's special-purpose address registries, and multicast. */
static const struct range ranges4[] = { { "0.0.0.0", 8 }, { "10.0.0.0", 8 }, { "100.64.0.0", 10 }, { "127.0.0.0", 8 },
	{ "169.254.0.0", 16 }, { "172.16.0.0", 12 }, { "192.0.0.0", 24 }, { "192.0.2.0", 24 }, { "192.88.99.0", 24 },
	{ "192.168.0.0", 16 }, { "198.18.0.0", 15 }, { "198.51.100.0", 24 }, { "203.0.113.0", 24 }, { "224.0.0.0", 3 } };
/* Of IPv6 only 2000::/3 is given out; within it these are not, or hide an IPv4 address. */
static const struct range ranges6[] = { { "2001::", 23 }, { "2001:db8::", 32 }, { "2002::", 16 }, { "3fff::", 20 } };

static gboolean starts_with(const uint8_t *address, const uint8_t *network, int bits)
{
	int bytes = bits / 8, rest = bits % 8;
	uint8_t mask = rest == 0 ? 0 : 0xff << (8 - rest);

	return memcmp(address, network, bytes) == 0 && (rest == 0 || (address[bytes] & mask) == (network[bytes] & mask));
}

static gboolean in_ranges(int family, const uint8_t *address, const struct range *ranges, guint count)
{
	uint8_t network[16];

	for (guint i = 0; i < count; i++)
		if (inet_pton(family, ranges[i].network, network) == 1 && starts_with(address, network, ranges[i].bits))
			return TRUE;
	return FALSE;
}

gboolean address_is_public(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
		return !in_ranges(AF_INET, (const uint8_t *)&in->sin_addr, ranges4, G_N_ELEMENTS(ranges4));
	}
	if (address->sa_family == AF_INET6) {
		const uint8_t *in = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
		return (in[0] & 0xe0) == 0x20 && !in_ranges(AF_INET6, in, ranges6, G_N_ELEMENTS(ranges6));
	}
	return FALSE;
}

static char *url_part(CURLU *url, CURLUPart part, unsigned int flags)
{
	char *text = NULL, *copy;

	if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
		return NULL;
	copy = g_strdup(text);
	curl_free(text);
	return copy;
}

static gboolean is_listed(char **list, const char *host)
{
	for (; list != NULL && *list != NULL; list++)
		if (g_ascii_strcasecmp(*list, host) == 0)
			return TRUE;
	return FALSE;
}

static gboolean is_loopback(const char *host)
{
	return g_strv_contains((const char *const[]){ "localhost", "127.0.0.1", "[::1]", NULL }, host);
}

/* Scheme, host and path alone: queries hold tokens. */
static char *shown(const struct address *a, CURLU *url)
{
	g_autofree char *port = url_part(url, CURLUPART_PORT, 0), *path = url_part(url, CURLUPART_PATH, 0);
	g_autofree char *text = g_strdup_printf("%s://%s%s%s%s", a->scheme, a->host == NULL ? "" : a->host,
	    port == NULL ? "" : ":", port == NULL ? "" : port, path == NULL ? "" : path);

	return text_escape(text, -1, 300);
}

static gboolean check(const struct config *config, const struct address *a, CURLU *url, GError **error)
{
	g_autofree char *user = url_part(url, CURLUPART_USER, 0), *password = url_part(url, CURLUPART_PASSWORD, 0);

	if (user != NULL || password != NULL) {
		error_refused(error, "%s: an address with a user name or a password in it is not taken", a->shown);
		return FALSE;
	}
	if (strcmp(a->scheme, "file") == 0 && (a->host == NULL || *a->host == '\0') && a->path != NULL)
		return TRUE;
	if (strcmp(a->scheme, "https") == 0)
		return TRUE;
	if (strcmp(a->scheme, "http") == 0 && (is_loopback(a->host) || is_listed(config->fetch_http_hosts, a->host)))
		return TRUE;
	if (strcmp(a->scheme, "http") == 0)
		error_refused(error,
		    "%s: artifacts are fetched over https; plain http needs the host \"%s\" in artifacts.http_hosts",
		    a->shown, a->host);
	else
		error_refused(error,
		    "%s: artifacts are fetched from https: addresses, and file: ones below artifacts.folders", a->shown);
	return FALSE;
}

struct address *address_parse(const struct config *config, const char *text, GError **error)
{
	autoptr(address) a = g_new0(struct address, 1);
	CURLU *url = curl_url();
	gboolean parsed;

	parsed = strlen(text) <= URL_MAX &&
		 curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
		 (a->scheme = url_part(url, CURLUPART_SCHEME, 0)) != NULL;
	if (!parsed) {
		g_autofree char *start = text_escape(text, strcspn(text, "?@"), 200);
		error_refused(
		    error, "\"%s\" is not an address that artifacts can be fetched from (https://host/path)", start);
	} else {
		a->host = url_part(url, CURLUPART_HOST, 0);
		a->path = strcmp(a->scheme, "file") == 0 ? url_part(url, CURLUPART_PATH, CURLU_URLDECODE) : NULL;
		a->shown = shown(a, url);
		parsed = check(config, a, url, error);
	}
	curl_url_cleanup(url);
	return parsed ? g_steal_pointer(&a) : NULL;
}
