/* From a record and its evidence back to the question that was decided. */
#include "gitops/replay.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/object.h"
#include "gitops/record.h"

static const char *text_at(const struct json *value, const char *path)
{
	return json_as_string(json_path(value, path));
}

static int64_t time_of(const char *text, int64_t otherwise)
{
	int64_t ms;

	return text != NULL && time_parse_ms(text, &ms) ? ms : otherwise;
}

/* Raw bytes that hash to the id and the digest that the record gives. */
static GBytes *evidence(
    GHashTable *files, const char *name, const char *type, const char *id, const char *sha256, GError **error)
{
	GBytes *raw = g_hash_table_lookup(files, name);
	g_autofree char *real = NULL, *digest = NULL;

	if (raw == NULL) {
		error_refused(error, "its evidence lacks \"%s\"", name);
		return NULL;
	}
	real = object_id(raw, type, NULL);
	digest = sha256_text_bytes(raw);
	if (g_strcmp0(real, id) == 0 && (sha256 == NULL || g_strcmp0(digest, sha256) == 0))
		return raw;
	error_refused(error, "its evidence \"%s\" is not the object that it names", name);
	return NULL;
}

/* Trailers name the tree where the approval was made before the tag, in its history. */
static gboolean names_tree(GBytes *raw)
{
	return g_strstr_len(g_bytes_get_data(raw, NULL), (gssize)g_bytes_get_size(raw), "\nTagseal-Tree:") != NULL;
}

static gboolean take_approvals(const struct json *record, GHashTable *files, GArray *approvals, GError **error)
{
	const struct json *list = json_get(record, "approvals");

	for (guint i = 0; i < json_length(list); i++) {
		const struct json *line = json_at(list, i);
		g_autofree char *name = g_strdup_printf("approval-%u", i + 1);
		GBytes *raw =
		    evidence(files, name, "commit", json_string(line, "commit"), json_string(line, "sha256"), error);
		struct approval_evidence one = { .raw = raw };

		if (raw == NULL)
			return FALSE;
		one.id = (char *)json_string(line, "commit");
		one.first_seen_ms = time_of(json_string(line, "first_seen"), 0);
		one.in_history = names_tree(raw);
		g_array_append_val(approvals, one);
	}
	return TRUE;
}

gboolean replay_read(const struct json *record, GHashTable *files, struct replay *replay, GError **error)
{
	const struct json *line = record_gate_line(record, GATE_APPROVAL);
	const char *object = text_at(record, "source.tag_object");
	GBytes *tag = evidence(files, "tag", "tag", object, text_at(record, "source.tag_sha256"), error);

	replay->approvals = g_array_new(FALSE, TRUE, sizeof(struct approval_evidence));
	if (tag == NULL || !take_approvals(record, files, replay->approvals, error)) {
		replay_clear(replay);
		return FALSE;
	}
	if (line == NULL)
		line = record_gate_line(record, GATE_SOURCE);
	replay->request = (struct request){
		.policy_commit = text_at(record, "policy.commit"),
		.project = json_string(record, "project"),
		.tag = json_string(record, "tag"),
		.tag_object = object,
		.tag_raw = tag,
		.tag_first_seen_ms = time_of(text_at(record, "source.first_seen"), 0),
		.now_ms = time_of(json_string(line, "ended"), time_now_ms()),
		.tree = text_at(record, "source.tree"),
		.range_sha256 = text_at(record, "source.range.sha256"),
		.approvals = (const struct approval_evidence *)(void *)replay->approvals->data,
		.approval_count = replay->approvals->len,
	};
	return TRUE;
}

void replay_clear(struct replay *replay)
{
	g_clear_pointer(&replay->approvals, g_array_unref);
	memset(&replay->request, 0, sizeof(replay->request));
}
