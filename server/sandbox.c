/*
 * The one place where a role gives up powers. Every role: dies with its supervisor, gains no privileges, leaves no core, cannot be traced. The columns for users,
 * folders, system calls and namespaces come here too, one row a role.
 */
#include "server/sandbox.h"

#include <errno.h>
#include <linux/landlock.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gitops/base/cleanup.h"
#include "gitops/base/error.h"
#include "server/role.h"

static const struct {
	rlim_t open_files; /* scan needs a descriptor a nested file; libclamav calls a file clean when it has none left */
	rlim_t processes; /* 0: may start none; RLIM_INFINITY: as inherited */
	gboolean no_paths; /* works on descriptors that it is handed alone: no file can be opened by a name, not even to read */
} powers[ROLE_COUNT] = {
	[ROLE_ENGINE] = { 4096, RLIM_INFINITY },
	[ROLE_LISTEN] = { 4096, RLIM_INFINITY },
	[ROLE_GITOPS] = { 1024, RLIM_INFINITY },
	[ROLE_COURIER] = { 1024, RLIM_INFINITY },
	[ROLE_SCAN] = { 1024, RLIM_INFINITY },
	[ROLE_SEAL] = { 1024, RLIM_INFINITY, .no_paths = TRUE },
	[ROLE_JUDGE] = { 1024, RLIM_INFINITY },
	[ROLE_SIGN] = { 1024, RLIM_INFINITY },
	[ROLE_LEDGER] = { 1024, RLIM_INFINITY },
};

static gboolean limit(int resource, rlim_t most)
{
	struct rlimit now;

	if (most == RLIM_INFINITY)
		return TRUE;
	if (getrlimit(resource, &now) < 0)
		return FALSE;
	now.rlim_cur = now.rlim_max = MIN(most, now.rlim_max);
	return setrlimit(resource, &now) == 0;
}

/* All file system rights that this version of Landlock knows: a rule set that handles them and allows none. */
static uint64_t rights_of(long version)
{
	uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

	return rights | (version >= 2 ? LANDLOCK_ACCESS_FS_MAKE_SYM << 1 : 0) /* refer */ |
	       (version >= 3 ? LANDLOCK_ACCESS_FS_MAKE_SYM << 2 : 0); /* truncate */
}

/* Descriptors that are open stay as they are. A kernel without Landlock has the role run as before, and says so. */
static gboolean forget_paths(enum role role)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { .handled_access_fs = rights_of(version) };
	autofd int rules = -1;

	if (version < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) {
		log_event(
		    "warning", "role=%s the kernel has no Landlock: files are not out of its reach", role_name(role));
		return TRUE;
	}
	OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL); /* reads its configuration while it can */
	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	return rules >= 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
}

gboolean sandbox_enter(enum role role, GError **error)
{
	pid_t parent = getppid();

	/* The parent may have died before the request took effect: then nobody would end us. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0) < 0 || !limit(RLIMIT_CORE, 0) || !limit(RLIMIT_NOFILE, powers[role].open_files) ||
	    !limit(RLIMIT_NPROC, powers[role].processes) || (powers[role].no_paths && !forget_paths(role))) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "the role %s cannot give up its powers: %s",
		    role_name(role), g_strerror(errno));
		return FALSE;
	}
	return TRUE;
}
