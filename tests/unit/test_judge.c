/*
 * judge decides on its own: the test plays engine, scan, seal and sign. One good release is signed; then each check has its forged twin, with the words of
 * the refusal, and no key is used.
 */
#include "tests/unit/support_builder.h"
#include "tests/unit/support_judge.h"
#include "tests/unit/support_pki.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gitops/object.h"
#include "server/reply.h"
#include "signer/timestamp.h"

/* ---- the good release ---- */

static gboolean signature_verifies(const struct message *answer, const char *format, GBytes *blob, int64_t time)
{
	g_autoptr(GError) error = NULL;
	const struct format_parameters p = { .hash = "sha256", .certificates = court_chain, .time_ms = time };
	struct format_digest digest = { NULL };
	g_autoptr(GBytes) signature = message_bytes(answer, "signature", 4096, &error), to_be_signed = NULL;
	autofd int fd = memfd_from_bytes("blob", blob, &error);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	gboolean good;

	assert_ok(format_named(format)->digest(fd, &p, &digest, &error), error);
	to_be_signed = format_named(format)->to_be_signed(&digest, &p, &error);
	good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pki.p256.key) == 1 &&
	       EVP_DigestVerify(ctx, g_bytes_get_data(signature, NULL), g_bytes_get_size(signature),
		   g_bytes_get_data(to_be_signed, NULL), g_bytes_get_size(to_be_signed)) == 1;
	EVP_MD_CTX_free(ctx);
	g_free(digest.hash);
	return good;
}

static void a_release_that_is_approved_scanned_and_pinned_is_signed(void **state)
{
	autoptr(court) s = court_approved();
	autoptr(message) answer = NULL;

	all_is_well(s);
	answer = court_judged(s, court_request(s));
	assert_outcome(answer, "ok", NULL);
	assert_true(signature_verifies(answer, "authenticode", court_image, s->now));
	assert_int_equal(json_integer(json_get(answer->body, "use"), "number", 0), 42);
	assert_string_equal(json_string(json_get(answer->body, "use"), "token"), "main");
	assert_string_equal(json_string(json_get(answer->body, "use"), "key"), "release-2026");
	assert_true(is_sha256_text(json_string(json_get(answer->body, "use"), "digest")));
}

static void the_digest_of_a_linear_format_is_computed_by_judge_itself(void **state)
{
	autoptr(court) s = court_approved();
	struct message *request = court_request(s);
	autoptr(message) answer = NULL;

	scan_says(s, court_image, "clean", s->now);
	json_set_string(request->body, "format", "cms");
	answer = court_judged(s, request);
	assert_outcome(answer, "ok", NULL);
	assert_true(signature_verifies(answer, "cms", court_image, s->now));
}

/* ---- provenance ---- */

#define WIDGET "https://git.example.org/acme/widget.git"
#define OTHER_COMMIT "1111111111111111111111111111111111111111"

/* The release rule asks for provenance; the people approve the tag, and pin nothing. */
static struct court *court_with_provenance(void)
{
	policy_files *files = court_policy();
	struct court *s;

	sample_pin_by_provenance(files);
	s = court_with(files);
	for (guint i = 0; i < 2; i++) {
		g_autofree char *trailers =
		    g_strdup_printf("Tagseal-Approve: v1.2.0\nTagseal-Tag: %s\nTagseal-Project: acme/widget\n"
				    "Tagseal-Policy: release\n",
			s->tag_object);
		g_free(court_commit(s, i == 0 ? "bob" : "carol", trailers));
	}
	return s;
}

/* What engine presents; takes the file over. */
static struct message *judged_with(struct court *s, GBytes *provenance, int64_t first_seen)
{
	struct message *request = court_request(s);

	if (provenance != NULL) {
		test_add(request, "provenance", provenance);
		json_set_integer(request->body, "provenance_first_seen", first_seen);
		g_bytes_unref(provenance);
	}
	return court_judged(s, request);
}

static void what_provenance_vouches_for_is_signed(void **state)
{
	autoptr(court) s = court_with_provenance();
	g_autofree char *digest = sha256_text_bytes(court_image);
	autoptr(message) answer = NULL;

	all_is_well(s);
	answer = judged_with(s, sample_provenance(WIDGET, COMMIT, "widget-1.2.0.exe", digest), s->now);
	assert_outcome(answer, "ok", NULL);
	assert_true(signature_verifies(answer, "authenticode", court_image, s->now));
}

