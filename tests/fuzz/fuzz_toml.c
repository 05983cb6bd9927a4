/* Reads any TOML, and reads its root by a table with a row of each type. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitops/base/toml.h"

struct everything {
	char *string, **strings, *choice;
	int64_t integer, duration, time;
	uint64_t size;
	gboolean boolean;
	const struct toml *node;
};

static const struct toml_field fields[] = {
	{ .key = "string", .type = TOML_T_STRING, .offset = offsetof(struct everything, string), .dflt = "none" },
	{ .key = "strings", .type = TOML_T_STRINGS, .offset = offsetof(struct everything, strings) },
	{ .key = "integer", .type = TOML_T_INTEGER, .offset = offsetof(struct everything, integer), .max = 9 },
	{ .key = "boolean", .type = TOML_T_BOOLEAN, .offset = offsetof(struct everything, boolean) },
	{ .key = "size", .type = TOML_T_SIZE, .offset = offsetof(struct everything, size) },
	{ .key = "duration", .type = TOML_T_DURATION, .offset = offsetof(struct everything, duration) },
	{ .key = "time", .type = TOML_T_TIME, .offset = offsetof(struct everything, time) },
	{ .key = "choice", .type = TOML_T_CHOICE, .offset = offsetof(struct everything, choice), .choices = "a|b" },
	{ .key = "node", .type = TOML_T_NODE, .offset = offsetof(struct everything, node) },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct everything out = { 0 };
	autoptr(toml) root = toml_parse((const char *)data, size, "input.toml", NULL);

	if (root == NULL)
		return 0;
	if (toml_read(root, fields, G_N_ELEMENTS(fields), &out, "input", NULL) && (out.integer < 0 || out.integer > 9))
		abort();
	toml_clear(fields, G_N_ELEMENTS(fields), &out);
	return 0;
}
