#include "gitops/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"

#define OBJECT_LIMIT ((size_t)1 << 30)
#define HEADER_SIZE 12
#define PACK_LIMIT G_GUINT64_CONSTANT(0x7fffffff) /* above, index offsets need their 64-bit form */
#define OWN_PREFIX "pack-"
#define TEMPORARY_PREFIX "tmp_tagseal_"

struct item {
	git_oid id;
	uint32_t offset, crc;
};

struct pack {
	GByteArray *bytes; /* the file from its header on, without its checksum */
	GArray *items; /* of struct item */
	GHashTable *ids; /* the ids in items, raw, owned */
};

static guint oid_hash(gconstpointer id)
{
	guint hash;

	memcpy(&hash, ((const git_oid *)id)->id, sizeof(hash));
	return hash;
}

static gboolean oid_same(gconstpointer a, gconstpointer b)
{
	return git_oid_equal(a, b);
}

struct pack *pack_new(void)
{
	struct pack *pack = g_new0(struct pack, 1);

	pack->bytes = g_byte_array_new();
	g_byte_array_append(pack->bytes, (const guint8 *)"PACK\0\0\0\2\0\0\0\0", HEADER_SIZE);
	pack->items = g_array_new(FALSE, FALSE, sizeof(struct item));
	pack->ids = g_hash_table_new_full(oid_hash, oid_same, g_free, NULL);
	return pack;
}

void pack_free(struct pack *pack)
{
	if (pack == NULL)
		return;
	g_byte_array_unref(pack->bytes);
	g_array_unref(pack->items);
	g_hash_table_unref(pack->ids);
	g_free(pack);
}

guint pack_count(const struct pack *pack)
{
	return pack->items->len;
}

/* Type in three bits and the size, seven bits a byte from the lowest (four in the first). */
static size_t object_header(uint8_t out[16], git_object_t type, size_t size)
{
	size_t n = 0;

	out[n] = (uint8_t)(type << 4 | (size & 15));
	for (size >>= 4; size > 0; size >>= 7) {
		out[n++] |= 0x80;
		out[n] = size & 0x7f;
	}
	return n + 1;
}

static gboolean append_deflated(GByteArray *to, const void *data, size_t size, GError **error)
{
	uLongf room = compressBound(size);
	guint at = to->len;

	g_byte_array_set_size(to, at + room);
	if (compress2(to->data + at, &room, data, size, 1) != Z_OK) {
		g_set_error(
		    error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "zlib could not compress an object of %zu bytes", size);
		return FALSE;
	}
	g_byte_array_set_size(to, at + room);
	return TRUE;
}

/* Enters what stands in `bytes` from `offset` on. */
static void enter(struct pack *pack, const git_oid *id, guint offset)
{
	struct item item = { *id, offset, crc32(0, pack->bytes->data + offset, pack->bytes->len - offset) };

	g_array_append_val(pack->items, item);
	g_hash_table_add(pack->ids, g_memdup2(id, sizeof(*id)));
}

gboolean pack_add(struct pack *pack, git_object_t type, const void *data, size_t size, git_oid *id, GError **error)
{
	uint8_t header[16];
	guint offset = pack->bytes->len;

	if (size > OBJECT_LIMIT || offset + compressBound(size) + sizeof(header) > PACK_LIMIT) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE,
		    "an object of %zu bytes does not fit into one pack with the others", size);
		return FALSE;
	}
	if (git_odb_hash(id, data, size, type) != 0) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED, "an object could not be named: %s",
		    git_error_last()->message);
		return FALSE;
	}
	if (g_hash_table_contains(pack->ids, id))
		return TRUE;
	g_byte_array_append(pack->bytes, header, object_header(header, type, size));
	if (!append_deflated(pack->bytes, data, size, error)) {
		g_byte_array_set_size(pack->bytes, offset);
		return FALSE;
	}
	enter(pack, id, offset);
	return TRUE;
}

