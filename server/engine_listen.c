/* What listen asks: authenticated deliveries, which become durable here before they are answered, and questions of the API. */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

static struct json *hooked(int status, const char *release, const char *text)
{
	struct json *body = json_object_new();

	json_set_integer(body, "status", status);
	json_set_string(body, "release", release);
	json_set_string(body, "text", text);
	return body;
}

/* Notes that a source is to be looked at, so that even a crash right after the answer loses no hint. */
static gboolean keep_hint(struct engine *engine, const char *project, GError **error)
{
	g_autofree char *name = g_strdup_printf("hint/%s", project);
	autoptr(json) note = json_integer_new(time_now_ms());

	return store_put_note(engine->store, name, note, error);
}

struct hook { /* one delivery, checked */
	const char *host, *delivery, *body_sha256, *project, *ref, *new_id;
	const struct project *known;
	char **approved; /* names of the projects whose approvals stand there */
	struct release *started;
};

static gboolean is_zero(const char *id)
{
	return strspn(id, "0") == strlen(id);
}

/* A delivery that names a tag of ours starts a release, or finds the one that it started before. NULL with error when the store is away. */
static struct json *take_tag_hook(struct engine *engine, struct hook *hook, GError **error)
{
	const char *tag = hook->ref + strlen("refs/tags/");
	struct store_release *row;
	struct json *answer;

	if (!engine_tag_matters(hook->known, tag))
		return hooked(204, NULL, "no signing policy of this project matches the tag");
	if (is_zero(hook->new_id))
		return keep_hint(engine, hook->known->name, error)
			   ? hooked(202, NULL, "the source is looked at: the tag was deleted")
			   : NULL;
	row = store_find(engine->store, hook->known->name, tag, hook->new_id, error);
	if (row != NULL) {
		answer = hooked(202, row->id, "this tag object is known already");
		store_release_free(row);
		return answer;
	}
	if (*error != NULL)
		return NULL;
	hook->started = release_new(engine, hook->known->name, tag, hook->new_id);
	return hooked(202, hook->started->id, "a release was started");
}

static struct json *take_approvals_hook(struct engine *engine, const struct hook *hook, GError **error)
{
	for (char **name = hook->approved; *name != NULL; name++)
		if (!keep_hint(engine, *name, error))
			return NULL;
	return hooked(202, NULL, "the approvals are looked at");
}

static struct json *take_hook(struct engine *engine, struct hook *hook, GError **error)
{
	if (store_count_open(engine->store) >= (guint)engine->role->config->listen_max_waiting)
		return hooked(429, NULL, "too many releases are under way; send it again later");
	hook->known = engine_project_of(engine, hook->project);
	hook->approved = engine_projects_approved_at(engine, hook->project);
	if (g_strcmp0(hook->project, engine->role->config->policy_url) == 0)
		return keep_hint(engine, "*", error) ? hooked(202, NULL, "the policy is looked at") : NULL;
	if (hook->known == NULL && engine->policy == NULL) /* the policy was not read yet: all is looked at once it is */
		return keep_hint(engine, "*", error)
			   ? hooked(202, NULL, "the policy is not read yet; the source is looked at then")
			   : NULL;
	if (hook->known == NULL && hook->approved[0] != NULL)
		return take_approvals_hook(engine, hook, error);
	if (hook->known == NULL)
		return hooked(204, NULL, "no project of the policy has this source");
	if (g_str_has_prefix(hook->ref, "refs/tags/"))
		return take_tag_hook(engine, hook, error);
	return keep_hint(engine, hook->known->name, error) ? hooked(202, NULL, "the source is looked at") : NULL;
}

/* One durable transaction: the release or the hint, and the answer for replays of the delivery. */
static struct json *keep_hook(struct engine *engine, struct hook *hook, GError **error)
{
	struct json *answer = NULL;

