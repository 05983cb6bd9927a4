#include "signer/hsm.h"

#include <dlfcn.h>
#include <string.h>
#include <openssl/err.h>

#include "signer/hsm_internal.h"

struct hsm_key {
	EVP_PKEY *private_key, *public_key;
};

static void hsm_key_free(void *data)
{
	struct hsm_key *key = data;

	EVP_PKEY_free(key->private_key);
	EVP_PKEY_free(key->public_key);
	g_free(key);
}

/* libp11 leaves the token's answer as the reason of the last OpenSSL error of this thread. */
static gboolean p11_fail(const struct hsm *hsm, const char *what, GError **error)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	if (reason != NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the token \"%s\" %s: %s", hsm->token,
		    what, reason);
	else
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the token \"%s\" %s", hsm->token, what);
	ERR_clear_error();
	return FALSE;
}

static gboolean load(struct hsm *hsm, GError **error)
{
	if ((hsm->api = module_load(hsm->module, &hsm->library, error)) == NULL)
		return FALSE;
	hsm->context = PKCS11_CTX_new();
	hsm->loaded = PKCS11_CTX_load(hsm->context, hsm->module) == 0;
	if (!hsm->loaded || PKCS11_enumerate_slots(hsm->context, &hsm->slots, &hsm->slot_count) != 0)
		return p11_fail(hsm, "cannot be looked for", error);
	return TRUE;
}

static gboolean no_such_token(const struct hsm *hsm, GError **error)
{
	g_autoptr(GString) there = g_string_new(NULL);

	for (guint i = 0; i < hsm->slot_count; i++)
		if (hsm->slots[i].token != NULL && hsm->slots[i].token->initialized)
			g_string_append_printf(there, "%s\"%s\"", there->len > 0 ? ", " : "", hsm->slots[i].token->label);
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND,
	    "there is no token with the label \"%s\"; the module %s shows %s", hsm->token, hsm->module,
	    there->len > 0 ? there->str : "none");
	return FALSE;
}

/* By label: the slot's number is another one after each start of SoftHSM. */
static gboolean find_token(struct hsm *hsm, GError **error)
{
	for (guint i = 0; i < hsm->slot_count; i++) {
		const PKCS11_TOKEN *token = hsm->slots[i].token;
		if (token == NULL || !token->initialized || !g_str_equal(token->label, hsm->token))
			continue;
		if (hsm->slot != NULL) {
			error_refused(
			    error, "two tokens bear the label \"%s\": which is meant cannot be known", hsm->token);
			return FALSE;
		}
		hsm->slot = &hsm->slots[i];
	}
	if (hsm->slot == NULL)
		return no_such_token(hsm, error);
	hsm->slot_id = PKCS11_get_slotid_from_slot(hsm->slot);
	return TRUE;
}

/* Fixed-size, padded with blanks, no NUL. */
static void copy_padded(char *out, const unsigned char *text, size_t size)
{
	memcpy(out, text, size);
	while (size > 0 && out[size - 1] == ' ')
		size--;
	out[size] = '\0';
}

static gboolean is_software(const struct hsm_token_info *info)
{
	static const char *const known[] = { "SoftHSM", "NSS", "Mozilla", "Soft", "soft", "Opencryptoki" };

	for (guint i = 0; i < G_N_ELEMENTS(known); i++)
		if (strstr(info->model, known[i]) != NULL || strstr(info->manufacturer, known[i]) != NULL)
			return TRUE;
	return FALSE;
}

static gboolean read_info(struct hsm *hsm, GError **error)
{
	struct hsm_token_info *info = &hsm->info;
	CK_TOKEN_INFO token;
	CK_RV rv = hsm->api->C_GetTokenInfo(hsm->slot_id, &token);

	if (rv != CKR_OK)
		return hsm_fail(hsm, rv, "does not tell what it is", error);
	copy_padded(info->label, token.label, sizeof(token.label));
	copy_padded(info->manufacturer, token.manufacturerID, sizeof(token.manufacturerID));
	copy_padded(info->model, token.model, sizeof(token.model));
	copy_padded(info->serial, token.serialNumber, sizeof(token.serialNumber));
	g_snprintf(
	    info->firmware, sizeof(info->firmware), "%u.%u", token.firmwareVersion.major, token.firmwareVersion.minor);
	info->software = is_software(info);
	return TRUE;
}

