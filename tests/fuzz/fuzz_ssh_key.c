/* SSH public keys and certificates as blobs. A certificate is also held against an authority, which did not make it. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gitops/ssh.h"

static void certificate(GBytes *blob, const struct ssh_key *authority)
{
	autoptr(ssh_certificate) read = ssh_certificate_read(blob, NULL);

	if (read == NULL)
		return;
	g_assert(ssh_is_certificate(blob));
	g_assert(ssh_certificate_key(read) != NULL && ssh_certificate_principals(read)[0] != NULL);
	g_assert(g_str_has_prefix(ssh_certificate_id(read), "SHA256:") && strlen(ssh_certificate_id(read)) == 50);
	if (authority != NULL)
		ssh_certificate_check(read, authority, INT64_C(1800000000000), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) blob = g_bytes_new(data, size);
	autoptr(ssh_key) key = ssh_key_read(blob, NULL);

	if (key != NULL)
		g_assert(!ssh_is_certificate(blob));
	certificate(blob, key);
	if (size > 51) { /* the authority's key stands before its certificate */
		g_autoptr(GBytes) first = g_bytes_new(data, 51), rest = g_bytes_new(data + 51, size - 51);
		autoptr(ssh_key) authority = ssh_key_read(first, NULL);
		certificate(rest, authority);
	}
	return 0;
}
