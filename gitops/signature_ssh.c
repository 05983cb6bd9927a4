/* SSH signatures as git makes them: namespace "git", by the keys of people.   PROTOCOL.sshsig */
#include "gitops/signature.h"

#include <openssl/evp.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"
#include "gitops/ssh.h"

#define TYPE_MAX 256

static gboolean is_fingerprint(const char *key)
{
	return g_str_has_prefix(key, "SHA256:") && strlen(key) == 50 &&
	       strspn(key + 7, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == 43;
}

/* --- the keyring --- */

static void *keyring_new(GError **error)
{
	(void)error;
	return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)ssh_key_free);
}

static void keyring_free(void *keyring)
{
	g_hash_table_unref(keyring);
}

/* The key blob of a line "TYPE BASE64 [COMMENT]", as it stands in id_*.pub. */
static GBytes *line_decode(const char *line, const struct toml *entry, GError **error)
{
	g_auto(GStrv) words = g_strsplit(line, " ", 3);
	GBytes *blob = NULL;

	if (g_str_has_prefix(line, "cert-authority")) {
		toml_fail(
		    entry, error, "SSH certificate authorities are not supported yet; list each person's plain keys");
		return NULL;
	}
	if (g_strv_length(words) >= 2)
		blob = base64_decode_strict(words[1], strlen(words[1]), FALSE);
	if (blob == NULL)
		toml_fail(entry, error, "not an SSH public key: give the line of the .pub file, \"ssh-ed25519 AAAA…\"");
	return blob;
}

static gboolean keyring_add(
    void *keyring, const struct toml *entry, policy_files *files, key_claim claim, void *data, GError **error)
{
	const char *line = toml_as_string(entry);
	g_autoptr(GBytes) blob = NULL;
	g_autoptr(GError) reason = NULL;
	g_autofree char *id = NULL;
	autoptr(ssh_key) key = NULL;

	(void)files;
	if (line == NULL)
		return toml_fail(entry, error, "an SSH key must be a string: \"ssh-ed25519 AAAA…\"");
	if ((blob = line_decode(line, entry, error)) == NULL)
		return FALSE;
	if ((key = ssh_key_read(blob, &reason)) == NULL)
		return toml_fail(entry, error, "%s", reason->message);
	if (!g_str_has_prefix(line, ssh_key_type(key)) || line[strlen(ssh_key_type(key))] != ' ')
		return toml_fail(entry, error, "the line says another key type than the key itself");
	id = ssh_fingerprint(blob);
	if (!claim(data, id, error))
		return FALSE;
	g_hash_table_replace(keyring, g_steal_pointer(&id), g_steal_pointer(&key));
	return TRUE;
}

/* The key is none of ours: says so, and of a certificate that it is one. */
static gboolean stranger(GBytes *key, const char *id, GError **error)
{
	static const char suffix[] = "-cert-v01@openssh.com";
	struct cursor c;
	const uint8_t *type;
	size_t size;

	cursor_init(&c, g_bytes_get_data(key, NULL), g_bytes_get_size(key));
	if (cursor_string(&c, &type, &size, TYPE_MAX, "key type") && size > strlen(suffix) &&
	    memcmp(type + size - strlen(suffix), suffix, strlen(suffix)) == 0)
		error_refused(
		    error, "signed with an SSH certificate; they are not supported yet: sign with the plain key");
	else
		error_refused(error, "the SSH key %s that signed belongs to no known person", id);
	return FALSE;
}

static gboolean verify(
    void *keyring, const char *armor, GBytes *payload, int64_t at_ms, struct signed_by *by, GError **error)
{
	autoptr(ssh_signature) sig = ssh_signature_read(armor, "git", error);
	const struct ssh_key *key;
	g_autofree char *id = NULL;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;
	const EVP_MD *md;

	(void)at_ms; /* plain keys carry no dates; revocations are people.c's */
	if (sig == NULL)
		return FALSE;
	id = ssh_fingerprint(ssh_signature_key(sig));
	if ((key = g_hash_table_lookup(keyring, id)) == NULL)
		return stranger(ssh_signature_key(sig), id, error);
	md = g_str_equal(ssh_signature_hash(sig), "sha256") ? EVP_sha256() : EVP_sha512();
	EVP_Digest(g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), digest, &size, md, NULL);
	if (!ssh_signature_verify(sig, key, digest, size, error)) {
		g_prefix_error(error, "SSH key %s: ", id);
		return FALSE;
	}
	*by = (struct signed_by){ .key = g_steal_pointer(&id), .hardware = ssh_key_is_hardware(key) };
	return TRUE;
}

const struct signature_scheme signature_ssh = {
	.format = SIGNATURE_SSH,
	.field = "ssh",
	.keyring_new = keyring_new,
	.keyring_add = keyring_add,
	.keyring_free = keyring_free,
	.verify = verify,
	.is_key = is_fingerprint,
};
