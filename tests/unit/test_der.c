/* DER, held to the vectors that Windows' own tools made, and to X.690's rules. */
#include <string.h>

#include "gitops/base/der.h"
#include "tests/unit/support_pki.h"

static void assert_written(GByteArray *out, const char *hex)
{
	g_autofree char *text = hex_encode(out->data, out->len);

	assert_string_equal(text, hex);
	g_byte_array_unref(out);
}

static void assert_bad(const char *hex, const char *words)
{
	g_autoptr(GError) error = NULL;
	uint8_t data[64];

	assert_true(hex_decode(hex, data, strlen(hex) / 2));
	assert_false(der_check(data, strlen(hex) / 2, "it", &error));
	assert_says(error, words);
}

static void object_identifiers_are_written_in_base_128(void **state G_GNUC_UNUSED)
{
	GByteArray *out = g_byte_array_new();

	der_write_oid(out, "1.3.6.1.4.1.311.2.1.4");
	der_write_oid(out, "2.16.840.1.101.3.4.2.1");
	assert_written(out, "060a2b060104018237020104"
			    "0609608648016503040201");
}

static void object_identifiers_are_read_as_they_were_written(void **state G_GNUC_UNUSED)
{
	static const char *const oids[] = { "1.2.840.113549.1.9.16.2.47", "2.5.4.3", "2.999.1", "0.9.2342.1" };

	for (guint i = 0; i < G_N_ELEMENTS(oids); i++) {
		g_autoptr(GByteArray) out = g_byte_array_new();
		g_autofree char *text = NULL;
		struct cursor c;
		der_write_oid(out, oids[i]);
		cursor_init(&c, out->data, out->len);
		text = der_take_oid(&c, "oid");
		assert_string_equal(text, oids[i]);
	}
}

static void integers_never_turn_negative(void **state G_GNUC_UNUSED)
{
	GByteArray *out = g_byte_array_new();

	der_write_unsigned(out, (const uint8_t[]){ 0x00, 0x00, 0x7F }, 3);
	der_write_unsigned(out, (const uint8_t[]){ 0x80 }, 1);
	der_write_unsigned(out, NULL, 0);
	assert_written(out, "02017f"
			    "02020080"
			    "020100");
}

static void lengths_are_the_shortest(void **state G_GNUC_UNUSED)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	static const uint8_t zeros[300];
	size_t mark = der_open(out, DER_SEQUENCE);

	der_write(out, DER_OCTETS, zeros, 127);
	der_write(out, DER_OCTETS, zeros, 128);
	der_write(out, DER_OCTETS, zeros, 300);
	der_close(out, mark);
	assert_int_equal(out->len, 4 + 2 + 127 + 3 + 128 + 4 + 300);
	assert_memory_equal(out->data, "\x30\x82\x02\x34\x04\x7f", 6);
	assert_true(der_check(out->data, out->len, "it", NULL));
}

static void sets_are_sorted_by_their_encoding(void **state G_GNUC_UNUSED)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	GByteArray *out = g_byte_array_new();

	g_ptr_array_add(all, g_bytes_new("\x04\x02\x01\x01", 4));
	g_ptr_array_add(all, g_bytes_new("\x02\x01\x05", 3));
	g_ptr_array_add(all, g_bytes_new("\x04\x01\x09", 3));
	der_write_set(out, DER_SET, all);
	assert_written(out, "310a"
			    "020105"
			    "040109"
			    "04020101");
}

static void ber_is_refused(void **state G_GNUC_UNUSED)
{
	assert_bad("30800000", "indefinite length");
	assert_bad("048105"
		   "0000000000",
	    "shortest form");
	assert_bad("04820080"
		   "00",
	    "shortest form");
	assert_bad("3003"
		   "1f0100",
	    "tag number above 30");
}

static void what_is_cut_off_or_follows_is_refused(void **state G_GNUC_UNUSED)
{
	assert_bad("3004020105", "at offset");
	assert_bad("300302010500", "1");
	assert_bad("30", "at offset");
	assert_bad("", "at offset");
}

static void an_element_may_not_leave_its_parent(void **state G_GNUC_UNUSED)
{
	assert_bad("3003"
		   "040500"
		   "00000000",
	    "at offset");
	assert_bad("3005"
		   "3004"
		   "020105",
	    "at offset");
}

static void assert_from_ber(const char *ber, const char *der, const char *words)
{
	g_autoptr(GBytes) in = NULL, out = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	uint8_t data[64];

	assert_true(hex_decode(ber, data, strlen(ber) / 2));
	in = g_bytes_new(data, strlen(ber) / 2);
	out = der_from_ber(in, 1, "it", &error);
	if (der == NULL) {
		assert_null(out);
		assert_says(error, words);
		return;
	}
	text = hex_encode(g_bytes_get_data(out, NULL), g_bytes_get_size(out));
	assert_string_equal(text, der);
}

static void indefinite_lengths_become_definite(void **state G_GNUC_UNUSED)
{
	assert_from_ber("30800000", "3000", NULL);
	assert_from_ber("3080"
			"a080020105"
			"0000"
			"0000",
	    "3005"
	    "a003020105",
	    NULL);
	assert_from_ber("3006"
			"a0800500"
			"0000",
	    "3004"
	    "a0020500",
	    NULL);
	assert_from_ber("3003020105", "3003020105", NULL);
}

static void other_ber_stays_refused(void **state G_GNUC_UNUSED)
{
	assert_from_ber("3080020105", NULL, "an indefinite length without its end");
	assert_from_ber("3004"
			"a0800500"
			"0000",
	    NULL, "an indefinite length without its end");
	assert_from_ber("3004"
			"3002"
			"3000",
	    "3004"
	    "3002"
	    "3000",
	    NULL);
	assert_from_ber("3006"
			"3004"
			"30800000",
	    NULL, "indefinite length: BER, not DER");
	assert_from_ber("04800000", NULL, "indefinite length: BER, not DER");
	assert_from_ber("3080"
			"048101050000",
	    NULL, "shortest form");
	assert_from_ber("3080000000", NULL, "1 byte");
	assert_from_ber("", NULL, "at offset 0");
}

static void another_tag_is_named(void **state G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	struct cursor c;
	struct der value;

	cursor_init(&c, "\x04\x01\x05", 3);
	assert_false(der_take(&c, DER_INTEGER, &value, "version"));
	cursor_fail(&c, "it", &error);
	assert_says(error, "tag 04 stands where 02 is due");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(object_identifiers_are_written_in_base_128),
		cmocka_unit_test(object_identifiers_are_read_as_they_were_written),
		cmocka_unit_test(integers_never_turn_negative),
		cmocka_unit_test(lengths_are_the_shortest),
		cmocka_unit_test(sets_are_sorted_by_their_encoding),
		cmocka_unit_test(ber_is_refused),
		cmocka_unit_test(what_is_cut_off_or_follows_is_refused),
		cmocka_unit_test(an_element_may_not_leave_its_parent),
		cmocka_unit_test(indefinite_lengths_become_definite),
		cmocka_unit_test(other_ber_stays_refused),
		cmocka_unit_test(another_tag_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
