/*
 * judge: decides, on its own, whether a key may be used. engine schedules and is not believed: see judge.h for what each file checks. Blocks; one at a time.
 */
#include <openssl/x509.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/mirror.h"
#include "server/budget.h"
#include "server/judge.h"
#include "server/reply.h"
#include "signer/openpgp.h"
#include "signer/timestamp.h"

#define VERDICTS_MAX 4096
#define ROOTS_MAX (1024 * 1024)
#define STAMP_MAX (64 * 1024)

struct judge {
	struct judge_policy policy;
	struct verdicts *scans, *digests;
	struct judge_keys *keys;
	GBytes **roots; /* of each timestamp authority; NULL where the file cannot be read */
};

static void take_hello(struct role_context *role, struct peer *from, struct message *m)
{
	struct judge *judge = role->data;

	(void)m;
	if (from->role == ROLE_SIGN)
		judge_keys_forget(judge->keys, from->index);
}

static void take_scan(struct role_context *role, struct peer *from, struct message *m)
{
	struct judge *judge = role->data;
	const char *blob = json_string(m->body, "blob");
	struct json *report = json_get(m->body, "report");

	if (blob != NULL && is_sha256_text(blob) && json_kind(report) == JSON_OBJECT)
		verdicts_put(judge->scans, blob, json_ref(report));
	else
		log_event("warning", "peer=scan.%u told a verdict without blob or report: not taken", from->index);
}

static void take_digest(struct role_context *role, struct peer *from, struct message *m)
{
	struct judge *judge = role->data;
	const char *blob = json_string(m->body, "blob"), *format = json_string(m->body, "format"),
		   *hash = json_string(m->body, "hash");

	if (blob != NULL && is_sha256_text(blob) && format != NULL && hash != NULL && strlen(format) + strlen(hash) < 64) {
		g_autofree char *key = verdicts_digest_key(blob, format, hash);
		verdicts_agree(judge->digests, key, json_copy(m->body));
	} else {
		log_event("warning", "peer=seal.%u told a digest without blob, format or hash: not taken", from->index);
	}
}

/* seal's word on this very blob, format and hash. */
static gboolean digest_seen(
    const struct judge *judge, const struct judge_request *r, struct format_digest *digest, GError **error)
{
	g_autofree char *key = verdicts_digest_key(r->blob, r->format->name, r->hash);
	const struct json *seen = verdicts_get(judge->digests, key);
	const char *value = json_string(seen, "value");
	int64_t size;

	if (seen == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "no digest of %s as %s has reached judge since it started: it must be made again", r->artifact,
		    r->format->name);
		return FALSE;
	}
	/* A worker that was taken over while it read one file might speak of another; an honest one, asked as well, gives it away. */
	if (json_boolean(seen, "contradicted", FALSE)) {
		error_refused(
		    error, "the workers of seal told different digests of %s: one of them lies, and nothing is signed by their word",
		    r->artifact);
		return FALSE;
	}
	digest->size = value != NULL ? strlen(value) / 2 : 0;
	if (digest->size == 0 || digest->size > sizeof(digest->value) || !hex_decode(value, digest->value, digest->size) ||
	    !json_require_integer(seen, "size", 0, INT64_C(1) << 52, &size, "digest-seen", NULL)) {
		error_refused(error, "the digest that seal told of %s is none", r->artifact);
		return FALSE;
	}
	digest->hash = g_strdup(r->hash);
	digest->file_size = (uint64_t)size;
	digest->was_signed = json_boolean(seen, "was_signed", TRUE);
	return TRUE;
}

/* The blob as it was when its digest was made: of linear formats both come out of one read. */
static gboolean digest_linear(const struct judge_request *r, const struct judge_decision *d,
    const struct format_parameters *p, struct format_digest *digest, GError **error)
{
	g_autofree char *hex = NULL, *content = NULL;

	if (!r->format->digest(r->blob_fd, p, digest, error))
		return FALSE;
	hex = hex_encode(digest->content, sizeof(digest->content));
	content = g_strconcat("sha256:", hex, NULL);
	return judge_check_content(r, d, content, error);
}

