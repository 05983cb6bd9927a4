/* `tagseal verify-provenance`: were these files built from that commit, by that builder? */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/provenance.h"
#include "server/cli.h"
#include "server/command_file.h"
#include "signer/file_digest.h"
#include "signer/timestamp.h"

#define PEM_MAX (16 * 1024 * 1024)
#define ARTIFACTS_MAX 1000

struct arguments {
	char *key, *roots, *builder, *source, *commit, *identity, *issuer, *stamp_roots, *at;
	char **artifacts;
	int64_t at_ms;
};

/* What the arguments name, read. */
struct inputs {
	GBytes *envelope, *stamp_roots;
	GPtrArray *keys;
	X509_STORE *roots;
	GArray *artifacts; /* struct provenance_artifact, its texts owned */
};

static void artifact_clear(struct provenance_artifact *artifact)
{
	g_free((char *)artifact->sha256);
	g_free((char *)artifact->sha512);
}

static void clear(struct arguments *a, struct inputs *in)
{
	char *all[] = { a->key, a->roots, a->builder, a->source, a->commit, a->identity, a->issuer, a->stamp_roots,
		a->at };

	for (guint i = 0; i < G_N_ELEMENTS(all); i++)
		g_free(all[i]);
	g_strfreev(a->artifacts);
	g_clear_pointer(&in->envelope, g_bytes_unref);
	g_clear_pointer(&in->stamp_roots, g_bytes_unref);
	g_clear_pointer(&in->keys, g_ptr_array_unref);
	X509_STORE_free(in->roots);
	g_clear_pointer(&in->artifacts, g_array_unref);
}

/* NULL, or what is wrong with the options. */
static const char *mistake(struct arguments *a)
{
	if ((a->key == NULL) == (a->roots == NULL))
		return "one of --key PEM and --roots PEM says whose word counts";
	if (a->builder == NULL || a->source == NULL || a->commit == NULL)
		return "--builder ID, --source URI and --commit OID say what must have been built by whom";
	if (a->artifacts == NULL)
		return "--artifact FILE is missing: what was built?";
	if (!is_object_id(a->commit))
		return "--commit must be a full id of 40 lower-case hex digits";
	if (a->roots == NULL && (a->identity != NULL || a->issuer != NULL || a->stamp_roots != NULL || a->at != NULL))
		return "--identity, --issuer, --timestamp-roots and --at are about certificates, and go with --roots";
	a->at_ms = time_now_ms();
	if (a->at != NULL && !time_parse_ms(a->at, &a->at_ms))
		return "--at must be a time like 2026-03-01T00:00:00Z";
	return NULL;
}

static gboolean add_artifact(struct inputs *in, const char *path, GError **error)
{
	autofd int fd = command_open(path, error);
	uint8_t sha512[64], sha256[SHA256_SIZE];
	struct provenance_artifact artifact;
	uint64_t size;

	if (fd < 0)
		return FALSE;
	if (!file_digest(fd, EVP_sha512(), sha512, sha256, &size, error)) {
		g_prefix_error(error, "%s: ", path);
		return FALSE;
	}
	artifact =
	    (struct provenance_artifact){ path, hex_encode(sha256, sizeof(sha256)), hex_encode(sha512, sizeof(sha512)) };
	g_array_append_val(in->artifacts, artifact);
	return TRUE;
}

static gboolean load_trust(const struct arguments *a, struct inputs *in, GError **error)
{
	g_autoptr(GBytes) pem = file_read(a->key != NULL ? a->key : a->roots, PEM_MAX, error);

	if (pem == NULL)
		return FALSE;
	if (a->key != NULL)
		return (in->keys = dsse_keys_parse(pem, a->key, error)) != NULL;
	if (a->stamp_roots != NULL && (in->stamp_roots = file_read(a->stamp_roots, PEM_MAX, error)) == NULL)
		return FALSE;
	return (in->roots = dsse_roots_parse(pem, a->roots, error)) != NULL;
}

static gboolean load(const struct arguments *a, const char *envelope, struct inputs *in, GError **error)
{
	in->artifacts = g_array_new(FALSE, FALSE, sizeof(struct provenance_artifact));
	g_array_set_clear_func(in->artifacts, (GDestroyNotify)artifact_clear);
	for (guint i = 0; a->artifacts[i] != NULL; i++)
		if (!add_artifact(in, a->artifacts[i], error))
			return FALSE;
	return load_trust(a, in, error) && (in->envelope = file_read(envelope, DSSE_FILE_MAX + 1, error)) != NULL;
}

