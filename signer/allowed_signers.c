#include "signer/allowed_signers.h"

#include <string.h>
#include <time.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/ssh.h"

#define BLANKS " \t"

struct line {
	char *principals, *namespaces; /* namespaces NULL: any */
	int64_t after_ms, before_ms; /* 0: no bound */
	gboolean authority;
	GBytes *key;
};

static void line_clear(struct line *line)
{
	g_free(line->principals);
	g_free(line->namespaces);
	g_clear_pointer(&line->key, g_bytes_unref);
	memset(line, 0, sizeof(*line));
}

static gboolean wrong(GError **error, const char *why)
{
	g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, why);
	return FALSE;
}

/* The next word, which blanks end unless they stand within double quotes; the quotes stay. NULL at the end. */
static char *word_take(const char **at)
{
	const char *start;
	gboolean quoted = FALSE;

	*at += strspn(*at, BLANKS);
	for (start = *at; **at != '\0' && (quoted || strchr(BLANKS, **at) == NULL); (*at)++)
		quoted ^= **at == '"';
	return *at > start ? g_strndup(start, *at - start) : NULL;
}

/* "YYYYMMDD" or "YYYYMMDDHHMM[SS]", in UTC where Z follows, else in local time. */
static gboolean time_read(const char *text, int64_t *ms)
{
	static const struct {
		size_t digits;
		const char *format;
	} forms[] = { { 8, "%Y%m%d" }, { 12, "%Y%m%d%H%M" }, { 14, "%Y%m%d%H%M%S" } };
	size_t digits = strspn(text, "0123456789");
	gboolean utc = text[digits] == 'Z';
	struct tm tm = { .tm_isdst = -1 };
	time_t seconds;

	if (text[digits + utc] != '\0')
		return FALSE;
	for (guint i = 0; i < G_N_ELEMENTS(forms); i++) {
		g_autofree char *number = g_strndup(text, digits);
		char back[16];
		if (digits != forms[i].digits || strptime(number, forms[i].format, &tm) == NULL)
			continue;
		/* The 31st of April reads as a day, but is none. */
		seconds = utc ? timegm(&tm) : mktime(&tm);
		strftime(back, sizeof(back), "%Y%m%d%H%M%S", &tm);
		*ms = seconds * INT64_C(1000);
		return seconds > 0 && strncmp(back, number, digits) == 0;
	}
	return FALSE;
}

static gboolean time_option(const char *value, int64_t *ms, GError **error)
{
	if (*ms != 0)
		return wrong(error, "an option stands twice");
	return time_read(value, ms) || wrong(error, "a time must be \"YYYYMMDD[HHMM[SS]][Z]\"");
}

static gboolean option_apply(const char *name, const char *value, struct line *line, GError **error)
{
	if (g_ascii_strcasecmp(name, "cert-authority") == 0 && value == NULL)
		return line->authority = TRUE;
	if (value == NULL)
		return wrong(error, "an unknown option, or no key");
	if (g_ascii_strcasecmp(name, "valid-after") == 0)
		return time_option(value, &line->after_ms, error);
	if (g_ascii_strcasecmp(name, "valid-before") == 0)
		return time_option(value, &line->before_ms, error);
	if (g_ascii_strcasecmp(name, "namespaces") != 0)
		return wrong(error, "an unknown option");
	if (line->namespaces != NULL)
		return wrong(error, "an option stands twice");
	line->namespaces = g_strdup(value);
	return TRUE;
}

/* NAME or NAME="VALUE", separated by commas. */
static gboolean options_read(const char *text, struct line *line, GError **error)
{
	while (TRUE) {
		size_t size = strcspn(text, "=,");
		g_autofree char *name = g_strndup(text, size), *value = NULL;
		text += size;
		if (*text == '=') {
			const char *end = text[1] == '"' ? strchr(text + 2, '"') : NULL;
			if (end == NULL)
				return wrong(error, "an option's value must stand in double quotes");
			value = g_strndup(text + 2, end - text - 2);
			text = end + 1;
		}
		if (!option_apply(name, value, line, error))
			return FALSE;
		if (*text == '\0')
			return TRUE;
		if (*text++ != ',')
			return wrong(error, "something follows an option's value");
	}
}

static gboolean is_key_type(const char *word)
{
	return g_str_has_prefix(word, "ssh-") || g_str_has_prefix(word, "ecdsa-") || g_str_has_prefix(word, "sk-");
}

