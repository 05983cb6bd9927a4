/* The auditor over a good log, and over each of its forged twins. */
#include "tests/unit/support_audit.h"
#include "tests/unit/support_builder.h"

#include <string.h>

#include "gitops/policy_history.h"
#include "gitops/record.h"

/* ---- good ---- */

static void a_good_log_is_good(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	autoptr(json) rejected = test_record("other/thing", "v1", "rejected");
	autoptr(json) event = record_event_new("start", NULL, NULL);

	story_append(w, s);
	test_append(w->ledger, rejected);
	test_append(w->ledger, event);
	assert_log_good(w);
	assert_int_equal(w->result.records, 2);
	assert_int_equal(w->result.events, 1);
	assert_int_equal(w->result.commits, 4);
}

static void an_empty_log_is_good(void **state)
{
	autoptr(world) w = world_new();

	assert_log_good(w);
}

static void what_the_auditor_did_not_bring_could_not_be_found_out(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct audit_options options;

	story_append(w, s);
	options = world_options(w);
	options.ledger_key = NULL;
	world_audit(w, &options);
	assert_int_equal(w->result.bad, 0);
	assert_contains(w->findings->str, "unknown: commits are held against the log's own allowed_signers");
	options = world_options(w);
	options.policy_root = NULL;
	world_audit(w, &options);
	assert_int_equal(w->result.bad, 0);
	assert_contains(w->findings->str, "unknown: whether the policies of 1 record were in force");
	options = world_options(w);
	options.artifact = NULL;
	world_audit(w, &options);
	assert_int_equal(w->result.bad, 0);
	assert_contains(w->findings->str, "unknown: the signatures of 1 release were not checked");
}

static void an_audit_goes_on_from_an_earlier_point(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) before = test_record("acme/widget", "v1", "rejected");
	autoptr(story) s = story_new(w, 1);
	g_autofree char *since = NULL;
	struct audit_options options = world_options(w);

	test_append(w->ledger, before);
	since = g_strdup(ledger_tip(w->ledger));
	story_append(w, s);
	options.since = since;
	world_audit(w, &options);
	assert_string_equal(w->findings->str, "");
	assert_int_equal(w->result.records, 1);
	assert_int_equal(w->result.commits, 1);
}

/* ---- history forged ---- */

static void a_commit_of_another_key_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(test_key) other = test_key_new();

	support_write(w->key_file, test_key_line(other));
	assert_log_bad(w, "its signature: ");
}

static void a_rewritten_commit_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");

	test_append(w->ledger, record);
	world_forge(w,
	    "git cat-file commit main | sed 's/^Reject/Sign/' > forged && git update-ref refs/heads/main $(git "
	    "hash-object -t commit -w forged)");
	assert_log_bad(w, "its signature: ");
}

static void an_unsigned_commit_on_top_is_bad(void **state)
{
	autoptr(world) w = world_new();

	world_forge(w, "git update-ref refs/heads/main $(git commit-tree -p main -m mine main^{tree})");
	assert_log_bad(w, "carries no SSH signature");
}

static void a_changed_and_a_removed_file_are_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");
	autoptr(world) other = world_new();

	test_append(w->ledger, record);
	world_forge(w, "export GIT_INDEX_FILE=index && git read-tree main && p=$(git ls-files records) && "
		       "git update-index --cacheinfo 100644,$(echo changed | git hash-object -w --stdin),$p && "
		       "git update-ref refs/heads/main $(git commit-tree -p main -m mine $(git write-tree))");
	assert_log_bad(w, "it changes records/00/00/01-");
	world_forge(other, "export GIT_INDEX_FILE=index && git read-tree main && git rm -q --cached README.md && "
			   "git update-ref refs/heads/main $(git commit-tree -p main -m mine $(git write-tree))");
	assert_log_bad(other, "it removes README.md");
}

static void a_log_set_back_does_not_hold_what_was_checked_before(void **state)
{
	autoptr(world) w = world_new();
	struct audit_options options = world_options(w);
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");
	g_autofree char *since = NULL;
	g_autoptr(GError) error = NULL;

	test_append(w->ledger, record);
	since = g_strdup(ledger_tip(w->ledger));
	world_forge(w, "git update-ref refs/heads/main main~1");
	options.since = since;
	assert_refused(audit_run(w->path, &options, &w->result, &error), error, "it was rewritten");
}

