/* Packs of our own making, with git as the judge. */
#include "tests/unit/support.h"

#include <git2.h>
#include <string.h>

#include "gitops/mirror.h"
#include "gitops/pack.h"

/* A bare repository; its pack folder in *packs. Both freed by the caller. */
static char *repository(const char *name, char **packs)
{
	char *path = support_folder(name);
	g_autofree char *out = support_must("git", "init", "-q", "--bare", path, NULL);

	*packs = g_build_filename(path, "objects/pack", NULL);
	return path;
}

static void add(struct pack *pack, const char *text, git_oid *id)
{
	g_autoptr(GError) error = NULL;

	assert_ok(pack_add(pack, GIT_OBJECT_BLOB, text, strlen(text), id, &error), error);
}

static void write_to(struct pack *pack, const char *packs)
{
	g_autoptr(GError) error = NULL;

	assert_ok(pack_write(pack, packs, &error), error);
}

static char *cat(const char *path, const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1];

	return support_must("git", "-C", path, "cat-file", "blob", git_oid_tostr(hex, sizeof(hex), id), NULL);
}

static guint count_files(const char *folder, const char *ending)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;
	guint n = 0;

	while ((name = g_dir_read_name(dir)) != NULL)
		n += g_str_has_suffix(name, ending);
	return n;
}

static void git_verifies_a_pack_and_reads_its_objects(void **state)
{
	g_autofree char *packs = NULL, *path = repository("one", &packs), *fsck = NULL, *text = NULL, *verified = NULL;
	autoptr(pack) pack = pack_new();
	g_autofree char *large = g_strnfill(300000, 'x');
	git_oid small, id, empty;

	(void)state;
	add(pack, "hello\n", &small);
	add(pack, large, &id);
	add(pack, "", &empty);
	write_to(pack, packs);
	verified = support_must("sh", "-c", "git verify-pack -v \"$1\"/*.idx", "sh", packs, NULL);
	assert_contains(verified, ": ok");
	fsck = support_must("git", "-C", path, "fsck", "--strict", "--no-dangling", NULL);
	text = cat(path, &id);
	assert_string_equal(text, large);
}

static void git_makes_the_same_index_from_our_pack(void **state)
{
	g_autofree char *packs = NULL, *path = repository("index", &packs), *same = NULL;
	autoptr(pack) pack = pack_new();
	git_oid id;

	(void)state;
	for (guint i = 0; i < 1000; i++) {
		g_autofree char *text = g_strdup_printf("object %u", i);

		add(pack, text, &id);
	}
	write_to(pack, packs);
	same = support_must("sh", "-c",
	    "cd \"$1\" && git index-pack --strict -o again.idx pack-*.pack && cmp again.idx pack-*.idx && echo same",
	    "sh", packs, NULL);
	assert_contains(same, "same");
}

static void the_same_object_stands_in_a_pack_once(void **state)
{
	autoptr(pack) pack = pack_new();
	git_oid one, other;

	(void)state;
	add(pack, "twice", &one);
	add(pack, "twice", &other);
	assert_true(git_oid_equal(&one, &other));
	assert_int_equal(pack_count(pack), 1);
}

static void joined_packs_hold_every_object_once(void **state)
{
	g_autofree char *packs = NULL, *path = repository("join", &packs), *fsck = NULL, *count = NULL;
	git_oid ids[60];
	gboolean merged = FALSE;
	g_autoptr(GError) error = NULL;

	(void)state;
	for (guint i = 0; i < 60; i++) {
		autoptr(pack) pack = pack_new();
		g_autofree char *text = g_strdup_printf("object %u", i);
		git_oid shared;

		add(pack, text, &ids[i]);
		add(pack, "in every pack", &shared);
		write_to(pack, packs);
	}
	assert_ok(pack_merge(packs, 50, &merged, &error), error);
	assert_true(merged);
	assert_int_equal(count_files(packs, ".pack"), 1);
	assert_int_equal(count_files(packs, ".idx"), 1);
	fsck = support_must("git", "-C", path, "fsck", "--strict", "--no-dangling", NULL);
	count = support_must("sh", "-c", "git verify-pack -v \"$1\"/*.idx | grep -c blob", "sh", packs, NULL);
	assert_string_equal(count, "61");
	for (guint i = 0; i < 60; i += 13) {
		g_autofree char *text = cat(path, &ids[i]), *expected = g_strdup_printf("object %u", i);

		assert_string_equal(text, expected);
	}
}

