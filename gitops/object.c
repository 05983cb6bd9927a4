#include "gitops/object_text.h"

#include <string.h>

#include "gitops/base/bytes.h"

static const struct {
	enum signature_format format;
	const char *name, *label;
} formats[] = {
	{ SIGNATURE_OPENPGP, "openpgp", "PGP SIGNATURE" },
	{ SIGNATURE_SSH, "ssh", "SSH SIGNATURE" },
	{ SIGNATURE_X509, "x509", "SIGNED MESSAGE" },
};

const char *signature_format_name(enum signature_format format)
{
	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++)
		if (formats[i].format == format)
			return formats[i].name;
	return "unknown";
}

char *object_text(GBytes *raw, const char *what, GError **error)
{
	size_t size;
	const char *data = g_bytes_get_data(raw, &size), *bad;

	if (size == 0)
		error_refused(error, "the %s is empty", what);
	else if (size > OBJECT_MAX)
		error_refused(error, "the %s has %zu bytes; more than %d are refused", what, size, OBJECT_MAX);
	else if ((bad = memchr(data, '\0', size)) != NULL)
		error_refused(error,
		    "%s: NUL byte at offset %zu: tools that stop there would show other text than was signed", what,
		    (size_t)(bad - data));
	else if ((bad = memchr(data, '\r', size)) != NULL)
		error_refused(error, "%s: carriage return at offset %zu: lines must end with LF alone", what,
		    (size_t)(bad - data));
	else if (!g_utf8_validate(data, size, &bad))
		error_refused(error, "%s: invalid UTF-8 at offset %zu", what, (size_t)(bad - data));
	else
		return g_strndup(data, size);
	return NULL;
}

gboolean object_next_is(const struct cursor *c, const char *key)
{
	size_t length = strlen(key);

	return cursor_left(c) > length && memcmp(c->data + c->at, key, length) == 0 && c->data[c->at + length] == ' ';
}

/* Says which header stands where another one (or the empty line) must. */
static gboolean header_unexpected(struct cursor *c, const char *expected)
{
	const char *line = (const char *)c->data + c->at;
	size_t length = 0;
	g_autofree char *name = NULL;

	while (length < MIN(cursor_left(c), 24) && line[length] != ' ' && line[length] != '\n')
		length++;
	name = text_escape(line, length, 24);
	return cursor_refuse(c, "header", "\"%s\" stands where %s must", name, expected);
}

gboolean object_header(struct cursor *c, const char *key, char **value)
{
	g_autofree char *quoted = g_strdup_printf("\"%s\"", key);
	const char *line;
	size_t size, skip = strlen(key) + 1;

	if (!object_next_is(c, key))
		return header_unexpected(c, quoted);
	if (!cursor_line(c, &line, &size, key))
		return FALSE;
	*value = g_strndup(line + skip, size - skip);
	return TRUE;
}

gboolean object_header_id(struct cursor *c, const char *key, char **id)
{
	if (!object_header(c, key, id))
		return FALSE;
	if (!is_object_id(*id))
		return cursor_refuse(c, key, "not a full SHA-1 object id (40 lower-case hex digits)");
	return TRUE;
}

gboolean object_headers_end(struct cursor *c)
{
	if (cursor_left(c) > 0 && c->data[c->at] != '\n')
		return header_unexpected(c, "the empty line before the message");
	return cursor_skip(c, 1, "message");
}

/* "seconds +hhmm", to the end. */
static gboolean when_parse(const char *text, int64_t *time)
{
	size_t digits = strspn(text, "0123456789");
	const char *zone = text + digits;

	if (digits == 0 || digits > 12 || (digits > 1 && text[0] == '0'))
		return FALSE;
	if (zone[0] != ' ' || (zone[1] != '+' && zone[1] != '-') || strspn(zone + 2, "0123456789") != 4 || zone[6] != '\0')
		return FALSE;
	*time = g_ascii_strtoll(text, NULL, 10);
	return TRUE;
}

gboolean object_identity(struct cursor *c, const char *key, struct identity *identity)
{
	g_autofree char *line = NULL;
	char *open, *close;

	if (!object_header(c, key, &line))
		return FALSE;
	open = strchr(line, '<');
	close = open != NULL ? strchr(open, '>') : NULL;
	if (close == NULL || open == line || open[-1] != ' ' || strchr(open + 1, '<') != NULL ||
	    strchr(line, '>') != close || close[1] != ' ' || !when_parse(close + 2, &identity->time))
		return cursor_refuse(c, key, "not of the form Name <address> seconds +hhmm");
	identity->name = g_strndup(line, open - 1 - line);
	identity->email = g_strndup(open + 1, close - open - 1);
	return TRUE;
}

void identity_clear(struct identity *identity)
{
	g_clear_pointer(&identity->name, g_free);
	g_clear_pointer(&identity->email, g_free);
}

/* By prefix, as git looks for them: what git would take for a signature must never be mere text to us. */
static gboolean is_marker(const char *line, size_t size)
{
	static const char begin[] = "-----BEGIN ";
	size_t skip = strlen(begin);

	if (size < skip || memcmp(line, begin, skip) != 0)
		return FALSE;
	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++)
		if (size - skip >= strlen(formats[i].label) &&
		    memcmp(line + skip, formats[i].label, strlen(formats[i].label)) == 0)
			return TRUE;
	return size - skip >= 11 && memcmp(line + skip, "PGP MESSAGE", 11) == 0;
}

size_t armor_next(const char *text, size_t from, size_t size)
{
	while (from < size) {
		const char *end;

		if (is_marker(text + from, size - from))
			return from;
		end = memchr(text + from, '\n', size - from);
		from = end != NULL ? (size_t)(end - text) + 1 : size;
	}
	return size;
}

/* Is the line just BEFORE LABEL and "-----"? */
static gboolean is_boundary(const char *line, size_t size, const char *before, const char *label)
{
	size_t skip = strlen(before), name = strlen(label);

	return size == skip + name + 5 && memcmp(line, before, skip) == 0 && memcmp(line + skip, label, name) == 0 &&
	       memcmp(line + skip + name, "-----", 5) == 0;
}

const char *armor_refusal(const char *armor, size_t size, enum signature_format *format)
{
	const char *first = memchr(armor, '\n', size), *last;
	size_t end = size > 0 && armor[size - 1] == '\n' ? size - 1 : size;

	if (first == NULL || (last = g_strrstr_len(armor, end, "\n-----END ")) == NULL)
		return "the signature has no END line";
	if (memchr(last + 1, '\n', armor + end - last - 1) != NULL)
		return "bytes follow the signature's END line; nobody signed them";
	if (first != last && memmem(first, (size_t)(last - first), "\n-----", 6) != NULL)
		return "a second marker line stands inside the signature";
	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
		if (!is_boundary(armor, (size_t)(first - armor), "-----BEGIN ", formats[i].label))
			continue;
		if (!is_boundary(last + 1, (size_t)(armor + end - last - 1), "-----END ", formats[i].label))
			return "the signature's END line does not fit its BEGIN line";
		*format = formats[i].format;
		return NULL;
	}
	return "the signature's BEGIN line is none of PGP SIGNATURE, SSH SIGNATURE, SIGNED MESSAGE";
}

void armor_body(const char *armor, const char **body, size_t *size)
{
	const char *last = g_strrstr(armor, "\n-----END ");

	*body = strchr(armor, '\n') + 1;
	*size = *body <= last ? (size_t)(last + 1 - *body) : 0;
}
