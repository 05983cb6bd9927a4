#include "gitops/transport.h"

#include <signal.h>
#include <string.h>

#include "gitops/base/bytes.h"

#define KNOWN_HOSTS_MAX (1024 * 1024)
#define PACK_OBJECTS_MOST 50000000

/* No configuration but a repository's own: not the system's, not a user's. */
static gboolean set_up(void)
{
	static const int levels[] = { GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG,
		GIT_CONFIG_LEVEL_GLOBAL };

	for (guint i = 0; i < G_N_ELEMENTS(levels); i++) {
		if (git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "") != 0)
			return FALSE;
	}
	return git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0) == 0 &&
	       git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1) == 0 &&
	       git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1) == 0 &&
	       git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS, (size_t)PACK_OBJECTS_MOST) == 0;
}

gboolean mirror_init(GError **error)
{
	static gboolean done;
	struct sigaction pipe;

	if (done)
		return TRUE;
	if (git_libgit2_init() < 0 || !set_up()) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "libgit2 could not be set up: %s",
		    git_error_last()->message);
		return FALSE;
	}
	/* OpenSSL writes to sockets without MSG_NOSIGNAL: a peer that hangs up must not end us. */
	if (sigaction(SIGPIPE, NULL, &pipe) == 0 && pipe.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
	done = stream_register(TRUE, error);
	return done;
}

/* ---- URLs ---- */

static gboolean refuse_url(const char *url, const char *rule, GError **error)
{
	g_autofree char *shown = text_escape(url, -1, 200);

	error_refused(error, "\"%s\" is no source that may be used: %s", shown, rule);
	return FALSE;
}

/* user@host:path, as ssh and git write it. */
static gboolean take_scp(struct transport *t, const char *url, GError **error)
{
	const char *at = strchr(url, '@'), *colon = strchr(url, ':'), *slash = strchr(url, '/');

	if (at == NULL || colon == NULL || colon < at || at == url || colon == at + 1 || (slash != NULL && slash < colon))
		return refuse_url(url, "use https://, ssh://, USER@HOST:PATH, file:// or an absolute path", error);
	t->is_ssh = TRUE;
	t->user = g_strndup(url, (gsize)(at - url));
	t->host = g_strndup(at + 1, (gsize)(colon - at - 1));
	t->port = g_strdup("22");
	return TRUE;
}

static gboolean take_uri(struct transport *t, const char *url, GError **error)
{
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_ENCODED, error);
	const char *scheme;
	int port;

	if (uri == NULL) {
		g_clear_error(error);
		return refuse_url(url, "it cannot be parsed", error);
	}
	scheme = g_uri_get_scheme(uri);
	t->is_ssh = g_str_equal(scheme, "ssh");
	if (g_str_equal(scheme, "file"))
		return TRUE;
	if (!t->is_ssh && !g_str_equal(scheme, "https") && !g_str_equal(scheme, "http"))
		return refuse_url(url, "use https://, ssh://, USER@HOST:PATH, file:// or an absolute path", error);
	if (g_uri_get_password(uri) != NULL || (g_uri_get_user(uri) != NULL && !t->is_ssh))
		return refuse_url(url, "credentials belong into the configuration, not into the URL", error);
	if (g_uri_get_host(uri) == NULL || *g_uri_get_host(uri) == '\0' || *g_uri_get_host(uri) == '-')
		return refuse_url(url, "it names no host", error);
	port = g_uri_get_port(uri);
	t->user = g_strdup(g_uri_get_user(uri));
	t->host = g_strdup(g_uri_get_host(uri));
	t->port = g_strdup_printf("%d", port > 0 ? port : t->is_ssh ? 22 : g_str_equal(scheme, "https") ? 443 : 80);
	return TRUE;
}

static gboolean take_url(struct transport *t, const char *url, GError **error)
{
	if (!text_is_clean(url, strlen(url)) || strlen(url) > 2000)
		return refuse_url(url, "it must be one line of at most 2000 bytes", error);
	t->url = g_strdup(url);
	if (*url == '/')
		return TRUE;
	return strstr(url, "://") != NULL ? take_uri(t, url, error) : take_scp(t, url, error);
}

