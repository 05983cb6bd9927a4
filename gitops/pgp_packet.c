#include <openssl/sha.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/pgp.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_MD_CTX, EVP_MD_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY_CTX, EVP_PKEY_CTX_free)

#define RSA_BITS_MIN 2048
#define MPI_MAX 2048 /* bytes: RSA of 16384 bits */

/* --- packets --- */

/* RFC 4880 4.2.2 and 5.2.3.1 share this form. */
static gboolean take_length(struct cursor *c, size_t *length, const char *field)
{
	uint8_t first, second;
	uint32_t wide;

	if (!cursor_u8(c, &first, field))
		return FALSE;
	if (first < 192) {
		*length = first;
		return TRUE;
	}
	if (first < 224) {
		if (!cursor_u8(c, &second, field))
			return FALSE;
		*length = ((size_t)(first - 192) << 8) + second + 192;
		return TRUE;
	}
	if (first != 255)
		return cursor_refuse(c, field, "a length in parts");
	if (!cursor_be32(c, &wide, field))
		return FALSE;
	*length = wide;
	return TRUE;
}

/* Headers of the old form.   RFC 4880 4.2.1 */
static gboolean take_old_length(struct cursor *c, uint8_t kind, size_t *length)
{
	uint8_t one;
	uint16_t two;
	uint32_t four;

	if (kind == 0 && cursor_u8(c, &one, "packet"))
		*length = one;
	else if (kind == 1 && cursor_be16(c, &two, "packet"))
		*length = two;
	else if (kind == 2 && cursor_be32(c, &four, "packet"))
		*length = four;
	else
		return cursor_refuse(c, "packet", "it has no length");
	return TRUE;
}

gboolean pgp_take_packet(struct cursor *c, uint8_t *tag, struct span *body)
{
	uint8_t header;

	if (!cursor_u8(c, &header, "packet"))
		return FALSE;
	if ((header & 0x80) == 0)
		return cursor_refuse(c, "packet", "not an OpenPGP packet");
	*tag = (header & 0x40) != 0 ? header & 0x3f : header >> 2 & 0x0f;
	return ((header & 0x40) != 0 ? take_length(c, &body->size, "packet")
				     : take_old_length(c, header & 3, &body->size)) &&
	       cursor_bytes(c, &body->data, body->size, "packet");
}

static gboolean take_mpi(struct cursor *c, struct span *out)
{
	uint16_t bits;

	if (!cursor_be16(c, &bits, "number"))
		return FALSE;
	out->size = (bits + 7) / 8;
	if (out->size == 0 || out->size > MPI_MAX)
		return cursor_refuse(c, "number", "it has %u bits", bits);
	return cursor_bytes(c, &out->data, out->size, "number");
}

/* --- keys --- */

static const struct curve {
	uint8_t oid_size, oid[10];
	const char *group; /* OpenSSL's name; NULL: Ed25519 */
} curves[] = {
	{ 9, { 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1 }, NULL },
	{ 8, { 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7 }, "P-256" },
	{ 5, { 0x2b, 0x81, 4, 0, 0x22 }, "P-384" },
	{ 5, { 0x2b, 0x81, 4, 0, 0x23 }, "P-521" },
	{ 9, { 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7 }, "brainpoolP256r1" },
	{ 9, { 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11 }, "brainpoolP384r1" },
	{ 9, { 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 13 }, "brainpoolP512r1" },
};

enum { ALG_RSA = 1, ALG_RSA_SIGN = 3, ALG_ECDSA = 19, ALG_EDDSA = 22 };

static EVP_PKEY *curve_key(struct cursor *c, uint8_t algorithm)
{
	const uint8_t *oid;
	uint8_t size;
	struct span point;

	if (!cursor_u8(c, &size, "curve") || !cursor_bytes(c, &oid, size, "curve") || !take_mpi(c, &point))
		return NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(curves); i++) {
		const struct curve *curve = &curves[i];
		if (size != curve->oid_size || memcmp(oid, curve->oid, size) != 0 ||
		    (curve->group == NULL) != (algorithm == ALG_EDDSA))
			continue;
		if (curve->group != NULL)
			return pkey_ec(curve->group, point);
		return point.data[0] == 0x40 ? pkey_ed25519((struct span){ point.data + 1, point.size - 1 }) : NULL;
	}
	return NULL;
}

