/*
 * What a release would bring (gitops/range.h), its files by SHA-256 (gitops/manifest.h), and commits = "signed". A release is asked about many times while it
 * waits for people; what follows from ids alone is kept, since it cannot change.
 */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/manifest.h"
#include "gitops/range.h"
#include "server/gitops_role.h"

#define KEPT_MAX 16 /* releases; one may take some megabytes */
#define MANIFEST_KEPT_MAX                                                                                              \
	(1 << 20) /* larger ones are not put into the log: the digest is, and `tagseal manifest` makes the lines again */

/* One release's facts, and what the people of one policy version made of them. */
struct facts {
	struct range *range;
	char *tree_sha256;
	GBytes *manifest; /* NULL: too large for the log */
	char *judged_by; /* policy commit and time; NULL: not yet */
	GBytes *signers;
};

static void facts_free(gpointer data)
{
	struct facts *facts = data;

	range_free(facts->range);
	g_free(facts->tree_sha256);
	g_clear_pointer(&facts->manifest, g_bytes_unref);
	g_free(facts->judged_by);
	g_clear_pointer(&facts->signers, g_bytes_unref);
	g_free(facts);
}

void gitops_range_clear(struct gitops_range *r)
{
	json_unref(r->base);
	g_clear_pointer(&r->report, g_bytes_unref);
	g_clear_pointer(&r->signers, g_bytes_unref);
	g_clear_pointer(&r->proof, g_bytes_unref);
	g_clear_pointer(&r->manifest, g_bytes_unref);
	g_clear_pointer(&r->section, json_unref);
	g_free(r->sha256);
	g_free(r->tree_sha256);
}

/* ---- the base ---- */

/* Test releases are no base for others: what they let pass, no one who may release has looked at. */
static gboolean may_be_base(const struct json *candidate, const char *purpose)
{
	const char *theirs = json_string(candidate, "purpose"), *commit = json_string(candidate, "commit");

	return commit != NULL && is_object_id(commit) && theirs != NULL &&
	       (g_str_equal(purpose, "test") || g_str_equal(theirs, purpose));
}

/* The newest signed release that the tagged commit descends from; engine names them newest first. None is no error. */
static gboolean find_base(const struct gitops_range_question *q, struct json **base, GError **error)
{
	for (guint i = 0; i < json_length(q->bases); i++) {
		struct json *candidate = json_at(q->bases, i);
		gboolean is = FALSE;

		if (!may_be_base(candidate, q->purpose))
			continue;
		if (!range_is_base(q->path, json_string(candidate, "commit"), q->commit, &is, error))
			return FALSE;
		if (is) {
			*base = json_copy(candidate);
			return TRUE;
		}
	}
	return TRUE;
}

/* ---- the facts ---- */

static struct facts *make_facts(const struct gitops_range_question *q, const char *base, GError **error)
{
	struct facts *facts = g_new0(struct facts, 1);
	g_autoptr(GBytes) manifest = manifest_make(q->path, q->commit, error);

	if (manifest == NULL || (facts->range = range_read(q->path, base, q->commit, error)) == NULL) {
		facts_free(facts);
		return NULL;
	}
	facts->tree_sha256 = sha256_text_bytes(manifest);
	if (g_bytes_get_size(manifest) <= MANIFEST_KEPT_MAX)
		facts->manifest = g_bytes_ref(manifest);
	return facts;
}

static struct facts *find_facts(struct gitops *g, const struct gitops_range_question *q, const char *base, GError **error)
{
	g_autofree char *key = g_strdup_printf("%s\n%s\n%s", q->path, base != NULL ? base : "", q->commit);
	struct facts *facts;

	if (g->ranges == NULL)
		g->ranges = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, facts_free);
	if ((facts = g_hash_table_lookup(g->ranges, key)) != NULL)
		return facts;
	if ((facts = make_facts(q, base, error)) == NULL)
		return NULL;
	if (g_hash_table_size(g->ranges) >= KEPT_MAX)
		g_hash_table_remove_all(g->ranges);
	g_hash_table_insert(g->ranges, g_steal_pointer(&key), facts);
	return facts;
}

static void judge_signers(const struct gitops *g, const struct gitops_range_question *q, struct facts *facts)
{
	g_autofree char *by = g_strdup_printf("%s %" G_GINT64_FORMAT, g->commit, q->first_seen);
	autoptr(json) signers = NULL;

	if (g_strcmp0(facts->judged_by, by) == 0)
		return;
	signers = range_signers(facts->range, policy_people(g->policy), q->first_seen);
	g_clear_pointer(&facts->signers, g_bytes_unref);
	facts->signers = json_canonical(signers);
	g_free(facts->judged_by);
	facts->judged_by = g_steal_pointer(&by);
}

static struct json *describe(const struct facts *facts, const struct json *base)
{
	struct json *section = json_object_new();

	json_set_string(section, "sha256", facts->range->sha256);
	json_set_integer(section, "commits", facts->range->ids->len);
	json_set_boolean(section, "complete", facts->range->complete);
	if (base != NULL) {
		struct json *row = json_object_new();

		json_set_string(row, "record", json_string(base, "record"));
		json_set_string(row, "tag", json_string(base, "tag"));
		json_set_string(row, "commit", json_string(base, "commit"));
		json_set(section, "base", row);
	}
	return section;
}

/* ---- commits = "signed" ---- */

static gboolean check_signed(
    const struct gitops *g, const struct gitops_range_question *q, const struct range *range, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (range->proof == NULL)
		error_refused(error,
		    "the rule \"%s\" wants signed commits, and more than %d of them (or %zu bytes) stand between %s "
		    "and the tagged "
		    "commit: they are too many to be looked at",
		    q->rule, RANGE_COMMITS_MAX, RANGE_COMMIT_BYTES_MAX,
		    range->base != NULL ? "the last signed release" : "the beginning");
	else if (range_prove(range->proof, range->base, range->commit, policy_people(g->policy), q->first_seen, &why))
		return TRUE;
	else if (g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED))
		error_refused(error, "the rule \"%s\" wants signed commits, and %s", q->rule, why->message);
	else
		g_propagate_error(error, g_steal_pointer(&why));
	return FALSE;
}

gboolean gitops_range(struct gitops *g, const struct gitops_range_question *q, struct gitops_range *r, GError **error)
{
	struct facts *facts;

	if (!find_base(q, &r->base, error) || (facts = find_facts(g, q, json_string(r->base, "commit"), error)) == NULL)
		return FALSE;
	judge_signers(g, q, facts);
	r->section = describe(facts, r->base);
	r->sha256 = g_strdup(facts->range->sha256);
	r->tree_sha256 = g_strdup(facts->tree_sha256);
	r->report = g_bytes_ref(facts->range->bytes);
	r->signers = g_bytes_ref(facts->signers);
	r->manifest = facts->manifest != NULL ? g_bytes_ref(facts->manifest) : NULL;
	r->proof = q->all_signed && facts->range->proof != NULL ? g_bytes_ref(facts->range->proof) : NULL;
	return !q->all_signed || check_signed(g, q, facts->range, error);
}
