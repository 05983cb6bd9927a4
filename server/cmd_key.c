/* `tagseald key`: keys made on the token, looked at, tried, and what is asked of them before they can be used. */
#include <stdio.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "server/cli.h"
#include "signer/hsm.h"
#include "signer/openpgp.h"

struct key_options {
	char *module, *token, *pin_file, *label, *kind, *subject, *user_id, *created, *output;
	int days;
	gboolean as_json;
};

/* What a verb must be given, and what it may be given. */
enum takes {
	NEEDS_TOKEN = 1,
	NEEDS_LABEL = 2,
	NEEDS_KIND = 4,
	NEEDS_SUBJECT = 8,
	NEEDS_USER_ID = 16,
	NEEDS_CREATED = 32,
	MAY_DAYS = 64,
	MAY_OUTPUT = 128,
};

struct key_verb {
	const char *name, *summary;
	int takes; /* beside NEEDS_TOKEN, which all do */
	gboolean (*run)(struct hsm *hsm, const struct key_options *o, GError **error);
};

/* A document of the key's, to the file of --output or to stdout. */
static gboolean hand_out(GBytes *document, const struct key_options *o, GError **error)
{
	gsize size;
	const char *data;
	gboolean ok;

	if (document == NULL)
		return FALSE;
	data = g_bytes_get_data(document, &size);
	if (o->output != NULL) {
		ok = file_write(o->output, data, size, 0644, error);
		if (ok)
			printf("wrote %s\n", o->output);
	} else {
		ok = fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0;
		if (!ok)
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "stdout cannot be written to");
	}
	g_bytes_unref(document);
	return ok;
}

static gboolean key_generate(struct hsm *hsm, const struct key_options *o, GError **error)
{
	if (!hsm_generate(hsm, o->label, o->kind, error))
		return FALSE;
	printf("made %s\n", o->label);
	if (hsm_info(hsm)->software)
		fprintf(stderr, "tagseald: the token is software (%s): a copy of its files and its PIN are the key\n",
		    hsm_info(hsm)->model);
	return TRUE;
}

static struct json *describe(const struct hsm_key_info *info, gboolean software)
{
	struct json *row = json_object_new();

	json_set_string(row, "label", info->label);
	json_set_string(row, "kind", info->kind);
	json_set_boolean(row, "sensitive", info->sensitive && info->always_sensitive);
	json_set_boolean(row, "never_extractable", !info->extractable && info->never_extractable);
	json_set_boolean(row, "made_here", info->local);
	json_set_boolean(row, "modifiable", info->modifiable);
	json_set_boolean(row, "only_signs", info->sign && !info->decrypt && !info->unwrap && !info->derive);
	json_set_boolean(row, "software", software);
	json_set_string(row, "weakness", hsm_key_weakness(info));
	return row;
}

/* A key that no attribute weakens is still a file to whoever reads the disk of a software token. */
static void print_key(const struct hsm_key_info *info, const struct hsm_token_info *token)
{
	const char *weakness = hsm_key_weakness(info);
	g_autofree char *label = text_escape(info->label, -1, 64), *model = text_escape(token->model, -1, 64);

	printf("%-24s %-8s ", label, info->kind);
	if (weakness != NULL)
		printf("not for release: %s\n", weakness);
	else if (token->software)
		printf("software (%s): for release only where \"modules\" of its keys/*.toml name that\n", model);
	else
		printf("good\n");
}

static gboolean key_list(struct hsm *hsm, const struct key_options *o, GError **error)
{
	g_autoptr(GPtrArray) keys = hsm_keys(hsm, error);
	autoptr(json) list = json_array_new();

	if (keys == NULL)
		return FALSE;
	for (guint i = 0; i < keys->len; i++) {
		if (o->as_json)
			json_append(list, describe(g_ptr_array_index(keys, i), hsm_info(hsm)->software));
		else
			print_key(g_ptr_array_index(keys, i), hsm_info(hsm));
	}
	if (o->as_json)
		command_print_json(list);
	return TRUE;
}

