/* What a role can still do once it gave up its powers: each attempt in a process of its own, since there is no way back. */
#include "tests/unit/support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/sandbox.h"

/* As that role: the exit status of `attempt`. */
static int as_role(enum role role, int (*attempt)(const char *path), const char *path)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(sandbox_enter(role, NULL) ? attempt(path) : 255);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int reads(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno;
}

static int makes(const char *path)
{
	g_autofree char *beside = g_strconcat(path, ".new", NULL);

	return open(beside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 ? 0 : errno;
}

/* What seal lives on: memory files, and digests. */
static int makes_a_memory_file(const char *path)
{
	g_autoptr(GBytes) bytes = g_bytes_new(path, strlen(path));
	autofd int fd = memfd_from_bytes("x", bytes, NULL);
	g_autofree char *digest = fd >= 0 ? sha256_text_fd(fd, NULL, NULL) : NULL;

	return digest != NULL ? 0 : EIO;
}

static void seal_opens_no_file_by_its_name(void **state)
{
	g_autofree char *path = support_path("pin");

	support_write(path, "1234\n");
	assert_int_equal(as_role(ROLE_SEAL, reads, path), EACCES);
	assert_int_equal(as_role(ROLE_SEAL, makes, path), EACCES);
	assert_int_equal(as_role(ROLE_SEAL, makes_a_memory_file, path), 0);
}

static void a_role_that_needs_its_files_has_them(void **state)
{
	g_autofree char *path = support_path("policy.mark");

	support_write(path, "x\n");
	assert_int_equal(as_role(ROLE_JUDGE, reads, path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seal_opens_no_file_by_its_name),
		cmocka_unit_test(a_role_that_needs_its_files_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
