/* Statements about builds: good ones of both versions, and forgeries that their builder's own key signed. */
#include "tests/unit/support_provenance.h"

#include <string.h>

static char *signed_statement(char *statement)
{
	char *envelope = envelope_by("p256", statement);

	g_free(statement);
	return envelope;
}

static char *v1(const char *from, const char *to)
{
	return signed_statement(swap(statement_v1(), from, to));
}

static char *v02(const char *from, const char *to)
{
	return signed_statement(swap(statement_v02(), from, to));
}

/* The p256 key's statement under that certificate. */
static char *under(const char *certificate)
{
	g_autofree char *material = material_of(certificate), *statement = statement_v1();
	g_autofree char *envelope = envelope_by("p256", statement);

	return bundle_with("0.3", material, envelope);
}

static struct provenance_wish wish_source(const char *source)
{
	struct provenance_wish wish = wish_key("p256");

	wish.source = source;
	return wish;
}

/* --- statements --- */

static void both_versions_are_good(void **state)
{
	is_good(signed_statement(statement_v1()), wish_key("p256"));
	is_good(signed_statement(statement_v02()), wish_key("p256"));
}

static void another_payload_type_is_refused(void **state)
{
	g_autofree char *statement = statement_v1();
	g_autofree char *value = signature_by("p256", "application/json", statement);
	g_autofree char *signature = g_strdup_printf("{\"sig\":\"%s\"}", value);

	is_refused(envelope_with("application/json", statement, signature), wish_key("p256"),
	    "the envelope's payloadType is \"application/json\", and a statement's is application/vnd.in-toto+json");
}

static void another_kind_of_statement_is_refused(void **state)
{
	is_refused(v1("in-toto.io/Statement/v1", "in-toto.io/Statement/v2"), wish_key("p256"),
	    "the payload's _type is \"https://in-toto.io/Statement/v2\", and not that of an in-toto statement");
	is_refused(v1("\"_type\"", "\"type\""), wish_key("p256"), "the statement: \"_type\" is missing");
	is_refused(v1("slsa.dev/provenance/v1", "slsa.dev/provenance/v0.1"),
	    wish_key("p256"), "the statement's predicateType is \"https://slsa.dev/provenance/v0.1\", and only SLSA provenance v1 and v0.2 say");
	is_refused(v1("slsa.dev/provenance/v1", "spdx.dev/Document"), wish_key("p256"),
	    "predicateType is \"https://spdx.dev/Document\"");
}

/* What stands where the other version has it does not count. */
static void one_versions_predicate_under_the_others_name_is_refused(void **state)
{
	is_refused(v1("slsa.dev/provenance/v1", "slsa.dev/provenance/v0.2"), wish_key("p256"),
	    "the statement names no builder (builder.id)");
	is_refused(v02("slsa.dev/provenance/v0.2", "slsa.dev/provenance/v1"), wish_key("p256"),
	    "the statement names no builder (runDetails.builder.id)");
}

static void a_payload_that_is_no_strict_json_is_refused(void **state)
{
	is_refused(signed_statement(g_strdup("not json")), wish_key("p256"), "the envelope's payload: JSON, line 1");
	is_refused(v1("\"predicate\":", "\"predicate\":{},\"predicate\":"), wish_key("p256"),
	    "the key \"predicate\" stands twice");
	is_refused(signed_statement(g_strconcat("{}", "{}", NULL)), wish_key("p256"), "the envelope's payload: JSON");
	is_refused(v1("\"subject\":[", "\"subject\":\"a\",\"subjects\":["), wish_key("p256"),
	    "\"subject\" is missing or not an array");
}

/* --- subjects --- */

static void another_artifact_is_refused(void **state)
{
	is_refused(v1(ARTIFACT_SHA256, "0000000000000000000000000000000000000000000000000000000000000000"),
	    wish_key("p256"),
	    "widget.exe (sha256:" ARTIFACT_SHA256
	    ") is none of the statement's 1 subjects: it was changed after it was built, or built elsewhere");
}

