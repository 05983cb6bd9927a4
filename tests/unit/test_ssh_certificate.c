#include <string.h>

#include "gitops/people.h"
#include "tests/unit/support_ssh.h"
#include "tests/unit/support_trust.h"

/* --- helpers --- */

#define NOW INT64_C(1800000000000) /* 2027-01-15T08:00:00Z */

/* people/ID.toml with the authority AUTHORITY.pub, and what more is said. */
static void person_trusts(const char *id, const char *option, const char *authority, const char *more)
{
	g_autofree char *key = trust_text("cat %s.pub", authority);
	g_autofree char *path = g_strdup_printf("people/%s.toml", id);
	g_autofree char *text = g_strdup_printf(
	    "name = \"%s\"\nemail = [\"%s@example.org\"]\nssh = ['%s %s']\n%s", id, id, option, key, more);

	support_write(path, text);
}

/* alice alone. */
static void alice_trusts(const char *authority)
{
	trust_run("rm -rf people; mkdir people");
	person_trusts("alice", "cert-authority", authority, "");
}

static void refused(GBytes *raw, const char *words)
{
	trust_tag_refused(raw, NOW, words);
}

static char *key_id(const char *key)
{
	return trust_text("ssh-keygen -lf %s.pub | cut -d' ' -f2", key);
}

/* Signed by that person, with a key of that file, certified by that authority. */
static void good_at(GBytes *raw, int64_t at, const char *person, const char *key, const char *authority)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *id = key_id(key), *authority_id = key_id(authority);
	struct signer signer = { 0 };

	if (!trust_tag_verified(raw, at, &signer, &error))
		fail_msg("%s", error->message);
	assert_string_equal(signer.person, person);
	assert_int_equal(signer.format, SIGNATURE_SSH);
	assert_string_equal(signer.key, id);
	assert_string_equal(signer.through, authority_id);
	signer_clear(&signer);
}

static void good(GBytes *raw, const char *key, const char *authority)
{
	good_at(raw, NOW, "alice", key, authority);
}

/* A tag that the key signed with the certificate which ssh-keygen made with these options. */
static GBytes *certified_tag(const char *key, const char *authority, const char *options)
{
	return trust_output(
	    "printf 'object %%040d\\ntype commit\\ntag v9\\ntagger A <x@example.org> 1 +0000\\n\\nm\\n' 1 >payload\n"
	    "rm -f payload.sig; ssh-keygen -q -s %s -I 'the id' %s %s.pub\n"
	    "ssh-keygen -q -Y sign -n git -f %s-cert.pub payload; cat payload payload.sig",
	    authority, options, key, key);
}

static int setup(void **state)
{
	if (trust_setup(state) != 0)
		return -1;
	trust_run("for t in ed25519 'ecdsa -b 256' 'ecdsa -b 384' 'ecdsa -b 521' 'rsa -b 3072' 'rsa -b 2048'; do\n"
		  "for u in k ca; do ssh-keygen -q -t $t -N '' -C '' -f $u-$(echo $t | tr -d ' -'); done; done\n"
		  "mkdir people");
	return 0;
}

/* --- good ones --- */

static void certificates_for_every_kind_of_key_are_good(void **state)
{
	static const char *const keys[] = { "k-ed25519", "k-ecdsab256", "k-ecdsab384", "k-ecdsab521", "k-rsab3072" };

	alice_trusts("ca-ed25519");
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autoptr(GBytes) raw = certified_tag(keys[i], "ca-ed25519", "-n alice"),
				  changed = trust_replace(raw, "\nm\n", "\nn\n");

		good(raw, keys[i], "ca-ed25519");
		refused(changed, "the signature does not fit these bytes");
	}
}

static void authorities_of_every_kind_are_good(void **state)
{
	static const char *const authorities[] = { "ca-ecdsab256", "ca-ecdsab384", "ca-ecdsab521", "ca-rsab3072" };

	for (size_t i = 0; i < G_N_ELEMENTS(authorities); i++) {
		g_autoptr(GBytes) raw = certified_tag("k-ed25519", authorities[i], "-n alice");

		alice_trusts(authorities[i]);
		good(raw, "k-ed25519", authorities[i]);
	}
}