gboolean transport_begin(struct transport *t, const char *url, const struct mirror_limits *limits, GError **error)
{
	memset(t, 0, sizeof(*t));
	t->limits = limits;
	t->stream = (struct stream_context){
		.deadline = g_get_monotonic_time() / 1000 + limits->deadline_ms,
		.bytes_left = limits->max_bytes,
		.ca_file = limits->ca_file,
		.allow_private = limits->allow_private,
		.allow_http = limits->allow_http,
	};
	if (!mirror_init(error) || !take_url(t, url, error))
		return FALSE;
	/* libgit2's ssh transport looks inside its own stream, so it must have that one. */
	if (t->is_ssh && (!stream_host_allowed(&t->stream, t->host, t->port, error) || !stream_register(FALSE, error)))
		return FALSE;
	stream_use(&t->stream);
	return TRUE;
}

void transport_end(struct transport *t)
{
	stream_use(NULL);
	if (t->is_ssh)
		stream_register(TRUE, NULL); /* the same call succeeded before */
	g_clear_error(&t->stream.error);
	g_clear_pointer(&t->url, g_free);
	g_clear_pointer(&t->user, g_free);
	g_clear_pointer(&t->host, g_free);
	g_clear_pointer(&t->port, g_free);
}

gboolean transport_failed(struct transport *t, const char *doing, GError **error)
{
	const git_error *last = git_error_last();
	g_autofree char *shown = text_escape(t->url, -1, 200);

	if (t->stream.error != NULL) {
		g_propagate_prefixed_error(error, g_steal_pointer(&t->stream.error), "%s: ", shown);
		return FALSE;
	}
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s could not be %s: %s", shown, doing,
	    last != NULL ? last->message : "unknown reason");
	return FALSE;
}

/* Without looking for url.*.insteadOf: it could send us elsewhere, and libgit2 leaks memory at every look. */
gboolean transport_remote(struct transport *t, git_repository *repository, git_remote **remote, GError **error)
{
	git_remote_create_options options = GIT_REMOTE_CREATE_OPTIONS_INIT;

	options.repository = repository;
	options.flags = GIT_REMOTE_CREATE_SKIP_INSTEADOF | GIT_REMOTE_CREATE_SKIP_DEFAULT_FETCHSPEC;
	return git_remote_create_with_opts(remote, t->url, &options) == 0 || transport_failed(t, "used", error);
}

/* ---- callbacks ---- */

static int stop(struct transport *t, enum tagseal_error code, const char *sentence)
{
	if (t->stream.error == NULL)
		t->stream.error = g_error_new_literal(TAGSEAL_ERROR, code, sentence);
	git_error_set_str(GIT_ERROR_CALLBACK, sentence);
	return GIT_EUSER;
}

/* Asked again after each refusal, so only so often. */
static int credentials(git_credential **out, const char *url, const char *user, unsigned allowed, void *data)
{
	struct transport *t = data;
	const struct mirror_limits *limits = t->limits;
	const char *name = t->user != NULL        ? t->user
			   : user != NULL         ? user
			   : limits->user != NULL ? limits->user
						  : "git";

	(void)url;
	if (t->asked++ >= 3)
		return stop(t, TAGSEAL_ERROR_UNAVAILABLE, "the remote does not take our credentials");
	if ((allowed & GIT_CREDENTIAL_USERNAME) != 0)
		return git_credential_username_new(out, name);
	if ((allowed & GIT_CREDENTIAL_SSH_KEY) != 0 && t->is_ssh && limits->ssh_key_file != NULL)
		return git_credential_ssh_key_new(out, name, NULL, limits->ssh_key_file, NULL);
	if ((allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT) != 0 && !t->is_ssh && limits->password != NULL)
		return git_credential_userpass_plaintext_new(
		    out, limits->user != NULL ? limits->user : "git", limits->password);
	return stop(t, TAGSEAL_ERROR_UNAVAILABLE, "the remote wants credentials, and none are configured for it");
}

