/* Builders for tests about provenance: keys and certificates by openssl, statements, and envelopes that openssl signs. */
#pragma once

#include "gitops/provenance.h"
#include "tests/unit/support_trust.h"

#define BUILDER "https://ci.example.org/builders/release@refs/tags/v3"
#define SOURCE "https://git.example.org/acme/widget.git"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER_COMMIT "fedcba9876543210fedcba9876543210fedcba98"
#define ARTIFACT_SHA256 "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" /* of "test" */
#define IN_TOTO "application/vnd.in-toto+json"

/*
 * Group setup, in trust's folder: keys NAME.key with NAME.pub for NAME rsa, p256, p384, p521, ed25519 and other; ca.pem,
 * foreign.pem (another authority), between.pem (under ca). For p256 also certificates: leaf.pem (of BUILDER, under ca),
 * deep.pem (under between), stranger.pem (of another builder), alien.pem (under foreign), web.pem (no codeSigning),
 * nobody.pem (without a name), person.pem (of builder@example.org); rsa-leaf.pem and ed25519-leaf.pem (of BUILDER, under ca).
 */
int provenance_setup(void **state);

/* A good statement about an artifact of ARTIFACT_SHA256. Caller frees. */
char *statement_v1(void);
char *statement_v02(void);
/* `text` with the first `from` replaced; the test fails if it is not there. Frees `text`; caller frees. */
char *swap(char *text, const char *from, const char *to);

char *base64_of(const char *text);
/* openssl's signature over the pre-authentication encoding, in base64. Caller frees. */
char *signature_by(const char *key, const char *type, const char *payload);
/* An envelope with these signatures (JSON texts after each other with commas), or signed by that key. Caller frees. */
char *envelope_with(const char *type, const char *payload, const char *signatures);
char *envelope_by(const char *key, const char *payload);
/* A Sigstore bundle of that version ("0.1" … "0.3") and verificationMaterial (members of the object) around an envelope. */
char *bundle_with(const char *version, const char *material, const char *envelope);
/* "certificate": {…} of NAME.pem. Caller frees. */
char *material_of(const char *certificate);

/* Trust in the key of NAME.pub, or in certificates under NAME.pem. The wish's trust is freed by provenance_forget(). */
struct provenance_wish wish_key(const char *name);
struct provenance_wish wish_roots(const char *name);
void provenance_forget(struct provenance_wish *wish);

/* Frees the file's text and the wish. */
void is_good(char *file, struct provenance_wish wish);
void is_refused(char *file, struct provenance_wish wish, const char *words);
