#include "tests/unit/support_trust.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gitops/people.h"

#define NOW time_now_ms()
#define DAY 86400000

/* --- helpers --- */

/* `extra` goes to gpg as it stands; the fingerprint. */
static char *key_new(const char *extra, const char *algorithm, const char *usage, const char *expiry)
{
	static int number;

	number++;
	return trust_text("gpg -q --batch --passphrase '' --status-fd 1 %s --quick-gen-key k%d@example.org %s %s %s |\n"
			  "awk '/KEY_CREATED/ {print $4}'",
	    extra, number, algorithm, usage, expiry);
}

/* alice, whose certificate is that key's as it stands now. */
static void person_has(const char *fingerprint)
{
	trust_run("rm -rf people; mkdir people; gpg --armor --export %s >people/alice.asc\n"
		  "printf 'name = \"Alice\"\\nopenpgp = [\"alice.asc\"]\\n' >people/alice.toml",
	    fingerprint);
}

/* A tag whose payload gpg signed with these options. */
static GBytes *tag_with(const char *key, const char *options)
{
	return trust_output(
	    "printf 'object %%040d\\ntype commit\\ntag v9\\ntagger Alice <a@b> 1 +0000\\n\\nRelease\\n' 1 >payload\n"
	    "gpg -q --batch --yes %s -u %s! -abso payload.asc payload; cat payload payload.asc",
	    options, key);
}

/* A tag by git itself, which must also call it good. */
static GBytes *git_tag(const char *key)
{
	return trust_output("cd repo; git -c user.signingkey=%s! tag -fs -m Release v1 >&2; git verify-tag v1 >&2\n"
			    "git cat-file tag v1",
	    key);
}

static void refused(GBytes *raw, const char *words)
{
	trust_tag_refused(raw, NOW, words);
}

static void good_at(GBytes *raw, int64_t at, const char *fingerprint)
{
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	if (!trust_tag_verified(raw, at, &signer, &error))
		fail_msg("%s", error->message);
	assert_string_equal(signer.person, "alice");
	assert_int_equal(signer.format, SIGNATURE_OPENPGP);
	assert_string_equal(signer.key, fingerprint);
	assert_false(signer.hardware);
	signer_clear(&signer);
}

static void good(GBytes *raw, const char *fingerprint)
{
	good_at(raw, NOW, fingerprint);
}

static char *ed25519; /* a key that most tests share */

static int setup(void **state)
{
	if (trust_setup(state) != 0)
		return -1;
	trust_run("git init -q repo; cd repo; git config user.name Alice; git config user.email a@b\n"
		  "git commit -q --allow-empty -m one");
	ed25519 = key_new("", "ed25519", "sign", "never");
	return 0;
}

static int teardown(void **state)
{
	g_free(ed25519);
	return trust_teardown(state);
}

/* --- good ones --- */

static void signatures_that_git_makes_are_good(void **state)
{
	static const char *const algorithms[] = { "rsa2048", "nistp256", "nistp384", "nistp521", "brainpoolP256r1" };
	g_autoptr(GBytes) raw = git_tag(ed25519);

	person_has(ed25519);
	good(raw, ed25519);
	for (size_t i = 0; i < G_N_ELEMENTS(algorithms); i++) {
		g_autofree char *key = key_new("", algorithms[i], "sign", "never");
		g_autoptr(GBytes) tag = git_tag(key);

		person_has(key);
		good(tag, key);
	}
}

static void signed_commits_are_good(void **state)
{
	g_autoptr(GBytes) raw = trust_output(
	    "cd repo; git -c user.signingkey=%s commit -q --allow-empty -S -m Approve; git verify-commit HEAD\n"
	    "git cat-file commit HEAD",
	    ed25519);
	autoptr(commit) commit = commit_parse(raw, NULL);
	autoptr(people) people = NULL;
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	person_has(ed25519);
	people = people_load_dir("people", NULL);
	assert_ok(people_verify_commit(people, commit, NOW, &signer, &error), error);
	assert_string_equal(signer.key, ed25519);
	signer_clear(&signer);
}