static EVP_PKEY *pkey_take(struct cursor *c, uint8_t algorithm)
{
	struct span n, e;

	if (algorithm == ALG_RSA || algorithm == ALG_RSA_SIGN)
		return take_mpi(c, &n) && take_mpi(c, &e) ? pkey_rsa(n, e) : NULL;
	return algorithm == ALG_ECDSA || algorithm == ALG_EDDSA ? curve_key(c, algorithm) : NULL;
}

/* RFC 4880 12.2 */
static void fingerprint_fill(struct pgp_key *key)
{
	g_autoptr(EVP_MD_CTX) context = EVP_MD_CTX_new();
	uint8_t prefix[3] = { 0x99, key->body.size >> 8, key->body.size & 0xff }, digest[SHA_DIGEST_LENGTH];

	EVP_DigestInit_ex(context, EVP_sha1(), NULL);
	EVP_DigestUpdate(context, prefix, sizeof(prefix));
	EVP_DigestUpdate(context, key->body.data, key->body.size);
	EVP_DigestFinal_ex(context, digest, NULL);
	for (size_t i = 0; i < sizeof(digest); i++)
		g_snprintf(key->fingerprint + 2 * i, 3, "%02X", digest[i]);
}

void pgp_key_read(struct span body, struct pgp_key *key)
{
	struct cursor c;
	uint8_t version;
	uint32_t created;

	*key = (struct pgp_key){ .body = body };
	cursor_init(&c, body.data, body.size);
	if (body.size > G_MAXUINT16 || !cursor_u8(&c, &version, "version") || version != 4 ||
	    !cursor_be32(&c, &created, "creation time") || !cursor_u8(&c, &key->algorithm, "algorithm"))
		return;
	key->created = created;
	key->pkey = pkey_take(&c, key->algorithm);
	if (key->pkey != NULL && cursor_left(&c) != 0)
		g_clear_pointer(&key->pkey, EVP_PKEY_free);
	fingerprint_fill(key);
}

gboolean pgp_key_is_strong(const struct pgp_key *key, GError **error)
{
	gboolean rsa = key->algorithm == ALG_RSA || key->algorithm == ALG_RSA_SIGN;

	if (key->pkey != NULL && rsa && EVP_PKEY_get_bits(key->pkey) < RSA_BITS_MIN)
		error_refused(error, "RSA of %d bits is refused; make a key of at least %d",
		    EVP_PKEY_get_bits(key->pkey), RSA_BITS_MIN);
	else if (key->pkey == NULL && !rsa && key->algorithm != ALG_ECDSA && key->algorithm != ALG_EDDSA)
		error_refused(error,
		    "keys of algorithm %u%s are refused; take Ed25519, a NIST or Brainpool curve, or RSA",
		    key->algorithm, key->algorithm == 17 ? " (DSA)" : "");
	else if (key->pkey == NULL)
		error_refused(error,
		    "%s on this curve or of this size is refused; take Ed25519, a NIST or Brainpool curve, or RSA",
		    key->algorithm == ALG_ECDSA ? "ECDSA"
		    : rsa                       ? "RSA"
						: "EdDSA");
	else
		return TRUE;
	return FALSE;
}

/* --- signatures --- */

enum {
	CREATED = 2,
	EXPIRES = 3,
	KEY_EXPIRES = 9,
	REVOKER = 12,
	ISSUER = 16,
	FLAGS = 27,
	REASON = 29,
	EMBEDDED = 32,
	FINGERPRINT = 33,
	CRITICAL = 0x80,
};

/* Of what a certificate's signatures may say without any bearing on the question at hand: preferences, notations, and the like. */
static gboolean is_harmless(uint8_t type)
{
	static const uint8_t types[] = { 4, 7, 11, 21, 22, 23, 24, 25, 26, 28, 30, 34 };

	return memchr(types, type, sizeof(types)) != NULL;
}

static gboolean take_once(struct cursor *c, int64_t *time)
{
	uint32_t value;

	if (*time != 0 || !cursor_be32(c, &value, "time") || cursor_left(c) != 0)
		return FALSE;
	*time = value;
	return TRUE;
}

