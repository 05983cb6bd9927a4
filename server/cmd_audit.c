/* `tagseal audit DIR`: an auditor's clone of the audit repository against what the auditor brought. One line a finding. */
#include <stdio.h>
#include <unistd.h>

#include "gitops/audit.h"
#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/audit_artifact.h"
#include "server/cli.h"
#include "signer/timestamp.h"

#define ROOTS_MAX (1024 * 1024)

struct findings {
	gboolean as_json, progress;
	struct json *list;
	struct audit_stamps stamps;
};

static void on_finding(const char *line, void *data)
{
	struct findings *findings = data;

	if (findings->as_json)
		json_append_string(findings->list, line);
	else
		printf("%s\n", line);
}

static void on_progress(guint done, guint all, void *data)
{
	const struct findings *findings = data;

	if (findings->progress && (done % 100 == 0 || done == all))
		fprintf(stderr, "\r%u of %u commits%s", done, all, done == all ? "\n" : "");
}

static gboolean on_artifact(const struct json *record, GHashTable *files, void *data, GError **error)
{
	struct findings *findings = data;

	return audit_artifact(record, files, &findings->stamps, error);
}

static const char *verdict_of(const struct audit_result *result)
{
	return result->bad > 0 ? "bad" : result->unknown > 0 ? "unknown" : "good";
}

static void print_json(const struct audit_result *result, const struct findings *findings)
{
	autoptr(json) document = json_object_new();

	json_set_string(document, "verdict", verdict_of(result));
	json_set_integer(document, "records", result->records);
	json_set_integer(document, "events", result->events);
	json_set_integer(document, "commits", result->commits);
	json_set_integer(document, "bad", result->bad);
	json_set_integer(document, "unknown", result->unknown);
	json_set_integer(document, "timestamps_without_roots", findings->stamps.unanchored);
	json_set(document, "findings", json_ref(findings->list));
	command_print_json(document);
}

/* A timestamp is whole and answers its query whoever made it; that the clock can be believed is not said without its roots. */
static void print_good(const struct audit_result *result, const struct findings *findings)
{
	guint unanchored = findings->stamps.unanchored;

	printf("good %u records\n%u events, %u commits\n", result->records, result->events, result->commits);
	if (unanchored > 0)
		printf("%u timestamp%s not held against the roots of %s authority: --timestamp-roots does it\n",
		    unanchored, unanchored == 1 ? " was" : "s were", unanchored == 1 ? "its" : "their");
}

static int conclude(const struct audit_result *result, const struct findings *findings)
{
	g_autoptr(GError) error = NULL;

	if (findings->as_json)
		print_json(result, findings);
	if (result->bad > 0) {
		error_refused(&error, "bad: %u finding%s in %u records; what is in this log cannot be relied on",
		    result->bad, result->bad == 1 ? "" : "s", result->records);
		return command_fail(error);
	}
	if (result->unknown > 0) {
		g_set_error(&error, TAGSEAL_ERROR,
		    TAGSEAL_ERROR_UNKNOWN, "nothing bad was found in %u records, but not everything could be checked; see the lines that begin with \"unknown\"",
		    result->records);
		return command_fail(error);
	}
	if (!findings->as_json)
		print_good(result, findings);
	return 0;
}

int cmd_audit(int argc, char **argv)
{
	g_autofree char *policy_root = NULL, *policy_repo = NULL, *ledger_key = NULL, *since = NULL, *roots = NULL;
	autoptr(json) list = json_array_new();
	struct findings findings = { .list = list, .progress = isatty(STDERR_FILENO) };
	const GOptionEntry entries[] = {
		{ "policy-root", 0, 0, G_OPTION_ARG_STRING, &policy_root, "Commit where trust in the policy starts",
		    "OID" },
		{ "policy-repo", 0, 0, G_OPTION_ARG_FILENAME, &policy_repo, "Clone of the policy repository", "DIR" },
		{ "ledger-key", 0, 0, G_OPTION_ARG_FILENAME, &ledger_key, "The ledger's public key (\"ssh-… AAAA…\")",
		    "PUB" },
		{ "timestamp-roots", 0, 0, G_OPTION_ARG_FILENAME, &roots,
		    "Roots of the timestamp authorities that you trust", "PEM" },
		{ "since", 0, 0, G_OPTION_ARG_STRING, &since, "Commit up to which the log was checked before", "OID" },
		G_OPTION_ENTRY_NULL,
	};
	const struct command_usage usage = {
		.program = "tagseal",
		.usage = "DIR",
		.summary = "Checks a clone of the audit repository, and decides every release in it again.",
		.examples = "Without --ledger-key and --policy-root some of it is \"could not find "
			    "out\" (exit 3), never good.",
		.min = 1,
		.max = 1,
	};
	struct audit_options options = { .finding = on_finding,
		.progress = on_progress,
		.artifact = on_artifact,
		.stamped = audit_stamped,
		.ending = audit_ending,
		.stamp_time = timestamp_proves,
		.data = &findings };
	struct audit_result result;
	g_autoptr(GError) error = NULL;
	int status;

	if (!command_options(&usage, entries, &argc, argv, &findings.as_json, &status))
		return status;
	if (policy_root != NULL && !is_object_id(policy_root)) {
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "--policy-root wants a commit's full id, 40 hex digits");
		return command_fail(error);
	}
	if (roots != NULL && (findings.stamps.roots = file_read(roots, ROOTS_MAX, &error)) == NULL)
		return command_fail(error);
	options.policy_root = policy_root;
	options.policy_repo = policy_repo;
	options.ledger_key = ledger_key;
	options.since = since;
	status = audit_run(argv[1], &options, &result, &error) ? conclude(&result, &findings) : command_fail(error);
	g_clear_pointer(&findings.stamps.roots, g_bytes_unref);
	return status;
}
