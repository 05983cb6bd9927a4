#include "gitops/cms.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "gitops/base/bytes.h"

#define SIGNERS_MAX 16
#define CERTIFICATES_MAX 64
#define OID_RSA "1.2.840.113549.1.1.1"

static const struct cms_hash hashes[] = {
	{ "sha256", "2.16.840.1.101.3.4.2.1", EVP_sha256, "1.2.840.10045.4.3.2", "1.2.840.113549.1.1.11" },
	{ "sha384", "2.16.840.1.101.3.4.2.2", EVP_sha384, "1.2.840.10045.4.3.3", "1.2.840.113549.1.1.12" },
	{ "sha512", "2.16.840.1.101.3.4.2.3", EVP_sha512, "1.2.840.10045.4.3.4", "1.2.840.113549.1.1.13" },
};

const struct cms_hash *cms_hash_named(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(hashes); i++)
		if (name == NULL || strcmp(name, hashes[i].name) == 0)
			return &hashes[i];
	return NULL;
}

const struct cms_hash *cms_hash_of_oid(const char *oid)
{
	for (guint i = 0; i < G_N_ELEMENTS(hashes); i++)
		if (strcmp(oid, hashes[i].oid) == 0)
			return &hashes[i];
	return NULL;
}

const char *cms_hash_old_name(const char *oid)
{
	if (strcmp(oid, "1.2.840.113549.2.5") == 0)
		return "MD5";
	return strcmp(oid, "1.3.14.3.2.26") == 0 ? "SHA-1" : NULL;
}

static void attribute_free(gpointer data)
{
	struct cms_attribute *a = data;

	g_free(a->oid);
	g_clear_pointer(&a->values, g_ptr_array_unref);
	g_free(a);
}

static void signer_free(gpointer data)
{
	struct cms_signer *s = data;

	g_free(s->algorithm);
	g_clear_pointer(&s->parameters, g_bytes_unref);
	g_clear_pointer(&s->to_be_signed, g_bytes_unref);
	g_clear_pointer(&s->attributes_digest, g_bytes_unref);
	g_clear_pointer(&s->signature, g_bytes_unref);
	g_clear_pointer(&s->attributes, g_ptr_array_unref);
	g_clear_pointer(&s->unsigned_attributes, g_ptr_array_unref);
	g_free(s);
}

void cms_free(struct cms *cms)
{
	if (cms == NULL)
		return;
	g_clear_pointer(&cms->der, g_bytes_unref);
	g_free(cms->content_type);
	g_clear_pointer(&cms->content, g_bytes_unref);
	g_clear_pointer(&cms->content_element, g_bytes_unref);
	sk_X509_pop_free(cms->certificates, X509_free);
	g_clear_pointer(&cms->signers, g_ptr_array_unref);
	g_free(cms);
}

GPtrArray *cms_attribute_values(GPtrArray *attributes, const char *oid)
{
	for (guint i = 0; i < attributes->len; i++) {
		struct cms_attribute *a = g_ptr_array_index(attributes, i);
		if (strcmp(a->oid, oid) == 0)
			return a->values;
	}
	return NULL;
}

GBytes *cms_attribute_value(GPtrArray *attributes, const char *oid)
{
	GPtrArray *values = cms_attribute_values(attributes, oid);

	return values != NULL ? g_ptr_array_index(values, 0) : NULL;
}

/* The functions below take from `c`; one that fails leaves the reason in `c` itself. */
static gboolean fail_in(struct cursor *c, const struct cursor *inside)
{
	*c = *inside;
	return FALSE;
}

static gboolean insist_on_end(struct cursor *c, const struct cursor *inside, const char *field)
{
	if (cursor_left(inside) == 0)
		return TRUE;
	*c = *inside;
	return cursor_refuse(c, field, "%zu bytes too many", cursor_left(inside));
}

