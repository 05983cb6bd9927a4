#include "tests/unit/support_judge.h"

#include "tests/unit/support_pki.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "gitops/object.h"
#include "server/reply.h"

static const struct peer wires[] = { { .role = ROLE_SCAN }, { .role = ROLE_SEAL }, { .role = ROLE_SIGN },
	{ .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };

GBytes *court_image, *court_text, *court_chain, *court_other_chain;
char *court_stamp_roots;

int court_begin(void **state)
{
	g_autofree char *path = NULL;
	g_autoptr(GBytes) roots = NULL;

	pki_begin(state);
	path = pki_image("image.exe", "x86_64", "");
	court_image = support_read_bytes(path);
	court_text = g_bytes_new_static("hello\n", 6);
	court_chain = pki_pem(pki.p256.certificate, pki.root.certificate, NULL);
	court_other_chain = pki_pem(pki.rsa.certificate, pki.root.certificate, NULL);
	roots = pki_pem(pki.stamp_root.certificate, NULL);
	court_stamp_roots = pki_file("stamp-roots.pem", roots);
	return 0;
}

int court_end(void **state)
{
	g_bytes_unref(court_image);
	g_bytes_unref(court_text);
	g_bytes_unref(court_chain);
	g_bytes_unref(court_other_chain);
	g_free(court_stamp_roots);
	return pki_end(state);
}

/* ---- a policy repository, its mirror, and a judge that follows it ---- */

char *court_git(const struct court *s, const char *arguments)
{
	g_autofree char *key = sample_ssh_key("alice");
	g_autofree char *line =
	    g_strdup_printf("git -C '%s' -c gpg.format=ssh -c user.signingkey='%s' -c user.name=Alice "
			    "-c user.email=alice@example.org %s",
		s->repository, key, arguments);

	return support_must("sh", "-c", line, NULL);
}

/* The files as the next commit, signed by alice, and in the mirror. Takes the files over. */
char *court_publish(struct court *s, policy_files *files)
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
	g_free(court_git(s, "add -A"));
	g_free(court_git(s, "commit -q -S -m policy"));
	g_free(court_git(s, mirror));
	return court_git(s, "rev-parse HEAD");
}

/* One artifact, a PE file, signed as authenticode or cms with a key that may be on a software token. */
policy_files *court_policy(void)
{
	policy_files *files = sample_files();
	g_autofree char *pem = g_strndup(g_bytes_get_data(court_chain, NULL), g_bytes_get_size(court_chain));

	sample_set(files, SAMPLE_POLICY, "maintainers = [\"alice\"]\nthreshold = 1\n");
	sample_replace(files, SAMPLE_PROJECT, "\"widget-{version}.zip\"", "\"widget-{version}.exe\"");
	sample_replace(files, SAMPLE_PROJECT, "type = \"zip\"\nsign = \"openpgp\"",
	    "type = \"pe\"\nsign = [\"authenticode\", \"cms\"]");
	sample_set(files, "keys/release.pem", pem);
	return files;
}

GBytes *court_tag(const char *person, const char *name)
{
	g_autofree char *payload = g_strdup_printf(
	    "object " COMMIT "\ntype commit\ntag %s\ntagger Somebody <%s@example.org> 1767225600 +0000\n\nRelease\n",
	    name, person);

	return sample_sign_tag(payload, person);
}

char *court_commit(struct court *s, const char *person, const char *trailers)
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

char *court_approves(struct court *s, const char *person, const char *word, GBytes *blob)
{
	g_autofree char *digest = sha256_text_bytes(blob);
	g_autofree char *trailers =
	    g_strdup_printf("Tagseal-%s: v1.2.0\nTagseal-Tag: %s\nTagseal-Project: acme/widget\n"
			    "Tagseal-Policy: release\nTagseal-Artifact: %s widget-1.2.0.exe\n",
		word, s->tag_object, digest);

	return court_commit(s, person, trailers);
}

void court_start(struct court *s)
{
	s->judge = test_role_start(role_judge, ROLE_JUDGE, 0, s->config, wires);
}

void court_set_tag(struct court *s, GBytes *tag)
{
	g_clear_pointer(&s->tag, g_bytes_unref);
	g_free(s->tag_object);
	s->tag = tag;
	s->tag_object = object_id(tag, "tag", NULL);
}

