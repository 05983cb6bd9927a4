/* Whose commits stand in a range: decided from raw bytes, by the server, by judge and by `tagseal audit`. */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/cursor.h"
#include "gitops/base/error.h"
#include "gitops/range_private.h"

#define OFFENDERS_NAMED 3

/* ---- one commit ---- */

static gboolean has_signature(GBytes *raw)
{
	gsize size;
	const char *data = g_bytes_get_data(raw, &size);
	const char *blank = g_strstr_len(data, (gssize)size, "\n\n");

	return g_strstr_len(data, blank != NULL ? blank - data : (gssize)size, "\ngpgsig") != NULL;
}

char *range_verdict(GBytes *raw, const struct people *people, int64_t at_ms, struct signer *signer)
{
	g_autoptr(GError) why = NULL;
	autoptr(commit) commit = NULL;

	memset(signer, 0, sizeof(*signer));
	if (!has_signature(raw))
		return g_strdup("unsigned");
	commit = commit_parse(raw, &why);
	if (commit != NULL && !commit->is_signed)
		return g_strdup("unsigned");
	if (commit != NULL && people_verify_commit(people, commit, at_ms, signer, &why))
		return g_strdup("good");
	signer_clear(signer);
	return g_strdup(why->message);
}

struct json *range_signers(const struct range *range, const struct people *people, int64_t at_ms)
{
	struct json *told = json_object_new(), *list = json_array_new();

	for (guint i = 0; i < range->commits->len; i++) {
		struct json *row = json_object_new();
		struct signer signer;
		g_autofree char *verdict = range_verdict(range->commits->pdata[i], people, at_ms, &signer);

		json_set_string(row, "id", range->ids->pdata[i]);
		json_set_string(row, "verdict", verdict);
		if (signer.person != NULL) {
			json_set_string(row, "person", signer.person);
			json_set_string(row, "format", signature_format_name(signer.format));
			json_set_string(row, "key", signer.key);
		}
		json_append(list, row);
		signer_clear(&signer);
	}
	json_set_string(told, "range", range->sha256);
	json_set(told, "commits", list);
	return told;
}

/* ---- proofs ---- */

void range_proof_add(GByteArray *proof, GBytes *raw)
{
	gsize size;
	const void *data = g_bytes_get_data(raw, &size);
	g_autofree char *line = g_strdup_printf("commit %zu\n", size);

	g_byte_array_append(proof, (const guint8 *)line, strlen(line));
	g_byte_array_append(proof, data, size);
}

struct proof {
	GHashTable *raws; /* id -> GBytes */
	GHashTable *released; /* ids */
	const struct people *people;
	int64_t at_ms;
	guint offenders;
	GString *named; /* the first of them */
};

static gboolean take_commit(struct cursor *c, GBytes *whole, GHashTable *raws, GError **error)
{
	g_autoptr(GBytes) raw = NULL;
	const char *line;
	const uint8_t *data;
	g_autofree char *text = NULL, *id = NULL;
	size_t length;
	guint64 size;

	if (!cursor_line(c, &line, &length, "commit"))
		return cursor_fail(c, "the evidence of the range", error);
	text = g_strndup(line, length);
	if (length > 20 || !g_str_has_prefix(text, "commit ") ||
	    !g_ascii_string_to_unsigned(text + strlen("commit "), 10, 1, G_MAXINT32, &size, NULL)) {
		cursor_refuse(c, "commit", "not a line \"commit SIZE\"");
		return cursor_fail(c, "the evidence of the range", error);
	}
	if (!cursor_bytes(c, &data, size, "commit"))
		return cursor_fail(c, "the evidence of the range", error);
	raw = g_bytes_new_from_bytes(whole, (gsize)(data - c->data), size);
	if ((id = object_id(raw, "commit", error)) == NULL)
		return FALSE;
	g_hash_table_replace(raws, g_steal_pointer(&id), g_steal_pointer(&raw));
	return TRUE;
}

