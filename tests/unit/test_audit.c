/* The auditor over a good log, and over each of its forged twins. */
#include "tests/unit/support.h"

#include <string.h>

#include "gitops/audit.h"
#include "gitops/decide.h"
#include "gitops/policy_history.h"
#include "gitops/record.h"
#include "tests/unit/support_ledger.h"
#include "tests/unit/support_policy.h"

#define COMMIT "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"
#define TREE "c0ffee00d1e2f30415263748596a7b8c9dae0f12"
#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define OTHER_DIGEST "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
#define SEEN (INT64_C(1767225600) * 1000)

/* ---- a log, and what an auditor has in hand ---- */

struct world {
	char *path, *key_file, *policy_root;
	const char *policy_repo;
	struct test_key *key;
	struct ledger *ledger;
	GString *findings;
	struct audit_result result;
};

static void write_policy(gpointer path, gpointer bytes, gpointer folder)
{
	g_autofree char *file = g_build_filename(folder, path, NULL), *dir = g_path_get_dirname(file);

	g_mkdir_with_parents(dir, 0700);
	support_write_bytes(file, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* A policy repository for all: whoever amends it leaves the root commit where it is. */
static const char *policy_repository(char **root)
{
	static char folder[512], id[64];
	g_autoptr(GHashTable) files = NULL;
	g_autofree char *path = NULL, *out = NULL;

	if (*id == '\0') {
		files = sample_files();
		path = support_path("policy");
		g_strlcpy(folder, path, sizeof(folder));
		g_hash_table_foreach(files, write_policy, folder);
		out = support_must_in(folder, "sh", "-ec",
		    "git init -q -b main . && git add -A && git commit -qm root && git rev-parse HEAD", NULL);
		g_strlcpy(id, out, sizeof(id));
	}
	*root = g_strdup(id);
	return folder;
}

static struct world *world_new(void)
{
	static guint count;
	struct world *w = g_new0(struct world, 1);

	count++;
	w->path = support_path("log-%u.git", count);
	w->key_file = support_path("key-%u.pub", count);
	w->key = test_key_new();
	support_write(w->key_file, test_key_line(w->key));
	w->policy_repo = policy_repository(&w->policy_root);
	w->ledger = test_ledger(w->path, w->key);
	w->findings = g_string_new(NULL);
	return w;
}

static void world_free(struct world *w)
{
	g_clear_pointer(&w->ledger, ledger_free);
	test_key_free(w->key);
	g_string_free(w->findings, TRUE);
	g_free(w->path);
	g_free(w->key_file);
	g_free(w->policy_root);
	g_free(w);
}
DEFINE_CLEANUP(world, world_free)

static void on_finding(const char *line, void *data)
{
	g_string_append_printf(data, "%s\n", line);
}

static gboolean artifacts_are_good(const struct json *record, GHashTable *files, void *data, GError **error)
{
	return TRUE;
}

static struct audit_options options_of(struct world *w)
{
	return (struct audit_options){ .policy_root = w->policy_root,
		.policy_repo = w->policy_repo,
		.ledger_key = w->key_file,
		.finding = on_finding,
		.artifact = artifacts_are_good,
		.data = w->findings };
}

static void audit(struct world *w, const struct audit_options *options)
{
	g_autoptr(GError) error = NULL;
	gboolean done;

	g_string_truncate(w->findings, 0);
	done = audit_run(w->path, options, &w->result, &error);
	assert_ok(done, error);
}

static void assert_good(struct world *w)
{
	struct audit_options options = options_of(w);

	audit(w, &options);
	if (w->result.bad > 0 || w->result.unknown > 0)
		fail_msg("%s", w->findings->str);
}

static void assert_bad(struct world *w, const char *words)
{
	struct audit_options options = options_of(w);

	audit(w, &options);
	assert_true(w->result.bad > 0);
	assert_contains(w->findings->str, "bad: ");
	assert_contains(w->findings->str, words);
}

/* ---- a release: real tag, real approvals, decided by the code that the server decides with ---- */

struct story {
	struct json *record;
	GArray *files; /* of struct ledger_file */
	GArray *approvals; /* of struct approval_evidence */
	GBytes *tag;
	char *tag_object;
};

static void file_clear(gpointer data)
{
	struct ledger_file *file = data;

	g_free(file->name);
	g_bytes_unref(file->data);
}

static void approval_clear(gpointer data)
{
	struct approval_evidence *evidence = data;

	g_free(evidence->id);
	g_bytes_unref(evidence->raw);
}

static void add_file(struct story *s, const char *name, GBytes *bytes)
{
	struct ledger_file file = { g_strdup(name), g_bytes_ref(bytes) };

	g_array_append_val(s->files, file);
}

static void approve(struct story *s, const char *person)
{
	g_autofree char *payload =
	    g_strdup_printf("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
			    "author Somebody <%s@example.org> 1767225600 +0000\n"
			    "committer Somebody <%s@example.org> 1767225600 +0000\n\n"
			    "Approve\n\nTagseal-Approve: v1.2.0\nTagseal-Tag: %s\nTagseal-Project: acme/widget\n"
			    "Tagseal-Policy: release\nTagseal-Artifact: " DIGEST " widget-1.2.0.zip\n",
		person, person, s->tag_object);
	struct approval_evidence evidence = { .first_seen_ms = SEEN + 60000 };

	evidence.raw = sample_sign_commit(payload, person);
	evidence.id = object_id(evidence.raw, "commit", NULL);
	g_array_append_val(s->approvals, evidence);
}

static void put_sections(struct world *w, struct story *s, struct policy *policy)
{
	struct request request = { .policy = policy,
		.policy_commit = w->policy_root,
		.project = "acme/widget",
		.tag = "v1.2.0",
		.tag_object = s->tag_object,
		.tag_raw = s->tag,
		.tag_first_seen_ms = SEEN,
		.now_ms = SEEN + 3600000,
		.tree = TREE,
		.first_object_of_name = TRUE,
		.approvals = (const struct approval_evidence *)(void *)s->approvals->data,
		.approval_count = s->approvals->len };
	struct source_decision source = { NULL };
	struct approval_decision approval = { 0 };
	g_autoptr(GError) error = NULL;
	gboolean done = source_decide(&request, &source, &error) && approval_decide(&request, &source, &approval, &error);
	struct json *section = json_object_new();
	g_autofree char *seen = time_format_ms(SEEN);

	assert_ok(done, error);
	json_set_string(section, "name", "release");
	json_set_string(section, "commit", w->policy_root);
	json_set_string(section, "file_sha256", source.project->file_sha256);
	json_set(s->record, "policy", section);
	section = json_copy(source.section);
	json_set_string(section, "url", source.project->source);
	json_set_string(section, "first_seen", seen);
	json_set(s->record, "source", section);
	json_set(s->record, "approvals", json_copy(approval.section));
	source_decision_clear(&source);
	approval_decision_clear(&approval);
}

static void put_artifact(struct story *s, gint64 use)
{
	g_autofree char *text = g_strdup_printf(
	    "[{\"name\":\"widget-1.2.0.zip\",\"size\":4,\"sha256\":\"" DIGEST "\",\"pinned_by\":\"approval\","
	    "\"scan\":{\"engine\":\"libclamav\",\"verdict\":\"clean\"},\"signed\":{\"sha256\":\"" DIGEST
	    "\",\"size\":4,"
	    "\"signatures\":[{\"format\":\"openpgp\",\"key\":\"release-2026\",\"digest\":\"" DIGEST "\",\"use\":%d,"
	    "\"timestamp\":{\"authority\":\"tsa\",\"time\":\"2026-01-01T01:00:00.000Z\"}}]}}]",
	    (int)use);
	g_autoptr(GError) error = NULL;
	struct json *artifacts = json_parse(text, strlen(text), JSON_STRICT, &error);

	assert_ok(artifacts != NULL, error);
	json_set(s->record, "artifacts", artifacts);
}

static void put_evidence(struct world *w, struct story *s, policy_files *files)
{
	g_autoptr(GBytes) policy = policy_evidence_write(w->policy_root, files);

	add_file(s, "tag", s->tag);
	add_file(s, "policy.json", policy);
	for (guint i = 0; i < s->approvals->len; i++) {
		g_autofree char *name = g_strdup_printf("approval-%u", i + 1);

		add_file(s, name, g_array_index(s->approvals, struct approval_evidence, i).raw);
	}
}

static struct story *story_of(struct world *w, gint64 use, GHashTable *files)
{
	static const char payload[] =
	    "object " COMMIT
	    "\ntype commit\ntag v1.2.0\ntagger Somebody <alice@example.org> 1767225600 +0000\n\nRelease\n";
	struct story *s = g_new0(struct story, 1);
	g_autofree char *id = ulid_new();
	autoptr(policy) policy = sample_load(g_hash_table_ref(files));

	s->files = g_array_new(FALSE, TRUE, sizeof(struct ledger_file));
	g_array_set_clear_func(s->files, file_clear);
	s->approvals = g_array_new(FALSE, TRUE, sizeof(struct approval_evidence));
	g_array_set_clear_func(s->approvals, approval_clear);
	s->record = record_new(id, "acme/widget", "v1.2.0");
	s->tag = sample_sign_tag(payload, "alice");
	s->tag_object = object_id(s->tag, "tag", NULL);
	approve(s, "bob");
	approve(s, "carol");
	put_sections(w, s, policy);
	put_artifact(s, use);
	put_evidence(w, s, files);
	for (guint gate = GATE_SOURCE; gate <= GATE_TIMESTAMP; gate++)
		record_gate(s->record, gate, "passed", SEEN, SEEN + 3600000, 1);
	record_end(s->record, "signed", GATE_TIMESTAMP, NULL);
	return s;
}

static struct story *story_new(struct world *w, gint64 use)
{
	g_autoptr(GHashTable) files = sample_files();

	return story_of(w, use, files);
}

/* Decided by the policy commit that the world's root names, with that commit's files. */
static struct story *story_at(struct world *w, gint64 use)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GHashTable) files = policy_files_from_commit(w->policy_repo, w->policy_root, &error);

	assert_ok(files != NULL, error);
	return story_of(w, use, files);
}

