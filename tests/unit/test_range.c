/* The range report over real repositories: what it tells of a release, that it tells everybody the same, and whose commits prove to stand in it. */
#include "gitops/range.h"

#include <string.h>

#include "gitops/objects.h"
#include "tests/unit/support_policy.h"
#include "tests/unit/support_trust.h"

/* "as PERSON git-arguments…" signs with that person's key; "commit PERSON NAME" makes a signed commit that adds a file of that name. */
#define TOOLS                                                                                                          \
	"as() { who=$1; shift; git -c gpg.format=ssh -c user.signingkey=$TRUST/ssh-$who -c user.name=$who "            \
	"-c user.email=$who@example.org -c protocol.file.allow=always \"$@\"; }\n"                                     \
	"commit() { echo \"$2\" >\"$2\"; git add -A; as $1 commit -q -S -m \"Add $2\"; }\n"                            \
	"unsigned() { echo \"$1\" >\"$1\"; git add -A; as bob commit -q --no-gpg-sign -m \"Add $1\"; }\n"

static struct policy *policy;

static int setup(void **state)
{
	static const char *const persons[] = { "alice", "bob", "carol", "dave", "mallory" };
	int status = trust_setup(state);

	for (size_t i = 0; i < G_N_ELEMENTS(persons); i++)
		g_free(sample_ssh_key(persons[i]));
	policy = sample_load(sample_files());
	return status;
}

static int teardown(void **state)
{
	policy_unref(policy);
	return trust_teardown(state);
}

/* A new repository of that name, with alice's signed commit "First" tagged `base`, in which the script then runs. */
static char *repository(const char *name, const char *script)
{
	trust_run(TOOLS "rm -rf %s; git init -q -b main %s; cd %s; commit alice First; git tag base\n%s", name, name,
	    name, script);
	return support_path("%s", name);
}

static char *id_of(const char *path, const char *name)
{
	return support_must("git", "-C", path, "rev-parse", name, NULL);
}

static struct range *read_range(const char *path, const char *base, const char *tip)
{
	g_autofree char *from = base != NULL ? id_of(path, base) : NULL, *to = id_of(path, tip);
	g_autoptr(GError) error = NULL;
	struct range *range = range_read(path, from, to, &error);

	assert_ok(range, error);
	return range;
}

static const char *at(const struct range *range, const char *member)
{
	return json_as_string(json_path(range->report, member));
}

/* "STATUS PATH", with " < FROM" where it was renamed, one a line. */
static char *changes_of(const struct range *range)
{
	GString *text = g_string_new(NULL);
	const struct json *changes = json_get(range->report, "changes");

	for (guint i = 0; i < json_length(changes); i++) {
		const struct json *row = json_at(changes, i);
		const char *from = json_string(row, "from");

		g_string_append_printf(text, "%s %s%s%s\n", json_string(row, "status"), json_string(row, "path"),
		    from != NULL ? " < " : "", from != NULL ? from : "");
	}
	return g_string_free(text, FALSE);
}

static void assert_changes(const struct range *range, const char *expected)
{
	g_autofree char *changes = changes_of(range);

	assert_string_equal(changes, expected);
}

static gboolean proves(const struct range *range, GError **error)
{
	assert_non_null(range->proof);
	return range_prove(range->proof, range->base, range->commit, policy_people(policy), time_now_ms(), error);
}

/* ---- what it tells ---- */

static void commits_since_the_base_are_told_newest_first(void **state)
{
	g_autofree char *path = repository("told", "commit bob Second; commit carol Third"), *tip = id_of(path, "HEAD");
	autoptr(range) range = read_range(path, "base", "HEAD");

	assert_int_equal(json_length(json_get(range->report, "commits")), 2);
	assert_string_equal(at(range, "commits.0.id"), tip);
	assert_string_equal(at(range, "commits.0.subject"), "Add Third");
	assert_string_equal(at(range, "commits.0.author.name"), "carol");
	assert_string_equal(at(range, "commits.1.author.email"), "bob@example.org");
	assert_string_equal(at(range, "commits.1.signature"), "ssh");
	assert_string_equal(at(range, "commits.0.parents.0"), at(range, "commits.1.id"));
	assert_true(range->complete);
	assert_changes(range, "added Second\nadded Third\n");
}

