/* projects/NAME.toml: one project, its source and its signing policies. */
#include "gitops/policy_private.h"

#include <string.h>

#include "gitops/base/bytes.h"

#define QUORUM_LINES_MAX 8
#define ARTIFACTS_MAX 200
#define RULES_MAX 200

struct project_file {
	struct policy_project project;
	const struct toml *approvals, *policy;
};
struct rule_table {
	struct policy_rule rule;
	const struct toml *quorum, *artifact, *provenance;
};
struct artifact_table {
	struct policy_artifact artifact;
	const struct toml *sign, *inside;
};

#define ROW(key, type, member, ...)                                                                                    \
	{                                                                                                              \
		key, type, offsetof(struct project_file, member), __VA_ARGS__                                          \
	}
static const struct toml_field project_fields[] = {
	ROW("name", TOML_T_STRING, project.name, .required = TRUE),
	ROW("source", TOML_T_STRING, project.source, .required = TRUE, .help = "Where tags are fetched from."),
	ROW("hooks", TOML_T_STRINGS, project.hooks, .help = "Other names by which a webhook may call the source."),
	ROW("approvals", TOML_T_NODE, approvals, .help = "Where approvals stand: { url, ref }."),
	ROW("policy", TOML_T_NODE, policy, .required = TRUE),
};
static const struct toml_field approvals_fields[] = {
	ROW("url", TOML_T_STRING, project.approvals_url, .help = "Default: the source itself."),
	ROW("ref", TOML_T_STRING, project.approvals_ref, .help = "Default: refs/heads/tagseal/approvals."),
};
#undef ROW
#define ROW(key, type, member, ...)                                                                                    \
	{                                                                                                              \
		key, type, offsetof(struct rule_table, member), __VA_ARGS__                                            \
	}
static const struct toml_field rule_fields[] = {
	ROW("name", TOML_T_STRING, rule.name, .required = TRUE),
	ROW("tags", TOML_T_STRINGS, rule.tags, .required = TRUE),
	ROW("not_tags", TOML_T_STRINGS, rule.not_tags, NULL),
	ROW("branches", TOML_T_STRINGS, rule.branches, .help = "Omitted: the tagged commit may be anywhere."),
	ROW("taggers", TOML_T_STRINGS, rule.taggers, .required = TRUE),
	ROW("quorum", TOML_T_NODE, quorum, .required = TRUE, .help = "All lines must be met; []: the tag is enough."),
	ROW("self_approval", TOML_T_BOOLEAN, rule.self_approval, NULL),
	ROW("hardware_keys", TOML_T_BOOLEAN, rule.hardware_keys, NULL),
	ROW("approve_within", TOML_T_DURATION, rule.approve_within, NULL),
	ROW("commits", TOML_T_CHOICE, rule.commits, .dflt = "any", .choices = "signed|any"),
	ROW("key", TOML_T_STRING, rule.key, .required = TRUE),
	ROW("purpose", TOML_T_CHOICE, rule.purpose, .required = TRUE, .choices = "release|test"),
	ROW("pinned_by", TOML_T_STRINGS, rule.pinned_by, .required = TRUE),
	ROW("provenance", TOML_T_NODE, provenance, .help = "Who says from which commit the artifacts were built."),
	ROW("moved_tags", TOML_T_CHOICE, rule.moved_tags, .dflt = "reject", .choices = "reject|allow"),
	ROW("resign", TOML_T_BOOLEAN, rule.resign, NULL),
	ROW("timestamp", TOML_T_BOOLEAN, rule.timestamp, .dflt = "true"),
	ROW("scan", TOML_T_BOOLEAN, rule.scan, .dflt = "true"),
	ROW("artifact", TOML_T_NODE, artifact, NULL),
};
#undef ROW
#define ROW(key, type, member, ...)                                                                                    \
	{                                                                                                              \
		key, type, offsetof(struct artifact_table, member), __VA_ARGS__                                        \
	}
