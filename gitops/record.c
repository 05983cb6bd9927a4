#include "gitops/record.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

static const char *const gate_names[GATE_COUNT] = {
	[GATE_SOURCE] = "source",
	[GATE_APPROVAL] = "approval",
	[GATE_FETCH] = "fetch",
	[GATE_STRUCTURE] = "structure",
	[GATE_SCAN] = "scan",
	[GATE_SIGN] = "sign",
	[GATE_TIMESTAMP] = "timestamp",
	[GATE_RECORD] = "record",
	[GATE_PUBLISH] = "publish",
};

const char *gate_name(enum gate gate)
{
	return gate < GATE_COUNT ? gate_names[gate] : "unknown";
}

gboolean gate_parse(const char *name, enum gate *gate)
{
	for (guint i = 0; name != NULL && i < GATE_COUNT; i++) {
		if (g_str_equal(gate_names[i], name)) {
			*gate = i;
			return TRUE;
		}
	}
	return FALSE;
}

/*
 * What may stand in a document: one row a member. A row says how its value is checked, and in which words a refusal
 * says so; `more` is what the check needs (a word list, the rows of an object or of each element of a list).
 */
struct member {
	const char *key;
	gboolean (*check)(const struct json *value, const struct member *member, const char *where, GError **error);
	const void *more;
	gboolean required;
};

static gboolean wrong(const char *where, const struct member *member, const char *rule, GError **error)
{
	error_refused(error, "%s: \"%s\" must be %s", where, member->key, rule);
	return FALSE;
}

static gboolean check_text(const struct json *value, const struct member *member, const char *where, GError **error)
{
	const char *text = json_as_string(value);

	if (text == NULL || *text == '\0' || strlen(text) > 4096 || !g_utf8_validate(text, -1, NULL))
		return wrong(where, member, "a text of 1 to 4096 bytes", error);
	return TRUE;
}

static gboolean check_line(const struct json *value, const struct member *member, const char *where, GError **error)
{
	const char *text = json_as_string(value);

	if (text == NULL || *text == '\0' || strlen(text) > 4096 || !text_is_clean(text, strlen(text)))
		return wrong(where, member, "one line of printable text", error);
	return TRUE;
}

static gboolean check_number(const struct json *value, const struct member *member, const char *where, GError **error)
{
	if (json_kind(value) != JSON_INTEGER || json_as_integer(value, -1) < 0)
		return wrong(where, member, "a whole number, not negative", error);
	return TRUE;
}

static gboolean check_flag(const struct json *value, const struct member *member, const char *where, GError **error)
{
	return json_kind(value) == JSON_BOOLEAN || wrong(where, member, "true or false", error);
}

static gboolean check_digest(const struct json *value, const struct member *member, const char *where, GError **error)
{
	const char *text = json_as_string(value);

	return (text != NULL && is_sha256_text(text)) || wrong(where, member, "sha256: and 64 hex digits", error);
}

static gboolean check_id(const struct json *value, const struct member *member, const char *where, GError **error)
{
	const char *text = json_as_string(value);

	return (text != NULL && is_object_id(text)) || wrong(where, member, "a full git object id", error);
}

static gboolean check_ulid(const struct json *value, const struct member *member, const char *where, GError **error)
{
	const char *text = json_as_string(value);

	return (text != NULL && is_ulid(text)) || wrong(where, member, "a ULID", error);
}

/* Exactly the form that we write, so that one moment has one spelling. */
static gboolean check_time(const struct json *value, const struct member *member, const char *where, GError **error)
{
	const char *text = json_as_string(value);
	g_autofree char *ours = NULL;
	int64_t ms;

	if (text != NULL && time_parse_ms(text, &ms))
		ours = time_format_ms(ms);
	return (ours != NULL && g_str_equal(ours, text)) ||
	       wrong(where, member, "a UTC time with milliseconds (2026-03-01T00:00:00.000Z)", error);
}