static gboolean find_digest(const struct judge *judge, const struct judge_request *r, const struct judge_decision *d,
    const struct format_parameters *p, struct format_digest *digest, GError **error)
{
	if (r->format->linear ? !digest_linear(r, d, p, digest, error) : !digest_seen(judge, r, digest, error))
		return FALSE;
	if (!digest->was_signed)
		return TRUE;
	error_refused(error, "%s bears a signature already", r->artifact);
	return FALSE;
}

/* The first key of the file that may sign: the one that the format writes its signatures for. */
static EVP_PKEY *openpgp_key_of(GBytes *certificates, GError **error)
{
	g_autoptr(GPtrArray) keys = openpgp_keys_read(certificates, error);

	for (guint i = 0; keys != NULL && i < keys->len; i++) {
		const struct openpgp_key *key = keys->pdata[i];
		if (key->unusable == NULL && EVP_PKEY_up_ref(key->key) == 1)
			return key->key;
	}
	if (keys != NULL)
		error_refused(error, "the OpenPGP key file of the policy has no key that may sign");
	return NULL;
}

/* The key that the world will check the signature with: the leaf certificate's, which must be good now, or the OpenPGP key's. */
static EVP_PKEY *public_key_of(const struct judge_request *r, GError **error)
{
	STACK_OF(X509) * chain;
	EVP_PKEY *key;

	if (r->format->prehashed)
		return openpgp_key_of(r->certificates, error);
	chain = certificates_load(r->certificates, r->time, error);
	if (chain == NULL)
		return NULL;
	key = X509_get_pubkey(sk_X509_value(chain, 0));
	sk_X509_pop_free(chain, X509_free);
	if (key == NULL)
		error_refused(error, "the key of the signing certificate cannot be read");
	return key;
}

static gboolean sign_decided(struct role_context *role, const struct judge_request *r, const struct judge_decision *d,
    struct judge_use *use, GError **error)
{
	struct judge *judge = role->data;
	const struct format_parameters p = { .hash = r->hash,
		.certificates = r->certificates,
		.time_ms = r->time,
		.description = r->description,
		.url = r->url };
	struct format_digest digest = { NULL };
	EVP_PKEY *key = public_key_of(r, error);
	g_autoptr(GBytes) to_be_signed = NULL;
	gboolean ok = key != NULL && find_digest(judge, r, d, &p, &digest, error) &&
		      (to_be_signed = r->format->to_be_signed(&digest, &p, error)) != NULL &&
		      judge_use_key(role, judge->keys, r, d, key, to_be_signed, use, error);

	EVP_PKEY_free(key);
	g_free(digest.hash);
	return ok;
}

/* What nears its end is told with each use, until somebody makes room. */
static void log_budget(const struct policy *policy, const struct policy_key *key, int64_t used, int64_t now)
{
	g_auto(GStrv) lines = budget_warnings(policy, key, used, now);

	for (guint i = 0; lines[i] != NULL; i++)
		log_event("warning", "%s", lines[i]);
}

static gboolean judge_release(struct role_context *role, struct judge_request *r, struct judge_use *use, GError **error)
{
	struct judge *judge = role->data;
	struct judge_decision d = { 0 };
	int64_t now = time_now_ms();
	gboolean ok = judge_policy_refresh(&judge->policy, role->config, error) &&
		      judge_decide(r, &judge->policy, now, &d, error) &&
		      judge_check_range(r, &d, &judge->policy, error) &&
		      (r->format->linear || judge_check_blob(r, &d, error)) &&
		      judge_check_certificates(r, &d, judge->policy.policy, error) &&
		      budget_check_days(judge->policy.policy, d.key, now, error) &&
		      judge_check_scan(r, &d, judge->scans, now, error) && sign_decided(role, r, &d, use, error);

	if (ok)
		log_budget(judge->policy.policy, d.key, use->number, now);
	judge_decision_clear(&d);
	return ok;
}

