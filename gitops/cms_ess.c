/* Which certificate a signer says it used: signingCertificateV2 (RFC 5035) and the older signingCertificate (RFC 2634). */
#include <openssl/x509.h>
#include <string.h>

#include "gitops/cms.h"

#define MALFORMED "its signing certificate attribute is malformed"
#define ANOTHER "its signing certificate attribute names another certificate"

static gboolean hash_matches(X509 *certificate, const EVP_MD *md, const struct der *claimed)
{
	uint8_t actual[EVP_MAX_MD_SIZE];

	X509_digest(certificate, md, actual, NULL);
	return claimed->size == (size_t)EVP_MD_get_size(md) && memcmp(actual, claimed->data, claimed->size) == 0;
}

/* IssuerSerial { GeneralNames { [4] Name }, serialNumber }; other kinds of names are not looked at. */
static const char *issuer_flaw(X509 *certificate, struct cursor *id)
{
	struct cursor pair, names, name;
	struct der serial, issuer;
	const unsigned char *der;
	size_t size;
	uint8_t *own = NULL;
	int own_size = i2d_ASN1_INTEGER(X509_get0_serialNumber(certificate), &own);
	gboolean same;

	if (!der_enter(id, DER_SEQUENCE, &pair, "issuerSerial") || !der_enter(&pair, DER_SEQUENCE, &names, "issuer") ||
	    !der_take(&pair, DER_INTEGER, &serial, "serialNumber")) {
		OPENSSL_free(own);
		return MALFORMED;
	}
	same = (size_t)own_size == serial.whole_size && memcmp(own, serial.whole, own_size) == 0;
	OPENSSL_free(own);
	if (same && der_next_is(&names, DER_CONTEXT(4))) {
		X509_NAME_get0_der(X509_get_issuer_name(certificate), &der, &size);
		same = der_enter(&names, DER_CONTEXT(4), &name, "issuer") &&
		       der_take(&name, DER_SEQUENCE, &issuer, "issuer") && issuer.whole_size == size &&
		       memcmp(issuer.whole, der, size) == 0;
	}
	return same ? NULL : ANOTHER;
}

/* The first id of the list is the signer's. */
static const char *id_flaw(X509 *certificate, GBytes *value, gboolean second_version)
{
	g_autofree char *oid = NULL;
	const EVP_MD *md = second_version ? EVP_sha256() : EVP_sha1();
	const struct cms_hash *hash;
	struct cursor c, outer, list, id;
	struct der digest;

	cursor_init(&c, g_bytes_get_data(value, NULL), g_bytes_get_size(value));
	if (!der_enter(&c, DER_SEQUENCE, &outer, "certificates") || !der_enter(&outer, DER_SEQUENCE, &list, "list") ||
	    !der_enter(&list, DER_SEQUENCE, &id, "id"))
		return MALFORMED;
	if (second_version && der_next_is(&id, DER_SEQUENCE)) {
		oid = der_take_algorithm(&id, NULL, "hash");
		hash = oid != NULL ? cms_hash_of_oid(oid) : NULL;
		if (hash == NULL)
			return MALFORMED;
		md = hash->md();
	}
	if (!der_take(&id, DER_OCTETS, &digest, "certHash"))
		return MALFORMED;
	if (!hash_matches(certificate, md, &digest))
		return ANOTHER;
	return cursor_left(&id) > 0 ? issuer_flaw(certificate, &id) : NULL;
}

const char *cms_certificate_id_flaw(const struct cms_signer *signer)
{
	GBytes *second = cms_attribute_value(signer->attributes, OID_SIGNING_CERTIFICATE_V2);
	GBytes *first = cms_attribute_value(signer->attributes, OID_SIGNING_CERTIFICATE);
	const char *flaw = second != NULL ? id_flaw(signer->certificate, second, TRUE) : NULL;

	return flaw == NULL && first != NULL ? id_flaw(signer->certificate, first, FALSE) : flaw;
}
