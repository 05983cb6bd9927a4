/*
 * sign: in the file's own format, with the key that this policy names. A seal worker digests the file, judge decides from the evidence and has sign use the key.
 * Before that the people are asked once more: a denial counts until the moment the key is asked for.
 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

#define FRESH_MS (3 * 60 * 1000) /* judge takes a signing time of at most five minutes ago */

static void digested(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct json *sign = data;

	if (error == NULL)
		json_set(sign, "digest", json_copy(json_get(answer->body, "digest")));
	gate_part(engine, release, error);
}

static void ask_digest(struct engine *engine, struct release *release, const struct json *artifact, struct json *sign)
{
	struct message *m = message_new(MSG_DIGEST, 0);
	const char *format = json_string(sign, "format");
	g_autoptr(GError) error = NULL;

	json_set_integer(sign, "time", time_now_ms());
	json_set_string(m->body, "format", format);
	json_set_string(m->body, "hash", "sha256");
	json_set_integer(m->body, "time", json_integer(sign, "time", 0));
	gate_attach_certificates(release, m, format);
	gate_expect(release);
	if (gate_attach_blob(engine, m, "blob", json_string(artifact, "blob"), &error)) {
		engine_ask(engine, ROLE_SEAL, m, MSG_DIGESTED, release, digested, sign);
		return;
	}
	message_free(m);
	gate_part(engine, release, error);
}

void gate_void(struct release *release, const struct json *use, const char *record_sha256, const char *reason)
{
	struct json *extra = json_object_new();
	g_autofree char *why = text_escape(reason != NULL ? reason : "no reason", -1, 1000);

	json_set_string(extra, "release", release->id);
	json_set_string(extra, "project", release->project);
	json_set_string(extra, "tag", release->tag);
	json_set_string(extra, "token", json_string(use, "token"));
	json_set_string(extra, "key", json_string(release->work, "key"));
	json_set_integer(extra, "use", json_integer(use, "number", 0));
	json_set_string(extra, "digest", json_string(use, "digest"));
	json_set_string(extra, "reason", why);
	release_event(release, "void", record_sha256, extra);
	if (json_get(release->work, "voided") == NULL)
		json_set(release->work, "voided", json_array_new());
	json_append(json_get(release->work, "voided"), json_integer_new(json_integer(use, "number", 0)));
}

/* Is that use among those that the record will name, or that were called void? */
static gboolean is_told(const struct release *release, int64_t number)
{
	const struct json *artifacts = json_get(release->work, "artifacts"),
			  *voided = json_get(release->work, "voided");

	for (guint i = 0; i < json_length(voided); i++)
		if (json_as_integer(json_at(voided, i), 0) == number)
			return TRUE;
	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *signs = json_get(json_at(artifacts, i), "signs");
		for (guint n = 0; n < json_length(signs); n++)
			if (json_integer(json_get(json_at(signs, n), "use"), "number", 0) == number)
				return TRUE;
	}
	return FALSE;
}

static void reckoned(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	const struct json *uses = error == NULL ? json_get(answer->body, "uses") : NULL;

	(void)data;
	if (g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE)) {
		gate_part(engine, release, error);
		return;
	}
	/* A key that is gone for good tells no more: the gap stays in the log, where an auditor finds it. */
	if (error != NULL)
		log_event("err", "release=%s the uses of its key cannot be told: %s", release->id, error->message);
	for (guint i = 0; i < json_length(uses); i++)
		if (!is_told(release, json_integer(json_at(uses, i), "number", 0)))
			gate_void(release, json_at(uses, i), NULL, "the answer was lost, and the key was asked again");
	release->reckon = FALSE;
	gate_part(engine, release, NULL);
}

gboolean gate_reckon(struct engine *engine, struct release *release)
{
	struct message *m;

	if (!release->reckon || json_string(release->work, "key") == NULL)
		return FALSE;
	m = message_new(MSG_RECKON, 0);
	json_set_string(m->body, "id", release->id);
	json_set_string(m->body, "key", json_string(release->work, "key"));
	gate_expect(release);
	engine_ask(engine, ROLE_JUDGE, m, MSG_RECKONED, release, reckoned, NULL);
	return TRUE;
}

struct judging {
	struct json *sign;
	guint number;
};

static void judged(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct judging *j = data;
	g_autoptr(GError) broken = NULL;
	g_autoptr(GBytes) signature = NULL;

	if (error == NULL && (signature = message_bytes(answer, "signature", 1 << 20, &broken)) != NULL) {
		g_autofree char *name = g_strdup_printf("work/signature-%u", j->number);
		release_set_file(release, name, signature);
		json_set(j->sign, "use", json_copy(json_get(answer->body, "use")));
	} else {
		error = error != NULL ? error : broken;
		release->reckon |= !g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED);
		if (answer != NULL && json_get(answer->body, "use") != NULL)
			gate_void(release, json_get(answer->body, "use"), NULL, error->message);
	}
	g_free(j);
	gate_part(engine, release, error);
}

