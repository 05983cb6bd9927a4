#include "server/policy_lint.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/base/toml.h"
#include "gitops/certificate.h"
#include "server/budget.h"
#include "signer/openpgp.h"

#define DAY_MS INT64_C(86400000)
#define SOON_MS (30 * DAY_MS)

struct lint {
	const struct policy *policy;
	int64_t now_ms;
	GPtrArray *lines;
};

static void say(struct lint *l, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void say(struct lint *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_ptr_array_add(l->lines, g_strdup_vprintf(format, args));
	va_end(args);
}

/* ---- people ---- */

struct key_count {
	guint all, hardware;
};

/* Keys of a person's file, as far as entries tell; that each is good was checked when it was read. */
static struct key_count keys_of(const struct policy *policy, const char *person)
{
	static const char *const lists[] = { "ssh", "openpgp", "x509" };
	g_autofree char *path = g_strdup_printf("people/%s.toml", person);
	GBytes *text = policy_file(policy, path);
	autoptr(toml) root = toml_parse(g_bytes_get_data(text, NULL), g_bytes_get_size(text), path, NULL);
	struct key_count count = { 0 };

	for (size_t i = 0; root != NULL && i < G_N_ELEMENTS(lists); i++) {
		const struct toml *list = toml_get(root, lists[i]);

		for (guint j = 0; list != NULL && j < toml_length(list); j++) {
			const char *line = i == 0 ? toml_as_string(toml_at(list, j)) : "";

			count.all++;
			count.hardware += strstr(line, "sk-ssh-") != NULL || strstr(line, "sk-ecdsa-") != NULL ||
					  g_str_has_prefix(line, "cert-authority");
		}
	}
	return count;
}

static void ends(struct lint *l, const char *what, int64_t end_ms)
{
	g_autofree char *when = time_format_ms(end_ms);

	if (end_ms <= l->now_ms)
		say(l, "%s ended at %s: nothing that it signs now counts", what, when);
	else if (end_ms - l->now_ms < SOON_MS)
		say(l, "%s ends at %s, within 30 days", what, when);
}

static void lint_openpgp(struct lint *l, const char *path)
{
	g_autoptr(GPtrArray) keys = openpgp_keys_read(policy_file(l->policy, path), NULL);

	for (guint i = 0; keys != NULL && i < keys->len; i++) {
		const struct openpgp_key *key = keys->pdata[i];
		g_autofree char *fingerprint = openpgp_fingerprint_text(key->fingerprint);
		g_autofree char *what = g_strdup_printf("%s: the OpenPGP key %s", path, fingerprint);

		if (key->expires > 0)
			ends(l, what, key->expires * 1000);
	}
}

static void lint_people(struct lint *l, GPtrArray *paths)
{
	const char *const *names = people_names(policy_people(l->policy));

	for (guint i = 0; names[i] != NULL; i++)
		if (keys_of(l->policy, names[i]).all == 0)
			say(l, "people/%s.toml: %s has no key: nothing that comes from %s counts", names[i], names[i],
			    names[i]);
	for (guint i = 0; i < paths->len; i++)
		if (g_str_has_prefix(paths->pdata[i], "people/") && g_str_has_suffix(paths->pdata[i], ".asc"))
			lint_openpgp(l, paths->pdata[i]);
}

static void lint_maintainers(struct lint *l)
{
	const char *const *names = policy_maintainers(l->policy);
	guint able = 0;

	for (guint i = 0; names[i] != NULL; i++)
		able += keys_of(l->policy, names[i]).all > 0;
	if (able < policy_threshold(l->policy))
		say(l,
		    "policy.toml: only %u of the maintainers have a key, and a change needs %" G_GINT64_FORMAT
		    ": nothing could "
		    "ever be changed",
		    able, policy_threshold(l->policy));
}

/* ---- keys ---- */

static void lint_chain(struct lint *l, const struct policy_key *key)
{
	g_autofree char *path = g_strconcat("keys/", key->chain, NULL);
	STACK_OF(X509) *chain = certificates_parse(policy_file(l->policy, path), path, NULL);

	for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++) {
		X509 *certificate = sk_X509_value(chain, i),
		     *next = i + 1 < sk_X509_num(chain) ? sk_X509_value(chain, i + 1) : NULL;
		g_autofree char *subject = certificate_subject(certificate);
		g_autofree char *what = g_strdup_printf("%s: the certificate of %s", path, subject);

		if (certificate_time_ms(X509_get0_notBefore(certificate)) > l->now_ms)
			say(l, "%s is not valid yet", what);
		ends(l, what, certificate_time_ms(X509_get0_notAfter(certificate)));
		if (next != NULL && X509_verify(certificate, X509_get0_pubkey(next)) != 1)
			say(l, "%s is not signed by the one after it: the signer's own comes first, then its authorities",
			    what);
	}
	certificates_free(chain);
}

static void lint_key(struct lint *l, const struct policy_key *key)
{
	g_auto(GStrv) warnings = budget_warnings(l->policy, key, -1, l->now_ms);
	g_autoptr(GError) over = NULL;

	if (policy_key_projects(l->policy, key, NULL) == 0)
		say(l, "%s: no policy uses this key", key->file);
	if (key->chain == NULL && key->openpgp == NULL)
		say(l, "%s: it names neither a chain nor an openpgp file: nothing can be signed with it", key->file);
	if (key->chain != NULL)
		lint_chain(l, key);
	if (!budget_check_days(l->policy, key, l->now_ms, &over))
		say(l, "%s: %s", key->file, over->message);
	else
		for (guint i = 0; warnings[i] != NULL; i++)
			say(l, "%s: %s", key->file, warnings[i]);
}

