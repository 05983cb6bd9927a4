/*
 * X.509 signatures as gpgsm, smimesign and gitsign make them: detached CMS (RFC 5652) with signed attributes, by one
 * certificate that chains up to a person's own roots. Read by our own reader, since OpenSSL's CMS_verify() takes several signers,
 * content of their own, and judges neither usage nor time as we need it.
 */
#include "gitops/signature.h"

#include <openssl/err.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/cms.h"
#include "gitops/object_text.h"
#include "gitops/person_certificate.h"
#include "gitops/ssh.h"

#define WHAT "X.509 signature"
#define FRAME 3 /* SignedData's own members; certificates and signers below must be DER (RFC 5652 5.3) */
#define SKEW 300 /* seconds that a signer's clock may be ahead of ours */

/* --- the keyring --- */

struct trusted { /* one entry of the array x509 */
	char *subject, *roots, *provider;
	X509_STORE *store;
	char *claim; /* one of those that were made for it */
};

static void trusted_free(void *data)
{
	struct trusted *t = data;

	g_free(t->subject);
	g_free(t->roots);
	g_free(t->provider);
	g_free(t->claim);
	X509_STORE_free(t->store);
	g_free(t);
}

static void *keyring_new(GError **error)
{
	(void)error;
	return g_ptr_array_new_with_free_func(trusted_free);
}

static void keyring_free(void *keyring)
{
	g_ptr_array_unref(keyring);
}

static GBytes *roots_of(const struct trusted *t, const struct toml *entry, policy_files *files, GError **error)
{
	g_autofree char *path = g_strconcat("people/", t->roots, NULL);
	GBytes *file = strchr(t->roots, '/') == NULL ? g_hash_table_lookup(files, path) : NULL;

	if (file == NULL)
		toml_fail(entry, error, "there is no file \"%s\" beside it", path);
	return file;
}

/* Under one root a subject is one person's: else one human could be counted as two. */
static gboolean roots_claim(struct trusted *t, STACK_OF(X509) * roots, key_claim claim, void *data, GError **error)
{
	for (int i = 0; i < sk_X509_num(roots); i++) {
		g_autofree char *root = person_certificate_id(sk_X509_value(roots, i));

		g_free(t->claim);
		t->claim = g_strdup_printf("%s (X.509%s%s, root %s)", t->subject, t->provider != NULL ? ", by " : "",
		    t->provider != NULL ? t->provider : "", root);
		if (!claim(data, t->claim, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean trusted_complete(
    struct trusted *t, const struct toml *entry, policy_files *files, key_claim claim, void *data, GError **error)
{
	const char *flaw = person_subject_flaw(t->subject);
	GBytes *file = roots_of(t, entry, files, error);
	g_autoptr(GError) reason = NULL;
	STACK_OF(X509) * roots;
	gboolean ok;

	if (file == NULL)
		return FALSE;
	if (flaw != NULL)
		return toml_fail(entry, error, "%s", flaw);
	if ((roots = certificates_parse(file, t->roots, &reason)) == NULL ||
	    (t->store = certificate_store(file, t->roots, &reason)) == NULL) {
		certificates_free(roots);
		return toml_fail(entry, error, "%s", reason->message);
	}
	ok = roots_claim(t, roots, claim, data, error);
	certificates_free(roots);
	return ok;
}

static gboolean keyring_add(void *keyring, const struct toml *entry, policy_files *files, const char *const *names,
    key_claim claim, void *data, GError **error)
{
	static const struct toml_field fields[] = {
		{ "subject", TOML_T_STRING, offsetof(struct trusted, subject), .required = TRUE },
		{ "roots", TOML_T_STRING, offsetof(struct trusted, roots), .required = TRUE },
		{ "oidc_issuer", TOML_T_STRING, offsetof(struct trusted, provider) },
	};
	struct trusted *t = g_new0(struct trusted, 1);

	(void)names; /* the entry says itself by which name the authority knows the person */
	g_ptr_array_add(keyring, t);
	return toml_read(entry, fields, G_N_ELEMENTS(fields), t, "x509", error) &&
	       trusted_complete(t, entry, files, claim, data, error);
}

/* --- signatures --- */

static struct cms *cms_of(const char *armor, GError **error)
{
	g_autoptr(GBytes) ber = NULL;
	g_autoptr(GBytes) der = NULL;
	autoptr(cms) cms = NULL;
	const char *body;
	size_t size;

	armor_body(armor, &body, &size);
	if ((ber = base64_decode_strict(body, size, TRUE)) == NULL) {
		error_refused(error, WHAT ": what stands between its BEGIN and END lines is not base64");
		return NULL;
	}
	if ((der = der_from_ber(ber, FRAME, WHAT, error)) == NULL || (cms = cms_read(der, WHAT, error)) == NULL)
		return NULL;
	if (cms->signers->len != 1)
		error_refused(error, WHAT ": %u signers; exactly one must have signed", cms->signers->len);
	else if (cms->content != NULL)
		error_refused(error, WHAT ": it carries content of its own; git's are detached (gpgsm --detach-sign)");
	else if (!g_str_equal(cms->content_type, OID_DATA))
		error_refused(error, WHAT ": it is over content of type %s; git's is plain data", cms->content_type);
	else
		return g_steal_pointer(&cms);
	return NULL;
}

/* The claims of all entries that the certificate answers to, ended by NULL. */
static char **claims_of(const GPtrArray *keyring, const struct cms *cms, int64_t at, char **twin, GError **error)
{
	const struct cms_signer *signer = g_ptr_array_index(cms->signers, 0);
	g_autoptr(GStrvBuilder) claims = g_strv_builder_new();
	g_autoptr(GError) reason = NULL;
	g_autofree char *names = NULL;
	guint found = 0;

	for (guint i = 0; i < keyring->len; i++) {
		const struct trusted *t = g_ptr_array_index(keyring, i);
		g_autofree char *other = NULL;

		if (!person_certificate_is(signer->certificate, t->subject, t->provider))
			continue;
		if (!person_certificate_chains(
			signer->certificate, cms->certificates, t->store, at, &other, reason == NULL ? &reason : NULL))
			continue;
		found++;
		g_strv_builder_add(claims, t->claim);
		g_free(*twin);
		*twin = g_steal_pointer(&other);
	}
	if (found > 0)
		return g_strv_builder_end(claims);
	names = person_certificate_names(signer->certificate);
	if (reason != NULL)
		g_propagate_error(error, g_steal_pointer(&reason));
	else
		error_refused(error,
		    "it names %s, and no person of the policy is known by that (x509 in people/NAME.toml)", names);
	return NULL;
}

static gboolean payload_check(const struct cms_signer *signer, GBytes *payload, GError **error)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	gsize size;
	const void *signed_digest = g_bytes_get_data(signer->attributes_digest, &size);
	const char *id_flaw = cms_certificate_id_flaw(signer);
	g_autofree char *flaw = cms_signer_flaw_any(signer);

	if (EVP_Digest(g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), digest, NULL, signer->hash->md(),
		NULL) != 1) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "OpenSSL cannot compute a digest");
		return FALSE;
	}
	if (memcmp(digest, signed_digest, size) != 0)
		error_refused(error, "the signature does not fit these bytes: they were changed, or are others");
	else if (flaw != NULL || id_flaw != NULL)
		error_refused(error, "%s", flaw != NULL ? flaw : id_flaw);
	else
		return TRUE;
	return FALSE;
}

