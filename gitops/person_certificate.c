#include "gitops/person_certificate.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/der.h"
#include "gitops/ssh.h"

#define RSA_BITS_MIN 2048
#define SKEW 300 /* seconds that an authority's clock may be ahead of ours */
#define DEPTH_MAX 10
#define LEVEL_112_BITS 2 /* X509_VERIFY_PARAM_set_auth_level(): RSA 2048, no SHA-1 */
#define OID_ANY_PURPOSE "2.5.29.37.0"
#define OID_EMAIL_PROTECTION "1.3.6.1.5.5.7.3.4"
#define OID_CODE_SIGNING "1.3.6.1.5.5.7.3.3"
#define OID_PROVIDER "1.3.6.1.4.1.57264.1.8" /* Fulcio: UTF8String */
#define OID_PROVIDER_OLD "1.3.6.1.4.1.57264.1.1" /* the same as bare text */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GENERAL_NAMES, GENERAL_NAMES_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509_STORE_CTX, X509_STORE_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ECDSA_SIG, ECDSA_SIG_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIGNUM, BN_free)

static GBytes *certificate_der(X509 *certificate)
{
	uint8_t *der = NULL;
	int size = i2d_X509(certificate, &der);
	GBytes *bytes = g_bytes_new(der, MAX(size, 0));

	OPENSSL_free(der);
	return bytes;
}

char *person_certificate_id(X509 *certificate)
{
	g_autoptr(GBytes) der = certificate_der(certificate);

	return ssh_fingerprint(der);
}

/* --- names --- */

struct names { /* each a GPtrArray of char* */
	GPtrArray *mail, *uris;
};

static void names_clear(struct names *names)
{
	g_ptr_array_unref(names->mail);
	g_ptr_array_unref(names->uris);
}

/* A name that ends early for some readers is nobody's. */
static gboolean name_add(GPtrArray *to, const char *data, int size)
{
	if (size <= 0 || !text_is_clean(data, size))
		return FALSE;
	g_ptr_array_add(to, g_strndup(data, size));
	return TRUE;
}

static gboolean alternative_names(X509 *certificate, struct names *names)
{
	g_autoptr(GENERAL_NAMES) all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	gboolean clean = TRUE;

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
		const ASN1_IA5STRING *text = name->d.ia5;

		if (name->type != GEN_EMAIL && name->type != GEN_URI)
			continue;
		clean = clean && name_add(name->type == GEN_EMAIL ? names->mail : names->uris,
				     (const char *)ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
	}
	return clean;
}

/* All of the subject is looked at; its mail addresses count where the subjectAltName has none (RFC 8550 3). */
static gboolean subject_names(X509 *certificate, struct names *names)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	g_autoptr(GPtrArray) others = g_ptr_array_new_with_free_func(g_free);
	gboolean clean = TRUE, mail = names->mail->len == 0;

	for (int i = 0; clean && i < X509_NAME_entry_count(subject); i++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
		gboolean is_mail = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == NID_pkcs9_emailAddress;
		uint8_t *utf8 = NULL;
		int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));

		clean = size == 0 ? !is_mail : name_add(is_mail && mail ? names->mail : others, (char *)utf8, size);
		OPENSSL_free(utf8);
	}
	ERR_clear_error();
	return clean;
}

/* FALSE: one of its names is none. `names` is to be cleared in either case. */
static gboolean names_read(X509 *certificate, struct names *names)
{
	names->mail = g_ptr_array_new_with_free_func(g_free);
	names->uris = g_ptr_array_new_with_free_func(g_free);
	return alternative_names(certificate, names) && subject_names(certificate, names);
}

static char *whole_subject(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long size;

	X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	size = BIO_get_mem_data(bio, &data);
	text = g_strndup(data, size);
	BIO_free(bio);
	return text;
}

/* The only extension of that kind, or NULL. */
static const ASN1_OCTET_STRING *extension_of(X509 *certificate, const char *oid)
{
	ASN1_OBJECT *object = OBJ_txt2obj(oid, TRUE);
	int at = X509_get_ext_by_OBJ(certificate, object, -1);
	gboolean twice = at >= 0 && X509_get_ext_by_OBJ(certificate, object, at) >= 0;

	ASN1_OBJECT_free(object);
	return at >= 0 && !twice ? X509_EXTENSION_get_data(X509_get_ext(certificate, at)) : NULL;
}