static void git_signs_with_certificates_and_both_judge_alike(void **state)
{
	g_autoptr(GBytes) raw = NULL;

	trust_run("git init -q repo; ssh-keygen -q -s ca-ed25519 -I id -n alice@example.org k-ed25519.pub; cd repo\n"
		  "git config gpg.format ssh; git config user.name A; git config user.email alice@example.org\n"
		  "git config user.signingkey ../k-ed25519-cert.pub; git config gpg.ssh.allowedSignersFile ../allowed\n"
		  "echo \"alice@example.org cert-authority $(cat ../ca-ed25519.pub)\" >../allowed\n"
		  "git commit -q --allow-empty -m one; git tag -sm Release v1; git verify-tag v1");
	raw = trust_output("cd repo; git cat-file tag v1");
	alice_trusts("ca-ed25519");
	good(raw, "k-ed25519", "ca-ed25519");
}

static void one_authority_may_stand_for_many_people(void **state)
{
	g_autoptr(GBytes) alice = certified_tag("k-ed25519", "ca-ed25519", "-n alice");
	g_autoptr(GBytes) bob = certified_tag("k-ecdsab256", "ca-ed25519", "-n web,bob@example.org");
	g_autoptr(GBytes) both = certified_tag("k-ecdsab256", "ca-ed25519", "-n alice,bob");

	alice_trusts("ca-ed25519");
	person_trusts("bob", "cert-authority", "ca-ed25519", "");
	good(alice, "k-ed25519", "ca-ed25519");
	good_at(bob, NOW, "bob", "k-ecdsab256", "ca-ed25519");
	refused(both, "names both alice and bob; it must name one person");
}

static void a_person_may_have_other_principals(void **state)
{
	g_autoptr(GBytes) listed = certified_tag("k-ed25519", "ca-ed25519", "-n alice-ci");
	g_autoptr(GBytes) plain = certified_tag("k-ed25519", "ca-ed25519", "-n alice");

	trust_run("rm -rf people; mkdir people");
	person_trusts("alice", "cert-authority,principals=\"ali,alice-ci\"", "ca-ed25519", "");
	good(listed, "k-ed25519", "ca-ed25519");
	refused(plain, "names nobody whose file lists its authority");
	person_trusts("bob", "cert-authority,principals=\"alice-ci\"", "ca-ed25519", "");
	trust_people_refused("stands in people/alice.toml too");
}

/* --- principals --- */

static void strangers_and_nobody_are_refused(void **state)
{
	g_autoptr(GBytes) mallory = certified_tag("k-ed25519", "ca-ed25519", "-n mallory,Alice,alice@example.com");
	g_autoptr(GBytes) pattern = certified_tag("k-ed25519", "ca-ed25519", "-n '*'");
	g_autoptr(GBytes) everybody = certified_tag("k-ed25519", "ca-ed25519", "");

	alice_trusts("ca-ed25519");
	refused(mallory, "names nobody whose file lists its authority");
	refused(pattern, "names nobody whose file lists its authority");
	refused(everybody, "it names nobody, which would mean everybody");
}

static void an_authority_that_nobody_lists_is_refused(void **state)
{
	g_autoptr(GBytes) raw = certified_tag("k-ed25519", "ca-ecdsab256", "-n alice");
	g_autofree char *id = key_id("ca-ecdsab256");
	g_autofree char *words = g_strdup_printf("the certificate authority %s of the SSH key", id);

	alice_trusts("ca-ed25519");
	refused(raw, words);
	refused(raw, "stands in no person's file");
}

static void an_authority_of_another_person_is_refused(void **state)
{
	g_autoptr(GBytes) raw = certified_tag("k-ed25519", "ca-ecdsab256", "-n alice");

	alice_trusts("ca-ed25519");
	person_trusts("bob", "cert-authority", "ca-ecdsab256", "");
	refused(raw, "names nobody whose file lists its authority");
}

static void a_plain_key_and_a_certified_one_are_two_things(void **state)
{
	g_autoptr(GBytes) certified = certified_tag("k-ed25519", "ca-ed25519", "-n alice"), plain = NULL, own = NULL;

	plain = trust_output("rm -f payload.sig; ssh-keygen -q -Y sign -n git -f k-ecdsab256 payload; cat payload*");
	own = trust_output("rm -f payload.sig; ssh-keygen -q -Y sign -n git -f ca-ed25519 payload; cat payload*");
	trust_run("rm -rf people; mkdir people");
	person_trusts("alice", "", "k-ed25519", "");
	trust_run("sed -i \"s/' /'/\" people/alice.toml");
	refused(certified, "stands in no person's file");
	alice_trusts("ca-ed25519");
	refused(plain, "belongs to no known person");
	refused(own, "belongs to no known person");
}

