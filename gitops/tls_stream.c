#include "gitops/tls_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <git2/sys/stream.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gitops/base/bytes.h"

struct stream {
	git_stream parent;
	struct stream_context *context;
	char *host, *port;
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	git_cert_x509 certificate;
	unsigned char *der;
};

static _Thread_local struct stream_context *current;

void stream_use(struct stream_context *context)
{
	current = context;
}

/* ---- refusals ---- */

/* The first one counts; libgit2 gets its text too. Always -1. */
static int fail(struct stream_context *context, enum tagseal_error code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static int fail(struct stream_context *context, enum tagseal_error code, const char *format, ...)
{
	va_list args;
	g_autofree char *text = NULL;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	if (context != NULL && context->error == NULL)
		context->error = g_error_new_literal(TAGSEAL_ERROR, code, text);
	git_error_set_str(GIT_ERROR_NET, text);
	return -1;
}

static int too_late(const struct stream *s)
{
	return fail(s->context, TAGSEAL_ERROR_UNAVAILABLE, "%s:%s did not answer in time", s->host, s->port);
}

static const char *tls_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	return reason != NULL ? reason : "connection closed";
}

/* ---- addresses ---- */

/* Private, loopback, link-local, multicast and other networks that are nobody's on the internet. RFC 6890 */
static gboolean is_private_v4(uint32_t a)
{
	static const struct {
		uint32_t net, mask;
	} nets[] = {
		{ 0x00000000, 0xff000000 },
		{ 0x0a000000, 0xff000000 },
		{ 0x64400000, 0xffc00000 },
		{ 0x7f000000, 0xff000000 },
		{ 0xa9fe0000, 0xffff0000 },
		{ 0xac100000, 0xfff00000 },
		{ 0xc0000000, 0xffffff00 },
		{ 0xc0000200, 0xffffff00 },
		{ 0xc0a80000, 0xffff0000 },
		{ 0xc6120000, 0xfffe0000 },
		{ 0xc6336400, 0xffffff00 },
		{ 0xcb007100, 0xffffff00 },
		{ 0xe0000000, 0xe0000000 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(nets); i++) {
		if ((a & nets[i].mask) == nets[i].net)
			return TRUE;
	}
	return FALSE;
}

static uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Only 2000::/3 is routed; in it, what carries an IPv4 address (6to4, NAT64 stands outside) is judged by that one. */
static gboolean is_private_v6(const struct in6_addr *address)
{
	const uint8_t *b = address->s6_addr;

	if (IN6_IS_ADDR_V4MAPPED(address))
		return is_private_v4(be32_at(b + 12));
	if ((b[0] & 0xe0) != 0x20)
		return TRUE;
	if (b[0] == 0x20 && b[1] == 0x02)
		return is_private_v4(be32_at(b + 2));
	return b[0] == 0x20 && b[1] == 0x01 && ((b[2] == 0x0d && b[3] == 0xb8) || b[2] < 0x02);
}

static gboolean is_private(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_private_v4(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6)
		return is_private_v6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
	return TRUE;
}

static gboolean is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
	return address->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* Checked on the very address that is connected to, so that a name that changes its mind wins nothing. */
static gboolean address_allowed(
    struct stream_context *context, const struct addrinfo *address, const char *host, gboolean encrypted)
{
	if (is_private(address->ai_addr) && !context->allow_private) {
		fail(context, TAGSEAL_ERROR_REFUSED,
		    "%s resolves to a private address, which this server may not connect to", host);
		return FALSE;
	}
	if (!encrypted && !context->allow_http && !is_loopback(address->ai_addr)) {
		fail(context, TAGSEAL_ERROR_REFUSED, "plain http to %s is not allowed: use https", host);
		return FALSE;
	}
	return TRUE;
}

static struct addrinfo *resolve(struct stream_context *context, const char *host, const char *port)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list = NULL;
	g_autofree char *name = g_strdup(host);
	int error;

	if (name[0] == '[' && g_str_has_suffix(name, "]")) {
		name[strlen(name) - 1] = '\0';
		memmove(name, name + 1, strlen(name));
	}
	if ((error = getaddrinfo(name, port, &hints, &list)) == 0)
		return list;
	fail(context, TAGSEAL_ERROR_UNAVAILABLE, "%s could not be resolved: %s", host, gai_strerror(error));
	return NULL;
}

gboolean stream_host_allowed(struct stream_context *context, const char *host, const char *port, GError **error)
{
	struct addrinfo *list = resolve(context, host, port);
	gboolean allowed = list != NULL;

	for (const struct addrinfo *at = list; allowed && at != NULL; at = at->ai_next)
		allowed = address_allowed(context, at, host, TRUE);
	if (list != NULL)
		freeaddrinfo(list);
	if (!allowed)
		g_propagate_error(error, g_steal_pointer(&context->error));
	return allowed;
}

/* ---- waiting ---- */

