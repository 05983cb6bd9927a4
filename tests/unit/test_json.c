#include "tests/unit/support.h"

#include <string.h>

#include "gitops/base/json.h"

static struct json *parse(const char *text, GError **error)
{
	return json_parse(text, strlen(text), JSON_STRICT, error);
}

/* Read strictly, written canonically. */
static void becomes(const char *text, const char *canonical)
{
	g_autoptr(GError) error = NULL;
	autoptr(json) value = parse(text, &error);

	assert_ok(value, error);
	g_autofree char *written = json_text(value);
	assert_string_equal(written, canonical);
}

static void refused(const char *text, const char *words)
{
	GError *error = NULL;

	assert_fails(parse(text, &error), error, TAGSEAL_ERROR_REFUSED, words);
}

static void values_are_read_and_written_canonically(void **state)
{
	becomes(" { \"b\" : [ 1 , true , null ] , \"a\" : { } }\n", "{\"a\":{},\"b\":[1,true,null]}");
	becomes("\"\"", "\"\"");
	becomes("-7", "-7");
	becomes("[]", "[]");
}

static void keys_are_sorted_by_utf16_units(void **state)
{
	/* RFC 8785 section 3.2.3: its example, without the one key that is a control character */
	becomes(
	    "{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\","
	    "\"1\":\"One\",\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
	    "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
	    "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\302\200\":\"Control\","
	    "\"\303\266\":\"Latin Small Letter O With Diaeresis\",\"\342\202\254\":\"Euro Sign\","
	    "\"\360\237\230\200\":\"Emoji: Grinning Face\",\"\357\254\263\":\"Hebrew Letter Dalet With Dagesh\"}");
}

