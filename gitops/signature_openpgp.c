/*
 * OpenPGP signatures: the arithmetic and the certificates by librnp, with the rules that it lacks or leaves to its caller on
 * top (git-signatures, "Where it says Success and you must add a check").
 */
#include "gitops/signature.h"

#include <rnp/rnp.h>
#include <rnp/rnp_err.h>
#include <stdio.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/json.h"
#include "gitops/gpgsig.h"

#define RSA_BITS_MIN 2048
#define SKEW 300 /* seconds that a signer's clock may be ahead of ours */

G_DEFINE_AUTO_CLEANUP_FREE_FUNC(rnp_input_t, rnp_input_destroy, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(rnp_op_verify_t, rnp_op_verify_destroy, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(rnp_key_handle_t, rnp_key_handle_destroy, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(rnp_signature_handle_t, rnp_signature_handle_destroy, NULL)

/*
 * librnp is used by one thread at a time. What it has to say it prints to the C library's stderr, whatever log descriptor it was
 * given; so that pointer (never the descriptor) looks elsewhere meanwhile.
 */
static GMutex lock;
static FILE *null, *real;

static void enter(void)
{
	g_mutex_lock(&lock);
	if (null == NULL)
		null = fopen("/dev/null", "we");
	real = stderr;
	if (null != NULL)
		stderr = null;
}

static void leave(void)
{
	stderr = real;
	g_mutex_unlock(&lock);
}

/* Strings of librnp become ours. */
static char *taken(char *text)
{
	char *copy = g_strdup(text);

	rnp_buffer_destroy(text);
	return copy;
}

/* --- the keyring --- */

static rnp_result_t rules_add(rnp_ffi_t ffi)
{
	static const char *const hashes[] = { "MD5", "SHA1", "RIPEMD160" };
	rnp_result_t result = RNP_SUCCESS;

	/* Data only: certificates of today still carry old self-signatures, for which librnp's own dates apply. */
	for (size_t i = 0; i < G_N_ELEMENTS(hashes) && result == RNP_SUCCESS; i++)
		result = rnp_add_security_rule(ffi, RNP_FEATURE_HASH_ALG, hashes[i],
		    RNP_SECURITY_OVERRIDE | RNP_SECURITY_VERIFY_DATA, 0, RNP_SECURITY_PROHIBITED);
	return result;
}

static void *keyring_new(GError **error)
{
	rnp_ffi_t ffi = NULL;
	rnp_result_t result;

	/* The ring keeps the stream that it finds here and closes it at its end, unless it is the real stderr. */
	result = rnp_ffi_create(&ffi, "GPG", "GPG");
	enter();
	if (result == RNP_SUCCESS)
		result = rules_add(ffi);
	leave();
	if (result == RNP_SUCCESS)
		return ffi;
	g_set_error(
	    error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "librnp cannot be set up: %s", rnp_result_to_string(result));
	rnp_ffi_destroy(ffi);
	return NULL;
}

static void keyring_free(void *keyring)
{
	rnp_ffi_destroy(keyring);
}

static rnp_result_t import(rnp_ffi_t ffi, GBytes *certificate, char **json)
{
	g_auto(rnp_input_t) input = NULL;
	rnp_result_t result =
	    rnp_input_from_memory(&input, g_bytes_get_data(certificate, NULL), g_bytes_get_size(certificate), false);
	char *text = NULL;

	if (result == RNP_SUCCESS)
		result = rnp_import_keys(ffi, input, RNP_LOAD_SAVE_PUBLIC_KEYS, &text);
	*json = taken(text);
	return result;
}

static gboolean is_primary(rnp_ffi_t ffi, const char *fingerprint)
{
	g_auto(rnp_key_handle_t) key = NULL;
	bool primary = false;

	return rnp_locate_key(ffi, "fingerprint", fingerprint, &key) == RNP_SUCCESS && key != NULL &&
	       rnp_key_is_primary(key, &primary) == RNP_SUCCESS && primary;
}

/* Claims the certificate's key and subkeys; exactly one of them must be primary. */
static gboolean keys_claim(
    rnp_ffi_t ffi, const char *report, const struct toml *entry, key_claim claim, void *data, GError **error)
{
	autoptr(json) json = json_parse(report, strlen(report), JSON_STRICT, error);
	const struct json *keys = json_get(json, "keys");
	guint primaries = 0;

	if (json == NULL)
		return FALSE;
	for (guint i = 0; i < json_length(keys); i++) {
		const char *hex = json_string(json_at(keys, i), "fingerprint");
		g_autofree char *fingerprint = g_ascii_strup(hex != NULL ? hex : "", -1);

		primaries += is_primary(ffi, fingerprint);
		if (!claim(data, fingerprint, error))
			return FALSE;
	}
	return primaries == 1 ||
	       toml_fail(entry, error, "the file must hold one person's certificate, and it holds %u", primaries);
}

static GBytes *certificate_of(const struct toml *entry, policy_files *files, GError **error)
{
	const char *name = toml_as_string(entry);
	g_autofree char *path = g_strconcat("people/", name, NULL);
	g_autoptr(GError) reason = NULL;
	GBytes *file, *certificate;

	if (strchr(name, '/') != NULL || (file = g_hash_table_lookup(files, path)) == NULL) {
		toml_fail(entry, error,
		    "there is no such file in people/: give the name of a certificate beside this file (gpg --armor "
		    "--export "
		    "FINGERPRINT)");
		return NULL;
	}
	certificate =
	    gpgsig_dearmor(g_bytes_get_data(file, NULL), g_bytes_get_size(file), "PGP PUBLIC KEY BLOCK", &reason);
	if (certificate == NULL)
		toml_fail(entry, error, "%s: %s", path, reason->message);
	return certificate;
}

static gboolean keyring_add(void *keyring, const struct toml *entry, policy_files *files, const char *const *names,
    key_claim claim, void *data, GError **error)
{
	g_autoptr(GBytes) certificate = certificate_of(entry, files, error);
	g_autofree char *report = NULL;
	rnp_result_t result;
	gboolean ok;

	(void)names; /* a certificate is one person's, whatever names it holds */
	if (certificate == NULL)
		return FALSE;
	enter();
	result = import(keyring, certificate, &report);
	ok = result == RNP_SUCCESS && report != NULL && keys_claim(keyring, report, entry, claim, data, error);
	leave();
	if (result != RNP_SUCCESS || report == NULL)
		return toml_fail(entry, error, "not a certificate that librnp reads: %s", rnp_result_to_string(result));
	return ok;
}

/* --- rules for keys; each adds its reason --- */

static char *fingerprint_of(rnp_key_handle_t key)
{
	char *text = NULL;

	return rnp_key_get_fprint(key, &text) == RNP_SUCCESS ? taken(text) : g_strdup("?");
}

static gboolean curve_is_good(rnp_key_handle_t key)
{
	static const char *const good[] = { "Ed25519", "NIST P-256", "NIST P-384", "NIST P-521", "brainpoolP256r1",
		"brainpoolP384r1", "brainpoolP512r1", NULL };
	char *text = NULL;
	g_autofree char *curve = NULL;

	if (rnp_key_get_curve(key, &text) != RNP_SUCCESS)
		return FALSE;
	curve = taken(text);
	return curve != NULL && g_strv_contains(good, curve);
}

static gboolean algorithm_is_good(rnp_key_handle_t key, GError **error)
{
	char *text = NULL;
	g_autofree char *algorithm = NULL;
	uint32_t bits = 0;

	if (rnp_key_get_alg(key, &text) == RNP_SUCCESS)
		algorithm = taken(text);
	if (algorithm != NULL && g_str_equal(algorithm, "RSA")) {
		if (rnp_key_get_bits(key, &bits) == RNP_SUCCESS && bits >= RSA_BITS_MIN)
			return TRUE;
		error_refused(error, "RSA of %u bits is refused; make a key of at least %d", bits, RSA_BITS_MIN);
		return FALSE;
	}
	if (algorithm != NULL && (g_str_equal(algorithm, "ECDSA") || g_str_equal(algorithm, "EDDSA")) &&
	    curve_is_good(key))
		return TRUE;
	error_refused(error,
	    "%s on this curve or of this size is refused; take Ed25519, a NIST or Brainpool curve, or RSA",
	    algorithm != NULL ? algorithm : "an unknown algorithm");
	return FALSE;
}

/* Two revocations could hide a hard one behind a soft one, and librnp names the reason of one only. */
static guint revocation_count(rnp_key_handle_t key)
{
	size_t count = 0;
	guint found = 0;

	if (rnp_key_get_signature_count(key, &count) != RNP_SUCCESS)
		return G_MAXUINT;
	for (size_t i = 0; i < count; i++) {
		g_auto(rnp_signature_handle_t) sig = NULL;
		char *text = NULL;
		g_autofree char *type = NULL;

		if (rnp_key_get_signature_at(key, i, &sig) != RNP_SUCCESS ||
		    rnp_signature_get_type(sig, &text) != RNP_SUCCESS)
			return G_MAXUINT;
		type = taken(text);
		found += strstr(type, "revocation") != NULL && strstr(type, "cert") == NULL;
	}
	return found;
}

/* The second from which a key with only a soft revocation (superseded, retired) no longer counts; G_MININT64 for all others: a
 * key that was compromised, or revoked without a reason, never counted. */
static int64_t revoked_from(rnp_key_handle_t key)
{
	g_auto(rnp_signature_handle_t) sig = NULL;
	bool superseded = false, retired = false;
	uint32_t created = 0;

	if (rnp_key_is_superseded(key, &superseded) != RNP_SUCCESS ||
	    rnp_key_is_retired(key, &retired) != RNP_SUCCESS || (!superseded && !retired) ||
	    revocation_count(key) != 1 || rnp_key_get_revocation_signature(key, &sig) != RNP_SUCCESS || sig == NULL ||
	    rnp_signature_get_creation(sig, &created) != RNP_SUCCESS)
		return G_MININT64;
	return created;
}

static gboolean is_unrevoked(rnp_key_handle_t key, int64_t at, GError **error)
{
	char *text = NULL;
	g_autofree char *reason = NULL;
	bool revoked = true;

	if (rnp_key_is_revoked(key, &revoked) == RNP_SUCCESS && (!revoked || at < revoked_from(key)))
		return TRUE;
	if (rnp_key_get_revocation_reason(key, &text) == RNP_SUCCESS)
		reason = taken(text);
	text = text_escape(reason != NULL && *reason != '\0' ? reason : "no reason given", -1, 100);
	error_refused(error, "it is revoked (%s)", text);
	g_free(text);
	return FALSE;
}

static gboolean is_alive(rnp_key_handle_t key, int64_t at, GError **error)
{
	uint32_t created = 0, seconds = 0;
	g_autofree char *when = NULL;

	if (rnp_key_get_creation(key, &created) != RNP_SUCCESS || rnp_key_get_expiration(key, &seconds) != RNP_SUCCESS) {
		error_refused(error, "its dates cannot be read");
		return FALSE;
	}
	if ((int64_t)created > at + SKEW) {
		when = time_format_ms((int64_t)created * 1000);
		error_refused(error, "it was made on %s only, after the object was first seen", when);
		return FALSE;
	}
	if (seconds != 0 && (int64_t)created + seconds <= at) {
		when = time_format_ms(((int64_t)created + seconds) * 1000);
		error_refused(error, "it expired on %s; extend it, and renew it in the policy", when);
		return FALSE;
	}
	return TRUE;
}

/* librnp judges a certificate as of now; what it calls invalid must be so by nothing but a date that is judged here. */
static gboolean is_sound(rnp_key_handle_t key, rnp_key_handle_t primary, GError **error)
{
	bool valid = false, expired = false, primary_expired = false, revoked = false, primary_revoked = false;

	if (rnp_key_is_valid(key, &valid) == RNP_SUCCESS && rnp_key_is_expired(key, &expired) == RNP_SUCCESS &&
	    rnp_key_is_expired(primary, &primary_expired) == RNP_SUCCESS &&
	    rnp_key_is_revoked(key, &revoked) == RNP_SUCCESS &&
	    rnp_key_is_revoked(primary, &primary_revoked) == RNP_SUCCESS &&
	    (valid || expired || primary_expired || revoked || primary_revoked))
		return TRUE;
	error_refused(error, "its certificate does not bind it (self-signature or cross-certification missing or bad)");
	return FALSE;
}

static gboolean may_sign(rnp_key_handle_t key, GError **error)
{
	bool sign = false;

	if (rnp_key_allows_usage(key, "sign", &sign) == RNP_SUCCESS && sign)
		return TRUE;
	error_refused(error, "its key flags do not allow signing");
	return FALSE;
}

static gboolean key_is_good(rnp_key_handle_t key, rnp_key_handle_t primary, int64_t at, GError **error)
{
	g_autofree char *fingerprint = fingerprint_of(key);

	if (algorithm_is_good(key, error) && is_unrevoked(key, at, error) && is_alive(key, at, error) &&
	    is_sound(key, primary, error))
		return TRUE;
	g_prefix_error(error, "OpenPGP key %s: ", fingerprint);
	return FALSE;
}

/* --- signatures --- */

/* Which key, of which certificate: both must be good. */
static gboolean signer_check(rnp_ffi_t ffi, rnp_key_handle_t key, int64_t at, struct signed_by *by, GError **error)
{
	g_auto(rnp_key_handle_t) other = NULL;
	rnp_key_handle_t primary = key;
	char *text = NULL;
	bool sub = false;

	if (rnp_key_is_sub(key, &sub) != RNP_SUCCESS ||
	    (sub && (rnp_key_get_primary_fprint(key, &text) != RNP_SUCCESS || text == NULL ||
			rnp_locate_key(ffi, "fingerprint", text, &other) != RNP_SUCCESS || other == NULL))) {
		rnp_buffer_destroy(text);
		error_refused(error, "the OpenPGP subkey that signed belongs to no certificate");
		return FALSE;
	}
	rnp_buffer_destroy(text);
	primary = sub ? other : key;
	if (!key_is_good(key, primary, at, error) || (sub && !key_is_good(primary, primary, at, error)))
		return FALSE;
	by->key = fingerprint_of(primary);
	by->through = sub ? fingerprint_of(key) : NULL;
	if (may_sign(key, error))
		return TRUE;
	g_prefix_error(error, "OpenPGP key %s: ", sub ? by->through : by->key);
	g_clear_pointer(&by->key, g_free);
	g_clear_pointer(&by->through, g_free);
	return FALSE;
}

static gboolean result_check(rnp_result_t result, const struct gpgsig *sig, GError **error)
{
	const char *key = sig->issuer != NULL ? sig->issuer : "(unnamed)";

	if (result == RNP_SUCCESS)
		return TRUE;
	if (result == RNP_ERROR_KEY_NOT_FOUND)
		error_refused(error, "the OpenPGP key %s that signed belongs to no known person", key);
	else if (result == RNP_ERROR_SIGNATURE_INVALID)
		error_refused(error,
		    "OpenPGP key %s: the signature does not fit these bytes: they were changed, or another key made it",
		    key);
	else
		error_refused(
		    error, "OpenPGP key %s: librnp refuses the signature: %s", key, rnp_result_to_string(result));
	return FALSE;
}

/* Dates inside the signature, as of when it was first seen. */
static gboolean dates_check(const struct gpgsig *sig, int64_t at, GError **error)
{
	g_autofree char *created = time_format_ms(sig->created * 1000);

	if (sig->created > at + SKEW)
		error_refused(
		    error, "the OpenPGP signature says that it was made on %s, which was still to come", created);
	else if (sig->expires != 0 && sig->created + sig->expires <= at)
		error_refused(error, "the OpenPGP signature of %s had expired when it was first seen", created);
	else
		return TRUE;
	return FALSE;
}

static gboolean op_verify(rnp_ffi_t ffi, GBytes *packets, GBytes *payload, int64_t at, const struct gpgsig *sig,
    struct signed_by *by, GError **error)
{
	g_auto(rnp_input_t) data = NULL;
	g_auto(rnp_input_t) detached = NULL;
	g_auto(rnp_op_verify_t) op = NULL;
	g_auto(rnp_key_handle_t) key = NULL;
	rnp_op_verify_signature_t one = NULL;
	rnp_result_t status;
	size_t count = 0;

	if (rnp_set_timestamp(ffi, at + SKEW) != RNP_SUCCESS ||
	    rnp_input_from_memory(&data, g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), false) !=
		RNP_SUCCESS ||
	    rnp_input_from_memory(&detached, g_bytes_get_data(packets, NULL), g_bytes_get_size(packets), false) !=
		RNP_SUCCESS ||
	    rnp_op_verify_detached_create(&op, ffi, data, detached) != RNP_SUCCESS ||
	    rnp_op_verify_set_flags(op, RNP_VERIFY_REQUIRE_ALL_SIGS) != RNP_SUCCESS) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "librnp cannot begin to verify");
		return FALSE;
	}
	rnp_op_verify_execute(op); /* its own verdict is too mild: the one signature's status counts */
	if (rnp_op_verify_get_signature_count(op, &count) != RNP_SUCCESS || count != 1 ||
	    rnp_op_verify_get_signature_at(op, 0, &one) != RNP_SUCCESS) {
		error_refused(error, "librnp reads %zu OpenPGP signatures here; exactly one must stand", count);
		return FALSE;
	}
	status = rnp_op_verify_signature_get_status(one);
	if (rnp_op_verify_signature_get_key(one, &key) != RNP_SUCCESS || key == NULL)
		status = status == RNP_SUCCESS ? RNP_ERROR_KEY_NOT_FOUND : status;
	/* What is wrong with the key is told first: librnp calls such signatures invalid and does not say why. */
	if (key != NULL && !signer_check(ffi, key, at, by, error))
		return FALSE;
	if (result_check(status, sig, error))
		return TRUE;
	g_clear_pointer(&by->key, g_free);
	g_clear_pointer(&by->through, g_free);
	return FALSE;
}

static gboolean verify(
    void *keyring, const char *armor, GBytes *payload, int64_t at_ms, struct signed_by *by, GError **error)
{
	g_autoptr(GBytes) packets = gpgsig_dearmor(armor, strlen(armor), "PGP SIGNATURE", error);
	struct gpgsig sig;
	int64_t at = at_ms / 1000;
	gboolean ok;

	if (packets == NULL || !gpgsig_parse(packets, &sig, error))
		return FALSE;
	ok = dates_check(&sig, at, error);
	if (ok) {
		enter();
		ok = op_verify(keyring, packets, payload, at, &sig, by, error);
		leave();
	}
	g_free(sig.issuer);
	return ok;
}

static gboolean is_fingerprint(const char *key)
{
	return strlen(key) == 40 && strspn(key, "0123456789ABCDEF") == 40;
}

const struct signature_scheme signature_openpgp = {
	.format = SIGNATURE_OPENPGP,
	.field = "openpgp",
	.kind = TOML_STRING,
	.entries = "keys as strings",
	.keyring_new = keyring_new,
	.keyring_add = keyring_add,
	.keyring_free = keyring_free,
	.verify = verify,
	.is_key = is_fingerprint,
};
