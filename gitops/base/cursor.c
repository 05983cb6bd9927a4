#include "gitops/base/cursor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gitops/base/error.h"

void cursor_init(struct cursor *c, const void *data, size_t size)
{
	*c = (struct cursor){ .data = data, .size = size };
}

size_t cursor_left(const struct cursor *c)
{
	return c->size - c->at;
}

gboolean cursor_refuse(struct cursor *c, const char *field, const char *format, ...)
{
	va_list args;

	if (c->field != NULL)
		return FALSE; /* the first reason stands */
	va_start(args, format);
	vsnprintf(c->reason, sizeof(c->reason), format, args);
	va_end(args);
	c->field = field;
	c->failed_at = c->at;
	return FALSE;
}

/* The one place that moves forward: everything below stands on it. */
gboolean cursor_bytes(struct cursor *c, const uint8_t **out, size_t size, const char *field)
{
	if (c->field != NULL)
		return FALSE;
	if (size > cursor_left(c))
		return cursor_refuse(c, field, "it needs %zu bytes, but %zu are left", size, cursor_left(c));
	*out = c->data + c->at;
	c->at += size;
	return TRUE;
}

gboolean cursor_skip(struct cursor *c, size_t size, const char *field)
{
	const uint8_t *skipped;

	return cursor_bytes(c, &skipped, size, field);
}

gboolean cursor_u8(struct cursor *c, uint8_t *out, const char *field)
{
	const uint8_t *p;

	if (!cursor_bytes(c, &p, 1, field))
		return FALSE;
	*out = *p;
	return TRUE;
}

/* `size` bytes as an integer, the most significant one first. */
static gboolean take_be(struct cursor *c, uint64_t *out, size_t size, const char *field)
{
	const uint8_t *p;

	if (!cursor_bytes(c, &p, size, field))
		return FALSE;
	*out = 0;
	for (size_t i = 0; i < size; i++)
		*out = *out << 8 | p[i];
	return TRUE;
}

gboolean cursor_be16(struct cursor *c, uint16_t *out, const char *field)
{
	uint64_t value;

	if (!take_be(c, &value, sizeof(*out), field))
		return FALSE;
	*out = (uint16_t)value;
	return TRUE;
}

gboolean cursor_be32(struct cursor *c, uint32_t *out, const char *field)
{
	uint64_t value;

	if (!take_be(c, &value, sizeof(*out), field))
		return FALSE;
	*out = (uint32_t)value;
	return TRUE;
}

gboolean cursor_be64(struct cursor *c, uint64_t *out, const char *field)
{
	return take_be(c, out, sizeof(*out), field);
}

gboolean cursor_le16(struct cursor *c, uint16_t *out, const char *field)
{
	if (!cursor_be16(c, out, field))
		return FALSE;
	*out = GUINT16_SWAP_LE_BE(*out);
	return TRUE;
}

gboolean cursor_le32(struct cursor *c, uint32_t *out, const char *field)
{
	if (!cursor_be32(c, out, field))
		return FALSE;
	*out = GUINT32_SWAP_LE_BE(*out);
	return TRUE;
}

gboolean cursor_magic(struct cursor *c, const void *magic, size_t size, const char *field)
{
	if (c->field != NULL)
		return FALSE;
	if (size > cursor_left(c) || memcmp(c->data + c->at, magic, size) != 0)
		return cursor_refuse(c, field, "the bytes that mark it are not there");
	c->at += size;
	return TRUE;
}

gboolean cursor_string(struct cursor *c, const uint8_t **out, size_t *size, size_t max, const char *field)
{
	size_t start = c->at;
	uint32_t length;

	if (!cursor_be32(c, &length, field))
		return FALSE;
	if (length > max || length > cursor_left(c)) {
		size_t left = cursor_left(c);

		c->at = start; /* the message names where the field begins */
		if (length > max)
			return cursor_refuse(c, field, "it has %u bytes, and at most %zu are allowed", length, max);
		return cursor_refuse(c, field, "it needs %u bytes, but %zu are left", length, left);
	}
	*size = length;
	return cursor_bytes(c, out, length, field);
}

gboolean cursor_line(struct cursor *c, const char **out, size_t *size, const char *field)
{
	const uint8_t *start, *end;

	if (c->field != NULL)
		return FALSE;
	start = c->data + c->at;
	end = cursor_left(c) == 0 ? NULL : memchr(start, '\n', cursor_left(c));
	if (end == NULL)
		return cursor_refuse(c, field, "no line end follows");
	*out = (const char *)start;
	*size = (size_t)(end - start);
	c->at += *size + 1;
	return TRUE;
}

gboolean cursor_seek(struct cursor *c, size_t offset, const char *field)
{
	if (c->field != NULL)
		return FALSE;
	if (offset > c->size)
		return cursor_refuse(c, field, "it points to offset %zu, but only %zu bytes exist", offset, c->size);
	c->at = offset;
	return TRUE;
}

gboolean cursor_fail(const struct cursor *c, const char *what, GError **error)
{
	if (c->field == NULL)
		error_refused(error, "%s: malformed at offset %zu", what, c->at);
	else
		error_refused(error, "%s: %s at offset %zu: %s", what, c->field, c->failed_at, c->reason);
	return FALSE;
}

gboolean cursor_end(const struct cursor *c, const char *what, GError **error)
{
	if (c->field != NULL)
		return cursor_fail(c, what, error);
	if (cursor_left(c) == 0)
		return TRUE;
	error_refused(error, "%s: %zu bytes follow at offset %zu, where it must end", what, cursor_left(c), c->at);
	return FALSE;
}