static gboolean read_proof(GBytes *bytes, GHashTable *raws, GError **error)
{
	struct cursor c;
	gsize size;
	const void *data = g_bytes_get_data(bytes, &size);

	cursor_init(&c, data, size);
	while (cursor_left(&c) > 0)
		if (!take_commit(&c, bytes, raws, error))
			return FALSE;
	return TRUE;
}

/* Ids to be looked at that were not yet. */
static void reach(GHashTable *seen, GPtrArray *stack, const char *id)
{
	char *own;

	if (g_hash_table_contains(seen, id))
		return;
	own = g_strdup(id);
	g_hash_table_add(seen, own);
	g_ptr_array_add(stack, own);
}

static const char *next(GPtrArray *stack)
{
	return stack->len > 0 ? g_ptr_array_steal_index_fast(stack, stack->len - 1) : NULL;
}

/* The base, and what the evidence shows to lie below it. */
static gboolean find_released(struct proof *p, const char *base, GError **error)
{
	g_autoptr(GPtrArray) stack = g_ptr_array_new();
	const char *id;

	if (base != NULL)
		reach(p->released, stack, base);
	while ((id = next(stack)) != NULL) {
		GBytes *raw = g_hash_table_lookup(p->raws, id);
		autoptr(commit_head) head = raw != NULL ? commit_head_read(raw, id, error) : NULL;

		if (raw != NULL && head == NULL)
			return FALSE;
		for (char **parent = head != NULL ? head->parents : NULL; parent != NULL && *parent != NULL; parent++)
			reach(p->released, stack, *parent);
	}
	return TRUE;
}

static void check_commit(struct proof *p, const char *id, GBytes *raw)
{
	struct signer signer;
	g_autofree char *verdict = range_verdict(raw, p->people, p->at_ms, &signer);

	signer_clear(&signer);
	if (g_str_equal(verdict, "good") || p->offenders++ >= OFFENDERS_NAMED)
		return;
	g_string_append_printf(p->named, "%s%s (%s)", p->named->len > 0 ? ", " : "", id,
	    g_str_equal(verdict, "unsigned") ? "it bears no signature" : verdict);
}

static gboolean check_range(struct proof *p, const char *commit, GError **error)
{
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GPtrArray) stack = g_ptr_array_new();
	const char *id;

	reach(seen, stack, commit);
	while ((id = next(stack)) != NULL) {
		GBytes *raw = g_hash_table_lookup(p->raws, id);
		autoptr(commit_head) head = NULL;

		if (g_hash_table_contains(p->released, id))
			continue;
		if (raw == NULL) {
			error_refused(error,
			    "the evidence of the range lacks the commit %s, which no signed release contains", id);
			return FALSE;
		}
		if ((head = commit_head_read(raw, id, error)) == NULL)
			return FALSE;
		check_commit(p, id, raw);
		for (char **parent = head->parents; *parent != NULL; parent++)
			reach(seen, stack, *parent);
	}
	return TRUE;
}

gboolean range_prove(
    GBytes *bytes, const char *base, const char *commit, const struct people *people, int64_t at_ms, GError **error)
{
	g_autoptr(GHashTable) raws =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	g_autoptr(GHashTable) released = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GString) named = g_string_new(NULL);
	struct proof p = { raws, released, people, at_ms, 0, named };

	if (!read_proof(bytes, raws, error) || !find_released(&p, base, error) || !check_range(&p, commit, error))
		return FALSE;
	if (p.offenders == 0)
		return TRUE;
	error_refused(error, "%u commit%s since %s bear%s no good signature of a person: %s%s", p.offenders,
	    p.offenders == 1 ? "" : "s", base != NULL ? base : "the beginning", p.offenders == 1 ? "s" : "", named->str,
	    p.offenders > OFFENDERS_NAMED ? ", and others" : "");
	return FALSE;
}
