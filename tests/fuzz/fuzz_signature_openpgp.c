/* An OpenPGP signature's armor, or what is inside of it, against the certificate that made the good files of the corpus over
 * "payload". */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gitops/people.h"

static const char alice[] = "name = \"Alice\"\nopenpgp = [\"alice.asc\"]\n";
static const char certificate[] = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
				  "\n"
				  "mDMEawVoVBYJKwYBBAHaRw8BAQdAcQkBJzxEJU5/yQmChx6np99SHvc9Jm3M7yCT\n"
				  "8GFFAFC0DWFAZXhhbXBsZS5vcmeIkAQTFggAOBYhBFh3VtlSMJrBh6X0b1QGbEV1\n"
				  "+YuUBQJrBWhUAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEFQGbEV1+YuU\n"
				  "igAA/AplmodWrRzVWkR11UvDVcb9vepIOwjW8lSwLm0kgX+BAP9qfyIPcGQnF5XQ\n"
				  "0o6XAmVdXy2B2dKw9BN+n2T/+ZhhAA==\n"
				  "=+Wdd\n"
				  "-----END PGP PUBLIC KEY BLOCK-----\n";

/* Made once: reading the certificate costs more than all else. */
static struct people *signers(void)
{
	static struct people *people;

	if (people == NULL) {
		g_autoptr(GHashTable) files =
		    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);

		g_hash_table_insert(files, g_strdup("people/alice.toml"), g_bytes_new_static(alice, strlen(alice)));
		g_hash_table_insert(
		    files, g_strdup("people/alice.asc"), g_bytes_new_static(certificate, strlen(certificate)));
		people = people_load(files, NULL);
		g_assert(people != NULL);
	}
	return people;
}

static char *armored(const uint8_t *data, size_t size)
{
	g_autofree char *base64 = NULL;

	if (size > 5 && memcmp(data, "-----", 5) == 0)
		return g_strndup((const char *)data, size);
	base64 = g_base64_encode(data, size);
	return g_strdup_printf("-----BEGIN PGP SIGNATURE-----\n\n%s\n-----END PGP SIGNATURE-----\n", base64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) payload = g_bytes_new_static("payload", 7);
	g_autofree char *armor = armored(data, size);
	struct signer signer = { 0 };

	if (people_verify(signers(), SIGNATURE_OPENPGP, armor, payload, INT64_C(4000000000000), &signer, NULL))
		g_assert(g_str_equal(signer.person, "alice"));
	signer_clear(&signer);
	return 0;
}