static void log_judged(const struct judge_request *r, const struct judge_use *use, const GError *error)
{
	const char *id = r->id != NULL && is_ulid(r->id) ? r->id : "?";

	if (error == NULL)
		log_event("info", "release=%s token=\"%s\" use=%" G_GINT64_FORMAT " signed", id, use->token, use->number);
	else
		log_event("warning", "release=%s %s", id, error->message);
}

static void answer_judge(struct role_context *role, struct peer *from, struct message *m)
{
	g_autoptr(GError) error = NULL;
	autoptr(message) answer = NULL;
	struct judge_request r = { NULL };
	struct judge_use use = { NULL };

	if (judge_request_read(m, time_now_ms(), &r, &error))
		judge_release(role, &r, &use, &error);
	log_judged(&r, &use, error);
	answer = message_answer(m, MSG_JUDGED, error);
	/* A use that came to nothing is told too: the log must show it as void. */
	if (use.number > 0) {
		struct json *told = json_object_new();

		json_set_string(told, "token", use.token);
		json_set_string(told, "key", r.key);
		json_set_integer(told, "number", use.number);
		json_set_string(told, "digest", use.digest);
		json_set(answer->body, "use", told);
	}
	if (use.signature != NULL && !message_add_bytes(answer, "signature", use.signature, &error))
		log_event("err", "%s", error->message);
	role_answer(role, from, answer);
	g_clear_pointer(&use.signature, g_bytes_unref);
	g_free(use.digest);
	judge_request_clear(&r);
}

static struct json *uses_of(struct role_context *role, const struct message *m, GError **error)
{
	struct judge *judge = role->data;
	const char *id = body_string(m, "id", error), *name = id != NULL ? body_string(m, "key", error) : NULL;
	const struct policy_key *key;

	if (name == NULL || !judge_policy_refresh(&judge->policy, role->config, error))
		return NULL;
	key = policy_key(judge->policy.policy, name);
	if (key != NULL && is_ulid(id))
		return judge_uses(role, judge->keys, key->label, id, error);
	error_refused(error, "the policy in force has no key \"%s\"", name);
	return NULL;
}

static void answer_reckon(struct role_context *role, struct peer *from, struct message *m)
{
	g_autoptr(GError) error = NULL;
	struct json *uses = uses_of(role, m, &error);
	autoptr(message) answer = message_answer(m, MSG_RECKONED, error);

	if (uses != NULL)
		json_set(answer->body, "uses", uses);
	role_answer(role, from, answer);
}

/* sent <= received <= now, as far as clocks go: the window in which the authority's time must lie is not engine's to widen. */
static gboolean check_window(const struct config_authority *authority, int64_t sent, int64_t received, GError **error)
{
	int64_t now = time_now_ms();

	if (sent <= received && received <= now + JUDGE_CLOCK_SKEW &&
	    received - sent <= authority->deadline + JUDGE_CLOCK_SKEW)
		return TRUE;
	error_refused(
	    error, "the times between which the timestamp of %s is said to be made are not possible", authority->url);
	return FALSE;
}

/* The token answers our query, and the query was over this very signature. */
static GBytes *check_stamp(
    struct role_context *role, const struct message *m, struct timestamp_facts *facts, GError **error)
{
	struct judge *judge = role->data;
	struct timestamp_facts again = { 0 };
	g_autoptr(GBytes) signature = message_bytes(m, "signature", STAMP_MAX, error);
	g_autoptr(GBytes) query = signature != NULL ? message_bytes(m, "query", STAMP_MAX, error) : NULL;
	g_autoptr(GBytes) response = query != NULL ? message_bytes(m, "response", STAMP_MAX, error) : NULL;
	g_autoptr(GBytes) token = NULL;
	int64_t index, sent, received;