static gboolean wait_for(struct stream *s, short events)
{
	for (;;) {
		int64_t left = s->context->deadline - g_get_monotonic_time() / 1000;
		struct pollfd p = { .fd = s->fd, .events = events };
		int n;

		if (left <= 0) {
			too_late(s);
			return FALSE;
		}
		n = poll(&p, 1, (int)MIN(left, 60 * 1000));
		if (n > 0)
			return TRUE;
		if (n < 0 && errno != EINTR) {
			fail(s->context, TAGSEAL_ERROR_UNAVAILABLE, "%s:%s: %s", s->host, s->port, g_strerror(errno));
			return FALSE;
		}
	}
}

/* After an SSL call that returned `done` <= 0: TRUE to try it again. */
static gboolean wait_for_tls(struct stream *s, int done, const char *doing)
{
	switch (SSL_get_error(s->ssl, done)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(s, POLLIN);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(s, POLLOUT);
	default:
		fail(s->context, TAGSEAL_ERROR_UNAVAILABLE, "%s:%s: TLS %s: %s", s->host, s->port, doing, tls_reason());
		return FALSE;
	}
}

/* ---- connecting ---- */

static gboolean connect_to(struct stream *s, const struct addrinfo *address)
{
	int one = 1, failed = 0;
	socklen_t size = sizeof(failed);

	s->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return FALSE;
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(s->fd, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS)
		return FALSE;
	if (!wait_for(s, POLLOUT))
		return FALSE;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0 || failed != 0) {
		errno = failed;
		return FALSE;
	}
	return TRUE;
}

static gboolean connect_any(struct stream *s)
{
	struct addrinfo *list = resolve(s->context, s->host, s->port);
	gboolean done = FALSE;

	for (const struct addrinfo *at = list; !done && at != NULL && s->context->error == NULL; at = at->ai_next) {
		if (!address_allowed(s->context, at, s->host, s->parent.encrypted))
			break;
		done = connect_to(s, at);
		if (!done && s->fd >= 0) {
			int kept = errno;

			close(s->fd);
			s->fd = -1;
			errno = kept;
		}
	}
	if (list != NULL)
		freeaddrinfo(list);
	if (!done && s->context->error == NULL)
		fail(s->context, TAGSEAL_ERROR_UNAVAILABLE, "%s:%s could not be reached: %s", s->host, s->port,
		    g_strerror(errno));
	return done;
}

/* The certificate must be for this name, or for this address where the URL has one. */
static gboolean expect_host(struct stream *s)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
	struct in6_addr v6;
	struct in_addr v4;

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, s->host, &v4) == 1 || inet_pton(AF_INET6, s->host, &v6) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, s->host) == 1;
	return SSL_set_tlsext_host_name(s->ssl, s->host) == 1 && SSL_set1_host(s->ssl, s->host) == 1;
}

static gboolean prepare_tls(struct stream *s)
{
	const char *ca = s->context->ca_file;

	s->ctx = SSL_CTX_new(TLS_client_method());
	if (s->ctx == NULL || SSL_CTX_set_min_proto_version(s->ctx, TLS1_2_VERSION) != 1) {
		fail(s->context, TAGSEAL_ERROR_FAILED, "TLS could not be set up: %s", tls_reason());
		return FALSE;
	}
	if ((ca != NULL ? SSL_CTX_load_verify_locations(s->ctx, ca, NULL) : SSL_CTX_set_default_verify_paths(s->ctx)) !=
	    1) {
		fail(s->context, TAGSEAL_ERROR_UNKNOWN, "the certificates to trust could not be read from %s: %s",
		    ca != NULL ? ca : "the system's store", tls_reason());
		return FALSE;
	}
	SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, NULL);
	/* Some servers end without a goodbye; git's own framing tells a cut answer. */
	SSL_CTX_set_options(s->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	s->ssl = SSL_new(s->ctx);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1 || !expect_host(s)) {
		fail(s->context, TAGSEAL_ERROR_FAILED, "TLS to %s could not be set up: %s", s->host, tls_reason());
		return FALSE;
	}
	return TRUE;
}

static int handshake(struct stream *s)
{
	int done;

	ERR_clear_error();
	while ((done = SSL_connect(s->ssl)) != 1) {
		long verdict = SSL_get_verify_result(s->ssl);

		if (verdict != X509_V_OK)
			return fail(s->context, TAGSEAL_ERROR_REFUSED, "the certificate of %s:%s is not good: %s",
			    s->host, s->port, X509_verify_cert_error_string(verdict));
		if (!wait_for_tls(s, done, "handshake"))
			return -1;
	}
	return 0;
}

static int stream_connect(git_stream *stream)
{
	struct stream *s = (struct stream *)stream;

	if (!connect_any(s))
		return -1;
	if (!stream->encrypted)
		return 0;
	return prepare_tls(s) ? handshake(s) : -1;
}

/* libgit2 wants to see one, though it was judged already. */
static int stream_certificate(git_cert **out, git_stream *stream)
{
	struct stream *s = (struct stream *)stream;
	X509 *peer = SSL_get0_peer_certificate(s->ssl);
	int size = peer != NULL ? i2d_X509(peer, &s->der) : -1;

	if (size <= 0)
		return fail(s->context, TAGSEAL_ERROR_REFUSED, "%s:%s showed no certificate", s->host, s->port);
	s->certificate.parent.cert_type = GIT_CERT_X509;
	s->certificate.data = s->der;
	s->certificate.len = (size_t)size;
	*out = &s->certificate.parent;
	return 0;
}

