/* What the token says of its private keys, and whether a release key may be like that. */
#include <string.h>

#include "signer/hsm_internal.h"

#define KEYS_MAX 4096

static const uint8_t p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const uint8_t p384[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 };
static const uint8_t p521[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 };

const struct key_kind key_kinds[] = {
	{ "rsa3072", CKK_RSA, 3072, NULL, 0 },
	{ "rsa4096", CKK_RSA, 4096, NULL, 0 },
	{ "p256", CKK_EC, 0, p256, sizeof(p256) },
	{ "p384", CKK_EC, 0, p384, sizeof(p384) },
	{ "p521", CKK_EC, 0, p521, sizeof(p521) },
	{ NULL, 0, 0, NULL, 0 },
};

void hsm_key_info_free(void *data)
{
	struct hsm_key_info *info = data;

	if (info == NULL)
		return;
	g_free(info->label);
	g_free(info->kind);
	g_free(info);
}

GBytes *hsm_attribute(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
	CK_ATTRIBUTE attribute = { type, NULL, 0 };
	g_autofree void *value = NULL;

	if (hsm->api->C_GetAttributeValue(hsm->session, object, &attribute, 1) != CKR_OK ||
	    attribute.ulValueLen == (CK_ULONG)-1 || attribute.ulValueLen > 65536)
		return NULL;
	attribute.pValue = value = g_malloc(attribute.ulValueLen + 1);
	if (hsm->api->C_GetAttributeValue(hsm->session, object, &attribute, 1) != CKR_OK)
		return NULL;
	return g_bytes_new_take(g_steal_pointer(&value), attribute.ulValueLen);
}

/* What the token does not tell is taken for `otherwise`, which callers choose as the worse of the two. */
static gboolean flag(struct hsm *hsm, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, gboolean otherwise)
{
	CK_BBOOL value = CK_FALSE;
	CK_ATTRIBUTE attribute = { type, &value, sizeof(value) };

	if (hsm->api->C_GetAttributeValue(hsm->session, key, &attribute, 1) != CKR_OK || attribute.ulValueLen != 1)
		return otherwise;
	return value != CK_FALSE;
}

static char *kind_of(struct hsm *hsm, CK_OBJECT_HANDLE key)
{
	CK_KEY_TYPE type = CK_UNAVAILABLE_INFORMATION;
	CK_ATTRIBUTE attribute = { CKA_KEY_TYPE, &type, sizeof(type) };
	g_autoptr(GBytes) value = NULL;

	if (hsm->api->C_GetAttributeValue(hsm->session, key, &attribute, 1) != CKR_OK)
		return g_strdup("unknown");
	value = hsm_attribute(hsm, key, type == CKK_RSA ? CKA_MODULUS : CKA_EC_PARAMS);
	if (value == NULL)
		return g_strdup("unknown");
	if (type == CKK_RSA)
		return g_strdup_printf("rsa%zu", g_bytes_get_size(value) * 8);
	for (const struct key_kind *kind = key_kinds; kind->name != NULL; kind++)
		if (kind->type == type && kind->curve_size == g_bytes_get_size(value) &&
		    memcmp(kind->curve, g_bytes_get_data(value, NULL), kind->curve_size) == 0)
			return g_strdup(kind->name);
	return g_strdup(type == 0x40 ? "ed25519" : "unknown");
}

struct hsm_key_info *hsm_key_info_read(struct hsm *hsm, CK_OBJECT_HANDLE key)
{
	struct hsm_key_info *info = g_new0(struct hsm_key_info, 1);
	g_autoptr(GBytes) label = hsm_attribute(hsm, key, CKA_LABEL);

	info->label = label != NULL ? g_strndup(g_bytes_get_data(label, NULL), g_bytes_get_size(label)) : g_strdup("");
	info->kind = kind_of(hsm, key);
	info->is_private = flag(hsm, key, CKA_PRIVATE, FALSE);
	info->sensitive = flag(hsm, key, CKA_SENSITIVE, FALSE);
	info->always_sensitive = flag(hsm, key, CKA_ALWAYS_SENSITIVE, FALSE);
	info->extractable = flag(hsm, key, CKA_EXTRACTABLE, TRUE);
	info->never_extractable = flag(hsm, key, CKA_NEVER_EXTRACTABLE, FALSE);
	info->local = flag(hsm, key, CKA_LOCAL, FALSE);
	info->modifiable = flag(hsm, key, CKA_MODIFIABLE, TRUE);
	info->sign = flag(hsm, key, CKA_SIGN, FALSE);
	info->decrypt = flag(hsm, key, CKA_DECRYPT, FALSE);
	info->unwrap = flag(hsm, key, CKA_UNWRAP, FALSE);
	info->derive = flag(hsm, key, CKA_DERIVE, FALSE);
	return info;
}

static gint by_label(gconstpointer a, gconstpointer b)
{
	const struct hsm_key_info *const *x = a, *const *y = b;

	return strcmp((*x)->label, (*y)->label);
}

GPtrArray *hsm_keys(struct hsm *hsm, GError **error)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template = { CKA_CLASS, &class, sizeof(class) };
	g_autofree CK_OBJECT_HANDLE *found = g_new0(CK_OBJECT_HANDLE, KEYS_MAX);
	int count = hsm_search(hsm, &template, 1, found, KEYS_MAX, error);
	GPtrArray *keys;

	if (count < 0)
		return NULL;
	keys = g_ptr_array_new_with_free_func(hsm_key_info_free);
	for (int i = 0; i < count; i++)
		g_ptr_array_add(keys, hsm_key_info_read(hsm, found[i]));
	g_ptr_array_sort(keys, by_label);
	return keys;
}

static gboolean is_strong_kind(const char *kind)
{
	for (const struct key_kind *known = key_kinds; known->name != NULL; known++)
		if (g_str_equal(known->name, kind))
			return TRUE;
	return FALSE;
}

const char *hsm_key_weakness(const struct hsm_key_info *info)
{
	if (info->extractable)
		return "it can be extracted from the token (CKA_EXTRACTABLE)";
	if (!info->never_extractable)
		return "it once could be extracted from the token (not CKA_NEVER_EXTRACTABLE)";
	if (!info->sensitive)
		return "its private value can be read from the token (not CKA_SENSITIVE)";
	if (!info->always_sensitive)
		return "its private value once could be read from the token (not CKA_ALWAYS_SENSITIVE)";
	if (!info->local)
		return "it was not made on the token but brought there (not CKA_LOCAL)";
	if (!info->is_private)
		return "it can be seen without the PIN (not CKA_PRIVATE)";
	if (!info->sign)
		return "it may not sign (not CKA_SIGN)";
	if (info->decrypt || info->unwrap || info->derive)
		return "it may do more than sign (CKA_DECRYPT, CKA_UNWRAP or CKA_DERIVE)";
	if (info->modifiable)
		return "its attributes can still be changed (CKA_MODIFIABLE)";
	if (!is_strong_kind(info->kind))
		return "its kind is none of rsa3072, rsa4096, p256, p384, p521";
	return NULL;
}
