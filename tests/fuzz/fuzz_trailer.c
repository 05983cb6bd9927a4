#include "tests/fuzz/fuzz.h"

#include "gitops/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *message = g_strndup((const char *)data, size);
	g_autoptr(GPtrArray) trailers = trailers_parse(message, NULL);
	g_autoptr(GHashTable) artifacts = trailers != NULL ? trailers_artifacts(trailers, NULL) : NULL;

	if (artifacts != NULL)
		g_assert(g_hash_table_size(artifacts) <= trailers->len);
	return 0;
}
