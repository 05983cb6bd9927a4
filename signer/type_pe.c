/*
 * PE images. The one shape that we take, so that loader, firmware, scanner and verifier read the same bytes in the same way:
 *
 *   dos-header       "MZ" at offset 0; e_lfanew at least 64 (headers don't overlap) and inside the file
 *   pe-header        "PE\0\0" there; PE32 or PE32+; at least 5 and at most 16 data directories, all inside the optional header
 *   headers          SizeOfHeaders covers the section table and lies inside the file
 *   sections         1 to 96; raw data inside the file, behind the headers, none over another
 *   efi-gap          subsystems 10 to 13: no gap between headers and sections, where firmware and Windows would digest
 *                    different bytes
 *   certificate-table  none, or 8-aligned, behind everything else, exactly to the end of the file; its entries (one; EFI: up to 8)
 *                    add up to its size
 *   size             below 4 GiB - 16 MiB: all offsets have 32 bits
 *   polyglot         nothing at the end by which a zip, Apple disk image or module reader would find its own format
 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"
#include "signer/pe.h"
#include "signer/type.h"

extern const struct file_type type_pe;

#define SIZE_MAX_PE ((UINT64_C(4) << 30) - (UINT64_C(16) << 20))
#define DOS_SIZE 64
#define COFF_SIZE 24 /* with the signature before it */
#define SECTION_SIZE 40
#define SECTIONS_MAX 96 /* the Windows loader's own limit */
#define DIRECTORIES_MAX 16
#define CERTIFICATES 4 /* directory entries */
#define CLR 14
#define EFI_ENTRIES_MAX 8
#define ZIP_END_SIZE 22
#define ZIP_TAIL (ZIP_END_SIZE + 65535)

static gboolean refuse(GError **error, const char *rule, uint64_t at, const char *format, ...) G_GNUC_PRINTF(4, 5);

static gboolean refuse(GError **error, const char *rule, uint64_t at, const char *format, ...)
{
	g_autofree char *reason = NULL;
	va_list arguments;

	va_start(arguments, format);
	reason = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	error_refused(error, "%s at offset %" G_GUINT64_FORMAT ": %s", rule, at, reason);
	return FALSE;
}

static gboolean pe_claims(int fd)
{
	uint8_t dos[DOS_SIZE], magic[4];
	uint32_t at;

	if (!fd_pread_all(fd, dos, sizeof(dos), 0, NULL) || memcmp(dos, "MZ", 2) != 0)
		return FALSE;
	memcpy(&at, dos + 60, 4);
	return fd_pread_all(fd, magic, 4, GUINT32_FROM_LE(at), NULL) && memcmp(magic, "PE\0\0", 4) == 0;
}

static gboolean read_dos_header(int fd, struct pe *pe, GError **error)
{
	uint8_t dos[DOS_SIZE];

	if (pe->size >= SIZE_MAX_PE)
		return refuse(error, "size", pe->size, "a PE image of 4 GiB - 16 MiB or more cannot be signed");
	if (pe->size < DOS_SIZE)
		return refuse(error, "dos-header", pe->size, "the file ends before the DOS header does");
	if (!fd_pread_all(fd, dos, sizeof(dos), 0, error))
		return FALSE;
	if (memcmp(dos, "MZ", 2) != 0)
		return refuse(error, "dos-header", 0, "not a PE image: it does not begin with MZ");
	memcpy(&pe->header_at, dos + 60, 4);
	pe->header_at = GUINT32_FROM_LE(pe->header_at);
	if (pe->header_at < DOS_SIZE)
		return refuse(error, "dos-header", 60, "e_lfanew %u lies inside the DOS header", pe->header_at);
	if (pe->header_at + UINT64_C(256) > pe->size)
		return refuse(error, "dos-header", 60, "e_lfanew %u leaves no room for the headers", pe->header_at);
	return TRUE;
}

static gboolean read_directories(struct cursor *c, struct pe *pe, uint32_t *table_at, const char **rule)
{
	uint32_t count, address, size;

	*rule = "pe-header";
	if (!cursor_le32(c, &count, "NumberOfRvaAndSizes"))
		return FALSE;
	if (count <= CERTIFICATES || count > DIRECTORIES_MAX)
		return cursor_refuse(c, "NumberOfRvaAndSizes", "%u is not 5 to 16", count);
	for (guint i = 0; i < count; i++) {
		if (!cursor_le32(c, &address, "data directory") || !cursor_le32(c, &size, "data directory"))
			return FALSE;
		if (i == CERTIFICATES) {
			pe->directory_at = pe->header_at + c->at - 8;
			pe->table_size = size;
			*table_at = address;
		}
		if (i == CLR)
			pe->dotnet = size > 0;
	}
	return TRUE;
}

