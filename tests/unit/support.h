/*
 * What the test programs share. A test begins with
 *
 *   #include "tests/unit/support.h"
 *
 * (cmocka and the headers it wants come with it), calls support_isolate() first thing in its main() if it starts
 * programs, and writes only below support_tmp(). Everything here fails the running test instead of returning errors.
 *
 *   autoptr(run) gpg = support_run("gpg", "--verify", path, NULL);
 *   assert_int_equal(gpg->status, 2);
 *   assert_refused(tag_parse(bytes, size, &error), error, "two signatures");
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <glib.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cleanup.h"
#include "gitops/base/error.h"

/* A folder of this program's own, made at the first call and removed with all below it at the end. */
const char *support_tmp(void);
/* A path below it, by the rules of printf. Caller frees. */
char *support_path(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* A new empty folder below it. Caller frees. */
char *support_folder(const char *name);

/* Points HOME, GNUPGHOME, XDG_*, SOFTHSM2_CONF (with an empty token folder) and git's configuration below support_tmp(),
 * fixes language, time zone and git's author, and forgets agents and GIT_DIR. Calling it again changes nothing. */
void support_isolate(void);

/* Whole files. Those that read: caller frees. */
void support_write(const char *path, const char *text);
void support_write_bytes(const char *path, const void *data, size_t size);
char *support_read(const char *path);
GBytes *support_read_bytes(const char *path);

struct run {
	int status; /* exit status; 128 + signal if a signal ended it */
	char *out, *err; /* NUL-terminated */
	size_t out_size, err_size;
};
void support_run_free(struct run *run); /* NULL is fine */
DEFINE_CLEANUP(run, support_run_free)

/* Runs a program (from PATH, without '/') to its end. Arguments end with NULL. */
struct run *support_run(const char *program, ...) G_GNUC_NULL_TERMINATED;
/* The same with a folder to stand in and bytes for stdin, both NULL for none. */
struct run *support_run_in(const char *folder, GBytes *input, const char *const *argv);
/* Must end with 0: else its stderr is shown and the test fails. Its stdout without the last line break; caller frees. */
char *support_must(const char *program, ...) G_GNUC_NULL_TERMINATED;
char *support_must_in(const char *folder, const char *program, ...) G_GNUC_NULL_TERMINATED;

/* A program that was built: support_program("tagseal"). Caller frees. */
char *support_program(const char *name);
/* Is it in PATH? For skip(). */
gboolean support_has(const char *program);

/* `result` (gboolean or pointer) is FALSE or NULL, and `error` (an lvalue) came with it as a sentence of ours that holds
 * `words`. Clears the error, so that the variable can be used again. */
#define assert_refused(result, error, words)                                                                           \
	support_assert_refused((result) == 0, &(error), 0, (words), __FILE__, __LINE__)
/* The same, with the code that the caller would act on. */
#define assert_fails(result, error, code, words)                                                                       \
	support_assert_refused((result) == 0, &(error), (code), (words), __FILE__, __LINE__)
/* `result` is TRUE or an object; else the error's message is shown. */
#define assert_ok(result, error)                                                                                       \
	do {                                                                                                           \
		gboolean ok_ = (result) != 0; /* before `error` is read */                                             \
		support_assert_ok(ok_, (error), #result, __FILE__, __LINE__);                                          \
	} while (0)
/* `text` holds `words`; else both are shown. */
#define assert_contains(text, words) support_assert_contains((text), (words), __FILE__, __LINE__)

void support_assert_refused(gboolean refused, GError **error, int code, const char *words, const char *file, int line);
void support_assert_ok(gboolean ok, const GError *error, const char *call, const char *file, int line);
void support_assert_contains(const char *text, const char *words, const char *file, int line);