static gboolean key_probe(struct hsm *hsm, const struct key_options *o, GError **error)
{
	autoptr(json) report = NULL;
	gboolean safe = hsm_probe(hsm, o->label, &report, error);

	if (o->as_json) {
		if (report != NULL)
			command_print_json(report);
		return safe;
	}
	if (safe)
		printf("safe %s\n", o->label);
	for (guint i = 0; i < json_length(report); i++) {
		const struct json *row = json_at(report, i);
		printf("%s: %s (%s)\n", json_string(row, "attempt"),
		    json_boolean(row, "refused", FALSE) ? "refused" : "SUCCEEDED", json_string(row, "answer"));
	}
	return safe;
}

static gboolean key_csr(struct hsm *hsm, const struct key_options *o, GError **error)
{
	return hand_out(hsm_csr(hsm, o->label, o->subject, error), o, error);
}

static gboolean key_self_signed(struct hsm *hsm, const struct key_options *o, GError **error)
{
	return hand_out(hsm_self_signed(hsm, o->label, o->subject, o->days, error), o, error);
}

static gboolean key_openpgp(struct hsm *hsm, const struct key_options *o, GError **error)
{
	int64_t created;

	if (!time_parse_ms(o->created, &created)) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "--created \"%s\" is not a time like 2026-03-01T00:00:00Z", o->created);
		return FALSE;
	}
	return hand_out(openpgp_certificate(hsm, o->label, o->user_id, created / 1000, error), o, error);
}

static const struct key_verb verbs[] = {
	{ "generate", "makes a key on the token that cannot leave it", NEEDS_LABEL | NEEDS_KIND, key_generate },
	{ "list", "shows the token's keys, and which are not for release", 0, key_list },
	{ "probe", "tries to get a key out of the token, and expects to fail", NEEDS_LABEL, key_probe },
	{ "csr", "writes a certificate request", NEEDS_LABEL | NEEDS_SUBJECT | MAY_OUTPUT, key_csr },
	{ "self-signed", "writes a certificate signed by the key itself, for tests only",
	    NEEDS_LABEL | NEEDS_SUBJECT | MAY_DAYS | MAY_OUTPUT, key_self_signed },
	{ "openpgp-export", "writes the OpenPGP public key; the same --created gives the same key",
	    NEEDS_LABEL | NEEDS_USER_ID | NEEDS_CREATED | MAY_OUTPUT, key_openpgp },
};

struct key_option {
	GOptionEntry entry;
	enum takes belongs_to;
};

#define KEY_OPTIONS 10

static void list_options(struct key_options *o, struct key_option options[static KEY_OPTIONS])
{
	const struct key_option all[KEY_OPTIONS] = {
		{ { "module", 0, 0, G_OPTION_ARG_FILENAME, &o->module, "The token's PKCS#11 module", "SO" }, NEEDS_TOKEN },
		{ { "token", 0, 0, G_OPTION_ARG_STRING, &o->token, "The token's label", "LABEL" }, NEEDS_TOKEN },
		{ { "pin-file", 0, 0, G_OPTION_ARG_FILENAME, &o->pin_file,
		      "A file of yours alone with the PIN in its first line", "F" },
		    NEEDS_TOKEN },
		{ { "label", 0, 0, G_OPTION_ARG_STRING, &o->label, "The key's label", "LABEL" }, NEEDS_LABEL },
		{ { "kind", 0, 0, G_OPTION_ARG_STRING, &o->kind, "rsa3072, rsa4096, p256, p384 or p521", "KIND" },
		    NEEDS_KIND },
		{ { "subject", 0, 0, G_OPTION_ARG_STRING, &o->subject, "\"CN=Acme,O=Acme,C=US\"", "NAME" },
		    NEEDS_SUBJECT },
		{ { "days", 0, 0, G_OPTION_ARG_INT, &o->days, "How long the certificate is valid (365)", "N" }, MAY_DAYS },
		{ { "user-id", 0, 0, G_OPTION_ARG_STRING, &o->user_id, "\"Acme <release@acme.example>\"", "NAME" },
		    NEEDS_USER_ID },
		{ { "created", 0, 0, G_OPTION_ARG_STRING, &o->created, "When the OpenPGP key was made: part of it",
		      "TIME" },
		    NEEDS_CREATED },
		{ { "output", 0, 0, G_OPTION_ARG_FILENAME, &o->output, "Write to this file instead of stdout", "OUT" },
		    MAY_OUTPUT },
	};

	memcpy(options, all, sizeof(all));
}