static void story_free(struct story *s)
{
	json_unref(s->record);
	g_array_unref(s->files);
	g_array_unref(s->approvals);
	g_bytes_unref(s->tag);
	g_free(s->tag_object);
	g_free(s);
}
DEFINE_CLEANUP(story, story_free)

static void append(struct world *w, struct story *s)
{
	struct ledger_entry entry = { .document = s->record,
		.files = (struct ledger_file *)(void *)s->files->data,
		.file_count = s->files->len };
	g_autoptr(GError) error = NULL;
	gboolean done = ledger_append(w->ledger, &entry, 1, &error);

	assert_ok(done, error);
	ledger_entry_clear(&entry);
}

static void drop_file(struct story *s, const char *name)
{
	for (guint i = 0; i < s->files->len; i++) {
		if (g_str_equal(g_array_index(s->files, struct ledger_file, i).name, name)) {
			g_array_remove_index(s->files, i);
			return;
		}
	}
	fail_msg("there is no %s", name);
}

static struct json *at(const struct story *s, const char *path)
{
	struct json *value = json_path(s->record, path);

	assert_non_null(value);
	return value;
}

/* ---- good ---- */

static void a_good_log_is_good(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	autoptr(json) rejected = test_record("other/thing", "v1", "rejected");
	autoptr(json) event = record_event_new("start", NULL, NULL);

	append(w, s);
	test_append(w->ledger, rejected);
	test_append(w->ledger, event);
	assert_good(w);
	assert_int_equal(w->result.records, 2);
	assert_int_equal(w->result.events, 1);
	assert_int_equal(w->result.commits, 4);
}

