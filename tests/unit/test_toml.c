#include "tests/unit/support.h"

#include <string.h>

#include "gitops/base/toml.h"

struct thing {
	char *name, *purpose, **tags;
	int64_t threshold, wait, born;
	uint64_t limit;
	gboolean strict;
	const struct toml *nested;
};

static const struct toml_field rows[] = {
	{ .key = "name", .type = TOML_T_STRING, .offset = offsetof(struct thing, name), .required = TRUE },
	{ .key = "purpose",
	    .type = TOML_T_CHOICE,
	    .offset = offsetof(struct thing, purpose),
	    .choices = "release|test",
	    .dflt = "test" },
	{ .key = "tags", .type = TOML_T_STRINGS, .offset = offsetof(struct thing, tags), .dflt = "[\"v*\"]" },
	{ .key = "threshold",
	    .type = TOML_T_INTEGER,
	    .offset = offsetof(struct thing, threshold),
	    .dflt = "1",
	    .min = 1,
	    .max = 9 },
	{ .key = "wait", .type = TOML_T_DURATION, .offset = offsetof(struct thing, wait), .dflt = "\"30s\"" },
	{ .key = "born", .type = TOML_T_TIME, .offset = offsetof(struct thing, born) },
	{ .key = "limit",
	    .type = TOML_T_SIZE,
	    .offset = offsetof(struct thing, limit),
	    .dflt = "64M",
	    .max = INT64_C(1) << 31 },
	{ .key = "strict", .type = TOML_T_BOOLEAN, .offset = offsetof(struct thing, strict), .dflt = "true" },
	{ .key = "nested", .type = TOML_T_NODE, .offset = offsetof(struct thing, nested) },
};

static gboolean read_into(struct thing *out, const char *text, struct toml **root, GError **error)
{
	*out = (struct thing){ 0 };
	*root = toml_parse(text, strlen(text), "thing.toml", error);
	return *root != NULL && toml_read(*root, rows, G_N_ELEMENTS(rows), out, "thing", error);
}

static void refused(const char *text, const char *words)
{
	GError *error = NULL;
	struct toml *root;
	struct thing out;

	assert_fails(read_into(&out, text, &root, &error), error, TAGSEAL_ERROR_REFUSED, words);
	assert_null(out.name);
	toml_free(root);
}

static void every_type_is_read(void **state)
{
	g_autoptr(GError) error = NULL;
	struct toml *root;
	struct thing out;

	assert_ok(read_into(&out,
		      "name = \"x\"\npurpose = \"release\"\ntags = [\"a\", \"b\"]\nthreshold = 2\nwait = \"14d\"\n"
		      "born = 2026-03-01T01:00:00.5+01:00\nlimit = \"2G\"\nstrict = false\n[nested]\nk = 1\n",
		      &root, &error),
	    error);
	assert_string_equal(out.name, "x");
	assert_string_equal(out.purpose, "release");
	assert_string_equal(out.tags[1], "b");
	assert_null(out.tags[2]);
	assert_int_equal(out.threshold, 2);
	assert_int_equal(out.wait, INT64_C(14) * 24 * 3600 * 1000);
	assert_int_equal(out.born, INT64_C(1772323200500));
	assert_int_equal(out.limit, INT64_C(1) << 31);
	assert_false(out.strict);
	assert_int_equal(toml_as_integer(toml_get(out.nested, "k")), 1);
	toml_clear(rows, G_N_ELEMENTS(rows), &out);
	assert_null(out.name);
	toml_free(root);
}

static void what_is_left_out_has_its_default(void **state)
{
	g_autoptr(GError) error = NULL;
	struct toml *root;
	struct thing out;

	assert_ok(read_into(&out, "name = ''", &root, &error), error);
	assert_string_equal(out.name, "");
	assert_string_equal(out.purpose, "test");
	assert_string_equal(out.tags[0], "v*");
	assert_int_equal(out.threshold, 1);
	assert_int_equal(out.wait, 30000);
	assert_int_equal(out.born, 0);
	assert_int_equal(out.limit, 64 << 20);
	assert_true(out.strict);
	assert_null(out.nested);
	toml_clear(rows, G_N_ELEMENTS(rows), &out);
	toml_free(root);
}

static void an_array_without_a_default_is_empty(void **state)
{
	static const struct toml_field row = { .key = "tags", .type = TOML_T_STRINGS };
	autoptr(toml) root = toml_parse("", 0, "empty.toml", NULL);
	char **tags = NULL;

	assert_true(toml_read(root, &row, 1, &tags, "empty", NULL));
	assert_non_null(tags);
	assert_null(tags[0]);
	toml_clear(&row, 1, &tags);
}

static void a_default_must_be_in_its_own_range(void **state)
{
	static const struct toml_field row = { .key = "n", .type = TOML_T_INTEGER, .dflt = "0", .min = 1, .max = 2 };
	autoptr(toml) root = toml_parse("", 0, "empty.toml", NULL);
	GError *error = NULL;
	int64_t n = 0;

	assert_refused(toml_read(root, &row, 1, &n, "empty", &error), error, "default of n:1:1: \"n\" must be 1 to 2");
}

static void unknown_keys_are_told_with_place_and_the_right_name(void **state)
{
	refused(
	    "name = 'x'\n\ntreshold = 2\n", "thing.toml:3:1: unknown key \"treshold\"; did you mean \"threshold\"?");
	refused("name = 'x'\n  zzz = 2\n", "thing.toml:2:3: unknown key \"zzz\"");
	refused("name = 'x'\nnam\xcc\x81"
		"e = 'x'\n",
	    "thing.toml:2");
}

