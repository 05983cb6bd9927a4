/* `tagseal verify-commit`: whose signature is on these bytes of a commit? */
#include "server/cmd_verify_object.h"

#include "gitops/base/bytes.h"
#include "server/cli.h"

static const struct command_usage usage = {
	.program = "tagseal",
	.usage = "--people DIR [--at TIME] FILE",
	.summary = "Checks the raw bytes of a signed commit against people files; FILE may be -",
	.examples = "Example:\n  git cat-file commit HEAD | tagseal verify-commit --people policy/people -",
	.min = 1,
	.max = 1,
};

static gboolean verify(const char *file, const char *dir, const char *at, gboolean as_json, GError **error)
{
	autoptr(people) people = NULL;
	autoptr(commit) commit = NULL;
	g_autoptr(GBytes) raw = NULL;
	struct signer signer = { 0 };
	int64_t at_ms;

	if (!at_parse(at, &at_ms, error) || (people = people_load_dir(dir, error)) == NULL ||
	    (raw = file_read(file, OBJECT_READ_MAX, error)) == NULL || (commit = commit_parse(raw, error)) == NULL ||
	    !people_verify_commit(people, commit, at_ms, &signer, error))
		return FALSE;
	signer_print(&signer, raw, "commit", as_json);
	signer_clear(&signer);
	return TRUE;
}

int cmd_verify_commit(int argc, char **argv)
{
	g_autofree char *people = NULL;
	g_autofree char *at = NULL;
	g_autoptr(GError) error = NULL;
	gboolean as_json = FALSE;
	int status = 0;
	const GOptionEntry entries[] = {
		{ "people", 0, 0, G_OPTION_ARG_FILENAME, &people, "Folder of people files (NAME.toml)", "DIR" },
		{ "at", 0, 0, G_OPTION_ARG_STRING, &at, "When the commit was first seen (default: now)", "TIME" },
		G_OPTION_ENTRY_NULL,
	};

	if (!command_options(&usage, entries, &argc, argv, &as_json, &status))
		return status;
	if (people == NULL) {
		g_set_error(
		    &error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "--people DIR is missing: whose signatures count?");
		return command_fail(error);
	}
	return verify(argv[1], people, at, as_json, &error) ? 0 : command_fail(error);
}