static void an_empty_log_is_good(void **state)
{
	autoptr(world) w = world_new();

	assert_good(w);
}

static void what_the_auditor_did_not_bring_could_not_be_found_out(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct audit_options options;

	append(w, s);
	options = options_of(w);
	options.ledger_key = NULL;
	audit(w, &options);
	assert_int_equal(w->result.bad, 0);
	assert_contains(w->findings->str, "unknown: commits are held against the log's own allowed_signers");
	options = options_of(w);
	options.policy_root = NULL;
	audit(w, &options);
	assert_int_equal(w->result.bad, 0);
	assert_contains(w->findings->str, "unknown: whether the policies of 1 record were in force");
	options = options_of(w);
	options.artifact = NULL;
	audit(w, &options);
	assert_int_equal(w->result.bad, 0);
	assert_contains(w->findings->str, "unknown: the signatures of 1 release were not checked");
}

static void an_audit_goes_on_from_an_earlier_point(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) before = test_record("acme/widget", "v1", "rejected");
	autoptr(story) s = story_new(w, 1);
	g_autofree char *since = NULL;
	struct audit_options options = options_of(w);

	test_append(w->ledger, before);
	since = g_strdup(ledger_tip(w->ledger));
	append(w, s);
	options.since = since;
	audit(w, &options);
	assert_string_equal(w->findings->str, "");
	assert_int_equal(w->result.records, 1);
	assert_int_equal(w->result.commits, 1);
}

