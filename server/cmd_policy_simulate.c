/* `tagseal policy simulate --log DIR [--last N] DIR`: the newest releases of a log under a working copy of the policy. */
#include <stdio.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/record.h"
#include "server/cli.h"
#include "server/cmd_policy.h"
#include "server/simulate.h"

#define LAST_DEFAULT 200
#define LAST_MOST 1000000

struct simulation {
	const struct policy *now;
	struct replay_log *log;
	GHashTable *policies; /* digest of policy.json -> struct policy: what releases were decided by */
	struct json *changed, *undecided; /* arrays */
	guint replayed;
};

/* The policy that the release was decided by, from its evidence. */
static const struct policy *policy_of(struct simulation *s, GHashTable *files, GError **error)
{
	GBytes *evidence = g_hash_table_lookup(files, "policy.json");
	g_autofree char *digest = evidence != NULL ? sha256_text_bytes(evidence) : NULL, *commit = NULL;
	g_autoptr(GHashTable) read = NULL;
	struct policy *policy;

	if (evidence == NULL) {
		error_refused(error, "its evidence lacks policy.json, the policy that it was decided by");
		return NULL;
	}
	policy = g_hash_table_lookup(s->policies, digest);
	if (policy != NULL)
		return policy;
	read = policy_evidence_read(evidence, &commit, error);
	policy = read != NULL ? policy_load(read, error) : NULL;
	if (policy != NULL)
		g_hash_table_insert(s->policies, g_steal_pointer(&digest), policy);
	return policy;
}

static struct json *entry_for(const struct json *record)
{
	struct json *entry = json_object_new();

	json_set_string(entry, "id", json_string(record, "id"));
	json_set_string(entry, "project", json_string(record, "project"));
	json_set_string(entry, "tag", json_string(record, "tag"));
	return entry;
}

static struct json *side(const char *outcome, const char *reason)
{
	struct json *object = json_object_new();

	json_set_string(object, "outcome", outcome);
	json_set_string(object, "reason", reason);
	return object;
}

static void tell_undecided(struct simulation *s, const struct json *record, const char *why)
{
	struct json *entry = entry_for(record);

	json_set_string(entry, "why", why);
	json_append(s->undecided, entry);
}

/* What the record says of its end is told in place of "approved": "signed", or how it failed later. */
static void tell_changed(struct simulation *s, const struct json *record, const struct simulated *one)
{
	const char *end = json_as_string(json_path(record, "end.outcome"));
	gboolean approved = g_str_equal(one->was, "approved") && end != NULL;
	struct json *entry = entry_for(record);

	json_set(entry, "was", side(approved ? end : one->was, one->was_reason));
	json_set(entry, "now", side(one->now, one->now_reason));
	json_append(s->changed, entry);
}

static void replay_one(struct simulation *s, const struct replay_entry *entry)
{
	g_autoptr(GError) why = NULL;
	g_autoptr(GHashTable) files = replay_log_evidence(s->log, entry->place, &why);
	gboolean has_tag = files != NULL && g_hash_table_lookup(files, "tag") != NULL;
	const struct policy *before = has_tag ? policy_of(s, files, &why) : NULL;
	struct simulated one = { NULL };

	s->replayed++;
	if (files == NULL || (has_tag && before == NULL) || !simulate(entry->record, files, before, s->now, &one, &why))
		tell_undecided(s, entry->record, why->message);
	else if (one.undecided != NULL)
		tell_undecided(s, entry->record, one.undecided);
	else if (one.changed)
		tell_changed(s, entry->record, &one);
	simulated_clear(&one);
}

/* ---- answers ---- */

/* A sentence of our own, in which what strangers wrote is escaped already. */
static const char *sentence(const struct json *entry, const char *path)
{
	const char *text = json_as_string(json_path(entry, path));

	return text != NULL ? text : "?";
}

/* The log's own words, of which nothing is checked. */
static char *shown(const struct json *entry, const char *path)
{
	return text_escape(sentence(entry, path), -1, 400);
}

static void print_changed(const struct json *entry)
{
	g_autofree char *id = shown(entry, "id"), *project = shown(entry, "project"), *tag = shown(entry, "tag");
	g_autofree char *was = shown(entry, "was.outcome");

	printf("changed %s %s %s: %s → %s: %s (was: %s)\n", id, project, tag, was, sentence(entry, "now.outcome"),
	    sentence(entry, "now.reason"), sentence(entry, "was.reason"));
}