static void a_subkey_is_named_by_its_primary_key(void **state)
{
	g_autofree char *key = key_new("", "ed25519", "cert", "never");
	g_autofree char *subkey =
	    trust_text("gpg -q --batch --passphrase '' --quick-add-key %s ed25519 sign never >&2\n"
		       "gpg --list-keys --with-colons %s | awk -F: '/^fpr/ {f=$10} END {print f}'",
		key, key);
	g_autoptr(GBytes) raw = git_tag(subkey);

	person_has(key);
	good(raw, key);
	trust_run("printf '[[revoked]]\\nkey = \"%s\"\\n' >>people/alice.toml", subkey);
	refused(raw, "is revoked since ever");
}

static void text_signatures_and_comments_are_good(void **state)
{
	g_autoptr(GBytes) text = tag_with(ed25519, "--textmode"), comment = tag_with(ed25519, "--comment hello");

	person_has(ed25519);
	good(text, ed25519);
	good(comment, ed25519);
}

/* --- the signature itself --- */

static void changed_bytes_are_refused(void **state)
{
	g_autoptr(GBytes) raw = git_tag(ed25519), forged = trust_replace(raw, "Release", "Forgery");

	person_has(ed25519);
	refused(forged, "the signature does not fit these bytes");
}

static void a_strangers_key_is_refused(void **state)
{
	g_autofree char *other = key_new("", "ed25519", "sign", "never");
	g_autoptr(GBytes) raw = git_tag(other);
	g_autofree char *words = g_strdup_printf("the OpenPGP key %s that signed belongs to no known person", other);

	person_has(ed25519);
	refused(raw, words);
}

static void weak_hashes_are_refused_whatever_their_date(void **state)
{
	g_autofree char *old = key_new("--faked-system-time 20150101T000000!", "rsa3072", "sign", "never");
	g_autoptr(GBytes) sha1 = tag_with(old, "--digest-algo SHA1");
	g_autoptr(GBytes) backdated = tag_with(old, "--digest-algo SHA1 --faked-system-time 20160101T000000!");
	g_autoptr(GBytes) ripemd = tag_with(old, "--digest-algo RIPEMD160");
	g_autoptr(GBytes) sha224 = tag_with(old, "--digest-algo SHA224");

	person_has(old);
	refused(sha1, "2 (SHA-1) is refused");
	refused(backdated, "2 (SHA-1) is refused");
	refused(ripemd, "3 (RIPEMD-160) is refused");
	refused(sha224, "11 (SHA-224) is refused");
}

static void an_expired_signature_is_refused(void **state)
{
	g_autofree char *old = key_new("--faked-system-time 20230101T000000!", "ed25519", "sign", "never");
	g_autoptr(GBytes) raw = tag_with(old, "--faked-system-time 20230201T000000! --default-sig-expire 2d");

	person_has(old);
	refused(raw, "the OpenPGP signature of 2023-02-01T00:00:00.000Z had expired when it was first seen");
	good_at(raw, 1675209600000 + DAY, old);
}

static void a_signature_from_the_future_is_refused(void **state)
{
	g_autoptr(GBytes) raw = tag_with(ed25519, "--faked-system-time 20990101T000000!");

	person_has(ed25519);
	refused(raw, "made on 2099-01-01T00:00:00.000Z, which was still to come");
}

static void two_signatures_are_refused(void **state)
{
	g_autofree char *other = key_new("", "ed25519", "sign", "never");
	g_autofree char *options = g_strdup_printf("-u %s!", other);
	g_autoptr(GBytes) raw = tag_with(ed25519, options);

	person_has(ed25519);
	refused(raw, "exactly one signature must stand");
}

static void a_critical_notation_is_refused(void **state)
{
	g_autoptr(GBytes) plain = tag_with(ed25519, "--sig-notation a@example.org=x");
	g_autoptr(GBytes) critical = tag_with(ed25519, "--sig-notation '!a@example.org=x'");

	person_has(ed25519);
	good(plain, ed25519);
	refused(critical, "critical subpacket 20 is not understood");
}

