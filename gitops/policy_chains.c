/*
 * Keys for tests and keys for releases must not stand under one certificate authority: else whoever trusts the
 * authority for releases trusts test signatures too.   TRUST.md, keys/
 */
#include "gitops/policy_private.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "gitops/base/bytes.h"

#define CHAIN_MAX 16

struct authority {
	char *name; /* DER of the name, as hex: what is compared */
	char *shown;
	const struct policy_key *key;
};

static void authority_free(gpointer data)
{
	struct authority *authority = data;

	g_free(authority->name);
	OPENSSL_free(authority->shown);
	g_free(authority);
}

/* Each certificate's issuer is an authority of the chain, also where it does not stand in the file. */
static gboolean add_issuer(GPtrArray *authorities, const struct policy_key *key, X509 *certificate)
{
	struct authority *authority = g_new0(struct authority, 1);
	X509_NAME *issuer = X509_get_issuer_name(certificate);
	uint8_t *der = NULL;
	int size = i2d_X509_NAME(issuer, &der);

	g_ptr_array_add(authorities, authority);
	authority->key = key;
	authority->shown = X509_NAME_oneline(issuer, NULL, 0);
	if (size <= 0 || authority->shown == NULL)
		return FALSE;
	authority->name = hex_encode(der, size);
	OPENSSL_free(der);
	return TRUE;
}

static gboolean add_chain(
    GPtrArray *authorities, const struct policy *policy, const struct policy_key *key, GError **error)
{
	g_autofree char *path = g_strconcat("keys/", key->chain, NULL);
	GBytes *pem = policy_file(policy, path);
	BIO *bio = BIO_new_mem_buf(g_bytes_get_data(pem, NULL), (int)g_bytes_get_size(pem));
	guint count = 0;
	gboolean good = bio != NULL;
	X509 *certificate;

	while (good && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		good = ++count <= CHAIN_MAX && add_issuer(authorities, key, certificate);
		X509_free(certificate);
	}
	ERR_clear_error(); /* the end of the file counts as an error there */
	BIO_free(bio);
	if (good && count > 0)
		return TRUE;
	error_refused(error, "%s: not a chain of 1 to %d X.509 certificates in PEM", path, CHAIN_MAX);
	return FALSE;
}

static gboolean compare(const struct authority *a, const struct authority *b, GError **error)
{
	g_autofree char *shown = NULL;

	if (g_str_equal(a->key->purpose, b->key->purpose) || !g_str_equal(a->name, b->name))
		return TRUE;
	shown = text_escape(a->shown, -1, 200);
	error_refused(error,
	    "%s and %s are a %s key and a %s key under the same certificate authority, %s; they may share none",
	    a->key->file, b->key->file, a->key->purpose, b->key->purpose, shown);
	return FALSE;
}

gboolean policy_check_chains(const struct policy *policy, GError **error)
{
	g_autoptr(GPtrArray) authorities = g_ptr_array_new_with_free_func(authority_free);

	for (guint i = 0; i < policy->keys->len; i++) {
		const struct policy_key *key = policy->keys->pdata[i];

		if (key->chain != NULL && !add_chain(authorities, policy, key, error))
			return FALSE;
	}
	for (guint i = 0; i < authorities->len; i++)
		for (guint j = 0; j < i; j++)
			if (!compare(authorities->pdata[j], authorities->pdata[i], error))
				return FALSE;
	return TRUE;
}
