#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/people.h"
#include "tests/unit/support_trust.h"

/* Two keys, made by ssh-keygen in setup(). */
static char *key_a, *key_b, *id_a, *id_b;

/* "people/alice.toml", text, …, NULL as a policy's files. */
static policy_files *files_of(const char *path, ...)
{
	policy_files *files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	va_list args;

	va_start(args, path);
	for (; path != NULL; path = va_arg(args, const char *)) {
		const char *text = va_arg(args, const char *);
		g_hash_table_insert(files, g_strdup(path), g_bytes_new(text, strlen(text)));
	}
	va_end(args);
	return files;
}

static struct people *loaded(policy_files *files)
{
	g_autoptr(GHashTable) owned = files;
	g_autoptr(GError) error = NULL;
	struct people *people = people_load(files, &error);

	if (people == NULL)
		fail_msg("%s", error->message);
	return people;
}

static void refused(policy_files *files, const char *words)
{
	g_autoptr(GHashTable) owned = files;
	g_autoptr(GError) error = NULL;
	autoptr(people) people = people_load(files, &error);

	assert_null(people);
	assert_refusal(error, words);
}

static void alice_refused(const char *text, const char *words)
{
	refused(files_of("people/alice.toml", text, NULL), words);
}

static char *with_key(const char *name, const char *key, const char *more)
{
	return g_strdup_printf("name = \"%s\"\nssh = [\"%s\"]\n%s", name, key, more);
}

static int setup(void **state)
{
	if (trust_setup(state) != 0)
		return -1;
	trust_run("for k in a b; do ssh-keygen -q -t ed25519 -N '' -C x -f $k; done; git init -q repo; cd repo\n"
		  "git config gpg.format ssh; git config user.name Alice; git config user.email alice@example.org\n"
		  "git config user.signingkey ../a; git commit -q --allow-empty -m one");
	key_a = trust_text("cat a.pub");
	key_b = trust_text("cat b.pub");
	id_a = trust_text("ssh-keygen -lf a.pub | cut -d' ' -f2");
	id_b = trust_text("ssh-keygen -lf b.pub | cut -d' ' -f2");
	return 0;
}

static int teardown(void **state)
{
	g_free(key_a);
	g_free(key_b);
	g_free(id_a);
	g_free(id_b);
	return trust_teardown(state);
}

/* --- files --- */

static void people_are_read_with_their_groups_and_addresses(void **state)
{
	g_autofree char *alice = with_key(
	    "Alice", key_a, "email = [\"Alice@Example.org\"]\ngroups = [\"release-managers\", \"developers\"]\n");
	autoptr(people) people = loaded(files_of("people/carol.toml", "name = \"Carol\"\n", "people/alice.toml", alice,
	    "people/README", "not a person", "policy.toml", "not ours", NULL));

	assert_string_equal(people_names(people)[0], "alice");
	assert_string_equal(people_names(people)[1], "carol");
	assert_null(people_names(people)[2]);
	assert_true(people_exists(people, "carol") && !people_exists(people, "bob"));
	assert_true(people_in_group(people, "alice", "developers"));
	assert_false(people_in_group(people, "carol", "developers") || people_in_group(people, "bob", "developers"));
	assert_string_equal(people_by_email(people, " alice@example.ORG"), "alice");
	assert_null(people_by_email(people, "alice@example.com"));
}

static void mistakes_are_told_with_file_line_and_column(void **state)
{
	alice_refused("name = \"A\"\nopengpg = []\n", "people/alice.toml:2:1: ");
	alice_refused("name = \"A\"\nopengpg = []\n", "opengpg");
	alice_refused("name = \"A\"\nname = \"B\"\n", "people/alice.toml:2:");
	alice_refused("email = []\n", "name");
	alice_refused("name = \"A\"\nssh = \"ssh-ed25519 AAAA\"\n", "people/alice.toml:2:1: it must be an array");
	alice_refused("name = \"A\"\nssh = [1]\n", "people/alice.toml:2:8: ");
	alice_refused("name = \"A\"\nssh = [\"ssh-ed25519 AAAA\"]\n", "people/alice.toml:2:8: ");
	alice_refused("name = \"A\"\nssh = [\"nonsense\"]\n", "not an SSH public key");
	alice_refused("name = \"A\"\nemail = [\"a@b\", \"nonsense\"]\n", "people/alice.toml:2:17: not a mail address");
	alice_refused("name = \"A\"\ngroups = [\"@all\"]\n", "people/alice.toml:2:11: a group's name");
	alice_refused("name = \"\"\n", "a name must be one line");
}

