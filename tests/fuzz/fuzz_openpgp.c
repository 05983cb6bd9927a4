/* OpenPGP signatures and public keys, armored and binary. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "signer/openpgp.h"

/* What was read can be told and compared, whatever its bytes were. */
static void use_keys(GPtrArray *keys, const struct openpgp_signature *signature)
{
	for (guint i = 0; i < keys->len; i++) {
		const struct openpgp_key *key = g_ptr_array_index(keys, i);
		g_autofree char *text = openpgp_fingerprint_text(key->fingerprint);
		g_autoptr(GBytes) value = signature != NULL && signature->algorithm == key->algorithm
					      ? openpgp_signature_value(signature, key)
					      : NULL;
		if (key->key == NULL || strlen(text) != 2 * OPENPGP_FINGERPRINT_SIZE)
			g_assert_not_reached();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
	autoptr(openpgp_signature) signature = openpgp_signature_read(bytes, NULL);
	g_autoptr(GPtrArray) keys = openpgp_keys_read(bytes, NULL);

	if (keys != NULL)
		use_keys(keys, signature);
	return 0;
}
