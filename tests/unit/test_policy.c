/* One policy version: read whole, or refused whole with file, line and column. */
#include "tests/unit/support_policy.h"

#include <string.h>

static void refused(policy_files *files, const char *sentence)
{
	g_autoptr(GError) error = NULL;
	autoptr(policy) policy = policy_load(files, &error);

	g_hash_table_unref(files);
	if (policy != NULL)
		fail_msg("it was taken, and should be refused: %s", sentence);
	assert_true(g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED));
	assert_string_equal(error->message, sentence);
}

/* The sample with one change in a file. */
static void change_refused(const char *path, const char *from, const char *to, const char *sentence)
{
	policy_files *files = sample_files();

	sample_replace(files, path, from, to);
	refused(files, sentence);
}

static void project_refused(const char *from, const char *to, const char *sentence)
{
	g_autofree char *whole = g_strconcat(SAMPLE_PROJECT ":", sentence, NULL);

	change_refused(SAMPLE_PROJECT, from, to, whole);
}

static void a_good_policy_is_read_whole(void **state)
{
	autoptr(policy) policy = sample_load(sample_files());
	const struct policy_project *project = policy_project(policy, "acme/widget");
	const struct policy_rule *rule;

	(void)state;
	assert_int_equal(policy_project_count(policy), 1);
	assert_non_null(project);
	assert_string_equal(project->source, "https://git.example.org/acme/widget.git");
	assert_string_equal(project->approvals_ref, "refs/heads/tagseal/approvals");
	assert_null(project->approvals_url);
	assert_string_equal(project->hooks[0], "acme/widget");
	assert_int_equal(project->rule_count, 2);
	rule = &project->rules[0];
	assert_string_equal(rule->name, "release");
	assert_int_equal(rule->quorum_count, 1);
	assert_int_equal(rule->quorum[0].count, 2);
	assert_int_equal(rule->approve_within, INT64_C(14) * 24 * 3600 * 1000);
	assert_false(rule->self_approval || rule->hardware_keys || rule->resign);
	assert_true(rule->timestamp && rule->scan);
	assert_string_equal(rule->moved_tags, "reject");
	assert_string_equal(rule->commits, "any");
	assert_string_equal(rule->artifacts[0].type, "zip");
	assert_string_equal(rule->artifacts[0].sign[0], "openpgp");
	assert_true(rule->artifacts[0].max_size == UINT64_C(500) << 20);
	assert_string_equal(project->rules[1].artifacts[0].type, "raw");
	assert_int_equal(g_strv_length(project->rules[1].artifacts[0].sign), 2);
}

static void a_key_is_read_with_what_it_requires(void **state)
{
	autoptr(policy) policy = sample_load(sample_files());
	const struct policy_key *key = policy_key(policy, "release-2026");

	(void)state;
	assert_non_null(key);
	assert_string_equal(key->label, "release-2026");
	assert_string_equal(key->chain, "release.pem");
	assert_int_equal(key->require_quorum, 2);
	assert_int_equal(key->require_max_database_age, INT64_C(2) * 24 * 3600 * 1000);
	assert_int_equal(key->budget_signatures, 5000);
	assert_string_equal(key->modules[0], "SoftHSM*");
	assert_string_equal(policy_key(policy, "test")->label, "test-key");
	assert_null(policy_key(policy, "other"));
	assert_non_null(policy_file(policy, "keys/release.pem"));
	assert_null(policy_file(policy, "keys/other.pem"));
}

static void maintainers_are_each_person_once(void **state)
{
	policy_files *files = sample_files();
	autoptr(policy) policy = NULL;

	(void)state;
	sample_replace(files, SAMPLE_POLICY, "\"alice\", \"carol\", \"dave\"", "\"carol\", \"@developers\", \"alice\"");
	policy = sample_load(files);
	assert_int_equal(g_strv_length((char **)policy_maintainers(policy)), 3);
	assert_string_equal(policy_maintainers(policy)[0], "alice");
	assert_string_equal(policy_maintainers(policy)[1], "bob");
	assert_int_equal(policy_threshold(policy), 2);
}

