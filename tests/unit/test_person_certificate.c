/* Which certificates may sign for a person: usages, keys, names, dates and chains. */
#include <openssl/pem.h>
#include <stdio.h>

#include "tests/unit/support_x509.h"

#include "gitops/base/bytes.h"
#include "gitops/people.h"

#define LIBRARY ". \"$TRUST\"/x509.sh\n"

/* A tag by a new certificate from inter for alice's own key, with these extensions (in shell: $LEAF, $ALICE) and options. */
static GBytes *tag_with(const char *extensions, const char *options)
{
	trust_run(LIBRARY "cp alice.key leaf.key; issue leaf inter /CN=Alice \"%s\" %s", extensions, options);
	return x509_tag_by("leaf");
}

static void accepts(const char *extensions)
{
	g_autoptr(GBytes) raw = tag_with(extensions, "");

	x509_good(raw, NOW, "leaf");
}

static void refuses(const char *extensions, const char *words)
{
	g_autoptr(GBytes) raw = tag_with(extensions, "");

	trust_tag_refused(raw, NOW, words);
}

/* --- usages --- */

static void certificates_for_mail_or_code_sign(void **state)
{
	accepts("$LEAF|$ALICE");
	accepts("keyUsage=nonRepudiation|extendedKeyUsage=clientAuth,codeSigning|$ALICE");
	accepts("extendedKeyUsage=anyExtendedKeyUsage|$ALICE");
	accepts("$ALICE");
}

static void certificates_for_anything_else_do_not(void **state)
{
	refuses("keyUsage=keyEncipherment|$ALICE", "its key usage allows neither digitalSignature nor nonRepudiation");
	refuses("extendedKeyUsage=serverAuth,clientAuth|$ALICE",
	    "its extended key usage names neither emailProtection nor codeSigning");
}

static void an_authority_does_not_sign_for_people(void **state)
{
	refuses("basicConstraints=CA:TRUE|keyUsage=keyCertSign,digitalSignature|$ALICE",
	    "it is a certificate authority's; people sign with a certificate that the authority issued to them");
}

static void critical_extensions_that_nobody_knows_are_refused(void **state)
{
	accepts("$LEAF|$ALICE|1.2.3.4=DER:0500");
	refuses("$LEAF|$ALICE|1.2.3.4=critical,DER:0500", "unhandled critical extension (CN=Alice)");
}

static void repeat_last_extension(X509 *leaf)
{
	assert_int_equal(X509_add_ext(leaf, X509_get_ext(leaf, X509_get_ext_count(leaf) - 1), -1), 1);
}

static void live_ten_minutes(X509 *leaf)
{
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(leaf), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(leaf), 600));
}

/* leaf.pem changed so, and signed by inter.key again. */
static void leaf_change(void (*change)(X509 *leaf))
{
	FILE *file = fopen("leaf.pem", "r"), *key_file = fopen("inter.key", "r");
	X509 *leaf = PEM_read_X509(file, NULL, NULL, NULL);
	EVP_PKEY *key = PEM_read_PrivateKey(key_file, NULL, NULL, NULL);

	fclose(file);
	fclose(key_file);
	change(leaf);
	assert_true(X509_sign(leaf, key, EVP_sha256()) > 0);
	file = fopen("leaf.pem", "w");
	assert_int_equal(PEM_write_X509(file, leaf), 1);
	fclose(file);
	X509_free(leaf);
	EVP_PKEY_free(key);
}

static void an_extension_that_stands_twice_is_refused(void **state)
{
	g_autoptr(GBytes) good = tag_with("$LEAF|$ALICE", "");
	g_autoptr(GBytes) twice = NULL;

	x509_good(good, NOW, "leaf");
	leaf_change(repeat_last_extension);
	twice = x509_tag_by("leaf");
	trust_tag_refused(twice, NOW, "its extensions cannot be read, or one stands twice");
}

/* --- keys --- */

static GBytes *tag_by_key(const char *kind)
{
	trust_run(LIBRARY "key leaf %s; issue leaf inter /CN=Alice \"$LEAF|$ALICE\"", kind);
	return x509_tag_by("leaf");
}