static void a_certificate_makes_nobodys_key_anothers(void **state)
{
	g_autoptr(GBytes) raw = certified_tag("k-ed25519", "ca-ed25519", "-n alice");

	alice_trusts("ca-ed25519");
	good(raw, "k-ed25519", "ca-ed25519");
	person_trusts("bob", "", "k-ed25519", "");
	trust_run("sed -i \"s/' /'/\" people/bob.toml");
	refused(raw, "the certificate is alice's, but the key");
	person_trusts("bob", "", "ca-ed25519", "");
	trust_run("sed -i \"s/' /'/\" people/bob.toml");
	refused(raw, "belongs to bob");
}

/* --- time --- */

static void a_certificate_counts_within_its_time_alone(void **state)
{
	g_autoptr(GBytes) raw = certified_tag("k-ed25519", "ca-ed25519", "-n alice -V 20270101000000:20270201000000");

	/* ssh-keygen reads local time: UTC here, as the tests set it. */
	alice_trusts("ca-ed25519");
	good(raw, "k-ed25519", "ca-ed25519");
	good_at(raw, INT64_C(1798761600000), "alice", "k-ed25519", "ca-ed25519");
	trust_tag_refused(raw, INT64_C(1798761599999), "not valid yet");
	good_at(raw, INT64_C(1801439999999), "alice", "k-ed25519", "ca-ed25519");
	trust_tag_refused(raw, INT64_C(1801440000000), "it expired on 2027-02-01T00:00:00.000Z");
	trust_tag_refused(raw, -1, "not valid yet");
}

/* --- what the certificate is for --- */

static void a_hosts_certificate_is_refused(void **state)
{
	g_autoptr(GBytes) raw = certified_tag("k-ed25519", "ca-ed25519", "-h -n alice");

	alice_trusts("ca-ed25519");
	refused(raw, "2 is no user's certificate");
}

static void conditions_that_cannot_be_seen_to_are_refused(void **state)
{
	static const char *const options[] = { "force-command=/bin/true", "source-address=192.0.2.1",
		"critical:moon@example.org=full" };

	alice_trusts("ca-ed25519");
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
		g_autofree char *more = g_strdup_printf("-n alice -O %s", options[i]);
		g_autoptr(GBytes) raw = certified_tag("k-ed25519", "ca-ed25519", more);

		refused(raw, "cannot be fulfilled here");
	}
}

static void extensions_change_nothing(void **state)
{
	g_autoptr(GBytes) none = certified_tag("k-ed25519", "ca-ed25519", "-n alice -O clear");
	g_autoptr(GBytes) own =
	    certified_tag("k-ed25519", "ca-ed25519", "-n alice -O extension:moon@example.org=full -O no-touch-required");

	alice_trusts("ca-ed25519");
	good(none, "k-ed25519", "ca-ed25519");
	good(own, "k-ed25519", "ca-ed25519");
}

/* --- keys --- */

static void weak_keys_and_authorities_are_refused(void **state)
{
	g_autoptr(GBytes) by_weak = certified_tag("k-ed25519", "ca-rsab2048", "-n alice");
	g_autoptr(GBytes) for_weak = certified_tag("k-rsab2048", "ca-ed25519", "-n alice");
	g_autoptr(GBytes) by_sha1 = certified_tag("k-ed25519", "ca-rsab3072", "-n alice -t ssh-rsa");

	alice_trusts("ca-ed25519");
	refused(for_weak, "RSA of 2048 bits");
	alice_trusts("ca-rsab3072");
	refused(by_sha1, "it must be rsa-sha2-512 or rsa-sha2-256");
	alice_trusts("ca-rsab2048");
	trust_people_refused("RSA of 2048 bits");
	refused(by_weak, "RSA of 2048 bits");
}

static void entries_must_hold_an_authority_by_the_book(void **state)
{
	trust_run("ssh-keygen -q -s ca-ed25519 -I id -n alice k-ed25519.pub; rm -rf people; mkdir people");
	person_trusts("alice", "cert-authority", "k-ed25519-cert", "");
	trust_people_refused("people/alice.toml:3:8: a certificate stands where a key must");
	person_trusts("alice", "cert-authority,no-pty", "ca-ed25519", "");
	trust_people_refused("only a blank or principals=");
	person_trusts("alice", "cert-authority,principals=\"\"", "ca-ed25519", "");
	trust_people_refused("principals names nobody");
	person_trusts("alice", "cert-authority,principals=\"a,*\"", "ca-ed25519", "");
	trust_people_refused("a principal must be a plain name");
	person_trusts("alice", "cert-authority,principals=\"a\",principals=\"b\"", "ca-ed25519", "");
	trust_people_refused("a blank must follow");
	person_trusts("alice", "cert-authority,principals=\"a", "ca-ed25519", "");
	trust_people_refused("only a blank or principals=");
	support_write("people/alice.toml", "name = \"A\"\nssh = [\"cert-authority\"]\n");
	trust_people_refused("only a blank or principals=");
	support_write("people/alice.toml", "name = \"A\"\nssh = [\"cert-authority nonsense\"]\n");
	trust_people_refused("not an SSH public key");
}

