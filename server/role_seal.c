/*
 * seal: reads and writes artifacts, in their own formats. It parses strangers' bytes, so it has no key, no network and no file but the descriptors that came
 * with the request; a worker that crashes or hangs costs that release one attempt. What it finds it also tells judge, on a channel that engine cannot touch.
 */
#include <openssl/pem.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/deadline.h"
#include "server/reply.h"
#include "signer/certificate.h"
#include "signer/format.h"
#include "signer/type.h"

#define CERTIFICATES_MAX (256 * 1024)
#define SIGNATURE_MAX (64 * 1024)
#define TOKEN_MAX (64 * 1024)
#define DETACHED_MAX (1024 * 1024)
#define HANGS "seal: the file is not read within seal.deadline: ending, to be started again"

/* The type that the policy names, if these bytes are of it. Content whose structure we can judge is never raw: raw has
 * none to be held to. */
static const struct file_type *check_type(int fd, const char *expected, GError **error)
{
	const struct file_type *type = file_type_named(expected), *found = file_type_of(fd);

	if (type == NULL)
		error_refused(error, "there is no file type \"%s\"", expected);
	else if (found != type && (g_str_equal(type->name, "raw") ? found->structure != NULL : !type->claims(fd))) {
		error_refused(error, "the file is of the type %s, and the policy expects %s", found->name, type->name);
		return NULL;
	}
	return type;
}

static void answer_inspect(struct role_context *role, struct peer *from, struct message *m)
{
	g_autoptr(GError) error = NULL;
	autoptr(json) facts = json_object_new();
	autoptr(message) answer = NULL;
	const struct message_file *blob;
	const struct file_type *type = NULL;
	const char *expected;

	deadline_begin(role->config->seal_deadline, HANGS);
	if ((expected = body_string(m, "type", &error)) != NULL && (blob = message_require(m, "blob", &error)) != NULL &&
	    (type = check_type(blob->fd, expected, &error)) != NULL && !file_type_check(type, blob->fd, facts, &error))
		type = NULL;
	deadline_end();
	answer = message_answer(m, MSG_INSPECTED, error);
	if (type != NULL) {
		json_set_string(facts, "type", type->name);
		json_set(answer->body, "facts", g_steal_pointer(&facts));
	}
	role_answer(role, from, answer);
}

/* What DIGEST and ATTACH have in common. Strings are borrowed from the message. */
struct task {
	const struct format *format;
	struct format_parameters parameters;
	const struct message_file *blob;
	GBytes *certificates;
};

static void task_clear(struct task *task)
{
	g_clear_pointer(&task->certificates, g_bytes_unref);
}

static const struct format *require_format(const struct message *m, GError **error)
{
	const char *name = body_string(m, "format", error);
	const struct format *format = name != NULL ? format_named(name) : NULL;

	if (name != NULL && format == NULL)
		error_refused(error, "there is no signature format \"%s\"", name);
	return format;
}

static gboolean task_read(const struct message *m, struct task *task, GError **error)
{
	const struct file_type *type;

	if ((task->format = require_format(m, error)) == NULL ||
	    (task->blob = message_require(m, "blob", error)) == NULL ||
	    (task->certificates = message_bytes(m, "certificates", CERTIFICATES_MAX, error)) == NULL ||
	    (task->parameters.hash = body_string(m, "hash", error)) == NULL ||
	    !body_time(m, "time", &task->parameters.time_ms, error))
		return FALSE;
	task->parameters.certificates = task->certificates;
	task->parameters.description = json_string(m->body, "description");
	task->parameters.url = json_string(m->body, "url");
	type = file_type_of(task->blob->fd);
	if (!task->format->supports(type->name)) {
		error_refused(error, "a file of the type %s cannot be signed as %s", type->name, task->format->name);
		return FALSE;
	}
	return TRUE;
}

static struct json *digest_to_json(const struct format_digest *digest)
{
	struct json *object = json_object_new();
	g_autofree char *value = hex_encode(digest->value, digest->size);

	json_set_string(object, "hash", digest->hash);
	json_set_string(object, "value", value);
	json_set_integer(object, "size", (int64_t)digest->file_size);
	json_set_boolean(object, "was_signed", digest->was_signed);
	return object;
}