/* The identity provider that Fulcio says has vouched for the name, or NULL. Caller frees. */
static char *provider_of(X509 *certificate)
{
	const ASN1_OCTET_STRING *value = extension_of(certificate, OID_PROVIDER);
	const ASN1_OCTET_STRING *old = extension_of(certificate, OID_PROVIDER_OLD);
	struct der text = { 0 };
	struct cursor c;

	if (value != NULL) {
		cursor_init(&c, ASN1_STRING_get0_data(value), ASN1_STRING_length(value));
		if (!der_take(&c, 0x0C, &text, "identity provider") || cursor_left(&c) > 0)
			return NULL;
	} else if (old != NULL) {
		text.data = ASN1_STRING_get0_data(old);
		text.size = ASN1_STRING_length(old);
	}
	if (text.size == 0 || !text_is_clean((const char *)text.data, text.size))
		return NULL;
	return g_strndup((const char *)text.data, text.size);
}

static gboolean is_uri(const char *subject)
{
	return strstr(subject, "://") != NULL;
}

static gboolean is_mail(const char *subject)
{
	const char *at = strchr(subject, '@');

	return at != NULL && at != subject && at[1] != '\0' && strchr(at + 1, '@') == NULL &&
	       strpbrk(subject, " <>,=") == NULL;
}

const char *person_subject_flaw(const char *subject)
{
	if (text_is_clean(subject, strlen(subject)) &&
	    (is_uri(subject) || is_mail(subject) || strchr(subject, '=') != NULL))
		return NULL;
	return "the subject must be a mail address or URI of the certificate's subjectAltName, or its whole subject as "
	       "openssl x509 -subject -nameopt RFC2253 prints it (CN=Alice,O=Acme)";
}

gboolean person_certificate_is(X509 *certificate, const char *subject, const char *provider)
{
	g_autofree char *named = provider != NULL ? provider_of(certificate) : NULL;
	g_autofree char *whole = NULL;
	struct names names;
	gboolean same;

	if (provider != NULL && g_strcmp0(named, provider) != 0)
		return FALSE;
	if (!is_uri(subject) && !is_mail(subject)) {
		whole = whole_subject(certificate);
		return g_str_equal(whole, subject);
	}
	same = names_read(certificate, &names) &&
	       g_ptr_array_find_with_equal_func(is_uri(subject) ? names.uris : names.mail, subject, g_str_equal, NULL);
	names_clear(&names);
	return same;
}

char *person_certificate_names(X509 *certificate)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *provider = provider_of(certificate);
	struct names names;

	names_read(certificate, &names);
	for (guint i = 0; i < names.mail->len + names.uris->len; i++)
		g_string_append_printf(text, "%s%s", i > 0 ? ", " : "",
		    (char *)(i < names.mail->len ? names.mail->pdata[i] : names.uris->pdata[i - names.mail->len]));
	names_clear(&names);
	if (text->len == 0)
		return certificate_subject(certificate);
	if (provider != NULL)
		g_string_append_printf(text, " (by %s)", provider);
	return text_escape(text->str, text->len, 300);
}

/* --- one certificate --- */

enum { FOR_MAIL = 1, FOR_CODE = 2 };

/* Which of the two purposes that git's signers know an extended key usage allows; all, where there is none. */
static int purposes_of(X509 *certificate)
{
	if (X509_get_ext_by_NID(certificate, NID_ext_key_usage, -1) < 0 ||
	    certificate_has_purpose(certificate, OID_ANY_PURPOSE))
		return FOR_MAIL | FOR_CODE;
	return (certificate_has_purpose(certificate, OID_EMAIL_PROTECTION) ? FOR_MAIL : 0) |
	       (certificate_has_purpose(certificate, OID_CODE_SIGNING) ? FOR_CODE : 0);
}

static gboolean curve_is_good(EVP_PKEY *key)
{
	static const char *const good[] = { "prime256v1", "secp384r1", "secp521r1", "brainpoolP256r1",
		"brainpoolP384r1", "brainpoolP512r1", NULL };
	char name[40] = "";
	int is_explicit = 1; /* a curve described rather than named can be one that an attacker chose (CVE-2020-0601) */

	return EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) == 1 && g_strv_contains(good, name) &&
	       EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit) == 1 &&
	       !is_explicit;
}

