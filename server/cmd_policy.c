/* `tagseal policy check DIR` and `tagseal policy verify --root OID REPO`. */
#include "server/cmd_policy.h"

#include <stdio.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/cli.h"
#include "server/policy_lint.h"
#include "signer/format.h"

static guint rule_total(const struct policy *policy)
{
	guint total = 0;

	for (guint i = 0; i < policy_project_count(policy); i++)
		total += policy_project_at(policy, i)->rule_count;
	return total;
}

static struct json *strings(const char *const *list)
{
	struct json *array = json_array_new();

	for (guint i = 0; list[i] != NULL; i++)
		json_append_string(array, list[i]);
	return array;
}

static struct json *describe_project(const struct policy_project *project)
{
	struct json *entry = json_object_new(), *policies = json_array_new();

	json_set_string(entry, "name", project->name);
	json_set_string(entry, "file", project->file);
	json_set_string(entry, "file_sha256", project->file_sha256);
	json_set_string(entry, "source", project->source);
	for (guint i = 0; i < project->rule_count; i++)
		json_append_string(policies, project->rules[i].name);
	json_set(entry, "policies", policies);
	return entry;
}

static struct json *describe(const struct policy *policy)
{
	struct json *document = json_object_new(), *projects = json_array_new();

	json_set_boolean(document, "good", TRUE);
	json_set(document, "maintainers", strings(policy_maintainers(policy)));
	json_set_integer(document, "threshold", policy_threshold(policy));
	json_set(document, "people", strings(people_names(policy_people(policy))));
	for (guint i = 0; i < policy_project_count(policy); i++)
		json_append(projects, describe_project(policy_project_at(policy, i)));
	json_set(document, "projects", projects);
	return document;
}

/* The formats are known one layer above the policy, so that only here a name that none has is found early. */
static gboolean check_formats(const struct policy_project *project, const struct policy_rule *rule, GError **error)
{
	for (guint i = 0; i < rule->artifact_count; i++)
		for (guint j = 0; rule->artifacts[i].sign[j] != NULL; j++) {
			g_autofree char *where = policy_rule_where(project, rule);

			if (format_named(rule->artifacts[i].sign[j]) != NULL)
				continue;
			error_refused(error,
			    "%s: artifact \"%s\" of policy \"%s\" is to be signed as \"%s\", and this version of "
			    "tagseal has no "
			    "such format",
			    where, rule->artifacts[i].name, rule->name, rule->artifacts[i].sign[j]);
			return FALSE;
		}
	return TRUE;
}

static void add_unknown_formats(const struct policy *policy, GPtrArray *mistakes)
{
	for (guint i = 0; i < policy_project_count(policy); i++) {
		const struct policy_project *project = policy_project_at(policy, i);

		for (guint j = 0; j < project->rule_count; j++) {
			g_autoptr(GError) why = NULL;

			if (!check_formats(project, &project->rules[j], &why))
				g_ptr_array_add(mistakes, g_strdup(why->message));
		}
	}
}

/* The first mistake is the answer; the others spare whoever mends it a run each. */
static int tell_mistakes(const GPtrArray *mistakes)
{
	int status = 0;

	for (guint i = 0; i < mistakes->len; i++) {
		g_autoptr(GError) error = NULL;

		error_refused(&error, "%s", (char *)mistakes->pdata[i]);
		status = i == 0 ? command_fail(error) : command_warn(error);
	}
	return status;
}

/* A folder that is no policy at all is told without reading whatever else it holds. */
static policy_files *files_of(const char *dir, GError **error)
{
	g_autofree char *path = g_build_filename(dir, "policy.toml", NULL);

	if (!g_file_test(dir, G_FILE_TEST_IS_DIR) || g_file_test(path, G_FILE_TEST_EXISTS))
		return policy_files_from_dir(dir, error);
	error_refused(error,
	    "%s is no policy: there is no policy.toml in it, which names the maintainers and the threshold", dir);
	return NULL;
}

struct policy *policy_of_folder(const char *dir, int *status)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GHashTable) files = files_of(dir, &error);
	g_autoptr(GPtrArray) mistakes = NULL;
	autoptr(policy) policy = files != NULL ? policy_load(files, &error) : NULL;

	if (policy != NULL) {
		mistakes = g_ptr_array_new_with_free_func(g_free);
		add_unknown_formats(policy, mistakes);
	} else if (files != NULL && g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED)) {
		mistakes = policy_mistakes(files, NULL);
	}
	if (policy != NULL && mistakes->len == 0)
		return g_steal_pointer(&policy);
	*status = mistakes != NULL && mistakes->len > 0 ? tell_mistakes(mistakes) : command_fail(error);
	return NULL;
}