static void without_a_base_it_is_the_whole_history(void **state)
{
	g_autofree char *path = repository("whole", "commit bob Second");
	autoptr(range) range = read_range(path, NULL, "HEAD");

	assert_int_equal(json_length(json_get(range->report, "commits")), 2);
	assert_null(json_get(range->report, "base"));
	assert_changes(range, "added First\nadded Second\n");
}

static void a_clone_packed_another_way_tells_the_same_bytes(void **state)
{
	g_autofree char *path =
	    repository("here", "git checkout -q -b side; commit bob Side; git checkout -q main; commit carol Main; "
			       "as alice merge -q -S -m Merge side; commit bob Last");
	g_autofree char *clone = support_path("there.git"), *digest = NULL;
	autoptr(range) here = read_range(path, "base", "HEAD");
	autoptr(range) there = NULL;

	trust_run("git clone -q --bare here there.git; git -C there.git repack -q -a -d -f --depth=50; "
		  "git -C there.git commit-graph write --reachable 2>/dev/null");
	there = read_range(clone, "base", "main");
	assert_string_equal(here->sha256, there->sha256);
	assert_true(g_bytes_equal(here->bytes, there->bytes));
	assert_true(g_bytes_equal(here->proof, there->proof));
	digest = sha256_text_bytes(here->bytes);
	assert_string_equal(here->sha256, digest);
}

static void another_base_is_another_digest(void **state)
{
	g_autofree char *path = repository("bases", "commit bob Second; git tag later; commit carol Third");
	autoptr(range) one = read_range(path, "base", "HEAD");
	autoptr(range) other = read_range(path, "later", "HEAD");

	assert_string_not_equal(one->sha256, other->sha256);
}

static void nothing_new_is_an_empty_range(void **state)
{
	g_autofree char *path = repository("empty", "commit bob Second");
	autoptr(range) range = read_range(path, "HEAD", "HEAD");
	g_autoptr(GError) error = NULL;

	assert_int_equal(json_length(json_get(range->report, "commits")), 0);
	assert_int_equal(json_length(json_get(range->report, "changes")), 0);
	assert_true(range->complete);
	assert_ok(proves(range, &error), error);
}

static void a_base_that_is_no_ancestor_is_refused(void **state)
{
	g_autofree char *path = repository("older", "commit bob Second; git tag released");
	g_autofree char *released = id_of(path, "released"), *older = id_of(path, "base");
	g_autoptr(GError) error = NULL;
	gboolean is = TRUE;

	assert_refused(range_read(path, released, older, &error), error, "is no ancestor of the commit");
	assert_true(range_is_base(path, released, older, &is, &error));
	assert_false(is);
	assert_true(range_is_base(path, older, released, &is, &error));
	assert_true(is);
	assert_true(range_is_base(path, "1111111111111111111111111111111111111111", released, &is, &error));
	assert_false(is);
}

static void each_kind_of_change_is_told(void **state)
{
	g_autofree char *path = repository("kinds",
	    "mkdir a; echo one >a/moved; echo two >edited; echo three >gone; echo four >tool; echo five >swap; "
	    "git add -A; as alice commit -q -S -m Base; git tag -f base >/dev/null; "
	    "git mv a/moved z; echo 2 >edited; git rm -q gone; chmod +x tool; rm swap; mkdir swap; echo six "
	    ">swap/file; "
	    "ln -s edited link; git add -A; as bob commit -q -S -m All");
	autoptr(range) range = read_range(path, "base", "HEAD");

	assert_changes(range, "modified edited\ndeleted gone\nadded link\ndeleted swap\nadded swap/file\nmode tool\n"
			      "renamed z < a/moved\n");
	assert_string_equal(at(range, "changes.5.mode"), "100755");
	assert_string_equal(at(range, "changes.5.old_mode"), "100644");
	assert_string_equal(at(range, "changes.2.mode"), "120000");
}

