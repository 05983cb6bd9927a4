/*
 * The ledger's own key, and whose signature a commit of the log carries. One implementation for the writer (which checks what it just
 * made) and the auditor.
 */
#pragma once

#include <glib.h>

#include "gitops/people.h"

/* Keys of "ssh-… AAAA…" or allowed_signers lines ("PRINCIPAL namespaces=\"git\" ssh-… AAAA…"); '#' comments. At least one. */
struct people *ledger_keys(const char *text, GError **error);
/* Parses a raw commit and checks that one of the keys signed it (SSH, namespace git). */
struct commit *ledger_verify(const struct people *keys, GBytes *raw, GError **error);
