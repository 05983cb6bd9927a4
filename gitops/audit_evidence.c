/*
 * The files beside a document: exactly those that it names and speaks of. The ledger writes each file's digest into the record, so that a record's own
 * digest stands for its evidence as well; and no file may lie in the log that no member of the record explains.
 */
#include <string.h>

#include "gitops/audit_private.h"
#include "gitops/base/bytes.h"
#include "gitops/policy_history.h"

static GList *sorted_names(GHashTable *files)
{
	return g_list_sort(g_hash_table_get_keys(files), (GCompareFunc)strcmp);
}

/* ---- the very bytes that were recorded ---- */

static gboolean is_recorded(struct audit *a, const struct json *list, const char *name, GBytes *bytes)
{
	const char *recorded = json_string(list, name);
	g_autofree char *real = sha256_text_bytes(bytes);

	if (recorded == NULL)
		audit_bad(a, "its evidence has \"%s\", which the record does not list", name);
	else if (!g_str_equal(recorded, real))
		audit_bad(a, "its evidence \"%s\" is not the file that the record lists: that has %s", name, recorded);
	return recorded != NULL && g_str_equal(recorded, real);
}

static gboolean check_list(struct audit *a, const struct json *list, GHashTable *files)
{
	g_autoptr(GList) names = sorted_names(files);
	gboolean good = TRUE;

	for (guint i = 0; i < json_length(list); i++) {
		const char *name = NULL;

		json_member(list, i, &name);
		if (!g_hash_table_contains(files, name)) {
			g_autofree char *shown = text_escape(name, -1, 200);

			audit_bad(a, "its evidence lacks \"%s\"", shown);
			good = FALSE;
		}
	}
	for (GList *name = names; name != NULL; name = name->next)
		good = is_recorded(a, list, name->data, g_hash_table_lookup(files, name->data)) && good;
	return good;
}

/* ---- no file without a reason ---- */

static void expect(GHashTable *expected, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void expect(GHashTable *expected, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_hash_table_add(expected, g_strdup_vprintf(format, args));
	va_end(args);
}

static void expect_signature(struct audit *a, GHashTable *expected, guint number, const struct json *signature)
{
	static const char *const any[] = { ".p7s", ".asc", NULL };
	const char *format = json_string(signature, "format");
	const char *ending = a->options->ending != NULL ? a->options->ending(format) : NULL;

	if (ending != NULL)
		expect(expected, "%u-%s%s", number, format, ending);
	for (guint i = 0; a->options->ending == NULL && any[i] != NULL; i++)
		expect(expected, "%u-%s%s", number, format, any[i]);
	if (json_get(signature, "timestamp") != NULL) {
		expect(expected, "%u-%s.tsq", number, format);
		expect(expected, "%u-%s.tsr", number, format);
	}
}

/* That of a release which ended over it says why. */
static gboolean speaks_of_provenance(const struct json *record)
{
	const struct json *artifacts = json_get(record, "artifacts");

	for (guint i = 0; i < json_length(artifacts); i++)
		if (json_get(json_at(artifacts, i), "provenance") != NULL)
			return TRUE;
	return g_strcmp0(json_as_string(json_path(record, "end.gate")), "fetch") == 0;
}

static GHashTable *expected_of(struct audit *a, const struct json *record)
{
	static const char *const of_the_range[] = { "range.json", "range-signers.json", "range-commits" };
	GHashTable *expected = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	const struct json *artifacts = json_get(record, "artifacts");
	guint number = 0;

	expect(expected, "tag");
	expect(expected, "policy.json");
	expect(expected, "%s", POLICY_HISTORY);
	if (json_path(record, "source.tree_sha256") != NULL)
		expect(expected, "manifest");
	if (json_path(record, "source.range") != NULL)
		for (guint i = 0; i < G_N_ELEMENTS(of_the_range); i++)
			expect(expected, "%s", of_the_range[i]);
	if (speaks_of_provenance(record))
		expect(expected, "provenance");
	for (guint i = 0; i < json_length(json_get(record, "approvals")); i++)
		expect(expected, "approval-%u", i + 1);
	for (guint i = 0; i < json_length(artifacts); i++) {
		const struct json *signatures = json_path(json_at(artifacts, i), "signed.signatures");

		for (guint n = 0; n < json_length(signatures); n++)
			expect_signature(a, expected, ++number, json_at(signatures, n));
	}
	return expected;
}

static gboolean check_reasons(struct audit *a, const struct json *record, GHashTable *files)
{
	g_autoptr(GHashTable) expected = expected_of(a, record);
	g_autoptr(GList) names = sorted_names(files);
	gboolean good = TRUE;

	for (GList *name = names; name != NULL; name = name->next)
		if (!g_hash_table_contains(expected, name->data)) {
			audit_bad(
			    a, "its evidence has \"%s\", which nothing in the record speaks of", (char *)name->data);
			good = FALSE;
		}
	return good;
}

gboolean audit_evidence(struct audit *a, const struct json *record, GHashTable *files)
{
	const struct json *list = json_get(record, "evidence");

	if (list != NULL && !check_list(a, list, files))
		return FALSE;
	return check_reasons(a, record, files);
}
