/* `tagseal manifest`: the content of a tree by SHA-256, as records have its digest.   gitops/manifest.h */
#include "gitops/manifest.h"

#include <stdio.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/objects.h"
#include "server/cli.h"

static const struct command_usage usage = {
	.program = "tagseal",
	.usage = "[--expect sha256:…] REPOSITORY COMMIT",
	.summary = "Lists the files of a commit or tag with their SHA-256; the digest of that list is the record's "
		   "source.tree_sha256",
	.examples = "Examples:\n"
		    "  tagseal manifest . v1.2.0 | sha256sum\n"
		    "  tagseal manifest --expect sha256:9f86d0… . v1.2.0\n",
	.min = 2,
	.max = 2,
};

static GBytes *make(const char *path, const char *name, GError **error)
{
	autoptr(objects) objects = objects_open(path, error);
	g_autofree char *commit = objects != NULL ? objects_resolve(objects, name, error) : NULL;

	return commit != NULL ? manifest_make(path, commit, error) : NULL;
}

static void print_json(GBytes *manifest, const char *digest)
{
	autoptr(json) document = json_object_new();
	struct json *lines = json_array_new();
	g_autofree char *text = g_strndup(g_bytes_get_data(manifest, NULL), g_bytes_get_size(manifest));
	g_auto(GStrv) each = g_strsplit(text, "\n", -1);

	for (char **line = each; *line != NULL && **line != '\0'; line++)
		json_append_string(lines, *line);
	json_set_string(document, "sha256", digest);
	json_set(document, "files", lines);
	command_print_json(document);
}

static gboolean answer(const char *path, const char *name, const char *expected, gboolean as_json, GError **error)
{
	g_autoptr(GBytes) manifest = make(path, name, error);
	g_autofree char *digest = manifest != NULL ? sha256_text_bytes(manifest) : NULL;

	if (manifest == NULL)
		return FALSE;
	if (expected != NULL && !g_str_equal(digest, expected)) {
		error_refused(error, "the files of %s have the digest %s, not %s", name, digest, expected);
		return FALSE;
	}
	if (as_json)
		print_json(manifest, digest);
	else if (expected != NULL)
		printf("good %s\n", digest);
	else
		fwrite(g_bytes_get_data(manifest, NULL), 1, g_bytes_get_size(manifest), stdout);
	return TRUE;
}

int cmd_manifest(int argc, char **argv)
{
	g_autofree char *expected = NULL;
	g_autoptr(GError) error = NULL;
	gboolean as_json = FALSE;
	int status = 0;
	const GOptionEntry entries[] = {
		{ "expect", 0, 0, G_OPTION_ARG_STRING, &expected, "Say only whether this is the digest", "DIGEST" },
		G_OPTION_ENTRY_NULL,
	};

	if (!command_options(&usage, entries, &argc, argv, &as_json, &status))
		return status;
	if (expected != NULL && !is_sha256_text(expected)) {
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "--expect wants \"sha256:\" and 64 lower-case hex digits");
		return command_fail(error);
	}
	return answer(argv[1], argv[2], expected, as_json, &error) ? 0 : command_fail(error);
}
