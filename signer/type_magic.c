/*
 * Types that are recognised by a few bytes at a fixed place, and have no rules of structure here: their row says what a file
 * is, so that nobody takes it for raw bytes by mistake.   file formats: reference "Detection order"; MSI: [MS-CFB] 2.2, 2.6
 */
#include <string.h>
#include <zlib.h>

#include "gitops/base/bytes.h"
#include "signer/type.h"

extern const struct file_type type_msi, type_cab, type_cat, type_deb, type_rpm, type_kmod, type_elf, type_macho,
    type_tar, type_xml;

#define TAR_BLOCK 512
#define NAMES_MAX (1024 * 1024)
#define MODULE_TRAILER "~Module signature appended~\n"

static gboolean has(int fd, uint64_t at, const void *magic, size_t size)
{
	uint8_t found[32];

	return fd_pread_all(fd, found, size, at, NULL) && memcmp(found, magic, size) == 0;
}

static gboolean read_le(int fd, uint64_t at, size_t size, uint32_t *out)
{
	uint8_t bytes[4] = { 0 };

	if (!fd_pread_all(fd, bytes, size, at, NULL))
		return FALSE;
	*out = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
	return TRUE;
}

/* A compound file whose root entry has the class of an installer package, patch or transform; a document has another. */
static gboolean msi_claims(int fd)
{
	static const uint8_t classes[] = { 0x84, 0x86, 0x82 };
	uint8_t class[16] = { 0, 0x10, 0x0C, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46 };
	uint32_t shift, first;

	if (!has(fd, 0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", 8) || !read_le(fd, 30, 2, &shift) ||
	    !read_le(fd, 48, 4, &first) || (shift != 9 && shift != 12))
		return FALSE;
	for (guint i = 0; i < G_N_ELEMENTS(classes); i++) {
		class[0] = classes[i];
		if (has(fd, ((first + UINT64_C(1)) << shift) + 80, class, sizeof(class)))
			return TRUE;
	}
	return FALSE;
}

static gboolean cab_claims(int fd)
{
	return has(fd, 0, "MSCF\0\0\0\0", 8);
}

/* A PKCS#7 SignedData (its identifier within the first 16 bytes) over a certificate trust list. */
static gboolean cat_claims(int fd)
{
	static const uint8_t trust_list[] = { 0x06, 0x09, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x0A, 0x01 };
	static const uint8_t signed_data[] = { 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02 };
	uint8_t head[128];

	return fd_pread_all(fd, head, sizeof(head), 0, NULL) && head[0] == 0x30 &&
	       memmem(head, 16, signed_data, sizeof(signed_data)) != NULL &&
	       memmem(head, sizeof(head), trust_list, sizeof(trust_list)) != NULL;
}

static gboolean deb_claims(int fd)
{
	return has(fd, 0, "!<arch>\ndebian-binary", 21);
}

static gboolean rpm_claims(int fd)
{
	return has(fd, 0, "\xED\xAB\xEE\xDB", 4);
}

static gboolean elf_claims(int fd)
{
	return has(fd, 0,
	    "\x7F"
	    "ELF",
	    4);
}

/* The names of a little-endian ELF file's sections, or NULL. */
static GBytes *section_names(int fd)
{
	gboolean wide = has(fd, 4, "\2\1", 2);
	uint32_t table = 0, entry_size, index, at, size, high = 0;
	uint8_t *names;

	if (!wide && !has(fd, 4, "\1\1", 2))
		return NULL;
	if (!read_le(fd, wide ? 40 : 32, 4, &table) || (wide && !read_le(fd, 44, 4, &high)) || high != 0 ||
	    !read_le(fd, wide ? 58 : 46, 2, &entry_size) || !read_le(fd, wide ? 62 : 50, 2, &index) ||
	    !read_le(fd, table + (uint64_t)entry_size * index + (wide ? 24 : 16), 4, &at) ||
	    !read_le(fd, table + (uint64_t)entry_size * index + (wide ? 32 : 20), 4, &size) || size > NAMES_MAX)
		return NULL;
	names = g_malloc(size);
	if (fd_pread_all(fd, names, size, at, NULL))
		return g_bytes_new_take(names, size);
	g_free(names);
	return NULL;
}

/* A relocatable ELF file that says of itself what every module says; or that bears a module's signature. */
static gboolean kmod_claims(int fd)
{
	g_autoptr(GBytes) names = NULL;
	uint64_t size;

	if (!elf_claims(fd) || !fd_size(fd, &size, NULL))
		return FALSE;
	if (size > strlen(MODULE_TRAILER) &&
	    has(fd, size - strlen(MODULE_TRAILER), MODULE_TRAILER, strlen(MODULE_TRAILER)))
		return TRUE;
	return has(fd, 16, "\1\0", 2) && (names = section_names(fd)) != NULL &&
	       memmem(g_bytes_get_data(names, NULL), g_bytes_get_size(names), "\0.modinfo", 10) != NULL;
}

/* The magic of a universal file is also that of a Java class, whose version (45 and more) stands where the count does. */
static gboolean macho_claims(int fd)
{
	uint32_t count;

	if (has(fd, 0, "\xCA\xFE\xBA\xBE\0\0\0", 7) || has(fd, 0, "\xCA\xFE\xBA\xBF\0\0\0", 7))
		return read_le(fd, 7, 1, &count) && count > 0 && count < 45;
	return has(fd, 0, "\xCF\xFA\xED\xFE", 4) || has(fd, 0, "\xCE\xFA\xED\xFE", 4) ||
	       has(fd, 0, "\xFE\xED\xFA\xCF", 4) || has(fd, 0, "\xFE\xED\xFA\xCE", 4);
}

/* Does the first block that this gzip file unpacks to begin an archive? */
static gboolean unpacks_to_tar(int fd)
{
	uint8_t packed[4096], block[TAR_BLOCK];
	z_stream stream = { .next_in = packed, .next_out = block, .avail_out = sizeof(block) };
	uint64_t size;

	if (!has(fd, 0, "\x1F\x8B\x08", 3) || !fd_size(fd, &size, NULL))
		return FALSE;
	stream.avail_in = MIN(size, sizeof(packed));
	if (!fd_pread_all(fd, packed, stream.avail_in, 0, NULL) || inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
		return FALSE;
	inflate(&stream, Z_SYNC_FLUSH);
	inflateEnd(&stream);
	return stream.avail_out == 0 && memcmp(block + 257, "ustar", 5) == 0;
}

static gboolean tar_claims(int fd)
{
	return has(fd, 257, "ustar", 5) || unpacks_to_tar(fd);
}

static gboolean xml_claims(int fd)
{
	return has(fd, 0, "<?xml ", 6) || has(fd, 0, "\xEF\xBB\xBF<?xml ", 9);
}

const struct file_type type_msi = { .name = "msi", .native_format = "authenticode", .claims = msi_claims };
const struct file_type type_cab = { .name = "cab", .native_format = "authenticode", .claims = cab_claims };
const struct file_type type_cat = { .name = "cat", .native_format = "authenticode", .claims = cat_claims };
const struct file_type type_deb = { .name = "deb", .native_format = "deb", .claims = deb_claims };
const struct file_type type_rpm = { .name = "rpm", .native_format = "rpm", .claims = rpm_claims };
const struct file_type type_kmod = { .name = "kmod", .native_format = "kmod", .claims = kmod_claims };
const struct file_type type_elf = { .name = "elf", .claims = elf_claims };
const struct file_type type_macho = { .name = "macho", .native_format = "macho", .claims = macho_claims };
const struct file_type type_tar = { .name = "tar", .claims = tar_claims };
const struct file_type type_xml = { .name = "xml", .native_format = "xml", .claims = xml_claims };
