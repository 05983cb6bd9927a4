/* SignedData, alone and as a detached signature; what can be read can be added to and read again. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitops/base/bytes.h"
#include "signer/cms_write.h"
#include "signer/format.h"

static void check_added(const struct cms *cms)
{
	g_autoptr(GBytes) value = g_bytes_new_static("\x05\x00", 2);
	g_autoptr(GBytes) longer = cms_add_unsigned(cms, "1.2.3.4", value, NULL);
	autoptr(cms) again = longer != NULL ? cms_read(longer, "it", NULL) : NULL;
	const struct cms_signer *signer = g_ptr_array_index(cms->signers, 0);

	if (longer != NULL && again == NULL && cms_attribute_value(signer->unsigned_attributes, "1.2.3.4") == NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static(data, size), file = g_bytes_new_static("hello\n", 6);
	autoptr(cms) cms = cms_read(bytes, "it", NULL);
	autofd int fd = memfd_from_bytes("file", file, NULL);
	g_autoptr(GPtrArray) found = format_named("cms")->read(fd, bytes, NULL, NULL);

	if (cms != NULL)
		check_added(cms);
	return 0;
}
