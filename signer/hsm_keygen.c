/* Keys made on the token, in a shape that cannot leave it, and read back. PKCS #11 v2.40, 5.13 C_GenerateKeyPair */
#include <string.h>
#include <openssl/rand.h>

#include "signer/hsm_internal.h"

#define ID_SIZE 20

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static const struct key_kind *kind_named(const char *name, GError **error)
{
	for (const struct key_kind *kind = key_kinds; kind->name != NULL; kind++)
		if (g_str_equal(kind->name, name))
			return kind;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
	    "there is no key kind \"%s\": rsa3072, rsa4096, p256, p384 or p521", name);
	return NULL;
}

static gboolean label_is_free(struct hsm *hsm, const char *label, GError **error)
{
	static const CK_OBJECT_CLASS classes[] = { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY };

	if (*label == '\0' || strlen(label) > 64) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "a key's label has 1 to 64 characters");
		return FALSE;
	}
	for (guint i = 0; i < G_N_ELEMENTS(classes); i++) {
		g_autoptr(GError) none = NULL;
		if (hsm_find(hsm, classes[i], label, &none) != 0 ||
		    g_error_matches(none, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED)) {
			error_refused(
			    error, "the token \"%s\" has a key with the label \"%s\" already", hsm->token, label);
			return FALSE;
		}
		if (!g_error_matches(none, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND)) {
			g_propagate_error(error, g_steal_pointer(&none));
			return FALSE;
		}
	}
	return TRUE;
}

/*
 * The first `least` rows of the private template are what any module takes; the rest hardens the key further,
 * and a module that knows no such attribute (tpm2-pkcs11 and CKA_DECRYPT) gets the shorter one. What came of it
 * is read back either way. libp11 finds the public half by CKA_ID alone, so each pair has an id of its own.
 */
static CK_RV generate(struct hsm *hsm, const struct key_kind *kind, const char *label, CK_OBJECT_HANDLE *private)
{
	CK_MECHANISM mechanism = { kind->type == CKK_RSA ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN, NULL, 0 };
	CK_ULONG bits = kind->bits, least = 7;
	CK_BYTE exponent[] = { 1, 0, 1 }, id[ID_SIZE];
	CK_OBJECT_HANDLE public;
	CK_ATTRIBUTE public_template[] = {
		{ CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_VERIFY, &yes, sizeof(yes) },
		{ CKA_LABEL, (void *)label, strlen(label) },
		{ CKA_ID, id, sizeof(id) },
		{ kind->type == CKK_RSA ? CKA_MODULUS_BITS : CKA_EC_PARAMS,
		    kind->type == CKK_RSA ? (void *)&bits : (void *)kind->curve,
		    kind->type == CKK_RSA ? sizeof(bits) : kind->curve_size },
		{ CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent) },
	};
	CK_ATTRIBUTE private_template[] = {
		{ CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_PRIVATE, &yes, sizeof(yes) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) },
		{ CKA_EXTRACTABLE, &no, sizeof(no) },
		{ CKA_SIGN, &yes, sizeof(yes) },
		{ CKA_LABEL, (void *)label, strlen(label) },
		{ CKA_ID, id, sizeof(id) },
		{ CKA_DECRYPT, &no, sizeof(no) },
		{ CKA_UNWRAP, &no, sizeof(no) },
		{ CKA_DERIVE, &no, sizeof(no) },
		{ CKA_SIGN_RECOVER, &no, sizeof(no) },
		{ CKA_MODIFIABLE, &no, sizeof(no) },
	};
	CK_ULONG public_count = G_N_ELEMENTS(public_template) - (kind->type == CKK_RSA ? 0 : 1);
	CK_RV rv;

	if (RAND_bytes(id, sizeof(id)) != 1)
		return CKR_FUNCTION_FAILED;
	rv = hsm->api->C_GenerateKeyPair(hsm->session, &mechanism, public_template, public_count, private_template,
	    G_N_ELEMENTS(private_template), &public, private);
	if (rv == CKR_OK || rv == CKR_MECHANISM_INVALID || rv == CKR_TOKEN_WRITE_PROTECTED)
		return rv;
	return hsm->api->C_GenerateKeyPair(
	    hsm->session, &mechanism, public_template, public_count, private_template, least, &public, private);
}

/* A vendor that cannot switch a usage off or freeze the attributes still keeps the key in: what must hold is that. */
static gboolean stays_inside(struct hsm *hsm, CK_OBJECT_HANDLE private, const char *label, GError **error)
{
	struct hsm_key_info *info = hsm_key_info_read(hsm, private);
	gboolean ok = info->sensitive && !info->extractable && info->never_extractable && info->always_sensitive;

	if (!ok)
		error_refused(error, "the token \"%s\" made the key \"%s\" otherwise than asked: %s; do not use it",
		    hsm->token, label, hsm_key_weakness(info));
	hsm_key_info_free(info);
	return ok;
}

gboolean hsm_generate(struct hsm *hsm, const char *label, const char *kind_name, GError **error)
{
	const struct key_kind *kind = kind_named(kind_name, error);
	CK_OBJECT_HANDLE private = 0;
	CK_RV rv;

	if (kind == NULL || !label_is_free(hsm, label, error))
		return FALSE;
	if ((rv = generate(hsm, kind, label, &private)) != CKR_OK)
		return hsm_fail(hsm, rv, "does not make the key", error);
	return stays_inside(hsm, private, label, error);
}