static void sign_no_means_no_format(void **state)
{
	policy_files *files = sample_files();
	autoptr(policy) policy = NULL;

	(void)state;
	sample_replace(files, SAMPLE_PROJECT, "sign = \"openpgp\"", "sign = \"no\"\nmax_size = \"2G\"");
	policy = sample_load(files);
	assert_null(policy_project_at(policy, 0)->rules[0].artifacts[0].sign[0]);
	assert_true(policy_project_at(policy, 0)->rules[0].artifacts[0].max_size == UINT64_C(2) << 30);
}

static void an_unknown_key_names_its_place_and_the_nearest(void **state)
{
	(void)state;
	change_refused(SAMPLE_POLICY, "threshold", "treshold",
	    "policy.toml:2:1: unknown key \"treshold\"; did you mean \"threshold\"?");
	project_refused("taggers", "tagers", "9:1: unknown key \"tagers\"; did you mean \"taggers\"?");
	project_refused("count = 2", "cuont = 2", "10:35: unknown key \"cuont\"; did you mean \"count\"?");
	project_refused("fetch", "fech", "17:1: unknown key \"fech\"; did you mean \"fetch\"?");
	project_refused("hooks = [\"acme/widget\"]", "approvals = { rfe = \"refs/heads/a\" }",
	    "3:15: unknown key \"rfe\"; did you mean \"ref\"?");
	change_refused(
	    SAMPLE_KEY, "scan = true", "scna = true", SAMPLE_KEY ":3:43: unknown key \"scna\"; did you mean \"scan\"?");
	change_refused(SAMPLE_KEY, "days", "dyas", SAMPLE_KEY ":4:45: unknown key \"dyas\"; did you mean \"days\"?");
}

static void a_wrong_type_is_refused(void **state)
{
	(void)state;
	change_refused(
	    SAMPLE_POLICY, "threshold = 2", "threshold = true", "policy.toml:2:1: \"threshold\" must be an integer");
	change_refused(
	    SAMPLE_POLICY, "threshold = 2", "threshold = \"2\"", "policy.toml:2:1: \"threshold\" must be an integer");
	project_refused("count = 2", "count = true", "10:35: \"count\" must be an integer");
	project_refused("timestamp = false", "timestamp = 0", "29:1: \"timestamp\" must be true or false");
	project_refused("[\"v[0-9]*\"]", "\"v[0-9]*\"", "7:1: \"tags\" must be an array of strings");
	project_refused(
	    "sign = \"openpgp\"", "sign = true", "19:1: sign must be a format's name, a list of them, or \"no\"");
	project_refused("quorum = [{ of = [\"@developers\"], count = 2 }]", "quorum = 2",
	    "10:1: quorum must be an array of tables");
	change_refused(SAMPLE_KEY, "require = { quorum = 2, timestamp = true, scan = true, max_database_age = \"2d\" }",
	    "require = 2", SAMPLE_KEY ":3:1: require must be a table");
}

static void a_missing_file_or_field_is_refused(void **state)
{
	policy_files *files = sample_files();

	(void)state;
	g_hash_table_remove(files, SAMPLE_POLICY);
	refused(files, "policy.toml is missing: it names the maintainers and the threshold");
	project_refused("pinned_by = [\"approval\"]\n", "", "5:1: [[policy]]: \"pinned_by\" is missing");
	change_refused(SAMPLE_KEY, "release.pem", "other.pem",
	    SAMPLE_KEY ":2:1: chain names \"other.pem\", but there is no file keys/other.pem");
}

static void a_project_that_two_files_name_is_refused(void **state)
{
	policy_files *files = sample_files();
	GBytes *text = g_hash_table_lookup(files, SAMPLE_PROJECT);

	(void)state;
	g_hash_table_insert(files, g_strdup("projects/zzz.toml"), g_bytes_ref(text));
	refused(files, "projects/zzz.toml: the project \"acme/widget\" stands in projects/acme-widget.toml already");
}