static void a_folder_that_is_no_log_could_not_be_read(void **state)
{
	g_autofree char *path = support_folder("no-log");
	struct audit_options options = { NULL };
	struct audit_result result;
	g_autoptr(GError) error = NULL;

	assert_fails(audit_run(path, &options, &result, &error), error, TAGSEAL_ERROR_UNKNOWN,
	    "cannot be read as an audit repository");
}

/* ---- records that lie, signed by the ledger's very key ---- */

/* A second release of the same log, changed by `change` before it is committed. */
static void assert_lie(void (*change)(struct story *s), const char *words)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);

	change(s);
	story_append(w, s);
	assert_log_bad(w, words);
}

static void lose_an_approval(struct story *s)
{
	story_drop(s, "approval-2");
}

static void lose_the_tag(struct story *s)
{
	story_drop(s, "tag");
}

static void lose_the_policy(struct story *s)
{
	story_drop(s, "policy.json");
}

static void removed_evidence_is_bad(void **state)
{
	assert_lie(lose_an_approval, "its evidence lacks \"approval-2\"");
	assert_lie(lose_the_tag, "its evidence lacks \"tag\"");
	assert_lie(lose_the_policy, "its evidence lacks policy.json");
}

static void swap_the_tag(struct story *s)
{
	g_autoptr(GBytes) other = g_bytes_new_static("object x\n", 9);

	story_drop(s, "tag");
	story_add(s, "tag", other);
}

static void evidence_that_is_another_object_is_bad(void **state)
{
	assert_lie(swap_the_tag, "its evidence \"tag\" is not the object that it names");
}

static void claim_another_person(struct story *s)
{
	json_set_string(story_get(s, "source.signature"), "person", "dave");
}

static void claim_another_commit(struct story *s)
{
	json_set_string(story_get(s, "source"), "commit", TREE);
}

static void another_tagger_or_commit_than_the_tag_says_is_bad(void **state)
{
	assert_lie(claim_another_person, "its \"source\" says otherwise of \"signature\"");
	assert_lie(claim_another_commit, "its \"source\" says otherwise of \"commit\"");
}

/* One approval, with its line and its evidence, taken out: the quorum of two is not met. */
static void forget_an_approval(struct story *s)
{
	struct json *list = json_array_new();

	json_append(list, json_copy(story_get(s, "approvals.0")));
	json_set(s->record, "approvals", list);
	story_drop(s, "approval-2");
}

static void a_release_without_its_quorum_is_bad(void **state)
{
	assert_lie(forget_an_approval, "it passed the gate approval, and the evidence says: ");
}

static void claim_that_it_does_not_count(struct story *s)
{
	json_set_boolean(story_get(s, "approvals.0"), "counts", FALSE);
}

static void another_account_of_the_approvals_is_bad(void **state)
{
	assert_lie(claim_that_it_does_not_count, "its \"approvals\" say otherwise than the evidence");
}

static void swap_the_artifact(struct story *s)
{
	json_set_string(story_get(s, "artifacts.0"), "sha256", OTHER_DIGEST);
}

static void use_another_key(struct story *s)
{
	json_set_string(story_get(s, "artifacts.0.signed.signatures.0"), "key", "test");
}

static void leave_out_the_timestamp(struct story *s)
{
	json_set(story_get(s, "artifacts.0.signed.signatures.0"), "timestamp", NULL);
}

static void leave_out_the_scan(struct story *s)
{
	json_set_string(story_get(s, "artifacts.0.scan"), "verdict", "Eicar");
}

static void skip_the_gate(struct story *s)
{
	json_set(s->record, "gates", NULL);
	record_gate(s->record, GATE_SOURCE, "passed", SEEN, SEEN, 1);
}

static void what_the_policy_does_not_allow_is_bad(void **state)
{
	assert_lie(swap_the_artifact, "the approval does not vouch for the digest of widget-1.2.0.zip");
	assert_lie(use_another_key, "was signed with the key test, and the policy says release-2026");
	assert_lie(leave_out_the_timestamp, "has no timestamp");
	assert_lie(leave_out_the_scan, "without a clean scan");
	assert_lie(skip_the_gate, "without having passed the gates");
}

/* ---- provenance ---- */

#define SOURCE_URL "https://git.example.org/acme/widget.git"
#define OTHER_COMMIT "1111111111111111111111111111111111111111"

/* A release under a rule that asks for provenance, with that file as evidence (taken over; NULL: none). */
static struct story *story_built(struct world *w, GBytes *file)
{
	g_autoptr(GHashTable) files = sample_files();
	struct story *s;
	struct json *artifact, *section = json_object_new();
	g_autofree char *digest = file != NULL ? sha256_text_bytes(file) : NULL;

