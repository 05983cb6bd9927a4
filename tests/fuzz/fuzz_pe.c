/* An image that is taken can be written without its signature and is then taken again, unsigned, with the same digest. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "signer/pe.h"
#include "signer/type.h"

static void check_stripped(int fd, const struct pe *pe)
{
	autofd int out = memfd_new("stripped", NULL);
	uint8_t before[32], after[32];
	struct pe again;

	if (!pe_write(fd, out, pe, NULL, NULL) || !pe_digest(fd, pe, EVP_sha256(), before, NULL))
		abort();
	/* Padding may complete a zip's end record or another trailer: then the result is refused, which is right as well. */
	if (!pe_read(out, &again, NULL))
		return;
	if (again.table_size != 0 || !pe_digest(out, &again, EVP_sha256(), after, NULL) || memcmp(before, after, 32) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
	autofd int fd = memfd_from_bytes("image", bytes, NULL);
	g_autoptr(GPtrArray) certificates = NULL;
	struct pe pe;

	file_type_check(file_type_of(fd), fd, NULL, NULL);
	if (!pe_read(fd, &pe, NULL))
		return 0;
	certificates = pe_certificates(fd, &pe, NULL);
	if (certificates != NULL && (certificates->len == 0) != (pe.table_size == 0))
		abort();
	check_stripped(fd, &pe);
	return 0;
}
