/*
 * The one place where a role gives up powers. Every role: dies with its supervisor, gains no privileges, leaves no core, cannot be traced. The columns for users,
 * folders, system calls and namespaces come here too, one row a role.
 */
#include "server/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gitops/base/error.h"

static const struct {
	rlim_t open_files; /* scan needs a descriptor a nested file; libclamav calls a file clean when it has none left */
	rlim_t processes; /* 0: may start none; RLIM_INFINITY: as inherited */
} powers[ROLE_COUNT] = {
	[ROLE_ENGINE] = { 4096, RLIM_INFINITY },
	[ROLE_LISTEN] = { 4096, RLIM_INFINITY },
	[ROLE_GITOPS] = { 1024, RLIM_INFINITY },
	[ROLE_COURIER] = { 1024, RLIM_INFINITY },
	[ROLE_SCAN] = { 1024, RLIM_INFINITY },
	[ROLE_SEAL] = { 1024, RLIM_INFINITY },
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

gboolean sandbox_enter(enum role role, GError **error)
{
	pid_t parent = getppid();

	/* The parent may have died before the request took effect: then nobody would end us. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0) < 0 || !limit(RLIMIT_CORE, 0) || !limit(RLIMIT_NOFILE, powers[role].open_files) ||
	    !limit(RLIMIT_NPROC, powers[role].processes)) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "the role %s cannot give up its powers: %s",
		    role_name(role), g_strerror(errno));
		return FALSE;
	}
	return TRUE;
}