static gboolean verify(
    const struct arguments *a, const char *file, struct inputs *in, struct json **section, GError **error)
{
	char *builders[] = { a->builder, NULL }, *identities[] = { a->identity, NULL };
	struct provenance_wish wish = {
		.trust = { .keys = in->keys, .roots = in->roots, .issuer = a->issuer, .at_ms = a->at_ms },
		.builders = builders,
		.exact = TRUE,
		.source = a->source,
		.commit = a->commit,
		.artifacts = (const struct provenance_artifact *)in->artifacts->data,
		.artifact_count = in->artifacts->len,
	};
	g_autofree char *shown = NULL;

	if (a->identity != NULL)
		wish.trust.identities = identities;
	if (in->stamp_roots != NULL) {
		wish.trust.stamp_time = timestamp_proves;
		wish.trust.stamp_data = in->stamp_roots;
	}
	if (provenance_verify(in->envelope, &wish, section, error))
		return TRUE;
	shown = text_escape(file, -1, 200);
	g_prefix_error(error, "%s: ", shown);
	return FALSE;
}

static int answer(const struct arguments *a, const char *file, struct inputs *in, gboolean as_json)
{
	g_autoptr(GError) error = NULL;
	autoptr(json) section = NULL;

	if (!load(a, file, in, &error) || !verify(a, file, in, &section, &error))
		return command_fail(error);
	if (as_json) {
		json_set_boolean(section, "good", TRUE);
		command_print_json(section);
		return 0;
	}
	printf("good\n");
	command_print_result("builder", json_string(section, "builder"));
	command_print_result("key", json_string(section, "key"));
	if (json_string(section, "identity") != NULL)
		command_print_result("identity", json_string(section, "identity"));
	return 0;
}

static int wrong_use(const char *why)
{
	g_autoptr(GError) error =
	    g_error_new(TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "%s; see tagseal verify-provenance --help", why);

	return command_fail(error);
}

int cmd_verify_provenance(int argc, char **argv)
{
	struct arguments a = { 0 };
	struct inputs in = { 0 };
	const GOptionEntry entries[] = {
		{ "key", 0, 0, G_OPTION_ARG_FILENAME, &a.key, "The builder's public keys", "PEM" },
		{ "roots", 0, 0, G_OPTION_ARG_FILENAME, &a.roots,
		    "Roots of the builder's certificate, and authorities between", "PEM" },
		{ "builder", 0, 0, G_OPTION_ARG_STRING, &a.builder, "The builder's id, exactly", "ID" },
		{ "source", 0, 0, G_OPTION_ARG_STRING, &a.source, "The repository; with @REF, at that ref only", "URI" },
		{ "commit", 0, 0, G_OPTION_ARG_STRING, &a.commit, "The commit's full id", "OID" },
		{ "artifact", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a.artifacts,
		    "What was built; may stand several times", "FILE" },
		{ "identity", 0, 0, G_OPTION_ARG_STRING, &a.identity,
		    "URI or address that the certificate must have (a glob); default: the builder's id", "NAME" },
		{ "issuer", 0, 0, G_OPTION_ARG_STRING, &a.issuer, "Who vouched for that identity (Fulcio's extension)",
		    "URI" },
		{ "timestamp-roots", 0, 0, G_OPTION_ARG_FILENAME, &a.stamp_roots,
		    "Believe a bundle's timestamps by these authorities", "PEM" },
		{ "at", 0, 0, G_OPTION_ARG_STRING, &a.at, "When the envelope was first seen (default: now)", "TIME" },
		G_OPTION_ENTRY_NULL,
	};
	static const struct command_usage usage = { "tagseal",
		"(--key PEM | --roots PEM) --builder ID --source URI --commit OID --artifact FILE ENVELOPE",
		"Checks SLSA provenance (v1, v0.2) in a DSSE envelope, JSON lines of them, or a Sigstore bundle.", "",
		1, 1 };
	gboolean as_json;
	int status;

	if (command_options(&usage, entries, &argc, argv, &as_json, &status)) {
		const char *wrong = mistake(&a);

		status = wrong != NULL ? wrong_use(wrong) : answer(&a, argv[1], &in, as_json);
	}
	clear(&a, &in);
	return status;
}
