/* X.509 certificates: read, shown, and their dates. */
#pragma once

#include <glib.h>
#include <openssl/x509.h>

#include "gitops/base/error.h"

/* All certificates of PEM text; REFUSED if there is none or one cannot be read. `what` begins the sentence. */
STACK_OF(X509) * certificates_parse(GBytes *pem, const char *what, GError **error);
void certificates_free(STACK_OF(X509) * stack); /* NULL is fine */
/* A store that holds these roots (PEM) and nothing else. */
X509_STORE *certificate_store(GBytes *roots, const char *what, GError **error);
gboolean certificate_has_purpose(X509 *certificate, const char *oid); /* in its extended key usage */
/* "CN=Acme,O=Acme,C=US" (RFC 2253), escaped for messages. Caller frees. */
char *certificate_subject(X509 *certificate);
char *certificate_issuer(X509 *certificate);
char *certificate_serial(X509 *certificate); /* hex */
char *certificate_sha256(X509 *certificate); /* "sha256:…" of its DER */
int64_t certificate_time_ms(const ASN1_TIME *time);
