/* One document of the log: its form, its place in the chains, what it says of keys' uses; then the decision again. */
#include <string.h>

#include "gitops/audit_private.h"
#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/record.h"

static void check_message(struct audit *a, const char *message, const char *id, const char *sha256, const char *event)
{
	g_autofree char *line = g_strdup_printf("\nTagseal-%s: %s %s%s%s\n", event != NULL ? "Event" : "Record", id,
	    sha256, event != NULL ? " " : "", event != NULL ? event : "");

	if (strstr(message, line) == NULL)
		audit_bad(a, "the message of its commit does not name it");
}

static void check_numbers(struct audit *a, const struct json *document, gint64 sequence, const char *id)
{
	if (!g_hash_table_add(a->ids, g_strdup(id)))
		audit_bad(a, "its id %s stands in the log before it", id);
	if (json_integer(document, "sequence", -1) != sequence)
		audit_bad(a, "it says that its number is %" G_GINT64_FORMAT, json_integer(document, "sequence", -1));
	if (g_strcmp0(json_string(document, "id"), id) != 0)
		audit_bad(a, "it stands under another id than its own");
}

static void note_use(struct audit *a, const char *key, gint64 use)
{
	GArray *uses = g_hash_table_lookup(a->uses, key);

	if (uses == NULL) {
		uses = g_array_new(FALSE, FALSE, sizeof(gint64));
		g_hash_table_insert(a->uses, g_strdup(key), uses);
	}
	g_array_append_val(uses, use);
}

/* ---- events ---- */

static gboolean is_void(const struct json *event)
{
	return g_strcmp0(json_string(event, "event"), "void") == 0;
}

static void note_void(struct audit *a, const struct json *event)
{
	if (is_void(event) && json_string(event, "key") != NULL && json_get(event, "use") != NULL)
		note_use(a, json_string(event, "key"), json_integer(event, "use", 0));
}

static void check_event(struct audit *a, const struct json *event)
{
	const char *record = json_string(event, "record"), *key = json_string(event, "key");
	g_autoptr(GError) error = NULL;

	a->result->events++;
	if (!record_event_check(event, &error)) {
		audit_bad(a, "%s", error->message);
		return;
	}
	if (record != NULL && !g_hash_table_contains(a->digests, record))
		audit_bad(a, "it names a record that stands nowhere before it");
	if (is_void(event) && (key == NULL || json_get(event, "use") == NULL))
		audit_bad(a, "it is void, and names no key or no use");
	note_void(a, event);
}

/* ---- records ---- */

static void check_previous(struct audit *a, const struct json *record, const char *project, const char *sha256)
{
	const char *previous = json_string(record, "previous"), *expected = g_hash_table_lookup(a->newest, project);

	if (g_strcmp0(previous, expected) != 0)
		audit_bad(a, "its \"previous\" is %s, and the record before it in its project is %s",
		    previous != NULL ? previous : "missing", expected != NULL ? expected : "none");
	g_hash_table_replace(a->newest, g_strdup(project), g_strdup(sha256));
	g_hash_table_add(a->digests, g_strdup(sha256));
}

static gboolean was_signed(const struct json *record)
{
	return g_strcmp0(json_as_string(json_path(record, "end.outcome")), "signed") == 0;
}

/* The record that signed this tag object first: this one, unless there was another. */
static const char *first_signed(struct audit *a, const struct json *record)
{
	const char *object = json_as_string(json_path(record, "source.tag_object"));
	g_autofree char *name = g_strdup_printf(
	    "%s\n%s\n%s", json_string(record, "project"), json_string(record, "tag"), object != NULL ? object : "");
	const char *before = g_hash_table_lookup(a->signed_once, name);

	if (before != NULL)
		return before;
	g_hash_table_insert(a->signed_once, g_steal_pointer(&name), g_strdup(json_string(record, "id")));
	return json_string(record, "id");
}

/* The same tag object is signed once, unless the record says which one it signs again. */
static void check_once(struct audit *a, const struct json *record)
{
	const char *first = was_signed(record) ? first_signed(a, record) : NULL;

	if (first != NULL && !g_str_equal(first, json_string(record, "id")) &&
	    g_strcmp0(json_string(record, "resigns"), first) != 0)
		audit_bad(a,
		    "the release was signed before, by record %s, and this one does not say that it signs again", first);
}

static void note_signatures(struct audit *a, const struct json *record)
{
	const struct json *artifacts = json_get(record, "artifacts");

	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *signatures = json_path(json_at(artifacts, i), "signed.signatures");

		for (guint n = 0; n < json_length(signatures); n++) {
			const struct json *signature = json_at(signatures, n);

			note_use(a, json_string(signature, "key"), json_integer(signature, "use", 0));
		}
	}
}

