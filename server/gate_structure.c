/* structure: does every reader see the same bytes in it? A seal worker parses it, nothing else of ours does. */
#include "gitops/base/error.h"
#include "server/engine.h"

static void inspected(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct json *artifact = data;
	g_autoptr(GError) named = error != NULL ? g_error_copy(error) : NULL;

	(void)answer;
	if (error == NULL)
		json_set_boolean(artifact, "inspected", TRUE);
	else
		g_prefix_error(&named, "%s: ", json_string(artifact, "name"));
	gate_part(engine, release, named);
}

void gate_structure_run(struct engine *engine, struct release *release)
{
	struct json *artifacts = json_get(release->work, "artifacts");

	gate_expect(release);
	for (guint i = 0; i < json_length(artifacts); i++) {
		struct json *artifact = json_at(artifacts, i);
		struct message *m;
		g_autoptr(GError) error = NULL;

		if (json_boolean(artifact, "inspected", FALSE))
			continue;
		m = message_new(MSG_INSPECT, 0);
		json_set_string(m->body, "type", json_string(artifact, "type"));
		json_set_string(m->body, "name", json_string(artifact, "name"));
		gate_expect(release);
		if (gate_attach_blob(engine, m, "blob", json_string(artifact, "blob"), &error)) {
			engine_ask(engine, ROLE_SEAL, m, MSG_INSPECTED, release, inspected, artifact);
		} else {
			message_free(m);
			gate_part(engine, release, error);
		}
	}
	gate_settle(engine, release);
}