/* ---- history forged ---- */

/* A shell script in the repository; the ledger lets go of it first. */
static void forge(struct world *w, const char *script)
{
	g_autofree char *out = NULL;

	g_clear_pointer(&w->ledger, ledger_free);
	out = support_must_in(w->path, "sh", "-ec", script, NULL);
}

static void a_commit_of_another_key_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(test_key) other = test_key_new();

	support_write(w->key_file, test_key_line(other));
	assert_bad(w, "its signature: ");
}

static void a_rewritten_commit_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");

	test_append(w->ledger, record);
	forge(w, "git cat-file commit main | sed 's/^Reject/Sign/' > forged && git update-ref refs/heads/main $(git "
		 "hash-object -t commit -w forged)");
	assert_bad(w, "its signature: ");
}

static void an_unsigned_commit_on_top_is_bad(void **state)
{
	autoptr(world) w = world_new();

	forge(w, "git update-ref refs/heads/main $(git commit-tree -p main -m mine main^{tree})");
	assert_bad(w, "carries no SSH signature");
}

static void a_changed_and_a_removed_file_are_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");
	autoptr(world) other = world_new();

	test_append(w->ledger, record);
	forge(w, "export GIT_INDEX_FILE=index && git read-tree main && p=$(git ls-files records) && "
		 "git update-index --cacheinfo 100644,$(echo changed | git hash-object -w --stdin),$p && "
		 "git update-ref refs/heads/main $(git commit-tree -p main -m mine $(git write-tree))");
	assert_bad(w, "it changes records/00/00/01-");
	forge(other, "export GIT_INDEX_FILE=index && git read-tree main && git rm -q --cached README.md && "
		     "git update-ref refs/heads/main $(git commit-tree -p main -m mine $(git write-tree))");
	assert_bad(other, "it removes README.md");
}

static void a_log_set_back_does_not_hold_what_was_checked_before(void **state)
{
	autoptr(world) w = world_new();
	struct audit_options options = options_of(w);
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");
	g_autofree char *since = NULL;
	g_autoptr(GError) error = NULL;

	test_append(w->ledger, record);
	since = g_strdup(ledger_tip(w->ledger));
	forge(w, "git update-ref refs/heads/main main~1");
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
	append(w, s);
	assert_bad(w, words);
}

static void lose_an_approval(struct story *s)
{
	drop_file(s, "approval-2");
}

static void lose_the_tag(struct story *s)
{
	drop_file(s, "tag");
}

static void lose_the_policy(struct story *s)
{
	drop_file(s, "policy.json");
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

	drop_file(s, "tag");
	add_file(s, "tag", other);
}

static void evidence_that_is_another_object_is_bad(void **state)
{
	assert_lie(swap_the_tag, "its evidence \"tag\" is not the object that it names");
}

static void claim_another_person(struct story *s)
{
	json_set_string(at(s, "source.signature"), "person", "dave");
}

static void claim_another_commit(struct story *s)
{
	json_set_string(at(s, "source"), "commit", TREE);
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

	json_append(list, json_copy(at(s, "approvals.0")));
	json_set(s->record, "approvals", list);
	drop_file(s, "approval-2");
}

static void a_release_without_its_quorum_is_bad(void **state)
{
	assert_lie(forget_an_approval, "it passed the gate approval, and the evidence says: ");
}

static void claim_that_it_does_not_count(struct story *s)
{
	json_set_boolean(at(s, "approvals.0"), "counts", FALSE);
}

static void another_account_of_the_approvals_is_bad(void **state)
{
	assert_lie(claim_that_it_does_not_count, "its \"approvals\" say otherwise than the evidence");
}