static gboolean take_values(struct cursor *c, struct cms_attribute *attribute, const char *field)
{
	struct cursor set;
	struct der value;

	attribute->values = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	if (!der_enter(c, DER_SET, &set, field))
		return FALSE;
	while (cursor_left(&set) > 0) {
		if (!der_take_any(&set, &value, field))
			return fail_in(c, &set);
		g_ptr_array_add(attribute->values, g_bytes_new(value.whole, value.whole_size));
	}
	if (attribute->values->len == 1)
		return TRUE;
	if (attribute->values->len > 1 && strcmp(attribute->oid, OID_NESTED_SIGNATURE) == 0)
		return TRUE;
	return cursor_refuse(
	    c, field, "attribute %s has %u values instead of one", attribute->oid, attribute->values->len);
}

static gboolean take_attributes(struct cursor *c, uint8_t tag, GPtrArray *attributes, const char *field)
{
	struct cursor set, one;

	if (!der_enter(c, tag, &set, field))
		return FALSE;
	while (cursor_left(&set) > 0) {
		struct cms_attribute *attribute = g_new0(struct cms_attribute, 1);
		g_ptr_array_add(attributes, attribute);
		if (!der_enter(&set, DER_SEQUENCE, &one, field) ||
		    (attribute->oid = der_take_oid(&one, field)) == NULL || !take_values(&one, attribute, field))
			return fail_in(c, &one);
		if (!insist_on_end(c, &one, field))
			return FALSE;
		for (guint i = 0; i + 1 < attributes->len; i++) {
			struct cms_attribute *other = g_ptr_array_index(attributes, i);
			if (strcmp(other->oid, attribute->oid) == 0)
				return cursor_refuse(c, field, "attribute %s stands twice", attribute->oid);
		}
	}
	return TRUE;
}

static const struct cms_hash *take_hash(struct cursor *c, const char *field)
{
	g_autofree char *oid = der_take_algorithm(c, NULL, field);
	const struct cms_hash *hash;
	const char *old;

	if (oid == NULL)
		return NULL;
	hash = cms_hash_of_oid(oid);
	old = cms_hash_old_name(oid);
	if (hash == NULL && old != NULL)
		cursor_refuse(c, field, "%s is broken and not accepted", old);
	else if (hash == NULL)
		cursor_refuse(c, field, "%s is not SHA-256, SHA-384 or SHA-512", oid);
	return hash;
}

static gboolean name_is(const X509_NAME *name, const struct der *element)
{
	const unsigned char *der;
	size_t size;

	return X509_NAME_get0_der(name, &der, &size) == 1 && size == element->whole_size &&
	       memcmp(der, element->whole, size) == 0;
}

static gboolean serial_is(const X509 *certificate, const struct der *element)
{
	const uint8_t *at = element->whole;
	ASN1_INTEGER *serial = d2i_ASN1_INTEGER(NULL, &at, element->whole_size);
	gboolean same = serial != NULL && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0;

	ASN1_INTEGER_free(serial);
	return same;
}

static gboolean key_id_is(X509 *certificate, const struct der *element)
{
	const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(certificate);

	return id != NULL && (size_t)ASN1_STRING_length(id) == element->size &&
	       memcmp(ASN1_STRING_get0_data(id), element->data, element->size) == 0;
}

/* SignerIdentifier: issuer and serial number (version 1), or subject key identifier (version 3). Exactly one certificate is it. */
static gboolean take_signer_id(struct cursor *c, guint version, const struct cms *cms, X509 **out)
{
	struct der issuer, number, id;
	struct cursor pair;
	gboolean by_key = version == 3;

	if (version != 1 && version != 3)
		return cursor_refuse(c, "signer's version", "%u is neither 1 nor 3", version);
	if (by_key ? !der_take(c, DER_CONTEXT_PRIMITIVE(0), &id, "signer's key id")
		   : !der_enter(c, DER_SEQUENCE, &pair, "signer's name"))
		return FALSE;
	if (!by_key && (!der_take(&pair, DER_SEQUENCE, &issuer, "issuer") ||
			   !der_take(&pair, DER_INTEGER, &number, "serial number")))
		return fail_in(c, &pair);
	if (!by_key && !insist_on_end(c, &pair, "signer's name"))
		return FALSE;
	*out = NULL;
	for (int i = 0; i < sk_X509_num(cms->certificates); i++) {
		X509 *x = sk_X509_value(cms->certificates, i);
		if (by_key ? !key_id_is(x, &id) : !name_is(X509_get_issuer_name(x), &issuer) || !serial_is(x, &number))
			continue;
		if (*out != NULL && X509_cmp(*out, x) != 0)
			return cursor_refuse(c, "signer", "two certificates answer to its name");
		*out = x;
	}
	return *out != NULL || cursor_refuse(c, "signer", "its certificate is not in the message");
}

