#include "gitops/provenance_policy.h"

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/policy_private.h"

static GBytes *file_of(const struct provenance_question *q, const char *name, GError **error)
{
	g_autofree char *path = policy_beside(q->project->file, name);
	GBytes *bytes = policy_file(q->policy, path);

	if (bytes == NULL)
		error_refused(error, "the policy has no file %s", path);
	return bytes;
}

/* The keys of all files together. */
static GPtrArray *keys_of(const struct provenance_question *q, GError **error)
{
	g_autoptr(GByteArray) all = g_byte_array_new();
	g_autoptr(GBytes) pem = NULL;

	for (guint i = 0; q->rule->provenance.keys[i] != NULL; i++) {
		GBytes *bytes = file_of(q, q->rule->provenance.keys[i], error);

		if (bytes == NULL)
			return NULL;
		g_byte_array_append(all, g_bytes_get_data(bytes, NULL), (guint)g_bytes_get_size(bytes));
		g_byte_array_append(all, (const guint8 *)"\n", 1);
	}
	pem = g_byte_array_free_to_bytes(g_steal_pointer(&all));
	return dsse_keys_parse(pem, "the builder's keys", error);
}

static gboolean fill_trust(const struct provenance_question *q, struct dsse_trust *trust, GError **error)
{
	const struct policy_provenance *p = &q->rule->provenance;
	GBytes *pem;

	trust->at_ms = q->first_seen_ms;
	if (p->roots == NULL)
		return (trust->keys = keys_of(q, error)) != NULL;
	if ((pem = file_of(q, p->roots, error)) == NULL || (trust->roots = dsse_roots_parse(pem, p->roots, error)) == NULL)
		return FALSE;
	trust->identities = p->identities[0] != NULL ? p->identities : NULL;
	trust->issuer = p->issuer;
	if (p->timestamp_roots == NULL)
		return TRUE;
	trust->stamp_time = q->stamp_time;
	trust->stamp_data = file_of(q, p->timestamp_roots, error);
	return trust->stamp_data != NULL;
}

gboolean provenance_decide(GBytes *file, const struct provenance_question *q, struct json **section, GError **error)
{
	const struct policy_provenance *p = &q->rule->provenance;
	struct provenance_wish wish = {
		.builders = p->builders,
		.source = p->source != NULL ? p->source : q->project->source,
		.commit = q->commit,
		.artifacts = q->artifacts,
		.artifact_count = q->artifact_count,
		.by_name = TRUE,
	};
	g_autofree char *where = policy_rule_where(q->project, q->rule), *seen = time_format_ms(q->first_seen_ms);
	gboolean good = fill_trust(q, &wish.trust, error) && provenance_verify(file, &wish, section, error);

	g_clear_pointer(&wish.trust.keys, g_ptr_array_unref);
	X509_STORE_free(wish.trust.roots);
	if (good && section != NULL)
		json_set_string(*section, "first_seen", seen);
	if (!good)
		g_prefix_error(
		    error, "the provenance does not vouch, as policy \"%s\" (%s) demands: ", q->rule->name, where);
	return good;
}
