/* Self-widening: does a change of the policy give one of its own signers a right?   policy_rights.h */
#include "gitops/policy_rights.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/policy_private.h"

/* --- the person's own file --- */

/* An `ssh` line without its comment: options, type and key. The last " AAAA" begins the key, since options come before it. */
static char *ssh_line(const char *line)
{
	const char *key = g_strrstr(line, " AAAA");

	return key != NULL ? g_strndup(line, (size_t)(key - line) + 1 + strcspn(key + 1, " ")) : g_strdup(line);
}

static char *x509_entry(const struct policy *policy, const struct toml *entry)
{
	const struct toml *subject = toml_get(entry, "subject"), *roots = toml_get(entry, "roots");
	g_autofree char *path = g_strconcat("people/", roots != NULL ? toml_as_string(roots) : "", NULL);
	GBytes *bytes = policy_file(policy, path);
	g_autofree char *digest = bytes != NULL ? sha256_text_bytes(bytes) : g_strdup("");

	return g_strconcat(subject != NULL ? toml_as_string(subject) : "", "\n", digest, NULL);
}

/* The entries of a person's file that carry rights beyond what people_widened() knows as keys. */
static GHashTable *entries_of(const struct policy *policy, const char *person)
{
	GHashTable *entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autofree char *path = g_strdup_printf("people/%s.toml", person);
	GBytes *text = policy_file(policy, path);
	autoptr(toml) root = NULL;
	const struct toml *list;

	if (text != NULL)
		root = toml_parse(g_bytes_get_data(text, NULL), g_bytes_get_size(text), path, NULL);
	list = root != NULL ? toml_get(root, "ssh") : NULL;
	for (guint i = 0; list != NULL && i < toml_length(list); i++)
		g_hash_table_add(entries, ssh_line(toml_as_string(toml_at(list, i))));
	list = root != NULL ? toml_get(root, "x509") : NULL;
	for (guint i = 0; list != NULL && i < toml_length(list); i++)
		g_hash_table_add(entries, x509_entry(policy, toml_at(list, i)));
	return entries;
}

static gboolean entries_widened(const struct policy *before, const struct policy *now, const char *person)
{
	g_autoptr(GHashTable) had = entries_of(before, person);
	g_autoptr(GHashTable) has = entries_of(now, person);
	GHashTableIter all;
	gpointer entry;

	g_hash_table_iter_init(&all, has);
	while (g_hash_table_iter_next(&all, &entry, NULL))
		if (!g_hash_table_contains(had, entry))
			return TRUE;
	return FALSE;
}

/* --- comparing lists and limits --- */

static gboolean holds(char *const *list, const char *item)
{
	return list != NULL && g_strv_contains((const char *const *)list, item);
}

/* Has `now` an item that `before` lacks? */
static gboolean longer(char *const *before, char *const *now)
{
	for (guint i = 0; now != NULL && now[i] != NULL; i++)
		if (!holds(before, now[i]))
			return TRUE;
	return FALSE;
}

static gboolean is_empty(char *const *list)
{
	return list == NULL || list[0] == NULL;
}

/* For lists and limits where nothing at all means "no limit". */
static gboolean list_opened(char *const *before, char *const *now)
{
	return !is_empty(before) && (is_empty(now) || longer(before, now));
}

static gboolean limit_raised(int64_t before, int64_t now)
{
	return before != 0 && (now == 0 || now > before);
}

/* --- places --- */

static guint quorum_places(const struct policy *policy, const struct policy_rule *rule, const char *person)
{
	guint places = 0;

	for (guint i = 0; i < rule->quorum_count; i++)
		places += policy_lists(policy, rule->quorum[i].of, person);
	return places;
}

static const struct policy_rule *rule_named(const struct policy_project *project, const char *name)
{
	for (guint i = 0; project != NULL && i < project->rule_count; i++)
		if (g_str_equal(project->rules[i].name, name))
			return &project->rules[i];
	return NULL;
}

/* --- what a policy demands --- */

