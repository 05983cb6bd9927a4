#include <string.h>

#include "gitops/object.h"
#include "tests/unit/support_trust.h"

#define OID "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"
#define HEADERS "object " OID "\ntype commit\ntag v1.2.0\ntagger Alice Example <alice@example.org> 1767225600 +0100\n"
#define ARMOR "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"
#define GOOD HEADERS "\nRelease 1.2.0\n\nTagseal-Project: acme/widget\n" ARMOR

static void refused_bytes(const char *text, size_t size, const char *words)
{
	g_autoptr(GBytes) raw = g_bytes_new(text, size);
	g_autoptr(GError) error = NULL;

	assert_null(tag_parse(raw, &error));
	assert_refusal(error, words);
}

static void refused(const char *text, const char *words)
{
	refused_bytes(text, strlen(text), words);
}

static struct tag *parsed(const char *text)
{
	g_autoptr(GBytes) raw = g_bytes_new(text, strlen(text));
	g_autoptr(GError) error = NULL;
	struct tag *tag = tag_parse(raw, &error);

	assert_null(error);
	assert_non_null(tag);
	return tag;
}

static void a_signed_tag_is_read(void **state)
{
	autoptr(tag) tag = parsed(GOOD);

	assert_string_equal(tag->object, OID);
	assert_string_equal(tag->type, "commit");
	assert_string_equal(tag->name, "v1.2.0");
	assert_string_equal(tag->tagger.name, "Alice Example");
	assert_string_equal(tag->tagger.email, "alice@example.org");
	assert_int_equal(tag->tagger.time, 1767225600);
	assert_string_equal(tag->message, "Release 1.2.0\n\nTagseal-Project: acme/widget\n");
	assert_string_equal(tag->signature, ARMOR);
	assert_int_equal(tag->format, SIGNATURE_SSH);
}

static void what_was_signed_ends_where_the_armor_starts(void **state)
{
	autoptr(tag) tag = parsed(GOOD);
	size_t size;
	const char *payload = g_bytes_get_data(tag->payload, &size);

	assert_int_equal(size, strlen(GOOD) - strlen(ARMOR));
	assert_memory_equal(payload, GOOD, size);
}

static void each_armor_names_its_format(void **state)
{
	autoptr(tag) pgp = parsed(HEADERS "\nm\n-----BEGIN PGP SIGNATURE-----\n\nAA==\n-----END PGP SIGNATURE-----");
	autoptr(tag) cms = parsed(HEADERS "\nm\n-----BEGIN SIGNED MESSAGE-----\nAA==\n-----END SIGNED MESSAGE-----\n");

	assert_int_equal(pgp->format, SIGNATURE_OPENPGP);
	assert_int_equal(cms->format, SIGNATURE_X509);
	assert_string_equal(signature_format_name(pgp->format), "openpgp");
}

static void a_tag_of_a_tag_is_refused(void **state)
{
	refused("object " OID "\ntype tag\ntag v1\ntagger A <a@b> 1 +0000\n\nm\n" ARMOR, "a tag of a tag is refused");
}

static void headers_stand_in_order_each_once(void **state)
{
	refused("type commit\nobject " OID "\ntag v1\ntagger A <a@b> 1 +0000\n\nm\n" ARMOR,
	    "\"type\" stands where \"object\" must");
	refused("object " OID "\nobject " OID "\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nm\n" ARMOR,
	    "\"object\" stands where \"type\" must");
	refused("object " OID "\ntype commit\ntag v1\n\nm\n" ARMOR, "stands where \"tagger\" must");
}

static void a_header_that_git_would_not_sign_is_refused(void **state)
{
	refused(HEADERS "gpgsig free text\n\nm\n" ARMOR, "\"gpgsig\" stands where the empty line");
	refused(HEADERS "x-extra 1\n\nm\n" ARMOR, "\"x-extra\" stands where the empty line");
}

static void object_ids_are_full_and_lower_case(void **state)
{
	refused(
	    "object 5f2ab3\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nm\n" ARMOR, "not a full SHA-1 object id");
	refused("object 5F2AB3C0D1E2F30415263748596A7B8C9DAE0F12\ntype commit\n", "not a full SHA-1 object id");
}

static void names_that_git_would_refuse_are_refused(void **state)
{
	refused("object " OID "\ntype commit\ntag v1..2\ntagger A <a@b> 1 +0000\n\nm\n" ARMOR,
	    "not a name that git allows");
	refused(
	    "object " OID "\ntype commit\ntag v1 x\ntagger A <a@b> 1 +0000\n\nm\n" ARMOR, "not a name that git allows");
	refused("object " OID "\ntype commit\ntag -v1\ntagger A <a@b> 1 +0000\n\nm\n" ARMOR,
	    "tag at offset 68: not a name that git allows");
}

