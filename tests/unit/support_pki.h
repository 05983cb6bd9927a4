/* A certificate authority, signers and a timestamp authority made in the test run, and the foreign tools that judge. */
#pragma once

#include <glib.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

#include "signer/format.h"
#include "tests/unit/support.h"

struct pki_identity {
	EVP_PKEY *key;
	X509 *certificate;
};

struct pki_wish {
	const char *name, *kind,
	    *usage; /* "rsa3072" "p256" "p384"; EKU as OpenSSL spells it ("codeSigning"), NULL: an authority */
	const struct pki_identity *issuer; /* NULL: itself */
	int64_t from_days, to_days; /* relative to now; both 0: yesterday to ten years on */
};
struct pki_identity pki_make(const struct pki_wish *wish);
void pki_drop(struct pki_identity *identity);

struct pki {
	struct pki_identity root, rsa, p256, p384, expired, mail; /* mail: no codeSigning */
	struct pki_identity stamp_root, stamper, lax_stamper; /* lax: its EKU is not critical */
};
extern struct pki pki;
/* Group setup and teardown. */
int pki_begin(void **state);
int pki_end(void **state);

/* PEM of these certificates, NULL at the end. */
GBytes *pki_pem(X509 *first, ...) G_GNUC_NULL_TERMINATED;
GBytes *pki_sign(EVP_PKEY *key, const EVP_MD *md, GBytes *data);
/* A TimeStampResp of OpenSSL's own authority to this query, at that time (0: now). */
GBytes *pki_stamp(const struct pki_identity *stamper, GBytes *query, int64_t time_ms);

/* Signs the file IN to OUT in this format, with a software key in the token's place: digest, to_be_signed, sign,
 * attach. `parameters` may be NULL; its certificates are set to leaf and root. */
struct pki_signing {
	const char *format, *in, *out;
	const struct pki_identity *signer;
	struct format_parameters parameters;
	GBytes *(*stamp)(GBytes *signature); /* or NULL; returns the token */
};
gboolean pki_sign_file(const struct pki_signing *wish, GError **error);
/* Signatures that the format reads in a file of the folder (detached: beside it, or NULL). */
GPtrArray *pki_read(const char *format, const char *name, const char *detached, GError **error);

/* Names are those of files in support_tmp(). Paths: caller frees. */
char *pki_path(const char *name);
char *pki_file(const char *name, GBytes *bytes);
int pki_open(const char *name); /* read-write, made if missing */
GBytes *pki_bytes(int fd);
/* Runs a command line (shell quoting), returns its exit status; stdout and stderr land in *output if it is not NULL. */
int pki_run(char **output, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* A PE image by mingw: machine "x86_64" or "i686", more flags for the linker; NAME lands in the folder. Returns its path. */
char *pki_image(const char *name, const char *machine, const char *flags);
/* One byte of the copy differs. */
GBytes *pki_flip(GBytes *bytes, size_t at);
size_t pki_find(GBytes *bytes, const void *needle, size_t size);

/* For errors that were kept: the sentence holds these words. */
#define assert_says(error, words)                                                                                      \
	do {                                                                                                           \
		assert_non_null(error);                                                                                \
		assert_contains((error)->message, words);                                                              \
	} while (0)
#define assert_done(result, error) assert_ok(result, error)
