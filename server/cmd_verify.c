/* `tagseal verify`: are the signatures and stamps of these files good? */
#include <stdio.h>

#include "gitops/base/bytes.h"
#include "server/cli.h"
#include "server/command_file.h"
#include "signer/verify.h"

#define TRUST_MAX (16 * 1024 * 1024) /* of roots, keys and a detached signature */

struct arguments {
	char *roots, *timestamp_roots, *openpgp_keys, *allowed_signers, *at, *detached;
};

static void arguments_clear(struct arguments *a)
{
	g_free(a->roots);
	g_free(a->timestamp_roots);
	g_free(a->openpgp_keys);
	g_free(a->allowed_signers);
	g_free(a->at);
	g_free(a->detached);
}

static gboolean parse(int *argc, char **argv, struct arguments *a, gboolean *as_json, int *status)
{
	const GOptionEntry entries[] = {
		{ "roots", 0, 0, G_OPTION_ARG_FILENAME, &a->roots, "Certificate roots of signers (PEM)", "FILE" },
		{ "timestamp-roots", 0, 0, G_OPTION_ARG_FILENAME, &a->timestamp_roots,
		    "Certificate roots of timestamp authorities (PEM)", "FILE" },
		{ "openpgp-keys", 0, 0, G_OPTION_ARG_FILENAME, &a->openpgp_keys, "OpenPGP public keys of signers",
		    "FILE" },
		{ "allowed-signers", 0, 0, G_OPTION_ARG_FILENAME, &a->allowed_signers,
		    "SSH keys of signers (as of ssh-keygen -Y verify)", "FILE" },
		{ "at", 0, 0, G_OPTION_ARG_STRING, &a->at, "Judge chains without a stamp at this time (RFC 3339)",
		    "TIME" },
		{ "detached", 0, 0, G_OPTION_ARG_FILENAME, &a->detached, "The signature that stands beside the file",
		    "SIG" },
		G_OPTION_ENTRY_NULL,
	};
	static const struct command_usage usage = { "tagseal", "FILE…",
		"Checks that every signature of each file is good, and its timestamp with it.",
		"Examples:\n"
		"  tagseal verify --roots roots.pem --timestamp-roots stamps.pem setup.exe\n"
		"  tagseal verify --roots roots.pem --detached widget.tar.p7s widget.tar\n"
		"  tagseal verify --openpgp-keys keys.asc --detached widget.tar.asc widget.tar\n"
		"  tagseal verify --allowed-signers signers --detached widget.tar.sig widget.tar\n",
		1, -1 };

	return command_options(&usage, entries, argc, argv, as_json, status);
}

static gboolean load(const char *path, GBytes **out, GError **error)
{
	if (path != NULL)
		*out = file_read(path, TRUST_MAX, error);
	return path == NULL || *out != NULL;
}

static gboolean options_load(const struct arguments *a, int files, struct verify_options *out, GError **error)
{
	if (a->at != NULL && !time_parse_ms(a->at, &out->at_ms)) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "--at %s is no time: write it as 2026-03-01T00:00:00Z", a->at);
		return FALSE;
	}
	if (a->detached != NULL && files != 1) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "--detached names the signature of one file");
		return FALSE;
	}
	return load(a->roots, &out->roots, error) && load(a->timestamp_roots, &out->timestamp_roots, error) &&
	       load(a->openpgp_keys, &out->openpgp_keys, error) && load(a->detached, &out->detached, error) &&
	       load(a->allowed_signers, &out->allowed_signers, error);
}

static void options_clear(struct verify_options *options)
{
	g_clear_pointer(&options->roots, g_bytes_unref);
	g_clear_pointer(&options->timestamp_roots, g_bytes_unref);
	g_clear_pointer(&options->openpgp_keys, g_bytes_unref);
	g_clear_pointer(&options->allowed_signers, g_bytes_unref);
	g_clear_pointer(&options->detached, g_bytes_unref);
}

/* One file; what is to be said of it goes into `all` (--json) or on stdout. */
static int verify_one(const char *path, const struct verify_options *options, struct json *all)
{
	g_autoptr(GError) error = NULL;
	autofd int fd = command_open(path, &error);
	struct json *signatures = NULL, *entry = json_object_new();
	gboolean good = fd >= 0 && verify_file(fd, options, &signatures, &error);

	json_set_string(entry, "file", g_utf8_validate(path, -1, NULL) ? path : "?");
	json_set_boolean(entry, "good", good);
	json_set(entry, "signatures", signatures);
	json_set_string(entry, "why", good ? NULL : error->message);
	json_append(all, entry);
	if (good)
		return 0;
	if (fd >= 0) /* else the sentence names it already */
		g_prefix_error(&error, "%s: ", path);
	return command_warn(error);
}

static int verify_files(char **paths, int count, const struct verify_options *options, gboolean as_json)
{
	autoptr(json) all = json_array_new();
	int worst = 0;

	for (int i = 0; i < count; i++) {
		int status = verify_one(paths[i], options, all);
		if (status == 0 && !as_json)
			command_print_result("good", paths[i]);
		/* "No" outweighs "could not find out". */
		if (worst == 0 || status == 1)
			worst = status;
	}
	if (as_json)
		command_print_json(all);
	return worst;
}

int cmd_verify(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct verify_options options = { 0 };
	g_autoptr(GError) error = NULL;
	gboolean as_json;
	int status;

	if (parse(&argc, argv, &arguments, &as_json, &status)) {
		if (!options_load(&arguments, argc - 1, &options, &error))
			status = command_fail(error);
		else
			status = verify_files(argv + 1, argc - 1, &options, as_json);
	}
	options_clear(&options);
	arguments_clear(&arguments);
	return status;
}
