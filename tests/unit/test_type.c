/* What a file is, by its content: the names that inspect tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "signer/format.h"
#include "signer/type.h"

static int file_of(const void *data, size_t size)
{
	int fd = memfd_new("file", NULL);

	assert_true(fd >= 0 && fd_write_all(fd, data, size, NULL));
	return fd;
}

static void assert_type(const void *data, size_t size, const char *name)
{
	autofd int fd = file_of(data, size);

	assert_string_equal(file_type_of(fd)->name, name);
}

/* A file of 2 KiB with these bytes at `at`. */
static void assert_bytes_at(size_t at, const void *bytes, size_t size, const char *name)
{
	uint8_t file[2048] = { 0 };

	memcpy(file + at, bytes, size);
	assert_type(file, sizeof(file), name);
}

static void put(GByteArray *to, const void *data, size_t size)
{
	g_byte_array_append(to, data, size);
}

static void put_name(GByteArray *to, const char *name)
{
	uint8_t entry[46] = "PK\1\2";

	entry[28] = strlen(name);
	put(to, entry, sizeof(entry));
	put(to, name, strlen(name));
}

/* As much of a zip as tells what it is: its magic, the directory with those names, the end record. */
static void assert_zip_with(const char *first, const char *second, const char *type)
{
	g_autoptr(GByteArray) zip = g_byte_array_new();
	uint8_t end[22] = "PK\5\6";

	put(zip, "PK\3\4", 4);
	put_name(zip, first);
	put_name(zip, second);
	end[12] = zip->len - 4;
	end[16] = 4;
	put(zip, end, sizeof(end));
	assert_type(zip->data, zip->len, type);
}

static void magic_at_the_start_tells_the_type(void **state)
{
	assert_bytes_at(0, "MSCF\0\0\0\0", 8, "cab");
	assert_bytes_at(0, "\xED\xAB\xEE\xDB", 4, "rpm");
	assert_bytes_at(0, "!<arch>\ndebian-binary   ", 24, "deb");
	assert_bytes_at(0,
	    "\x7F"
	    "ELF\2\1\1",
	    7, "elf");
	assert_bytes_at(0, "\xCF\xFA\xED\xFE", 4, "macho");
	assert_bytes_at(0, "\xCA\xFE\xBA\xBE\0\0\0\2", 8, "macho");
	assert_bytes_at(0, "<?xml version=\"1.0\"?>", 21, "xml");
	assert_bytes_at(257, "ustar", 5, "tar");
}

static void what_only_looks_alike_is_raw(void **state)
{
	assert_bytes_at(0, "MSCF is a text\n", 15, "raw");
	assert_bytes_at(0, "!<arch>\nlibrary.o/ ", 19, "raw");
	assert_bytes_at(0, "\xCA\xFE\xBA\xBE\0\0\0\x34", 8, "raw"); /* a Java class */
	assert_bytes_at(0, "<?xmlish?>", 10, "raw");
	assert_bytes_at(0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", 8, "raw"); /* a document */
	assert_bytes_at(0, "\x1F\x8B\x08", 3, "raw");
	assert_type("", 0, "raw");
	assert_type("MZ", 2, "raw");
	assert_type("PK\3", 3, "raw");
}

static void an_installer_is_told_from_a_document(void **state)
{
	static const uint8_t class[] = { 0x84, 0x10, 0x0C, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46 };
	uint8_t file[2048] = { 0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1 };

	file[30] = 9;
	file[48] = 1;
	memcpy(file + 1024 + 80, class, sizeof(class));
	assert_type(file, sizeof(file), "msi");
	file[1024 + 80] = 0x85;
	assert_type(file, sizeof(file), "raw");
	memset(file + 48, 0xFF, 4); /* a root entry far beyond the end */
	assert_type(file, sizeof(file), "raw");
}

static void a_catalog_is_told_from_other_signed_data(void **state)
{
	uint8_t file[256] = "\x30\x82\x04\xD2\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02";

	memcpy(file + 50, "\x06\x09\x2B\x06\x01\x04\x01\x82\x37\x0A\x01", 11);
	assert_type(file, sizeof(file), "cat");
	file[60] = 2;
	assert_type(file, sizeof(file), "raw");
}

static void the_zip_family_is_told_by_the_names_inside(void **state)
{
	assert_zip_with("META-INF/MANIFEST.MF", "A.class", "jar");
	assert_zip_with("META-INF/MANIFEST.MF", "AndroidManifest.xml", "apk");
	assert_zip_with("AndroidManifest.xml", "classes.jar", "jar");
	assert_zip_with("lib/a.dll", "Widget.nuspec", "nupkg");
	assert_zip_with("extension.vsixmanifest", "a", "vsix");
	assert_zip_with("AppxManifest.xml", "a", "appx");
	assert_zip_with("docs/Widget.nuspec", "x/AndroidManifest.xml", "zip");
}

static void a_damaged_directory_is_still_a_zip(void **state)
{
	assert_bytes_at(0, "PK\3\4", 4, "zip");
	assert_bytes_at(0, "PK\3\4PK\5\6\0\0\0\0\0\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0", 26, "zip");
}

static void a_module_is_told_from_another_object(void **state)
{
	uint8_t file[512] = "\x7F"
			    "ELF\2\1\1";

	file[16] = 1;
	file[40] = 64; /* one section header, at 64: that of the names, at 256 */
	file[58] = 64;
	file[64 + 25] = 1;
	file[64 + 32] = 10;
	memcpy(file + 256, "\0.modinfo", 10);
	assert_type(file, sizeof(file), "kmod");
	file[258] = 'x';
	assert_type(file, sizeof(file), "elf");
	memcpy(file + sizeof(file) - 28, "~Module signature appended~\n", 28);
	assert_type(file, sizeof(file), "kmod");
}

/* Silence would pass what nobody looked at. */
static void a_type_without_rules_does_not_pass_the_structure_gate(void **state)
{
	g_autoptr(GError) error = NULL;
	autofd int zip = file_of("PK\3\4", 4), text = file_of("text", 4);

	assert_false(file_type_check(file_type_of(zip), zip, NULL, &error));
	assert_true(g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED));
	assert_string_equal(
	    error->message, "no structure rules for zip yet: list it as type raw to have it signed detached");
	assert_true(file_type_check(file_type_of(text), text, NULL, NULL));
}

static void a_format_that_does_not_know_the_type_is_not_native(void **state)
{
	assert_non_null(format_native(file_type_named("pe")));
	assert_null(format_native(file_type_named("msi")));
	assert_null(format_native(file_type_named("apk")));
	assert_null(format_native(file_type_named("zip")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(magic_at_the_start_tells_the_type),
		cmocka_unit_test(what_only_looks_alike_is_raw),
		cmocka_unit_test(an_installer_is_told_from_a_document),
		cmocka_unit_test(a_catalog_is_told_from_other_signed_data),
		cmocka_unit_test(the_zip_family_is_told_by_the_names_inside),
		cmocka_unit_test(a_damaged_directory_is_still_a_zip),
		cmocka_unit_test(a_module_is_told_from_another_object),
		cmocka_unit_test(a_type_without_rules_does_not_pass_the_structure_gate),
		cmocka_unit_test(a_format_that_does_not_know_the_type_is_not_native),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
