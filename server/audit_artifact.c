/*
 * Each signature of a record has its number, counted from one over all artifacts; its evidence stands beside the record as
 * "N-FORMAT.p7s" (the CMS message) or "N-FORMAT.asc" (OpenPGP), "N-FORMAT.tsq" and "N-FORMAT.tsr". Checked are: the signature with the
 * policy's certificate or key, the digest that the record gives, and the token over that very signature, against its query. Nothing that no
 * signature covers may be in a message but the policy's certificates and that token. An OpenPGP signature is over the file and its own head
 * together, so that this digest is the file's can be told only with the file at hand: `tagseal verify` does it.
 */
#include "server/audit_artifact.h"

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
	const struct json *artifact, *row; /* of the record's "artifacts", and of its "signatures" */
	const char *name; /* "3-cms", for messages and file names */
	GHashTable *files;
	struct policy *policy;
	struct audit_stamps *stamps; /* or NULL */
};

static GBytes *evidence(const struct check *c, const char *ending, GError **error)
{
	g_autofree char *name = g_strconcat(c->name, ending, NULL);
	GBytes *bytes = g_hash_table_lookup(c->files, name);

	if (bytes == NULL)
		error_refused(error, "its evidence lacks \"%s\"", name);
	return bytes;
}

static gboolean refuse(const struct check *c, const char *why, GError **error)
{
	error_refused(error, "the signature %s: %s", c->name, why);
	return FALSE;
}

/* ---- the signature ---- */

static gboolean holds(STACK_OF(X509) * list, X509 *certificate)
{
	for (int i = 0; i < sk_X509_num(list); i++)
		if (X509_cmp(sk_X509_value(list, i), certificate) == 0)
			return TRUE;
	return FALSE;
}

/* The signer's is the first of the policy's chain, and whatever else is there is of that chain too, each once. */
static gboolean check_certificates(const struct check *c, const struct cms *cms, STACK_OF(X509) * chain, GError **error)
{
	const struct cms_signer *signer = cms->signers->pdata[0];
	const char *recorded = json_string(c->row, "certificate");
	g_autofree char *subject = certificate_subject(signer->certificate);

	if (X509_cmp(sk_X509_value(chain, 0), signer->certificate) != 0)
		return refuse(c, "it was made with another certificate than the policy's", error);
	if (recorded != NULL && !g_str_equal(recorded, subject))
		return refuse(c, "the record names another certificate", error);
	for (int i = 0; i < sk_X509_num(cms->certificates); i++)
		if (!holds(chain, sk_X509_value(cms->certificates, i)))
			return refuse(c, "it carries a certificate that is not in the policy's chain", error);
	return sk_X509_num(cms->certificates) <= sk_X509_num(chain) || refuse(c, "it carries a certificate twice", error);
}

static gboolean is_of_policy(const struct check *c, const struct cms *cms, GError **error)
{
	const struct policy_key *key = policy_key(c->policy, json_string(c->row, "key"));
	GBytes *file = key != NULL ? key_file(c->policy, key, FALSE, NULL) : NULL;
	STACK_OF(X509) * chain;
	gboolean good;

	if (file == NULL)
		return refuse(c, "the policy has no certificate for its key", error);
	if ((chain = certificates_parse(file, "the policy's chain", error)) == NULL)
		return FALSE;
	good = check_certificates(c, cms, chain, error);
	sk_X509_pop_free(chain, X509_free);
	return good;
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
	if (cms->content == NULL && (signed_size != size || memcmp(is_signed, digest, size) != 0))
		return refuse(c, "it covers another digest than the record says", error);
	if (cms->content == NULL)
		return size != SHA256_SIZE || g_strcmp0(text, json_string(c->artifact, "sha256")) == 0 ||
		       refuse(c, "it is not over the artifact that the record names", error);
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
	else if (is_of_policy(c, cms, error) && covers_digest(c, cms, signer, error))
		return g_steal_pointer(&cms);
	return NULL;
}

/* ---- the token ---- */

/* No signature covers the attributes behind it: there the token may stand, and nothing else. */
static gboolean carries_only(const struct check *c, const struct cms_signer *signer, GBytes *token, GError **error)
{
	GPtrArray *attributes = signer->unsigned_attributes;
	const struct cms_attribute *attribute = attributes->len == 1 ? attributes->pdata[0] : NULL;

	if (token == NULL)
		return attributes->len == 0 ||
		       refuse(c, "it carries what nobody signed, and the record tells of no timestamp", error);
	if (attribute == NULL || attribute->values->len != 1 ||
	    !(g_str_equal(attribute->oid, OID_TIMESTAMP_TOKEN) || g_str_equal(attribute->oid, OID_AUTHENTICODE_TOKEN)))
		return refuse(c, "it carries something else than one timestamp", error);
	return g_bytes_equal(attribute->values->pdata[0], token) ||
	       refuse(c, "it carries another timestamp than the authority's answer", error);
}

