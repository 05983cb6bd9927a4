#include "tests/unit/support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void hex_is_lower_case_and_exact(void **state)
{
	g_autofree char *hex = hex_encode("\x00\xff\x1a", 3), *empty = hex_encode("", 0);
	uint8_t out[3];

	assert_string_equal(hex, "00ff1a");
	assert_string_equal(empty, "");
	assert_true(hex_decode("00FF1a", out, 3));
	assert_memory_equal(out, "\x00\xff\x1a", 3);
	assert_false(hex_decode("00ff1", out, 3));
	assert_false(hex_decode("00ff1a00", out, 3));
	assert_false(hex_decode("00ff1g", out, 3));
	assert_false(hex_decode(NULL, out, 3));
}

static void base64_gives(const char *text, gboolean newlines, const char *expected)
{
	g_autoptr(GBytes) bytes = base64_decode_strict(text, strlen(text), newlines);

	assert_non_null(bytes);
	assert_int_equal(g_bytes_get_size(bytes), strlen(expected));
	if (*expected != '\0')
		assert_memory_equal(g_bytes_get_data(bytes, NULL), expected, strlen(expected));
}

static void base64_is_read(void **state)
{
	/* RFC 4648 section 10 */
	base64_gives("", FALSE, "");
	base64_gives("Zg==", FALSE, "f");
	base64_gives("Zm8=", FALSE, "fo");
	base64_gives("Zm9v", FALSE, "foo");
	base64_gives("Zm9vYmFy", FALSE, "foobar");
	base64_gives("+/+/", FALSE, "\xfb\xff\xbf");
	base64_gives("Zm9v\nYmFy\r\n", TRUE, "foobar");
}

static void two_texts_for_the_same_bytes_are_refused(void **state)
{
	static const char *const bad[] = { "Zh==", "Zm9=", "Zg", "Zg=", "Zg===", "Z", "=", "====", "Zg==Zg==", "Zm=v",
		"Zm9v ", "Zm9v\n", "Z-_v", "\tZm9v" };

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		assert_null(base64_decode_strict(bad[i], strlen(bad[i]), FALSE));
	assert_null(base64_decode_strict("Zm\r9v", 5, TRUE));
	assert_null(base64_decode_strict("Zm9v ", 5, TRUE));
}