	sample_pin_by_provenance(files);
	s = story_of(w, "v1.2.0", 1, files);
	artifact = json_path(s->record, "artifacts.0");
	json_set_string(section, "sha256", digest);
	json_set_string(section, "first_seen", "2026-01-01T00:30:00.000Z");
	json_set(artifact, "provenance", section);
	json_set_string(artifact, "pinned_by", "provenance");
	if (file != NULL) {
		story_add(s, "provenance", file);
		g_bytes_unref(file);
	}
	return s;
}

/* Without an anchor for that policy: whether it was in force is not what is asked here. */
static char *found_in(struct story *s, struct world *w)
{
	struct audit_options options = world_options(w);

	options.policy_root = options.policy_repo = NULL;
	story_append(w, s);
	world_audit(w, &options);
	story_free(s);
	return g_strdup(w->findings->str);
}

static void provenance_is_verified_again(void **state)
{
	autoptr(world) good = world_new();
	g_autofree char *found =
	    found_in(story_built(good, sample_provenance(SOURCE_URL, COMMIT, "widget-1.2.0.zip", DIGEST)), good);

	assert_null(strstr(found, "bad:"));
	assert_int_equal(good->result.bad, 0);
}

static void provenance_that_does_not_vouch_is_bad(void **state)
{
	autoptr(world) w = world_new();
	g_autofree char *found =
	    found_in(story_built(w, sample_provenance(SOURCE_URL, OTHER_COMMIT, "widget-1.2.0.zip", DIGEST)), w);

	assert_contains(found, "widget-1.2.0.zip was signed: the provenance does not vouch, as policy \"release\"");
	assert_contains(found, "is the source at commit " OTHER_COMMIT);
}

static void provenance_that_is_missing_is_bad(void **state)
{
	autoptr(world) w = world_new();
	g_autofree char *found = found_in(story_built(w, NULL), w);

	assert_contains(
	    found, "widget-1.2.0.zip was signed, and the provenance that the policy demands is not in the evidence");
}

static void provenance_that_was_exchanged_is_bad(void **state)
{
	autoptr(world) w = world_new();
	struct story *s = story_built(w, sample_provenance(SOURCE_URL, COMMIT, "widget-1.2.0.zip", DIGEST));
	g_autoptr(GBytes) other = sample_provenance(SOURCE_URL, COMMIT, "widget-1.2.0.zip", DIGEST);
	g_autofree char *found = NULL;

	story_drop(s, "provenance");
	story_add(s, "provenance", other);
	found = found_in(s, w);
	assert_contains(found, "the record does not say which provenance it was");
}

static void pin_by_provenance(struct story *s)
{
	json_set_string(story_get(s, "artifacts.0"), "pinned_by", "provenance");
}

static void a_voucher_that_the_policy_does_not_name_is_bad(void **state)
{
	assert_lie(
	    pin_by_provenance, "the provenance is said to vouch for widget-1.2.0.zip, and the policy does not ask it");
}

static void a_policy_that_is_not_the_commits_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	g_autoptr(GHashTable) files = sample_files();
	g_autoptr(GBytes) evidence = NULL;

	sample_set(files, "people/zoe.toml", "name = \"Zoe\"\n");
	evidence = policy_evidence_write(w->policy_root, files);
	story_drop(s, "policy.json");
	story_add(s, "policy.json", evidence);
	story_append(w, s);
	assert_log_bad(w, "does not hold the files of the policy commit");
}

static void a_policy_that_does_not_come_from_the_root_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct audit_options options = world_options(w);
	g_autofree char *other = NULL;

	story_append(w, s);
	other = support_must_in(
	    w->policy_repo, "sh", "-ec", "git commit -q --amend --no-edit -m another && git rev-parse HEAD", NULL);
	options.policy_root = other;
	world_audit(w, &options);
	assert_true(w->result.bad > 0);
	assert_contains(w->findings->str, "its policy: ");
}

/* The history in the evidence stands in for a clone of the policy repository. */
static void the_policys_history_in_the_evidence_is_enough(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct audit_options options = world_options(w);
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) history = policy_history_write(w->policy_repo, w->policy_root, w->policy_root, &error);
	g_autoptr(GBytes) again = policy_history_write(w->policy_repo, w->policy_root, w->policy_root, NULL);

	assert_ok(history != NULL, error);
	assert_true(g_bytes_equal(history, again));
	story_add(s, POLICY_HISTORY, history);
	story_append(w, s);
	options.policy_repo = NULL;
	world_audit(w, &options);
	assert_string_equal(w->findings->str, "");
	options.policy_root = "0123456789abcdef0123456789abcdef01234567";
	world_audit(w, &options);
	assert_contains(w->findings->str, "its policy: ");
}

