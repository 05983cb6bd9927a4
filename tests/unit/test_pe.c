/* PE images: the one shape that is taken, and a bad twin for each of its rules. */
#include <string.h>
#include <unistd.h>

#include "signer/pe.h"
#include "signer/type.h"
#include "tests/unit/support_pki.h"

static char *console; /* a small PE32+ */

static int begin(void **state)
{
	g_autofree char *efi = NULL, *small = NULL;

	pki_begin(state);
	console = pki_image("a.exe", "x86_64", "");
	small = pki_image("a32.dll", "i686", "-shared");
	efi = pki_image("a.efi", "x86_64",
	    "-Wl,--subsystem,10 -Wl,-e,efi_main -Wl,--file-alignment,512 -Wl,--section-alignment,4096");
	return 0;
}

static int end(void **state)
{
	g_free(console);
	return pki_end(state);
}

static GByteArray *image(const char *name)
{
	g_autofree char *path = pki_path(name);
	char *data;
	gsize size;

	assert_true(g_file_get_contents(path, &data, &size, NULL));
	return g_byte_array_new_take((uint8_t *)data, size);
}

static uint32_t get32(const GByteArray *a, size_t at)
{
	uint32_t value;

	memcpy(&value, a->data + at, 4);
	return GUINT32_FROM_LE(value);
}

static void put32(GByteArray *a, size_t at, uint32_t value)
{
	value = GUINT32_TO_LE(value);
	memcpy(a->data + at, &value, 4);
}

static size_t header(const GByteArray *a)
{
	return get32(a, 60);
}

/* Takes the bytes over. */
static gboolean structure(GByteArray *a, struct pe *pe, GError **error)
{
	g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(a);
	autofd int fd = memfd_from_bytes("image", bytes, NULL);

	return pe_read(fd, pe, error);
}

static void assert_broken(GByteArray *a, const char *words)
{
	g_autoptr(GError) error = NULL;
	struct pe pe;

	assert_false(structure(a, &pe, &error));
	assert_says(error, words);
}

static void append_table(GByteArray *a, const char *entry, size_t size)
{
	size_t at;

	while (a->len % 8 != 0)
		g_byte_array_append(a, (const uint8_t *)"", 1);
	at = a->len;
	g_byte_array_append(a, (const uint8_t *)entry, size);
	put32(a, header(a) + 168, at);
	put32(a, header(a) + 172, size);
}

static void windows_images_of_both_widths_are_read(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	struct pe pe;

	assert_done(structure(image("a.exe"), &pe, &error), error);
	assert_true(pe.plus && !pe.efi && pe.table_size == 0 && pe.machine == 0x8664);
	assert_done(structure(image("a32.dll"), &pe, &error), error);
	assert_true(!pe.plus && pe.machine == 0x14C);
	assert_done(structure(image("a.efi"), &pe, &error), error);
	assert_true(pe.efi);
}

static void the_type_is_told_by_content(void **state G_GNUC_UNUSED)
{
	autoptr(json) facts = json_object_new();
	autofd int exe = pki_open("a.exe"), source = pki_open("a.exe.c");

	assert_string_equal(file_type_of(exe)->name, "pe");
	assert_string_equal(file_type_of(source)->name, "raw");
	assert_true(file_type_of(source)->structure(source, NULL, NULL));
	assert_true(file_type_of(exe)->structure(exe, facts, NULL));
	assert_string_equal(json_string(facts, "machine"), "x86-64");
	assert_null(file_type_named("pickle"));
	assert_string_equal(file_type_named("pe")->native_format, "authenticode");
}

static void our_checksum_is_the_linkers(void **state G_GNUC_UNUSED)
{
	static const char *const names[] = { "a.exe", "a32.dll", "a.efi" };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		autofd int fd = pki_open(names[i]);
		struct pe pe;
		uint32_t sum;
		assert_true(pe_read(fd, &pe, NULL) && pe_checksum(fd, &pe, &sum, NULL));
		assert_int_equal(sum, pe.checksum);
	}
}

static void every_truncation_is_refused(void **state G_GNUC_UNUSED)
{
	size_t full = image("a.exe")->len;
	g_autoptr(GByteArray) whole = image("a.exe");
	size_t cuts[] = { 1, 63, 64, header(whole) + 3, header(whole) + 24, header(whole) + 87, header(whole) + 116,
		header(whole) + 264, header(whole) + 300, full / 2, full - 1 };

	for (guint i = 0; i < G_N_ELEMENTS(cuts); i++) {
		GByteArray *cut = image("a.exe");
		g_byte_array_set_size(cut, cuts[i]);
		assert_broken(cut, "at offset");
	}
}