static void few_packs_are_left_alone(void **state)
{
	g_autofree char *packs = NULL, *path = repository("few", &packs);
	gboolean merged = TRUE;
	g_autoptr(GError) error = NULL;

	(void)state;
	for (guint i = 0; i < 5; i++) {
		autoptr(pack) pack = pack_new();
		g_autofree char *text = g_strdup_printf("object %u", i);
		git_oid id;

		add(pack, text, &id);
		write_to(pack, packs);
	}
	assert_ok(pack_merge(packs, 5, &merged, &error), error);
	assert_false(merged);
	assert_int_equal(count_files(packs, ".pack"), 5);
}

/* git's own packs may hold deltas, whose bases are named by distance: they cannot be moved by copying. */
static void packs_with_deltas_are_not_touched(void **state)
{
	g_autofree char *packs = NULL, *path = repository("deltas", &packs), *done = NULL, *fsck = NULL;
	gboolean merged = FALSE;
	g_autoptr(GError) error = NULL;

	(void)state;
	done = support_must("sh", "-c",
	    "cd \"$1\" && seq 20000 | git hash-object -w --stdin && seq 20001 | git hash-object -w --stdin && "
	    "git cat-file --batch-all-objects --batch-check='%(objectname) x' | git pack-objects -q objects/pack/pack",
	    "sh", path, NULL);
	for (guint i = 0; i < 3; i++) {
		autoptr(pack) pack = pack_new();
		g_autofree char *text = g_strdup_printf("object %u", i);
		git_oid id;

		add(pack, text, &id);
		write_to(pack, packs);
	}
	assert_ok(pack_merge(packs, 1, &merged, &error), error);
	assert_true(merged);
	assert_int_equal(count_files(packs, ".pack"), 2);
	fsck = support_must("git", "-C", path, "fsck", "--strict", "--no-dangling", NULL);
}

static void a_folder_that_cannot_be_written_is_unavailable(void **state)
{
	autoptr(pack) pack = pack_new();
	g_autofree char *path = support_path("nowhere");
	g_autoptr(GError) error = NULL;
	git_oid id;

	(void)state;
	add(pack, "x", &id);
	assert_fails(pack_write(pack, path, &error), error, TAGSEAL_ERROR_UNAVAILABLE, "could not be made");
}

static void what_a_crash_left_is_swept(void **state)
{
	g_autofree char *packs = NULL, *path = repository("sweep", &packs);
	g_autofree char *left = g_build_filename(packs, "tmp_tagseal_pack-00.pack", NULL);

	(void)state;
	support_write(left, "half");
	pack_sweep(packs);
	assert_false(g_file_test(left, G_FILE_TEST_EXISTS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(git_verifies_a_pack_and_reads_its_objects),
		cmocka_unit_test(git_makes_the_same_index_from_our_pack),
		cmocka_unit_test(the_same_object_stands_in_a_pack_once),
		cmocka_unit_test(joined_packs_hold_every_object_once),
		cmocka_unit_test(few_packs_are_left_alone),
		cmocka_unit_test(packs_with_deltas_are_not_touched),
		cmocka_unit_test(a_folder_that_cannot_be_written_is_unavailable),
		cmocka_unit_test(what_a_crash_left_is_swept),
	};

	support_isolate();
	if (!mirror_init(NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