static void keys_of_good_kinds_sign(void **state)
{
	static const char *const kinds[] = { "rsa2048", "P-384", "P-521", "brainpoolP256r1", "brainpoolP512r1" };

	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		g_autoptr(GBytes) raw = tag_by_key(kinds[i]);

		x509_good(raw, NOW, "leaf");
	}
}

static void weak_and_odd_keys_are_refused(void **state)
{
	static const struct {
		const char *kind, *words;
	} keys[] = {
		{ "rsa1024", "its RSA key has 1024 bits; make one of at least 2048" },
		{ "P-224", "its key is refused" },
		{ "secp256k1", "its key is refused" },
		{ "P-256 explicit", "its key is refused" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autoptr(GBytes) raw = tag_by_key(keys[i].kind);

		trust_tag_refused(raw, NOW, keys[i].words);
	}
}

/* --- names --- */

static void the_subject_is_matched_whole_and_by_case(void **state)
{
	static const char *const others[] = { "alice@example.org.evil.com", "malice@example.org", "alice@example.or",
		"Alice@example.org", "alice@EXAMPLE.ORG" };

	for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
		g_autofree char *extensions = g_strdup_printf("$LEAF|subjectAltName=email:%s", others[i]);
		g_autofree char *words =
		    g_strdup_printf("it names %s, and no person of the policy is known by that", others[i]);

		refuses(extensions, words);
	}
	accepts("$LEAF|subjectAltName=DNS:x.example.org,email:a@example.com,email:alice@example.org");
}

static void a_name_counts_only_as_what_it_is(void **state)
{
	refuses("$LEAF|subjectAltName=DNS:alice@example.org", "no person of the policy is known by that");
	refuses("$LEAF|subjectAltName=URI:alice@example.org", "no person of the policy is known by that");
	refuses("$LEAF|subjectAltName=URI:mailto://alice@example.org", "no person of the policy is known by that");
}

static void a_name_with_nul_is_refused(void **state)
{
	/* rfc822Name "alice@example.org\0.evil.com", and the same name with line ends after it */
	refuses("$LEAF|2.5.29.17=DER:301D811B616C696365406578616D706C652E6F7267002E6576696C2E636F6D",
	    "a name in it holds NUL or other bytes that no name has");
	refuses("$LEAF|2.5.29.17=DER:30158113616C696365406578616D706C652E6F72670A0A", "a name in it holds NUL");
}

static GBytes *tag_of_subject(const char *subject, const char *extensions)
{
	trust_run(LIBRARY "cp alice.key leaf.key; issue leaf inter \"%s\" \"%s\"", subject, extensions);
	return x509_tag_by("leaf");
}

static void an_address_in_the_subject_counts_where_no_other_stands(void **state)
{
	g_autoptr(GBytes) only = tag_of_subject("/CN=A/emailAddress=alice@example.org", "$LEAF");
	g_autoptr(GBytes) both = NULL;

	x509_good(only, NOW, "leaf");
	both = tag_of_subject("/CN=A/emailAddress=alice@example.org", "$LEAF|subjectAltName=email:bob@example.org");
	trust_tag_refused(both, NOW, "it names bob@example.org, and no person");
	both = tag_of_subject("/CN=alice@example.org", "$LEAF");
	trust_tag_refused(both, NOW, "it names CN=alice@example.org, and no person");
}

static void a_person_may_be_known_by_the_whole_subject(void **state)
{
	g_autoptr(GBytes) raw = tag_of_subject("/C=DE/O=Acme, Inc./CN=Älice", "$LEAF");
	g_autoptr(GBytes) other = NULL;

	x509_person("alice", "x509 = [{ subject = \"CN=Älice,O=Acme\\\\, Inc.,C=DE\", roots = \"root.pem\" }]\n");
	x509_good(raw, NOW, "leaf");
	other = tag_of_subject("/C=DE/O=Acme, Inc./CN=Älice/CN=Älice", "$LEAF");
	trust_tag_refused(other, NOW, "no person of the policy is known by that");
	x509_alice();
}