/* Some line of `now` asks for no less, from nobody else. */
static gboolean line_kept(const struct policy_quorum *line, const struct policy_rule *now)
{
	for (guint i = 0; i < now->quorum_count; i++)
		if (now->quorum[i].count >= line->count && !longer(line->of, now->quorum[i].of))
			return TRUE;
	return FALSE;
}

static gboolean quorum_weakened(const struct policy_rule *before, const struct policy_rule *now)
{
	for (guint i = 0; i < before->quorum_count; i++)
		if (!line_kept(&before->quorum[i], now))
			return TRUE;
	return FALSE;
}

static const struct policy_artifact *artifact_named(const struct policy_rule *rule, const char *name)
{
	for (guint i = 0; i < rule->artifact_count; i++)
		if (g_str_equal(rule->artifacts[i].name, name))
			return &rule->artifacts[i];
	return NULL;
}

static gboolean artifacts_widened(const struct policy_rule *before, const struct policy_rule *now)
{
	for (guint i = 0; i < now->artifact_count; i++) {
		const struct policy_artifact *is = &now->artifacts[i], *was = artifact_named(before, is->name);

		if (was == NULL || !g_str_equal(was->type, is->type) || longer(was->sign, is->sign))
			return TRUE;
	}
	return FALSE;
}

