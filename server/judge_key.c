#include <openssl/x509.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/judge.h"
#include "server/reply.h"

#define ANSWER_GRACE_MS 2000 /* sign's own watchdog ends it first, so that we learn of it by its greeting */

struct judge_keys {
	GHashTable *by_index; /* of the sign process -> the body of its MSG_KEYS_ARE */
};

static void body_free(void *body)
{
	json_unref(body);
}

struct judge_keys *judge_keys_new(void)
{
	struct judge_keys *keys = g_new0(struct judge_keys, 1);

	keys->by_index = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, body_free);
	return keys;
}

void judge_keys_free(struct judge_keys *keys)
{
	g_hash_table_unref(keys->by_index);
	g_free(keys);
}

void judge_keys_forget(struct judge_keys *keys, guint index)
{
	g_hash_table_remove(keys->by_index, GUINT_TO_POINTER(index));
}

/* What a sign process said of its token, or says now. */
static const struct json *ask_keys(struct role_context *role, struct judge_keys *keys, struct peer *sign, GError **error)
{
	struct json *body = g_hash_table_lookup(keys->by_index, GUINT_TO_POINTER(sign->index));
	autoptr(message) request = NULL;
	autoptr(message) answer = NULL;

	if (body != NULL)
		return body;
	request = message_new(MSG_KEYS, 0);
	answer = role_call(role, sign, request, MSG_KEYS_ARE, role->config->sign_deadline + ANSWER_GRACE_MS, error);
	if (answer == NULL || !message_outcome(answer, error) ||
	    json_require(answer->body, "token", JSON_OBJECT, "keys-are", error) == NULL ||
	    json_require(answer->body, "keys", JSON_ARRAY, "keys-are", error) == NULL)
		return NULL;
	body = json_ref(answer->body);
	g_hash_table_insert(keys->by_index, GUINT_TO_POINTER(sign->index), body);
	return body;
}

static const struct json *key_labelled(const struct json *body, const char *label)
{
	const struct json *keys = json_get(body, "keys");

	for (guint i = 0; i < json_length(keys); i++)
		if (g_strcmp0(json_string(json_at(keys, i), "label"), label) == 0)
			return json_at(keys, i);
	return NULL;
}

/* The sign process whose token holds the key: exactly one, since a key belongs to one journal. A token that is away might be the one. */
static struct peer *find_sign(struct role_context *role, struct judge_keys *keys, const char *label,
    const struct json **token, const struct json **key, GError **error)
{
	g_autoptr(GError) away = NULL;
	struct peer *found = NULL;

	for (guint i = 0; i < role->peer_count; i++) {
		g_autoptr(GError) why = NULL;
		struct peer *sign = &role->peers[i];
		const struct json *body = sign->role == ROLE_SIGN ? ask_keys(role, keys, sign, &why) : NULL;
		const struct json *here = key_labelled(body, label);

		if (why != NULL && away == NULL)
			away = g_steal_pointer(&why);
		if (here != NULL && found != NULL) {
			error_refused(error, "two tokens hold a key \"%s\": labels must be unique", label);
			return NULL;
		}
		if (here != NULL) {
			found = sign;
			*key = here;
			*token = json_get(body, "token");
		}
	}
	if (found == NULL && away != NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "no token at hand has the key \"%s\": %s",
		    label, away->message);
	else if (found == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "no token has a key with the label \"%s\": make it with `tagseald key generate`", label);
	return found;
}

/* `modules` names the models that may hold a key. A software token must be named: a pattern that matches everything does not name it. */
static gboolean check_module(const struct policy_key *key, const struct json *token, GError **error)
{
	const char *model = json_string(token, "model");
	gboolean software = json_boolean(token, "software", TRUE);
	gboolean named = FALSE, any = key->modules == NULL || key->modules[0] == NULL;

	for (char **pattern = key->modules; !any && model != NULL && *pattern != NULL && !named; pattern++)
		named = glob_match(*pattern, model, FALSE, FALSE) && (!software || strchr("*?[", (*pattern)[0]) == NULL);
	if (named || (any && !software))
		return TRUE;
	error_refused(error, "the key \"%s\" is on a token of the model \"%s\"%s, which its \"modules\" (%s) do not name",
	    key->name, model != NULL ? model : "?", software ? " (software)" : "", key->file);
	return FALSE;
}

static gboolean check_held(const struct policy_key *key, const struct json *token, const struct json *held, GError **error)
{
	const char *weakness = json_string(held, "weakness");
	int64_t last = json_integer(held, "last_use", 0);

	if (!check_module(key, token, error))
		return FALSE;
	if (weakness != NULL && g_str_equal(key->purpose, "release"))
		error_refused(error, "the key \"%s\" may not sign releases: %s", key->name, weakness);
	else if (key->budget_signatures > 0 && last >= key->budget_signatures)
		error_refused(error, "the key \"%s\" has been used %" G_GINT64_FORMAT " times, its whole budget (%s)",
		    key->name, last, key->file);
	else
		return TRUE;
	return FALSE;
}