static void what_was_undone_before_the_tag_is_no_change(void **state)
{
	g_autofree char *path =
	    repository("undone", "commit bob Second; git rm -q Second; as bob commit -q -S -m Undo");
	autoptr(range) range = read_range(path, "base", "HEAD");

	assert_int_equal(json_length(json_get(range->report, "commits")), 2);
	assert_changes(range, "");
}

static void a_submodule_that_moved_is_told_with_where_it_comes_from(void **state)
{
	g_autofree char *path = repository("super",
	    "git update-index --add --cacheinfo 160000,1111111111111111111111111111111111111111,lib; "
	    "printf '[submodule \"lib\"]\\n\\tpath = lib\\n\\turl = https://good.example/lib\\n' >.gitmodules; "
	    "git add .gitmodules; as alice commit -q -S -m Base; git tag -f base >/dev/null; "
	    "git update-index --cacheinfo 160000,2222222222222222222222222222222222222222,lib; "
	    "git update-index --add --cacheinfo 160000,3333333333333333333333333333333333333333,new; "
	    "printf '[submodule \"lib\"] url = https://evil.example/lib\\n\\tpath = lib\\n' >.gitmodules; "
	    "git add .gitmodules; as bob commit -q -S -m Move");
	autoptr(range) range = read_range(path, "base", "HEAD");

	assert_int_equal(json_length(json_get(range->report, "submodules")), 2);
	assert_string_equal(at(range, "submodules.0.path"), "lib");
	assert_string_equal(at(range, "submodules.0.old"), "1111111111111111111111111111111111111111");
	assert_string_equal(at(range, "submodules.0.new"), "2222222222222222222222222222222222222222");
	assert_null(at(range, "submodules.1.old"));
	assert_int_equal(json_length(json_get(range->report, "gitmodules")), 1);
	assert_string_equal(at(range, "gitmodules.0.key"), "submodule.lib.url");
	assert_string_equal(at(range, "gitmodules.0.old"), "https://good.example/lib");
	assert_string_equal(at(range, "gitmodules.0.new"), "https://evil.example/lib");
	assert_changes(range, "modified .gitmodules\n");
}

static void a_submodule_in_place_of_a_file_stands_in_both_lists(void **state)
{
	g_autofree char *path =
	    repository("swapped", "git rm -q --cached First; git update-index --add --cacheinfo "
				  "160000,1111111111111111111111111111111111111111,First; as bob commit -q -S -m Swap");
	autoptr(range) range = read_range(path, "base", "HEAD");

	assert_string_equal(at(range, "submodules.0.new"), "1111111111111111111111111111111111111111");
	assert_changes(range, "modified First\n");
}

static void names_of_any_bytes_stay_apart_and_on_one_line(void **state)
{
	g_autofree char *path =
	    repository("names", "touch \"$(printf 'a\\nb')\" 'a\\nb' '\"quoted\"' 'in\"side' \"$(printf 'caf\\351')\" "
				"\"$(printf 'caf\\303\\251')\" "
				"\"$(printf 'x\\342\\200\\256gpj.exe')\" 'caf\\351'; echo content >new; git add -A; "
				"as bob commit -q -S -m Names");
	autoptr(range) range = read_range(path, "base", "HEAD");

	assert_changes(range, "added \"\\\"quoted\\\"\"\nadded \"a\\012b\"\nadded a\\nb\nadded caf\\351\n"
			      "added caf\303\251\nadded \"caf\\351\"\nadded in\"side\nadded new\n"
			      "added \"x\\342\\200\\256gpj.exe\"\n");
}

static void what_could_deceive_a_terminal_is_escaped(void **state)
{
	g_autofree char *path = repository("bidi", "as bob -c user.name=\"$(printf 'b\\033[2Job')\" commit -q -S "
						   "--allow-empty -m \"$(printf 'Fix \\342\\200\\256evil')\"");
	autoptr(range) range = read_range(path, "base", "HEAD");

	assert_string_equal(at(range, "commits.0.subject"), "Fix \\xe2\\x80\\xaeevil");
	assert_contains(at(range, "commits.0.author.name"), "\\x1b[2J");
}