static const struct toml_field artifact_fields[] = {
	ROW("name", TOML_T_STRING, artifact.name, .required = TRUE),
	ROW("fetch", TOML_T_STRING, artifact.fetch, .required = TRUE),
	ROW("type", TOML_T_CHOICE, artifact.type, .dflt = "raw",
	    .choices =
		"pe|msi|cab|cat|script|appx|jar|apk|nupkg|vsix|rpm|deb|release|zip|tar|oci|elf|kmod|macho|xml|raw"),
	ROW("sign", TOML_T_NODE, sign, .required = TRUE, .help = "A format's name, a list of them, or \"no\"."),
	ROW("max_size", TOML_T_SIZE, artifact.max_size, .dflt = "500M", .min = 1, .max = G_MAXINT64),
	ROW("inside", TOML_T_NODE, inside, NULL),
};
#undef ROW
#define ROW(key, type, member, ...)                                                                                    \
	{                                                                                                              \
		key, type, offsetof(struct policy_quorum, member), __VA_ARGS__                                         \
	}
static const struct toml_field quorum_fields[] = {
	ROW("of", TOML_T_STRINGS, of, .required = TRUE),
	ROW("count", TOML_T_INTEGER, count, .required = TRUE, .min = 1, .max = 1000),
};
#undef ROW

static void artifact_clear(struct policy_artifact *artifact)
{
	g_free(artifact->name);
	g_free(artifact->fetch);
	g_free(artifact->type);
	g_strfreev(artifact->sign);
}

static void rule_clear(struct policy_rule *rule)
{
	g_free(rule->name);
	g_strfreev(rule->tags);
	g_strfreev(rule->not_tags);
	g_strfreev(rule->branches);
	g_strfreev(rule->taggers);
	for (guint i = 0; i < rule->quorum_count; i++)
		g_strfreev(rule->quorum[i].of);
	g_free(rule->quorum);
	g_free(rule->commits);
	g_free(rule->key);
	g_free(rule->purpose);
	g_strfreev(rule->pinned_by);
	policy_provenance_clear(&rule->provenance);
	g_free(rule->moved_tags);
	for (guint i = 0; i < rule->artifact_count; i++)
		artifact_clear(&rule->artifacts[i]);
	g_free(rule->artifacts);
}

void policy_project_free(struct policy_project *project)
{
	g_free(project->name);
	g_free(project->file);
	g_free(project->source);
	g_free(project->approvals_url);
	g_free(project->approvals_ref);
	g_strfreev(project->hooks);
	for (guint i = 0; i < project->rule_count; i++)
		rule_clear(&project->rules[i]);
	g_free(project->rules);
	g_free(project->file_sha256);
	g_free(project);
}

/* A pattern's {names} are known ones, and what comes of it for this project is a plain file name where it must be. */
gboolean policy_check_pattern(
    const struct toml *node, const char *pattern, const char *project, gboolean is_name, GError **error)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *sample = policy_expand(pattern, project, "v0", "0", &why);

	if (sample == NULL)
		return toml_fail(node, error, "%s", why->message);
	if (*sample == '\0' || !text_is_clean(sample, strlen(sample)))
		return toml_fail(node, error, "this must be printable text on one line");
	if (is_name && (strpbrk(sample, "/\\") != NULL || strchr(". ", *sample) != NULL || g_str_has_suffix(sample, " ")))
		return toml_fail(node, error,
		    "an artifact's name is a plain file name, without folders, that does not begin with a "
		    "dot; "
		    "this one comes to \"%s\"",
		    sample);
	return TRUE;
}

/* `sign = "jar"`, `sign = ["jar", "openpgp"]`, `sign = "no"`. Whether such a format exists is known to signer/. */
static gboolean read_sign(const struct toml *node, struct policy_artifact *artifact, GError **error)
{
	gboolean single = toml_kind(node) == TOML_STRING;
	guint count = single ? 1 : toml_length(node);
	g_autoptr(GStrvBuilder) names = g_strv_builder_new();

	if (!single && (toml_kind(node) != TOML_ARRAY || count == 0))
		return toml_fail(node, error, "sign must be a format's name, a list of them, or \"no\"");
	for (guint i = 0; i < count; i++) {
		const struct toml *item = single ? node : toml_at(node, i);

		if (toml_kind(item) != TOML_STRING)
			return toml_fail(item, error, "sign must name formats by strings");
		if (single && g_str_equal(toml_as_string(item), "no"))
			break;
		if (g_str_equal(toml_as_string(item), "no"))
			return toml_fail(item, error, "\"no\" stands alone: sign = \"no\"");
		if (!policy_check_name(item, FALSE, error))
			return FALSE;
		g_strv_builder_add(names, toml_as_string(item));
	}
	artifact->sign = g_strv_builder_end(names);
	return TRUE;
}

