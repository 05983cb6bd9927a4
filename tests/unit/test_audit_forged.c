/* A forger who has the ledger's key: each forgery is one finding, and the log without it is good. */
#include "tests/unit/support_audit.h"

#include <string.h>

#include "gitops/policy_history.h"
#include "gitops/record.h"

/* ---- releases that lie ---- */

/* A log of one release that was changed before the ledger signed it. */
static void assert_lie(void (*change)(struct story *s), const char *words)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);

	change(s);
	story_append(w, s);
	assert_log_has_one_flaw(w, words);
}

static void add_a_stranger(struct story *s)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static("x", 1);

	story_add(s, "notes", bytes);
}

static void add_an_approval_of_nobody(struct story *s)
{
	story_add(s, "approval-3", g_array_index(s->approvals, struct approval_evidence, 0).raw);
}

static void add_a_signature_of_nobody(struct story *s)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static("x", 1);

	story_add(s, "2-openpgp.asc", bytes);
}

static void a_file_that_nothing_speaks_of_is_bad(void **state)
{
	assert_lie(add_a_stranger, "record 1: its evidence has \"notes\", which nothing in the record speaks of");
	assert_lie(add_an_approval_of_nobody, "its evidence has \"approval-3\"");
	assert_lie(add_a_signature_of_nobody, "its evidence has \"2-openpgp.asc\"");
}

/* An approval that is good in itself, of another tag: it is not this release's. */
static void an_approval_of_another_tag_in_its_place_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	autoptr(story) other = story_tagged(w, "v1.2.1", 2);
	struct json *line = json_copy(json_path(other->record, "approvals.0")), *list = json_array_new();

	json_append(list, line);
	json_append(list, json_copy(story_get(s, "approvals.1")));
	json_set(s->record, "approvals", list);
	story_drop(s, "approval-1");
	story_add(s, "approval-1", g_array_index(other->approvals, struct approval_evidence, 0).raw);
	story_append(w, s);
	assert_log_has_one_flaw(w, "record 1: it passed the gate approval, and the evidence says: ");
}

static void the_same_approval_twice_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct json *list = json_array_new();

	for (guint i = 0; i < 2; i++)
		json_append(list, json_copy(story_get(s, "approvals.0")));
	json_set(s->record, "approvals", list);
	story_drop(s, "approval-2");
	story_add(s, "approval-2", g_array_index(s->approvals, struct approval_evidence, 0).raw);
	story_append(w, s);
	assert_log_has_one_flaw(w, "record 1: it passed the gate approval, and the evidence says: ");
}

/* ---- uses of the key ---- */

static struct json *void_use(const char *key, gint64 use)
{
	struct json *extra = json_object_new();

	json_set_string(extra, "key", key);
	if (use > 0)
		json_set_integer(extra, "use", use);
	return record_event_new("void", NULL, extra);
}

static void a_use_that_is_void_is_accounted_for(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 2);
	autoptr(json) event = void_use("release-2026", 1);

	test_append(w->ledger, event);
	story_append(w, s);
	assert_log_good(w);
}

static void a_use_that_stands_nowhere_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(world) more = world_new();
	autoptr(world) zero = world_new();
	autoptr(story) s = story_new(w, 2);
	autoptr(story) t = story_new(more, 5);
	autoptr(story) u = story_new(zero, 0);
	autoptr(json) event = void_use("release-2026", 2);

	story_append(w, s);
	assert_log_has_one_flaw(w, "bad: use 1 of the key release-2026 stands in no record and is not void");
	test_append(more->ledger, event);
	story_append(more, t);
	{
		struct audit_options options = world_options(more);

		world_audit(more, &options);
		assert_int_equal(more->result.bad, 2);
		assert_contains(more->findings->str, "bad: uses 3 to 4 of the key release-2026 stand in no record");
	}
	story_append(zero, u);
	assert_log_has_one_flaw(zero, "bad: 0 is no number of a use of the key release-2026");
}

static void a_use_that_stands_in_two_places_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(world) again = world_new();
	autoptr(story) s = story_new(w, 1);
	autoptr(story) t = story_tagged(w, "v1.2.1", 1);
	autoptr(story) u = story_new(again, 1);
	autoptr(json) event = void_use("release-2026", 1);

	story_append(w, s);
	story_append(w, t);
	assert_log_has_one_flaw(w, "bad: use 1 of the key release-2026 stands in two places");
	story_append(again, u);
	test_append(again->ledger, event);
	assert_log_has_one_flaw(again, "bad: use 1 of the key release-2026 stands in two places");
}

static void a_void_event_that_names_no_use_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) event = void_use("release-2026", 0);

	test_append(w->ledger, event);
	assert_log_has_one_flaw(w, "record 1: it is void, and names no key or no use");
}

/* ---- history ---- */

