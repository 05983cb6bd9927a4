/* `tagseal policy` and `tagseal verify-approval`: first lines, sentences and exit statuses as scripts rely on them. */
#include <string.h>

#include "tests/unit/support_policy.h"

/* The files below a folder of that name. Caller frees. */
static char *written(policy_files *files, const char *name)
{
	char *folder = support_folder(name);
	GHashTableIter all;
	gpointer path, bytes;

	g_hash_table_iter_init(&all, files);
	while (g_hash_table_iter_next(&all, &path, &bytes)) {
		g_autofree char *full = g_build_filename(folder, path, NULL);
		g_autofree char *parent = g_path_get_dirname(full);

		assert_int_equal(g_mkdir_with_parents(parent, 0755), 0);
		support_write_bytes(full, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	}
	g_hash_table_unref(files);
	return folder;
}

static void answers(struct run *run, int status, const char *out, const char *err)
{
	assert_int_equal(run->status, status);
	if (!g_str_has_prefix(run->out, out))
		fail_msg("\"%s\" does not begin with \"%s\"", run->out, out);
	assert_contains(run->err, err);
}

static void a_policy_is_checked(void **state)
{
	g_autofree char *tagseal = support_program("tagseal");
	policy_files *files = sample_files();
	g_autofree char *good = written(sample_files(), "good-policy"), *bad = NULL;
	autoptr(run) yes = support_run(tagseal, "policy", "check", good, NULL);
	autoptr(run) json = support_run(tagseal, "policy", "check", "--json", good, NULL);
	autoptr(run) nowhere = support_run(tagseal, "policy", "check", "/nonexistent", NULL);
	autoptr(run) no = NULL;

	sample_replace(files, SAMPLE_PROJECT, "taggers", "tagers");
	bad = written(files, "bad-policy");
	no = support_run(tagseal, "policy", "check", bad, NULL);
	answers(yes, 0, "good\npeople 4, maintainers 3 (a change needs 2), projects 1, policies 2\n", "");
	answers(json, 0, "{", "");
	assert_contains(json->out, "\"name\": \"acme/widget\"");
	answers(nowhere, 3, "", "/nonexistent");
	answers(no, 1, "", "projects/acme-widget.toml:9:1: unknown key \"tagers\"; did you mean \"taggers\"?\n");
}

static void wrong_use_is_a_document_too(void **state)
{
	g_autofree char *tagseal = support_program("tagseal");
	autoptr(run) verify = support_run(tagseal, "policy", "verify", "--json", "--root", "5f2ab3", "/", NULL);
	autoptr(run) approval = support_run(tagseal, "verify-approval", "--json", "-", NULL);
	autoptr(run) audit = support_run(tagseal, "audit", "--json", "--policy-root", "5f2ab3", "/", NULL);

	answers(verify, 2, "{", "policy verify needs --root");
	answers(approval, 2, "{", "verify-approval needs --people");
	answers(audit, 2, "{", "--policy-root wants a commit's full id");
}

static void a_format_that_does_not_exist_is_told(void **state)
{
	g_autofree char *tagseal = support_program("tagseal");
	policy_files *files = sample_files();
	g_autofree char *folder = NULL;
	autoptr(run) no = NULL;

	sample_replace(files, SAMPLE_PROJECT, "\"cms\"", "\"csm\"");
	folder = written(files, "format-policy");
	no = support_run(tagseal, "policy", "check", folder, NULL);
	answers(no, 1, "",
	    "projects/acme-widget.toml:21: artifact \"widget-{version}.zip\" of policy \"test\" is to be signed as "
	    "\"csm\", and "
	    "this version of tagseal has no such format");
}

static void a_policy_repository_is_verified(void **state)
{
	g_autofree char *tagseal = support_program("tagseal");
	g_autofree char *folder = written(sample_files(), "policy-clone"), *root = NULL, *first = NULL, *later = NULL;
	autoptr(run) yes = NULL;
	autoptr(run) other = NULL;
	autoptr(run) no = NULL;

	g_free(support_must_in(folder, "sh", "-c", "git init -q && git add . && git commit -qm Root", NULL));
	root = support_must_in(folder, "git", "rev-parse", "HEAD", NULL);
	first = g_strdup_printf("good\nin force  %s\ntip       %s (0 commits verified)\n", root, root);
	yes = support_run(tagseal, "policy", "verify", "--root", root, folder, NULL);
	answers(yes, 0, first, "");
	g_free(support_must_in(folder, "git", "commit", "-q", "--allow-empty", "-m", "Unsigned", NULL));
	later = support_must_in(folder, "git", "rev-parse", "HEAD", NULL);
	no = support_run(tagseal, "policy", "verify", "--root", root, folder, NULL);
	answers(no, 1, "", "is not signed: every change of the policy is signed by a maintainer");
	assert_contains(no->err, later);
	other = support_run(tagseal, "policy", "verify", "--root", "HEAD", folder, NULL);
	answers(other, 2, "", "policy verify needs --root with the root commit's full id of 40 hex digits");
}

#define OBJECT "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"

static struct run *verify_approval(const char *people, const char *project, const char *file)
{
	g_autofree char *tagseal = support_program("tagseal");

	return support_run(tagseal, "verify-approval", "--people", people, "--project", project, "--tag", "v1.2.0",
	    "--tag-object", OBJECT, "--policy", "release", file, NULL);
}

static void an_approval_is_verified(void **state)
{
	g_autofree char *tagseal = support_program("tagseal");
	g_autofree char *policy = written(sample_files(), "people-policy");
	g_autofree char *people = g_build_filename(policy, "people", NULL), *file = support_path("approval");
	g_autoptr(GBytes) raw = sample_sign_commit(
	    "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor Bob <bob@example.org> 1767225600 +0000\n"
	    "committer Bob <bob@example.org> 1767225600 +0000\n\nApprove\n\nTagseal-Approve: "
	    "v1.2.0\nTagseal-Tag: " OBJECT "\nTagseal-Project: acme/widget\nTagseal-Policy: release\n",
	    "bob");
	autoptr(run) yes = NULL;
	autoptr(run) no = NULL;
	autoptr(run) wrong = support_run(tagseal, "verify-approval", "--people", people, file, NULL);

	support_write_bytes(file, g_bytes_get_data(raw, NULL), g_bytes_get_size(raw));
	yes = verify_approval(people, "acme/widget", file);
	no = verify_approval(people, "acme/gadget", file);
	answers(yes, 0, "counts bob\n", "");
	answers(no, 1, "", "does not count: it is for project acme/widget, and this release is of project acme/gadget");
	answers(wrong, 2, "", "verify-approval needs --people, --project, --tag, --tag-object and --policy");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_is_checked),
		cmocka_unit_test(wrong_use_is_a_document_too),
		cmocka_unit_test(a_format_that_does_not_exist_is_told),
		cmocka_unit_test(a_policy_repository_is_verified),
		cmocka_unit_test(an_approval_is_verified),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
