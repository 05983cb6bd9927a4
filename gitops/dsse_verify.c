/* Whose signature is on an envelope? */
#include "gitops/dsse_private.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

void dsse_signer_clear(struct dsse_signer *signer)
{
	g_clear_pointer(&signer->key, g_free);
	g_clear_pointer(&signer->certificate, X509_free);
}

static gboolean on_curve(EVP_PKEY *key)
{
	static const char *const curves[] = { "prime256v1", "secp384r1", "secp521r1" };
	char name[64];

	if (EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) != 1)
		return FALSE;
	for (guint i = 0; i < G_N_ELEMENTS(curves); i++)
		if (g_str_equal(name, curves[i]))
			return TRUE;
	return FALSE;
}

const char *dsse_key_weakness(EVP_PKEY *key)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		return EVP_PKEY_get_bits(key) >= 2048 ? NULL : "it is an RSA key shorter than 2048 bits";
	case EVP_PKEY_EC:
		return on_curve(key) ? NULL : "it is on none of the curves P-256, P-384 and P-521";
	case EVP_PKEY_ED25519:
		return NULL;
	default:
		return "it is neither RSA, ECDSA nor Ed25519";
	}
}

static EVP_PKEY *key_of_pem(const char *name, const uint8_t *der, long size)
{
	const unsigned char *at = der;
	EVP_PKEY *key = NULL;

	if (g_str_equal(name, PEM_STRING_PUBLIC))
		key = d2i_PUBKEY(NULL, &at, size);
	else if (g_str_equal(name, PEM_STRING_RSA_PUBLIC))
		key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, size);
	if (key == NULL || at == der + size)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