static void swap_the_artifact(struct story *s)
{
	json_set_string(at(s, "artifacts.0"), "sha256", OTHER_DIGEST);
}

static void use_another_key(struct story *s)
{
	json_set_string(at(s, "artifacts.0.signed.signatures.0"), "key", "test");
}

static void leave_out_the_timestamp(struct story *s)
{
	json_set(at(s, "artifacts.0.signed.signatures.0"), "timestamp", NULL);
}

static void leave_out_the_scan(struct story *s)
{
	json_set_string(at(s, "artifacts.0.scan"), "verdict", "Eicar");
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

static void a_policy_that_is_not_the_commits_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	g_autoptr(GHashTable) files = sample_files();
	g_autoptr(GBytes) evidence = NULL;

	sample_set(files, "people/zoe.toml", "name = \"Zoe\"\n");
	evidence = policy_evidence_write(w->policy_root, files);
	drop_file(s, "policy.json");
	add_file(s, "policy.json", evidence);
	append(w, s);
	assert_bad(w, "does not hold the files of the policy commit");
}

static void a_policy_that_does_not_come_from_the_root_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct audit_options options = options_of(w);
	g_autofree char *other = NULL;

	append(w, s);
	other = support_must_in(
	    w->policy_repo, "sh", "-ec", "git commit -q --amend --no-edit -m another && git rev-parse HEAD", NULL);
	options.policy_root = other;
	audit(w, &options);
	assert_true(w->result.bad > 0);
	assert_contains(w->findings->str, "its policy: ");
}

/* The history in the evidence stands in for a clone of the policy repository. */
static void the_policys_history_in_the_evidence_is_enough(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct audit_options options = options_of(w);
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) history = policy_history_write(w->policy_repo, w->policy_root, w->policy_root, &error);
	g_autoptr(GBytes) again = policy_history_write(w->policy_repo, w->policy_root, w->policy_root, NULL);

	assert_ok(history != NULL, error);
	assert_true(g_bytes_equal(history, again));
	add_file(s, POLICY_HISTORY, history);
	append(w, s);
	options.policy_repo = NULL;
	audit(w, &options);
	assert_string_equal(w->findings->str, "");
	options.policy_root = "0123456789abcdef0123456789abcdef01234567";
	audit(w, &options);
	assert_contains(w->findings->str, "its policy: ");
}

/* Two policies of one root, neither of which contains the other: somebody signed both. */
static void policies_of_two_lines_are_bad(void **state)
{
	autoptr(world) w = world_new();
	struct audit_options options = options_of(w);
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
		append(w, s);
		g_free(w->policy_root);
		w->policy_root = g_strdup(kept);
	}
	audit(w, &options);
	assert_contains(w->findings->str, "the policy was forked");
	assert_null(strstr(w->findings->str, "was not in force"));
}

static void a_history_that_is_no_pack_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) s = story_new(w, 1);
	struct audit_options options = options_of(w);
	g_autoptr(GBytes) history = g_bytes_new_static("PACK\0\0\0\2\0\0\0\1broken", 18);

	add_file(s, POLICY_HISTORY, history);
	append(w, s);
	options.policy_repo = NULL;
	audit(w, &options);
	assert_int_equal(w->result.bad, 1);
	assert_contains(w->findings->str, "is no good pack");
}

static void the_same_release_signed_twice_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(story) one = story_new(w, 1);
	autoptr(story) two = story_new(w, 2);

	append(w, one);
	/* the very tag object again; an Ed25519 signature is the same every time */
	append(w, two);
	assert_bad(w, "the release was signed before");
}

static void a_use_that_is_missing_is_unknown_and_one_twice_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(world) twice = world_new();
	autoptr(story) s = story_new(w, 3);
	autoptr(story) t = story_new(twice, 1);
	struct json *extra = json_object_new();
	autoptr(json) event = NULL;
	struct audit_options options = options_of(w);

	append(w, s);
	audit(w, &options);
	assert_int_equal(w->result.bad, 0);
	assert_contains(w->findings->str, "unknown: uses 1 to 2 of the key release-2026 stand in no record");
	json_set_string(extra, "key", "release-2026");
	json_set_integer(extra, "use", 1);
	event = record_event_new("void", NULL, extra);
	append(twice, t);
	test_append(twice->ledger, event);
	assert_bad(twice, "use 1 of the key release-2026 stands in two places");
}

