/*
 * CMS SignedData (RFC 5652; PKCS#7 1.5 for Authenticode), read byte-exactly by our own DER: the common ground of people's X.509
 * signatures and of signer/'s formats and timestamps. A signature is verified over the attributes as they stand in the file.
 */
#pragma once

#include <glib.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "gitops/base/error.h"
#include "gitops/base/der.h"

#define OID_SIGNED_DATA "1.2.840.113549.1.7.2"
#define OID_DATA "1.2.840.113549.1.7.1"
#define OID_CONTENT_TYPE "1.2.840.113549.1.9.3"
#define OID_MESSAGE_DIGEST "1.2.840.113549.1.9.4"
#define OID_SIGNING_TIME "1.2.840.113549.1.9.5"
#define OID_SIGNING_CERTIFICATE "1.2.840.113549.1.9.16.2.12"
#define OID_SIGNING_CERTIFICATE_V2 "1.2.840.113549.1.9.16.2.47"
#define OID_TIMESTAMP_TOKEN "1.2.840.113549.1.9.16.2.14"
#define OID_AUTHENTICODE_TOKEN "1.3.6.1.4.1.311.3.3.1"
#define OID_NESTED_SIGNATURE "1.3.6.1.4.1.311.2.4.1"
#define OID_SPC_INDIRECT_DATA "1.3.6.1.4.1.311.2.1.4"
#define OID_TST_INFO "1.2.840.113549.1.9.16.1.4"

/* A hash that we sign with and accept: SHA-256, -384, -512. */
struct cms_hash {
	const char *name, *oid;
	const EVP_MD *(*md)(void);
	const char *ecdsa; /* OID of ECDSA with it */
	const char *rsa; /* OID of RSA PKCS#1 v1.5 with it; signers mostly write rsaEncryption */
};
const struct cms_hash *cms_hash_named(const char *name); /* NULL: "sha256"; NULL if there is none */
const struct cms_hash *cms_hash_of_oid(const char *oid);
const char *cms_hash_old_name(const char *oid); /* "MD5", "SHA-1": refused by name; else NULL */

struct cms_attribute {
	char *oid;
	GPtrArray *values; /* GBytes, each one whole element */
};

struct cms_signer {
	const struct cms_hash *hash;
	char *algorithm; /* OID of the signature's algorithm */
	GBytes *parameters; /* of that algorithm, one whole element; NULL: none, or NULL */
	GBytes *to_be_signed; /* the signed attributes as they stand, re-tagged as SET */
	GBytes *attributes_digest; /* messageDigest */
	GBytes *signature;
	GPtrArray *attributes, *unsigned_attributes; /* struct cms_attribute */
	X509 *certificate; /* borrowed from the message's certificates */
};

struct cms {
	GBytes *der; /* the whole ContentInfo */
	char *content_type;
	GBytes *content; /* contents octets of what eContent holds (an OCTET STRING, or Authenticode's SEQUENCE); NULL: detached */
	GBytes *content_element; /* with tag and length */
	STACK_OF(X509) * certificates;
	GPtrArray *signers; /* struct cms_signer, at least one */
};

/*
 * REFUSED, each with offset and field: not DER down to the last leaf, trailing bytes, no signer, a signer whose certificate is
 * missing, no signed attributes, an attribute twice or with other than one value (nested signatures may have several),
 * contentType not that of the content, a digest not announced, MD5 or SHA-1.
 */
struct cms *cms_read(GBytes *der, const char *what, GError **error);
void cms_free(struct cms *cms);
DEFINE_CLEANUP(cms, cms_free)
/* The only value of an attribute, or NULL. Borrowed. */
GBytes *cms_attribute_value(GPtrArray *attributes, const char *oid);
GPtrArray *cms_attribute_values(GPtrArray *attributes, const char *oid);

/* NULL if the signature value verifies with the signer's certificate over its attributes, else why not. Caller frees. */
char *cms_signer_flaw(const struct cms_signer *signer);
/* The same for what people sign with: RSA-PSS (RFC 4056) and Ed25519 (RFC 8419) are good too, and the odd forms of gpgsm and
 * smimesign. */
char *cms_signer_flaw_any(const struct cms_signer *signer);
/* The ESS attributes (RFC 5035, RFC 2634), where they stand, must name the certificate used: NULL, or the flaw. Static text. */
const char *cms_certificate_id_flaw(const struct cms_signer *signer);
/* The same for a signature not yet in a message: RSA PKCS#1 v1.5 or ECDSA in DER. */
gboolean cms_signature_verifies(
    X509 *certificate, const struct cms_hash *hash, GBytes *to_be_signed, GBytes *signature, GError **error);
