#include "signer/type.h"

#include <string.h>

#include "gitops/base/error.h"

extern const struct file_type type_pe, type_msi, type_cab, type_cat, type_deb, type_rpm, type_kmod, type_elf,
    type_macho, type_appx, type_apk, type_vsix, type_nupkg, type_jar, type_zip, type_tar, type_xml, type_raw;

const struct file_type *const file_types[] = { &type_pe, &type_msi, &type_cab, &type_cat, &type_deb, &type_rpm,
	&type_kmod, &type_elf, &type_macho, &type_appx, &type_apk, &type_vsix, &type_nupkg, &type_jar, &type_zip,
	&type_tar, &type_xml, &type_raw, NULL };

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

gboolean file_type_check(const struct file_type *type, int fd, struct json *facts, GError **error)
{
	if (type->structure != NULL)
		return type->structure(fd, facts, error);
	error_refused(error, "no structure rules for %s yet: list it as type raw to have it signed detached", type->name);
	return FALSE;
}