/* An engine that was taken over presents another artifact beside the true provenance. */
static void an_artifact_that_provenance_does_not_name_is_refused(void **state)
{
	autoptr(court) s = court_with_provenance();
	g_autoptr(GBytes) swapped = pki_flip(court_image, g_bytes_get_size(court_image) - 1);
	g_autofree char *digest = sha256_text_bytes(court_image);
	autoptr(message) answer = NULL;

	g_bytes_unref(s->blob);
	s->blob = g_bytes_ref(swapped);
	scan_says(s, swapped, "clean", s->now);
	answer = judged_with(s, sample_provenance(WIDGET, COMMIT, "widget-1.2.0.exe", digest), s->now);
	assert_outcome(answer, "refused",
	    "the statement's subject \"widget-1.2.0.exe\" has another digest than this file's sha256:");
	assert_int_equal(s->uses, 0);
}

static void assert_judged_with(struct court *s, GBytes *provenance, int64_t first_seen, const char *words)
{
	autoptr(message) answer = judged_with(s, provenance, first_seen);

	assert_outcome(answer, "refused", words);
	assert_int_equal(s->uses, 0);
}

static void provenance_of_something_else_is_refused(void **state)
{
	autoptr(court) s = court_with_provenance();
	g_autofree char *digest = sha256_text_bytes(court_image);
	g_autoptr(GBytes) good = sample_provenance(WIDGET, COMMIT, "widget-1.2.0.exe", digest);

	all_is_well(s);
	assert_judged_with(s, sample_provenance(WIDGET, OTHER_COMMIT, "widget-1.2.0.exe", digest), s->now,
	    "is the source at commit " OTHER_COMMIT ", and not at " COMMIT);
	assert_judged_with(s, sample_provenance("https://git.example.org/x.git", COMMIT, "widget-1.2.0.exe", digest),
	    s->now, "and not the source " WIDGET);
	assert_judged_with(s, NULL, 0, "wants provenance to vouch for widget-1.2.0.exe, and none was shown that does");
	assert_judged_with(s, g_bytes_ref(good), s->now + 6 * MINUTE, "the provenance was first seen in the future");
	assert_judged_with(
	    s, pki_flip(good, pki_find(good, "\"sig\":\"ME", 9) + 30), s->now, "the provenance does not vouch");
}

/* ---- the request itself ---- */

static void a_request_that_is_not_of_its_form_is_refused(void **state)
{
	const struct member members[] = {
		{ "id", json_string_new("somebody"), "not of its form" },
		{ "tag_object", json_string_new("v1.2.0"), "not of its form" },
		{ "format", json_string_new("wax"), "no such signature format" },
		{ "hash", json_string_new("sha1"), "none of sha256, sha384, sha512" },
		{ "description", json_string_new("two\nlines"), "is not one line" },
		{ "tag", json_null_new(), "\"tag\"" },
		{ NULL, NULL, NULL },
	};

	assert_members(members);
}

static void a_time_that_is_not_now_is_refused(void **state)
{
	int64_t now = time_now_ms();
	const struct member members[] = {
		{ "time", json_integer_new(now - 6 * MINUTE), "more than 5 minutes away from this server's clock" },
		{ "time", json_integer_new(now + 6 * MINUTE), "more than 5 minutes away from this server's clock" },
		{ "now", json_integer_new(now - 6 * MINUTE), "more than 5 minutes away from this server's clock" },
		{ "tag_first_seen", json_integer_new(now + 6 * MINUTE), "first seen in the future" },
		{ NULL, NULL, NULL },
	};

	assert_members(members);
}

static void what_the_rule_does_not_name_is_refused(void **state)
{
	const struct member members[] = {
		{ "key", json_string_new("test"), "signs with the key \"release-2026\", not with \"test\"" },
		{ "format", json_string_new("openpgp"), "does not have widget-1.2.0.exe signed as openpgp" },
		{ "artifact", json_string_new("other.exe"), "has no artifact \"other.exe\"" },
		{ "project", json_string_new("acme/other"), "knows no project \"acme/other\"" },
		{ NULL, NULL, NULL },
	};

	assert_members(members);
}