static int check(int argc, char **argv)
{
	const struct command_usage usage = { "tagseal", "DIR",
		"Reads a working copy of the policy repository as the server would.",
		"Example: tagseal policy check ~/policy\n", 1, 1 };
	autoptr(policy) policy = NULL;
	autoptr(json) document = NULL;
	g_auto(GStrv) warnings = NULL;
	gboolean as_json = FALSE;
	int status;

	if (!command_options(&usage, NULL, &argc, argv, &as_json, &status))
		return status;
	policy = policy_of_folder(argv[1], &status);
	if (policy == NULL)
		return status;
	document = describe(policy);
	warnings = policy_lint(policy, time_now_ms());
	json_set(document, "warnings", strings((const char *const *)warnings));
	for (guint i = 0; warnings[i] != NULL; i++)
		fprintf(stderr, "tagseal: warning: %s\n", warnings[i]);
	if (as_json)
		command_print_json(document);
	else
		printf("good\npeople %u, maintainers %u (a change needs %" G_GINT64_FORMAT
		       "), projects %u, policies %u\n",
		    g_strv_length((char **)people_names(policy_people(policy))),
		    g_strv_length((char **)policy_maintainers(policy)), policy_threshold(policy),
		    policy_project_count(policy), rule_total(policy));
	return 0;
}

static void print_chain(const struct policy_chain *chain)
{
	printf("good\nin force  %s\ntip       %s (%u commits verified)\n", chain->commit, chain->tip, chain->verified);
	if (chain->pending_refused != NULL)
		printf("pending   %s cannot come into force: %s\n", chain->pending, chain->pending_refused);
	else if (chain->pending != NULL)
		printf("pending   %s has %u of %u signatures%s%s\n", chain->pending, chain->pending_signed,
		    chain->pending_needed, chain->pending_widens != NULL ? "; one more is needed since " : "",
		    chain->pending_widens != NULL ? chain->pending_widens : "");
}

static struct json *describe_chain(const struct policy_chain *chain)
{
	struct json *document = json_object_new();

	json_set_boolean(document, "good", TRUE);
	json_set_string(document, "in_force", chain->commit);
	json_set_string(document, "tip", chain->tip);
	json_set_integer(document, "verified", chain->verified);
	json_set_string(document, "pending", chain->pending);
	json_set_string(document, "pending_refused", chain->pending_refused);
	json_set_string(document, "pending_widens", chain->pending_widens);
	if (chain->pending != NULL) {
		json_set_integer(document, "pending_signed", chain->pending_signed);
		json_set_integer(document, "pending_needed", chain->pending_needed);
	}
	return document;
}

static int verify_at(const char *path, const char *root, const char *from, const char *branch, gboolean as_json)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *tip = policy_resolve(path, branch, &error);
	struct policy_chain chain;

	if (tip == NULL || !policy_verify(path, root, from, tip, NULL, NULL, &chain, &error))
		return command_fail(error);
	if (as_json) {
		autoptr(json) document = describe_chain(&chain);

		command_print_json(document);
	} else {
		print_chain(&chain);
	}
	policy_chain_clear(&chain);
	return 0;
}

static int verify(int argc, char **argv)
{
	g_autofree char *root = NULL, *from = NULL, *branch = NULL;
	const GOptionEntry entries[] = {
		{ "root", 0, 0, G_OPTION_ARG_STRING, &root, "The pinned commit where trust starts (full id)", "OID" },
		{ "from", 0, 0, G_OPTION_ARG_STRING, &from, "A newer commit that is known to have been in force", "OID" },
		{ "branch", 0, 0, G_OPTION_ARG_STRING, &branch, "The branch or commit to look at (default: HEAD)",
		    "NAME" },
		G_OPTION_ENTRY_NULL,
	};
	const struct command_usage usage = { "tagseal", "--root OID REPO",
		"Follows a policy repository's history from its root and says what is in force.",
		"Example: tagseal policy verify --root 5f2ab3… ~/policy\n", 1, 1 };
	gboolean as_json = FALSE;
	int status;

	if (!command_options(&usage, entries, &argc, argv, &as_json, &status))
		return status;
	if (root == NULL || !is_object_id(root) || (from != NULL && !is_object_id(from))) {
		g_autoptr(GError) error = NULL;

		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "policy verify needs --root with the root commit's full id of 40 hex digits (so does --from); see "
		    "tagseal policy verify --help");
		return command_fail(error);
	}
	return verify_at(argv[1], root, from, branch != NULL ? branch : "HEAD", as_json);
}

/* Each subcommand answers --help by itself, under its whole name. */
int cmd_policy(int argc, char **argv)
{
	if (argc >= 2 && g_str_equal(argv[1], "check")) {
		argv[1] = (char *)"policy check";
		return check(argc - 1, argv + 1);
	}
	if (argc >= 2 && g_str_equal(argv[1], "verify")) {
		argv[1] = (char *)"policy verify";
		return verify(argc - 1, argv + 1);
	}
	if (argc >= 2 && (g_str_equal(argv[1], "--help") || g_str_equal(argv[1], "-h"))) {
		printf("Usage: tagseal policy check DIR\n       tagseal policy verify --root OID [--from OID] "
		       "[--branch NAME] REPO\n       tagseal policy simulate --log DIR [--last N] DIR\n\n`tagseal "
		       "policy check --help` says more.\n");
		return 0;
	}
	if (argc >= 2 && g_str_equal(argv[1], "simulate")) {
		argv[1] = (char *)"policy simulate";
		return cmd_policy_simulate(argc - 1, argv + 1);
	}
	fprintf(stderr, "tagseal: policy takes \"check\", \"verify\" or \"simulate\"; see tagseal policy --help\n");
	return 2;
}
