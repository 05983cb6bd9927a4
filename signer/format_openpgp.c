/*
 * Detached OpenPGP signatures over any file (FILE.asc): version 4, type 00, made by the key whose transferable public
 * key stands in the parameters. RFC 4880, 5.2; The file's digest covers a part of the signature, so it is made from the same
 * parameters twice: for the key, and for writing.
 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "signer/format.h"
#include "signer/openpgp.h"

#define READ_SIZE (64 * 1024)
#define CLOCK_SKEW 600 /* seconds that another machine's clock may be ahead of ours */

static gboolean openpgp_supports(G_GNUC_UNUSED const char *type)
{
	return TRUE;
}

/* `content`, where it is not NULL, is fed with the same bytes. */
static gboolean hash_file(int fd, EVP_MD_CTX *context, EVP_MD_CTX *content, uint64_t *size, GError **error)
{
	g_autofree uint8_t *buffer = g_malloc(READ_SIZE);
	uint64_t at = 0;

	if (!fd_size(fd, size, error))
		return FALSE;
	while (at < *size) {
		size_t part = MIN(READ_SIZE, *size - at);
		if (!fd_pread_all(fd, buffer, part, at, error))
			return FALSE;
		EVP_DigestUpdate(context, buffer, part);
		if (content != NULL)
			EVP_DigestUpdate(content, buffer, part);
		at += part;
	}
	return TRUE;
}

/* The one key of the parameters that is to sign: a file with more than one would leave open which. */
static struct openpgp_key *signing_key(const struct format_parameters *p, GError **error)
{
	g_autoptr(GPtrArray) keys = NULL;
	struct openpgp_key *key;

	if (p->certificates == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "an OpenPGP signature needs the public key (.asc) that `tagseald key openpgp-export` made");
		return NULL;
	}
	if ((keys = openpgp_keys_read(p->certificates, error)) == NULL)
		return NULL;
	key = g_ptr_array_index(keys, 0);
	if (keys->len != 1) {
		error_refused(
		    error, "OpenPGP keys: %u keys stand in the file, where the one that signs is wanted", keys->len);
		return NULL;
	}
	if (key->unusable != NULL) {
		error_refused(error, "OpenPGP key: it may not sign: %s", key->unusable);
		return NULL;
	}
	return g_ptr_array_steal_index(keys, 0);
}

static gboolean is_valid_at(const struct openpgp_key *key, int64_t time, GError **error)
{
	if (time < key->created)
		error_refused(error, "OpenPGP key: the signature would be older than the key");
	else if (key->expires != 0 && time >= key->expires)
		error_refused(error, "OpenPGP key: it has expired at the time of the signature");
	else
		return TRUE;
	return FALSE;
}

/* gpg takes no ECDSA signature over a digest that is shorter than the curve. */
static uint8_t hash_number(const struct format_parameters *p, const struct openpgp_key *key, GError **error)
{
	const char *name = p->hash != NULL ? p->hash : "sha256", *least = key_hash_name(key->key);
	uint8_t number = pgp_hash_number(name);

	if (number >= pgp_hash_number(least))
		return number;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
	    "an OpenPGP signature by this key needs the hash %s or a longer one, not \"%s\"", least, name);
	return 0;
}

/* What the signature is made of, the same for the digest and for writing. */
struct plan {
	struct openpgp_key *key;
	uint8_t hash;
	GByteArray *hashed;
};

static void plan_free(struct plan *plan)
{
	openpgp_key_free(plan->key);
	g_clear_pointer(&plan->hashed, g_byte_array_unref);
	g_free(plan);
}
DEFINE_CLEANUP(plan, plan_free)

static struct plan *plan_new(const struct format_parameters *p, GError **error)
{
	autoptr(plan) plan = g_new0(struct plan, 1);
	int64_t time = p->time_ms / 1000;