/* From "PE\0\0" to the section table's end; `c` stands over the bytes from header_at on. */
static gboolean read_optional_header(
    struct cursor *c, struct pe *pe, uint32_t *headers_size, uint32_t *table_at, const char **rule)
{
	uint16_t magic, optional_size;
	struct cursor optional;

	*rule = "pe-header";
	if (!cursor_magic(c, "PE\0\0", 4, "signature") || !cursor_le16(c, &pe->machine, "Machine") ||
	    !cursor_le16(c, &pe->section_count, "NumberOfSections") || !cursor_skip(c, 12, "COFF header") ||
	    !cursor_le16(c, &optional_size, "SizeOfOptionalHeader") || !cursor_skip(c, 2, "Characteristics"))
		return FALSE;
	optional = *c;
	if (!cursor_skip(c, optional_size, "optional header"))
		return FALSE;
	optional.size = c->at;
	if (!cursor_le16(&optional, &magic, "Magic"))
		goto failed;
	if (magic != 0x10B && magic != 0x20B) {
		cursor_refuse(&optional, "Magic", "%04X is neither PE32 nor PE32+", magic);
		goto failed;
	}
	pe->plus = magic == 0x20B;
	pe->checksum_at = pe->header_at + 88;
	if (!cursor_seek(&optional, 84, "SizeOfHeaders") || !cursor_le32(&optional, headers_size, "SizeOfHeaders") ||
	    !cursor_le32(&optional, &pe->checksum, "CheckSum") || !cursor_le16(&optional, &pe->subsystem, "Subsystem") ||
	    !cursor_seek(&optional, 116 + (pe->plus ? 16 : 0), "NumberOfRvaAndSizes") ||
	    !read_directories(&optional, pe, table_at, rule))
		goto failed;
	pe->efi = pe->subsystem >= 10 && pe->subsystem <= 13;
	return TRUE;
failed:
	*c = optional;
	return FALSE;
}

struct extent {
	uint64_t at, size;
};