/* Two policies of one root, neither of which contains the other: somebody signed both. */
static void policies_of_two_lines_are_bad(void **state)
{
	autoptr(world) w = world_new();
	struct audit_options options = world_options(w);
	g_autofree char *folder = support_path("fork"), *root = NULL, *one = NULL, *other = NULL, *script = NULL;
	g_autofree char *alice = sample_ssh_key("alice"), *carol = sample_ssh_key("carol");
	char *ids[2];

	script = g_strdup_printf("cp -r '%s' '%s' && cd '%s' && git config gpg.format ssh && git rev-parse HEAD",
	    w->policy_repo, folder, folder);
	root = support_must("sh", "-ec", script, NULL);
	for (guint i = 0; i < 2; i++) {
		g_autofree char *step =
		    g_strdup_printf("git checkout -q %s && printf '# %u\\n' >> policy.toml && "
				    "GIT_AUTHOR_EMAIL=alice@example.org GIT_COMMITTER_EMAIL=alice@example.org git -c "
				    "user.signingkey='%s' commit -q -S -a -m 'Change %u' && "
				    "printf 'Approve\\n\\nTagseal-Approve-Policy: %%s\\n' $(git rev-parse HEAD) | "
				    "GIT_AUTHOR_EMAIL=carol@example.org GIT_COMMITTER_EMAIL=carol@example.org git -c "
				    "user.signingkey='%s' commit -q -S --allow-empty -F - && "
				    "git rev-parse HEAD",
			root, i, alice, i, carol);

		ids[i] = support_must_in(folder, "sh", "-ec", step, NULL);
	}
	one = ids[0];
	other = ids[1];
	options.policy_repo = folder;
	options.policy_root = root;
	for (guint i = 0; i < 2; i++) {
		autoptr(story) s = NULL;
		g_autofree char *kept = w->policy_root;

		w->policy_root = g_strdup(ids[i]);
		w->policy_repo = folder;
		s = story_at(w, i + 1);
		story_append(w, s);
		g_free(w->policy_root);
		w->policy_root = g_strdup(kept);
	}
	world_audit(w, &options);
	assert_contains(w->findings->str, "the policy was forked");
	assert_null(strstr(w->findings->str, "was not in force"));
}

static void a_history_that_is_no_pack_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct audit_options options = world_options(w);
	g_autoptr(GBytes) history = g_bytes_new_static("PACK\0\0\0\2\0\0\0\1broken", 18);

	story_add(s, POLICY_HISTORY, history);
	story_append(w, s);
	options.policy_repo = NULL;
	world_audit(w, &options);
	assert_int_equal(w->result.bad, 1);
	assert_contains(w->findings->str, "is no good pack");
}

static void the_same_release_signed_twice_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) one = story_new(w, 1);
	autoptr(story) two = story_new(w, 2);

	story_append(w, one);
	/* the very tag object again; an Ed25519 signature is the same every time */
	story_append(w, two);
	assert_log_bad(w, "the release was signed before");
}

static void an_event_about_no_record_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) event = record_event_new("published", OTHER_DIGEST, NULL);

	test_append(w->ledger, event);
	assert_log_bad(w, "names a record that stands nowhere");
}

/* ---- commits that a holder of the ledger's key makes by hand ---- */

static void a_gap_in_the_numbers_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");
	g_autofree char *text = NULL, *path = NULL, *message = NULL, *digest = NULL;

	json_set_integer(record, "sequence", 2);
	text = json_text(record);
	digest = record_digest(record);
	path = g_strdup_printf("records/00/00/02-%s.json", json_string(record, "id"));
	message = g_strdup_printf("Forged\n\nTagseal-Record: %s %s\n", json_string(record, "id"), digest);
	world_commit(w, path, text, message);
	assert_log_bad(w, "the number before it is 0");
	assert_null(strstr(w->findings->str, "signature"));
}

static void a_record_that_is_not_canonical_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");
	g_autofree char *text = NULL, *path = NULL;

	json_set_integer(record, "sequence", 1);
	text = json_pretty(record);
	path = g_strdup_printf("records/00/00/01-%s.json", json_string(record, "id"));
	world_commit(w, path, text, "Forged");
	assert_log_bad(w, "bad: record 1: ");
}