static gboolean digest_from_json(const struct json *object, struct format_digest *digest, GError **error)
{
	const char *hash = json_require_string(object, "hash", "a digest", error);
	const char *value = hash != NULL ? json_require_string(object, "value", "a digest", error) : NULL;
	int64_t size;

	if (value == NULL || !json_require_integer(object, "size", 0, INT64_C(1) << 52, &size, "a digest", error))
		return FALSE;
	digest->size = strlen(value) / 2;
	if (digest->size == 0 || digest->size > sizeof(digest->value) || !hex_decode(value, digest->value, digest->size)) {
		error_refused(error, "a digest: \"value\" is no digest in hex");
		return FALSE;
	}
	digest->hash = g_strdup(hash);
	digest->file_size = (uint64_t)size;
	digest->was_signed = json_boolean(object, "was_signed", FALSE);
	return TRUE;
}

static gboolean digest_equal(const struct format_digest *a, const struct format_digest *b)
{
	return g_strcmp0(a->hash, b->hash) == 0 && a->size == b->size && memcmp(a->value, b->value, a->size) == 0;
}

/* Before engine hears of it, so that judge knows it when engine asks. */
static gboolean tell_judge(
    struct role_context *role, const struct task *task, const struct format_digest *digest, GError **error)
{
	struct peer *judge = role_peer(role, ROLE_JUDGE, 0);
	autoptr(message) seen = message_new(MSG_DIGEST_SEEN, 0);
	g_autofree char *blob = sha256_text_fd(task->blob->fd, NULL, error);

	if (judge == NULL || blob == NULL)
		return blob != NULL;
	json_unref(seen->body);
	seen->body = digest_to_json(digest);
	json_set_string(seen->body, "blob", blob);
	json_set_string(seen->body, "format", task->format->name);
	role_send(role, judge, seen);
	return TRUE;
}

static void answer_digest(struct role_context *role, struct peer *from, struct message *m)
{
	g_autoptr(GError) error = NULL;
	autoptr(message) answer = NULL;
	struct task task = { NULL };
	struct format_digest digest = { NULL };
	gboolean ok;

	deadline_begin(role->config->seal_deadline, HANGS);
	ok = task_read(m, &task, &error) && task.format->digest(task.blob->fd, &task.parameters, &digest, &error) &&
	     tell_judge(role, &task, &digest, &error);
	deadline_end();
	answer = message_answer(m, MSG_DIGESTED, error);
	if (ok)
		json_set(answer->body, "digest", digest_to_json(&digest));
	role_answer(role, from, answer);
	g_free(digest.hash);
	task_clear(&task);
}

static gboolean attach(const struct message *m, GError **error)
{
	struct task task = { NULL };
	struct format_digest digest = { NULL };
	const struct message_file *output = message_require(m, "output", error);
	g_autoptr(GBytes) signature = NULL, token = NULL;
	gboolean ok =
	    output != NULL && task_read(m, &task, error) &&
	    digest_from_json(json_get(m->body, "digest"), &digest, error) &&
	    (signature = message_bytes(m, "signature", SIGNATURE_MAX, error)) != NULL &&
	    (message_find(m, "token") == NULL || (token = message_bytes(m, "token", TOKEN_MAX, error)) != NULL) &&
	    task.format->attach(task.blob->fd, output->fd, &digest, &task.parameters, signature, token, error);

	g_free(digest.hash);
	task_clear(&task);
	return ok;
}

static void answer_attach(struct role_context *role, struct peer *from, struct message *m)
{
	g_autoptr(GError) error = NULL;

	deadline_begin(role->config->seal_deadline, HANGS);
	attach(m, &error);
	deadline_end();
	reply(role, from, m, MSG_ATTACHED, error);
}

/* The first certificate of a PEM chain; NULL for the keys of OpenPGP formats. */
static X509 *leaf_of(GBytes *certificates)
{
	gsize size;
	const void *data = g_bytes_get_data(certificates, &size);
	BIO *bio = BIO_new_mem_buf(data, (int)size);
	X509 *leaf = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return leaf;
}

static gboolean check_signature(const struct format_signature *s, const X509 *leaf, GError **error)
{
	if (!s->intact || !s->digest_matches)
		error_refused(error, "the signature in the output is not good when read back: %s",
		    s->why != NULL ? s->why : "it does not cover the file");
	else if (s->certificate != NULL && (leaf == NULL || X509_cmp(s->certificate, leaf) != 0))
		error_refused(
		    error, "the signature in the output is of another certificate than the one that was to sign");
	else if (s->certificate == NULL && leaf != NULL)
		error_refused(error, "the signature in the output comes without the certificate that was to sign");
	else
		return TRUE;
	return FALSE;
}

