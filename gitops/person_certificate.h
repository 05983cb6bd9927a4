/*
 * The rules for X.509 certificates with which people sign: what may stand in them, whom they name, and up to whose roots
 * they chain. RFC 5280, with what OpenSSL leaves to its caller on top. Internal to gitops/.
 */
#pragma once

#include "gitops/certificate.h"

/* The certificate alone, at that time (seconds): no authority's, its usages allow signing, its key and names are good, and it
 * is of its time. A clock a little behind the authority's is forgiven: then *at moves to the certificate's beginning. */
gboolean person_certificate_check(X509 *certificate, int64_t *at, GError **error);

/*
 * Is it the certificate of `subject`? That must be, byte for byte,
 *   alice@example.org                       a mail address in its subjectAltName; where none stands there, in its subject
 *   https://example.org/ci, spiffe://…      a URI in its subjectAltName
 *   CN=Alice,O=Acme                         its whole subject, as openssl x509 -subject -nameopt RFC2253 prints it
 * and `provider`, where not NULL, the identity provider that Fulcio's certificates name.
 */
gboolean person_certificate_is(X509 *certificate, const char *subject, const char *provider);
/* Could `subject` be one? NULL, or what it must be. Static text. */
const char *person_subject_flaw(const char *subject);
/* Its names, for messages: "alice@example.org, https://… (by https://accounts.example.org)". Caller frees. */
char *person_certificate_names(X509 *certificate);

/*
 * Does it chain up to one of `roots` at that time, by certificates of `between`? On success *twin is the fingerprint of the one
 * other certificate that anybody can make of this one without its issuer's key, or NULL: an ECDSA signature (r, s) is as good
 * as (r, -s), so whoever is revoked by fingerprint could come back with the other. Caller frees.
 */
gboolean person_certificate_chains(
    X509 *certificate, STACK_OF(X509) * between, X509_STORE *roots, int64_t at, char **twin, GError **error);
/* "SHA256:…", as of SSH keys. Caller frees. */
char *person_certificate_id(X509 *certificate);
