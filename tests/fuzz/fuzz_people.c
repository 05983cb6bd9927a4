/* One person's file, with a roots file beside it. */
#include "tests/fuzz/fuzz.h"

#include "gitops/people.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GHashTable) files =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	autoptr(people) people = NULL;

	g_hash_table_insert(files, g_strdup("people/alice.toml"), g_bytes_new(data, size));
	g_hash_table_insert(files, g_strdup("people/r.pem"), g_bytes_new_static("x", 1));
	people = people_load(files, NULL);
	if (people != NULL)
		g_assert(people_exists(people, "alice") && !people_widened(people, people, "alice"));
	return 0;
}