static void a_subject_that_cannot_be_one_is_told(void **state)
{
	x509_person("alice", "x509 = [{ subject = \"Alice\", roots = \"root.pem\" }]\n");
	trust_people_refused("people/alice.toml:2:9: the subject must be a mail address or URI");
	x509_person("alice", "x509 = [{ subject = \"a@b\", roots = \"../root.pem\" }]\n");
	trust_people_refused("there is no file \"people/../root.pem\" beside it");
	x509_person("alice", "x509 = [{ subject = \"a@b\", roots = \"root.pem\", root = \"x\" }]\n");
	trust_people_refused("people/alice.toml:2:");
	x509_alice();
}

static void another_persons_certificate_is_not_ones_own(void **state)
{
	g_autoptr(GBytes) raw = x509_tag_by_alice();

	x509_person("alice", "x509 = [{ subject = \"bob@example.org\", roots = \"root.pem\" }]\n");
	trust_tag_refused(raw, NOW,
	    "it names alice@example.org, and no person of the policy is known by that (x509 in people/NAME.toml)");
	x509_alice();
	x509_good(raw, NOW, "alice");
}

static void a_certificate_that_two_people_answer_to_is_refused(void **state)
{
	g_autoptr(GBytes) raw = tag_with("$LEAF|subjectAltName=email:alice@example.org,email:bob@example.org", "");

	x509_good(raw, NOW, "leaf");
	x509_person("bob", "x509 = [{ subject = \"bob@example.org\", roots = \"root.pem\" }]\n");
	trust_tag_refused(raw, NOW, "names both alice and bob; it must name one person");
	x509_alice();
}

static void one_subject_under_one_root_is_one_persons(void **state)
{
	x509_person("bob", "x509 = [{ subject = \"alice@example.org\", roots = \"root.pem\" }]\n");
	trust_people_refused("stands in people/alice.toml too; a key may belong to one person only");
	x509_alice();
}

/* --- dates --- */

static void a_certificate_counts_from_its_first_to_its_last_second(void **state)
{
	g_autoptr(GBytes) raw = x509_tag_by_alice();
	g_autofree char *seconds =
	    trust_text("date -d \"$(openssl x509 -in alice.pem -noout -startdate | cut -d= -f2)\" +%%s");
	int64_t from = g_ascii_strtoll(seconds, NULL, 10) * 1000, to = from + 365 * DAY;

	x509_good(raw, from, "alice");
	x509_good(raw, to + 999, "alice");
	trust_tag_refused(raw, to + 1000, "it expired on ");
	trust_tag_refused(raw, to + 1000, "sign again with a renewed certificate");
	trust_tag_refused(raw, from - 301000, "and the signature was first seen on ");
}

static void a_certificate_of_minutes_must_be_seen_within_them(void **state)
{
	g_autoptr(GBytes) raw = tag_with("extendedKeyUsage=codeSigning|$ALICE", "");

	leaf_change(live_ten_minutes);
	g_clear_pointer(&raw, g_bytes_unref);
	raw = x509_tag_by("leaf");
	x509_good(raw, NOW, "leaf");
	trust_tag_refused(raw, NOW + DAY, "it lived for 10 minutes until ");
	trust_tag_refused(raw, NOW + DAY, "after its end: sign again and push before the certificate ends");
}

static void an_expired_authority_vouches_for_nobody(void **state)
{
	g_autoptr(GBytes) raw = tag_with("$LEAF|$ALICE", "-days 2000");

	x509_good(raw, NOW + 900 * DAY, "leaf");
	trust_tag_refused(
	    raw, NOW + 1100 * DAY, "no good chain to the roots of its person: certificate has expired (CN=Inter)");
}

/* --- chains --- */

