/* fetch: are these the very artifacts? The courier fills an unnamed file; what does not have the pinned digest is refused and forgotten. */
#include <string.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

struct fetch {
	struct json *artifact; /* borrowed from the release's work, which outlives the answer */
	int fd;
};

static void fetch_free(struct fetch *fetch)
{
	if (fetch->fd >= 0)
		close(fetch->fd);
	g_free(fetch);
}

static void adopted(struct engine *engine, struct release *release, const char *sha256, uint64_t size,
    const GError *error, gpointer data)
{
	struct fetch *fetch = data;
	const char *pinned = json_string(fetch->artifact, "sha256");
	g_autoptr(GError) refused = NULL;

	if (error == NULL && pinned != NULL && !g_str_equal(pinned, sha256)) {
		error_refused(&refused, "the artifact \"%s\" from %s has %s, but %s was pinned by the %s",
		    json_string(fetch->artifact, "name"), json_string(fetch->artifact, "url"), sha256, pinned,
		    json_string(fetch->artifact, "pinned_by"));
		error = refused;
	}
	if (error == NULL) {
		json_set_string(fetch->artifact, "blob", sha256);
		json_set_integer(fetch->artifact, "size", size);
	}
	fetch_free(fetch);
	gate_part(engine, release, error);
}

static void fetched(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct fetch *fetch = data;

	(void)answer;
	if (error != NULL) {
		fetch_free(fetch);
		gate_part(engine, release, error);
		return;
	}
	spool_adopt(engine, fetch->fd, release, adopted, fetch);
	fetch->fd = -1;
}

/* The very bytes may be here already, from another release. */
static gboolean have_already(struct engine *engine, struct json *artifact)
{
	const char *pinned = json_string(artifact, "sha256");
	uint64_t size;
	autofd int fd = pinned != NULL && spool_has(engine, pinned) ? spool_open(engine, pinned, &size, NULL) : -1;

	if (fd < 0)
		return FALSE;
	json_set_string(artifact, "blob", pinned);
	json_set_integer(artifact, "size", size);
	return TRUE;
}

static void fetch_artifact(struct engine *engine, struct release *release, struct json *artifact)
{
	struct message *m;
	struct fetch *fetch;
	g_autoptr(GError) error = NULL;

	if (json_string(artifact, "blob") != NULL || have_already(engine, artifact))
		return;
	m = message_new(MSG_FETCH, 0);
	fetch = g_new0(struct fetch, 1);
	fetch->artifact = artifact;
	json_set_string(m->body, "url", json_string(artifact, "url"));
	json_set_integer(m->body, "max_size",
	    MIN(json_integer(artifact, "max_size", 0), (int64_t)engine->role->config->fetch_max_size));
	if (json_string(artifact, "sha256") != NULL)
		json_set_string(m->body, "sha256", json_string(artifact, "sha256"));
	gate_expect(release);
	if ((fetch->fd = spool_temporary(engine, &error)) < 0 ||
	    !message_add_fd(m, "output", fetch->fd, NULL, 0, &error)) {
		message_free(m);
		fetch_free(fetch);
		gate_part(engine, release, error);
		return;
	}
	engine_ask(engine, ROLE_COURIER, m, MSG_FETCHED, release, fetched, fetch);
}

/* The record's list: what was fetched, from where, and who vouched for it. */
static void enter_into_record(struct release *release)
{
	struct json *list = json_array_new(), *artifacts = json_get(release->work, "artifacts");
	const struct json *proven = json_path(release->work, "provenance.section");

	for (guint i = 0; i < json_length(artifacts); i++) {
		static const char *const texts[][2] = { { "name", "name" }, { "type", "type" }, { "blob", "sha256" },
			{ "url", "from" }, { "pinned_by", "pinned_by" } };
		const struct json *artifact = json_at(artifacts, i);
		struct json *row = json_object_new();

		for (guint n = 0; n < G_N_ELEMENTS(texts); n++)
			json_set_string(row, texts[n][1], json_string(artifact, texts[n][0]));
		json_set_integer(row, "size", json_integer(artifact, "size", 0));
		if (proven != NULL)
			json_set(row, "provenance", json_copy(proven));
		json_append(list, row);
	}
	json_set(release->record, "artifacts", list);
}

void gate_fetch_run(struct engine *engine, struct release *release)
{
	struct json *artifacts = json_get(release->work, "artifacts");

	gate_expect(release);
	for (guint i = 0; i < json_length(artifacts); i++)
		fetch_artifact(engine, release, json_at(artifacts, i));
	gate_fetch_provenance(engine, release);
	if (release->pending == 1)
		enter_into_record(release);
	gate_settle(engine, release);
}