static gboolean check_word(const struct json *value, const struct member *member, const char *where, GError **error)
{
	const char *const *words = member->more;
	const char *text = json_as_string(value);
	g_autofree char *list = g_strjoinv(", ", (char **)words);
	g_autofree char *rule = g_strdup_printf("one of %s", list);

	return (text != NULL && g_strv_contains(words, text)) || wrong(where, member, rule, error);
}

static gboolean check_version(const struct json *value, const struct member *member, const char *where, GError **error)
{
	return json_as_integer(value, 0) == 1 || wrong(where, member, "1", error);
}

/* Names of files, each with the digest of its bytes. */
static gboolean check_digests(const struct json *value, const struct member *member, const char *where, GError **error)
{
	if (json_kind(value) != JSON_OBJECT)
		return wrong(where, member, "an object", error);
	for (guint i = 0; i < json_length(value); i++) {
		const char *name = NULL, *text = json_as_string(json_member(value, i, &name));

		if (text == NULL || !is_sha256_text(text))
			return wrong(where, member, "names of files with sha256: and 64 hex digits each", error);
	}
	return TRUE;
}

/* Members that another document defines (provenance). */
static gboolean check_free(const struct json *value, const struct member *member, const char *where, GError **error)
{
	return json_kind(value) == JSON_OBJECT || wrong(where, member, "an object", error);
}

static gboolean check_members(const struct json *object, const struct member *members, const char *where, GError **error);

static gboolean check_object(const struct json *value, const struct member *member, const char *where, GError **error)
{
	g_autofree char *below = g_strdup_printf("%s, %s", where, member->key);

	if (json_kind(value) != JSON_OBJECT)
		return wrong(where, member, "an object", error);
	return check_members(value, member->more, below, error);
}

static gboolean check_list(const struct json *value, const struct member *member, const char *where, GError **error)
{
	if (json_kind(value) != JSON_ARRAY)
		return wrong(where, member, "a list", error);
	for (guint i = 0; i < json_length(value); i++) {
		g_autofree char *below = g_strdup_printf("%s, %s %u", where, member->key, i + 1);

		if (!check_members(json_at(value, i), member->more, below, error))
			return FALSE;
	}
	return TRUE;
}

static const struct member *member_find(const struct member *members, const char *key)
{
	for (; members->key != NULL; members++) {
		if (g_str_equal(members->key, key))
			return members;
	}
	return NULL;
}

