/* X.509 signatures: what gpgsm, openssl and gitsign make, and what of theirs or of others' is refused. */
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/der.h"
#include "gitops/cms.h"
#include "gitops/people.h"
#include "tests/unit/support_x509.h"

#define LIBRARY ". \"$TRUST\"/x509.sh\n"
#define BY_ALICE "-signer alice.pem -inkey alice.key -certfile inter.pem"

static int setup(void **state)
{
	if (x509_setup(state) != 0)
		return -1;
	/* gpgsm has no CRLs to ask for and nobody to ask for a passphrase; 2.2 reads only old encryption of PKCS #12. */
	trust_run(LIBRARY
	    "mkdir -m 700 -p \"$GNUPGHOME\"; printf 'disable-crl-checks\\ndisable-dirmngr\\n' "
	    ">\"$GNUPGHOME\"/gpgsm.conf\n"
	    "echo allow-loopback-pinentry >\"$GNUPGHOME\"/gpg-agent.conf\n"
	    "echo \"$(openssl x509 -in root.pem -noout -fingerprint -sha1 | cut -d= -f2) S relax\" "
	    ">\"$GNUPGHOME\"/trustlist.txt\n"
	    "key sm rsa2048; issue sm inter /CN=Alice \"$LEAF|$ALICE\"\n"
	    "openssl pkcs12 -export -legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -in sm.pem -inkey sm.key "
	    "-passout pass: -out sm.p12\n"
	    "gpgsm --batch -q --import root.pem inter.pem\n"
	    "gpgsm --batch -q --pinentry-mode loopback --passphrase-fd 0 --import sm.p12\n"
	    "git init -q repo; cd repo; git config gpg.format x509; git config user.signingkey alice@example.org\n"
	    "git config user.name Alice; git config user.email alice@example.org; git commit -q --allow-empty -m one");
	return 0;
}

static int teardown(void **state)
{
	trust_status("gpgconf --kill all");
	return trust_teardown(state);
}

/* --- gpgsm and git --- */

static void tags_that_git_signs_with_gpgsm_are_good(void **state)
{
	g_autoptr(GBytes) raw =
	    trust_output("cd repo; git tag -fs -m Release v1; git verify-tag v1; git cat-file tag v1");
	g_autoptr(GBytes) forged = trust_replace(raw, "Release", "Forgery");

	x509_good(raw, NOW, "sm");
	trust_tag_refused(forged, NOW, "the signature does not fit these bytes: they were changed, or are others");
}

static void commits_that_git_signs_with_gpgsm_are_good(void **state)
{
	g_autoptr(GBytes) raw =
	    trust_output("cd repo; git commit -q --allow-empty -S -m Approve; git verify-commit HEAD\n"
			 "git cat-file commit HEAD");
	g_autoptr(GBytes) forged = trust_replace(raw, "Approve", "Forgery");
	autoptr(commit) good = commit_parse(raw, NULL);
	autoptr(commit) bad = commit_parse(forged, NULL);
	autoptr(people) people = people_load_dir("people", NULL);
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	assert_true(people_verify_commit(people, good, NOW, &signer, NULL));
	assert_string_equal(signer.person, "alice");
	assert_false(signer.hardware);
	signer_clear(&signer);
	assert_false(people_verify_commit(people, bad, NOW, &signer, &error));
	assert_refusal(error, "does not fit these bytes");
}

static void commands_say_who_signed(void **state)
{
	g_autofree char *program = support_program("tagseal");
	g_autofree char *id = x509_id("sm");
	g_autofree char *expected = g_strdup_printf("good alice x509 %s", id);
	g_autofree char *text = NULL;

	trust_run("cd repo; git tag -fs -m Release v1; git cat-file tag v1 >../v1.tag");
	text = trust_text("%s verify-tag --people people --ref refs/tags/v1 v1.tag", program);
	assert_string_equal(text, expected);
	assert_int_equal(trust_status("%s verify-tag --people people --at 2020-01-01T00:00:00Z v1.tag", program), 1);
}