/* ---- tag and approvals ---- */

static void the_tag_must_be_the_object_that_the_release_names(void **state)
{
	autoptr(court) s = court_approved();
	struct message *request = NULL;
	autoptr(message) answer = NULL;

	all_is_well(s);
	g_bytes_unref(s->tag);
	s->tag = court_tag("alice", "v1.2.1");
	request = court_request(s);
	answer = court_judged(s, request);
	assert_outcome(answer, "refused", "are not the tag object that the release names");
}

static void another_name_inside_the_tag_is_refused(void **state)
{
	autoptr(court) s = court_with(NULL);

	court_set_tag(s, court_tag("alice", "v1.2.1"));
	g_free(court_approves(s, "bob", "Approve", court_image));
	g_free(court_approves(s, "carol", "Approve", court_image));
	all_is_well(s);
	assert_judged(s, "refused", "is named \"v1.2.1\" inside");
}

static void a_strangers_tag_is_refused(void **state)
{
	autoptr(court) s = court_with(NULL);

	court_set_tag(s, court_tag("mallory", "v1.2.0"));
	g_free(court_approves(s, "bob", "Approve", court_image));
	g_free(court_approves(s, "carol", "Approve", court_image));
	all_is_well(s);
	assert_judged(s, "refused", "tag object");
}

static void a_quorum_that_is_not_met_is_refused(void **state)
{
	autoptr(court) s = court_with(NULL);

	g_free(court_approves(s, "bob", "Approve", court_image));
	g_free(court_approves(s, "bob", "Approve", court_image));
	g_free(court_approves(s, "mallory", "Approve", court_image));
	all_is_well(s);
	assert_judged(s, "refused", "not approved: ");
}

static void a_denial_in_the_evidence_ends_it(void **state)
{
	autoptr(court) s = court_approved();

	g_free(court_approves(s, "carol", "Deny", court_image));
	all_is_well(s);
	assert_judged(s, "refused", "not approved: denied by carol");
}

static void a_withdrawn_approval_does_not_count(void **state)
{
	autoptr(court) s = court_with(NULL);
	g_autofree char *approval = court_approves(s, "bob", "Approve", court_image), *trailers = NULL;

	g_free(court_approves(s, "carol", "Approve", court_image));
	trailers = g_strdup_printf("Tagseal-Withdraw: %s\n", approval);
	g_free(court_commit(s, "bob", trailers));
	all_is_well(s);
	assert_judged(s, "refused", "not approved: ");
}

static void approvals_of_another_tag_object_do_not_count(void **state)
{
	autoptr(court) s = court_approved();

	g_bytes_unref(s->tag);
	s->tag = sample_sign_tag(
	    "object " COMMIT
	    "\ntype commit\ntag v1.2.0\ntagger Somebody <alice@example.org> 1767225601 +0000\n\nMoved\n",
	    "alice");
	g_free(s->tag_object);
	s->tag_object = object_id(s->tag, "tag", NULL);
	all_is_well(s);
	assert_judged(s, "refused", "not approved: ");
}

/* ---- the policy ---- */

static char *key_of(const char *person)
{
	g_autofree char *key = sample_ssh_key(person);
	g_autofree char *line = support_must("ssh-keygen", "-lf", key, NULL);
	g_auto(GStrv) words = g_strsplit(line, " ", 3);

	return g_strdup(words[1]);
}