static int compare_extents(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static gboolean read_sections(
    struct cursor *c, const struct pe *pe, struct extent extents[static SECTIONS_MAX], guint *count, const char **rule)
{
	uint32_t size, at;

	*rule = "sections";
	if (pe->section_count == 0 || pe->section_count > SECTIONS_MAX)
		return cursor_refuse(c, "NumberOfSections", "%u is not 1 to 96", pe->section_count);
	*count = 0;
	for (guint i = 0; i < pe->section_count; i++) {
		if (!cursor_skip(c, 16, "section header") || !cursor_le32(c, &size, "SizeOfRawData") ||
		    !cursor_le32(c, &at, "PointerToRawData") || !cursor_skip(c, 16, "section header"))
			return FALSE;
		if (size != 0 && at != 0)
			extents[(*count)++] = (struct extent){ at, size };
	}
	qsort(extents, *count, sizeof(*extents), compare_extents);
	return TRUE;
}

static gboolean check_extents(struct pe *pe, const struct extent *extents, guint count, uint32_t headers_size,
    uint64_t headers_end, GError **error)
{
	uint64_t end = headers_size;

	if (headers_size < headers_end || headers_size > pe->size)
		return refuse(error, "headers", pe->header_at + 84,
		    "SizeOfHeaders %u does not cover the headers (%" G_GUINT64_FORMAT ") or lies behind the file's end",
		    headers_size, headers_end);
	for (guint i = 0; i < count; i++) {
		if (extents[i].at < end)
			return refuse(error, "sections", extents[i].at, "raw data lies over %s",
			    i == 0 ? "the headers" : "the section before it");
		if (extents[i].at + extents[i].size > pe->size)
			return refuse(error, "sections", extents[i].at, "raw data goes beyond the file's end");
		if (pe->efi && extents[i].at > end)
			return refuse(error, "efi-gap", end,
			    "%" G_GUINT64_FORMAT
			    " bytes between headers and sections: firmware and Windows would digest different bytes",
			    extents[i].at - end);
		end = extents[i].at + extents[i].size;
	}
	pe->sections_end = end;
	return TRUE;
}

static gboolean read_headers(int fd, struct pe *pe, uint32_t *table_at, GError **error)
{
	size_t room = MIN(pe->size - pe->header_at, COFF_SIZE + G_MAXUINT16 + SECTIONS_MAX * SECTION_SIZE);
	g_autofree uint8_t *headers = g_malloc(room);
	struct extent extents[SECTIONS_MAX];
	struct cursor c;
	const char *rule = "pe-header";
	uint32_t headers_size = 0;
	guint count = 0;

	if (!fd_pread_all(fd, headers, room, pe->header_at, error))
		return FALSE;
	cursor_init(&c, headers, room);
	if (!read_optional_header(&c, pe, &headers_size, table_at, &rule) ||
	    !read_sections(&c, pe, extents, &count, &rule))
		return refuse(error, rule, pe->header_at + c.failed_at, "%s: %s", c.field, c.reason);
	return check_extents(pe, extents, count, headers_size, pe->header_at + c.at, error);
}

struct entry {
	uint64_t at; /* of its data */
	uint32_t size; /* of its data */
	uint16_t revision, type;
};

static gboolean walk_table(int fd, const struct pe *pe, GArray *entries, GError **error)
{
	uint64_t at = pe->end, end = pe->end + pe->table_size;
	struct entry entry;
	uint8_t header[8];

	while (at < end) {
		struct cursor c;
		uint32_t length;

		if (end - at < sizeof(header))
			return refuse(error, "certificate-table", at, "bytes behind its last entry");
		if (!fd_pread_all(fd, header, sizeof(header), at, error))
			return FALSE;
		cursor_init(&c, header, sizeof(header));
		cursor_le32(&c, &length, "dwLength");
		cursor_le16(&c, &entry.revision, "wRevision");
		cursor_le16(&c, &entry.type, "wCertificateType");
		if (length <= sizeof(header) || length > end - at)
			return refuse(error, "certificate-table", at, "an entry of %u bytes", length);
		entry.at = at + sizeof(header);
		entry.size = length - sizeof(header);
		g_array_append_val(entries, entry);
		at += (length + UINT64_C(7)) / 8 * 8;
	}
	if (at != end)
		return refuse(error, "certificate-table", pe->directory_at, "its entries do not add up to its size %u",
		    pe->table_size);
	if (entries->len > (pe->efi ? EFI_ENTRIES_MAX : 1))
		return refuse(
		    error, "certificate-table", pe->end, "it has %u entries where Windows reads one", entries->len);
	return TRUE;
}

static gboolean check_table(int fd, struct pe *pe, uint32_t table_at, GError **error)
{
	g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(struct entry));

	pe->end = pe->size;
	if (table_at == 0 && pe->table_size == 0)
		return TRUE;
	if (table_at % 8 != 0)
		return refuse(
		    error, "certificate-table", pe->directory_at, "its offset %u is not a multiple of 8", table_at);
	if (table_at < pe->sections_end)
		return refuse(error, "certificate-table", pe->directory_at,
		    "its offset %u lies inside the headers or sections", table_at);
	if (pe->table_size == 0 || table_at + (uint64_t)pe->table_size != pe->size)
		return refuse(error, "certificate-table", pe->directory_at,
		    "offset %u and size %u do not reach exactly to the file's end %" G_GUINT64_FORMAT, table_at,
		    pe->table_size, pe->size);
	pe->end = table_at;
	return walk_table(fd, pe, entries, error);
}

/* An end record that a zip reader would believe: it lies in the overlay, or its comment ends where the image ends. */
static gboolean is_zip_end(const struct pe *pe, const uint8_t *record, uint64_t at)
{
	uint64_t end = at + ZIP_END_SIZE + (record[20] | record[21] << 8);

	return at >= pe->sections_end || end == pe->size || (end <= pe->end && pe->end - end < 8);
}

static gboolean check_zip(int fd, const struct pe *pe, GError **error)
{
	uint64_t start = pe->size > ZIP_TAIL ? pe->size - ZIP_TAIL : 0;
	size_t room = pe->end > start ? pe->end - start : 0;
	g_autofree uint8_t *tail = g_malloc(room + 1);

	if (!fd_pread_all(fd, tail, room, start, error))
		return FALSE;
	for (size_t i = 0; i + ZIP_END_SIZE <= room; i++)
		if (memcmp(tail + i, "PK\5\6", 4) == 0 && is_zip_end(pe, tail + i, start + i))
			return refuse(error, "polyglot", start + i,
			    "a zip's end record: zip readers find another file in this image");
	return TRUE;
}

static gboolean check_polyglot(int fd, const struct pe *pe, GError **error)
{
	static const struct {
		const char *magic, *reader;
		guint from_end;
	} tails[] = {
		{ "koly", "an Apple disk image's trailer", 512 },
		{ "~Module signature appended~\n", "a Linux module's signature", 28 },
	};
	char found[32];

	for (guint i = 0; i < G_N_ELEMENTS(tails); i++) {
		size_t size = strlen(tails[i].magic);
		if (pe->size < tails[i].from_end)
			continue;
		if (!fd_pread_all(fd, found, size, pe->size - tails[i].from_end, error))
			return FALSE;
		if (memcmp(found, tails[i].magic, size) == 0)
			return refuse(
			    error, "polyglot", pe->size - tails[i].from_end, "it ends with %s", tails[i].reader);
	}
	return check_zip(fd, pe, error);
}

