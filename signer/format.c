#include "signer/format.h"

#include "signer/type.h"

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

const struct format *format_native(const struct file_type *type)
{
	const struct format *format = type->native_format != NULL ? format_named(type->native_format) : NULL;

	return format != NULL && format->supports(type->name) ? format : NULL;
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
