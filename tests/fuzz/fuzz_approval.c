/* Reads raw commits as approvals. Nobody is known, so none may count. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitops/decide.h"

#define OBJECT "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct people *nobody; /* one for the whole run */
	g_autoptr(GBytes) raw = g_bytes_new(data, size);
	g_autofree char *message = g_strndup((const char *)data, size);
	g_autoptr(GError) error = NULL;
	struct signer signer;

	if (nobody == NULL) {
		g_autoptr(GHashTable) files = g_hash_table_new(g_str_hash, g_str_equal);

		nobody = people_load(files, NULL);
		if (nobody == NULL)
			abort();
	}
	approval_is_one(message);
	g_strfreev(approval_lines(raw));
	if (approval_verify(nobody, "acme/widget", "v1.2.0", OBJECT, OBJECT, "release", raw, 0, &signer, &error))
		abort();
	if (error == NULL)
		abort();
	return 0;
}
