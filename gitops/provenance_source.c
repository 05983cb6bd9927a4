/*
 * Where a source stands. Statements write it as SPDX does (git+https://host/path@ref), BuildKit as git does
 * (https://host/path.git#ref); projects as a clone URL.   SPDX 2.3, 7.7; SLSA v1, ResourceDescriptor
 */
#include "gitops/provenance_private.h"

#include <string.h>

struct place {
	char *url, *ref; /* ref NULL: none named */
};

static void place_clear(struct place *place)
{
	g_free(place->url);
	g_free(place->ref);
}

/* The end of a path carries no meaning: /, .git */
static void trim(char *path)
{
	size_t size = strlen(path);

	while (size > 0 && path[size - 1] == '/')
		path[--size] = '\0';
	if (g_str_has_suffix(path, ".git") && size > strlen(".git") && path[size - strlen("/.git")] != '/')
		path[size - strlen(".git")] = '\0';
}

static gboolean is_default_port(const char *scheme, const char *port)
{
	static const char *const ports[][2] = { { "https", "443" }, { "http", "80" }, { "ssh", "22" }, { "git", "9418" } };

	for (guint i = 0; i < G_N_ELEMENTS(ports); i++)
		if (g_str_equal(scheme, ports[i][0]) && g_str_equal(port, ports[i][1]))
			return TRUE;
	return *port == '\0';
}

/* "user@HOST:443" to "user@host". */
static char *authority_of(const char *scheme, const char *text)
{
	const char *user = strrchr(text, '@');
	g_autofree char *host = g_ascii_strdown(user != NULL ? user + 1 : text, -1);
	char *port = strrchr(host, ':');

	if (port != NULL && strchr(port, ']') == NULL && is_default_port(scheme, port + 1))
		*port = '\0';
	return g_strdup_printf("%.*s%s", user != NULL ? (int)(user + 1 - text) : 0, text, host);
}

/* @ref as SPDX has it, or #ref:folder as git and BuildKit; the first of the two marks begins it. */
static char *cut_ref(char *path)
{
	char *mark = path + strcspn(path, "@#");
	gboolean is_git = *mark == '#';
	char *ref;

	if (*mark == '\0')
		return NULL;
	*mark = '\0';
	ref = g_strndup(mark + 1, is_git ? strcspn(mark + 1, ":") : strlen(mark + 1));
	return ref;
}

static struct place place_read(const char *uri)
{
	struct place place = { 0 };
	const char *text = g_str_has_prefix(uri, "git+") ? uri + strlen("git+") : uri;
	const char *authority = strstr(text, "://"), *path;
	g_autofree char *scheme = NULL, *raw = NULL, *host = NULL, *rest = NULL;

	if (authority == NULL) { /* a folder, or git's own user@host:path: as it stands */
		place.url = g_strdup(text);
		trim(place.url);
		return place;
	}
	path = authority + 3 + strcspn(authority + 3, "/");
	scheme = g_ascii_strdown(text, authority - text);
	raw = g_strndup(authority + 3, (size_t)(path - authority - 3));
	host = authority_of(scheme, raw);
	rest = g_strdup(path);
	place.ref = cut_ref(rest);
	trim(rest);
	place.url = g_strconcat(scheme, "://", host, rest, NULL);
	return place;
}

enum source_match source_match(const char *uri, const char *wanted)
{
	struct place there = place_read(uri), here = place_read(wanted);
	enum source_match match = SOURCE_OTHER;

	if (g_str_equal(there.url, here.url)) {
		if (here.ref == NULL || g_strcmp0(there.ref, here.ref) == 0)
			match = SOURCE_FOUND;
		else if (there.ref == NULL)
			match = SOURCE_WITHOUT_REF;
	}
	place_clear(&there);
	place_clear(&here);
	return match;
}

gboolean source_holds(const char *wanted, const char *uri)
{
	struct place place = place_read(wanted);
	gboolean inside = g_str_has_prefix(uri, place.url) && uri[strlen(place.url)] == '/';

	place_clear(&place);
	return inside;
}
