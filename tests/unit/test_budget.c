/* A key's budget: its days are over, or nearly; much of it is used. */
#include "server/budget.h"
#include "tests/unit/support_policy.h"

#define DAY INT64_C(86400000)
/* The sample's release certificate begins at 2026-11-24T10:25:48Z, and its key has 460 days and 5000 signatures. */
#define BEGIN (INT64_C(1795515948) * 1000)

static const struct policy_key *release(const struct policy *policy)
{
	return policy_key(policy, "release-2026");
}

static void days_count_from_where_the_certificate_begins(void **state)
{
	autoptr(policy) policy = sample_load(sample_files());
	g_autoptr(GError) error = NULL;

	assert_ok(budget_check_days(policy, release(policy), BEGIN - DAY, &error), error);
	assert_ok(budget_check_days(policy, release(policy), BEGIN + 460 * DAY - 1, &error), error);
	assert_refused(budget_check_days(policy, release(policy), BEGIN + 460 * DAY, &error), error,
	    "the key \"release-2026\" is 460 days old (its certificate begins at 2026-11-24T10:25:48.000Z), and its "
	    "budget is 460 "
	    "days (keys/release-2026.toml): make a new key");
	/* The test key has no budget. */
	g_clear_error(&error);
	assert_ok(budget_check_days(policy, policy_key(policy, "test"), BEGIN + 5000 * DAY, &error), error);
}

static void warned(const struct policy *policy, int64_t used, int64_t now, const char *first)
{
	g_auto(GStrv) lines = budget_warnings(policy, release(policy), used, now);

	if (first == NULL) {
		assert_null(lines[0]);
		return;
	}
	assert_non_null(lines[0]);
	assert_string_equal(lines[0], first);
	assert_null(lines[1]);
}

static void eighty_percent_are_warned_of(void **state)
{
	autoptr(policy) policy = sample_load(sample_files());

	warned(policy, 3999, BEGIN, NULL);
	warned(policy, 4000, BEGIN,
	    "the key \"release-2026\" has used 4000 of its budget of 5000 signatures (80 %, keys/release-2026.toml)");
	warned(policy, -1, BEGIN + 367 * DAY, NULL);
	warned(policy, -1, BEGIN + 368 * DAY,
	    "the key \"release-2026\" has used 368 of its budget of 460 days (80 %, keys/release-2026.toml)");
}

static void a_project_budget_of_several_is_warned_of(void **state)
{
	policy_files *files = sample_files();
	autoptr(policy) policy = NULL;

	g_hash_table_insert(
	    files, g_strdup("projects/gadget.toml"), g_bytes_ref(g_hash_table_lookup(files, SAMPLE_PROJECT)));
	sample_replace(files, "projects/gadget.toml", "acme/widget", "acme/gadget");
	sample_replace(files, SAMPLE_KEY, "projects = 1", "projects = 2");
	policy = sample_load(files);
	warned(policy, 0, BEGIN,
	    "the key \"release-2026\" has used 2 of its budget of 2 projects (100 %, keys/release-2026.toml)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_count_from_where_the_certificate_begins),
		cmocka_unit_test(eighty_percent_are_warned_of),
		cmocka_unit_test(a_project_budget_of_several_is_warned_of),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
