#include "signer/format.h"

const struct format *const formats[] = {
	NULL,
};

const struct format *format_named(const char *name)
{
	for (guint i = 0; formats[i] != NULL; i++)
		if (g_str_equal(formats[i]->name, name))
			return formats[i];
	return NULL;
}
