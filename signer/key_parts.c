#include "signer/key_parts.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <string.h>

#include "gitops/base/error.h"

#define POINT_MAX 133 /* P-521: 1 + 2 * 66 */

static const struct {
	const char *name;
	guint bits;
	size_t point_size;
} curves[] = {
	{ "prime256v1", 256, 65 },
	{ "secp384r1", 384, 97 },
	{ "secp521r1", 521, 133 },
};

static GBytes *number_bytes(const BIGNUM *number)
{
	int size = BN_num_bytes(number);
	g_autofree uint8_t *bytes = g_malloc(size + 1);

	BN_bn2bin(number, bytes);
	return g_bytes_new_take(g_steal_pointer(&bytes), size);
}

static GBytes *number_of(EVP_PKEY *key, const char *name)
{
	BIGNUM *number = NULL;
	GBytes *bytes = EVP_PKEY_get_bn_param(key, name, &number) == 1 ? number_bytes(number) : NULL;

	BN_free(number);
	return bytes;
}

static gboolean take_rsa(EVP_PKEY *key, struct key_parts *parts, GError **error)
{
	parts->bits = EVP_PKEY_get_bits(key);
	parts->n = number_of(key, OSSL_PKEY_PARAM_RSA_N);
	parts->e = number_of(key, OSSL_PKEY_PARAM_RSA_E);
	if (parts->n == NULL || parts->e == NULL || parts->bits < 2048 || parts->bits > 16384) {
		error_refused(error, "an RSA key of %u bits is not used: it must have 2048 to 16384", parts->bits);
		return FALSE;
	}
	return TRUE;
}

static gboolean take_ec(EVP_PKEY *key, struct key_parts *parts, GError **error)
{
	char name[64] = "";
	uint8_t point[POINT_MAX];
	size_t size = 0;

	EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof(name), NULL);
	for (guint i = 0; i < G_N_ELEMENTS(curves); i++)
		if (g_str_equal(name, curves[i].name) &&
		    EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &size) == 1 &&
		    size == curves[i].point_size && point[0] == 4) {
			parts->bits = curves[i].bits;
			parts->point = g_bytes_new(point, size);
			return TRUE;
		}
	error_refused(error, "an elliptic-curve key of the curve %s is not used: P-256, P-384 or P-521",
	    *name != '\0' ? name : "without a name");
	return FALSE;
}

struct key_parts *key_parts_new(EVP_PKEY *key, GError **error)
{
	autoptr(key_parts) parts = g_new0(struct key_parts, 1);
	int kind = EVP_PKEY_get_base_id(key);
	gboolean ok = FALSE;

	if (kind == EVP_PKEY_RSA)
		ok = take_rsa(key, parts, error);
	else if (kind == EVP_PKEY_EC)
		ok = take_ec(key, parts, error);
	else
		error_refused(error, "a key of this kind is not used: RSA, P-256, P-384 or P-521");
	ERR_clear_error();
	return ok ? g_steal_pointer(&parts) : NULL;
}

void key_parts_free(struct key_parts *parts)
{
	if (parts == NULL)
		return;
	g_clear_pointer(&parts->n, g_bytes_unref);
	g_clear_pointer(&parts->e, g_bytes_unref);
	g_clear_pointer(&parts->point, g_bytes_unref);
	g_free(parts);
}

static BIGNUM *bytes_number(GBytes *bytes)
{
	gsize size;
	const uint8_t *data = g_bytes_get_data(bytes, &size);

	return BN_bin2bn(data, size, NULL);
}

static const char *curve_name(guint bits)
{
	for (guint i = 0; i < G_N_ELEMENTS(curves); i++)
		if (curves[i].bits == bits)
			return curves[i].name;
	return "";
}

EVP_PKEY *key_parts_to_key(const struct key_parts *parts, GError **error)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = parts->n != NULL ? bytes_number(parts->n) : NULL;
	BIGNUM *e = parts->e != NULL ? bytes_number(parts->e) : NULL;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, n != NULL ? "RSA" : "EC", NULL);
	OSSL_PARAM *params;
	EVP_PKEY *key = NULL;

	if (n != NULL) {
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
	} else {
		OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve_name(parts->bits), 0);
		OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, g_bytes_get_data(parts->point, NULL),
		    g_bytes_get_size(parts->point));
	}
	params = OSSL_PARAM_BLD_to_param(build);
	if (context == NULL || params == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		error_refused(error, "the public key is not a point of its curve, or not a usable RSA key");
	ERR_clear_error();
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(context);
	BN_free(n);
	BN_free(e);
	return key;
}

gboolean ecdsa_split(GBytes *der, GBytes **r, GBytes **s, GError **error)
{
	gsize size;
	const unsigned char *at = g_bytes_get_data(der, &size), *end = at + size;
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, size);

	if (signature == NULL || at != end) {
		ERR_clear_error();
		ECDSA_SIG_free(signature);
		error_refused(error, "an ECDSA signature is not a SEQUENCE of two numbers");
		return FALSE;
	}
	*r = number_bytes(ECDSA_SIG_get0_r(signature));
	*s = number_bytes(ECDSA_SIG_get0_s(signature));
	ECDSA_SIG_free(signature);
	return TRUE;
}

GBytes *ecdsa_join(GBytes *r, GBytes *s, GError **error)
{
	ECDSA_SIG *signature = ECDSA_SIG_new();
	unsigned char *der = NULL;
	GBytes *bytes = NULL;
	int size = 0;

	if (ECDSA_SIG_set0(signature, bytes_number(r), bytes_number(s)) == 1)
		size = i2d_ECDSA_SIG(signature, &der);
	if (size > 0)
		bytes = g_bytes_new(der, size);
	else
		error_refused(error, "an ECDSA signature's numbers cannot be written as DER");
	OPENSSL_free(der);
	ECDSA_SIG_free(signature);
	return bytes;
}

const char *key_hash_name(EVP_PKEY *key)
{
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_bits(key) <= 256)
		return "sha256";
	return EVP_PKEY_get_bits(key) <= 384 ? "sha384" : "sha512";
}
