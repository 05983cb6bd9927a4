/* What counts as a right that a change gives to one of its own signers. */
#include "gitops/policy_rights.h"
#include "tests/unit/support_policy.h"

/* In the sample alice tags, bob and carol approve releases, bob tags tests; dave has no part in anything. */
struct weaker {
	const char *path, *anchor; /* a text of the sample, in whose place … */
	const char *strict, *loose; /* … these stand before and after */
	const char *person, *what;
};

static struct policy *with(const char *path, const char *anchor, const char *text)
{
	policy_files *files = sample_files();

	sample_replace(files, path, anchor, text);
	return sample_load(files);
}

static void widens(const struct policy *before, const struct policy *now, const char *person, const char *what)
{
	g_autofree char *found = policy_widens(before, now, person);

	if (what == NULL && found != NULL)
		fail_msg("nothing should be widened for %s: %s", person, found);
	if (what != NULL && found == NULL)
		fail_msg("it should be found for %s: %s", person, what);
	if (what != NULL)
		assert_contains(found, what);
}

/* From strict to loose it widens the person's rights; the other way, and for whoever has no part, it does not. */
static void check(const struct weaker *row)
{
	autoptr(policy) strict = with(row->path, row->anchor, row->strict);
	autoptr(policy) loose = with(row->path, row->anchor, row->loose);

	widens(strict, loose, row->person, row->what);
	widens(loose, strict, row->person, NULL);
	widens(strict, strict, row->person, NULL);
	widens(strict, loose, "dave", NULL);
}

static void check_all(const struct weaker *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check(&rows[i]);
}

#define LIMIT "approve_within = \"14d\""
#define QUORUM "quorum = [{ of = [\"@developers\"], count = 2 }]"
#define REQUIRE "require = { quorum = 2, timestamp = true, scan = true, max_database_age = \"2d\" }"
#define BUDGET "budget = { projects = 1, signatures = 5000, days = 460 }"

static void tags_and_branches_let_through_are_rights(void **state)
{
	static const struct weaker rows[] = {
		{ SAMPLE_PROJECT, "[\"v[0-9]*\"]", "[\"v[0-9]*\"]", "[\"v[0-9]*\", \"w*\"]", "alice",
		    "projects/acme-widget.toml:5 takes more tags, and alice has a part in policy \"release\"" },
		{ SAMPLE_PROJECT, "not_tags = [\"*-rc*\"]", "not_tags = [\"*-rc*\", \"*-x\"]", "not_tags = [\"*-rc*\"]",
		    "carol", "excludes fewer tags" },
		{ SAMPLE_PROJECT, LIMIT, "branches = [\"main\"]", "branches = [\"main\", \"x\"]", "alice",
		    "takes more branches" },
		{ SAMPLE_PROJECT, LIMIT, "branches = [\"main\"]", "", "alice", "takes more branches" },
	};

	check_all(rows, G_N_ELEMENTS(rows));
}

static void another_source_is_a_right(void **state)
{
	autoptr(policy) before = sample_load(sample_files());
	autoptr(policy) now = with(SAMPLE_PROJECT, "https://git.example.org", "https://alice.example.org");

	widens(before, now, "alice", "projects/acme-widget.toml names another source, and alice has a part");
	widens(before, now, "dave", NULL);
}

static void a_weaker_quorum_is_a_right(void **state)
{
	static const struct weaker line_gone = { SAMPLE_PROJECT, QUORUM,
		"quorum = [{ of = [\"@developers\"], count = 2 }, { of = [\"dave\"], count = 1 }]", QUORUM, "alice",
		"weakens the quorum" };
	policy_files *files = sample_files();
	autoptr(policy) before = sample_load(sample_files());
	autoptr(policy) now = NULL;

	check(&line_gone);
	sample_replace(files, SAMPLE_KEY, "quorum = 2", "quorum = 1");
	sample_replace(files, SAMPLE_PROJECT, "count = 2", "count = 1");
	now = sample_load(files);
	widens(before, now, "carol", "weakens the quorum");
	widens(now, before, "carol", NULL);
}

