/* publish: have the people who wait for it got it? Into a folder; the download from us is open to it from here on as well. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <string.h>
#include <unistd.h>

#include "gitops/base/error.h"
#include "server/engine.h"
#include "signer/format.h"

struct copy {
	struct json *published; /* of the release's work: names that are there */
	char *folder, *name;
	int fd;
};

static void copy_end(struct engine *engine, struct release *release, struct copy *copy, const GError *error)
{
	if (copy->fd >= 0)
		close(copy->fd);
	g_free(copy->folder);
	g_free(copy->name);
	g_free(copy);
	gate_part(engine, release, error);
}

static gboolean away(GError **error, const char *doing, const char *where)
{
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "cannot %s %s: %s", doing, where, g_strerror(errno));
	return FALSE;
}

/* Whole or not at all: named only when all bytes are on the disk. */
static gboolean name_file(const struct copy *copy, GError **error)
{
	g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", copy->fd);
	g_autofree char *path = g_build_filename(copy->folder, copy->name, NULL);
	g_autofree char *temporary = g_strdup_printf("%s/.%s.part", copy->folder, copy->name);

	if ((unlink(temporary) < 0 && errno != ENOENT) || fchmod(copy->fd, 0444) < 0 ||
	    linkat(AT_FDCWD, self, AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) < 0 || rename(temporary, path) < 0)
		return away(error, "publish", path);
	return TRUE;
}

static void copied(
    struct engine *engine, struct release *release, struct message *answer, const GError *error, gpointer data)
{
	struct copy *copy = data;
	g_autoptr(GError) failed = NULL;

	(void)answer;
	if (error == NULL && name_file(copy, &failed))
		json_set_boolean(copy->published, copy->name, TRUE);
	copy_end(engine, release, copy, error != NULL ? error : failed);
}

static void publish_blob(
    struct engine *engine, struct release *release, const char *folder, const char *name, const char *blob)
{
	struct json *published = json_get(release->work, "published");
	struct message *m;
	struct copy *copy;
	g_autoptr(GError) error = NULL;

	if (json_boolean(published, name, FALSE))
		return;
	m = message_new(MSG_COPY, 0);
	copy = g_new0(struct copy, 1);
	copy->published = published;
	copy->folder = g_strdup(folder);
	copy->name = g_strdup(name);
	copy->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
	gate_expect(release);
	if (copy->fd < 0)
		away(&error, "make a file in", folder);
	if (error != NULL || !gate_attach_blob(engine, m, "from", blob, &error) ||
	    !message_add_fd(m, "to", copy->fd, NULL, 0, &error)) {
		message_free(m);
		copy_end(engine, release, copy, error);
		return;
	}
	engine_ask(engine, ROLE_COURIER, m, MSG_COPIED, release, copied, copy);
}

static void publish_artifact(
    struct engine *engine, struct release *release, const char *folder, const struct json *artifact)
{
	const struct json *signs = json_get(artifact, "signs");
	const char *name = json_string(artifact, "name"), *main_blob = json_string(artifact, "blob");

	for (guint i = 0; i < json_length(signs); i++) {
		const struct json *sign = json_at(signs, i);
		const char *suffix = format_named(json_string(sign, "format"))->suffix;
		g_autofree char *beside = g_strconcat(name, suffix, NULL);
		if (suffix == NULL)
			main_blob = json_string(sign, "output");
		else
			publish_blob(engine, release, folder, beside, json_string(sign, "output"));
	}
	publish_blob(engine, release, folder, name, main_blob);
}

/* Kept in the transaction that ends the release. */
static void tell(const struct engine *engine, struct release *release)
{
	struct json *extra = json_object_new();

	json_set_string(extra, "where", *engine->role->config->publish_folder != '\0' ? "folder" : "download");
	release_event(release, "published", json_as_string(json_path(release->work, "committed.sha256")), extra);
}

/* A tag may hold slashes: "widget/v1" of the project "acme" must not be the folder of "v1" of "acme/widget". */
static char *folder_of(const struct config *config, const struct release *release)
{
	g_auto(GStrv) percents = g_strsplit(release->tag, "%", -1);
	g_autofree char *whole = g_strjoinv("%25", percents);
	g_auto(GStrv) slashes = g_strsplit(whole, "/", -1);
	g_autofree char *name = g_strjoinv("%2F", slashes);

	return g_build_filename(config->publish_folder, release->project, name, NULL);
}

void gate_publish_run(struct engine *engine, struct release *release)
{
	const struct config *config = engine->role->config;
	g_autofree char *folder = folder_of(config, release);
	struct json *artifacts = json_get(release->work, "artifacts");

	if (json_get(release->work, "published") == NULL)
		json_set(release->work, "published", json_object_new());
	gate_expect(release);
	if (*config->publish_folder != '\0' && g_mkdir_with_parents(folder, 0755) < 0) {
		g_autoptr(GError) error = NULL;
		away(&error, "make the folder", folder);
		gate_part(engine, release, error);
		return;
	}
	for (guint i = 0; *config->publish_folder != '\0' && i < json_length(artifacts); i++)
		publish_artifact(engine, release, folder, json_at(artifacts, i));
	if (release->pending == 1 && release->first_error == NULL)
		tell(engine, release);
	gate_settle(engine, release);
}