static void approvals_that_git_tagseal_signs_with_gpgsm_count(void **state)
{
	g_autofree char *program = support_program("tagseal");
	g_autofree char *text = NULL;

	trust_run("git init -q --bare origin.git; cd repo; git remote add origin ../origin.git\n"
		  "git tag -s -m Release v2; git push -q origin HEAD:main v2; echo x >widget.zip\n"
		  "git config tagseal.project acme/widget; git config tagseal.policy release\n"
		  "sh " TESTS_DIR "/../hooks/git-tagseal approve v2 --artifact widget.zip\n"
		  "git -C ../origin.git cat-file commit refs/heads/tagseal/approvals >../approval\n"
		  "sed s/widget.zip/gadget.zip/ ../approval >../forged");
	text = trust_text(
	    "%s verify-approval --people people --project acme/widget --tag v2 --policy release --tag-object "
	    "$(git -C repo rev-parse v2) approval",
	    program);
	assert_string_equal(text, "counts alice");
	assert_int_equal(
	    trust_status("%s verify-approval --people people --project acme/widget --tag v2 --policy release "
			 "--tag-object $(git -C repo rev-parse v2) forged",
		program),
	    1);
	text = (g_free(text), support_read(".stderr"));
	assert_contains(text, "the signature does not fit these bytes");
}

/* --- openssl --- */

static void forms_of_cms_that_tools_make_are_good(void **state)
{
	static const char *const forms[] = { BY_ALICE, BY_ALICE " -md sha384", BY_ALICE " -md sha512 -keyid",
		BY_ALICE " -cades", BY_ALICE " -nosmimecap",
		"-signer sm.pem -inkey sm.key -certfile inter.pem -keyopt rsa_padding_mode:pss" };

	for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
		g_autoptr(GBytes) raw = x509_tag(forms[i]);

		x509_good(raw, NOW, strstr(forms[i], "sm.pem") != NULL ? "sm" : "alice");
	}
}

static void forms_of_cms_that_are_not_gits_are_refused(void **state)
{
	static const struct {
		const char *arguments, *words;
	} forms[] = {
		{ BY_ALICE " -nodetach", "it carries content of its own; git's are detached" },
		{ BY_ALICE " -signer sm.pem -inkey sm.key", "2 signers; exactly one must have signed" },
		{ BY_ALICE " -noattr", "signed attributes at offset " },
		{ BY_ALICE " -md sha1", "SHA-1 is broken and not accepted" },
		{ "-signer sm.pem -inkey sm.key -md md5", "MD5 is broken and not accepted" },
		{ BY_ALICE " -md sha224", "is not SHA-256, SHA-384 or SHA-512" },
		{ BY_ALICE " -nocerts", "its certificate is not in the message" },
		{ BY_ALICE " -econtent_type 1.2.3.4", "it is over content of type 1.2.3.4; git's is plain data" },
		{ "-signer sm.pem -inkey sm.key -certfile inter.pem -keyopt rsa_padding_mode:pss -keyopt "
		  "rsa_mgf1_md:sha1",
		    "its RSA-PSS parameters are not those of sha256 in both places" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
		g_autoptr(GBytes) raw = x509_tag(forms[i].arguments);

		trust_tag_refused(raw, NOW, forms[i].words);
	}
}

static void messages_that_nobody_signed_are_refused(void **state)
{
	g_autoptr(GBytes) only_certificates =
	    trust_output(LIBRARY "openssl crl2pkcs7 -nocrl -certfile alice.pem -outform DER >.cms; wrap <.cms");
	g_autoptr(GBytes) data =
	    trust_output(LIBRARY "openssl cms -data_create -in payload -outform DER -out .cms; wrap <.cms");

	trust_tag_refused(only_certificates, NOW, "nobody signed this message");
	trust_tag_refused(data, NOW, "1.2.840.113549.1.7.1 is not SignedData");
}

/* The CMS of a good tag as the file good.cms, changed by the script to .cms. */
static GBytes *changed(const char *script)
{
	return trust_output(LIBRARY "%s; wrap <.cms", script);
}

static void bytes_around_and_in_the_message_are_refused(void **state)
{
	g_autoptr(GBytes) good = x509_tag_by_alice(), cms = x509_cms_of(good), no_base64 = NULL;
	static const struct {
		const char *script, *words;
	} changes[] = {
		{ "{ cat good.cms; printf x; } >.cms", "X.509 signature: 1 byte" },
		{ "cat good.cms good.cms >.cms", "X.509 signature: " },
		{ "head -c -1 good.cms >.cms", "X.509 signature: element at offset 4" },
		{ "{ head -c 25 good.cms; printf '\\t'; tail -c +27 good.cms; } >.cms", "SignedData has no version 9" },
		{ "{ head -c -1 good.cms; tail -c 1 good.cms | tr '\\0-\\376\\377' '\\1-\\377\\0'; } >.cms",
		    "the signature value does not verify with the signer's certificate" },
	};

	x509_good(good, NOW, "alice");
	support_write_bytes("good.cms", g_bytes_get_data(cms, NULL), g_bytes_get_size(cms));
	for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
		g_autoptr(GBytes) raw = changed(changes[i].script);

		trust_tag_refused(raw, NOW, changes[i].words);
	}
	no_base64 = trust_replace(good, "\n-----END", "?\n-----END");
	trust_tag_refused(no_base64, NOW, "is not base64");
}

