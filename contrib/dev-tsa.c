/*
 * A small RFC 3161 timestamp authority for demos, tests and closed networks: HTTP on loopback, one certificate, this machine's
 * clock. Not for release stamps: its key lies in a file, and nobody outside knows its root.
 *
 *   dev-tsa --certificate tsa.pem --key tsa.key [--chain issuers.pem] [--port N | --socket PATH]
 *
 * Prints "listening on http://127.0.0.1:PORT/" once it answers. Port 0 (the default) takes a free one.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <glib.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ts.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define QUERY_MAX (64 * 1024)
#define POLICY "1.3.6.1.4.1.55555.1.1" /* of this program's own making: no promise is bound to it */

struct authority {
	X509 *certificate;
	EVP_PKEY *key;
	STACK_OF(X509) * chain;
};

static int die(const char *what, const char *of)
{
	fprintf(stderr, "dev-tsa: %s %s\n", what, of);
	return 3;
}

static ASN1_INTEGER *make_serial(TS_RESP_CTX *context, void *data G_GNUC_UNUSED)
{
	ASN1_INTEGER *serial = ASN1_INTEGER_new();
	uint64_t number;

	if (RAND_bytes((uint8_t *)&number, sizeof(number)) == 1 && ASN1_INTEGER_set_uint64(serial, number >> 1) == 1)
		return serial;
	TS_RESP_CTX_set_status_info(context, TS_STATUS_REJECTION, "no serial number");
	ASN1_INTEGER_free(serial);
	return NULL;
}

/* A context a query: it keeps the query that it answers. */
static TS_RESP_CTX *context_new(const struct authority *a)
{
	TS_RESP_CTX *context = TS_RESP_CTX_new();
	ASN1_OBJECT *policy = OBJ_txt2obj(POLICY, TRUE);
	const EVP_MD *hashes[] = { EVP_sha256(), EVP_sha384(), EVP_sha512() };
	gboolean good =
	    TS_RESP_CTX_set_signer_cert(context, a->certificate) == 1 &&
	    TS_RESP_CTX_set_signer_key(context, a->key) == 1 && TS_RESP_CTX_set_certs(context, a->chain) == 1 &&
	    TS_RESP_CTX_set_signer_digest(context, EVP_sha256()) == 1 &&
	    TS_RESP_CTX_set_ess_cert_id_digest(context, EVP_sha256()) == 1 &&
	    TS_RESP_CTX_set_def_policy(context, policy) == 1 && TS_RESP_CTX_set_accuracy(context, 1, 0, 0) == 1;

	for (guint i = 0; i < G_N_ELEMENTS(hashes); i++)
		good = good && TS_RESP_CTX_add_md(context, hashes[i]) == 1;
	TS_RESP_CTX_set_serial_cb(context, make_serial, NULL);
	ASN1_OBJECT_free(policy);
	if (good)
		return context;
	TS_RESP_CTX_free(context);
	return NULL;
}

/* The DER of the answer, or NULL: then there is none, not even a refusal. */
static uint8_t *answer(const struct authority *a, struct evbuffer *query, int *size)
{
	size_t length = evbuffer_get_length(query);
	BIO *bio = BIO_new_mem_buf(evbuffer_pullup(query, -1), length);
	TS_RESP_CTX *context = context_new(a);
	TS_RESP *response = context != NULL ? TS_RESP_create_response(context, bio) : NULL;
	uint8_t *der = NULL;

	*size = response != NULL ? i2d_TS_RESP(response, &der) : -1;
	TS_RESP_free(response);
	TS_RESP_CTX_free(context);
	BIO_free(bio);
	ERR_clear_error();
	return *size > 0 ? der : NULL;
}

static void serve(struct evhttp_request *request, void *data)
{
	const char *type = evhttp_find_header(evhttp_request_get_input_headers(request), "Content-Type");
	struct evbuffer *body;
	uint8_t *der;
	int size;

	if (evhttp_request_get_command(request) != EVHTTP_REQ_POST) {
		evhttp_send_error(request, 405, "Post a timestamp query");
		return;
	}
	if (type == NULL || g_ascii_strcasecmp(type, "application/timestamp-query") != 0) {
		evhttp_send_error(request, 415, "Content-Type is application/timestamp-query");
		return;
	}
	der = answer(data, evhttp_request_get_input_buffer(request), &size);
	if (der == NULL) {
		evhttp_send_error(request, 500, "No answer could be made");
		return;
	}
	body = evbuffer_new();
	evbuffer_add(body, der, size);
	OPENSSL_free(der);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "application/timestamp-reply");
	evhttp_send_reply(request, 200, "OK", body);
	evbuffer_free(body);
}

