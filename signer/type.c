#include "signer/type.h"

#include <string.h>

extern const struct file_type type_pe, type_raw;

const struct file_type *const file_types[] = { &type_pe, &type_raw, NULL };

const struct file_type *file_type_of(int fd)
{
	guint i = 0;

	while (!file_types[i]->claims(fd))
		i++;
	return file_types[i];
}

const struct file_type *file_type_named(const char *name)
{
	for (guint i = 0; file_types[i] != NULL; i++)
		if (strcmp(file_types[i]->name, name) == 0)
			return file_types[i];
	return NULL;
}
