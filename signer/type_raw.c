/* What no other type claims: bytes without a shape, so there is no rule that they could break. */
#include "signer/type.h"

extern const struct file_type type_raw;

static gboolean raw_claims(int fd G_GNUC_UNUSED)
{
	return TRUE;
}

static gboolean raw_structure(int fd G_GNUC_UNUSED, struct json *facts G_GNUC_UNUSED, GError **error G_GNUC_UNUSED)
{
	return TRUE;
}

const struct file_type type_raw = { .name = "raw", .claims = raw_claims, .structure = raw_structure };
