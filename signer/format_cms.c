/*
 * Detached CMS (.p7s, DER) over any file: CAdES-BES, with a signature timestamp CAdES-T (RFC 5652, RFC 5035, ETSI EN 319 122-1).
 * Signed attributes: contentType, messageDigest, signingTime (that of the parameters), signingCertificateV2.
 */
#include <openssl/pem.h>
#include <string.h>
#include <time.h>

#include "gitops/base/bytes.h"
#include "signer/certificate.h"
#include "signer/cms_write.h"
#include "signer/file_digest.h"
#include "signer/format.h"

extern const struct format format_cms;

#define SIGNATURE_MAX (16 * 1024 * 1024)

static gboolean supports(const char *type G_GNUC_UNUSED)
{
	return TRUE;
}

static const struct cms_hash *hash_of(const char *name, GError **error)
{
	const struct cms_hash *hash = cms_hash_named(name);

	if (hash == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "CMS signatures have no hash \"%s\": sha256, sha384 or sha512", name);
	return hash;
}

static gboolean cms_digest(int fd, const struct format_parameters *p, struct format_digest *out, GError **error)
{
	const struct cms_hash *hash = hash_of(p->hash, error);

	memset(out, 0, sizeof(*out));
	if (hash == NULL || !file_digest(fd, hash->md(), out->value, out->content, &out->file_size, error))
		return FALSE;
	out->hash = g_strdup(hash->name);
	out->size = EVP_MD_get_size(hash->md());
	return TRUE;
}

static GBytes *taken(GByteArray *out)
{
	return g_byte_array_free_to_bytes(out);
}

static GBytes *content_type(void)
{
	GByteArray *out = g_byte_array_new();

	der_write_oid(out, OID_DATA);
	return taken(out);
}

static GBytes *message_digest(const struct format_digest *d)
{
	GByteArray *out = g_byte_array_new();

	der_write(out, DER_OCTETS, d->value, d->size);
	return taken(out);
}

/* UTCTime through 2049, GeneralizedTime from then on (RFC 5652, 11.3). */
static GBytes *signing_time(int64_t time_ms)
{
	GByteArray *out = g_byte_array_new();
	time_t seconds = time_ms / 1000;
	struct tm tm;
	gboolean late;
	char text[32];

	gmtime_r(&seconds, &tm);
	late = tm.tm_year + 1900 >= 2050;
	strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm);
	if (late)
		der_write(out, DER_GENERALIZED_TIME, text, strlen(text));
	else
		der_write(out, DER_UTC_TIME, text + 2, strlen(text) - 2);
	return taken(out);
}

/* SigningCertificateV2 { { ESSCertIDv2 { certHash by SHA-256 (the default: left out), issuerSerial } } } */
static GBytes *signing_certificate(X509 *leaf)
{
	GByteArray *out = g_byte_array_new();
	size_t marks[5];
	uint8_t hash[32], *serial = NULL;
	const unsigned char *name;
	size_t name_size;
	int serial_size = i2d_ASN1_INTEGER(X509_get0_serialNumber(leaf), &serial);

	X509_digest(leaf, EVP_sha256(), hash, NULL);
	X509_NAME_get0_der(X509_get_issuer_name(leaf), &name, &name_size);
	for (guint i = 0; i < 3; i++)
		marks[i] = der_open(out, DER_SEQUENCE);
	der_write(out, DER_OCTETS, hash, sizeof(hash));
	marks[3] = der_open(out, DER_SEQUENCE);
	marks[4] = der_open(out, DER_SEQUENCE);
	der_write(out, DER_CONTEXT(4), name, name_size);
	der_close(out, marks[4]);
	g_byte_array_append(out, serial, serial_size);
	for (int i = 3; i >= 0; i--)
		der_close(out, marks[i]);
	OPENSSL_free(serial);
	return taken(out);
}

static GBytes *attributes_of(const struct format_digest *d, const struct format_parameters *p, X509 *leaf)
{
	g_autoptr(GPtrArray) attributes = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	GByteArray *out = g_byte_array_new();

	cms_attribute_add(attributes, OID_CONTENT_TYPE, content_type());
	cms_attribute_add(attributes, OID_MESSAGE_DIGEST, message_digest(d));
	cms_attribute_add(attributes, OID_SIGNING_TIME, signing_time(p->time_ms));
	cms_attribute_add(attributes, OID_SIGNING_CERTIFICATE_V2, signing_certificate(leaf));
	der_write_set(out, DER_SET, attributes);
	return taken(out);
}

static GBytes *to_be_signed(const struct format_digest *d, const struct format_parameters *p, GError **error)
{
	STACK_OF(X509) *certificates =
	    hash_of(d->hash, error) != NULL ? certificates_load(p->certificates, p->time_ms, error) : NULL;
	GBytes *attributes;

	if (certificates == NULL)
		return NULL;
	attributes = attributes_of(d, p, sk_X509_value(certificates, 0));
	sk_X509_pop_free(certificates, X509_free);
	return attributes;
}