static void file_names_are_plain(void **state)
{
	refused(files_of("people/Alice.toml", "name = \"A\"\n", NULL), "a person's file name is made of");
	refused(files_of("people/a b.toml", "name = \"A\"\n", NULL), "a person's file name is made of");
	refused(files_of("people/team/bob.toml", "name = \"A\"\n", NULL), "a person's file name is made of");
	refused(files_of("people/.toml", "name = \"A\"\n", NULL), "a person's file name is made of");
}

static void a_key_under_two_people_makes_the_set_invalid(void **state)
{
	g_autofree char *alice = with_key("Alice", key_a, ""), *bob = with_key("Bob", key_a, "");

	refused(files_of("people/alice.toml", alice, "people/bob.toml", bob, NULL), "people/bob.toml:2:8: ");
	refused(files_of("people/alice.toml", alice, "people/bob.toml", bob, NULL), "stands in people/alice.toml too");
}

static void an_address_under_two_people_makes_the_set_invalid(void **state)
{
	refused(files_of("people/alice.toml", "name = \"A\"\nemail = [\"a@b\"]\n", "people/bob.toml",
		    "name = \"B\"\nemail = [\"A@B\"]\n", NULL),
	    "the address A@B stands in people/alice.toml too");
}

static void revocations_name_full_keys(void **state)
{
	alice_refused("name = \"A\"\n[[revoked]]\nkey = \"DEADBEEF\"\n", "is no full key id");
	alice_refused("name = \"A\"\n[[revoked]]\nkey = \"0123456789ABCDEF\"\n", "is no full key id");
	alice_refused("name = \"A\"\n[[revoked]]\nkey = \"SHA256:abc\"\n", "is no full key id");
	alice_refused("name = \"A\"\n[[revoked]]\nwhy = \"lost\"\n", "key");
	alice_refused("name = \"A\"\nrevoked = 1\n", "it must be an array");
}

static void the_time_of_a_revocation_has_an_offset(void **state)
{
	g_autofree char *local =
	    g_strdup_printf("name = \"A\"\n[[revoked]]\nkey = \"%s\"\nsince = 2026-03-01T00:00:00\n", id_a);
	g_autofree char *text =
	    g_strdup_printf("name = \"A\"\n[[revoked]]\nkey = \"%s\"\nsince = \"2026-03-01T00:00:00Z\"\n", id_a);

	alice_refused(local, "offset");
	alice_refused(text, "people/alice.toml:4:1: ");
}

static void certificates_of_people_need_their_roots_beside_them(void **state)
{
	const char *text = "name = \"A\"\nx509 = [{ subject = \"a@b\", roots = \"corp.pem\" }]\n";
	g_autofree char *pem =
	    trust_text("openssl req -x509 -newkey ed25519 -nodes -keyout corp.key -subj /CN=Corp 2>/dev/null");
	autoptr(people) people = loaded(files_of("people/alice.toml", text, "people/corp.pem", pem, NULL));

	assert_true(people_exists(people, "alice"));
	alice_refused(text, "people/alice.toml:2:9: there is no file \"people/corp.pem\" beside it");
	alice_refused("name = \"A\"\nx509 = [{ subject = \"a@b\" }]\n", "roots");
	alice_refused("name = \"A\"\nx509 = [\"a@b\"]\n", "it must be one of the tables { subject, roots }");
	refused(
	    files_of("people/alice.toml", text, "people/corp.pem", "pem", NULL), "no certificate in PEM stands there");
}

/* --- folders --- */

static void folders_are_read_as_trees(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GHashTable) files = NULL;

	trust_run("rm -rf tree; mkdir -p tree/people tree/.git; echo x >tree/.git/config; echo 1 >tree/policy.toml\n"
		  "echo 'name = \"A\"' >tree/people/alice.toml");
	files = policy_files_from_dir("tree", &error);
	assert_non_null(files);
	assert_int_equal(g_hash_table_size(files), 2);
	assert_non_null(g_hash_table_lookup(files, "people/alice.toml"));
}

