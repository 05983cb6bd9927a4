/* source: is this tag, in this repository, signed by someone who may ask? gitops answers, for this gate and the next at once. */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"
#include "signer/format.h"
#include "signer/type.h"

#define EVIDENCE_OF_ONE 3 /* signature: query, answer and the signature itself */
#define SOURCE_PATIENCE_MS (10 * 60 * 1000) /* hosts show a tag some time after they told of it */

/* Is this the first tag object that we ever saw under this name? */
static gboolean first_object(struct engine *engine, const struct release *release)
{
	struct store_query query = { .project = release->project, .tag = release->tag, .limit = 50 };
	g_autoptr(GPtrArray) rows = store_list(engine->store, &query, NULL);

	for (guint i = 0; rows != NULL && i < rows->len; i++) {
		const struct store_release *row = g_ptr_array_index(rows, i);
		if (!g_str_equal(row->tag_object, release->tag_object) && row->created_ms <= release->created_ms)
			return FALSE;
	}
	return rows != NULL;
}

void gate_decide(struct engine *engine, struct release *release, gboolean fetch, answer_fn answer)
{
	struct message *m = message_new(MSG_DECIDE, 0);
	autoptr(json) seen = store_seen(engine->store, release->project, NULL);
	int64_t now = time_now_ms();
	g_autoptr(GBytes) bytes = NULL;

	json_set_string(m->body, "project", release->project);
	json_set_string(m->body, "tag", release->tag);
	json_set_string(m->body, "tag_object", release->tag_object);
	json_set_integer(m->body, "tag_first_seen", release->created_ms);
	json_set_integer(m->body, "now", now);
	json_set_integer(release->work, "asked", now);
	json_set_boolean(m->body, "fetch", fetch);
	json_set_boolean(release->work, "first_object", first_object(engine, release));
	json_set_boolean(m->body, "first_object", json_boolean(release->work, "first_object", FALSE));
	json_set(m->body, "bases", engine_bases(engine, release));
	bytes = seen != NULL ? json_canonical(seen) : g_bytes_new_static("{}", 2);
	message_add_bytes(m, "seen.json", bytes, NULL);
	gate_expect(release);
	engine_ask(engine, ROLE_GITOPS, m, MSG_DECIDED, release, answer, NULL);
}

/* First-seen times are ours to keep: what is new is written down before anything is decided by it, with the time that the answer has for it. */
static gboolean keep_seen(struct engine *engine, const struct release *release, const struct json *ids, GError **error)
{
	int64_t now = json_integer(release->work, "asked", time_now_ms());
	gboolean kept = json_length(ids) == 0 || store_begin(engine->store, FALSE, error);

	for (guint i = 0; kept && i < json_length(ids); i++) {
		const char *id = json_as_string(json_at(ids, i));
		if (id != NULL && is_object_id(id))
			kept = store_put_seen(engine->store, release->project, id, now, error);
	}
	if (kept && json_length(ids) > 0)
		kept = store_commit(engine->store, error);
	if (!kept)
		store_rollback(engine->store);
	return kept;
}

/* The answer does not know the tag any more (deleted, moved), but it was read before: what it said then stays, as its evidence does. */
static gboolean knows_less(const struct release *release, const struct json *sections)
{
	return json_path(sections, "source.commit") == NULL && json_path(release->record, "source.commit") != NULL;
}

/* Where the rule's provenance is fetched from; NULL: it wants none. */
static void take_provenance(struct release *release, const char *url)
{
	struct json *provenance = json_object_new();

	json_set_string(provenance, "url", url);
	json_set(release->work, "provenance", url != NULL ? provenance : NULL);
	if (url == NULL)
		json_unref(provenance);
}

static void take_record(struct release *release, const struct json *sections)
{
	static const char *const to_record[] = { "policy", "source", "approvals" };

	for (guint i = 0; i < (knows_less(release, sections) ? 1 : G_N_ELEMENTS(to_record)); i++)
		if (json_get(sections, to_record[i]) != NULL)
			json_set(release->record, to_record[i], json_copy(json_get(sections, to_record[i])));
}

static void take_work(struct release *release, const struct json *sections, const struct json *body)
{
	static const char *const to_work[] = { "key", "purpose", "rule", "moved_tags", "approve_by" };

	for (guint i = 0; i < G_N_ELEMENTS(to_work); i++)
		if (json_get(body, to_work[i]) != NULL)
			json_set(release->work, to_work[i], json_copy(json_get(body, to_work[i])));
	json_set_boolean(release->work, "timestamp", json_boolean(sections, "timestamp", TRUE));
	json_set_boolean(release->work, "scan", json_boolean(sections, "scan", TRUE));
	if (json_get(sections, "artifacts") != NULL)
		json_set(release->work, "artifacts", json_copy(json_get(sections, "artifacts")));
	take_provenance(release, json_string(sections, "provenance"));
}

