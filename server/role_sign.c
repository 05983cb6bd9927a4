/*
 * sign: the only process that can reach a key. It decides nothing: judge says which key and which bytes; here the use is counted in the key's journal,
 * durably, and only then the key is used. The ledger's own key signs commits, on a channel of its own, and nothing else.
 *
 * Recovery from anything the token does wrong is to end: the supervisor starts the process again. But a wrong PIN is never tried twice, since tokens lock
 * themselves for ever: the file STATE/journal/TOKEN.locked remembers across restarts which version of the PIN file was refused.
 */
#include <errno.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/object.h"
#include "server/deadline.h"
#include "server/journal.h"
#include "server/names.h"
#include "server/reply.h"
#include "signer/hsm.h"
#include "signer/sshsig.h"

#define AWAY_MS 5000 /* how long questions are answered with "unavailable" before opening is tried again */
#define HANGS "sign: the token does not answer: ending, to be started again"

struct sign {
	const struct config *config;
	const struct config_token *token;
	char *folder;
	struct hsm *hsm;
	GError *away; /* why there is no hsm */
	char *refused_pin; /* which version of the PIN file was refused; NULL: none */
	GHashTable *journals; /* label -> struct journal */
};

/* Which version of the PIN file: when it was written. Empty if it cannot be looked at. */
static char *pin_version(const struct config_token *token)
{
	struct stat st;

	if (stat(token->pin_file, &st) != 0)
		return g_strdup("");
	return g_strdup_printf("%lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static char *locked_path(const struct sign *sign)
{
	g_autofree char *name = name_escape(sign->token->name, TRUE);

	return g_strdup_printf("%s/%s.locked", sign->folder, name);
}

static void refuse_pin(struct sign *sign)
{
	g_clear_error(&sign->away);
	g_set_error(&sign->away, TAGSEAL_ERROR,
	    TAGSEAL_ERROR_UNAVAILABLE, "the token \"%s\" refused the PIN in %s, and it is not tried again, since tokens lock themselves: put the right one there",
	    sign->token->name, sign->token->pin_file);
}

/* FALSE: this version of the PIN was refused already. */
static gboolean pin_may_be_tried(struct sign *sign, const char *version)
{
	g_autofree char *path = locked_path(sign);
	g_autoptr(GBytes) refused = file_read(path, 64, NULL);
	gsize size = 0;
	const char *text = refused != NULL ? g_bytes_get_data(refused, &size) : NULL;

	if (text == NULL || strlen(version) != size || memcmp(text, version, size) != 0)
		return TRUE;
	sign->refused_pin = g_strdup(version);
	refuse_pin(sign);
	return FALSE;
}

static void remember_refusal(struct sign *sign, const char *version)
{
	g_autofree char *path = locked_path(sign);
	g_autoptr(GError) error = NULL;

	if (!file_write(path, version, strlen(version), 0600, &error))
		log_event("err", "token=\"%s\" %s", sign->token->name, error->message);
	sign->refused_pin = g_strdup(version);
	refuse_pin(sign);
}

static void open_token(struct sign *sign)
{
	g_autofree char *version = pin_version(sign->token);

	if (!pin_may_be_tried(sign, version))
		return;
	deadline_begin(sign->config->sign_deadline, HANGS);
	sign->hsm = hsm_open(sign->token->module, sign->token->label, sign->token->pin_file, &sign->away);
	deadline_end();
	if (g_error_matches(sign->away, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED))
		remember_refusal(sign, version);
}

static struct journal *journal_of(struct sign *sign, const char *key, GError **error)
{
	struct journal *journal = g_hash_table_lookup(sign->journals, key);
	gboolean cut;

	if (journal != NULL)
		return journal;
	journal = journal_open(sign->folder, sign->token->name, key, &cut, error);
	if (journal == NULL)
		return NULL;
	if (cut)
		log_event("warning",
		    "key=\"%s\" an unfinished last line of its journal was cut off: the key was not used for it", key);
	g_hash_table_insert(sign->journals, g_strdup(key), journal);
	return journal;
}

/* The token, or why it is not there. A PIN file that was written anew is worth another start. */
static struct hsm *token_of(struct sign *sign, GError **error)
{
	g_autofree char *version = sign->refused_pin != NULL ? pin_version(sign->token) : NULL;

	if (sign->hsm != NULL)
		return sign->hsm;
	if (version != NULL && version[0] != '\0' && !g_str_equal(version, sign->refused_pin)) {
		log_event("notice", "token=\"%s\" its PIN file was written anew: starting again", sign->token->name);
		exit(EXIT_FAILURE); /* the question in hand goes with us, and is asked again */
	}
	g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, sign->away->message);
	return NULL;
}

static gboolean is_ledger_key(const struct sign *sign, const char *label)
{
	return g_strcmp0(sign->config->ledger_token, sign->token->name) == 0 &&
	       g_strcmp0(sign->config->ledger_key, label) == 0;
}

/* The watchdog over the token's calls; while the token is away the timer that ends us runs already. */
static void watch_begin(const struct sign *sign)
{
	if (sign->hsm != NULL)
		deadline_begin(sign->config->sign_deadline, HANGS);
}

static void watch_end(const struct sign *sign)
{
	if (sign->hsm != NULL)
		deadline_end();
}

static struct json *describe_token(const struct hsm_token_info *info)
{
	struct json *token = json_object_new();

	json_set_string(token, "label", info->label);
	json_set_string(token, "manufacturer", info->manufacturer);
	json_set_string(token, "model", info->model);
	json_set_string(token, "serial", info->serial);
	json_set_string(token, "firmware", info->firmware);
	json_set_boolean(token, "software", info->software);
	return token;
}

/* The keys that may be used for releases, each with its last number. */
static struct json *describe_keys(struct sign *sign, GError **error)
{
	g_autoptr(GPtrArray) infos = hsm_keys(sign->hsm, error);
	autoptr(json) keys = json_array_new();

	for (guint i = 0; infos != NULL && i < infos->len; i++) {
		const struct hsm_key_info *info = infos->pdata[i];
		struct journal *journal;
		struct json *key;

		if (!info->is_private || info->label == NULL || is_ledger_key(sign, info->label))
			continue;
		if ((journal = journal_of(sign, info->label, error)) == NULL)
			return NULL;
		key = json_object_new();
		json_set_string(key, "label", info->label);
		json_set_string(key, "kind", info->kind);
		json_set_string(key, "weakness", hsm_key_weakness(info));
		json_set_integer(key, "last_use", journal_last(journal));
		json_append(keys, key);
	}
	return infos != NULL ? g_steal_pointer(&keys) : NULL;
}

static void answer_keys(struct role_context *role, struct peer *from, struct message *m)
{
	struct sign *sign = role->data;
	g_autoptr(GError) error = NULL;
	autoptr(message) answer = NULL;
	autoptr(json) keys = NULL;

	watch_begin(sign);
	if (token_of(sign, &error) != NULL)
		keys = describe_keys(sign, &error);
	watch_end(sign);
	answer = message_answer(m, MSG_KEYS_ARE, error);
	if (keys != NULL) {
		json_set(answer->body, "token", describe_token(hsm_info(sign->hsm)));
		json_set(answer->body, "keys", g_steal_pointer(&keys));
	}
	role_answer(role, from, answer);
}

struct use {
	const char *record, *key;
	const EVP_MD *md;
	gboolean prehashed;
	GBytes *data, *public_key;
};

static void use_clear(struct use *use)
{
	g_clear_pointer(&use->data, g_bytes_unref);
	g_clear_pointer(&use->public_key, g_bytes_unref);
}

static const EVP_MD *hash_named(const char *name)
{
	if (g_str_equal(name, "sha256"))
		return EVP_sha256();
	if (g_str_equal(name, "sha384"))
		return EVP_sha384();
	return g_str_equal(name, "sha512") ? EVP_sha512() : NULL;
}

static gboolean use_read(const struct message *m, struct use *use, GError **error)
{
	const char *hash;

	if ((use->record = body_string(m, "record", error)) == NULL || (use->key = body_string(m, "key", error)) == NULL ||
	    (hash = body_string(m, "hash", error)) == NULL || (use->data = body_bytes(m, "data", error)) == NULL ||
	    (use->public_key = body_bytes(m, "public_key", error)) == NULL)
		return FALSE;
	use->md = hash_named(hash);
	use->prehashed = json_boolean(m->body, "prehashed", FALSE);
	if (!is_ulid(use->record) || use->md == NULL) {
		error_refused(
		    error, "use: the record is not named by a ULID, or the hash is none of sha256, sha384, sha512");
		return FALSE;
	}
	if (use->prehashed && g_bytes_get_size(use->data) != (gsize)EVP_MD_get_size(use->md)) {
		error_refused(error, "use: a digest of %zu bytes is no %s", g_bytes_get_size(use->data), hash);
		return FALSE;
	}
	return TRUE;
}

/* The certificate that the signature will be checked with must be of this very key: else the use would be for nothing. */
static gboolean check_public_key(struct sign *sign, const struct use *use, GError **error)
{
	gsize size;
	const unsigned char *der = g_bytes_get_data(use->public_key, &size), *end = der;
	EVP_PKEY *ours = hsm_public_key(sign->hsm, use->key, error), *theirs;
	gboolean same;

	if (ours == NULL)
		return FALSE;
	theirs = d2i_PUBKEY(NULL, &end, (long)size);
	same = theirs != NULL && end == der + size && EVP_PKEY_eq(ours, theirs) == 1;
	EVP_PKEY_free(theirs);
	if (!same)
		error_refused(error,
		    "the certificate of the key \"%s\" is not of the key that the token \"%s\" holds under that label",
		    use->key, sign->token->name);
	return same;
}

/* Counts, then signs. *number is set as soon as the use is counted, also when signing fails after that. */
static GBytes *use_key(struct sign *sign, const struct use *use, int64_t *number, GError **error)
{
	gsize size;
	const void *data = g_bytes_get_data(use->data, &size);
	g_autofree char *digest = sha256_text(data, size);
	struct journal *journal;

	if (is_ledger_key(sign, use->key)) {
		error_refused(error, "the key \"%s\" is the ledger's own: it signs commits and nothing else", use->key);
		return NULL;
	}
	if (token_of(sign, error) == NULL || !check_public_key(sign, use, error) ||
	    (journal = journal_of(sign, use->key, error)) == NULL ||
	    !journal_append(journal, use->record, digest, time_now_ms(), number, error))
		return NULL;
	return use->prehashed ? hsm_sign_digest(sign->hsm, use->key, use->md, data, size, error)
			      : hsm_sign(sign->hsm, use->key, use->md, data, size, error);
}

static void answer_use(struct role_context *role, struct peer *from, struct message *m)
{
	struct sign *sign = role->data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) signature = NULL;
	autoptr(message) answer = NULL;
	struct use use = { NULL };
	int64_t number = 0;

	watch_begin(sign);
	if (use_read(m, &use, &error))
		signature = use_key(sign, &use, &number, &error);
	watch_end(sign);
	answer = message_answer(m, MSG_USED, error);
	if (number > 0)
		json_set_integer(answer->body, "number", number);
	if (signature != NULL)
		body_set_bytes(answer, "signature", signature);
	role_answer(role, from, answer);
	log_event(signature != NULL ? "info" : "warning", "release=%s key=\"%s\" use=%" G_GINT64_FORMAT " %s",
	    use.record != NULL && is_ulid(use.record) ? use.record : "?", use.key != NULL ? use.key : "?", number,
	    error != NULL ? error->message : "signed");
	use_clear(&use);
	/* A token that failed, or a disk that did: what state they are in is found out by starting again. */
	if (signature == NULL && sign->hsm != NULL && !g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED) &&
	    !g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND))
		exit(EXIT_FAILURE);
}

