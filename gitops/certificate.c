#include "gitops/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "gitops/base/bytes.h"

#define CERTIFICATES_MAX 200

void certificates_free(STACK_OF(X509) * stack)
{
	sk_X509_pop_free(stack, X509_free);
}

STACK_OF(X509) * certificates_parse(GBytes *pem, const char *what, GError **error)
{
	BIO *bio = BIO_new_mem_buf(g_bytes_get_data(pem, NULL), g_bytes_get_size(pem));
	STACK_OF(X509) *all = sk_X509_new_null();
	gboolean clean;
	X509 *x;

	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL && sk_X509_num(all) < CERTIFICATES_MAX)
		sk_X509_push(all, x);
	clean = x == NULL && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	X509_free(x);
	ERR_clear_error();
	BIO_free(bio);
	if (clean && sk_X509_num(all) > 0)
		return all;
	error_refused(error, "%s: %s", what,
	    sk_X509_num(all) == 0 ? "no certificate in PEM stands there" : "not all of it are certificates in PEM");
	certificates_free(all);
	return NULL;
}

X509_STORE *certificate_store(GBytes *roots, const char *what, GError **error)
{
	STACK_OF(X509) *all = certificates_parse(roots, what, error);
	X509_STORE *store;

	if (all == NULL)
		return NULL;
	store = X509_STORE_new();
	for (int i = 0; i < sk_X509_num(all); i++)
		X509_STORE_add_cert(store, sk_X509_value(all, i));
	certificates_free(all);
	return store;
}

gboolean certificate_has_purpose(X509 *certificate, const char *oid)
{
	EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
	gboolean found = FALSE;
	char text[80];

	for (int i = 0; i < sk_ASN1_OBJECT_num(usage); i++) {
		OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(usage, i), TRUE);
		found |= strcmp(text, oid) == 0;
	}
	EXTENDED_KEY_USAGE_free(usage);
	return found;
}

int64_t certificate_time_ms(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static char *name_text(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long size;

	X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	size = BIO_get_mem_data(bio, &data);
	text = text_escape(data, size, 300);
	BIO_free(bio);
	return text;
}

char *certificate_subject(X509 *certificate)
{
	return name_text(X509_get_subject_name(certificate));
}

char *certificate_issuer(X509 *certificate)
{
	return name_text(X509_get_issuer_name(certificate));
}

char *certificate_serial(X509 *certificate)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);

	return hex_encode(ASN1_STRING_get0_data(serial), ASN1_STRING_length(serial));
}

char *certificate_sha256(X509 *certificate)
{
	uint8_t *der = NULL;
	int size = i2d_X509(certificate, &der);
	char *text = sha256_text(der, size);

	OPENSSL_free(der);
	return text;
}