static void another_previous_number_or_id_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");
	g_autofree char *text = NULL;

	json_set_integer(record, "sequence", 7);
	json_set_string(record, "previous", OTHER_DIGEST);
	text = json_text(record);
	world_commit(w, "records/00/00/01-01JDZX5K3N8Q4W7R2T6Y9A0BCD.json", text, "Forged");
	assert_log_bad(w, "its \"previous\" is " OTHER_DIGEST);
	assert_contains(w->findings->str, "it says that its number is 7");
	assert_contains(w->findings->str, "it stands under another id");
	assert_contains(w->findings->str, "the message of its commit does not name it");
}

static void evidence_of_nobody_and_files_elsewhere_are_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(world) other = world_new();

	world_commit(w, "evidence/00/00/01/tag", "x", "Forged");
	assert_log_bad(w, "evidence/00/00/01/tag belongs to no record of this commit");
	world_commit(other, "notes.txt", "x", "Forged");
	assert_log_bad(other, "it adds notes.txt");
}

/* ---- the command ---- */

static void the_command_answers_by_its_first_line_and_exit_status(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");
	g_autofree char *program = support_program("tagseal");

	test_append(w->ledger, record);
	{
		autoptr(run) run = support_run(
		    program, "audit", "--policy-root", w->policy_root, "--ledger-key", w->key_file, w->path, NULL);

		assert_int_equal(run->status, 0);
		assert_true(g_str_has_prefix(run->out, "good 1 records\n"));
	}
	{
		autoptr(run) run = support_run(program, "audit", w->path, NULL);

		assert_int_equal(run->status, 3);
		assert_contains(run->out, "unknown: commits are held against");
	}
	world_forge(w, "git update-ref refs/heads/main $(git commit-tree -p main -m mine main^{tree})");
	{
		autoptr(run) run = support_run(program, "audit", "--json", "--ledger-key", w->key_file, w->path, NULL);

		assert_int_equal(run->status, 1);
		assert_contains(run->out, "\"verdict\": \"bad\"");
		assert_contains(run->err, "tagseal: bad: 1 finding");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_log_is_good),
		cmocka_unit_test(an_empty_log_is_good),
		cmocka_unit_test(what_the_auditor_did_not_bring_could_not_be_found_out),
		cmocka_unit_test(an_audit_goes_on_from_an_earlier_point),
		cmocka_unit_test(a_commit_of_another_key_is_bad),
		cmocka_unit_test(a_rewritten_commit_is_bad),
		cmocka_unit_test(an_unsigned_commit_on_top_is_bad),
		cmocka_unit_test(a_changed_and_a_removed_file_are_bad),
		cmocka_unit_test(a_log_set_back_does_not_hold_what_was_checked_before),
		cmocka_unit_test(a_folder_that_is_no_log_could_not_be_read),
		cmocka_unit_test(removed_evidence_is_bad),
		cmocka_unit_test(evidence_that_is_another_object_is_bad),
		cmocka_unit_test(another_tagger_or_commit_than_the_tag_says_is_bad),
		cmocka_unit_test(a_release_without_its_quorum_is_bad),
		cmocka_unit_test(another_account_of_the_approvals_is_bad),
		cmocka_unit_test(what_the_policy_does_not_allow_is_bad),
		cmocka_unit_test(provenance_is_verified_again),
		cmocka_unit_test(provenance_that_does_not_vouch_is_bad),
		cmocka_unit_test(provenance_that_is_missing_is_bad),
		cmocka_unit_test(provenance_that_was_exchanged_is_bad),
		cmocka_unit_test(a_voucher_that_the_policy_does_not_name_is_bad),
		cmocka_unit_test(a_policy_that_is_not_the_commits_is_bad),
		cmocka_unit_test(a_policy_that_does_not_come_from_the_root_is_bad),
		cmocka_unit_test(the_policys_history_in_the_evidence_is_enough),
		cmocka_unit_test(policies_of_two_lines_are_bad),
		cmocka_unit_test(a_history_that_is_no_pack_is_bad),
		cmocka_unit_test(the_same_release_signed_twice_is_bad),
		cmocka_unit_test(an_event_about_no_record_is_bad),
		cmocka_unit_test(a_gap_in_the_numbers_is_bad),
		cmocka_unit_test(a_record_that_is_not_canonical_is_bad),
		cmocka_unit_test(another_previous_number_or_id_is_bad),
		cmocka_unit_test(evidence_of_nobody_and_files_elsewhere_are_bad),
		cmocka_unit_test(the_command_answers_by_its_first_line_and_exit_status),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
