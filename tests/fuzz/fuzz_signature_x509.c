/* The CMS of an X.509 signature, against the root of the certificates that made the good files of the corpus over "payload". */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gitops/people.h"

static const char alice[] = "name = \"Alice\"\nx509 = [{ subject = \"alice@example.org\", roots = \"root.pem\" }]\n";
static const char root[] = "-----BEGIN CERTIFICATE-----\n"
			   "MIIBVDCB/KADAgECAgYPv4P04WEwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEUm9v\n"
			   "dDAgFw0yNjExMjQxNDE4MTBaGA8yMTI2MTAzMTE0MTgxMFowDzENMAsGA1UEAwwE\n"
			   "Um9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKs8+AKsscvDYD7WEHtuHMHv\n"
			   "q+aGlAvsBRcRwBP6LlaWyZ/hL2dsXh/LeWeDDk9D7pGMHKtF/rxEBMqMSj+i/zKj\n"
			   "QjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSF\n"
			   "ioO3bTjfOenV2PEUbkFJKDCgEDAKBggqhkjOPQQDAgNHADBEAiA+bZqUaWtbpiDU\n"
			   "9E1sYVtbyjDxbjyGpjGBfq3D8deuNgIgA0FW3JTgD9VnyDLmoVZh41o54hsshQoB\n"
			   "e2k3oMtImo4=\n"
			   "-----END CERTIFICATE-----\n";

/* Made once: reading the root costs more than all else. */
static struct people *signers(void)
{
	static struct people *people;

	if (people == NULL) {
		g_autoptr(GHashTable) files =
		    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);

		g_hash_table_insert(files, g_strdup("people/alice.toml"), g_bytes_new_static(alice, strlen(alice)));
		g_hash_table_insert(files, g_strdup("people/root.pem"), g_bytes_new_static(root, strlen(root)));
		people = people_load(files, NULL);
		g_assert(people != NULL);
	}
	return people;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) payload = g_bytes_new_static("payload", 7);
	g_autoptr(GError) error = NULL;
	g_autofree char *base64 = g_base64_encode(data, size);
	g_autofree char *armor =
	    g_strdup_printf("-----BEGIN SIGNED MESSAGE-----\n%s\n-----END SIGNED MESSAGE-----\n", base64);
	struct signer signer = { 0 };

	if (people_verify(signers(), SIGNATURE_X509, armor, payload, INT64_C(4000000000000), &signer, &error))
		g_assert(g_str_equal(signer.person, "alice"));
	else
		g_assert(error->code == TAGSEAL_ERROR_REFUSED);
	signer_clear(&signer);
	return 0;
}