static void signatures_that_are_not_over_documents_are_refused(void **state)
{
	g_autoptr(GBytes) raw = NULL;

	trust_run("gpg --export %s >cert; gpg -q --batch --yes -u %s -o whole --sign cert", ed25519, ed25519);
	raw = trust_output("printf 'object %%040d\\ntype commit\\ntag v9\\ntagger A <a@b> 1 +0000\\n\\nm\\n' 1\n"
			   "gpg --enarmor <whole | sed 's/PGP ARMORED FILE/PGP SIGNATURE/; /^Comment/d'");
	person_has(ed25519);
	refused(raw, "packet at offset 1: it has no length");
}

static void damaged_armor_is_refused(void **state)
{
	g_autoptr(GBytes) raw = tag_with(ed25519, "");
	g_autoptr(GBytes) no_blank = trust_replace(raw, "SIGNATURE-----\n\n", "SIGNATURE-----\n");
	g_autoptr(GBytes) bad_sum = trust_replace(raw, "\n=", "\n=A");
	g_autoptr(GBytes) not_base64 = trust_replace(raw, "SIGNATURE-----\n\n", "SIGNATURE-----\n\n*");

	person_has(ed25519);
	refused(no_blank, "no empty line before the base64");
	refused(bad_sum, "its checksum does not fit");
	refused(not_base64, "is not base64");
}

/* --- the key --- */

static void a_subkey_below_a_primary_key_that_is_refused_is_told_why(void **state)
{
	g_autofree char *dsa = key_new("", "dsa2048", "cert", "never");
	g_autoptr(GBytes) tag = NULL;

	trust_run("gpg -q --batch --passphrase '' --quick-add-key %s ed25519 sign never", dsa);
	tag = trust_output("cd repo; git -c user.signingkey=%s tag -fs -m Release v1 >&2; git cat-file tag v1", dsa);
	person_has(dsa);
	refused(tag, "keys of algorithm 17 (DSA) are refused; take Ed25519");
}

static void short_keys_and_dsa_are_refused(void **state)
{
	g_autofree char *rsa = key_new("", "rsa1024", "sign", "never"), *dsa = key_new("", "dsa2048", "sign", "never");
	g_autofree char *koblitz = key_new("", "secp256k1", "sign", "never");
	g_autoptr(GBytes) by_rsa = git_tag(rsa), by_dsa = git_tag(dsa), by_koblitz = git_tag(koblitz);

	person_has(rsa);
	refused(by_rsa, "RSA of 1024 bits is refused");
	person_has(dsa);
	refused(by_dsa, "17 (DSA) is refused");
	person_has(koblitz);
	refused(by_koblitz, "ECDSA on this curve or of this size is refused");
}

static void a_key_whose_flags_forbid_signing_is_refused(void **state)
{
	g_autofree char *key = key_new("", "rsa3072", "sign,cert", "never");
	g_autoptr(GBytes) raw = git_tag(key);

	person_has(key);
	good(raw, key);
	trust_run(
	    "printf 'change-usage\\ns\\nq\\nsave\\n' | gpg --batch --command-fd 0 --no-tty --expert --edit-key %s", key);
	person_has(key);
	refused(raw, "its key flags do not allow signing");
}

static void a_key_that_expired_is_refused_from_then_on(void **state)
{
	g_autofree char *old = key_new("--faked-system-time 20230101T000000!", "ed25519", "sign", "20230301T000000");
	g_autoptr(GBytes) raw = tag_with(old, "--faked-system-time 20230201T000000!");

	person_has(old);
	refused(raw, "it expired on 2023-03-01T00:00:00.000Z");
	good_at(raw, 1675209600000 + DAY, old);
}

static void an_expired_primary_key_ends_its_subkeys(void **state)
{
	g_autofree char *key = key_new("--faked-system-time 20230101T000000!", "ed25519", "cert", "20230301T000000");
	g_autofree char *subkey =
	    trust_text("gpg -q --batch --passphrase '' --faked-system-time 20230101T000000! --quick-add-key %s ed25519 "
		       "sign never >&2\n"
		       "gpg --list-keys --with-colons %s | awk -F: '/^fpr/ {f=$10} END {print f}'",
		key, key);
	g_autoptr(GBytes) raw = tag_with(subkey, "--faked-system-time 20230201T000000!");

	person_has(key);
	refused(raw, "it expired on 2023-03-01T00:00:00.000Z");
	good_at(raw, 1675209600000 + DAY, key);
}

