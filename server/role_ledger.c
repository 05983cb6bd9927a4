/*
 * ledger: the only writer of the audit repository. Records and events come from engine, the signature of each commit from the sign process that holds the
 * ledger's own key. Remotes that are required have a commit before the answer is given; the others are served by a child process, so that none delays a release.
 */
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/ledger.h"
#include "gitops/record.h"
#include "server/names.h"
#include "server/reply.h"

#define DOCUMENT_MAX (4 * 1024 * 1024)
#define EVIDENCE_MAX (32 * 1024 * 1024)
#define ANSWER_GRACE_MS 2000

struct ledger_role {
	struct role_context *role;
	struct ledger *ledger; /* NULL until the key could be asked for */
	char *path;
	char *password;
	struct mirror_limits limits;
	pid_t pusher; /* child that pushes to the optional remotes; 0: none */
};

static struct peer *sign_peer(struct role_context *role, GError **error)
{
	const struct config *config = role->config;

	for (guint i = 0; i < config->token_count; i++)
		if (g_strcmp0(config->tokens[i].name, config->ledger_token) == 0) {
			struct peer *peer = role_peer(role, ROLE_SIGN, i);
			if (peer != NULL)
				return peer;
		}
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED,
	    "ledger.token names \"%s\", and there is no [[token]] of that name", config->ledger_token);
	return NULL;
}

static struct message *ask_sign(
    struct role_context *role, struct message *request, enum message_kind answer, GError **error)
{
	struct peer *sign = sign_peer(role, error);
	autoptr(message) m = NULL;

	if (sign != NULL)
		m = role_call(role, sign, request, answer, role->config->sign_deadline + ANSWER_GRACE_MS, error);
	return m != NULL && message_outcome(m, error) ? g_steal_pointer(&m) : NULL;
}

/* ledger_open()'s callback. */
static GBytes *sign_commit(void *data, GBytes *payload, GError **error)
{
	struct ledger_role *self = data;
	autoptr(message) request = message_new(MSG_SIGN_COMMIT, 0);
	autoptr(message) answer = NULL;
	const char *armor;
	size_t size;

	body_set_bytes(request, "payload", payload);
	answer = ask_sign(self->role, request, MSG_COMMIT_SIGNED, error);
	armor = answer != NULL ? body_string(answer, "armor", error) : NULL;
	if (armor == NULL)
		return NULL;
	size = strlen(armor);
	while (size > 0 && armor[size - 1] == '\n')
		size--;
	return g_bytes_new(armor, size);
}

static gboolean open_ledger(struct ledger_role *self, GError **error)
{
	const struct config *config = self->role->config;
	autoptr(message) request = NULL;
	autoptr(message) answer = NULL;
	const char *line;

	if (self->ledger != NULL)
		return TRUE;
	request = message_new(MSG_LEDGER_KEY, 0);
	answer = ask_sign(self->role, request, MSG_LEDGER_KEY_IS, error);
	line = answer != NULL ? body_string(answer, "public_key", error) : NULL;
	if (line != NULL)
		self->ledger = ledger_open(self->path, config->ledger_principal, line, sign_commit, self, error);
	return self->ledger != NULL;
}

/* One document with its evidence: files [at, at+count) of the message. */
static gboolean read_entry(
    const struct message *m, const struct json *row, guint at, guint count, struct ledger_entry *entry, GError **error)
{
	const char *id = json_require_string(row, "id", "append", error);
	const struct message_file *file = &g_array_index(m->files, struct message_file, at);
	g_autoptr(GBytes) bytes = id != NULL ? fd_read(file->fd, DOCUMENT_MAX, error) : NULL;

	if (bytes == NULL || (entry->document = json_parse_canonical(
				  g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), error)) == NULL)
		return FALSE;
	if (!g_str_equal(file->name, "document") || g_strcmp0(json_string(entry->document, "id"), id) != 0) {
		error_refused(
		    error, "append: an entry's first file must be its document, with the id that the message gives");
		return FALSE;
	}
	entry->files = g_new0(struct ledger_file, count);
	for (entry->file_count = 0; entry->file_count < count; entry->file_count++) {
		file = &g_array_index(m->files, struct message_file, at + 1 + entry->file_count);
		entry->files[entry->file_count].data = fd_read(file->fd, EVIDENCE_MAX, error);
		if (entry->files[entry->file_count].data == NULL)
			return FALSE;
		entry->files[entry->file_count].name = g_strdup(file->name);
	}
	return json_get(entry->document, "event") != NULL ? record_event_check(entry->document, error)
							  : record_check(entry->document, error);
}

static void entry_clear(void *data)
{
	struct ledger_entry *entry = data;

	for (guint i = 0; i < entry->file_count; i++) {
		g_free(entry->files[i].name);
		g_bytes_unref(entry->files[i].data);
	}
	g_clear_pointer(&entry->files, g_free);
	g_clear_pointer(&entry->document, json_unref);
	ledger_entry_clear(entry);
}

