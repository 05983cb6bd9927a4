#include "tests/fuzz/fuzz.h"

#include "gitops/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) raw = g_bytes_new(data, size);
	autoptr(commit) commit = commit_parse(raw, NULL);

	if (commit != NULL)
		g_assert(g_bytes_get_size(commit->payload) <= size && commit->message != NULL);
	return 0;
}