static void a_commit_of_an_old_encoding_is_told_and_is_not_good(void **state)
{
	g_autofree char *path = repository("latin",
	    "as bob -c i18n.commitEncoding=ISO-8859-1 commit -q -S --allow-empty -m \"$(printf 'Stra\\337e')\"");
	autoptr(range) range = read_range(path, "base", "HEAD");
	g_autoptr(GError) error = NULL;

	assert_contains(at(range, "commits.0.subject"), "Stra");
	assert_refused(proves(range, &error), error, "1 commit since");
	assert_false(proves(range, NULL));
}

static void clocks_that_go_wrong_show_no_commit_twice(void **state)
{
	g_autofree char *path = repository("clocks", "export GIT_COMMITTER_DATE='2100000000 +0000'; commit bob Future; "
						     "export GIT_COMMITTER_DATE='100000000 +0000'; "
						     "commit bob Past; git tag -f base >/dev/null; export "
						     "GIT_COMMITTER_DATE='1700000000 +0000'; commit carol Now");
	autoptr(range) range = read_range(path, "base", "HEAD");

	assert_int_equal(json_length(json_get(range->report, "commits")), 1);
	assert_string_equal(at(range, "commits.0.subject"), "Add Now");
}

/* One commit more than a report takes, by fast-import. */
static void a_range_that_was_cut_says_so_and_proves_nothing(void **state)
{
	g_autofree char *path = repository("long",
	    "{ for i in $(seq 10001); do printf 'commit refs/heads/long\\ncommitter bob <bob@example.org> %s +0000\\n"
	    "data 1\\nx\\n' $((1700000000 + i)); [ $i -gt 1 ] || echo 'from refs/heads/main^0'; done; } | "
	    "git fast-import --quiet");
	autoptr(range) cut = read_range(path, "base", "long");
	autoptr(range) whole = read_range(path, "base", "long~1");

	assert_false(cut->complete);
	assert_int_equal(json_length(json_get(cut->report, "commits")), RANGE_COMMITS_MAX);
	assert_contains(at(cut, "cut.0"), "older commits are not listed");
	assert_null(cut->proof);
	assert_true(whole->complete);
	assert_null(json_get(whole->report, "cut"));
	assert_non_null(whole->proof);
}

/* ---- whose commits they are ---- */

static void a_range_of_persons_commits_proves_itself(void **state)
{
	g_autofree char *path = repository("signed", "commit bob Second; commit carol Third; commit alice Fourth");
	autoptr(range) range = read_range(path, "base", "HEAD");
	autoptr(json) signers = range_signers(range, policy_people(policy), time_now_ms());
	g_autoptr(GError) error = NULL;

	assert_ok(proves(range, &error), error);
	assert_string_equal(json_string(signers, "range"), range->sha256);
	assert_string_equal(json_as_string(json_path(signers, "commits.1.person")), "carol");
	assert_string_equal(json_as_string(json_path(signers, "commits.1.verdict")), "good");
}

static void an_unsigned_commit_in_the_middle_is_named(void **state)
{
	g_autofree char *path = repository("middle", "commit bob Second; unsigned Third; commit carol Fourth");
	g_autofree char *third = id_of(path, "HEAD~1"), *words = NULL;
	autoptr(range) range = read_range(path, "base", "HEAD");
	autoptr(json) signers = range_signers(range, policy_people(policy), time_now_ms());
	g_autoptr(GError) error = NULL;

	words = g_strdup_printf(
	    "1 commit since %s bears no good signature of a person: %s (it bears no signature)", range->base, third);
	assert_refused(proves(range, &error), error, words);
	assert_string_equal(json_as_string(json_path(signers, "commits.1.verdict")), "unsigned");
	assert_null(json_path(signers, "commits.1.person"));
}