gboolean pe_read(int fd, struct pe *out, GError **error)
{
	uint32_t table_at = 0;

	memset(out, 0, sizeof(*out));
	return fd_size(fd, &out->size, error) && read_dos_header(fd, out, error) &&
	       read_headers(fd, out, &table_at, error) && check_table(fd, out, table_at, error) &&
	       check_polyglot(fd, out, error);
}

/* The element's own size; what follows it must be padding: fewer than 8 zero bytes. */
static GBytes *certificate_of_entry(int fd, const struct entry *entry, GError **error)
{
	g_autofree uint8_t *data = NULL;
	size_t size, octets = 0;

	if (entry->revision != 0x0200 || entry->type != 0x0002)
		return refuse(error, "certificate-table", entry->at - 4,
			   "revision %04X and type %04X are not those of a PKCS#7 signature", entry->revision,
			   entry->type),
		       NULL;
	if (entry->size > 16 * 1024 * 1024 || entry->size < 2)
		return refuse(error, "certificate-table", entry->at, "a signature of %u bytes", entry->size), NULL;
	data = g_malloc(entry->size);
	if (!fd_pread_all(fd, data, entry->size, entry->at, error))
		return NULL;
	size = data[1];
	if (size >= 0x80) {
		octets = size & 0x7F;
		size = 0;
		for (size_t i = 0; i < octets && octets <= 4 && 2 + i < entry->size; i++)
			size = size << 8 | data[2 + i];
	}
	if (octets == 0 && data[1] == 0x80)
		return refuse(error, "certificate-table", entry->at, "indefinite length: BER, not DER"), NULL;
	size += 2 + octets;
	if (size > entry->size)
		return refuse(error, "certificate-table", entry->at, "the signature is cut off"), NULL;
	for (size_t i = size; i < entry->size; i++)
		if (data[i] != 0 || entry->size - size >= 8)
			return refuse(error, "certificate-table", entry->at + size,
				   "%zu bytes behind the signature that are not padding", entry->size - size),
			       NULL;
	return g_bytes_new(data, size);
}

/* Between an entry's end and the next multiple of 8, where the entry's own length does not count its padding. */
static gboolean check_padding(int fd, const struct entry *entry, GError **error)
{
	uint8_t padding[8];
	uint64_t end = entry->at + entry->size;
	size_t size = (8 - end % 8) % 8;

	if (!fd_pread_all(fd, padding, size, end, error))
		return FALSE;
	for (size_t i = 0; i < size; i++)
		if (padding[i] != 0)
			return refuse(error, "certificate-table", end + i, "padding that is not zero");
	return TRUE;
}

GPtrArray *pe_certificates(int fd, const struct pe *pe, GError **error)
{
	g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(struct entry));
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);

	if (pe->table_size > 0 && !walk_table(fd, pe, entries, error))
		return NULL;
	for (guint i = 0; i < entries->len; i++) {
		const struct entry *entry = &g_array_index(entries, struct entry, i);
		GBytes *certificate = certificate_of_entry(fd, entry, error);
		if (certificate == NULL)
			return NULL;
		g_ptr_array_add(all, certificate);
		if (!check_padding(fd, entry, error))
			return NULL;
	}
	return g_steal_pointer(&all);
}

static const char *machine_name(uint16_t machine)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} names[] = { { 0x14C, "x86" }, { 0x8664, "x86-64" }, { 0x1C4, "arm" }, { 0xAA64, "arm64" },
		{ 0x5064, "riscv64" }, { 0xEBC, "efi-bytecode" }, { 0x6264, "loongarch64" } };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		if (names[i].machine == machine)
			return names[i].name;
	return "other";
}

static gboolean pe_structure(int fd, struct json *facts, GError **error)
{
	struct pe pe;

	if (!pe_read(fd, &pe, error))
		return FALSE;
	if (facts != NULL) {
		json_set_string(facts, "image", pe.plus ? "PE32+" : "PE32");
		json_set_string(facts, "machine", machine_name(pe.machine));
		json_set_integer(facts, "subsystem", pe.subsystem);
		json_set_integer(facts, "sections", pe.section_count);
		json_set_boolean(facts, "dotnet", pe.dotnet);
		json_set_integer(facts, "overlay", pe.end - pe.sections_end);
		json_set_integer(facts, "certificate_table", pe.table_size);
	}
	return TRUE;
}

const struct file_type type_pe = {
	.name = "pe", .native_format = "authenticode", .claims = pe_claims, .structure = pe_structure
};
