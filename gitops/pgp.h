/*
 * OpenPGP certificates and signatures as far as proof goes: what was signed, by which key, and what the certificate's own
 * signatures said of that key at a given time. Only what is in a signed area and stands proved is believed; unlike librnp (and
 * gpg, in part), which take key flags for all-allowing where none are signed, and overlook a revocation that is hashed weakly or
 * comes from a designated revoker.   RFC 4880 5.2, 5.5, 11.1. Internal to gitops/.
 */
#pragma once

#include "gitops/base/cursor.h"
#include "gitops/base/error.h"
#include "gitops/pkey.h"

/* A packet's tag and body.   RFC 4880 4.2. Lengths that come in parts are refused. */
gboolean pgp_take_packet(struct cursor *c, uint8_t *tag, struct span *body);

/* The next subpacket of an area: `sub` is over its body.   RFC 4880 5.2.3.1 */
gboolean pgp_take_subpacket(struct cursor *area, uint8_t *type, struct cursor *sub);

struct pgp_key {
	int64_t created; /* seconds, as all times here */
	struct span body; /* of its packet */
	uint8_t algorithm;
	EVP_PKEY *pkey; /* NULL: of a kind, curve or version that we do not verify with */
	char fingerprint[41]; /* upper-case hex */
};
void pgp_key_read(struct span body, struct pgp_key *key);
/* Is it strong enough, and of a kind that is taken? */
gboolean pgp_key_is_strong(const struct pgp_key *key, GError **error);

struct pgp_signature {
	uint8_t type, algorithm, hash;
	struct span head,
	    tail; /* from the version to the end of what is signed; the two bytes of the digest and the numbers */
	/* From the signed area: */
	int64_t created, expires, key_expires; /* the last two after the signature's and the key's creation; 0: never */
	int flags, reason; /* -1: not said */
	gboolean names_revoker;
	gboolean strange; /* something critical or unreadable is in it, or something twice: it proves nothing */
	/* From both areas: */
	char issuer[41]; /* fingerprint, or the last 16 digits of it, or "": a hint; the signed area's is preferred */
	struct span embedded; /* a signature's body; its own proof is within */
};
/* FALSE: not a signature of version 4. */
gboolean pgp_signature_read(struct span body, struct pgp_signature *sig);
/* The algebra alone: did that key sign these parts so? */
gboolean pgp_signature_fits(
    const struct pgp_signature *sig, const struct pgp_key *key, const struct span *parts, size_t count);

struct pgp_certificate;
/* All packets of one certificate. REFUSED if it cannot be read to its end. */
struct pgp_certificate *pgp_certificate_read(GBytes *packets, GError **error);
void pgp_certificate_free(struct pgp_certificate *certificate); /* NULL is fine */
DEFINE_CLEANUP(pgp_certificate, pgp_certificate_free)
guint pgp_certificate_count(const struct pgp_certificate *certificate); /* the primary key and its subkeys */
const struct pgp_key *pgp_certificate_key(const struct pgp_certificate *certificate, guint index); /* 0: the primary */
/*
 * Does the certificate prove that its key `index` may sign at that time: is it (and the primary key, which binds it) strong,
 * alive, not revoked, bound, cross-certified, and made to sign? A key that was replaced or retired counts until then; one
 * that was compromised, or revoked without a reason that can be read, never did.
 */
gboolean pgp_certificate_check(const struct pgp_certificate *certificate, guint index, int64_t at, GError **error);

#define PGP_SKEW 300 /* seconds that a signer's clock may be ahead of ours */