	if (!store_begin(engine->store, TRUE, error))
		return NULL;
	answer = take_hook(engine, hook, error);
	if (answer != NULL && hook->started != NULL) {
		autoptr(json) state = release_state(hook->started);
		struct store_release row = { hook->started->id, hook->started->project, hook->started->tag,
			hook->started->tag_object, hook->started->created_ms, hook->started->created_ms, TRUE, state };
		if (!store_put(engine->store, &row, error))
			g_clear_pointer(&answer, json_unref);
	}
	if (answer != NULL && json_integer(answer, "status", 0) != 429 &&
	    !store_put_delivery(engine->store, hook->host, hook->delivery, hook->body_sha256, answer, error))
		g_clear_pointer(&answer, json_unref);
	if (answer == NULL || !store_commit(engine->store, error)) {
		store_rollback(engine->store);
		g_clear_pointer(&answer, json_unref);
	}
	return answer;
}

static gboolean read_hook(const struct message *message, struct hook *hook)
{
	const struct json *body = message->body;

	hook->host = json_string(body, "host");
	hook->delivery = json_string(body, "delivery");
	hook->body_sha256 = json_string(body, "body_sha256");
	hook->project = json_string(body, "project");
	hook->ref = json_string(body, "ref");
	hook->new_id = json_string(body, "new");
	return hook->host != NULL && hook->delivery != NULL && hook->body_sha256 != NULL &&
	       is_sha256_text(hook->body_sha256) && hook->project != NULL && hook->ref != NULL &&
	       is_ref_name(hook->ref) && hook->new_id != NULL && is_object_id(hook->new_id);
}

/* Another object of that name: the release of the one before waits for nothing any more. */
static void wake_moved(struct engine *engine, const struct release *started)
{
	g_autoptr(GList) all = g_hash_table_get_values(engine->releases);

	for (GList *one = all; one != NULL; one = one->next) {
		struct release *other = one->data;
		if (other != started && other->gate <= GATE_APPROVAL && g_str_equal(other->project, started->project) &&
		    g_str_equal(other->tag, started->tag))
			gate_wake(engine, other);
	}
}

static void follow(struct engine *engine, const struct hook *hook)
{
	for (char **name = hook->approved; name != NULL && *name != NULL; name++)
		engine_look(engine, *name);
	if (hook->started != NULL) {
		wake_moved(engine, hook->started);
		gate_enter(engine, hook->started, GATE_SOURCE);
	} else if (hook->known != NULL || hook->approved == NULL || hook->approved[0] == NULL) {
		engine_look(engine, hook->known != NULL ? hook->known->name : NULL);
	}
}

void engine_hook(struct role_context *role, struct peer *from, struct message *message)
{
	struct engine *engine = role->data;
	struct hook hook = { .known = NULL };
	g_autoptr(GError) error = NULL;
	autoptr(message) answer = message_new(MSG_HOOKED, message->number);
	struct json *body = NULL;
	gboolean replay = FALSE;

	if (!read_hook(message, &hook)) {
		body = hooked(400, NULL, "the delivery names no project, full ref name and full object id");
	} else if ((body = store_delivery(engine->store, hook.host, hook.delivery, hook.body_sha256, &error)) != NULL) {
		replay = TRUE;
	} else if (error == NULL) {
		body = keep_hook(engine, &hook, &error);
	}
	if (body == NULL) {
		log_event("err", "event=hook %s", error->message);
		body = hooked(503, NULL, "the job store is away; send it again later");
		if (hook.started != NULL)
			g_hash_table_remove(engine->releases, hook.started->id);
		hook.started = NULL;
	}
	json_unref(answer->body);
	answer->body = body;
	role_answer(role, from, answer);
	if (!replay && json_integer(body, "status", 0) == 202)
		follow(engine, &hook);
	g_strfreev(hook.approved);
}

/* --- questions of the API --- */

static struct json *gates_of(const struct json *state)
{
	struct json *gates = json_array_new();
	const struct json *record = json_get(state, "record");
	const char *present = json_string(state, "gate"), *status = json_string(state, "status");
	gboolean signed_well = g_strcmp0(json_as_string(json_path(state, "record.end.outcome")), "signed") == 0;
	enum gate now = GATE_SOURCE;

