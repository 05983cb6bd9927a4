/* The binary inside an SSH signature's armor, against the keys that made the good files of the corpus over "payload". */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gitops/people.h"

static const char alice[] =
    "name = \"Alice\"\n"
    "ssh = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMHhqUn/awTaWwSpufN4/3XsEoAEiUJBKmQC8cSf62/B a\",\n"
    " \"ecdsa-sha2-nistp256 "
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBJqQT2EDA79EUOBCroASzNiAtl7+p9eQ06+"
    "Aod8fPGMK5k9TQgnJD8k4uXHFMERVYk+Ol21S0N2dJZe8JvIVhTg= b\",\n"
    " \"sk-ssh-ed25519@openssh.com "
    "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIPVDGLdWR1Pa6XPPF0HDqWQWyEd3Ew8YPEIZgrVI1atOAAAABHNzaDo= c\",\n"
    " \"cert-authority ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINAyyXTaZzxZrycszePC+DW0acv60bPjvevCHzoMl8Xa d\"]\n";

static struct people *signers(void)
{
	g_autoptr(GHashTable) files =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	struct people *people;

	g_hash_table_insert(files, g_strdup("people/alice.toml"), g_bytes_new_static(alice, strlen(alice)));
	people = people_load(files, NULL);
	g_assert(people != NULL);
	return people;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autoptr(people) people = signers();
	g_autoptr(GBytes) payload = g_bytes_new_static("payload", 7);
	g_autofree char *base64 = g_base64_encode(data, size);
	g_autofree char *armor =
	    g_strdup_printf("-----BEGIN SSH SIGNATURE-----\n%s\n-----END SSH SIGNATURE-----\n", base64);
	struct signer signer = { 0 };

	if (people_verify(people, SIGNATURE_SSH, armor, payload, 0, &signer, NULL))
		g_assert(g_str_equal(signer.person, "alice"));
	signer_clear(&signer);
	return 0;
}