/* alice's certificate, after a shell filter changed its bytes. */
static void person_has_changed(const char *fingerprint, const char *filter)
{
	person_has(fingerprint);
	trust_run(
	    "gpg --export %s | %s >changed; ! cmp -s changed <(gpg --export %s)\n"
	    "gpg --enarmor <changed | sed 's/PGP ARMORED FILE/PGP PUBLIC KEY BLOCK/; /^Comment/d' >people/alice.asc",
	    fingerprint, filter, fingerprint);
}

static void a_subkey_that_did_not_certify_its_primary_is_refused(void **state)
{
	g_autofree char *key = key_new("", "ed25519", "cert", "never");
	g_autofree char *subkey =
	    trust_text("gpg -q --batch --passphrase '' --quick-add-key %s ed25519 sign never >&2\n"
		       "gpg --list-keys --with-colons %s | awk -F: '/^fpr/ {f=$10} END {print f}'",
		key, key);
	g_autoptr(GBytes) raw = git_tag(subkey);

	/* The embedded signature becomes a subpacket of an unknown type; it stands where the binding does not sign it. */
	person_has_changed(key, "LC_ALL=C sed 's/\\x20\\x04\\x19/\\x64\\x04\\x19/'");
	refused(raw, "its certificate does not bind it");
}

static void a_certificate_that_nobody_signed_is_refused(void **state)
{
	g_autofree char *key = key_new("", "ed25519", "sign", "never");
	g_autoptr(GBytes) raw = git_tag(key);

	person_has_changed(key, "(head -c -2; printf '\\x01\\x02')");
	refused(raw, "OpenPGP key");
}

/* Revokes by gpg's menu: 0 no reason, 1 compromised, 2 superseded, 3 no longer used. */
static void revoke_key(const char *key, int menu, const char *options)
{
	trust_run("printf 'y\\n%d\\n\\ny\\n' | gpg --command-fd 0 --no-tty --status-fd 2 --pinentry-mode loopback "
		  "--passphrase '' %s --yes -o rev --gen-revoke %s\n"
		  "gpg -q --batch --import rev",
	    menu, options, key);
	person_has(key);
}

static void a_revoked_key_never_counts_unless_it_was_merely_replaced(void **state)
{
	static const char *const words[] = { "it is revoked (", "it is revoked (", NULL, NULL };

	for (int menu = 0; menu < 4; menu++) {
		g_autofree char *key = key_new("--faked-system-time 20230101T000000!", "ed25519", "sign", "never");
		g_autoptr(GBytes) raw = tag_with(key, "--faked-system-time 20230201T000000!");

		revoke_key(key, menu, "--faked-system-time 20230301T000000!");
		refused(raw, "it is revoked (");
		if (words[menu] != NULL)
			trust_tag_refused(raw, 1675209600000 + DAY, words[menu]);
		else
			good_at(raw, 1675209600000 + DAY, key);
	}
}

static void a_revoked_subkey_never_counts(void **state)
{
	g_autofree char *key = key_new("", "ed25519", "cert", "never");
	g_autofree char *subkey =
	    trust_text("gpg -q --batch --passphrase '' --quick-add-key %s ed25519 sign never >&2\n"
		       "gpg --list-keys --with-colons %s | awk -F: '/^fpr/ {f=$10} END {print f}'",
		key, key);
	g_autoptr(GBytes) raw = git_tag(subkey);

	trust_run(
	    "printf 'key 1\\nrevkey\\ny\\n0\\n\\ny\\nsave\\n' | gpg --batch --command-fd 0 --no-tty --edit-key %s", key);
	person_has(key);
	refused(raw, "it is revoked (");
}

/* --- certificates in the policy --- */