/* ---- bytes ---- */

static ssize_t read_some(struct stream *s, void *data, size_t size)
{
	for (;;) {
		if (s->ssl != NULL) {
			int n;

			ERR_clear_error();
			n = SSL_read(s->ssl, data, (int)MIN(size, G_MAXINT));
			if (n > 0 || SSL_get_error(s->ssl, n) == SSL_ERROR_ZERO_RETURN)
				return MAX(n, 0);
			if (!wait_for_tls(s, n, "read"))
				return -1;
		} else {
			ssize_t n = recv(s->fd, data, size, 0);

			if (n >= 0)
				return n;
			if (errno != EAGAIN && errno != EINTR)
				return fail(s->context, TAGSEAL_ERROR_UNAVAILABLE, "%s:%s: %s", s->host, s->port,
				    g_strerror(errno));
			if (!wait_for(s, POLLIN))
				return -1;
		}
	}
}

/* The deadline is looked at even where bytes never stop coming. */
static ssize_t stream_read(git_stream *stream, void *data, size_t size)
{
	struct stream *s = (struct stream *)stream;
	ssize_t n;

	if (g_get_monotonic_time() / 1000 >= s->context->deadline)
		return too_late(s);
	n = read_some(s, data, size);
	if (n > 0 && (uint64_t)n > s->context->bytes_left)
		return fail(s->context, TAGSEAL_ERROR_TOO_LARGE, "%s:%s sent more bytes than one fetch may bring",
		    s->host, s->port);
	if (n > 0)
		s->context->bytes_left -= (uint64_t)n;
	return n;
}

static ssize_t stream_write(git_stream *stream, const char *data, size_t size, int flags)
{
	struct stream *s = (struct stream *)stream;

	(void)flags;
	for (;;) {
		if (s->ssl != NULL) {
			int n;

			ERR_clear_error();
			n = SSL_write(s->ssl, data, (int)MIN(size, G_MAXINT));
			if (n > 0)
				return n;
			if (!wait_for_tls(s, n, "write"))
				return -1;
		} else {
			ssize_t n = send(s->fd, data, size, MSG_NOSIGNAL);

			if (n >= 0)
				return n;
			if (errno != EAGAIN && errno != EINTR)
				return fail(s->context, TAGSEAL_ERROR_UNAVAILABLE, "%s:%s: %s", s->host, s->port,
				    g_strerror(errno));
			if (!wait_for(s, POLLOUT))
				return -1;
		}
	}
}

static int stream_close(git_stream *stream)
{
	struct stream *s = (struct stream *)stream;

	g_clear_pointer(&s->ssl, SSL_free);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	return 0;
}

static void stream_free(git_stream *stream)
{
	struct stream *s = (struct stream *)stream;

	stream_close(stream);
	SSL_CTX_free(s->ctx);
	OPENSSL_free(s->der);
	g_free(s->host);
	g_free(s->port);
	g_free(s);
}

static int stream_new(git_stream **out, const char *host, const char *port, gboolean encrypted)
{
	struct stream *s;

	if (current == NULL)
		return fail(NULL, TAGSEAL_ERROR_FAILED, "a connection to %s without limits is not allowed", host);
	s = g_new0(struct stream, 1);
	s->parent.version = GIT_STREAM_VERSION;
	s->parent.encrypted = encrypted;
	s->parent.connect = stream_connect;
	s->parent.certificate = stream_certificate;
	s->parent.read = stream_read;
	s->parent.write = stream_write;
	s->parent.close = stream_close;
	s->parent.free = stream_free;
	s->context = current;
	s->host = g_strdup(host);
	s->port = g_strdup(port);
	s->fd = -1;
	*out = &s->parent;
	return 0;
}

static int plain_init(git_stream **out, const char *host, const char *port)
{
	return stream_new(out, host, port, FALSE);
}

static int tls_init(git_stream **out, const char *host, const char *port)
{
	return stream_new(out, host, port, TRUE);
}

/* libgit2 asks for one where a proxy stands between; we have no proxies. */
static int no_wrap(git_stream **out, git_stream *in, const char *host)
{
	(void)out;
	(void)in;
	return fail(current, TAGSEAL_ERROR_REFUSED, "%s is not reached through a proxy", host);
}

gboolean stream_register(gboolean ours, GError **error)
{
	git_stream_registration plain = { .version = GIT_STREAM_VERSION, .init = plain_init, .wrap = no_wrap };
	git_stream_registration tls = { .version = GIT_STREAM_VERSION, .init = tls_init, .wrap = no_wrap };

	if (git_stream_register(GIT_STREAM_STANDARD, ours ? &plain : NULL) == 0 &&
	    git_stream_register(GIT_STREAM_TLS, ours ? &tls : NULL) == 0)
		return TRUE;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "libgit2 took no stream of ours: %s",
	    git_error_last()->message);
	return FALSE;
}
