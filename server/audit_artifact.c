/*
 * Each signature of a record has its number, counted from one over all artifacts; its evidence stands beside the record as
 * "N-FORMAT.p7s" (the CMS message) or "N-FORMAT.asc" (OpenPGP), "N-FORMAT.tsq" and "N-FORMAT.tsr". Checked are: the signature with the
 * policy's certificate or key, the digest that the record gives, and the token over that very signature. An OpenPGP signature is over the file and
 * its own head together, so that this digest is the file's can be told only with the file at hand: `tagseal verify` does it.
 */
#include "server/audit_artifact.h"

#include <openssl/ts.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/policy.h"
#include "gitops/record.h"
#include "server/pins.h"
#include "signer/certificate.h"
#include "gitops/cms.h"
#include "signer/format.h"
#include "signer/openpgp.h"
#include "signer/timestamp.h"

struct check {
	const struct json *row; /* of the record's "signatures" */
	const char *name; /* "3-cms", for messages and file names */
	GHashTable *files;
	struct policy *policy;
};

static GBytes *evidence(const struct check *c, const char *ending, GError **error)
{
	g_autofree char *name = g_strconcat(c->name, ending, NULL);
	GBytes *bytes = g_hash_table_lookup(c->files, name);

	if (bytes == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "its evidence has no \"%s\", so that signature cannot be checked", name);
	return bytes;
}

static gboolean refuse(const struct check *c, const char *why, GError **error)
{
	error_refused(error, "the signature %s: %s", c->name, why);
	return FALSE;
}

/* ---- the signature ---- */

static gboolean is_policys_certificate(const struct check *c, X509 *certificate, GError **error)
{
	const struct policy_key *key = policy_key(c->policy, json_string(c->row, "key"));
	GBytes *chain = key != NULL ? key_file(c->policy, key, FALSE, NULL) : NULL;
	STACK_OF(X509) *list = chain != NULL ? certificates_parse(chain, "the policy's chain", error) : NULL;
	gboolean same = list != NULL && X509_cmp(sk_X509_value(list, 0), certificate) == 0;

	if (chain == NULL)
		refuse(c, "the policy has no certificate for its key", error);
	else if (list != NULL && !same)
		refuse(c, "it was made with another certificate than the policy's", error);
	sk_X509_pop_free(list, X509_free);
	return same;
}

/* The digest, "sha256:…", that the record says was signed: that of the file itself, or one that the signed content holds. */
static gboolean covers_digest(
    const struct check *c, const struct cms *cms, const struct cms_signer *signer, GError **error)
{
	const char *text = json_string(c->row, "digest"), *colon = text != NULL ? strchr(text, ':') : NULL;
	uint8_t digest[EVP_MAX_MD_SIZE], content[EVP_MAX_MD_SIZE];
	size_t size = colon != NULL ? strlen(colon + 1) / 2 : 0;
	unsigned length = sizeof(content);
	gsize signed_size, held = 0;
	const void *is_signed = g_bytes_get_data(signer->attributes_digest, &signed_size), *inner;

	if (size < 20 || size > sizeof(digest) || !hex_decode(colon + 1, digest, size))
		return refuse(c, "the record gives no digest for it", error);
	if (cms->content == NULL)
		return (signed_size == size && memcmp(is_signed, digest, size) == 0) ||
		       refuse(c, "it covers another digest than the record says", error);
	inner = g_bytes_get_data(cms->content, &held);
	EVP_Digest(inner, held, content, &length, signer->hash->md(), NULL);
	if (signed_size != length || memcmp(is_signed, content, length) != 0)
		return refuse(c, "it does not cover its own content", error);
	return memmem(inner, held, digest, size) != NULL ||
	       refuse(c, "it covers another digest than the record says", error);
}

static struct cms *read_signature(const struct check *c, GError **error)
{
	GBytes *bytes = evidence(c, ".p7s", error);
	autoptr(cms) cms = bytes != NULL ? cms_read(bytes, c->name, error) : NULL;
	const struct cms_signer *signer;
	g_autofree char *flaw = NULL;

	if (cms == NULL)
		return NULL;
	signer = cms->signers->pdata[0];
	flaw = cms_signer_flaw(signer);
	if (cms->signers->len != 1)
		refuse(c, "it has more than one signer", error);
	else if (flaw != NULL)
		refuse(c, flaw, error);
	else if (is_policys_certificate(c, signer->certificate, error) && covers_digest(c, cms, signer, error))
		return g_steal_pointer(&cms);
	return NULL;
}

/* ---- the token ---- */

static GBytes *token_of(const struct check *c, GError **error)
{
	GBytes *bytes = evidence(c, ".tsr", error);
	const unsigned char *at;
	unsigned char *der = NULL;
	TS_RESP *response;
	PKCS7 *token;
	GBytes *taken = NULL;
	int size;

	if (bytes == NULL)
		return NULL;
	at = g_bytes_get_data(bytes, NULL);
	response = d2i_TS_RESP(NULL, &at, (long)g_bytes_get_size(bytes));
	token = response != NULL ? TS_RESP_get_token(response) : NULL;
	if (token != NULL && (size = i2d_PKCS7(token, &der)) > 0)
		taken = g_bytes_new(der, (gsize)size);
	else
		refuse(c, "its timestamp is no answer with a token", error);
	OPENSSL_free(der);
	TS_RESP_free(response);
	return taken;
}

