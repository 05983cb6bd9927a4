/* What a file is, by its content. */
#include "tests/fuzz/fuzz.h"

#include "gitops/base/bytes.h"
#include "signer/type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofd int fd = memfd_new("fuzz", NULL);

	g_assert(fd >= 0 && fd_write_all(fd, data, size, NULL));
	for (guint i = 0; file_types[i] != NULL; i++)
		file_types[i]->claims(fd);
	return 0;
}
