/* One policy version, read whole or refused whole. */
#include "gitops/policy_private.h"

#include <string.h>

#include "gitops/base/bytes.h"

#define NAME_MAX_BYTES 200

struct policy_toml {
	char **maintainers;
	int64_t threshold;
};
#define ROW(key, type, member, ...)                                                                                    \
	{                                                                                                              \
		key, type, offsetof(struct policy_toml, member), __VA_ARGS__                                           \
	}
static const struct toml_field policy_fields[] = {
	ROW("maintainers", TOML_T_STRINGS, maintainers, .required = TRUE, .help = "Who may change the policy."),
	ROW("threshold", TOML_T_INTEGER, threshold, .required = TRUE, .help = "How many of them a change needs."),
};
#undef ROW

gboolean policy_check_name(const struct toml *node, gboolean slash, GError **error)
{
	const char *name = toml_as_string(node);
	size_t size = strlen(name);
	gboolean good = size > 0 && size <= NAME_MAX_BYTES;

	for (size_t i = 0; i < size && good; i++) {
		gboolean first = i == 0 || name[i - 1] == '/';

		good = g_ascii_isalnum(name[i]) || (!first && strchr("._-", name[i]) != NULL) ||
		       (slash && name[i] == '/' && !first && i + 1 < size);
	}
	if (good)
		return TRUE;
	return toml_fail(node, error,
	    "a name here begins with a letter or digit and has only letters, digits, \".\", \"_\"%s",
	    slash ? ", \"-\" and single slashes between parts" : " and \"-\"");
}

gboolean policy_check_tables(const struct toml *node, const char *what, GError **error)
{
	if (toml_kind(node) != TOML_ARRAY)
		return toml_fail(node, error, "%s must be an array of tables", what);
	if (toml_length(node) == 0)
		return toml_fail(node, error, "%s is empty", what);
	for (guint i = 0; i < toml_length(node); i++)
		if (toml_kind(toml_at(node, i)) != TOML_TABLE)
			return toml_fail(toml_at(node, i), error, "%s must hold tables only", what);
	return TRUE;
}

static gboolean principal_lists(const struct people *people, const char *principal, const char *person)
{
	if (*principal == '@')
		return people_in_group(people, person, principal + 1);
	return g_str_equal(principal, person);
}

gboolean policy_lists(const struct policy *policy, char *const *list, const char *person)
{
	for (guint i = 0; list != NULL && list[i] != NULL; i++)
		if (principal_lists(policy->people, list[i], person))
			return TRUE;
	return FALSE;
}

char **policy_principals(const struct people *people, char *const *list)
{
	g_autoptr(GStrvBuilder) members = g_strv_builder_new();
	const char *const *names = people_names(people);

	for (guint i = 0; names[i] != NULL; i++)
		for (guint j = 0; list[j] != NULL; j++)
			if (principal_lists(people, list[j], names[i])) {
				g_strv_builder_add(members, names[i]);
				break;
			}
	return g_strv_builder_end(members);
}

gboolean policy_check_principals(const struct people *people, const struct toml *node, GError **error)
{
	if (toml_length(node) == 0)
		return toml_fail(node, error, "this list of people is empty");
	for (guint i = 0; i < toml_length(node); i++) {
		const struct toml *item = toml_at(node, i);
		char *one[] = { (char *)toml_as_string(item), NULL };
		g_auto(GStrv) members = policy_principals(people, one);

		if (members[0] != NULL)
			continue;
		if (one[0][0] == '@')
			return toml_fail(item, error, "nobody is in the group \"%s\"", one[0]);
		return toml_fail(item, error, "there is no person \"%s\": no file people/%s.toml", one[0], one[0]);
	}
	return TRUE;
}

