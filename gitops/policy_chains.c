/*
 * Keys for tests and keys for releases must not stand under one certificate authority, nor be one key: else whoever trusts the authority for
 * releases trusts test signatures too.
 *
 * Names alone do not tell: an authority's key may be certified under two names (cross-certificates), and a chain may leave its root out. So two
 * chains share an authority if
 *   - they name the same issuer, compared as X.509 compares names (case and string type aside);
 *   - a certificate authority's key, or the leaf's, stands in both, under whatever name;
 *   - a certificate of one verifies with a key that stands in the other.
 */
#include "gitops/policy_private.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "gitops/base/bytes.h"

#define CHAIN_MAX 16

struct member { /* one certificate of a key's chain */
	X509 *certificate;
	const struct policy_key *key;
};

static void member_free(gpointer data)
{
	struct member *member = data;

	X509_free(member->certificate);
	g_free(member);
}

static void add_member(GPtrArray *members, const struct policy_key *key, X509 *certificate)
{
	struct member *member = g_new(struct member, 1);

	*member = (struct member){ certificate, key };
	g_ptr_array_add(members, member);
}

static gboolean add_chain(GPtrArray *members, const struct policy *policy, const struct policy_key *key, GError **error)
{
	g_autofree char *path = g_strconcat("keys/", key->chain, NULL);
	GBytes *pem = policy_file(policy, path);
	BIO *bio = BIO_new_mem_buf(g_bytes_get_data(pem, NULL), (int)g_bytes_get_size(pem));
	guint count = 0;
	X509 *certificate;

	while (bio != NULL && count <= CHAIN_MAX && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		count++;
		add_member(members, key, certificate);
	}
	BIO_free(bio);
	/* Only "no further certificate" is the end; one that does not parse would else cut the chain short before an authority. */
	if (count > 0 && count <= CHAIN_MAX && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
		ERR_clear_error();
		return TRUE;
	}
	ERR_clear_error();
	error_refused(error, "%s: not a chain of 1 to %d X.509 certificates in PEM", path, CHAIN_MAX);
	return FALSE;
}

static gboolean same_key(const struct member *a, const struct member *b)
{
	EVP_PKEY *one = X509_get0_pubkey(a->certificate), *other = X509_get0_pubkey(b->certificate);

	return one != NULL && other != NULL && EVP_PKEY_eq(one, other) == 1;
}

static gboolean verifies(const struct member *issuer, const struct member *issued)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer->certificate);
	gboolean good = key != NULL && X509_verify(issued->certificate, key) == 1;

	ERR_clear_error();
	return good;
}

static char *name_of(X509_NAME *name)
{
	char *line = X509_NAME_oneline(name, NULL, 0);
	char *shown = text_escape(line != NULL ? line : "?", -1, 200);

	OPENSSL_free(line);
	return shown;
}

/* "the same certificate authority, /CN=X" or NULL. */
static char *shared(const struct member *a, const struct member *b)
{
	X509_NAME *issuer = X509_get_issuer_name(a->certificate);
	g_autofree char *subject = name_of(X509_get_subject_name(a->certificate));
	g_autofree char *name = NULL;

	if (X509_NAME_cmp(issuer, X509_get_issuer_name(b->certificate)) == 0) {
		name = name_of(issuer);
		return g_strdup_printf("under the same certificate authority, %s", name);
	}
	name = name_of(X509_get_subject_name(b->certificate));
	if (same_key(a, b))
		return g_strdup_printf("with one and the same key, certified as %s and as %s", subject, name);
	if (verifies(a, b) || verifies(b, a))
		return g_strdup_printf("under the same certificate authority: the key of %s signed %s",
		    verifies(a, b) ? subject : name, verifies(a, b) ? name : subject);
	return NULL;
}

static gboolean compare(const struct member *a, const struct member *b, GError **error)
{
	g_autofree char *how = NULL;

	if (g_str_equal(a->key->purpose, b->key->purpose) || (how = shared(a, b)) == NULL)
		return TRUE;
	error_refused(error, "%s and %s are a %s key and a %s key %s; they may share none", a->key->file, b->key->file,
	    a->key->purpose, b->key->purpose, how);
	return FALSE;
}

gboolean policy_check_chains(const struct policy *policy, GError **error)
{
	g_autoptr(GPtrArray) members = g_ptr_array_new_with_free_func(member_free);

	for (guint i = 0; i < policy->keys->len; i++) {
		const struct policy_key *key = policy->keys->pdata[i];

		if (key->chain != NULL && !add_chain(members, policy, key, error))
			return FALSE;
	}
	for (guint i = 0; i < members->len; i++)
		for (guint j = 0; j < i; j++)
			if (!compare(members->pdata[j], members->pdata[i], error))
				return FALSE;
	return TRUE;
}
