/* `tagseal scan`: what the scan gate would say. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/cli.h"
#include "server/command_file.h"
#include "signer/scan.h"

static gboolean scan_file(struct scanner *scanner, const char *path, struct json **report, GError **error)
{
	autofd int fd = command_open(path, error);

	if (fd < 0)
		return FALSE;
	if (scanner_scan(scanner, fd, report, error))
		return TRUE;
	g_prefix_error(error, "%s: ", path);
	return FALSE;
}

/* The worst answer counts: a finding before what could not be found out. */
static int scan_all(struct scanner *scanner, char **files, gboolean as_json)
{
	autoptr(json) list = json_array_new();
	int worst = 0;

	for (; *files != NULL; files++) {
		autoptr(json) report = NULL;
		g_autoptr(GError) error = NULL;

		if (scan_file(scanner, *files, &report, &error) && !as_json)
			command_print_result("clean", *files);
		if (error != NULL) {
			int status = command_warn(error);
			worst = worst == 1 || status == 1 ? 1 : status;
		}
		if (report == NULL)
			report = json_object_new();
		json_set_string(report, "file", *files);
		json_append(list, g_steal_pointer(&report));
	}
	if (as_json)
		command_print_json(list);
	return worst;
}

int cmd_scan(int argc, char **argv)
{
	g_autofree char *database = NULL, *temp = NULL;
	int min_signatures = 1, max_seconds = 0, max_files = 0, max_depth = 0, max_age_hours = 0;
	gint64 max_size = 0;
	const GOptionEntry entries[] = {
		{ "database", 0, 0, G_OPTION_ARG_FILENAME, &database, "Folder of the malware databases", "DIR" },
		{ "min-signatures", 0, 0, G_OPTION_ARG_INT, &min_signatures,
		    "With fewer loaded nothing is scanned (default 1)", "N" },
		{ "max-database-age", 0, 0, G_OPTION_ARG_INT, &max_age_hours,
		    "With older databases nothing is scanned, in hours (default: any age)", "HOURS" },
		{ "max-size", 0, 0, G_OPTION_ARG_INT64, &max_size, "Larger files are not scanned, in bytes", "BYTES" },
		{ "max-files", 0, 0, G_OPTION_ARG_INT, &max_files, "Of one archive", "N" },
		{ "max-depth", 0, 0, G_OPTION_ARG_INT, &max_depth, "Of archives in archives", "N" },
		{ "max-seconds", 0, 0, G_OPTION_ARG_INT, &max_seconds, "Of one file", "N" },
		G_OPTION_ENTRY_NULL,
	};
	const struct command_usage usage = { "tagseal", "--database DIR FILE…",
		"Scans files for malware, failing closed: what could not be scanned is not clean.",
		"Example:\n  tagseal scan --database /var/lib/clamav widget-1.2.0.exe\n", 1, -1 };
	g_autoptr(GError) error = NULL;
	autoptr(scanner) scanner = NULL;
	gboolean as_json = FALSE;
	int status;

	if (!command_options(&usage, entries, &argc, argv, &as_json, &status))
		return status;
	if (database == NULL || min_signatures < 0 || max_size < 0 || max_files < 0 || max_depth < 0 ||
	    max_seconds < 0 || max_age_hours < 0) {
		g_set_error_literal(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    database == NULL ? "--database DIR is missing: the folder of the malware databases"
				     : "a limit cannot be negative");
		return command_fail(error);
	}
	if ((temp = g_dir_make_tmp("tagseal-scan-XXXXXX", &error)) == NULL)
		return command_fail(error);
	struct scan_options options = { database, temp, min_signatures, max_age_hours * 3600000LL, max_size, max_files,
		max_depth, max_seconds };
	scanner = scanner_open(&options, &error);
	status = scanner != NULL ? scan_all(scanner, argv + 1, as_json) : command_fail(error);
	rmdir(temp);
	return status;
}
