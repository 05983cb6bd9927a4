/*
 * A folder of one's own with real git, gpg and ssh-keygen, for tests about signatures. Nothing outside of it is touched: HOME,
 * GNUPGHOME and git's configuration point into it.
 */
#pragma once

#include <glib.h>

/* Group setup and teardown: the folder is the working directory in between. */
int trust_setup(void **state);
int trust_teardown(void **state);

/* Runs a bash script (set -e) there and fails the test, showing what it printed, unless it succeeds. */
void trust_run(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The script's exit status, whatever it is. */
int trust_status(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The script's standard output. */
GBytes *trust_output(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The same, as text without the last line end. */
char *trust_text(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* Writes a file there. */
void trust_write(const char *path, const char *text);
/* `text` with the first `from` replaced by `to`; the test fails if `from` is not there. Caller frees. */
GBytes *trust_replace(GBytes *text, const char *from, const char *to);

/* Fails unless the error says these words, with the code REFUSED. */
void assert_refusal(const GError *error, const char *words);