static void a_key_used_by_more_projects_than_its_budget_is_refused(void **state)
{
	policy_files *files = sample_files();
	autoptr(policy) policy = NULL;

	(void)state;
	g_hash_table_insert(
	    files, g_strdup("projects/gadget.toml"), g_bytes_ref(g_hash_table_lookup(files, SAMPLE_PROJECT)));
	sample_replace(files, "projects/gadget.toml", "acme/widget", "acme/gadget");
	refused(g_hash_table_ref(files), SAMPLE_KEY
	    ":4: the key \"release-2026\" has a budget of 1 project, and 2 use it: acme/widget, acme/gadget; give "
	    "one of them a key of its own");
	sample_replace(files, SAMPLE_KEY, "projects = 1", "projects = 2");
	policy = sample_load(files);
	assert_int_equal(policy_key_projects(policy, policy_key(policy, "release-2026"), NULL), 2);
	assert_int_equal(policy_key_projects(policy, policy_key(policy, "test"), NULL), 2);
}

static void a_file_too_deep_to_be_read_is_refused(void **state)
{
	policy_files *files = sample_files();

	(void)state;
	sample_set(files, "projects/old/widget.toml", "name = \"x\"\n");
	refused(files, "projects/old/widget.toml: a file of this kind stands directly in projects/");
}

static void a_threshold_that_cannot_be_is_refused(void **state)
{
	(void)state;
	change_refused(SAMPLE_POLICY, "threshold = 2", "threshold = 4",
	    "policy.toml:2:1: threshold = 4 can never be met: there are 3 maintainers");
	change_refused(SAMPLE_POLICY, "threshold = 2", "threshold = 0", "policy.toml:2:1: threshold must be at least 1");
	change_refused(SAMPLE_POLICY, "\"alice\", \"carol\", \"dave\"", "\"alice\", \"alice\"",
	    "policy.toml:2:1: threshold = 2 can never be met: there is 1 maintainer");
}

static void people_who_are_not_there_are_refused(void **state)
{
	(void)state;
	change_refused(SAMPLE_POLICY, "\"dave\"", "\"erin\"",
	    "policy.toml:1:34: there is no person \"erin\": no file people/erin.toml");
	change_refused(
	    SAMPLE_POLICY, "[\"alice\", \"carol\", \"dave\"]", "[]", "policy.toml:1:1: this list of people is empty");
	project_refused("\"bob\"", "\"erin\"", "24:33: there is no person \"erin\": no file people/erin.toml");
	project_refused("@release-managers", "@managers", "9:12: nobody is in the group \"@managers\"");
	project_refused("@developers", "@devs", "10:19: nobody is in the group \"@devs\"");
	project_refused("count = 2", "count = 3", "10:35: count = 3 can never be met: the line lists 2 people");
}

static void a_rule_weaker_than_its_key_is_refused(void **state)
{
	(void)state;
	project_refused("count = 2",
	    "count = 1", "10:1: key \"release-2026\" requires 2 approvals (keys/release-2026.toml), and this quorum can be met by 1 person");
	project_refused("count = 2 }", "count = 1 }, { of = [\"@security\"], count = 1 }",
	    "10:1: key \"release-2026\" requires 2 approvals (keys/release-2026.toml), and this quorum can be met by "
	    "1 person");
	project_refused("approve_within = \"14d\"", "timestamp = false",
	    "11:1: key \"release-2026\" requires a timestamp (keys/release-2026.toml)");
	project_refused("approve_within = \"14d\"", "scan = false",
	    "11:1: key \"release-2026\" requires a malware scan (keys/release-2026.toml)");
}

/* The good twin of the case above: bob and dave are two people whichever way the lines are met. */
static void lines_without_a_person_in_common_add_up(void **state)
{
	policy_files *files = sample_files();
	autoptr(policy) policy = NULL;

	(void)state;
	sample_replace(files, SAMPLE_PROJECT, "count = 2 }", "count = 1 }, { of = [\"dave\"], count = 1 }");
	policy = sample_load(files);
	assert_int_equal(policy_project_at(policy, 0)->rules[0].quorum_count, 2);
}

static void a_key_that_is_not_there_or_of_another_purpose_is_refused(void **state)
{
	(void)state;
	project_refused("key = \"release-2026\"", "key = \"release-2025\"",
	    "12:1: there is no key \"release-2025\": no file keys/release-2025.toml");
	project_refused("purpose = \"release\"", "purpose = \"test\"",
	    "13:1: policy \"release\" is for test signing, but key \"release-2026\" is a release key "
	    "(keys/release-2026.toml)");
	project_refused("purpose = \"release\"", "purpose = \"relaese\"",
	    "13:1: \"purpose\" must be one of \"release\", \"test\", not \"relaese\"; did you mean \"release\"?");
}