	if ((plan->key = signing_key(p, error)) == NULL || !is_valid_at(plan->key, time, error) ||
	    (plan->hash = hash_number(p, plan->key, error)) == 0)
		return NULL;
	plan->hashed = openpgp_hashed_part(plan->key, 0, plan->hash, time);
	return g_steal_pointer(&plan);
}

static gboolean openpgp_digest(int fd, const struct format_parameters *p, struct format_digest *out, GError **error)
{
	autoptr(plan) plan = plan_new(p, error);
	uint32_t length;
	unsigned int size = 0;
	EVP_MD_CTX *context, *content;
	gboolean ok;

	if (plan == NULL)
		return FALSE;
	length = GUINT32_TO_BE(plan->hashed->len);
	context = EVP_MD_CTX_new();
	content = EVP_MD_CTX_new();
	ok = EVP_DigestInit_ex(context, pgp_hash(plan->hash), NULL) == 1 &&
	     EVP_DigestInit_ex(content, EVP_sha256(), NULL) == 1 &&
	     hash_file(fd, context, content, &out->file_size, error) &&
	     EVP_DigestFinal_ex(content, out->content, NULL) == 1 &&
	     EVP_DigestUpdate(context, plan->hashed->data, plan->hashed->len) == 1 &&
	     EVP_DigestUpdate(context, "\x04\xff", 2) == 1 && EVP_DigestUpdate(context, &length, sizeof(length)) == 1 &&
	     EVP_DigestFinal_ex(context, out->value, &size) == 1;
	EVP_MD_CTX_free(context);
	EVP_MD_CTX_free(content);
	out->size = size;
	out->hash = ok ? g_strdup(p->hash != NULL ? p->hash : "sha256") : NULL;
	out->was_signed = FALSE;
	return ok;
}

static GBytes *openpgp_to_be_signed(
    const struct format_digest *d, G_GNUC_UNUSED const struct format_parameters *p, G_GNUC_UNUSED GError **error)
{
	return g_bytes_new(d->value, d->size);
}

static gboolean openpgp_attach(G_GNUC_UNUSED int in, int out, const struct format_digest *d,
    const struct format_parameters *p, GBytes *signature, GBytes *token, GError **error)
{
	autoptr(plan) plan = plan_new(p, error);
	g_autoptr(GBytes) packet = NULL, armored = NULL;

	if (plan == NULL)
		return FALSE;
	if (token != NULL) {
		g_set_error(
		    error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "an OpenPGP signature has no place for a timestamp");
		return FALSE;
	}
	if ((packet = openpgp_signature_write(plan->key, plan->hashed, d->value, signature, error)) == NULL)
		return FALSE;
	armored = pgp_armor("SIGNATURE", g_bytes_get_data(packet, NULL), g_bytes_get_size(packet));
	return fd_write_all(out, g_bytes_get_data(armored, NULL), g_bytes_get_size(armored), error);
}

static const struct openpgp_key *key_of(GPtrArray *keys, const struct openpgp_signature *s)
{
	for (guint i = 0; i < keys->len; i++)
		if (openpgp_signature_names(s, g_ptr_array_index(keys, i)))
			return g_ptr_array_index(keys, i);
	return NULL;
}

/* What is wrong with a signature before its value is looked at, or NULL. */
static const char *rule_broken(const struct openpgp_signature *s, const struct openpgp_key *key)
{
	int64_t now = time_now_ms() / 1000;

	if (key->unusable != NULL)
		return key->unusable;
	if (s->created < key->created)
		return "the signature is older than the key";
	if (key->expires != 0 && s->created >= key->expires)
		return "the key had expired when it signed";
	if (s->created > now + CLOCK_SKEW)
		return "the signature is from the future";
	return NULL;
}

/* In milliseconds, when the signature or its key expires, whichever comes first; 0: never. */
static int64_t expiry(const struct openpgp_signature *s, const struct openpgp_key *key)
{
	int64_t own = s->expires != 0 ? s->created + s->expires : G_MAXINT64;
	int64_t first = MIN(own, key->expires != 0 ? key->expires : G_MAXINT64);

	return first != G_MAXINT64 ? first * 1000 : 0;
}

