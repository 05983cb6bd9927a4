/*
 * OpenSSH's file of keys that may sign (ssh-keygen(1), ALLOWED SIGNERS): a line is
 *   principals [options] keytype base64 [comment]
 * with the options namespaces="…", valid-after="…", valid-before="…" and cert-authority. Lines of certificate authorities
 * are read and vouch for nothing, since signatures by certificates are not taken.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

/*
 * May this key blob sign in that namespace at that time? Returns the principals of the line that says so; caller frees.
 * REFUSED: no line does. USAGE: the file breaks the grammar; then no line of it is believed.
 */
char *allowed_signers_find(GBytes *file, GBytes *key, const char *namespace, int64_t at_ms, GError **error);
