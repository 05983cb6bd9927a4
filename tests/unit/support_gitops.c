#include "tests/unit/support_gitops.h"

#include <string.h>

#include "gitops/record.h"

static const struct peer wires[] = { { .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };

char *git_as(const char *person, const char *folder, const char *arguments)
{
	g_autofree char *key = sample_ssh_key(person);
	g_autofree char *line = g_strdup_printf("git -C '%s' -c gpg.format=ssh -c user.signingkey='%s' -c user.name=%s "
						"-c user.email=%s@example.org -c advice.detachedHead=false %s",
	    folder, key, person, person, arguments);
	g_autofree char *script =
	    g_strdup_printf("GIT_AUTHOR_NAME=%s GIT_AUTHOR_EMAIL=%s@example.org GIT_COMMITTER_NAME=%s "
			    "GIT_COMMITTER_EMAIL=%s@example.org %s",
		person, person, person, person, line);

	return support_must("sh", "-c", script, NULL);
}

void git(const char *person, const char *folder, const char *arguments)
{
	g_free(git_as(person, folder, arguments));
}

void publish(struct scene *s, policy_files *files)
{
	GHashTableIter iter;
	gpointer path, bytes;

	g_hash_table_iter_init(&iter, files);
	while (g_hash_table_iter_next(&iter, &path, &bytes)) {
		g_autofree char *full = g_build_filename(s->policy, path, NULL), *folder = g_path_get_dirname(full);
		gsize size;
		const void *data = g_bytes_get_data(bytes, &size);

		assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
		support_write_bytes(full, data, size);
	}
	g_hash_table_unref(files);
	git("alice", s->policy, "add -A");
	git("alice", s->policy, "commit -q -S -m policy");
}

policy_files *policy_of_ours(const struct scene *s)
{
	policy_files *files = sample_files();
	g_autofree char *url = g_strconcat("file://", s->source, NULL);

	sample_set(files, SAMPLE_POLICY, "maintainers = [\"alice\"]\nthreshold = 1\n");
	sample_replace(files, SAMPLE_PROJECT, "https://git.example.org/acme/widget.git", url);
	sample_replace(files, SAMPLE_PROJECT, "taggers", "branches = [\"main\"]\ntaggers");
	return files;
}

void scene_start(struct scene *s)
{
	s->gitops = test_role_start(role_gitops, ROLE_GITOPS, 0, s->config, wires);
}

static void make_repositories(struct scene *s)
{
	g_autofree char *mirrors = g_strconcat(s->state, "/mirrors", NULL);

	g_free(support_must("git", "init", "-q", "-b", "main", s->policy, NULL));
	g_free(support_must("git", "init", "-q", "-b", "main", s->source, NULL));
	publish(s, policy_of_ours(s));
	git("alice", s->source, "commit -q -S --allow-empty -m 'First light'");
	git("alice", s->source, "tag -s -m 'Release 1.2.0' v1.2.0");
	assert_int_equal(g_mkdir_with_parents(mirrors, 0700), 0);
}

/* Made once, then copied to the same place for every test: the policy names its source by path. */
static void fresh_state(struct scene *s)
{
	g_autofree char *template = support_path("template");

	if (!g_file_test(template, G_FILE_TEST_EXISTS)) {
		make_repositories(s);
		g_free(support_must("cp", "-a", s->state, template, NULL));
		return;
	}
	g_free(support_must("rm", "-rf", s->state, NULL));
	g_free(support_must("cp", "-a", template, s->state, NULL));
}

struct scene *scene_with(const char *more)
{
	struct scene *s = g_new0(struct scene, 1);
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;

	s->state = support_path("scene");
	s->policy = g_strconcat(s->state, "/policy", NULL);
	s->source = g_strconcat(s->state, "/source", NULL);
	fresh_state(s);
	s->root = git_as("alice", s->policy, "rev-parse HEAD");
	text = g_strdup_printf("state = \"%s\"\n[policy]\nurl = \"file://%s\"\nroot = \"%s\"\n"
			       "[ledger]\ntoken = \"main\"\nkey = \"ledger\"\n"
			       "[[token]]\nname = \"main\"\nlabel = \"x\"\npin_file = \"y\"\n%s",
	    s->state, s->policy, s->root, more != NULL ? more : "");
	s->config = config_parse(text, strlen(text), "test.toml", &error);
	assert_ok(s->config, error);
	s->now = time_now_ms();
	scene_start(s);
	return s;
}

struct scene *scene_new(void)
{
	return scene_with(NULL);
}

void scene_free(struct scene *s)
{
	assert_int_equal(test_role_stop(s->gitops), 0);
	config_free(s->config);
	g_free(s->state);
	g_free(s->policy);
	g_free(s->source);
	g_free(s->root);
	g_free(s);
}

char *tag_object(const struct scene *s, const char *tag)
{
	g_autofree char *arguments = g_strdup_printf("rev-parse refs/tags/%s", tag);

	return git_as("alice", s->source, arguments);
}

char *commits(const char *person, const char *folder, const char *message)
{
	g_autofree char *file = support_path("message"), *arguments = NULL, *move = NULL;
	char *id;

	support_write(file, message);
	arguments =
	    g_strdup_printf("commit-tree -S -F '%s' $(git -C '%s' rev-parse -q --verify refs/heads/tagseal/approvals "
			    "| sed 's/^/-p /') 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
		file, folder);
	id = git_as(person, folder, arguments);
	move = g_strdup_printf("update-ref refs/heads/tagseal/approvals %s", id);
	git(person, folder, move);
	return id;
}

char *words(const char *word, const char *tag_id)
{
	return g_strdup_printf("Words about v1.2.0\n\nTagseal-%s: v1.2.0\nTagseal-Tag: %s\n"
			       "Tagseal-Project: acme/widget\nTagseal-Policy: release\n"
			       "Tagseal-Artifact: " DIGEST " widget-1.2.0.zip\n",
	    word, tag_id);
}

char *says(const struct scene *s, const char *person, const char *word, const char *tag_id)
{
	g_autofree char *message = words(word, tag_id);

	return commits(person, s->source, message);
}

char *withdraws(const struct scene *s, const char *person, const char *approval)
{
	g_autofree char *message = g_strdup_printf("Take it back\n\nTagseal-Withdraw: %s\n", approval);

	return commits(person, s->source, message);
}

struct message *decide_of(
    struct scene *s, const char *project, const char *tag, const char *id, gboolean fetch, const struct json *seen)
{
	autoptr(message) m = message_new(MSG_DECIDE, 0);
	g_autoptr(GBytes) bytes = seen != NULL ? json_canonical(seen) : g_bytes_new_static("{}", 2);

	json_set_string(m->body, "project", project);
	json_set_string(m->body, "tag", tag);
	json_set_string(m->body, "tag_object", id);
	json_set_integer(m->body, "tag_first_seen", s->now);
	json_set_integer(m->body, "now", time_now_ms());
	json_set_boolean(m->body, "fetch", fetch);
	json_set_boolean(m->body, "first_object", TRUE);
	test_add(m, "seen.json", bytes);
	return test_role_ask(s->gitops, ROLE_ENGINE, m, MSG_DECIDED);
}

struct message *decide_with(struct scene *s, const char *tag, const char *id, gboolean fetch, const struct json *seen)
{
	struct message *answer = decide_of(s, "acme/widget", tag, id, fetch, seen);

	assert_outcome(answer, "ok", NULL);
	return answer;
}

struct message *decide(struct scene *s, const char *tag, const char *id)
{
	return decide_with(s, tag, id, TRUE, NULL);
}

void assert_member(const struct message *answer, const char *key, const char *value)
{
	const char *is = json_string(answer->body, key);
	g_autofree char *body = json_text(answer->body);

	if (g_strcmp0(is, value) != 0)
		fail_msg("\"%s\" is not %s in %s", key, value, body);
}

void assert_source(struct scene *s, const char *tag, const char *id, const char *word, const char *reason)
{
	autoptr(message) answer = decide(s, tag, id);

	assert_member(answer, "source", word);
	assert_contains(json_string(answer->body, "source_reason"), reason);
}

struct json *sections_of(const struct message *answer)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = message_bytes(answer, "sections.json", 1 << 20, &error);
	struct json *sections = bytes != NULL ? json_parse_bytes(bytes, &error) : NULL;

	assert_ok(sections, error);
	return sections;
}

