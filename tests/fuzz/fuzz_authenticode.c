/* A signed image: its structure, its signatures, those nested in them. */
#include "tests/fuzz/fuzz.h"

#include "gitops/base/bytes.h"
#include "signer/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
	autofd int fd = memfd_from_bytes("image", bytes, NULL);
	g_autoptr(GPtrArray) found = format_named("authenticode")->read(fd, NULL, NULL, NULL);
	struct verify_options options = { 0 };

	verify_file(fd, &options, NULL, NULL);
	return 0;
}