/* Names become file names, and formats and types rows of our tables: gitops is believed in neither. */
static gboolean check_artifacts(const struct json *artifacts, GError **error)
{
	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *artifact = json_at(artifacts, i), *formats_of = json_get(artifact, "sign");
		const char *name = json_string(artifact, "name"), *type = json_string(artifact, "type");
		guint into_the_file = 0;

		if (name == NULL ||
		    !g_regex_match_simple("^[A-Za-z0-9_][A-Za-z0-9._+~@-]{0,199}$", name, G_REGEX_DOLLAR_ENDONLY, 0)) {
			g_autofree char *shown = text_escape(name != NULL ? name : "", -1, 80);
			error_refused(error,
			    "the artifact name \"%s\" is no plain file name (letters, digits and ._+~@-)", shown);
			return FALSE;
		}
		if (type == NULL || file_type_named(type) == NULL || json_string(artifact, "url") == NULL) {
			error_refused(error,
			    "the artifact %s has no \"fetch\", or a \"type\" that this server does not know", name);
			return FALSE;
		}
		for (guint n = 0; n < json_length(formats_of); n++) {
			const char *word = json_as_string(json_at(formats_of, n));
			const struct format *format = word != NULL ? format_named(word) : NULL;
			if (format == NULL || !format->supports(type)) {
				error_refused(
				    error, "the artifact %s cannot be signed so: this server has no format \"%s\" for the type \"%s\"",
				    name, word != NULL ? word : "?", type);
				return FALSE;
			}
			into_the_file += format->suffix == NULL;
		}
		if (into_the_file > 0 && json_length(formats_of) > 1) {
			error_refused(error,
			    "the artifact %s cannot be signed so: a signature inside the file changes what a second "
			    "one would be over; list it twice, under two names",
			    name);
			return FALSE;
		}
	}
	return TRUE;
}

/* One message takes a record to the ledger, with all its evidence. Said now, and not when the keys have been used. */
static gboolean check_evidence(const struct release *release, GError **error)
{
	const struct json *artifacts = json_get(release->work, "artifacts");
	g_autoptr(GList) names = release_evidence(release);
	gboolean more = json_get(release->work, "provenance") != NULL && release_file(release, "provenance") == NULL;
	guint signatures = 0, files = g_list_length(names) + more;

	for (guint i = 0; i < json_length(artifacts); i++)
		signatures += json_length(json_get(json_at(artifacts, i), "sign"));
	if (files < MESSAGE_FILES_MAX && signatures * EVIDENCE_OF_ONE <= MESSAGE_FILES_MAX - 1 - files)
		return TRUE;
	error_refused(error,
	    "a release of %u signatures, with %u tags, approvals and policy files as evidence, is more than one record "
	    "takes: %d files; divide it into projects of their own",
	    signatures, files, MESSAGE_FILES_MAX - 1);
	return FALSE;
}

/* What gitops may name: anything else could pass for a signature or a token of ours. */
static gboolean is_evidence(const char *name)
{
	return g_regex_match_simple("^(tag|policy\\.json|policy-chain|range\\.json|range-signers\\.json|range-commits|"
				    "manifest|approval-[1-9][0-9]{0,3})$",
	    name, G_REGEX_DOLLAR_ENDONLY, 0);
}

/* Not `anew`: what was made of the artifacts stays, and only what the people said is taken. */
static gboolean take_answer(struct release *release, struct message *answer, gboolean anew, GError **error)
{
	if (!engine_keep_base(release, answer->body, error))
		return FALSE;
	for (guint i = 0; i < answer->files->len; i++) {
		const struct message_file *file = &g_array_index(answer->files, struct message_file, i);
		gboolean ours = g_str_equal(file->name, "certificates") || g_str_equal(file->name, "openpgp");
		g_autofree char *name = ours ? g_strconcat("work/", file->name, NULL) : g_strdup(file->name);
		g_autoptr(GBytes) bytes = message_bytes(answer, file->name, 16 << 20, error);

		if (bytes == NULL)
			return FALSE;
		if (g_str_equal(file->name, "sections.json")) {
			autoptr(json) sections = json_parse_bytes(bytes, error);
			if (sections == NULL || !check_artifacts(json_get(sections, "artifacts"), error))
				return FALSE;
			take_record(release, sections);
			if (anew)
				take_work(release, sections, answer->body);
		} else if (ours || is_evidence(name)) {
			release_set_file(release, name, bytes);
		}
	}
	return check_evidence(release, error);
}

static gboolean is(const struct json *body, const char *member, const char *word)
{
	return g_strcmp0(json_string(body, member), word) == 0;
}

static const char *reason_of(const struct json *body, const char *member)
{
	const char *reason = json_string(body, member);

	return reason != NULL ? reason : "the gitops process gave no reason";
}