static void strings_are_escaped_as_the_rfc_says(void **state)
{
	/* RFC 8785 section 3.2.2.2 */
	becomes("\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\"",
	    "\"\342\202\254$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"");
	becomes("\"\\u0008\\u0009\\u000c\\u000d\\u007f\"", "\"\\b\\t\\f\\r\177\"");
}

static void duplicate_keys_are_refused_however_they_are_written(void **state)
{
	refused("{\"a\":1,\n \"b\":2,\"a\":3}", "line 2, column 11: the key \"a\" stands twice");
	refused("{\"a\":1,\"\\u0061\":1}", "stands twice");
	refused("[{\"x\":{\"k\":1,\"k\":1}}]", "stands twice");
	becomes("[{\"a\":1},{\"a\":1}]", "[{\"a\":1},{\"a\":1}]");
}

static void invalid_text_is_refused(void **state)
{
	refused("[\"\xc0\xaf\"]", "line 1, column 3: it is not valid UTF-8");
	refused("[\"\xed\xa0\x80\"]", "not valid UTF-8");
	refused("[\"\xf5\x80\x80\x80\"]", "not valid UTF-8");
	refused("{\"\xff\":1}", "not valid UTF-8");
	refused("[\"\\ud800\"]", "half of a surrogate pair");
	refused("[\"\\udc00\"]", "half of a surrogate pair");
	refused("[\"\\ud83d\\u0041\"]", "half of a surrogate pair");
	becomes("[\"\\\\ud800\"]", "[\"\\\\ud800\"]");
}

static void nul_is_refused(void **state)
{
	static const char raw[] = "[\"a\0b\"]";
	GError *error = NULL;

	refused("[\"a\\u0000b\"]", "line 1, column 4: a NUL");
	refused("{\"\\u0000\":1}", "a NUL");
	assert_refused(json_parse(raw, sizeof(raw) - 1, JSON_STRICT, &error), error, "NUL");
}

static void numbers_that_not_every_reader_holds_are_refused(void **state)
{
	becomes("[9007199254740991,-9007199254740991]", "[9007199254740991,-9007199254740991]");
	refused("[9007199254740992]", "column 2: the number 9007199254740992 is not an integer");
	refused("[-9007199254740992]", "is not an integer");
	refused("99999999999999999999", "is not an integer");
	refused("[1.0]", "the number 1.0 is not an integer");
	refused("1e3", "line 1, column 1: the number 1e3");
	refused("-0", "the number -0");
	refused("[01]", "JSON");
	refused("[+1]", "JSON");
	refused("[NaN]", "JSON");
}

static void a_webhook_may_have_other_numbers(void **state)
{
	const char *text = "{\"score\":1.50,\"id\":12345678901234567890,\"n\":3}";
	g_autoptr(GError) error = NULL;
	autoptr(json) value = json_parse(text, strlen(text), JSON_OTHER_NUMBERS, &error);

	assert_ok(value, error);
	assert_int_equal(json_kind(json_get(value, "score")), JSON_NUMBER);
	assert_int_equal(json_integer(value, "id", -1), -1);
	assert_int_equal(json_integer(value, "n", -1), 3);
	g_autofree char *written = json_text(value);
	assert_string_equal(written, "{\"id\":12345678901234567890,\"n\":3,\"score\":1.50}");
}

static void nesting_ends_at_64(void **state)
{
	g_autofree char *open = g_strnfill(65, '['), *close = g_strnfill(65, ']');
	g_autofree char *deep = g_strconcat(open + 1, close + 1, NULL), *deeper = g_strconcat(open, close, NULL);
	g_autoptr(GError) error = NULL;
	autoptr(json) value = parse(deep, &error);

	assert_ok(value, error);
	refused(deeper, "column 65: arrays and objects are nested deeper than 64");
}

static void what_is_not_json_is_refused_with_its_place(void **state)
{
	refused("", "line 1, column 1");
	refused("{\"a\":1}\n{}", "trailing garbage");
	refused("[1,]", "JSON, line 1");
	refused("{\"a\":1,}", "JSON, line 1");
	refused("{a:1}", "JSON, line 1");
	refused("['a']", "JSON, line 1");
	refused("[1", "JSON, line 1, column 3: premature EOF");
	refused("/* */1", "JSON, line 1");
	refused("\xef\xbb\xbf[]", "JSON, line 1");
	refused("[\"a\nb\"]", "invalid character inside string");
	refused("[\"\\x\"]", "JSON, line 1");
}

static void only_canonical_bytes_pass_as_canonical(void **state)
{
	static const char *const other[] = { "{\"b\":1,\"a\":2}", "[1, 2]", "[1]\n", "[\"\\u0041\"]", "[\"\\/\"]",
		"[\"\\u000F\"]" };
	const char *good = "{\"a\":[\"\\u000f\"],\"b\":1}";
	GError *error = NULL;
	autoptr(json) value = json_parse_canonical(good, strlen(good), &error);

	assert_ok(value, error);
	for (size_t i = 0; i < G_N_ELEMENTS(other); i++)
		assert_refused(json_parse_canonical(other[i], strlen(other[i]), &error), error, "not in canonical form");
}

static void paths_lead_through_objects_and_arrays(void **state)
{
	autoptr(json) value = parse("{\"a\":[{\"b\":\"x\"},7],\"t\":true}", NULL);

	assert_string_equal(json_as_string(json_path(value, "a.0.b")), "x");
	assert_int_equal(json_as_integer(json_path(value, "a.1"), 0), 7);
	assert_null(json_path(value, "a.2"));
	assert_null(json_path(value, "a.-1"));
	assert_null(json_path(value, "a.0.b.c"));
	assert_null(json_path(value, ""));
	assert_true(json_boolean(value, "t", FALSE));
	assert_null(json_string(value, "t"));
	assert_null(json_get(NULL, "a"));
	assert_int_equal(json_length(NULL), 0);
}

static void members_are_set_replaced_and_removed(void **state)
{
	autoptr(json) value = json_object_new();
	struct json *list = json_array_new();
	const char *key = NULL;

	json_set_string(value, "z", "1");
	json_set_integer(value, "a", 2);
	json_set(value, "m", list);
	json_append_string(list, "x");
	json_append(list, json_null_new());
	json_set_boolean(value, "z", TRUE);
	json_set_string(value, "a", NULL);
	json_set(value, "absent", NULL);
	g_autofree char *text = json_text(value);
	assert_string_equal(text, "{\"m\":[\"x\",null],\"z\":true}");
	assert_ptr_equal(json_member(value, 0, &key), list);
	assert_string_equal(key, "m");
	assert_null(json_member(value, 2, &key));
}

static void a_copy_is_equal_and_independent(void **state)
{
	autoptr(json) value = parse("{\"a\":[1,\"x\",null,false,{\"b\":2}]}", NULL);
	autoptr(json) copy = json_copy(value);

	assert_true(json_equal(value, copy));
	json_append(json_get(copy, "a"), json_null_new());
	assert_false(json_equal(value, copy));
	assert_int_equal(json_length(json_get(value, "a")), 5);
}

static void equal_means_equal(void **state)
{
	static const char *const texts[] = { "null", "false", "true", "0", "\"0\"", "[]", "{}", "[0]", "[0,0]",
		"{\"a\":0}", "{\"a\":1}", "{\"b\":0}", "{\"a\":0,\"b\":0}" };

	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		for (size_t j = 0; j < G_N_ELEMENTS(texts); j++) {
			autoptr(json) a = parse(texts[i], NULL), *b = parse(texts[j], NULL);

			assert_int_equal(json_equal(a, b), i == j);
		}
	}
}

