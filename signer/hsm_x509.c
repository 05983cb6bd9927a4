/* Certificate requests and self-signed test certificates for keys on the token. RFC 2986, RFC 5280 */
#include <string.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "signer/hsm_internal.h"

static gboolean bad_subject(const char *subject, const char *part, GError **error)
{
	ERR_clear_error();
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
	    "the subject \"%s\" has a part \"%s\" that is not like CN=Name (a comma inside a value is written \\,)",
	    subject, part);
	return FALSE;
}

/* Splits at commas that no backslash precedes, and takes the backslashes out. */
static GStrv subject_parts(const char *subject)
{
	g_autoptr(GPtrArray) parts = g_ptr_array_new();
	g_autoptr(GString) part = g_string_new(NULL);

	for (const char *p = subject;; p++) {
		if (*p == '\\' && p[1] != '\0') {
			g_string_append_c(part, *++p);
		} else if (*p == ',' || *p == '\0') {
			g_ptr_array_add(parts, g_strstrip(g_strdup(part->str)));
			g_string_truncate(part, 0);
		} else {
			g_string_append_c(part, *p);
		}
		if (*p == '\0')
			break;
	}
	g_ptr_array_add(parts, NULL);
	return (GStrv)g_ptr_array_free(g_steal_pointer(&parts), FALSE);
}

static gboolean fill_name(X509_NAME *name, const char *subject, GError **error)
{
	g_auto(GStrv) parts = subject_parts(subject);

	for (guint i = 0; parts[i] != NULL; i++) {
		char *value = strchr(parts[i], '=');
		if (value == NULL || value == parts[i] || value[1] == '\0')
			return bad_subject(subject, parts[i], error);
		*value++ = '\0';
		if (X509_NAME_add_entry_by_txt(name, parts[i], MBSTRING_UTF8, (unsigned char *)value, -1, -1, 0) != 1)
			return bad_subject(subject, parts[i], error);
	}
	return TRUE;
}

/* As strong as the key: a P-384 key with SHA-256 would be no stronger than P-256. */
static const EVP_MD *hash_for(EVP_PKEY *key)
{
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_bits(key) <= 256)
		return EVP_sha256();
	return EVP_PKEY_get_bits(key) <= 384 ? EVP_sha384() : EVP_sha512();
}

static GBytes *bio_bytes(BIO *bio)
{
	char *data;
	long size = BIO_get_mem_data(bio, &data);

	return g_bytes_new(data, size);
}

static GBytes *x509_fail(const char *what, GError **error)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s could not be made: %s", what,
	    reason != NULL ? reason : "no reason told");
	ERR_clear_error();
	return NULL;
}

GBytes *hsm_csr(struct hsm *hsm, const char *label, const char *subject, GError **error)
{
	EVP_PKEY *key = hsm_private_key(hsm, label, error);
	EVP_PKEY *public = key != NULL ? hsm_public_key(hsm, label, error) : NULL;
	X509_REQ *request;
	BIO *bio;
	GBytes *pem = NULL;

	if (public == NULL)
		return NULL;
	request = X509_REQ_new();
	bio = BIO_new(BIO_s_mem());
	if (fill_name(X509_REQ_get_subject_name(request), subject, error)) {
		if (X509_REQ_set_version(request, 0) == 1 && X509_REQ_set_pubkey(request, public) == 1 &&
		    X509_REQ_sign(request, key, hash_for(public)) > 0 && X509_REQ_verify(request, public) == 1 &&
		    PEM_write_bio_X509_REQ(bio, request) == 1)
			pem = bio_bytes(bio);
		else
			x509_fail("the certificate request", error);
	}
	BIO_free(bio);
	X509_REQ_free(request);
	return pem;
}

static gboolean add_extension(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	gboolean ok;

	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static gboolean set_serial(X509 *certificate)
{
	BIGNUM *number = BN_new();
	gboolean ok = number != NULL && BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
		      BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;

	BN_free(number);
	return ok;
}

/* Valid from an hour ago, so that a machine whose clock is a little behind can use it at once. */
static gboolean fill_certificate(X509 *certificate, EVP_PKEY *public, int days)
{
	return X509_set_version(certificate, 2) == 1 && set_serial(certificate) &&
	       X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL &&
	       X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, NULL) != NULL &&
	       X509_set_pubkey(certificate, public) == 1 &&
	       add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(certificate, NID_ext_key_usage, "codeSigning") &&
	       add_extension(certificate, NID_subject_key_identifier, "hash");
}

GBytes *hsm_self_signed(struct hsm *hsm, const char *label, const char *subject, int days, GError **error)
{
	EVP_PKEY *key = hsm_private_key(hsm, label, error);
	EVP_PKEY *public = key != NULL ? hsm_public_key(hsm, label, error) : NULL;
	X509 *certificate;
	BIO *bio;
	GBytes *pem = NULL;

	if (public == NULL)
		return NULL;
	if (days < 1 || days > 3660) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "a certificate is valid for 1 to 3660 days");
		return NULL;
	}
	certificate = X509_new();
	bio = BIO_new(BIO_s_mem());
	if (fill_name(X509_get_subject_name(certificate), subject, error)) {
		if (fill_certificate(certificate, public, days) && X509_sign(certificate, key, hash_for(public)) > 0 &&
		    X509_verify(certificate, public) == 1 && PEM_write_bio_X509(bio, certificate) == 1)
			pem = bio_bytes(bio);
		else
			x509_fail("the certificate", error);
	}
	BIO_free(bio);
	X509_free(certificate);
	return pem;
}
