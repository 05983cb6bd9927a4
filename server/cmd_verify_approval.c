/* `tagseal verify-approval`: does this raw commit count as an approval? */
#include "server/cli.h"

#include <stdio.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/decide.h"

struct question {
	char *people, *project, *tag, *tag_object, *policy, *tree, *at;
	int64_t at_ms;
};

static void question_clear(struct question *q)
{
	g_free(q->people);
	g_free(q->project);
	g_free(q->tag);
	g_free(q->tag_object);
	g_free(q->policy);
	g_free(q->tree);
	g_free(q->at);
}

/* NULL, or what is wrong with the options. */
static const char *mistake(struct question *q)
{
	if (q->people == NULL || q->project == NULL || q->tag == NULL || q->tag_object == NULL || q->policy == NULL)
		return "verify-approval needs --people, --project, --tag, --tag-object and --policy";
	if (!is_object_id(q->tag_object))
		return "--tag-object must be a full id of 40 hex digits";
	if (q->tree != NULL && !is_object_id(q->tree))
		return "--tree must be a full id of 40 hex digits";
	q->at_ms = time_now_ms();
	if (q->at != NULL && !time_parse_ms(q->at, &q->at_ms))
		return "--at must be a time like 2026-03-01T00:00:00Z";
	return NULL;
}

static void print_json(const struct signer *signer)
{
	autoptr(json) document = json_object_new();

	json_set_boolean(document, "counts", TRUE);
	json_set_string(document, "person", signer->person);
	json_set_string(document, "format", signature_format_name(signer->format));
	json_set_string(document, "key", signer->key);
	json_set_boolean(document, "hardware", signer->hardware);
	command_print_json(document);
}

static int answer(const struct question *q, const char *file, gboolean as_json)
{
	g_autoptr(GError) error = NULL;
	autoptr(people) people = people_load_dir(q->people, &error);
	g_autoptr(GBytes) raw = people != NULL ? file_read(file, OBJECT_MAX, &error) : NULL;
	struct signer signer = { 0 };

	if (raw == NULL)
		return command_fail(error);
	if (!approval_verify(
		people, q->project, q->tag, q->tag_object, q->tree, q->policy, raw, q->at_ms, &signer, &error)) {
		g_prefix_error(&error, "%s does not count: ", file);
		return command_fail(error);
	}
	if (as_json)
		print_json(&signer);
	else
		printf("counts %s\n", signer.person);
	signer_clear(&signer);
	return 0;
}

static int wrong_use(const char *why)
{
	g_autoptr(GError) error =
	    g_error_new(TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "%s; see tagseal verify-approval --help", why);

	return command_fail(error);
}

int cmd_verify_approval(int argc, char **argv)
{
	struct question q = { 0 };
	const GOptionEntry entries[] = {
		{ "people", 0, 0, G_OPTION_ARG_FILENAME, &q.people, "Folder like the policy's people/", "DIR" },
		{ "project", 0, 0, G_OPTION_ARG_STRING, &q.project, "The project that is released", "P" },
		{ "tag", 0, 0, G_OPTION_ARG_STRING, &q.tag, "The tag's name", "NAME" },
		{ "tag-object", 0, 0, G_OPTION_ARG_STRING, &q.tag_object, "The tag object's full id", "OID" },
		{ "policy", 0, 0, G_OPTION_ARG_STRING, &q.policy, "The policy's name", "N" },
		{ "tree", 0, 0, G_OPTION_ARG_STRING, &q.tree, "The tagged commit's tree, for approvals that name it",
		    "OID" },
		{ "at", 0, 0, G_OPTION_ARG_STRING, &q.at, "When the commit was first seen (default: now)", "TIME" },
		G_OPTION_ENTRY_NULL,
	};
	const struct command_usage usage = { "tagseal",
		"--people DIR --project P --tag NAME --tag-object OID --policy N FILE",
		"Says whether a raw commit (\"-\": from stdin) counts as an approval of exactly this release.",
		"Example: git cat-file commit 5f2ab3 | tagseal verify-approval --people policy/people --project "
		"acme/widget \\\n"
		"             --tag v1.2.0 --tag-object $(git rev-parse v1.2.0) --policy release -\n",
		1, 1 };
	gboolean as_json = FALSE;
	int status;

	if (command_options(&usage, entries, &argc, argv, &as_json, &status)) {
		const char *wrong = mistake(&q);

		status = wrong != NULL ? wrong_use(wrong) : answer(&q, argv[1], as_json);
	}
	question_clear(&q);
	return status;
}
