/* SSH signatures and certificates made by hand, field by field: by the book but for what a test says otherwise. */
#pragma once

#include "tests/unit/support.h"

/* A certificate for the key of a struct forge. Strings must not be NULL, but for those of which it is said. */
struct forge_certificate {
	const char *type, *principals[3]; /* NULL: no more */
	uint32_t kind;
	uint64_t valid_after, valid_before;
	const char *critical, *critical_value, *extension; /* a name, or NULL: none */
	const char *reserved;
	const char *ca_algorithm; /* what the authority's signature calls itself */
	gboolean ca_lies; /* another key signed */
	const char *after, *after_signature, *after_principals; /* bytes too many */
};

struct forge {
	const char *type, *algorithm, *name, *reserved, *hash, *application;
	uint32_t version;
	uint8_t flags;
	const char *after, *after_signature;
	gboolean security_key, ecdsa;
	const struct forge_certificate *certificate; /* or NULL: the plain key */
};

extern const struct forge forge_ed25519, forge_sk_ed25519, forge_sk_ecdsa;
/* Certificates for alice, without end: for forge_ed25519 and forge_sk_ed25519. */
extern const struct forge_certificate forge_ed25519_certificate, forge_sk_certificate;

/* A tag v9 by alice@example.org that fresh keys signed so. Writes forged.pub and authority.pub (the line of the plain key, and
 * of the authority's) into the working directory. */
GBytes *forge_tag(const struct forge *f);
/* What ssh-keygen says about such a tag: its exit status. */
int forge_judged(GBytes *raw);