static gboolean are_recorded(const struct check *c, const struct timestamp_facts *facts, GError **error)
{
	const struct json *recorded = json_get(c->row, "timestamp");
	g_autofree char *time = time_format_ms(facts->time_ms);
	const char *const values[][2] = { { "time", time }, { "serial", facts->serial }, { "policy", facts->policy },
		{ "authority", facts->authority } };

	for (guint i = 0; i < G_N_ELEMENTS(values); i++)
		if (g_strcmp0(json_string(recorded, values[i][0]), values[i][1]) != 0) {
			error_refused(error, "the signature %s: the %s of its timestamp is %s, and the record says %s",
			    c->name, values[i][0], values[i][1],
			    json_string(recorded, values[i][0]) != NULL ? json_string(recorded, values[i][0])
									: "nothing");
			return FALSE;
		}
	return TRUE;
}

/* Whose clock it was only the auditor's own roots can tell; all else stands in the evidence. */
static gboolean check_chain(const struct check *c, GBytes *token, GBytes *signature, GError **error)
{
	if (c->stamps == NULL)
		return TRUE;
	if (c->stamps->roots == NULL) {
		c->stamps->unanchored++;
		return TRUE;
	}
	return timestamp_verify(token, signature, NULL, NULL, c->stamps->roots, NULL, error);
}

static gboolean check_timestamp(const struct check *c, const struct cms_signer *signer, GError **error)
{
	GBytes *query = evidence(c, ".tsq", error), *response = query != NULL ? evidence(c, ".tsr", error) : NULL;
	g_autoptr(GBytes) token = response != NULL ? timestamp_token(response, error) : NULL;
	struct timestamp_facts facts = { 0 };
	gboolean good = token != NULL && carries_only(c, signer, token, error) &&
			timestamp_examine(token, signer->signature, query, &facts, error) &&
			are_recorded(c, &facts, error) && check_chain(c, token, signer->signature, error);

	timestamp_facts_clear(&facts);
	/* Told by signer/, which knows no names of ours. */
	if (!good && error != NULL && *error != NULL && strstr((*error)->message, c->name) == NULL)
		g_prefix_error(error, "the signature %s: ", c->name);
	return good;
}

/* ---- one signature ---- */

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
	if (json_get(c->row, "timestamp") != NULL)
		return refuse(c, "the record tells of a timestamp, for which an OpenPGP signature has no place", error);
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

	if (cms == NULL)
		return FALSE;
	return json_get(c->row, "timestamp") == NULL ? carries_only(c, cms->signers->pdata[0], NULL, error)
						     : check_timestamp(c, cms->signers->pdata[0], error);
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

const char *audit_ending(const char *name)
{
	const struct format *format = format_named(name);

	return format == NULL ? NULL : format->suffix != NULL ? format->suffix : ".p7s";
}

/* ---- all of a record ---- */

static struct policy *policy_of(GHashTable *files, GError **error)
{
	GBytes *bytes = g_hash_table_lookup(files, "policy.json");
	g_autoptr(GHashTable) policy = bytes != NULL ? policy_evidence_read(bytes, NULL, error) : NULL;

	if (bytes == NULL)
		error_refused(error, "its evidence lacks policy.json");
	return policy != NULL ? policy_load(policy, error) : NULL;
}

/* With signatures only beside it, what was released is the very file that was approved. */
static gboolean check_output(const struct json *artifact, GError **error)
{
	const struct json *rows = json_path(artifact, "signed.signatures");
	const char *in = json_string(artifact, "sha256"), *out = json_as_string(json_path(artifact, "signed.sha256"));

	for (guint i = 0; i < json_length(rows); i++) {
		const struct format *format = format_named(json_string(json_at(rows, i), "format"));

		if (format == NULL || format->suffix == NULL)
			return TRUE;
	}
	if (g_strcmp0(in, out) == 0)
		return TRUE;
	error_refused(error, "%s was released as another file than was approved, though nothing was signed inside it",
	    json_string(artifact, "name"));
	return FALSE;
}

gboolean audit_artifact(const struct json *record, GHashTable *files, struct audit_stamps *stamps, GError **error)
{
	autoptr(policy) policy = policy_of(files, error);
	const struct json *artifacts = json_get(record, "artifacts");
	guint number = 0;

	for (guint i = 0; policy != NULL && i < json_length(artifacts); i++) {
		const struct json *artifact = json_at(artifacts, i), *rows = json_path(artifact, "signed.signatures");

		if (!check_output(artifact, error))
			return FALSE;
		for (guint n = 0; n < json_length(rows); n++) {
			const struct json *row = json_at(rows, n);
			g_autofree char *name = g_strdup_printf("%u-%s", ++number, json_string(row, "format"));
			struct check c = { artifact, row, name, files, policy, stamps };

			if (!check_signature(&c, error))
				return FALSE;
		}
	}
	return policy != NULL;
}