static gboolean load(struct authority *a, const char *certificate, const char *key, const char *chain)
{
	BIO *bio = BIO_new_file(certificate, "r");
	X509 *x;

	a->certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	bio = BIO_new_file(key, "r");
	a->key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	if (a->certificate == NULL || a->key == NULL || X509_check_private_key(a->certificate, a->key) != 1)
		return FALSE;
	if (chain == NULL)
		return TRUE;
	a->chain = sk_X509_new_null();
	bio = BIO_new_file(chain, "r");
	while (bio != NULL && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		sk_X509_push(a->chain, x);
	BIO_free(bio);
	ERR_clear_error();
	return sk_X509_num(a->chain) > 0;
}

static gboolean listen_on_port(struct evhttp *http, int port)
{
	struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", port);
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	if (bound == NULL || getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &size) != 0)
		return FALSE;
	printf("listening on http://127.0.0.1:%u/\n", ntohs(address.sin_port));
	return TRUE;
}

static gboolean listen_on_socket(struct evhttp *http, struct event_base *base, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct evconnlistener *listener;

	if (strlen(path) >= sizeof(address.sun_path))
		return FALSE;
	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	unlink(path);
	listener = evconnlistener_new_bind(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 16,
	    (struct sockaddr *)&address, sizeof(address));
	if (listener == NULL || evhttp_bind_listener(http, listener) == NULL)
		return FALSE;
	printf("listening on unix:%s\n", path);
	return TRUE;
}

static void stop(evutil_socket_t number G_GNUC_UNUSED, short what G_GNUC_UNUSED, void *base)
{
	event_base_loopbreak(base);
}

static int run(struct authority *a, int port, const char *socket_path)
{
	struct event_base *base = event_base_new();
	struct evhttp *http = evhttp_new(base);
	struct event *term = evsignal_new(base, SIGTERM, stop, base), *interrupt = evsignal_new(base, SIGINT, stop, base);
	gboolean listening;

	evhttp_set_max_body_size(http, QUERY_MAX);
	evhttp_set_timeout(http, 10);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_POST | EVHTTP_REQ_GET);
	evhttp_set_gencb(http, serve, a);
	event_add(term, NULL);
	event_add(interrupt, NULL);
	listening = socket_path != NULL ? listen_on_socket(http, base, socket_path) : listen_on_port(http, port);
	fflush(stdout);
	if (listening)
		event_base_dispatch(base);
	event_free(term);
	event_free(interrupt);
	evhttp_free(http);
	event_base_free(base);
	return listening ? 0 : die("cannot listen:", g_strerror(errno));
}

int main(int argc, char **argv)
{
	struct authority authority = { 0 };
	g_autofree char *certificate = NULL, *key = NULL, *chain = NULL, *socket_path = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GOptionContext) options = g_option_context_new("- a timestamp authority for tests");
	int port = 0, status;
	const GOptionEntry entries[] = {
		{ "port", 0, 0, G_OPTION_ARG_INT, &port, "TCP port on 127.0.0.1 (0: a free one)", "N" },
		{ "socket", 0, 0, G_OPTION_ARG_FILENAME, &socket_path, "Listen on this UNIX socket instead", "PATH" },
		{ "certificate", 0, 0, G_OPTION_ARG_FILENAME, &certificate, "PEM, critical timeStamping usage", "FILE" },
		{ "key", 0, 0, G_OPTION_ARG_FILENAME, &key, "PEM", "FILE" },
		{ "chain", 0, 0, G_OPTION_ARG_FILENAME, &chain, "Issuers to send along (PEM)", "FILE" },
		G_OPTION_ENTRY_NULL,
	};

	g_option_context_add_main_entries(options, entries, NULL);
	if (!g_option_context_parse(options, &argc, &argv, &error) || certificate == NULL || key == NULL) {
		die(error != NULL ? error->message : "--certificate and --key are needed;", "see --help");
		return 2;
	}
	if (load(&authority, certificate, key, chain))
		status = run(&authority, port, socket_path);
	else
		status = die("cannot read certificate, key or chain, or they do not belong together:", certificate);
	X509_free(authority.certificate);
	EVP_PKEY_free(authority.key);
	sk_X509_pop_free(authority.chain, X509_free);
	return status;
}
