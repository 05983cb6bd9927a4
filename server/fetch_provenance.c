/*
 * The part of the gate `fetch` about provenance: its file is fetched beside the artifacts and kept as evidence; once they are there too, gitops says whether it
 * vouches for them. engine reads nothing of it.
 */
#include <string.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"
#include "server/pins.h"

struct fetch {
	int fd;
};

static void fetch_free(struct fetch *fetch)
{
	if (fetch->fd >= 0)
		close(fetch->fd);
	g_free(fetch);
}

/* It is first seen now: certificates that live for minutes are judged by that, unless a timestamp says when they signed. */
static void fetched(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct fetch *fetch = data;
	g_autoptr(GError) broken = NULL;
	g_autoptr(GBytes) bytes = NULL;

	(void)answer;
	if (error == NULL && (bytes = fd_read(fetch->fd, PROVENANCE_MAX, &broken)) != NULL) {
		release_set_file(release, "provenance", bytes);
		json_set_integer(json_get(release->work, "provenance"), "first_seen", time_now_ms());
	}
	fetch_free(fetch);
	gate_part(engine, release, error != NULL ? error : broken);
}

static void ask_courier(struct engine *engine, struct release *release, const struct json *provenance)
{
	struct message *m = message_new(MSG_FETCH, 0);
	struct fetch *fetch = g_new0(struct fetch, 1);
	g_autoptr(GError) error = NULL;

	json_set_string(m->body, "url", json_string(provenance, "url"));
	json_set_integer(m->body, "max_size", PROVENANCE_MAX);
	gate_expect(release);
	if ((fetch->fd = spool_temporary(engine, &error)) >= 0 &&
	    message_add_fd(m, "output", fetch->fd, NULL, 0, &error)) {
		engine_ask(engine, ROLE_COURIER, m, MSG_FETCHED, release, fetched, fetch);
		return;
	}
	message_free(m);
	fetch_free(fetch);
	gate_part(engine, release, error);
}

/* What nobody else pinned is pinned from here on. */
static void take_section(struct release *release, struct json *section)
{
	struct json *artifacts = json_get(release->work, "artifacts");

	json_set(json_get(release->work, "provenance"), "section", section);
	for (guint i = 0; i < json_length(artifacts); i++) {
		struct json *artifact = json_at(artifacts, i);

		if (json_string(artifact, "pinned_by") == NULL)
			json_set_string(artifact, "pinned_by", "provenance");
		json_set_string(artifact, "sha256", json_string(artifact, "blob"));
	}
}

static void vouched(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	g_autoptr(GError) broken = NULL;
	g_autoptr(GBytes) bytes = error == NULL ? message_bytes(answer, "section.json", 1 << 16, &broken) : NULL;
	struct json *section = bytes != NULL ? json_parse_bytes(bytes, &broken) : NULL;

	(void)data;
	if (section != NULL)
		take_section(release, section);
	gate_part(engine, release, error != NULL ? error : broken);
}

static void ask_gitops(struct engine *engine, struct release *release, const struct json *provenance)
{
	const struct json *artifacts = json_get(release->work, "artifacts");
	struct message *m = message_new(MSG_VOUCH, 0);
	autoptr(json) list = json_array_new();
	g_autoptr(GBytes) bytes = NULL;

	for (guint i = 0; i < json_length(artifacts); i++) {
		struct json *row = json_object_new();

		json_set_string(row, "name", json_string(json_at(artifacts, i), "name"));
		json_set_string(row, "sha256", json_string(json_at(artifacts, i), "blob"));
		json_append(list, row);
	}
	bytes = json_canonical(list);
	json_set_string(m->body, "project", release->project);
	json_set_string(m->body, "tag", release->tag);
	json_set_string(m->body, "commit", json_as_string(json_path(release->record, "source.commit")));
	json_set_integer(m->body, "first_seen", json_integer(provenance, "first_seen", 0));
	message_add_bytes(m, "artifacts.json", bytes, NULL);
	release_attach(release, m, "provenance", "provenance");
	gate_expect(release);
	engine_ask(engine, ROLE_GITOPS, m, MSG_VOUCHED, release, vouched, NULL);
}

static gboolean all_are_here(const struct json *artifacts)
{
	for (guint i = 0; i < json_length(artifacts); i++)
		if (json_string(json_at(artifacts, i), "blob") == NULL)
			return FALSE;
	return TRUE;
}

void gate_fetch_provenance(struct engine *engine, struct release *release)
{
	const struct json *provenance = json_get(release->work, "provenance");

	if (provenance == NULL || json_get(provenance, "section") != NULL)
		return;
	if (json_get(provenance, "first_seen") == NULL)
		ask_courier(engine, release, provenance);
	else if (all_are_here(json_get(release->work, "artifacts")))
		ask_gitops(engine, release, provenance);
}
