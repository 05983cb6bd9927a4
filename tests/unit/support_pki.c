#include "tests/unit/support_pki.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#define DAY (24 * 3600)

struct pki pki;

static EVP_PKEY *make_key(const char *kind)
{
	if (g_str_equal(kind, "rsa3072"))
		return EVP_RSA_gen(3072);
	return EVP_EC_gen(g_str_equal(kind, "p384") ? "P-384" : "P-256");
}

static void add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	g_assert_nonnull(extension);
	X509_add_ext(x, extension, -1);
	X509_EXTENSION_free(extension);
}

struct pki_identity pki_make(const struct pki_wish *wish)
{
	static long serial = 0x1001;
	struct pki_identity made = { make_key(wish->kind), X509_new() };
	X509 *x = made.certificate;
	gboolean dated = wish->from_days != 0 || wish->to_days != 0;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), (dated ? wish->from_days : -1) * DAY);
	X509_gmtime_adj(X509_getm_notAfter(x), (dated ? wish->to_days : 3650) * DAY);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const uint8_t *)wish->name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(wish->issuer != NULL ? wish->issuer->certificate : x));
	X509_set_pubkey(x, made.key);
	add_extension(x, NID_subject_key_identifier, "hash");
	if (wish->usage == NULL) {
		add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
		add_extension(x, NID_key_usage, "critical,keyCertSign,cRLSign");
	} else {
		add_extension(x, NID_basic_constraints, "critical,CA:FALSE");
		add_extension(x, NID_key_usage, "critical,digitalSignature");
		add_extension(x, NID_ext_key_usage, wish->usage);
	}
	X509_sign(x, wish->issuer != NULL ? wish->issuer->key : made.key, EVP_sha256());
	return made;
}

void pki_drop(struct pki_identity *identity)
{
	EVP_PKEY_free(identity->key);
	X509_free(identity->certificate);
}

static struct pki_identity make(const char *name, const char *kind, const char *usage,
    const struct pki_identity *issuer, int64_t from_days, int64_t to_days)
{
	struct pki_wish wish = { name, kind, usage, issuer, from_days, to_days };

	return pki_make(&wish);
}

int pki_begin(void **state G_GNUC_UNUSED)
{
	const struct pki_identity *root = &pki.root, *stamp_root = &pki.stamp_root;

	support_isolate();
	pki.root = make("Root", "p256", NULL, NULL, -2000, 3000);
	pki.rsa = make("Acme RSA", "rsa3072", "codeSigning", root, 0, 0);
	pki.p256 = make("Acme P-256", "p256", "codeSigning", root, 0, 0);
	pki.p384 = make("Acme P-384", "p384", "codeSigning", root, 0, 0);
	pki.expired = make("Acme of old", "p256", "codeSigning", root, -400, -30);
	pki.mail = make("Acme mail", "p256", "emailProtection", root, 0, 0);
	pki.stamp_root = make("Stamp root", "p256", NULL, NULL, -2000, 3000);
	pki.stamper = make("Stamps", "p256", "critical,timeStamping", stamp_root, -1000, 1000);
	pki.lax_stamper = make("Lax stamps", "p256", "timeStamping", stamp_root, -1000, 1000);
	return 0;
}

int pki_end(void **state G_GNUC_UNUSED)
{
	struct pki_identity *all[] = { &pki.root, &pki.rsa, &pki.p256, &pki.p384, &pki.expired, &pki.mail,
		&pki.stamp_root, &pki.stamper, &pki.lax_stamper };

	for (guint i = 0; i < G_N_ELEMENTS(all); i++)
		pki_drop(all[i]);
	return 0;
}

GBytes *pki_pem(X509 *first, ...)
{
	BIO *bio = BIO_new(BIO_s_mem());
	va_list more;
	char *data;
	long size;
	GBytes *bytes;

	va_start(more, first);
	for (X509 *x = first; x != NULL; x = va_arg(more, X509 *))
		PEM_write_bio_X509(bio, x);
	va_end(more);
	size = BIO_get_mem_data(bio, &data);
	bytes = g_bytes_new(data, size);
	BIO_free(bio);
	return bytes;
}

GBytes *pki_sign(EVP_PKEY *key, const EVP_MD *md, GBytes *data)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t value[1024];
	size_t size = sizeof(value);

	g_assert_true(EVP_DigestSignInit(context, NULL, md, NULL, key) == 1 &&
		      EVP_DigestSign(context, value, &size, g_bytes_get_data(data, NULL), g_bytes_get_size(data)) == 1);
	EVP_MD_CTX_free(context);
	return g_bytes_new(value, size);
}

static ASN1_INTEGER *next_serial(TS_RESP_CTX *context G_GNUC_UNUSED, void *data G_GNUC_UNUSED)
{
	static long number = 0x7001;
	ASN1_INTEGER *serial = ASN1_INTEGER_new();

	ASN1_INTEGER_set(serial, number++);
	return serial;
}

static int tell_time(TS_RESP_CTX *context G_GNUC_UNUSED, void *data, long *seconds, long *micros)
{
	*seconds = *(int64_t *)data / 1000;
	*micros = 0;
	return 1;
}

