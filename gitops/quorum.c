/* The gate `approval`: have enough of the right people approved exactly this? */
#include "gitops/decide_private.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

/* One commit of the evidence: what it says, whose it is, and whether it counts. */
struct vote {
	const struct approval_evidence *evidence;
	struct approval *approval; /* NULL if it does not read */
	struct signer signer; /* person NULL if nobody's */
	const struct vote *withdrawn_by;
	gboolean counts;
	char *why; /* why not */
};

struct poll {
	const struct request *request;
	const struct source_decision *source;
	struct approval_names names;
	GHashTable *artifacts; /* the names that this release's artifacts have */
	GHashTable *pinned_from; /* artifact name -> the first counted vote that pins it, borrowed */
	struct vote *votes;
	struct vote **order; /* by the time they were first seen */
	guint count;
};

void approval_decision_clear(struct approval_decision *d)
{
	g_clear_pointer(&d->reason, g_free);
	g_clear_pointer(&d->section, json_unref);
	g_clear_pointer(&d->pinned, g_hash_table_unref);
	memset(d, 0, sizeof(*d));
}

static void poll_clear(struct poll *poll)
{
	for (guint i = 0; i < poll->count; i++) {
		struct vote *vote = &poll->votes[i];

		g_clear_pointer(&vote->approval, approval_free);
		signer_clear(&vote->signer);
		g_free(vote->why);
	}
	g_free(poll->votes);
	g_free(poll->order);
	g_clear_pointer(&poll->artifacts, g_hash_table_unref);
	g_clear_pointer(&poll->pinned_from, g_hash_table_unref);
}

static int64_t deadline(const struct poll *poll)
{
	int64_t within = poll->source->rule->approve_within;

	return within > 0 ? poll->request->tag_first_seen_ms + within : G_MAXINT64;
}

/* --- what each commit is --- */

static gboolean check_bytes(const struct approval_evidence *evidence, GError **error)
{
	g_autofree char *id = object_id(evidence->raw, "commit", error);

	if (id == NULL)
		return FALSE;
	if (g_str_equal(id, evidence->id))
		return TRUE;
	error_refused(error, "its bytes have the id %s", id);
	return FALSE;
}

/* A tree stands for the tag only before there is one: in the history of what was tagged, and for the first tag. */
static gboolean check_tree(const struct poll *poll, const struct vote *vote, GError **error)
{
	if (vote->approval->tree == NULL)
		return TRUE;
	if (!vote->evidence->in_history) {
		error_refused(error, "it names a tree instead of the tag object, which only an approval in the history "
				     "of the tagged commit may");
		return FALSE;
	}
	if (poll->request->first_object_of_name)
		return TRUE;
	error_refused(
	    error, "it names a tree, and so counts only for the first tag object of that name; the tag was moved");
	return FALSE;
}

static gboolean read_vote(const struct poll *poll, struct vote *vote, GError **error)
{
	return check_bytes(vote->evidence, error) &&
	       (vote->approval = approval_read(vote->evidence->raw, error)) != NULL &&
	       people_verify_commit(policy_people(poll->request->policy), vote->approval->commit,
		   vote->evidence->first_seen_ms, &vote->signer, error) &&
	       approval_check_names(vote->approval, &poll->names, error) && check_tree(poll, vote, error);
}

/* A sentence for the record, or, where it could not be found out, an error for the caller. */
static gboolean read_votes(struct poll *poll, GError **error)
{
	for (guint i = 0; i < poll->count; i++) {
		struct vote *vote = &poll->votes[i];
		g_autoptr(GError) why = NULL;

		if (read_vote(poll, vote, &why))
			continue;
		if (g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN) ||
		    g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE)) {
			g_propagate_prefixed_error(error, g_steal_pointer(&why), "commit %s: ", vote->evidence->id);
			return FALSE;
		}
		vote->why = g_strdup(why->message);
	}
	return TRUE;
}

static int compare_votes(const void *a, const void *b)
{
	const struct vote *left = *(struct vote *const *)a, *right = *(struct vote *const *)b;

	if (left->evidence->first_seen_ms != right->evidence->first_seen_ms)
		return left->evidence->first_seen_ms < right->evidence->first_seen_ms ? -1 : 1;
	return strcmp(left->evidence->id, right->evidence->id);
}

