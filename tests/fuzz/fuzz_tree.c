/* Raw trees: what is taken is in git's order, each name once and plain; paths of any bytes become one line. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitops/objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) raw = g_bytes_new(data, size);
	g_autoptr(GArray) entries = tree_parse(raw, "0123456789012345678901234567890123456789", &error);
	g_autofree char *any = g_strndup((const char *)data, size), *text = path_text(any);

	if ((entries == NULL) != (error != NULL) || strchr(text, '\n') != NULL || !g_utf8_validate(text, -1, NULL))
		abort();
	for (guint i = 0; entries != NULL && i < entries->len; i++) {
		const struct tree_entry *entry = &g_array_index(entries, struct tree_entry, i);

		if (*entry->name == '\0' || strchr(entry->name, '/') != NULL || strlen(entry->id) != 40)
			abort();
	}
	return 0;
}