static gboolean is_over(const struct check *c, const struct cms *token, GBytes *signature, GError **error)
{
	const unsigned char *at = g_bytes_get_data(token->content, NULL);
	TS_TST_INFO *info = d2i_TS_TST_INFO(NULL, &at, (long)g_bytes_get_size(token->content));
	TS_MSG_IMPRINT *imprint = info != NULL ? TS_TST_INFO_get_msg_imprint(info) : NULL;
	const ASN1_OBJECT *algorithm = NULL;
	const EVP_MD *md = NULL;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned size = sizeof(digest);
	gboolean same = FALSE;

	if (imprint != NULL) {
		X509_ALGOR_get0(&algorithm, NULL, NULL, TS_MSG_IMPRINT_get_algo(imprint));
		md = EVP_get_digestbyobj(algorithm);
	}
	if (md != NULL && EVP_MD_get_size(md) >= 32 &&
	    EVP_Digest(g_bytes_get_data(signature, NULL), g_bytes_get_size(signature), digest, &size, md, NULL) == 1)
		same = ASN1_STRING_length(TS_MSG_IMPRINT_get_msg(imprint)) == (int)size &&
		       memcmp(ASN1_STRING_get0_data(TS_MSG_IMPRINT_get_msg(imprint)), digest, size) == 0;
	TS_TST_INFO_free(info);
	return same || refuse(c, "its timestamp is over something else", error);
}

static gboolean check_time(const struct check *c, GBytes *token, GError **error)
{
	int64_t recorded, claimed;
	const char *text = json_as_string(json_path(c->row, "timestamp.time"));

	return (text != NULL && time_parse_ms(text, &recorded) && timestamp_claimed_ms(token, &claimed) &&
		   recorded == claimed) ||
	       refuse(c, "its timestamp is of another time than the record says", error);
}

static gboolean check_timestamp(const struct check *c, GBytes *signature, GError **error)
{
	g_autoptr(GBytes) bytes = token_of(c, error);
	autoptr(cms) token = bytes != NULL ? cms_read(bytes, c->name, error) : NULL;
	g_autofree char *flaw = NULL;

	if (token == NULL)
		return FALSE;
	if (token->signers->len != 1 || token->content == NULL || g_strcmp0(token->content_type, OID_TST_INFO) != 0)
		return refuse(c, "its timestamp is no token", error);
	if ((flaw = cms_signer_flaw(token->signers->pdata[0])) != NULL)
		return refuse(c, flaw, error);
	return is_over(c, token, signature, error) && check_time(c, bytes, error);
}

/* ---- all of a record ---- */

static gboolean check_openpgp(const struct check *c, GError **error)
{
	GBytes *bytes = evidence(c, ".asc", error);
	const struct policy_key *key = policy_key(c->policy, json_string(c->row, "key"));
	GBytes *file = key != NULL ? key_file(c->policy, key, TRUE, NULL) : NULL;
	const char *text = json_string(c->row, "digest"), *colon = text != NULL ? strchr(text, ':') : NULL;
	uint8_t digest[EVP_MAX_MD_SIZE];
	size_t size = colon != NULL ? strlen(colon + 1) / 2 : 0;
	autoptr(openpgp_signature) s = bytes != NULL ? openpgp_signature_read(bytes, error) : NULL;
	g_autoptr(GPtrArray) keys = NULL;

	if (s == NULL)
		return FALSE;
	if (file == NULL)
		return refuse(c, "the policy has no OpenPGP certificate for its key", error);
	if (size < SHA256_SIZE || size > sizeof(digest) || !hex_decode(colon + 1, digest, size))
		return refuse(c, "the record gives no digest for it", error);
	if ((keys = openpgp_keys_read(file, error)) == NULL)
		return FALSE;
	for (guint i = 0; i < keys->len; i++) {
		const struct openpgp_key *of_policy = g_ptr_array_index(keys, i);
		if (openpgp_signature_names(s, of_policy))
			return openpgp_signature_verify(s, of_policy, digest, size, error);
	}
	return refuse(c, "it was made with another key than the policy's", error);
}

static gboolean check_cms(const struct check *c, GError **error)
{
	autoptr(cms) cms = read_signature(c, error);
	const struct cms_signer *signer;

	if (cms == NULL)
		return FALSE;
	signer = cms->signers->pdata[0];
	return json_get(c->row, "timestamp") == NULL || check_timestamp(c, signer->signature, error);
}

static gboolean check_signature(const struct check *c, GError **error)
{
	return g_strcmp0(json_string(c->row, "format"), "openpgp") == 0 ? check_openpgp(c, error) : check_cms(c, error);
}

gboolean audit_stamped(const char *name)
{
	const struct format *format = format_named(name);

	return format == NULL || format->stamped;
}

static struct policy *policy_of(GHashTable *files, GError **error)
{
	GBytes *bytes = g_hash_table_lookup(files, "policy.json");
	g_autoptr(GHashTable) policy = bytes != NULL ? policy_evidence_read(bytes, NULL, error) : NULL;

	if (bytes == NULL)
		error_refused(error, "its evidence lacks policy.json");
	return policy != NULL ? policy_load(policy, error) : NULL;
}

gboolean audit_artifact(const struct json *record, GHashTable *files, void *data, GError **error)
{
	autoptr(policy) policy = policy_of(files, error);
	const struct json *artifacts = json_get(record, "artifacts");
	guint number = 0;

	(void)data;
	for (guint i = 0; policy != NULL && i < json_length(artifacts); i++) {
		const struct json *rows = json_path(json_at(artifacts, i), "signed.signatures");

		for (guint n = 0; n < json_length(rows); n++) {
			const struct json *row = json_at(rows, n);
			g_autofree char *name = g_strdup_printf("%u-%s", ++number, json_string(row, "format"));
			struct check c = { row, name, files, policy };

			if (!check_signature(&c, error))
				return FALSE;
		}
	}
	return policy != NULL;
}
