#include <string.h>

#include "gitops/people.h"
#include "tests/unit/support_ssh.h"
#include "tests/unit/support_trust.h"

/* --- helpers --- */

#define NOW 1800000000000

static void person_write(const char *id, const char *public_key)
{
	g_autofree char *path = g_strdup_printf("people/%s.toml", id);
	g_autofree char *text =
	    g_strdup_printf("name = \"%s\"\nemail = [\"%s@example.org\"]\nssh = [\"%s\"]\n", id, id, public_key);

	support_write(path, text);
}

/* A person for the key file KEY.pub alone. */
static void person_has(const char *key)
{
	g_autofree char *public_key = trust_text("rm -rf people; mkdir people; cat %s.pub", key);

	person_write("alice", public_key);
}

static void tag_refused(GBytes *raw, const char *words)
{
	trust_tag_refused(raw, NOW, words);
}

static void tag_good(GBytes *raw, const char *key, gboolean hardware)
{
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	if (!trust_tag_verified(raw, NOW, &signer, &error))
		fail_msg("%s", error->message);
	assert_string_equal(signer.person, "alice");
	assert_int_equal(signer.format, SIGNATURE_SSH);
	assert_string_equal(signer.key, key);
	assert_int_equal(signer.hardware, hardware);
	signer_clear(&signer);
}

static char *key_id(const char *key)
{
	return trust_text("ssh-keygen -lf %s.pub | cut -d' ' -f2", key);
}

/* A tag of that name by git itself, which must also call it good. */
static GBytes *git_tag(const char *key, const char *name)
{
	trust_run("cd repo; git -c gpg.format=ssh -c user.signingkey=\"$TRUST\"/%s tag -fs -m 'Release' %s\n"
		  "echo \"alice@example.org $(cat ../%s.pub)\" >../allowed\n"
		  "git -c gpg.ssh.allowedSignersFile=\"$TRUST\"/allowed verify-tag %s",
	    key, name, key, name);
	return trust_output("cd repo; git cat-file tag %s", name);
}

/* git_tag()'s payload with the signature that ssh-keygen makes over it with these options. */
static GBytes *tag_with(const char *key, const char *options)
{
	return trust_output(
	    "cd repo; printf 'object %%s\\ntype commit\\ntag v9\\ntagger Alice <alice@example.org> 1 +0000\\n\\nm\\n' "
	    "$(git rev-parse HEAD) >../payload; cd ..; rm -f payload.sig\n"
	    "ssh-keygen -q -Y sign -f %s %s payload; cat payload payload.sig",
	    key, options);
}

static int setup(void **state)
{
	if (trust_setup(state) != 0)
		return -1;
	trust_run("for t in ed25519 'ecdsa -b 256' 'ecdsa -b 384' 'ecdsa -b 521' 'rsa -b 3072' 'rsa -b 2048'; do\n"
		  "ssh-keygen -q -t $t -N '' -C alice@example.org -f k-$(echo $t | tr -d ' -'); done\n"
		  "git init -q repo; cd repo; git config user.name Alice; git config user.email alice@example.org\n"
		  "git commit -q --allow-empty -m one");
	return 0;
}

/* --- signatures of git --- */

static void signatures_that_git_makes_are_good(void **state)
{
	static const char *const keys[] = { "k-ed25519", "k-ecdsab256", "k-ecdsab384", "k-ecdsab521", "k-rsab3072" };

	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autoptr(GBytes) raw = git_tag(keys[i], "v1");
		g_autofree char *id = key_id(keys[i]);

		person_has(keys[i]);
		tag_good(raw, id, FALSE);
	}
}

static void changed_bytes_are_refused(void **state)
{
	static const char *const keys[] = { "k-ed25519", "k-ecdsab521", "k-rsab3072" };

	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autoptr(GBytes) raw = git_tag(keys[i], "v1"), forged = trust_replace(raw, "Release", "Forgery");

		person_has(keys[i]);
		tag_refused(forged, "the signature does not fit these bytes");
	}
}

static void a_strangers_key_is_refused(void **state)
{
	g_autoptr(GBytes) raw = git_tag("k-ecdsab256", "v1");
	g_autofree char *id = key_id("k-ecdsab256");
	g_autofree char *words = g_strdup_printf("%s that signed belongs to no known person", id);

	person_has("k-ed25519");
	tag_refused(raw, words);
}

static void signed_commits_are_good_and_their_twins_are_not(void **state)
{
	g_autoptr(GBytes) raw =
	    trust_output("cd repo; git -c gpg.format=ssh -c user.signingkey=\"$TRUST\"/k-ed25519 commit -q "
			 "--allow-empty -S -m 'Approve'; git cat-file commit HEAD");
	g_autoptr(GBytes) forged = trust_replace(raw, "Approve", "Forgery");
	autoptr(commit) good = commit_parse(raw, NULL);
	autoptr(commit) bad = commit_parse(forged, NULL);
	autoptr(people) people = NULL;
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	person_has("k-ed25519");
	people = people_load_dir("people", NULL);
	assert_true(people_verify_commit(people, good, NOW, &signer, NULL));
	assert_string_equal(signer.person, "alice");
	signer_clear(&signer);
	assert_false(people_verify_commit(people, bad, NOW, &signer, &error));
	assert_refusal(error, "does not fit these bytes");
}

/* --- rules that ssh-keygen does not have, or that hang on its options --- */

