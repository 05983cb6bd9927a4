/* Is this text a name of that kind? Object ids, digests, ULIDs, references, globs. */
#include "gitops/base/bytes.h"

#include <string.h>
#include <sys/random.h>

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static gboolean is_lower_hex(const char *text, size_t size)
{
	return strlen(text) == size && strspn(text, "0123456789abcdef") == size;
}

gboolean is_object_id(const char *text)
{
	return text != NULL && is_lower_hex(text, 40);
}

gboolean is_sha256_text(const char *text)
{
	return text != NULL && g_str_has_prefix(text, "sha256:") && is_lower_hex(text + 7, 64);
}

char *ulid_new(void)
{
	uint64_t ms = (uint64_t)time_now_ms();
	uint8_t random[10];
	char text[27];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		g_error("the kernel gives no random bytes");
	for (int i = 9; i >= 0; i--, ms >>= 5)
		text[i] = crockford[ms & 31];
	for (int i = 0; i < 16; i++) {
		/* Five bits at bit offset 5 * i, which may reach into the next byte. */
		int byte = i * 5 / 8, shift = 11 - i * 5 % 8;
		unsigned pair = (unsigned)random[byte] << 8 | (byte + 1 < 10 ? random[byte + 1] : 0);

		text[10 + i] = crockford[pair >> shift & 31];
	}
	text[26] = '\0';
	return g_strdup(text);
}

gboolean is_ulid(const char *text)
{
	/* 26 digits hold 130 bits: the first is at most 7. */
	return text != NULL && strlen(text) == 26 && strspn(text, crockford) == 26 && text[0] <= '7';
}

/* One component of a reference name, git-check-ref-format(1) rules 1, 3, 4, 5, 8, 10. */
static gboolean is_ref_component(const char *text, size_t size)
{
	if (size == 0 || text[0] == '.' || (size >= 5 && memcmp(text + size - 5, ".lock", 5) == 0))
		return FALSE;
	for (size_t i = 0; i < size; i++) {
		uint8_t c = (uint8_t)text[i];

		if (c <= ' ' || c == 0x7f || strchr("~^:?*[\\", c) != NULL)
			return FALSE;
		if (i + 1 < size && ((c == '.' && text[i + 1] == '.') || (c == '@' && text[i + 1] == '{')))
			return FALSE;
	}
	return TRUE;
}

gboolean is_ref_name(const char *name)
{
	size_t size = name == NULL ? 0 : strlen(name);

	if (size == 0 || size > 255 || !g_str_has_prefix(name, "refs/") || name[size - 1] == '.')
		return FALSE;
	for (;;) {
		size_t part = strcspn(name, "/");

		if (!is_ref_component(name, part))
			return FALSE;
		if (name[part] == '\0')
			return TRUE;
		name += part + 1;
	}
}

/* Edits (a character put in, taken out or changed) that make `a` into `b`. */
static guint distance(const char *a, const char *b)
{
	size_t n = strlen(b);
	g_autofree guint *row = g_new(guint, n + 1);

	for (size_t j = 0; j <= n; j++)
		row[j] = (guint)j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		guint diagonal = row[0];

		row[0] = (guint)i;
		for (size_t j = 1; j <= n; j++) {
			guint above = row[j];

			row[j] = MIN(MIN(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

const char *name_nearest(const char *name, const char *const *names)
{
	size_t size = strlen(name);
	guint best = (guint)MIN(size, 64) / 3 + 1;
	const char *nearest = NULL;

	for (; *names != NULL && size <= 64; names++) {
		guint edits = distance(name, *names);

		if (edits <= best && (nearest == NULL || edits < best)) {
			best = edits;
			nearest = *names;
		}
	}
	return nearest;
}
