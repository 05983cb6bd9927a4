/*
 * A bounded reader over bytes that a stranger made: every parser of ours stands on it. Take field by field,
 * then insist that nothing is left. A failed take sets a reason once, and every later take fails too, so
 * several may share one `if`. Borrowed pointers live as long as the bytes under the cursor.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

struct cursor {
	const uint8_t *data; /* whole buffer */
	size_t size;
	size_t at; /* present offset */
	const char *field; /* name of the field whose take failed, or NULL */
	size_t failed_at;
	char reason[96];
};

void cursor_init(struct cursor *c, const void *data, size_t size);
size_t cursor_left(const struct cursor *c);

/* Each names the field, for the message. Integers: be = big-endian, le = little-endian. */
gboolean cursor_u8(struct cursor *c, uint8_t *out, const char *field);
gboolean cursor_be16(struct cursor *c, uint16_t *out, const char *field);
gboolean cursor_be32(struct cursor *c, uint32_t *out, const char *field);
gboolean cursor_be64(struct cursor *c, uint64_t *out, const char *field);
gboolean cursor_le16(struct cursor *c, uint16_t *out, const char *field);
gboolean cursor_le32(struct cursor *c, uint32_t *out, const char *field);
gboolean cursor_bytes(struct cursor *c, const uint8_t **out, size_t size, const char *field);
gboolean cursor_skip(struct cursor *c, size_t size, const char *field);
gboolean cursor_magic(struct cursor *c, const void *magic, size_t size, const char *field);
/* RFC 4251 string: u32 length, then that many bytes, at most `max`. */
gboolean cursor_string(struct cursor *c, const uint8_t **out, size_t *size, size_t max, const char *field);
/* One line without its LF; fails if there is none. */
gboolean cursor_line(struct cursor *c, const char **out, size_t *size, const char *field);
/* Moves to an absolute offset inside the buffer. */
gboolean cursor_seek(struct cursor *c, size_t offset, const char *field);
/* A caller's own refusal at the present offset; always FALSE. */
gboolean cursor_refuse(struct cursor *c, const char *field, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* "WHAT: FIELD at offset N: REASON", code TAGSEAL_ERROR_REFUSED; always FALSE. */
gboolean cursor_fail(const struct cursor *c, const char *what, GError **error);
/* TRUE if nothing is left; else refused with the number of bytes that follow. Also FALSE after a failed take.
 */
gboolean cursor_end(const struct cursor *c, const char *what, GError **error);