static gboolean attach(int in G_GNUC_UNUSED, int out, const struct format_digest *d, const struct format_parameters *p,
    GBytes *signature, GBytes *token, GError **error)
{
	STACK_OF(X509) *certificates = certificates_load(p->certificates, p->time_ms, error);
	g_autoptr(GBytes) attributes = certificates != NULL ? to_be_signed(d, p, error) : NULL;
	g_autoptr(GBytes) cms = NULL;

	if (attributes != NULL)
		cms = cms_write(&(struct cms_recipe){ .content_type = OID_DATA,
				    .certificates = certificates,
				    .hash = cms_hash_named(d->hash),
				    .attributes = attributes,
				    .signature = signature,
				    .token_oid = OID_TIMESTAMP_TOKEN,
				    .token = token },
		    error);
	sk_X509_pop_free(certificates, X509_free);
	return cms != NULL && fd_write_all(out, g_bytes_get_data(cms, NULL), g_bytes_get_size(cms), error);
}

/* DER as it is, or out of its PEM armour ("CMS" or "PKCS7"), behind which nothing may stand. */
static GBytes *unarmour(GBytes *detached, GError **error)
{
	gsize size;
	const char *text = g_bytes_get_data(detached, &size);
	static const char *const labels[] = { "CMS", "PKCS7" };

	if (size > SIGNATURE_MAX) {
		error_refused(error, "a detached signature of more than 16 MiB");
		return NULL;
	}
	for (guint i = 0; i < G_N_ELEMENTS(labels); i++) {
		g_autofree char *begin = g_strdup_printf("-----BEGIN %s-----\n", labels[i]);
		g_autofree char *end = g_strdup_printf("-----END %s-----", labels[i]);
		size_t start = strlen(begin);
		const char *stop;
		GBytes *der;
		if (size < start || memcmp(text, begin, start) != 0)
			continue;
		stop = g_strstr_len(text, size, end);
		der = stop != NULL ? base64_decode_strict(text + start, stop - text - start, TRUE) : NULL;
		if (der != NULL && text + size - stop - strlen(end) <= 1)
			return der;
		g_clear_pointer(&der, g_bytes_unref);
		error_refused(error, "the signature's PEM armour is damaged or something follows it");
		return NULL;
	}
	return g_bytes_ref(detached);
}

static gboolean read_signer(
    int fd, const struct cms *cms, const struct cms_signer *signer, GPtrArray *found, GError **error)
{
	struct format_signature *s = g_new0(struct format_signature, 1);
	GBytes *token = cms_attribute_value(signer->unsigned_attributes, OID_TIMESTAMP_TOKEN);
	gsize size;
	const uint8_t *claimed = g_bytes_get_data(signer->attributes_digest, &size);
	g_autofree char *hex = hex_encode(claimed, size);
	uint8_t actual[EVP_MAX_MD_SIZE];
	uint64_t file_size;

	g_ptr_array_add(found, s);
	s->format = g_strdup("cms");
	s->digest = g_strdup_printf("%s:%s", signer->hash->name, hex);
	s->certificate = signer->certificate;
	X509_up_ref(s->certificate);
	s->key = certificate_sha256(s->certificate);
	s->signature = g_bytes_ref(signer->signature);
	s->cms = g_bytes_ref(cms->der);
	s->token = token != NULL ? g_bytes_ref(token) : NULL;
	if (!file_digest(fd, signer->hash->md(), actual, NULL, &file_size, error))
		return FALSE;
	s->digest_matches = memcmp(actual, claimed, size) == 0;
	s->why = cms_signer_flaw(signer);
	if (s->why == NULL)
		s->why = g_strdup(cms_certificate_id_flaw(signer));
	s->intact = s->why == NULL;
	if (!s->digest_matches && s->intact)
		s->why = g_strdup("the file's digest is not the one that was signed: the file was changed");
	return TRUE;
}

static GPtrArray *cms_format_read(int fd, GBytes *detached, GBytes *keys G_GNUC_UNUSED, GError **error)
{
	g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)format_signature_free);
	g_autoptr(GBytes) der = NULL;
	autoptr(cms) cms = NULL;

	if (detached == NULL)
		return g_steal_pointer(&found);
	if ((der = unarmour(detached, error)) == NULL || (cms = cms_read(der, "CMS signature", error)) == NULL)
		return NULL;
	if (cms->content != NULL) {
		error_refused(error, "the signature carries content of its own, so it is not one beside the file");
		return NULL;
	}
	if (strcmp(cms->content_type, OID_DATA) != 0) {
		error_refused(
		    error, "the signature is over content of type %s, not over a file's data", cms->content_type);
		return NULL;
	}
	for (guint i = 0; i < cms->signers->len; i++)
		if (!read_signer(fd, cms, g_ptr_array_index(cms->signers, i), found, error))
			return NULL;
	return g_steal_pointer(&found);
}

const struct format format_cms = {
	.name = "cms",
	.suffix = ".p7s",
	.stamped = TRUE,
	.supports = supports,
	.linear = TRUE,
	.digest = cms_digest,
	.to_be_signed = to_be_signed,
	.attach = attach,
	.read = cms_format_read,
};