/* --- revoked --- */

static void revoked_keys_and_authorities_do_not_count(void **state)
{
	g_autoptr(GBytes) raw = certified_tag("k-ed25519", "ca-ed25519", "-n alice");
	g_autofree char *key = key_id("k-ed25519"), *authority = key_id("ca-ed25519");
	const char *const revoked[] = { key, authority };

	for (size_t i = 0; i < G_N_ELEMENTS(revoked); i++) {
		g_autofree char *more =
		    g_strdup_printf("[[revoked]]\nkey = \"%s\"\nsince = 2027-01-01T00:00:00Z\n", revoked[i]);
		g_autofree char *words = g_strdup_printf("the key %s of alice is revoked since 2027-01-01", revoked[i]);

		trust_run("rm -rf people; mkdir people");
		person_trusts("alice", "cert-authority", "ca-ed25519", more);
		person_trusts("bob", "cert-authority", "ca-ed25519", i == 1 ? more : "");
		refused(raw, words);
		good_at(raw, INT64_C(1790000000000), "alice", "k-ed25519", "ca-ed25519");
	}
}

static void what_counted_ends_when_its_authority_is_revoked(void **state)
{
	g_autoptr(GBytes) raw = certified_tag("k-ed25519", "ca-ed25519", "-n alice");
	g_autofree char *authority = key_id("ca-ed25519");
	g_autofree char *more = g_strdup_printf("[[revoked]]\nkey = \"%s\"\nsince = 2027-01-01T00:00:00Z\n", authority);
	autoptr(people) people = NULL;
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	trust_run("rm -rf people; mkdir people");
	person_trusts("alice", "cert-authority", "ca-ed25519", more);
	assert_true(trust_tag_verified(raw, INT64_C(1790000000000), &signer, NULL));
	people = people_load_dir("people", NULL);
	assert_true(people_not_revoked(people, &signer, INT64_C(1790000000000), NULL));
	assert_false(people_not_revoked(people, &signer, NOW, &error));
	assert_refusal(error, authority);
	signer_clear(&signer);
}

static void an_authority_widens_rights(void **state)
{
	autoptr(people) plain = NULL;
	autoptr(people) authority = NULL;
	autoptr(people) wider = NULL;

	alice_trusts("k-ed25519");
	trust_run("sed -i 's/cert-authority //' people/alice.toml");
	plain = people_load_dir("people", NULL);
	alice_trusts("k-ed25519");
	authority = people_load_dir("people", NULL);
	trust_run("sed -i 's/email = .*/email = [\"alice@example.org\", \"all@example.org\"]/' people/alice.toml");
	wider = people_load_dir("people", NULL);
	assert_true(people_widened(plain, authority, "alice"));
	assert_true(people_widened(authority, wider, "alice"));
	assert_false(people_widened(authority, authority, "alice") || people_widened(wider, authority, "alice"));
}

/* --- certificates made by hand, field by field --- */

/* A tag by it, and alice trusts its authority. */
static GBytes *forged(struct forge f, struct forge_certificate c)
{
	GBytes *raw;

	f.certificate = &c;
	raw = forge_tag(&f);
	alice_trusts("authority");
	return raw;
}

static void forged_refused(struct forge_certificate c, const char *words)
{
	g_autoptr(GBytes) raw = forged(forge_ed25519, c);

	refused(raw, words);
}

static void certificates_made_by_hand_are_good(void **state)
{
	g_autoptr(GBytes) raw = forged(forge_ed25519, forge_ed25519_certificate), reserved = NULL;
	struct forge_certificate c = forge_ed25519_certificate;

	good(raw, "forged", "authority");
	assert_int_equal(forge_judged(raw), 0);
	c.reserved = "for later"; /* "ignored", says PROTOCOL.certkeys, and it is signed */
	reserved = forged(forge_ed25519, c);
	good(reserved, "forged", "authority");
	assert_int_equal(forge_judged(reserved), 0);
}