static gboolean take_small(struct cursor *c, guint *out, const char *field)
{
	struct der value;

	if (!der_take(c, DER_INTEGER, &value, field))
		return FALSE;
	if (value.size != 1 || value.data[0] >= 0x80)
		return cursor_refuse(c, field, "not a small number");
	*out = value.data[0];
	return TRUE;
}

static GBytes *retag(const struct der *element, uint8_t tag)
{
	uint8_t *copy = g_memdup2(element->whole, element->whole_size);

	copy[0] = tag;
	return g_bytes_new_take(copy, element->whole_size);
}

/* contentType must be the content's own, messageDigest an OCTET STRING. */
static gboolean check_attributes(struct cursor *c, const struct cms *cms, struct cms_signer *signer)
{
	GBytes *type = cms_attribute_value(signer->attributes, OID_CONTENT_TYPE);
	GBytes *digest = cms_attribute_value(signer->attributes, OID_MESSAGE_DIGEST);
	g_autofree char *named = NULL;
	struct cursor inside;
	struct der value;

	if (type == NULL || digest == NULL)
		return cursor_refuse(
		    c, "signed attributes", "%s is missing", type == NULL ? "contentType" : "messageDigest");
	cursor_init(&inside, g_bytes_get_data(type, NULL), g_bytes_get_size(type));
	named = der_take_oid(&inside, "contentType");
	if (named == NULL || cursor_left(&inside) > 0 || strcmp(named, cms->content_type) != 0)
		return cursor_refuse(c, "signed attributes", "contentType is not the content's");
	cursor_init(&inside, g_bytes_get_data(digest, NULL), g_bytes_get_size(digest));
	if (!der_take(&inside, DER_OCTETS, &value, "messageDigest") ||
	    value.size != (size_t)EVP_MD_get_size(signer->hash->md()))
		return cursor_refuse(c, "signed attributes", "messageDigest is not a %s", signer->hash->name);
	signer->attributes_digest = g_bytes_new(value.data, value.size);
	return TRUE;
}

static gboolean take_signer(struct cursor *all, const struct cms *cms, const GPtrArray *announced)
{
	struct cms_signer *signer = g_new0(struct cms_signer, 1);
	struct cursor c, peek;
	struct der signature, attributes, parameters;
	guint version;

	g_ptr_array_add(cms->signers, signer);
	signer->attributes = g_ptr_array_new_with_free_func(attribute_free);
	signer->unsigned_attributes = g_ptr_array_new_with_free_func(attribute_free);
	if (!der_enter(all, DER_SEQUENCE, &c, "signer") || !take_small(&c, &version, "signer's version") ||
	    !take_signer_id(&c, version, cms, &signer->certificate) ||
	    (signer->hash = take_hash(&c, "signer's digest algorithm")) == NULL)
		return fail_in(all, &c);
	if (!g_ptr_array_find((GPtrArray *)announced, signer->hash, NULL)) {
		cursor_refuse(&c, "signer's digest algorithm", "the message does not announce it");
		return fail_in(all, &c);
	}
	if (!der_next_is(&c, DER_CONTEXT(0))) {
		cursor_refuse(&c, "signed attributes", "there are none");
		return fail_in(all, &c);
	}
	peek = c;
	der_take_any(&peek, &attributes, "signed attributes");
	if (!take_attributes(&c, DER_CONTEXT(0), signer->attributes, "signed attributes") ||
	    !check_attributes(&c, cms, signer) ||
	    (signer->algorithm = der_take_algorithm(&c, &parameters, "signature algorithm")) == NULL ||
	    !der_take(&c, DER_OCTETS, &signature, "signature"))
		return fail_in(all, &c);
	signer->parameters = parameters.whole_size > 0 ? g_bytes_new(parameters.whole, parameters.whole_size) : NULL;
	signer->to_be_signed = retag(&attributes, DER_SET);
	signer->signature = g_bytes_new(signature.data, signature.size);
	if (der_next_is(&c, DER_CONTEXT(1)) &&
	    !take_attributes(&c, DER_CONTEXT(1), signer->unsigned_attributes, "unsigned attributes"))
		return fail_in(all, &c);
	return insist_on_end(all, &c, "signer");
}

