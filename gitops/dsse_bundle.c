/* Sigstore bundles that hold an envelope.   sigstore/protobuf-specs, sigstore_bundle.proto */
#include "gitops/dsse_private.h"

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

#define STAMPS_MAX 8

struct version {
	const char *media_type;
	gboolean chain; /* may it bring a whole chain? */
};
/* 0.3 has certificates stand alone: authorities between come from the verifier's own trust. */
static const struct version versions[] = {
	{ "application/vnd.dev.sigstore.bundle+json;version=0.1", TRUE },
	{ "application/vnd.dev.sigstore.bundle+json;version=0.2", TRUE },
	{ "application/vnd.dev.sigstore.bundle+json;version=0.3", FALSE },
	{ "application/vnd.dev.sigstore.bundle.v0.3+json", FALSE },
};

gboolean dsse_is_bundle(const struct json *object)
{
	return json_get(object, "mediaType") != NULL || json_get(object, "dsseEnvelope") != NULL ||
	       json_get(object, "verificationMaterial") != NULL;
}

/* In protobuf's JSON a member that is null is not there. */
static const struct json *present(const struct json *object, const char *key)
{
	const struct json *value = json_get(object, key);

	return json_kind(value) != JSON_NULL ? value : NULL;
}

static const struct version *find_version(const struct json *object, GError **error)
{
	const char *media_type = json_require_string(object, "mediaType", "the bundle", error);
	g_autofree char *shown = NULL;

	if (media_type == NULL)
		return NULL;
	for (guint i = 0; i < G_N_ELEMENTS(versions); i++)
		if (g_str_equal(media_type, versions[i].media_type))
			return &versions[i];
	shown = text_escape(media_type, -1, 120);
	error_refused(error, "the bundle's mediaType \"%s\" is none of Sigstore's bundles 0.1 to 0.3", shown);
	return NULL;
}

static gboolean add_certificate(const struct json *object, GPtrArray *certificates, GError **error)
{
	g_autoptr(GBytes) der = dsse_bytes(object, "rawBytes", "a certificate of the bundle", error);
	X509 *certificate = der != NULL ? dsse_certificate(der, "a certificate of the bundle", error) : NULL;

	if (certificate == NULL)
		return FALSE;
	g_ptr_array_add(certificates, certificate);
	return TRUE;
}

static gboolean add_chain(const struct json *chain, GPtrArray *certificates, GError **error)
{
	const struct json *list =
	    json_require(chain, "certificates", JSON_ARRAY, "the bundle's x509CertificateChain", error);

	if (list == NULL)
		return FALSE;
	if (json_length(list) == 0 || json_length(list) > DSSE_KEYS_MAX) {
		error_refused(error,
		    "the bundle's x509CertificateChain holds %u certificates: it takes one, and %d are the limit",
		    json_length(list), DSSE_KEYS_MAX);
		return FALSE;
	}
	for (guint i = 0; i < json_length(list); i++)
		if (!add_certificate(json_at(list, i), certificates, error))
			return FALSE;
	return TRUE;
}

/* Exactly one of the three says whose signature it is; a hint at a public key says nothing that we could believe. */
static gboolean read_material(
    const struct json *material, const struct version *version, GPtrArray *certificates, GError **error)
{
	const struct json *single = present(material, "certificate");
	const struct json *chain = present(material, "x509CertificateChain");
	const struct json *hint = present(material, "publicKey");

	if ((single != NULL) + (chain != NULL) + (hint != NULL) != 1) {
		error_refused(error, "the bundle's verificationMaterial must have one of certificate, "
				     "x509CertificateChain and publicKey");
		return FALSE;
	}
	if (chain != NULL && !version->chain) {
		error_refused(error, "a Sigstore bundle 0.3 may not have an x509CertificateChain, but a certificate");
		return FALSE;
	}
	if (single != NULL)
		return add_certificate(single, certificates, error);
	return chain == NULL || add_chain(chain, certificates, error);
}

static gboolean read_stamps(const struct json *material, struct dsse *envelope, GError **error)
{
	const struct json *list = json_path(material, "timestampVerificationData.rfc3161Timestamps");

	if (json_length(list) > STAMPS_MAX) {
		error_refused(error, "the bundle has %u timestamps, and %d are the limit", json_length(list), STAMPS_MAX);
		return FALSE;
	}
	for (guint i = 0; i < json_length(list); i++) {
		GBytes *stamp = dsse_bytes(json_at(list, i), "signedTimestamp", "a timestamp of the bundle", error);

		if (stamp == NULL)
			return FALSE;
		g_ptr_array_add(envelope->stamps, stamp);
	}
	return TRUE;
}

gboolean dsse_read_bundle(const struct json *object, struct dsse *envelope, GError **error)
{
	const struct version *version = find_version(object, error);
	const struct json *material, *inner;
	struct dsse_signature *signature;

	if (version == NULL)
		return FALSE;
	if (present(object, "messageSignature") != NULL) {
		error_refused(error,
		    "the bundle holds a messageSignature over a file, and no statement about its build: a "
		    "dsseEnvelope is needed, and nothing beside it");
		return FALSE;
	}
	material = json_require(object, "verificationMaterial", JSON_OBJECT, "the bundle", error);
	inner = material != NULL ? json_require(object, "dsseEnvelope", JSON_OBJECT, "the bundle", error) : NULL;
	if (inner == NULL || !dsse_read_envelope(inner, envelope, error))
		return FALSE;
	if (envelope->signatures->len != 1) {
		error_refused(error, "the bundle's envelope has %u signatures, and a Sigstore bundle has exactly one",
		    envelope->signatures->len);
		return FALSE;
	}
	signature = g_ptr_array_index(envelope->signatures, 0);
	g_ptr_array_set_size(signature->certificates, 0);
	return read_material(material, version, signature->certificates, error) && read_stamps(material, envelope, error);
}
