#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/object.h"
#include "server/judge.h"
#include "server/pins.h"
#include "server/reply.h"

#define CERTIFICATES_MAX (256 * 1024)
#define SEEN_MAX (4 * 1024 * 1024)
#define TEXT_MAX 1024

static void approval_clear(void *data)
{
	struct approval_evidence *evidence = data;

	g_free(evidence->id);
	g_clear_pointer(&evidence->raw, g_bytes_unref);
}

void judge_request_clear(struct judge_request *r)
{
	g_clear_pointer(&r->certificates, g_bytes_unref);
	g_clear_pointer(&r->tag_raw, g_bytes_unref);
	g_clear_pointer(&r->provenance, g_bytes_unref);
	g_clear_pointer(&r->approvals, g_array_unref);
	g_clear_pointer(&r->tree, g_free);
	g_clear_pointer(&r->range_sha256, g_free);
	g_clear_pointer(&r->range_base, g_free);
	g_clear_pointer(&r->range_commits, g_bytes_unref);
}

static gboolean refuse(GError **error, const char *what)
{
	error_refused(error, "judge: %s", what);
	return FALSE;
}

/* Texts that end up inside a signature (or are left out): one clean line. */
static gboolean read_line(const struct message *m, const char *key, const char **text, GError **error)
{
	*text = json_string(m->body, key);
	if (*text == NULL || (strlen(*text) <= TEXT_MAX && text_is_clean(*text, strlen(*text))))
		return TRUE;
	error_refused(error, "judge: \"%s\" is not one line of at most %d bytes", key, TEXT_MAX);
	return FALSE;
}

static gboolean read_names(const struct message *m, struct judge_request *r, GError **error)
{
	const char *format;

	if ((r->id = body_string(m, "id", error)) == NULL || (r->project = body_string(m, "project", error)) == NULL ||
	    (r->tag = body_string(m, "tag", error)) == NULL ||
	    (r->tag_object = body_string(m, "tag_object", error)) == NULL ||
	    (r->artifact = body_string(m, "artifact", error)) == NULL ||
	    (r->blob = body_string(m, "blob", error)) == NULL || (r->key = body_string(m, "key", error)) == NULL ||
	    (format = body_string(m, "format", error)) == NULL || (r->hash = body_string(m, "hash", error)) == NULL ||
	    !read_line(m, "description", &r->description, error) || !read_line(m, "url", &r->url, error))
		return FALSE;
	if (!is_ulid(r->id) || !is_object_id(r->tag_object) || !is_sha256_text(r->blob))
		return refuse(error, "\"id\", \"tag_object\" or \"blob\" is not of its form");
	r->format = format_named(format);
	if (r->format == NULL)
		return refuse(error, "there is no such signature format");
	return g_str_equal(r->hash, "sha256") || g_str_equal(r->hash, "sha384") || g_str_equal(r->hash, "sha512") ||
	       refuse(error, "the hash is none of sha256, sha384, sha512");
}

/* The time goes into the signature, so it must be now; what was first seen was not seen in the future. */
static gboolean read_times(const struct message *m, int64_t now_ms, struct judge_request *r, GError **error)
{
	int64_t theirs;

	if (!body_time(m, "now", &theirs, error) || !body_time(m, "time", &r->time, error) ||
	    !body_time(m, "tag_first_seen", &r->tag_first_seen, error))
		return FALSE;
	r->first_object = json_boolean(m->body, "first_object", FALSE);
	if (ABS(theirs - now_ms) > JUDGE_CLOCK_SKEW || ABS(r->time - now_ms) > JUDGE_CLOCK_SKEW)
		return refuse(error, "the time of the signature is more than 5 minutes away from this server's clock");
	return r->tag_first_seen <= now_ms + JUDGE_CLOCK_SKEW || refuse(error, "the tag was first seen in the future");
}

