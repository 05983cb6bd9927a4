/* The attempts of somebody who has the PIN and wants the key: each must fail. */
#include "gitops/base/json.h"
#include "signer/hsm_internal.h"

struct probe {
	struct hsm *hsm;
	CK_OBJECT_HANDLE key;
	gboolean is_rsa;
	const char *answer; /* of the token, to the last attempt */
};

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static gboolean answered(struct probe *p, CK_RV rv)
{
	p->answer = ckr_name(rv);
	return rv == CKR_OK;
}

static gboolean read_value(struct probe *p)
{
	uint8_t value[4096];
	CK_ATTRIBUTE attribute = { p->is_rsa ? CKA_PRIVATE_EXPONENT : CKA_VALUE, value, sizeof(value) };
	gboolean got = answered(p, p->hsm->api->C_GetAttributeValue(p->hsm->session, p->key, &attribute, 1)) &&
		       attribute.ulValueLen != (CK_ULONG)-1 && attribute.ulValueLen > 0;

	OPENSSL_cleanse(value, sizeof(value));
	return got;
}

/* Some modules answer "done" and do nothing (tpm2-pkcs11): what counts is the attribute afterwards. */
static gboolean set_flag(struct probe *p, CK_ATTRIBUTE_TYPE type, CK_BBOOL wanted)
{
	CK_BBOOL now = !wanted;
	CK_ATTRIBUTE set = { type, &wanted, sizeof(wanted) }, get = { type, &now, sizeof(now) };
	CK_BBOOL back = !wanted;
	CK_ATTRIBUTE undo = { type, &back, sizeof(back) };

	if (!answered(p, p->hsm->api->C_SetAttributeValue(p->hsm->session, p->key, &set, 1)))
		return FALSE;
	if (p->hsm->api->C_GetAttributeValue(p->hsm->session, p->key, &get, 1) == CKR_OK && now != wanted)
		return FALSE;
	p->hsm->api->C_SetAttributeValue(p->hsm->session, p->key, &undo, 1);
	return TRUE;
}

static gboolean make_extractable(struct probe *p)
{
	return set_flag(p, CKA_EXTRACTABLE, yes);
}

static gboolean make_readable(struct probe *p)
{
	return set_flag(p, CKA_SENSITIVE, no);
}

static gboolean make_decrypting(struct probe *p)
{
	return set_flag(p, CKA_DECRYPT, yes);
}

static gboolean copy_extractable(struct probe *p)
{
	CK_ATTRIBUTE template[] = {
		{ CKA_TOKEN, &no, sizeof(no) },
		{ CKA_EXTRACTABLE, &yes, sizeof(yes) },
	};
	CK_OBJECT_HANDLE copy = 0;

	if (!answered(p, p->hsm->api->C_CopyObject(p->hsm->session, p->key, template, G_N_ELEMENTS(template), &copy)))
		return FALSE;
	p->hsm->api->C_DestroyObject(p->hsm->session, copy);
	return TRUE;
}

/* A passing AES key that exists for this session only. */
static CK_OBJECT_HANDLE wrapping_key(struct probe *p)
{
	CK_MECHANISM mechanism = { CKM_AES_KEY_GEN, NULL, 0 };
	CK_ULONG size = 32;
	CK_ATTRIBUTE template[] = {
		{ CKA_TOKEN, &no, sizeof(no) },
		{ CKA_WRAP, &yes, sizeof(yes) },
		{ CKA_VALUE_LEN, &size, sizeof(size) },
	};
	CK_OBJECT_HANDLE key = 0;

	return answered(
		   p, p->hsm->api->C_GenerateKey(p->hsm->session, &mechanism, template, G_N_ELEMENTS(template), &key))
		   ? key
		   : 0;
}

static gboolean wrap_out(struct probe *p)
{
	CK_MECHANISM mechanism = { 0x210a /* CKM_AES_KEY_WRAP_PAD, v2.40 */, NULL, 0 };
	CK_OBJECT_HANDLE wrapping = wrapping_key(p);
	uint8_t wrapped[8192];
	CK_ULONG size = sizeof(wrapped);
	gboolean got;

	if (wrapping == 0)
		return FALSE;
	got = answered(p, p->hsm->api->C_WrapKey(p->hsm->session, &mechanism, wrapping, p->key, wrapped, &size));
	p->hsm->api->C_DestroyObject(p->hsm->session, wrapping);
	OPENSSL_cleanse(wrapped, sizeof(wrapped));
	return got;
}

static const struct attempt {
	const char *name, *outcome;
	gboolean (*succeeds)(struct probe *p);
} attempts[] = {
	{ "read the private value", "its private value can be read", read_value },
	{ "make it extractable", "it can be made extractable", make_extractable },
	{ "make it readable", "it can be made readable", make_readable },
	{ "let it decrypt", "it can be given further uses", make_decrypting },
	{ "copy it extractable", "it can be copied without its protection", copy_extractable },
	{ "wrap it out", "it can be wrapped out with another key", wrap_out },
};

static void tell(struct json *list, const struct attempt *attempt, gboolean refused, const char *answer)
{
	struct json *row = json_object_new();

	json_set_string(row, "attempt", attempt->name);
	json_set_boolean(row, "refused", refused);
	json_set_string(row, "answer", answer);
	json_append(list, row);
}

gboolean hsm_probe(struct hsm *hsm, const char *label, struct json **report, GError **error)
{
	struct probe p = { .hsm = hsm, .key = hsm_find(hsm, CKO_PRIVATE_KEY, label, error) };
	autoptr(json) list = json_array_new();
	const char *outcome = NULL;
	struct hsm_key_info *info;

	if (p.key == 0)
		return FALSE;
	info = hsm_key_info_read(hsm, p.key);
	p.is_rsa = g_str_has_prefix(info->kind, "rsa");
	hsm_key_info_free(info);
	for (guint i = 0; i < G_N_ELEMENTS(attempts); i++) {
		gboolean refused = !attempts[i].succeeds(&p);
		tell(list, &attempts[i], refused, p.answer);
		if (!refused && outcome == NULL)
			outcome = attempts[i].outcome;
	}
	if (report != NULL)
		*report = g_steal_pointer(&list);
	if (outcome != NULL)
		error_refused(
		    error, "the key \"%s\" on the token \"%s\" is not safe there: %s", label, hsm->token, outcome);
	return outcome == NULL;
}
