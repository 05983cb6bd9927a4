#include "gitops/ledger_commit.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

#define SHOWN 200 /* bytes of a name made by strangers, in a message */

static const struct {
	const char *outcome, *verb;
} verbs[] = {
	{ "signed", "Sign" },
	{ "rejected", "Reject" },
	{ "denied", "Deny" },
	{ "expired", "Let expire" },
	{ "failed", "Give up" },
};

static const char *verb_of(const struct json *record)
{
	const char *outcome = json_as_string(json_path(record, "end.outcome"));

	for (guint i = 0; i < G_N_ELEMENTS(verbs); i++) {
		if (g_strcmp0(verbs[i].outcome, outcome) == 0)
			return verbs[i].verb;
	}
	return "Record";
}

/* "Sign acme/widget v1.2.0 (2 artifacts, release)" */
static void put_record_subject(GString *to, const struct json *record)
{
	g_autofree char *project = text_escape(json_string(record, "project"), -1, SHOWN);
	g_autofree char *tag = text_escape(json_string(record, "tag"), -1, SHOWN);
	const char *policy = json_as_string(json_path(record, "policy.name"));
	guint artifacts = json_length(json_get(record, "artifacts"));

	g_string_append_printf(to, "%s %s %s", verb_of(record), project, tag);
	if (artifacts > 0)
		g_string_append_printf(to, " (%u artifact%s", artifacts, artifacts == 1 ? "" : "s");
	if (policy != NULL) {
		g_autofree char *shown = text_escape(policy, -1, SHOWN);

		g_string_append_printf(to, "%s%s", artifacts > 0 ? ", " : " (", shown);
	}
	if (artifacts > 0 || policy != NULL)
		g_string_append_c(to, ')');
}

static void put_subject(GString *to, const struct ledger_line *lines, guint count)
{
	guint events = 0, releases;

	for (guint i = 0; i < count; i++)
		events += json_get(lines[i].document, "event") != NULL;
	releases = count - events;
	if (count == 1 && releases == 1) {
		put_record_subject(to, lines[0].document);
		return;
	}
	g_string_append(to, count == 1 ? "Note " : "Record ");
	if (count == 1)
		g_string_append_printf(to, "event: %s", json_string(lines[0].document, "event"));
	else if (releases > 0)
		g_string_append_printf(to, "%u release%s", releases, releases == 1 ? "" : "s");
	if (count > 1 && events > 0)
		g_string_append_printf(to, "%s%u event%s", releases > 0 ? " and " : "", events, events == 1 ? "" : "s");
}

static void put_trailers(GString *to, const struct ledger_line *line)
{
	const char *id = json_string(line->document, "id"), *event = json_string(line->document, "event");
	const char *project = json_string(line->document, "project");
	const char *outcome = json_as_string(json_path(line->document, "end.outcome"));

	g_string_append_printf(to, "Tagseal-%s: %s %s%s%s\n", event != NULL ? "Event" : "Record", id, line->sha256,
	    event != NULL ? " " : "", event != NULL ? event : "");
	if (project != NULL) {
		g_autofree char *shown = text_escape(project, -1, SHOWN);

		g_string_append_printf(to, "Tagseal-Project: %s\n", shown);
	}
	if (outcome != NULL)
		g_string_append_printf(to, "Tagseal-Outcome: %s\n", outcome);
}

char *ledger_message(const struct ledger_line *lines, guint count)
{
	GString *message = g_string_new(NULL);

	put_subject(message, lines, count);
	g_string_append(message, "\n\n");
	for (guint i = 0; i < count; i++)
		put_trailers(message, &lines[i]);
	return g_string_free(message, FALSE);
}

/* A header's further lines begin with one space. */
static char *folded(GBytes *armor)
{
	gsize size;
	const char *data = g_bytes_get_data(armor, &size);
	g_autofree char *text = g_strndup(data, size);
	g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", -1);

	return g_strjoinv("\n ", lines);
}

GBytes *ledger_commit(const struct ledger_draft *draft, ledger_sign sign, void *data, GError **error)
{
	g_autoptr(GString) head = g_string_new(NULL);
	g_autoptr(GBytes) payload = NULL, armor = NULL;
	g_autofree char *signature = NULL, *whole = NULL;
	char hex[GIT_OID_HEXSZ + 1];

	g_string_append_printf(head, "tree %s\n", git_oid_tostr(hex, sizeof(hex), draft->tree));
	if (draft->parent != NULL)
		g_string_append_printf(head, "parent %s\n", git_oid_tostr(hex, sizeof(hex), draft->parent));
	for (guint i = 0; i < 2; i++)
		g_string_append_printf(head, "%s tagseal <%s> %" G_GINT64_FORMAT " +0000\n",
		    i == 0 ? "author" : "committer", draft->principal, draft->seconds);
	whole = g_strconcat(head->str, "\n", draft->message, NULL);
	payload = g_bytes_new(whole, strlen(whole));
	if ((armor = sign(data, payload, error)) == NULL)
		return NULL;
	signature = folded(armor);
	g_string_append_printf(head, "gpgsig %s\n\n%s", signature, draft->message);
	return g_bytes_new(head->str, head->len);
}