static gboolean read_artifact(
    const struct toml *node, const char *project, struct policy_artifact *artifact, GError **error)
{
	struct artifact_table read = { 0 };
	gboolean good =
	    toml_read(node, artifact_fields, G_N_ELEMENTS(artifact_fields), &read, "[[policy.artifact]]", error);

	*artifact = read.artifact;
	if (!good)
		return FALSE;
	if (read.inside != NULL)
		return toml_fail(read.inside, error,
		    "[[policy.artifact.inside]] (deep signing) is not supported by this version of tagseal");
	return policy_check_pattern(toml_get(node, "name"), artifact->name, project, TRUE, error) &&
	       policy_check_pattern(toml_get(node, "fetch"), artifact->fetch, project, FALSE, error) &&
	       read_sign(read.sign, artifact, error);
}

static gboolean read_artifacts(const struct toml *node, const char *project, struct policy_rule *rule, GError **error)
{
	guint count = node != NULL ? toml_length(node) : 0;

	if (node == NULL)
		return TRUE;
	if (!policy_check_tables(node, "[[policy.artifact]]", error))
		return FALSE;
	if (count > ARTIFACTS_MAX)
		return toml_fail(node, error, "%u artifacts, and %d are the limit", count, ARTIFACTS_MAX);
	rule->artifacts = g_new0(struct policy_artifact, count);
	rule->artifact_count = count;
	for (guint i = 0; i < count; i++) {
		if (!read_artifact(toml_at(node, i), project, &rule->artifacts[i], error))
			return FALSE;
		for (guint j = 0; j < i; j++)
			if (g_str_equal(rule->artifacts[i].name, rule->artifacts[j].name))
				return toml_fail(
				    toml_at(node, i), error, "two artifacts are named \"%s\"", rule->artifacts[i].name);
	}
	return TRUE;
}

static gboolean read_quorum_line(
    const struct people *people, const struct toml *node, struct policy_quorum *line, GError **error)
{
	g_auto(GStrv) members = NULL;

	if (!toml_read(node, quorum_fields, G_N_ELEMENTS(quorum_fields), line, "quorum", error) ||
	    !policy_check_principals(people, toml_get(node, "of"), error))
		return FALSE;
	members = policy_principals(people, line->of);
	if (line->count > (int64_t)g_strv_length(members))
		return toml_fail(toml_get(node, "count"), error,
		    "count = %" G_GINT64_FORMAT " can never be met: the line lists %u %s", line->count,
		    g_strv_length(members), g_strv_length(members) == 1 ? "person" : "people");
	return TRUE;
}

static gboolean read_quorum(const struct people *people, const struct toml *node, struct policy_rule *rule, GError **error)
{
	guint count = toml_length(node);

	if (toml_kind(node) == TOML_ARRAY && count == 0)
		return TRUE;
	if (!policy_check_tables(node, "quorum", error))
		return FALSE;
	if (count > QUORUM_LINES_MAX)
		return toml_fail(node, error, "%u quorum lines, and %d are the limit", count, QUORUM_LINES_MAX);
	rule->quorum = g_new0(struct policy_quorum, count);
	rule->quorum_count = count;
	for (guint i = 0; i < count; i++)
		if (!read_quorum_line(people, toml_at(node, i), &rule->quorum[i], error))
			return FALSE;
	return TRUE;
}

static gboolean check_patterns(const struct toml *node, GError **error)
{
	for (guint i = 0; node != NULL && i < toml_length(node); i++) {
		const char *pattern = toml_as_string(toml_at(node, i));

		if (*pattern == '\0' || !text_is_clean(pattern, strlen(pattern)))
			return toml_fail(toml_at(node, i), error, "a pattern must be printable text on one line");
	}
	return TRUE;
}