static void answer_uses(struct role_context *role, struct peer *from, struct message *m)
{
	struct sign *sign = role->data;
	g_autoptr(GError) error = NULL;
	autoptr(message) answer = NULL;
	const char *record = body_string(m, "record", &error);
	const char *key = record != NULL ? body_string(m, "key", &error) : NULL;
	struct journal *journal = key != NULL ? journal_of(sign, key, &error) : NULL;
	struct json *uses = journal != NULL ? journal_uses(journal, record, &error) : NULL;

	answer = message_answer(m, MSG_USES_ARE, error);
	if (uses != NULL)
		json_set(answer->body, "uses", uses);
	role_answer(role, from, answer);
}

static gboolean check_ledger(struct sign *sign, GError **error)
{
	if (g_strcmp0(sign->config->ledger_token, sign->token->name) != 0) {
		error_refused(error, "the ledger's key is not on the token \"%s\"", sign->token->name);
		return FALSE;
	}
	return token_of(sign, error) != NULL;
}

static void answer_ledger_key(struct role_context *role, struct peer *from, struct message *m)
{
	struct sign *sign = role->data;
	g_autoptr(GError) error = NULL;
	autoptr(message) answer = NULL;
	g_autofree char *line = NULL;
	EVP_PKEY *key;

	watch_begin(sign);
	if (check_ledger(sign, &error) && (key = hsm_public_key(sign->hsm, sign->config->ledger_key, &error)) != NULL)
		line = sshsig_public_line(key, &error);
	watch_end(sign);
	answer = message_answer(m, MSG_LEDGER_KEY_IS, error);
	json_set_string(answer->body, "public_key", line);
	role_answer(role, from, answer);
}