static gboolean check_policy_toml(struct policy *policy, const struct toml *root, char **listed, GError **error)
{
	const struct toml *threshold = toml_get(root, "threshold");
	guint count;

	if (!policy_check_principals(policy->people, toml_get(root, "maintainers"), error))
		return FALSE;
	policy->maintainers = policy_principals(policy->people, listed);
	count = g_strv_length(policy->maintainers);
	if (policy->threshold < 1)
		return toml_fail(threshold, error, "threshold must be at least 1");
	if (policy->threshold > (int64_t)count)
		return toml_fail(threshold, error,
		    "threshold = %" G_GINT64_FORMAT " can never be met: there %s %u maintainer%s", policy->threshold,
		    count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
	return TRUE;
}

static gboolean read_policy_toml(struct policy *policy, GError **error)
{
	GBytes *text = policy_file(policy, "policy.toml");
	struct policy_toml read = { 0 };
	autoptr(toml) root = NULL;
	gboolean good;

	if (text == NULL) {
		error_refused(error, "policy.toml is missing: it names the maintainers and the threshold");
		return FALSE;
	}
	root = toml_parse(g_bytes_get_data(text, NULL), g_bytes_get_size(text), "policy.toml", error);
	if (root == NULL)
		return FALSE;
	good = toml_read(root, policy_fields, G_N_ELEMENTS(policy_fields), &read, "policy.toml", error);
	policy->threshold = read.threshold;
	good = good && check_policy_toml(policy, root, read.maintainers, error);
	g_strfreev(read.maintainers);
	return good;
}

static gboolean read_key(struct policy *policy, const char *file, GBytes *text, GError **error)
{
	struct policy_key *key = policy_key_read(policy, file, text, error);

	if (key == NULL)
		return FALSE;
	g_ptr_array_add(policy->keys, key);
	return TRUE;
}

static gboolean read_project(struct policy *policy, const char *file, GBytes *text, GError **error)
{
	autoptr(policy_project) project = policy_project_read(policy, file, text, error);
	const struct policy_project *other;

	if (project == NULL)
		return FALSE;
	other = policy_project(policy, project->name);
	if (other != NULL) {
		error_refused(error, "%s: the project \"%s\" stands in %s already", file, project->name, other->file);
		return FALSE;
	}
	g_ptr_array_add(policy->projects, g_steal_pointer(&project));
	return TRUE;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A mistake ends the reading, or, where all of them are wanted, is one of them. */
static gboolean mistaken(GPtrArray *mistakes, GError **why, GError **error)
{
	if (mistakes == NULL) {
		g_propagate_error(error, g_steal_pointer(why));
		return FALSE;
	}
	g_ptr_array_add(mistakes, g_strdup((*why)->message));
	return TRUE;
}

typedef gboolean (*file_reader)(struct policy *policy, const char *file, GBytes *text, GError **error);

/* One further down would be overlooked: refused. */
static gboolean read_file(struct policy *policy, const char *folder, const char *file, file_reader read, GError **error)
{
	if (strchr(file + strlen(folder), '/') == NULL)
		return read(policy, file, policy_file(policy, file), error);
	error_refused(error, "%s: a file of this kind stands directly in %s", file, folder);
	return FALSE;
}

/* Every TOML file directly in `folder`, in the order of names. */
static gboolean read_folder(
    struct policy *policy, const char *folder, file_reader read, GPtrArray *mistakes, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	GHashTableIter all;
	gpointer name;

	g_hash_table_iter_init(&all, policy->files);
	while (g_hash_table_iter_next(&all, &name, NULL))
		if (g_str_has_prefix(name, folder) && g_str_has_suffix(name, ".toml"))
			g_ptr_array_add(names, name);
	g_ptr_array_sort(names, compare_names);
	for (guint i = 0; i < names->len; i++) {
		g_autoptr(GError) why = NULL;

		if (!read_file(policy, folder, names->pdata[i], read, &why) && !mistaken(mistakes, &why, error))
			return FALSE;
	}
	return TRUE;
}

static struct policy *policy_new(policy_files *files)
{
	struct policy *policy = g_new0(struct policy, 1);

	policy->references = 1;
	policy->files = g_hash_table_ref(files);
	policy->keys = g_ptr_array_new_with_free_func((GDestroyNotify)policy_key_free);
	policy->projects = g_ptr_array_new_with_free_func((GDestroyNotify)policy_project_free);
	return policy;
}

struct policy *policy_load(policy_files *files, GError **error)
{
	autoptr(policy) policy = policy_new(files);

	policy->people = people_load(files, error);
	if (policy->people == NULL || !read_policy_toml(policy, error) ||
	    !read_folder(policy, "keys/", read_key, NULL, error) || !policy_check_chains(policy, error) ||
	    !read_folder(policy, "projects/", read_project, NULL, error) || !policy_check_budgets(policy, error))
		return NULL;
	return g_steal_pointer(&policy);
}

/* A part that is read only if what it is held against had no mistake. */
static void read_part(struct policy *policy, gboolean (*read)(struct policy *, GError **), GPtrArray *mistakes)
{
	g_autoptr(GError) why = NULL;

	if (!read(policy, &why))
		g_ptr_array_add(mistakes, g_strdup(why->message));
}

static gboolean check_chains(struct policy *policy, GError **error)
{
	return policy_check_chains(policy, error);
}

static gboolean check_budgets(struct policy *policy, GError **error)
{
	return policy_check_budgets(policy, error);
}

GPtrArray *policy_mistakes(policy_files *files, GError **error)
{
	g_autoptr(GPtrArray) mistakes = g_ptr_array_new_with_free_func(g_free);
	autoptr(policy) policy = policy_new(files);
	guint people, keys;

	if (!people_mistakes(files, mistakes, error))
		return NULL;
	people = mistakes->len;
	if (people == 0) {
		policy->people = people_load(files, error);
		if (policy->people == NULL)
			return NULL;
		read_part(policy, read_policy_toml, mistakes);
	}
	keys = mistakes->len;
	read_folder(policy, "keys/", read_key, mistakes, NULL);
	keys = mistakes->len - keys;
	if (keys == 0)
		read_part(policy, check_chains, mistakes);
	if (people == 0 && keys == 0)
		read_folder(policy, "projects/", read_project, mistakes, NULL);
	if (mistakes->len == 0)
		read_part(policy, check_budgets, mistakes);
	return g_steal_pointer(&mistakes);
}

struct policy *policy_ref(struct policy *policy)
{
	g_atomic_int_inc(&policy->references);
	return policy;
}

void policy_unref(struct policy *policy)
{
	if (policy == NULL || !g_atomic_int_dec_and_test(&policy->references))
		return;
	g_ptr_array_unref(policy->projects);
	g_ptr_array_unref(policy->keys);
	g_strfreev(policy->maintainers);
	if (policy->people != NULL)
		people_free(policy->people);
	g_hash_table_unref(policy->files);
	g_free(policy);
}

const struct people *policy_people(const struct policy *policy)
{
	return policy->people;
}

guint policy_project_count(const struct policy *policy)
{
	return policy->projects->len;
}

const struct policy_project *policy_project_at(const struct policy *policy, guint index)
{
	return policy->projects->pdata[index];
}

const struct policy_project *policy_project(const struct policy *policy, const char *name)
{
	for (guint i = 0; i < policy->projects->len; i++)
		if (g_str_equal(policy_project_at(policy, i)->name, name))
			return policy_project_at(policy, i);
	return NULL;
}

const struct policy_key *policy_key(const struct policy *policy, const char *name)
{
	for (guint i = 0; i < policy->keys->len; i++) {
		const struct policy_key *key = policy->keys->pdata[i];

		if (g_str_equal(key->name, name))
			return key;
	}
	return NULL;
}

guint policy_key_count(const struct policy *policy)
{
	return policy->keys->len;
}

const struct policy_key *policy_key_at(const struct policy *policy, guint index)
{
	return policy->keys->pdata[index];
}

GBytes *policy_file(const struct policy *policy, const char *path)
{
	return g_hash_table_lookup(policy->files, path);
}

GPtrArray *policy_paths(const struct policy *policy)
{
	GPtrArray *paths = g_ptr_array_new();
	GHashTableIter all;
	gpointer path;

	g_hash_table_iter_init(&all, policy->files);
	while (g_hash_table_iter_next(&all, &path, NULL))
		g_ptr_array_add(paths, path);
	return paths;
}

const char *const *policy_maintainers(const struct policy *policy)
{
	return (const char *const *)policy->maintainers;
}

int64_t policy_threshold(const struct policy *policy)
{
	return policy->threshold;
}

static gboolean any_glob(char *const *patterns, const char *tag)
{
	for (guint i = 0; patterns != NULL && patterns[i] != NULL; i++)
		if (glob_match(patterns[i], tag, FALSE, FALSE))
			return TRUE;
	return FALSE;
}

gboolean policy_match(
    const struct policy_project *project, const char *tag, const struct policy_rule **rule, GError **error)
{
	*rule = NULL;
	for (guint i = 0; i < project->rule_count; i++) {
		const struct policy_rule *candidate = &project->rules[i];

		if (!any_glob(candidate->tags, tag) || any_glob(candidate->not_tags, tag))
			continue;
		if (*rule != NULL) {
			g_autofree char *name = text_escape(tag, -1, 200);

			error_refused(error,
			    "two policies match the tag \"%s\": \"%s\" (%s:%u) and \"%s\" (%s:%u); one of them must "
			    "exclude it with "
			    "not_tags",
			    name, (*rule)->name, project->file, (*rule)->line, candidate->name, project->file,
			    candidate->line);
			*rule = NULL;
			return FALSE;
		}
		*rule = candidate;
	}
	return TRUE;
}

char *policy_rule_where(const struct policy_project *project, const struct policy_rule *rule)
{
	return g_strdup_printf("%s:%u", project->file, rule->line);
}

char *policy_expand(const char *pattern, const char *project, const char *tag, const char *commit, GError **error)
{
	const struct {
		const char *name, *value;
	} parameters[] = {
		{ "{tag}", tag },
		{ "{version}", *tag == 'v' ? tag + 1 : tag },
		{ "{commit}", commit },
		{ "{project}", project },
	};
	g_autoptr(GString) out = g_string_new(NULL);

	while (*pattern != '\0') {
		size_t i = 0;

		if (*pattern != '{' && *pattern != '}') {
			g_string_append_c(out, *pattern++);
			continue;
		}
		while (i < G_N_ELEMENTS(parameters) && !g_str_has_prefix(pattern, parameters[i].name))
			i++;
		if (i == G_N_ELEMENTS(parameters)) {
			g_autofree char *rest = text_escape(pattern, -1, 40);

			error_refused(
			    error, "a pattern knows {tag}, {version}, {commit} and {project}; it has \"%s\"", rest);
			return NULL;
		}
		g_string_append(out, parameters[i].value);
		pattern += strlen(parameters[i].name);
	}
	return g_string_free(g_steal_pointer(&out), FALSE);
}