static char *digest_text(const struct openpgp_signature *s, const uint8_t *digest, size_t size)
{
	g_autofree char *hex = hex_encode(digest, size);

	return g_strdup_printf("sha%d:%s", EVP_MD_get_size(pgp_hash(s->hash)) * 8, hex);
}

static gboolean judge_value(int fd, const struct openpgp_signature *s, const struct openpgp_key *key,
    struct format_signature *out, GError **error)
{
	g_autoptr(GError) refusal = NULL;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	uint64_t file_size;
	size_t size = 0;

	if (EVP_DigestInit_ex(context, pgp_hash(s->hash), NULL) == 1 && hash_file(fd, context, NULL, &file_size, error))
		size = openpgp_signature_digest(s, context, digest);
	EVP_MD_CTX_free(context);
	if (size == 0)
		return FALSE;
	out->expires_ms = expiry(s, key);
	out->digest = digest_text(s, digest, size);
	out->digest_matches = memcmp(digest, s->left, sizeof(s->left)) == 0;
	out->intact = openpgp_signature_verify(s, key, digest, size, &refusal);
	if (!out->intact)
		out->why = g_strdup(refusal->message);
	return TRUE;
}

/* The signature as far as it can be told without its key. */
static struct format_signature *describe(const struct openpgp_signature *s)
{
	struct format_signature *out = g_new0(struct format_signature, 1);

	out->format = g_strdup("openpgp");
	out->cms = g_bytes_ref(s->packet);
	out->made_ms = s->created * 1000;
	if (s->has_fingerprint)
		out->key = openpgp_fingerprint_text(s->fingerprint);
	return out;
}

static gboolean judge(
    int fd, const struct openpgp_signature *s, GPtrArray *keys, struct format_signature *out, GError **error)
{
	const struct openpgp_key *key = key_of(keys, s);
	const char *broken;

	if (key == NULL) {
		out->why = g_strdup_printf("the signature's key %s is not among the keys given",
		    out->key != NULL ? out->key : "(not named by its fingerprint)");
		return TRUE;
	}
	g_free(out->key);
	out->key = openpgp_fingerprint_text(key->fingerprint);
	out->signature = openpgp_signature_value(s, key);
	if (!judge_value(fd, s, key, out, error))
		return FALSE;
	if (out->intact && (broken = rule_broken(s, key)) != NULL) {
		out->intact = FALSE;
		out->why = g_strdup_printf("OpenPGP signature: %s", broken);
	}
	return TRUE;
}

static void free_signature(void *signature)
{
	format_signature_free(signature);
}

static GPtrArray *openpgp_read(int fd, GBytes *detached, GBytes *keys, GError **error)
{
	g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(free_signature), known = NULL;
	autoptr(openpgp_signature) s = NULL;

	if (detached == NULL)
		return g_steal_pointer(&found);
	if ((s = openpgp_signature_read(detached, error)) == NULL)
		return NULL;
	if (keys == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "OpenPGP signature: no public keys were given to check it with (--openpgp-keys)");
		return NULL;
	}
	if ((known = openpgp_keys_read(keys, error)) == NULL)
		return NULL;
	g_ptr_array_add(found, describe(s));
	return judge(fd, s, known, g_ptr_array_index(found, 0), error) ? g_steal_pointer(&found) : NULL;
}

const struct format format_openpgp = {
	.name = "openpgp",
	.suffix = ".asc",
	.stamped = FALSE,
	.supports = openpgp_supports,
	.digest = openpgp_digest,
	.linear = TRUE,
	.prehashed = TRUE,
	.to_be_signed = openpgp_to_be_signed,
	.attach = openpgp_attach,
	.read = openpgp_read,
};