static const EVP_MD *md_of(const char *hash)
{
	return g_str_equal(hash, "sha384") ? EVP_sha384() : g_str_equal(hash, "sha512") ? EVP_sha512() : EVP_sha256();
}

static gboolean verify_digest(EVP_PKEY *key, const EVP_MD *md, GBytes *digest, GBytes *signature)
{
	gsize digest_size, size;
	const unsigned char *d = g_bytes_get_data(digest, &digest_size), *s = g_bytes_get_data(signature, &size);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	gboolean good = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, md) == 1 &&
			EVP_PKEY_verify(ctx, s, size, d, digest_size) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

static gboolean verify_data(EVP_PKEY *key, const EVP_MD *md, GBytes *data, GBytes *signature)
{
	gsize data_size, size;
	const unsigned char *d = g_bytes_get_data(data, &data_size), *s = g_bytes_get_data(signature, &size);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	gboolean good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1 &&
			EVP_DigestVerify(ctx, s, size, d, data_size) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

static gboolean ask_use(struct role_context *role, struct peer *sign, const struct judge_request *r, const char *label,
    EVP_PKEY *public_key, GBytes *to_be_signed, struct judge_use *use, GError **error)
{
	autoptr(message) request = message_new(MSG_USE, 0);
	autoptr(message) answer = NULL;
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(public_key, &der);
	g_autoptr(GBytes) encoded = size > 0 ? g_bytes_new(der, (gsize)size) : g_bytes_new(NULL, 0);

	OPENSSL_free(der);
	json_set_string(request->body, "record", r->id);
	json_set_string(request->body, "key", label);
	json_set_string(request->body, "hash", r->hash);
	json_set_boolean(request->body, "prehashed", r->format->prehashed);
	body_set_bytes(request, "data", to_be_signed);
	body_set_bytes(request, "public_key", encoded);
	answer = role_call(role, sign, request, MSG_USED, role->config->sign_deadline + ANSWER_GRACE_MS, error);
	if (answer == NULL)
		return FALSE;
	use->number = json_integer(answer->body, "number", 0);
	return message_outcome(answer, error) && (use->signature = body_bytes(answer, "signature", error)) != NULL;
}

static const char *token_name(const struct role_context *role, const struct peer *sign)
{
	return sign->index < role->config->token_count ? role->config->tokens[sign->index].name : "?";
}

gboolean judge_use_key(struct role_context *role, struct judge_keys *keys, const struct judge_request *r,
    const struct judge_decision *d, EVP_PKEY *public_key, GBytes *to_be_signed, struct judge_use *use, GError **error)
{
	const struct json *token = NULL, *held = NULL;
	struct peer *sign = find_sign(role, keys, d->key->label, &token, &held, error);
	guint index;

	if (sign == NULL || !check_held(d->key, token, held, error))
		return FALSE;
	index = sign->index;
	use->token = token_name(role, sign);
	use->digest = sha256_text_bytes(to_be_signed);
	/* Its last number rises, whatever comes of the use: what is kept of the key's budget must not lag behind. */
	judge_keys_forget(keys, index);
	if (!ask_use(role, sign, r, d->key->label, public_key, to_be_signed, use, error))
		return FALSE;
	if (r->format->prehashed ? verify_digest(public_key, md_of(r->hash), to_be_signed, use->signature)
				 : verify_data(public_key, md_of(r->hash), to_be_signed, use->signature))
		return TRUE;
	g_clear_pointer(&use->signature, g_bytes_unref);
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED,
	    "the signature that the token \"%s\" made does not verify with the certificate's key: it is thrown away",
	    use->token);
	return FALSE;
}

struct json *judge_uses(
    struct role_context *role, struct judge_keys *keys, const char *label, const char *record, GError **error)
{
	const struct json *token = NULL, *held = NULL;
	struct peer *sign = find_sign(role, keys, label, &token, &held, error);
	autoptr(message) request = message_new(MSG_USES, 0);
	autoptr(message) answer = NULL;
	struct json *uses;

	if (sign == NULL)
		return NULL;
	json_set_string(request->body, "record", record);
	json_set_string(request->body, "key", label);
	answer = role_call(role, sign, request, MSG_USES_ARE, role->config->sign_deadline + ANSWER_GRACE_MS, error);
	if (answer == NULL || !message_outcome(answer, error) ||
	    json_require(answer->body, "uses", JSON_ARRAY, "uses-are", error) == NULL)
		return NULL;
	uses = json_copy(json_get(answer->body, "uses"));
	for (guint i = 0; i < json_length(uses); i++)
		json_set_string(json_at(uses, i), "token", token_name(role, sign));
	return uses;
}
