/*
 * DER (X.690), written and read: what CMS, Authenticode and RFC 3161 need of it. Ours, since libraries re-encode what
 * they read, and a signature is over the bytes as they stand in the file.
 *
 * Reading refuses BER: indefinite or overlong lengths, high tag numbers, constructed strings where a primitive is asked for.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/cursor.h"

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTETS = 0x04,
	DER_NULL = 0x05,
	DER_OID = 0x06,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
};
#define DER_CONTEXT(n) (0xA0 + (n)) /* constructed: EXPLICIT, or IMPLICIT of a SEQUENCE or SET */
#define DER_CONTEXT_PRIMITIVE(n) (0x80 + (n)) /* IMPLICIT of a string */

/* Writing: each appends to `out`. */
void der_write(GByteArray *out, uint8_t tag, const void *contents, size_t size);
/* What is appended between the two becomes the contents: size_t mark = der_open(out, DER_SEQUENCE); … der_close(out, mark). */
size_t der_open(GByteArray *out, uint8_t tag);
void der_close(GByteArray *out, size_t mark);
void der_write_bytes(GByteArray *out, GBytes *whole); /* an element already encoded */
void der_write_oid(GByteArray *out, const char *dotted); /* a constant of ours: 1.2.840… */
void der_write_unsigned(GByteArray *out, const uint8_t *big_endian, size_t size); /* INTEGER, never negative */
void der_write_small(GByteArray *out, uint8_t value); /* INTEGER 0..127 */
void der_write_algorithm(GByteArray *out, const char *dotted, gboolean null_parameters);
/* SET OF in DER's order: `elements` are GBytes, each one whole element; sorted in place. */
void der_write_set(GByteArray *out, uint8_t tag, GPtrArray *elements);

/* Reading. Borrowed from the bytes under the cursor. */
struct der {
	uint8_t tag;
	const uint8_t *data; /* contents */
	size_t size;
	const uint8_t *whole; /* with tag and length */
	size_t whole_size;
};
gboolean der_take(struct cursor *c, uint8_t tag, struct der *out, const char *field);
gboolean der_take_any(struct cursor *c, struct der *out, const char *field);
gboolean der_next_is(const struct cursor *c, uint8_t tag);
/* A cursor over the contents of the next element, which `c` leaves behind; offsets stay those of the whole buffer. */
gboolean der_enter(struct cursor *c, uint8_t tag, struct cursor *inside, const char *field);
/* OBJECT IDENTIFIER as dotted text; caller frees. NULL after a failed take. */
char *der_take_oid(struct cursor *c, const char *field);
/* AlgorithmIdentifier whose parameters are NULL or absent, else they are left in `parameters` (size 0: none). */
char *der_take_algorithm(struct cursor *c, struct der *parameters, const char *field);
/* The same one element with definite lengths where constructed elements down to that depth (0: the outermost) have indefinite
 * ones, as gpgsm and streaming writers make them (X.690 8.1.3.6). Other BER stays refused. */
GBytes *der_from_ber(GBytes *ber, guint depth, const char *what, GError **error);
/* Every element down to the leaves is DER and nothing follows: "WHAT: …". */
gboolean der_check(const void *data, size_t size, const char *what, GError **error);
