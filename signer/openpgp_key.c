/* Transferable public keys, read with the verdict of their self-signatures. RFC 4880, 5.5.2, 11.1, 12.2 */
#include <openssl/err.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "signer/openpgp.h"

#define FLAG_SIGN 0x02

static const char unbound[] = "no self-signature of it is good", revoked[] = "it was revoked";

static const struct {
	uint8_t size, oid[9];
	guint bits;
} curve_oids[] = {
	{ 8, { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 }, 256 },
	{ 5, { 0x2b, 0x81, 0x04, 0x00, 0x22 }, 384 },
	{ 5, { 0x2b, 0x81, 0x04, 0x00, 0x23 }, 521 },
};
static const uint8_t ed25519_oid[] = { 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01 };

void openpgp_key_free(void *data)
{
	struct openpgp_key *key = data;

	if (key == NULL)
		return;
	g_clear_pointer(&key->body, g_bytes_unref);
	key_parts_free(key->parts);
	EVP_PKEY_free(key->key);
	g_free(key->user_id);
	g_free(key);
}

char *openpgp_fingerprint_text(const uint8_t fingerprint[static OPENPGP_FINGERPRINT_SIZE])
{
	g_autofree char *hex = hex_encode(fingerprint, OPENPGP_FINGERPRINT_SIZE);

	return g_ascii_strup(hex, -1);
}

/* A key as it enters a fingerprint or a self-signature's hash. */
static void hash_key(EVP_MD_CTX *context, const struct openpgp_key *key)
{
	size_t size = g_bytes_get_size(key->body);
	const uint8_t head[] = { 0x99, size >> 8, size };

	EVP_DigestUpdate(context, head, sizeof(head));
	EVP_DigestUpdate(context, g_bytes_get_data(key->body, NULL), size);
}

static void fill_fingerprint(struct openpgp_key *key)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	EVP_DigestInit_ex(context, EVP_sha1(), NULL);
	hash_key(context, key);
	EVP_DigestFinal_ex(context, key->fingerprint, NULL);
	EVP_MD_CTX_free(context);
}

static gboolean take_rsa(struct cursor *c, struct openpgp_key *key)
{
	const uint8_t *first;

	key->parts = g_new0(struct key_parts, 1);
	if ((key->parts->n = pgp_number_take(c, "modulus")) == NULL ||
	    (key->parts->e = pgp_number_take(c, "exponent")) == NULL)
		return FALSE;
	first = g_bytes_get_data(key->parts->n, NULL);
	key->parts->bits = g_bytes_get_size(key->parts->n) * 8 - (__builtin_clz(*first) - 24);
	return key->parts->bits >= 2048 ||
	       cursor_refuse(c, "modulus", "an RSA key of %u bits is too short", key->parts->bits);
}

static gboolean take_oid(struct cursor *c, const uint8_t **oid, uint8_t *size)
{
	return cursor_u8(c, size, "curve") && cursor_bytes(c, oid, *size, "curve");
}

static gboolean take_ecdsa(struct cursor *c, struct openpgp_key *key)
{
	const uint8_t *oid;
	uint8_t size;

	if (!take_oid(c, &oid, &size))
		return FALSE;
	key->parts = g_new0(struct key_parts, 1);
	for (guint i = 0; i < G_N_ELEMENTS(curve_oids); i++)
		if (size == curve_oids[i].size && memcmp(oid, curve_oids[i].oid, size) == 0)
			key->parts->bits = curve_oids[i].bits;
	if (key->parts->bits == 0)
		return cursor_refuse(c, "curve", "it is none of P-256, P-384, P-521");
	return (key->parts->point = pgp_number_take(c, "point")) != NULL;
}

static gboolean take_eddsa(struct cursor *c, struct openpgp_key *key)
{
	const uint8_t *oid, *data;
	uint8_t size;
	gsize length;
	g_autoptr(GBytes) point = NULL;

	if (!take_oid(c, &oid, &size))
		return FALSE;
	if (size != sizeof(ed25519_oid) || memcmp(oid, ed25519_oid, size) != 0)
		return cursor_refuse(c, "curve", "it is not Ed25519");
	if ((point = pgp_number_take(c, "point")) == NULL)
		return FALSE;
	data = g_bytes_get_data(point, &length);
	if (length != 33 || data[0] != 0x40)
		return cursor_refuse(c, "point", "it is not 0x40 and 32 bytes");
	key->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, data + 1, 32);
	return key->key != NULL || cursor_refuse(c, "point", "it is not usable");
}