	gate_parse(present != NULL ? present : "source", &now);
	for (guint g = 0; g < GATE_COUNT; g++) {
		struct json *row = json_object_new();
		const char *outcome = json_string(record_gate_line(record, g), "outcome");

		json_set_string(row, "gate", gate_name(g));
		if (outcome == NULL && g == now && g_strcmp0(status, "ended") != 0)
			outcome = status;
		else if (outcome == NULL && g == GATE_RECORD && json_path(state, "work.committed") != NULL)
			outcome = "passed";
		else if (outcome == NULL && g == GATE_PUBLISH && signed_well && g_strcmp0(status, "ended") == 0)
			outcome = "passed";
		json_set_string(row, "outcome", outcome != NULL ? outcome : "-");
		if (g == now && json_string(state, "reason") != NULL)
			json_set_string(row, "reason", json_string(state, "reason"));
		if (outcome != NULL && g_strcmp0(json_as_string(json_path(state, "record.end.gate")), gate_name(g)) == 0)
			json_set_string(row, "reason", json_as_string(json_path(state, "record.end.reason")));
		json_append(gates, row);
	}
	return gates;
}

static struct json *artifacts_of(const struct json *state)
{
	struct json *list = json_array_new();
	const struct json *artifacts = json_path(state, "record.artifacts");

	for (guint i = 0; json_path(state, "work.published") != NULL && i < json_length(artifacts); i++) {
		const struct json *artifact = json_at(artifacts, i), *made = json_get(artifact, "signed");
		struct json *row = json_object_new();
		json_set_string(row, "name", json_string(artifact, "name"));
		json_set_integer(row, "size", json_integer(made, "size", 0));
		json_set_string(row, "sha256", json_string(made, "sha256"));
		json_append(list, row);
	}
	return list;
}

static struct json *release_view(const struct store_release *row)
{
	struct json *view = json_object_new();
	const struct json *end = json_path(row->state, "record.end");
	const char *status = json_string(row->state, "status");
	g_autofree char *created = time_format_ms(row->created_ms), *updated = time_format_ms(row->updated_ms);

	json_set_string(view, "id", row->id);
	json_set_string(view, "project", row->project);
	json_set_string(view, "tag", row->tag);
	json_set_string(view, "tag_object", row->tag_object);
	json_set_string(view, "state", status != NULL ? status : "working");
	json_set_string(view, "gate", json_string(row->state, "gate"));
	json_set_string(view, "reason", end != NULL ? json_string(end, "reason") : json_string(row->state, "reason"));
	/* Closed is not over: the record has yet to be committed, and what was signed to be published. */
	json_set_string(view, "outcome", row->open ? NULL : json_string(end, "outcome"));
	json_set_string(view, "created", created);
	json_set_string(view, "updated", updated);
	json_set(view, "gates", gates_of(row->state));
	json_set(view, "artifacts", artifacts_of(row->state));
	if (json_path(row->state, "record.source.range") != NULL)
		json_set(view, "range", json_copy(json_path(row->state, "record.source.range")));
	if (json_path(row->state, "work.committed") != NULL)
		json_set(view, "log", json_copy(json_path(row->state, "work.committed")));
	return view;
}

static struct json *tell_releases(struct engine *engine, const struct json *ask, int *status, GError **error)
{
	struct store_query query = { json_string(ask, "project"), json_string(ask, "tag"), json_string(ask, "outcome"),
		json_string(ask, "before"), FALSE, CLAMP(json_integer(ask, "limit", 50), 1, 500) };
	g_autoptr(GPtrArray) rows = store_list(engine->store, &query, error);
	struct json *answer = rows != NULL ? json_object_new() : NULL, *list = json_array_new();

	*status = 200;
	for (guint i = 0; rows != NULL && i < rows->len; i++)
		json_append(list, release_view(g_ptr_array_index(rows, i)));
	if (answer == NULL)
		json_unref(list);
	else
		json_set(answer, "releases", list);
	return answer;
}

static struct json *tell_release(struct engine *engine, const struct json *ask, int *status, GError **error)
{
	const char *id = json_string(ask, "id");
	gboolean just_record = g_strcmp0(json_string(ask, "ask"), "record") == 0;
	struct store_release *row = id != NULL && is_ulid(id) ? store_get(engine->store, id, error) : NULL;
	struct json *answer = NULL;

