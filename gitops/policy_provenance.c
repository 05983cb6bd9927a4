/* [policy.provenance]: who may say from which commit a rule's artifacts were built, and where that is fetched from. */
#include "gitops/policy_private.h"

#include "gitops/dsse.h"

#define ROW(key, type, member, ...)                                                                                    \
	{                                                                                                              \
		key, type, offsetof(struct policy_provenance, member), __VA_ARGS__                                     \
	}
static const struct toml_field fields[] = {
	ROW("fetch", TOML_T_STRING, fetch, .required = TRUE,
	    .help = "One envelope, JSON lines or a bundle, for all artifacts."),
	ROW("builders", TOML_T_STRINGS, builders, .required = TRUE,
	    .help = "Ids of builders, or patterns (* stays between slashes)."),
	ROW("keys", TOML_T_STRINGS, keys, .help = "PEM files beside this one: the builder's public keys."),
	ROW("roots", TOML_T_STRING, roots, .help = "Or the roots of the builder's certificate, beside this file."),
	ROW("identities", TOML_T_STRINGS, identities,
	    .help = "Names in that certificate; omitted: it must name the builder."),
	ROW("issuer", TOML_T_STRING, issuer, .help = "Who vouched for the identity, as Fulcio writes it."),
	ROW("timestamp_roots", TOML_T_STRING, timestamp_roots,
	    .help = "Timestamps in bundles count, by these authorities."),
	ROW("source", TOML_T_STRING, source, .help = "As the builder calls it; omitted: the project's source."),
};
#undef ROW

void policy_provenance_clear(struct policy_provenance *provenance)
{
	toml_clear(fields, G_N_ELEMENTS(fields), provenance);
}

char *policy_beside(const char *file, const char *name)
{
	g_autofree char *folder = g_path_get_dirname(file);

	return g_build_filename(folder, name, NULL);
}

/* The file of that name beside the project's; a failure at `node`. */
static GBytes *beside(
    const struct policy *policy, const char *file, const struct toml *node, const char *name, GError **error)
{
	g_autofree char *path = policy_beside(file, name);
	GBytes *bytes = policy_file(policy, path);

	if (bytes == NULL)
		toml_fail(node, error, "there is no file %s", path);
	return bytes;
}

static gboolean check_keys(
    const struct policy *policy, const char *file, const struct toml *node, char **keys, GError **error)
{
	for (guint i = 0; keys[i] != NULL; i++) {
		GBytes *pem = beside(policy, file, toml_at(node, i), keys[i], error);
		g_autoptr(GError) why = NULL;
		g_autoptr(GPtrArray) read = pem != NULL ? dsse_keys_parse(pem, keys[i], &why) : NULL;

		if (pem == NULL || (read == NULL && !toml_fail(toml_at(node, i), error, "%s", why->message)))
			return FALSE;
	}
	return TRUE;
}

static gboolean check_roots(
    const struct policy *policy, const char *file, const struct toml *node, const char *name, GError **error)
{
	GBytes *pem = name != NULL ? beside(policy, file, node, name, error) : NULL;
	g_autoptr(GError) why = NULL;
	X509_STORE *read = pem != NULL ? dsse_roots_parse(pem, name, &why) : NULL;
	gboolean good = name == NULL || read != NULL;

	X509_STORE_free(read);
	return good || (pem != NULL && toml_fail(node, error, "%s", why->message));
}

static gboolean check(const struct policy *policy, const struct toml *node, const char *file, const char *project,
    const struct policy_provenance *p, GError **error)
{
	if (p->builders[0] == NULL)
		return toml_fail(toml_get(node, "builders"), error, "builders is empty: no statement would ever count");
	if ((p->keys[0] != NULL) == (p->roots != NULL))
		return toml_fail(node, error, "either keys or roots say whose statements count");
	if (p->roots == NULL && (p->identities[0] != NULL || p->issuer != NULL || p->timestamp_roots != NULL))
		return toml_fail(
		    node, error, "identities, issuer and timestamp_roots are about certificates, and go with roots");
	return policy_check_pattern(toml_get(node, "fetch"), p->fetch, project, FALSE, error) &&
	       check_keys(policy, file, toml_get(node, "keys"), p->keys, error) &&
	       check_roots(policy, file, toml_get(node, "roots"), p->roots, error) &&
	       check_roots(policy, file, toml_get(node, "timestamp_roots"), p->timestamp_roots, error);
}

gboolean policy_provenance_read(const struct policy *policy, const struct toml *node, const char *file,
    const char *project, struct policy_rule *rule, GError **error)
{
	gboolean asked = g_strv_contains((const char *const *)rule->pinned_by, "provenance");
	g_autofree char *where = g_strdup_printf("%s:%u:1", file, rule->line);

	if (node == NULL && asked) {
		error_refused(error,
		    "%s: pinned_by names \"provenance\", and no [policy.provenance] says who may sign it", where);
		return FALSE;
	}
	if (node == NULL)
		return TRUE;
	if (!asked)
		return toml_fail(node, error, "nothing asks for provenance: pinned_by does not name it");
	if (toml_kind(node) != TOML_TABLE)
		return toml_fail(node, error, "provenance must be a table: [policy.provenance]");
	return toml_read(node, fields, G_N_ELEMENTS(fields), &rule->provenance, "[policy.provenance]", error) &&
	       check(policy, node, file, project, &rule->provenance, error);
}