static void lint_secrets(struct lint *l, GPtrArray *paths)
{
	for (guint i = 0; i < paths->len; i++) {
		GBytes *bytes = policy_file(l->policy, paths->pdata[i]);

		if (g_strstr_len(g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes), "PRIVATE KEY-----") !=
			NULL ||
		    g_strstr_len(g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes),
			"PRIVATE KEY BLOCK-----") != NULL)
			say(l, "%s holds a private key: everybody who can read the policy has it",
			    (char *)paths->pdata[i]);
	}
}

/* ---- projects ---- */

/* Why no name that git allows is matched, or NULL. */
static const char *matches_nothing(const char *pattern)
{
	if (g_str_has_prefix(pattern, "refs/"))
		return "it is held against the name alone, without refs/tags/ or refs/heads/";
	if (g_str_has_prefix(pattern, "origin/"))
		return "it is held against the source's own branches, which have no origin/ before them";
	if (strpbrk(pattern, " ~^:\\") != NULL || strstr(pattern, "..") != NULL || g_str_has_suffix(pattern, "/") ||
	    g_str_has_suffix(pattern, ".lock") || *pattern == '/' || strstr(pattern, "//") != NULL)
		return "git allows no such name";
	return NULL;
}

static void lint_patterns(struct lint *l, const char *where, const char *what, char *const *patterns)
{
	for (guint i = 0; patterns != NULL && patterns[i] != NULL; i++) {
		const char *why = matches_nothing(patterns[i]);

		if (why != NULL)
			say(l, "%s: the pattern \"%s\" of %s matches nothing: %s", where, patterns[i], what, why);
		else if (g_str_equal(what, "tags") && strpbrk(patterns[i], "*?[") == NULL)
			say(l, "%s: the pattern \"%s\" of tags matches one tag alone", where, patterns[i]);
	}
}

/* How many of a line's people could approve a tag of that tagger, with keys that count. */
static guint able(
    const struct lint *l, const struct policy_rule *rule, const struct policy_quorum *line, const char *tagger)
{
	const char *const *names = people_names(policy_people(l->policy));
	guint count = 0;

	for (guint i = 0; names[i] != NULL; i++) {
		struct key_count keys;

		if (!policy_lists(l->policy, line->of, names[i]) ||
		    (!rule->self_approval && g_str_equal(names[i], tagger)))
			continue;
		keys = keys_of(l->policy, names[i]);
		count += rule->hardware_keys ? keys.hardware > 0 : keys.all > 0;
	}
	return count;
}

static void lint_quorum(struct lint *l, const char *where, const struct policy_rule *rule)
{
	const char *const *names = people_names(policy_people(l->policy));

	for (guint i = 0; names[i] != NULL; i++) {
		if (!policy_lists(l->policy, rule->taggers, names[i]))
			continue;
		for (guint j = 0; j < rule->quorum_count; j++) {
			const struct policy_quorum *line = &rule->quorum[j];
			g_autofree char *of = g_strjoinv(" or ", line->of);
			guint count = able(l, rule, line, names[i]);

			if (count < line->count)
				say(l,
				    "%s: a tag by %s can never be approved: it needs %" G_GINT64_FORMAT
				    " of %s, and %u could approve it%s",
				    where, names[i], line->count, of, count,
				    rule->hardware_keys ? " with a hardware key" : "");
		}
	}
}

static gboolean shares(char *const *list, const char *pattern)
{
	return list != NULL && g_strv_contains((const char *const *)list, pattern);
}

static gboolean is_empty(char *const *list)
{
	return list == NULL || list[0] == NULL;
}

/* The same pattern in two policies, which neither excludes. */
static void lint_overlap(struct lint *l, const struct policy_project *project, guint at)
{
	const struct policy_rule *rule = &project->rules[at];

	for (guint i = 0; i < at; i++)
		for (guint j = 0; rule->tags[j] != NULL; j++) {
			const struct policy_rule *other = &project->rules[i];

			if (shares(other->tags, rule->tags[j]) && is_empty(rule->not_tags) && is_empty(other->not_tags))
				say(l, "%s:%u: the pattern \"%s\" stands in policy \"%s\" too: a tag that it matches is refused",
				    project->file, rule->line, rule->tags[j], other->name);
		}
}

static void lint_project(struct lint *l, const struct policy_project *project)
{
	for (guint i = 0; i < project->rule_count; i++) {
		const struct policy_rule *rule = &project->rules[i];
		g_autofree char *where = policy_rule_where(project, rule);

		lint_patterns(l, where, "tags", rule->tags);
		lint_patterns(l, where, "not_tags", rule->not_tags);
		lint_patterns(l, where, "branches", rule->branches);
		lint_overlap(l, project, i);
		lint_quorum(l, where, rule);
		if (rule->artifact_count == 0)
			say(l, "%s: policy \"%s\" has no [[policy.artifact]]: nothing would be signed", where,
			    rule->name);
	}
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **policy_lint(const struct policy *policy, int64_t now_ms)
{
	struct lint l = { policy, now_ms, g_ptr_array_new() };
	g_autoptr(GPtrArray) paths = policy_paths(policy);

	g_ptr_array_sort(paths, compare_paths);
	lint_maintainers(&l);
	lint_people(&l, paths);
	for (guint i = 0; i < policy_key_count(policy); i++)
		lint_key(&l, policy_key_at(policy, i));
	lint_secrets(&l, paths);
	for (guint i = 0; i < policy_project_count(policy); i++)
		lint_project(&l, policy_project_at(policy, i));
	g_ptr_array_add(l.lines, NULL);
	return (char **)g_ptr_array_free(l.lines, FALSE);
}