static gboolean check_pinned_by(const struct toml *node, const struct policy_rule *rule, GError **error)
{
	static const char *const words[] = { "tag", "approval", "provenance", NULL };

	if (rule->pinned_by[0] == NULL)
		return toml_fail(node,
		    error, "pinned_by is empty: say who vouches for the artifacts' digests, \"tag\", \"approval\" or \"provenance\"");
	for (guint i = 0; rule->pinned_by[i] != NULL; i++) {
		if (!g_strv_contains(words, rule->pinned_by[i]))
			return toml_fail(toml_at(node, i), error,
			    "pinned_by knows \"tag\", \"approval\" and \"provenance\", not \"%s\"", rule->pinned_by[i]);
		if (rule->quorum_count == 0 && g_str_equal(rule->pinned_by[i], "approval"))
			return toml_fail(node, error,
			    "quorum = [] asks nobody to approve, so only the tag and provenance can vouch for the "
			    "artifacts: pinned_by = "
			    "[\"tag\"]");
	}
	return TRUE;
}

/* The people that the lines of `mask` need at least, if no two of them share a person; 0 if some do. */
static int64_t people_of_lines(char **const *members, const struct policy_rule *rule, guint mask)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
	int64_t sum = 0;

	for (guint i = 0; i < rule->quorum_count; i++) {
		if ((mask & (1U << i)) == 0)
			continue;
		for (guint j = 0; members[i][j] != NULL; j++)
			if (!g_hash_table_add(seen, members[i][j]))
				return 0;
		sum += rule->quorum[i].count;
	}
	return sum;
}

/*
 * How many different people at least have approved when all lines are met. One person counts in every line
 * that lists them, so only lines without a person in common may be added up; at most 8 lines make 256 subsets.
 */
static int64_t people_needed(const struct people *people, const struct policy_rule *rule)
{
	char **members[QUORUM_LINES_MAX] = { NULL };
	int64_t best = 0;

	for (guint i = 0; i < rule->quorum_count; i++)
		members[i] = policy_principals(people, rule->quorum[i].of);
	for (guint mask = 1; mask < (1U << rule->quorum_count); mask++)
		best = MAX(best, people_of_lines(members, rule, mask));
	for (guint i = 0; i < rule->quorum_count; i++)
		g_strfreev(members[i]);
	return best;
}

/* A policy may ask for more than its key requires, never for less. */
static gboolean check_key(
    const struct policy *policy, const struct toml *node, const struct policy_rule *rule, GError **error)
{
	const struct policy_key *key = policy_key(policy, rule->key);
	int64_t people;

	if (key == NULL)
		return toml_fail(
		    toml_get(node, "key"), error, "there is no key \"%s\": no file keys/%s.toml", rule->key, rule->key);
	if (!g_str_equal(key->purpose, rule->purpose))
		return toml_fail(toml_get(node, "purpose"), error,
		    "policy \"%s\" is for %s signing, but key \"%s\" is a %s key (%s)", rule->name, rule->purpose,
		    rule->key, key->purpose, key->file);
	people = people_needed(policy->people, rule);
	if (people < key->require_quorum)
		return toml_fail(toml_get(node, "quorum"), error,
		    "key \"%s\" requires %" G_GINT64_FORMAT
		    " approvals (%s), and this quorum can be met by %" G_GINT64_FORMAT " %s",
		    rule->key, key->require_quorum, key->file, people, people == 1 ? "person" : "people");
	if (key->require_timestamp && !rule->timestamp)
		return toml_fail(
		    toml_get(node, "timestamp"), error, "key \"%s\" requires a timestamp (%s)", rule->key, key->file);
	if (key->require_scan && !rule->scan)
		return toml_fail(
		    toml_get(node, "scan"), error, "key \"%s\" requires a malware scan (%s)", rule->key, key->file);
	return TRUE;
}

static gboolean check_rule(
    const struct policy *policy, const struct toml *node, const struct policy_rule *rule, GError **error)
{
	if (rule->tags[0] == NULL)
		return toml_fail(toml_get(node, "tags"), error, "tags is empty: no tag would ever match this policy");
	return policy_check_name(toml_get(node, "name"), FALSE, error) && check_patterns(toml_get(node, "tags"), error) &&
	       check_patterns(toml_get(node, "not_tags"), error) && check_patterns(toml_get(node, "branches"), error) &&
	       policy_check_principals(policy->people, toml_get(node, "taggers"), error) &&
	       check_pinned_by(toml_get(node, "pinned_by"), rule, error) && check_key(policy, node, rule, error);
}