/* ---- writing ---- */

static void put_be32(GByteArray *to, uint32_t value)
{
	uint32_t big = GUINT32_TO_BE(value);

	g_byte_array_append(to, (const guint8 *)&big, sizeof(big));
}

/* Both files end in the SHA-1 of what stands before: a checksum of git's format, no promise of ours. */
static void put_checksum(GByteArray *to)
{
	uint8_t sum[GIT_OID_RAWSZ];

	EVP_Digest(to->data, to->len, sum, NULL, EVP_sha1(), NULL);
	g_byte_array_append(to, sum, sizeof(sum));
}

static int compare_items(gconstpointer a, gconstpointer b)
{
	return git_oid_cmp(&((const struct item *)a)->id, &((const struct item *)b)->id);
}

/* Index, version 2: fan-out, ids, checksums of the packed bytes, offsets, the pack's checksum, its own. */
static GByteArray *build_index(struct pack *pack, const uint8_t *pack_sum)
{
	GByteArray *index = g_byte_array_new();
	const struct item *items = (const struct item *)(void *)pack->items->data;
	guint count = pack->items->len, below = 0;

	g_array_sort(pack->items, compare_items);
	g_byte_array_append(index, (const guint8 *)"\377tOc\0\0\0\2", 8);
	for (guint first = 0; first < 256; first++) {
		while (below < count && items[below].id.id[0] <= first)
			below++;
		put_be32(index, below);
	}
	for (guint i = 0; i < count; i++)
		g_byte_array_append(index, items[i].id.id, GIT_OID_RAWSZ);
	for (guint i = 0; i < count; i++)
		put_be32(index, items[i].crc);
	for (guint i = 0; i < count; i++)
		put_be32(index, items[i].offset);
	g_byte_array_append(index, pack_sum, GIT_OID_RAWSZ);
	put_checksum(index);
	return index;
}

static gboolean disk_error(const char *what, const char *path, GError **error)
{
	g_set_error(
	    error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s could not be %s: %s", path, what, g_strerror(errno));
	return FALSE;
}

/* Temporary file, data on the disk, then its name. */
static gboolean write_file(const char *folder, const char *name, const GByteArray *bytes, GError **error)
{
	g_autofree char *path = g_build_filename(folder, name, NULL);
	g_autofree char *temporary = g_strdup_printf("%s/" TEMPORARY_PREFIX "%s", folder, name);
	autofd int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);

	if (fd < 0)
		return disk_error("made", temporary, error);
	if (!fd_write_all(fd, bytes->data, bytes->len, error)) {
		unlink(temporary);
		g_prefix_error(error, "%s could not be written: ", temporary);
		if (error != NULL && *error != NULL)
			(*error)->code = TAGSEAL_ERROR_UNAVAILABLE;
		return FALSE;
	}
	if (fdatasync(fd) != 0 || rename(temporary, path) != 0) {
		disk_error("made durable", temporary, error);
		unlink(temporary);
		return FALSE;
	}
	return TRUE;
}

static gboolean sync_folder(const char *folder, GError **error)
{
	autofd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return (fd >= 0 && fsync(fd) == 0) || disk_error("made durable", folder, error);
}

static void finish(struct pack *pack)
{
	uint32_t count = GUINT32_TO_BE(pack->items->len);

	memcpy(pack->bytes->data + 8, &count, sizeof(count));
	put_checksum(pack->bytes);
}

GBytes *pack_finish(struct pack *pack)
{
	finish(pack);
	return g_bytes_new(pack->bytes->data, pack->bytes->len);
}

