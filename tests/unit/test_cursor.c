#include "tests/unit/support.h"

#include "gitops/base/cursor.h"

static struct cursor over(const void *data, size_t size)
{
	struct cursor c;

	cursor_init(&c, data, size);
	return c;
}

static void fields_are_taken_in_their_order(void **state)
{
	static const uint8_t data[] = { 'M', 'Z', 7, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 1, 2, 3, 4, 9 };
	struct cursor c = over(data, sizeof(data));
	g_autoptr(GError) error = NULL;
	const uint8_t *rest;
	uint64_t eight;
	uint32_t four, little_four;
	uint16_t two, little_two;
	uint8_t one;

	assert_true(cursor_magic(&c, "MZ", 2, "magic") && cursor_u8(&c, &one, "one") && cursor_be16(&c, &two, "two") &&
		    cursor_be32(&c, &four, "four") && cursor_be64(&c, &eight, "eight") &&
		    cursor_le16(&c, &little_two, "little two") && cursor_le32(&c, &little_four, "little four") &&
		    cursor_bytes(&c, &rest, 1, "rest"));
	assert_int_equal(one, 7);
	assert_int_equal(two, 0x0102);
	assert_int_equal(four, 0x01020304);
	assert_int_equal(eight, 0x0102030405060708);
	assert_int_equal(little_two, 0x0201);
	assert_int_equal(little_four, 0x04030201);
	assert_int_equal(*rest, 9);
	assert_ok(cursor_end(&c, "header", &error), error);
}

static void a_field_beyond_the_end_is_refused_by_name(void **state)
{
	struct cursor c = over("\0\0\1", 3);
	GError *error = NULL;
	uint32_t four;
	uint8_t one;

	assert_false(cursor_skip(&c, 1, "flags") && cursor_be32(&c, &four, "length"));
	assert_refused(cursor_fail(&c, "header", &error), error, "header: length at offset 1: it needs 4 bytes, but 2");
	/* and nothing can be taken after that, though a byte is there */
	assert_false(cursor_u8(&c, &one, "type"));
	assert_refused(cursor_end(&c, "header", &error), error, "length at offset 1");
}

static void the_largest_size_does_not_wrap_round(void **state)
{
	struct cursor c = over("abc", 3);
	const uint8_t *out;

	assert_true(cursor_skip(&c, 1, "first"));
	assert_false(cursor_bytes(&c, &out, SIZE_MAX, "rest"));
	assert_int_equal(c.at, 1);
}

static void bytes_that_follow_are_refused(void **state)
{
	struct cursor c = over("abc", 3);
	GError *error = NULL;

	assert_true(cursor_skip(&c, 1, "first"));
	assert_fails(cursor_end(&c, "signature", &error), error, TAGSEAL_ERROR_REFUSED,
	    "signature: 2 bytes follow at offset 1, where it must end");
}

static void a_string_is_held_to_its_limit_and_to_what_is_left(void **state)
{
	static const uint8_t good[] = { 0, 0, 0, 2, 'h', 'i' }, longer[] = { 0, 0, 0, 3, 'h', 'i' };
	struct cursor c = over(good, sizeof(good));
	GError *error = NULL;
	const uint8_t *text;
	size_t size;

	assert_true(cursor_string(&c, &text, &size, 2, "name"));
	assert_int_equal(size, 2);
	assert_memory_equal(text, "hi", 2);

	c = over(good, sizeof(good));
	assert_false(cursor_string(&c, &text, &size, 1, "name"));
	assert_refused(cursor_fail(&c, "key", &error), error, "name at offset 0: it has 2 bytes, and at most 1");

	c = over(longer, sizeof(longer));
	assert_false(cursor_string(&c, &text, &size, 99, "name"));
	assert_refused(cursor_fail(&c, "key", &error), error, "name at offset 0: it needs 3 bytes, but 2");
}

static void a_line_ends_with_lf_or_is_none(void **state)
{
	struct cursor c = over("tree\n\nrest", 10);
	GError *error = NULL;
	const char *line;
	size_t size;

	assert_true(cursor_line(&c, &line, &size, "tree"));
	assert_int_equal(size, 4);
	assert_true(cursor_line(&c, &line, &size, "blank"));
	assert_int_equal(size, 0);
	assert_false(cursor_line(&c, &line, &size, "author"));
	assert_refused(cursor_fail(&c, "commit", &error), error, "author at offset 6: no line end follows");

	c = over(NULL, 0);
	assert_false(cursor_line(&c, &line, &size, "tree"));
}

static void a_seek_stays_inside(void **state)
{
	struct cursor c = over("abc", 3);
	GError *error = NULL;

	assert_true(cursor_seek(&c, 3, "end"));
	assert_int_equal(cursor_left(&c), 0);
	assert_true(cursor_seek(&c, 0, "start"));
	assert_false(cursor_seek(&c, 4, "table"));
	assert_refused(cursor_fail(&c, "PE", &error), error, "it points to offset 4, but only 3 bytes exist");
}

static void a_wrong_magic_is_refused_also_when_it_is_cut(void **state)
{
	struct cursor c = over("SSHSIX", 6);

	assert_false(cursor_magic(&c, "SSHSIG", 6, "magic"));
	c = over("SSH", 3);
	assert_false(cursor_magic(&c, "SSHSIG", 6, "magic"));
	assert_int_equal(c.at, 0);
}

static void the_first_reason_stands(void **state)
{
	struct cursor c = over("abc", 3);
	GError *error = NULL;

	assert_false(cursor_refuse(&c, "version", "it is %d, and only 1 is known", 2));
	assert_false(cursor_refuse(&c, "flags", "they are reserved"));
	assert_false(cursor_skip(&c, 99, "rest"));
	assert_refused(cursor_fail(&c, "x", &error), error, "version at offset 0: it is 2, and only 1 is known");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_taken_in_their_order),
		cmocka_unit_test(a_field_beyond_the_end_is_refused_by_name),
		cmocka_unit_test(the_largest_size_does_not_wrap_round),
		cmocka_unit_test(bytes_that_follow_are_refused),
		cmocka_unit_test(a_string_is_held_to_its_limit_and_to_what_is_left),
		cmocka_unit_test(a_line_ends_with_lf_or_is_none),
		cmocka_unit_test(a_seek_stays_inside),
		cmocka_unit_test(a_wrong_magic_is_refused_also_when_it_is_cut),
		cmocka_unit_test(the_first_reason_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