/* The first byte; what follows is not for us. */
static gboolean take_first(struct cursor *c, int *out)
{
	uint8_t value;

	if (*out >= 0 || !cursor_u8(c, &value, "first byte"))
		return FALSE;
	*out = value;
	return TRUE;
}

static void take_issuer(struct cursor *c, gboolean whole, struct pgp_signature *sig)
{
	size_t size = whole ? 20 : 8;
	const uint8_t *data;
	uint8_t version = 4;

	if (strlen(sig->issuer) >= 2 * size || (whole && !cursor_u8(c, &version, "issuer")) || version != 4 ||
	    cursor_left(c) != size || !cursor_bytes(c, &data, size, "issuer"))
		return;
	for (size_t i = 0; i < size; i++)
		g_snprintf(sig->issuer + 2 * i, 3, "%02X", data[i]);
}

/* What may stand in both areas. */
static gboolean take_hint(uint8_t type, struct cursor *c, struct pgp_signature *sig)
{
	if (type == EMBEDDED && sig->embedded.data == NULL)
		sig->embedded = (struct span){ c->data + c->at, cursor_left(c) };
	else if (type == ISSUER || type == FINGERPRINT)
		take_issuer(c, type == FINGERPRINT, sig);
	else
		return type == EMBEDDED;
	return TRUE;
}

/* FALSE: the signature is not to be relied upon. */
static gboolean take_signed(uint8_t type, struct cursor *c, struct pgp_signature *sig)
{
	switch (type & ~CRITICAL) {
	case CREATED:
		return take_once(c, &sig->created);
	case EXPIRES:
		return take_once(c, &sig->expires);
	case KEY_EXPIRES:
		return take_once(c, &sig->key_expires);
	case FLAGS:
		return take_first(c, &sig->flags);
	case REASON:
		return take_first(c, &sig->reason);
	case REVOKER:
		return sig->names_revoker = TRUE;
	default:
		return take_hint(type & ~CRITICAL, c, sig) || is_harmless(type & ~CRITICAL) || (type & CRITICAL) == 0;
	}
}

gboolean pgp_take_subpacket(struct cursor *area, uint8_t *type, struct cursor *sub)
{
	const uint8_t *data;
	size_t length;

	if (!take_length(area, &length, "subpacket") || !cursor_bytes(area, &data, length, "subpacket"))
		return FALSE;
	cursor_init(sub, data, length);
	return cursor_u8(sub, type, "subpacket") || cursor_refuse(area, sub->field, "%s", sub->reason);
}

static gboolean take_area(struct cursor *c, gboolean is_signed, struct pgp_signature *sig)
{
	const uint8_t *data;
	uint16_t size;
	struct cursor area;

	if (!cursor_be16(c, &size, "subpackets") || !cursor_bytes(c, &data, size, "subpackets"))
		return FALSE;
	cursor_init(&area, data, size);
	while (cursor_left(&area) > 0) {
		struct cursor sub;
		uint8_t type;

		if (!pgp_take_subpacket(&area, &type, &sub))
			return FALSE;
		if (!is_signed)
			take_hint(type & ~CRITICAL, &sub, sig);
		else if (!take_signed(type, &sub, sig))
			sig->strange = TRUE;
	}
	return TRUE;
}

gboolean pgp_signature_read(struct span body, struct pgp_signature *sig)
{
	struct cursor c;
	uint8_t version;

	*sig = (struct pgp_signature){ .flags = -1, .reason = -1 };
	cursor_init(&c, body.data, body.size);
	if (!cursor_u8(&c, &version, "version") || version != 4 || !cursor_u8(&c, &sig->type, "type") ||
	    !cursor_u8(&c, &sig->algorithm, "algorithm") || !cursor_u8(&c, &sig->hash, "hash") ||
	    !take_area(&c, TRUE, sig))
		return FALSE;
	sig->head = (struct span){ body.data, c.at };
	if (!take_area(&c, FALSE, sig))
		return FALSE;
	sig->tail = (struct span){ body.data + c.at, cursor_left(&c) };
	sig->strange = sig->strange || sig->created == 0;
	return TRUE;
}

