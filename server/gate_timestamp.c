/*
 * timestamp: when was it signed, by a clock that is not ours? Asks the authorities in their order, has judge check the token, then the file is put together,
 * read back by a fresh worker and scanned once more.
 */
#include <string.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"
#include "signer/format.h"
#include "signer/timestamp.h"

struct part { /* what an answer belongs to */
	const struct json *artifact;
	struct json *sign;
	guint number;
	int fd; /* of an output */
};

static struct part *part_new(const struct json *artifact, struct json *sign, guint number)
{
	struct part *part = g_new0(struct part, 1);

	part->artifact = artifact;
	part->sign = sign;
	part->number = number;
	part->fd = -1;
	return part;
}

static void part_end(struct engine *engine, struct release *release, struct part *part, const GError *error)
{
	if (part->fd >= 0)
		close(part->fd);
	g_free(part);
	gate_part(engine, release, error);
}

static const struct format *format_of(const struct json *sign)
{
	return format_named(json_string(sign, "format"));
}

/* Names of the files of one signature: "work/signature-3", "3-cms.tsq". */
static char *work_name(const char *what, guint number)
{
	return g_strdup_printf("work/%s-%u", what, number);
}

static char *evidence_name(const struct part *part, const char *suffix)
{
	return g_strdup_printf("%u-%s%s", part->number, json_string(part->sign, "format"), suffix);
}

/* This authority did not answer, or not well: the next one is asked at once; after the last the release waits. */
static void next_authority(struct engine *engine, struct release *release, struct part *part, const GError *error)
{
	int64_t next = json_integer(part->sign, "authority", 0) + 1;
	gboolean last = next >= engine->role->config->authority_count;
	g_autoptr(GError) away = NULL;

	log_event("warning", "release=%s authority=%" G_GINT64_FORMAT " %s", release->id, next - 1, error->message);
	json_set_integer(part->sign, "authority", last ? 0 : next);
	if (last)
		g_set_error(&away, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "no timestamp authority answers well; the last one: %s", error->message);
	part_end(engine, release, part, away);
}

static void stamp_judged(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct part *part = data;
	g_autofree char *name = work_name("token", part->number);
	g_autoptr(GError) broken = NULL;
	g_autoptr(GBytes) token = error == NULL ? message_bytes(answer, "token", 1 << 20, &broken) : NULL;

	if (token == NULL) {
		next_authority(engine, release, part, error != NULL ? error : broken);
		return;
	}
	release_set_file(release, name, token);
	json_set(part->sign, "stamp", json_copy(json_get(answer->body, "facts")));
	part_end(engine, release, part, NULL);
}

static void stamped(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct part *part = data;
	g_autofree char *query = evidence_name(part, ".tsq"), *response = evidence_name(part, ".tsr");
	g_autofree char *signature = work_name("signature", part->number);
	g_autoptr(GError) broken = NULL;
	g_autoptr(GBytes) bytes = error == NULL ? message_bytes(answer, "response", 1 << 20, &broken) : NULL;
	struct message *m;

	if (bytes == NULL) {
		next_authority(engine, release, part, error != NULL ? error : broken);
		return;
	}
	release_set_file(release, response, bytes);
	m = message_new(MSG_JUDGE_STAMP, 0);
	json_set_integer(m->body, "authority", json_integer(part->sign, "authority", 0));
	json_set_integer(m->body, "sent", json_integer(answer->body, "sent", 0));
	json_set_integer(m->body, "received", json_integer(answer->body, "received", 0));
	release_attach(release, m, signature, "signature");
	release_attach(release, m, query, "query");
	release_attach(release, m, response, "response");
	engine_ask(engine, ROLE_JUDGE, m, MSG_STAMP_JUDGED, release, stamp_judged, part);
}

static void ask_stamp(struct engine *engine, struct release *release, struct part *part)
{
	g_autofree char *signature = work_name("signature", part->number), *name = evidence_name(part, ".tsq");
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) query = timestamp_query(release_file(release, signature), &error); /* a new nonce each time */
	struct message *m;

	if (query == NULL) {
		part_end(engine, release, part, error);
		return;
	}
	release_set_file(release, name, query);
	m = message_new(MSG_STAMP, 0);
	json_set_integer(m->body, "authority", json_integer(part->sign, "authority", 0));
	release_attach(release, m, name, "query");
	engine_ask(engine, ROLE_COURIER, m, MSG_STAMPED, release, stamped, part);
}

static void output_adopted(struct engine *engine, struct release *release, const char *sha256, uint64_t size,
    const GError *error, gpointer data)
{
	struct part *part = data;

	if (error == NULL) {
		json_set_string(part->sign, "output", sha256);
		json_set_integer(part->sign, "output_size", size);
	}
	part_end(engine, release, part, error);
}

static void attached(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct part *part = data;
	int fd = part->fd;

	(void)answer;
	if (error != NULL) {
		part_end(engine, release, part, error);
		return;
	}
	part->fd = -1;
	spool_adopt(engine, fd, release, output_adopted, part);
}

/* What attach and read-back share: the format, the input, the certificates. */
static struct message *seal_message(
    struct engine *engine, struct release *release, const struct part *part, enum message_kind kind, GError **error)
{
	struct message *m = message_new(kind, 0);