static void digests_are_written_with_their_algorithm(void **state)
{
	/* FIPS 180-2 appendix B.1 */
	static const char abc[] = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = g_bytes_new_static("abc", 3);
	g_autofree char *text = sha256_text("abc", 3), *of_bytes = sha256_text_bytes(bytes);
	g_autofree char *empty = sha256_text(NULL, 0);
	autofd int fd = memfd_from_bytes("abc", bytes, &error);
	uint64_t size = 0;
	g_autofree char *of_fd = sha256_text_fd(fd, &size, &error);

	assert_string_equal(text, abc);
	assert_string_equal(of_bytes, abc);
	assert_string_equal(of_fd, abc);
	assert_int_equal(size, 3);
	assert_true(is_sha256_text(text));
	assert_string_equal(empty, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void a_large_file_has_the_digest_that_sha256sum_says(void **state)
{
	g_autofree char *path = support_path("large"), *data = g_strnfill(300001, 'x');
	g_autoptr(GError) error = NULL;

	support_write(path, data);
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(lseek(fd, 1000, SEEK_SET) == 1000);
	g_autofree char *text = sha256_text_fd(fd, NULL, &error), *judge = support_must("sha256sum", path, NULL);
	assert_ok(text, error);
	judge[64] = '\0';
	assert_string_equal(text + 7, judge);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 1000);
}

static void shows(const char *text, gssize size, size_t max, const char *expected)
{
	g_autofree char *shown = text_escape(text, size, max);

	assert_string_equal(shown, expected);
}

static void strangers_text_is_escaped(void **state)
{
	shows("plain \303\251 \360\237\230\200 it's", -1, 100, "plain \303\251 \360\237\230\200 it's");
	shows("a\nb\x1b[2J\x7f", -1, 100, "a\\x0ab\\x1b[2J\\x7f");
	shows("say \"x\"", -1, 100, "say \\x22x\\x22");
	shows("\342\200\256\302\205\342\200\213", -1, 100, "\\xe2\\x80\\xae\\xc2\\x85\\xe2\\x80\\x8b");
	shows("\xff\xc3", -1, 100, "\\xff\\xc3");
	shows("a\0b", 3, 100, "a\\x00b");
	shows(NULL, -1, 100, "");
}

static void long_text_is_cut_between_characters(void **state)
{
	shows("abcdef", -1, 6, "abcdef");
	shows("abcdefg", -1, 6, "abc...");
	shows("ab\303\251\303\251\303\251", -1, 6, "ab...");
	shows("ab\ncdefg", -1, 8, "ab...");
	shows("abcdefg", -1, 2, "");
	shows("abcdefg", 3, 6, "abc");
}

static void clean_text_is_one_printable_line(void **state)
{
	static const char *const bad[] = { "a\nb", "\x1b", "\x7f", "\302\205", "\342\200\256", "\342\201\246",
		"\342\200\250", "\357\273\277", "\xff", "\xc0\xaf", "\xed\xa0\x80" };

	assert_true(text_is_clean("Ren\303\251 \"O'Brien\"", 15));
	assert_true(text_is_clean("", 0));
	assert_false(text_is_clean("a\0b", 3));
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		assert_false(text_is_clean(bad[i], strlen(bad[i])));
}

static void a_file_is_read_up_to_its_limit(void **state)
{
	g_autofree char *path = support_path("file");
	GError *error = NULL;

	support_write(path, "12345");
	g_autoptr(GBytes) bytes = file_read(path, 5, &error);
	assert_ok(bytes, error);
	assert_int_equal(g_bytes_get_size(bytes), 5);
	assert_fails(file_read(path, 4, &error), error, TAGSEAL_ERROR_TOO_LARGE, "larger than the limit of 4 bytes");
}

static void an_empty_file_is_read(void **state)
{
	g_autofree char *path = support_path("empty");
	GError *error = NULL;

	support_write(path, "");
	g_autoptr(GBytes) bytes = file_read(path, 5, &error);
	assert_ok(bytes, error);
	assert_int_equal(g_bytes_get_size(bytes), 0);
	g_autoptr(GBytes) nothing = file_read(path, 0, &error);
	assert_ok(nothing, error);
}

static void a_file_whose_size_is_unknown_is_read_whole(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = file_read("/proc/self/maps", 16 * 1024 * 1024, &error);

	assert_ok(bytes, error);
	assert_true(g_bytes_get_size(bytes) > 4096);
}

static void what_cannot_be_read_says_why(void **state)
{
	g_autofree char *missing = support_path("missing"), *below = support_path("file/below");
	g_autofree char *file = support_path("file");
	GError *error = NULL;

	support_write(file, "x");
	assert_fails(file_read(missing, 5, &error), error, TAGSEAL_ERROR_NOT_FOUND, "missing: No such file");
	assert_fails(file_read(below, 5, &error), error, TAGSEAL_ERROR_NOT_FOUND, "Not a directory");
	assert_fails(file_read(support_tmp(), 5, &error), error, TAGSEAL_ERROR_UNKNOWN, "Is a directory");
}

static void standard_input_is_a_dash(void **state)
{
	g_autofree char *path = support_path("stdin");
	g_autoptr(GError) error = NULL;
	int saved = dup(STDIN_FILENO), fd;

	support_write(path, "hello");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	dup2(fd, STDIN_FILENO);
	g_autoptr(GBytes) bytes = file_read("-", 5, &error);
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(fd);
	assert_ok(bytes, error);
	assert_memory_equal(g_bytes_get_data(bytes, NULL), "hello", 5);
}

static void a_file_is_replaced_whole_and_nothing_is_left_behind(void **state)
{
	g_autofree char *folder = support_folder("replace"), *path = g_build_filename(folder, "f", NULL);
	g_autoptr(GError) error = NULL;
	struct stat st;

	assert_ok(file_write(path, "first", 5, 0644, &error), error);
	assert_ok(file_write(path, "2nd", 3, 0600, &error), error);
	g_autofree char *text = support_read(path), *names = support_must("ls", "-A", folder, NULL);
	assert_string_equal(text, "2nd");
	assert_string_equal(names, "f");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_failed_write_leaves_nothing(void **state)
{
	g_autofree char *folder = support_folder("blocked"), *taken = support_folder("blocked/taken");
	g_autofree char *inner = support_path("blocked/taken/x"), *missing = support_path("nowhere/x");
	GError *error = NULL;

	support_write(inner, "x");
	assert_refused(file_write(taken, "y", 1, 0600, &error), error, "cannot write");
	assert_fails(file_write(missing, "y", 1, 0600, &error), error, TAGSEAL_ERROR_NOT_FOUND, "cannot write");
	g_autofree char *names = support_must("ls", "-A", folder, NULL);
	assert_string_equal(names, "taken");
}

static void a_device_or_pipe_is_written_into_and_not_replaced(void **state)
{
	g_autofree char *path = support_path("pipe");
	g_autoptr(GError) error = NULL;
	char text[6] = "";
	struct stat st;

	assert_int_equal(mkfifo(path, 0600), 0);
	autofd int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_ok(file_write(path, "hello", 5, 0600, &error), error);
	assert_int_equal(read(fd, text, 5), 5);
	assert_string_equal(text, "hello");
	assert_ok(file_write("/dev/null", "x", 1, 0600, &error), error);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static void a_full_disk_means_try_again_later(void **state)
{
	GError *error = NULL;
	autofd int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_fails(fd_write_all(fd, "x", 1, &error), error, TAGSEAL_ERROR_UNAVAILABLE, "No space left");
}

static void a_sealed_memfd_cannot_change(void **state)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static("sealed", 6);
	g_autoptr(GError) error = NULL;
	autofd int fd = memfd_from_bytes("m", bytes, &error);
	uint64_t size;

	assert_true(fd >= 0);
	assert_true(pwrite(fd, "x", 1, 0) < 0);
	assert_true(ftruncate(fd, 1) < 0);
	assert_true(ftruncate(fd, 100) < 0);
	assert_true(mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	assert_true(fcntl(fd, F_GET_SEALS) & F_SEAL_SEAL);
	assert_ok(fd_size(fd, &size, &error), error);
	assert_int_equal(size, 6);
	g_autoptr(GBytes) again = fd_read(fd, 6, &error);
	assert_true(g_bytes_equal(bytes, again));
}

static void a_part_is_copied_to_where_the_other_stands(void **state)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static("0123456789", 10);
	GError *error = NULL;
	autofd int from = memfd_from_bytes("from", bytes, &error), to = memfd_new("to", &error);
	char text[7] = "";

	assert_ok(fd_write_all(to, "ab", 2, &error), error);
	assert_ok(fd_copy(from, 3, 4, to, &error), error);
	assert_ok(fd_pread_all(to, text, 6, 0, &error), error);
	assert_string_equal(text, "ab3456");
	assert_fails(fd_copy(from, 8, 4, to, &error), error, TAGSEAL_ERROR_REFUSED,
	    "it ends at byte 10, where 2 more bytes must follow");
	assert_fails(fd_copy(from, UINT64_MAX, 2, to, &error), error, TAGSEAL_ERROR_TOO_LARGE, "no file reaches");
}

static void a_copy_goes_into_a_pipe_too(void **state)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static("0123456789", 10);
	g_autoptr(GError) error = NULL;
	autofd int from = memfd_from_bytes("from", bytes, &error);
	char text[5] = "";
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_ok(fd_copy(from, 2, 4, ends[1], &error), error);
	assert_int_equal(read(ends[0], text, 4), 4);
	assert_string_equal(text, "2345");
	close(ends[0]);
	close(ends[1]);
}

static void reading_beyond_the_end_is_refused(void **state)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static("abc", 3);
	GError *error = NULL;
	autofd int fd = memfd_from_bytes("abc", bytes, &error);
	char out[4];
	int ends[2];
	uint64_t size;

	assert_fails(fd_pread_all(fd, out, 4, 0, &error), error, TAGSEAL_ERROR_REFUSED, "it ends at byte 3");
	assert_fails(fd_pread_all(fd, out, 4, UINT64_MAX - 1, &error), error, TAGSEAL_ERROR_TOO_LARGE, "no file");
	assert_fails(fd_read(fd, 2, &error), error, TAGSEAL_ERROR_TOO_LARGE, "limit of 2 bytes");
	assert_int_equal(pipe(ends), 0);
	assert_refused(fd_size(ends[0], &size, &error), error, "not a regular file");
	close(ends[0]);
	close(ends[1]);
}

