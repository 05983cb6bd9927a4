/* The digest of a whole file, in constant memory. */
#pragma once

#include <glib.h>
#include <openssl/evp.h>

/* `content`, where it is asked for, is the SHA-256 of what was read. */
gboolean file_digest(int fd, const EVP_MD *md, uint8_t *out, uint8_t *content, uint64_t *size, GError **error);