static gboolean take_content(struct cursor *all, struct cms *cms)
{
	struct cursor c, wrapped;
	struct der content;

	if (!der_enter(all, DER_SEQUENCE, &c, "content") || (cms->content_type = der_take_oid(&c, "content type")) == NULL)
		return fail_in(all, &c);
	if (cursor_left(&c) == 0)
		return TRUE;
	if (!der_enter(&c, DER_CONTEXT(0), &wrapped, "content") || !der_take_any(&wrapped, &content, "content"))
		return fail_in(all, &wrapped);
	if (content.tag != DER_OCTETS && content.tag != DER_SEQUENCE)
		return cursor_refuse(all, "content", "neither an OCTET STRING nor a SEQUENCE");
	cms->content = g_bytes_new(content.data, content.size);
	cms->content_element = g_bytes_new(content.whole, content.whole_size);
	return insist_on_end(all, &wrapped, "content") && insist_on_end(all, &c, "content");
}

static gboolean take_certificates(struct cursor *all, struct cms *cms)
{
	struct cursor c;
	struct der element;

	cms->certificates = sk_X509_new_null();
	if (!der_next_is(all, DER_CONTEXT(0)))
		return TRUE;
	if (!der_enter(all, DER_CONTEXT(0), &c, "certificates"))
		return FALSE;
	while (cursor_left(&c) > 0) {
		X509 *x;
		if (!der_take(&c, DER_SEQUENCE, &element, "certificate"))
			return fail_in(all, &c);
		x = d2i_X509(NULL, &(const uint8_t *){ element.whole }, element.whole_size);
		if (x == NULL) {
			ERR_clear_error();
			return cursor_refuse(all, "certificate", "not a certificate");
		}
		sk_X509_push(cms->certificates, x);
		if (sk_X509_num(cms->certificates) > CERTIFICATES_MAX)
			return cursor_refuse(all, "certificates", "more than %d", CERTIFICATES_MAX);
	}
	return TRUE;
}

static gboolean take_announced(struct cursor *all, GPtrArray *announced)
{
	struct cursor c;

	if (!der_enter(all, DER_SET, &c, "digest algorithms"))
		return FALSE;
	while (cursor_left(&c) > 0) {
		const struct cms_hash *hash = take_hash(&c, "digest algorithms");
		if (hash == NULL)
			return fail_in(all, &c);
		g_ptr_array_add(announced, (gpointer)hash);
	}
	return TRUE;
}

static gboolean take_signers(struct cursor *all, struct cms *cms, const GPtrArray *announced)
{
	struct cursor c;

	cms->signers = g_ptr_array_new_with_free_func(signer_free);
	if (!der_enter(all, DER_SET, &c, "signers"))
		return FALSE;
	if (cursor_left(&c) == 0)
		return cursor_refuse(all, "signers", "nobody signed this message");
	while (cursor_left(&c) > 0) {
		if (cms->signers->len == SIGNERS_MAX)
			return cursor_refuse(all, "signers", "more than %d", SIGNERS_MAX);
		if (!take_signer(&c, cms, announced))
			return fail_in(all, &c);
	}
	return TRUE;
}

/* Whichever of these its contents call for (RFC 5652 5.1): tools differ, and nothing hangs on it. */
static gboolean take_version(struct cursor *c)
{
	guint version = 0;

	if (!take_small(c, &version, "version"))
		return FALSE;
	return version == 1 || (version >= 3 && version <= 5) ||
	       cursor_refuse(c, "version", "SignedData has no version %u", version);
}

