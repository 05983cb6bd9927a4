/* The SHA-256 manifest of a tagged tree: what its lines say, and that what cannot be read as it should is refused. */
#include "gitops/manifest.h"

#include <string.h>

#include "gitops/objects.h"
#include "tests/unit/support_trust.h"

/* A new repository in which the script makes what is then committed. Its path. */
static char *repository(const char *name, const char *script)
{
	trust_run("rm -rf %s; git init -q -b main %s; cd %s; git config user.name bob; git config user.email "
		  "bob@example.org; %s; git commit -q --allow-empty -m All",
	    name, name, name, script);
	return support_path("%s", name);
}

static GBytes *make(const char *path, GError **error)
{
	g_autofree char *commit = support_must("git", "-C", path, "rev-parse", "HEAD", NULL);

	return manifest_make(path, commit, error);
}

static char *text_of(const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) manifest = make(path, &error);

	assert_ok(manifest, error);
	return g_strndup(g_bytes_get_data(manifest, NULL), g_bytes_get_size(manifest));
}

static void refused(const char *name, const char *script, const char *words)
{
	g_autofree char *path = repository(name, script);
	g_autoptr(GError) error = NULL;

	assert_refused(make(path, &error), error, words);
}

/* The same lines by other tools: git's list of files, sha256sum of what git gives out. */
static void it_says_what_gits_own_tools_and_sha256sum_say(void **state)
{
	g_autofree char *path = repository("plain",
	    "mkdir -p b/c a.d a; printf 'one\\n' >a.d/x; printf 'two\\n' >a/x; printf 'three' >a-b; : >b/c/empty; "
	    "ln -s a-b link; chmod +x a-b; git add -A");
	g_autofree char *lines = text_of(path);
	g_autofree char *theirs =
	    trust_text("cd plain; git ls-tree -r -z HEAD | while IFS=' \t' read -r -d '' mode type id path; do "
		       "echo \"$mode $type sha256:$(git cat-file blob $id | sha256sum | cut -c1-64) "
		       "$(git cat-file -s $id) $path\"; done");

	assert_string_equal(g_strchomp(lines), theirs);
	assert_contains(
	    lines, "100755 blob sha256:8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f 5 a-b\n");
	assert_contains(lines, "120000 blob sha256:");
}

static void an_empty_tree_has_no_lines(void **state)
{
	g_autofree char *path = repository("empty", ":");
	g_autofree char *lines = text_of(path);

	assert_string_equal(lines, "");
}

static void a_submodule_stands_by_its_commit(void **state)
{
	g_autofree char *path = repository(
	    "super", "git update-index --add --cacheinfo 160000,1111111111111111111111111111111111111111,lib/parser");
	g_autofree char *lines = text_of(path);

	assert_string_equal(lines, "160000 commit 1111111111111111111111111111111111111111 - lib/parser\n");
}

/* No name can pass for a line of another file. */
static void names_of_any_bytes_take_one_line(void **state)
{
	g_autofree char *path =
	    repository("names", "touch \"$(printf 'a\\n100644 blob x')\" '\"q\"' \"$(printf 'caf\\351')\"; git add -A");
	g_autofree char *lines = text_of(path);

	assert_contains(lines, " 0 \"\\\"q\\\"\"\n");
	assert_contains(lines, " 0 \"a\\012100644 blob x\"\n");
	assert_contains(lines, " 0 \"caf\\351\"\n");
}

/* Two blobs of one id cannot be had; but a repository may hold other bytes under an id than it says. */
static void other_bytes_under_the_same_id_are_refused(void **state)
{
	refused("damaged",
	    "echo good >good; echo evil >evil; git add -A; git commit -q -m First; cd .git/objects; "
	    "place() { git rev-parse HEAD:$1 | sed 's|^..|&/|'; }; cp -f $(place evil) $(place good); cd ../..",
	    "does not hold what its id says");
}

static void the_file_is_named_that_cannot_be_read(void **state)
{
	g_autofree char *path = repository("missing",
	    "echo gone >gone; git add -A; git commit -q -m First; rm -f .git/objects/$(git rev-parse HEAD:gone | sed "
	    "'s|^..|&/|')");
	g_autoptr(GError) error = NULL;

	assert_fails(make(path, &error), error, TAGSEAL_ERROR_NOT_FOUND, "gone: there is no blob ");
}

/* ---- trees that git would not make ---- */

