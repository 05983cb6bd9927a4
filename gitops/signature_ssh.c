/* SSH signatures as git makes them: namespace "git", by the keys of people.   PROTOCOL.sshsig */
#include "gitops/signature.h"

#include <openssl/evp.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/ssh.h"

/* --- the keyring --- */

struct keyring {
	GHashTable *keys, *authorities; /* fingerprint -> struct ssh_key */
	GHashTable *ids; /* blob of one of the keys -> its fingerprint: hashing it for each signature is felt */
};

static void *keyring_new(GError **error)
{
	struct keyring *ring = g_new(struct keyring, 1);

	(void)error;
	ring->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)ssh_key_free);
	ring->authorities = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)ssh_key_free);
	ring->ids = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, g_free);
	return ring;
}

static void keyring_free(void *keyring)
{
	struct keyring *ring = keyring;

	g_hash_table_unref(ring->keys);
	g_hash_table_unref(ring->authorities);
	g_hash_table_unref(ring->ids);
	g_free(ring);
}

/* An entry's line: "[cert-authority[,principals=\"NAME,…\"] ]TYPE BASE64 [COMMENT]". */
struct line {
	gboolean authority;
	char **principals; /* or NULL: the person's own names */
	const char *key; /* where TYPE begins, within the line */
};

static gboolean principal_is_plain(const char *name)
{
	return *name != '\0' && strpbrk(name, " \t*?!\"") == NULL && text_is_clean(name, strlen(name));
}

static gboolean principals_read(const char **at, struct line *line, const struct toml *entry, GError **error)
{
	static const char option[] = ",principals=\"";
	const char *start = *at + strlen(option), *end;
	g_autofree char *list = NULL;

	if (!g_str_has_prefix(*at, option) || (end = strchr(start, '"')) == NULL)
		return toml_fail(entry, error,
		    "after cert-authority only a blank or principals=\"NAME,…\" may stand: \"cert-authority "
		    "ssh-ed25519 "
		    "AAAA…\"");
	list = g_strndup(start, end - start);
	line->principals = g_strsplit(list, ",", -1);
	*at = end + 1;
	for (guint i = 0; line->principals[i] != NULL; i++)
		if (!principal_is_plain(line->principals[i]))
			return toml_fail(entry, error,
			    "a principal must be a plain name; patterns, blanks and empty ones are not taken");
	return line->principals[0] != NULL || toml_fail(entry, error, "principals names nobody");
}

static gboolean line_read(const char *text, struct line *line, const struct toml *entry, GError **error)
{
	static const char option[] = "cert-authority";

	if (g_str_has_prefix(text, option)) {
		line->authority = TRUE;
		text += strlen(option);
		if (*text != ' ' && !principals_read(&text, line, entry, error))
			return FALSE;
		if (*text != ' ')
			return toml_fail(entry, error, "after cert-authority and its principals a blank must follow");
		text += strspn(text, " ");
	}
	line->key = text;
	return TRUE;
}

/* The key of "TYPE BASE64 [COMMENT]", as it stands in id_*.pub, and its blob. */
static struct ssh_key *key_read(const char *text, GBytes **out, const struct toml *entry, GError **error)
{
	g_auto(GStrv) words = g_strsplit(text, " ", 3);
	g_autoptr(GBytes) blob = NULL;
	g_autoptr(GError) reason = NULL;
	autoptr(ssh_key) key = NULL;

	if (g_strv_length(words) >= 2)
		blob = base64_decode_strict(words[1], strlen(words[1]), FALSE);
	if (blob == NULL)
		toml_fail(entry, error, "not an SSH public key: give the line of the .pub file, \"ssh-ed25519 AAAA…\"");
	else if (ssh_is_certificate(blob))
		toml_fail(entry, error,
		    "a certificate stands where a key must: list its authority, \"cert-authority ssh-ed25519 AAAA…\"");
	else if ((key = ssh_key_read(blob, &reason)) == NULL)
		toml_fail(entry, error, "%s", reason->message);
	else if (!g_str_equal(words[0], ssh_key_type(key)))
		toml_fail(entry, error, "the line says another key type than the key itself");
	else {
		*out = g_steal_pointer(&blob);
		return g_steal_pointer(&key);
	}
	return NULL;
}

static char *claim_of(const char *authority, const char *principal)
{
	return g_strconcat(authority, " ", principal, NULL);
}

