/* What is read as an envelope can be held against a key, and has what its reader promises. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitops/dsse.h"

static const char pem[] =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC "
    "KEY-----\n";

static void check(const struct dsse *envelope, GPtrArray *keys)
{
	struct dsse_trust trust = { .keys = keys };
	struct dsse_signer signer = { 0 };
	gboolean good = dsse_verify(envelope, &trust, &signer, NULL);

	dsse_signer_clear(&signer);
	if (envelope->unfit != NULL && good)
		abort();
	if (envelope->unfit == NULL &&
	    (envelope->type == NULL || envelope->payload == NULL || envelope->signatures->len == 0))
		abort();
	for (guint i = 0; envelope->unfit == NULL && i < envelope->signatures->len; i++) {
		const struct dsse_signature *signature = g_ptr_array_index(envelope->signatures, i);

		for (guint j = 0; j < signature->certificates->len; j++)
			g_strfreev(dsse_identities(g_ptr_array_index(signature->certificates, j)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static GPtrArray *keys;
	g_autoptr(GBytes) file = g_bytes_new(data, size);
	g_autoptr(GPtrArray) envelopes = dsse_read(file, NULL);

	if (keys == NULL) {
		g_autoptr(GBytes) key = g_bytes_new_static(pem, strlen(pem));

		keys = dsse_keys_parse(key, "the key", NULL);
	}
	for (guint i = 0; envelopes != NULL && i < envelopes->len; i++)
		check(g_ptr_array_index(envelopes, i), keys);
	return 0;
}