static void what_is_built_can_be_read_again(void **state)
{
	autoptr(json) value = json_object_new();
	GError *error = NULL;

	json_set_string(value, "name", "Ren\xe9");
	json_set_integer(value, "huge", INT64_MAX);
	g_autofree char *text = json_text(value);
	assert_string_equal(text, "{\"huge\":null,\"name\":\"Ren\357\277\275\"}");
	autoptr(json) again = json_parse_canonical(text, strlen(text), &error);
	assert_ok(again, error);
}

static void required_members_are_named_when_they_are_wrong(void **state)
{
	autoptr(json) value = parse("{\"n\":5,\"s\":\"x\",\"l\":[]}", NULL);
	GError *error = NULL;
	int64_t number;

	assert_string_equal(json_require_string(value, "s", "release", &error), "x");
	assert_refused(
	    json_require_string(value, "n", "release", &error), error, "release: \"n\" is missing or not a string");
	assert_refused(json_require_string(NULL, "s", "release", &error), error, "\"s\" is missing");
	assert_ok(json_require_integer(value, "n", 1, 5, &number, "release", &error), error);
	assert_int_equal(number, 5);
	assert_refused(json_require_integer(value, "n", 1, 4, &number, "release", &error), error,
	    "release: \"n\" must be 1 to 4, not 5");
	assert_refused(json_require(value, "l", JSON_OBJECT, "release", &error), error, "not an object");
}

static void keys_that_nobody_knows_are_refused(void **state)
{
	static const char *const all[] = { "a", "b", NULL }, *const few[] = { "a", NULL };
	autoptr(json) value = parse("{\"a\":1,\"b\":1}", NULL), *list = parse("[]", NULL);
	GError *error = NULL;

	assert_ok(json_only_keys(value, all, "answer", &error), error);
	assert_refused(json_only_keys(value, few, "answer", &error), error, "answer: unknown key \"b\"");
	assert_refused(json_only_keys(list, all, "answer", &error), error, "answer: it is not an object");
}

static void people_see_an_indented_text_that_cannot_deceive(void **state)
{
	autoptr(json) value = parse("{\"b\":[],\"a\":[1,{\"x\":\"\\u202e\\u001b\\u0085\303\251\"}]}", NULL);
	g_autofree char *pretty = json_pretty(value);

	assert_string_equal(pretty, "{\n  \"a\": [\n    1,\n    {\n      \"x\": \"\\u202e\\u001b\\u0085\303\251\"\n    "
				    "}\n  ],\n  \"b\": []\n}");
	autoptr(json) again = parse(pretty, NULL);
	assert_true(json_equal(value, again));
}

static void an_object_of_many_keys_is_read_in_time(void **state)
{
	g_autoptr(GString) text = g_string_new("{");
	g_autoptr(GError) error = NULL;

	for (int i = 200000; i > 0; i--)
		g_string_append_printf(text, "\"k%06d\":0%s", i, i > 1 ? "," : "}");
	gint64 start = g_get_monotonic_time();
	autoptr(json) value = json_parse(text->str, text->len, JSON_STRICT, &error);
	assert_ok(value, error);
	assert_int_equal(json_length(value), 200000);
	assert_true(g_get_monotonic_time() - start < 10 * G_USEC_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_read_and_written_canonically),
		cmocka_unit_test(keys_are_sorted_by_utf16_units),
		cmocka_unit_test(strings_are_escaped_as_the_rfc_says),
		cmocka_unit_test(duplicate_keys_are_refused_however_they_are_written),
		cmocka_unit_test(invalid_text_is_refused),
		cmocka_unit_test(nul_is_refused),
		cmocka_unit_test(numbers_that_not_every_reader_holds_are_refused),
		cmocka_unit_test(a_webhook_may_have_other_numbers),
		cmocka_unit_test(nesting_ends_at_64),
		cmocka_unit_test(what_is_not_json_is_refused_with_its_place),
		cmocka_unit_test(only_canonical_bytes_pass_as_canonical),
		cmocka_unit_test(paths_lead_through_objects_and_arrays),
		cmocka_unit_test(members_are_set_replaced_and_removed),
		cmocka_unit_test(a_copy_is_equal_and_independent),
		cmocka_unit_test(equal_means_equal),
		cmocka_unit_test(what_is_built_can_be_read_again),
		cmocka_unit_test(required_members_are_named_when_they_are_wrong),
		cmocka_unit_test(keys_that_nobody_knows_are_refused),
		cmocka_unit_test(people_see_an_indented_text_that_cannot_deceive),
		cmocka_unit_test(an_object_of_many_keys_is_read_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