static gboolean check_known(const struct json *object, const struct member *members, const char *where, GError **error)
{
	if (json_kind(object) != JSON_OBJECT) {
		error_refused(error, "%s is not an object", where);
		return FALSE;
	}
	for (const struct member *m = members; m->key != NULL; m++) {
		const struct json *value = json_get(object, m->key);

		if (value == NULL && m->required) {
			error_refused(error, "%s: \"%s\" is missing", where, m->key);
			return FALSE;
		}
		if (value != NULL && !m->check(value, m, where, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean check_members(const struct json *object, const struct member *members, const char *where, GError **error)
{
	if (!check_known(object, members, where, error))
		return FALSE;
	for (guint i = 0; i < json_length(object); i++) {
		const char *key = NULL;

		json_member(object, i, &key);
		if (member_find(members, key) == NULL) {
			g_autofree char *shown = text_escape(key, -1, 64);

			error_refused(error, "%s: \"%s\" is no member of it", where, shown);
			return FALSE;
		}
	}
	return TRUE;
}

/* ---- the record ---- */

static const char *const outcomes[] = { "signed", "rejected", "denied", "expired", "failed", NULL };
static const char *const gate_outcomes[] = { "passed", "rejected", "denied", "expired", "failed", NULL };
static const char *const approval_words[] = { "approve", "deny", "withdraw", NULL };
static const char *const formats[] = { "openpgp", "ssh", "x509", NULL };
static const char *const pins[] = { "tag", "approval", "provenance", NULL };
static const char *const gates[] = { "source", "approval", "fetch", "structure", "scan", "sign", "timestamp", "record",
	"publish", NULL };

static const struct member policy_members[] = {
	{ "name", check_line, NULL, TRUE },
	{ "commit", check_id, NULL, TRUE },
	{ "file_sha256", check_digest, NULL, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member source_signature_members[] = {
	{ "format", check_word, formats, TRUE },
	{ "key", check_line, NULL, TRUE },
	{ "person", check_line, NULL, TRUE },
	{ "hardware", check_flag, NULL, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member range_base_members[] = {
	{ "record", check_ulid, NULL, TRUE },
	{ "tag", check_line, NULL, TRUE },
	{ "commit", check_id, NULL, TRUE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member range_members[] = {
	{ "sha256", check_digest, NULL, TRUE },
	{ "base", check_object, range_base_members, FALSE },
	{ "commits", check_number, NULL, TRUE },
	{ "complete", check_flag, NULL, TRUE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member source_members[] = {
	{ "url", check_line, NULL, FALSE },
	{ "tag_object", check_id, NULL, TRUE },
	{ "tag_sha256", check_digest, NULL, FALSE },
	{ "commit", check_id, NULL, FALSE },
	{ "tree", check_id, NULL, FALSE },
	{ "branch", check_line, NULL, FALSE },
	{ "signature", check_object, source_signature_members, FALSE },
	{ "first_seen", check_time, NULL, FALSE },
	{ "tree_sha256", check_digest, NULL, FALSE },
	{ "range", check_object, range_members, FALSE },
	{ "supersedes", check_line, NULL, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member approval_members[] = {
	{ "commit", check_id, NULL, TRUE },
	{ "sha256", check_digest, NULL, FALSE },
	{ "word", check_word, approval_words, FALSE },
	{ "person", check_line, NULL, FALSE },
	{ "format", check_word, formats, FALSE },
	{ "key", check_line, NULL, FALSE },
	{ "hardware", check_flag, NULL, FALSE },
	{ "first_seen", check_time, NULL, FALSE },
	{ "counts", check_flag, NULL, TRUE },
	{ "why", check_text, NULL, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member scan_members[] = {
	{ "engine", check_line, NULL, TRUE },
	{ "database_version", check_number, NULL, FALSE },
	{ "database_time", check_time, NULL, FALSE },
	{ "signatures", check_number, NULL, FALSE },
	{ "verdict", check_line, NULL, TRUE },
	{ "found", check_line, NULL, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member timestamp_members[] = {
	{ "authority", check_line, NULL, TRUE },
	{ "time", check_time, NULL, TRUE },
	{ "serial", check_line, NULL, FALSE },
	{ "policy", check_line, NULL, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member signature_members[] = {
	{ "format", check_line, NULL, TRUE },
	{ "path", check_line, NULL, FALSE },
	{ "key", check_line, NULL, TRUE },
	{ "certificate", check_line, NULL, FALSE },
	{ "digest", check_line, NULL, TRUE },
	{ "use", check_number, NULL, TRUE },
	{ "timestamp", check_object, timestamp_members, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member signed_members[] = {
	{ "sha256", check_digest, NULL, TRUE },
	{ "size", check_number, NULL, TRUE },
	{ "signatures", check_list, signature_members, TRUE },
	{ "scan", check_object, scan_members, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member artifact_members[] = {
	{ "name", check_line, NULL, TRUE },
	{ "type", check_line, NULL, FALSE },
	{ "size", check_number, NULL, FALSE },
	{ "sha256", check_digest, NULL, FALSE },
	{ "from", check_line, NULL, FALSE },
	{ "pinned_by", check_word, pins, FALSE },
	{ "provenance", check_free, NULL, FALSE },
	{ "scan", check_object, scan_members, FALSE },
	{ "signed", check_object, signed_members, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member gate_members[] = {
	{ "gate", check_word, gates, TRUE },
	{ "outcome", check_word, gate_outcomes, TRUE },
	{ "began", check_time, NULL, TRUE },
	{ "ended", check_time, NULL, TRUE },
	{ "attempts", check_number, NULL, TRUE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member end_members[] = {
	{ "outcome", check_word, outcomes, TRUE },
	{ "gate", check_word, gates, TRUE },
	{ "reason", check_text, NULL, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

static const struct member record_members[] = {
	{ "version", check_version, NULL, TRUE },
	{ "id", check_ulid, NULL, TRUE },
	{ "project", check_line, NULL, TRUE },
	{ "tag", check_line, NULL, TRUE },
	{ "policy", check_object, policy_members, FALSE },
	{ "source", check_object, source_members, FALSE },
	{ "approvals", check_list, approval_members, FALSE },
	{ "artifacts", check_list, artifact_members, FALSE },
	{ "gates", check_list, gate_members, FALSE },
	{ "end", check_object, end_members, FALSE },
	{ "resigns", check_ulid, NULL, FALSE },
	{ "evidence", check_digests, NULL, FALSE },
	{ "previous", check_digest, NULL, FALSE },
	{ "sequence", check_number, NULL, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

struct json *record_new(const char *id, const char *project, const char *tag)
{
	autoptr(json) record = json_object_new();

	json_set_integer(record, "version", 1);
	json_set_string(record, "id", id);
	json_set_string(record, "project", project);
	json_set_string(record, "tag", tag);
	return g_steal_pointer(&record);
}

static void set_time(struct json *object, const char *key, int64_t ms)
{
	g_autofree char *text = time_format_ms(ms);

	json_set_string(object, key, text);
}

void record_gate(
    struct json *record, enum gate gate, const char *outcome, int64_t began_ms, int64_t ended_ms, int64_t attempts)
{
	const struct json *before = json_get(record, "gates");
	struct json *after = json_array_new(), *line = json_object_new();

	for (guint i = 0; i < json_length(before); i++) {
		struct json *old = json_at(before, i);

		if (g_strcmp0(json_string(old, "gate"), gate_name(gate)) != 0)
			json_append(after, json_ref(old));
	}
	json_set_string(line, "gate", gate_name(gate));
	json_set_string(line, "outcome", outcome);
	set_time(line, "began", began_ms);
	set_time(line, "ended", ended_ms);
	json_set_integer(line, "attempts", attempts);
	json_append(after, line);
	json_set(record, "gates", after);
}

const struct json *record_gate_line(const struct json *record, enum gate gate)
{
	const struct json *lines = json_get(record, "gates");

	for (guint i = 0; i < json_length(lines); i++)
		if (g_strcmp0(json_string(json_at(lines, i), "gate"), gate_name(gate)) == 0)
			return json_at(lines, i);
	return NULL;
}

void record_end(struct json *record, const char *outcome, enum gate gate, const char *reason)
{
	struct json *end = json_object_new();

	json_set_string(end, "outcome", outcome);
	json_set_string(end, "gate", gate_name(gate));
	json_set_string(end, "reason", reason);
	json_set(record, "end", end);
}

gboolean record_check(const struct json *record, GError **error)
{
	return check_members(record, record_members, "record", error);
}

char *record_digest(const struct json *record)
{
	g_autoptr(GBytes) bytes = json_canonical(record);

	return sha256_text_bytes(bytes);
}

/* ---- events ---- */

static const char *const event_words[] = { "published", "withdrawn", "void", "resigned", "infected", "incident",
	"policy", "start", NULL };
/* These say something of one record, and are nothing without its name. */
static const char *const words_of_a_record[] = { "published", "withdrawn", "resigned", "infected", NULL };

/* What every event has; what else stands in it is its word's own matter. */
static const struct member event_members[] = {
	{ "version", check_version, NULL, TRUE },
	{ "id", check_ulid, NULL, TRUE },
	{ "event", check_word, event_words, TRUE },
	{ "time", check_time, NULL, TRUE },
	{ "record", check_digest, NULL, FALSE },
	{ "project", check_line, NULL, FALSE },
	{ "tag", check_line, NULL, FALSE },
	{ "key", check_line, NULL, FALSE },
	{ "use", check_number, NULL, FALSE },
	{ "reason", check_text, NULL, FALSE },
	{ "sequence", check_number, NULL, FALSE },
	{ NULL, NULL, NULL, FALSE },
};

struct json *record_event_new(const char *word, const char *record_sha256, struct json *extra)
{
	autoptr(json) event = extra != NULL ? extra : json_object_new();
	g_autofree char *id = ulid_new();

	json_set_integer(event, "version", 1);
	json_set_string(event, "id", id);
	json_set_string(event, "event", word);
	json_set_string(event, "record", record_sha256);
	set_time(event, "time", time_now_ms());
	return g_steal_pointer(&event);
}

gboolean record_event_check(const struct json *event, GError **error)
{
	const char *word = json_string(event, "event");

	if (!check_known(event, event_members, "event", error))
		return FALSE;
	if (g_strv_contains(words_of_a_record, word) && json_get(event, "record") == NULL) {
		error_refused(error, "event: \"%s\" must name its record by \"record\"", word);
		return FALSE;
	}
	return TRUE;
}

/* ---- the policy as evidence ---- */

#define POLICY_EVIDENCE_FILES 2000

GBytes *policy_evidence_write(const char *commit, GHashTable *files)
{
	autoptr(json) evidence = json_object_new();
	struct json *members = json_object_new();
	GHashTableIter iter;
	gpointer path, bytes;

	g_hash_table_iter_init(&iter, files);
	while (g_hash_table_iter_next(&iter, &path, &bytes)) {
		gsize size;
		const char *held = g_bytes_get_data(bytes, &size), *data = size > 0 ? held : "";

		if (memchr(data, '\0', size) == NULL && g_utf8_validate(data, size, NULL)) {
			g_autofree char *text = g_strndup(data, size);

			json_set_string(members, path, text);
		} else {
			g_autofree char *text = g_base64_encode((const guchar *)data, size);
			struct json *binary = json_object_new();

			json_set_string(binary, "base64", text);
			json_set(members, path, binary);
		}
	}
	json_set_string(evidence, "commit", commit);
	json_set(evidence, "files", members);
	return json_canonical(evidence);
}

static GBytes *policy_file_bytes(const struct json *value)
{
	const char *text = json_as_string(value), *base64 = json_string(value, "base64");

	if (text != NULL)
		return g_bytes_new(text, strlen(text));
	return base64 != NULL ? base64_decode_strict(base64, strlen(base64), FALSE) : NULL;
}

GHashTable *policy_evidence_read(GBytes *evidence, char **commit, GError **error)
{
	static const char *const keys[] = { "commit", "files", NULL };
	autoptr(json) value = json_parse_bytes(evidence, error);
	g_autoptr(GHashTable) files =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	const struct json *members;

	if (value == NULL || !json_only_keys(value, keys, "policy evidence", error) ||
	    (members = json_require(value, "files", JSON_OBJECT, "policy evidence", error)) == NULL)
		return NULL;
	if (json_string(value, "commit") == NULL || !is_object_id(json_string(value, "commit"))) {
		error_refused(error, "policy evidence: \"commit\" must be a full git object id");
		return NULL;
	}
	for (guint i = 0; i < json_length(members) && i <= POLICY_EVIDENCE_FILES; i++) {
		const char *path = NULL;
		g_autoptr(GBytes) bytes = policy_file_bytes(json_member(members, i, &path));

		if (bytes == NULL || i == POLICY_EVIDENCE_FILES) {
			error_refused(error, "policy evidence: %s",
			    bytes == NULL ? "a file is neither text nor base64" : "more than 2000 files");
			return NULL;
		}
		g_hash_table_insert(files, g_strdup(path), g_steal_pointer(&bytes));
	}
	if (commit != NULL)
		*commit = g_strdup(json_string(value, "commit"));
	return g_steal_pointer(&files);
}