	*status = row != NULL ? 200 : 404;
	if (row != NULL && just_record)
		answer = json_copy(json_get(row->state, "record"));
	else if (row != NULL && (answer = release_view(row)) != NULL)
		json_set(answer, "record", json_copy(json_get(row->state, "record")));
	store_release_free(row);
	return answer;
}

static struct json *tell_health(struct engine *engine, const struct json *ask, int *status, GError **error)
{
	struct json *answer = json_object_new();
	guint waiting = 0;

	(void)ask;
	(void)error;
	for (guint r = 0; r < ROLE_COUNT; r++)
		waiting += engine->questions[r] != NULL ? g_queue_get_length(engine->questions[r]) : 0;
	*status = 200;
	json_set_string(answer, "status", engine->policy != NULL ? "ok" : "degraded");
	json_set_string(answer, "version", TAGSEAL_VERSION);
	json_set_string(answer, "policy", engine->policy);
	json_set_integer(answer, "open", g_hash_table_size(engine->releases));
	json_set_integer(answer, "queued", waiting);
	return answer;
}

/* The blob of a published name: the signed file, the file beside which a signature stands, or that signature. */
static const char *find_blob(const struct json *state, const char *name)
{
	const struct json *artifacts = json_path(state, "work.artifacts");

	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *artifact = json_at(artifacts, i),
				  *made = json_at(json_path(state, "record.artifacts"), i);
		const struct json *rows = json_path(made, "signed.signatures"), *signs = json_get(artifact, "signs");
		if (g_strcmp0(json_string(artifact, "name"), name) == 0)
			return json_as_string(json_path(made, "signed.sha256"));
		for (guint n = 0; n < json_length(rows); n++)
			if (g_strcmp0(json_string(json_at(rows, n), "path"), name) == 0)
				return json_string(json_at(signs, n), "output");
	}
	return NULL;
}

/* Nothing leaves before `record` has passed: only a release that reached `publish` has files to give. */
static void tell_artifact(struct engine *engine, struct message *answer, const struct json *ask)
{
	const char *id = json_string(ask, "id"), *name = json_string(ask, "name");
	struct store_release *row = id != NULL && is_ulid(id) ? store_get(engine->store, id, NULL) : NULL;
	const char *blob = row != NULL && name != NULL && json_path(row->state, "work.published") != NULL
			       ? find_blob(row->state, name)
			       : NULL;
	gboolean found = blob != NULL && gate_attach_blob(engine, answer, "body", blob, NULL);

	json_set_integer(answer->body, "status", found ? 200 : 404);
	json_set_string(answer->body, "name", name);
	store_release_free(row);
}

static const struct {
	const char *ask;
	struct json *(*tell)(struct engine *, const struct json *, int *, GError **);
} tellers[] = {
	{ "releases", tell_releases },
	{ "release", tell_release },
	{ "record", tell_release },
	{ "health", tell_health },
};

void engine_tell(struct role_context *role, struct peer *from, struct message *message)
{
	struct engine *engine = role->data;
	const char *ask = json_string(message->body, "ask");
	autoptr(message) answer = message_new(MSG_TOLD, message->number);
	autoptr(json) told = NULL;
	g_autoptr(GError) error = NULL;
	int status = 404;

	if (g_strcmp0(ask, "artifact") == 0) {
		tell_artifact(engine, answer, message->body);
		role_answer(role, from, answer);
		return;
	}
	for (guint i = 0; ask != NULL && i < G_N_ELEMENTS(tellers); i++)
		if (g_str_equal(tellers[i].ask, ask))
			told = tellers[i].tell(engine, message->body, &status, &error);
	if (error != NULL) {
		log_event("err", "event=ask %s", error->message);
		status = 503;
	}
	if (told != NULL) {
		g_autoptr(GBytes) bytes = json_canonical(told);
		message_add_bytes(answer, "body", bytes, NULL);
	}
	json_set_integer(answer->body, "status", status);
	role_answer(role, from, answer);
}