static void poll_init(struct poll *poll, const struct request *request, const struct source_decision *source)
{
	*poll = (struct poll){
		.request = request,
		.source = source,
		.names = { request->project, request->tag, request->tag_object, request->tree, source->rule->name },
		.pinned_from = g_hash_table_new(g_str_hash, g_str_equal),
		.votes = g_new0(struct vote, request->approval_count),
		.order = g_new0(struct vote *, request->approval_count),
		.count = request->approval_count,
	};
	for (guint i = 0; i < poll->count; i++) {
		poll->votes[i].evidence = &request->approvals[i];
		poll->order[i] = &poll->votes[i];
	}
	if (poll->count > 0)
		qsort(poll->order, poll->count, sizeof(*poll->order), compare_votes);
}

/* --- what counts --- */

static gboolean is_approver(const struct poll *poll, const char *person)
{
	const struct policy_rule *rule = poll->source->rule;

	for (guint i = 0; i < rule->quorum_count; i++)
		if (policy_lists(poll->request->policy, rule->quorum[i].of, person))
			return TRUE;
	return FALSE;
}

static char *no_approver(const struct poll *poll, const char *person)
{
	g_autofree char *where = policy_rule_where(poll->source->project, poll->source->rule);

	return g_strdup_printf(
	    "%s is not among the approvers of policy \"%s\" (%s)", person, poll->source->rule->name, where);
}

static struct vote *find_vote(const struct poll *poll, const char *id)
{
	for (guint i = 0; i < poll->count; i++)
		if (g_str_equal(poll->votes[i].evidence->id, id))
			return &poll->votes[i];
	return NULL;
}

/* Takes one's own approval back, for ever. NULL, or why not. */
static char *withdraw(struct poll *poll, const struct vote *vote)
{
	struct vote *target = find_vote(poll, vote->approval->withdrawn);

	if (target == NULL || target->signer.person == NULL)
		return g_strdup_printf(
		    "it withdraws %s, which is no approval of this release", vote->approval->withdrawn);
	if (!g_str_equal(target->signer.person, vote->signer.person))
		return g_strdup_printf("it withdraws the approval of %s, and only %s may do that",
		    target->signer.person, target->signer.person);
	if (target->approval->word != WORD_APPROVE)
		return g_strdup("only an approval can be withdrawn; a denial stands");
	for (guint i = 0; i < poll->count; i++) /* each copy of it in the evidence */
		if (g_str_equal(poll->votes[i].evidence->id, target->evidence->id))
			poll->votes[i].withdrawn_by = vote;
	return NULL;
}

/* Who pinned the name before, or NULL; *digest borrowed. */
static char *pinned_before(const struct poll *poll, const char *name, const char **digest)
{
	const struct vote *first = g_hash_table_lookup(poll->pinned_from, name);

	*digest = g_hash_table_lookup(poll->source->pinned, name);
	if (*digest != NULL)
		return g_strdup("the tag");
	if (first == NULL)
		return NULL;
	*digest = g_hash_table_lookup(first->approval->artifacts, name);
	return g_strdup_printf("the approval of %s (%s)", first->signer.person, first->evidence->id);
}

static char *pin_refusal(const struct poll *poll, const char *name, const char *digest)
{
	const char *other;
	g_autofree char *by = NULL;

	if (!g_hash_table_contains(poll->artifacts, name)) {
		g_autofree char *where = policy_rule_where(poll->source->project, poll->source->rule);

		return g_strdup_printf("it pins \"%s\", and policy \"%s\" (%s) has no artifact of that name", name,
		    poll->source->rule->name, where);
	}
	by = pinned_before(poll, name, &other);
	if (by == NULL || g_str_equal(other, digest))
		return NULL;
	return g_strdup_printf("it pins \"%s\" as %s, but %s pins it as %s", name, digest, by, other);
}

static char *pins_refusal(const struct poll *poll, const struct vote *vote)
{
	GHashTableIter all;
	gpointer name, digest;

	g_hash_table_iter_init(&all, vote->approval->artifacts);
	while (g_hash_table_iter_next(&all, &name, &digest)) {
		char *why = pin_refusal(poll, name, digest);

		if (why != NULL)
			return why;
	}
	if (!decide_pinned_by(poll->source->rule, "approval"))
		return NULL;
	g_hash_table_iter_init(&all, poll->artifacts);
	while (g_hash_table_iter_next(&all, &name, NULL))
		if (!g_hash_table_contains(vote->approval->artifacts, name)) {
			g_autofree char *where = policy_rule_where(poll->source->project, poll->source->rule);

			return g_strdup_printf("it does not pin \"%s\" (Tagseal-Artifact), and policy \"%s\" (%s) lets "
					       "the approvals vouch for it",
			    (char *)name, poll->source->rule->name, where);
		}
	return NULL;
}

