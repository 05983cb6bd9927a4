/* A new token on a SoftHSM-like module. PKCS #11 v2.40, 5.5 C_InitToken, C_InitPIN */
#include <dlfcn.h>
#include <string.h>

#include "signer/hsm_internal.h"

#define SLOTS_MAX 256

static gboolean init_fail(CK_RV rv, const char *what, GError **error)
{
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s: %s", what, ckr_name(rv));
	return FALSE;
}

static void pad_label(CK_UTF8CHAR out[static 32], const char *label)
{
	memset(out, ' ', 32);
	memcpy(out, label, strlen(label));
}

/* The first slot whose token is not initialised; refused if some token bears the label already. */
static gboolean free_slot(
    CK_FUNCTION_LIST *api, const char *name, const CK_UTF8CHAR label[static 32], CK_SLOT_ID *out, GError **error)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG count = SLOTS_MAX;
	CK_TOKEN_INFO info;
	gboolean found = FALSE;
	CK_RV rv = api->C_GetSlotList(CK_TRUE, slots, &count);

	if (rv != CKR_OK)
		return init_fail(rv, "the module does not list its slots", error);
	for (CK_ULONG i = 0; i < count; i++) {
		if (api->C_GetTokenInfo(slots[i], &info) != CKR_OK)
			continue;
		if ((info.flags & CKF_TOKEN_INITIALIZED) == 0) {
			if (!found)
				*out = slots[i];
			found = TRUE;
		} else if (memcmp(info.label, label, 32) == 0) {
			error_refused(error, "there is a token with the label \"%s\" already", name);
			return FALSE;
		}
	}
	if (!found)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND, "the module has no slot that is still free");
	return found;
}

static gboolean set_user_pin(CK_FUNCTION_LIST *api, CK_SLOT_ID slot, char *pin, char *so_pin, GError **error)
{
	CK_SESSION_HANDLE session;
	CK_RV rv = api->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);

	if (rv != CKR_OK)
		return init_fail(rv, "the new token opens no session", error);
	rv = api->C_Login(session, CKU_SO, (CK_UTF8CHAR *)so_pin, strlen(so_pin));
	if (rv == CKR_OK) {
		rv = api->C_InitPIN(session, (CK_UTF8CHAR *)pin, strlen(pin));
		api->C_Logout(session);
	}
	api->C_CloseSession(session);
	return rv == CKR_OK || init_fail(rv, "the new token does not take the PIN", error);
}

static gboolean init_token(CK_FUNCTION_LIST *api, const char *token, char *pin, char *so_pin, GError **error)
{
	CK_UTF8CHAR label[32];
	CK_SLOT_ID slot = 0;
	CK_RV rv;

	pad_label(label, token);
	if (!free_slot(api, token, label, &slot, error))
		return FALSE;
	rv = api->C_InitToken(slot, (CK_UTF8CHAR *)so_pin, strlen(so_pin), label);
	if (rv != CKR_OK)
		return init_fail(rv, "the module does not make the token", error);
	return set_user_pin(api, slot, pin, so_pin, error);
}

gboolean hsm_init_token(
    const char *module, const char *token, const char *pin_file, const char *so_pin_file, GError **error)
{
	char pin[PIN_MAX] = "", so_pin[PIN_MAX] = "";
	void *library = NULL;
	CK_FUNCTION_LIST *api = NULL;
	gboolean ok;

	if (*token == '\0' || strlen(token) > 32) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "a token's label has 1 to 32 characters");
		return FALSE;
	}
	ok = pin_read(pin_file, pin, error) && pin_read(so_pin_file, so_pin, error) &&
	     (api = module_load(module, &library, error)) != NULL && init_token(api, token, pin, so_pin, error);
	explicit_bzero(pin, sizeof(pin));
	explicit_bzero(so_pin, sizeof(so_pin));
	if (api != NULL)
		api->C_Finalize(NULL);
	if (library != NULL)
		dlclose(library);
	return ok;
}
