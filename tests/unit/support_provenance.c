#include "tests/unit/support_provenance.h"

#include <string.h>

int provenance_setup(void **state)
{
	if (trust_setup(state) != 0)
		return -1;
	trust_run(
	    "curve() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:$2 -out $1.key; }\n"
	    "openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key\n"
	    "curve p256 P-256; curve p384 P-384; curve p521 P-521; curve other P-256; curve ca P-256; curve between "
	    "P-256\n"
	    "curve foreign P-256; openssl genpkey -quiet -algorithm ED25519 -out ed25519.key\n"
	    "for k in *.key; do openssl pkey -in $k -pubout -out ${k%%.key}.pub; done\n"
	    "root() { openssl req -x509 -new -key $1.key -subj /CN=$1 -days 3650 -out $1.pem; }\n"
	    "root ca; root foreign\n"
	    /* KEY NAME ISSUER EXTENSIONS */
	    "issue() { printf \"$4\" >ext; openssl req -new -key $1.key -subj \"/CN=$2\" -out req\n"
	    "  openssl x509 -req -in req -CA $3.pem -CAkey $3.key -days 30 -extfile ext -out $2.pem 2>/dev/null; }\n"
	    "sign='extendedKeyUsage=codeSigning\\nsubjectAltName=critical,'\n"
	    "issue between between ca 'basicConstraints=critical,CA:true\\n'\n"
	    "issue p256 leaf ca \"${sign}URI:%s\\n\"; issue p256 deep between \"${sign}URI:%s\\n\"\n"
	    "issue rsa rsa-leaf ca \"${sign}URI:%s\\n\"; issue ed25519 ed25519-leaf ca \"${sign}URI:%s\\n\"\n"
	    "issue p256 alien foreign \"${sign}URI:%s\\n\"\n"
	    "issue p256 stranger ca \"${sign}URI:https://ci.example.org/builders/test\\n\"\n"
	    "issue p256 person ca \"${sign}email:builder@example.org\\n\"\n"
	    "issue p256 web ca 'extendedKeyUsage=serverAuth\\nsubjectAltName=URI:%s\\n'\n"
	    "issue p256 nobody ca 'extendedKeyUsage=codeSigning\\n'",
	    BUILDER, BUILDER, BUILDER, BUILDER, BUILDER, BUILDER);
	return 0;
}

char *statement_v1(void)
{
	return g_strdup(
	    "{\"_type\":\"https://in-toto.io/Statement/"
	    "v1\",\"subject\":[{\"name\":\"widget.exe\",\"digest\":{\"sha256\":\"" ARTIFACT_SHA256
	    "\"}}],\"predicateType\":\"https://slsa.dev/provenance/v1\",\"predicate\":{\"buildDefinition\":{"
	    "\"buildType\":\"https://ci.example.org/make/v1\",\"externalParameters\":{\"workflow\":{\"ref\":\"refs/"
	    "tags/v1\","
	    "\"repository\":\"https://git.example.org/acme/widget\"},\"load\":0.75},\"resolvedDependencies\":[{\"uri\":"
	    "\"git+https://git.example.org/acme/widget@refs/tags/v1\",\"digest\":{\"gitCommit\":\"" COMMIT "\"}},"
	    "{\"uri\":\"pkg:deb/debian/"
	    "gcc@12\",\"digest\":{\"sha256\":\"00\"}}]},\"runDetails\":{\"builder\":{\"id\":\"" BUILDER
	    "\"},\"metadata\":{\"invocationId\":\"17\"}}}}");
}

char *statement_v02(void)
{
	return g_strdup(
	    "{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"predicateType\":\"https://slsa.dev/provenance/v0.2\","
	    "\"subject\":[{\"name\":\"widget.exe\",\"digest\":{\"sha256\":\"" ARTIFACT_SHA256 "\"}}],\"predicate\":{"
	    "\"builder\":{\"id\":\"" BUILDER "\"},\"buildType\":\"https://ci.example.org/make/v1\",\"invocation\":{"
	    "\"configSource\":{\"uri\":\"git+https://git.example.org/acme/widget@refs/tags/"
	    "v1\",\"digest\":{\"sha1\":\"" COMMIT
	    "\"},\"entryPoint\":\"release.yml\"}},\"metadata\":{\"reproducible\":false},\"materials\":[{\"uri\":"
	    "\"git+https://git.example.org/acme/widget@refs/tags/v1\",\"digest\":{\"sha1\":\"" COMMIT "\"}}]}}");
}

