/* The gitops role about a release's range: where it begins, what it tells, and that commits = "signed" looks at all of it. */
#include <string.h>

#include "gitops/record.h"
#include "tests/unit/support_policy.h"
#include "tests/unit/support_role.h"
#include "tests/unit/support_trust.h"

#define TOOLS                                                                                                          \
	"as() { who=$1; shift; git -c gpg.format=ssh -c user.signingkey=$TRUST/ssh-$who -c user.name=$who "            \
	"-c user.email=$who@example.org \"$@\"; }\n"                                                                   \
	"commit() { echo \"$2\" >\"$2\"; git add -A; as $1 commit -q -S -m \"Add $2\"; }\n"                            \
	"unsigned() { echo \"$1\" >\"$1\"; git add -A; as bob commit -q --no-gpg-sign -m \"Add $1\"; }\n"              \
	"release() { as alice tag -s -m Release $1; }\n"

static const struct peer wires[] = { { .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };

struct scene {
	struct config *config;
	struct test_role *gitops;
	struct json *bases;
	int64_t seen;
};

static int setup(void **state)
{
	static const char *const persons[] = { "alice", "bob", "carol", "dave", "mallory" };
	int status = trust_setup(state);

	for (size_t i = 0; i < G_N_ELEMENTS(persons); i++)
		g_free(sample_ssh_key(persons[i]));
	return status;
}

static void write_file(gpointer path, gpointer bytes, gpointer folder)
{
	g_autofree char *file = g_build_filename(folder, path, NULL), *dir = g_path_get_dirname(file);

	assert_int_equal(g_mkdir_with_parents(dir, 0700), 0);
	support_write_bytes(file, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* The sample policy, with alice alone to maintain it and a source of ours. */
static void write_policy(const char *commits)
{
	policy_files *files = sample_files();
	g_autofree char *url = g_strdup_printf("file://%s/source", support_tmp());
	g_autofree char *line = g_strdup_printf("commits = \"%s\"\ntaggers", commits);

	sample_set(files, SAMPLE_POLICY, "maintainers = [\"alice\"]\nthreshold = 1\n");
	sample_replace(files, SAMPLE_PROJECT, "https://git.example.org/acme/widget.git", url);
	sample_replace(files, SAMPLE_PROJECT, "taggers", line);
	trust_run("rm -rf policy; git init -q -b main policy");
	g_hash_table_foreach(files, write_file, "policy");
	g_hash_table_unref(files);
	trust_run(TOOLS "cd policy; git add -A; as alice commit -q -S -m policy");
}

/* A source in which v1.0.0 stands on the first commit, and then the script ran. */
static struct scene *scene_new(const char *commits, const char *script)
{
	struct scene *s = g_new0(struct scene, 1);
	g_autofree char *root = NULL, *text = NULL;
	g_autoptr(GError) error = NULL;

	write_policy(commits);
	trust_run(TOOLS "rm -rf state source; mkdir -p state/mirrors; git init -q -b main source; cd source\n"
			"unsigned First; release v1.0.0\n%s",
	    script);
	root = trust_text("git -C policy rev-parse HEAD");
	text = g_strdup_printf("state = \"%s/state\"\n[policy]\nurl = \"file://%s/policy\"\nroot = \"%s\"\n"
			       "[ledger]\ntoken = \"main\"\nkey = \"ledger\"\n"
			       "[[token]]\nname = \"main\"\nlabel = \"x\"\npin_file = \"y\"\n",
	    support_tmp(), support_tmp(), root);
	s->config = config_parse(text, strlen(text), "test.toml", &error);
	assert_ok(s->config, error);
	s->bases = json_array_new();
	s->seen = time_now_ms();
	s->gitops = test_role_start(role_gitops, ROLE_GITOPS, 0, s->config, wires);
	return s;
}

static void scene_free(struct scene *s)
{
	assert_int_equal(test_role_stop(s->gitops), 0);
	config_free(s->config);
	json_unref(s->bases);
	g_free(s);
}
DEFINE_CLEANUP(scene, scene_free)

/* engine knows of one more signed release, older than those before. */
static void released(struct scene *s, const char *tag, const char *purpose)
{
	g_autofree char *commit = trust_text("git -C source rev-parse '%s^{commit}'", tag);
	struct json *base = json_object_new();

	json_set_string(base, "record", "01JDZX00000000000000000001");
	json_set_string(base, "tag", tag);
	json_set_string(base, "commit", commit);
	json_set_string(base, "purpose", purpose);
	json_append(s->bases, base);
}

static struct message *decide(struct scene *s, const char *tag)
{
	g_autofree char *id = trust_text("git -C source rev-parse 'refs/tags/%s'", tag);
	autoptr(message) m = message_new(MSG_DECIDE, 0);
	g_autoptr(GBytes) seen = g_bytes_new_static("{}", 2);
	struct message *answer;

	json_set_string(m->body, "project", "acme/widget");
	json_set_string(m->body, "tag", tag);
	json_set_string(m->body, "tag_object", id);
	json_set_integer(m->body, "tag_first_seen", s->seen);
	json_set_integer(m->body, "now", time_now_ms());
	json_set_boolean(m->body, "first_object", TRUE);
	json_set(m->body, "bases", json_ref(s->bases));
	test_add(m, "seen.json", seen);
	answer = test_role_ask(s->gitops, ROLE_ENGINE, m, MSG_DECIDED);
	assert_outcome(answer, "ok", NULL);
	return answer;
}

static struct json *document(const struct message *answer, const char *name)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = message_bytes(answer, name, 1 << 20, &error);
	struct json *value = bytes != NULL ? json_parse_bytes(bytes, &error) : NULL;

	assert_ok(value, error);
	return value;
}

static void passes(struct scene *s, const char *tag)
{
	autoptr(message) answer = decide(s, tag);
	const char *why = json_string(answer->body, "source_reason");

	if (g_strcmp0(json_string(answer->body, "source"), "passed") != 0)
		fail_msg("%s did not pass: %s", tag, why != NULL ? why : "no reason");
}

static void rejected(struct scene *s, const char *tag, const char *words)
{
	autoptr(message) answer = decide(s, tag);

	assert_string_equal(json_string(answer->body, "source"), "rejected");
	assert_contains(json_string(answer->body, "source_reason"), words);
}

/* The tag at which the range of this one begins; NULL: at the beginning. */
static void begins_at(struct scene *s, const char *tag, const char *base)
{
	autoptr(message) answer = decide(s, tag);
	const char *is = json_as_string(json_path(answer->body, "base.tag"));

	assert_non_null(json_get(answer->body, "base"));
	if (g_strcmp0(is, base) != 0)
		fail_msg("%s begins at %s, not at %s", tag, is != NULL ? is : "nothing", base != NULL ? base : "nothing");
}

/* ---- what it tells ---- */

static void the_answer_holds_report_verdicts_and_digests(void **state)
{
	autoptr(scene) s = scene_new("any", "commit bob Second; unsigned Third; release v1.1.0");
	autoptr(message) answer = NULL;
	autoptr(json) report = NULL;
	autoptr(json) signers = NULL;
	autoptr(json) sections = NULL;
	autoptr(json) record = record_new("01JDZX00000000000000000002", "acme/widget", "v1.1.0");
	const struct json *source;
	g_autoptr(GError) error = NULL;
	g_autofree char *manifest = NULL;

	released(s, "v1.0.0", "release");
	answer = decide(s, "v1.1.0");
	report = document(answer, "range.json");
	signers = document(answer, "range-signers.json");
	sections = document(answer, "sections.json");
	source = json_get(sections, "source");
	assert_int_equal(json_length(json_get(report, "commits")), 2);
	assert_string_equal(json_as_string(json_path(signers, "commits.0.verdict")), "unsigned");
	assert_string_equal(json_as_string(json_path(signers, "commits.1.person")), "bob");
	assert_string_equal(
	    message_find(answer, "range.json")->sha256, json_as_string(json_path(source, "range.sha256")));
	assert_string_equal(message_find(answer, "manifest")->sha256, json_string(source, "tree_sha256"));
	assert_string_equal(json_as_string(json_path(source, "range.base.record")), "01JDZX00000000000000000001");
	assert_int_equal(json_as_integer(json_path(source, "range.commits"), 0), 2);
	assert_null(message_find(answer, "range-commits"));
	json_set(record, "source", json_copy(source));
	assert_ok(record_check(record, &error), error);
	manifest = trust_text("git -C source ls-tree -r v1.1.0 | wc -l");
	assert_string_equal(manifest, "3");
}

/* ---- where it begins ---- */

static void it_begins_at_the_newest_release_that_the_tag_descends_from(void **state)
{
	autoptr(scene) s = scene_new("any", "commit bob Second; release v1.1.0; commit bob Third; release v1.2.0; "
					    "git checkout -q v1.1.0; commit carol Fix; release v1.1.1");

	begins_at(s, "v1.2.0", NULL);
	released(s, "v1.2.0", "release");
	released(s, "v1.1.0", "release");
	released(s, "v1.0.0", "release");
	begins_at(s, "v1.1.1", "v1.1.0");
	begins_at(s, "v1.2.0", "v1.2.0");
}

static void a_tag_on_an_older_commit_than_the_last_release_begins_below_it(void **state)
{
	autoptr(scene) s = scene_new(
	    "any", "commit bob Second; commit bob Third; release v1.2.0; as alice tag -s -m Late v1.1.0 HEAD~1");

	released(s, "v1.2.0", "release");
	released(s, "v1.0.0", "release");
	begins_at(s, "v1.1.0", "v1.0.0");
}

static void a_test_release_is_no_base_for_others(void **state)
{
	autoptr(scene) s =
	    scene_new("any", "commit bob Second; as bob tag -s -m Test v1.1.0-rc1; commit bob Third; release v1.1.0");

	released(s, "v1.1.0-rc1", "test");
	released(s, "v1.0.0", "release");
	begins_at(s, "v1.1.0", "v1.0.0");
}

static void what_engine_makes_up_is_no_base(void **state)
{
	autoptr(scene) s = scene_new("any", "commit bob Second; release v1.1.0");
	struct json *base = json_object_new();

	json_set_string(base, "record", "01JDZX00000000000000000001");
	json_set_string(base, "tag", "v0.9.0");
	json_set_string(base, "commit", "1111111111111111111111111111111111111111");
	json_set_string(base, "purpose", "release");
	json_append(s->bases, base);
	begins_at(s, "v1.1.0", NULL);
}

/* ---- commits = "signed" ---- */

static void signed_commits_since_the_last_release_pass(void **state)
{
	autoptr(scene) s = scene_new("signed",
	    "commit bob Second; git checkout -q -b side; commit carol Side; "
	    "git checkout -q main; commit bob Main; as alice merge -q -S -m Merge side; release v1.1.0");
	autoptr(message) answer = NULL;

	rejected(s, "v1.1.0", "1 commit since the beginning bears no good signature of a person");
	released(s, "v1.0.0", "release");
	passes(s, "v1.1.0");
	answer = decide(s, "v1.1.0");
	assert_non_null(message_find(answer, "range-commits"));
}

static void an_unsigned_commit_below_a_signed_one_is_refused(void **state)
{
	autoptr(scene) s = scene_new("signed", "unsigned Second; commit bob Third; release v1.1.0");
	g_autofree char *words =
	    trust_text("echo \"the rule \\\"release\\\" wants signed commits, and 1 commit since $(git -C source "
		       "rev-parse v1.0.0^{commit}) bears no "
		       "good signature of a person: $(git -C source rev-parse main~1) (it bears no signature)\"");

	released(s, "v1.0.0", "release");
	rejected(s, "v1.1.0", words);
}

static void an_unsigned_commit_behind_a_merge_is_refused(void **state)
{
	autoptr(scene) s =
	    scene_new("signed", "git checkout -q -b side; unsigned Hidden; commit carol Cover; git checkout -q main; "
				"commit bob Main; as alice merge -q -S -m Merge side; release v1.1.0");
	g_autofree char *hidden = trust_text("git -C source rev-parse side~1");

	released(s, "v1.0.0", "release");
	rejected(s, "v1.1.0", hidden);
}

static void the_release_itself_once_more_brings_nothing_to_sign(void **state)
{
	autoptr(scene) s = scene_new("signed", "as alice tag -s -m Again v1.0.1 v1.0.0^{commit}");

	released(s, "v1.0.0", "release");
	passes(s, "v1.0.1");
}

static void a_damaged_file_in_the_tree_is_refused(void **state)
{
	autoptr(scene) s = scene_new("any", "commit bob Second; release v1.1.0");
	autoptr(message) before = decide(s, "v1.0.0");

	trust_run(
	    "cd state/mirrors/acme%%2Fwidget.git; mv objects/pack/*.pack .; rm -f objects/pack/*\n"
	    "for pack in *.pack; do git unpack-objects -q <$pack; done\n"
	    "place() { git rev-parse v1.1.0:$1 | sed 's|^..|objects/&/|'; }; cp -f $(place First) $(place Second)");
	rejected(s, "v1.1.0", "Second: the blob ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_holds_report_verdicts_and_digests),
		cmocka_unit_test(it_begins_at_the_newest_release_that_the_tag_descends_from),
		cmocka_unit_test(a_tag_on_an_older_commit_than_the_last_release_begins_below_it),
		cmocka_unit_test(a_test_release_is_no_base_for_others),
		cmocka_unit_test(what_engine_makes_up_is_no_base),
		cmocka_unit_test(signed_commits_since_the_last_release_pass),
		cmocka_unit_test(an_unsigned_commit_below_a_signed_one_is_refused),
		cmocka_unit_test(an_unsigned_commit_behind_a_merge_is_refused),
		cmocka_unit_test(the_release_itself_once_more_brings_nothing_to_sign),
		cmocka_unit_test(a_damaged_file_in_the_tree_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, trust_teardown);
}