static void an_authority_that_did_not_sign_is_refused(void **state)
{
	struct forge_certificate c = forge_ed25519_certificate;

	c.ca_lies = TRUE;
	forged_refused(c, "its authority did not sign it so: the signature does not fit these bytes");
	c = forge_ed25519_certificate;
	c.ca_algorithm = "ssh-rsa";
	forged_refused(c, "its authority did not sign it so: the authority's signature");
}

static void bytes_too_many_are_refused(void **state)
{
	struct forge_certificate c = forge_ed25519_certificate;

	c.after = "x";
	forged_refused(c, "SSH certificate: 1 bytes follow");
	c = forge_ed25519_certificate;
	c.after_signature = "x";
	forged_refused(c, "1 bytes follow");
	c = forge_ed25519_certificate;
	c.after_principals = "x";
	forged_refused(c, "SSH certificate: principals");
}

static void strange_fields_are_refused(void **state)
{
	struct forge_certificate c = forge_ed25519_certificate;

	c.kind = 0;
	forged_refused(c, "0 is no user's certificate");
	c = forge_ed25519_certificate;
	c.principals[1] = "";
	forged_refused(c, "one is empty or holds a NUL byte");
	c = forge_ed25519_certificate;
	c.valid_after = G_MAXUINT64;
	c.valid_before = 1;
	forged_refused(c, "it ends before it begins");
	c = forge_ed25519_certificate;
	c.critical = "verify-required"; /* which a plain key cannot prove */
	c.critical_value = NULL;
	forged_refused(c, "verify-required stands wrongly");
}

static void a_certified_security_key_must_be_touched(void **state)
{
	struct forge f = forge_sk_ed25519;
	g_autoptr(GBytes) touched = forged(f, forge_sk_certificate), untouched = NULL;
	struct signer signer = { 0 };

	good(touched, "forged", "authority");
	assert_int_equal(forge_judged(touched), 0);
	assert_true(trust_tag_verified(touched, NOW, &signer, NULL) && signer.hardware);
	signer_clear(&signer);
	f.flags = 0;
	untouched = forged(f, forge_sk_certificate);
	refused(untouched, "nobody touched the key");
	assert_int_equal(forge_judged(untouched), 0); /* which is why the rule must be ours */
}

static void verify_required_wants_a_verified_user(void **state)
{
	struct forge f = forge_sk_ed25519;
	struct forge_certificate c = forge_sk_certificate;
	g_autoptr(GBytes) touched = NULL, verified_too = NULL;

	c.critical = "verify-required";
	touched = forged(f, c);
	refused(touched, "its certificate wants a PIN or finger");
	f.flags = 5;
	verified_too = forged(f, c);
	good(verified_too, "forged", "authority");
	c.extension = "no-touch-required";
	f.flags = 4;
	touched = (g_bytes_unref(touched), forged(f, c));
	refused(touched, "nobody touched the key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates_for_every_kind_of_key_are_good),
		cmocka_unit_test(authorities_of_every_kind_are_good),
		cmocka_unit_test(git_signs_with_certificates_and_both_judge_alike),
		cmocka_unit_test(one_authority_may_stand_for_many_people),
		cmocka_unit_test(a_person_may_have_other_principals),
		cmocka_unit_test(strangers_and_nobody_are_refused),
		cmocka_unit_test(an_authority_that_nobody_lists_is_refused),
		cmocka_unit_test(an_authority_of_another_person_is_refused),
		cmocka_unit_test(a_plain_key_and_a_certified_one_are_two_things),
		cmocka_unit_test(a_certificate_makes_nobodys_key_anothers),
		cmocka_unit_test(a_certificate_counts_within_its_time_alone),
		cmocka_unit_test(a_hosts_certificate_is_refused),
		cmocka_unit_test(conditions_that_cannot_be_seen_to_are_refused),
		cmocka_unit_test(extensions_change_nothing),
		cmocka_unit_test(weak_keys_and_authorities_are_refused),
		cmocka_unit_test(entries_must_hold_an_authority_by_the_book),
		cmocka_unit_test(revoked_keys_and_authorities_do_not_count),
		cmocka_unit_test(what_counted_ends_when_its_authority_is_revoked),
		cmocka_unit_test(an_authority_widens_rights),
		cmocka_unit_test(certificates_made_by_hand_are_good),
		cmocka_unit_test(an_authority_that_did_not_sign_is_refused),
		cmocka_unit_test(bytes_too_many_are_refused),
		cmocka_unit_test(strange_fields_are_refused),
		cmocka_unit_test(a_certified_security_key_must_be_touched),
		cmocka_unit_test(verify_required_wants_a_verified_user),
	};
	return cmocka_run_group_tests(tests, setup, trust_teardown);
}
