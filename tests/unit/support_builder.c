#include "tests/unit/support_builder.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "gitops/dsse.h"
#include "tests/unit/support_policy.h"

#define BUILDER "https://ci.example.org/builder"

static EVP_PKEY *builder_key(void)
{
	static EVP_PKEY *key;

	if (key == NULL)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	return key;
}

void sample_pin_by_provenance(policy_files *files)
{
	BIO *bio = BIO_new(BIO_s_mem());
	g_autofree char *pem = NULL;
	char *data;
	long size;

	PEM_write_bio_PUBKEY(bio, builder_key());
	size = BIO_get_mem_data(bio, &data);
	pem = g_strndup(data, (gsize)size);
	BIO_free(bio);
	sample_set(files, "projects/builder.pem", pem);
	sample_replace(files, SAMPLE_PROJECT, "pinned_by = [\"approval\"]\n",
	    "pinned_by = [\"provenance\"]\n[policy.provenance]\nfetch = "
	    "\"https://ci.example.org/{commit}/provenance.jsonl\"\n"
	    "builders = [\"" BUILDER "\"]\nkeys = [\"builder.pem\"]\n");
}

static char *sign(GBytes *pae)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char value[256];
	size_t size = sizeof(value);

	assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, builder_key()), 1);
	assert_int_equal(EVP_DigestSign(context, value, &size, g_bytes_get_data(pae, NULL), g_bytes_get_size(pae)), 1);
	EVP_MD_CTX_free(context);
	return g_base64_encode(value, size);
}

GBytes *sample_provenance(const char *source, const char *commit, const char *name, const char *sha256)
{
	char *statement = g_strdup_printf(
	    "{\"_type\":\"https://in-toto.io/Statement/"
	    "v1\",\"subject\":[{\"name\":\"%s\",\"digest\":{\"sha256\":\"%s\"}}],"
	    "\"predicateType\":\"https://slsa.dev/provenance/v1\",\"predicate\":{\"buildDefinition\":{\"buildType\":"
	    "\"https://ci.example.org/"
	    "make\",\"externalParameters\":{\"source\":\"git+%s\"},\"resolvedDependencies\":[{\"uri\":"
	    "\"git+%s@refs/tags/"
	    "v1.2.0\",\"digest\":{\"gitCommit\":\"%s\"}}]},\"runDetails\":{\"builder\":{\"id\":\"" BUILDER "\"}}}}",
	    name, strchr(sha256, ':') + 1, source, source, commit);
	g_autoptr(GBytes) payload = g_bytes_new_take(statement, strlen(statement));
	g_autoptr(GBytes) pae = dsse_pae("application/vnd.in-toto+json", payload);
	g_autofree char *text = g_base64_encode((const guchar *)statement, strlen(statement)), *value = sign(pae);
	char *envelope = g_strdup_printf(
	    "{\"payloadType\":\"application/vnd.in-toto+json\",\"payload\":\"%s\",\"signatures\":[{\"sig\":\"%s\"}]}\n",
	    text, value);

	return g_bytes_new_take(envelope, strlen(envelope));
}
