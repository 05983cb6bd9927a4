/* `tagseal verify-timestamp`: an RFC 3161 token or response, over a file or a digest. */
#include <stdio.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "server/cli.h"
#include "signer/timestamp.h"

#define TOKEN_MAX (1024 * 1024)
#define ROOTS_MAX (16 * 1024 * 1024)

struct arguments {
	char *roots, *data, *digest, *query;
};

struct inputs {
	GBytes *roots, *data, *digest, *query, *token;
};

static void clear(struct arguments *a, struct inputs *in)
{
	GBytes **all[] = { &in->roots, &in->data, &in->digest, &in->query, &in->token };

	g_free(a->roots);
	g_free(a->data);
	g_free(a->digest);
	g_free(a->query);
	for (guint i = 0; i < G_N_ELEMENTS(all); i++)
		g_clear_pointer(all[i], g_bytes_unref);
}

static gboolean fail_usage(GError **error, const char *words)
{
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "%s", words);
	return FALSE;
}

/* Mapped, not read: the data may be large, and is only hashed. */
static gboolean map(const char *path, GBytes **out, GError **error)
{
	g_autoptr(GError) why = NULL;
	g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, &why);

	if (file == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, "%s", why->message);
	else
		*out = g_mapped_file_get_bytes(file);
	return file != NULL;
}

static gboolean decode(const char *hex, GBytes **out, GError **error)
{
	uint8_t value[64];
	size_t size = strlen(hex) / 2;

	if (g_str_has_prefix(hex, "sha256:"))
		return decode(hex + strlen("sha256:"), out, error);
	if ((size != 32 && size != 48 && size != 64) || !hex_decode(hex, value, size))
		return fail_usage(error, "--digest is a SHA-256, SHA-384 or SHA-512 in hex");
	*out = g_bytes_new(value, size);
	return TRUE;
}

static gboolean load(const struct arguments *a, const char *token, struct inputs *in, GError **error)
{
	if (a->roots == NULL)
		return fail_usage(error, "verify-timestamp needs --roots PEM: the authority's own roots");
	if ((a->data == NULL) == (a->digest == NULL))
		return fail_usage(error, "verify-timestamp needs one of --data FILE and --digest HEX");
	if (a->data != NULL ? !map(a->data, &in->data, error) : !decode(a->digest, &in->digest, error))
		return FALSE;
	if (a->query != NULL && (in->query = file_read(a->query, TOKEN_MAX, error)) == NULL)
		return FALSE;
	return (in->roots = file_read(a->roots, ROOTS_MAX, error)) != NULL &&
	       (in->token = file_read(token, TOKEN_MAX, error)) != NULL;
}

static void print_facts(const struct timestamp_facts *facts, gboolean as_json)
{
	g_autofree char *time = time_format_ms(facts->time_ms);
	autoptr(json) object = json_object_new();

	if (!as_json) {
		printf("good %s\nauthority %s\npolicy %s\nserial %s\n", time, facts->authority, facts->policy,
		    facts->serial);
		return;
	}
	json_set_boolean(object, "good", TRUE);
	json_set_string(object, "time", time);
	json_set_string(object, "authority", facts->authority);
	json_set_string(object, "policy", facts->policy);
	json_set_string(object, "serial", facts->serial);
	command_print_json(object);
}

static int verify(const struct arguments *a, struct inputs *in, const char *token, gboolean as_json)
{
	g_autoptr(GError) error = NULL;
	struct timestamp_facts facts = { 0 };

	if (!load(a, token, in, &error) ||
	    !timestamp_verify(in->token, in->data, in->digest, in->query, in->roots, &facts, &error))
		return command_fail(error);
	print_facts(&facts, as_json);
	timestamp_facts_clear(&facts);
	return 0;
}

int cmd_verify_timestamp(int argc, char **argv)
{
	struct arguments a = { 0 };
	struct inputs in = { 0 };
	const GOptionEntry entries[] = {
		{ "roots", 0, 0, G_OPTION_ARG_FILENAME, &a.roots, "Roots of timestamp authorities (PEM)", "FILE" },
		{ "data", 0, 0, G_OPTION_ARG_FILENAME, &a.data, "What was stamped", "FILE" },
		{ "digest", 0, 0, G_OPTION_ARG_STRING, &a.digest, "Its digest, in place of it", "HEX" },
		{ "query", 0, 0, G_OPTION_ARG_FILENAME, &a.query, "The query sent: nonce and policy are compared", "TSQ" },
		G_OPTION_ENTRY_NULL,
	};
	static const struct command_usage usage = { "tagseal", "--roots PEM (--data FILE | --digest HEX) TOKEN",
		"Checks an RFC 3161 timestamp token or response.", "", 1, 1 };
	gboolean as_json;
	int status;

	if (command_options(&usage, entries, &argc, argv, &as_json, &status))
		status = verify(&a, &in, argv[1], as_json);
	clear(&a, &in);
	return status;
}
