/*
 * The formats of signatures that people make on git objects, one file and one row a format. A keyring holds all keys of that
 * format of one people set; whose they are is known to people.c alone. Internal to gitops/.
 */
#pragma once

#include "gitops/base/toml.h"
#include "gitops/people.h"

struct signed_by { /* by whom a signature was made, as far as the signature itself can tell */
	char *key; /* as struct signer's */
	char *through; /* as struct signer's */
	char **claims; /* where an authority says whose `key` is: what one of the people must have claimed; else NULL */
	gboolean hardware;
};

/*
 * Called for each key (and subkey) that an entry brings. FALSE with error: it is another person's. An entry that is believed
 * about others' keys, as a certificate authority is, claims "AUTHORITY NAME" for each name that it may give to this person.
 */
typedef gboolean (*key_claim)(void *data, const char *key, GError **error);

struct signature_scheme {
	enum signature_format format;
	const char *field; /* the array of people/NAME.toml that holds its keys */
	enum toml_kind kind; /* of the entries of that array */
	const char *entries; /* what they are, for messages */
	void *(*keyring_new)(GError **error);
	/* One entry of that array. `files` holds what stands beside it; `names` are the person's, for authorities. */
	gboolean (*keyring_add)(void *keyring, const struct toml *entry, policy_files *files, const char *const *names,
	    key_claim claim, void *data, GError **error);
	void (*keyring_free)(void *keyring);
	/* The refusal names the key and the rule. On success the caller frees what `by` holds. */
	gboolean (*verify)(
	    void *keyring, const char *armor, GBytes *payload, int64_t at_ms, struct signed_by *by, GError **error);
	gboolean (*is_key)(const char *key); /* does this look like a key id of ours (for [[revoked]]) */
};

extern const struct signature_scheme signature_ssh, signature_openpgp, signature_x509;
