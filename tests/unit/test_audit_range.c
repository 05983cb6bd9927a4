/* What the auditor and judge make of a release's range: the good one, and each of its forged twins. */
#include <string.h>

#include "gitops/audit_private.h"
#include "gitops/range.h"
#include "gitops/record.h"
#include "server/judge.h"
#include "tests/unit/support_audit.h"
#include "tests/unit/support_trust.h"

#define RELEASED "01JDZX00000000000000000001"
#define THIS "01JDZX00000000000000000002"

static struct policy *policy;
static char *base, *good_tip, *bad_tip;

/* alice's release `base`; bob's signed commit on it, `good`; and an unsigned one below carol's, `bad`. */
static int setup(void **state)
{
	static const char *const persons[] = { "alice", "bob", "carol", "dave" };
	static const char *const identity[] = { "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME",
		"GIT_COMMITTER_EMAIL" };
	policy_files *files = sample_files();
	int status = trust_setup(state);

	for (size_t i = 0; i < G_N_ELEMENTS(persons); i++)
		g_free(sample_ssh_key(persons[i]));
	sample_replace(files, SAMPLE_PROJECT, "taggers", "commits = \"signed\"\ntaggers");
	policy = sample_load(files);
	trust_run(
	    "as() { who=$1; shift; git -c gpg.format=ssh -c user.signingkey=$TRUST/ssh-$who -c user.name=$who "
	    "-c user.email=$who@example.org \"$@\"; }\n"
	    "git init -q -b main repo; cd repo; as alice commit -q -S --allow-empty -m First; git tag base\n"
	    "as bob commit -q -S --allow-empty -m Second; git tag good; git checkout -q base\n"
	    "as bob commit -q --allow-empty -m Unsigned; as carol commit -q -S --allow-empty -m Cover; git tag bad");
	base = trust_text("git -C repo rev-parse base");
	good_tip = trust_text("git -C repo rev-parse good");
	bad_tip = trust_text("git -C repo rev-parse bad");
	for (size_t i = 0; i < G_N_ELEMENTS(identity); i++) /* of the logs that are made below */
		g_setenv(identity[i], "auditor@example.org", TRUE);
	return status;
}

static int teardown(void **state)
{
	policy_unref(policy);
	g_free(base);
	g_free(good_tip);
	g_free(bad_tip);
	return trust_teardown(state);
}

static const struct policy_rule *rule_named(const char *name)
{
	const struct policy_project *project = policy_project(policy, "acme/widget");

	for (guint i = 0; i < project->rule_count; i++)
		if (g_str_equal(project->rules[i].name, name))
			return &project->rules[i];
	fail_msg("there is no rule %s", name);
	return NULL;
}

static struct range *range_of(const char *since, const char *tip)
{
	g_autoptr(GError) error = NULL;
	struct range *range = range_read("repo", since, tip, &error);

	assert_ok(range, error);
	return range;
}

/* ---- the auditor ---- */

struct auditor {
	struct audit audit;
	struct audit_options options;
	struct audit_result result;
	GString *findings;
	struct json *record;
	GHashTable *files;
};

static void on_finding(const char *line, void *data)
{
	g_string_append_printf(data, "%s\n", line);
}

static struct json *record_of(const char *id, const char *commit)
{
	struct json *record = record_new(id, "acme/widget", "v1.2.0"), *source = json_object_new();

	json_set_string(source, "tag_object", commit);
	json_set_string(source, "commit", commit);
	json_set(record, "source", source);
	record_end(record, "signed", GATE_TIMESTAMP, NULL);
	return record;
}

static void set_file(struct auditor *a, const char *name, GBytes *bytes)
{
	g_hash_table_insert(a->files, g_strdup(name), g_bytes_ref(bytes));
}

/* The log shows the release of `base`; the record says what the server would say of that range. */
static struct auditor *auditor_new(const char *tip)
{
	struct auditor *a = g_new0(struct auditor, 1);
	autoptr(range) range = range_of(base, tip);
	autoptr(json) released = record_of(RELEASED, base);
	g_autofree char *section =
	    g_strdup_printf("{\"base\":{\"commit\":\"%s\",\"record\":\"" RELEASED "\",\"tag\":\"v1.1.0\"},"
			    "\"commits\":%u,\"complete\":true,\"sha256\":\"%s\"}",
		base, range->ids->len, range->sha256);