	if (response == NULL ||
	    !json_require_integer(
		m->body, "authority", 0, (int64_t)role->config->authority_count - 1, &index, "judge-stamp", error) ||
	    !body_time(m, "sent", &sent, error) || !body_time(m, "received", &received, error) ||
	    !check_window(&role->config->authorities[index], sent, received, error))
		return NULL;
	if (judge->roots[index] == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "the roots of the authority %s (%s) could not be read", role->config->authorities[index].url,
		    role->config->authorities[index].roots);
		return NULL;
	}
	token = timestamp_accept(response, query, judge->roots[index], sent, received, facts, error);
	if (token != NULL && !timestamp_verify(token, signature, NULL, query, judge->roots[index], &again, error))
		g_clear_pointer(&token, g_bytes_unref);
	timestamp_facts_clear(&again);
	return g_steal_pointer(&token);
}

static struct json *facts_to_json(const struct timestamp_facts *facts)
{
	struct json *object = json_object_new();
	g_autofree char *time = time_format_ms(facts->time_ms);

	json_set_string(object, "time", time);
	json_set_string(object, "serial", facts->serial);
	json_set_string(object, "policy", facts->policy);
	json_set_string(object, "authority", facts->authority);
	return object;
}

static void answer_stamp(struct role_context *role, struct peer *from, struct message *m)
{
	g_autoptr(GError) error = NULL;
	autoptr(message) answer = NULL;
	struct timestamp_facts facts = { 0 };
	g_autoptr(GBytes) token = check_stamp(role, m, &facts, &error);

	answer = message_answer(m, MSG_STAMP_JUDGED, error);
	if (token != NULL) {
		json_set(answer->body, "facts", facts_to_json(&facts));
		if (!message_add_bytes(answer, "token", token, &error))
			log_event("err", "%s", error->message);
	}
	role_answer(role, from, answer);
	timestamp_facts_clear(&facts);
}

static const struct role_verb verbs[] = {
	{ MSG_HELLO, take_hello },
	{ MSG_SCAN_SEEN, take_scan },
	{ MSG_DIGEST_SEEN, take_digest },
	{ MSG_JUDGE, answer_judge },
	{ MSG_RECKON, answer_reckon },
	{ MSG_JUDGE_STAMP, answer_stamp },
	{ 0, NULL },
};

static GBytes **read_roots(const struct config *config)
{
	GBytes **roots = g_new0(GBytes *, config->authority_count + 1);

	for (guint i = 0; i < config->authority_count; i++) {
		g_autoptr(GError) error = NULL;

		roots[i] = file_read(config->authorities[i].roots, ROOTS_MAX, &error);
		if (roots[i] == NULL)
			log_event("err", "authority=%u %s", i, error->message);
	}
	return roots;
}

static void judge_clear(struct judge *judge, guint authorities)
{
	judge_policy_clear(&judge->policy);
	verdicts_free(judge->scans);
	verdicts_free(judge->digests);
	judge_keys_free(judge->keys);
	for (guint i = 0; i < authorities; i++)
		g_clear_pointer(&judge->roots[i], g_bytes_unref);
	g_free(judge->roots);
}

int role_judge(struct role_context *role)
{
	g_autoptr(GError) error = NULL;
	struct judge judge = { .scans = verdicts_new(VERDICTS_MAX),
		.digests = verdicts_new(VERDICTS_MAX),
		.keys = judge_keys_new(),
		.roots = read_roots(role->config) };
	int status;

	role->data = &judge;
	if (!mirror_init(&error)) {
		log_event("err", "%s", error->message);
		return ROLE_EXIT_CONFIGURATION;
	}
	role_greet(role);
	status = role_serve(role, verbs);
	judge_clear(&judge, role->config->authority_count);
	return status;
}
