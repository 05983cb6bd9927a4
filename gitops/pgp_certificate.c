#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/pgp.h"

#define SHA1_UNTIL                                                                                                     \
	INT64_C(1705622400) /* 2024-01-19: self-signatures by SHA-1 count if they are older, as librnp has it */
#define MAY_SIGN 0x02

enum {
	TAG_SIGNATURE = 2,
	TAG_KEY = 6,
	TAG_MARKER = 10,
	TAG_TRUST = 12,
	TAG_UID = 13,
	TAG_SUBKEY = 14,
	TAG_ATTRIBUTE = 17
};

enum {
	BINDING = 0x18,
	CROSS = 0x19,
	DIRECT = 0x1f,
	KEY_REVOKED = 0x20,
	SUBKEY_REVOKED = 0x28,
	UID_REVOKED = 0x30,
};

/* One signature of the certificate, and what its algebra said when the certificate was read. */
struct proof {
	struct pgp_signature sig;
	gboolean readable; /* of version 4 */
	gboolean proved; /* the primary key made it over this part */
	struct pgp_signature cross; /* embedded */
	gboolean cross_proved; /* the subkey made that one */
};

/* A key or user id, with the signatures that follow it. */
struct part {
	uint8_t tag;
	struct pgp_key key; /* where it is one */
	struct span body;
	GArray *proofs; /* struct proof */
};

struct pgp_certificate {
	GBytes *bytes; /* what all spans point into */
	GPtrArray *parts; /* struct part */
	GPtrArray *keys; /* those of them that are keys; the first is the primary key */
	gboolean names_revoker;
};

static void part_free(void *data)
{
	struct part *part = data;

	EVP_PKEY_free(part->key.pkey);
	g_array_unref(part->proofs);
	g_free(part);
}

void pgp_certificate_free(struct pgp_certificate *certificate)
{
	if (certificate == NULL)
		return;
	g_bytes_unref(certificate->bytes);
	g_ptr_array_unref(certificate->keys);
	g_ptr_array_unref(certificate->parts);
	g_free(certificate);
}

guint pgp_certificate_count(const struct pgp_certificate *certificate)
{
	return certificate->keys->len;
}

static const struct part *key_part(const struct pgp_certificate *certificate, guint index)
{
	return g_ptr_array_index(certificate->keys, index);
}

const struct pgp_key *pgp_certificate_key(const struct pgp_certificate *certificate, guint index)
{
	return &key_part(certificate, index)->key;
}

/* --- reading --- */

/* What a signature on this part is over.   RFC 4880 5.2.4 */
static gboolean part_fits(
    const struct pgp_signature *sig, const struct pgp_key *by, const struct pgp_key *primary, const struct part *part)
{
	uint8_t first[3] = { 0x99, primary->body.size >> 8, primary->body.size & 0xff };
	uint8_t second[5] = { 0x99, part->body.size >> 8, part->body.size & 0xff };
	struct span parts[4] = { { first, 3 }, primary->body, { second, 3 }, part->body };
	guint32 size = GUINT32_TO_BE(part->body.size);

	if (part->tag == TAG_KEY)
		return pgp_signature_fits(sig, by, parts, 2);
	if (part->tag != TAG_SUBKEY) {
		second[0] = part->tag == TAG_UID ? 0xb4 : 0xd1;
		memcpy(second + 1, &size, 4);
		parts[2].size = 5;
	}
	return pgp_signature_fits(sig, by, parts, 4);
}

static void proof_add(struct pgp_certificate *certificate, struct part *part, struct span body)
{
	const struct pgp_key *primary = pgp_certificate_key(certificate, 0);
	struct proof proof = { 0 };

	proof.readable = pgp_signature_read(body, &proof.sig);
	proof.proved = proof.readable && part_fits(&proof.sig, primary, primary, part);
	if (proof.proved && part->tag == TAG_SUBKEY && proof.sig.embedded.data != NULL &&
	    pgp_signature_read(proof.sig.embedded, &proof.cross) && proof.cross.type == CROSS)
		proof.cross_proved = part_fits(&proof.cross, &part->key, primary, part);
	certificate->names_revoker = certificate->names_revoker || proof.sig.names_revoker;
	g_array_append_val(part->proofs, proof);
}

static struct part *part_add(struct pgp_certificate *certificate, uint8_t tag, struct span body)
{
	struct part *part = g_new0(struct part, 1);

	part->tag = tag;
	part->body = body;
	part->proofs = g_array_new(FALSE, TRUE, sizeof(struct proof));
	g_ptr_array_add(certificate->parts, part);
	if (tag == TAG_KEY || tag == TAG_SUBKEY) {
		pgp_key_read(body, &part->key);
		g_ptr_array_add(certificate->keys, part);
	}
	return part;
}