/* The bytes say which object it is; when engine first saw it is a claim of engine's (0: now). */
static gboolean add_approval(const struct message *m, const char *name, const struct json *seen, int64_t now_ms,
    GArray *approvals, GError **error)
{
	struct approval_evidence evidence = { .raw = message_bytes(m, name, OBJECT_MAX, error) };

	if (evidence.raw == NULL || (evidence.id = object_id(evidence.raw, "commit", error)) == NULL) {
		approval_clear(&evidence);
		return FALSE;
	}
	evidence.first_seen_ms = json_integer(seen, evidence.id, now_ms);
	g_array_append_val(approvals, evidence);
	if (evidence.first_seen_ms >= 0 && evidence.first_seen_ms <= now_ms + JUDGE_CLOCK_SKEW)
		return TRUE;
	return refuse(error, "an approval was first seen in the future");
}

static struct approval_evidence *find_approval(const struct judge_request *r, const char *id)
{
	for (guint i = 0; i < r->approvals->len; i++) {
		struct approval_evidence *evidence = &g_array_index(r->approvals, struct approval_evidence, i);
		if (g_str_equal(evidence->id, id))
			return evidence;
	}
	return NULL;
}

/* The tagged commit, its first parent and so on, as far as they are approvals, are in the tag's history: the chain of ids proves it. */
static void mark_history(struct judge_request *r, const struct tag *tag)
{
	g_autofree char *id = g_strdup(tag->object);
	struct approval_evidence *evidence;

	while (id != NULL && (evidence = find_approval(r, id)) != NULL && !evidence->in_history) {
		autoptr(commit) commit = commit_parse(evidence->raw, NULL);

		evidence->in_history = TRUE;
		if (commit != NULL && r->tree == NULL && g_str_equal(id, tag->object))
			r->tree = g_strdup(commit->tree);
		g_free(id);
		id = commit != NULL ? g_strdup(commit->parents[0]) : NULL;
	}
}

/* What the engine says of when it first saw the file is a claim, as with approvals. */
static gboolean read_provenance(const struct message *m, int64_t now_ms, struct judge_request *r, GError **error)
{
	if (message_find(m, "provenance") == NULL)
		return TRUE;
	r->provenance = message_bytes(m, "provenance", PROVENANCE_MAX, error);
	if (r->provenance == NULL || !body_time(m, "provenance_first_seen", &r->provenance_first_seen, error))
		return FALSE;
	return r->provenance_first_seen <= now_ms + JUDGE_CLOCK_SKEW ||
	       refuse(error, "the provenance was first seen in the future");
}

static gboolean read_evidence(const struct message *m, int64_t now_ms, struct judge_request *r, GError **error)
{
	g_autoptr(GBytes) bytes = message_bytes(m, "seen.json", SEEN_MAX, error);
	autoptr(json) seen = bytes != NULL ? json_parse_bytes(bytes, error) : NULL;
	autoptr(tag) tag = NULL;
	g_autofree char *id = NULL;

	if (seen == NULL || (r->tag_raw = message_bytes(m, "tag", OBJECT_MAX, error)) == NULL ||
	    (id = object_id(r->tag_raw, "tag", error)) == NULL)
		return FALSE;
	if (!g_str_equal(id, r->tag_object))
		return refuse(error, "the tag's bytes are not the tag object that the release names");
	for (guint i = 0; i < m->files->len; i++) {
		const char *name = g_array_index(m->files, struct message_file, i).name;
		if (g_str_has_prefix(name, "approval-") && !add_approval(m, name, seen, now_ms, r->approvals, error))
			return FALSE;
	}
	if ((tag = tag_parse(r->tag_raw, error)) == NULL)
		return FALSE;
	mark_history(r, tag);
	return read_provenance(m, now_ms, r, error) && judge_range_read(m, tag->object, r, error);
}

gboolean judge_request_read(const struct message *m, int64_t now_ms, struct judge_request *r, GError **error)
{
	const struct message_file *blob;

	r->message = m;
	r->approvals = g_array_new(FALSE, TRUE, sizeof(struct approval_evidence));
	g_array_set_clear_func(r->approvals, approval_clear);
	if (!read_names(m, r, error) || !read_times(m, now_ms, r, error) ||
	    (blob = message_require(m, "blob", error)) == NULL ||
	    (r->certificates = message_bytes(m, "certificates", CERTIFICATES_MAX, error)) == NULL)
		return FALSE;
	r->blob_fd = blob->fd;
	return read_evidence(m, now_ms, r, error);
}