/* Does one line of known_hosts name this host ("host", "[host]:port", in a list) with this very key? */
static gboolean line_knows(const char *line, const char *host, const char *port, const git_cert_hostkey *key)
{
	g_auto(GStrv) words = g_strsplit_set(line, " \t", 4);
	g_auto(GStrv) hosts = NULL;
	g_autoptr(GBytes) bytes = NULL;
	g_autofree char *with_port = g_strdup_printf("[%s]:%s", host, port);
	gsize size;
	const void *raw;

	if (g_strv_length(words) < 3 || *words[0] == '#' || *words[0] == '@')
		return FALSE;
	hosts = g_strsplit(words[0], ",", -1);
	if (!g_strv_contains((const char *const *)hosts, with_port) &&
	    !(g_str_equal(port, "22") && g_strv_contains((const char *const *)hosts, host)))
		return FALSE;
	if ((bytes = base64_decode_strict(words[2], strlen(words[2]), FALSE)) == NULL)
		return FALSE;
	raw = g_bytes_get_data(bytes, &size);
	return size == key->hostkey_len && memcmp(raw, key->hostkey, size) == 0;
}

static int check_host_key(struct transport *t, const git_cert_hostkey *key)
{
	g_autoptr(GBytes) bytes = NULL;
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;

	if (t->limits->ssh_known_hosts_file == NULL || (key->type & GIT_CERT_SSH_RAW) == 0)
		return stop(
		    t, TAGSEAL_ERROR_REFUSED, "the host's ssh key cannot be judged: no known_hosts file is configured");
	if ((bytes = file_read(t->limits->ssh_known_hosts_file, KNOWN_HOSTS_MAX, NULL)) == NULL)
		return stop(t, TAGSEAL_ERROR_UNKNOWN, "the configured known_hosts file cannot be read");
	text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	lines = g_strsplit(text, "\n", -1);
	for (guint i = 0; lines[i] != NULL; i++) {
		if (line_knows(g_strstrip(lines[i]), t->host, t->port, key))
			return 0;
	}
	return stop(t,
	    TAGSEAL_ERROR_REFUSED, "the host's ssh key does not stand in the configured known_hosts file (unhashed names; ssh-keyscan HOST writes them)");
}

/* Never a positive number: libgit2 takes that for a yes. */
static int certificate(git_cert *cert, int valid, const char *host, void *data)
{
	struct transport *t = data;

	(void)host;
	if (cert->cert_type == GIT_CERT_HOSTKEY_LIBSSH2)
		return t->is_ssh ? check_host_key(t, (const git_cert_hostkey *)(const void *)cert) : GIT_ECERTIFICATE;
	return valid && !t->is_ssh ? 0 : GIT_ECERTIFICATE;
}

static int progress(const git_indexer_progress *stats, void *data)
{
	struct transport *t = data;

	if (g_get_monotonic_time() / 1000 >= t->stream.deadline)
		return stop(t, TAGSEAL_ERROR_UNAVAILABLE, "the transfer took too long");
	if (stats->total_objects > t->limits->max_objects)
		return stop(t, TAGSEAL_ERROR_TOO_LARGE, "it has more objects than one fetch may bring");
	if (stats->received_bytes > t->limits->max_bytes)
		return stop(t, TAGSEAL_ERROR_TOO_LARGE, "it has more bytes than one fetch may bring");
	return 0;
}

static int sideband(const char *text, int size, void *data)
{
	struct transport *t = data;

	(void)text;
	(void)size;
	return g_get_monotonic_time() / 1000 >= t->stream.deadline
		   ? stop(t, TAGSEAL_ERROR_UNAVAILABLE, "the transfer took too long")
		   : 0;
}

void transport_callbacks(struct transport *t, git_remote_callbacks *callbacks)
{
	callbacks->credentials = credentials;
	callbacks->certificate_check = certificate;
	callbacks->transfer_progress = progress;
	callbacks->sideband_progress = sideband;
	callbacks->payload = t;
}