static void a_digest_must_be_written_as_digests_are(void **state)
{
	g_autofree char *upper = g_ascii_strup(ARTIFACT_SHA256, -1);

	is_refused(v1(ARTIFACT_SHA256, upper), wish_key("p256"),
	    "the statement's subject 1: its sha256 is not 64 lower-case hex digits");
	is_refused(v1(ARTIFACT_SHA256, "9f86"), wish_key("p256"), "its sha256 is not 64 lower-case hex digits");
	is_refused(v1("\"sha256\":\"" ARTIFACT_SHA256 "\"", "\"sha256\":7"), wish_key("p256"),
	    "its sha256 is not 64 lower-case hex digits");
	is_refused(
	    v1("\"sha256\":\"" ARTIFACT_SHA256 "\"", ""), wish_key("p256"), "the statement's subject 1 has no digest");
}

static void a_statement_without_subjects_is_refused(void **state)
{
	is_refused(v1("{\"name\":\"widget.exe\",\"digest\":{\"sha256\":\"" ARTIFACT_SHA256 "\"}}", ""),
	    wish_key("p256"), "the statement has no subject: it vouches for nothing");
}

static void weak_digests_alone_are_refused(void **state)
{
	is_refused(v1("\"sha256\":\"" ARTIFACT_SHA256 "\"", "\"sha1\":\"a94a8fe5ccb19ba61c4c0873d391e987982fbbd3\""),
	    wish_key("p256"), "the statement's subjects have no digest that could be held against widget.exe: a builder must state their sha256");
}

/* npm's provenance has nothing else. */
static void sha512_counts_where_the_file_itself_is_at_hand(void **state)
{
	static const char sha512[] = "ee26b0dd4af7e749aa1a8ee3c10ae9923f618980772e473f8819a5d4940e0db27ac185f8a0e1d5f84"
				     "f88bc887fd67b143732c304cc5fa9"
				     "ad8e6f57f50028a8ff";
	g_autofree char *alone = g_strdup_printf("\"sha512\":\"%s\"", sha512);
	const struct provenance_artifact artifact = { "widget.exe", ARTIFACT_SHA256, sha512 };
	struct provenance_wish wish = wish_key("p256");

	is_refused(v1("\"sha256\":\"" ARTIFACT_SHA256 "\"", alone), wish,
	    "have no digest that could be held against widget.exe");
	wish = wish_key("p256");
	wish.artifacts = &artifact;
	is_good(v1("\"sha256\":\"" ARTIFACT_SHA256 "\"", alone), wish);
}

static void one_digest_that_differs_outweighs_one_that_is_equal(void **state)
{
	g_autofree char *zeros = g_strnfill(128, '0');
	const struct provenance_artifact artifact = { "widget.exe", ARTIFACT_SHA256, zeros };
	struct provenance_wish wish = wish_key("p256");
	g_autofree char *two = g_strconcat(ARTIFACT_SHA256 "\",\"sha512\":\"", zeros + 1, "1", NULL);

	wish.artifacts = &artifact;
	is_refused(v1(ARTIFACT_SHA256, two), wish, "is none of the statement's 1 subjects");
}

static void all_artifacts_must_be_subjects(void **state)
{
	static const struct provenance_artifact two[] = { { "widget.exe", ARTIFACT_SHA256, NULL },
		{ "widget.zip", "1111111111111111111111111111111111111111111111111111111111111111", NULL } };
	struct provenance_wish wish = wish_key("p256");

	wish.artifacts = two;
	wish.artifact_count = 2;
	is_refused(signed_statement(statement_v1()), wish, "widget.zip (sha256:1111");
}

static void artifacts_may_stand_in_envelopes_of_their_own(void **state)
{
	static const char other[] = "1111111111111111111111111111111111111111111111111111111111111111";
	static const struct provenance_artifact two[] = { { "widget.exe", ARTIFACT_SHA256, NULL },
		{ "widget.zip", other, NULL } };
	struct provenance_wish wish = wish_key("p256");
	g_autofree char *first = signed_statement(statement_v1()), *second = v1(ARTIFACT_SHA256, other);

	wish.artifacts = two;
	wish.artifact_count = 2;
	is_good(g_strdup_printf("%s\n%s\n", first, second), wish);
}