/* `files` of each row counts its evidence, without the document. */
static GArray *read_entries(const struct message *m, GError **error)
{
	const struct json *rows = json_require(m->body, "entries", JSON_ARRAY, "append", error);
	g_autoptr(GArray) entries = g_array_new(FALSE, TRUE, sizeof(struct ledger_entry));
	guint at = 0;

	if (rows == NULL)
		return NULL;
	g_array_set_clear_func(entries, entry_clear);
	g_array_set_size(entries, json_length(rows));
	for (guint i = 0; i < json_length(rows); i++) {
		int64_t count;

		if (!json_require_integer(json_at(rows, i), "files", 0, MESSAGE_FILES_MAX, &count, "append", error))
			return NULL;
		if (at + 1 + count > m->files->len) {
			error_refused(error, "append: fewer files came than the entries name");
			return NULL;
		}
		if (!read_entry(
			m, json_at(rows, i), at, (guint)count, &g_array_index(entries, struct ledger_entry, i), error))
			return NULL;
		at += 1 + (guint)count;
	}
	if (at == m->files->len && at > 0)
		return g_steal_pointer(&entries);
	error_refused(error, "append: %u files came, the entries name %u", m->files->len, at);
	return NULL;
}

/* All remotes of one kind; FALSE with the first failure, but every one is tried. */
static gboolean push(struct ledger_role *self, gboolean required, GError **error)
{
	const struct config *config = self->role->config;
	gboolean ok = TRUE;

	for (guint i = 0; i < config->remote_count; i++) {
		g_autoptr(GError) why = NULL;

		if (config->remotes[i].required != required ||
		    ledger_push(self->ledger, config->remotes[i].url, &self->limits, &why))
			continue;
		log_event("warning", "remote=%u %s", i, why->message);
		if (ok && error != NULL)
			*error = g_steal_pointer(&why);
		ok = FALSE;
	}
	return ok;
}

static gboolean has_optional(const struct config *config)
{
	for (guint i = 0; i < config->remote_count; i++)
		if (!config->remotes[i].required)
			return TRUE;
	return FALSE;
}

/* What a push sends is read when it begins; so a child pushes again until nothing was added meanwhile. */
static void G_GNUC_NORETURN push_until_done(struct ledger_role *self)
{
	g_autofree char *before = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* it holds the repository's lock as long as it lives */
	for (;;) {
		g_autofree char *now = mirror_ref_id(self->path, "refs/heads/main", NULL);

		if (now == NULL || g_strcmp0(now, before) == 0)
			_exit(EXIT_SUCCESS);
		g_free(before);
		before = g_steal_pointer(&now);
		if (!push(self, FALSE, NULL))
			_exit(EXIT_FAILURE);
	}
}

static void push_optional(struct ledger_role *self)
{
	if (!has_optional(self->role->config) || self->ledger == NULL)
		return;
	if (self->pusher > 0 && waitpid(self->pusher, NULL, WNOHANG) == 0)
		return;
	self->pusher = fork();
	if (self->pusher == 0)
		push_until_done(self);
	if (self->pusher < 0)
		log_event("warning",
		    "cannot start a process that pushes: the optional remotes get this with the next record");
}

static void tell_entries(const GArray *entries, struct json *body)
{
	struct json *rows = json_array_new();

	for (guint i = 0; i < entries->len; i++) {
		const struct ledger_entry *entry = &g_array_index(entries, struct ledger_entry, i);
		struct json *row = json_object_new();

		json_set_string(row, "id", json_string(entry->document, "id"));
		json_set_integer(row, "sequence", entry->sequence);
		json_set_string(row, "sha256", entry->sha256);
		json_set_string(row, "commit", entry->commit);
		json_append(rows, row);
	}
	json_set(body, "entries", rows);
}

static void answer_append(struct role_context *role, struct peer *from, struct message *m)
{
	struct ledger_role *self = role->data;
	g_autoptr(GError) error = NULL, push_error = NULL;
	g_autoptr(GArray) entries = read_entries(m, &error);
	gboolean ok = entries != NULL && open_ledger(self, &error) &&
		      ledger_append(self->ledger, (struct ledger_entry *)(void *)entries->data, entries->len, &error);
	autoptr(message) answer = NULL;

	answer = message_answer(m, MSG_APPENDED, error);
	if (ok) {
		gboolean pushed = push(self, TRUE, &push_error);

		tell_entries(entries, answer->body);
		json_set_boolean(answer->body, "pushed", pushed);
		json_set_string(answer->body, "push_reason", push_error != NULL ? push_error->message : NULL);
	} else {
		log_event("warning", "%s", error->message);
	}
	role_answer(role, from, answer);
	if (ok)
		push_optional(self);
}

static const struct role_verb verbs[] = {
	{ MSG_APPEND, answer_append },
	{ 0, NULL },
};

int role_ledger(struct role_context *role)
{
	g_autoptr(GError) error = NULL;
	struct ledger_role self = { .role = role, .path = config_path(role->config, role->config->ledger_repository) };
	int status;

	role->data = &self;
	if (!mirror_init(&error) || !mirror_password_read(role->config, &self.password, &error)) {
		log_event("err", "%s", error->message);
		return ROLE_EXIT_CONFIGURATION;
	}
	mirror_limits_fill(role->config, self.password, &self.limits);
	role_greet(role);
	status = role_serve(role, verbs);
	ledger_free(self.ledger);
	mirror_password_free(self.password);
	g_free(self.path);
	return status;
}