/* Only what this verb takes: anything else would be given in vain. */
static gboolean parse(const struct key_verb *verb, struct key_options *o, int *argc, char **argv, int *status)
{
	struct key_option options[KEY_OPTIONS];
	GOptionEntry entries[KEY_OPTIONS + 1] = { G_OPTION_ENTRY_NULL };
	const struct command_usage usage = { .program = "tagseald key", .usage = "", .summary = verb->summary };
	guint count = 0;

	list_options(o, options);
	for (guint i = 0; i < KEY_OPTIONS; i++)
		if (((verb->takes | NEEDS_TOKEN) & (int)options[i].belongs_to) != 0)
			entries[count++] = options[i].entry;
	entries[count] = (GOptionEntry)G_OPTION_ENTRY_NULL;
	o->days = 365;
	return command_options(&usage, entries, argc, argv, &o->as_json, status);
}

static gboolean check(const struct key_verb *verb, const struct key_options *o, GError **error)
{
	const struct {
		const char *name, *value;
		enum takes needed_for;
	} wanted[] = {
		{ "--module", o->module, NEEDS_TOKEN },
		{ "--token", o->token, NEEDS_TOKEN },
		{ "--pin-file", o->pin_file, NEEDS_TOKEN },
		{ "--label", o->label, NEEDS_LABEL },
		{ "--kind", o->kind, NEEDS_KIND },
		{ "--subject", o->subject, NEEDS_SUBJECT },
		{ "--user-id", o->user_id, NEEDS_USER_ID },
		{ "--created", o->created, NEEDS_CREATED },
	};

	for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
		if (wanted[i].value == NULL && ((verb->takes | NEEDS_TOKEN) & (int)wanted[i].needed_for) != 0) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
			    "%s is missing; see tagseald key %s --help", wanted[i].name, verb->name);
			return FALSE;
		}
	return TRUE;
}

static void clear(struct key_options *o)
{
	char **const texts[] = { &o->module, &o->token, &o->pin_file, &o->label, &o->kind, &o->subject, &o->user_id,
		&o->created, &o->output };

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
		g_clear_pointer(texts[i], g_free);
}

static int run(const struct key_verb *verb, int argc, char **argv)
{
	struct key_options options = { 0 };
	g_autoptr(GError) error = NULL;
	autoptr(hsm) hsm = NULL;
	int status = 0;

	if (parse(verb, &options, &argc, argv, &status)) {
		if (!check(verb, &options, &error) ||
		    (hsm = hsm_open(options.module, options.token, options.pin_file, &error)) == NULL ||
		    !verb->run(hsm, &options, &error))
			status = command_fail(error);
	}
	clear(&options);
	return status;
}

static void print_verbs(FILE *out)
{
	fprintf(out, "Usage: tagseald key VERB [OPTION…]\n\n");
	for (guint i = 0; i < G_N_ELEMENTS(verbs); i++)
		fprintf(out, "  %-16s %s\n", verbs[i].name, verbs[i].summary);
	fprintf(out, "\n`tagseald key VERB --help` says more.\n");
}

int cmd_key(int argc, char **argv)
{
	if (argc >= 2 && (g_str_equal(argv[1], "--help") || g_str_equal(argv[1], "-h"))) {
		print_verbs(stdout);
		return 0;
	}
	for (guint i = 0; argc >= 2 && i < G_N_ELEMENTS(verbs); i++)
		if (g_str_equal(argv[1], verbs[i].name))
			return run(&verbs[i], argc - 1, argv + 1);
	if (argc >= 2)
		fprintf(stderr, "tagseald: there is no \"key %s\"\n", argv[1]);
	print_verbs(stderr);
	return 2;
}
