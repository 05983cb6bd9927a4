/* Certificates of builders: a chain to the roots at the time of signing, a purpose, a name. */
#include "gitops/dsse_private.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/certificate.h"

#define OID_CODE_SIGNING "1.3.6.1.5.5.7.3.3"
#define LEVEL_112_BITS 2 /* X509_VERIFY_PARAM_set_auth_level(): RSA 2048, no SHA-1 */
#define FULCIO_ARC "1.3.6.1.4.1.57264.1."

static void add_name(GStrvBuilder *names, const GENERAL_NAME *name)
{
	const ASN1_IA5STRING *text = name->type == GEN_URI     ? name->d.uniformResourceIdentifier
				     : name->type == GEN_EMAIL ? name->d.rfc822Name
							       : NULL;
	g_autofree char *copy = NULL;

	if (text == NULL)
		return;
	copy = g_strndup((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
	/* A NUL inside would let the rest be what nobody sees. */
	if (strlen(copy) == (size_t)ASN1_STRING_length(text) && text_is_clean(copy, strlen(copy)))
		g_strv_builder_add(names, copy);
}

char **dsse_identities(X509 *certificate)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	g_autoptr(GStrvBuilder) names = g_strv_builder_new();

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++)
		add_name(names, sk_GENERAL_NAME_value(all, i));
	GENERAL_NAMES_free(all);
	return g_strv_builder_end(names);
}

/* From 8 on they are UTF8String in DER; the older ones are the bare text. */
char *dsse_fulcio(X509 *certificate, guint number)
{
	g_autofree char *dotted = g_strdup_printf(FULCIO_ARC "%u", number);
	ASN1_OBJECT *oid = OBJ_txt2obj(dotted, TRUE);
	int at = X509_get_ext_by_OBJ(certificate, oid, -1);
	const ASN1_OCTET_STRING *value = at >= 0 ? X509_EXTENSION_get_data(X509_get_ext(certificate, at)) : NULL;
	const unsigned char *data = value != NULL ? ASN1_STRING_get0_data(value) : NULL;
	size_t size = value != NULL ? (size_t)ASN1_STRING_length(value) : 0;
	ASN1_UTF8STRING *text = NULL;
	char *copy = NULL;

	ASN1_OBJECT_free(oid);
	if (value != NULL && number >= FULCIO_ISSUER && (text = d2i_ASN1_UTF8STRING(NULL, &data, (long)size)) != NULL) {
		data = ASN1_STRING_get0_data(text);
		size = (size_t)ASN1_STRING_length(text);
	}
	if (value != NULL && (number < FULCIO_ISSUER || text != NULL) && text_is_clean((const char *)data, size))
		copy = g_strndup((const char *)data, size);
	ASN1_UTF8STRING_free(text);
	ERR_clear_error();
	return copy;
}

X509_STORE *dsse_roots_parse(GBytes *pem, const char *what, GError **error)
{
	g_autoptr(GError) why = NULL;
	X509_STORE *store = certificate_store(pem, what, &why);

	if (store == NULL)
		g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, why->message);
	return store;
}

/* By the first name that it gives, or its subject. */
static char *subject_of(X509 *certificate)
{
	g_auto(GStrv) names = dsse_identities(certificate);

	return names[0] != NULL ? text_escape(names[0], -1, 300) : certificate_subject(certificate);
}

/* A builder's certificate often lives for minutes: when it signed must be known from elsewhere. */
static gboolean check_times(X509 *leaf, int64_t at_ms, GError **error)
{
	int64_t from_ms = certificate_time_ms(X509_get0_notBefore(leaf)),
		to_ms = certificate_time_ms(X509_get0_notAfter(leaf));
	g_autofree char *subject = NULL, *from = NULL, *to = NULL, *then = NULL;

	if (at_ms >= from_ms && at_ms <= to_ms)
		return TRUE;
	subject = subject_of(leaf);
	from = time_format_ms(from_ms);
	to = time_format_ms(to_ms);
	then = time_format_ms(at_ms);
	error_refused(error,
	    "the certificate of %s is good from %s to %s, and this is held against %s: only a time at which the "
	    "envelope was "
	    "seen, or a timestamp by a trusted authority, shows that it signed while it was good",
	    subject, from, to, then);
	return FALSE;
}