/* `name` gets the files' common part: "pack-<40 hex>". */
static gboolean write_pack(struct pack *pack, const char *folder, char **name, GError **error)
{
	g_autoptr(GByteArray) index = NULL;
	g_autofree char *sum = NULL, *base = NULL, *pack_name = NULL, *index_name = NULL;
	const uint8_t *raw;

	finish(pack);
	raw = pack->bytes->data + pack->bytes->len - GIT_OID_RAWSZ;
	index = build_index(pack, raw);
	sum = hex_encode(raw, GIT_OID_RAWSZ);
	base = g_strconcat(OWN_PREFIX, sum, NULL);
	pack_name = g_strconcat(base, ".pack", NULL);
	index_name = g_strconcat(base, ".idx", NULL);
	if (!write_file(folder, pack_name, pack->bytes, error) || !write_file(folder, index_name, index, error) ||
	    !sync_folder(folder, error))
		return FALSE;
	if (name != NULL)
		*name = g_steal_pointer(&base);
	return TRUE;
}

gboolean pack_write(struct pack *pack, const char *folder, GError **error)
{
	return write_pack(pack, folder, NULL, error);
}

/* ---- joining ---- */

struct file {
	char *base; /* path without its ending */
	uint64_t size;
};

static void file_clear(gpointer data)
{
	g_free(((struct file *)data)->base);
}

static int compare_sizes(gconstpointer a, gconstpointer b)
{
	uint64_t one = ((const struct file *)a)->size, other = ((const struct file *)b)->size;

	return one < other ? -1 : one > other;
}

/* Packs that have an index, smallest first. */
static GArray *list_packs(const char *folder)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	GArray *files = g_array_new(FALSE, FALSE, sizeof(struct file));
	const char *name;

	g_array_set_clear_func(files, file_clear);
	while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *base = NULL, *path = NULL;
		struct stat st;

		if (!g_str_has_prefix(name, OWN_PREFIX) || !g_str_has_suffix(name, ".idx"))
			continue;
		base = g_strdup_printf("%s/%.*s", folder, (int)(strlen(name) - 4), name);
		path = g_strconcat(base, ".pack", NULL);
		if (stat(path, &st) == 0) {
			struct file file = { g_steal_pointer(&base), st.st_size };

			g_array_append_val(files, file);
		}
	}
	g_array_sort(files, compare_sizes);
	return files;
}

/* How many of the smallest to join: all that are no larger than twice those before them together. */
static guint choose(const GArray *files)
{
	uint64_t sum = 0;
	guint n = 0;

	for (; n < files->len; n++) {
		uint64_t size = g_array_index(files, struct file, n).size;

		if ((n >= 2 && size > 2 * sum) || sum + size > PACK_LIMIT)
			break;
		sum += size;
	}
	return n;
}

/* The id and the offset of every object by a pack's index, in the order of the file. */
static GArray *read_index(const char *base, GError **error)
{
	g_autofree char *path = g_strconcat(base, ".idx", NULL);
	g_autoptr(GBytes) bytes = file_read(path, PACK_LIMIT, error);
	g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(struct item));
	const uint8_t *ids = NULL;
	uint32_t count = 0;
	struct cursor c;

	if (bytes == NULL)
		return NULL;
	cursor_init(&c, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	cursor_magic(&c, "\377tOc\0\0\0\2", 8, "magic");
	cursor_skip(&c, 255 * 4, "fan-out");
	cursor_be32(&c, &count, "count");
	if (!cursor_bytes(&c, &ids, (size_t)count * GIT_OID_RAWSZ, "ids") ||
	    !cursor_skip(&c, (size_t)count * 4, "checksums")) {
		cursor_fail(&c, path, error);
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct item item = { .crc = 0 };

		git_oid_fromraw(&item.id, ids + (size_t)i * GIT_OID_RAWSZ);
		if (!cursor_be32(&c, &item.offset, "offset")) {
			cursor_fail(&c, path, error);
			return NULL;
		}
		g_array_append_val(items, item);
	}
	return g_steal_pointer(&items);
}