/* Anything that is not exactly one commit, not yet signed, is refused: so no signature of this key can be taken for another thing's. */
static gboolean check_commit(GBytes *payload, GError **error)
{
	g_autoptr(GError) why = NULL;
	autoptr(commit) commit = commit_parse(payload, &why);

	if (commit == NULL)
		error_refused(error, "the ledger's key signs commits and nothing else: %s", why->message);
	else if (commit->is_signed)
		error_refused(
		    error, "the ledger's key signs commits and nothing else: this one bears a signature already");
	return commit != NULL && !commit->is_signed;
}

static void answer_sign_commit(struct role_context *role, struct peer *from, struct message *m)
{
	struct sign *sign = role->data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) payload = NULL, armor = NULL;
	autoptr(message) answer = NULL;

	watch_begin(sign);
	if ((payload = body_bytes(m, "payload", &error)) != NULL && check_commit(payload, &error) &&
	    check_ledger(sign, &error))
		armor = sshsig_sign(sign->hsm, sign->config->ledger_key, "git", payload, &error);
	watch_end(sign);
	answer = message_answer(m, MSG_COMMIT_SIGNED, error);
	if (armor != NULL) {
		g_autofree char *text = g_strndup(g_bytes_get_data(armor, NULL), g_bytes_get_size(armor));
		json_set_string(answer->body, "armor", text);
	}
	role_answer(role, from, answer);
	if (g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE) && sign->hsm != NULL)
		exit(EXIT_FAILURE);
}

static const struct role_verb verbs[] = {
	{ MSG_KEYS, answer_keys },
	{ MSG_USE, answer_use },
	{ MSG_USES, answer_uses },
	{ MSG_LEDGER_KEY, answer_ledger_key },
	{ MSG_SIGN_COMMIT, answer_sign_commit },
	{ 0, NULL },
};

static void close_journal(void *journal)
{
	journal_free(journal);
}

int role_sign(struct role_context *role)
{
	struct sign sign = {
		.config = role->config,
		.token = &role->config->tokens[role->index],
		.folder = config_path(role->config, "journal"),
		.journals = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_journal),
	};
	int status;

	role->data = &sign;
	open_token(&sign);
	if (sign.away != NULL)
		log_event("err", "token=\"%s\" %s", sign.token->name, sign.away->message);
	role_greet(role);
	if (sign.away != NULL && sign.refused_pin == NULL)
		deadline_begin(AWAY_MS, "sign: the token is away: ending, to be started again");
	status = role_serve(role, verbs);
	g_hash_table_unref(sign.journals);
	g_clear_error(&sign.away);
	g_free(sign.folder);
	g_free(sign.refused_pin);
	hsm_free(sign.hsm);
	return status;
}