GBytes *pki_stamp(const struct pki_identity *stamper, GBytes *query, int64_t time_ms)
{
	TS_RESP_CTX *context = TS_RESP_CTX_new();
	BIO *bio = BIO_new_mem_buf(g_bytes_get_data(query, NULL), g_bytes_get_size(query));
	ASN1_OBJECT *policy = OBJ_txt2obj("1.2.3.4.1", TRUE);
	int64_t now = time_ms != 0 ? time_ms : time_now_ms();
	TS_RESP *response;
	uint8_t *der = NULL;
	int size;
	GBytes *bytes;

	/* OpenSSL's own authority refuses a certificate whose EKU is not critical: then this fails, and the token is none. */
	TS_RESP_CTX_set_signer_cert(context, stamper->certificate);
	TS_RESP_CTX_set_signer_key(context, stamper->key);
	TS_RESP_CTX_set_signer_digest(context, EVP_sha256());
	TS_RESP_CTX_set_ess_cert_id_digest(context, EVP_sha256());
	TS_RESP_CTX_set_def_policy(context, policy);
	TS_RESP_CTX_add_md(context, EVP_sha256());
	TS_RESP_CTX_set_serial_cb(context, next_serial, NULL);
	TS_RESP_CTX_set_time_cb(context, tell_time, &now);
	response = TS_RESP_create_response(context, bio);
	size = i2d_TS_RESP(response, &der);
	bytes = g_bytes_new(der, size);
	OPENSSL_free(der);
	TS_RESP_free(response);
	ASN1_OBJECT_free(policy);
	BIO_free(bio);
	TS_RESP_CTX_free(context);
	return bytes;
}

static gboolean sign_open_file(
    const struct format *format, int in, int out, const struct pki_signing *wish, GError **error)
{
	struct format_parameters p = wish->parameters;
	g_autoptr(GBytes) chain = pki_pem(wish->signer->certificate, pki.root.certificate, NULL);
	g_autoptr(GBytes) bytes = NULL, signature = NULL, token = NULL;
	g_autofree char *hash = NULL;
	struct format_digest digest;

	p.certificates = chain;
	if (p.time_ms == 0)
		p.time_ms = time_now_ms();
	if (!format->digest(in, &p, &digest, error))
		return FALSE;
	hash = digest.hash;
	if ((bytes = format->to_be_signed(&digest, &p, error)) == NULL)
		return FALSE;
	signature = pki_sign(wish->signer->key, EVP_get_digestbyname(digest.hash), bytes);
	token = wish->stamp != NULL ? wish->stamp(signature) : NULL;
	return format->attach(in, out, &digest, &p, signature, token, error);
}

gboolean pki_sign_file(const struct pki_signing *wish, GError **error)
{
	autofd int in = pki_open(wish->in), out = -1;
	g_autofree char *path = pki_path(wish->out);

	unlink(path);
	out = pki_open(wish->out);
	return sign_open_file(format_named(wish->format), in, out, wish, error);
}

GPtrArray *pki_read(const char *format, const char *name, const char *detached, GError **error)
{
	autofd int fd = pki_open(name), beside = detached != NULL ? pki_open(detached) : -1;
	g_autoptr(GBytes) signature = beside >= 0 ? pki_bytes(beside) : NULL;

	return format_named(format)->read(fd, signature, NULL, error);
}

char *pki_path(const char *name)
{
	return g_build_filename(support_tmp(), name, NULL);
}

char *pki_file(const char *name, GBytes *bytes)
{
	char *path = pki_path(name);

	g_assert_true(g_file_set_contents(path, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), NULL));
	return path;
}

int pki_open(const char *name)
{
	g_autofree char *path = pki_path(name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	g_assert_cmpint(fd, >=, 0);
	return fd;
}

GBytes *pki_bytes(int fd)
{
	GBytes *bytes = fd_read(fd, 64 * 1024 * 1024, NULL);

	g_assert_nonnull(bytes);
	return bytes;
}

int pki_run(char **output, const char *format, ...)
{
	g_autofree char *command = NULL, *shell = NULL, *text = NULL, *quoted = NULL;
	va_list arguments;
	int status;

	va_start(arguments, format);
	command = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	shell = g_strdup_printf("cd '%s' && { %s; } 2>&1", support_tmp(), command);
	quoted = g_shell_quote(shell);
	g_free(shell);
	shell = g_strdup_printf("sh -c %s", quoted);
	g_assert_true(g_spawn_command_line_sync(shell, &text, NULL, &status, NULL));
	if (output != NULL)
		*output = g_steal_pointer(&text);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *pki_image(const char *name, const char *machine, const char *flags)
{
	char *path = pki_path(name);
	g_autofree char *output = NULL;

	if (pki_run(&output,
		"printf 'int efi_main(void){return 0;}\\nint main(void){return 0;}\\nint mainCRTStartup(void){return "
		"0;}void __main(void){}' > %s.c && "
		"%s-w64-mingw32-gcc -s -nostdlib %s -o %s %s.c",
		name, machine, flags, name, name) != 0)
		g_error("mingw: %s", output);
	return path;
}

GBytes *pki_flip(GBytes *bytes, size_t at)
{
	gsize size;
	const void *data = g_bytes_get_data(bytes, &size);
	uint8_t *copy = g_memdup2(data, size);

	g_assert_cmpuint(at, <, size);
	copy[at] ^= 1;
	return g_bytes_new_take(copy, size);
}

size_t pki_find(GBytes *bytes, const void *needle, size_t size)
{
	gsize all;
	const uint8_t *data = g_bytes_get_data(bytes, &all);
	const uint8_t *found = memmem(data, all, needle, size);

	g_assert_nonnull(found);
	return found - data;
}