static gboolean key_is_good(X509 *certificate, GError **error)
{
	EVP_PKEY *key = X509_get0_pubkey(certificate);

	if (key != NULL && (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))) {
		if (EVP_PKEY_get_bits(key) >= RSA_BITS_MIN)
			return TRUE;
		error_refused(
		    error, "its RSA key has %d bits; make one of at least %d", EVP_PKEY_get_bits(key), RSA_BITS_MIN);
		return FALSE;
	}
	if (key != NULL && (EVP_PKEY_is_a(key, "ED25519") || (EVP_PKEY_is_a(key, "EC") && curve_is_good(key))))
		return TRUE;
	ERR_clear_error();
	error_refused(
	    error, "its key is refused; take RSA, Ed25519, a NIST curve (P-256 and longer) or a Brainpool curve");
	return FALSE;
}

/* NULL, or why its holder may not sign. */
static const char *usage_flaw(X509 *certificate)
{
	uint32_t usage = X509_get_key_usage(certificate);

	if (X509_check_purpose(certificate, -1, 0) != 1)
		return "its extensions cannot be read, or one stands twice";
	if (X509_check_ca(certificate) != 0)
		return "it is a certificate authority's; people sign with a certificate that the authority issued to "
		       "them";
	if (usage != UINT32_MAX && (usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0)
		return "its key usage allows neither digitalSignature nor nonRepudiation";
	if (purposes_of(certificate) == 0)
		return "its extended key usage names neither emailProtection nor codeSigning";
	return NULL;
}

static gboolean is_of_its_time(X509 *certificate, int64_t *at, GError **error)
{
	gboolean readable = ASN1_TIME_check(X509_get0_notBefore(certificate)) == 1 &&
			    ASN1_TIME_check(X509_get0_notAfter(certificate)) == 1;
	int64_t from = certificate_time_ms(X509_get0_notBefore(certificate)) / 1000;
	int64_t to = certificate_time_ms(X509_get0_notAfter(certificate)) / 1000;
	g_autofree char *begin = time_format_ms(from * 1000), *end = time_format_ms(to * 1000);
	g_autofree char *seen = time_format_ms(*at * 1000);

	if (from > *at && from <= *at + SKEW && from <= to)
		*at = from;
	if (!readable)
		error_refused(error, "its dates cannot be read");
	else if (from > *at)
		error_refused(error, "it is valid from %s on only, and the signature was first seen on %s", begin, seen);
	else if (to < *at && to >= from && to - from <= 3600) /* as Sigstore's are */
		error_refused(error,
		    "it lived for %d minutes until %s, and the signature was first seen on %s, after its end: sign "
		    "again and push before the certificate ends",
		    (int)((to - from + 59) / 60), end, seen);
	else if (to < *at)
		error_refused(
		    error, "it expired on %s, before the signature was first seen on %s; sign again with a renewed certificate",
		    end, seen);
	else
		return TRUE;
	return FALSE;
}

gboolean person_certificate_check(X509 *certificate, int64_t *at, GError **error)
{
	const char *flaw = usage_flaw(certificate);
	struct names names;
	gboolean clean;

	ERR_clear_error();
	if (flaw != NULL) {
		error_refused(error, "%s", flaw);
		return FALSE;
	}
	clean = names_read(certificate, &names);
	names_clear(&names);
	if (!clean) {
		error_refused(error, "a name in it holds NUL or other bytes that no name has");
		return FALSE;
	}
	return key_is_good(certificate, error) && is_of_its_time(certificate, at, error);
}

/* --- the chain --- */

/* RFC 5280 4.1.2.5: the last second belongs to it, and to OpenSSL it does not. */
static int on_flaw(int good, X509_STORE_CTX *context)
{
	X509 *certificate = X509_STORE_CTX_get_current_cert(context);
	time_t at = X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(context));

	if (!good && X509_STORE_CTX_get_error(context) == X509_V_ERR_CERT_HAS_EXPIRED && certificate != NULL &&
	    certificate_time_ms(X509_get0_notAfter(certificate)) == (int64_t)at * 1000) {
		X509_STORE_CTX_set_error(context, X509_V_OK);
		return 1;
	}
	return good;
}

static gboolean chain_refuse(X509 *certificate, const char *reason, GError **error)
{
	g_autofree char *subject = certificate != NULL ? certificate_subject(certificate) : g_strdup("the signer");

	error_refused(error, "no good chain to the roots of its person: %s (%s)", reason, subject);
	ERR_clear_error();
	return FALSE;
}

/* What OpenSSL lets pass: authorities of keys that we do not take, for other purposes, or with extensions of which one stands
 * twice. */