/* One block of the PEM text; a block of another kind is a mistake rather than something to pass over. */
static void cannot_read(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void cannot_read(GError **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_propagate_error(error, g_error_new_valist(TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, format, args));
	va_end(args);
}

static gboolean add_key(GPtrArray *keys, const char *name, const uint8_t *der, long size, const char *what, GError **error)
{
	EVP_PKEY *key = key_of_pem(name, der, size);
	const char *weakness = key != NULL ? dsse_key_weakness(key) : NULL;
	g_autofree char *shown = text_escape(name, -1, 60);

	if (key == NULL) {
		cannot_read(error, "%s holds a block \"%s\", and no public key can be read from it%s", what, shown,
		    g_str_equal(name, PEM_STRING_X509) ? " (certificates are trusted by their roots)" : "");
		return FALSE;
	}
	g_ptr_array_add(keys, key);
	if (weakness == NULL && keys->len <= DSSE_KEYS_MAX)
		return TRUE;
	if (weakness != NULL)
		cannot_read(error, "a key of %s cannot vouch for anything: %s", what, weakness);
	else
		cannot_read(error, "%s holds more than %d keys", what, DSSE_KEYS_MAX);
	return FALSE;
}

GPtrArray *dsse_keys_parse(GBytes *pem, const char *what, GError **error)
{
	g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func((GDestroyNotify)EVP_PKEY_free);
	BIO *bio = BIO_new_mem_buf(g_bytes_get_data(pem, NULL), (int)g_bytes_get_size(pem));
	gboolean good = TRUE, clean;
	char *name, *header;
	unsigned char *der;
	long size;

	while (good && PEM_read_bio(bio, &name, &header, &der, &size) == 1) {
		good = add_key(keys, name, der, size, what, error);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	clean = !good || ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	BIO_free(bio);
	if (good && clean && keys->len > 0)
		return g_steal_pointer(&keys);
	if (good)
		cannot_read(
		    error, "%s holds no public key in PEM (\"-----BEGIN PUBLIC KEY-----\"), or a broken one", what);
	return NULL;
}

char *dsse_key_name(EVP_PKEY *key)
{
	unsigned char *der = NULL, digest[SHA256_SIZE];
	int size = i2d_PUBKEY(key, &der);
	g_autofree char *text = NULL;

	EVP_Digest(der, size > 0 ? (size_t)size : 0, digest, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
	text = g_base64_encode(digest, sizeof(digest));
	text[strcspn(text, "=")] = '\0';
	return g_strconcat("SHA256:", text, NULL);
}

/* One way to sign; padding 0 where the key has none. */
static gboolean verifies(EVP_PKEY *key, const EVP_MD *md, int padding, GBytes *signed_bytes, GBytes *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *parameters;
	gboolean good;

	good = EVP_DigestVerifyInit(context, &parameters, md, NULL, key) == 1 &&
	       (padding == 0 || EVP_PKEY_CTX_set_rsa_padding(parameters, padding) == 1) &&
	       EVP_DigestVerify(context, g_bytes_get_data(signature, NULL), g_bytes_get_size(signature),
		   g_bytes_get_data(signed_bytes, NULL), g_bytes_get_size(signed_bytes)) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good;
}

static gboolean rsa_verifies(EVP_PKEY *key, GBytes *signed_bytes, GBytes *signature)
{
	const EVP_MD *hashes[] = { EVP_sha256(), EVP_sha384(), EVP_sha512() };

	if (g_bytes_get_size(signature) != (size_t)EVP_PKEY_get_size(key))
		return FALSE;
	for (guint i = 0; i < G_N_ELEMENTS(hashes); i++)
		if (verifies(key, hashes[i], RSA_PKCS1_PADDING, signed_bytes, signature) ||
		    verifies(key, hashes[i], RSA_PKCS1_PSS_PADDING, signed_bytes, signature))
			return TRUE;
	return FALSE;
}

/* r and s side by side (IEEE P1363), as protocol.md's own example has them, to DER; NULL if it is not that long. */
static GBytes *to_der(GBytes *pair, size_t size)
{
	const uint8_t *data = g_bytes_get_data(pair, NULL);
	ECDSA_SIG *numbers;
	unsigned char *der = NULL;
	GBytes *bytes;
	int length;

	if (g_bytes_get_size(pair) != 2 * size)
		return NULL;
	numbers = ECDSA_SIG_new();
	ECDSA_SIG_set0(numbers, BN_bin2bn(data, (int)size, NULL), BN_bin2bn(data + size, (int)size, NULL));
	length = i2d_ECDSA_SIG(numbers, &der);
	ECDSA_SIG_free(numbers);
	bytes = g_bytes_new(der, length > 0 ? (size_t)length : 0);
	OPENSSL_free(der);
	return bytes;
}

static gboolean ec_verifies(EVP_PKEY *key, GBytes *signed_bytes, GBytes *signature)
{
	int bits = EVP_PKEY_get_bits(key);
	const EVP_MD *hashes[] = { bits > 384 ? EVP_sha512() : bits > 256 ? EVP_sha384() : EVP_sha256(), EVP_sha256() };
	g_autoptr(GBytes) der = to_der(signature, ((size_t)bits + 7) / 8);

	for (guint i = 0; i < G_N_ELEMENTS(hashes) && (i == 0 || bits > 256); i++)
		if (verifies(key, hashes[i], 0, signed_bytes, signature) ||
		    (der != NULL && verifies(key, hashes[i], 0, signed_bytes, der)))
			return TRUE;
	return FALSE;
}

gboolean dsse_key_verifies(EVP_PKEY *key, GBytes *signed_bytes, GBytes *signature)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		return rsa_verifies(key, signed_bytes, signature);
	case EVP_PKEY_EC:
		return ec_verifies(key, signed_bytes, signature);
	default:
		return verifies(key, NULL, 0, signed_bytes, signature);
	}
}

static gboolean verify_by_keys(const struct dsse *envelope, const struct dsse_trust *trust, GBytes *pae,
    struct dsse_signer *signer, GError **error)
{
	for (guint i = 0; i < envelope->signatures->len; i++) {
		const struct dsse_signature *signature = g_ptr_array_index(envelope->signatures, i);

		for (guint j = 0; j < trust->keys->len; j++) {
			EVP_PKEY *key = g_ptr_array_index(trust->keys, j);

			if (!dsse_key_verifies(key, pae, signature->value))
				continue;
			signer->key = dsse_key_name(key);
			signer->at_ms = trust->at_ms;
			return TRUE;
		}
	}
	error_refused(error,
	    "none of the envelope's %u signatures is one by a trusted key over its payloadType and payload: it was "
	    "changed, or "
	    "another key signed it",
	    envelope->signatures->len);
	return FALSE;
}

/* A stamp is over the signature's bytes, so it proves that they were there. Without any, they are held against trust->at_ms. */
static gboolean good_when_it_signed(const struct dsse *envelope, const struct dsse_signature *signature,
    const struct dsse_trust *trust, int64_t *at_ms, GError **error)
{
	guint stamps = trust->stamp_time != NULL ? envelope->stamps->len : 0;

	*at_ms = trust->at_ms;
	for (guint i = 0; i < stamps; i++) {
		*at_ms = trust->at_ms;
		if (!trust->stamp_time(
			g_ptr_array_index(envelope->stamps, i), signature->value, trust->stamp_data, at_ms, error) ||
		    !dsse_certificate_trusted(signature, trust, *at_ms, error))
			return FALSE;
	}
	return stamps > 0 || dsse_certificate_trusted(signature, trust, *at_ms, error);
}

static gboolean verify_by_certificate(const struct dsse *envelope, const struct dsse_signature *signature,
    const struct dsse_trust *trust, GBytes *pae, struct dsse_signer *signer, GError **error)
{
	X509 *certificate;
	EVP_PKEY *key;
	int64_t at_ms;

	if (signature->certificates->len == 0) {
		error_refused(error, "the signature brings no certificate that could be held against the roots");
		return FALSE;
	}
	certificate = g_ptr_array_index(signature->certificates, 0);
	key = X509_get0_pubkey(certificate);
	if (key == NULL || dsse_key_weakness(key) != NULL) {
		error_refused(error, "the signature's certificate cannot vouch for anything: %s",
		    key != NULL ? dsse_key_weakness(key) : "its key cannot be read");
		return FALSE;
	}
	if (!dsse_key_verifies(key, pae, signature->value)) {
		error_refused(error,
		    "the signature is not by its certificate's key over payloadType and payload: it was changed");
		return FALSE;
	}
	if (!good_when_it_signed(envelope, signature, trust, &at_ms, error))
		return FALSE;
	signer->key = dsse_key_name(key);
	signer->certificate = certificate;
	X509_up_ref(certificate);
	signer->at_ms = at_ms;
	return TRUE;
}

/* The reason why the first does not count is told: with several, one that was meant to count stands first. */
static gboolean verify_by_certificates(const struct dsse *envelope, const struct dsse_trust *trust, GBytes *pae,
    struct dsse_signer *signer, GError **error)
{
	GError *first = NULL;

	for (guint i = 0; i < envelope->signatures->len; i++) {
		g_autoptr(GError) why = NULL;

		if (verify_by_certificate(envelope, g_ptr_array_index(envelope->signatures, i), trust, pae, signer, &why)) {
			g_clear_error(&first);
			return TRUE;
		}
		if (first == NULL)
			first = g_steal_pointer(&why);
	}
	g_propagate_error(error, first);
	return FALSE;
}

gboolean dsse_verify(
    const struct dsse *envelope, const struct dsse_trust *trust, struct dsse_signer *signer, GError **error)
{
	g_autoptr(GBytes) pae = NULL;

	if (envelope->unfit != NULL) {
		g_propagate_error(error, g_error_copy(envelope->unfit));
		return FALSE;
	}
	pae = dsse_pae(envelope->type, envelope->payload);
	return trust->keys != NULL ? verify_by_keys(envelope, trust, pae, signer, error)
				   : verify_by_certificates(envelope, trust, pae, signer, error);
}
