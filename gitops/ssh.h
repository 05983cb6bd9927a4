/*
 * SSH keys and the signatures that they make (SSHSIG), as git, people and allowed_signers files use them: Ed25519, ECDSA and
 * RSA of 3072 bits and more, plain or security keys that were touched; and certificates for such keys. Internal to gitops/ and
 * signer/.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/error.h"

struct ssh_key;
/* The key blob (what stands in base64 in a .pub file), to its last byte. REFUSED: a kind or size that we do not take. */
struct ssh_key *ssh_key_read(GBytes *blob, GError **error);
void ssh_key_free(struct ssh_key *key); /* NULL is fine */
DEFINE_CLEANUP(ssh_key, ssh_key_free)
const char *ssh_key_type(const struct ssh_key *key); /* "ssh-ed25519" */
gboolean ssh_key_is_hardware(const struct ssh_key *key);
/* "SHA256:…", as ssh-keygen -l shows it. Caller frees. */
char *ssh_fingerprint(GBytes *blob);
gboolean ssh_is_fingerprint(const char *text);

/*
 * A certificate: an authority's word on whose a key is.   PROTOCOL.certkeys
 * Reading looks at the form alone and believes nothing; ssh_certificate_check() is what makes it count.
 */
struct ssh_certificate;
gboolean ssh_is_certificate(GBytes *blob);
struct ssh_certificate *ssh_certificate_read(GBytes *blob, GError **error);
void ssh_certificate_free(struct ssh_certificate *certificate); /* NULL is fine */
DEFINE_CLEANUP(ssh_certificate, ssh_certificate_free)
const struct ssh_key *ssh_certificate_key(const struct ssh_certificate *certificate); /* the certified key, borrowed */
/* Fingerprints, borrowed: of the certified key (not of the certificate, as ssh-keygen has it too), and of the authority. */
const char *ssh_certificate_id(const struct ssh_certificate *certificate);
const char *ssh_certificate_authority(const struct ssh_certificate *certificate);
/* Whom it names; at least one. Borrowed, NULL-terminated. */
const char *const *ssh_certificate_principals(const struct ssh_certificate *certificate);
/*
 * Is it signed by that authority, valid at that time, and free of conditions that we cannot see fulfilled? REFUSED if not.
 * (The one critical option that is taken is verify-required, which ssh_signature_verify() with its key sees to.)
 */
gboolean ssh_certificate_check(
    const struct ssh_certificate *certificate, const struct ssh_key *authority, int64_t at_ms, GError **error);

struct ssh_signature;
/* The one armor block that `armor` is (armor_refusal() found nothing), made for that namespace. */
struct ssh_signature *ssh_signature_read(const char *armor, const char *namespace, GError **error);
/* The same of a file's bytes, which must be that one block and nothing else. */
struct ssh_signature *ssh_signature_read_file(GBytes *file, const char *namespace, GError **error);
void ssh_signature_free(struct ssh_signature *signature); /* NULL is fine */
DEFINE_CLEANUP(ssh_signature, ssh_signature_free)
GBytes *ssh_signature_key(const struct ssh_signature *signature); /* the signer's key blob or certificate, borrowed */
const char *ssh_signature_hash(const struct ssh_signature *signature); /* "sha256" or "sha512" */
/* Did that key sign what has this digest, by the signature's own hash? REFUSED if not. */
gboolean ssh_signature_verify(const struct ssh_signature *signature, const struct ssh_key *key, const void *digest,
    size_t digest_size, GError **error);
