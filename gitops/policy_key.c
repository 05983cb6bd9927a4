/* keys/NAME.toml: one signing key, and the least that a policy using it must demand. */
#include "gitops/policy_private.h"

#include <string.h>

#define ROW(key, type, member, ...)                                                                                    \
	{                                                                                                              \
		key, type, offsetof(struct key_file, member), __VA_ARGS__                                              \
	}

struct key_file {
	struct policy_key key;
	const struct toml *require, *budget;
};

static const struct toml_field key_fields[] = {
	ROW("label", TOML_T_STRING, key.label, .help = "Of the private key on the token; default: the file's name."),
	ROW("purpose", TOML_T_CHOICE, key.purpose, .required = TRUE, .choices = "release|test"),
	ROW("chain", TOML_T_STRING, key.chain, .help = "X.509 certificates, a PEM file beside this one."),
	ROW("openpgp", TOML_T_STRING, key.openpgp, .help = "The OpenPGP certificate, a file beside this one."),
	ROW("require", TOML_T_NODE, require, .help = "What a policy that uses the key must demand at least."),
	ROW("budget", TOML_T_NODE, budget, .help = "Warns at 80 %, blocks at 100 %."),
	ROW("modules", TOML_T_STRINGS, key.modules, .help = "Models of tokens that may hold it."),
};
static const struct toml_field require_fields[] = {
	ROW("quorum", TOML_T_INTEGER, key.require_quorum, .min = 0, .max = 1000),
	ROW("timestamp", TOML_T_BOOLEAN, key.require_timestamp, NULL),
	ROW("scan", TOML_T_BOOLEAN, key.require_scan, NULL),
	ROW("max_database_age", TOML_T_DURATION, key.require_max_database_age, NULL),
};
static const struct toml_field budget_fields[] = {
	ROW("projects", TOML_T_INTEGER, key.budget_projects, .min = 1, .max = 1000000),
	ROW("signatures", TOML_T_INTEGER, key.budget_signatures, .min = 1, .max = INT32_MAX),
	ROW("days", TOML_T_INTEGER, key.budget_days, .min = 1, .max = 36500),
};

void policy_key_free(struct policy_key *key)
{
	g_free(key->name);
	g_free(key->file);
	g_free(key->label);
	g_free(key->purpose);
	g_free(key->chain);
	g_free(key->openpgp);
	g_strfreev(key->modules);
	g_free(key);
}

static gboolean read_table(const struct toml *node, const struct toml_field *fields, size_t count,
    struct key_file *file, const char *what, GError **error)
{
	if (node == NULL)
		return TRUE;
	if (toml_kind(node) != TOML_TABLE)
		return toml_fail(node, error, "%s must be a table", what);
	return toml_read(node, fields, count, file, what, error);
}

/* A file that keys/NAME.toml names stands beside it. */
static gboolean check_beside(
    const struct policy *policy, const struct toml *root, const char *field, const char *name, GError **error)
{
	const struct toml *node = toml_get(root, field);
	g_autofree char *path = NULL;

	if (name == NULL)
		return TRUE;
	if (!policy_check_name(node, FALSE, error))
		return FALSE;
	path = g_strconcat("keys/", name, NULL);
	if (g_hash_table_contains(policy->files, path))
		return TRUE;
	return toml_fail(node, error, "%s names \"%s\", but there is no file %s", field, name, path);
}

/* One private key has one file: under a second one it would have another purpose, or owe less. */
static gboolean check_label(
    const struct policy *policy, const struct toml *root, const struct policy_key *key, GError **error)
{
	const struct toml *node = toml_get(root, "label");

	for (guint i = 0; i < policy->keys->len; i++) {
		const struct policy_key *other = policy->keys->pdata[i];

		if (g_str_equal(other->label, key->label))
			return toml_fail(node != NULL ? node : root, error,
			    "the label \"%s\" stands in %s too; one private key has one file", key->label, other->file);
	}
	return TRUE;
}

static gboolean read_fields(const struct toml *root, struct key_file *file, GError **error)
{
	return toml_read(root, key_fields, G_N_ELEMENTS(key_fields), file, "a key", error) &&
	       read_table(file->require, require_fields, G_N_ELEMENTS(require_fields), file, "require", error) &&
	       read_table(file->budget, budget_fields, G_N_ELEMENTS(budget_fields), file, "budget", error);
}

struct policy_key *policy_key_read(const struct policy *policy, const char *file, GBytes *text, GError **error)
{
	size_t size;
	const char *data = g_bytes_get_data(text, &size);
	autoptr(toml) root = toml_parse(data, size, file, error);
	struct key_file read = { 0 };
	autoptr(policy_key) key = NULL;
	gboolean good;

	if (root == NULL)
		return NULL;
	good = read_fields(root, &read, error);
	key = g_memdup2(&read.key, sizeof(read.key));
	key->file = g_strdup(file);
	key->budget_line = read.budget != NULL ? toml_line(read.budget) : 1;
	key->name = g_strndup(file + strlen("keys/"), strlen(file) - strlen("keys/") - strlen(".toml"));
	if (key->label == NULL)
		key->label = g_strdup(key->name);
	if (!good || !check_label(policy, root, key, error) || !check_beside(policy, root, "chain", key->chain, error) ||
	    !check_beside(policy, root, "openpgp", key->openpgp, error))
		return NULL;
	return g_steal_pointer(&key);
}