static void missing_keys_are_named(void **state)
{
	refused("threshold = 2", "thing.toml:1:1: thing: \"name\" is missing");
}

static void wrong_types_are_refused(void **state)
{
	refused("name = 1", "thing.toml:1:1: \"name\" must be a string");
	refused("name = 'x'\ntags = 'v*'", "thing.toml:2:1: \"tags\" must be an array of strings");
	refused("name = 'x'\ntags = ['v*', 1]", "\"tags\" must be an array of strings");
	refused("name = 'x'\nthreshold = '2'", "\"threshold\" must be an integer");
	refused("name = 'x'\nthreshold = 2.0", "\"threshold\" must be an integer");
	refused("name = 'x'\nstrict = 1", "\"strict\" must be true or false");
	refused("name = 'x'\nborn = '2026-03-01T00:00:00Z'", "\"born\" must be a date and time with its offset");
	refused("name = 'x'\nborn = 2026-03-01T00:00:00", "\"born\" must be a date and time with its offset");
	refused("name = 'x'\nborn = 2026-03-01", "\"born\" must be a date and time with its offset");
	refused("name = 'x'\npurpose = ['test']", "\"purpose\" must be one of \"release\", \"test\"");
}

static void values_out_of_range_are_refused(void **state)
{
	refused("name = 'x'\nthreshold = 0", "\"threshold\" must be 1 to 9, not 0");
	refused("name = 'x'\nthreshold = 10", "\"threshold\" must be 1 to 9, not 10");
	refused("name = 'x'\nlimit = '3G'", "\"limit\" must be 0 to 2147483648");
	refused("name = 'x'\npurpose = 'realease'", "not \"realease\"; did you mean \"release\"?");
}

static void sizes_and_durations_are_exact(void **state)
{
	static const char *const sizes[] = { "'64KB'", "'-1'", "''", "'K'", "'1.5M'", "' 1K'", "'1 K'", "-1",
		"'99999999T'", "'99999999999999999999'", "'1k'" };
	static const char *const durations[] = { "30", "'30'", "'s'", "'1w'", "'-1s'", "'1h30m'", "'999999999999999d'" };

	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autofree char *text = g_strdup_printf("name = 'x'\nlimit = %s", sizes[i]);

		refused(text, "thing.toml:2:1: \"limit\" must be a size");
	}
	for (size_t i = 0; i < G_N_ELEMENTS(durations); i++) {
		g_autofree char *text = g_strdup_printf("name = 'x'\nwait = %s", durations[i]);

		refused(text, "thing.toml:2:1: \"wait\" must be a duration");
	}
}

static void members_stand_in_the_order_of_the_file(void **state)
{
	const char *text = "z = 1\na.b = 2\n[[list]]\nx = true\n[[list]]\n[m]\n";
	static const char *const order[] = { "z", "a", "list", "m" };
	autoptr(toml) root = toml_parse(text, strlen(text), "o.toml", NULL);
	const char *key = NULL;

	assert_int_equal(toml_length(root), 4);
	for (guint i = 0; i < 4; i++) {
		assert_non_null(toml_member(root, i, &key));
		assert_string_equal(key, order[i]);
	}
	assert_int_equal(toml_kind(toml_get(root, "a")), TOML_TABLE);
	assert_int_equal(toml_line(toml_at(toml_get(root, "list"), 1)), 5);
	assert_true(toml_as_boolean(toml_get(toml_at(toml_get(root, "list"), 0), "x")));
	assert_null(toml_at(toml_get(root, "list"), 2));
	assert_string_equal(toml_file(toml_get(root, "z")), "o.toml");
}

static void what_is_not_toml_is_refused_with_its_place(void **state)
{
	refused("name = 'x'\nname = 'y'", "thing.toml:2:8: ");
	refused("name = 'x'\n[thing", "thing.toml:2");
	refused("name = 'x\xc0\xaf'", "thing.toml:1:10: it is not valid UTF-8");
	refused("name = \"a\\u0000b\"", "thing.toml:1:1: a NUL");
	refused("\"na\\u0000me\" = 1", "thing.toml:1:1: a NUL");
	refused("name = 'x'\nborn = 2026-02-30T00:00:00Z", "thing.toml:2");
	refused("name = 'x'\nborn = 0000-01-01T00:00:00Z", "no moment that exists");
}

static void a_huge_file_is_refused_before_it_is_read(void **state)
{
	g_autofree char *text = g_strnfill(1024 * 1024 + 1, '\n');
	GError *error = NULL;

	assert_refused(
	    toml_parse(text, strlen(text), "huge.toml", &error), error, "huge.toml: it is larger than the limit");
	text[1024 * 1024] = '\0';
	autoptr(toml) root = toml_parse(text, strlen(text), "large.toml", &error);
	assert_ok(root, error);
}

static void a_name_that_would_deceive_is_escaped(void **state)
{
	GError *error = NULL;

	assert_refused(toml_parse("a", 1, "x\n.toml", &error), error, "x\\x0a.toml:1:");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(an_array_without_a_default_is_empty),
		cmocka_unit_test(a_default_must_be_in_its_own_range),
		cmocka_unit_test(unknown_keys_are_told_with_place_and_the_right_name),
		cmocka_unit_test(missing_keys_are_named),
		cmocka_unit_test(wrong_types_are_refused),
		cmocka_unit_test(values_out_of_range_are_refused),
		cmocka_unit_test(sizes_and_durations_are_exact),
		cmocka_unit_test(members_stand_in_the_order_of_the_file),
		cmocka_unit_test(what_is_not_toml_is_refused_with_its_place),
		cmocka_unit_test(a_huge_file_is_refused_before_it_is_read),
		cmocka_unit_test(a_name_that_would_deceive_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