	a->findings = g_string_new(NULL);
	a->options = (struct audit_options){ .finding = on_finding, .data = a->findings };
	a->audit = (struct audit){ .options = &a->options, .result = &a->result, .releases = audit_releases_new() };
	a->record = record_of(THIS, tip);
	json_set(json_get(a->record, "source"), "range", json_parse(section, strlen(section), JSON_STRICT, NULL));
	a->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	set_file(a, "range.json", range->bytes);
	set_file(a, "range-commits", range->proof);
	audit_note_release(&a->audit, released, rule_named("release"));
	return a;
}

static void auditor_free(struct auditor *a)
{
	g_hash_table_unref(a->audit.releases);
	g_hash_table_unref(a->files);
	g_string_free(a->findings, TRUE);
	json_unref(a->record);
	g_free(a);
}
DEFINE_CLEANUP(auditor, auditor_free)

static void audit(struct auditor *a)
{
	const struct request request = { .policy = policy, .tag_first_seen_ms = time_now_ms() };
	g_autoptr(GError) error = NULL;

	assert_ok(record_check(a->record, &error), error);
	audit_range(&a->audit, a->record, a->files, &request, rule_named("release"));
}

static void finds_bad(struct auditor *a, const char *words)
{
	audit(a);
	assert_contains(a->findings->str, "bad: ");
	assert_contains(a->findings->str, words);
}

static struct json *section_of(struct auditor *a)
{
	return json_path(a->record, "source.range");
}

static void a_good_range_is_good(void **state)
{
	autoptr(auditor) a = auditor_new(good_tip);

	audit(a);
	assert_string_equal(a->findings->str, "");
}

static void an_unsigned_commit_in_it_is_found(void **state)
{
	autoptr(auditor) a = auditor_new(bad_tip);

	finds_bad(a, "its policy wants signed commits: 1 commit since");
}

static void another_report_than_the_records_is_bad(void **state)
{
	autoptr(auditor) a = auditor_new(good_tip);
	autoptr(range) other = range_of(base, bad_tip);

	set_file(a, "range.json", other->bytes);
	finds_bad(a, "its evidence \"range.json\" is not what the record has the digest of");
}

static void a_report_about_another_commit_is_bad(void **state)
{
	autoptr(auditor) a = auditor_new(good_tip);
	autoptr(range) other = range_of(base, bad_tip);

	set_file(a, "range.json", other->bytes);
	json_set_string(section_of(a), "sha256", other->sha256);
	finds_bad(a, "its range report is about other commits than the record");
}

static void a_report_that_was_cut_cannot_pass_for_a_whole_one(void **state)
{
	autoptr(auditor) a = auditor_new(good_tip);

	json_set_integer(section_of(a), "commits", 7);
	finds_bad(a, "its \"range\" says otherwise than the range report");
}

static void evidence_that_is_missing_is_bad(void **state)
{
	autoptr(auditor) report = auditor_new(good_tip);
	autoptr(auditor) commits = auditor_new(good_tip);

	g_hash_table_remove(report->files, "range.json");
	finds_bad(report, "its evidence lacks \"range.json\"");
	g_hash_table_remove(commits->files, "range-commits");
	finds_bad(commits, "its evidence lacks \"range-commits\"");
}

/* What a server in an attacker's hands would do: begin right below the last commit, as if that had been released. */
static void a_base_that_was_never_released_is_found(void **state)
{
	autoptr(auditor) a = auditor_new(bad_tip);
	g_autofree char *unsigned_commit = trust_text("git -C repo rev-parse bad~1");
	autoptr(range) shorter = range_of(unsigned_commit, bad_tip);

	set_file(a, "range.json", shorter->bytes);
	set_file(a, "range-commits", shorter->proof);
	json_set_string(section_of(a), "sha256", shorter->sha256);
	json_set_integer(section_of(a), "commits", 1);
	json_set_string(json_get(section_of(a), "base"), "commit", unsigned_commit);
	finds_bad(a, "and record " RELEASED " is of ");
}

static void a_base_that_the_log_does_not_show_is_bad(void **state)
{
	autoptr(auditor) a = auditor_new(good_tip);

	json_set_string(json_get(section_of(a), "base"), "record", "01JDZX00000000000000000009");
	finds_bad(a, "its range begins at record 01JDZX00000000000000000009, and no release of that record was signed "
		     "before it");
}