void assert_fits_the_record(const struct json *sections)
{
	g_autoptr(GError) error = NULL;
	autoptr(json) record = record_new("01JDZX00000000000000000000", "acme/widget", "v1.2.0");

	json_set(record, "policy", json_copy(json_get(sections, "policy")));
	json_set(record, "source", json_copy(json_get(sections, "source")));
	json_set(record, "approvals", json_copy(json_get(sections, "approvals")));
	assert_ok(record_check(record, &error), error);
}

static const struct json *line_of(const struct json *sections, const char *commit)
{
	const struct json *approvals = json_get(sections, "approvals");

	for (guint i = 0; i < json_length(approvals); i++)
		if (g_str_equal(json_string(json_at(approvals, i), "commit"), commit))
			return json_at(approvals, i);
	return NULL;
}

void assert_listed(const struct message *answer, const char *commit, const char *why)
{
	autoptr(json) sections = sections_of(answer);
	const struct json *line = line_of(sections, commit);

	assert_non_null(line);
	assert_int_equal(json_boolean(line, "counts", FALSE), why == NULL);
	if (why != NULL)
		assert_contains(json_string(line, "why"), why);
	else
		assert_null(json_string(line, "why"));
}

void assert_not_listed(const struct message *answer, const char *commit)
{
	autoptr(json) sections = sections_of(answer);

	assert_null(line_of(sections, commit));
}