#define TWO_RECORDS                                                                                                    \
	autoptr(world) w = world_new();                                                                                \
	autoptr(story) s = story_new(w, 1);                                                                            \
	autoptr(story) t = story_tagged(w, "v1.2.1", 2);                                                               \
	story_append(w, s);                                                                                            \
	story_append(w, t)

/* What the newest commit says of itself; a commit made in its place says the same. */
static char *message_of(struct world *w)
{
	return support_must_in(w->path, "git", "log", "-1", "--format=%B", "main", NULL);
}

/* The newest commit is replaced by one with the same message and another tree. */
static void assert_forged_tip(struct world *w, const char *script, const char *words)
{
	g_autofree char *message = message_of(w);

	world_commit_tree(w, "-p main~1", "main", script, message);
	assert_log_has_one_flaw(w, words);
}

static void a_commit_made_again_as_it_was_is_good(void **state)
{
	TWO_RECORDS;
	g_autofree char *message = message_of(w);

	world_commit_tree(w, "-p main~1", "main", ":", message);
	assert_log_good(w);
}

static void evidence_of_another_record_is_bad(void **state)
{
	TWO_RECORDS;

	assert_forged_tip(
	    w, "git update-index --add --cacheinfo 100644,$(git rev-parse main:evidence/00/00/01/tag),evidence/00/00/02/tag",
	    "record 2: its evidence \"tag\" is not the file that the record lists");
}

static void a_file_more_or_less_in_the_evidence_is_bad(void **state)
{
	{
		TWO_RECORDS;

		assert_forged_tip(
		    w, "git update-index --add --cacheinfo 100644,$(echo x | git hash-object -w --stdin),evidence/00/00/02/x",
		    "record 2: its evidence has \"x\", which the record does not list");
	}
	{
		TWO_RECORDS;

		assert_forged_tip(w, "git rm -q --cached evidence/00/00/02/approval-1",
		    "record 2: its evidence lacks \"approval-1\"");
	}
}

/* The one in the middle is gone, and the last stands on the first. */
static void a_record_taken_out_of_history_is_bad(void **state)
{
	autoptr(json) last = test_record("acme/widget", "v3", "rejected");
	g_autofree char *message = NULL, *script = NULL;
	TWO_RECORDS;

	test_append(w->ledger, last);
	message = message_of(w);
	script =
	    g_strdup_printf("git update-index --add --cacheinfo 100644,$(git rev-parse main:records/00/00/03-%s.json),"
			    "records/00/00/03-%s.json",
		json_string(last, "id"), json_string(last, "id"));
	world_commit_tree(w, "-p main~2", "main~2", script, message);
	{
		struct audit_options options = world_options(w);

		world_audit(w, &options);
		assert_contains(
		    w->findings->str, "record 3: the number before it is 1: there is a gap or a repetition");
		assert_contains(w->findings->str, "record 3: its \"previous\" is sha256:");
	}
}

static void records_in_another_order_are_bad(void **state)
{
	autoptr(json) one = test_record("acme/one", "v1", "rejected");
	autoptr(json) two = test_record("acme/two", "v1", "rejected");
	autoptr(world) w = world_new();
	g_autofree char *message = NULL, *script = NULL;
	struct ledger_entry entries[] = { { .document = one }, { .document = two } };
	g_autoptr(GError) error = NULL;
	struct audit_options options = world_options(w);

	assert_ok(ledger_append(w->ledger, entries, 2, &error), error);
	for (guint i = 0; i < 2; i++)
		ledger_entry_clear(&entries[i]);
	assert_log_good(w);
	message = message_of(w);
	script = g_strdup_printf(
	    "a=records/00/00/01-%s.json b=records/00/00/02-%s.json; "
	    "git rm -q --cached $a $b; "
	    "git update-index --add --cacheinfo 100644,$(git rev-parse main:$a),records/00/00/02-%s.json "
	    "--cacheinfo 100644,$(git rev-parse main:$b),records/00/00/01-%s.json",
	    json_string(one, "id"), json_string(two, "id"), json_string(one, "id"), json_string(two, "id"));
	world_commit_tree(w, "-p main~1", "main", script, message);
	world_audit(w, &options);
	assert_contains(w->findings->str, "bad: record 1: it says that its number is 2");
	assert_contains(w->findings->str, "bad: record 2: it says that its number is 1");
}

static void a_merge_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) event = record_event_new("start", NULL, NULL);
	g_autofree char *message = NULL;

	test_append(w->ledger, event);
	message = message_of(w);
	world_commit_tree(w, "-p main~1 -p $(git commit-tree -m side main^{tree})", "main", ":", message);
	assert_log_has_one_flaw(w, "history is not one line here");
}