static void links_in_a_folder_are_refused(void **state)
{
	g_autoptr(GError) error = NULL;

	trust_run("rm -rf tree; mkdir tree; ln -s /etc/passwd tree/alice.toml");
	assert_null(people_load_dir("tree", &error));
	assert_refusal(error, "links are not followed");
}

static void a_folder_without_people_is_not_an_answer(void **state)
{
	g_autoptr(GError) missing = NULL;
	g_autoptr(GError) empty = NULL;

	trust_run("rm -rf tree; mkdir tree");
	assert_null(people_load_dir("tree", &empty));
	assert_true(g_error_matches(empty, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN));
	assert_null(people_load_dir("nowhere", &missing));
	assert_true(g_error_matches(missing, TAGSEAL_ERROR, TAGSEAL_ERROR_NOT_FOUND));
}

/* --- who signed --- */

static struct commit *commit_by(const char *config, const char *option)
{
	g_autoptr(GBytes) raw =
	    trust_output("cd repo; git %s commit -q --allow-empty -S %s -m x; git cat-file commit HEAD", config, option);
	struct commit *commit = commit_parse(raw, NULL);

	assert_non_null(commit);
	return commit;
}

static struct people *alice_and_bob(const char *more)
{
	g_autofree char *email = g_strdup_printf("email = [\"alice@example.org\"]\n%s", more);
	g_autofree char *alice = with_key("Alice", key_a, email);
	g_autofree char *bob = with_key("Bob", key_b, "email = [\"bob@example.org\"]\n");

	return loaded(files_of("people/alice.toml", alice, "people/bob.toml", bob, NULL));
}

static void verify_refused(const struct people *people, const struct commit *commit, int64_t at, const char *words)
{
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	assert_false(people_verify_commit(people, commit, at, &signer, &error));
	assert_refusal(error, words);
}

static void identity_comes_from_the_key_alone(void **state)
{
	autoptr(people) people = alice_and_bob("");
	autoptr(commit) commit = commit_by("-c user.name=Carol -c user.email=carol@example.com", "");
	struct signer signer = { 0 };

	assert_true(people_verify_commit(people, commit, 0, &signer, NULL));
	assert_string_equal(signer.person, "alice");
	assert_string_equal(signer.key, id_a);
	signer_clear(&signer);
}

static void another_persons_address_is_refused(void **state)
{
	autoptr(people) people = alice_and_bob("");
	autoptr(commit) committer = commit_by("-c user.email=Bob@example.org", "--author 'Alice <alice@example.org>'");
	autoptr(commit) author = commit_by("", "--author 'Bob <bob@example.org>'");

	verify_refused(people, committer, 0, "the committer's address Bob@example.org is bob's");
	verify_refused(people, author, 0, "alice signed it, but the author's address bob@example.org is bob's");
}

static void unsigned_commits_are_nobodys(void **state)
{
	autoptr(people) people = alice_and_bob("");
	g_autoptr(GBytes) raw = trust_output("cd repo; git commit -q --allow-empty -m x; git cat-file commit HEAD");
	autoptr(commit) commit = commit_parse(raw, NULL);

	verify_refused(people, commit, 0, "the commit is not signed");
}

static void a_revoked_key_does_not_count_from_then_on(void **state)
{
	g_autofree char *revoked =
	    g_strdup_printf("[[revoked]]\nkey = \"%s\"\nsince = 2026-03-01T00:00:00Z\nwhy = \"laptop lost\"\n", id_a);
	autoptr(people) people = alice_and_bob(revoked);
	autoptr(commit) commit = commit_by("", "");
	struct signer signer = { 0 };
	int64_t since = 0;

	assert_true(time_parse_ms("2026-03-01T00:00:00Z", &since));
	assert_true(people_verify_commit(people, commit, since - 1, &signer, NULL));
	signer_clear(&signer);
	verify_refused(
	    people, commit, since, "is revoked since 2026-03-01T00:00:00.000Z (laptop lost, people/alice.toml)");
}

