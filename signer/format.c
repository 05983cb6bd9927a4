#include "signer/format.h"

extern const struct format format_authenticode, format_cms, format_openpgp;

const struct format *const formats[] = {
	&format_authenticode,
	&format_cms,
	&format_openpgp,
	NULL,
};

const struct format *format_named(const char *name)
{
	for (guint i = 0; formats[i] != NULL; i++)
		if (g_str_equal(formats[i]->name, name))
			return formats[i];
	return NULL;
}

void format_signature_free(struct format_signature *s)
{
	if (s == NULL)
		return;
	g_free(s->format);
	g_free(s->digest);
	X509_free(s->certificate);
	g_free(s->key);
	g_clear_pointer(&s->signature, g_bytes_unref);
	g_clear_pointer(&s->cms, g_bytes_unref);
	g_clear_pointer(&s->token, g_bytes_unref);
	g_free(s->why);
	g_free(s);
}
