/* Certificates: those that sign, and the chains of signatures found. format.h declares certificates_load(). */
#pragma once

#include <glib.h>
#include <openssl/x509.h>

#include "gitops/base/error.h"

#define OID_LIFETIME_SIGNING "1.3.6.1.4.1.311.10.3.13"

/* All certificates of PEM text; REFUSED if there is none or one cannot be read. `what` begins the sentence. */
STACK_OF(X509) * certificates_parse(GBytes *pem, const char *what, GError **error);
/* A store that holds these roots (PEM) and nothing else. */
X509_STORE *certificate_store(GBytes *roots, const char *what, GError **error);
/* NULL, or why this certificate may not sign code ("it has no codeSigning purpose"). Static text. */
const char *certificate_weakness(X509 *certificate);
gboolean certificate_has_purpose(X509 *certificate, const char *oid); /* in its extended key usage */
/* Does it chain up to one of `roots` at that time? `between` may hold intermediates. No SHA-1, no key below 112 bits. */
gboolean certificate_chains(X509 *certificate, STACK_OF(X509) * between, GBytes *roots, int64_t at_ms, GError **error);
/* "CN=Acme,O=Acme,C=US" (RFC 2253), escaped for messages. Caller frees. */
char *certificate_subject(X509 *certificate);
char *certificate_issuer(X509 *certificate);
char *certificate_serial(X509 *certificate); /* hex */
char *certificate_sha256(X509 *certificate); /* "sha256:…" of its DER */
int64_t certificate_time_ms(const ASN1_TIME *time);