/* Whoever bound what they had looked at approved that alone. */
static char *range_refusal(const struct poll *poll, const struct vote *vote)
{
	const char *bound = vote->approval->range, *is = poll->request->range_sha256;

	if (bound == NULL || g_strcmp0(bound, is) == 0)
		return NULL;
	if (is == NULL)
		return g_strdup_printf(
		    "it is bound to the range %s (Tagseal-Range), and the range of this release is not known here",
		    bound);
	return g_strdup_printf("it is bound to the range %s (Tagseal-Range), and the range of this release is %s: git "
			       "tagseal show %s tells it anew",
	    bound, is, poll->request->tag);
}

/* NULL, or why this approval does not count: shown to the approver as it stands, and recorded. */
static char *approval_refusal(const struct poll *poll, const struct vote *vote)
{
	const struct policy_rule *rule = poll->source->rule;
	g_autofree char *where = policy_rule_where(poll->source->project, rule);
	const char *person = vote->signer.person;
	g_autoptr(GError) revoked = NULL;
	char *unbound;

	if (vote->withdrawn_by != NULL)
		return g_strdup_printf("%s withdrew it (%s)", person, vote->withdrawn_by->evidence->id);
	if (!people_not_revoked(policy_people(poll->request->policy), &vote->signer, poll->request->now_ms, &revoked))
		return g_strdup(revoked->message);
	if (!is_approver(poll, person))
		return no_approver(poll, person);
	if (!rule->self_approval && g_str_equal(person, poll->source->tagger.person))
		return g_strdup_printf(
		    "%s made the tag, and the tagger's own approval does not count under policy \"%s\" (%s)", person,
		    rule->name, where);
	if (rule->hardware_keys && !vote->signer.hardware)
		return g_strdup_printf(
		    "the key %s proves no touch, and policy \"%s\" (%s) counts hardware keys only (sk- keys)",
		    vote->signer.key, rule->name, where);
	if (vote->evidence->first_seen_ms > deadline(poll))
		return g_strdup_printf(
		    "it was first seen when the time that policy \"%s\" (%s) gives had passed", rule->name, where);
	unbound = range_refusal(poll, vote);
	return unbound != NULL ? unbound : pins_refusal(poll, vote);
}

static void count_approval(struct poll *poll, struct vote *vote)
{
	GHashTableIter all;
	gpointer name;

	vote->why = approval_refusal(poll, vote);
	vote->counts = vote->why == NULL;
	if (!vote->counts)
		return;
	g_hash_table_iter_init(&all, vote->approval->artifacts);
	while (g_hash_table_iter_next(&all, &name, NULL))
		if (!g_hash_table_contains(poll->pinned_from, name))
			g_hash_table_insert(poll->pinned_from, name, vote);
}

/* One pass a word: what was withdrawn must be known before approvals are counted. */
static void count_word(struct poll *poll, enum approval_word word)
{
	for (guint i = 0; i < poll->count; i++) {
		struct vote *vote = poll->order[i];

		if (vote->why != NULL || vote->approval->word != word)
			continue;
		if (word == WORD_APPROVE) {
			count_approval(poll, vote);
			continue;
		}
		if (word == WORD_WITHDRAW)
			vote->why = withdraw(poll, vote);
		else if (!is_approver(poll, vote->signer.person))
			vote->why = no_approver(poll, vote->signer.person);
		vote->counts = vote->why == NULL;
	}
}

/* --- the outcome --- */

static guint approved_by(const struct poll *poll, char *const *of)
{
	g_autoptr(GHashTable) people = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < poll->count; i++)
		if (poll->votes[i].counts && poll->votes[i].approval->word == WORD_APPROVE &&
		    policy_lists(poll->request->policy, of, poll->votes[i].signer.person))
			g_hash_table_add(people, poll->votes[i].signer.person);
	return g_hash_table_size(people);
}

