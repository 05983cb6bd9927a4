/* Signature algorithms that people's keys use and that no artifact of ours is signed with. */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "gitops/cms.h"

#define OID_PSS "1.2.840.113549.1.1.10"
#define OID_MGF1 "1.2.840.113549.1.1.8"
#define OID_ED25519 "1.3.101.112"
#define OID_EC_KEY "1.2.840.10045.2.1"
#define ANOTHER_KEY "its signature algorithm is not that of the certificate's key"
#define BAD_VALUE "the signature value does not verify with the signer's certificate"

static gboolean algorithm_is(const X509_ALGOR *algorithm, const char *oid)
{
	const ASN1_OBJECT *object = NULL;
	char text[80] = "";

	if (algorithm != NULL)
		X509_ALGOR_get0(&object, NULL, NULL, algorithm);
	if (object != NULL)
		OBJ_obj2txt(text, sizeof(text), object, TRUE);
	return strcmp(text, oid) == 0;
}

static gboolean hash_is(const X509_ALGOR *algorithm, const char *oid)
{
	int type = V_ASN1_UNDEF;

	if (algorithm != NULL)
		X509_ALGOR_get0(NULL, &type, NULL, algorithm);
	return algorithm_is(algorithm, oid) && (type == V_ASN1_UNDEF || type == V_ASN1_NULL);
}

/* MGF1's parameter is the hash that it uses. */
static gboolean mask_is(const X509_ALGOR *mask, const char *hash)
{
	const void *value = NULL;
	const uint8_t *at;
	int type = V_ASN1_UNDEF;
	X509_ALGOR *inner;
	gboolean same;

	if (!algorithm_is(mask, OID_MGF1))
		return FALSE;
	X509_ALGOR_get0(NULL, &type, &value, mask);
	if (type != V_ASN1_SEQUENCE)
		return FALSE;
	at = ASN1_STRING_get0_data(value);
	inner = d2i_X509_ALGOR(NULL, &at, ASN1_STRING_length(value));
	same = hash_is(inner, hash);
	X509_ALGOR_free(inner);
	return same;
}

/* The salt's length, if the parameters name the signer's hash in both places (what is left out means SHA-1); else -1. */
static int salt_length(const struct cms_signer *signer)
{
	const uint8_t *at = signer->parameters != NULL ? g_bytes_get_data(signer->parameters, NULL) : NULL;
	RSA_PSS_PARAMS *pss = at != NULL ? d2i_RSA_PSS_PARAMS(NULL, &at, g_bytes_get_size(signer->parameters)) : NULL;
	int64_t salt = 20;
	gboolean good = pss != NULL && hash_is(pss->hashAlgorithm, signer->hash->oid) &&
			mask_is(pss->maskGenAlgorithm, signer->hash->oid) &&
			(pss->saltLength == NULL || ASN1_INTEGER_get_int64(&salt, pss->saltLength) == 1) && salt >= 0 &&
			salt <= 2048 && (pss->trailerField == NULL || ASN1_INTEGER_get(pss->trailerField) == 1);

	RSA_PSS_PARAMS_free(pss);
	return good ? (int)salt : -1;
}

/* salt -1: Ed25519, which hashes by itself. */
static gboolean verifies(const struct cms_signer *signer, EVP_PKEY *key, int salt)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *options = NULL;
	const EVP_MD *md = salt >= 0 ? signer->hash->md() : NULL;
	gsize size, signature_size;
	const uint8_t *data = g_bytes_get_data(signer->to_be_signed, &size);
	const uint8_t *value = g_bytes_get_data(signer->signature, &signature_size);
	gboolean good = EVP_DigestVerifyInit(context, &options, md, NULL, key) == 1 &&
			(salt < 0 || (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
					 EVP_PKEY_CTX_set_rsa_mgf1_md(options, md) == 1 &&
					 EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salt) == 1)) &&
			EVP_DigestVerify(context, value, signature_size, data, size) == 1;

	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good;
}

/* gpgsm leaves out the zeros with which an RSA signature may begin; it must be as long as the modulus (RFC 8017 8.2.1). */
static GBytes *rsa_signature(const struct cms_signer *signer, EVP_PKEY *key)
{
	gsize size, whole = EVP_PKEY_get_size(key);
	const uint8_t *value = g_bytes_get_data(signer->signature, &size);
	uint8_t *padded;

	if (size == 0 || size >= whole)
		return g_bytes_ref(signer->signature);
	padded = g_malloc0(whole);
	memcpy(padded + whole - size, value, size);
	return g_bytes_new_take(padded, whole);
}

/* RSA PKCS#1 v1.5 and ECDSA, which earlier gitsign and smimesign name by the key's algorithm alone. */
static char *plain_flaw(const struct cms_signer *signer, EVP_PKEY *key)
{
	struct cms_signer plain = *signer;
	gboolean rsa = EVP_PKEY_is_a(key, "RSA");
	g_autoptr(GBytes) signature = rsa ? rsa_signature(signer, key) : g_bytes_ref(signer->signature);

	if (signer->parameters != NULL)
		return g_strdup_printf("its signature algorithm %s has parameters", signer->algorithm);
	plain.signature = signature;
	if (strcmp(signer->algorithm, OID_EC_KEY) == 0)
		plain.algorithm = (char *)signer->hash->ecdsa;
	return cms_signer_flaw(&plain);
}

static char *pss_flaw(const struct cms_signer *signer, EVP_PKEY *key)
{
	int salt = salt_length(signer);

	if (!EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "RSA-PSS"))
		return g_strdup(ANOTHER_KEY);
	if (salt < 0)
		return g_strdup_printf("its RSA-PSS parameters are not those of %s in both places", signer->hash->name);
	return verifies(signer, key, salt) ? NULL : g_strdup(BAD_VALUE);
}

static char *ed25519_flaw(const struct cms_signer *signer, EVP_PKEY *key)
{
	if (!EVP_PKEY_is_a(key, "ED25519"))
		return g_strdup(ANOTHER_KEY);
	if (signer->parameters != NULL)
		return g_strdup("its signature algorithm Ed25519 has parameters");
	if (strcmp(signer->hash->name, "sha512") != 0)
		return g_strdup("its digest algorithm is not SHA-512, which Ed25519 needs in CMS");
	return verifies(signer, key, -1) ? NULL : g_strdup(BAD_VALUE);
}

char *cms_signer_flaw_any(const struct cms_signer *signer)
{
	EVP_PKEY *key = X509_get0_pubkey(signer->certificate);

	if (key == NULL)
		return g_strdup("the certificate's key cannot be read");
	if (strcmp(signer->algorithm, OID_PSS) == 0)
		return pss_flaw(signer, key);
	if (strcmp(signer->algorithm, OID_ED25519) == 0)
		return ed25519_flaw(signer, key);
	return plain_flaw(signer, key);
}