/* Two files of one build may not change places where their names are known. */
static void by_name_each_file_has_its_own_digest(void **state)
{
	static const char other[] = "1111111111111111111111111111111111111111111111111111111111111111";
	static const struct provenance_artifact swapped = { "widget.zip", ARTIFACT_SHA256, NULL };
	static const struct provenance_artifact unnamed = { "installer.exe", ARTIFACT_SHA256, NULL };
	g_autofree char *more =
	    g_strconcat(ARTIFACT_SHA256 "\"}},{\"name\":\"out/widget.zip\",\"digest\":{\"sha256\":\"", other, NULL);
	struct provenance_wish wish = wish_key("p256");

	wish.by_name = TRUE;
	is_good(v1(ARTIFACT_SHA256, more), wish);
	wish = wish_key("p256");
	wish.by_name = TRUE;
	wish.artifacts = &unnamed;
	is_good(v1(ARTIFACT_SHA256, more), wish);
	wish = wish_key("p256");
	wish.artifacts = &swapped;
	is_good(v1(ARTIFACT_SHA256, more), wish);
	wish = wish_key("p256");
	wish.by_name = TRUE;
	wish.artifacts = &swapped;
	is_refused(v1(ARTIFACT_SHA256, more), wish,
	    "the statement's subject \"widget.zip\" has another digest than this file's");
}

/* --- builder --- */

static void another_builder_is_refused(void **state)
{
	is_refused(v1(BUILDER, "https://ci.example.org/builders/test"), wish_key("p256"),
	    "the statement's builder is \"https://ci.example.org/builders/test\", and not " BUILDER);
	is_refused(v02(BUILDER, BUILDER "1"), wish_key("p256"), "the statement's builder is \"" BUILDER "1\"");
	is_refused(v1("{\"id\":\"" BUILDER "\"}", "{\"id\":\"\"}"), wish_key("p256"), "the statement names no builder");
	is_refused(v1("{\"id\":\"" BUILDER "\"}", "{\"id\":[\"" BUILDER "\"]}"), wish_key("p256"),
	    "the statement names no builder");
}

static void exactly_one_id_is_no_pattern(void **state)
{
	static char *all[] = { (char *)"https://ci.example.org/builders/release@refs/tags/*", NULL };
	struct provenance_wish wish = wish_key("p256");

	wish.builders = all;
	is_refused(signed_statement(statement_v1()), wish, "the statement's builder is");
	wish = wish_key("p256");
	wish.builders = all;
	wish.exact = FALSE;
	is_good(signed_statement(statement_v1()), wish);
}

/* --- source and commit --- */

static void a_source_may_be_written_in_several_ways(void **state)
{
	static const char *const same[] = { "https://git.example.org/acme/widget",
		"https://git.example.org/acme/widget.git", "git+https://git.example.org/acme/widget",
		"HTTPS://Git.Example.org:443/acme/widget.git/", "git+https://git.example.org/acme/widget@refs/tags/v1" };
	static const char *const other[] = { "http://git.example.org/acme/widget", "https://git.example.org/acme/Widget",
		"https://git.example.org/acme/widget2", "https://git.example.org/acme",
		"https://git.example.org:8443/acme/widget", "https://git.example.org/acme/./widget",
		"https://git.example.org/acme/widget?x", "git@git.example.org:acme/widget",
		"https://user@git.example.org/acme/widget", "git+https://git.example.org/acme/widget@refs/tags/v2" };

	for (guint i = 0; i < G_N_ELEMENTS(same); i++)
		is_good(signed_statement(statement_v02()), wish_source(same[i]));
	for (guint i = 0; i < G_N_ELEMENTS(other); i++)
		is_refused(signed_statement(statement_v02()), wish_source(other[i]),
		    "the statement's invocation.configSource is \"git+https://");
}

/* BuildKit's way: https://host/path.git#ref:folder */
static void a_ref_may_stand_behind_a_hash(void **state)
{
	g_autofree char *statement = swap(statement_v02(), "widget@refs/tags/v1", "widget.git#refs/tags/v1:cmd");

	is_good(envelope_by("p256", statement), wish_source("https://git.example.org/acme/widget@refs/tags/v1"));
	is_refused(envelope_by("p256", statement), wish_source("https://git.example.org/acme/widget@refs/tags/v1:cmd"),
	    "configSource");
}

