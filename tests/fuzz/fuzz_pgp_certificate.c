/* The packets of an OpenPGP certificate: reading it, and asking at some times whether its keys may sign. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gitops/pgp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t times[] = { 0, 1675209600, 1800000000, 4000000000 };
	g_autoptr(GBytes) packets = g_bytes_new(data, size);
	autoptr(pgp_certificate) certificate = pgp_certificate_read(packets, NULL);

	for (guint i = 0; certificate != NULL && i < pgp_certificate_count(certificate); i++)
		for (size_t t = 0; t < G_N_ELEMENTS(times); t++)
			if (pgp_certificate_check(certificate, i, times[t], NULL))
				g_assert(strlen(pgp_certificate_key(certificate, i)->fingerprint) == 40);
	return 0;
}