static void an_unsigned_commit_behind_a_merges_second_parent_is_named(void **state)
{
	g_autofree char *path = repository("hidden",
	    "git checkout -q -b side; unsigned Hidden; commit bob Cover; git checkout -q main; commit carol Main; "
	    "as alice merge -q -S -m Merge side");
	g_autofree char *hidden = id_of(path, "side~1");
	autoptr(range) range = read_range(path, "base", "HEAD");
	g_autoptr(GError) error = NULL;

	assert_int_equal(json_length(json_path(range->report, "commits.0.parents")), 2);
	assert_refused(proves(range, &error), error, hidden);
}

static void an_unsigned_merge_is_named(void **state)
{
	g_autofree char *path =
	    repository("merge", "git checkout -q -b side; commit bob Side; git checkout -q main; commit carol Main; "
				"as alice merge -q --no-gpg-sign -m Merge side");
	g_autofree char *merge = id_of(path, "HEAD");
	autoptr(range) range = read_range(path, "base", "HEAD");
	g_autoptr(GError) error = NULL;

	assert_refused(proves(range, &error), error, merge);
}

static void a_strangers_signature_is_none(void **state)
{
	g_autofree char *path = repository("stranger", "commit mallory Second; commit bob Third");
	autoptr(range) range = read_range(path, "base", "HEAD");
	g_autoptr(GError) error = NULL;

	assert_refused(proves(range, &error), error, "1 commit since");
}

static void all_are_counted_and_the_first_named(void **state)
{
	g_autofree char *path = repository("many", "for i in 1 2 3 4 5; do unsigned n$i; done; commit bob Last");
	autoptr(range) range = read_range(path, "base", "HEAD");
	g_autoptr(GError) error = NULL;

	assert_refused(proves(range, &error), error, "5 commits since");
	assert_false(proves(range, &error));
	assert_contains(error->message, ", and others");
}

/* The branch left the main line before the base: its own past, unsigned, was released with the base. */
static const char forked[] =
    "git checkout -q -b old; git checkout -q main; unsigned Legacy; git branch -f old; commit bob Second; "
    "git tag -f base >/dev/null; git checkout -q old; commit carol Side; git checkout -q main; "
    "commit alice Third; as alice merge -q -S -m Merge old";

static void what_lies_below_the_base_is_proved_by_the_way_down_to_it(void **state)
{
	g_autofree char *path = repository("below", forked);
	autoptr(range) range = read_range(path, "base", "HEAD");
	g_autoptr(GError) error = NULL;

	assert_int_equal(json_length(json_get(range->report, "commits")), 3);
	assert_ok(proves(range, &error), error);
}

/* Only the commits that somebody wants judged: the range itself, without the one of that id. */
static GBytes *proof_without(const struct range *range, const char *id)
{
	GByteArray *proof = g_byte_array_new();

	for (guint i = 0; i < range->ids->len; i++)
		if (g_strcmp0(range->ids->pdata[i], id) != 0)
			range_proof_add(proof, range->commits->pdata[i]);
	return g_byte_array_free_to_bytes(proof);
}

static void evidence_without_that_way_proves_nothing(void **state)
{
	g_autofree char *path = repository("noway", forked);
	autoptr(range) range = read_range(path, "base", "HEAD");
	g_autoptr(GBytes) bare = proof_without(range, NULL);
	g_autoptr(GError) error = NULL;

	assert_refused(range_prove(bare, range->base, range->commit, policy_people(policy), time_now_ms(), &error),
	    error, "which no signed release contains");
}

static void evidence_that_leaves_a_commit_out_proves_nothing(void **state)
{
	g_autofree char *path = repository("leftout", "unsigned Second; commit bob Third");
	g_autofree char *second = id_of(path, "HEAD~1");
	autoptr(range) range = read_range(path, "base", "HEAD");
	g_autoptr(GBytes) less = proof_without(range, second);
	g_autoptr(GError) error = NULL;

	assert_refused(range_prove(less, range->base, range->commit, policy_people(policy), time_now_ms(), &error),
	    error, "the evidence of the range lacks the commit");
}

