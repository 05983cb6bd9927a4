/* A file of allowed signers: whose key it finds must stand in it. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "signer/allowed_signers.h"

static const char key_text[] = "AAAAC3NzaC1lZDI1NTE5AAAAIMHhqUn/awTaWwSpufN4/3XsEoAEiUJBKmQC8cSf62/B";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) file = g_bytes_new(data, size);
	g_autoptr(GBytes) key = base64_decode_strict(key_text, strlen(key_text), FALSE);
	g_autofree char *principals = allowed_signers_find(file, key, "file", 1800000000000, NULL);

	if (principals != NULL)
		g_assert(memmem(data, size, key_text, strlen(key_text)) != NULL);
	return 0;
}