/* engine may still hold what was decided before; judge goes by the newest policy, and by nothing older ever after. */
static void a_revocation_of_the_newest_policy_counts(void **state)
{
	autoptr(court) s = court_approve(court_with(court_policy()));
	policy_files *files = court_policy();
	g_autofree char *key = key_of("bob"),
			*revoked = g_strdup_printf("\n[[revoked]]\nkey = \"%s\"\nwhy = \"laptop lost\"\n", key);
	g_autofree char *ssh = sample_ssh_key("bob"), *back = NULL;

	all_is_well(s);
	sample_replace(files, "people/bob.toml", "groups", "# groups\ngroups");
	{
		GBytes *old = g_hash_table_lookup(files, "people/bob.toml");
		g_autofree char *before = g_strndup(g_bytes_get_data(old, NULL), g_bytes_get_size(old));
		g_autofree char *after = g_strconcat(before, revoked, NULL);
		sample_set(files, "people/bob.toml", after);
	}
	g_free(court_publish(s, files));
	assert_judged(s, "refused", "not approved: ");

	/* The branch set back to the policy that had not revoked the key. */
	back = g_strdup_printf("push -q --force '%s/mirrors/policy.git' %s:main", s->state, s->root);
	g_free(court_git(s, back));
	assert_judged(s, "refused", NULL);
	assert_int_equal(test_role_stop(s->judge), 0);
	court_start(s);
	all_is_well(s);
	assert_judged(s, "refused", NULL);
}

static void a_lost_high_water_mark_is_not_taken_for_a_new_start(void **state)
{
	autoptr(court) s = court_approve(court_with(court_policy()));
	g_autofree char *mark = g_strdup_printf("%s/judge/policy.mark", s->state);

	support_write(mark, "garbage\n");
	all_is_well(s);
	assert_judged(s, "failed", "nothing is decided without it");
}

static void a_policy_that_is_not_there_yet_is_waited_for(void **state)
{
	autoptr(court) s = court_approve(court_with(court_policy()));
	g_autofree char *gone = g_strdup_printf("%s/mirrors/policy.git", s->state),
			*aside = g_strconcat(gone, ".aside", NULL);

	g_free(support_must("mv", gone, aside, NULL));
	assert_judged(s, "unavailable", "no mirror there yet");
}

/* ---- blob, certificates, scan, digest ---- */

static void a_blob_that_nobody_pinned_is_refused(void **state)
{
	autoptr(court) s = court_approved();

	g_bytes_unref(s->blob);
	s->blob = pki_flip(court_image, 0x420);
	scan_says(s, s->blob, "clean", s->now);
	seal_says(s, s->blob, FALSE);
	assert_judged(s, "refused", "and the approval pins sha256:");
}

static void a_blob_other_than_the_one_named_is_refused(void **state)
{
	g_autofree char *digest = sha256_text_bytes(court_text);
	const struct member members[] = {
		{ "blob", json_string_new(digest), "the blob that was handed over is sha256:" },
		{ NULL, NULL, NULL },
	};

	assert_members(members);
}

static void certificates_that_are_not_the_policys_are_refused(void **state)
{
	autoptr(court) s = court_approved();

	g_bytes_unref(s->certificates);
	s->certificates = g_bytes_ref(court_other_chain);
	all_is_well(s);
	assert_judged(s, "refused", "are not the policy's keys/release.pem");
}

static void a_blob_without_a_verdict_is_to_be_scanned_again(void **state)
{
	autoptr(court) s = court_approved();

	scan_says(s, court_text, "clean", s->now);
	seal_says(s, court_image, FALSE);
	assert_judged(s, "unavailable", "must be scanned again");
}

static void an_infected_blob_is_refused_also_after_a_clean_verdict(void **state)
{
	autoptr(court) s = court_approved();

	all_is_well(s);
	scan_says(s, court_image, "infected", s->now);
	assert_judged(s, "refused", "was not found clean: infected");
}

static void a_verdict_by_old_databases_is_refused(void **state)
{
	autoptr(court) s = court_approved();

	seal_says(s, court_image, FALSE);
	scan_says(s, court_image, "clean", s->now - 3 * 24 * 60 * MINUTE);
	assert_judged(s, "refused", "requires newer malware databases");
}

static void a_digest_that_seal_did_not_tell_is_to_be_made_again(void **state)
{
	autoptr(court) s = court_approved();
	g_autoptr(GBytes) other = pki_flip(court_image, 0x420);

	scan_says(s, court_image, "clean", s->now);
	seal_says(s, other, FALSE);
	assert_judged(s, "unavailable", "it must be made again");
}

static void a_file_that_is_signed_already_is_refused(void **state)
{
	autoptr(court) s = court_approved();

	scan_says(s, court_image, "clean", s->now);
	seal_says(s, court_image, TRUE);
	assert_judged(s, "refused", "bears a signature already");
}

