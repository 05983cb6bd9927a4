/*
 * The people of a policy (people/NAME.toml, TRUST.md) and the question whose signature this is. A person is
 * counted, never a key; a key that stands under two people makes the set invalid. Identity comes from the key
 * alone.
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

/* Is the signer's key not revoked at `at_ms`? For what counted when it was first seen and must count now too;
 * refused with the key, the time and the file. */
gboolean people_not_revoked(const struct people *people, const struct signer *signer, int64_t at_ms, GError **error);

/* A whole signed tag or commit: parse was done, this verifies the signature and that the identity's address
 * is no other known person's. */
gboolean people_verify_tag(
    const struct people *people, const struct tag *tag, int64_t at_ms, struct signer *signer, GError **error);
gboolean people_verify_commit(
    const struct people *people, const struct commit *commit, int64_t at_ms, struct signer *signer, GError **error);