static gboolean packet_add(
    struct pgp_certificate *certificate, struct cursor *c, uint8_t tag, struct span body, struct part **part)
{
	switch (tag) {
	case TAG_KEY:
		if (*part != NULL)
			return cursor_refuse(c, "packet", "a second certificate");
		*part = part_add(certificate, tag, body);
		return TRUE;
	case TAG_SUBKEY:
	case TAG_UID:
	case TAG_ATTRIBUTE:
		if (*part == NULL)
			return cursor_refuse(c, "packet", "it must begin with a primary key");
		*part = part_add(certificate, tag, body);
		return TRUE;
	case TAG_SIGNATURE:
		if (*part == NULL)
			return cursor_refuse(c, "packet", "it must begin with a primary key");
		proof_add(certificate, *part, body);
		return TRUE;
	case TAG_TRUST: /* somebody's own notes */
	case TAG_MARKER:
		return TRUE;
	default:
		return cursor_refuse(c, "packet", "packet %u has no place in a certificate", tag);
	}
}

struct pgp_certificate *pgp_certificate_read(GBytes *packets, GError **error)
{
	autoptr(pgp_certificate) certificate = g_new0(struct pgp_certificate, 1);
	struct part *part = NULL;
	struct cursor c;
	struct span body;
	uint8_t tag;

	certificate->bytes = g_bytes_ref(packets);
	certificate->parts = g_ptr_array_new_with_free_func(part_free);
	certificate->keys = g_ptr_array_new();
	cursor_init(&c, g_bytes_get_data(packets, NULL), g_bytes_get_size(packets));
	do {
		if (!pgp_take_packet(&c, &tag, &body) || !packet_add(certificate, &c, tag, body, &part)) {
			cursor_fail(&c, "OpenPGP certificate", error);
			return NULL;
		}
	} while (cursor_left(&c) > 0);
	return g_steal_pointer(&certificate);
}

/* --- what its signatures say at a time --- */

static gboolean hash_is_good(const struct pgp_signature *sig)
{
	static const uint8_t good[] = { 8, 9, 10, 11, 12, 14 };

	return memchr(good, sig->hash, sizeof(good)) != NULL || (sig->hash == 2 && sig->created < SHA1_UNTIL);
}

static gboolean counts(const struct pgp_signature *sig, int64_t at)
{
	return !sig->strange && hash_is_good(sig) && (sig->expires == 0 || sig->created + sig->expires > at);
}

/* Which of two statements holds: the newest that was made by then, or else the first that came after. */
static gboolean is_better(const struct pgp_signature *sig, const struct pgp_signature *best, int64_t at)
{
	gboolean in_time = sig->created <= at + PGP_SKEW;

	if (best == NULL)
		return TRUE;
	if (in_time != (best->created <= at + PGP_SKEW))
		return in_time;
	return in_time ? sig->created >= best->created : sig->created < best->created;
}

/* The primary key's statement on this part by which it goes at that time. */
static const struct proof *statement(const struct part *part, uint8_t first, uint8_t last, int64_t at)
{
	const struct proof *best = NULL;

	for (guint i = 0; i < part->proofs->len; i++) {
		const struct proof *proof = &g_array_index(part->proofs, struct proof, i);
		if (proof->proved && proof->sig.type >= first && proof->sig.type <= last && counts(&proof->sig, at) &&
		    is_better(&proof->sig, best != NULL ? &best->sig : NULL, at))
			best = proof;
	}
	return best;
}

/* Was the user id taken back after that statement on it was made? */
static gboolean uid_is_revoked(const struct part *part, const struct pgp_signature *sig)
{
	for (guint i = 0; i < part->proofs->len; i++) {
		const struct proof *proof = &g_array_index(part->proofs, struct proof, i);
		if (proof->proved && proof->sig.type == UID_REVOKED && proof->sig.created >= sig->created)
			return TRUE;
	}
	return FALSE;
}

/* The statement on any user id that is not revoked. */
static const struct pgp_signature *uid_statement(const struct pgp_certificate *certificate, int64_t at)
{
	const struct pgp_signature *best = NULL;

	for (guint i = 0; i < certificate->parts->len; i++) {
		const struct part *part = g_ptr_array_index(certificate->parts, i);
		const struct proof *proof = part->tag == TAG_UID ? statement(part, 0x10, 0x13, at) : NULL;
		if (proof != NULL && !uid_is_revoked(part, &proof->sig) && is_better(&proof->sig, best, at))
			best = &proof->sig;
	}
	return best;
}

/*
 * From when on this revocation ends the key. One that was merely replaced or retired ends then. Whatever cannot be read, or
 * may come from a designated revoker, is taken for the worst; only what is plainly a stranger's is overlooked.
 */
static int64_t revoked_by(const struct pgp_certificate *certificate, const struct proof *proof)
{
	const struct pgp_signature *sig = &proof->sig;
	gboolean known = memchr("\x01\x03\x13\x16", sig->algorithm, 4) != NULL &&
			 memchr("\x01\x02\x03\x08\x09\x0a\x0b\x0c\x0e", sig->hash, 9) != NULL;

	if (proof->readable && !proof->proved && known && !certificate->names_revoker)
		return G_MAXINT64;
	if (proof->proved && !sig->strange && hash_is_good(sig) && (sig->reason == 1 || sig->reason == 3))
		return sig->created;
	return G_MININT64;
}