/* A worker that was taken over by one artifact speaks of another: the honest one that was asked as well gives it away, whoever comes first. */
static void digests_that_contradict_each_other_are_not_believed(void **state)
{
	autoptr(court) s = court_approved();

	all_is_well(s);
	seal_says(s, court_image, FALSE);
	seal_says(s, court_image, TRUE);
	seal_says(s, court_image, FALSE);
	assert_judged(s, "refused", "told different digests of widget-1.2.0.exe");
}

/* ---- a descriptor that engine can still write to ---- */

static void G_GNUC_NORETURN swap_for_ever(int fd, GBytes *good, GBytes *bad)
{
	gsize size = g_bytes_get_size(good);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		if (pwrite(fd, g_bytes_get_data(bad, NULL), size, 0) != (ssize_t)size ||
		    pwrite(fd, g_bytes_get_data(good, NULL), size, 0) != (ssize_t)size)
			_exit(1);
}

/* The request with a blob that is not sealed, and the process that goes on changing it. */
static struct message *request_over(const struct court *s, int fd, const char *format)
{
	struct message *request = court_request(s);
	struct message_file *blob = (struct message_file *)message_find(request, "blob");

	json_set_string(request->body, "format", format);
	close(blob->fd);
	blob->fd = dup(fd);
	return request;
}

static void what_changes_while_judge_reads_is_never_signed(void **state)
{
	autoptr(court) s = court_approved();
	g_autoptr(GBytes) bad = pki_flip(court_image, 0x420);
	autofd int fd = memfd_create("blob", MFD_CLOEXEC);
	pid_t swapper;

	assert_int_equal(write(fd, g_bytes_get_data(court_image, NULL), g_bytes_get_size(court_image)),
	    g_bytes_get_size(court_image));
	scan_says(s, court_image, "clean", s->now);
	swapper = fork();
	if (swapper == 0)
		swap_for_ever(fd, court_image, bad);
	for (guint i = 0; i < 60; i++) {
		autoptr(message) answer = court_judged(s, request_over(s, fd, "cms"));

		if (message_find(answer, "signature") != NULL)
			assert_true(signature_verifies(answer, "cms", court_image, s->now));
		else
			assert_outcome(answer, "refused", "the blob that was handed over is sha256:");
	}
	kill(swapper, SIGKILL);
	waitpid(swapper, NULL, 0);
}

static void a_blob_that_is_no_file_is_not_read(void **state)
{
	autoptr(court) s = court_approved();
	autoptr(message) answer = NULL;
	int ends[2];

	scan_says(s, court_image, "clean", s->now);
	assert_int_equal(pipe(ends), 0);
	answer = court_judged(s, request_over(s, ends[0], "cms"));
	assert_outcome(answer, "unknown", "not a regular file");
	assert_int_equal(s->uses, 0);
	close(ends[0]);
	close(ends[1]);
}

/* ---- the key ---- */

static void a_software_token_must_be_named(void **state)
{
	policy_files *files = court_policy();
	autoptr(court) s = NULL;

	sample_replace(files, SAMPLE_KEY, "\"SoftHSM*\"", "\"*\"");
	s = court_with(files);
	g_free(court_approves(s, "bob", "Approve", court_image));
	g_free(court_approves(s, "carol", "Approve", court_image));
	all_is_well(s);
	assert_judged(s, "refused", "of the model \"SoftHSM v2\" (software)");
}

static void a_token_of_another_model_is_refused(void **state)
{
	autoptr(court) s = court_approved();

	s->model = "Luna K7";
	s->software = FALSE;
	all_is_well(s);
	assert_judged(s, "refused", "of the model \"Luna K7\"");
}

static void a_weak_key_signs_no_release(void **state)
{
	autoptr(court) s = court_approved();

	s->weakness = "it can be extracted from the token";
	all_is_well(s);
	assert_judged(s, "refused", "may not sign releases: it can be extracted");
}

static void a_key_stops_at_its_budget(void **state)
{
	autoptr(court) s = court_approved();

	s->last_use = 5000;
	all_is_well(s);
	assert_judged(s, "refused", "has been used 5000 times, its whole budget");
}

