#include "tests/unit/support_audit.h"

#include <string.h>

#include "gitops/policy_history.h"
#include "gitops/record.h"

/* ---- a log, and what an auditor has in hand ---- */

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

struct world *world_new(void)
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

void world_free(struct world *w)
{
	g_clear_pointer(&w->ledger, ledger_free);
	test_key_free(w->key);
	g_string_free(w->findings, TRUE);
	g_free(w->path);
	g_free(w->key_file);
	g_free(w->policy_root);
	g_free(w);
}

static void on_finding(const char *line, void *data)
{
	g_string_append_printf(data, "%s\n", line);
}

static gboolean artifacts_are_good(const struct json *record, GHashTable *files, void *data, GError **error)
{
	(void)record;
	(void)files;
	(void)data;
	(void)error;
	return TRUE;
}

struct audit_options world_options(struct world *w)
{
	return (struct audit_options){ .policy_root = w->policy_root,
		.policy_repo = w->policy_repo,
		.ledger_key = w->key_file,
		.finding = on_finding,
		.artifact = artifacts_are_good,
		.data = w->findings };
}

void world_audit(struct world *w, const struct audit_options *options)
{
	g_autoptr(GError) error = NULL;
	gboolean done;

	g_string_truncate(w->findings, 0);
	done = audit_run(w->path, options, &w->result, &error);
	assert_ok(done, error);
}

void assert_log_good(struct world *w)
{
	struct audit_options options = world_options(w);

	world_audit(w, &options);
	if (w->result.bad > 0 || w->result.unknown > 0)
		fail_msg("%s", w->findings->str);
}

void assert_log_has_one_flaw(struct world *w, const char *words)
{
	struct audit_options options = world_options(w);

	world_audit(w, &options);
	if (w->result.bad != 1 || w->result.unknown != 0)
		fail_msg("not one finding:\n%s", w->findings->str);
	assert_contains(w->findings->str, "bad: ");
	assert_contains(w->findings->str, words);
}

void assert_log_bad(struct world *w, const char *words)
{
	struct audit_options options = world_options(w);

	world_audit(w, &options);
	assert_true(w->result.bad > 0);
	assert_contains(w->findings->str, "bad: ");
	assert_contains(w->findings->str, words);
}

/* ---- a release: real tag, real approvals, decided by the code that the server decides with ---- */

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

void story_add(struct story *s, const char *name, GBytes *bytes)
{
	struct ledger_file file = { g_strdup(name), g_bytes_ref(bytes) };

	g_array_append_val(s->files, file);
}

static void approve(struct story *s, const char *tag, const char *person)
{
	g_autofree char *payload =
	    g_strdup_printf("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
			    "author Somebody <%s@example.org> 1767225600 +0000\n"
			    "committer Somebody <%s@example.org> 1767225600 +0000\n\n"
			    "Approve\n\nTagseal-Approve: %s\nTagseal-Tag: %s\nTagseal-Project: acme/widget\n"
			    "Tagseal-Policy: release\nTagseal-Artifact: " DIGEST " widget-%s.zip\n",
		person, person, tag, s->tag_object, tag + 1);
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
		.tag = json_string(s->record, "tag"),
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
	    "[{\"name\":\"widget-%s.zip\",\"size\":4,\"sha256\":\"" DIGEST "\",\"pinned_by\":\"approval\","
	    "\"scan\":{\"engine\":\"libclamav\",\"verdict\":\"clean\"},\"signed\":{\"sha256\":\"" DIGEST
	    "\",\"size\":4,"
	    "\"signatures\":[{\"format\":\"openpgp\",\"key\":\"release-2026\",\"digest\":\"" DIGEST "\",\"use\":%d,"
	    "\"timestamp\":{\"authority\":\"tsa\",\"time\":\"2026-01-01T01:00:00.000Z\"}}]}}]",
	    json_string(s->record, "tag") + 1, (int)use);
	g_autoptr(GError) error = NULL;
	struct json *artifacts = json_parse(text, strlen(text), JSON_STRICT, &error);

	assert_ok(artifacts != NULL, error);
	json_set(s->record, "artifacts", artifacts);
}

static void put_evidence(struct world *w, struct story *s, policy_files *files)
{
	g_autoptr(GBytes) policy = policy_evidence_write(w->policy_root, files);

	story_add(s, "tag", s->tag);
	story_add(s, "policy.json", policy);
	for (guint i = 0; i < s->approvals->len; i++) {
		g_autofree char *name = g_strdup_printf("approval-%u", i + 1);

		story_add(s, name, g_array_index(s->approvals, struct approval_evidence, i).raw);
	}
}

struct story *story_of(struct world *w, const char *tag, gint64 use, GHashTable *files)
{
	g_autofree char *payload = g_strdup_printf(
	    "object " COMMIT "\ntype commit\ntag %s\ntagger Somebody <alice@example.org> 1767225600 +0000\n\nRelease\n",
	    tag);
	struct story *s = g_new0(struct story, 1);
	g_autofree char *id = ulid_new();
	autoptr(policy) policy = sample_load(g_hash_table_ref(files));