static void an_event_about_no_record_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) event = record_event_new("published", OTHER_DIGEST, NULL);

	test_append(w->ledger, event);
	assert_bad(w, "names a record that stands nowhere");
}

/* ---- commits that a holder of the ledger's key makes by hand ---- */

/* Puts one file at `path` in place of the newest record's, and commits with the real key. */
static void commit_by_hand(struct world *w, const char *path, const char *text, const char *message)
{
	g_autofree char *script = NULL, *payload = NULL, *body = NULL, *out = NULL, *file = support_path("payload");
	g_autofree char *armor_text = NULL, *whole = NULL;
	g_autoptr(GBytes) bytes = NULL, armor = NULL;
	g_auto(GStrv) lines = NULL, parts = NULL;

	g_clear_pointer(&w->ledger, ledger_free);
	support_write(file, text);
	script = g_strdup_printf("export GIT_INDEX_FILE=index; git read-tree main; git update-index --add --cacheinfo "
				 "100644,$(git hash-object -w '%s'),'%s'; git cat-file commit $(git commit-tree -p "
				 "main -m '%s' $(git write-tree)); echo .",
	    file, path, message);
	out = support_must_in(w->path, "sh", "-ec", script, NULL);
	payload = g_strndup(out, strlen(out) - 1);
	bytes = g_bytes_new(payload, strlen(payload));
	armor = test_key_sign(w->key, bytes, NULL);
	armor_text = g_strndup(g_bytes_get_data(armor, NULL), g_bytes_get_size(armor));
	lines = g_strsplit(armor_text, "\n", -1);
	body = g_strjoinv("\n ", lines);
	parts = g_strsplit(payload, "\n\n", 2);
	whole = g_strdup_printf("%s\ngpgsig %s\n\n%s", parts[0], body, parts[1]);
	support_write(file, whole);
	g_free(script);
	g_free(out);
	script = g_strdup_printf("git update-ref refs/heads/main $(git hash-object -t commit -w '%s')", file);
	out = support_must_in(w->path, "sh", "-ec", script, NULL);
}

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
	commit_by_hand(w, path, text, message);
	assert_bad(w, "the number before it is 0");
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
	commit_by_hand(w, path, text, "Forged");
	assert_bad(w, "bad: record 1: ");
}

static void another_previous_number_or_id_is_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(json) record = test_record("acme/widget", "v1", "rejected");
	g_autofree char *text = NULL;

	json_set_integer(record, "sequence", 7);
	json_set_string(record, "previous", OTHER_DIGEST);
	text = json_text(record);
	commit_by_hand(w, "records/00/00/01-01JDZX5K3N8Q4W7R2T6Y9A0BCD.json", text, "Forged");
	assert_bad(w, "its \"previous\" is " OTHER_DIGEST);
	assert_contains(w->findings->str, "it says that its number is 7");
	assert_contains(w->findings->str, "it stands under another id");
	assert_contains(w->findings->str, "the message of its commit does not name it");
}

static void evidence_of_nobody_and_files_elsewhere_are_bad(void **state)
{
	autoptr(world) w = world_new();
	autoptr(world) other = world_new();

	commit_by_hand(w, "evidence/00/00/01/tag", "x", "Forged");
	assert_bad(w, "evidence/00/00/01/tag belongs to no record of this commit");
	commit_by_hand(other, "notes.txt", "x", "Forged");
	assert_bad(other, "it adds notes.txt");
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
	forge(w, "git update-ref refs/heads/main $(git commit-tree -p main -m mine main^{tree})");
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
		cmocka_unit_test(a_policy_that_is_not_the_commits_is_bad),
		cmocka_unit_test(a_policy_that_does_not_come_from_the_root_is_bad),
		cmocka_unit_test(the_policys_history_in_the_evidence_is_enough),
		cmocka_unit_test(policies_of_two_lines_are_bad),
		cmocka_unit_test(a_history_that_is_no_pack_is_bad),
		cmocka_unit_test(the_same_release_signed_twice_is_bad),
		cmocka_unit_test(a_use_that_is_missing_is_unknown_and_one_twice_is_bad),
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