static void a_ref_that_is_asked_for_must_be_named(void **state)
{
	g_autofree char *statement = swap(statement_v1(), "widget@refs/tags/v1", "widget");

	is_good(envelope_by("p256", statement), wish_key("p256"));
	is_refused(envelope_by("p256", statement), wish_source("https://git.example.org/acme/widget@refs/tags/v1"),
	    "the statement names the source without a ref");
}

static void another_source_is_refused(void **state)
{
	is_refused(v1("git+https://git.example.org/acme/widget@", "git+https://git.example.org/mallory/widget@"),
	    wish_key("p256"), "none of the statement's buildDefinition.resolvedDependencies is the source " SOURCE);
	is_refused(v1("\"https://git.example.org/acme/widget\"", "\"https://git.example.org/mallory/widget\""),
	    wish_key("p256"),
	    "the statement's buildDefinition.externalParameters.workflow.repository is "
	    "\"https://git.example.org/mallory/widget\", and not "
	    "the source " SOURCE);
	is_refused(v02("\"uri\":\"git+https://git.example.org/acme/widget@",
		       "\"uri\":\"git+https://git.example.org/mallory/widget@"),
	    wish_key("p256"),
	    "the statement's invocation.configSource is \"git+https://git.example.org/mallory/widget@refs/tags/v1\"");
	is_refused(v02("\"materials\"", "\"ingredients\""), wish_key("p256"),
	    "none of the statement's materials is the source");
}

/* A build of another repository that merely used ours. */
static void the_source_as_a_mere_dependency_is_refused(void **state)
{
	static const char *const named[] = { "\"source\":\"git+https://git.example.org/mallory/x\"",
		"\"source\":{\"uri\":\"git+https://git.example.org/mallory/x\"}",
		"\"repository\":\"https://git.example.org/mallory/x\"",
		"\"configSource\":{\"uri\":\"https://git.example.org/mallory/x.git#main\"}",
		"\"buildConfigSource\":{\"repository\":\"https://git.example.org/mallory/x\"}" };

	for (guint i = 0; i < G_N_ELEMENTS(named); i++)
		is_refused(
		    v1("\"workflow\":{\"ref\":\"refs/tags/v1\",\"repository\":\"https://git.example.org/acme/widget\"}",
			named[i]),
		    wish_key("p256"), "/mallory/x");
}

static void another_commit_is_refused(void **state)
{
	is_refused(v1(COMMIT, OTHER_COMMIT), wish_key("p256"),
	    "the statement's buildDefinition.resolvedDependencies is the source at commit " OTHER_COMMIT
	    ", and not at " COMMIT ": these artifacts were built from another commit");
	is_refused(v02(COMMIT, OTHER_COMMIT), wish_key("p256"),
	    "the statement's invocation.configSource is the source at commit " OTHER_COMMIT);
	is_refused(v02("\"digest\":{\"sha1\":\"" COMMIT "\"}}]", "\"digest\":{\"sha1\":\"" OTHER_COMMIT "\"}}]"),
	    wish_key("p256"), "the statement's materials is the source at commit " OTHER_COMMIT);
}

static void a_commit_must_be_whole_and_lower_case(void **state)
{
	is_refused(v1(COMMIT, "0123456789ABCDEF0123456789ABCDEF01234567"), wish_key("p256"),
	    "is the source at commit 0123456789ABCDEF");
	is_refused(v1(COMMIT, "0123456"), wish_key("p256"), "is the source at commit 0123456,");
}

static void a_source_without_its_commit_is_refused(void **state)
{
	is_refused(v1("\"gitCommit\"", "\"gitTree\""), wish_key("p256"),
	    "the statement's buildDefinition.resolvedDependencies name the source 1 times, without its commit "
	    "(gitCommit): which commit was "
	    "built is not certain");
	is_refused(v1("\"gitCommit\":\"" COMMIT "\"", "\"gitCommit\":null"), wish_key("p256"), "without its commit");
}