static void a_line_open_to_more_is_a_weaker_quorum(void **state)
{
	autoptr(policy) narrow =
	    with(SAMPLE_PROJECT, QUORUM, "quorum = [{ of = [\"bob\"], count = 1 }, { of = [\"dave\"], count = 1 }]");
	autoptr(policy) open = with(SAMPLE_PROJECT, QUORUM,
	    "quorum = [{ of = [\"bob\", \"alice\"], count = 1 }, { of = [\"dave\"], count = 1 }]");

	widens(narrow, open, "bob", "weakens the quorum");
	widens(narrow, open, "alice", "makes alice an approver of policy \"release\"");
	widens(narrow, open, "carol", NULL);
	widens(open, narrow, "bob", NULL);
}

static void switches_of_a_policy_are_rights(void **state)
{
	static const struct weaker rows[] = {
		{ SAMPLE_PROJECT, LIMIT, "self_approval = false", "self_approval = true", "carol",
		    "turns self_approval on" },
		{ SAMPLE_PROJECT, LIMIT, "hardware_keys = true", "hardware_keys = false", "carol",
		    "turns hardware_keys off" },
		{ SAMPLE_PROJECT, LIMIT, LIMIT, "approve_within = \"15d\"", "carol", "gives approvals more time" },
		{ SAMPLE_PROJECT, LIMIT, LIMIT, "", "carol", "gives approvals more time" },
		{ SAMPLE_PROJECT, LIMIT, "commits = \"signed\"", "commits = \"any\"", "alice",
		    "no longer asks for signed commits" },
		{ SAMPLE_PROJECT, "[\"approval\"]", "[\"tag\", \"approval\"]", "[\"approval\"]", "alice",
		    "takes a voucher out of pinned_by" },
		{ SAMPLE_PROJECT, LIMIT, "moved_tags = \"reject\"", "moved_tags = \"allow\"", "alice",
		    "allows moved tags" },
		{ SAMPLE_PROJECT, LIMIT, "resign = false", "resign = true", "alice", "turns resign on" },
		{ SAMPLE_PROJECT, "timestamp = false", "timestamp = true", "timestamp = false", "bob",
		    "turns the timestamp off" },
		{ SAMPLE_PROJECT, "timestamp = false", "scan = true", "scan = false", "bob", "turns the scan off" },
	};

	check_all(rows, G_N_ELEMENTS(rows));
}

static void more_that_is_signed_is_a_right(void **state)
{
	static const struct weaker rows[] = {
		{ SAMPLE_PROJECT, "sign = \"openpgp\"", "sign = \"openpgp\"", "sign = [\"openpgp\", \"cms\"]", "alice",
		    "has more signed" },
		{ SAMPLE_PROJECT, "sign = \"openpgp\"\n", "sign = \"openpgp\"\n",
		    "sign = \"openpgp\"\n[[policy.artifact]]\nname = \"b\"\nfetch = \"b\"\nsign = \"cms\"\n", "carol",
		    "has more signed" },
	};
	autoptr(policy) before = sample_load(sample_files());
	autoptr(policy) now = with(SAMPLE_PROJECT, "type = \"zip\"", "type = \"raw\"");

	check_all(rows, G_N_ELEMENTS(rows));
	widens(before, now, "alice", "has more signed");
}

static void another_or_a_looser_key_is_a_right(void **state)
{
	static const struct weaker rows[] = {
		{ SAMPLE_KEY, REQUIRE, REQUIRE,
		    "require = { quorum = 1, timestamp = true, scan = true, max_database_age = \"2d\" }", "alice",
		    "keys/release-2026.toml requires fewer approvals, and alice has a part in policy \"release\"" },
		{ SAMPLE_KEY, "timestamp = true", "timestamp = true", "timestamp = false", "carol",
		    "no longer requires a timestamp" },
		{ SAMPLE_KEY, "scan = true", "scan = true", "scan = false", "carol", "no longer requires a scan" },
		{ SAMPLE_KEY, "\"2d\"", "\"2d\"", "\"3d\"", "carol", "takes an older malware database" },
		{ SAMPLE_KEY, BUDGET, BUDGET, "budget = { projects = 2, signatures = 5000, days = 460 }", "carol",
		    "has a larger budget" },
		{ SAMPLE_KEY, BUDGET, BUDGET, "budget = { projects = 1, days = 460 }", "carol", "has a larger budget" },
		{ SAMPLE_KEY, BUDGET, BUDGET, "budget = { projects = 1, signatures = 5000, days = 461 }", "carol",
		    "has a larger budget" },
		{ SAMPLE_KEY, "[\"SoftHSM*\"]", "[\"SoftHSM*\"]", "[\"SoftHSM*\", \"Luna*\"]", "carol",
		    "may be held by more modules" },
		{ SAMPLE_KEY, "[\"SoftHSM*\"]", "[\"SoftHSM*\"]", "[]", "carol", "may be held by more modules" },
	};
	autoptr(policy) before = sample_load(sample_files());
	autoptr(policy) now = with("keys/test.toml", "test-key", "other-key");

	check_all(rows, G_N_ELEMENTS(rows));
	widens(before, now, "bob", "keys/test.toml names another private key (label)");
	widens(before, now, "carol", NULL); /* has no part in the policy that uses it */
}