static void two_certificates_for_one_signer_are_refused(void **state)
{
	g_autoptr(GBytes) raw = NULL;

	trust_run(
	    LIBRARY "key twin P-256; cp alice.pem one.pem; cp alice.key one.key\n"
		    "serial=$(openssl x509 -in one.pem -noout -serial | cut -d= -f2)\n"
		    "SERIAL=0x$serial issue twin inter /CN=Alice \"$LEAF|$ALICE\" ; cat inter.pem twin.pem >both.pem");
	raw = x509_tag("-signer one.pem -inkey one.key -certfile both.pem");
	trust_tag_refused(raw, NOW, "two certificates answer to its name");
}

/* --- revocation --- */

static void a_certificate_is_revoked_by_its_fingerprint(void **state)
{
	g_autoptr(GBytes) raw = x509_tag_by_alice(), other = x509_tag_by("sm");
	g_autofree char *id = x509_id("alice");

	x509_person("alice",
	    "x509 = [{ subject = \"alice@example.org\", roots = \"root.pem\" }]\n"
	    "[[revoked]]\nkey = \"%s\"\nsince = 2026-03-01T00:00:00Z\nwhy = \"laptop lost\"\n",
	    id);
	trust_tag_refused(raw, NOW, "is revoked since 2026-03-01T00:00:00.000Z (laptop lost, people/alice.toml)");
	x509_good(other, NOW, "sm");
	x509_alice();
	x509_good(raw, NOW, "alice");
}

/* The same certificate with (r, -s) for (r, s): as good to everybody, under another fingerprint. */
static void alice_becomes_her_twin(void)
{
	FILE *file = fopen("alice.pem", "r");
	X509 *alice = PEM_read_X509(file, NULL, NULL, NULL);
	const ASN1_BIT_STRING *bits;
	const uint8_t *at;
	ECDSA_SIG *sig;
	BIGNUM *order = NULL;
	uint8_t *der = NULL;
	int size;

	fclose(file);
	X509_get0_signature(&bits, NULL, alice);
	at = ASN1_STRING_get0_data(bits);
	sig = d2i_ECDSA_SIG(NULL, &at, ASN1_STRING_length(bits));
	BN_hex2bn(&order, "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551"); /* P-256 */
	BN_sub(order, order, ECDSA_SIG_get0_s(sig));
	assert_int_equal(ECDSA_SIG_set0(sig, BN_dup(ECDSA_SIG_get0_r(sig)), order), 1);
	size = i2d_ECDSA_SIG(sig, &der);
	assert_int_equal(ASN1_STRING_set((ASN1_BIT_STRING *)bits, der, size), 1);
	file = fopen("twin.pem", "w");
	assert_int_equal(PEM_write_X509(file, alice), 1);
	fclose(file);
	trust_run("cp alice.key twin.key");
	OPENSSL_free(der);
	ECDSA_SIG_free(sig);
	X509_free(alice);
}