static void a_signature_for_another_namespace_is_refused(void **state)
{
	g_autoptr(GBytes) good = tag_with("k-ed25519", "-n git"), file = tag_with("k-ed25519", "-n file");
	g_autofree char *id = key_id("k-ed25519");

	person_has("k-ed25519");
	tag_good(good, id, FALSE);
	tag_refused(file, "made for \"file\", not for \"git\"");
}

static void both_hashes_are_good(void **state)
{
	g_autoptr(GBytes) one = tag_with("k-rsab3072", "-n git -O hashalg=sha256");
	g_autoptr(GBytes) two = tag_with("k-ed25519", "-n git -O hashalg=sha256");
	g_autofree char *rsa = key_id("k-rsab3072"), *ed25519 = key_id("k-ed25519");

	person_has("k-rsab3072");
	tag_good(one, rsa, FALSE);
	person_has("k-ed25519");
	tag_good(two, ed25519, FALSE);
}

static void short_rsa_keys_are_refused_in_the_policy(void **state)
{
	person_has("k-rsab2048");
	trust_people_refused("people/alice.toml:3:8: ");
	trust_people_refused("RSA of 2048 bits; 3072 to 16384 are taken");
}

/* --- signatures made by hand, field by field --- */

/* A whole tag signed so, whose key is alice's. */
static GBytes *forged(const struct forge *f)
{
	GBytes *raw = forge_tag(f);

	person_has("forged");
	return raw;
}

static void forged_refused(struct forge f, const char *words)
{
	g_autoptr(GBytes) raw = forged(&f);

	tag_refused(raw, words);
}

static void security_keys_are_good_with_a_touch(void **state)
{
	g_autoptr(GBytes) one = forged(&forge_sk_ed25519);
	g_autofree char *one_id = key_id("forged");
	g_autoptr(GBytes) two = NULL;
	g_autofree char *two_id = NULL;

	tag_good(one, one_id, TRUE);
	assert_int_equal(forge_judged(one), 0);
	two = forged(&forge_sk_ecdsa);
	two_id = key_id("forged");
	tag_good(two, two_id, TRUE);
	assert_int_equal(forge_judged(two), 0);
}

static void a_security_key_that_nobody_touched_is_refused(void **state)
{
	struct forge f = forge_sk_ed25519;
	g_autoptr(GBytes) raw = NULL;

	f.flags = 0;
	raw = forged(&f);
	tag_refused(raw, "nobody touched the key");
	assert_int_equal(forge_judged(raw), 0); /* which is why the rule must be ours */
	f.flags = 4;
	forged_refused(f, "nobody touched the key");
	f.flags = 0x41;
	forged_refused(f, "unknown bits");
}

static void a_security_key_for_web_sites_is_refused(void **state)
{
	struct forge f = forge_sk_ecdsa;
	g_autoptr(GBytes) raw = NULL;

	f.application = "webauthn.io";
	raw = forged(&f);
	trust_people_refused("it must be \"ssh:\"");
}

static void a_signature_made_by_hand_is_good(void **state)
{
	g_autoptr(GBytes) raw = forged(&forge_ed25519);
	g_autofree char *id = key_id("forged");

	tag_good(raw, id, FALSE);
	assert_int_equal(forge_judged(raw), 0);
}

static void fields_that_nothing_signs_are_refused(void **state)
{
	struct forge f = forge_ed25519;
	g_autoptr(GBytes) raw = NULL;

	f.reserved = "x";
	raw = forged(&f);
	tag_refused(raw, "it must be empty, since nothing signs it");
	assert_int_equal(forge_judged(raw), 0);
	f = forge_ed25519;
	f.after = "x";
	forged_refused(f, "SSH signature: 1 byte");
	f = forge_ed25519;
	f.after_signature = "x";
	forged_refused(f, "SSH signature: 1 byte");
}

static void other_versions_hashes_and_algorithms_are_refused(void **state)
{
	struct forge f = forge_ed25519;

	f.version = 2;
	forged_refused(f, "version 2; only 1 is known");
	f = forge_ed25519;
	f.hash = "sha1";
	forged_refused(f, "only sha256 and sha512 are taken");
	f = forge_ed25519;
	f.algorithm = "ssh-rsa";
	forged_refused(f, "it must be ssh-ed25519");
}

static void broken_base64_is_refused(void **state)
{
	g_autoptr(GBytes) raw = forged(&forge_ed25519);
	g_autoptr(GBytes) bad = trust_replace(raw, "SIGNATURE-----\n", "SIGNATURE-----\n*");

	tag_refused(bad, "is not base64");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_that_git_makes_are_good),
		cmocka_unit_test(changed_bytes_are_refused),
		cmocka_unit_test(a_strangers_key_is_refused),
		cmocka_unit_test(signed_commits_are_good_and_their_twins_are_not),
		cmocka_unit_test(a_signature_for_another_namespace_is_refused),
		cmocka_unit_test(both_hashes_are_good),
		cmocka_unit_test(short_rsa_keys_are_refused_in_the_policy),
		cmocka_unit_test(security_keys_are_good_with_a_touch),
		cmocka_unit_test(a_security_key_that_nobody_touched_is_refused),
		cmocka_unit_test(a_security_key_for_web_sites_is_refused),
		cmocka_unit_test(a_signature_made_by_hand_is_good),
		cmocka_unit_test(fields_that_nothing_signs_are_refused),
		cmocka_unit_test(other_versions_hashes_and_algorithms_are_refused),
		cmocka_unit_test(broken_base64_is_refused),
	};
	return cmocka_run_group_tests(tests, setup, trust_teardown);
}
