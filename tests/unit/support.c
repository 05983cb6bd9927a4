#include "tests/unit/support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_MAX (256 * 1024 * 1024)

static char *tmp;
static pid_t owner; /* a child that a test forked must not remove the folder when it ends */

/* gpg leaves an agent behind that would recreate its files. */
static void end_agents(void)
{
	const char *home = g_getenv("GNUPGHOME");
	const char *argv[] = { "gpgconf", "--homedir", home, "--kill", "all", NULL };

	if (home == NULL || !g_str_has_prefix(home, tmp))
		return;
	g_spawn_sync(NULL, (char **)argv, NULL,
	    G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL, NULL, NULL,
	    NULL);
}

static void remove_tmp(void)
{
	if (getpid() != owner)
		return;
	end_agents();
	path_remove(tmp);
	g_clear_pointer(&tmp, g_free);
}

const char *support_tmp(void)
{
	if (tmp == NULL) {
		tmp = g_dir_make_tmp("tagseal-XXXXXX", NULL);
		assert_non_null(tmp);
		owner = getpid();
		atexit(remove_tmp);
	}
	return tmp;
}

char *support_path(const char *format, ...)
{
	g_autofree char *name = NULL;
	va_list args;

	va_start(args, format);
	name = g_strdup_vprintf(format, args);
	va_end(args);
	return g_build_filename(support_tmp(), name, NULL);
}

char *support_folder(const char *name)
{
	char *path = support_path("%s", name);

	if (g_mkdir_with_parents(path, 0700) != 0)
		fail_msg("cannot make %s: %s", path, g_strerror(errno));
	return path;
}

static void set_folder(const char *variable, const char *name)
{
	g_autofree char *path = support_folder(name);

	g_setenv(variable, path, TRUE);
}

static void set_softhsm(void)
{
	g_autofree char *tokens = support_folder("tokens"), *conf = support_path("softhsm2.conf");
	g_autofree char *text = g_strdup_printf("directories.tokendir = %s\nobjectstore.backend = file\n"
						"log.level = ERROR\n",
	    tokens);

	support_write(conf, text);
	g_setenv("SOFTHSM2_CONF", conf, TRUE);
}

void support_isolate(void)
{
	static const char *const fixed[][2] = {
		{ "LC_ALL", "C.UTF-8" },
		{ "TZ", "UTC" },
		{ "GIT_CONFIG_NOSYSTEM", "1" },
		{ "GIT_TERMINAL_PROMPT", "0" },
		{ "GIT_AUTHOR_NAME", "Alice Example" },
		{ "GIT_AUTHOR_EMAIL", "alice@example.org" },
		{ "GIT_COMMITTER_NAME", "Alice Example" },
		{ "GIT_COMMITTER_EMAIL", "alice@example.org" },
	};
	static const char *const forgotten[] = { "SSH_AUTH_SOCK", "GPG_AGENT_INFO", "GIT_CONFIG_GLOBAL", "GIT_DIR",
		"GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "XDG_RUNTIME_DIR", "http_proxy",
		"https_proxy" };
	static gboolean done;

	if (done)
		return;
	done = TRUE;
	set_folder("HOME", "home");
	set_folder("GNUPGHOME", "gnupg");
	set_folder("XDG_CONFIG_HOME", "home/.config");
	set_folder("XDG_CACHE_HOME", "home/.cache");
	set_softhsm();
	for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++)
		g_setenv(fixed[i][0], fixed[i][1], TRUE);
	for (size_t i = 0; i < G_N_ELEMENTS(forgotten); i++)
		g_unsetenv(forgotten[i]);
}

void support_write_bytes(const char *path, const void *data, size_t size)
{
	g_autoptr(GError) error = NULL;

	if (!file_write(path, data, size, 0600, &error))
		fail_msg("%s", error->message);
}

void support_write(const char *path, const char *text)
{
	support_write_bytes(path, text, strlen(text));
}

GBytes *support_read_bytes(const char *path)
{
	g_autoptr(GError) error = NULL;
	GBytes *bytes = file_read(path, FILE_MAX, &error);

	if (bytes == NULL)
		fail_msg("%s", error->message);
	return bytes;
}

char *support_read(const char *path)
{
	g_autoptr(GBytes) bytes = support_read_bytes(path);
	size_t size;
	const char *text = g_bytes_get_data(bytes, &size);

	return size == 0 ? g_strdup("") : g_strndup(text, size);
}

void support_run_free(struct run *run)
{
	if (run == NULL)
		return;
	g_free(run->out);
	g_free(run->err);
	g_free(run);
}

static int new_memfd(const char *name)
{
	g_autoptr(GError) error = NULL;
	int fd = memfd_new(name, &error);

	if (fd < 0)
		fail_msg("%s", error->message);
	return fd;
}

