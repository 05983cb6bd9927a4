/* Strict base64: what is taken is the one text for its bytes. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitops/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) bytes = base64_decode_strict((const char *)data, size, FALSE);
	g_autoptr(GBytes) lines = base64_decode_strict((const char *)data, size, TRUE);

	if (bytes == NULL)
		return 0;
	g_autofree char *text = g_base64_encode(
	    g_bytes_get_size(bytes) == 0 ? (const guchar *)"" : g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	if (strlen(text) != size || memcmp(text, data, size) != 0 || lines == NULL || !g_bytes_equal(bytes, lines))
		abort();
	return 0;
}