static void times_are_written_in_utc(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ INT64_C(1772323200000), "2026-03-01T00:00:00.000Z" },
		{ INT64_C(951782400123), "2000-02-29T00:00:00.123Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = time_format_ms(cases[i].ms);
		int64_t ms = 7;

		assert_string_equal(text, cases[i].text);
		assert_true(time_parse_ms(text, &ms));
		assert_int_equal(ms, cases[i].ms);
	}
}

static void offsets_and_fractions_are_read(void **state)
{
	int64_t ms;

	assert_true(time_parse_ms("2026-03-01T01:30:00+01:30", &ms));
	assert_int_equal(ms, INT64_C(1772323200000));
	assert_true(time_parse_ms("2026-02-28T16:00:00.5-08:00", &ms));
	assert_int_equal(ms, INT64_C(1772323200500));
	assert_true(time_parse_ms("2026-03-01t00:00:00.123456789z", &ms));
	assert_int_equal(ms, INT64_C(1772323200123));
}

static void what_is_no_time_is_refused(void **state)
{
	static const char *const bad[] = { "", "2026-03-01", "2026-03-01T00:00:00", "2026-03-01 00:00:00Z",
		"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-03-01T24:00:00Z",
		"2026-03-01T00:60:00Z", "2026-03-01T00:00:60Z", "2026-03-01T00:00:00.Z", "2026-03-01T00:00:00Zx",
		"2026-03-01T00:00:00+24:00", "2026-03-01T00:00:00+0100", "26-03-01T00:00:00Z", "+2026-03-01T00:00:00Z",
		" 2026-03-01T00:00:00Z", "2026-3-1T00:00:00Z" };
	int64_t ms;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		assert_false(time_parse_ms(bad[i], &ms));
	assert_false(time_parse_ms(NULL, &ms));
}