/* One try: a token counts failed logins, and a typo must not cost two of three. */
static gboolean login(struct hsm *hsm, const char *pin, GError **error)
{
	unsigned long reason;

	ERR_clear_error();
	if (PKCS11_login(hsm->slot, 0, pin) == 0)
		return TRUE;
	reason = ERR_GET_REASON(ERR_peek_last_error());
	if (reason != CKR_PIN_INCORRECT && reason != CKR_PIN_LOCKED && reason != CKR_PIN_LEN_RANGE)
		return p11_fail(hsm, "does not let us log in", error);
	ERR_clear_error();
	if (reason == CKR_PIN_LOCKED)
		error_refused(error, "the PIN of the token \"%s\" is locked: its security officer must set a new one",
		    hsm->token);
	else
		error_refused(
		    error, "the PIN in %s is not that of the token \"%s\" (tried once)", hsm->pin_file, hsm->token);
	return FALSE;
}

struct hsm *hsm_open(const char *module, const char *token, const char *pin_file, GError **error)
{
	autoptr(hsm) hsm = g_new0(struct hsm, 1);
	char pin[PIN_MAX];
	gboolean ok;

	hsm->module = g_strdup(module);
	hsm->token = g_strdup(token);
	hsm->pin_file = g_strdup(pin_file);
	hsm->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, hsm_key_free);
	ok = pin_read(pin_file, pin, error) && load(hsm, error) && find_token(hsm, error) && read_info(hsm, error) &&
	     login(hsm, pin, error);
	explicit_bzero(pin, sizeof(pin));
	return ok ? g_steal_pointer(&hsm) : NULL;
}

void hsm_free(struct hsm *hsm)
{
	if (hsm == NULL)
		return;
	g_hash_table_unref(hsm->keys); /* before the token that the keys point to */
	if (hsm->session != 0)
		hsm->api->C_CloseSession(hsm->session);
	if (hsm->slots != NULL)
		PKCS11_release_all_slots(hsm->context, hsm->slots, hsm->slot_count);
	if (hsm->loaded)
		PKCS11_CTX_unload(hsm->context);
	if (hsm->context != NULL)
		PKCS11_CTX_free(hsm->context);
	if (hsm->api != NULL)
		hsm->api->C_Finalize(NULL); /* unless libp11 did, whose function list may be the same */
	if (hsm->library != NULL)
		dlclose(hsm->library);
	ERR_clear_error();
	g_free(hsm->module);
	g_free(hsm->token);
	g_free(hsm->pin_file);
	g_free(hsm);
}

const struct hsm_token_info *hsm_info(const struct hsm *hsm)
{
	return &hsm->info;
}

static gboolean enumerate(struct hsm *hsm, PKCS11_KEY **keys, unsigned int *count, GError **error)
{
	ERR_clear_error();
	if (PKCS11_enumerate_keys(hsm->slot->token, keys, count) == 0)
		return TRUE;
	if (hsm_has_edwards(hsm)) {
		error_refused(error,
		    "the token \"%s\" holds an Ed25519 key, which hides all its keys from libp11: keep Ed25519 keys on "
		    "a "
		    "token of their own",
		    hsm->token);
		return FALSE;
	}
	return p11_fail(hsm, "does not list its keys", error);
}

static PKCS11_KEY *choose(struct hsm *hsm, PKCS11_KEY *keys, unsigned int count, const char *label, GError **error)
{
	g_autoptr(GString) there = g_string_new(NULL);
	PKCS11_KEY *chosen = NULL;

	for (unsigned int i = 0; i < count; i++) {
		const char *name = keys[i].label != NULL ? keys[i].label : "";
		g_string_append_printf(there, "%s\"%s\"", i > 0 ? ", " : "", name);
		if (!g_str_equal(name, label))
			continue;
		if (chosen != NULL) {
			error_refused(error,
			    "the token \"%s\" has several keys with the label \"%s\": which is meant "
			    "cannot be known; give one of them another label",
			    hsm->token, label);
			return NULL;
		}
		chosen = &keys[i];
	}
	if (chosen == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND,
		    "the token \"%s\" has no key with the label \"%s\"; it has %s", hsm->token, label,
		    count > 0 ? there->str : "none");
	return chosen;
}

/* A plain software key, so that checking a signature asks nothing of the token. */
static EVP_PKEY *software_copy(EVP_PKEY *key)
{
	unsigned char *encoded = NULL;
	const unsigned char *at;
	EVP_PKEY *copy = NULL;
	int size = i2d_PUBKEY(key, &encoded);

	if (size > 0) {
		at = encoded;
		copy = d2i_PUBKEY(NULL, &at, size);
	}
	OPENSSL_free(encoded);
	return copy;
}