static void a_revoked_certificate_does_not_come_back_as_its_twin(void **state)
{
	g_autoptr(GBytes) raw = NULL;
	g_autofree char *id = x509_id("alice");

	alice_becomes_her_twin();
	raw = x509_tag_by("twin");
	x509_good(raw, NOW, "twin");
	x509_person("alice",
	    "x509 = [{ subject = \"alice@example.org\", roots = \"root.pem\" }]\n"
	    "[[revoked]]\nkey = \"%s\"\n",
	    id);
	trust_tag_refused(raw, NOW, "is revoked since ever");
	x509_alice();
}

/* --- gitsign --- */

/* As Fulcio issues them: for ten minutes, no subject, critical SAN, codeSigning, and who vouched for the name. */
#define FULCIO                                                                                                         \
	"keyUsage=critical,digitalSignature|extendedKeyUsage=codeSigning|subjectAltName=critical,%s|"                  \
	"1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:https://accounts.example.org"

static GBytes *fulcio_tag(const char *name)
{
	g_autofree char *extensions = g_strdup_printf(FULCIO, name);

	trust_run(LIBRARY "key short P-256; issue short inter / \"%s\"", extensions);
	return x509_tag_by("short");
}

static void people_are_known_by_mail_or_uri_of_an_identity_provider(void **state)
{
	g_autoptr(GBytes) mail = fulcio_tag("email:alice@example.org"), uri = NULL;

	x509_person("alice", "x509 = [{ subject = \"alice@example.org\", roots = \"root.pem\", oidc_issuer = "
			     "\"https://accounts.example.org\" }]\n");
	x509_good(mail, NOW, "short");
	x509_person("alice", "x509 = [{ subject = \"alice@example.org\", roots = \"root.pem\", oidc_issuer = "
			     "\"https://accounts.example.com\" }]\n");
	trust_tag_refused(
	    mail, NOW, "it names alice@example.org (by https://accounts.example.org), and no person of the policy");
	uri = fulcio_tag("URI:https://ci.example.org/acme/.github/workflows/tag.yml@refs/heads/main");
	x509_person("alice",
	    "x509 = [{ subject = \"https://ci.example.org/acme/.github/workflows/tag.yml@refs/heads/main\", "
	    "roots = \"root.pem\" }]\n");
	x509_good(uri, NOW, "short");
	x509_alice();
	trust_tag_refused(uri, NOW, "no person of the policy is known by that");
}

/* --- messages made by hand --- */

struct forge {
	const char *digest, *content_type, *algorithm, *key, *certificate;
	const char *payload; /* of which messageDigest is; NULL: the tag's */
	const char *time; /* UTCTime, or NULL */
	GBytes *ess; /* value of signingCertificateV2, or NULL */
	gboolean bare; /* the signature without the zero that it begins with */
};
static const struct forge by_alice = { "sha256", OID_DATA, "1.2.840.10045.4.3.2", "alice.key", "alice.pem", NULL, NULL,
	NULL };

static void attribute(GPtrArray *set, const char *oid, uint8_t tag, const void *data, size_t size)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	size_t one = der_open(out, DER_SEQUENCE), values;

	der_write_oid(out, oid);
	values = der_open(out, DER_SET);
	if (tag == DER_OID)
		der_write_oid(out, data);
	else if (tag == 0)
		g_byte_array_append(out, data, size);
	else
		der_write(out, tag, data, size);
	der_close(out, values);
	der_close(out, one);
	g_ptr_array_add(set, g_byte_array_free_to_bytes(g_steal_pointer(&out)));
}