static gboolean line_read(const char *text, struct line *line, GError **error)
{
	g_autofree char *principals = word_take(&text), *second = word_take(&text), *type = NULL, *base64 = NULL;
	size_t size = strlen(principals);

	if (size > 1 && principals[0] == '"' && principals[size - 1] == '"')
		line->principals = g_strndup(principals + 1, size - 2);
	else
		line->principals = g_strdup(principals);
	if (second != NULL && !is_key_type(second)) {
		if (!options_read(second, line, error))
			return FALSE;
		type = word_take(&text);
	} else
		type = g_steal_pointer(&second);
	base64 = word_take(&text);
	if (type == NULL || !is_key_type(type) || base64 == NULL ||
	    (line->key = base64_decode_strict(base64, strlen(base64), FALSE)) == NULL)
		return wrong(error, "it must be PRINCIPALS [OPTIONS] KEYTYPE BASE64 [COMMENT]");
	if (line->after_ms != 0 && line->before_ms != 0 && line->before_ms <= line->after_ms)
		return wrong(error, "valid-before is not later than valid-after");
	return TRUE;
}

/* ssh_config(5), PATTERNS: * and ?, nothing else. */
static gboolean pattern_fits(const char *pattern, const char *text)
{
	for (; *pattern != '\0' && *pattern != '*'; pattern++, text++)
		if (*text == '\0' || (*pattern != '?' && *pattern != *text))
			return FALSE;
	if (*pattern == '\0')
		return *text == '\0';
	pattern += strspn(pattern, "*");
	for (; *text != '\0'; text++)
		if (pattern_fits(pattern, text))
			return TRUE;
	return *pattern == '\0';
}

/* One of the list fits, and none of those behind a "!". */
static gboolean namespace_fits(const char *list, const char *namespace)
{
	g_auto(GStrv) patterns = g_strsplit(list, ",", -1);
	gboolean fits = FALSE;

	for (guint i = 0; patterns[i] != NULL; i++) {
		const char *pattern = patterns[i] + (patterns[i][0] == '!');
		if (!pattern_fits(pattern, namespace))
			continue;
		if (pattern != patterns[i])
			return FALSE;
		fits = TRUE;
	}
	return fits;
}

/* NULL, or why this line does not vouch for the key. */
static const char *line_refusal(const struct line *line, const char *namespace, int64_t at_ms)
{
	if (line->authority)
		return "stands in the allowed signers as a certificate authority only";
	if (line->namespaces != NULL && !namespace_fits(line->namespaces, namespace))
		return "is not allowed to sign files (its namespaces)";
	if (line->after_ms != 0 && at_ms < line->after_ms)
		return "is not allowed to sign yet (valid-after)";
	if (line->before_ms != 0 && at_ms > line->before_ms)
		return "is no longer allowed to sign (valid-before)";
	return NULL;
}

/* The whole file is read even when an early line fits: half a file is not believed. */
char *allowed_signers_find(GBytes *file, GBytes *key, const char *namespace, int64_t at_ms, GError **error)
{
	g_autofree char *text = g_strndup(g_bytes_get_data(file, NULL), g_bytes_get_size(file)), *found = NULL;
	g_autofree char *fingerprint = ssh_fingerprint(key);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	const char *why = "is none of the allowed signers";
	struct line line = { 0 };

	if (strlen(text) != g_bytes_get_size(file)) {
		wrong(error, "the allowed signers: a NUL byte stands in them");
		return NULL;
	}
	for (guint i = 0; lines[i] != NULL; i++) {
		const char *refusal, *start = g_strchomp(lines[i]) + strspn(lines[i], BLANKS);
		if (*start == '\0' || *start == '#')
			continue;
		if (!line_read(start, &line, error)) {
			g_prefix_error(error, "the allowed signers, line %u: ", i + 1);
			line_clear(&line);
			return NULL;
		}
		if (g_bytes_equal(line.key, key)) {
			refusal = line_refusal(&line, namespace, at_ms);
			if (refusal == NULL && found == NULL)
				found = g_steal_pointer(&line.principals);
			why = refusal != NULL ? refusal : why;
		}
		line_clear(&line);
	}
	if (found == NULL)
		error_refused(error, "the SSH key %s that signed %s", fingerprint, why);
	return g_steal_pointer(&found);
}
