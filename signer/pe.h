/*
 * PE images (PE32, PE32+): one canonical shape, what a signature is over, and the certificate table at the file's end.
 * Everything reads by pread and streams: constant memory at any size. Numbers are Microsoft's "PE Format".
 */
#pragma once

#include <glib.h>
#include <openssl/evp.h>
#include <stdint.h>

#include "gitops/base/error.h"

struct pe {
	uint64_t size; /* of the file */
	uint32_t header_at; /* "PE\0\0" */
	gboolean plus; /* PE32+ */
	gboolean efi; /* subsystem 10..13 */
	gboolean dotnet; /* has a CLR header */
	uint16_t machine, subsystem, section_count;
	uint32_t checksum; /* as the header has it */
	uint64_t checksum_at, directory_at; /* the two places that no signature covers */
	uint64_t sections_end; /* behind the last raw data; what follows up to `end` is the overlay */
	uint64_t end; /* of what is signed: the certificate table, or the end of the file */
	uint32_t table_size; /* 0: unsigned */
};

/* The layout, after every rule at the top of type_pe.c. REFUSED: "RULE at offset N: …". */
gboolean pe_read(int fd, struct pe *out, GError **error);
/* The DER of the certificate table's entries, without padding: an array of GBytes, empty if unsigned. REFUSED: slack,
 * another revision or type. */
GPtrArray *pe_certificates(int fd, const struct pe *pe, GError **error);
/* The image's digest, padding to 8 included. */
gboolean pe_digest(int fd, const struct pe *pe, const EVP_MD *md, uint8_t *out, GError **error);
/* The header's checksum as it ought to be. */
gboolean pe_checksum(int fd, const struct pe *pe, uint32_t *out, GError **error);
/* Writes the image to the empty `out` with this signature as its only certificate, or none (NULL): padded to 8,
 * directory and checksum set. */
gboolean pe_write(int in, int out, const struct pe *pe, GBytes *signature, GError **error);