/* Never by PKCS11_get_public_key(): libp11 0.4.12 crashes in it where the public object is missing. */
static struct hsm_key *no_public_half(const struct hsm *hsm, const char *label, GError **error)
{
	ERR_clear_error();
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND,
	    "the private key \"%s\" has no public key object with the same CKA_ID on the token \"%s\": write it there "
	    "(pkcs11-tool --write-object), or make the pair anew",
	    label, hsm->token);
	return NULL;
}

static struct hsm_key *hsm_key(struct hsm *hsm, const char *label, GError **error)
{
	struct hsm_key *key = g_hash_table_lookup(hsm->keys, label);
	PKCS11_KEY *keys, *chosen;
	unsigned int count;

	if (key != NULL)
		return key;
	if (!enumerate(hsm, &keys, &count, error) || (chosen = choose(hsm, keys, count, label, error)) == NULL)
		return NULL;
	key = g_new0(struct hsm_key, 1);
	if ((key->private_key = PKCS11_get_private_key(chosen)) == NULL) {
		hsm_key_free(key);
		return no_public_half(hsm, label, error);
	}
	g_hash_table_insert(hsm->keys, g_strdup(label), key);
	return key;
}

EVP_PKEY *hsm_private_key(struct hsm *hsm, const char *label, GError **error)
{
	const struct hsm_key *key = hsm_key(hsm, label, error);

	return key != NULL ? key->private_key : NULL;
}

EVP_PKEY *hsm_public_key(struct hsm *hsm, const char *label, GError **error)
{
	struct hsm_key *key = hsm_key(hsm, label, error);

	if (key != NULL && key->public_key == NULL && (key->public_key = software_copy(key->private_key)) == NULL)
		no_public_half(hsm, label, error);
	return key != NULL ? key->public_key : NULL;
}

static GBytes *raw_sign(EVP_PKEY *key, const EVP_MD *md, const void *digest, size_t size)
{
	g_autofree unsigned char *signature = NULL;
	size_t length = EVP_PKEY_get_size(key);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
	gboolean ok;

	signature = g_malloc(length);
	ok = context != NULL && EVP_PKEY_sign_init(context) > 0 && EVP_PKEY_CTX_set_signature_md(context, md) > 0 &&
	     EVP_PKEY_sign(context, signature, &length, digest, size) > 0;
	EVP_PKEY_CTX_free(context);
	return ok ? g_bytes_new_take(g_steal_pointer(&signature), length) : NULL;
}

/* With the private key's object: libp11 puts the token under its private operations alone, so this stays in software
 * with the public numbers that the token told. A copy by i2d and d2i would cost more than the check itself. */
static gboolean verifies(EVP_PKEY *key, const EVP_MD *md, const void *digest, size_t size, GBytes *signature)
{
	gsize length;
	const void *value = g_bytes_get_data(signature, &length);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
	gboolean ok = context != NULL && EVP_PKEY_verify_init(context) > 0 &&
		      EVP_PKEY_CTX_set_signature_md(context, md) > 0 &&
		      EVP_PKEY_verify(context, value, length, digest, size) == 1;

	EVP_PKEY_CTX_free(context);
	return ok;
}

GBytes *hsm_sign_digest(
    struct hsm *hsm, const char *label, const EVP_MD *md, const void *digest, size_t size, GError **error)
{
	const struct hsm_key *key = hsm_key(hsm, label, error);
	g_autoptr(GBytes) signature = NULL;

	if (key == NULL)
		return NULL;
	if (size < 32 || (int)size != EVP_MD_get_size(md)) {
		error_refused(error, "only SHA-256, SHA-384 and SHA-512 digests are signed, not %zu bytes as %s", size,
		    EVP_MD_get0_name(md));
		return NULL;
	}
	ERR_clear_error();
	if ((signature = raw_sign(key->private_key, md, digest, size)) == NULL) {
		p11_fail(hsm, "did not sign", error);
		return NULL;
	}
	if (!verifies(key->private_key, md, digest, size, signature)) {
		ERR_clear_error();
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED,
		    "the signature that the token \"%s\" made does not verify with the public key of \"%s\": the key "
		    "pair does not belong together, or the token is broken",
		    hsm->token, label);
		return NULL;
	}
	return g_steal_pointer(&signature);
}

GBytes *hsm_sign(struct hsm *hsm, const char *label, const EVP_MD *md, const void *data, size_t size, GError **error)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	if (EVP_Digest(data, size, digest, &length, md, NULL) != 1) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "%s is not available", EVP_MD_get0_name(md));
		return NULL;
	}
	return hsm_sign_digest(hsm, label, md, digest, length, error);
}