	json_set_string(m->body, "format", json_string(part->sign, "format"));
	json_set_string(m->body, "hash", "sha256");
	json_set_integer(m->body, "time", json_integer(part->sign, "time", 0));
	json_set(m->body, "digest", json_copy(json_get(part->sign, "digest")));
	gate_attach_certificates(release, m, json_string(part->sign, "format"));
	if (gate_attach_blob(engine, m, "blob", json_string(part->artifact, "blob"), error))
		return m;
	message_free(m);
	return NULL;
}

static void ask_attach(struct engine *engine, struct release *release, struct part *part)
{
	g_autofree char *signature = work_name("signature", part->number), *token = work_name("token", part->number);
	g_autoptr(GError) error = NULL;
	struct message *m = seal_message(engine, release, part, MSG_ATTACH, &error);

	if (m == NULL || (part->fd = spool_temporary(engine, &error)) < 0 ||
	    !message_add_fd(m, "output", part->fd, NULL, 0, &error)) {
		message_free(m);
		part_end(engine, release, part, error);
		return;
	}
	release_attach(release, m, signature, "signature");
	release_attach(release, m, token, "token");
	engine_ask(engine, ROLE_SEAL, m, MSG_ATTACHED, release, attached, part);
}

static void read_back(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct part *part = data;
	g_autofree char *name =
	    evidence_name(part, format_of(part->sign)->suffix != NULL ? format_of(part->sign)->suffix : ".p7s");
	g_autoptr(GBytes) evidence = NULL;
	g_autoptr(GError) broken = NULL;

	if (error == NULL && message_find(answer, "evidence") != NULL &&
	    (evidence = message_bytes(answer, "evidence", 4 << 20, &broken)) != NULL)
		release_set_file(release, name, evidence);
	if (error == NULL && broken == NULL)
		json_set(part->sign, "read", json_copy(json_get(answer->body, "signatures")));
	part_end(engine, release, part, error != NULL ? error : broken);
}

static void ask_read_back(struct engine *engine, struct release *release, struct part *part)
{
	g_autoptr(GError) error = NULL;
	struct message *m = seal_message(engine, release, part, MSG_READ_BACK, &error);

	if (m == NULL || !gate_attach_blob(engine, m, "output", json_string(part->sign, "output"), &error) ||
	    (part->fd = spool_temporary(engine, &error)) < 0 || !message_add_fd(m, "scratch", part->fd, NULL, 0, &error)) {
		message_free(m);
		part_end(engine, release, part, error);
		return;
	}
	engine_ask(engine, ROLE_SEAL, m, MSG_READ, release, read_back, part);
}

static void advance(struct engine *engine, struct release *release, struct json *artifact, struct json *sign, guint number)
{
	const struct format *format = format_of(sign);
	gboolean needs_stamp = format->stamped && json_boolean(release->work, "timestamp", TRUE);
	void (*step)(struct engine *, struct release *, struct part *) = NULL;

	if (needs_stamp && json_get(sign, "stamp") == NULL)
		step = ask_stamp;
	else if (json_get(sign, "output") == NULL)
		step = ask_attach;
	else if (json_get(sign, "read") == NULL)
		step = ask_read_back;
	if (step != NULL) {
		gate_expect(release);
		step(engine, release, part_new(artifact, sign, number));
	} else if (format->suffix == NULL && json_boolean(release->work, "scan", TRUE) &&
		   !json_boolean(sign, "scanned", FALSE)) {
		gate_scan_blob(engine, release, sign, json_string(sign, "output"), json_string(artifact, "name"));
	}
}

static struct json *signature_row(const struct release *release, const struct json *artifact, const struct json *sign)
{
	struct json *row = json_object_new();
	const struct json *read = json_at(json_get(sign, "read"), 0);
	const struct format *format = format_of(sign);
	g_autofree char *path = g_strconcat(json_string(artifact, "name"), format->suffix, NULL);

	json_set_string(row, "format", format->name);
	json_set_string(row, "path", path);
	json_set_string(row, "key", json_string(release->work, "key"));
	json_set_string(row, "certificate", json_string(read, "certificate"));
	json_set_string(row, "digest", json_string(read, "digest"));
	json_set_integer(row, "use", json_integer(json_get(sign, "use"), "number", 0));
	if (json_get(sign, "stamp") != NULL)
		json_set(row, "timestamp", json_copy(json_get(sign, "stamp")));
	return row;
}

static void enter_into_record(struct release *release)
{
	struct json *artifacts = json_get(release->work, "artifacts"), *list = json_get(release->record, "artifacts");

	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *artifact = json_at(artifacts, i), *signs = json_get(artifact, "signs");
		struct json *rows = json_array_new(), *made = json_object_new();

		json_set_string(made, "sha256", json_string(artifact, "blob"));
		json_set_integer(made, "size", json_integer(artifact, "size", 0));
		for (guint n = 0; n < json_length(signs); n++) {
			const struct json *sign = json_at(signs, n);
			json_append(rows, signature_row(release, artifact, sign));
			if (format_of(sign)->suffix != NULL)
				continue;
			json_set_string(made, "sha256", json_string(sign, "output"));
			json_set_integer(made, "size", json_integer(sign, "output_size", 0));
			if (json_get(sign, "report") != NULL)
				json_set(made, "scan", json_copy(json_get(sign, "report")));
		}
		json_set(made, "signatures", rows);
		json_set(json_at(list, i), "signed", made);
	}
}

void gate_timestamp_run(struct engine *engine, struct release *release)
{
	gate_expect(release);
	gate_each_sign(engine, release, advance);
	if (release->pending == 1 && release->first_error == NULL)
		enter_into_record(release);
	gate_settle(engine, release);
}