static void a_base_of_another_project_or_a_lesser_purpose_is_bad(void **state)
{
	autoptr(auditor) other = auditor_new(good_tip);
	autoptr(auditor) test = auditor_new(good_tip);
	autoptr(json) released = record_of(RELEASED, base);

	json_set_string(other->record, "project", "acme/gadget");
	finds_bad(other, "which is of another project");
	audit_note_release(&test->audit, released, rule_named("test"));
	finds_bad(test, "its range begins at record " RELEASED ", a test release");
}

static void a_record_that_was_not_signed_is_no_base(void **state)
{
	autoptr(auditor) a = auditor_new(good_tip);
	autoptr(json) denied = record_of("01JDZX00000000000000000003", base);

	record_end(denied, "denied", GATE_APPROVAL, NULL);
	audit_note_release(&a->audit, denied, rule_named("release"));
	json_set_string(json_get(section_of(a), "base"), "record", "01JDZX00000000000000000003");
	finds_bad(a, "no release of that record was signed before it");
}

static void a_manifest_must_be_the_records(void **state)
{
	autoptr(auditor) good = auditor_new(good_tip);
	autoptr(auditor) bad = auditor_new(good_tip);
	g_autoptr(GBytes) lines = g_bytes_new_static("100644 blob x\n", 14);
	g_autofree char *digest = sha256_text_bytes(lines);

	set_file(good, "manifest", lines);
	json_set_string(json_get(good->record, "source"), "tree_sha256", digest);
	audit(good);
	assert_string_equal(good->findings->str, "");
	set_file(bad, "manifest", lines);
	json_set_string(json_get(bad->record, "source"), "tree_sha256", json_string(section_of(bad), "sha256"));
	finds_bad(bad, "its evidence \"manifest\" is not what the record has the digest of");
}

/* ---- in a whole log ---- */

/* The report that a server would write of the story's tag, which has no repository. */
static struct story *story_with_range(struct world *w)
{
	static const char report[] = "{\"changes\":[],\"commit\":\"" COMMIT "\",\"commits\":[],\"complete\":true,"
				     "\"gitmodules\":[],\"submodules\":[],\"version\":1}";
	struct story *s = story_new(w, 1);
	g_autoptr(GBytes) bytes = g_bytes_new_static(report, strlen(report));
	g_autofree char *digest = sha256_text_bytes(bytes);
	g_autofree char *section = g_strdup_printf("{\"commits\":0,\"complete\":true,\"sha256\":\"%s\"}", digest);

	json_set(story_get(s, "source"), "range", json_parse(section, strlen(section), JSON_STRICT, NULL));
	story_add(s, "range.json", bytes);
	return s;
}

static void a_log_with_range_reports_is_good(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_with_range(w);

	story_append(w, s);
	assert_log_good(w);
}

/* What stood before --since is not decided again, and is remembered all the same. */
static void a_base_before_since_is_remembered(void **state)
{
	autoptr(auditor) good = auditor_new(good_tip);
	autoptr(auditor) bad = auditor_new(good_tip);
	autoptr(json) released = record_of(RELEASED, base);
	autoptr(json) other = record_of(RELEASED, bad_tip);

	audit_note_release(&good->audit, released, NULL);
	audit(good);
	assert_string_equal(good->findings->str, "");
	audit_note_release(&bad->audit, other, NULL);
	finds_bad(bad, "and record " RELEASED " is of ");
}

static void a_range_report_that_the_record_does_not_name_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_with_range(w);

	json_set(story_get(s, "source"), "range", NULL);
	story_append(w, s);
	assert_log_bad(w, "its evidence has \"range.json\", which nothing in the record speaks of");
}

/* ---- judge ---- */

struct question {
	struct judge_request request;
	struct judge_decision decision;
	struct judge_policy policy;
	struct tag tag;
};

/* As judge has it after the tag was read: the report and the commits as engine sent them. */
static struct question *question_new(const char *tip, const struct range *range, gboolean with_commits, GError **error)
{
	struct question *q = g_new0(struct question, 1);
	autoptr(message) m = message_new(MSG_JUDGE, 0);

