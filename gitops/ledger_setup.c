#include "gitops/ledger_setup.h"

#include <string.h>

#include "gitops/base/error.h"

/* No history may be rewritten or dropped here, nothing is ever cleaned away, and nobody pushes over HTTP. Records are mostly digests, so
 * looking for deltas would only burn time. */
static const struct {
	const char *name, *value;
} settings[] = {
	{ "core.fsync", "committed,reference" },
	{ "gc.auto", "0" },
	{ "gc.pruneExpire", "never" },
	{ "maintenance.auto", "false" },
	{ "pack.window", "0" },
	{ "receive.denyNonFastForwards", "true" },
	{ "receive.denyDeletes", "true" },
	{ "receive.fsckObjects", "true" },
	{ "transfer.fsckObjects", "true" },
	{ "http.receivepack", "false" },
	{ "http.getanyfile", "false" },
	{ "uploadpack.allowFilter", "true" },
	{ "uploadpack.allowAnySHA1InWant", "false" },
};

static const char readme[] =
    "# Audit log\n"
    "\n"
    "Every release that was asked for here, and how it ended, stands in this repository. It only ever grows: one\n"
    "commit a batch of records, each signed by the ledger's key.\n"
    "\n"
    "    records/00/12/34-ID.json    record or event with sequence number 1234, canonical JSON (RFC 8785)\n"
    "    evidence/00/12/34/          what it was decided by: the raw tag, approval commits, policy files,\n"
    "                                signatures, timestamps\n"
    "    allowed_signers             the ledger's key\n"
    "\n"
    "## Checking it with git and ssh-keygen\n"
    "\n"
    "Get the ledger's public key from somewhere else than here, and compare it with allowed_signers. Then:\n"
    "\n"
    "    git config gpg.ssh.allowedSignersFile \"$PWD/allowed_signers\"\n"
    "    git log --show-signature                      # every commit: Good \"git\" signature for %s\n"
    "    git log --diff-filter=MDRT --format=%%H        # prints nothing: no file was ever changed or removed\n"
    "    git log --merges --format=%%H                  # prints nothing: history is one line\n"
    "\n"
    "A record names the SHA-256 of the one before it in the same project as \"previous\":\n"
    "\n"
    "    sha256sum records/00/12/34-*.json\n"
    "\n"
    "A tag or an approval is the raw git object, so its id and its signature can be checked again:\n"
    "\n"
    "    git hash-object -t tag evidence/00/12/34/tag\n"
    "    git hash-object -t tag -w evidence/00/12/34/tag | xargs git verify-tag\n"
    "    git log --format='%%(trailers:key=Tagseal-Project,valueonly)' # what stands in which commit\n"
    "\n"
    "`tagseal audit --policy-root ROOT --ledger-key KEY.pub DIR` does all this and decides every release again.\n"
    "Remember the newest commit you have checked: the next time, it must be an ancestor of the tip\n"
    "(`git merge-base --is-ancestor`).\n";

static gboolean git_failed(const char *path, const char *what, GError **error)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the audit repository %s could not be %s: %s",
	    path, what, last != NULL ? last->message : "unknown reason");
	return FALSE;
}

gboolean ledger_folder_fits(const char *path, GError **error)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	g_autofree char *head = g_build_filename(path, "HEAD", NULL);
	g_autofree char *lock = g_build_filename(path, "tagseal.lock", NULL);

	if (dir == NULL || g_dir_read_name(dir) == NULL || g_file_test(head, G_FILE_TEST_EXISTS) ||
	    g_file_test(lock, G_FILE_TEST_EXISTS))
		return TRUE;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
	    "%s is neither empty nor an audit repository; name a folder of its own", path);
	return FALSE;
}

static gboolean configure(git_repository *repository, GError **error)
{
	git_config *config = NULL;
	gboolean ok = git_repository_config(&config, repository) == 0;

	for (guint i = 0; ok && i < G_N_ELEMENTS(settings); i++)
		ok = git_config_set_string(config, settings[i].name, settings[i].value) == 0;
	git_config_free(config);
	return ok || git_failed(git_repository_path(repository), "configured", error);
}

git_repository *ledger_repository(const char *path, GError **error)
{
	git_repository_init_options options = GIT_REPOSITORY_INIT_OPTIONS_INIT;
	git_repository *repository = NULL;

	if (git_repository_open_ext(&repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE, NULL) ==
		0 &&
	    git_repository_head_unborn(repository) == 0)
		return repository;
	g_clear_pointer(&repository, git_repository_free);
	options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
	options.mode = 0750;
	options.initial_head = "main";
	if (git_repository_init_ext(&repository, path, &options) != 0) {
		git_failed(path, "made", error);
		return NULL;
	}
	if (!configure(repository, error))
		g_clear_pointer(&repository, git_repository_free);
	return repository;
}

char *ledger_readme(const char *principal)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	return g_strdup_printf(readme, principal);
#pragma GCC diagnostic pop
}

char *ledger_allowed_signers(const char *principal, const char *public_key)
{
	g_auto(GStrv) words = g_strsplit(public_key, " ", 3);

	return g_strdup_printf("%s namespaces=\"git\" %s %s\n", principal, words[0], words[1] != NULL ? words[1] : "");
}