/* Which of its members lets more through than before; NULL: none. */
static const char *rule_weakened(const struct policy_rule *before, const struct policy_rule *now)
{
	const struct {
		gboolean weaker;
		const char *what;
	} members[] = {
		{ longer(before->tags, now->tags), "takes more tags" },
		{ longer(now->not_tags, before->not_tags), "excludes fewer tags" },
		{ list_opened(before->branches, now->branches), "takes more branches" },
		{ quorum_weakened(before, now), "weakens the quorum" },
		{ now->self_approval && !before->self_approval, "turns self_approval on" },
		{ before->hardware_keys && !now->hardware_keys, "turns hardware_keys off" },
		{ limit_raised(before->approve_within, now->approve_within), "gives approvals more time" },
		{ !g_str_equal(before->commits, now->commits) && g_str_equal(before->commits, "signed"),
		    "no longer asks for signed commits" },
		{ longer(now->pinned_by, before->pinned_by), "takes a voucher out of pinned_by" },
		{ !g_str_equal(before->moved_tags, now->moved_tags) && g_str_equal(now->moved_tags, "allow"),
		    "allows moved tags" },
		{ now->resign && !before->resign, "turns resign on" },
		{ before->timestamp && !now->timestamp, "turns the timestamp off" },
		{ before->scan && !now->scan, "turns the scan off" },
		{ artifacts_widened(before, now), "has more signed" },
		{ !g_str_equal(before->key, now->key), "uses another key" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
		if (members[i].weaker)
			return members[i].what;
	return NULL;
}

static const char *key_weakened(const struct policy_key *before, const struct policy_key *now)
{
	const struct {
		gboolean weaker;
		const char *what;
	} members[] = {
		{ !g_str_equal(before->label, now->label), "names another private key (label)" },
		{ !g_str_equal(before->purpose, now->purpose), "has another purpose" },
		{ now->require_quorum < before->require_quorum, "requires fewer approvals" },
		{ before->require_timestamp && !now->require_timestamp, "no longer requires a timestamp" },
		{ before->require_scan && !now->require_scan, "no longer requires a scan" },
		{ limit_raised(before->require_max_database_age, now->require_max_database_age),
		    "takes an older malware database" },
		{ limit_raised(before->budget_projects, now->budget_projects) ||
			limit_raised(before->budget_signatures, now->budget_signatures) ||
			limit_raised(before->budget_days, now->budget_days),
		    "has a larger budget" },
		{ list_opened(before->modules, now->modules), "may be held by more modules" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
		if (members[i].weaker)
			return members[i].what;
	return NULL;
}

/* --- the whole --- */

struct change {
	const struct policy *before, *now;
	const char *person;
};

/* What stands in the files of keys and roots that [policy.provenance] names: a file of the same name may hold another key. */
static char *vouchers_of(
    const struct policy *policy, const struct policy_project *project, const struct policy_provenance *p)
{
	const char *roots[] = { p->roots != NULL ? p->roots : "", p->timestamp_roots != NULL ? p->timestamp_roots : "" };
	g_autoptr(GString) all = g_string_new(NULL);

	for (guint i = 0; i < g_strv_length(p->keys) + G_N_ELEMENTS(roots); i++) {
		const char *name = i < G_N_ELEMENTS(roots) ? roots[i] : p->keys[i - G_N_ELEMENTS(roots)];
		g_autofree char *path = policy_beside(project->file, name);
		GBytes *bytes = policy_file(policy, path);
		g_autofree char *digest = bytes != NULL ? sha256_text_bytes(bytes) : g_strdup("");

		g_string_append_printf(all, "%s\n", digest);
	}
	return g_string_free(g_steal_pointer(&all), FALSE);
}

/* Who may vouch for builds: any change to that but a builder less. */
static gboolean provenance_changed(const struct change *c, const struct policy_project *old_project,
    const struct policy_rule *old, const struct policy_project *project, const struct policy_rule *rule)
{
	const struct policy_provenance *was = &old->provenance, *is = &rule->provenance;
	g_autofree char *before = NULL, *now = NULL;

	if (was->fetch == NULL || is->fetch == NULL)
		return FALSE;
	before = vouchers_of(c->before, old_project, was);
	now = vouchers_of(c->now, project, is);
	return !g_str_equal(before, now) || longer(was->builders, is->builders) ||
	       longer(was->identities, is->identities) || longer(is->identities, was->identities) ||
	       g_strcmp0(was->issuer, is->issuer) != 0 || g_strcmp0(was->source, is->source) != 0;
}

static char *rule_widens(const struct change *c, const struct policy_project *project, const struct policy_rule *rule)
{
	const struct policy_project *old_project = policy_project(c->before, project->name);
	const struct policy_rule *old = rule_named(old_project, rule->name);
	gboolean tags = policy_lists(c->now, rule->taggers, c->person);
	guint places = quorum_places(c->now, rule, c->person);
	g_autofree char *where = policy_rule_where(project, rule);
	const char *what;

	if (!tags && places == 0)
		return NULL;
	if (tags && (old == NULL || !policy_lists(c->before, old->taggers, c->person)))
		return g_strdup_printf("%s makes %s a tagger of policy \"%s\"", where, c->person, rule->name);
	if (places > (old != NULL ? quorum_places(c->before, old, c->person) : 0))
		return g_strdup_printf("%s makes %s an approver of policy \"%s\"", where, c->person, rule->name);
	if (!g_str_equal(old_project->source, project->source))
		return g_strdup_printf("%s names another source, and %s has a part in policy \"%s\"", project->file,
		    c->person, rule->name);
	what = rule_weakened(old, rule);
	if (what == NULL && provenance_changed(c, old_project, old, project, rule))
		what = "has others vouch for its provenance";
	if (what != NULL)
		return g_strdup_printf("%s %s, and %s has a part in policy \"%s\"", where, what, c->person, rule->name);
	what = key_weakened(policy_key(c->before, old->key), policy_key(c->now, rule->key));
	if (what == NULL)
		return NULL;
	return g_strdup_printf("%s %s, and %s has a part in policy \"%s\" (%s), which uses it",
	    policy_key(c->now, rule->key)->file, what, c->person, rule->name, where);
}

char *policy_widens(const struct policy *before, const struct policy *now, const char *person)
{
	const struct change c = { before, now, person };

	if (policy_threshold(now) < policy_threshold(before))
		return g_strdup("policy.toml lowers the threshold");
	if (people_widened(policy_people(before), policy_people(now), person) || entries_widened(before, now, person))
		return g_strdup_printf("people/%s.toml gives %s a key or group", person, person);
	for (guint i = 0; i < policy_project_count(now); i++) {
		const struct policy_project *project = policy_project_at(now, i);

		for (guint j = 0; j < project->rule_count; j++) {
			char *what = rule_widens(&c, project, &project->rules[j]);

			if (what != NULL)
				return what;
		}
	}
	return NULL;
}