static void a_file_that_is_changed_or_removed_later_is_bad(void **state)
{
	static const char *const forgeries[][2] = {
		{ "git update-index --cacheinfo 100644,$(echo x | git hash-object -w --stdin),evidence/00/00/01/tag",
		    "it changes evidence/00/00/01/tag" },
		{ "git rm -q --cached evidence/00/00/01/tag", "it removes evidence/00/00/01/tag" },
		{ "git update-index --cacheinfo 100755,$(git rev-parse main:README.md),README.md",
		    "it changes README.md" },
		{ "git update-index --cacheinfo 120000,$(git rev-parse "
		  "main:evidence/00/00/01/tag),evidence/00/00/01/tag",
		    "it changes evidence/00/00/01/tag" },
		{ "git rm -q --cached README.md; git update-index --add --cacheinfo "
		  "100644,$(git rev-parse main:README.md),README.md/x",
		    "it changes README.md" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(forgeries); i++) {
		TWO_RECORDS;

		world_commit_tree(w, "-p main", "main", forgeries[i][0], "Forged");
		assert_log_has_one_flaw(w, forgeries[i][1]);
	}
}

/* A log that goes on from a point that was checked is held against all before that point too. */
static void what_stood_before_since_is_not_forgotten(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	autoptr(story) again = story_new(w, 1);
	autoptr(story) next = story_tagged(w, "v1.2.1", 2);
	autoptr(json) event = NULL;
	g_autofree char *since = NULL;
	struct audit_options options = world_options(w);

	story_append(w, s);
	since = g_strdup(ledger_tip(w->ledger));
	{
		g_autofree char *sha256 = g_strdup(ledger_previous(w->ledger, "acme/widget"));

		event = record_event_new("published", sha256, NULL);
	}
	test_append(w->ledger, event);
	story_append(w, next);
	options.since = since;
	world_audit(w, &options);
	assert_string_equal(w->findings->str, "");
	story_append(w, again);
	world_audit(w, &options);
	assert_int_equal(w->result.bad, 2);
	assert_contains(w->findings->str, "the release was signed before");
	assert_contains(w->findings->str, "use 1 of the key release-2026 stands in two places");
}

/* Its own id, told twice: the second could be anything under the first one's name. */
static void an_id_that_stands_twice_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) event = record_event_new("start", NULL, NULL), *copy = NULL;
	g_autofree char *digest = NULL, *text = NULL, *path = NULL, *message = NULL;

	test_append(w->ledger, event);
	copy = json_copy(event);
	json_set_integer(copy, "sequence", 2);
	digest = record_digest(copy);
	text = json_text(copy);
	path = g_strdup_printf("records/00/00/02-%s.json", json_string(copy, "id"));
	message = g_strdup_printf("Again\n\nTagseal-Event: %s %s start\n", json_string(copy, "id"), digest);
	world_commit(w, path, text, message);
	assert_log_has_one_flaw(w, "stands in the log before it");
}

/* ---- places and kinds of files ---- */