static void the_header_may_not_lie_in_the_dos_header(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	put32(a, 60, 32);
	assert_broken(a, "dos-header at offset 60");
}

static void a_rom_image_is_refused(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	a->data[header(a) + 24] = 0x07;
	a->data[header(a) + 25] = 0x01;
	assert_broken(a, "neither PE32 nor PE32+");
}

static void four_data_directories_are_too_few(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	put32(a, header(a) + 132, 4);
	assert_broken(a, "4 is not 5 to 16");
}

static void headers_must_cover_the_section_table(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	put32(a, header(a) + 84, 100);
	assert_broken(a, "headers at offset");
}

static size_t section(const GByteArray *a, guint i)
{
	return header(a) + 24 + 240 + 40 * i;
}

static void sections_may_not_overlap(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	put32(a, section(a, 1) + 20, get32(a, section(a, 0) + 20));
	assert_broken(a, "raw data lies over");
}

static void sections_may_not_lie_over_the_headers(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	put32(a, section(a, 0) + 20, 128);
	assert_broken(a, "raw data lies over the headers");
}

static void sections_may_not_leave_the_file(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	put32(a, section(a, 1) + 16, 0x7FFFFFFF);
	assert_broken(a, "beyond the file's end");
}

static void a_gap_in_an_efi_image_is_refused(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.efi"), *b = image("a.exe");
	g_autoptr(GError) error = NULL;
	struct pe pe;

	put32(a, header(a) + 84, get32(a, header(a) + 84) - 8);
	assert_broken(a, "efi-gap at offset");
	put32(b, header(b) + 84, get32(b, header(b) + 84) - 8);
	assert_done(structure(b, &pe, &error), error); /* Windows digests it all in one way */
}

static const char entry[16] = "\x10\0\0\0\0\x02\x02\0\x30\x03\x02\x01\x05"; /* 16 bytes: SEQUENCE { 5 }, 3 of padding */

static GPtrArray *certificates(GByteArray *a, GError **error)
{
	g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(a);
	autofd int fd = memfd_from_bytes("image", bytes, NULL);
	struct pe pe;

	return pe_read(fd, &pe, error) ? pe_certificates(fd, &pe, error) : NULL;
}

static void a_certificate_is_found_without_its_padding(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = NULL;

	append_table(a, entry, 16);
	found = certificates(a, &error);
	assert_done(found != NULL, error);
	assert_int_equal(found->len, 1);
	assert_int_equal(g_bytes_get_size(g_ptr_array_index(found, 0)), 5);
}

static void an_entry_length_without_padding_is_read_too(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = NULL;
	char unrounded[16];

	memcpy(unrounded, entry, 16);
	unrounded[0] = 13;
	append_table(a, unrounded, 16);
	found = certificates(a, &error);
	assert_done(found != NULL, error);
}

static void assert_bad_entry(const char *bytes, size_t size, const char *words)
{
	GByteArray *a = image("a.exe");
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = NULL;

	append_table(a, bytes, size);
	found = certificates(a, &error);
	assert_null(found);
	assert_says(error, words);
}

static void data_smuggled_into_the_padding_is_refused(void **state G_GNUC_UNUSED)
{
	assert_bad_entry("\x10\0\0\0\0\x02\x02\0\x30\x03\x02\x01\x05\0\0X", 16, "not padding");
	assert_bad_entry("\x18\0\0\0\0\x02\x02\0\x30\x03\x02\x01\x05\0\0\0\0\0\0\0\0\0\0\0", 24, "not padding");
	assert_bad_entry("\x0d\0\0\0\0\x02\x02\0\x30\x03\x02\x01\x05\0X\0", 16, "padding that is not zero");
}

static void two_entries_are_refused(void **state G_GNUC_UNUSED)
{
	char twice[32];

	memcpy(twice, entry, 16);
	memcpy(twice + 16, entry, 16);
	assert_bad_entry(twice, 32, "it has 2 entries");
}

