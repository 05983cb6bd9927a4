/*
 * The zip family, told apart by the names in the central directory; the most specific first. There are no rules of structure
 * here: these rows say what a file is, so that nobody takes it for raw bytes by mistake.   APPNOTE.TXT 4.3.12, 4.3.16
 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"
#include "signer/type.h"

extern const struct file_type type_appx, type_apk, type_vsix, type_nupkg, type_jar, type_zip;

#define END_SIZE 22
#define DIRECTORY_MAX (64 * 1024 * 1024)

/* Where the central directory lies, by the end record that is nearest to the file's end. */
static gboolean find_directory(int fd, uint64_t size, uint32_t *at, uint32_t *length)
{
	size_t room = MIN(size, END_SIZE + 65535);
	g_autofree uint8_t *tail = g_malloc(room);
	struct cursor c;

	if (!fd_pread_all(fd, tail, room, size - room, NULL))
		return FALSE;
	for (size_t i = room >= END_SIZE ? room - END_SIZE + 1 : 0; i > 0; i--)
		if (memcmp(tail + i - 1, "PK\5\6", 4) == 0) {
			cursor_init(&c, tail + i - 1, END_SIZE);
			return cursor_skip(&c, 12, "end record") && cursor_le32(&c, length, "size") &&
			       cursor_le32(&c, at, "offset") && (uint64_t)*at + *length <= size;
		}
	return FALSE;
}

static gboolean next_name(struct cursor *c, const uint8_t **name, uint16_t *size)
{
	uint16_t extra, comment;

	return cursor_magic(c, "PK\1\2", 4, "entry") && cursor_skip(c, 24, "entry") &&
	       cursor_le16(c, size, "name length") && cursor_le16(c, &extra, "extra length") &&
	       cursor_le16(c, &comment, "comment length") && cursor_skip(c, 12, "entry") &&
	       cursor_bytes(c, name, *size, "name") && cursor_skip(c, (size_t)extra + comment, "extra");
}

static gboolean starts_as_zip(int fd, uint64_t *size)
{
	uint8_t magic[4];

	return fd_size(fd, size, NULL) && fd_pread_all(fd, magic, sizeof(magic), 0, NULL) &&
	       (memcmp(magic, "PK\3\4", 4) == 0 || memcmp(magic, "PK\5\6", 4) == 0);
}

static gboolean name_is(const uint8_t *name, size_t size, const char *wanted)
{
	return size == strlen(wanted) && memcmp(name, wanted, size) == 0;
}

/* "*SUFFIX" takes any name with that end in the root folder. */
static gboolean name_fits(const uint8_t *name, size_t size, const char *wanted)
{
	size_t length = strlen(wanted) - 1;

	if (*wanted != '*')
		return name_is(name, size, wanted);
	return size > length && memcmp(name + size - length, wanted + 1, length) == 0 && memchr(name, '/', size) == NULL;
}

static gboolean holds(int fd, const char *wanted)
{
	g_autofree uint8_t *directory = NULL;
	const uint8_t *name;
	uint32_t at, length;
	uint64_t size;
	uint16_t name_size;
	struct cursor c;

	if (!starts_as_zip(fd, &size) || !find_directory(fd, size, &at, &length) || length > DIRECTORY_MAX)
		return FALSE;
	directory = g_malloc(length + 1);
	if (!fd_pread_all(fd, directory, length, at, NULL))
		return FALSE;
	cursor_init(&c, directory, length);
	while (next_name(&c, &name, &name_size))
		if (name_fits(name, name_size, wanted))
			return TRUE;
	return FALSE;
}

static gboolean appx_claims(int fd)
{
	return holds(fd, "AppxManifest.xml") || holds(fd, "AppxMetadata/AppxBundleManifest.xml");
}

static gboolean apk_claims(int fd)
{
	return holds(fd, "AndroidManifest.xml") && !holds(fd, "classes.jar");
}

static gboolean vsix_claims(int fd)
{
	return holds(fd, "extension.vsixmanifest");
}

static gboolean nupkg_claims(int fd)
{
	return holds(fd, "*.nuspec");
}

/* With a manifest, or an Android library (which is signed as a JAR is). */
static gboolean jar_claims(int fd)
{
	return holds(fd, "META-INF/MANIFEST.MF") || (holds(fd, "AndroidManifest.xml") && holds(fd, "classes.jar"));
}

static gboolean zip_claims(int fd)
{
	uint64_t size;

	return starts_as_zip(fd, &size);
}

const struct file_type type_appx = { .name = "appx", .native_format = "authenticode", .claims = appx_claims };
const struct file_type type_apk = { .name = "apk", .native_format = "apk", .claims = apk_claims };
const struct file_type type_vsix = { .name = "vsix", .native_format = "vsix", .claims = vsix_claims };
const struct file_type type_nupkg = { .name = "nupkg", .native_format = "nuget", .claims = nupkg_claims };
const struct file_type type_jar = { .name = "jar", .native_format = "jar", .claims = jar_claims };
const struct file_type type_zip = { .name = "zip", .claims = zip_claims };
