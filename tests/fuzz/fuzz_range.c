/* The evidence of a range, and a commit as a report shows it: what does not read is refused with a sentence, and nothing unsigned is ever taken. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitops/mirror.h"
#include "gitops/object.h"
#include "gitops/range_private.h"

static struct people *nobody(void)
{
	g_autoptr(GHashTable) files = g_hash_table_new(g_str_hash, g_str_equal);

	return people_load(files, NULL);
}

static void show(GBytes *raw)
{
	autoptr(commit_head) head = commit_head_read(raw, "0123456789012345678901234567890123456789", NULL);
	autoptr(json) row = head != NULL ? commit_describe(raw, "0123456789012345678901234567890123456789", head) : NULL;
	g_autoptr(GBytes) text = row != NULL ? json_canonical(row) : NULL;
	autoptr(json) again = text != NULL ? json_parse_bytes(text, NULL) : NULL;

	if (text != NULL && again == NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct people *people;
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) raw = g_bytes_new(data, size), first = NULL;
	const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
	g_autofree char *id = NULL;

	if (people == NULL && (!mirror_init(NULL) || (people = nobody()) == NULL))
		abort();
	show(raw);
	/* The tip is what the first of its commits would be, so that the walk has somewhere to begin. */
	first = line != NULL ? g_bytes_new(line + 1, (size_t)(data + size - line - 1)) : g_bytes_ref(raw);
	id = object_id(first, "commit", NULL);
	if (id != NULL && range_prove(raw, NULL, id, people, 0, &error))
		abort();
	if (id != NULL && error == NULL)
		abort();
	return 0;
}