static gboolean has_signatures(const struct json *record)
{
	const struct json *artifacts = json_get(record, "artifacts");

	for (guint i = 0; i < json_length(artifacts); i++) {
		if (json_length(json_path(json_at(artifacts, i), "signed.signatures")) > 0)
			return TRUE;
	}
	return FALSE;
}

static void check_artifacts(struct audit *a, const struct json *record, GHashTable *files)
{
	g_autoptr(GError) error = NULL;

	/* Without the policy they cannot be judged; audit_decide() says that it is not there. */
	if (!has_signatures(record) || !g_hash_table_contains(files, "policy.json"))
		return;
	if (a->options->artifact == NULL)
		a->unchecked_artifacts++;
	else if (!a->options->artifact(record, files, a->options->data, &error))
		audit_error(a, "its signatures", error);
}

static void check_record(struct audit *a, const struct json *record, const char *sha256, GHashTable *files)
{
	g_autoptr(GError) error = NULL;

	a->result->records++;
	if (!record_check(record, &error)) {
		audit_bad(a, "%s", error->message);
		return;
	}
	check_previous(a, record, json_string(record, "project"), sha256);
	check_once(a, record);
	note_signatures(a, record);
	if (files == NULL || !audit_evidence(a, record, files))
		return;
	check_artifacts(a, record, files);
	audit_decide(a, record, files);
}

void audit_document(
    struct audit *a, gint64 sequence, const char *id, GBytes *bytes, GHashTable *files, const char *message)
{
	g_autoptr(GError) error = NULL;
	gsize size;
	const void *data = g_bytes_get_data(bytes, &size);
	autoptr(json) document = json_parse_canonical(data, size, &error);
	g_autofree char *sha256 = sha256_text_bytes(bytes);
	const char *event = json_string(document, "event");

	if (document == NULL) {
		audit_bad(a, "%s", error->message);
		return;
	}
	check_message(a, message, id, sha256, event);
	check_numbers(a, document, sequence, id);
	if (json_get(document, "event") != NULL && files != NULL && g_hash_table_size(files) > 0)
		audit_bad(a, "it is an event, and none has evidence");
	if (json_get(document, "event") != NULL)
		check_event(a, document);
	else
		check_record(a, document, sha256, files);
}

void audit_remember(struct audit *a, const char *id, GBytes *bytes)
{
	g_autofree char *sha256 = sha256_text_bytes(bytes);
	autoptr(json) document = json_parse_bytes(bytes, NULL);

	g_hash_table_add(a->ids, g_strdup(id));
	if (json_get(document, "event") != NULL) {
		note_void(a, document);
		return;
	}
	if (document == NULL || !record_check(document, NULL))
		return;
	g_hash_table_add(a->digests, g_strdup(sha256));
	if (json_path(document, "source.tag_object") != NULL)
		audit_first_object(a, document);
	if (was_signed(document))
		first_signed(a, document);
	audit_note_release(a, document, NULL);
	note_signatures(a, document);
}

/* ---- at the end ---- */

static gint compare_numbers(gconstpointer a, gconstpointer b)
{
	gint64 one = *(const gint64 *)a, other = *(const gint64 *)b;

	return one < other ? -1 : one > other;
}

/*
 * Numbers rise by one a use, and each use ends in a record or as void: one that is missing was hidden, or is of a release that was still on its way
 * when this clone was made. Which of them cannot be seen here, so that it is bad until a later clone has it.
 */
static void check_uses(struct audit *a, const char *key, GArray *uses)
{
	gint64 last = 0;

	g_array_sort(uses, compare_numbers);
	for (guint i = 0; i < uses->len; i++) {
		gint64 use = g_array_index(uses, gint64, i);

		if (use < 1)
			audit_bad(
			    a, "%" G_GINT64_FORMAT " is no number of a use of the key %s: they begin with 1", use, key);
		else if (use == last)
			audit_bad(a, "use %" G_GINT64_FORMAT " of the key %s stands in two places", use, key);
		else if (use == last + 2)
			audit_bad(a, "use %" G_GINT64_FORMAT " of the key %s stands in no record and is not void",
			    use - 1, key);
		else if (use > last + 1)
			audit_bad(a,
			    "uses %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
			    " of the key %s stand in no record and are not void",
			    last + 1, use - 1, key);
		last = MAX(use, 0);
	}
}

void audit_finish(struct audit *a)
{
	g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(a->uses), (GCompareFunc)strcmp);

	for (GList *key = keys; key != NULL; key = key->next)
		check_uses(a, key->data, g_hash_table_lookup(a->uses, key->data));
	if (a->unchecked_artifacts > 0)
		audit_unknown(a, "the signatures of %u release%s were not checked against their certificates",
		    a->unchecked_artifacts, a->unchecked_artifacts == 1 ? "" : "s");
	if (a->unanchored_policies > 0)
		audit_unknown(a, "whether the policies of %u record%s were in force, only --policy-root can tell",
		    a->unanchored_policies, a->unanchored_policies == 1 ? "" : "s");
}