static const EVP_MD *digest_of(uint8_t hash)
{
	switch (hash) {
	case 1:
		return EVP_md5();
	case 2:
		return EVP_sha1();
	case 3:
		return EVP_ripemd160();
	case 8:
		return EVP_sha256();
	case 9:
		return EVP_sha384();
	case 10:
		return EVP_sha512();
	case 11:
		return EVP_sha224();
	case 12:
		return EVP_sha3_256();
	case 14:
		return EVP_sha3_512();
	default:
		return NULL;
	}
}

/* RFC 4880 5.2.4 */
static gboolean digest_fill(const struct pgp_signature *sig, const struct span *parts, size_t count, const EVP_MD *md,
    uint8_t digest[static EVP_MAX_MD_SIZE], unsigned int *size)
{
	g_autoptr(EVP_MD_CTX) context = EVP_MD_CTX_new();
	guint32 length = GUINT32_TO_BE(sig->head.size);
	gboolean ok = EVP_DigestInit_ex(context, md, NULL) == 1;

	for (size_t i = 0; i < count; i++)
		ok = ok && EVP_DigestUpdate(context, parts[i].data, parts[i].size) == 1;
	return ok && EVP_DigestUpdate(context, sig->head.data, sig->head.size) == 1 &&
	       EVP_DigestUpdate(context, "\x04\xff", 2) == 1 && EVP_DigestUpdate(context, &length, 4) == 1 &&
	       EVP_DigestFinal_ex(context, digest, size) == 1;
}

/* EdDSA's two numbers side by side, each of 32 bytes. */
static GBytes *eddsa_signature(struct span r, struct span s)
{
	guint8 *both;

	if (r.size > 32 || s.size > 32)
		return NULL;
	both = g_malloc0(64);
	memcpy(both + 32 - r.size, r.data, r.size);
	memcpy(both + 64 - s.size, s.data, s.size);
	return g_bytes_new_take(both, 64);
}

static GBytes *numbers_take(const struct pgp_signature *sig, const struct pgp_key *key)
{
	struct cursor c;
	struct span r, s = { 0 };
	gboolean rsa = sig->algorithm == ALG_RSA || sig->algorithm == ALG_RSA_SIGN;

	cursor_init(&c, sig->tail.data + 2, sig->tail.size - 2);
	if (!take_mpi(&c, &r) || (!rsa && !take_mpi(&c, &s)) || cursor_left(&c) != 0)
		return NULL;
	if (rsa)
		return pkey_rsa_signature(key->pkey, r);
	return sig->algorithm == ALG_ECDSA ? pkey_ecdsa_signature(r, s) : eddsa_signature(r, s);
}

static gboolean digest_fits(
    const struct pgp_key *key, const EVP_MD *md, GBytes *numbers, const uint8_t *digest, size_t size)
{
	const uint8_t *data = g_bytes_get_data(numbers, NULL);
	g_autoptr(EVP_PKEY_CTX) context = NULL;
	g_autoptr(EVP_MD_CTX) whole = NULL;

	if (key->algorithm == ALG_EDDSA) { /* which signs the digest as a message */
		whole = EVP_MD_CTX_new();
		return EVP_DigestVerifyInit(whole, NULL, NULL, NULL, key->pkey) == 1 &&
		       EVP_DigestVerify(whole, data, g_bytes_get_size(numbers), digest, size) == 1;
	}
	context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	return EVP_PKEY_verify_init(context) == 1 && EVP_PKEY_CTX_set_signature_md(context, md) == 1 &&
	       EVP_PKEY_verify(context, data, g_bytes_get_size(numbers), digest, size) == 1;
}

gboolean pgp_signature_fits(
    const struct pgp_signature *sig, const struct pgp_key *key, const struct span *parts, size_t count)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;
	const EVP_MD *md = digest_of(sig->hash);
	g_autoptr(GBytes) numbers = NULL;

	if (md == NULL || key->pkey == NULL ||
	    sig->algorithm != (key->algorithm == ALG_RSA_SIGN ? ALG_RSA : key->algorithm) || sig->tail.size < 2 ||
	    !digest_fill(sig, parts, count, md, digest, &size) || memcmp(digest, sig->tail.data, 2) != 0)
		return FALSE;
	numbers = numbers_take(sig, key);
	return numbers != NULL && digest_fits(key, md, numbers, digest, size);
}
