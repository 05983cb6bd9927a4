/*
 * A SoftHSM of the test's own in a temporary folder, and the foreign programs that judge what we make there.
 * softhsm_start() sets SOFTHSM2_CONF, HOME and GNUPGHOME to that folder, so nothing of the user's is touched.
 */
#pragma once

#include <glib.h>

#include "signer/hsm.h"

#define TEST_MODULE "/usr/lib/softhsm/libsofthsm2.so"
#define TEST_TOKEN "tests"
#define TEST_PIN "123456"

struct softhsm {
	char *folder, *pin_file, *so_pin_file;
};

/* An initialised token TEST_TOKEN; cmocka's assertions on failure. */
struct softhsm *softhsm_start(void);
void softhsm_stop(struct softhsm *softhsm);
/* Opened; asserts success. */
struct hsm *softhsm_open(const struct softhsm *softhsm);

/* A path in the folder. Caller frees. */
char *softhsm_path(const struct softhsm *softhsm, const char *name);
/* Writes a file into the folder; its path. Caller frees. */
char *softhsm_file(const struct softhsm *softhsm, const char *name, const void *data, gssize size, int mode);

/* Runs a shell command in the folder; its exit status. What it said stays in `*output` (may be NULL; caller frees). */
int softhsm_run(const struct softhsm *softhsm, char **output, const char *format, ...) G_GNUC_PRINTF(3, 4);