static void certificates_are_armored_whole_and_alone(void **state)
{
	person_has(ed25519);
	trust_run("gpg --export %s >people/alice.asc", ed25519);
	trust_people_refused("people/alice.toml:2:12: people/alice.asc: OpenPGP armor");
	trust_run("(gpg --armor --export %s; gpg --armor --export %s) >people/alice.asc", ed25519, ed25519);
	trust_people_refused("more than one block");
	trust_run("rm people/alice.asc");
	trust_people_refused("there is no such file in people/");
	trust_run("printf 'name = \"Alice\"\\nopenpgp = [\"../alice.asc\"]\\n' >people/alice.toml");
	trust_people_refused("there is no such file in people/");
}

static void two_certificates_in_one_file_are_refused(void **state)
{
	g_autofree char *other = key_new("", "ed25519", "sign", "never");

	person_has(ed25519);
	trust_run("gpg --armor --export %s %s >people/alice.asc", ed25519, other);
	trust_people_refused("a second certificate");
}

static void one_certificate_under_two_people_is_refused(void **state)
{
	person_has(ed25519);
	trust_run(
	    "sed 's/alice/bob/; s/Alice/Bob/' people/alice.toml >people/bob.toml; cp people/alice.asc people/bob.asc");
	trust_people_refused("people/bob.toml:2:12: the key");
	trust_people_refused("stands in people/alice.toml too");
}

static void a_secret_key_is_not_taken_for_a_certificate(void **state)
{
	person_has(ed25519);
	trust_run(
	    "gpg -q --batch --pinentry-mode loopback --passphrase '' --armor --export-secret-keys %s >people/alice.asc",
	    ed25519);
	trust_people_refused("PGP PUBLIC KEY BLOCK");
}

static void librnp_prints_nothing_of_its_own(void **state)
{
	g_autoptr(GBytes) raw = git_tag(ed25519), forged = trust_replace(raw, "Release", "Forgery");
	int saved = dup(2), fd = open("noise", O_CREAT | O_TRUNC | O_WRONLY, 0600);
	g_autofree char *noise = NULL;

	person_has(ed25519);
	dup2(fd, 2);
	refused(forged, "does not fit");
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	close(fd);
	noise = support_read("noise");
	assert_string_equal(noise, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_that_git_makes_are_good),
		cmocka_unit_test(signed_commits_are_good),
		cmocka_unit_test(a_subkey_is_named_by_its_primary_key),
		cmocka_unit_test(text_signatures_and_comments_are_good),
		cmocka_unit_test(changed_bytes_are_refused),
		cmocka_unit_test(a_strangers_key_is_refused),
		cmocka_unit_test(weak_hashes_are_refused_whatever_their_date),
		cmocka_unit_test(an_expired_signature_is_refused),
		cmocka_unit_test(a_signature_from_the_future_is_refused),
		cmocka_unit_test(two_signatures_are_refused),
		cmocka_unit_test(a_critical_notation_is_refused),
		cmocka_unit_test(signatures_that_are_not_over_documents_are_refused),
		cmocka_unit_test(damaged_armor_is_refused),
		cmocka_unit_test(a_subkey_below_a_primary_key_that_is_refused_is_told_why),
		cmocka_unit_test(short_keys_and_dsa_are_refused),
		cmocka_unit_test(a_key_whose_flags_forbid_signing_is_refused),
		cmocka_unit_test(a_key_that_expired_is_refused_from_then_on),
		cmocka_unit_test(an_expired_primary_key_ends_its_subkeys),
		cmocka_unit_test(a_subkey_that_did_not_certify_its_primary_is_refused),
		cmocka_unit_test(a_certificate_that_nobody_signed_is_refused),
		cmocka_unit_test(a_revoked_key_never_counts_unless_it_was_merely_replaced),
		cmocka_unit_test(a_revoked_subkey_never_counts),
		cmocka_unit_test(certificates_are_armored_whole_and_alone),
		cmocka_unit_test(two_certificates_in_one_file_are_refused),
		cmocka_unit_test(one_certificate_under_two_people_is_refused),
		cmocka_unit_test(a_secret_key_is_not_taken_for_a_certificate),
		cmocka_unit_test(librnp_prints_nothing_of_its_own),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