static gboolean take_material(struct cursor *c, struct openpgp_key *key)
{
	switch (key->algorithm) {
	case PGP_RSA:
		return take_rsa(c, key);
	case PGP_ECDSA:
		return take_ecdsa(c, key);
	case PGP_EDDSA:
		return take_eddsa(c, key);
	default:
		return cursor_refuse(c, "algorithm", "%u is none of RSA, ECDSA, EdDSA", key->algorithm);
	}
}

static struct openpgp_key *key_parse(const struct pgp_packet *packet, GError **error)
{
	g_autoptr(GPtrArray) owner = g_ptr_array_new_with_free_func(openpgp_key_free);
	struct openpgp_key *key = g_new0(struct openpgp_key, 1);
	struct cursor c;
	uint8_t version;
	uint32_t created;

	g_ptr_array_add(owner, key);
	cursor_init(&c, packet->body, packet->size);
	if (!cursor_u8(&c, &version, "version") ||
	    (version != 4 && !cursor_refuse(&c, "version", "%u is not read, only version 4", version)) ||
	    !cursor_be32(&c, &created, "creation time") || !cursor_u8(&c, &key->algorithm, "algorithm") ||
	    packet->size > 0xffff || !take_material(&c, key)) {
		cursor_fail(&c, "OpenPGP key", error);
		return NULL;
	}
	if (!cursor_end(&c, "OpenPGP key", error) ||
	    (key->parts != NULL && (key->key = key_parts_to_key(key->parts, error)) == NULL))
		return NULL;
	key->created = created;
	key->body = g_bytes_new(packet->body, packet->size);
	key->unusable = unbound;
	fill_fingerprint(key);
	return g_ptr_array_steal_index(owner, 0);
}

/* Reading one file: the present primary key, and what the next signatures are over. */
struct reading {
	GPtrArray *keys;
	struct openpgp_key *primary, *subkey;
	struct pgp_packet user_id;
	int64_t newest; /* self-signature so far, of the present component */
};

static gboolean self_verifies(const struct reading *r, const struct openpgp_signature *s, const struct openpgp_key *by,
    const struct openpgp_key *subkey)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	size_t size;

	EVP_DigestInit_ex(context, pgp_hash(s->hash), NULL);
	hash_key(context, r->primary);
	if (subkey != NULL) {
		hash_key(context, subkey);
	} else if (r->user_id.body != NULL) {
		uint32_t length = GUINT32_TO_BE((uint32_t)r->user_id.size);
		EVP_DigestUpdate(context, "\xb4", 1);
		EVP_DigestUpdate(context, &length, sizeof(length));
		EVP_DigestUpdate(context, r->user_id.body, r->user_id.size);
	}
	size = openpgp_signature_digest(s, context, digest);
	EVP_MD_CTX_free(context);
	return openpgp_signature_verify(s, by, digest, size, NULL);
}

/* A subkey that may sign must say itself that it belongs to the primary key, or anybody could adopt it (5.2.1, 0x19). */
static gboolean subkey_consents(const struct reading *r, const struct openpgp_signature *binding)
{
	autoptr(openpgp_signature) consent = NULL;

	if (binding->embedded == NULL)
		return FALSE;
	consent = openpgp_signature_parse(
	    g_bytes_get_data(binding->embedded, NULL), g_bytes_get_size(binding->embedded), NULL);
	return consent != NULL && consent->type == 0x19 && self_verifies(r, consent, r->subkey, r->subkey);
}

static const char *verdict(const struct reading *r, const struct openpgp_signature *s)
{
	gboolean is_subkey = r->subkey != NULL;

	if (s->created < (is_subkey ? r->subkey : r->primary)->created)
		return "its self-signature is older than the key";
	if ((s->has_flags || is_subkey) && (s->flags & FLAG_SIGN) == 0)
		return "its key flags do not allow signing data";
	if (is_subkey && !subkey_consents(r, s))
		return "the subkey does not itself say that it belongs to the key";
	return NULL;
}

static gboolean is_self_type(const struct reading *r, uint8_t type)
{
	if (r->subkey != NULL)
		return type == 0x18;
	return r->user_id.body != NULL && type >= 0x10 && type <= 0x13;
}

