/*
 * What tests of the ledger and of its auditor share: an Ed25519 key in memory that signs as the ledger's key on the token does, and
 * documents for the log.
 */
#pragma once

#include <glib.h>

#include "gitops/ledger.h"

struct test_key;
struct test_key *test_key_new(void);
void test_key_free(struct test_key *key);
DEFINE_CLEANUP(test_key, test_key_free)
/* "ssh-ed25519 AAAA…" */
const char *test_key_line(const struct test_key *key);
/* A ledger_sign; `data` is the key. */
GBytes *test_key_sign(void *data, GBytes *payload, GError **error);

/* A whole small record that ended that way, with a fresh id. */
struct json *test_record(const char *project, const char *tag, const char *outcome);
/* Opens a ledger at `path`; asserts success. */
struct ledger *test_ledger(const char *path, struct test_key *key);
/* Appends one document without evidence; asserts success. */
void test_append(struct ledger *ledger, struct json *document);