/* The time that the signer claims, as of when the signature was first seen. */
static gboolean time_check(const struct cms_signer *signer, int64_t at, GError **error)
{
	GBytes *value = cms_attribute_value(signer->attributes, OID_SIGNING_TIME);
	const uint8_t *data = value != NULL ? g_bytes_get_data(value, NULL) : NULL;
	ASN1_TIME *time = data != NULL ? d2i_ASN1_TIME(NULL, &data, g_bytes_get_size(value)) : NULL;
	gboolean readable = time != NULL && ASN1_TIME_check(time) == 1;
	int64_t ms = readable ? certificate_time_ms(time) : 0;
	g_autofree char *shown = time_format_ms(ms);

	ASN1_TIME_free(time);
	ERR_clear_error();
	if (value != NULL && !readable)
		error_refused(error, "its signingTime is no time");
	else if (ms / 1000 > at + SKEW)
		error_refused(error, "the signature says that it was made on %s, which was still to come", shown);
	else
		return TRUE;
	return FALSE;
}

static gboolean cms_check(
    const GPtrArray *keyring, const struct cms *cms, GBytes *payload, int64_t at, struct signed_by *by, GError **error)
{
	const struct cms_signer *signer = g_ptr_array_index(cms->signers, 0);
	int64_t valid_at = at;

	return person_certificate_check(signer->certificate, &valid_at, error) &&
	       (by->claims = claims_of(keyring, cms, valid_at, &by->through, error)) != NULL &&
	       payload_check(signer, payload, error) && time_check(signer, at, error);
}

static gboolean verify(
    void *keyring, const char *armor, GBytes *payload, int64_t at_ms, struct signed_by *by, GError **error)
{
	autoptr(cms) cms = cms_of(armor, error);
	const struct cms_signer *signer;
	g_autofree char *id = NULL;
	g_autofree char *names = NULL;

	if (cms == NULL)
		return FALSE;
	signer = g_ptr_array_index(cms->signers, 0);
	id = person_certificate_id(signer->certificate);
	if (cms_check(keyring, cms, payload, at_ms / 1000, by, error)) {
		by->key = g_steal_pointer(&id);
		return TRUE;
	}
	g_clear_pointer(&by->claims, g_strfreev);
	g_clear_pointer(&by->through, g_free);
	names = person_certificate_names(signer->certificate);
	g_prefix_error(error, "X.509 certificate %s of %s: ", id, names);
	return FALSE;
}

const struct signature_scheme signature_x509 = {
	.format = SIGNATURE_X509,
	.field = "x509",
	.kind = TOML_TABLE,
	.entries = "tables { subject, roots }",
	.keyring_new = keyring_new,
	.keyring_add = keyring_add,
	.keyring_free = keyring_free,
	.verify = verify,
	.is_key = ssh_is_fingerprint,
};