/* The certificate begins yesterday. */
static void a_key_stops_after_its_days(void **state)
{
	policy_files *files = court_policy();
	autoptr(court) s = NULL;

	sample_replace(files, SAMPLE_KEY, "days = 460", "days = 1");
	s = court_approve(court_with(files));
	all_is_well(s);
	assert_judged(s, "refused", "is 1 days old (its certificate begins at ");
}

static void a_token_that_is_away_is_waited_for(void **state)
{
	autoptr(court) s = court_approved();

	s->away = TRUE;
	all_is_well(s);
	assert_judged(s, "unavailable", "the token is away");
}

static void a_signature_by_another_key_is_thrown_away_and_its_use_is_told(void **state)
{
	autoptr(court) s = court_approved();
	autoptr(message) answer = NULL;

	s->signs_with = pki.rsa.key;
	all_is_well(s);
	answer = court_judged(s, court_request(s));
	assert_outcome(answer, "failed", "does not verify with the certificate's key");
	assert_null(message_find(answer, "signature"));
	assert_int_equal(json_integer(json_get(answer->body, "use"), "number", 0), 42);
}

static void the_uses_for_a_release_are_told_by_the_keys_own_journal(void **state)
{
	autoptr(court) s = court_approved();
	struct message *request = message_new(MSG_RECKON, 0);
	autoptr(message) answer = NULL;
	const struct json *use;

	json_set_string(request->body, "id", ID);
	json_set_string(request->body, "key", "release-2026");
	answer = court_judged(s, request);
	assert_outcome(answer, "ok", NULL);
	use = json_path(answer->body, "uses.0");
	assert_int_equal(json_integer(use, "number", 0), 41);
	assert_string_equal(json_string(use, "token"), "main");
	assert_int_equal(s->uses, 0);
}

static void the_uses_of_a_key_that_no_policy_has_are_not_told(void **state)
{
	autoptr(court) s = court_approved();
	struct message *request = message_new(MSG_RECKON, 0);
	autoptr(message) answer = NULL;

	json_set_string(request->body, "id", ID);
	json_set_string(request->body, "key", "tagseal-ledger");
	answer = court_judged(s, request);
	assert_outcome(answer, "refused", "the policy in force has no key \"tagseal-ledger\"");
}

static void what_a_token_said_is_forgotten_when_its_process_starts_anew(void **state)
{
	autoptr(court) s = court_approved();
	autoptr(message) hello = message_new(MSG_HELLO, 0);

	all_is_well(s);
	s->weakness = "it can be extracted from the token";
	assert_judged(s, "refused", NULL);
	assert_judged(s, "refused", NULL);
	assert_int_equal(s->keys_asked, 1);
	s->weakness = NULL;
	test_role_tell(s->judge, ROLE_SIGN, hello);
	message_free(court_judged(s, court_request(s)));
	assert_int_equal(s->keys_asked, 2);
	assert_int_equal(s->uses, 1);
}

/* ---- timestamps ---- */

static struct message *stamp(
    struct court *s, GBytes *signature, GBytes *query, GBytes *response, int64_t sent, int64_t received)
{
	struct message *m = message_new(MSG_JUDGE_STAMP, 0);
	struct message *answer;

	json_set_integer(m->body, "authority", 0);
	json_set_integer(m->body, "sent", sent);
	json_set_integer(m->body, "received", received);
	test_add(m, "signature", signature);
	test_add(m, "query", query);
	test_add(m, "response", response);
	answer = court_judged(s, m);
	assert_int_equal(answer->kind, MSG_STAMP_JUDGED);
	return answer;
}

static void a_timestamp_counts_over_this_signature_alone(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(court) s = court_approved();
	g_autoptr(GBytes) query = timestamp_query(court_text, &error), response = pki_stamp(&pki.stamper, query, 0);
	autoptr(message) good = stamp(s, court_text, query, response, s->now, time_now_ms());
	autoptr(message) other = stamp(s, court_chain, query, response, s->now, time_now_ms());

	assert_outcome(good, "ok", NULL);
	assert_non_null(message_find(good, "token"));
	assert_non_null(json_string(json_get(good->body, "facts"), "serial"));
	assert_outcome(other, "refused", NULL);
	assert_null(message_find(other, "token"));
}

