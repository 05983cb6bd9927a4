#include <string.h>

#include "gitops/object.h"
#include "tests/unit/support_trust.h"

#define TREE "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
#define OID "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"
#define PEOPLE "author Bob <bob@example.org> 1767225600 +0000\ncommitter Alice <alice@example.org> 1767225601 -0730\n"
#define HEADERS "tree " TREE "\nparent " OID "\nparent " TREE "\n" PEOPLE
#define GPGSIG "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n =abcd\n -----END PGP SIGNATURE-----\n"
#define MERGETAG                                                                                                       \
	"mergetag object " OID "\n type commit\n tag v1\n tagger B <b@c> 1 +0000\n \n m\n"                             \
	" -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n"
#define MESSAGE "\nApprove\n\nTagseal-Approve: v1\n"
#define GOOD HEADERS GPGSIG MESSAGE

static void refused_bytes(const char *text, size_t size, const char *words)
{
	g_autoptr(GBytes) raw = g_bytes_new(text, size);
	g_autoptr(GError) error = NULL;

	assert_null(commit_parse(raw, &error));
	assert_refusal(error, words);
}

static void refused(const char *text, const char *words)
{
	refused_bytes(text, strlen(text), words);
}

static struct commit *parsed(const char *text)
{
	g_autoptr(GBytes) raw = g_bytes_new(text, strlen(text));
	g_autoptr(GError) error = NULL;
	struct commit *commit = commit_parse(raw, &error);

	assert_null(error);
	assert_non_null(commit);
	return commit;
}

static void a_signed_commit_is_read(void **state)
{
	autoptr(commit) commit = parsed(GOOD);

	assert_string_equal(commit->tree, TREE);
	assert_int_equal(g_strv_length(commit->parents), 2);
	assert_string_equal(commit->parents[0], OID);
	assert_string_equal(commit->author.email, "bob@example.org");
	assert_string_equal(commit->committer.name, "Alice");
	assert_true(commit->is_signed);
	assert_int_equal(commit->format, SIGNATURE_OPENPGP);
	assert_string_equal(
	    commit->signature, "-----BEGIN PGP SIGNATURE-----\n\niQ==\n=abcd\n-----END PGP SIGNATURE-----\n");
	assert_string_equal(commit->message, MESSAGE + 1);
}

static void what_was_signed_is_all_but_the_gpgsig_header(void **state)
{
	autoptr(commit) commit = parsed(GOOD);
	size_t size;
	const char *payload = g_bytes_get_data(commit->payload, &size);

	assert_int_equal(size, strlen(HEADERS MESSAGE));
	assert_memory_equal(payload, HEADERS MESSAGE, size);
}

static void an_unsigned_root_commit_is_read_too(void **state)
{
	autoptr(commit) commit = parsed("tree " TREE "\n" PEOPLE "\nm\n");

	assert_false(commit->is_signed);
	assert_null(commit->signature);
	assert_int_equal(g_strv_length(commit->parents), 0);
	assert_int_equal(g_bytes_get_size(commit->payload), strlen("tree " TREE "\n" PEOPLE "\nm\n"));
}

static void headers_stand_in_order_each_once(void **state)
{
	refused("tree " TREE "\ntree " TREE "\n" PEOPLE MESSAGE, "\"tree\" stands where \"author\" must");
	refused("tree " TREE "\n" PEOPLE "parent " OID "\n" MESSAGE, "\"parent\" stands where the empty line");
	refused("parent " OID "\ntree " TREE "\n" PEOPLE MESSAGE, "\"parent\" stands where \"tree\" must");
	refused("tree " TREE "\nauthor B <b@c> 1 +0000\n" MESSAGE, "stands where \"committer\" must");
}

static void headers_that_git_leaves_unsigned_are_refused(void **state)
{
	refused(HEADERS GPGSIG "gpgsig-evil x\n" MESSAGE, "\"gpgsig-evil\" stands where");
	refused(HEADERS "gpgsig-evil x\n" GPGSIG MESSAGE, "\"gpgsig-evil\" stands where");
	refused(HEADERS GPGSIG "gpgsig-sha256 x\n" MESSAGE, "SHA-256 repositories");
}

