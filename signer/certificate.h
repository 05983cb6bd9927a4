/* Certificates that sign artifacts, and the chains of signatures found. format.h declares certificates_load(). */
#pragma once

#include "gitops/certificate.h"

#define OID_LIFETIME_SIGNING "1.3.6.1.4.1.311.10.3.13"

/* NULL, or why this certificate may not sign code ("it has no codeSigning purpose"). Static text. */
const char *certificate_weakness(X509 *certificate);
/* Does it chain up to one of `roots` at that time? `between` may hold intermediates. No SHA-1, no key below 112 bits. */
gboolean certificate_chains(X509 *certificate, STACK_OF(X509) * between, GBytes *roots, int64_t at_ms, GError **error);