static void entries_must_add_up(void **state G_GNUC_UNUSED)
{
	assert_bad_entry("\x20\0\0\0\0\x02\x02\0\x30\x03\x02\x01\x05\0\0\0", 16, "an entry of 32 bytes");
	assert_bad_entry("\x08\0\0\0\0\x02\x02\0", 8, "an entry of 8 bytes");
}

static void another_revision_or_type_is_refused(void **state G_GNUC_UNUSED)
{
	assert_bad_entry("\x10\0\0\0\0\x01\x02\0\x30\x03\x02\x01\x05\0\0\0", 16, "revision 0100");
	assert_bad_entry("\x10\0\0\0\0\x02\x01\0\x30\x03\x02\x01\x05\0\0\0", 16, "type 0001");
}

static void data_behind_the_table_is_refused(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	append_table(a, entry, 16);
	g_byte_array_append(a, (const uint8_t *)"smuggled", 8);
	assert_broken(a, "do not reach exactly to the file's end");
}

static void a_table_inside_the_sections_is_refused(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	put32(a, header(a) + 168, a->len - 16);
	put32(a, header(a) + 172, 16);
	assert_broken(a, "inside the headers or sections");
}

static void a_table_that_is_not_aligned_is_refused(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	append_table(a, entry, 16);
	put32(a, header(a) + 168, get32(a, header(a) + 168) + 4);
	assert_broken(a, "not a multiple of 8");
}

static const char zip_end[22] = "PK\5\6";

static void a_zip_behind_an_image_is_refused(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	g_byte_array_append(a, (const uint8_t *)"PK\3\4stuff", 9);
	g_byte_array_append(a, (const uint8_t *)zip_end, sizeof(zip_end));
	assert_broken(a, "polyglot at offset");
}

static void a_zip_whose_comment_hides_the_signature_is_refused(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");
	char end_record[22];

	memcpy(end_record, zip_end, sizeof(zip_end));
	end_record[20] = 2 + 16; /* padding to 8, and the table */
	while (a->len % 8 != 0)
		g_byte_array_append(a, (const uint8_t *)"", 1);
	g_byte_array_append(a, (const uint8_t *)end_record, 22);
	append_table(a, entry, 16);
	assert_broken(a, "polyglot at offset");
}

static void an_overlay_of_other_data_is_kept(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");
	g_autoptr(GError) error = NULL;
	struct pe pe;

	g_byte_array_append(a, (const uint8_t *)"an installer's data", 19);
	assert_done(structure(a, &pe, &error), error);
	assert_int_equal(pe.end - pe.sections_end, 19);
}

static void a_module_trailer_is_refused(void **state G_GNUC_UNUSED)
{
	GByteArray *a = image("a.exe");

	g_byte_array_append(a, (const uint8_t *)"~Module signature appended~\n", 28);
	assert_broken(a, "a Linux module's signature");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_images_of_both_widths_are_read),
		cmocka_unit_test(the_type_is_told_by_content),
		cmocka_unit_test(our_checksum_is_the_linkers),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(the_header_may_not_lie_in_the_dos_header),
		cmocka_unit_test(a_rom_image_is_refused),
		cmocka_unit_test(four_data_directories_are_too_few),
		cmocka_unit_test(headers_must_cover_the_section_table),
		cmocka_unit_test(sections_may_not_overlap),
		cmocka_unit_test(sections_may_not_lie_over_the_headers),
		cmocka_unit_test(sections_may_not_leave_the_file),
		cmocka_unit_test(a_gap_in_an_efi_image_is_refused),
		cmocka_unit_test(a_certificate_is_found_without_its_padding),
		cmocka_unit_test(an_entry_length_without_padding_is_read_too),
		cmocka_unit_test(data_smuggled_into_the_padding_is_refused),
		cmocka_unit_test(two_entries_are_refused),
		cmocka_unit_test(entries_must_add_up),
		cmocka_unit_test(another_revision_or_type_is_refused),
		cmocka_unit_test(data_behind_the_table_is_refused),
		cmocka_unit_test(a_table_inside_the_sections_is_refused),
		cmocka_unit_test(a_table_that_is_not_aligned_is_refused),
		cmocka_unit_test(a_zip_behind_an_image_is_refused),
		cmocka_unit_test(a_zip_whose_comment_hides_the_signature_is_refused),
		cmocka_unit_test(an_overlay_of_other_data_is_kept),
		cmocka_unit_test(a_module_trailer_is_refused),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