static void an_unsigned_tag_is_refused_with_help(void **state)
{
	refused(HEADERS "\nRelease\n", "git tag -s");
}

static void bytes_after_the_signature_are_refused(void **state)
{
	refused(GOOD "Tagseal-Artifact: x\n", "bytes follow the signature's END line");
	refused(GOOD "\n", "bytes follow the signature's END line");
}

static void a_second_signature_is_refused(void **state)
{
	refused(GOOD ARMOR, "more than one signature");
	refused(HEADERS "\nm\n-----BEGIN PGP MESSAGE-----\n" ARMOR, "more than one signature");
}

static void an_end_line_inside_the_armor_is_refused(void **state)
{
	refused(HEADERS "\nm\n-----BEGIN SSH SIGNATURE-----\nAA==\n-----END SSH SIGNATURE-----\ntext\n"
			"-----END SSH SIGNATURE-----\n",
	    "a second marker line stands inside");
}

static void markers_fit_each_other_exactly(void **state)
{
	refused(HEADERS "\nm\n-----BEGIN SSH SIGNATURE-----x\nAA==\n-----END SSH SIGNATURE-----\n", "is none of");
	refused(HEADERS "\nm\n-----BEGIN PGP MESSAGE-----\n\nAA==\n-----END PGP MESSAGE-----\n", "is none of");
	refused(HEADERS "\nm\n-----BEGIN SSH SIGNATURE-----\nAA==\n-----END PGP SIGNATURE-----\n", "does not fit");
	refused(HEADERS "\nm\n-----BEGIN SSH SIGNATURE-----\nAA==\n", "has no END line");
	refused(HEADERS "\nm\n-----BEGIN SSH SIGNATURE-----", "has no END line");
}

static void taggers_have_one_form(void **state)
{
	static const char *const bad[] = { "A a@b 1 +0000", "A <a@b> +0000", "A <a@b> 1 0000", "A <a@b> 01 +0000",
		"A <a@b> 1 +00000", "A <a<b> 1 +0000", "A <a@b> <c@d> 1 +0000", "<a@b> 1 +0000", "A <a@b>1 +0000",
		"A <a@b> -1 +0000", "A <a@b> 9999999999999 +0000" };

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *text =
		    g_strdup_printf("object " OID "\ntype commit\ntag v1\ntagger %s\n\nm\n" ARMOR, bad[i]);
		refused(text, "not of the form");
	}
}

static void bytes_that_readers_see_differently_are_refused(void **state)
{
	static const char nul[] = HEADERS "\nm\n\0Tagseal-Approve: x\n" ARMOR;

	refused_bytes(nul, sizeof(nul) - 1, "NUL byte at offset");
	refused(HEADERS "\nm\r\n" ARMOR, "carriage return at offset");
	refused(HEADERS "\n\xc0\xaf\n" ARMOR, "invalid UTF-8 at offset");
	refused("", "is empty");
}

static void a_tag_over_64_kib_is_refused(void **state)
{
	g_autofree char *filler = g_strnfill(OBJECT_MAX, 'x');
	g_autofree char *text = g_strconcat(HEADERS "\n", filler, "\n" ARMOR, NULL);

	refused(text, "more than 65536 are refused");
}

static void the_object_id_is_gits(void **state)
{
	g_autoptr(GBytes) hello = g_bytes_new_static("hello\n", 6), empty = g_bytes_new_static("", 0);
	g_autofree char *one = object_id(hello, "blob", NULL), *two = object_id(empty, "blob", NULL);

	assert_string_equal(one, "ce013625030ba8dba906f756967f9e9ca394464a");
	assert_string_equal(two, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signed_tag_is_read),
		cmocka_unit_test(what_was_signed_ends_where_the_armor_starts),
		cmocka_unit_test(each_armor_names_its_format),
		cmocka_unit_test(a_tag_of_a_tag_is_refused),
		cmocka_unit_test(headers_stand_in_order_each_once),
		cmocka_unit_test(a_header_that_git_would_not_sign_is_refused),
		cmocka_unit_test(object_ids_are_full_and_lower_case),
		cmocka_unit_test(names_that_git_would_refuse_are_refused),
		cmocka_unit_test(an_unsigned_tag_is_refused_with_help),
		cmocka_unit_test(bytes_after_the_signature_are_refused),
		cmocka_unit_test(a_second_signature_is_refused),
		cmocka_unit_test(an_end_line_inside_the_armor_is_refused),
		cmocka_unit_test(markers_fit_each_other_exactly),
		cmocka_unit_test(taggers_have_one_form),
		cmocka_unit_test(bytes_that_readers_see_differently_are_refused),
		cmocka_unit_test(a_tag_over_64_kib_is_refused),
		cmocka_unit_test(the_object_id_is_gits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
