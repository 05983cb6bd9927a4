#include "signer/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "gitops/base/bytes.h"
#include "signer/format.h"

#define CERTIFICATES_MAX 200
#define LEVEL_112_BITS 2 /* X509_VERIFY_PARAM_set_auth_level(): RSA 2048, no SHA-1 */

static void stack_free(STACK_OF(X509) * stack)
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
	stack_free(all);
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
	stack_free(all);
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

static const char *key_weakness(EVP_PKEY *key)
{
	int kind = key != NULL ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE;

	if (kind == EVP_PKEY_RSA && EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) >= 2048 ? NULL : "its RSA key is shorter than 2048 bits";
	if (kind == EVP_PKEY_EC)
		return EVP_PKEY_get_bits(key) >= 256 ? NULL : "its curve is smaller than P-256";
	return "its key is neither RSA nor ECDSA, which these formats need";
}

const char *certificate_weakness(X509 *certificate)
{
	uint32_t usage = X509_get_key_usage(certificate);

	if (X509_check_ca(certificate) == 1)
		return "it is a certificate authority's";
	if (!certificate_has_purpose(certificate, "1.3.6.1.5.5.7.3.3"))
		return "its extended key usage does not name codeSigning";
	if (usage != UINT32_MAX && (usage & KU_DIGITAL_SIGNATURE) == 0)
		return "its key usage does not allow digital signatures";
	return key_weakness(X509_get0_pubkey(certificate));
}

int64_t certificate_time_ms(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static gboolean check_leaf(X509 *leaf, int64_t at_ms, GError **error)
{
	const char *weakness = certificate_weakness(leaf);
	g_autofree char *subject = certificate_subject(leaf);
	g_autofree char *from = time_format_ms(certificate_time_ms(X509_get0_notBefore(leaf)));
	g_autofree char *to = time_format_ms(certificate_time_ms(X509_get0_notAfter(leaf)));

	if (weakness != NULL) {
		error_refused(error, "the certificate of %s may not sign code: %s", subject, weakness);
		return FALSE;
	}
	if (at_ms >= certificate_time_ms(X509_get0_notBefore(leaf)) &&
	    at_ms <= certificate_time_ms(X509_get0_notAfter(leaf)))
		return TRUE;
	error_refused(error, "the certificate of %s is valid from %s to %s only", subject, from, to);
	return FALSE;
}

static gboolean check_order(STACK_OF(X509) * chain, GError **error)
{
	for (int i = 0; i + 1 < sk_X509_num(chain); i++) {
		X509 *below = sk_X509_value(chain, i), *above = sk_X509_value(chain, i + 1);
		g_autofree char *subject = certificate_subject(above);
		if (X509_check_issued(above, below) == X509_V_OK && X509_verify(below, X509_get0_pubkey(above)) == 1)
			continue;
		ERR_clear_error();
		error_refused(
		    error, "certificate %d of the chain (%s) did not issue the one before it: the leaf comes first, then its issuers upward",
		    i + 2, subject);
		return FALSE;
	}
	return TRUE;
}

STACK_OF(X509) * certificates_load(GBytes *pem, int64_t at_ms, GError **error)
{
	STACK_OF(X509) *chain = certificates_parse(pem, "the signing certificate", error);

	if (chain == NULL)
		return NULL;
	if (check_leaf(sk_X509_value(chain, 0), at_ms, error) && check_order(chain, error))
		return chain;
	stack_free(chain);
	return NULL;
}

static gboolean chain_fails(X509_STORE_CTX *context, GError **error)
{
	X509 *at = X509_STORE_CTX_get_current_cert(context);
	g_autofree char *subject = at != NULL ? certificate_subject(at) : g_strdup("the signer");

	error_refused(error, "no good chain to the roots given: %s (%s)",
	    X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)), subject);
	ERR_clear_error();
	return FALSE;
}

gboolean certificate_chains(X509 *certificate, STACK_OF(X509) * between, GBytes *roots, int64_t at_ms, GError **error)
{
	X509_STORE *store = certificate_store(roots, "the roots", error);
	X509_STORE_CTX *context;
	gboolean good;

	if (store == NULL)
		return FALSE;
	context = X509_STORE_CTX_new();
	X509_STORE_CTX_init(context, store, certificate, between);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), at_ms / 1000);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(context), LEVEL_112_BITS);
	good = X509_verify_cert(context) == 1 || chain_fails(context, error);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return good;
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