static gboolean read_rule(const struct policy *policy, const struct toml *node, const struct policy_project *project,
    struct policy_rule *rule, GError **error)
{
	struct rule_table read = { 0 };
	gboolean good = toml_read(node, rule_fields, G_N_ELEMENTS(rule_fields), &read, "[[policy]]", error);

	*rule = read.rule;
	rule->line = toml_line(node);
	return good && read_quorum(policy->people, read.quorum, rule, error) && check_rule(policy, node, rule, error) &&
	       policy_provenance_read(policy, read.provenance, project->file, project->name, rule, error) &&
	       read_artifacts(read.artifact, project->name, rule, error);
}

static gboolean read_rules(
    const struct policy *policy, const struct toml *node, struct policy_project *project, GError **error)
{
	guint count = toml_length(node);

	if (!policy_check_tables(node, "[[policy]]", error))
		return FALSE;
	if (count > RULES_MAX)
		return toml_fail(node, error, "%u policies, and %d are the limit", count, RULES_MAX);
	project->rules = g_new0(struct policy_rule, count);
	project->rule_count = count;
	for (guint i = 0; i < count; i++) {
		if (!read_rule(policy, toml_at(node, i), project, &project->rules[i], error))
			return FALSE;
		for (guint j = 0; j < i; j++)
			if (g_str_equal(project->rules[i].name, project->rules[j].name))
				return toml_fail(toml_get(toml_at(node, i), "name"), error,
				    "two policies of this project are named \"%s\"", project->rules[i].name);
	}
	return TRUE;
}

static gboolean read_approvals(const struct toml *node, struct project_file *file, GError **error)
{
	if (node == NULL)
		return TRUE;
	if (toml_kind(node) != TOML_TABLE)
		return toml_fail(
		    node, error, "approvals must be a table: approvals = { url = \"…\", ref = \"refs/heads/…\" }");
	if (!toml_read(node, approvals_fields, G_N_ELEMENTS(approvals_fields), file, "approvals", error))
		return FALSE;
	if (file->project.approvals_ref != NULL && !is_ref_name(file->project.approvals_ref))
		return toml_fail(toml_get(node, "ref"), error, "\"%s\" is not a full reference name (refs/heads/…)",
		    file->project.approvals_ref);
	return TRUE;
}

static gboolean check_url(const struct toml *node, GError **error)
{
	const char *url = node != NULL ? toml_as_string(node) : "-";

	if (*url != '\0' && text_is_clean(url, strlen(url)) && strchr(url, ' ') == NULL)
		return TRUE;
	return toml_fail(node, error, "this must be the URL or path of a git repository, without spaces");
}

static gboolean read_fields(const struct toml *root, struct project_file *file, GError **error)
{
	return toml_read(root, project_fields, G_N_ELEMENTS(project_fields), file, "a project", error) &&
	       policy_check_name(toml_get(root, "name"), TRUE, error) && check_url(toml_get(root, "source"), error) &&
	       read_approvals(file->approvals, file, error) &&
	       (file->approvals == NULL || check_url(toml_get(file->approvals, "url"), error));
}

struct policy_project *policy_project_read(const struct policy *policy, const char *file, GBytes *text, GError **error)
{
	size_t size;
	const char *data = g_bytes_get_data(text, &size);
	autoptr(toml) root = toml_parse(data, size, file, error);
	struct project_file read = { 0 };
	autoptr(policy_project) project = NULL;
	gboolean good;

	if (root == NULL)
		return NULL;
	good = read_fields(root, &read, error);
	project = g_memdup2(&read.project, sizeof(read.project));
	project->file = g_strdup(file);
	project->file_sha256 = sha256_text_bytes(text);
	if (project->approvals_ref == NULL)
		project->approvals_ref = g_strdup("refs/heads/tagseal/approvals");
	if (!good || !read_rules(policy, read.policy, project, error))
		return NULL;
	return g_steal_pointer(&project);
}