static void a_test_key_under_the_release_authority_is_refused(void **state)
{
	policy_files *files = sample_files();

	(void)state;
	sample_replace(files, "keys/test.toml", "test.pem", "release.pem");
	refused(files, "keys/release-2026.toml and keys/test.toml are a release key and a test key under the same "
		       "certificate authority, "
		       "/CN=Release CA; they may share none");
	files = sample_files();
	sample_set(files, "keys/release.pem", "no certificate\n");
	refused(files, "keys/release.pem: not a chain of 1 to 16 X.509 certificates in PEM");
}

/* Under a second file's purpose and demands the key would serve tests, or owe less. */
static void a_private_key_that_two_files_name_is_refused(void **state)
{
	(void)state;
	change_refused("keys/test.toml", "test-key", "release-2026",
	    "keys/test.toml:1:1: the label \"release-2026\" stands in keys/release-2026.toml too; one private key has "
	    "one "
	    "file");
}

static void who_pins_must_be_said_and_possible(void **state)
{
	(void)state;
	project_refused("[\"approval\"]",
	    "[]", "14:1: pinned_by is empty: say who vouches for the artifacts' digests, \"tag\", \"approval\" or \"provenance\"");
	project_refused("pinned_by = [\"tag\"]", "pinned_by = [\"approval\"]",
	    "28:1: quorum = [] asks nobody to approve, so only the tag and provenance can vouch for the artifacts: "
	    "pinned_by = "
	    "[\"tag\"]");
	project_refused("[\"approval\"]", "[\"approval\", \"provenance\"]",
	    "5:1: pinned_by names \"provenance\", and no [policy.provenance] says who may sign it");
	project_refused("[\"approval\"]", "[\"hearsay\"]",
	    "14:14: pinned_by knows \"tag\", \"approval\" and \"provenance\", not \"hearsay\"");
}

static void artifacts_that_could_not_be_signed_are_refused(void **state)
{
	(void)state;
	project_refused("\"widget-{version}.zip\"", "\"widget-{verison}.zip\"",
	    "16:1: a pattern knows {tag}, {version}, {commit} and {project}; it has \"{verison}.zip\"");
	project_refused("\"widget-{version}.zip\"", "\"{project}.zip\"",
	    "16:1: an artifact's name is a plain file name, without folders, that does not begin with a dot; this one "
	    "comes "
	    "to \"acme/widget.zip\"");
	project_refused("\"zip\"", "\"zap\"",
	    "18:1: \"type\" must be one of \"pe\", \"msi\", \"cab\", \"cat\", \"script\", \"appx\", \"jar\", \"apk\", "
	    "\"nupkg\", "
	    "\"vsix\", \"rpm\", \"deb\", \"release\", \"zip\", \"tar\", \"oci\", \"elf\", \"kmod\", \"macho\", "
	    "\"xml\", "
	    "\"raw\", not \"zap\"; did you mean \"zip\"?");
	project_refused("[\"openpgp\", \"cms\"]", "[\"openpgp\", \"no\"]", "33:20: \"no\" stands alone: sign = \"no\"");
	project_refused("[\"openpgp\", \"cms\"]", "[]", "33:1: sign must be a format's name, a list of them, or \"no\"");
	project_refused(
	    "sign = \"openpgp\"\n", "sign = \"openpgp\"\n[[policy.artifact.inside]]\nmatch = \"*.exe\"\ntype = \"pe\"\nsign = \"authenticode\"\n",
	    "20:19: [[policy.artifact.inside]] (deep signing) is not supported by this version of tagseal");
	project_refused("sign = \"openpgp\"\n",
	    "sign = \"openpgp\"\n[[policy.artifact]]\nname = \"widget-{version}.zip\"\nfetch = \"x\"\nsign = \"no\"\n",
	    "20:1: two artifacts are named \"widget-{version}.zip\"");
}