static void ask_judge(
    struct engine *engine, struct release *release, const struct json *artifact, struct json *sign, guint number)
{
	struct message *m = message_new(MSG_JUDGE, 0);
	const char *format = json_string(sign, "format");
	autoptr(json) seen = store_seen(engine->store, release->project, NULL);
	g_autoptr(GBytes) seen_bytes = seen != NULL ? json_canonical(seen) : g_bytes_new_static("{}", 2);
	g_autoptr(GError) error = NULL;
	struct judging *j;
	GHashTableIter files;
	gpointer name;

	json_set_string(m->body, "id", release->id);
	json_set_string(m->body, "project", release->project);
	json_set_string(m->body, "tag", release->tag);
	json_set_string(m->body, "tag_object", release->tag_object);
	json_set_integer(m->body, "tag_first_seen", release->created_ms);
	json_set_boolean(m->body, "first_object", json_boolean(release->work, "first_object", FALSE));
	json_set_string(m->body, "base", json_as_string(json_path(release->work, "base.commit")));
	json_set_string(m->body, "artifact", json_string(artifact, "name"));
	json_set_string(m->body, "blob", json_string(artifact, "blob"));
	json_set_string(m->body, "key", json_string(release->work, "key"));
	json_set_string(m->body, "format", format);
	json_set_string(m->body, "hash", "sha256");
	json_set_integer(m->body, "time", json_integer(sign, "time", 0));
	json_set_integer(m->body, "now", time_now_ms());
	if (json_path(release->work, "provenance.first_seen") != NULL)
		json_set(m->body, "provenance_first_seen", json_copy(json_path(release->work, "provenance.first_seen")));
	message_add_bytes(m, "seen.json", seen_bytes, NULL);
	gate_attach_certificates(release, m, format);
	g_hash_table_iter_init(&files, release->files);
	while (g_hash_table_iter_next(&files, &name, NULL))
		if (g_str_equal(name, "tag") || g_str_has_prefix(name, "approval-") || g_str_equal(name, "provenance") ||
		    g_str_equal(name, "range.json") || g_str_equal(name, "range-commits"))
			release_attach(release, m, name, name);
	gate_expect(release);
	if (!gate_attach_blob(engine, m, "blob", json_string(artifact, "blob"), &error)) {
		message_free(m);
		gate_part(engine, release, error);
		return;
	}
	j = g_new0(struct judging, 1);
	j->sign = sign;
	j->number = number;
	engine_ask(engine, ROLE_JUDGE, m, MSG_JUDGED, release, judged, j);
}

static void advance(struct engine *engine, struct release *release, struct json *artifact, struct json *sign, guint number)
{
	gboolean fresh = time_now_ms() - json_integer(sign, "time", 0) < FRESH_MS;

	if (json_get(sign, "use") != NULL)
		return;
	if (json_get(sign, "digest") == NULL || !fresh)
		ask_digest(engine, release, artifact, sign);
	else
		ask_judge(engine, release, artifact, sign, number);
}

/* The people's last word before the key is asked for. */
static void confirmed(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	(void)data;
	if (error == NULL && !gate_confirmed(engine, release, answer))
		return;
	if (error == NULL)
		json_set_integer(release->work, "confirmed", time_now_ms());
	gate_part(engine, release, error);
}

/* judge decides by what scan and seal told it: another judge has not heard it, so it is said again. TRUE if it must be. */
static gboolean say_again(struct engine *engine, struct release *release)
{
	struct json *artifacts = json_get(release->work, "artifacts");
	gboolean all_signed = TRUE;

	if (json_integer(release->work, "judge_since", 0) == engine->judge_since)
		return FALSE;
	for (guint i = 0; i < json_length(artifacts); i++) {
		struct json *artifact = json_at(artifacts, i), *signs = json_get(artifact, "signs");
		json_set(artifact, "scanned", NULL);
		for (guint n = 0; n < json_length(signs); n++)
			if (json_get(json_at(signs, n), "use") == NULL) {
				json_set(json_at(signs, n), "digest", NULL);
				all_signed = FALSE;
			}
	}
	return !all_signed;
}

void gate_sign_run(struct engine *engine, struct release *release)
{
	if (say_again(engine, release)) {
		gate_enter(engine, release, GATE_SCAN);
		return;
	}
	gate_expect(release);
	if (time_now_ms() - json_integer(release->work, "confirmed", 0) > FRESH_MS)
		gate_decide(engine, release, TRUE, confirmed);
	else
		gate_each_sign(engine, release, advance);
	gate_settle(engine, release);
}