static void a_file_of_another_kind_or_place_is_bad(void **state)
{
	static const char *const forgeries[][2] = {
		{ "git update-index --add --cacheinfo 100755,$(echo x | git hash-object -w "
		  "--stdin),evidence/00/00/03/tag",
		    "evidence/00/00/03/tag is no plain file" },
		{ "git update-index --add --cacheinfo 120000,$(echo x | git hash-object -w "
		  "--stdin),evidence/00/00/03/tag",
		    "evidence/00/00/03/tag is no plain file" },
		{ "git update-index --add --cacheinfo 160000,$(git rev-parse main),evidence/00/00/03/tag",
		    "evidence/00/00/03/tag is no plain file" },
		{ "git update-index --add --cacheinfo 100644,$(echo x | git hash-object -w "
		  "--stdin),evidence/00/00/01/late",
		    "evidence/00/00/01/late belongs to no record of this commit" },
		{ "git update-index --add --cacheinfo 100644,$(echo x | git hash-object -w "
		  "--stdin),Records/00/00/03-x.json",
		    "it adds Records/00/00/03-x.json" },
		{ "git update-index --add --cacheinfo 100644,$(echo x | git hash-object -w "
		  "--stdin),records/00/00/3-x.json",
		    "records/00/00/3-x.json is no place for a record" },
		{ "git update-index --add --cacheinfo 100644,$(echo x | git hash-object -w --stdin),"
		  "records/00/00/03-01JDZX5K3N8Q4W7R2T6Y9A0BCD.json/x",
		    "is no place for a record" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(forgeries); i++) {
		TWO_RECORDS;

		world_commit_tree(w, "-p main", "main", forgeries[i][0], "Forged");
		assert_log_has_one_flaw(w, forgeries[i][1]);
	}
}

/* Trees that no index can make: their bytes are written as they are. */
static void a_folder_that_readers_would_read_differently_is_bad(void **state)
{
	static const char *const forgeries[][2] = {
		{ "{ git cat-file tree main^{tree}; printf '100644 README.md\\0'; printf $(git rev-parse "
		  "main:README.md | "
		  "sed 's/../\\\\x&/g'); }",
		    "the folder / holds one name twice" },
		{ "{ printf '100644 zzz\\0'; printf $(git rev-parse main:README.md | sed 's/../\\\\x&/g'); "
		  "git cat-file tree main^{tree}; }",
		    "the folder / is not in git's order" },
		{ "{ git cat-file tree main^{tree}; printf '40000 zzz\\0'; printf $(git hash-object -w -t tree "
		  "/dev/null | "
		  "sed 's/../\\\\x&/g'); }",
		    "the folder zzz/ is empty" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(forgeries); i++) {
		g_autofree char *script = NULL;
		TWO_RECORDS;

		script = g_strdup_printf("bash -ec \"$(cat <<'END'\n%s > tree.raw\nEND\n)\"; "
					 "git read-tree --empty; t=$(git hash-object --literally -w -t tree tree.raw); "
					 "git() { if [ $1 = write-tree ]; then echo $t; else command git \"$@\"; fi; }",
		    forgeries[i][0]);
		world_commit_tree(w, "-p main", "main", script, "Forged");
		assert_log_has_one_flaw(w, forgeries[i][1]);
	}
}

/* ---- the policy ---- */

/* A candidate that one maintainer of two signed; the release was decided by it. */
static void a_policy_that_was_never_in_force_is_bad(void **state)
{
	autoptr(world) w = world_new();
	g_autofree char *folder = support_path("skipped"), *alice = sample_ssh_key("alice"), *script = NULL;
	g_autofree char *root = g_strdup(w->policy_root), *candidate = NULL;
	g_autoptr(GBytes) history = NULL;
	g_autoptr(GError) error = NULL;
	autoptr(story) s = NULL;
	struct audit_options options;

	script = g_strdup_printf("cp -r '%s' '%s' && cd '%s' && git config gpg.format ssh && "
				 "printf '# changed\\n' >> policy.toml && GIT_AUTHOR_EMAIL=alice@example.org "
				 "GIT_COMMITTER_EMAIL=alice@example.org git -c user.signingkey='%s' commit -q -S -a -m "
				 "Change && git rev-parse HEAD",
	    w->policy_repo, folder, folder, alice);
	candidate = support_must("sh", "-ec", script, NULL);
	history = policy_history_write(folder, root, candidate, &error);
	assert_ok(history != NULL, error);
	w->policy_repo = folder;
	g_free(w->policy_root);
	w->policy_root = g_strdup(candidate);
	s = story_at(w, 1);
	story_add(s, POLICY_HISTORY, history);
	story_append(w, s);
	options = world_options(w);
	options.policy_repo = NULL;
	options.policy_root = root;
	world_audit(w, &options);
	assert_int_equal(w->result.bad, 1);
	assert_contains(w->findings->str, "record 1: its policy: ");
}

static void a_policy_without_its_history_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct audit_options options = world_options(w);

	story_append(w, s);
	options.policy_repo = NULL;
	world_audit(w, &options);
	assert_int_equal(w->result.bad, 1);
	assert_contains(w->findings->str, "record 1: its evidence lacks policy-chain");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_nothing_speaks_of_is_bad),
		cmocka_unit_test(an_approval_of_another_tag_in_its_place_is_bad),
		cmocka_unit_test(the_same_approval_twice_is_bad),
		cmocka_unit_test(a_use_that_is_void_is_accounted_for),
		cmocka_unit_test(a_use_that_stands_nowhere_is_bad),
		cmocka_unit_test(a_use_that_stands_in_two_places_is_bad),
		cmocka_unit_test(a_void_event_that_names_no_use_is_bad),
		cmocka_unit_test(a_commit_made_again_as_it_was_is_good),
		cmocka_unit_test(evidence_of_another_record_is_bad),
		cmocka_unit_test(a_file_more_or_less_in_the_evidence_is_bad),
		cmocka_unit_test(a_record_taken_out_of_history_is_bad),
		cmocka_unit_test(records_in_another_order_are_bad),
		cmocka_unit_test(a_merge_is_bad),
		cmocka_unit_test(a_file_that_is_changed_or_removed_later_is_bad),
		cmocka_unit_test(what_stood_before_since_is_not_forgotten),
		cmocka_unit_test(an_id_that_stands_twice_is_bad),
		cmocka_unit_test(a_file_of_another_kind_or_place_is_bad),
		cmocka_unit_test(a_folder_that_readers_would_read_differently_is_bad),
		cmocka_unit_test(a_policy_that_was_never_in_force_is_bad),
		cmocka_unit_test(a_policy_without_its_history_is_bad),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
