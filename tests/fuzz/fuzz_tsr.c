/* Answers of a timestamp authority, tokens and queries. Without the authority's key none of them is good. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "signer/timestamp.h"
#include "signer/tst_info.h"

static const char root[] = "-----BEGIN CERTIFICATE-----\n"
			   "MIIBdDCCARmgAwIBAgIUSNW9DFQ8eHFKMyL9/xdw7dYdzkIwCgYIKoZIzj0EAwIw\n"
			   "DzENMAsGA1UEAwwEUm9vdDAeFw0yNjExMjQxMDQ2NDhaFw0zNjExMjExMDQ2NDha\n"
			   "MA8xDTALBgNVBAMMBFJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQw1UNB\n"
			   "oagCCPc0DsBl5m21sWRrsE9YpT3e0VJhC6Icp+RAHtiwf+E8L9G2bU7cmSxQsrxq\n"
			   "c2xzz8VY7WIzwaDbo1MwUTAdBgNVHQ4EFgQU0f6fIITmzEnXnfTewIizTjKSUvEw\n"
			   "HwYDVR0jBBgwFoAU0f6fIITmzEnXnfTewIizTjKSUvEwDwYDVR0TAQH/BAUwAwEB\n"
			   "/zAKBggqhkjOPQQDAgNJADBGAiEA82B1v4Fa+d+mBxAf/Tyoue02y7zgsl9qxr2+\n"
			   "0qfN94kCIQCyMhexby2JQ18BQf0nUL8tauz9xMYuDiKLayYPMD1hqQ==\n"
			   "-----END CERTIFICATE-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static(data, size), roots = g_bytes_new_static(root, sizeof(root) - 1);
	g_autoptr(GBytes) query = timestamp_query(roots, NULL);
	g_autoptr(GBytes) token = timestamp_accept(bytes, query, roots, 0, 0, NULL, NULL);
	struct tst_query asked;
	struct tst_info info;

	if (token != NULL) /* the nonce is fresh */
		abort();
	timestamp_verify(bytes, roots, NULL, NULL, roots, NULL, NULL);
	tst_query_read(bytes, &asked, NULL);
	tst_query_clear(&asked);
	tst_info_read(bytes, &info, NULL);
	tst_info_clear(&info);
	return 0;
}
