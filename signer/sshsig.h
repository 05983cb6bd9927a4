/*
 * SSH signatures made with a key on the token (OpenSSH's PROTOCOL.sshsig): the ledger's commits and checkpoints
 * are signed so, and anyone with ssh-keygen can check them. Keys: RSA (rsa-sha2-512), P-256, P-384, P-521.
 */
#pragma once

#include "signer/hsm.h"

/* "ecdsa-sha2-nistp256 AAAA…", without a comment. Caller frees. REFUSED: a key of another kind. */
char *sshsig_public_line(EVP_PKEY *key, GError **error);
/*
 * The armored signature over `payload` in that namespace ("git" for commits and tags, "file" for files), ending
 * with a line feed. hsm_sign()'s errors; USAGE for an empty namespace.
 */
GBytes *sshsig_sign(struct hsm *hsm, const char *label, const char *namespace, GBytes *payload, GError **error);