static void a_timestamp_by_another_authority_is_refused(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(court) s = court_approved();
	g_autoptr(GBytes) query = timestamp_query(court_text, &error), response = pki_stamp(&pki.lax_stamper, query, 0);
	autoptr(message) lax = stamp(s, court_text, query, response, s->now, time_now_ms());

	assert_outcome(lax, "refused", NULL);
}

static void a_window_that_cannot_be_is_refused(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(court) s = court_approved();
	g_autoptr(GBytes) query = timestamp_query(court_text, &error), response = pki_stamp(&pki.stamper, query, 0);
	autoptr(message) wide = stamp(s, court_text, query, response, 0, s->now);
	autoptr(message) late = stamp(s, court_text, query, response, s->now, s->now + 60 * MINUTE);

	assert_outcome(wide, "refused", "are not possible");
	assert_outcome(late, "refused", "are not possible");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_release_that_is_approved_scanned_and_pinned_is_signed),
		cmocka_unit_test(the_digest_of_a_linear_format_is_computed_by_judge_itself),
		cmocka_unit_test(what_provenance_vouches_for_is_signed),
		cmocka_unit_test(an_artifact_that_provenance_does_not_name_is_refused),
		cmocka_unit_test(provenance_of_something_else_is_refused),
		cmocka_unit_test(a_request_that_is_not_of_its_form_is_refused),
		cmocka_unit_test(a_time_that_is_not_now_is_refused),
		cmocka_unit_test(what_the_rule_does_not_name_is_refused),
		cmocka_unit_test(the_tag_must_be_the_object_that_the_release_names),
		cmocka_unit_test(another_name_inside_the_tag_is_refused),
		cmocka_unit_test(a_strangers_tag_is_refused),
		cmocka_unit_test(a_quorum_that_is_not_met_is_refused),
		cmocka_unit_test(a_denial_in_the_evidence_ends_it),
		cmocka_unit_test(a_withdrawn_approval_does_not_count),
		cmocka_unit_test(approvals_of_another_tag_object_do_not_count),
		cmocka_unit_test(a_revocation_of_the_newest_policy_counts),
		cmocka_unit_test(a_lost_high_water_mark_is_not_taken_for_a_new_start),
		cmocka_unit_test(a_policy_that_is_not_there_yet_is_waited_for),
		cmocka_unit_test(a_blob_that_nobody_pinned_is_refused),
		cmocka_unit_test(a_blob_other_than_the_one_named_is_refused),
		cmocka_unit_test(certificates_that_are_not_the_policys_are_refused),
		cmocka_unit_test(a_blob_without_a_verdict_is_to_be_scanned_again),
		cmocka_unit_test(an_infected_blob_is_refused_also_after_a_clean_verdict),
		cmocka_unit_test(a_verdict_by_old_databases_is_refused),
		cmocka_unit_test(a_digest_that_seal_did_not_tell_is_to_be_made_again),
		cmocka_unit_test(a_file_that_is_signed_already_is_refused),
		cmocka_unit_test(digests_that_contradict_each_other_are_not_believed),
		cmocka_unit_test(what_changes_while_judge_reads_is_never_signed),
		cmocka_unit_test(a_blob_that_is_no_file_is_not_read),
		cmocka_unit_test(a_software_token_must_be_named),
		cmocka_unit_test(a_token_of_another_model_is_refused),
		cmocka_unit_test(a_weak_key_signs_no_release),
		cmocka_unit_test(a_key_stops_at_its_budget),
		cmocka_unit_test(a_key_stops_after_its_days),
		cmocka_unit_test(a_token_that_is_away_is_waited_for),
		cmocka_unit_test(a_signature_by_another_key_is_thrown_away_and_its_use_is_told),
		cmocka_unit_test(the_uses_for_a_release_are_told_by_the_keys_own_journal),
		cmocka_unit_test(the_uses_of_a_key_that_no_policy_has_are_not_told),
		cmocka_unit_test(what_a_token_said_is_forgotten_when_its_process_starts_anew),
		cmocka_unit_test(a_timestamp_counts_over_this_signature_alone),
		cmocka_unit_test(a_timestamp_by_another_authority_is_refused),
		cmocka_unit_test(a_window_that_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, court_begin, court_end);
}
