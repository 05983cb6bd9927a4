#include "signer/file_digest.h"

#include <string.h>

#include "gitops/base/bytes.h"

#define CHUNK (256 * 1024)

gboolean file_digest(int fd, const EVP_MD *md, uint8_t *out, uint8_t *content, uint64_t *size, GError **error)
{
	g_autofree uint8_t *buffer = g_malloc(CHUNK);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_MD_CTX *second = content != NULL && !EVP_MD_is_a(md, "SHA256") ? EVP_MD_CTX_new() : NULL;
	gboolean done = fd_size(fd, size, error);

	EVP_DigestInit_ex(context, md, NULL);
	if (second != NULL)
		EVP_DigestInit_ex(second, EVP_sha256(), NULL);
	for (uint64_t at = 0; done && at < *size; at += CHUNK) {
		size_t part = MIN(*size - at, CHUNK);
		done = fd_pread_all(fd, buffer, part, at, error);
		EVP_DigestUpdate(context, buffer, done ? part : 0);
		if (second != NULL)
			EVP_DigestUpdate(second, buffer, done ? part : 0);
	}
	EVP_DigestFinal_ex(context, out, NULL);
	if (second != NULL)
		EVP_DigestFinal_ex(second, content, NULL);
	else if (content != NULL)
		memcpy(content, out, SHA256_SIZE);
	EVP_MD_CTX_free(context);
	EVP_MD_CTX_free(second);
	return done;
}