/* Others' signatures, and self-signatures that we cannot check, count for nothing. The newest good one counts. */
static void take_self_signature(struct reading *r, const struct pgp_packet *packet)
{
	struct openpgp_key *key = r->subkey != NULL ? r->subkey : r->primary;
	autoptr(openpgp_signature) s = openpgp_signature_parse(packet->body, packet->size, NULL);

	if (s == NULL || !is_self_type(r, s->type) || key->unusable == revoked || s->created < r->newest ||
	    !self_verifies(r, s, r->primary, r->subkey))
		return;
	r->newest = s->created;
	key->unusable = verdict(r, s);
	key->expires = s->key_expires != 0 ? key->created + s->key_expires : 0;
}

/*
 * A revocation counts without being checked: one that we cannot verify (an old hash) must not leave the key in
 * force, and whoever can write into the file of trusted keys could take the key out of it as well.
 */
static gboolean take_revocation(struct reading *r, const struct pgp_packet *packet)
{
	uint8_t type = packet->size >= 2 ? packet->body[1] : 0;

	if (type == 0x20)
		r->primary->unusable = revoked;
	else if (type == 0x28 && r->subkey != NULL)
		r->subkey->unusable = revoked;
	return type == 0x20 || type == 0x28;
}

static void begin_key(struct reading *r, const struct pgp_packet *packet)
{
	struct openpgp_key *key = key_parse(packet, NULL);

	if (packet->tag == PGP_PUBLIC_KEY)
		r->primary = key;
	r->subkey = packet->tag == PGP_PUBLIC_SUBKEY && r->primary != NULL ? key : NULL;
	r->user_id = (struct pgp_packet){ 0 };
	r->newest = 0;
	if (key == NULL || r->primary == NULL) {
		openpgp_key_free(key); /* of a kind that we do not read: what follows belongs to nothing */
		r->subkey = NULL;
		return;
	}
	memcpy(key->primary, r->primary->fingerprint, sizeof(key->primary));
	g_ptr_array_add(r->keys, key);
}

static void take_user_id(struct reading *r, const struct pgp_packet *packet)
{
	r->user_id = *packet;
	r->subkey = NULL;
	if (r->primary != NULL && r->primary->user_id == NULL)
		r->primary->user_id = text_escape((const char *)packet->body, packet->size, 200);
}

static gboolean take_packet(struct reading *r, struct cursor *c)
{
	struct pgp_packet packet;

	if (!pgp_packet_take(c, &packet))
		return FALSE;
	switch (packet.tag) {
	case PGP_PUBLIC_KEY:
	case PGP_PUBLIC_SUBKEY:
		begin_key(r, &packet);
		return TRUE;
	case PGP_USER_ID:
		take_user_id(r, &packet);
		return TRUE;
	case PGP_SIGNATURE:
		if (r->primary != NULL && !take_revocation(r, &packet))
			take_self_signature(r, &packet);
		return TRUE;
	case 5:
	case 7:
		return cursor_refuse(c, "packet tag", "%u is a secret key, which has no place here", packet.tag);
	case 12:
	case 17: /* trust, user attribute */
		r->user_id = (struct pgp_packet){ 0 };
		return TRUE;
	default:
		return cursor_refuse(c, "packet tag", "%u does not belong into public keys", packet.tag);
	}
}

/* A primary key that is revoked, unbound or at its end takes its subkeys with it. */
static void inherit_verdicts(GPtrArray *keys)
{
	const struct openpgp_key *primary = NULL;

	for (guint i = 0; i < keys->len; i++) {
		struct openpgp_key *key = g_ptr_array_index(keys, i);
		if (memcmp(key->primary, key->fingerprint, sizeof(key->primary)) == 0) {
			primary = key;
			continue;
		}
		if (primary->unusable == revoked || primary->unusable == unbound)
			key->unusable = primary->unusable;
		if (primary->expires != 0 && (key->expires == 0 || key->expires > primary->expires))
			key->expires = primary->expires;
	}
}

GPtrArray *openpgp_keys_read(GBytes *input, GError **error)
{
	g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(openpgp_key_free);
	g_autoptr(GBytes) binary = pgp_dearmor(input, "PUBLIC KEY BLOCK", error);
	struct reading r = { .keys = keys };
	struct cursor c;

	if (binary == NULL)
		return NULL;
	cursor_init(&c, g_bytes_get_data(binary, NULL), g_bytes_get_size(binary));
	while (cursor_left(&c) > 0)
		if (!take_packet(&r, &c)) {
			cursor_fail(&c, "OpenPGP keys", error);
			return NULL;
		}
	if (keys->len == 0) {
		error_refused(error, "OpenPGP keys: there is no version 4 key of RSA, ECDSA or EdDSA among them");
		return NULL;
	}
	inherit_verdicts(keys);
	return g_steal_pointer(&keys);
}
