/*
 * RFC 3161: requests made and tokens checked (every check, before use).
 * The exchange itself is the courier's.
 */
#pragma once

#include <glib.h>
#include <openssl/x509.h>

#include "gitops/base/error.h"

/* SHA-256 of `data`, fresh 64-bit nonce, certReq. DER. */
GBytes *timestamp_query(GBytes *data, GError **error);

struct timestamp_facts {
	int64_t time_ms;
	char *serial, *policy, *authority; /* hex, dotted OID, subject of the certificate that signed */
};
void timestamp_facts_clear(struct timestamp_facts *facts);

/*
 * A TimeStampResp against its query: status, exactly DER, imprint, nonce, certificate that signed (ESS),
 * critical sole timeStamping EKU, chain to `roots` (its own store, PEM), genTime within [sent - skew,
 * received + skew]. Returns the token (ContentInfo, original bytes).
 */
GBytes *timestamp_accept(GBytes *response, GBytes *query, GBytes *roots, int64_t sent_ms, int64_t received_ms,
    struct timestamp_facts *facts, GError **error);
/* A token (or a TimeStampResp) again later, over `data` or over a digest; chain judged at its own time.
 * `query` may be NULL. */
gboolean timestamp_verify(GBytes *token, GBytes *data, GBytes *digest, GBytes *query, GBytes *roots,
    struct timestamp_facts *facts, GError **error);
/* The token out of a TimeStampResp that says "granted": its original bytes. */
GBytes *timestamp_token(GBytes *response, GError **error);
/*
 * A token over `data` against a query of timestamp_query(), for one who has no roots: all of timestamp_verify() but the chain, so that it
 * is whole, answers this very query, and names the authority that *facts tells; whose clock that is was not asked.
 */
gboolean timestamp_examine(GBytes *token, GBytes *data, GBytes *query, struct timestamp_facts *facts, GError **error);
/* The time that a token proves for `data`, by the authorities of `roots` (a GBytes of PEM): a dsse_trust's stamp_time. */
gboolean timestamp_proves(GBytes *token, GBytes *data, const void *roots, int64_t *time_ms, GError **error);
/* The time that a token claims, with nothing of it verified: for display, and to look further while nothing is trusted. FALSE
 * (no error) if it is no token. */
gboolean timestamp_claimed_ms(GBytes *token, int64_t *time_ms);
/* Posts a query to `url` by libcurl and returns the response: for commands; the server's courier does it
 * itself. */
GBytes *timestamp_fetch(const char *url, GBytes *query, GError **error);
