#include "signer/certificate.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "gitops/base/bytes.h"
#include "signer/format.h"

#define LEVEL_112_BITS 2 /* X509_VERIFY_PARAM_set_auth_level(): RSA 2048, no SHA-1 */

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
	certificates_free(chain);
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