/* NULL, or why its holder may not sign statements. */
static const char *leaf_weakness(X509 *leaf)
{
	uint32_t usage = X509_get_key_usage(leaf);

	if (!certificate_has_purpose(leaf, OID_CODE_SIGNING))
		return "its extended key usage does not name codeSigning";
	if (usage != UINT32_MAX && (usage & KU_DIGITAL_SIGNATURE) == 0)
		return "its key usage does not allow digital signatures";
	return NULL;
}

static gboolean check_chain(
    const struct dsse_signature *signature, const struct dsse_trust *trust, int64_t at_ms, GError **error)
{
	STACK_OF(X509) *between = sk_X509_new_null();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	gboolean good;

	for (guint i = 1; i < signature->certificates->len; i++)
		sk_X509_push(between, g_ptr_array_index(signature->certificates, i));
	X509_STORE_CTX_init(context, trust->roots, g_ptr_array_index(signature->certificates, 0), between);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), at_ms / 1000);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(context), LEVEL_112_BITS);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
	good = X509_verify_cert(context) == 1;
	if (!good) {
		X509 *at = X509_STORE_CTX_get_current_cert(context);
		g_autofree char *subject = subject_of(at != NULL ? at : g_ptr_array_index(signature->certificates, 0));

		error_refused(error, "the signature's certificate has no good chain to the trusted roots: %s (%s)",
		    X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)), subject);
	}
	ERR_clear_error();
	X509_STORE_CTX_free(context);
	sk_X509_free(between);
	return good;
}

static gboolean check_identity(X509 *leaf, const struct dsse_trust *trust, GError **error)
{
	g_auto(GStrv) names = dsse_identities(leaf);
	g_autofree char *subject = NULL;

	for (guint i = 0; names[i] != NULL; i++)
		for (guint j = 0; trust->identities[j] != NULL; j++)
			if (glob_match(trust->identities[j], names[i], FALSE, FALSE))
				return TRUE;
	subject = subject_of(leaf);
	error_refused(error, "its certificate is %s%s's, and not one of an identity that is trusted (\"%s\"%s)",
	    names[0] == NULL ? "without a URI or address, " : "", subject,
	    trust->identities[0] != NULL ? trust->identities[0] : "",
	    trust->identities[0] != NULL && trust->identities[1] != NULL ? " …" : "");
	return FALSE;
}

static gboolean check_issuer(X509 *leaf, const char *wanted, GError **error)
{
	g_autofree char *issuer = dsse_fulcio(leaf, FULCIO_ISSUER), *shown = NULL;

	if (issuer == NULL)
		issuer = dsse_fulcio(leaf, FULCIO_ISSUER_RAW);
	if (g_strcmp0(issuer, wanted) == 0)
		return TRUE;
	shown = issuer != NULL ? text_escape(issuer, -1, 200) : g_strdup("nobody");
	error_refused(
	    error, "its certificate's identity was vouched for by %s (" FULCIO_ARC "8), and not by %s", shown, wanted);
	return FALSE;
}

gboolean dsse_certificate_trusted(
    const struct dsse_signature *signature, const struct dsse_trust *trust, int64_t at_ms, GError **error)
{
	X509 *leaf = g_ptr_array_index(signature->certificates, 0);
	const char *weakness = leaf_weakness(leaf);

	if (weakness != NULL) {
		g_autofree char *subject = subject_of(leaf);

		error_refused(error, "the certificate of %s may not sign statements: %s", subject, weakness);
		return FALSE;
	}
	return check_times(leaf, at_ms, error) && check_chain(signature, trust, at_ms, error) &&
	       (trust->identities == NULL || check_identity(leaf, trust, error)) &&
	       (trust->issuer == NULL || check_issuer(leaf, trust->issuer, error));
}
