/* `tagseal strip`: takes the signatures out of a file again. */
#include <stdio.h>

#include "server/cli.h"
#include "server/command_file.h"
#include "signer/format.h"
#include "signer/type.h"

static gboolean strip(const char *in_path, const char *out_path, GError **error)
{
	autofd int in = command_open(in_path, error);
	const struct file_type *type;
	const struct format *format;
	autoptr(command_output) out = NULL;

	if (in < 0)
		return FALSE;
	type = file_type_of(in);
	format = format_native(type);
	if (format == NULL && type->native_format != NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "%s: this program cannot take the signatures of a file of type %s out yet", in_path, type->name);
		return FALSE;
	}
	if (format == NULL || format->strip == NULL) {
		error_refused(
		    error, "%s: a file of type %s holds no signature that could be taken out", in_path, type->name);
		return FALSE;
	}
	return (out = command_output_new(out_path, in, error)) != NULL && format->strip(in, out->fd, error) &&
	       command_output_commit(out, in, error);
}

int cmd_strip(int argc, char **argv)
{
	g_autofree char *output = NULL;
	const GOptionEntry entries[] = {
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &output, "Where the unsigned file goes", "OUT" },
		G_OPTION_ENTRY_NULL,
	};
	static const struct command_usage usage = { "tagseal",
		"--output OUT FILE", "Takes every signature out of a file. A PE image keeps its padding to a multiple of 8, and gets its checksum set.",
		"", 1, 1 };
	g_autoptr(GError) error = NULL;
	gboolean as_json;
	int status;

	if (!command_options(&usage, entries, &argc, argv, &as_json, &status))
		return status;
	if (output == NULL)
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "strip needs --output OUT");
	if (output == NULL || !strip(argv[1], output, &error))
		return command_fail(error);
	if (as_json) {
		autoptr(json) object = json_object_new();
		json_set_string(object, "stripped", output);
		command_print_json(object);
	} else
		command_print_result("stripped", output);
	return 0;
}