static void a_source_at_two_commits_is_refused(void **state)
{
	static const struct {
		const char *key, *value, *words;
	} cases[] = {
		{ "sha1", OTHER_COMMIT,
		    "name the source 2 times, at different commits: which commit was built is not certain" },
		{ "sha256", OTHER_COMMIT, "name the source 2 times, and not always its commit" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *two = g_strdup_printf(
		    "\"" COMMIT "\"}},{\"uri\":\"https://git.example.org/acme/widget.git\",\"digest\":{\"%s\":\"%s\"}",
		    cases[i].key, cases[i].value);

		is_refused(v1("\"" COMMIT "\"}", two), wish_key("p256"), cases[i].words);
	}
}

static void a_commit_that_has_two_names_is_refused(void **state)
{
	is_refused(v1("\"gitCommit\":\"" COMMIT "\"", "\"gitCommit\":\"" COMMIT "\",\"sha1\":\"" OTHER_COMMIT "\""),
	    wish_key("p256"), "is the source at commit " OTHER_COMMIT);
}

/* --- certificates --- */

static void a_builders_certificate_vouches(void **state)
{
	g_autofree char *rsa = material_of("rsa-leaf"), *edwards = material_of("ed25519-leaf"),
			*statement = statement_v02();
	g_autofree char *by_rsa = envelope_by("rsa", statement), *by_edwards = envelope_by("ed25519", statement);

	is_good(under("leaf"), wish_roots("ca"));
	is_good(bundle_with("0.3", rsa, by_rsa), wish_roots("ca"));
	is_good(bundle_with("0.3", edwards, by_edwards), wish_roots("ca"));
}

/* slsa-github-generator writes the certificate beside the signature. */
static void a_bare_envelope_may_bring_its_certificate(void **state)
{
	g_autofree char *statement = statement_v1(), *value = signature_by("p256", IN_TOTO, statement);
	g_autofree char *pem = trust_text("awk '{ printf \"%%s\\\\n\", $0 }' leaf.pem");
	g_autofree char *signature = g_strdup_printf("{\"sig\":\"%s\",\"cert\":\"%s\"}", value, pem);

	is_good(envelope_with(IN_TOTO, statement, signature), wish_roots("ca"));
	is_refused(swap(envelope_with(IN_TOTO, statement, signature), "BEGIN CERT", "BEGIN"), wish_roots("ca"),
	    "holds no certificate in PEM");
}

static void authorities_between_come_from_the_chain_or_the_roots(void **state)
{
	g_autofree char *leaf = material_of("deep"), *between = material_of("between"), *statement = statement_v1();
	g_autofree char *envelope = envelope_by("p256", statement);
	g_autofree char *chain = g_strdup_printf(
	    "\"x509CertificateChain\":{\"certificates\":[%s,%s]}", strchr(leaf, '{'), strchr(between, '{'));

	trust_run("cat ca.pem between.pem >both.pem");
	is_good(bundle_with("0.2", chain, envelope), wish_roots("ca"));
	is_good(bundle_with("0.3", leaf, envelope), wish_roots("both"));
	is_good(bundle_with("0.3", leaf, envelope), wish_roots("between"));
	is_refused(bundle_with("0.3", leaf, envelope), wish_roots("ca"),
	    "the signature's certificate has no good chain to the trusted roots: unable to get local issuer "
	    "certificate (" BUILDER ")");
}

static void a_certificate_under_foreign_roots_is_refused(void **state)
{
	is_refused(
	    under("alien"), wish_roots("ca"), "the signature's certificate has no good chain to the trusted roots");
	is_refused(
	    under("leaf"), wish_roots("foreign"), "the signature's certificate has no good chain to the trusted roots");
}

static void a_certificate_of_another_identity_is_refused(void **state)
{
	is_refused(under("stranger"), wish_roots("ca"),
	    "its certificate names https://ci.example.org/builders/test, and not the builder " BUILDER
	    ": who may sign for that builder must be said by its identity");
	is_refused(under("person"), wish_roots("ca"), "its certificate names builder@example.org, and not the builder");
	is_refused(
	    under("nobody"), wish_roots("ca"), "its certificate names nobody by a URI or address, and not the builder");
}

static void an_identity_that_is_given_counts_in_the_builders_place(void **state)
{
	static char *person[] = { (char *)"builder@example.org", NULL },
		    *tests[] = { (char *)"https://ci.example.org/builders/*", NULL };
	struct provenance_wish wish = wish_roots("ca");

	wish.trust.identities = person;
	is_good(under("person"), wish);
	wish = wish_roots("ca");
	wish.trust.identities = tests;
	is_good(under("stranger"), wish);
	wish = wish_roots("ca");
	wish.trust.identities = person;
	is_refused(under("leaf"), wish,
	    "its certificate is " BUILDER "'s, and not one of an identity that is trusted (\"builder@example.org\")");
	wish = wish_roots("ca");
	wish.trust.identities = person;
	is_refused(under("nobody"), wish,
	    "its certificate is without a URI or address, CN=nobody's, and not one of an identity");
}

static void a_certificate_for_something_else_is_refused(void **state)
{
	is_refused(under("web"), wish_roots("ca"),
	    "the certificate of " BUILDER " may not sign statements: its extended key usage does not name codeSigning");
}

static void a_certificate_counts_while_it_is_good(void **state)
{
	struct provenance_wish wish = wish_roots("ca");

	wish.trust.at_ms += INT64_C(60) * 24 * 3600 * 1000;
	is_refused(under("leaf"), wish,
	    ": only a time at which the envelope was seen, or a timestamp by a trusted authority, shows that it signed "
	    "while it was good");
	wish = wish_roots("ca");
	wish.trust.at_ms -= INT64_C(60) * 24 * 3600 * 1000;
	is_refused(under("leaf"), wish, "the certificate of " BUILDER " is good from ");
}

/* --- what Fulcio writes into certificates --- */

/* A leaf of p256 under ca for `name` with Fulcio's extensions, their text as UTF8String. */
static void fulcio_leaf(const char *name, const char *extensions)
{
	trust_run("printf 'extendedKeyUsage=codeSigning\\nsubjectAltName=critical,URI:%s\\n%s' >ext; openssl req -new "
		  "-key p256.key -subj / "
		  "-out req; openssl x509 -req -in req -CA ca.pem -CAkey ca.key -days 3 -extfile ext -out fulcio.pem "
		  "2>/dev/null",
	    name, extensions);
}

#define FULCIO "1.3.6.1.4.1.57264.1."

static void what_fulcio_says_of_the_build_must_be_true(void **state)
{
	fulcio_leaf(BUILDER, FULCIO "12=ASN1:UTF8String:https\\://git.example.org/acme/widget\\n" FULCIO
				    "13=ASN1:UTF8String:" COMMIT "\\n");
	is_good(under("fulcio"), wish_roots("ca"));
	fulcio_leaf(BUILDER, FULCIO "12=ASN1:UTF8String:https\\://git.example.org/mallory/widget\\n");
	is_refused(under("fulcio"), wish_roots("ca"),
	    "its certificate was given to a build of https://git.example.org/mallory/widget, and not of");
	fulcio_leaf(BUILDER, FULCIO "13=ASN1:UTF8String:" OTHER_COMMIT "\\n");
	is_refused(under("fulcio"), wish_roots("ca"),
	    "its certificate was given to a build of commit " OTHER_COMMIT ", and not of " COMMIT);
}

static void the_issuer_of_an_identity_must_be_the_one_asked_for(void **state)
{
	struct provenance_wish wish = wish_roots("ca");

	fulcio_leaf(BUILDER, FULCIO "8=ASN1:UTF8String:https\\://token.example.org\\n");
	wish.trust.issuer = "https://token.example.org";
	is_good(under("fulcio"), wish);
	wish = wish_roots("ca");
	wish.trust.issuer = "https://other.example.org";
	is_refused(under("fulcio"), wish,
	    "its certificate's identity was vouched for by https://token.example.org (1.3.6.1.4.1.57264.1.8), and not "
	    "by https://other.example.org");
	wish = wish_roots("ca");
	wish.trust.issuer = "https://token.example.org";
	is_refused(under("leaf"), wish, "was vouched for by nobody");
}

static char *on_runner(const char *builder)
{
	g_autofree char *material = material_of("fulcio"), *statement = swap(statement_v1(), BUILDER, builder);
	g_autofree char *envelope = envelope_by("p256", statement);

	return bundle_with("0.3", material, envelope);
}

static struct provenance_wish wish_runner(char **builders)
{
	struct provenance_wish wish = wish_roots("ca");

	wish.builders = builders;
	return wish;
}

/* npm's provenance: the source's own workflow signs, on a runner of GitHub's. */
static void githubs_runner_is_named_by_the_workflow_on_it(void **state)
{
	static char *hosted[] = { (char *)"https://github.com/actions/runner/github-hosted", NULL };

	fulcio_leaf("https://git.example.org/acme/widget/.github/workflows/a.yml@refs/heads/main",
	    FULCIO "11=ASN1:UTF8String:github-hosted\\n");
	is_good(on_runner(hosted[0]), wish_runner(hosted));
	fulcio_leaf("https://git.example.org/acme/widget/.github/workflows/a.yml@refs/heads/main",
	    FULCIO "11=ASN1:UTF8String:self-hosted\\n");
	is_refused(on_runner(hosted[0]), wish_runner(hosted),
	    "and not the builder https://github.com/actions/runner/github-hosted");
	fulcio_leaf("https://git.example.org/mallory/widget/.github/workflows/a.yml@refs/heads/main",
	    FULCIO "11=ASN1:UTF8String:github-hosted\\n");
	is_refused(on_runner(hosted[0]), wish_runner(hosted),
	    "its certificate names https://git.example.org/mallory/widget/.github/");
	fulcio_leaf("https://git.example.org/acme/widget-evil/.github/workflows/a.yml@refs/heads/main",
	    FULCIO "11=ASN1:UTF8String:github-hosted\\n");
	is_refused(on_runner(hosted[0]), wish_runner(hosted),
	    "its certificate names https://git.example.org/acme/widget-evil/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_versions_are_good),
		cmocka_unit_test(another_payload_type_is_refused),
		cmocka_unit_test(another_kind_of_statement_is_refused),
		cmocka_unit_test(one_versions_predicate_under_the_others_name_is_refused),
		cmocka_unit_test(a_payload_that_is_no_strict_json_is_refused),
		cmocka_unit_test(another_artifact_is_refused),
		cmocka_unit_test(a_digest_must_be_written_as_digests_are),
		cmocka_unit_test(a_statement_without_subjects_is_refused),
		cmocka_unit_test(weak_digests_alone_are_refused),
		cmocka_unit_test(sha512_counts_where_the_file_itself_is_at_hand),
		cmocka_unit_test(one_digest_that_differs_outweighs_one_that_is_equal),
		cmocka_unit_test(all_artifacts_must_be_subjects),
		cmocka_unit_test(artifacts_may_stand_in_envelopes_of_their_own),
		cmocka_unit_test(by_name_each_file_has_its_own_digest),
		cmocka_unit_test(another_builder_is_refused),
		cmocka_unit_test(exactly_one_id_is_no_pattern),
		cmocka_unit_test(a_source_may_be_written_in_several_ways),
		cmocka_unit_test(a_ref_may_stand_behind_a_hash),
		cmocka_unit_test(a_ref_that_is_asked_for_must_be_named),
		cmocka_unit_test(another_source_is_refused),
		cmocka_unit_test(the_source_as_a_mere_dependency_is_refused),
		cmocka_unit_test(another_commit_is_refused),
		cmocka_unit_test(a_commit_must_be_whole_and_lower_case),
		cmocka_unit_test(a_source_without_its_commit_is_refused),
		cmocka_unit_test(a_source_at_two_commits_is_refused),
		cmocka_unit_test(a_commit_that_has_two_names_is_refused),
		cmocka_unit_test(a_builders_certificate_vouches),
		cmocka_unit_test(a_bare_envelope_may_bring_its_certificate),
		cmocka_unit_test(authorities_between_come_from_the_chain_or_the_roots),
		cmocka_unit_test(a_certificate_under_foreign_roots_is_refused),
		cmocka_unit_test(a_certificate_of_another_identity_is_refused),
		cmocka_unit_test(an_identity_that_is_given_counts_in_the_builders_place),
		cmocka_unit_test(a_certificate_for_something_else_is_refused),
		cmocka_unit_test(a_certificate_counts_while_it_is_good),
		cmocka_unit_test(what_fulcio_says_of_the_build_must_be_true),
		cmocka_unit_test(the_issuer_of_an_identity_must_be_the_one_asked_for),
		cmocka_unit_test(githubs_runner_is_named_by_the_workflow_on_it),
	};
	return cmocka_run_group_tests(tests, provenance_setup, trust_teardown);
}
