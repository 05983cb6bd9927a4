#include <string.h>

#include "gitops/object.h"
#include "tests/unit/support_trust.h"

#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static GPtrArray *parsed(const char *message)
{
	g_autoptr(GError) error = NULL;
	GPtrArray *trailers = trailers_parse(message, &error);

	if (error != NULL)
		fail_msg("%s", error->message);
	assert_non_null(trailers);
	return trailers;
}

static void refused(const char *message, const char *words)
{
	g_autoptr(GError) error = NULL;

	assert_null(trailers_parse(message, &error));
	assert_refusal(error, words);
}

static void the_last_paragraph_is_read(void **state)
{
	g_autoptr(GPtrArray) list =
	    parsed("Approve v1\n\nSome text: with a colon\nmore\n\nTagseal-Approve: v1\nSigned-off-by: A <a@b>\n\n");
	const struct trailer *first = g_ptr_array_index(list, 0);

	assert_int_equal(list->len, 2);
	assert_string_equal(first->key, "Tagseal-Approve");
	assert_string_equal(first->value, "v1");
	assert_int_equal(first->line, 6);
}

static void messages_without_trailers_have_none(void **state)
{
	static const char *const messages[] = { "", "\n\n", "Title\n", "Title\n\nProse that ends here.\n",
		"Fix: the title is never a trailer\n", "Title\n\nKey: value\nprose beside it\n", "Title\n\nempty:\n",
		"Title\n\nlower: case keys are prose\n" };

	for (size_t i = 0; i < G_N_ELEMENTS(messages); i++) {
		g_autoptr(GPtrArray) list = parsed(messages[i]);
		assert_int_equal(list->len, 0);
	}
}

static void a_reserved_line_outside_the_last_paragraph_is_refused(void **state)
{
	refused("Title\n\nTagseal-Approve: v1\n\nSigned-off-by: A <a@b>\n", "message line 3: a line that starts with");
	refused("Tagseal-Approve: v1\n", "message line 1");
	refused("Title\n\nTagseal-Approve: v1\n\nprose\n", "message line 3");
	refused("Title\n\ntagseal-approve: v1\n\nA: b\n", "message line 3");
	refused("Title\n\n\t Tagseal-Approve: v1\n\nA: b\n", "message line 3");
}

static void a_block_with_prose_or_folding_is_no_block(void **state)
{
	refused("T\n\nTagseal-Approve: v1\nprose\n", "without folding");
	refused("T\n\nTagseal-Approve: v1\n v2\n", "without folding");
	refused("T\n\nTagseal-Approve: v1\n# a comment\n", "without folding");
	refused("T\n\nTagseal-Approve:\nA: b\n", "without folding");
	refused("T\n\nTagseal-Approve : v1\n", "without folding");
	refused("T\n\nTagseal-Approve: v1 \n", "without folding");
	refused("T\n\nTagseal-Approve:  v1\n", "without folding");
	refused("T\n\nTagseal-Approve: v1\n---\nA: b\n", "without folding");
}

static void look_alike_and_unknown_reserved_keys_are_refused(void **state)
{
	refused("T\n\nTAGSEAL-Approve: v1\n", "no trailer that tagseal knows");
	refused("T\n\nTagseal-approve: v1\n", "no trailer that tagseal knows");
	refused("T\n\nTagseal-Aprove: v1\n", "\"Tagseal-Aprove\" is no trailer");
	refused("T\n\nTagseal-Approve: v1\n\xd0\xa2\x61gseal-Deny: v1\n", "without folding");
}

static void characters_that_fake_lines_are_refused(void **state)
{
	refused("T\n\nA: b\x0bTagseal-Approve: v1\n", "control character U+000B");
	refused("T\xe2\x80\xa8Tagseal-Approve: v1\n", "control character U+2028");
	refused("T\n\nTagseal-Approve: v1\xe2\x80\xae\n", "without folding");
	refused("T\n\nTagseal-Approve: v1\xff\n", "not valid UTF-8");
}

static void a_trailer_line_over_1000_bytes_is_no_trailer(void **state)
{
	g_autofree char *filler = g_strnfill(1000, 'x');
	g_autofree char *message = g_strconcat("T\n\nTagseal-Reason: ", filler, "\n", NULL);

	refused(message, "without folding");
}

static void every_reserved_key_is_taken(void **state)
{
	g_autoptr(GPtrArray) list = parsed(
	    "T\n\nTagseal-Approve: a\nTagseal-Deny: a\nTagseal-Withdraw: a\nTagseal-Tag: a\nTagseal-Tree: a\n"
	    "Tagseal-Project: a\nTagseal-Policy: a\nTagseal-Artifact: a\nTagseal-Range: a\nTagseal-Supersedes: a\n"
	    "Tagseal-Promote: a\nTagseal-Approve-Policy: a\nTagseal-Resign: a\nTagseal-Reason: a\n"
	    "Tagseal-Rebuilt: a");

	assert_int_equal(list->len, 15);
}

static void a_single_value_stands_once(void **state)
{
	g_autoptr(GPtrArray) list = parsed("T\n\nTagseal-Tag: a\nTagseal-Policy: p\nTagseal-Tag: a\n");
	g_autoptr(GError) error = NULL;
	const char *value = NULL;

	assert_true(trailer_single(list, "Tagseal-Policy", &value, &error));
	assert_string_equal(value, "p");
	assert_true(trailer_single(list, "Tagseal-Deny", &value, &error));
	assert_null(value);
	assert_false(trailer_single(list, "Tagseal-Tag", &value, &error));
	assert_refusal(error, "message line 5: Tagseal-Tag stands twice");
}

static void artifacts_are_read_by_name(void **state)
{
	g_autoptr(GPtrArray) list =
	    parsed("T\n\nTagseal-Artifact: " DIGEST " widget 1.exe\nTagseal-Artifact: " DIGEST " b\n");
	g_autoptr(GHashTable) artifacts = trailers_artifacts(list, NULL);

	assert_int_equal(g_hash_table_size(artifacts), 2);
	assert_string_equal(g_hash_table_lookup(artifacts, "widget 1.exe"), DIGEST);
}

static void bad_artifact_lines_are_refused(void **state)
{
	static const char *const bad[][2] = { { DIGEST, "must be" }, { DIGEST "  two spaces", "must be" },
		{ "sha256:9f86 a", "must be" }, { "sha1:9f86 a", "must be" },
		{ DIGEST " a\nTagseal-Artifact: " DIGEST " a", "\"a\" stands twice" } };

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *message = g_strconcat("T\n\nTagseal-Artifact: ", bad[i][0], "\n", NULL);
		g_autoptr(GPtrArray) list = parsed(message);
		g_autoptr(GError) error = NULL;

		assert_null(trailers_artifacts(list, &error));
		assert_refusal(error, bad[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_paragraph_is_read),
		cmocka_unit_test(messages_without_trailers_have_none),
		cmocka_unit_test(a_reserved_line_outside_the_last_paragraph_is_refused),
		cmocka_unit_test(a_block_with_prose_or_folding_is_no_block),
		cmocka_unit_test(look_alike_and_unknown_reserved_keys_are_refused),
		cmocka_unit_test(characters_that_fake_lines_are_refused),
		cmocka_unit_test(a_trailer_line_over_1000_bytes_is_no_trailer),
		cmocka_unit_test(every_reserved_key_is_taken),
		cmocka_unit_test(a_single_value_stands_once),
		cmocka_unit_test(artifacts_are_read_by_name),
		cmocka_unit_test(bad_artifact_lines_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
