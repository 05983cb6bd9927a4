/* `tagseal range`: what a release would bring, computed from a clone alone.   gitops/range.h */
#include "gitops/range.h"

#include <stdio.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/objects.h"
#include "server/cli.h"
#include "server/cmd_verify_object.h"

static const struct command_usage usage = {
	.program = "tagseal",
	.usage = "(--base COMMIT | --whole) [--people DIR [--at TIME]] [--only-digest] REPOSITORY COMMIT",
	.summary = "Tells every commit between a base, the last signed release, and a commit or tag, and what changed "
		   "in between",
	.examples = "Examples:\n"
		    "  tagseal range --base v1.1.0 . v1.2.0\n"
		    "  tagseal range --base v1.1.0 --people policy/people --json . v1.2.0\n",
	.min = 2,
	.max = 2,
};

struct question {
	char *base, *people, *at;
	gboolean whole, only_digest, as_json;
};

/* ---- for people: every text of strangers was escaped when the report was made ---- */

static const char *dash(const char *text)
{
	return text != NULL ? text : "-";
}

static void print_commit(const struct json *commit, const struct json *signer)
{
	const char *time = json_as_string(json_path(commit, "author.time"));
	const char *verdict = json_string(signer, "verdict"), *person = json_string(signer, "person");

	printf("  %.12s %.10s %s: %s%s\n", json_string(commit, "id"), dash(time),
	    dash(json_as_string(json_path(commit, "author.name"))), dash(json_string(commit, "subject")),
	    json_length(json_get(commit, "parents")) > 1 ? " (a merge)" : "");
	if (person != NULL)
		printf("               signed by %s, %s %s\n", person, json_string(signer, "format"),
		    json_string(signer, "key"));
	else if (verdict != NULL)
		printf("               %s%s\n", g_str_equal(verdict, "unsigned") ? "" : "not good: ", verdict);
	else
		printf("               %s\n",
		    json_string(commit, "signature") != NULL ? "bears a signature, not checked here" : "unsigned");
}

static void print_change(const struct json *change)
{
	const char *from = json_string(change, "from"), *old = json_string(change, "old_mode");

	printf("  %-8s %s", json_string(change, "status"), json_string(change, "path"));
	if (from != NULL)
		printf(" (was %s)", from);
	if (old != NULL)
		printf(" (mode %s, was %s)", json_string(change, "mode"), old);
	printf("\n");
}

static void print_move(const struct json *move)
{
	printf("  %s from %s to %s\n", json_string(move, "path"), dash(json_string(move, "old")),
	    dash(json_string(move, "new")));
}

static void print_key(const struct json *key)
{
	const char *old = json_string(key, "old"), *new = json_string(key, "new");

	printf("  %s = %s, was %s\n", json_string(key, "key"), new != NULL ? new : "(nothing)",
	    old != NULL ? old : "(nothing)");
}

static void print_list(
    const struct range *range, const char *member, const char *title, void (*print)(const struct json *))
{
	const struct json *list = json_get(range->report, member);

	if (json_length(list) == 0)
		return;
	printf("%s (%u)\n", title, json_length(list));
	for (guint i = 0; i < json_length(list); i++)
		print(json_at(list, i));
}

static void print_range(const struct range *range, const struct json *signers)
{
	const struct json *commits = json_get(range->report, "commits"), *cut = json_get(range->report, "cut");

	printf("range %s\ncommit %s\nbase %s\n", range->sha256, range->commit,
	    range->base != NULL ? range->base : "none: this is the whole history");
	for (guint i = 0; i < json_length(cut); i++)
		printf("INCOMPLETE: %s\n", json_as_string(json_at(cut, i)));
	printf("commits (%u)\n", json_length(commits));
	for (guint i = 0; i < json_length(commits); i++)
		print_commit(json_at(commits, i), json_at(json_get(signers, "commits"), i));
	print_list(range, "changes", "changed paths", print_change);
	print_list(range, "submodules", "submodules moved", print_move);
	print_list(range, "gitmodules", "submodules' settings (.gitmodules)", print_key);
	printf("To approve exactly this, an approval says:\nTagseal-Range: %s\n", range->sha256);
}

static void print(const struct question *q, const struct range *range, const struct json *signers)
{
	autoptr(json) document = NULL;

	if (q->only_digest && !q->as_json) {
		printf("range %s\n", range->sha256);
		return;
	}
	if (!q->as_json) {
		print_range(range, signers);
		return;
	}
	document = json_object_new();
	json_set_string(document, "sha256", range->sha256);
	if (!q->only_digest)
		json_set(document, "range", json_ref(range->report));
	if (signers != NULL)
		json_set(document, "signers", json_copy(json_get(signers, "commits")));
	command_print_json(document);
}

/* ---- */

static struct range *compute(const struct question *q, const char *path, const char *tip, GError **error)
{
	autoptr(objects) objects = objects_open(path, error);
	g_autofree char *commit = objects != NULL ? objects_resolve(objects, tip, error) : NULL;
	g_autofree char *base = commit != NULL && !q->whole ? objects_resolve(objects, q->base, error) : NULL;

	if (commit == NULL || (base == NULL && !q->whole))
		return NULL;
	return range_read(path, base, commit, error);
}

static gboolean answer(const struct question *q, const char *path, const char *tip, GError **error)
{
	autoptr(range) range = NULL;
	autoptr(people) people = NULL;
	autoptr(json) signers = NULL;
	int64_t at_ms;

	if (!at_parse(q->at, &at_ms, error) ||
	    (q->people != NULL && (people = people_load_dir(q->people, error)) == NULL) ||
	    (range = compute(q, path, tip, error)) == NULL)
		return FALSE;
	signers = people != NULL ? range_signers(range, people, at_ms) : NULL;
	print(q, range, signers);
	return TRUE;
}

int cmd_range(int argc, char **argv)
{
	struct question q = { 0 };
	g_autoptr(GError) error = NULL;
	int status = 0;
	const GOptionEntry entries[] = {
		{ "base", 0, 0, G_OPTION_ARG_STRING, &q.base, "The commit (or tag) of the last signed release", "COMMIT" },
		{ "whole", 0, 0, G_OPTION_ARG_NONE, &q.whole, "There is none: the whole history", NULL },
		{ "people", 0, 0, G_OPTION_ARG_FILENAME, &q.people, "Folder of people files: whose commits are they?",
		    "DIR" },
		{ "at", 0, 0, G_OPTION_ARG_STRING, &q.at, "When the commits were first seen (default: now)", "TIME" },
		{ "only-digest", 0, 0, G_OPTION_ARG_NONE, &q.only_digest, "Print the range's digest alone", NULL },
		G_OPTION_ENTRY_NULL,
	};

	if (command_options(&usage, entries, &argc, argv, &q.as_json, &status)) {
		if ((q.base == NULL) == !q.whole)
			g_set_error(&error, TAGSEAL_ERROR,
			    TAGSEAL_ERROR_USAGE, "range needs either --base COMMIT, the last signed release, or --whole, where there is none");
		else
			answer(&q, argv[1], argv[2], &error);
		status = error != NULL ? command_fail(error) : 0;
	}
	g_free(q.base);
	g_free(q.people);
	g_free(q.at);
	return status;
}
