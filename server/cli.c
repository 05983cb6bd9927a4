#include "server/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

static const char *program_name = "tagseal";
static gboolean json_due; /* --json was given, and no document was printed yet */

static void print_help(const char *program, const struct command *commands, FILE *out)
{
	fprintf(out, "Usage: %s COMMAND [OPTION…] [FILE…]\n\n", program);
	for (const struct command *c = commands; c->name != NULL; c++)
		fprintf(out, "  %-18s %s\n", c->name, c->summary);
	fprintf(out, "\n`%s COMMAND --help` says more. Exit: 0 yes, 1 no, 2 used wrongly, 3 could not find out.\n",
	    program);
}

/*
 * Replaces this process by tagseal-full: beside us (a build folder), where an install puts it as seen from us (which holds under any
 * prefix, and after a move), or where the build meant it to be.
 */
static int run_full(char **argv)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *dir = self != NULL ? g_path_get_dirname(self) : g_strdup(".");
	g_autofree char *beside = g_build_filename(dir, "tagseal-full", NULL);
	g_autofree char *installed = g_build_filename(dir, TAGSEAL_LIBEXEC_FROM_BIN, "tagseal-full", NULL);

	execv(beside, argv);
	execv(installed, argv);
	execv(TAGSEAL_LIBEXECDIR "/tagseal-full", argv);
	fprintf(stderr, "tagseal: tagseal-full is none of %s, %s and %s: install both programs (%s)\n", beside,
	    installed, TAGSEAL_LIBEXECDIR "/tagseal-full", g_strerror(errno));
	return 3;
}

/* GLib writes help in the locale's character set, "?" where that has no such character; all our text is UTF-8 anyway. */
static void print_as_it_is(const char *text)
{
	fputs(text, stdout);
}

int command_main(
    const char *program, const struct command *commands, int argc, char **argv, int (*otherwise)(int argc, char **argv))
{
	const char *names[32] = { NULL }, *nearest; /* more than any program of ours has */
	guint count = 0;

	program_name = program;
	g_set_print_handler(print_as_it_is);
	if (argc >= 2 && (g_str_equal(argv[1], "--version") || g_str_equal(argv[1], "-V"))) {
		printf("%s %s\n", program, TAGSEAL_VERSION);
		return 0;
	}
	if (argc >= 2 && (g_str_equal(argv[1], "--help") || g_str_equal(argv[1], "-h") || g_str_equal(argv[1], "help"))) {
		print_help(program, commands, stdout);
		return 0;
	}
	if (otherwise != NULL && (argc < 2 || argv[1][0] == '-'))
		return otherwise(argc, argv);
	if (argc < 2) {
		print_help(program, commands, stderr);
		return 2;
	}
	for (const struct command *c = commands; c->name != NULL; c++) {
		if (g_str_equal(c->name, argv[1]))
			return c->run != NULL ? c->run(argc - 1, argv + 1) : run_full(argv);
		if (count + 1 < G_N_ELEMENTS(names))
			names[count++] = c->name;
	}
	nearest = name_nearest(argv[1], names);
	fprintf(stderr, "%s: there is no command \"%s\"%s%s%s (%s --help lists them)\n", program, argv[1],
	    nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "",
	    program);
	return 2;
}

static gboolean has_json(char **argv, int argc)
{
	for (int i = 1; i < argc && !g_str_equal(argv[i], "--"); i++)
		if (g_str_equal(argv[i], "--json"))
			return TRUE;
	return FALSE;
}

static void wrong_use(const struct command_usage *usage, const char *name, const char *why)
{
	g_autoptr(GError) error = g_error_new(TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "%s; see %s --help", why, name);

	program_name = usage->program;
	command_fail(error);
}

gboolean command_options(const struct command_usage *usage, const GOptionEntry *entries, int *argc, char **argv,
    gboolean *as_json, int *status)
{
	g_autoptr(GOptionContext) context = g_option_context_new(usage->usage);
	g_autoptr(GError) error = NULL;
	g_autofree char *name = g_strdup_printf("%s %s", usage->program, argv[0]);
	gboolean version = FALSE, wants_json = FALSE;
	const GOptionEntry common[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &wants_json, "One JSON document on stdout", NULL },
		{ "version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version and end", NULL },
		G_OPTION_ENTRY_NULL,
	};

	program_name = usage->program;
	json_due = has_json(argv, *argc);
	g_set_prgname(name);
	g_option_context_set_summary(context, usage->summary);
	g_option_context_set_description(context, usage->examples);
	if (entries != NULL)
		g_option_context_add_main_entries(context, entries, NULL);
	g_option_context_add_main_entries(context, common, NULL);
	if (!g_option_context_parse(context, argc, &argv, &error)) {
		wrong_use(usage, name, error->message);
		*status = 2;
		return FALSE;
	}
	if (version) {
		printf("%s %s\n", usage->program, TAGSEAL_VERSION);
		*status = 0;
		return FALSE;
	}
	if (*argc > 1 && g_str_equal(argv[1], "--")) {
		memmove(argv + 1, argv + 2, (*argc - 1) * sizeof(*argv));
		(*argc)--;
	}
	if (*argc - 1 < usage->min || (usage->max >= 0 && *argc - 1 > usage->max)) {
		g_autofree char *why = g_strdup_printf("%s takes %s", argv[0], usage->usage);
		wrong_use(usage, name, why);
		*status = 2;
		return FALSE;
	}
	if (as_json != NULL)
		*as_json = wants_json;
	return TRUE;
}

void command_print_result(const char *word, const char *file)
{
	printf("%s ", word);
	for (const unsigned char *c = (const unsigned char *)file; *c != '\0'; c++)
		printf(*c < 0x20 || *c == 0x7F ? "\\x%02X" : "%c", *c);
	printf("\n");
}

int command_warn(const GError *error)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", program_name, error->message);
	return error_exit_status(error);
}

int command_fail(const GError *error)
{
	autoptr(json) document = NULL;

	if (json_due) {
		document = json_object_new();
		json_set_boolean(document, "good", FALSE);
		json_set_string(document, "why", error->message);
		json_set_integer(document, "exit", error_exit_status(error));
		command_print_json(document);
	}
	return command_warn(error);
}

void command_print_json(const struct json *value)
{
	g_autofree char *text = json_pretty(value);

	printf("%s\n", text);
	json_due = FALSE;
}