static gboolean is_unrevoked(
    const struct pgp_certificate *certificate, const struct part *part, int64_t at, GError **error)
{
	static const char *const reasons[] = { "no reason given", "superseded", "compromised", "retired" };
	uint8_t type = part->tag == TAG_KEY ? KEY_REVOKED : SUBKEY_REVOKED;

	for (guint i = 0; i < part->proofs->len; i++) {
		const struct proof *proof = &g_array_index(part->proofs, struct proof, i);
		const struct pgp_signature *sig = &proof->sig;
		const char *reason = sig->reason >= 0 && sig->reason < 4 ? reasons[sig->reason] : reasons[0];

		if ((proof->readable && sig->type != type) || at < revoked_by(certificate, proof))
			continue;
		if (!proof->readable)
			error_refused(
			    error, "its certificate holds a signature of a version other than 4, which may revoke it");
		else if (!proof->proved)
			error_refused(error,
			    "it is revoked (perhaps: by a designated revoker, or in a way that cannot be checked)");
		else
			error_refused(error, "it is revoked (%s)", reason);
		return FALSE;
	}
	return TRUE;
}

static gboolean is_made(const struct pgp_key *key, int64_t at, GError **error)
{
	g_autofree char *when = time_format_ms(key->created * 1000);

	if (key->created <= at + PGP_SKEW)
		return TRUE;
	error_refused(error, "it was made on %s only, after the object was first seen", when);
	return FALSE;
}

static gboolean is_unexpired(const struct pgp_key *key, const struct pgp_signature *sig, int64_t at, GError **error)
{
	g_autofree char *when = NULL;

	if (sig == NULL || sig->key_expires == 0 || key->created + sig->key_expires > at)
		return TRUE;
	when = time_format_ms((key->created + sig->key_expires) * 1000);
	error_refused(error, "it expired on %s; extend it, and renew it in the policy", when);
	return FALSE;
}

static gboolean unbound(GError **error)
{
	error_refused(error, "its certificate does not bind it (self-signature or cross-certification missing or bad)");
	return FALSE;
}

static gboolean flags_allow(const struct pgp_signature *sig)
{
	return sig == NULL || sig->flags < 0 || (sig->flags & MAY_SIGN) != 0;
}

static gboolean flagless(GError **error)
{
	error_refused(error, "its key flags do not allow signing");
	return FALSE;
}

/* A statement on the key itself counts beside the one on a user id, and the stricter of the two wins. */
static gboolean primary_check(const struct pgp_certificate *certificate, gboolean signs, int64_t at, GError **error)
{
	const struct part *part = key_part(certificate, 0);
	const struct proof *proof = statement(part, DIRECT, DIRECT, at);
	const struct pgp_signature *direct = proof != NULL ? &proof->sig : NULL, *uid = uid_statement(certificate, at);
	gboolean said = (direct != NULL && direct->flags >= 0) || (uid != NULL && uid->flags >= 0);

	if (!is_unrevoked(certificate, part, at, error) || !is_made(&part->key, at, error) ||
	    !is_unexpired(&part->key, direct, at, error) || !is_unexpired(&part->key, uid, at, error))
		return FALSE;
	if (direct == NULL && uid == NULL)
		return unbound(error);
	return !signs || (said && flags_allow(direct) && flags_allow(uid)) || flagless(error);
}

static gboolean subkey_check(
    const struct pgp_certificate *certificate, const struct part *part, int64_t at, GError **error)
{
	const struct proof *proof = statement(part, BINDING, BINDING, at);

	if (!is_unrevoked(certificate, part, at, error) || !is_made(&part->key, at, error) ||
	    !is_unexpired(&part->key, proof != NULL ? &proof->sig : NULL, at, error))
		return FALSE;
	if (proof == NULL)
		return unbound(error);
	if (proof->sig.flags < 0 || (proof->sig.flags & MAY_SIGN) == 0)
		return flagless(error);
	return (proof->cross_proved && counts(&proof->cross, at)) || unbound(error);
}

gboolean pgp_certificate_check(const struct pgp_certificate *certificate, guint index, int64_t at, GError **error)
{
	const struct part *primary = key_part(certificate, 0), *part = key_part(certificate, index), *bad = primary;
	gboolean ok = pgp_key_is_strong(&primary->key, error);

	/* A subkey that such a primary key binds is not bound for us: that would be told of it, and not why. */
	if (ok && index != 0) {
		bad = part;
		ok = pgp_key_is_strong(&part->key, error) && subkey_check(certificate, part, at, error);
	}
	if (ok) {
		bad = primary;
		ok = primary_check(certificate, index == 0, at, error);
	}
	if (!ok)
		g_prefix_error(error, "OpenPGP key %s: ", bad->key.fingerprint);
	return ok;
}