/* "1 of 2 approvals of @developers" for each line (only those not met, if there are some); how many are missing. */
static int64_t tally(const struct poll *poll, char **text)
{
	const struct policy_rule *rule = poll->source->rule;
	g_autoptr(GString) met = g_string_new(NULL);
	g_autoptr(GString) unmet = g_string_new(NULL);
	int64_t missing = 0;

	for (guint i = 0; i < rule->quorum_count; i++) {
		const struct policy_quorum *line = &rule->quorum[i];
		g_autofree char *of = g_strjoinv(" or ", line->of);
		int64_t have = approved_by(poll, line->of);
		GString *to = have < line->count ? unmet : met;

		missing += MAX(0, line->count - have);
		g_string_append_printf(to, "%s%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " approval%s of %s",
		    to->len > 0 ? ", " : "", have, line->count, line->count == 1 ? "" : "s", of);
	}
	*text = g_strdup(missing > 0              ? unmet->str
			 : rule->quorum_count > 0 ? met->str
						  : "the policy asks for no approval");
	return missing;
}

static const struct vote *find_denial(const struct poll *poll)
{
	for (guint i = 0; i < poll->count; i++)
		if (poll->order[i]->counts && poll->order[i]->approval->word == WORD_DENY)
			return poll->order[i];
	return NULL;
}

static void decide_outcome(const struct poll *poll, struct approval_decision *d)
{
	const struct vote *denial = find_denial(poll);
	g_autofree char *text = NULL;
	int64_t missing = tally(poll, &text);

	if (denial != NULL) {
		const char *reason = denial->approval->reason;

		d->outcome = APPROVAL_DENIED;
		d->reason = g_strdup_printf("denied by %s%s%s", denial->signer.person, reason != NULL ? ": " : "",
		    reason != NULL ? reason : "");
	} else if (missing == 0) {
		d->outcome = APPROVAL_PASSED;
		d->reason = g_steal_pointer(&text);
	} else if (poll->request->now_ms > deadline(poll)) {
		g_autofree char *end = time_format_ms(deadline(poll));

		d->outcome = APPROVAL_EXPIRED;
		d->reason = g_strdup_printf("%s when the time for approvals ended (%s)", text, end);
	} else {
		d->outcome = APPROVAL_WAITING;
		d->reason = g_strdup_printf("%s; waiting for %" G_GINT64_FORMAT " more", text, missing);
	}
}

static const char *word_name(enum approval_word word)
{
	return word == WORD_APPROVE ? "approve" : word == WORD_DENY ? "deny" : "withdraw";
}

static struct json *describe_vote(const struct vote *vote)
{
	struct json *entry = json_object_new();
	g_autofree char *digest = sha256_text_bytes(vote->evidence->raw);
	g_autofree char *seen = time_format_ms(vote->evidence->first_seen_ms);

	json_set_string(entry, "commit", vote->evidence->id);
	json_set_string(entry, "sha256", digest);
	json_set_string(entry, "first_seen", seen);
	json_set_boolean(entry, "counts", vote->counts);
	json_set_string(entry, "why", vote->why);
	if (vote->approval != NULL)
		json_set_string(entry, "word", word_name(vote->approval->word));
	if (vote->signer.person != NULL) {
		json_set_string(entry, "person", vote->signer.person);
		json_set_string(entry, "format", signature_format_name(vote->signer.format));
		json_set_string(entry, "key", vote->signer.key);
		json_set_boolean(entry, "hardware", vote->signer.hardware);
	}
	return entry;
}

static void describe(const struct poll *poll, struct approval_decision *d)
{
	GHashTableIter all;
	gpointer name, vote;

	d->section = json_array_new();
	for (guint i = 0; i < poll->count; i++)
		json_append(d->section, describe_vote(&poll->votes[i]));
	d->pinned = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	g_hash_table_iter_init(&all, poll->pinned_from);
	while (g_hash_table_iter_next(&all, &name, &vote))
		g_hash_table_insert(d->pinned, g_strdup(name),
		    g_strdup(g_hash_table_lookup(((struct vote *)vote)->approval->artifacts, name)));
}

gboolean approval_decide(
    const struct request *request, const struct source_decision *source, struct approval_decision *d, GError **error)
{
	struct poll poll;
	gboolean good;

	memset(d, 0, sizeof(*d));
	poll_init(&poll, request, source);
	poll.artifacts = decide_artifact_names(source->project, source->rule, request->tag, source->tag->object, error);
	good = poll.artifacts != NULL && read_votes(&poll, error);
	if (good) {
		count_word(&poll, WORD_WITHDRAW);
		count_word(&poll, WORD_DENY);
		count_word(&poll, WORD_APPROVE);
		decide_outcome(&poll, d);
		describe(&poll, d);
	}
	poll_clear(&poll);
	return good;
}
