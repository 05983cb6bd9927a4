/*
 * The people of a policy (people/NAME.toml) and the question whose signature this is. A person is
 * counted, never a key; a key that stands under two people makes the set invalid. Identity comes from the key
 * alone.
 *
 * An SSH certificate authority says whose other keys are. It is an entry of the array `ssh`,
 *   "cert-authority ssh-ed25519 AAAA…"                          or, in the words of authorized_keys,
 *   "cert-authority,principals=\"alice,alice-ci\" ssh-ed25519 AAAA…"
 * and makes the person's what it certified for a principal that is one of theirs: the name of their file ("alice") or one of
 * their addresses, or exactly the listed ones. Many people may list one authority, since the principals tell them apart: two
 * who claim the same one make the set invalid, and a certificate for two of them is refused. So is one that names nobody, is
 * a host's, is not of its time (valid after <= first seen < valid before) or has a critical option but verify-required. Such
 * a signature is revoked by the fingerprint of the certified key, or by that of the authority.
 *
 * An X.509 certificate is the person's whose entry of the array `x509` names it,
 *   { subject = "alice@example.org", roots = "corp-ca.pem" }
 * (what a subject may be: person_certificate.h), if it chains up to what stands in that file and to nothing else. Where the
 * authority is Sigstore's, oidc_issuer = "https://…" says which identity provider must have vouched for the name. Such a
 * signature is revoked by the certificate's fingerprint: openssl x509 -in CERT -outform DER | openssl dgst -sha256 -binary |
 * base64, with "SHA256:" before it and without the "=" at the end.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/object.h"

struct people;

/* The files of a policy tree or folder: path ("people/alice.toml", "people/alice.asc", "policy.toml") ->
 * GBytes*. At most 2,000 files, 16 MiB. */
typedef GHashTable policy_files;
policy_files *policy_files_from_dir(const char *dir, GError **error);

/* Every TOML file of people/, with the keys beside them. Errors carry file, line, column. */
struct people *people_load(policy_files *files, GError **error);
/* Adds the sentence of every file's first mistake (char *, to be freed). FALSE only if we could not read keys at all. */
gboolean people_mistakes(policy_files *files, GPtrArray *mistakes, GError **error);
/* `--people DIR` of our commands: the folder itself holds the *.toml. */
struct people *people_load_dir(const char *dir, GError **error);
void people_free(struct people *people);
DEFINE_CLEANUP(people, people_free)

gboolean people_exists(const struct people *people, const char *person);
gboolean people_in_group(const struct people *people, const char *person, const char *group);
/* Sorted names, borrowed until the set is freed; NULL-terminated. */
const char *const *people_names(const struct people *people);
/* The person whose address this is, or NULL: for "another known person's address in an object refuses it". */
const char *people_by_email(const struct people *people, const char *email);
/* Rights compared, for self-widening (policy chain): does `now` give this person a key or group that `before`
 * did not? */
gboolean people_widened(const struct people *before, const struct people *now, const char *person);

struct signer {
	char *person;
	enum signature_format format;
	char *key; /* "SHA256:…" (ssh, x509 certificate), full upper-case hex fingerprint of the primary key
		      (OpenPGP) */
	gboolean hardware; /* an sk- key that proved user presence */
	char *through; /* the OpenPGP subkey that signed, the authority of an SSH certificate, or the twin of an X.509
			  certificate, as `key`; or NULL */
};
void signer_clear(struct signer *signer);

/*
 * Verifies `armor` over `payload` and says who signed. `at_ms` is when this server first saw the object: key
 * validity counts then, and a key revoked since before then does not count. The sentence of a refusal names
 * the key and the rule. One verifier a format: signature_ssh.c, signature_openpgp.c (librnp with our rules on
 * top), signature_x509.c.
 */
gboolean people_verify(const struct people *people, enum signature_format format, const char *armor, GBytes *payload,
    int64_t at_ms, struct signer *signer, GError **error);

/* Is the signer's key (and subkey, or authority) not revoked at `at_ms`? For what counted when it was first seen and must count now too;
 * refused with the key, the time and the file. */
gboolean people_not_revoked(const struct people *people, const struct signer *signer, int64_t at_ms, GError **error);

/* A whole signed tag or commit: parse was done, this verifies the signature and that the identity's address
 * is no other known person's. */
gboolean people_verify_tag(
    const struct people *people, const struct tag *tag, int64_t at_ms, struct signer *signer, GError **error);
gboolean people_verify_commit(
    const struct people *people, const struct commit *commit, int64_t at_ms, struct signer *signer, GError **error);