static gboolean check_signatures(const GPtrArray *signatures, GBytes *certificates, GError **error)
{
	X509 *leaf = leaf_of(certificates);
	gboolean ok = signatures->len > 0;

	if (!ok)
		error_refused(error, "the output bears no signature when read back");
	for (guint i = 0; ok && i < signatures->len; i++)
		ok = check_signature(signatures->pdata[i], leaf, error);
	X509_free(leaf);
	return ok;
}

static gboolean digest_is(const struct format *format, int fd, const struct format_parameters *p,
    const struct format_digest *expected, const char *what, GError **error)
{
	struct format_digest digest = { NULL };
	gboolean ok = format->digest(fd, p, &digest, error);

	if (ok && !digest_equal(&digest, expected)) {
		error_refused(error, "%s has not the digest of the file that was to be signed", what);
		ok = FALSE;
	}
	g_free(digest.hash);
	return ok;
}

/* Without its signature the output must be the input again. Detached formats leave the input as it is: read() looked at all of it. */
static gboolean check_stripped(
    const struct message *m, const struct format *format, GBytes *certificates, int blob, int output, GError **error)
{
	struct format_digest expected = { NULL };
	struct format_parameters p = { .certificates = certificates };
	const struct message_file *scratch = message_require(m, "scratch", error);
	gboolean ok;

	if (scratch == NULL || !digest_from_json(json_get(m->body, "digest"), &expected, error))
		return FALSE;
	p.hash = expected.hash;
	ok = digest_is(format, blob, &p, &expected, "the input", error) && format->strip(output, scratch->fd, error) &&
	     digest_is(format, scratch->fd, &p, &expected, "the output without its signature", error);
	g_free(expected.hash);
	return ok;
}

static GPtrArray *read_back(const struct message *m, GError **error)
{
	const struct format *format = require_format(m, error);
	const struct message_file *blob = format != NULL ? message_require(m, "blob", error) : NULL;
	const struct message_file *output = blob != NULL ? message_require(m, "output", error) : NULL;
	g_autoptr(GBytes) certificates = NULL, detached = NULL;
	g_autoptr(GPtrArray) signatures = NULL;
	gboolean beside = format != NULL && format->suffix != NULL;

	if (output == NULL || (certificates = message_bytes(m, "certificates", CERTIFICATES_MAX, error)) == NULL ||
	    (beside && (detached = fd_read(output->fd, DETACHED_MAX, error)) == NULL))
		return NULL;
	signatures = format->read(beside ? blob->fd : output->fd, detached, certificates, error);
	if (signatures == NULL || !check_signatures(signatures, certificates, error) ||
	    (!beside && !check_stripped(m, format, certificates, blob->fd, output->fd, error)))
		return NULL;
	return g_steal_pointer(&signatures);
}

static struct json *signatures_to_json(const GPtrArray *signatures)
{
	struct json *list = json_array_new();

	for (guint i = 0; i < signatures->len; i++) {
		const struct format_signature *s = signatures->pdata[i];
		struct json *row = json_object_new();

		json_set_string(row, "format", s->format);
		json_set_string(row, "digest", s->digest);
		json_set_string(row, "key", s->key);
		if (s->certificate != NULL) {
			g_autofree char *subject = certificate_subject(s->certificate);
			json_set_string(row, "certificate", subject);
		}
		json_set_integer(row, "nesting", s->nesting);
		json_append(list, row);
	}
	return list;
}

static void answer_read_back(struct role_context *role, struct peer *from, struct message *m)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) signatures = NULL;
	autoptr(message) answer = NULL;

	deadline_begin(role->config->seal_deadline, HANGS);
	signatures = read_back(m, &error);
	deadline_end();
	answer = message_answer(m, MSG_READ, error);
	if (signatures != NULL) {
		const struct format_signature *last = signatures->pdata[signatures->len - 1];

		json_set(answer->body, "signatures", signatures_to_json(signatures));
		if (last->cms != NULL && !message_add_bytes(answer, "evidence", last->cms, &error))
			log_event("err", "%s", error->message);
	}
	role_answer(role, from, answer);
}

static const struct role_verb verbs[] = {
	{ MSG_INSPECT, answer_inspect },
	{ MSG_DIGEST, answer_digest },
	{ MSG_ATTACH, answer_attach },
	{ MSG_READ_BACK, answer_read_back },
	{ 0, NULL },
};

int role_seal(struct role_context *role)
{
	role_greet(role);
	return role_serve(role, verbs);
}