static void another_key_is_a_right(void **state)
{
	policy_files *files = sample_files(), *same = sample_files();
	autoptr(policy) before = NULL;
	autoptr(policy) now = NULL;

	g_hash_table_insert(files, g_strdup("keys/other.toml"), g_bytes_ref(g_hash_table_lookup(files, SAMPLE_KEY)));
	g_hash_table_insert(same, g_strdup("keys/other.toml"), g_bytes_ref(g_hash_table_lookup(same, SAMPLE_KEY)));
	sample_replace(same, SAMPLE_PROJECT, "key = \"release-2026\"", "key = \"other\"");
	before = sample_load(files);
	now = sample_load(same);
	widens(before, now, "alice", "uses another key, and alice has a part");
	widens(before, now, "dave", NULL);
}

static void a_place_is_a_right(void **state)
{
	autoptr(policy) before = sample_load(sample_files());
	autoptr(policy) tagger = with(SAMPLE_PROJECT, "[\"@release-managers\"]", "[\"@release-managers\", \"bob\"]");
	autoptr(policy) approver =
	    with(SAMPLE_PROJECT, "count = 2 }]", "count = 2 }, { of = [\"@security\"], count = 1 }]");

	/* bob tags tests already: it is another policy that he becomes a tagger of. */
	widens(before, tagger, "bob", "projects/acme-widget.toml:5 makes bob a tagger of policy \"release\"");
	widens(before, tagger, "alice", NULL);
	widens(tagger, before, "bob", NULL);
	/* carol counts in a second line. */
	widens(before, approver, "carol", "projects/acme-widget.toml:5 makes carol an approver of policy \"release\"");
	widens(before, approver, "bob", NULL);
}

static void a_place_in_a_new_project_is_a_right(void **state)
{
	autoptr(policy) before = sample_load(sample_files());
	autoptr(policy) now = with(SAMPLE_PROJECT, "\"acme/widget\"", "\"acme/gadget\"");

	widens(before, now, "alice", "makes alice a tagger of policy \"release\"");
	widens(before, now, "carol", "makes carol an approver of policy \"release\"");
	widens(before, now, "dave", NULL);
}

static void a_lower_threshold_is_everybodys_right(void **state)
{
	autoptr(policy) before = sample_load(sample_files());
	autoptr(policy) now = with(SAMPLE_POLICY, "threshold = 2", "threshold = 1");

	widens(before, now, "dave", "policy.toml lowers the threshold");
	widens(now, before, "dave", NULL);
}

static void keys_and_groups_are_rights(void **state)
{
	g_autofree char *key = sample_ssh_key("alice-new"), *pub = g_strconcat(key, ".pub", NULL);
	g_autofree char *line = g_strstrip(support_read(pub));
	g_autofree char *more = g_strdup_printf("ssh = [\"%s\", ", line);
	autoptr(policy) before = sample_load(sample_files());
	autoptr(policy) with_key = with("people/alice.toml", "ssh = [", more);
	autoptr(policy) with_group = with("people/dave.toml", "groups = []", "groups = [\"developers\"]");

	widens(before, with_key, "alice", "people/alice.toml gives alice a key or group");
	widens(before, with_key, "carol", NULL);
	widens(with_key, before, "alice", NULL);
	widens(before, with_group, "dave", "people/dave.toml gives dave a key or group");
	widens(before, with_group, "alice", NULL);
	widens(with_group, before, "dave", NULL);
}