static gboolean take_signed_data(struct cursor *all, struct cms *cms)
{
	g_autoptr(GPtrArray) announced = g_ptr_array_new();
	g_autofree char *type = NULL;
	struct cursor info, wrapped, c;
	struct der lists;

	if (!der_enter(all, DER_SEQUENCE, &info, "message") || (type = der_take_oid(&info, "message's type")) == NULL)
		return fail_in(all, &info);
	if (strcmp(type, OID_SIGNED_DATA) != 0)
		return cursor_refuse(all, "message's type", "%s is not SignedData", type);
	if (!der_enter(&info, DER_CONTEXT(0), &wrapped, "message") || !der_enter(&wrapped, DER_SEQUENCE, &c, "message"))
		return fail_in(all, &wrapped);
	if (!take_version(&c) || !take_announced(&c, announced) || !take_content(&c, cms) || !take_certificates(&c, cms))
		return fail_in(all, &c);
	if (der_next_is(&c, DER_CONTEXT(1)) && !der_take_any(&c, &lists, "revocation lists"))
		return fail_in(all, &c);
	if (!take_signers(&c, cms, announced))
		return fail_in(all, &c);
	return insist_on_end(all, &c, "message") && insist_on_end(all, &wrapped, "message") &&
	       insist_on_end(all, &info, "message");
}

struct cms *cms_read(GBytes *der, const char *what, GError **error)
{
	autoptr(cms) cms = g_new0(struct cms, 1);
	struct cursor c;
	gsize size;
	const void *data = g_bytes_get_data(der, &size);

	if (!der_check(data, size, what, error))
		return NULL;
	cms->der = g_bytes_ref(der);
	cursor_init(&c, data, size);
	if (!take_signed_data(&c, cms))
		return (void)cursor_fail(&c, what, error), NULL;
	return cursor_end(&c, what, error) ? g_steal_pointer(&cms) : NULL;
}

/* EVP_DigestVerify() over the attributes; RSA PKCS#1 v1.5 is its default padding. */
static gboolean verifies(EVP_PKEY *key, const struct cms_hash *hash, GBytes *to_be_signed, GBytes *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	gsize size, signature_size;
	const uint8_t *data = g_bytes_get_data(to_be_signed, &size);
	const uint8_t *value = g_bytes_get_data(signature, &signature_size);
	gboolean good = EVP_DigestVerifyInit(context, NULL, hash->md(), NULL, key) == 1 &&
			EVP_DigestVerify(context, value, signature_size, data, size) == 1;

	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good;
}

char *cms_signer_flaw(const struct cms_signer *signer)
{
	EVP_PKEY *key = X509_get0_pubkey(signer->certificate);
	int kind = key != NULL ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE;
	gboolean rsa = strcmp(signer->algorithm, OID_RSA) == 0 || strcmp(signer->algorithm, signer->hash->rsa) == 0;
	gboolean ecdsa = strcmp(signer->algorithm, signer->hash->ecdsa) == 0;

	if (!rsa && !ecdsa)
		return g_strdup_printf("its signature algorithm %s is neither RSA PKCS#1 v1.5 nor ECDSA with %s",
		    signer->algorithm, signer->hash->name);
	if (kind != (rsa ? EVP_PKEY_RSA : EVP_PKEY_EC))
		return g_strdup("its signature algorithm is not that of the certificate's key");
	if (!verifies(key, signer->hash, signer->to_be_signed, signer->signature))
		return g_strdup("the signature value does not verify with the signer's certificate");
	return NULL;
}

gboolean cms_signature_verifies(
    X509 *certificate, const struct cms_hash *hash, GBytes *to_be_signed, GBytes *signature, GError **error)
{
	EVP_PKEY *key = X509_get0_pubkey(certificate);

	if (key != NULL && verifies(key, hash, to_be_signed, signature))
		return TRUE;
	error_refused(error, "the signature made does not verify with the certificate: it belongs to another key");
	return FALSE;
}