static void ulids_are_fresh_and_sort_by_time(void **state)
{
	g_autofree char *first = ulid_new(), *second = NULL, *third = ulid_new();

	g_usleep(3000);
	second = ulid_new();
	assert_true(is_ulid(first) && is_ulid(second) && is_ulid(third));
	assert_string_not_equal(first, third);
	assert_true(strncmp(first, second, 10) < 0);
	assert_true(is_ulid("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"));
	assert_false(is_ulid("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"));
	assert_false(is_ulid("01ARZ3NDEKTSV4RRFFQ69G5FA"));
	assert_false(is_ulid("01ARZ3NDEKTSV4RRFFQ69G5FAU"));
	assert_false(is_ulid("01arz3ndektsv4rrffq69g5fav"));
	assert_false(is_ulid(NULL));
}

static void the_random_digits_of_a_ulid_all_vary(void **state)
{
	guint32 seen[16] = { 0 };

	for (int i = 0; i < 500; i++) {
		g_autofree char *ulid = ulid_new();

		for (int j = 0; j < 16; j++)
			seen[j] |= 1U << (strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ", ulid[10 + j]) -
					  "0123456789ABCDEFGHJKMNPQRSTVWXYZ");
	}
	for (int j = 0; j < 16; j++)
		assert_int_equal(seen[j], UINT32_MAX);
}

