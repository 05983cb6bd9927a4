/*
 * OpenPGP signatures. Two readers must agree on a certificate: librnp when it is loaded, and pgp_certificate_check() for the time
 * that is asked about, since librnp knows no time but its own and believes more than is proved (pgp.h). The signature itself
 * is OpenSSL's work: librnp takes several times as long.
 */
#include "gitops/signature.h"

#include <rnp/rnp.h>
#include <rnp/rnp_err.h>
#include <stdio.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/gpgsig.h"

G_DEFINE_AUTO_CLEANUP_FREE_FUNC(rnp_ffi_t, rnp_ffi_destroy, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(rnp_input_t, rnp_input_destroy, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(rnp_key_handle_t, rnp_key_handle_destroy, NULL)

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

/* --- librnp's word on a certificate --- */

static rnp_result_t import(rnp_ffi_t ffi, GBytes *certificate)
{
	g_auto(rnp_input_t) input = NULL;
	rnp_result_t result =
	    rnp_input_from_memory(&input, g_bytes_get_data(certificate, NULL), g_bytes_get_size(certificate), false);

	return result == RNP_SUCCESS ? rnp_import_keys(ffi, input, RNP_LOAD_SAVE_PUBLIC_KEYS, NULL) : result;
}

/* Does it find the key bound? It judges as of now: what it calls invalid must be so by nothing but a date. */
static gboolean is_sound(rnp_ffi_t ffi, const char *fingerprint, const char *primary_fingerprint)
{
	g_auto(rnp_key_handle_t) key = NULL;
	g_auto(rnp_key_handle_t) primary = NULL;
	bool valid = false, expired = false, primary_expired = false, revoked = false, primary_revoked = false;

	return rnp_locate_key(ffi, "fingerprint", fingerprint, &key) == RNP_SUCCESS && key != NULL &&
	       rnp_locate_key(ffi, "fingerprint", primary_fingerprint, &primary) == RNP_SUCCESS && primary != NULL &&
	       rnp_key_is_valid(key, &valid) == RNP_SUCCESS && rnp_key_is_expired(key, &expired) == RNP_SUCCESS &&
	       rnp_key_is_expired(primary, &primary_expired) == RNP_SUCCESS &&
	       rnp_key_is_revoked(key, &revoked) == RNP_SUCCESS &&
	       rnp_key_is_revoked(primary, &primary_revoked) == RNP_SUCCESS &&
	       (valid || expired || primary_expired || revoked || primary_revoked);
}

/* Asks it about each key; FALSE if it cannot read the certificate. */
static gboolean ask_librnp(GBytes *packets, const struct pgp_certificate *certificate, gboolean *sound, const char **why)
{
	const char *primary = pgp_certificate_key(certificate, 0)->fingerprint;
	g_auto(rnp_ffi_t) ffi = NULL;
	rnp_result_t result = rnp_ffi_create(&ffi, "GPG", "GPG");

	if (result == RNP_SUCCESS)
		result = import(ffi, packets);
	*why = rnp_result_to_string(result);
	for (guint i = 0; result == RNP_SUCCESS && i < pgp_certificate_count(certificate); i++)
		sound[i] = is_sound(ffi, pgp_certificate_key(certificate, i)->fingerprint, primary);
	return result == RNP_SUCCESS;
}

/* --- the keyring --- */

struct entry { /* of a key or subkey */
	const struct pgp_certificate *certificate;
	guint index;
	gboolean sound; /* says librnp */
};

struct keyring {
	GHashTable *entries; /* fingerprint, borrowed -> struct entry */
	GPtrArray *certificates;
};

static void *keyring_new(GError **error)
{
	struct keyring *ring = g_new(struct keyring, 1);

	(void)error;
	ring->entries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
	ring->certificates = g_ptr_array_new_with_free_func((GDestroyNotify)pgp_certificate_free);
	return ring;
}

static void keyring_free(void *keyring)
{
	struct keyring *ring = keyring;

	g_hash_table_unref(ring->entries);
	g_ptr_array_unref(ring->certificates);
	g_free(ring);
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

static void entries_add(struct keyring *ring, struct pgp_certificate *certificate, const gboolean *sound)
{
	g_ptr_array_add(ring->certificates, certificate);
	for (guint i = 0; i < pgp_certificate_count(certificate); i++) {
		struct entry *entry = g_new(struct entry, 1);

		*entry = (struct entry){ certificate, i, sound[i] };
		g_hash_table_replace(ring->entries, (char *)pgp_certificate_key(certificate, i)->fingerprint, entry);
	}
}

static gboolean keyring_add(void *keyring, const struct toml *entry, policy_files *files, const char *const *names,
    key_claim claim, void *data, GError **error)
{
	g_autoptr(GBytes) packets = certificate_of(entry, files, error);
	g_autoptr(GError) reason = NULL;
	autoptr(pgp_certificate) certificate = NULL;
	g_autofree gboolean *sound = NULL;
	const char *why;
	gboolean read;

	(void)names; /* a certificate is one person's, whatever names it holds */
	if (packets == NULL)
		return FALSE;
	if ((certificate = pgp_certificate_read(packets, &reason)) == NULL)
		return toml_fail(entry, error, "%s", reason->message);
	sound = g_new0(gboolean, pgp_certificate_count(certificate));
	enter();
	read = ask_librnp(packets, certificate, sound, &why);
	leave();
	if (!read)
		return toml_fail(entry, error, "not a certificate that librnp reads: %s", why);
	for (guint i = 0; i < pgp_certificate_count(certificate); i++)
		if (!claim(data, pgp_certificate_key(certificate, i)->fingerprint, error))
			return FALSE;
	entries_add(keyring, g_steal_pointer(&certificate), sound);
	return TRUE;
}

/* --- verifying --- */

/* The key that the signature names, by its fingerprint or (an old habit) by the end of it. */
static const struct entry *entry_find(const struct keyring *ring, const char *issuer, GError **error)
{
	const struct entry *found = g_hash_table_lookup(ring->entries, issuer);
	GHashTableIter iter;
	void *fingerprint, *entry;
	guint count = found != NULL;

	g_hash_table_iter_init(&iter, ring->entries);
	while (strlen(issuer) < 40 && g_hash_table_iter_next(&iter, &fingerprint, &entry))
		if (g_str_has_suffix(fingerprint, issuer)) {
			found = entry;
			count++;
		}
	if (count == 1)
		return found;
	if (count == 0)
		error_refused(error, "the OpenPGP key %s that signed belongs to no known person", issuer);
	else
		error_refused(
		    error, "the OpenPGP key %s that signed may be one of several; sign with a newer gpg", issuer);
	return NULL;
}

/* Dates inside the signature, as of when it was first seen. */
static gboolean dates_check(const struct pgp_signature *sig, const struct pgp_key *key, int64_t at, GError **error)
{
	g_autofree char *created = time_format_ms(sig->created * 1000);

	if (sig->created > at + PGP_SKEW)
		error_refused(
		    error, "the OpenPGP signature says that it was made on %s, which was still to come", created);
	else if (sig->expires != 0 && sig->created + sig->expires <= at)
		error_refused(error, "the OpenPGP signature of %s had expired when it was first seen", created);
	else if (sig->created < key->created)
		error_refused(error, "the OpenPGP signature of %s is older than its key %s", created, key->fingerprint);
	else
		return TRUE;
	return FALSE;
}

/* Text signatures are over lines that end with CR and LF.   RFC 4880 5.2.1 */
static GBytes *document(const struct pgp_signature *sig, GBytes *payload)
{
	gsize size;
	const char *data = g_bytes_get_data(payload, &size);
	GString *text;

	if (sig->type == 0)
		return g_bytes_ref(payload);
	text = g_string_sized_new(size + 64);
	for (gsize i = 0; i < size; i++) {
		if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r'))
			g_string_append_c(text, '\r');
		g_string_append_c(text, data[i]);
	}
	return g_string_free_to_bytes(text);
}

static gboolean signature_check(
    const struct pgp_signature *sig, const struct pgp_key *key, GBytes *payload, GError **error)
{
	g_autoptr(GBytes) bytes = document(sig, payload);
	struct span whole = { g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes) };

	if (pgp_signature_fits(sig, key, &whole, 1))
		return TRUE;
	error_refused(error,
	    "OpenPGP key %s: the signature does not fit these bytes: they were changed, or another key made it",
	    key->fingerprint);
	return FALSE;
}

static gboolean verify(
    void *keyring, const char *armor, GBytes *payload, int64_t at_ms, struct signed_by *by, GError **error)
{
	g_autoptr(GBytes) packets = gpgsig_dearmor(armor, strlen(armor), "PGP SIGNATURE", error);
	const struct entry *entry;
	const struct pgp_key *key;
	struct pgp_signature sig;
	int64_t at = at_ms / 1000;

	if (packets == NULL || !gpgsig_parse(packets, &sig, error) ||
	    (entry = entry_find(keyring, sig.issuer, error)) == NULL)
		return FALSE;
	key = pgp_certificate_key(entry->certificate, entry->index);
	/* What is wrong with the key is told first. */
	if (!dates_check(&sig, key, at, error) || !pgp_certificate_check(entry->certificate, entry->index, at, error))
		return FALSE;
	if (!entry->sound) {
		error_refused(
		    error, "OpenPGP key %s: librnp finds that its certificate does not bind it", key->fingerprint);
		return FALSE;
	}
	if (!signature_check(&sig, key, payload, error))
		return FALSE;
	by->key = g_strdup(pgp_certificate_key(entry->certificate, 0)->fingerprint);
	by->through = entry->index != 0 ? g_strdup(key->fingerprint) : NULL;
	return TRUE;
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