/* The sample, with alice's key revoked from `since` on ("": it never counted; NULL: not revoked). */
static struct policy *revoked_since(const char *since)
{
	policy_files *files = sample_files();
	g_autofree char *key = sample_ssh_key("alice"), *pub = g_strconcat(key, ".pub", NULL);
	g_autofree char *shown = support_must("ssh-keygen", "-lf", pub, NULL);
	g_auto(GStrv) words = g_strsplit(shown, " ", 3);
	g_autofree char *line = g_strdup_printf("key = \"%s\"\n", words[1]);
	g_autofree char *entry = since != NULL ? g_strconcat("\n[[revoked]]\n", line, since, NULL) : g_strdup("");
	GBytes *old = g_hash_table_lookup(files, "people/alice.toml");
	g_autofree char *text = g_strndup(g_bytes_get_data(old, NULL), g_bytes_get_size(old));
	g_autofree char *whole = g_strconcat(text, entry, NULL);

	sample_set(files, "people/alice.toml", whole);
	return sample_load(files);
}

static void a_revocation_taken_back_or_later_is_a_right(void **state)
{
	autoptr(policy) ever = revoked_since("");
	autoptr(policy) january = revoked_since("since = 2026-01-01T00:00:00Z\n");
	autoptr(policy) february = revoked_since("since = 2026-02-01T00:00:00Z\n");
	autoptr(policy) never = revoked_since(NULL);
	const struct policy *in_order[] = { ever, january, february, never };

	for (guint i = 1; i < G_N_ELEMENTS(in_order); i++) {
		widens(in_order[i - 1], in_order[i], "alice", "gives alice a key or group");
		widens(in_order[i], in_order[i - 1], "alice", NULL);
		widens(in_order[i - 1], in_order[i], "carol", NULL);
	}
}

static void an_x509_subject_or_other_roots_for_it_are_rights(void **state)
{
	policy_files *with_roots = sample_files(), *other_roots = sample_files();
	autoptr(policy) none = sample_load(sample_files());
	autoptr(policy) before = NULL;
	autoptr(policy) now = NULL;

	sample_replace(with_roots, "people/alice.toml",
	    "ssh = ", "x509 = [{ subject = \"alice@example.org\", roots = \"ca.pem\" }]\nssh = ");
	g_hash_table_insert(
	    with_roots, g_strdup("people/ca.pem"), g_bytes_ref(g_hash_table_lookup(with_roots, "keys/release.pem")));
	before = sample_load(with_roots);
	sample_replace(other_roots, "people/alice.toml",
	    "ssh = ", "x509 = [{ subject = \"alice@example.org\", roots = \"ca.pem\" }]\nssh = ");
	g_hash_table_insert(
	    other_roots, g_strdup("people/ca.pem"), g_bytes_ref(g_hash_table_lookup(other_roots, "keys/test.pem")));
	now = sample_load(other_roots);
	widens(none, before, "alice", "gives alice a key or group");
	widens(before, now, "alice", "gives alice a key or group");
	widens(before, before, "alice", NULL);
	widens(before, none, "alice", NULL);
}

/* A comment is no right; the options before a key are. */
static void a_comment_on_a_key_is_no_right(void **state)
{
	g_autofree char *key = sample_ssh_key("alice"), *pub = g_strconcat(key, ".pub", NULL);
	g_autofree char *line = g_strstrip(support_read(pub)), *noted = g_strconcat(line, " on the new laptop", NULL);
	autoptr(policy) before = sample_load(sample_files());
	autoptr(policy) now = with("people/alice.toml", line, noted);

	widens(before, now, "alice", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_and_branches_let_through_are_rights),
		cmocka_unit_test(another_source_is_a_right),
		cmocka_unit_test(a_weaker_quorum_is_a_right),
		cmocka_unit_test(a_line_open_to_more_is_a_weaker_quorum),
		cmocka_unit_test(switches_of_a_policy_are_rights),
		cmocka_unit_test(more_that_is_signed_is_a_right),
		cmocka_unit_test(another_or_a_looser_key_is_a_right),
		cmocka_unit_test(another_key_is_a_right),
		cmocka_unit_test(a_place_is_a_right),
		cmocka_unit_test(a_place_in_a_new_project_is_a_right),
		cmocka_unit_test(a_lower_threshold_is_everybodys_right),
		cmocka_unit_test(keys_and_groups_are_rights),
		cmocka_unit_test(a_revocation_taken_back_or_later_is_a_right),
		cmocka_unit_test(an_x509_subject_or_other_roots_for_it_are_rights),
		cmocka_unit_test(a_comment_on_a_key_is_no_right),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