static void headers_after_the_signature_are_refused(void **state)
{
	refused(HEADERS GPGSIG "x-extra 1\n" MESSAGE, "\"x-extra\" stands where");
	refused(HEADERS GPGSIG "author M <m@x> 1 +0000\n" MESSAGE, "\"author\" stands where");
}

static void two_signatures_are_refused(void **state)
{
	refused(HEADERS GPGSIG GPGSIG MESSAGE, "a second signature");
}

static void a_signature_in_the_message_is_refused(void **state)
{
	refused(HEADERS "\nm\n" GPGSIG, "a signature stands in the message");
	refused(HEADERS "\nm\n-----BEGIN SSH SIGNATURE-----\n", "a signature stands in the message");
}

static void a_merged_tag_is_part_of_what_was_signed(void **state)
{
	autoptr(commit) commit = parsed(HEADERS MERGETAG GPGSIG MESSAGE);
	autoptr(commit) plain = parsed(HEADERS MERGETAG MESSAGE);
	size_t size;
	const char *payload = g_bytes_get_data(commit->payload, &size);

	assert_int_equal(size, strlen(HEADERS MERGETAG MESSAGE));
	assert_memory_equal(payload, HEADERS MERGETAG MESSAGE, size);
	assert_string_equal(
	    commit->signature, "-----BEGIN PGP SIGNATURE-----\n\niQ==\n=abcd\n-----END PGP SIGNATURE-----\n");
	assert_false(plain->is_signed);
}

static void merged_tags_stand_before_the_signature_and_one_a_merged_parent(void **state)
{
	refused(HEADERS GPGSIG MERGETAG MESSAGE, "before the signature only");
	refused(HEADERS MERGETAG MERGETAG GPGSIG MESSAGE, "more merged tags than merged parents");
	refused("tree " TREE "\nparent " OID "\n" PEOPLE MERGETAG GPGSIG MESSAGE, "more merged tags");
	refused(HEADERS "mergetag object " OID, "mergetag");
}

static void encodings_are_refused(void **state)
{
	refused(HEADERS "encoding ISO-8859-1\n" GPGSIG MESSAGE, "must be UTF-8 without an encoding header");
}

static void lines_after_the_armors_end_are_refused(void **state)
{
	refused(HEADERS "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----\n evil\n" MESSAGE,
	    "bytes follow the signature's END line");
	refused(HEADERS "gpgsig \n" MESSAGE, "has no END line");
}

static void a_nul_cannot_hide_text(void **state)
{
	static const char text[] = GOOD "\0Tagseal-Approve: v2\n";

	refused_bytes(text, sizeof(text) - 1, "NUL byte at offset");
}

static void a_commit_cut_short_is_refused(void **state)
{
	for (size_t size = 1; size < strlen(HEADERS GPGSIG); size++)
		refused_bytes(GOOD, size, "commit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signed_commit_is_read),
		cmocka_unit_test(what_was_signed_is_all_but_the_gpgsig_header),
		cmocka_unit_test(an_unsigned_root_commit_is_read_too),
		cmocka_unit_test(headers_stand_in_order_each_once),
		cmocka_unit_test(headers_that_git_leaves_unsigned_are_refused),
		cmocka_unit_test(headers_after_the_signature_are_refused),
		cmocka_unit_test(two_signatures_are_refused),
		cmocka_unit_test(a_signature_in_the_message_is_refused),
		cmocka_unit_test(a_merged_tag_is_part_of_what_was_signed),
		cmocka_unit_test(merged_tags_stand_before_the_signature_and_one_a_merged_parent),
		cmocka_unit_test(encodings_are_refused),
		cmocka_unit_test(lines_after_the_armors_end_are_refused),
		cmocka_unit_test(a_nul_cannot_hide_text),
		cmocka_unit_test(a_commit_cut_short_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
