/* Signature algorithms that people's keys use and that no artifact of ours is signed with. */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "gitops/cms.h"

#define OID_PSS "1.2.840.113549.1.1.10"
#define OID_MGF1 "1.2.840.113549.1.1.8"
#define OID_ED25519 "1.3.101.112"

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
	same = algorithm_is(inner, hash);
	X509_ALGOR_free(inner);
	return same;
}

/* The salt's length, if the parameters name the signer's hash in both places (what is left out means SHA-1); else -1. */
static int salt_length(const struct cms_signer *signer)
{
	const uint8_t *at = signer->parameters != NULL ? g_bytes_get_data(signer->parameters, NULL) : NULL;
	RSA_PSS_PARAMS *pss = at != NULL ? d2i_RSA_PSS_PARAMS(NULL, &at, g_bytes_get_size(signer->parameters)) : NULL;
	int64_t salt = 20;
	gboolean good = pss != NULL && algorithm_is(pss->hashAlgorithm, signer->hash->oid) &&
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

char *cms_signer_flaw_any(const struct cms_signer *signer)
{
	EVP_PKEY *key = X509_get0_pubkey(signer->certificate);
	gboolean pss = strcmp(signer->algorithm, OID_PSS) == 0;
	gboolean ed25519 = strcmp(signer->algorithm, OID_ED25519) == 0;
	int salt = pss ? salt_length(signer) : -1;

	if (!pss && signer->parameters != NULL)
		return g_strdup_printf("its signature algorithm %s has parameters", signer->algorithm);
	if (!pss && !ed25519)
		return cms_signer_flaw(signer);
	if (key == NULL ||
	    (pss ? !EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "RSA-PSS") : !EVP_PKEY_is_a(key, "ED25519")))
		return g_strdup("its signature algorithm is not that of the certificate's key");
	if (pss && salt < 0)
		return g_strdup_printf("its RSA-PSS parameters are not those of %s in both places", signer->hash->name);
	if (ed25519 && strcmp(signer->hash->name, "sha512") != 0)
		return g_strdup("its digest algorithm is not SHA-512, which Ed25519 needs in CMS");
	if (!verifies(signer, key, salt))
		return g_strdup("the signature value does not verify with the signer's certificate");
	return NULL;
}