static int compare_offsets(gconstpointer a, gconstpointer b)
{
	uint32_t one = ((const struct item *)a)->offset, other = ((const struct item *)b)->offset;

	return one < other ? -1 : one > other;
}

/* FALSE without error: not ours to move, since it holds a delta (or is damaged: then fsck's matter). */
static gboolean copy_objects(struct pack *to, GBytes *from, GArray *items)
{
	gsize size;
	const uint8_t *data = g_bytes_get_data(from, &size);

	g_array_sort(items, compare_offsets);
	for (guint i = 0; i < items->len; i++) {
		const struct item *item = &g_array_index(items, struct item, i);
		size_t end = i + 1 < items->len ? g_array_index(items, struct item, i + 1).offset : size - GIT_OID_RAWSZ;
		guint at = to->bytes->len, type;

		if (item->offset < HEADER_SIZE || item->offset >= end || end > size - GIT_OID_RAWSZ)
			return FALSE;
		type = data[item->offset] >> 4 & 7;
		if (type < GIT_OBJECT_COMMIT || type > GIT_OBJECT_TAG)
			return FALSE;
		if (g_hash_table_contains(to->ids, &item->id))
			continue;
		g_byte_array_append(to->bytes, data + item->offset, end - item->offset);
		enter(to, &item->id, at);
	}
	return TRUE;
}

/* Takes one pack's objects over, all or none. */
static gboolean join(struct pack *to, const struct file *file, gboolean *joined, GError **error)
{
	g_autofree char *path = g_strconcat(file->base, ".pack", NULL);
	g_autoptr(GBytes) bytes = file_read(path, PACK_LIMIT, error);
	g_autoptr(GArray) items = bytes != NULL ? read_index(file->base, error) : NULL;
	guint length = to->bytes->len, count = to->items->len;

	if (items == NULL)
		return FALSE;
	*joined = g_bytes_get_size(bytes) >= HEADER_SIZE + GIT_OID_RAWSZ && copy_objects(to, bytes, items);
	if (!*joined) {
		while (to->items->len > count) {
			g_hash_table_remove(to->ids, &g_array_index(to->items, struct item, to->items->len - 1).id);
			g_array_set_size(to->items, to->items->len - 1);
		}
		g_byte_array_set_size(to->bytes, length);
	}
	return TRUE;
}

/* The index goes first: a pack without one is nothing to a reader. */
static void remove_pack(const char *base)
{
	static const char *const endings[] = { ".idx", ".rev", ".bitmap", ".pack" };

	for (guint i = 0; i < G_N_ELEMENTS(endings); i++) {
		g_autofree char *path = g_strconcat(base, endings[i], NULL);

		unlink(path);
	}
}

gboolean pack_merge(const char *folder, guint most, gboolean *merged, GError **error)
{
	g_autoptr(GArray) files = list_packs(folder);
	g_autoptr(GPtrArray) gone = g_ptr_array_new();
	autoptr(pack) to = pack_new();
	g_autofree char *name = NULL, *made = NULL;
	guint n = files->len > most ? choose(files) : 0;

	*merged = FALSE;
	for (guint i = 0; i < n; i++) {
		const struct file *file = &g_array_index(files, struct file, i);
		gboolean joined = FALSE;

		if (!join(to, file, &joined, error))
			return FALSE;
		if (joined)
			g_ptr_array_add(gone, file->base);
	}
	if (gone->len < 2)
		return TRUE;
	if (!write_pack(to, folder, &name, error))
		return FALSE;
	*merged = TRUE;
	made = g_build_filename(folder, name, NULL);
	for (guint i = 0; i < gone->len; i++) {
		if (!g_str_equal(gone->pdata[i], made))
			remove_pack(gone->pdata[i]);
	}
	return sync_folder(folder, error);
}

void pack_sweep(const char *folder)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *path = g_build_filename(folder, name, NULL);

		if (g_str_has_prefix(name, TEMPORARY_PREFIX))
			unlink(path);
	}
}