char *swap(char *text, const char *from, const char *to)
{
	g_autoptr(GBytes) before = g_bytes_new_take(text, strlen(text));
	g_autoptr(GBytes) after = trust_replace(before, from, to);

	return g_strndup(g_bytes_get_data(after, NULL), g_bytes_get_size(after));
}

char *base64_of(const char *text)
{
	return g_base64_encode((const guchar *)text, strlen(text));
}

char *signature_by(const char *key, const char *type, const char *payload)
{
	g_autofree char *pae = g_strdup_printf("DSSEv1 %zu %s %zu %s", strlen(type), type, strlen(payload), payload);

	support_write("pae", pae);
	if (g_str_equal(key, "ed25519"))
		return trust_text("openssl pkeyutl -sign -rawin -inkey ed25519.key -in pae | base64 -w0");
	return trust_text("openssl dgst -sha%s -sign %s.key pae | base64 -w0",
	    g_str_equal(key, "p384")   ? "384"
	    : g_str_equal(key, "p521") ? "512"
				       : "256",
	    key);
}

char *envelope_with(const char *type, const char *payload, const char *signatures)
{
	g_autofree char *text = base64_of(payload);

	return g_strdup_printf("{\"payloadType\":\"%s\",\"payload\":\"%s\",\"signatures\":[%s]}", type, text, signatures);
}

char *envelope_by(const char *key, const char *payload)
{
	g_autofree char *value = signature_by(key, IN_TOTO, payload);
	g_autofree char *signature = g_strdup_printf("{\"keyid\":\"\",\"sig\":\"%s\"}", value);

	return envelope_with(IN_TOTO, payload, signature);
}

char *bundle_with(const char *version, const char *material, const char *envelope)
{
	return g_strdup_printf(
	    "{\"mediaType\":\"application/vnd.dev.sigstore.bundle+json;version=%s\",\"verificationMaterial\":{%s,"
	    "\"tlogEntries\":[]},\"dsseEnvelope\":%s}",
	    version, material, envelope);
}

char *material_of(const char *certificate)
{
	g_autofree char *der = trust_text("openssl x509 -in %s.pem -outform DER | base64 -w0", certificate);

	return g_strdup_printf("\"certificate\":{\"rawBytes\":\"%s\"}", der);
}

static struct provenance_wish wish(void)
{
	static char *builders[] = { (char *)BUILDER, NULL };
	static const struct provenance_artifact artifact = { "widget.exe", ARTIFACT_SHA256, NULL };

	return (struct provenance_wish){ .builders = builders,
		.exact = TRUE,
		.source = SOURCE,
		.commit = COMMIT,
		.artifacts = &artifact,
		.artifact_count = 1,
		.trust.at_ms = time_now_ms() + 60000 }; /* certificates are made after their wish */
}

struct provenance_wish wish_key(const char *name)
{
	g_autofree char *path = g_strconcat(name, ".pub", NULL);
	g_autoptr(GBytes) pem = support_read_bytes(path);
	g_autoptr(GError) error = NULL;
	struct provenance_wish made = wish();

	made.trust.keys = dsse_keys_parse(pem, path, &error);
	assert_ok(made.trust.keys, error);
	return made;
}

struct provenance_wish wish_roots(const char *name)
{
	g_autofree char *path = g_strconcat(name, ".pem", NULL);
	g_autoptr(GBytes) pem = support_read_bytes(path);
	g_autoptr(GError) error = NULL;
	struct provenance_wish made = wish();

	made.trust.roots = dsse_roots_parse(pem, path, &error);
	assert_ok(made.trust.roots, error);
	return made;
}

void provenance_forget(struct provenance_wish *made)
{
	g_clear_pointer(&made->trust.keys, g_ptr_array_unref);
	g_clear_pointer(&made->trust.roots, X509_STORE_free);
}

void is_good(char *file, struct provenance_wish made)
{
	g_autoptr(GBytes) bytes = g_bytes_new_take(file, strlen(file));
	g_autoptr(GError) error = NULL;
	autoptr(json) section = NULL;

	assert_ok(provenance_verify(bytes, &made, &section, &error), error);
	assert_string_equal(json_string(section, "commit"), made.commit);
	assert_true(g_str_has_prefix(json_string(section, "key"), "SHA256:"));
	provenance_forget(&made);
}

void is_refused(char *file, struct provenance_wish made, const char *words)
{
	g_autoptr(GBytes) bytes = g_bytes_new_take(file, strlen(file));
	g_autoptr(GError) error = NULL;

	assert_false(provenance_verify(bytes, &made, NULL, &error));
	assert_refusal(error, words);
	assert_null(strchr(error->message, '\n'));
	provenance_forget(&made);
}
