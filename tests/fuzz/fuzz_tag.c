#include "tests/fuzz/fuzz.h"

#include "gitops/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) raw = g_bytes_new(data, size);
	autoptr(tag) tag = tag_parse(raw, NULL);

	if (tag != NULL)
		g_assert(g_bytes_get_size(tag->payload) <= size && tag->message != NULL);
	return 0;
}
