/*
 * What a PE signature is over, the header's checksum, and the image written with a signature or without.
 * Two places are outside of every digest: the checksum and the certificate table's directory entry.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "signer/pe.h"

#define CHUNK (256 * 1024)

static gboolean digest_range(int fd, EVP_MD_CTX *md, uint8_t *buffer, uint64_t from, uint64_t to, GError **error)
{
	while (from < to) {
		size_t size = MIN(to - from, CHUNK);
		if (!fd_pread_all(fd, buffer, size, from, error))
			return FALSE;
		EVP_DigestUpdate(md, buffer, size);
		from += size;
	}
	return TRUE;
}

static size_t padding_of(const struct pe *pe)
{
	return (8 - pe->end % 8) % 8;
}

gboolean pe_digest(int fd, const struct pe *pe, const EVP_MD *md, uint8_t *out, GError **error)
{
	g_autofree uint8_t *buffer = g_malloc(CHUNK);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	gboolean done;

	EVP_DigestInit_ex(context, md, NULL);
	done = digest_range(fd, context, buffer, 0, pe->checksum_at, error) &&
	       digest_range(fd, context, buffer, pe->checksum_at + 4, pe->directory_at, error) &&
	       digest_range(fd, context, buffer, pe->directory_at + 8, pe->end, error);
	memset(buffer, 0, 8);
	EVP_DigestUpdate(context, buffer, padding_of(pe));
	EVP_DigestFinal_ex(context, out, NULL);
	EVP_MD_CTX_free(context);
	return done;
}

static void blank(uint8_t *buffer, uint64_t at, size_t size, uint64_t from, size_t count)
{
	for (uint64_t i = from; i < from + count; i++)
		if (i >= at && i < at + size)
			buffer[i - at] = 0;
}

/* The sum of 16-bit words with end-around carry is the same for 32-bit words folded at the end. */
gboolean pe_checksum(int fd, const struct pe *pe, uint32_t *out, GError **error)
{
	g_autofree uint8_t *buffer = g_malloc(CHUNK + 4);
	uint64_t sum = 0;

	for (uint64_t at = 0; at < pe->size; at += CHUNK) {
		size_t size = MIN(pe->size - at, CHUNK);
		if (!fd_pread_all(fd, buffer, size, at, error))
			return FALSE;
		memset(buffer + size, 0, 4);
		blank(buffer, at, size, pe->checksum_at, 4);
		for (size_t i = 0; i < size; i += 4) {
			uint32_t word;
			memcpy(&word, buffer + i, 4);
			sum += GUINT32_FROM_LE(word);
		}
	}
	while (sum >> 16 != 0)
		sum = (sum & 0xFFFF) + (sum >> 16);
	*out = sum + pe->size;
	return TRUE;
}

static gboolean patch(int fd, uint64_t at, const uint32_t *words, guint count, GError **error)
{
	uint32_t bytes[2];

	for (guint i = 0; i < count; i++)
		bytes[i] = GUINT32_TO_LE(words[i]);
	if (pwrite(fd, bytes, count * 4, at) == (ssize_t)(count * 4))
		return TRUE;
	g_set_error(
	    error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "cannot write the image's header: %s", g_strerror(errno));
	return FALSE;
}

/* WIN_CERTIFICATE: length with padding, revision 2.0, PKCS#7. */
static gboolean append_entry(int out, GBytes *signature, uint32_t *table_size, GError **error)
{
	static const uint8_t zeros[8];
	gsize size;
	const void *data = g_bytes_get_data(signature, &size);
	uint32_t header[2];

	*table_size = (8 + size + 7) / 8 * 8;
	header[0] = GUINT32_TO_LE(*table_size);
	header[1] = GUINT32_TO_LE(0x00020200);
	return fd_write_all(out, header, sizeof(header), error) && fd_write_all(out, data, size, error) &&
	       fd_write_all(out, zeros, *table_size - 8 - size, error);
}

gboolean pe_write(int in, int out, const struct pe *pe, GBytes *signature, GError **error)
{
	static const uint8_t zeros[8];
	struct pe written = *pe;
	uint32_t directory[2] = { 0, 0 }, checksum;

	if (!fd_copy(in, 0, pe->end, out, error) || !fd_write_all(out, zeros, padding_of(pe), error))
		return FALSE;
	written.size = written.end = pe->end + padding_of(pe);
	if (signature != NULL) {
		directory[0] = written.end;
		if (!append_entry(out, signature, &directory[1], error))
			return FALSE;
		written.size += directory[1];
	}
	return patch(out, pe->directory_at, directory, 2, error) && pe_checksum(out, &written, &checksum, error) &&
	       patch(out, pe->checksum_at, &checksum, 1, error);
}
