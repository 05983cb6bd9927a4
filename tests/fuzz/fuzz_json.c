/* What is read strictly can be written and read again as the same value. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitops/base/json.h"

static void check_again(const struct json *value, const char *text)
{
	autoptr(json) again = json_parse(text, strlen(text), JSON_OTHER_NUMBERS, NULL);

	if (again == NULL || !json_equal(value, again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autoptr(json) strict = json_parse(data, size, JSON_STRICT, NULL);
	autoptr(json) value = json_parse(data, size, JSON_OTHER_NUMBERS, NULL);
	autoptr(json) canonical = json_parse_canonical(data, size, NULL);

	if (canonical != NULL && strict == NULL)
		abort();
	if (strict != NULL && !json_equal(strict, value))
		abort();
	if (value != NULL) {
		g_autofree char *text = json_text(value), *pretty = json_pretty(value);

		check_again(value, text);
		check_again(value, pretty);
		autoptr(json) same = strict == NULL ? NULL : json_parse_canonical(text, strlen(text), NULL);
		if (strict != NULL && same == NULL)
			abort();
	}
	return 0;
}