static void a_foreign_root_of_the_same_names_is_refused(void **state)
{
	g_autoptr(GBytes) raw = NULL, alone = NULL;

	trust_run(LIBRARY "mkdir -p foreign; cd foreign; for n in root inter alice; do key $n P-256; done\n"
			  "issue root root /CN=Root \"$CA\"; issue inter root /CN=Inter \"$CA\"\n"
			  "issue alice inter /CN=Alice \"$LEAF|$ALICE\"; cat inter.pem root.pem >both.pem");
	raw = x509_tag("-signer foreign/alice.pem -inkey foreign/alice.key -certfile foreign/both.pem");
	trust_tag_refused(raw, NOW, "no good chain to the roots of its person: ");
	alone = x509_tag("-signer foreign/alice.pem -inkey foreign/alice.key");
	trust_tag_refused(alone, NOW, "unable to get local issuer certificate (CN=Alice)");
	trust_run("rm -rf people; mkdir people; cp foreign/root.pem people/");
	support_write("people/alice.toml",
	    "name = \"Alice\"\nx509 = [{ subject = \"alice@example.org\", roots = \"root.pem\" }]\n");
	trust_run("cp foreign/alice.pem stranger.pem");
	x509_good(raw, NOW, "stranger");
	x509_alice();
}

static void a_self_signed_certificate_counts_only_if_it_is_the_root_itself(void **state)
{
	g_autoptr(GBytes) raw = NULL;

	trust_run(LIBRARY "key self P-256; issue self self /CN=Alice \"$LEAF|$ALICE\"");
	raw = x509_tag("-signer self.pem -inkey self.key");
	trust_tag_refused(raw, NOW, "self-signed certificate");
	x509_person("alice", "x509 = [{ subject = \"alice@example.org\", roots = \"self.pem\" }]\n");
	x509_good(raw, NOW, "self");
	x509_alice();
}

static void intermediates_come_with_the_signature_or_the_roots(void **state)
{
	g_autoptr(GBytes) alone = x509_tag("-signer alice.pem -inkey alice.key");
	g_autoptr(GBytes) with_root = NULL;

	trust_tag_refused(alone, NOW, "unable to get local issuer certificate");
	x509_person("alice", "x509 = [{ subject = \"alice@example.org\", roots = \"inter.pem\" }]\n");
	x509_good(alone, NOW, "alice");
	x509_alice();
	trust_run("cat inter.pem root.pem >both.pem");
	with_root = x509_tag("-signer alice.pem -inkey alice.key -certfile both.pem");
	x509_good(with_root, NOW, "alice");
}

/* alice's leaf from an authority "mid" of root with these extensions. */
static GBytes *tag_through(const char *authority, const char *leaf)
{
	trust_run(LIBRARY "key mid P-256; issue mid root /CN=Mid \"%s\"\n"
			  "cp alice.key leaf.key; issue leaf mid /CN=Alice \"%s\"",
	    authority, leaf);
	return x509_tag("-signer leaf.pem -inkey leaf.key -certfile mid.pem");
}

static void through(const char *authority, const char *leaf, const char *words)
{
	g_autoptr(GBytes) raw = tag_through(authority, leaf);

	if (words == NULL)
		x509_good(raw, NOW, "leaf");
	else
		trust_tag_refused(raw, NOW, words);
}

static void authorities_are_held_to_what_their_certificates_say(void **state)
{
	through("$CA", "$LEAF|$ALICE", NULL);
	through("basicConstraints=critical,CA:TRUE,pathlen:0|extendedKeyUsage=codeSigning",
	    "extendedKeyUsage=codeSigning|$ALICE", NULL);
	through("$LEAF", "$LEAF|$ALICE", "invalid CA certificate (CN=Mid)");
	through("keyUsage=keyCertSign", "$LEAF|$ALICE", "invalid CA certificate (CN=Mid)");
	through("basicConstraints=CA:TRUE|keyUsage=digitalSignature", "$LEAF|$ALICE", "invalid CA certificate (CN=Mid)");
	through("$CA|extendedKeyUsage=serverAuth", "$LEAF|$ALICE",
	    "an authority's extended key usage does not allow what the certificate's does (CN=Mid)");
	through("$CA|extendedKeyUsage=codeSigning", "$LEAF|$ALICE", "does not allow what the certificate's does");
}