static void names_and_lists_that_match_nothing_are_refused(void **state)
{
	(void)state;
	project_refused("[\"v[0-9]*\"]", "[]", "7:1: tags is empty: no tag would ever match this policy");
	project_refused(
	    "name = \"test\"", "name = \"release\"", "22:1: two policies of this project are named \"release\"");
	project_refused("name = \"acme/widget\"", "name = \"acme//widget\"",
	    "1:1: a name here begins with a letter or digit and has only letters, digits, \".\", \"_\", \"-\" and "
	    "single "
	    "slashes between parts");
	project_refused("hooks = [\"acme/widget\"]", "approvals = { ref = \"approvals\" }",
	    "3:15: \"approvals\" is not a full reference name (refs/heads/…)");
}

static void a_tag_comes_under_one_rule_none_or_is_refused(void **state)
{
	policy_files *files = sample_files();
	autoptr(policy) policy = NULL;
	const struct policy_project *project;
	const struct policy_rule *rule;
	g_autoptr(GError) error = NULL;

	(void)state;
	sample_replace(files, SAMPLE_PROJECT, "\"*-rc*\"]\ntaggers = [\"@release-managers\", \"bob\"]",
	    "\"*-rc*\", \"v9*\"]\ntaggers = [\"bob\"]");
	policy = sample_load(files);
	project = policy_project_at(policy, 0);
	assert_ok(policy_match(project, "v1.2.0", &rule, &error), error);
	assert_string_equal(rule->name, "release");
	assert_ok(policy_match(project, "v1.2.0-rc1", &rule, &error), error);
	assert_string_equal(rule->name, "test");
	assert_ok(policy_match(project, "nightly", &rule, &error), error);
	assert_null(rule);
	assert_refused(policy_match(project, "v9.0", &rule, &error), error,
	    "two policies match the tag \"v9.0\": \"release\" (projects/acme-widget.toml:5) and \"test\" "
	    "(projects/acme-widget.toml:21); one of them must exclude it with not_tags");
}

static void patterns_are_filled_in(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *name = policy_expand("{project}/{tag}-{version}@{commit}", "a/b", "v1.2", "c0ffee", &error);
	g_autofree char *plain = policy_expand("{version}", "a", "1.2", "c", &error);

	(void)state;
	assert_string_equal(name, "a/b/v1.2-1.2@c0ffee");
	assert_string_equal(plain, "1.2");
	assert_refused(policy_expand("x}", "a", "1", "c", &error), error, "it has \"}\"");
	assert_refused(policy_expand("{tag", "a", "1", "c", &error), error, "it has \"{tag\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_policy_is_read_whole),
		cmocka_unit_test(a_key_is_read_with_what_it_requires),
		cmocka_unit_test(maintainers_are_each_person_once),
		cmocka_unit_test(sign_no_means_no_format),
		cmocka_unit_test(an_unknown_key_names_its_place_and_the_nearest),
		cmocka_unit_test(a_wrong_type_is_refused),
		cmocka_unit_test(a_missing_file_or_field_is_refused),
		cmocka_unit_test(a_project_that_two_files_name_is_refused),
		cmocka_unit_test(a_key_used_by_more_projects_than_its_budget_is_refused),
		cmocka_unit_test(a_file_too_deep_to_be_read_is_refused),
		cmocka_unit_test(a_threshold_that_cannot_be_is_refused),
		cmocka_unit_test(people_who_are_not_there_are_refused),
		cmocka_unit_test(a_rule_weaker_than_its_key_is_refused),
		cmocka_unit_test(lines_without_a_person_in_common_add_up),
		cmocka_unit_test(a_key_that_is_not_there_or_of_another_purpose_is_refused),
		cmocka_unit_test(a_test_key_under_the_release_authority_is_refused),
		cmocka_unit_test(a_private_key_that_two_files_name_is_refused),
		cmocka_unit_test(who_pins_must_be_said_and_possible),
		cmocka_unit_test(artifacts_that_could_not_be_signed_are_refused),
		cmocka_unit_test(names_and_lists_that_match_nothing_are_refused),
		cmocka_unit_test(a_tag_comes_under_one_rule_none_or_is_refused),
		cmocka_unit_test(patterns_are_filled_in),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
