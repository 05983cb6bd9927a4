/*
 * Whatever takes a stranger's text and answers in one call: escaping, times, names. The first half of the input is a
 * glob over the second.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitops/base/bytes.h"

static void check_escape(const char *data, size_t size, size_t max)
{
	g_autofree char *shown = text_escape(data, (gssize)size, max);

	if (strlen(shown) > max || !text_is_clean(shown, strlen(shown)) || strchr(shown, '"') != NULL)
		abort();
}

static void check_time(const char *text)
{
	int64_t ms, again;

	if (!time_parse_ms(text, &ms))
		return;
	g_autofree char *written = time_format_ms(ms);
	/* An offset may lead out of the years that have four digits. */
	if (time_parse_ms(written, &again) ? ms != again : ms > INT64_C(-62135596800000) && ms < INT64_C(253402300800000))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	g_autofree char *pattern = g_strndup((const char *)data, size / 2);

	check_escape((const char *)data, size, 16);
	check_escape((const char *)data, size, 4096);
	check_time(text);
	is_ref_name(text);
	is_ulid(text);
	is_sha256_text(text);
	if (size < 4096 && !glob_match("**", text, FALSE, FALSE))
		abort();
	if (size < 4096)
		glob_match(pattern, text + strlen(pattern), TRUE, TRUE);
	return 0;
}
