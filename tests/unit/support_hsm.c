#include "tests/unit/support_hsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

char *softhsm_path(const struct softhsm *softhsm, const char *name)
{
	return g_build_filename(softhsm->folder, name, NULL);
}

char *softhsm_file(const struct softhsm *softhsm, const char *name, const void *data, gssize size, int mode)
{
	char *path = softhsm_path(softhsm, name);

	assert_true(g_file_set_contents(path, data, size, NULL));
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

struct softhsm *softhsm_start(void)
{
	struct softhsm *softhsm = g_new0(struct softhsm, 1);
	g_autofree char *tokens = NULL, *text = NULL, *conf = NULL;
	g_autoptr(GError) error = NULL;

	softhsm->folder = g_dir_make_tmp("tagseal-test-XXXXXX", NULL);
	assert_non_null(softhsm->folder);
	tokens = softhsm_path(softhsm, "tokens");
	assert_int_equal(mkdir(tokens, 0700), 0);
	text = g_strdup_printf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens);
	conf = softhsm_file(softhsm, "softhsm2.conf", text, -1, 0600);
	g_setenv("SOFTHSM2_CONF", conf, TRUE);
	g_setenv("HOME", softhsm->folder, TRUE);
	g_setenv("GNUPGHOME", softhsm->folder, TRUE);
	softhsm->pin_file = softhsm_file(softhsm, "pin", TEST_PIN "\n", -1, 0600);
	softhsm->so_pin_file = softhsm_file(softhsm, "so-pin", "87654321\n", -1, 0600);
	if (!hsm_init_token(TEST_MODULE, TEST_TOKEN, softhsm->pin_file, softhsm->so_pin_file, &error))
		fail_msg("%s", error->message);
	return softhsm;
}

void softhsm_stop(struct softhsm *softhsm)
{
	assert_int_equal(softhsm_run(softhsm, NULL, "gpgconf --kill all; rm -rf '%s'", softhsm->folder), 0);
	g_free(softhsm->folder);
	g_free(softhsm->pin_file);
	g_free(softhsm->so_pin_file);
	g_free(softhsm);
}

struct hsm *softhsm_open(const struct softhsm *softhsm)
{
	g_autoptr(GError) error = NULL;
	struct hsm *hsm = hsm_open(TEST_MODULE, TEST_TOKEN, softhsm->pin_file, &error);

	if (hsm == NULL)
		fail_msg("%s", error->message);
	return hsm;
}

int softhsm_run(const struct softhsm *softhsm, char **output, const char *format, ...)
{
	g_autofree char *command = NULL, *line = NULL, *out = NULL;
	const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
	va_list arguments;
	int status;

	va_start(arguments, format);
	command = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	argv[2] = line = g_strdup_printf("{ %s\n} 2>&1", command);
	assert_true(
	    g_spawn_sync(softhsm->folder, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, NULL, &status, NULL));
	if (output != NULL)
		*output = g_steal_pointer(&out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
