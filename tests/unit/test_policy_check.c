/* `tagseal policy check`: every mistake in one run, and warnings about what is good and probably not meant. */
#include <string.h>

#include "server/policy_lint.h"
#include "tests/unit/support_policy.h"

#define DAY INT64_C(86400000)
/* The sample's certificates begin at 2026-11-24T10:25:48Z and last ten years. */
#define BEGIN (INT64_C(1795515948) * 1000)

/* The files below a folder. Caller frees. */
static char *written(policy_files *files)
{
	static guint number;
	g_autofree char *name = g_strdup_printf("checked-%u", ++number);
	char *folder = support_folder(name);
	GHashTableIter all;
	gpointer path, bytes;

	g_hash_table_iter_init(&all, files);
	while (g_hash_table_iter_next(&all, &path, &bytes)) {
		g_autofree char *full = g_build_filename(folder, path, NULL), *parent = g_path_get_dirname(full);

		assert_int_equal(g_mkdir_with_parents(parent, 0755), 0);
		support_write_bytes(full, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	}
	g_hash_table_unref(files);
	return folder;
}

static struct run *check(const char *folder, const char *option)
{
	g_autofree char *tagseal = support_program("tagseal");

	return support_run(tagseal, "policy", "check", folder, option, NULL);
}

/* The only warning. `change` NULL: there is none. */
static void warned_at(int64_t now, const char *path, const char *from, const char *to, const char *warning)
{
	policy_files *files = sample_files();
	autoptr(policy) policy = NULL;
	g_auto(GStrv) lines = NULL;

	if (from != NULL)
		sample_replace(files, path, from, to);
	policy = sample_load(files);
	lines = policy_lint(policy, now);
	if (warning == NULL && lines[0] != NULL)
		fail_msg("nothing should be warned of: %s", lines[0]);
	if (warning == NULL)
		return;
	if (lines[0] == NULL)
		fail_msg("nothing is warned of, and should be: %s", warning);
	assert_string_equal(lines[0], warning);
	if (lines[1] != NULL)
		fail_msg("a second warning: %s", lines[1]);
}

static void warned(const char *path, const char *from, const char *to, const char *warning)
{
	warned_at(BEGIN + DAY, path, from, to, warning);
}

static void a_good_policy_has_no_warnings(void **state)
{
	warned(NULL, NULL, NULL, NULL);
}

static void every_mistake_is_told_in_one_run(void **state)
{
	policy_files *files = sample_files();
	g_autofree char *folder = NULL;
	autoptr(run) run = NULL;

	sample_replace(files, "people/bob.toml", "groups", "gruops");
	sample_replace(files, "people/dave.toml", "name = ", "nmae = ");
	sample_replace(files, SAMPLE_KEY, "budget", "bugdet");
	folder = written(files);
	run = check(folder, NULL);
	assert_int_equal(run->status, 1);
	assert_string_equal(run->out, "");
	assert_string_equal(run->err,
	    "tagseal: people/bob.toml:3:1: unknown key \"gruops\"; did you mean \"groups\"?\n"
	    "tagseal: people/dave.toml:1:1: unknown key \"nmae\"; did you mean \"name\"?\n"
	    "tagseal: keys/release-2026.toml:4:1: unknown key \"bugdet\"; did you mean \"budget\"?\n");
}

/* A project is not blamed for people who could not be read; once they can be, its own mistake is told. */
static void a_mistake_is_told_once(void **state)
{
	policy_files *files = sample_files();
	g_autofree char *first = NULL, *second = NULL;
	autoptr(run) people = NULL;
	autoptr(run) projects = NULL;

	sample_replace(files, SAMPLE_PROJECT, "taggers", "tagers");
	second = written(g_hash_table_ref(files));
	sample_replace(files, "people/carol.toml", "groups", "gruops");
	first = written(files);
	people = check(first, NULL);
	projects = check(second, "--json");
	assert_string_equal(
	    people->err, "tagseal: people/carol.toml:3:1: unknown key \"gruops\"; did you mean \"groups\"?\n");
	assert_int_equal(projects->status, 1);
	assert_contains(projects->out, "\"good\": false");
	assert_contains(projects->err, "projects/acme-widget.toml:9:1: unknown key \"tagers\"");
}

static void a_folder_that_is_no_policy_is_told_at_once(void **state)
{
	autoptr(run) run = check("/usr", NULL);
	autoptr(run) nowhere = check("/nonexistent", NULL);

	assert_int_equal(run->status, 1);
	assert_string_equal(run->err, "tagseal: /usr is no policy: there is no policy.toml in it, which names the "
				      "maintainers and the threshold\n");
	assert_int_equal(nowhere->status, 3);
}

static void warnings_leave_a_policy_good(void **state)
{
	policy_files *files = sample_files();
	g_autofree char *folder = NULL;
	autoptr(run) run = NULL;
	autoptr(run) json = NULL;

	sample_replace(files, SAMPLE_PROJECT, "\"v[0-9]*\"", "\"refs/tags/v*\"");
	folder = written(files);
	run = check(folder, NULL);
	json = check(folder, "--json");
	assert_int_equal(run->status, 0);
	assert_true(g_str_has_prefix(run->out, "good\n"));
	assert_contains(run->err,
	    "tagseal: warning: projects/acme-widget.toml:5: the pattern \"refs/tags/v*\" of tags matches "
	    "nothing: it is held against the name alone, without refs/tags/ or refs/heads/\n");
	assert_int_equal(json->status, 0);
	assert_contains(json->out, "\"warnings\": [");
	assert_contains(json->out, "matches nothing");
}

static void patterns_that_match_nothing_sensible_are_warned_of(void **state)
{
	warned(SAMPLE_PROJECT, "\"v[0-9]*\"", "\"v1.0\"",
	    "projects/acme-widget.toml:5: the pattern \"v1.0\" of tags matches one tag alone");
	warned(SAMPLE_PROJECT, "\"v[0-9]*\"", "\"v 1*\"",
	    "projects/acme-widget.toml:5: the pattern \"v 1*\" of tags matches nothing: git allows no such name");
	warned(SAMPLE_PROJECT, "approve_within = \"14d\"", "branches = [\"main\", \"origin/main\"]",
	    "projects/acme-widget.toml:5: the pattern \"origin/main\" of branches matches nothing: it is held against "
	    "the "
	    "source's own branches, which have no origin/ before them");
	warned(SAMPLE_PROJECT, "not_tags = [\"*-rc*\"]", "", NULL); /* they overlap, but by no pattern that stands in both */
	warned(SAMPLE_PROJECT, "tags = [\"v[0-9]*\"]\nnot_tags = [\"*-rc*\"]", "tags = [\"*-rc*\"]",
	    "projects/acme-widget.toml:20: the pattern \"*-rc*\" stands in policy \"release\" too: a tag that it "
	    "matches is "
	    "refused");
}

static void a_quorum_that_cannot_be_met_is_warned_of(void **state)
{
	warned(SAMPLE_PROJECT, "taggers = [\"@release-managers\"]",
	    "taggers = [\"bob\"]", "projects/acme-widget.toml:5: a tag by bob can never be approved: it needs 2 of @developers, and 1 could approve it");
	warned(SAMPLE_PROJECT, "taggers = [\"@release-managers\"]", "taggers = [\"bob\"]\nself_approval = true", NULL);
	warned(SAMPLE_PROJECT, "approve_within = \"14d\"", "hardware_keys = true",
	    "projects/acme-widget.toml:5: a tag by alice can never be approved: it needs 2 of @developers, and 0 could "
	    "approve "
	    "it with a hardware key");
}

static void people_without_keys_are_warned_of(void **state)
{
	policy_files *files = sample_files();
	autoptr(policy) policy = NULL;
	g_auto(GStrv) lines = NULL;

	sample_set(files, "people/dave.toml", "name = \"Dave\"\n");
	sample_replace(files, SAMPLE_POLICY, "threshold = 2", "threshold = 3");
	policy = sample_load(files);
	lines = policy_lint(policy, BEGIN + DAY);
	assert_int_equal(g_strv_length(lines), 2);
	assert_string_equal(lines[0],
	    "policy.toml: only 2 of the maintainers have a key, and a change needs 3: nothing could ever be changed");
	assert_string_equal(lines[1], "people/dave.toml: dave has no key: nothing that comes from dave counts");
}

static void keys_are_looked_over(void **state)
{
	policy_files *files = sample_files();
	autoptr(policy) policy = NULL;
	g_auto(GStrv) lines = NULL;

	sample_set(files, "keys/spare.toml", "purpose = \"release\"\n");
	sample_set(files, "keys/note", "-----BEGIN PRIVATE KEY-----\n");
	policy = sample_load(files);
	lines = policy_lint(policy, BEGIN + DAY);
	assert_int_equal(g_strv_length(lines), 3);
	assert_string_equal(lines[0], "keys/spare.toml: no policy uses this key");
	assert_string_equal(
	    lines[1], "keys/spare.toml: it names neither a chain nor an openpgp file: nothing can be signed with it");
	assert_string_equal(lines[2], "keys/note holds a private key: everybody who can read the policy has it");
}

static char **lint_at(int64_t now)
{
	autoptr(policy) policy = sample_load(sample_files());

	return policy_lint(policy, now);
}

static void certificates_and_budgets_that_end_are_warned_of(void **state)
{
	g_auto(GStrv) early = lint_at(BEGIN - DAY), soon = lint_at(BEGIN + 3640 * DAY),
		      late = lint_at(BEGIN + 3651 * DAY);

	assert_contains(early[0], "keys/release.pem: the certificate of CN=Release CA is not valid yet");
	assert_contains(early[1], "keys/test.pem: the certificate of CN=Test CA is not valid yet");
	assert_contains(soon[0],
	    "keys/release.pem: the certificate of CN=Release CA ends at 2036-11-21T10:25:48.000Z, within 30 days");
	assert_contains(soon[1], "and its budget is 460 days");
	assert_contains(late[0], "ended at 2036-11-21T10:25:48.000Z: nothing that it signs now counts");
	warned_at(BEGIN + 400 * DAY, NULL, NULL, NULL,
	    "keys/release-2026.toml: the key \"release-2026\" has used 400 of its budget of 460 days (86 %, "
	    "keys/release-2026.toml)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_policy_has_no_warnings),
		cmocka_unit_test(every_mistake_is_told_in_one_run),
		cmocka_unit_test(a_mistake_is_told_once),
		cmocka_unit_test(a_folder_that_is_no_policy_is_told_at_once),
		cmocka_unit_test(warnings_leave_a_policy_good),
		cmocka_unit_test(patterns_that_match_nothing_sensible_are_warned_of),
		cmocka_unit_test(a_quorum_that_cannot_be_met_is_warned_of),
		cmocka_unit_test(people_without_keys_are_warned_of),
		cmocka_unit_test(keys_are_looked_over),
		cmocka_unit_test(certificates_and_budgets_that_end_are_warned_of),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
