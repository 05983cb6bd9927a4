/* approval: have enough of the right people approved exactly this? Waits for them; a push to the approvals ref, a webhook or the poll wakes it. */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

/* Every part of the artifacts' work starts here, so that later gates only fill in. */
static void prepare_signs(struct json *artifacts)
{
	for (guint i = 0; i < json_length(artifacts); i++) {
		struct json *artifact = json_at(artifacts, i), *formats = json_get(artifact, "sign"),
			    *signs = json_array_new();
		for (guint n = 0; n < json_length(formats); n++) {
			struct json *sign = json_object_new();
			json_set_string(sign, "format", json_as_string(json_at(formats, n)));
			json_append(signs, sign);
		}
		json_set(artifact, "signs", signs);
	}
}

static void judge_people(struct engine *engine, struct release *release, const struct json *body)
{
	const char *word = json_string(body, "approval"), *reason = json_string(body, "approval_reason");
	int64_t approve_by = json_integer(body, "approve_by", 0);

	reason = reason != NULL ? reason : "the gitops process gave no reason";
	if (g_strcmp0(word, "passed") == 0) {
		prepare_signs(json_get(release->work, "artifacts"));
		gate_pass(engine, release);
	} else if (g_strcmp0(word, "waiting") == 0) {
		gate_wait(engine, release, reason, approve_by > 0 ? approve_by + 1000 : 0);
	} else if (g_strcmp0(word, "denied") == 0 || g_strcmp0(word, "expired") == 0) {
		gate_end(engine, release, word, reason);
	} else {
		gate_end(engine, release, "rejected", reason);
	}
}

void gate_approval_run(struct engine *engine, struct release *release)
{
	if (release->decided != NULL) { /* the answer that let it pass `source` */
		autoptr(message) answer = g_steal_pointer(&release->decided);
		judge_people(engine, release, answer->body);
		return;
	}
	/* Somebody may have approved, denied, moved or deleted: both gates are asked again. */
	json_set(release->record, "gates", NULL);
	gate_enter(engine, release, GATE_SOURCE);
}
