/*
 * The commands of `tagseal` and `tagseald`: one file each (cmd_*.c), one row in their program's table. Shapes
 * and exit statuses: 0 yes, 1 no (checked and refused, one sentence on stderr), 2 used wrongly, 3 could not
 * find out. Results on stdout, all else on stderr.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"

struct command {
	const char *name, *summary;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name; NULL: the row stands in tagseal-full */
};

/* Picks the command by argv[1]; answers --help, --version and a wrong name (with the nearest right one).
 * `otherwise` runs when no command is named (may be NULL). */
int command_main(const char *program, const struct command *commands, int argc, char **argv,
    int (*otherwise)(int argc, char **argv));

/*
 * Options of one command (GOption), with --help, --version and --json added. FALSE: *status is the exit
 * status to end with. `usage` is the line after the command's name; `examples` stands below the options.
 * `min`..`max` file arguments are left in argv[1…].
 */
struct command_usage {
	const char *program, *usage, *summary, *examples;
	int min, max; /* max < 0: any number */
};
gboolean command_options(const struct command_usage *usage, const GOptionEntry *entries, int *argc, char **argv,
    gboolean *as_json, int *status);

/* "WORD FILE" on a line of its own, whatever bytes the name has: no name can pass off a second line as a result. */
void command_print_result(const char *word, const char *file);
/* "PROGRAM: sentence" on stderr; the exit status. After --json also a document with "good", "why" and "exit" on stdout,
 * unless one stands there already. */
int command_fail(const GError *error);
/* The sentence and the status alone, for what the command's own document tells. */
int command_warn(const GError *error);
/* The value as pretty JSON on stdout. */
void command_print_json(const struct json *value);

int cmd_sign(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_strip(int argc, char **argv);
int cmd_verify_timestamp(int argc, char **argv);
int cmd_verify_provenance(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_verify_tag(int argc, char **argv);
int cmd_verify_commit(int argc, char **argv);
int cmd_verify_approval(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_range(int argc, char **argv);
int cmd_manifest(int argc, char **argv);
int cmd_scan(int argc, char **argv);
/* tagseald's own */
int cmd_serve(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_key(int argc, char **argv);
