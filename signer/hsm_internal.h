/*
 * What the hsm_*.c files share: the module's own function list beside libp11's view of the same token.
 * libp11 0.4.12 makes RSA and EC keys usable as EVP_PKEY; making keys, reading their attributes back and trying
 * to weaken them goes through the PKCS#11 API itself.
 */
#pragma once

#include <libp11.h>
#include <p11-kit/pkcs11.h>

#include "signer/hsm.h"

struct hsm {
	char *module, *token, *pin_file;
	void *library;
	CK_FUNCTION_LIST *api;
	CK_SLOT_ID slot_id;
	CK_SESSION_HANDLE session; /* 0 until hsm_session() */
	PKCS11_CTX *context;
	PKCS11_SLOT *slots, *slot;
	unsigned int slot_count;
	gboolean loaded;
	struct hsm_token_info info;
	GHashTable *keys; /* label -> struct hsm_key: EVP_PKEY outlives a new enumeration, PKCS11_KEY does not */
};

/* Loads the module and initialises it with locking by the operating system (NULL arguments would switch SoftHSM's
 * mutexes off). UNAVAILABLE. */
CK_FUNCTION_LIST *module_load(const char *path, void **library, GError **error);
/* A read-write session of our own, logged in; made at the first call. */
gboolean hsm_session(struct hsm *hsm, GError **error);
/* "CKR_PIN_INCORRECT", or "error 0x80000001" in a static buffer. */
const char *ckr_name(CK_RV rv);
/* Sets UNAVAILABLE "the token NAME WHAT: CKR_…"; always FALSE. */
gboolean hsm_fail(const struct hsm *hsm, CK_RV rv, const char *what, GError **error);
/* Handles of the objects that match, up to `max`; the number found, or -1 with error. */
int hsm_search(
    struct hsm *hsm, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *found, CK_ULONG max, GError **error);
/* First object of that class and label; 0 with NOT_FOUND, or REFUSED if there are several. */
CK_OBJECT_HANDLE hsm_find(struct hsm *hsm, CK_OBJECT_CLASS class, const char *label, GError **error);
/* Has the token a key of CKK_EC_EDWARDS? */
gboolean hsm_has_edwards(struct hsm *hsm);

struct hsm_key_info *hsm_key_info_read(struct hsm *hsm, CK_OBJECT_HANDLE key);
void hsm_key_info_free(void *info);
/* An attribute as bytes; NULL (no error) if the token does not tell it. */
GBytes *hsm_attribute(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);

/* The kinds of key that we make. */
struct key_kind {
	const char *name;
	CK_KEY_TYPE type;
	CK_ULONG bits; /* RSA */
	const uint8_t *curve; /* EC: DER of the curve's object identifier */
	size_t curve_size;
};
extern const struct key_kind key_kinds[]; /* ends with a NULL name */

/* The file's first line. USAGE if it is not a private file of ours with a PIN in it. The caller wipes `pin`. */
gboolean pin_read(const char *path, char pin[static PIN_MAX], GError **error);