/* The tag under this name moved while the old one was signed, or is being signed: the policy says whether that may be. */
static gboolean moved_after_signing(struct engine *engine, const struct release *release)
{
	struct store_query query = { .project = release->project, .tag = release->tag, .outcome = "signed", .limit = 50 };
	g_autoptr(GPtrArray) rows = store_list(engine->store, &query, NULL);

	for (guint i = 0; rows != NULL && i < rows->len; i++)
		if (!g_str_equal(((struct store_release *)g_ptr_array_index(rows, i))->tag_object, release->tag_object))
			return !is(release->work, "moved_tags", "allow");
	return rows == NULL;
}

static void decided(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	g_autoptr(GError) failure = NULL;

	(void)data;
	release->pending--;
	if (error != NULL || !take_answer(release, answer, TRUE, &failure) ||
	    !keep_seen(engine, release, json_get(answer->body, "new_seen"), &failure)) {
		gate_error(engine, release, error != NULL ? error : failure);
		return;
	}
	/* A policy that is in force since: it may name other sources, other tags, another place for approvals. */
	if (json_string(answer->body, "policy") != NULL && !is(answer->body, "policy", engine->policy))
		engine_look(engine, NULL);
	if (is(answer->body, "source", "ignored")) { /* no rule of the project matches this tag: none of our business */
		g_autoptr(GError) gone = NULL;
		if (store_begin(engine->store, FALSE, &gone) && store_remove(engine->store, release->id, &gone) &&
		    store_commit(engine->store, &gone)) {
			g_hash_table_remove(engine->releases, release->id);
			return;
		}
		store_rollback(engine->store);
		gate_error(engine, release, gone);
		return;
	}
	if (is(answer->body, "source", "rejected") || is(answer->body, "source", "denied")) {
		gate_end(engine, release, json_string(answer->body, "source"), reason_of(answer->body, "source_reason"));
		return;
	}
	if (!is(answer->body, "source", "passed")) {
		if (time_now_ms() - release->created_ms > SOURCE_PATIENCE_MS)
			gate_end(engine, release, "rejected", reason_of(answer->body, "source_reason"));
		else
			gate_wait(engine, release, reason_of(answer->body, "source_reason"), time_now_ms() + 15000);
		return;
	}
	if (moved_after_signing(engine, release)) {
		gate_end(engine, release, "rejected",
		    "an earlier tag object of this name was signed already, and the policy does not say moved_tags = "
		    "\"allow\"; tag a new version");
		return;
	}
	message_free(release->decided);
	release->decided = message_new(MSG_DECIDED, 0);
	json_unref(release->decided->body);
	release->decided->body = json_ref(answer->body);
	gate_pass(engine, release);
}

/* ---- asked once more, before a key is used ---- */

static gboolean is_used(const struct release *release)
{
	const struct json *artifacts = json_get(release->work, "artifacts");

	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *signs = json_get(json_at(artifacts, i), "signs");
		for (guint n = 0; n < json_length(signs); n++)
			if (json_get(json_at(signs, n), "use") != NULL)
				return TRUE;
	}
	return FALSE;
}

/* The same people say the same: then the record need not be written anew. */
static gboolean same_words(const struct release *release, const struct message *answer)
{
	g_autoptr(GBytes) bytes = message_bytes(answer, "sections.json", 16 << 20, NULL);
	autoptr(json) sections = bytes != NULL ? json_parse_bytes(bytes, NULL) : NULL;
	const struct json *before = json_get(release->record, "approvals"), *now = json_get(sections, "approvals");

	return json_length(before) == json_length(now) && (json_length(now) == 0 || json_equal(before, now));
}

/* The first word that is not "passed", and its reason. */
static const char *last_word(const struct json *body, const char **reason)
{
	const char *gate = is(body, "source", "passed") ? "approval" : "source";
	const char *word = json_string(body, gate);

	*reason = reason_of(body, gate[0] == 's' ? "source_reason" : "approval_reason");
	return word != NULL ? word : "rejected";
}

gboolean gate_confirmed(struct engine *engine, struct release *release, struct message *answer)
{
	const char *reason, *word = last_word(answer->body, &reason);
	gboolean used = is_used(release), passed = g_str_equal(word, "passed");
	g_autoptr(GError) failure = NULL;

	if (!keep_seen(engine, release, json_get(answer->body, "new_seen"), &failure)) {
		release->pending--;
		gate_error(engine, release, failure);
		return FALSE;
	}
	if (passed && (used || same_words(release, answer)))
		return TRUE;
	release->pending--;
	if (passed || (g_str_equal(word, "waiting") && !used)) {
		json_set(release->record, "gates", NULL);
		release->looked = TRUE; /* it was fetched for this answer */
		gate_enter(engine, release, GATE_SOURCE);
	} else if (!take_answer(release, answer, FALSE, &failure)) {
		gate_error(engine, release, failure);
	} else {
		gboolean ends = g_str_equal(word, "denied") || g_str_equal(word, "expired");
		gate_end(engine, release, ends ? word : "rejected", reason);
	}
	return FALSE;
}

void gate_source_run(struct engine *engine, struct release *release)
{
	gboolean fetch = !release->looked;

	release->looked = FALSE;
	gate_decide(engine, release, fetch, decided);
}
