/*
 * Globs, in time that no pattern can make explode: only the latest `*` and the latest `**` are ever tried again. That is
 * enough, since a `*` never leaves its folder: where the latest one fails, an earlier one of the same folder fails too.
 */
#include "gitops/base/bytes.h"

/* Characters, so that `?` takes one of any script. A byte that is not UTF-8 stands for itself, beyond all of Unicode:
 * a name with such bytes still meets the patterns that exclude it. */
static gunichar *characters(const char *text, gboolean paths, gboolean ignore_case)
{
	GArray *all = g_array_new(TRUE, FALSE, sizeof(gunichar));

	while (*text != '\0') {
		gunichar c = g_utf8_get_char_validated(text, -1);

		if (c == (gunichar)-1 || c == (gunichar)-2) {
			c = 0x110000 + (uint8_t)*text++;
		} else {
			c = paths && c == '\\' ? '/' : ignore_case ? g_unichar_tolower(c) : c;
			text = g_utf8_next_char(text);
		}
		g_array_append_val(all, c);
	}
	return (gunichar *)(void *)g_array_free(all, FALSE);
}

/* Matches `c` against the set that begins behind '['; *next is what follows its ']', or NULL if it has none. */
static gboolean set_match(const gunichar *set, gunichar c, const gunichar **next)
{
	gboolean negated = *set == '!', found = FALSE;
	const gunichar *p = set + (negated ? 1 : 0), *first = p;

	*next = NULL;
	for (; *p != 0 && (*p != ']' || p == first); p++) {
		if (p[1] == '-' && p[2] != 0 && p[2] != ']') {
			found |= c >= p[0] && c <= p[2];
			p += 2;
		} else {
			found |= c == *p;
		}
	}
	if (*p == 0)
		return FALSE;
	*next = p + 1;
	return c != '/' && found != negated;
}

/* One pattern item that takes exactly one character; NULL if it does not take `c`, else what follows it. */
static const gunichar *item_match(const gunichar *pattern, gunichar c)
{
	const gunichar *next;

	if (*pattern == '?')
		return c == '/' ? NULL : pattern + 1;
	if (*pattern == '[') {
		gboolean in = set_match(pattern + 1, c, &next);

		if (next != NULL)
			return in ? next : NULL;
	}
	return *pattern != 0 && *pattern == c ? pattern + 1 : NULL;
}

struct retry {
	const gunichar *pattern; /* what follows the star; NULL: there is none */
	const gunichar *text; /* where that was tried last */
	gboolean folders; /* "**" and '/': only whole folders are taken */
};

/* Lets the star take more; FALSE if it cannot. */
static gboolean retry_further(struct retry *r, gboolean crosses)
{
	if (r->pattern == NULL || *r->text == 0 || (!crosses && *r->text == '/'))
		return FALSE;
	if (r->folders) {
		while (*r->text != '/') {
			if (*r->text++ == 0)
				return FALSE;
		}
	}
	r->text++;
	return TRUE;
}

/* Reads the star or stars at *pattern into the retry they belong to. */
static void star_take(
    const gunichar *start, const gunichar **pattern, const gunichar *text, struct retry *one, struct retry *two)
{
	const gunichar *p = *pattern;
	gboolean first = p == start || p[-1] == '/';

	one->pattern = NULL;
	if (p[1] != '*') {
		*one = (struct retry){ .pattern = p + 1, .text = text };
		*pattern = p + 1;
		return;
	}
	while (*p == '*')
		p++;
	*two = (struct retry){ .folders = first && *p == '/', .text = text };
	two->pattern = *pattern = two->folders ? p + 1 : p;
}

static gboolean match(const gunichar *pattern, const gunichar *text)
{
	const gunichar *start = pattern, *next;
	struct retry one = { 0 }, two = { 0 };

	for (;;) {
		if (*pattern == '*') {
			star_take(start, &pattern, text, &one, &two);
			continue;
		}
		if (*pattern == 0 && *text == 0)
			return TRUE;
		if (*text != 0 && (next = item_match(pattern, *text)) != NULL) {
			pattern = next;
			text++;
			continue;
		}
		if (retry_further(&one, FALSE)) {
			pattern = one.pattern;
			text = one.text;
		} else if (retry_further(&two, TRUE)) {
			one.pattern = NULL;
			pattern = two.pattern;
			text = two.text;
		} else {
			return FALSE;
		}
	}
}

gboolean glob_match(const char *pattern, const char *text, gboolean paths, gboolean ignore_case)
{
	g_autofree gunichar *p = characters(pattern, paths, ignore_case);
	g_autofree gunichar *t = characters(text, paths, ignore_case);

	return match(p, t);
}
