/* `tagseal verify-tag`: whose signature is on these bytes of an annotated tag? */
#include "server/cmd_verify_object.h"

#include "gitops/base/bytes.h"
#include "server/cli.h"

static const struct command_usage usage = {
	.program = "tagseal",
	.usage = "--people DIR [--at TIME] [--ref REF] FILE",
	.summary = "Checks the raw bytes of an annotated tag against people files; FILE may be -",
	.examples =
	    "Example:\n  git cat-file tag v1.2.0 | tagseal verify-tag --people policy/people --ref refs/tags/v1.2.0 -",
	.min = 1,
	.max = 1,
};

/* An old tag under a new name would release the old again. */
static gboolean ref_check(const struct tag *tag, const char *ref, GError **error)
{
	g_autofree char *own = g_strconcat("refs/tags/", tag->name, NULL);
	g_autofree char *full =
	    ref == NULL || g_str_has_prefix(ref, "refs/") ? g_strdup(ref) : g_strconcat("refs/tags/", ref, NULL);
	g_autofree char *shown = NULL;

	if (full == NULL || g_str_equal(full, own))
		return TRUE;
	shown = text_escape(full, -1, 255);
	error_refused(error, "the tag names itself \"%s\", but it stands at %s: a tag counts under its own name only",
	    tag->name, shown);
	return FALSE;
}

static gboolean verify(
    const char *file, const char *dir, const char *at, const char *ref, gboolean as_json, GError **error)
{
	autoptr(people) people = NULL;
	autoptr(tag) tag = NULL;
	g_autoptr(GBytes) raw = NULL;
	struct signer signer = { 0 };
	int64_t at_ms;

	if (!at_parse(at, &at_ms, error) || (people = people_load_dir(dir, error)) == NULL ||
	    (raw = file_read(file, OBJECT_READ_MAX, error)) == NULL || (tag = tag_parse(raw, error)) == NULL ||
	    !ref_check(tag, ref, error) || !people_verify_tag(people, tag, at_ms, &signer, error))
		return FALSE;
	signer_print(&signer, raw, "tag", as_json);
	signer_clear(&signer);
	return TRUE;
}

int cmd_verify_tag(int argc, char **argv)
{
	g_autofree char *people = NULL;
	g_autofree char *at = NULL;
	g_autofree char *ref = NULL;
	g_autoptr(GError) error = NULL;
	gboolean as_json = FALSE;
	int status = 0;
	const GOptionEntry entries[] = {
		{ "people", 0, 0, G_OPTION_ARG_FILENAME, &people, "Folder of people files (NAME.toml)", "DIR" },
		{ "at", 0, 0, G_OPTION_ARG_STRING, &at, "When the tag was first seen (default: now)", "TIME" },
		{ "ref", 0, 0, G_OPTION_ARG_STRING, &ref, "The reference that it must belong to", "REF" },
		G_OPTION_ENTRY_NULL,
	};

	if (!command_options(&usage, entries, &argc, argv, &as_json, &status))
		return status;
	if (people == NULL) {
		g_set_error(
		    &error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "--people DIR is missing: whose signatures count?");
		return command_fail(error);
	}
	return verify(argv[1], people, at, ref, as_json, &error) ? 0 : command_fail(error);
}
