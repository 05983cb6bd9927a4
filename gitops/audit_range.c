/* The range report of a record: is it the one that it names, about the release that it names, and were its commits those of persons? */
#include "gitops/range.h"

#include <string.h>

#include "gitops/audit_private.h"
#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

static void release_free(gpointer data)
{
	struct audit_release *release = data;

	g_free(release->project);
	g_free(release->commit);
	g_free(release->purpose);
	g_free(release);
}

GHashTable *audit_releases_new(void)
{
	return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, release_free);
}

static const char *text_at(const struct json *value, const char *path)
{
	return json_as_string(json_path(value, path));
}

void audit_note_release(struct audit *a, const struct json *record, const struct policy_rule *rule)
{
	const char *commit = text_at(record, "source.commit");
	struct audit_release *release;

	if (g_strcmp0(text_at(record, "end.outcome"), "signed") != 0 || commit == NULL)
		return;
	release = g_new0(struct audit_release, 1);
	release->project = g_strdup(json_string(record, "project"));
	release->commit = g_strdup(commit);
	release->purpose = rule != NULL ? g_strdup(rule->purpose) : NULL;
	g_hash_table_replace(a->releases, g_strdup(json_string(record, "id")), release);
}

/* Bytes with the digest that the record gives them. */
static GBytes *evidence(struct audit *a, GHashTable *files, const char *name, const char *sha256)
{
	GBytes *bytes = g_hash_table_lookup(files, name);
	g_autofree char *digest = bytes != NULL ? sha256_text_bytes(bytes) : NULL;

	if (bytes == NULL)
		audit_bad(a, "its evidence lacks \"%s\"", name);
	else if (g_strcmp0(digest, sha256) != 0)
		audit_bad(a, "its evidence \"%s\" is not what the record has the digest of", name);
	else
		return bytes;
	return NULL;
}

/* Where a range begins, only the log can say: at a release that it shows to be signed, of the same project and not of a lesser purpose. */
static void check_base(struct audit *a, const struct json *record, const struct json *base, const struct policy_rule *rule)
{
	const char *id = json_string(base, "record"), *commit = json_string(base, "commit");
	const struct audit_release *release = g_hash_table_lookup(a->releases, id);

	if (release == NULL) {
		audit_bad(a, "its range begins at record %s, and no release of that record was signed before it", id);
	} else if (g_strcmp0(release->project, json_string(record, "project")) != 0) {
		audit_bad(a, "its range begins at record %s, which is of another project", id);
	} else if (g_strcmp0(release->commit, commit) != 0) {
		audit_bad(a, "its range begins at %s, and record %s is of %s", commit, id, release->commit);
	} else if (g_strcmp0(rule->purpose, "test") != 0 && release->purpose != NULL &&
		   g_strcmp0(release->purpose, rule->purpose) != 0) {
		audit_bad(a, "its range begins at record %s, a %s release", id, release->purpose);
	}
}

/* The report says the same as the record, and is about the tagged commit. */
static void check_report(struct audit *a, const struct json *record, const struct json *section, GBytes *bytes)
{
	g_autoptr(GError) error = NULL;
	gsize size;
	const void *data = g_bytes_get_data(bytes, &size);
	autoptr(json) report = json_parse_canonical(data, size, &error);

	if (report == NULL) {
		audit_bad(a, "its range report: %s", error->message);
		return;
	}
	if (g_strcmp0(json_string(report, "commit"), text_at(record, "source.commit")) != 0 ||
	    g_strcmp0(json_string(report, "base"), text_at(section, "base.commit")) != 0)
		audit_bad(a, "its range report is about other commits than the record");
	if (json_integer(section, "commits", -1) != (int64_t)json_length(json_get(report, "commits")) ||
	    json_boolean(section, "complete", FALSE) != json_boolean(report, "complete", FALSE))
		audit_bad(a, "its \"range\" says otherwise than the range report");
}

static void check_commits(struct audit *a, const struct json *record, GHashTable *files, const struct request *request)
{
	GBytes *proof = g_hash_table_lookup(files, "range-commits");
	g_autoptr(GError) error = NULL;

	if (proof == NULL)
		audit_bad(a, "its policy wants signed commits, and its evidence lacks \"range-commits\"");
	else if (!range_prove(proof, text_at(record, "source.range.base.commit"), text_at(record, "source.commit"),
		     policy_people(request->policy), request->tag_first_seen_ms, &error))
		audit_error(a, "its policy wants signed commits", error);
}

void audit_range(struct audit *a, const struct json *record, GHashTable *files, const struct request *request,
    const struct policy_rule *rule)
{
	const struct json *section = json_path(record, "source.range"), *base = json_get(section, "base");
	GBytes *report = section != NULL ? evidence(a, files, "range.json", json_string(section, "sha256")) : NULL;

	if (report != NULL)
		check_report(a, record, section, report);
	if (base != NULL)
		check_base(a, record, base, rule);
	if (g_hash_table_contains(files, "manifest"))
		evidence(a, files, "manifest", text_at(record, "source.tree_sha256"));
	if (g_strcmp0(rule->commits, "signed") == 0)
		check_commits(a, record, files, request);
}
