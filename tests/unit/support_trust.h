/*
 * For tests about signatures: scripts with real git, gpg and ssh-keygen in the program's own folder, which scripts know as
 * "$TRUST".
 */
#pragma once

#include "gitops/people.h"
#include "tests/unit/support.h"

/* Group setup and teardown: isolated, and in between the folder is the working directory. */
int trust_setup(void **state);
int trust_teardown(void **state);
/* Setup for tests of commands: moreover "$TAGSEAL" is the program, people/ knows alice by her SSH key `a`, and she signs in repo/, which is empty. */
int trust_command_setup(void **state);

/* Runs a bash script (set -e) there and fails the test, showing what it printed, unless it succeeds. */
void trust_run(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The script's exit status, whatever it is. */
int trust_status(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The script's standard output. */
GBytes *trust_output(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The same, as text without the last line end. */
char *trust_text(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* `text` with the first `from` replaced by `to`; the test fails if `from` is not there. Caller frees. */
GBytes *trust_replace(GBytes *text, const char *from, const char *to);

/* Whose tag is it, by the people of people/, when it was first seen at that time? */
gboolean trust_tag_verified(GBytes *raw, int64_t at_ms, struct signer *signer, GError **error);
void trust_tag_refused(GBytes *raw, int64_t at_ms, const char *words);
/* The files of people/ are no set of people. */
void trust_people_refused(const char *words);

/* Fails unless the error says these words, with the code REFUSED. */
void assert_refusal(const GError *error, const char *words);