static void ids_and_digests_are_exact(void **state)
{
	assert_true(is_object_id("0123456789abcdef0123456789abcdef01234567"));
	assert_false(is_object_id("0123456789ABCDEF0123456789abcdef01234567"));
	assert_false(is_object_id("0123456789abcdef0123456789abcdef0123456"));
	assert_false(is_object_id("0123456789abcdef0123456789abcdef012345678"));
	assert_false(is_object_id(NULL));
	assert_false(is_sha256_text("sha256:abc"));
	assert_false(is_sha256_text("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
	assert_false(is_sha256_text("sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}

/* What git itself says of a full name. */
static gboolean git_takes(const char *name)
{
	autoptr(run) git = support_run("git", "check-ref-format", name, NULL);

	return git->status == 0;
}

static void reference_names_are_those_that_git_takes(void **state)
{
	static const char *const names[] = { "refs/tags/v1.0", "refs/heads/a/b", "refs/heads/@", "refs/heads/a@b",
		"refs/heads/.a", "refs/heads/a/.b", "refs/heads/a.lock", "refs/heads/a.lock/b", "refs/heads/a..b",
		"refs/heads/a b", "refs/heads/a~b", "refs/heads/a^b", "refs/heads/a:b", "refs/heads/a?", "refs/heads/*",
		"refs/heads/[", "refs/heads/a\\b", "refs/heads/", "refs//heads", "refs/heads/a.", "refs/heads/a@{b",
		"refs/heads/\x7f", "refs/heads/a\tb", "refs/heads/\303\251", "refs/heads/-a", "refs/a.b/c" };

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		if (is_ref_name(names[i]) != git_takes(names[i]))
			fail_msg("git and we differ over \"%s\"", names[i]);
	}
}

static void short_and_endless_names_are_no_full_references(void **state)
{
	g_autofree char *fill = g_strnfill(251, 'x'), *longest = g_strconcat("refs/", fill + 1, NULL);
	g_autofree char *longer = g_strconcat("refs/", fill, NULL);

	assert_false(is_ref_name("v1.0"));
	assert_false(is_ref_name("HEAD"));
	assert_false(is_ref_name("heads/main"));
	assert_false(is_ref_name("refs"));
	assert_false(is_ref_name("refs/"));
	assert_false(is_ref_name(""));
	assert_false(is_ref_name(NULL));
	assert_true(is_ref_name(longest));
	assert_false(is_ref_name(longer));
}

static void globs_match_whole_names(void **state)
{
	static const struct {
		const char *pattern, *text;
		gboolean match;
	} cases[] = {
		{ "v[0-9]*", "v1.2", TRUE },
		{ "v[0-9]*", "vx", FALSE },
		{ "v[0-9]*", "xv1", FALSE },
		{ "v?", "v", FALSE },
		{ "v?", "v\303\251", TRUE },
		{ "*", "a/b", FALSE },
		{ "**", "a/b", TRUE },
		{ "*/b", "a/b", TRUE },
		{ "a?b", "a/b", FALSE },
		{ "a[!x]b", "a/b", FALSE },
		{ "a[!x]b", "ayb", TRUE },
		{ "a[!x]b", "axb", FALSE },
		{ "[]x]", "]", TRUE },
		{ "[!]x]", "]", FALSE },
		{ "[a-]", "-", TRUE },
		{ "[a", "[a", TRUE },
		{ "src/**/x.c", "src/x.c", TRUE },
		{ "src/**/x.c", "src/a/b/x.c", TRUE },
		{ "src/**/x.c", "src/ax.c", FALSE },
		{ "**/x.c", "x.c", TRUE },
		{ "**/x.c", "ax.c", FALSE },
		{ "a**c", "ab/bc", TRUE },
		{ "src/**", "src/a/b", TRUE },
		{ "", "", TRUE },
		{ "", "a", FALSE },
		{ "*", "", TRUE },
		{ "a*b*c", "aXbYbZc", TRUE },
		{ "*.exe", "a.exe.txt", FALSE },
		{ "a\\b", "a\\b", TRUE },
		{ "a/b", "a\\b", FALSE },
		{ "*", "\xff\xfe", TRUE },
		{ "A", "a", FALSE },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		if (glob_match(cases[i].pattern, cases[i].text, FALSE, FALSE) != cases[i].match)
			fail_msg("%s over %s", cases[i].pattern, cases[i].text);
	}
}

static void paths_and_case_may_be_folded(void **state)
{
	assert_true(glob_match("dist/*.exe", "dist\\a.exe", TRUE, FALSE));
	assert_true(glob_match("dist\\*.exe", "dist/a.exe", TRUE, FALSE));
	assert_false(glob_match("dist/*", "dist/sub\\a.exe", TRUE, FALSE));
	assert_true(glob_match("DIST/*.ex[A-F]", "dist/A.EXE", TRUE, TRUE));
	assert_true(glob_match("\303\211", "\303\251", FALSE, TRUE));
}

/* The definition, tried by brute force: what the quick matcher must agree with. */
static gboolean slow_match(const char *p, const char *t, gboolean at_start)
{
	if (p[0] == '*' && p[1] == '*') {
		const char *rest = p + 2;
		gboolean folders = at_start && *rest == '/';

		for (const char *s = t;; s++) {
			if (folders ? (s == t || s[-1] == '/') && slow_match(rest + 1, s, TRUE)
				    : slow_match(rest, s, FALSE))
				return TRUE;
			if (*s == '\0')
				return FALSE;
		}
	}
	if (*p == '*') {
		for (const char *s = t;; s++) {
			if (slow_match(p + 1, s, FALSE))
				return TRUE;
			if (*s == '\0' || *s == '/')
				return FALSE;
		}
	}
	if (*p == '\0' || *t == '\0')
		return *p == *t;
	return (*p == *t || (*p == '?' && *t != '/')) && slow_match(p + 1, t + 1, *p == '/');
}

static void the_quick_matcher_agrees_with_the_definition(void **state)
{
	g_autoptr(GRand) random = g_rand_new_with_seed(20260301);
	int matches = 0;

	for (int i = 0; i < 200000; i++) {
		char pattern[9] = "", text[11] = "";
		gboolean expected;

		for (int j = g_rand_int_range(random, 0, 9) - 1; j >= 0; j--)
			pattern[j] = "ab/?**"[g_rand_int_range(random, 0, 6)];
		for (int j = g_rand_int_range(random, 0, 11) - 1; j >= 0; j--)
			text[j] = "aab/"[g_rand_int_range(random, 0, 4)];
		if (strstr(pattern, "***") != NULL)
			continue; /* three stars are two */
		expected = slow_match(pattern, text, TRUE);
		matches += expected;
		if (glob_match(pattern, text, FALSE, FALSE) != expected)
			fail_msg("%s over %s: not %d", pattern, text, expected);
	}
	assert_true(matches > 1000);
}

static void no_glob_takes_for_ever(void **state)
{
	g_autofree char *text = g_strnfill(4000, 'a');
	gint64 start = g_get_monotonic_time();

	assert_false(glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text, FALSE, FALSE));
	assert_false(glob_match("**a**a**a**a**a*a*a**a**a**a**a**a**b", text, FALSE, FALSE));
	assert_true(g_get_monotonic_time() - start < 20 * G_USEC_PER_SEC);
}

static void the_nearest_name_is_near(void **state)
{
	static const char *const names[] = { "openpgp", "ssh", "email", NULL };

	assert_string_equal(name_nearest("opengpg", names), "openpgp");
	assert_string_equal(name_nearest("e-mail", names), "email");
	assert_null(name_nearest("telephone", names));
	assert_null(name_nearest("", names + 3));
}

int main(void)
{
	support_isolate();

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_is_lower_case_and_exact),
		cmocka_unit_test(base64_is_read),
		cmocka_unit_test(two_texts_for_the_same_bytes_are_refused),
		cmocka_unit_test(digests_are_written_with_their_algorithm),
		cmocka_unit_test(a_large_file_has_the_digest_that_sha256sum_says),
		cmocka_unit_test(strangers_text_is_escaped),
		cmocka_unit_test(long_text_is_cut_between_characters),
		cmocka_unit_test(clean_text_is_one_printable_line),
		cmocka_unit_test(a_file_is_read_up_to_its_limit),
		cmocka_unit_test(an_empty_file_is_read),
		cmocka_unit_test(a_file_whose_size_is_unknown_is_read_whole),
		cmocka_unit_test(what_cannot_be_read_says_why),
		cmocka_unit_test(standard_input_is_a_dash),
		cmocka_unit_test(a_file_is_replaced_whole_and_nothing_is_left_behind),
		cmocka_unit_test(a_failed_write_leaves_nothing),
		cmocka_unit_test(a_device_or_pipe_is_written_into_and_not_replaced),
		cmocka_unit_test(a_full_disk_means_try_again_later),
		cmocka_unit_test(a_sealed_memfd_cannot_change),
		cmocka_unit_test(a_part_is_copied_to_where_the_other_stands),
		cmocka_unit_test(a_copy_goes_into_a_pipe_too),
		cmocka_unit_test(reading_beyond_the_end_is_refused),
		cmocka_unit_test(times_are_written_in_utc),
		cmocka_unit_test(offsets_and_fractions_are_read),
		cmocka_unit_test(what_is_no_time_is_refused),
		cmocka_unit_test(ulids_are_fresh_and_sort_by_time),
		cmocka_unit_test(the_random_digits_of_a_ulid_all_vary),
		cmocka_unit_test(ids_and_digests_are_exact),
		cmocka_unit_test(reference_names_are_those_that_git_takes),
		cmocka_unit_test(short_and_endless_names_are_no_full_references),
		cmocka_unit_test(globs_match_whole_names),
		cmocka_unit_test(paths_and_case_may_be_folded),
		cmocka_unit_test(the_quick_matcher_agrees_with_the_definition),
		cmocka_unit_test(no_glob_takes_for_ever),
		cmocka_unit_test(the_nearest_name_is_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
