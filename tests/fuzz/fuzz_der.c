/* Whatever passes as DER can be taken apart and put together again as the same bytes; whatever becomes DER is. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitops/base/der.h"

static void rebuild(GByteArray *out, struct cursor *c)
{
	struct der element;

	while (cursor_left(c) > 0 && der_take_any(c, &element, "element")) {
		struct cursor inside = *c;
		size_t mark;
		if ((element.tag & 0x20) == 0) {
			der_write(out, element.tag, element.data, element.size);
			continue;
		}
		inside.at = element.data - c->data;
		inside.size = inside.at + element.size;
		mark = der_open(out, element.tag);
		rebuild(out, &inside);
		der_close(out, mark);
	}
}

static void from_ber(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) ber = g_bytes_new_static(data, size);
	g_autoptr(GBytes) der = der_from_ber(ber, size % 5, "it", NULL);

	if (der == NULL ? der_check(data, size, "it", NULL)
			: !der_check(g_bytes_get_data(der, NULL), g_bytes_get_size(der), "it", NULL))
		abort();
	if (der != NULL && der_check(data, size, "it", NULL) && !g_bytes_equal(ber, der))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	g_autofree char *oid = NULL;
	struct cursor c;

	from_ber(data, size);
	cursor_init(&c, data, size);
	if (der_check(data, size, "it", NULL)) {
		rebuild(out, &c);
		if (out->len != size || memcmp(out->data, data, size) != 0)
			abort();
	}
	cursor_init(&c, data, size);
	oid = der_take_oid(&c, "oid");
	if (oid != NULL) {
		g_byte_array_set_size(out, 0);
		der_write_oid(out, oid);
		if (memcmp(out->data, data, out->len) != 0)
			abort();
	}
	return 0;
}