/* All that was written into it, with a NUL behind. */
static char *taken(int fd, size_t *size)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = fd_read(fd, FILE_MAX, &error);
	const char *data;
	char *text;

	if (bytes == NULL)
		fail_msg("%s", error->message);
	data = g_bytes_get_data(bytes, size);
	text = g_malloc0(*size + 1);
	if (*size > 0)
		memcpy(text, data, *size);
	return text;
}

static int wait_for(GPid pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Input and output go through memfds: no pipe can fill up, and no daemon left behind can hold one open. */
struct run *support_run_in(const char *folder, GBytes *input, const char *const *argv)
{
	g_autoptr(GError) error = NULL;
	autofd int in = new_memfd("stdin"), out = new_memfd("stdout"), err = new_memfd("stderr");
	struct run *run = g_new0(struct run, 1);
	GPid pid;

	if (input != NULL) {
		size_t size;
		const void *data = g_bytes_get_data(input, &size);

		if (!fd_write_all(in, data, size, &error) || lseek(in, 0, SEEK_SET) != 0)
			fail_msg("cannot give %s its input", argv[0]);
	}
	if (!g_spawn_async_with_pipes_and_fds(folder, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL,
		NULL, in, out, err, NULL, NULL, 0, &pid, NULL, NULL, NULL, &error))
		fail_msg("cannot run %s: %s", argv[0], error->message);
	run->status = wait_for(pid);
	run->out = taken(out, &run->out_size);
	run->err = taken(err, &run->err_size);
	return run;
}

/* The program and what follows it, NULL-terminated; frees only the array. */
static const char **collect(const char *program, va_list args)
{
	GPtrArray *argv = g_ptr_array_new();

	for (const char *arg = program; arg != NULL; arg = va_arg(args, const char *))
		g_ptr_array_add(argv, (void *)arg);
	g_ptr_array_add(argv, NULL);
	return (const char **)g_ptr_array_free(argv, FALSE);
}

struct run *support_run(const char *program, ...)
{
	g_autofree const char **argv = NULL;
	va_list args;

	va_start(args, program);
	argv = collect(program, args);
	va_end(args);
	return support_run_in(NULL, NULL, argv);
}

static char *must(const char *folder, const char **argv)
{
	autoptr(run) run = support_run_in(folder, NULL, argv);

	if (run->status != 0) {
		g_autofree char *command = g_strjoinv(" ", (char **)argv);

		fail_msg("%s: exit status %d\n%s%s", command, run->status, run->out, run->err);
	}
	if (g_str_has_suffix(run->out, "\n"))
		run->out[strlen(run->out) - 1] = '\0';
	return g_steal_pointer(&run->out);
}

char *support_must(const char *program, ...)
{
	g_autofree const char **argv = NULL;
	va_list args;

	va_start(args, program);
	argv = collect(program, args);
	va_end(args);
	return must(NULL, argv);
}

char *support_must_in(const char *folder, const char *program, ...)
{
	g_autofree const char **argv = NULL;
	va_list args;

	va_start(args, program);
	argv = collect(program, args);
	va_end(args);
	return must(folder, argv);
}

char *support_program(const char *name)
{
	return g_build_filename(BUILD_DIR, name, NULL);
}

gboolean support_has(const char *program)
{
	g_autofree char *path = g_find_program_in_path(program);

	return path != NULL;
}

void support_assert_contains(const char *text, const char *words, const char *file, int line)
{
	if (text != NULL && strstr(text, words) != NULL)
		return;
	print_error("\"%s\"\n  does not hold \"%s\"\n", text == NULL ? "(null)" : text, words);
	_fail(file, line);
}

/* A sentence as gitops/base/error.h wants it. */
static void assert_sentence(const GError *error, const char *file, int line)
{
	gboolean ours = error->domain == TAGSEAL_ERROR, one_line = strchr(error->message, '\n') == NULL;

	if (ours && one_line && !g_str_has_suffix(error->message, "."))
		return;
	print_error("\"%s\" is not a sentence of ours: %s\n", error->message,
	    !ours      ? "foreign error domain"
	    : one_line ? "it ends with a full stop"
		       : "it has a line break");
	_fail(file, line);
}

void support_assert_refused(gboolean refused, GError **error, int code, const char *words, const char *file, int line)
{
	if (!refused || *error == NULL) {
		print_error(refused ? "it failed without an error\n" : "it was accepted; expected: \"%s\"\n", words);
		_fail(file, line);
		return;
	}
	assert_sentence(*error, file, line);
	support_assert_contains((*error)->message, words, file, line);
	if (code != 0 && (*error)->code != code) {
		print_error("\"%s\" came with code %d, not %d\n", (*error)->message, (*error)->code, code);
		_fail(file, line);
	}
	g_clear_error(error);
}

void support_assert_ok(gboolean ok, const GError *error, const char *call, const char *file, int line)
{
	if (ok)
		return;
	print_error("%s failed: %s\n", call, error == NULL ? "without an error" : error->message);
	_fail(file, line);
}