static void print_undecided(const struct json *entry)
{
	g_autofree char *id = shown(entry, "id"), *project = shown(entry, "project"), *tag = shown(entry, "tag");

	printf("unknown %s %s %s: %s\n", id, project, tag, sentence(entry, "why"));
}

static void print_lines(const struct simulation *s)
{
	if (json_length(s->undecided) == 0)
		printf("good\n");
	printf("%u requests replayed, %u would be decided otherwise, %u could not be told\n", s->replayed,
	    (guint)json_length(s->changed), (guint)json_length(s->undecided));
	for (guint i = 0; i < json_length(s->changed); i++)
		print_changed(json_at(s->changed, i));
	for (guint i = 0; i < json_length(s->undecided); i++)
		print_undecided(json_at(s->undecided, i));
}

static void print_document(const struct simulation *s)
{
	autoptr(json) document = json_object_new();

	json_set_boolean(document, "good", json_length(s->undecided) == 0);
	json_set_integer(document, "replayed", s->replayed);
	json_set(document, "changed", json_ref(s->changed));
	json_set(document, "unknown", json_ref(s->undecided));
	command_print_json(document);
}

static int conclude(const struct simulation *s, gboolean as_json)
{
	g_autoptr(GError) error = NULL;

	if (as_json)
		print_document(s);
	else
		print_lines(s);
	if (json_length(s->undecided) == 0)
		return 0;
	g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
	    "of %u requests, %u could not be decided again: see the lines that begin with \"unknown\"", s->replayed,
	    (guint)json_length(s->undecided));
	return command_warn(error);
}

static int run(const char *log, const char *dir, guint last, gboolean as_json)
{
	g_autoptr(GError) error = NULL;
	autoptr(replay_log) opened = NULL;
	g_autoptr(GPtrArray) entries = NULL;
	g_autoptr(GHashTable) policies =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)policy_unref);
	autoptr(json) changed = json_array_new();
	autoptr(json) undecided = json_array_new();
	autoptr(policy) policy = NULL;
	struct simulation s = { .policies = policies, .changed = changed, .undecided = undecided };
	int status;

	policy = policy_of_folder(dir, &status);
	if (policy == NULL)
		return status;
	opened = replay_log_open(log, &error);
	if (opened == NULL || (entries = replay_log_newest(opened, last, &error)) == NULL)
		return command_fail(error);
	s.now = policy;
	s.log = opened;
	for (guint i = 0; i < entries->len; i++)
		replay_one(&s, entries->pdata[i]);
	return conclude(&s, as_json);
}

int cmd_policy_simulate(int argc, char **argv)
{
	g_autofree char *log = NULL;
	int last = LAST_DEFAULT;
	const GOptionEntry entries[] = {
		{ "log", 0, 0, G_OPTION_ARG_FILENAME, &log, "A clone of the audit repository: the requests are there",
		    "DIR" },
		{ "last", 0, 0, G_OPTION_ARG_INT, &last, "How many of the newest requests (default: 200)", "N" },
		G_OPTION_ENTRY_NULL,
	};
	const struct command_usage usage = { "tagseal",
		"--log DIR [--last N] DIR", "Replays past requests under a working copy of the policy, and says which would have been decided otherwise.",
		"Example: git clone https://tagseal.example.org/audit.git && tagseal policy simulate --log audit "
		"--last 200 ~/policy\n\n"
		"Each request is decided twice from its evidence, by the policy of its day and by DIR; a line "
		"\"changed ID PROJECT TAG: "
		"WAS → NOW: REASON\" is printed where the answers differ, which is no failure: the exit status is 0. "
		"It is 3 where a "
		"request could not be decided (\"unknown …\"), and 1 where DIR is no good policy. The log itself is "
		"not checked: tagseal "
		"audit does that.\n",
		1, 1 };
	g_autoptr(GError) error = NULL;
	gboolean as_json = FALSE;
	int status;

	if (!command_options(&usage, entries, &argc, argv, &as_json, &status))
		return status;
	if (last < 1 || last > LAST_MOST)
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "--last wants a number from 1 to %d", LAST_MOST);
	else if (log == NULL)
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "the requests to replay are in the audit repository: name a clone of it with --log DIR");
	if (error != NULL)
		return command_fail(error);
	return run(log, argv[1], (guint)last, as_json);
}