/* Rows of "MODE NAME", each ended by a line break, with one id for all. */
static GBytes *tree_of(const char *rows)
{
	static const guint8 id[20] = { 1, 2, 3 };
	GByteArray *raw = g_byte_array_new();
	g_auto(GStrv) lines = g_strsplit(rows, "\n", -1);

	for (char **line = lines; **line != '\0'; line++) {
		g_byte_array_append(raw, (const guint8 *)*line, strlen(*line) + 1);
		g_byte_array_append(raw, id, sizeof(id));
	}
	return g_byte_array_free_to_bytes(raw);
}

static void tree_refused(const char *rows, const char *words)
{
	g_autoptr(GBytes) raw = tree_of(rows);
	g_autoptr(GError) error = NULL;

	assert_refused(tree_parse(raw, "1111111111111111111111111111111111111111", &error), error, words);
}

static void a_tree_as_git_makes_it_is_read(void **state)
{
	g_autoptr(GBytes) raw = tree_of("100644 a-b\n100644 a.d\n40000 a\n100755 a0\n120000 link\n160000 module\n");
	g_autoptr(GError) error = NULL;
	g_autoptr(GArray) entries = tree_parse(raw, "x", &error);

	assert_ok(entries, error);
	assert_int_equal(entries->len, 6);
	assert_int_equal(g_array_index(entries, struct tree_entry, 5).mode, MODE_MODULE);
	assert_string_equal(g_array_index(entries, struct tree_entry, 2).name, "a");
	assert_string_equal(
	    g_array_index(entries, struct tree_entry, 2).id, "0102030000000000000000000000000000000000");
}

static void modes_of_old_tools_are_read(void **state)
{
	g_autoptr(GBytes) raw = tree_of("100664 a\n040000 b\n");
	g_autoptr(GError) error = NULL;
	g_autoptr(GArray) entries = tree_parse(raw, "x", &error);

	assert_ok(entries, error);
	assert_int_equal(g_array_index(entries, struct tree_entry, 0).mode, 0100664);
	assert_int_equal(g_array_index(entries, struct tree_entry, 1).mode, MODE_FOLDER);
}

static void trees_that_deceive_are_refused(void **state)
{
	g_autoptr(GBytes) cut = g_bytes_new_static("100644 a\0abc", 12);
	g_autoptr(GError) error = NULL;

	tree_refused("100644 b\n100644 a\n", "the name \"a\" is out of order");
	tree_refused("100644 a\n100644 a\n", "the name \"a\" stands twice");
	tree_refused("100644 a\n100644 a-b\n40000 a\n", "the name \"a\" stands twice");
	tree_refused("40000 .git\n", "\".git\"");
	tree_refused("40000 .GIT\n", "\".git\"");
	tree_refused("40000 ..\n", "\"..\"");
	tree_refused("100644 a/b\n", "a name holds a slash");
	tree_refused("100644 \n", "a name is empty");
	tree_refused("10644 a\n", "none of a file, folder, link or submodule");
	tree_refused("1006448 a\n", "none of a file, folder, link or submodule");
	tree_refused("60000 a\n", "none of a file, folder, link or submodule");
	assert_refused(tree_parse(cut, "1111111111111111111111111111111111111111", &error), error,
	    "the tree 1111111111111111111111111111111111111111: id at offset");
}

static void a_path_is_written_one_way_alone(void **state)
{
	static const char *const rows[][2] = { { "src/main.c", "src/main.c" }, { "a \"b\"", "a \"b\"" },
		{ "\"b\"", "\"\\\"b\\\"\"" }, { "a\\b", "a\\b" }, { "\xff", "\"\\377\"" },
		{ "a\xe2\x80\x8b", "\"a\\342\\200\\213\"" }, { "\xc3\xa9", "\xc3\xa9" } };

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *text = path_text(rows[i][0]);
		assert_string_equal(text, rows[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_gits_own_tools_and_sha256sum_say),
		cmocka_unit_test(an_empty_tree_has_no_lines),
		cmocka_unit_test(a_submodule_stands_by_its_commit),
		cmocka_unit_test(names_of_any_bytes_take_one_line),
		cmocka_unit_test(other_bytes_under_the_same_id_are_refused),
		cmocka_unit_test(the_file_is_named_that_cannot_be_read),
		cmocka_unit_test(a_tree_as_git_makes_it_is_read),
		cmocka_unit_test(modes_of_old_tools_are_read),
		cmocka_unit_test(trees_that_deceive_are_refused),
		cmocka_unit_test(a_path_is_written_one_way_alone),
	};

	return cmocka_run_group_tests(tests, trust_setup, trust_teardown);
}