static void a_key_revoked_without_a_time_never_counted(void **state)
{
	g_autofree char *revoked = g_strdup_printf("[[revoked]]\nkey = \"%s\"\n", id_a);
	autoptr(people) people = alice_and_bob(revoked);
	autoptr(commit) commit = commit_by("", "");

	verify_refused(people, commit, 0, "is revoked since ever");
}

static void a_signature_in_a_format_of_which_nobody_has_a_key_is_refused(void **state)
{
	autoptr(people) people = alice_and_bob("");
	g_autoptr(GBytes) payload = g_bytes_new_static("x", 1);
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	assert_false(people_verify(people, SIGNATURE_X509,
	    "-----BEGIN SIGNED MESSAGE-----\nBQA=\n-----END SIGNED MESSAGE-----\n", payload, 0, &signer, &error));
	assert_refusal(error, "X.509 signature: message at offset 0: tag 05 stands where 30 is due");
}

/* --- rights compared --- */

static gboolean widened(const char *before, const char *now)
{
	g_autofree char *a = with_key("Alice", key_a, before), *b = with_key("Alice", key_a, now);
	autoptr(people) was = loaded(files_of("people/alice.toml", a, NULL));
	autoptr(people) is = loaded(files_of("people/alice.toml", b, NULL));

	return people_widened(was, is, "alice");
}

static void a_group_or_a_lifted_revocation_widens_rights(void **state)
{
	g_autofree char *always = g_strdup_printf("[[revoked]]\nkey = \"%s\"\n", id_a);
	g_autofree char *early = g_strdup_printf("%ssince = 2026-01-01T00:00:00Z\n", always);
	g_autofree char *late = g_strdup_printf("%ssince = 2026-02-01T00:00:00Z\n", always);

	assert_true(widened("groups = [\"a\"]\n", "groups = [\"b\"]\n"));
	assert_false(widened("groups = [\"a\", \"b\"]\n", "groups = [\"b\"]\n"));
	assert_true(widened(always, ""));
	assert_true(widened(early, late));
	assert_false(widened("", always) || widened(late, early));
}

static void a_new_key_or_person_widens_rights(void **state)
{
	g_autofree char *one = with_key("Alice", key_a, ""), *other = with_key("Alice", key_b, "");
	g_autofree char *both = g_strdup_printf("name = \"Alice\"\nssh = [\"%s\", \"%s\"]\n", key_a, key_b);
	autoptr(people) a = loaded(files_of("people/alice.toml", one, NULL));
	autoptr(people) b = loaded(files_of("people/alice.toml", other, NULL));
	autoptr(people) ab = loaded(files_of("people/alice.toml", both, NULL));
	autoptr(people) nobody = loaded(files_of("policy.toml", "", NULL));

	assert_true(
	    people_widened(a, b, "alice") && people_widened(a, ab, "alice") && people_widened(nobody, a, "alice"));
	assert_false(
	    people_widened(ab, a, "alice") || people_widened(a, a, "alice") || people_widened(a, nobody, "alice"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(people_are_read_with_their_groups_and_addresses),
		cmocka_unit_test(mistakes_are_told_with_file_line_and_column),
		cmocka_unit_test(file_names_are_plain),
		cmocka_unit_test(a_key_under_two_people_makes_the_set_invalid),
		cmocka_unit_test(an_address_under_two_people_makes_the_set_invalid),
		cmocka_unit_test(revocations_name_full_keys),
		cmocka_unit_test(the_time_of_a_revocation_has_an_offset),
		cmocka_unit_test(certificates_of_people_need_their_roots_beside_them),
		cmocka_unit_test(folders_are_read_as_trees),
		cmocka_unit_test(links_in_a_folder_are_refused),
		cmocka_unit_test(a_folder_without_people_is_not_an_answer),
		cmocka_unit_test(identity_comes_from_the_key_alone),
		cmocka_unit_test(another_persons_address_is_refused),
		cmocka_unit_test(unsigned_commits_are_nobodys),
		cmocka_unit_test(a_revoked_key_does_not_count_from_then_on),
		cmocka_unit_test(a_key_revoked_without_a_time_never_counted),
		cmocka_unit_test(a_signature_in_a_format_of_which_nobody_has_a_key_is_refused),
		cmocka_unit_test(a_group_or_a_lifted_revocation_widens_rights),
		cmocka_unit_test(a_new_key_or_person_widens_rights),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