static void constraints_on_names_and_policies_hold(void **state)
{
	through("$CA|nameConstraints=critical,permitted;email:example.org", "$LEAF|$ALICE", NULL);
	through(
	    "$CA|nameConstraints=critical,permitted;email:example.com", "$LEAF|$ALICE", "permitted subtree violation");
	through("$CA|nameConstraints=critical,excluded;email:example.org", "$LEAF|$ALICE", "excluded subtree violation");
	through("$CA|certificatePolicies=1.2.3.4|policyConstraints=critical,requireExplicitPolicy:0",
	    "$LEAF|$ALICE|certificatePolicies=1.2.3.4", NULL);
	through("$CA|certificatePolicies=1.2.3.4|policyConstraints=critical,requireExplicitPolicy:0", "$LEAF|$ALICE",
	    "no explicit policy");
}

static void a_path_longer_than_its_authority_allows_is_refused(void **state)
{
	g_autoptr(GBytes) raw = NULL;

	trust_run(LIBRARY
	    "for n in mid low; do key $n P-256; done; cp alice.key leaf.key\n"
	    "issue mid root /CN=Mid 'basicConstraints=critical,CA:TRUE,pathlen:0'; issue low mid /CN=Low \"$CA\"\n"
	    "issue leaf low /CN=Alice \"$LEAF|$ALICE\"; cat low.pem mid.pem >both.pem");
	raw = x509_tag("-signer leaf.pem -inkey leaf.key -certfile both.pem");
	trust_tag_refused(raw, NOW, "path length constraint exceeded");
}

static void a_chain_by_sha1_or_a_weak_authority_is_refused(void **state)
{
	g_autoptr(GBytes) sha1 = tag_with("$LEAF|$ALICE", "-sha1"), weak = NULL;

	trust_tag_refused(sha1, NOW, "CA signature digest algorithm too weak");
	trust_run(LIBRARY "key mid secp256k1; issue mid root /CN=Mid \"$CA\"\n"
			  "cp alice.key leaf.key; issue leaf mid /CN=Alice \"$LEAF|$ALICE\"");
	weak = x509_tag("-signer leaf.pem -inkey leaf.key -certfile mid.pem");
	trust_tag_refused(weak, NOW, "its key is refused; take RSA");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates_for_mail_or_code_sign),
		cmocka_unit_test(certificates_for_anything_else_do_not),
		cmocka_unit_test(an_authority_does_not_sign_for_people),
		cmocka_unit_test(critical_extensions_that_nobody_knows_are_refused),
		cmocka_unit_test(an_extension_that_stands_twice_is_refused),
		cmocka_unit_test(keys_of_good_kinds_sign),
		cmocka_unit_test(weak_and_odd_keys_are_refused),
		cmocka_unit_test(the_subject_is_matched_whole_and_by_case),
		cmocka_unit_test(a_name_counts_only_as_what_it_is),
		cmocka_unit_test(a_name_with_nul_is_refused),
		cmocka_unit_test(an_address_in_the_subject_counts_where_no_other_stands),
		cmocka_unit_test(a_person_may_be_known_by_the_whole_subject),
		cmocka_unit_test(a_subject_that_cannot_be_one_is_told),
		cmocka_unit_test(another_persons_certificate_is_not_ones_own),
		cmocka_unit_test(a_certificate_that_two_people_answer_to_is_refused),
		cmocka_unit_test(one_subject_under_one_root_is_one_persons),
		cmocka_unit_test(a_certificate_counts_from_its_first_to_its_last_second),
		cmocka_unit_test(a_certificate_of_minutes_must_be_seen_within_them),
		cmocka_unit_test(an_expired_authority_vouches_for_nobody),
		cmocka_unit_test(a_foreign_root_of_the_same_names_is_refused),
		cmocka_unit_test(a_self_signed_certificate_counts_only_if_it_is_the_root_itself),
		cmocka_unit_test(intermediates_come_with_the_signature_or_the_roots),
		cmocka_unit_test(authorities_are_held_to_what_their_certificates_say),
		cmocka_unit_test(constraints_on_names_and_policies_hold),
		cmocka_unit_test(a_path_longer_than_its_authority_allows_is_refused),
		cmocka_unit_test(a_chain_by_sha1_or_a_weak_authority_is_refused),
	};
	return cmocka_run_group_tests(tests, x509_setup, trust_teardown);
}