static gboolean authorities_are_good(STACK_OF(X509) * chain, GError **error)
{
	int last = sk_X509_num(chain) - 1, purposes = purposes_of(sk_X509_value(chain, 0));
	g_autoptr(GError) reason = NULL;

	for (int i = 1; i <= last; i++) {
		X509 *authority = sk_X509_value(chain, i);

		if (X509_check_purpose(authority, -1, 0) != 1)
			return chain_refuse(authority, "its extensions cannot be read, or one stands twice", error);
		if (!key_is_good(authority, &reason))
			return chain_refuse(authority, reason->message, error);
		if (i < last) /* a root is believed for what the policy says */
			purposes &= purposes_of(authority);
	}
	return purposes != 0 ||
	       chain_refuse(sk_X509_value(chain, 1),
		   "an authority's extended key usage does not allow what the certificate's does", error);
}

/* SEQUENCE { tbsCertificate, signatureAlgorithm, BIT STRING } with s turned into the order of the curve minus s. */
static GBytes *twin_der(GBytes *der, const BIGNUM *order)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	g_autoptr(ECDSA_SIG) sig = NULL;
	struct cursor c, whole;
	struct der tbs, algorithm, bits;
	const uint8_t *at;
	size_t mark = der_open(out, DER_SEQUENCE), bit_mark;
	BIGNUM *r, *s = BN_new();
	int size;

	cursor_init(&c, g_bytes_get_data(der, NULL), g_bytes_get_size(der));
	if (der_enter(&c, DER_SEQUENCE, &whole, "certificate") && der_take_any(&whole, &tbs, "certificate") &&
	    der_take_any(&whole, &algorithm, "certificate") && der_take(&whole, DER_BIT_STRING, &bits, "certificate") &&
	    bits.size > 1) {
		at = bits.data + 1;
		sig = d2i_ECDSA_SIG(NULL, &at, bits.size - 1);
	}
	if (sig == NULL || BN_sub(s, order, ECDSA_SIG_get0_s(sig)) != 1) {
		BN_free(s);
		return NULL;
	}
	r = BN_dup(ECDSA_SIG_get0_r(sig));
	ECDSA_SIG_set0(sig, r, s);
	g_byte_array_append(out, tbs.whole, tbs.whole_size);
	g_byte_array_append(out, algorithm.whole, algorithm.whole_size);
	bit_mark = der_open(out, DER_BIT_STRING);
	g_byte_array_append(out, (const uint8_t *)"", 1);
	size = i2d_ECDSA_SIG(sig, NULL);
	g_byte_array_set_size(out, out->len + size);
	i2d_ECDSA_SIG(sig, &(uint8_t *){ out->data + out->len - size });
	der_close(out, bit_mark);
	der_close(out, mark);
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

static char *twin_of(X509 *certificate, X509 *issuer)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer);
	g_autoptr(GBytes) der = certificate_der(certificate);
	g_autoptr(GBytes) twin = NULL;
	BIGNUM *order = NULL;

	if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_ORDER, &order) == 1)
		twin = twin_der(der, order);
	BN_free(order);
	ERR_clear_error();
	return twin != NULL ? ssh_fingerprint(twin) : NULL;
}

gboolean person_certificate_chains(
    X509 *certificate, STACK_OF(X509) * between, X509_STORE *roots, int64_t at, char **twin, GError **error)
{
	g_autoptr(X509_STORE_CTX) context = X509_STORE_CTX_new();
	STACK_OF(X509) * chain;
	X509_VERIFY_PARAM *param;

	if (context == NULL || X509_STORE_CTX_init(context, roots, certificate, between) != 1) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "OpenSSL cannot begin to verify a chain");
		return FALSE;
	}
	param = X509_STORE_CTX_get0_param(context);
	X509_VERIFY_PARAM_set_time(param, at);
	X509_VERIFY_PARAM_set_depth(param, DEPTH_MAX);
	X509_VERIFY_PARAM_set_auth_level(param, LEVEL_112_BITS);
	/* What stands in the roots file is believed, also where it is no root by itself. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_POLICY_CHECK);
	X509_VERIFY_PARAM_add0_policy(param, OBJ_nid2obj(NID_any_policy)); /* else one that must be named never is */
	X509_STORE_CTX_set_verify_cb(context, on_flaw);
	if (X509_verify_cert(context) != 1)
		return chain_refuse(X509_STORE_CTX_get_current_cert(context),
		    X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)), error);
	chain = X509_STORE_CTX_get0_chain(context);
	if (!authorities_are_good(chain, error))
		return FALSE;
	*twin = sk_X509_num(chain) > 1 ? twin_of(certificate, sk_X509_value(chain, 1)) : NULL;
	return TRUE;
}
