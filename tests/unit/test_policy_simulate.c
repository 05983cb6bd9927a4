/* `tagseal policy simulate`: past requests of a real log under another policy. */
#include <string.h>

#include "gitops/record.h"
#include "gitops/replay.h"
#include "tests/unit/support_audit.h"

/* A policy's folder: the sample with one change. Caller frees. */
static char *folder_with(const char *path, const char *from, const char *to)
{
	static guint number;
	g_autofree char *name = g_strdup_printf("simulated-%u", ++number);
	g_autoptr(GHashTable) files = sample_files();
	char *folder = support_folder(name);
	GHashTableIter all;
	gpointer file, bytes;

	if (from != NULL)
		sample_replace(files, path, from, to);
	g_hash_table_iter_init(&all, files);
	while (g_hash_table_iter_next(&all, &file, &bytes)) {
		g_autofree char *full = g_build_filename(folder, file, NULL), *parent = g_path_get_dirname(full);

		assert_int_equal(g_mkdir_with_parents(parent, 0755), 0);
		support_write_bytes(full, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	}
	return folder;
}

/* A log with one release, signed after bob and carol had approved. */
static struct world *log_of_one(char **id)
{
	struct world *w = world_new();
	autoptr(story) s = story_new(w, 1);

	story_append(w, s);
	*id = g_strdup(json_string(s->record, "id"));
	return w;
}

static struct run *simulate(const struct world *w, const char *folder, const char *option)
{
	g_autofree char *tagseal = support_program("tagseal");

	return support_run(tagseal, "policy", "simulate", folder, "--last", "200", "--log", w->path, option, NULL);
}

/* One line for that release: "changed ID acme/widget v1.2.0: " and these words. */
static void changed(const char *path, const char *from, const char *to, const char *words)
{
	g_autofree char *id = NULL, *folder = folder_with(path, from, to), *expected = NULL;
	autoptr(world) w = log_of_one(&id);
	autoptr(run) run = simulate(w, folder, NULL);

	expected = g_strdup_printf("good\n1 requests replayed, 1 would be decided otherwise, 0 could not be told\n"
				   "changed %s acme/widget v1.2.0: signed → %s",
	    id, words);
	assert_int_equal(run->status, 0);
	assert_contains(run->out, expected);
	assert_string_equal(run->err, "");
}

static void the_same_policy_changes_nothing(void **state)
{
	g_autofree char *id = NULL, *folder = folder_with(NULL, NULL, NULL);
	autoptr(world) w = log_of_one(&id);
	autoptr(run) run = simulate(w, folder, NULL);
	autoptr(run) json = simulate(w, folder, "--json");

	assert_string_equal(run->out, "good\n1 requests replayed, 0 would be decided otherwise, 0 could not be told\n");
	assert_int_equal(run->status, 0);
	assert_int_equal(json->status, 0);
	assert_contains(json->out, "\"good\": true");
	assert_contains(json->out, "\"replayed\": 1");
	assert_contains(json->out, "\"changed\": []");
}

static void a_stricter_quorum_would_still_wait(void **state)
{
	changed(SAMPLE_PROJECT, "count = 2 }]", "count = 2 }, { of = [\"dave\"], count = 1 }]",
	    "waiting: 0 of 1 approval of dave; waiting for 1 more (was: policy \"release\", key \"release-2026\")");
}

static void an_approver_who_is_one_no_longer_is_not_counted(void **state)
{
	changed(SAMPLE_PROJECT, "of = [\"@developers\"], count = 2", "of = [\"bob\", \"dave\"], count = 2",
	    "waiting: 1 of 2 approvals of bob or dave");
}

static void a_tagger_who_is_one_no_longer_is_rejected(void **state)
{
	changed(SAMPLE_PROJECT, "taggers = [\"@release-managers\"]", "taggers = [\"dave\"]", "rejected: ");
}

static void a_tag_that_no_policy_matches_any_more_is_ignored(void **state)
{
	changed(
	    SAMPLE_PROJECT, "\"v[0-9]*\"", "\"w*\"", "ignored: no policy of projects/acme-widget.toml matches the tag");
	changed(SAMPLE_PROJECT, "\"acme/widget\"", "\"acme/gadget\"", "ignored: no file of projects/ names the project");
}

static void an_artifact_that_nobody_pinned_is_rejected(void **state)
{
	changed(SAMPLE_PROJECT, "[\"approval\"]", "[\"tag\"]", "rejected: ");
	changed(SAMPLE_PROJECT, "name = \"widget-{version}.zip\"", "name = \"gadget-{version}.zip\"", "waiting: ");
}

static void another_policy_or_key_is_another_answer(void **state)
{
	changed(SAMPLE_PROJECT, "name = \"release\"", "name = \"final\"", "waiting: ");
}

static void what_no_evidence_tells_is_unknown(void **state)
{
	g_autofree char *id = NULL, *branches = NULL, *commits = NULL;
	autoptr(world) w = log_of_one(&id);
	autoptr(run) run = NULL;
	autoptr(run) json = NULL;

	branches = folder_with(SAMPLE_PROJECT, "approve_within = \"14d\"", "branches = [\"main\"]");
	commits = folder_with(SAMPLE_PROJECT, "approve_within = \"14d\"", "commits = \"signed\"");
	run = simulate(w, branches, NULL);
	assert_int_equal(run->status, 3);
	assert_contains(run->out, "unknown ");
	assert_contains(run->out, "no evidence tells whether the tagged commit is on one of the branches main");
	assert_false(g_str_has_prefix(run->out, "good"));
	assert_contains(run->err, "of 1 requests, 1 could not be decided again");
	json = simulate(w, commits, "--json");
	assert_int_equal(json->status, 3);
	assert_contains(json->out, "\"good\": false");
	assert_contains(json->out, "no evidence tells whether all its commits are signed");
}

static void evidence_that_is_gone_is_unknown(void **state)
{
	g_autofree char *folder = folder_with(NULL, NULL, NULL);
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	autoptr(run) run = NULL;

	story_drop(s, "approval-2");
	story_append(w, s);
	run = simulate(w, folder, NULL);
	assert_int_equal(run->status, 3);
	assert_contains(run->out, "its evidence lacks \"approval-2\"");
}

/* Rejected before any tag was read: no policy would have it otherwise. Events are no requests. */
static void what_was_never_read_is_decided_as_before(void **state)
{
	g_autofree char *id = NULL, *folder = folder_with(NULL, NULL, NULL);
	autoptr(world) w = log_of_one(&id);
	autoptr(json) rejected = test_record("acme/widget", "v2", "rejected");
	autoptr(json) event = record_event_new("start", NULL, NULL);
	autoptr(run) run = NULL;

	test_append(w->ledger, rejected);
	test_append(w->ledger, event);
	run = simulate(w, folder, NULL);
	assert_string_equal(run->out, "good\n2 requests replayed, 0 would be decided otherwise, 0 could not be told\n");
}

static void only_the_newest_are_replayed(void **state)
{
	autoptr(world) w = world_new();
	autoptr(replay_log) log = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) newest = NULL;
	const struct replay_entry *last;

	for (guint i = 0; i < 150; i++) {
		g_autofree char *tag = g_strdup_printf("v%u", i);
		autoptr(json) record = test_record("acme/widget", tag, "rejected");

		test_append(w->ledger, record);
	}
	log = replay_log_open(w->path, &error);
	assert_ok(log, error);
	newest = replay_log_newest(log, 60, &error);
	assert_ok(newest, error);
	assert_int_equal(newest->len, 60);
	last = newest->pdata[0];
	assert_string_equal(json_string(last->record, "tag"), "v90");
	last = newest->pdata[59];
	assert_string_equal(json_string(last->record, "tag"), "v149");
}

