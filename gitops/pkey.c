#include "gitops/pkey.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ECDSA_SIG, ECDSA_SIG_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OSSL_PARAM, OSSL_PARAM_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIGNUM, BN_free)

static EVP_PKEY *pkey_from(const char *algorithm, OSSL_PARAM_BLD *build)
{
	g_autoptr(OSSL_PARAM) params = OSSL_PARAM_BLD_to_param(build);
	g_autoptr(EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
	EVP_PKEY *pkey = NULL;

	if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return NULL;
	return pkey;
}

EVP_PKEY *pkey_ed25519(struct span point)
{
	return point.size == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point.data, point.size) : NULL;
}

EVP_PKEY *pkey_ec(const char *group, struct span point)
{
	g_autoptr(OSSL_PARAM_BLD) build = OSSL_PARAM_BLD_new();

	if (point.size == 0 || point.data[0] != POINT_CONVERSION_UNCOMPRESSED ||
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) != 1 ||
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.size) != 1)
		return NULL;
	return pkey_from("EC", build);
}

EVP_PKEY *pkey_rsa(struct span modulus, struct span exponent)
{
	g_autoptr(OSSL_PARAM_BLD) build = OSSL_PARAM_BLD_new();
	g_autoptr(BIGNUM) n = BN_bin2bn(modulus.data, modulus.size, NULL);
	g_autoptr(BIGNUM) e = BN_bin2bn(exponent.data, exponent.size, NULL);

	if (BN_num_bits(e) > 64 || BN_is_one(e) || !BN_is_odd(e) || !BN_is_odd(n) ||
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1)
		return NULL;
	return pkey_from("RSA", build);
}

GBytes *pkey_ecdsa_signature(struct span r, struct span s)
{
	g_autoptr(ECDSA_SIG) sig = ECDSA_SIG_new();
	unsigned char *der = NULL;
	GBytes *bytes;
	int size;

	if (ECDSA_SIG_set0(sig, BN_bin2bn(r.data, r.size, NULL), BN_bin2bn(s.data, s.size, NULL)) != 1)
		return NULL;
	size = i2d_ECDSA_SIG(sig, &der);
	bytes = size > 0 ? g_bytes_new(der, size) : NULL;
	OPENSSL_free(der);
	return bytes;
}

GBytes *pkey_rsa_signature(const EVP_PKEY *pkey, struct span s)
{
	size_t size = EVP_PKEY_get_size(pkey);
	guint8 *padded;

	if (s.size == 0 || s.size > size)
		return NULL;
	padded = g_malloc0(size);
	memcpy(padded + size - s.size, s.data, s.size);
	return g_bytes_new_take(padded, size);
}