/* With no base, or one that the tag does not stand on, everything down to the first commit must be signed. */
static void evidence_for_another_base_proves_nothing(void **state)
{
	g_autofree char *path = repository("nobase", "commit bob Second");
	autoptr(range) range = read_range(path, "base", "HEAD");
	g_autoptr(GError) error = NULL;

	assert_refused(range_prove(range->proof, NULL, range->commit, policy_people(policy), time_now_ms(), &error),
	    error, "lacks the commit");
	assert_refused(range_prove(range->proof, "1111111111111111111111111111111111111111", range->commit,
			   policy_people(policy), time_now_ms(), &error),
	    error, "lacks the commit");
}

static void evidence_that_does_not_read_is_refused(void **state)
{
	static const char *const bad[] = { "commit 5\nabc", "commit x\nabc", "tree 3\nabc", "commit",
		"commit 3\nabcrest", "commit -1\n" };

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GBytes) bytes = g_bytes_new_static(bad[i], strlen(bad[i]));
		g_autoptr(GError) error = NULL;

		assert_refused(range_prove(bytes, NULL, "1111111111111111111111111111111111111111",
				   policy_people(policy), time_now_ms(), &error),
		    error, "the evidence of the range");
	}
}

/* ---- damage ---- */

static void a_commit_whose_bytes_were_changed_is_refused(void **state)
{
	g_autofree char *path = repository("damaged", "commit bob Second");
	g_autofree char *id = id_of(path, "HEAD"), *base = id_of(path, "base");
	g_autoptr(GError) error = NULL;

	trust_run("cd damaged/.git/objects; place() { git rev-parse $1 | sed 's|^..|&/|'; }; "
		  "cp -f $(place base) $(place HEAD)");
	assert_refused(range_read(path, base, id, &error), error, "does not hold what its id says");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commits_since_the_base_are_told_newest_first),
		cmocka_unit_test(without_a_base_it_is_the_whole_history),
		cmocka_unit_test(a_clone_packed_another_way_tells_the_same_bytes),
		cmocka_unit_test(another_base_is_another_digest),
		cmocka_unit_test(nothing_new_is_an_empty_range),
		cmocka_unit_test(a_base_that_is_no_ancestor_is_refused),
		cmocka_unit_test(each_kind_of_change_is_told),
		cmocka_unit_test(what_was_undone_before_the_tag_is_no_change),
		cmocka_unit_test(a_submodule_that_moved_is_told_with_where_it_comes_from),
		cmocka_unit_test(a_submodule_in_place_of_a_file_stands_in_both_lists),
		cmocka_unit_test(names_of_any_bytes_stay_apart_and_on_one_line),
		cmocka_unit_test(what_could_deceive_a_terminal_is_escaped),
		cmocka_unit_test(a_commit_of_an_old_encoding_is_told_and_is_not_good),
		cmocka_unit_test(clocks_that_go_wrong_show_no_commit_twice),
		cmocka_unit_test(a_range_that_was_cut_says_so_and_proves_nothing),
		cmocka_unit_test(a_range_of_persons_commits_proves_itself),
		cmocka_unit_test(an_unsigned_commit_in_the_middle_is_named),
		cmocka_unit_test(an_unsigned_commit_behind_a_merges_second_parent_is_named),
		cmocka_unit_test(an_unsigned_merge_is_named),
		cmocka_unit_test(a_strangers_signature_is_none),
		cmocka_unit_test(all_are_counted_and_the_first_named),
		cmocka_unit_test(what_lies_below_the_base_is_proved_by_the_way_down_to_it),
		cmocka_unit_test(evidence_without_that_way_proves_nothing),
		cmocka_unit_test(evidence_that_leaves_a_commit_out_proves_nothing),
		cmocka_unit_test(evidence_for_another_base_proves_nothing),
		cmocka_unit_test(evidence_that_does_not_read_is_refused),
		cmocka_unit_test(a_commit_whose_bytes_were_changed_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