	s->files = g_array_new(FALSE, TRUE, sizeof(struct ledger_file));
	g_array_set_clear_func(s->files, file_clear);
	s->approvals = g_array_new(FALSE, TRUE, sizeof(struct approval_evidence));
	g_array_set_clear_func(s->approvals, approval_clear);
	s->record = record_new(id, "acme/widget", tag);
	s->tag = sample_sign_tag(payload, "alice");
	s->tag_object = object_id(s->tag, "tag", NULL);
	approve(s, tag, "bob");
	approve(s, tag, "carol");
	put_sections(w, s, policy);
	put_artifact(s, use);
	put_evidence(w, s, files);
	for (guint gate = GATE_SOURCE; gate <= GATE_TIMESTAMP; gate++)
		record_gate(s->record, gate, "passed", SEEN, SEEN + 3600000, 1);
	record_end(s->record, "signed", GATE_TIMESTAMP, NULL);
	return s;
}

struct story *story_tagged(struct world *w, const char *tag, gint64 use)
{
	g_autoptr(GHashTable) files = sample_files();

	return story_of(w, tag, use, files);
}

struct story *story_new(struct world *w, gint64 use)
{
	return story_tagged(w, "v1.2.0", use);
}

/* Decided by the policy commit that the world's root names, with that commit's files. */
struct story *story_at(struct world *w, gint64 use)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GHashTable) files = policy_files_from_commit(w->policy_repo, w->policy_root, &error);

	assert_ok(files != NULL, error);
	return story_of(w, "v1.2.0", use, files);
}

void story_free(struct story *s)
{
	json_unref(s->record);
	g_array_unref(s->files);
	g_array_unref(s->approvals);
	g_bytes_unref(s->tag);
	g_free(s->tag_object);
	g_free(s);
}

void story_append(struct world *w, struct story *s)
{
	struct ledger_entry entry = { .document = s->record,
		.files = (struct ledger_file *)(void *)s->files->data,
		.file_count = s->files->len };
	g_autoptr(GError) error = NULL;
	gboolean done = ledger_append(w->ledger, &entry, 1, &error);

	assert_ok(done, error);
	ledger_entry_clear(&entry);
}

void story_drop(struct story *s, const char *name)
{
	for (guint i = 0; i < s->files->len; i++) {
		if (g_str_equal(g_array_index(s->files, struct ledger_file, i).name, name)) {
			g_array_remove_index(s->files, i);
			return;
		}
	}
	fail_msg("there is no %s", name);
}

struct json *story_get(const struct story *s, const char *path)
{
	struct json *value = json_path(s->record, path);

	assert_non_null(value);
	return value;
}

/* ---- a forger's hands ---- */

void world_forge(struct world *w, const char *script)
{
	g_autofree char *out = NULL;

	g_clear_pointer(&w->ledger, ledger_free);
	out = support_must_in(w->path, "sh", "-ec", script, NULL);
}

/* The commit's own text, with the signature folded in. */
static char *signed_commit(struct world *w, const char *payload)
{
	g_autoptr(GBytes) bytes = g_bytes_new(payload, strlen(payload)), armor = test_key_sign(w->key, bytes, NULL);
	g_autofree char *text = g_strndup(g_bytes_get_data(armor, NULL), g_bytes_get_size(armor));
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1), parts = g_strsplit(payload, "\n\n", 2);
	g_autofree char *body = g_strjoinv("\n ", lines);

	return g_strdup_printf("%s\ngpgsig %s\n\n%s", parts[0], body, parts[1]);
}

void world_commit_tree(struct world *w, const char *parents, const char *from, const char *script, const char *message)
{
	g_autofree char *file = support_path("payload"), *whole = NULL, *text = NULL, *made = NULL, *out = NULL,
			*moved = NULL;

	g_clear_pointer(&w->ledger, ledger_free);
	support_write(file, message);
	text = g_strdup_printf("export GIT_INDEX_FILE=index; rm -f index; git read-tree %s; { %s\n} >&2; "
			       "git cat-file commit $(git commit-tree %s -F '%s' $(git write-tree)); echo .",
	    from, script, parents, file);
	out = support_must_in(w->path, "sh", "-ec", text, NULL);
	out[strlen(out) - 1] = '\0';
	whole = signed_commit(w, out);
	support_write(file, whole);
	made = g_strdup_printf("git update-ref refs/heads/main $(git hash-object -t commit -w '%s')", file);
	moved = support_must_in(w->path, "sh", "-ec", made, NULL);
}

void world_commit(struct world *w, const char *path, const char *text, const char *message)
{
	g_autofree char *file = support_path("added");
	g_autofree char *script =
	    g_strdup_printf("git update-index --add --cacheinfo 100644,$(git hash-object -w '%s'),'%s'", file, path);

	support_write(file, text);
	world_commit_tree(w, "-p main", "main", script, message);
}
