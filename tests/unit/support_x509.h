/*
 * For tests of people's X.509 signatures: a shell library that issues certificates and signs a tag with openssl cms (see the
 * head of support_x509.c), and what people_verify_tag() says of it.
 *
 * x509_setup() makes root.pem, inter.pem (issued by root) and alice.pem (issued by inter, for alice@example.org), each with its
 * .key, and people/alice.toml that knows alice under root.pem.
 */
#pragma once

#include "tests/unit/support_trust.h"

#define NOW time_now_ms()
#define DAY INT64_C(86400000)

int x509_setup(void **state);

/* people/ID.toml with these lines below the name; people/ is begun anew if `id` is "alice". */
void x509_person(const char *id, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* As in the setup. */
void x509_alice(void);
/* A tag that "openssl cms -sign" signed with these arguments: "-signer alice.pem -inkey alice.key -certfile inter.pem". */
GBytes *x509_tag(const char *arguments);
/* alice's, with inter.pem beside her certificate. */
GBytes *x509_tag_by_alice(void);
/* A tag whose signature is NAME.pem's, with that certificate and inter.pem. */
GBytes *x509_tag_by(const char *name);
/* A tag with these bytes as its CMS. */
GBytes *x509_tag_of(GBytes *cms);
/* The CMS of a tag. */
GBytes *x509_cms_of(GBytes *raw);
/* The bytes that all these tags sign. */
GBytes *x509_payload(void);
/* "SHA256:…" of NAME.pem, by openssl. */
char *x509_id(const char *name);

void x509_good(GBytes *raw, int64_t at, const char *name);