	assert_true(message_add_bytes(m, "range.json", range->bytes, NULL));
	json_set_string(m->body, "base", base);
	if (with_commits)
		assert_true(message_add_bytes(m, "range-commits", range->proof, NULL));
	q->request.tag_first_seen = time_now_ms();
	q->tag.object = (char *)tip;
	q->decision.source.tag = &q->tag;
	q->decision.rule = rule_named("release");
	q->policy.commit = g_strdup("x");
	q->policy.policy = policy_ref(policy);
	judge_range_read(m, tip, &q->request, error);
	return q;
}

static void question_free(struct question *q)
{
	judge_request_clear(&q->request);
	judge_policy_clear(&q->policy);
	g_free(q);
}
DEFINE_CLEANUP(question, question_free)

static gboolean judged(struct question *q, GError **error)
{
	return judge_check_range(&q->request, &q->decision, &q->policy, error);
}

static void judge_takes_a_range_of_signed_commits(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(range) range = range_of(base, good_tip);
	autoptr(question) q = question_new(good_tip, range, TRUE, &error);

	assert_ok(judged(q, &error), error);
	assert_string_equal(q->request.range_sha256, range->sha256);
	assert_ok(judged(q, &error), error);
}

static void judge_refuses_an_unsigned_commit_whatever_engine_says(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(range) good = range_of(base, good_tip);
	autoptr(range) bad = range_of(base, bad_tip);
	autoptr(question) q = question_new(bad_tip, bad, TRUE, &error);
	autoptr(question) after = question_new(good_tip, good, TRUE, &error);

	assert_refused(judged(q, &error), error, "the rule \"release\" wants signed commits, and 1 commit since");
	assert_ok(judged(after, &error), error);
	g_free(q->policy.proved);
	q->policy.proved = g_strdup(after->policy.proved);
	assert_refused(judged(q, &error), error, "wants signed commits");
}

static void judge_refuses_when_the_evidence_is_missing(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(range) range = range_of(base, good_tip);
	autoptr(question) q = question_new(good_tip, range, FALSE, &error);

	assert_refused(
	    judged(q, &error), error, "the rule \"release\" wants signed commits, and the evidence holds none");
}

static void judge_refuses_a_report_about_another_commit(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(range) range = range_of(base, good_tip);
	autoptr(question) q = question_new(bad_tip, range, TRUE, &error);

	assert_null(q->request.range_sha256);
	assert_refused(FALSE, error, "the range report is about another commit than the tagged one");
}

/* gitops alone cannot have the range begin above an unsigned commit. */
static void judge_refuses_a_report_that_begins_elsewhere(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *unsigned_commit = trust_text("git -C repo rev-parse bad~1");
	autoptr(range) shorter = range_of(unsigned_commit, bad_tip);
	autoptr(question) q = question_new(bad_tip, shorter, TRUE, &error);

	assert_null(q->request.range_commits);
	assert_refused(FALSE, error, "the range report begins elsewhere than the release");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_range_is_good),
		cmocka_unit_test(an_unsigned_commit_in_it_is_found),
		cmocka_unit_test(another_report_than_the_records_is_bad),
		cmocka_unit_test(a_report_about_another_commit_is_bad),
		cmocka_unit_test(a_report_that_was_cut_cannot_pass_for_a_whole_one),
		cmocka_unit_test(evidence_that_is_missing_is_bad),
		cmocka_unit_test(a_base_that_was_never_released_is_found),
		cmocka_unit_test(a_base_that_the_log_does_not_show_is_bad),
		cmocka_unit_test(a_base_of_another_project_or_a_lesser_purpose_is_bad),
		cmocka_unit_test(a_record_that_was_not_signed_is_no_base),
		cmocka_unit_test(a_manifest_must_be_the_records),
		cmocka_unit_test(a_log_with_range_reports_is_good),
		cmocka_unit_test(a_base_before_since_is_remembered),
		cmocka_unit_test(a_range_report_that_the_record_does_not_name_is_bad),
		cmocka_unit_test(judge_takes_a_range_of_signed_commits),
		cmocka_unit_test(judge_refuses_an_unsigned_commit_whatever_engine_says),
		cmocka_unit_test(judge_refuses_when_the_evidence_is_missing),
		cmocka_unit_test(judge_refuses_a_report_about_another_commit),
		cmocka_unit_test(judge_refuses_a_report_that_begins_elsewhere),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