static void new_repository(struct court *s, policy_files *files)
{
	g_autofree char *mirror = g_strconcat(s->state, "/mirrors/policy.git", NULL);

	g_free(support_must("git", "init", "-q", "-b", "main", s->repository, NULL));
	g_free(support_must("git", "init", "-q", "--bare", "-b", "main", mirror, NULL));
	s->root = court_publish(s, files);
}

/*
 * A release that is good in everything, and a judge that waits. With files (taken over) it has a policy repository of its own; those that go without share
 * one, since making it takes longer than all the rest.
 */
struct court *court_with(policy_files *files)
{
	static char *shared_root;
	static guint count;
	struct court *s = g_new0(struct court, 1);
	g_autofree char *name = files != NULL ? g_strdup_printf("judge-%u", ++count) : g_strdup("judge-0"), *more = NULL;

	s->state = support_folder(name);
	s->repository = g_strconcat(s->state, "/policy", NULL);
	if (files != NULL || shared_root == NULL)
		new_repository(s, files != NULL ? files : court_policy());
	if (files == NULL && shared_root == NULL)
		shared_root = g_strdup(s->root);
	if (files == NULL && s->root == NULL)
		s->root = g_strdup(shared_root);
	more = g_strdup_printf("[[token]]\nname = \"main\"\nlabel = \"x\"\npin_file = \"y\"\n"
			       "[[timestamp]]\nurl = \"http://127.0.0.1:1/\"\nroots = \"%s\"\n",
	    court_stamp_roots);
	s->config = test_config(s->state, s->root, more);
	s->approvals = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	s->blob = g_bytes_ref(court_image);
	s->certificates = g_bytes_ref(court_chain);
	s->now = time_now_ms();
	s->tag_first_seen = s->now - 60 * MINUTE;
	s->model = "SoftHSM v2";
	s->software = TRUE;
	s->last_use = 41;
	s->signs_with = pki.p256.key;
	court_set_tag(s, court_tag("alice", "v1.2.0"));
	court_start(s);
	return s;
}

struct court *court_approve(struct court *s)
{
	g_free(court_approves(s, "bob", "Approve", court_image));
	g_free(court_approves(s, "carol", "Approve", court_image));
	return s;
}

struct court *court_approved(void)
{
	return court_approve(court_with(NULL));
}

void court_free(struct court *s)
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

/* ---- scan, seal and sign ---- */

void scan_says(struct court *s, GBytes *blob, const char *verdict, int64_t database_ms)
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

void seal_says(struct court *s, GBytes *blob, gboolean was_signed)
{
	g_autoptr(GError) error = NULL;
	autoptr(message) seen = message_new(MSG_DIGEST_SEEN, 0);
	const struct format_parameters p = { .hash = "sha256", .certificates = court_chain, .time_ms = s->now };
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

void all_is_well(struct court *s)
{
	scan_says(s, court_image, "clean", s->now);
	seal_says(s, court_image, FALSE);
}

static struct message *keys_answer(struct court *s, const struct message *request)
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

static struct message *use_answer(struct court *s, const struct message *request)
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

static struct message *sign_answer(struct court *s, const struct message *request)
{
	if (request->kind == MSG_USES)
		return uses_answer(request);
	return request->kind == MSG_KEYS ? keys_answer(s, request) : use_answer(s, request);
}

static void play_sign(struct court *s)
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

struct message *court_request(const struct court *s)
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
struct message *court_judged(struct court *s, struct message *request)
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
void assert_judged(struct court *s, const char *outcome, const char *words)
{
	autoptr(message) answer = court_judged(s, court_request(s));

	assert_int_equal(answer->kind, MSG_JUDGED);
	assert_outcome(answer, outcome, words);
	assert_int_equal(s->uses, 0);
	assert_null(message_find(answer, "signature"));
}

/* The same, for each of these with one member of the message changed; ended by a NULL key. */
void assert_members(const struct member *members)
{
	autoptr(court) s = court_approved();

	all_is_well(s);
	for (; members->key != NULL; members++) {
		struct message *request = court_request(s);
		autoptr(message) answer = NULL;

		json_set(request->body, members->key, members->value);
		answer = court_judged(s, request);
		assert_outcome(answer, "refused", members->words);
		assert_int_equal(s->uses, 0);
	}
}
