/*
 * judge decides on its own: the test plays engine, scan, seal and sign. One good release is signed; then each check has its forged twin, with the words of
 * the refusal, and no key is used.
 */
#include "tests/unit/support_builder.h"
#include "tests/unit/support_pki.h"
#include "tests/unit/support_policy.h"
#include "tests/unit/support_role.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gitops/object.h"
#include "server/reply.h"
#include "signer/timestamp.h"

#define COMMIT "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"
#define ID "01JDZX00000000000000000000"
#define MINUTE (INT64_C(60) * 1000)

static const struct peer wires[] = { { .role = ROLE_SCAN }, { .role = ROLE_SEAL }, { .role = ROLE_SIGN },
	{ .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };

static GBytes *image, *text, *chain, *other_chain;
static char *stamp_roots;

static int begin(void **state)
{
	g_autofree char *path = NULL;
	g_autoptr(GBytes) roots = NULL;

	pki_begin(state);
	path = pki_image("image.exe", "x86_64", "");
	image = support_read_bytes(path);
	text = g_bytes_new_static("hello\n", 6);
	chain = pki_pem(pki.p256.certificate, pki.root.certificate, NULL);
	other_chain = pki_pem(pki.rsa.certificate, pki.root.certificate, NULL);
	roots = pki_pem(pki.stamp_root.certificate, NULL);
	stamp_roots = pki_file("stamp-roots.pem", roots);
	return 0;
}

static int end(void **state)
{
	g_bytes_unref(image);
	g_bytes_unref(text);
	g_bytes_unref(chain);
	g_bytes_unref(other_chain);
	g_free(stamp_roots);
	return pki_end(state);
}

/* ---- a policy repository, its mirror, and a judge that follows it ---- */

struct scene {
	char *state, *repository, *root;
	struct config *config;
	struct test_role *judge;
	GBytes *tag, *blob, *certificates;
	char *tag_object;
	GPtrArray *approvals; /* GBytes of commits */
	int64_t now, tag_first_seen;
	/* what the sign process would answer */
	const char *model, *weakness;
	gboolean software, away;
	int64_t last_use, keys_asked, uses;
	EVP_PKEY *signs_with;
};

static char *git(const struct scene *s, const char *arguments)
{
	g_autofree char *key = sample_ssh_key("alice");
	g_autofree char *line =
	    g_strdup_printf("git -C '%s' -c gpg.format=ssh -c user.signingkey='%s' -c user.name=Alice "
			    "-c user.email=alice@example.org %s",
		s->repository, key, arguments);

	return support_must("sh", "-c", line, NULL);
}

/* The files as the next commit, signed by alice, and in the mirror. Takes the files over. */
static char *publish(struct scene *s, policy_files *files)
{
	g_autofree char *mirror = g_strdup_printf("push -q --force '%s/mirrors/policy.git' HEAD:main", s->state);
	GHashTableIter iter;
	gpointer path, bytes;

	g_hash_table_iter_init(&iter, files);
	while (g_hash_table_iter_next(&iter, &path, &bytes)) {
		g_autofree char *full = g_build_filename(s->repository, path, NULL), *folder = g_path_get_dirname(full);
		gsize size;
		const void *data = g_bytes_get_data(bytes, &size);

		assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
		support_write_bytes(full, data, size);
	}
	g_hash_table_unref(files);
	g_free(git(s, "add -A"));
	g_free(git(s, "commit -q -S -m policy"));
	g_free(git(s, mirror));
	return git(s, "rev-parse HEAD");
}

/* One artifact, a PE file, signed as authenticode or cms with a key that may be on a software token. */
static policy_files *policy_of_ours(void)
{
	policy_files *files = sample_files();
	g_autofree char *pem = g_strndup(g_bytes_get_data(chain, NULL), g_bytes_get_size(chain));

	sample_set(files, SAMPLE_POLICY, "maintainers = [\"alice\"]\nthreshold = 1\n");
	sample_replace(files, SAMPLE_PROJECT, "\"widget-{version}.zip\"", "\"widget-{version}.exe\"");
	sample_replace(files, SAMPLE_PROJECT, "type = \"zip\"\nsign = \"openpgp\"",
	    "type = \"pe\"\nsign = [\"authenticode\", \"cms\"]");
	sample_set(files, "keys/release.pem", pem);
	return files;
}

static GBytes *tag_by(const char *person, const char *name)
{
	g_autofree char *payload = g_strdup_printf(
	    "object " COMMIT "\ntype commit\ntag %s\ntagger Somebody <%s@example.org> 1767225600 +0000\n\nRelease\n",
	    name, person);

	return sample_sign_tag(payload, person);
}

static char *commit_says(struct scene *s, const char *person, const char *trailers)
{
	g_autofree char *payload =
	    g_strdup_printf("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
			    "author Somebody <%s@example.org> 1767225600 +0000\n"
			    "committer Somebody <%s@example.org> 1767225600 +0000\n\nWords\n\n%s",
		person, person, trailers);
	GBytes *raw = sample_sign_commit(payload, person);

	g_ptr_array_add(s->approvals, raw);
	return object_id(raw, "commit", NULL);
}

static char *approves(struct scene *s, const char *person, const char *word, GBytes *blob)
{
	g_autofree char *digest = sha256_text_bytes(blob);
	g_autofree char *trailers =
	    g_strdup_printf("Tagseal-%s: v1.2.0\nTagseal-Tag: %s\nTagseal-Project: acme/widget\n"
			    "Tagseal-Policy: release\nTagseal-Artifact: %s widget-1.2.0.exe\n",
		word, s->tag_object, digest);

	return commit_says(s, person, trailers);
}

static void start_judge(struct scene *s)
{
	s->judge = test_role_start(role_judge, ROLE_JUDGE, 0, s->config, wires);
}

static void set_tag(struct scene *s, GBytes *tag)
{
	g_clear_pointer(&s->tag, g_bytes_unref);
	g_free(s->tag_object);
	s->tag = tag;
	s->tag_object = object_id(tag, "tag", NULL);
}

static void new_repository(struct scene *s, policy_files *files)
{
	g_autofree char *mirror = g_strconcat(s->state, "/mirrors/policy.git", NULL);

	g_free(support_must("git", "init", "-q", "-b", "main", s->repository, NULL));
	g_free(support_must("git", "init", "-q", "--bare", "-b", "main", mirror, NULL));
	s->root = publish(s, files);
}

/*
 * A release that is good in everything, and a judge that waits. With files (taken over) it has a policy repository of its own; those that go without share
 * one, since making it takes longer than all the rest.
 */
static struct scene *scene_with(policy_files *files)
{
	static char *shared_root;
	static guint count;
	struct scene *s = g_new0(struct scene, 1);
	g_autofree char *name = files != NULL ? g_strdup_printf("judge-%u", ++count) : g_strdup("judge-0"), *more = NULL;

	s->state = support_folder(name);
	s->repository = g_strconcat(s->state, "/policy", NULL);
	if (files != NULL || shared_root == NULL)
		new_repository(s, files != NULL ? files : policy_of_ours());
	if (files == NULL && shared_root == NULL)
		shared_root = g_strdup(s->root);
	if (files == NULL && s->root == NULL)
		s->root = g_strdup(shared_root);
	more = g_strdup_printf("[[token]]\nname = \"main\"\nlabel = \"x\"\npin_file = \"y\"\n"
			       "[[timestamp]]\nurl = \"http://127.0.0.1:1/\"\nroots = \"%s\"\n",
	    stamp_roots);
	s->config = test_config(s->state, s->root, more);
	s->approvals = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	s->blob = g_bytes_ref(image);
	s->certificates = g_bytes_ref(chain);
	s->now = time_now_ms();
	s->tag_first_seen = s->now - 60 * MINUTE;
	s->model = "SoftHSM v2";
	s->software = TRUE;
	s->last_use = 41;
	s->signs_with = pki.p256.key;
	set_tag(s, tag_by("alice", "v1.2.0"));
	start_judge(s);
	return s;
}

static struct scene *approved(struct scene *s)
{
	g_free(approves(s, "bob", "Approve", image));
	g_free(approves(s, "carol", "Approve", image));
	return s;
}

static struct scene *scene_approved(void)
{
	return approved(scene_with(NULL));
}

static void scene_free(struct scene *s)
{
	assert_int_equal(test_role_stop(s->judge), 0);
	config_free(s->config);
	g_bytes_unref(s->tag);
	g_bytes_unref(s->blob);
	g_bytes_unref(s->certificates);
	g_ptr_array_unref(s->approvals);
	g_free(s->state);
	g_free(s->repository);
	g_free(s->root);
	g_free(s->tag_object);
	g_free(s);
}
DEFINE_CLEANUP(scene, scene_free)

/* ---- scan, seal and sign ---- */

static void scan_says(struct scene *s, GBytes *blob, const char *verdict, int64_t database_ms)
{
	autoptr(message) seen = message_new(MSG_SCAN_SEEN, 0);
	struct json *report = json_object_new();
	g_autofree char *sha256 = sha256_text_bytes(blob), *time = time_format_ms(database_ms);

	json_set_string(report, "engine", "clamav");
	json_set_string(report, "verdict", verdict);
	json_set_string(report, "database_time", time);
	json_set_string(seen->body, "blob", sha256);
	json_set(seen->body, "report", report);
	test_role_tell(s->judge, ROLE_SCAN, seen);
}

static void seal_says(struct scene *s, GBytes *blob, gboolean was_signed)
{
	g_autoptr(GError) error = NULL;
	autoptr(message) seen = message_new(MSG_DIGEST_SEEN, 0);
	const struct format_parameters p = { .hash = "sha256", .certificates = chain, .time_ms = s->now };
	struct format_digest digest = { NULL };
	autofd int fd = memfd_from_bytes("blob", blob, &error);
	g_autofree char *sha256 = sha256_text_bytes(blob), *value = NULL;

	assert_ok(format_named("authenticode")->digest(fd, &p, &digest, &error), error);
	value = hex_encode(digest.value, digest.size);
	json_set_string(seen->body, "blob", sha256);
	json_set_string(seen->body, "format", "authenticode");
	json_set_string(seen->body, "hash", "sha256");
	json_set_string(seen->body, "value", value);
	json_set_integer(seen->body, "size", digest.file_size);
	json_set_boolean(seen->body, "was_signed", was_signed);
	g_free(digest.hash);
	test_role_tell(s->judge, ROLE_SEAL, seen);
}

static void all_is_well(struct scene *s)
{
	scan_says(s, image, "clean", s->now);
	seal_says(s, image, FALSE);
}

static struct message *keys_answer(struct scene *s, const struct message *request)
{
	struct message *answer = message_answer(request, MSG_KEYS_ARE, NULL);
	struct json *token = json_object_new(), *keys = json_array_new(), *key = json_object_new();

	s->keys_asked++;
	json_set_string(token, "model", s->model);
	json_set_boolean(token, "software", s->software);
	json_set_string(key, "label", "release-2026");
	json_set_string(key, "weakness", s->weakness);
	json_set_integer(key, "last_use", s->last_use);
	json_append(keys, key);
	json_set(answer->body, "token", token);
	json_set(answer->body, "keys", keys);
	return answer;
}

static struct message *use_answer(struct scene *s, const struct message *request)
{
	struct message *answer = message_answer(request, MSG_USED, NULL);
	g_autoptr(GBytes) data = body_bytes(request, "data", NULL);
	g_autoptr(GBytes) signature = pki_sign(s->signs_with, EVP_sha256(), data);

	s->uses++;
	assert_string_equal(json_string(request->body, "record"), ID);
	assert_string_equal(json_string(request->body, "key"), "release-2026");
	json_set_integer(answer->body, "number", ++s->last_use);
	body_set_bytes(answer, "signature", signature);
	return answer;
}

static struct message *uses_answer(const struct message *request)
{
	struct message *answer = message_answer(request, MSG_USES_ARE, NULL);
	struct json *uses = json_array_new(), *use = json_object_new();

	assert_string_equal(json_string(request->body, "record"), ID);
	assert_string_equal(json_string(request->body, "key"), "release-2026");
	json_set_integer(use, "number", 41);
	json_append(uses, use);
	json_set(answer->body, "uses", uses);
	return answer;
}

static struct message *sign_answer(struct scene *s, const struct message *request)
{
	if (request->kind == MSG_USES)
		return uses_answer(request);
	return request->kind == MSG_KEYS ? keys_answer(s, request) : use_answer(s, request);
}

static void play_sign(struct scene *s)
{
	g_autoptr(GError) error = NULL;
	autoptr(message) request = test_role_next(s->judge, ROLE_SIGN);
	autoptr(message) answer = NULL;

	if (s->away) {
		g_autoptr(GError) away = g_error_new(TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the token is away");
		answer = message_answer(request, request->kind == MSG_KEYS ? MSG_KEYS_ARE : MSG_USED, away);
	} else {
		answer = sign_answer(s, request);
	}
	assert_ok(message_send(test_role_fd(s->judge, ROLE_SIGN), answer, &error), error);
}

/* ---- engine ---- */

static struct message *judge_request(const struct scene *s)
{
	struct message *m = message_new(MSG_JUDGE, 0);
	autoptr(json) seen = json_object_new();
	g_autofree char *blob = sha256_text_bytes(s->blob);
	g_autoptr(GBytes) seen_bytes = NULL;

	json_set_string(m->body, "id", ID);
	json_set_string(m->body, "project", "acme/widget");
	json_set_string(m->body, "tag", "v1.2.0");
	json_set_string(m->body, "tag_object", s->tag_object);
	json_set_integer(m->body, "tag_first_seen", s->tag_first_seen);
	json_set_boolean(m->body, "first_object", TRUE);
	json_set_string(m->body, "artifact", "widget-1.2.0.exe");
	json_set_string(m->body, "blob", blob);
	json_set_string(m->body, "key", "release-2026");
	json_set_string(m->body, "format", "authenticode");
	json_set_string(m->body, "hash", "sha256");
	json_set_integer(m->body, "time", s->now);
	json_set_integer(m->body, "now", s->now);
	test_add(m, "blob", s->blob);
	test_add(m, "certificates", s->certificates);
	test_add(m, "tag", s->tag);
	for (guint i = 0; i < s->approvals->len; i++) {
		g_autofree char *name = g_strdup_printf("approval-%u", i + 1),
				*id = object_id(s->approvals->pdata[i], "commit", NULL);
		test_add(m, name, s->approvals->pdata[i]);
		json_set_integer(seen, id, s->tag_first_seen + (i + 1) * MINUTE);
	}
	seen_bytes = json_canonical(seen);
	test_add(m, "seen.json", seen_bytes);
	return m;
}

/* Asks, answers what judge asks of sign meanwhile, and gives judge's answer. Takes the request over. */
static struct message *judged(struct scene *s, struct message *request)
{
	autoptr(message) mine = request;
	struct pollfd fds[2] = { { .fd = test_role_fd(s->judge, ROLE_SIGN), .events = POLLIN },
		{ .fd = test_role_fd(s->judge, ROLE_ENGINE), .events = POLLIN } };

	test_role_tell(s->judge, ROLE_ENGINE, mine);
	for (;;) {
		assert_true(poll(fds, 2, 20000) > 0);
		if (fds[1].revents != 0)
			return test_role_next(s->judge, ROLE_ENGINE);
		play_sign(s);
	}
}

/* The release as it stands must end so, and no key be used. */
static void assert_judged(struct scene *s, const char *outcome, const char *words)
{
	autoptr(message) answer = judged(s, judge_request(s));

	assert_int_equal(answer->kind, MSG_JUDGED);
	assert_outcome(answer, outcome, words);
	assert_int_equal(s->uses, 0);
	assert_null(message_find(answer, "signature"));
}

struct member {
	const char *key;
	struct json *value; /* taken over */
	const char *words; /* of the refusal */
};

/* The same, for each of these with one member of the message changed; ended by a NULL key. */
static void assert_members(const struct member *members)
{
	autoptr(scene) s = scene_approved();

	all_is_well(s);
	for (; members->key != NULL; members++) {
		struct message *request = judge_request(s);
		autoptr(message) answer = NULL;

		json_set(request->body, members->key, members->value);
		answer = judged(s, request);
		assert_outcome(answer, "refused", members->words);
		assert_int_equal(s->uses, 0);
	}
}

/* ---- the good release ---- */

static gboolean signature_verifies(const struct message *answer, const char *format, GBytes *blob, int64_t time)
{
	g_autoptr(GError) error = NULL;
	const struct format_parameters p = { .hash = "sha256", .certificates = chain, .time_ms = time };
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
	autoptr(scene) s = scene_approved();
	autoptr(message) answer = NULL;

	all_is_well(s);
	answer = judged(s, judge_request(s));
	assert_outcome(answer, "ok", NULL);
	assert_true(signature_verifies(answer, "authenticode", image, s->now));
	assert_int_equal(json_integer(json_get(answer->body, "use"), "number", 0), 42);
	assert_string_equal(json_string(json_get(answer->body, "use"), "token"), "main");
	assert_string_equal(json_string(json_get(answer->body, "use"), "key"), "release-2026");
	assert_true(is_sha256_text(json_string(json_get(answer->body, "use"), "digest")));
}

static void the_digest_of_a_linear_format_is_computed_by_judge_itself(void **state)
{
	autoptr(scene) s = scene_approved();
	struct message *request = judge_request(s);
	autoptr(message) answer = NULL;

	scan_says(s, image, "clean", s->now);
	json_set_string(request->body, "format", "cms");
	answer = judged(s, request);
	assert_outcome(answer, "ok", NULL);
	assert_true(signature_verifies(answer, "cms", image, s->now));
}

/* ---- provenance ---- */

#define WIDGET "https://git.example.org/acme/widget.git"
#define OTHER_COMMIT "1111111111111111111111111111111111111111"

/* The release rule asks for provenance; the people approve the tag, and pin nothing. */
static struct scene *scene_with_provenance(void)
{
	policy_files *files = policy_of_ours();
	struct scene *s;

	sample_pin_by_provenance(files);
	s = scene_with(files);
	for (guint i = 0; i < 2; i++) {
		g_autofree char *trailers =
		    g_strdup_printf("Tagseal-Approve: v1.2.0\nTagseal-Tag: %s\nTagseal-Project: acme/widget\n"
				    "Tagseal-Policy: release\n",
			s->tag_object);
		g_free(commit_says(s, i == 0 ? "bob" : "carol", trailers));
	}
	return s;
}

/* What engine presents; takes the file over. */
static struct message *judged_with(struct scene *s, GBytes *provenance, int64_t first_seen)
{
	struct message *request = judge_request(s);

	if (provenance != NULL) {
		test_add(request, "provenance", provenance);
		json_set_integer(request->body, "provenance_first_seen", first_seen);
		g_bytes_unref(provenance);
	}
	return judged(s, request);
}

static void what_provenance_vouches_for_is_signed(void **state)
{
	autoptr(scene) s = scene_with_provenance();
	g_autofree char *digest = sha256_text_bytes(image);
	autoptr(message) answer = NULL;

	all_is_well(s);
	answer = judged_with(s, sample_provenance(WIDGET, COMMIT, "widget-1.2.0.exe", digest), s->now);
	assert_outcome(answer, "ok", NULL);
	assert_true(signature_verifies(answer, "authenticode", image, s->now));
}

/* An engine that was taken over presents another artifact beside the true provenance. */
static void an_artifact_that_provenance_does_not_name_is_refused(void **state)
{
	autoptr(scene) s = scene_with_provenance();
	g_autoptr(GBytes) swapped = pki_flip(image, g_bytes_get_size(image) - 1);
	g_autofree char *digest = sha256_text_bytes(image);
	autoptr(message) answer = NULL;

	g_bytes_unref(s->blob);
	s->blob = g_bytes_ref(swapped);
	scan_says(s, swapped, "clean", s->now);
	answer = judged_with(s, sample_provenance(WIDGET, COMMIT, "widget-1.2.0.exe", digest), s->now);
	assert_outcome(answer, "refused",
	    "the statement's subject \"widget-1.2.0.exe\" has another digest than this file's sha256:");
	assert_int_equal(s->uses, 0);
}

static void assert_judged_with(struct scene *s, GBytes *provenance, int64_t first_seen, const char *words)
{
	autoptr(message) answer = judged_with(s, provenance, first_seen);

	assert_outcome(answer, "refused", words);
	assert_int_equal(s->uses, 0);
}

static void provenance_of_something_else_is_refused(void **state)
{
	autoptr(scene) s = scene_with_provenance();
	g_autofree char *digest = sha256_text_bytes(image);
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
	autoptr(scene) s = scene_approved();
	struct message *request = NULL;
	autoptr(message) answer = NULL;

	all_is_well(s);
	g_bytes_unref(s->tag);
	s->tag = tag_by("alice", "v1.2.1");
	request = judge_request(s);
	answer = judged(s, request);
	assert_outcome(answer, "refused", "are not the tag object that the release names");
}

static void another_name_inside_the_tag_is_refused(void **state)
{
	autoptr(scene) s = scene_with(NULL);

	set_tag(s, tag_by("alice", "v1.2.1"));
	g_free(approves(s, "bob", "Approve", image));
	g_free(approves(s, "carol", "Approve", image));
	all_is_well(s);
	assert_judged(s, "refused", "is named \"v1.2.1\" inside");
}

static void a_strangers_tag_is_refused(void **state)
{
	autoptr(scene) s = scene_with(NULL);

	set_tag(s, tag_by("mallory", "v1.2.0"));
	g_free(approves(s, "bob", "Approve", image));
	g_free(approves(s, "carol", "Approve", image));
	all_is_well(s);
	assert_judged(s, "refused", "tag object");
}

static void a_quorum_that_is_not_met_is_refused(void **state)
{
	autoptr(scene) s = scene_with(NULL);

	g_free(approves(s, "bob", "Approve", image));
	g_free(approves(s, "bob", "Approve", image));
	g_free(approves(s, "mallory", "Approve", image));
	all_is_well(s);
	assert_judged(s, "refused", "not approved: ");
}

static void a_denial_in_the_evidence_ends_it(void **state)
{
	autoptr(scene) s = scene_approved();

	g_free(approves(s, "carol", "Deny", image));
	all_is_well(s);
	assert_judged(s, "refused", "not approved: denied by carol");
}

static void a_withdrawn_approval_does_not_count(void **state)
{
	autoptr(scene) s = scene_with(NULL);
	g_autofree char *approval = approves(s, "bob", "Approve", image), *trailers = NULL;

	g_free(approves(s, "carol", "Approve", image));
	trailers = g_strdup_printf("Tagseal-Withdraw: %s\n", approval);
	g_free(commit_says(s, "bob", trailers));
	all_is_well(s);
	assert_judged(s, "refused", "not approved: ");
}

static void approvals_of_another_tag_object_do_not_count(void **state)
{
	autoptr(scene) s = scene_approved();

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
	autoptr(scene) s = approved(scene_with(policy_of_ours()));
	policy_files *files = policy_of_ours();
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
	g_free(publish(s, files));
	assert_judged(s, "refused", "not approved: ");

	/* The branch set back to the policy that had not revoked the key. */
	back = g_strdup_printf("push -q --force '%s/mirrors/policy.git' %s:main", s->state, s->root);
	g_free(git(s, back));
	assert_judged(s, "refused", NULL);
	assert_int_equal(test_role_stop(s->judge), 0);
	start_judge(s);
	all_is_well(s);
	assert_judged(s, "refused", NULL);
}

static void a_lost_high_water_mark_is_not_taken_for_a_new_start(void **state)
{
	autoptr(scene) s = approved(scene_with(policy_of_ours()));
	g_autofree char *mark = g_strdup_printf("%s/judge/policy.mark", s->state);

	support_write(mark, "garbage\n");
	all_is_well(s);
	assert_judged(s, "failed", "nothing is decided without it");
}

static void a_policy_that_is_not_there_yet_is_waited_for(void **state)
{
	autoptr(scene) s = approved(scene_with(policy_of_ours()));
	g_autofree char *gone = g_strdup_printf("%s/mirrors/policy.git", s->state),
			*aside = g_strconcat(gone, ".aside", NULL);

	g_free(support_must("mv", gone, aside, NULL));
	assert_judged(s, "unavailable", "no mirror there yet");
}

/* ---- blob, certificates, scan, digest ---- */

static void a_blob_that_nobody_pinned_is_refused(void **state)
{
	autoptr(scene) s = scene_approved();

	g_bytes_unref(s->blob);
	s->blob = pki_flip(image, 0x420);
	scan_says(s, s->blob, "clean", s->now);
	seal_says(s, s->blob, FALSE);
	assert_judged(s, "refused", "and the approval pins sha256:");
}

static void a_blob_other_than_the_one_named_is_refused(void **state)
{
	g_autofree char *digest = sha256_text_bytes(text);
	const struct member members[] = {
		{ "blob", json_string_new(digest), "the blob that was handed over is sha256:" },
		{ NULL, NULL, NULL },
	};

	assert_members(members);
}

static void certificates_that_are_not_the_policys_are_refused(void **state)
{
	autoptr(scene) s = scene_approved();

	g_bytes_unref(s->certificates);
	s->certificates = g_bytes_ref(other_chain);
	all_is_well(s);
	assert_judged(s, "refused", "are not the policy's keys/release.pem");
}

static void a_blob_without_a_verdict_is_to_be_scanned_again(void **state)
{
	autoptr(scene) s = scene_approved();

	scan_says(s, text, "clean", s->now);
	seal_says(s, image, FALSE);
	assert_judged(s, "unavailable", "must be scanned again");
}

static void an_infected_blob_is_refused_also_after_a_clean_verdict(void **state)
{
	autoptr(scene) s = scene_approved();

	all_is_well(s);
	scan_says(s, image, "infected", s->now);
	assert_judged(s, "refused", "was not found clean: infected");
}

static void a_verdict_by_old_databases_is_refused(void **state)
{
	autoptr(scene) s = scene_approved();

	seal_says(s, image, FALSE);
	scan_says(s, image, "clean", s->now - 3 * 24 * 60 * MINUTE);
	assert_judged(s, "refused", "requires newer malware databases");
}

static void a_digest_that_seal_did_not_tell_is_to_be_made_again(void **state)
{
	autoptr(scene) s = scene_approved();
	g_autoptr(GBytes) other = pki_flip(image, 0x420);

	scan_says(s, image, "clean", s->now);
	seal_says(s, other, FALSE);
	assert_judged(s, "unavailable", "it must be made again");
}

static void a_file_that_is_signed_already_is_refused(void **state)
{
	autoptr(scene) s = scene_approved();

	scan_says(s, image, "clean", s->now);
	seal_says(s, image, TRUE);
	assert_judged(s, "refused", "bears a signature already");
}

/* A worker that was taken over by one artifact speaks of another: the honest one that was asked as well gives it away, whoever comes first. */
static void digests_that_contradict_each_other_are_not_believed(void **state)
{
	autoptr(scene) s = scene_approved();

	all_is_well(s);
	seal_says(s, image, FALSE);
	seal_says(s, image, TRUE);
	seal_says(s, image, FALSE);
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
static struct message *request_over(const struct scene *s, int fd, const char *format)
{
	struct message *request = judge_request(s);
	struct message_file *blob = (struct message_file *)message_find(request, "blob");

	json_set_string(request->body, "format", format);
	close(blob->fd);
	blob->fd = dup(fd);
	return request;
}

static void what_changes_while_judge_reads_is_never_signed(void **state)
{
	autoptr(scene) s = scene_approved();
	g_autoptr(GBytes) bad = pki_flip(image, 0x420);
	autofd int fd = memfd_create("blob", MFD_CLOEXEC);
	pid_t swapper;

	assert_int_equal(write(fd, g_bytes_get_data(image, NULL), g_bytes_get_size(image)), g_bytes_get_size(image));
	scan_says(s, image, "clean", s->now);
	swapper = fork();
	if (swapper == 0)
		swap_for_ever(fd, image, bad);
	for (guint i = 0; i < 60; i++) {
		autoptr(message) answer = judged(s, request_over(s, fd, "cms"));

		if (message_find(answer, "signature") != NULL)
			assert_true(signature_verifies(answer, "cms", image, s->now));
		else
			assert_outcome(answer, "refused", "the blob that was handed over is sha256:");
	}
	kill(swapper, SIGKILL);
	waitpid(swapper, NULL, 0);
}

static void a_blob_that_is_no_file_is_not_read(void **state)
{
	autoptr(scene) s = scene_approved();
	autoptr(message) answer = NULL;
	int ends[2];

	scan_says(s, image, "clean", s->now);
	assert_int_equal(pipe(ends), 0);
	answer = judged(s, request_over(s, ends[0], "cms"));
	assert_outcome(answer, "unknown", "not a regular file");
	assert_int_equal(s->uses, 0);
	close(ends[0]);
	close(ends[1]);
}

/* ---- the key ---- */

static void a_software_token_must_be_named(void **state)
{
	policy_files *files = policy_of_ours();
	autoptr(scene) s = NULL;

	sample_replace(files, SAMPLE_KEY, "\"SoftHSM*\"", "\"*\"");
	s = scene_with(files);
	g_free(approves(s, "bob", "Approve", image));
	g_free(approves(s, "carol", "Approve", image));
	all_is_well(s);
	assert_judged(s, "refused", "of the model \"SoftHSM v2\" (software)");
}

static void a_token_of_another_model_is_refused(void **state)
{
	autoptr(scene) s = scene_approved();

	s->model = "Luna K7";
	s->software = FALSE;
	all_is_well(s);
	assert_judged(s, "refused", "of the model \"Luna K7\"");
}

static void a_weak_key_signs_no_release(void **state)
{
	autoptr(scene) s = scene_approved();

	s->weakness = "it can be extracted from the token";
	all_is_well(s);
	assert_judged(s, "refused", "may not sign releases: it can be extracted");
}

static void a_key_stops_at_its_budget(void **state)
{
	autoptr(scene) s = scene_approved();

	s->last_use = 5000;
	all_is_well(s);
	assert_judged(s, "refused", "has been used 5000 times, its whole budget");
}

/* The certificate begins yesterday. */
static void a_key_stops_after_its_days(void **state)
{
	policy_files *files = policy_of_ours();
	autoptr(scene) s = NULL;

	sample_replace(files, SAMPLE_KEY, "days = 460", "days = 1");
	s = approved(scene_with(files));
	all_is_well(s);
	assert_judged(s, "refused", "is 1 days old (its certificate begins at ");
}

static void a_token_that_is_away_is_waited_for(void **state)
{
	autoptr(scene) s = scene_approved();

	s->away = TRUE;
	all_is_well(s);
	assert_judged(s, "unavailable", "the token is away");
}

static void a_signature_by_another_key_is_thrown_away_and_its_use_is_told(void **state)
{
	autoptr(scene) s = scene_approved();
	autoptr(message) answer = NULL;

	s->signs_with = pki.rsa.key;
	all_is_well(s);
	answer = judged(s, judge_request(s));
	assert_outcome(answer, "failed", "does not verify with the certificate's key");
	assert_null(message_find(answer, "signature"));
	assert_int_equal(json_integer(json_get(answer->body, "use"), "number", 0), 42);
}

static void the_uses_for_a_release_are_told_by_the_keys_own_journal(void **state)
{
	autoptr(scene) s = scene_approved();
	struct message *request = message_new(MSG_RECKON, 0);
	autoptr(message) answer = NULL;
	const struct json *use;

	json_set_string(request->body, "id", ID);
	json_set_string(request->body, "key", "release-2026");
	answer = judged(s, request);
	assert_outcome(answer, "ok", NULL);
	use = json_path(answer->body, "uses.0");
	assert_int_equal(json_integer(use, "number", 0), 41);
	assert_string_equal(json_string(use, "token"), "main");
	assert_int_equal(s->uses, 0);
}

static void the_uses_of_a_key_that_no_policy_has_are_not_told(void **state)
{
	autoptr(scene) s = scene_approved();
	struct message *request = message_new(MSG_RECKON, 0);
	autoptr(message) answer = NULL;

	json_set_string(request->body, "id", ID);
	json_set_string(request->body, "key", "tagseal-ledger");
	answer = judged(s, request);
	assert_outcome(answer, "refused", "the policy in force has no key \"tagseal-ledger\"");
}

static void what_a_token_said_is_forgotten_when_its_process_starts_anew(void **state)
{
	autoptr(scene) s = scene_approved();
	autoptr(message) hello = message_new(MSG_HELLO, 0);

	all_is_well(s);
	s->weakness = "it can be extracted from the token";
	assert_judged(s, "refused", NULL);
	assert_judged(s, "refused", NULL);
	assert_int_equal(s->keys_asked, 1);
	s->weakness = NULL;
	test_role_tell(s->judge, ROLE_SIGN, hello);
	message_free(judged(s, judge_request(s)));
	assert_int_equal(s->keys_asked, 2);
	assert_int_equal(s->uses, 1);
}

/* ---- timestamps ---- */

static struct message *stamp(
    struct scene *s, GBytes *signature, GBytes *query, GBytes *response, int64_t sent, int64_t received)
{
	struct message *m = message_new(MSG_JUDGE_STAMP, 0);
	struct message *answer;

	json_set_integer(m->body, "authority", 0);
	json_set_integer(m->body, "sent", sent);
	json_set_integer(m->body, "received", received);
	test_add(m, "signature", signature);
	test_add(m, "query", query);
	test_add(m, "response", response);
	answer = judged(s, m);
	assert_int_equal(answer->kind, MSG_STAMP_JUDGED);
	return answer;
}

static void a_timestamp_counts_over_this_signature_alone(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(scene) s = scene_approved();
	g_autoptr(GBytes) query = timestamp_query(text, &error), response = pki_stamp(&pki.stamper, query, 0);
	autoptr(message) good = stamp(s, text, query, response, s->now, time_now_ms());
	autoptr(message) other = stamp(s, chain, query, response, s->now, time_now_ms());

	assert_outcome(good, "ok", NULL);
	assert_non_null(message_find(good, "token"));
	assert_non_null(json_string(json_get(good->body, "facts"), "serial"));
	assert_outcome(other, "refused", NULL);
	assert_null(message_find(other, "token"));
}

static void a_timestamp_by_another_authority_is_refused(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(scene) s = scene_approved();
	g_autoptr(GBytes) query = timestamp_query(text, &error), response = pki_stamp(&pki.lax_stamper, query, 0);
	autoptr(message) lax = stamp(s, text, query, response, s->now, time_now_ms());

	assert_outcome(lax, "refused", NULL);
}

static void a_window_that_cannot_be_is_refused(void **state)
{
	g_autoptr(GError) error = NULL;
	autoptr(scene) s = scene_approved();
	g_autoptr(GBytes) query = timestamp_query(text, &error), response = pki_stamp(&pki.stamper, query, 0);
	autoptr(message) wide = stamp(s, text, query, response, 0, s->now);
	autoptr(message) late = stamp(s, text, query, response, s->now, s->now + 60 * MINUTE);

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

	return cmocka_run_group_tests(tests, begin, end);
}