static GByteArray *attributes_of(const struct forge *f)
{
	g_autoptr(GPtrArray) set = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	g_autoptr(GBytes) tag = x509_payload();
	const void *payload = f->payload != NULL ? f->payload : g_bytes_get_data(tag, NULL);
	size_t payload_size = f->payload != NULL ? strlen(f->payload) : g_bytes_get_size(tag);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;
	GByteArray *out = g_byte_array_new();

	EVP_Digest(payload, payload_size, digest, &size, EVP_get_digestbyname(f->digest), NULL);
	attribute(set, OID_CONTENT_TYPE, DER_OID, f->content_type, 0);
	attribute(set, OID_MESSAGE_DIGEST, DER_OCTETS, digest, size);
	if (f->time != NULL)
		attribute(set, OID_SIGNING_TIME, DER_UTC_TIME, f->time, strlen(f->time));
	if (f->ess != NULL)
		attribute(set, OID_SIGNING_CERTIFICATE_V2, 0, g_bytes_get_data(f->ess, NULL), g_bytes_get_size(f->ess));
	der_write_set(out, DER_SET, set);
	return out;
}

static GBytes *signature_of(const struct forge *f, const GByteArray *attributes)
{
	FILE *file = fopen(f->key, "r");
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const EVP_MD *md = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_get_digestbyname(f->digest);
	size_t size = 600;
	uint8_t *value = g_malloc(size);

	fclose(file);
	assert_int_equal(EVP_DigestSignInit(context, NULL, md, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(context, value, &size, attributes->data, attributes->len), 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	if (f->bare && value[0] == 0)
		memmove(value, value + 1, --size);
	return g_bytes_new_take(value, size);
}

static GBytes *file_der(const char *name)
{
	return trust_output("openssl x509 -in %s -outform DER", name);
}

static void signer_write(GByteArray *out, const struct forge *f, GBytes *certificate)
{
	const uint8_t *at = g_bytes_get_data(certificate, NULL);
	X509 *x = d2i_X509(NULL, &at, g_bytes_get_size(certificate));
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
	g_autoptr(GByteArray) attributes = attributes_of(f);
	g_autoptr(GBytes) signature = signature_of(f, attributes);
	size_t signer = der_open(out, DER_SEQUENCE), id;
	const uint8_t *issuer;
	size_t size;

	der_write_small(out, 1);
	id = der_open(out, DER_SEQUENCE);
	X509_NAME_get0_der(X509_get_issuer_name(x), &issuer, &size);
	g_byte_array_append(out, issuer, size);
	der_write_unsigned(out, ASN1_STRING_get0_data(serial), ASN1_STRING_length(serial));
	der_close(out, id);
	der_write_algorithm(out, cms_hash_named(f->digest)->oid, FALSE);
	attributes->data[0] = DER_CONTEXT(0);
	g_byte_array_append(out, attributes->data, attributes->len);
	der_write_algorithm(out, f->algorithm, FALSE);
	der_write(out, DER_OCTETS, g_bytes_get_data(signature, NULL), g_bytes_get_size(signature));
	der_close(out, signer);
	X509_free(x);
}

static GBytes *forged(const struct forge *f)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	g_autoptr(GBytes) certificate = file_der(f->certificate), inter = file_der("inter.pem"), cms = NULL;
	size_t info = der_open(out, DER_SEQUENCE), wrapped, data, mark;

	der_write_oid(out, OID_SIGNED_DATA);
	wrapped = der_open(out, DER_CONTEXT(0));
	data = der_open(out, DER_SEQUENCE);
	der_write_small(out, 1);
	mark = der_open(out, DER_SET);
	der_write_algorithm(out, cms_hash_named(f->digest)->oid, FALSE);
	der_close(out, mark);
	mark = der_open(out, DER_SEQUENCE);
	der_write_oid(out, OID_DATA);
	der_close(out, mark);
	mark = der_open(out, DER_CONTEXT(0));
	der_write_bytes(out, certificate);
	der_write_bytes(out, inter);
	der_close(out, mark);
	mark = der_open(out, DER_SET);
	signer_write(out, f, certificate);
	der_close(out, mark);
	der_close(out, data);
	der_close(out, wrapped);
	der_close(out, info);
	cms = g_byte_array_free_to_bytes(g_steal_pointer(&out));
	return x509_tag_of(cms);
}

static void forged_good(struct forge f, const char *name)
{
	g_autoptr(GBytes) raw = forged(&f);

	x509_good(raw, NOW, name);
}

static void forged_refused(struct forge f, const char *words)
{
	g_autoptr(GBytes) raw = forged(&f);

	trust_tag_refused(raw, NOW, words);
}

static void another_key_under_ones_certificate_is_refused(void **state)
{
	struct forge f = by_alice;

	forged_good(f, "alice");
	f.key = "inter.key";
	forged_refused(f, "the signature value does not verify with the signer's certificate");
}

static void attributes_must_be_those_of_the_payload(void **state)
{
	struct forge f = by_alice;

	f.payload = "other bytes";
	forged_refused(f, "the signature does not fit these bytes");
	f = by_alice;
	f.content_type = "1.2.3.4";
	forged_refused(f, "contentType is not the content's");
}

static void algorithms_must_be_those_of_the_key(void **state)
{
	struct forge f = by_alice;

	f.algorithm = "1.2.840.10045.2.1"; /* as earlier versions of smimesign and gitsign have it */
	forged_good(f, "alice");
	f.algorithm = "1.2.840.10045.4.3.3";
	forged_refused(
	    f, "its signature algorithm 1.2.840.10045.4.3.3 is neither RSA PKCS#1 v1.5 nor ECDSA with sha256");
	f.algorithm = "1.2.840.113549.1.1.11";
	forged_refused(f, "its signature algorithm is not that of the certificate's key");
	f.algorithm = "1.2.840.10045.4.1";
	forged_refused(f, "is neither RSA PKCS#1 v1.5 nor ECDSA");
}

static void a_signature_of_the_future_is_refused(void **state)
{
	struct forge f = by_alice;

	f.time = "260101000000Z";
	forged_good(f, "alice");
	f.time = "490101000000Z";
	forged_refused(f, "the signature says that it was made on 2049-01-01T00:00:00.000Z, which was still to come");
	f.time = "soon";
	forged_refused(f, "its signingTime is no time");
}

/* A time at which f's signature begins with zero. Caller frees. */
static char *lucky_time(struct forge f)
{
	for (int i = 0; i < 86400; i++) {
		g_autofree char *time = g_strdup_printf("260101%02d%02d%02dZ", i / 3600, i / 60 % 60, i % 60);
		g_autoptr(GByteArray) attributes = NULL;
		g_autoptr(GBytes) signature = NULL;

		f.time = time;
		attributes = attributes_of(&f);
		signature = signature_of(&f, attributes);
		if (*(const uint8_t *)g_bytes_get_data(signature, NULL) == 0)
			return g_steal_pointer(&time);
	}
	fail_msg("no signature in 86400 begins with zero");
	return NULL;
}

static void rsa_signatures_are_good_without_the_zeros_that_gpgsm_leaves_out(void **state)
{
	struct forge f = { "sha256", OID_DATA, "1.2.840.113549.1.1.1", "sm.key", "sm.pem" };
	g_autofree char *time = lucky_time(f);

	f.time = time;
	forged_good(f, "sm");
	f.bare = TRUE;
	forged_good(f, "sm");
	f.payload = "other bytes";
	forged_refused(f, "the signature does not fit these bytes");
}

/* SigningCertificateV2 { { { OCTET STRING } } } with the SHA-256 of that certificate. */
static GBytes *certificate_id_of(const char *name)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	g_autoptr(GBytes) der = file_der(name);
	size_t all = der_open(out, DER_SEQUENCE), list = der_open(out, DER_SEQUENCE), id = der_open(out, DER_SEQUENCE);
	uint8_t digest[32];

	EVP_Digest(g_bytes_get_data(der, NULL), g_bytes_get_size(der), digest, NULL, EVP_sha256(), NULL);
	der_write(out, DER_OCTETS, digest, sizeof(digest));
	der_close(out, id);
	der_close(out, list);
	der_close(out, all);
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

static void a_signature_that_names_another_certificate_is_refused(void **state)
{
	struct forge f = by_alice;
	g_autoptr(GBytes) own = certificate_id_of("alice.pem"), other = certificate_id_of("inter.pem");

	f.ess = own;
	forged_good(f, "alice");
	f.ess = other;
	forged_refused(f, "its signing certificate attribute names another certificate");
}

static void ed25519_signs_with_sha512(void **state)
{
	struct forge f = { "sha512", OID_DATA, "1.3.101.112", "ed.key", "ed.pem" };

	trust_run(LIBRARY "key ed ed25519; issue ed inter /CN=Alice \"$LEAF|$ALICE\"");
	forged_good(f, "ed");
	f.key = "other.key";
	trust_run(LIBRARY "key other ed25519");
	forged_refused(f, "the signature value does not verify with the signer's certificate");
	f.key = "ed.key";
	f.digest = "sha256";
	forged_refused(f, "its digest algorithm is not SHA-512, which Ed25519 needs in CMS");
}

/* --- rights --- */

static void another_root_or_subject_widens_rights(void **state)
{
	autoptr(people) before = people_load_dir("people", NULL);
	autoptr(people) same = people_load_dir("people", NULL);
	autoptr(people) root = NULL;
	autoptr(people) subject = NULL;

	trust_run("cat root.pem alice.pem >people/root.pem");
	root = people_load_dir("people", NULL);
	x509_person("alice", "x509 = [{ subject = \"alice@example.com\", roots = \"root.pem\" }]\n");
	subject = people_load_dir("people", NULL);
	assert_true(people_widened(before, root, "alice") && people_widened(before, subject, "alice"));
	assert_false(people_widened(before, same, "alice") || people_widened(root, before, "alice"));
	x509_alice();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_that_git_signs_with_gpgsm_are_good),
		cmocka_unit_test(commits_that_git_signs_with_gpgsm_are_good),
		cmocka_unit_test(commands_say_who_signed),
		cmocka_unit_test(approvals_that_git_tagseal_signs_with_gpgsm_count),
		cmocka_unit_test(forms_of_cms_that_tools_make_are_good),
		cmocka_unit_test(forms_of_cms_that_are_not_gits_are_refused),
		cmocka_unit_test(messages_that_nobody_signed_are_refused),
		cmocka_unit_test(bytes_around_and_in_the_message_are_refused),
		cmocka_unit_test(two_certificates_for_one_signer_are_refused),
		cmocka_unit_test(a_certificate_is_revoked_by_its_fingerprint),
		cmocka_unit_test(a_revoked_certificate_does_not_come_back_as_its_twin),
		cmocka_unit_test(people_are_known_by_mail_or_uri_of_an_identity_provider),
		cmocka_unit_test(another_key_under_ones_certificate_is_refused),
		cmocka_unit_test(attributes_must_be_those_of_the_payload),
		cmocka_unit_test(algorithms_must_be_those_of_the_key),
		cmocka_unit_test(a_signature_of_the_future_is_refused),
		cmocka_unit_test(rsa_signatures_are_good_without_the_zeros_that_gpgsm_leaves_out),
		cmocka_unit_test(a_signature_that_names_another_certificate_is_refused),
		cmocka_unit_test(ed25519_signs_with_sha512),
		cmocka_unit_test(another_root_or_subject_widens_rights),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
