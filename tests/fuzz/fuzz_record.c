/* Records, events and policy evidence as an auditor reads them from a stranger's clone. */
#include <stdint.h>
#include <stdlib.h>

#include "gitops/record.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autoptr(json) value = json_parse(data, size, JSON_STRICT, NULL);
	g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
	g_autoptr(GHashTable) files = policy_evidence_read(bytes, NULL, NULL);

	if (value != NULL && record_check(value, NULL)) {
		g_autofree char *digest = record_digest(value);

		if (digest == NULL)
			abort();
	}
	if (value != NULL)
		record_event_check(value, NULL);
	return 0;
}
