/* The PKCS#11 module itself: loading it, sessions of our own, finding objects, naming its errors. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "signer/hsm_internal.h"

static const struct {
	CK_RV rv;
	const char *name;
} ckr_names[] = {
	{ CKR_HOST_MEMORY, "CKR_HOST_MEMORY" },
	{ CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID" },
	{ CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR" },
	{ CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED" },
	{ CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD" },
	{ CKR_ATTRIBUTE_READ_ONLY, "CKR_ATTRIBUTE_READ_ONLY" },
	{ CKR_ATTRIBUTE_SENSITIVE, "CKR_ATTRIBUTE_SENSITIVE" },
	{ CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID" },
	{ CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID" },
	{ 0x1b /* CKR_ACTION_PROHIBITED, v2.40 */, "CKR_ACTION_PROHIBITED" },
	{ CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR" },
	{ CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY" },
	{ CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED" },
	{ CKR_FUNCTION_NOT_SUPPORTED, "CKR_FUNCTION_NOT_SUPPORTED" },
	{ CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID" },
	{ CKR_KEY_UNEXTRACTABLE, "CKR_KEY_UNEXTRACTABLE" },
	{ CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED" },
	{ CKR_KEY_NOT_WRAPPABLE, "CKR_KEY_NOT_WRAPPABLE" },
	{ CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID" },
	{ CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID" },
	{ CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT" },
	{ CKR_PIN_INVALID, "CKR_PIN_INVALID" },
	{ CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE" },
	{ CKR_PIN_LOCKED, "CKR_PIN_LOCKED" },
	{ CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID" },
	{ CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT" },
	{ CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT" },
	{ CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED" },
	{ CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN" },
	{ CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED" },
};

const char *ckr_name(CK_RV rv)
{
	static __thread char other[32];

	for (guint i = 0; i < G_N_ELEMENTS(ckr_names); i++)
		if (ckr_names[i].rv == rv)
			return ckr_names[i].name;
	snprintf(other, sizeof(other), "error 0x%lx", rv);
	return other;
}

gboolean hsm_fail(const struct hsm *hsm, CK_RV rv, const char *what, GError **error)
{
	g_set_error(
	    error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the token \"%s\" %s: %s", hsm->token, what, ckr_name(rv));
	return FALSE;
}

static CK_FUNCTION_LIST *module_refuse(const char *path, const char *why, GError **error)
{
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the PKCS#11 module %s %s", path, why);
	return NULL;
}

/* SoftHSM says no more than "general error" when its configuration is missing or names no folder. */
static const char *initialize_hint(const char *path, CK_RV rv)
{
	return rv == CKR_GENERAL_ERROR && strstr(path, "softhsm") != NULL
		   ? ": does SOFTHSM2_CONF name a file that you can read, and its tokendir an existing folder?"
		   : "";
}

CK_FUNCTION_LIST *module_load(const char *path, void **library, GError **error)
{
	CK_C_INITIALIZE_ARGS arguments = { .flags = CKF_OS_LOCKING_OK };
	CK_C_GetFunctionList get = NULL;
	CK_FUNCTION_LIST *api = NULL;
	CK_RV rv;

	if ((*library = dlopen(path, RTLD_LAZY | RTLD_LOCAL)) == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "the PKCS#11 module %s cannot be loaded: %s", path, dlerror());
		return NULL;
	}
	*(void **)&get = dlsym(*library, "C_GetFunctionList");
	if (get == NULL || get(&api) != CKR_OK || api == NULL)
		return module_refuse(path, "has no C_GetFunctionList: it is not a PKCS#11 module", error);
	rv = api->C_Initialize(&arguments);
	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "the PKCS#11 module %s does not start: %s%s", path, ckr_name(rv), initialize_hint(path, rv));
		return NULL;
	}
	return api;
}

/* A module that gives each function list its own connection (p11-kit's client) does not know of libp11's login. */
static gboolean session_login(struct hsm *hsm, GError **error)
{
	CK_SESSION_INFO info = { 0 };
	char pin[PIN_MAX];
	CK_RV rv = CKR_OK;

	if (hsm->api->C_GetSessionInfo(hsm->session, &info) == CKR_OK &&
	    (info.state == CKS_RW_USER_FUNCTIONS || info.state == CKS_RO_USER_FUNCTIONS))
		return TRUE;
	if (!pin_read(hsm->pin_file, pin, error))
		return FALSE;
	rv = hsm->api->C_Login(hsm->session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin));
	explicit_bzero(pin, sizeof(pin));
	if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN)
		return hsm_fail(hsm, rv, "does not let us log in", error);
	return TRUE;
}

gboolean hsm_session(struct hsm *hsm, GError **error)
{
	CK_RV rv;

	if (hsm->session != 0)
		return TRUE;
	rv = hsm->api->C_OpenSession(hsm->slot_id, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &hsm->session);
	if (rv == CKR_TOKEN_WRITE_PROTECTED)
		rv = hsm->api->C_OpenSession(hsm->slot_id, CKF_SERIAL_SESSION, NULL, NULL, &hsm->session);
	if (rv != CKR_OK)
		return hsm_fail(hsm, rv, "opens no session", error);
	if (session_login(hsm, error))
		return TRUE;
	hsm->api->C_CloseSession(hsm->session);
	hsm->session = 0;
	return FALSE;
}

int hsm_search(
    struct hsm *hsm, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *found, CK_ULONG max, GError **error)
{
	CK_ULONG got = 0;
	CK_RV rv;

	if (!hsm_session(hsm, error))
		return -1;
	rv = hsm->api->C_FindObjectsInit(hsm->session, template, count);
	if (rv == CKR_OK) {
		rv = hsm->api->C_FindObjects(hsm->session, found, max, &got);
		hsm->api->C_FindObjectsFinal(hsm->session);
	}
	if (rv != CKR_OK) {
		hsm_fail(hsm, rv, "cannot be searched", error);
		return -1;
	}
	return got;
}

CK_OBJECT_HANDLE hsm_find(struct hsm *hsm, CK_OBJECT_CLASS class, const char *label, GError **error)
{
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_LABEL, (void *)label, strlen(label) },
	};
	CK_OBJECT_HANDLE found[2] = { 0 };

	switch (hsm_search(hsm, template, G_N_ELEMENTS(template), found, G_N_ELEMENTS(found), error)) {
	case -1:
		return 0;
	case 0:
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND,
		    "the token \"%s\" has no key with the label \"%s\"", hsm->token, label);
		return 0;
	case 1:
		return found[0];
	default:
		error_refused(error,
		    "the token \"%s\" has several keys with the label \"%s\": which is meant cannot be known; give "
		    "one of them another label",
		    hsm->token, label);
		return 0;
	}
}

gboolean hsm_has_edwards(struct hsm *hsm)
{
	CK_KEY_TYPE type = 0x40; /* CKK_EC_EDWARDS, v3.0 */
	CK_ATTRIBUTE template = { CKA_KEY_TYPE, &type, sizeof(type) };
	CK_OBJECT_HANDLE found;

	return hsm_search(hsm, &template, 1, &found, 1, NULL) > 0;
}