static void a_bad_policy_or_log_is_told(void **state)
{
	g_autofree char *id = NULL, *good = folder_with(NULL, NULL, NULL), *tagseal = support_program("tagseal");
	g_autofree char *bad = folder_with(SAMPLE_PROJECT, "taggers", "tagers");
	autoptr(world) w = log_of_one(&id);
	autoptr(run) policy = simulate(w, bad, NULL);
	autoptr(run) no_log = support_run(tagseal, "policy", "simulate", good, "--last", "200", NULL);
	autoptr(run) wrong = simulate(w, good, "--last=0");
	autoptr(run) nowhere = support_run(tagseal, "policy", "simulate", "--log", "/nonexistent", good, NULL);

	assert_int_equal(policy->status, 1);
	assert_contains(policy->err, "projects/acme-widget.toml:9:1: unknown key \"tagers\"");
	assert_int_equal(no_log->status, 3);
	assert_contains(no_log->err, "name a clone of it with --log DIR");
	assert_int_equal(wrong->status, 2);
	assert_int_equal(nowhere->status, 3);
	assert_contains(nowhere->err, "cannot open /nonexistent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_policy_changes_nothing),
		cmocka_unit_test(a_stricter_quorum_would_still_wait),
		cmocka_unit_test(an_approver_who_is_one_no_longer_is_not_counted),
		cmocka_unit_test(a_tagger_who_is_one_no_longer_is_rejected),
		cmocka_unit_test(a_tag_that_no_policy_matches_any_more_is_ignored),
		cmocka_unit_test(an_artifact_that_nobody_pinned_is_rejected),
		cmocka_unit_test(another_policy_or_key_is_another_answer),
		cmocka_unit_test(what_no_evidence_tells_is_unknown),
		cmocka_unit_test(evidence_that_is_gone_is_unknown),
		cmocka_unit_test(what_was_never_read_is_decided_as_before),
		cmocka_unit_test(only_the_newest_are_replayed),
		cmocka_unit_test(a_bad_policy_or_log_is_told),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