static gboolean claim_names(const char *authority, const char *const *names, key_claim claim, void *data, GError **error)
{
	for (; *names != NULL; names++) {
		g_autofree char *text = claim_of(authority, *names);

		if (!claim(data, text, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean keyring_add(void *keyring, const struct toml *entry, policy_files *files, const char *const *names,
    key_claim claim, void *data, GError **error)
{
	struct keyring *ring = keyring;
	const char *text = toml_as_string(entry);
	struct line line = { 0 };
	g_auto(GStrv) principals = NULL;
	g_autofree char *id = NULL;
	g_autoptr(GBytes) blob = NULL;
	autoptr(ssh_key) key = NULL;
	gboolean ok;

	(void)files;
	if (text == NULL)
		return toml_fail(entry, error, "an SSH key must be a string: \"ssh-ed25519 AAAA…\"");
	ok = line_read(text, &line, entry, error);
	principals = line.principals;
	if (!ok || (key = key_read(line.key, &blob, entry, error)) == NULL)
		return FALSE;
	id = ssh_fingerprint(blob);
	if (principals != NULL)
		names = (const char *const *)principals;
	if (!(line.authority ? claim_names(id, names, claim, data, error) : claim(data, id, error)))
		return FALSE;
	if (!line.authority)
		g_hash_table_replace(ring->ids, g_steal_pointer(&blob), g_strdup(id));
	g_hash_table_replace(
	    line.authority ? ring->authorities : ring->keys, g_steal_pointer(&id), g_steal_pointer(&key));
	return TRUE;
}

/* --- verifying --- */

static gboolean key_verify(
    const struct ssh_signature *sig, const struct ssh_key *key, const char *id, GBytes *payload, GError **error)
{
	const EVP_MD *md = g_str_equal(ssh_signature_hash(sig), "sha256") ? EVP_sha256() : EVP_sha512();
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;

	EVP_Digest(g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), digest, &size, md, NULL);
	if (ssh_signature_verify(sig, key, digest, size, error))
		return TRUE;
	g_prefix_error(error, "SSH key %s: ", id);
	return FALSE;
}

static gboolean plain_verify(
    const struct keyring *ring, const struct ssh_signature *sig, GBytes *payload, struct signed_by *by, GError **error)
{
	const char *id = g_hash_table_lookup(ring->ids, ssh_signature_key(sig));
	g_autofree char *stranger = id == NULL ? ssh_fingerprint(ssh_signature_key(sig)) : NULL;
	const struct ssh_key *key = id != NULL ? g_hash_table_lookup(ring->keys, id) : NULL;

	if (key == NULL) {
		error_refused(error, "the SSH key %s that signed belongs to no known person", stranger);
		return FALSE;
	}
	if (!key_verify(sig, key, id, payload, error))
		return FALSE;
	*by = (struct signed_by){ .key = g_strdup(id), .hardware = ssh_key_is_hardware(key) };
	return TRUE;
}

/* Whom the certificate names, as claims. */
static char **claims_of(const struct ssh_certificate *certificate)
{
	const char *const *principals = ssh_certificate_principals(certificate);
	guint count = g_strv_length((char **)principals);
	char **claims = g_new0(char *, count + 1);

	for (guint i = 0; i < count; i++)
		claims[i] = claim_of(ssh_certificate_authority(certificate), principals[i]);
	return claims;
}

static gboolean certificate_verify(const struct keyring *ring, const struct ssh_signature *sig, GBytes *payload,
    int64_t at_ms, struct signed_by *by, GError **error)
{
	autoptr(ssh_certificate) certificate = ssh_certificate_read(ssh_signature_key(sig), error);
	const struct ssh_key *authority, *key;

	if (certificate == NULL)
		return FALSE;
	authority = g_hash_table_lookup(ring->authorities, ssh_certificate_authority(certificate));
	if (authority == NULL) {
		error_refused(error,
		    "the certificate authority %s of the SSH key %s that signed stands in no person's file (as "
		    "cert-authority)",
		    ssh_certificate_authority(certificate), ssh_certificate_id(certificate));
		return FALSE;
	}
	key = ssh_certificate_key(certificate);
	if (!ssh_certificate_check(certificate, authority, at_ms, error) ||
	    !key_verify(sig, key, ssh_certificate_id(certificate), payload, error))
		return FALSE;
	*by = (struct signed_by){ .key = g_strdup(ssh_certificate_id(certificate)),
		.through = g_strdup(ssh_certificate_authority(certificate)),
		.claims = claims_of(certificate),
		.hardware = ssh_key_is_hardware(key) };
	return TRUE;
}

static gboolean verify(
    void *keyring, const char *armor, GBytes *payload, int64_t at_ms, struct signed_by *by, GError **error)
{
	autoptr(ssh_signature) sig = ssh_signature_read(armor, "git", error);

	if (sig == NULL)
		return FALSE;
	/* Plain keys carry no dates; revocations are people.c's. */
	return ssh_is_certificate(ssh_signature_key(sig)) ? certificate_verify(keyring, sig, payload, at_ms, by, error)
							  : plain_verify(keyring, sig, payload, by, error);
}

const struct signature_scheme signature_ssh = {
	.format = SIGNATURE_SSH,
	.field = "ssh",
	.kind = TOML_STRING,
	.entries = "keys as strings",
	.keyring_new = keyring_new,
	.keyring_add = keyring_add,
	.keyring_free = keyring_free,
	.verify = verify,
	.is_key = ssh_is_fingerprint,
};
