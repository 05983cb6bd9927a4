/* scan: is any of it malware? What could not be scanned did not pass. */
#include "gitops/base/error.h"
#include "server/engine.h"

/* Reports go into the record whatever they say: a finding is what its reader looks for. */
static void enter_into_record(struct release *release)
{
	struct json *artifacts = json_get(release->work, "artifacts"), *list = json_get(release->record, "artifacts");

	for (guint i = 0; i < json_length(artifacts); i++) {
		struct json *report = json_get(json_at(artifacts, i), "report");
		if (report != NULL)
			json_set(json_at(list, i), "scan", json_copy(report));
	}
}

static void scanned(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct json *into = data;

	if (answer != NULL && json_kind(json_get(answer->body, "report")) == JSON_OBJECT)
		json_set(into, "report", json_copy(json_get(answer->body, "report")));
	enter_into_record(release);
	if (error == NULL)
		json_set_boolean(into, "scanned", TRUE);
	gate_part(engine, release, error);
}

void gate_scan_blob(struct engine *engine, struct release *release, struct json *into, const char *blob, const char *name)
{
	struct message *m = message_new(MSG_SCAN, 0);
	g_autoptr(GError) error = NULL;

	json_set_string(m->body, "name", name);
	gate_expect(release);
	if (gate_attach_blob(engine, m, "blob", blob, &error)) {
		engine_ask(engine, ROLE_SCAN, m, MSG_SCANNED, release, scanned, into);
		return;
	}
	message_free(m);
	gate_part(engine, release, error);
}

void gate_scan_run(struct engine *engine, struct release *release)
{
	struct json *artifacts = json_get(release->work, "artifacts");

	json_set_integer(release->work, "judge_since", engine->judge_since);
	gate_expect(release);
	for (guint i = 0; json_boolean(release->work, "scan", TRUE) && i < json_length(artifacts); i++) {
		struct json *artifact = json_at(artifacts, i);
		if (!json_boolean(artifact, "scanned", FALSE))
			gate_scan_blob(
			    engine, release, artifact, json_string(artifact, "blob"), json_string(artifact, "name"));
	}
	gate_settle(engine, release);
}
