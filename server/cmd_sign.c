/* `tagseal sign`: one file, with a key on a token, without policy or log. */
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "server/cli.h"
#include "signer/sign_local.h"

#define PEM_MAX (1024 * 1024)
#define HEAP_SIZE (768 * 1024)

struct sign_options {
	char *module, *token, *pin_file, *key, *certificate, *format, *timestamp, *timestamp_roots, *output;
	char *description, *url;
	gboolean append, replace;
};

static const struct command_usage usage = {
	.program = "tagseal",
	.usage = "FILE",
	.summary = "Signs one file with a key on a PKCS#11 token, without policy or log.",
	.examples = "Example:\n"
		    "  tagseal sign --module /usr/lib/softhsm/libsofthsm2.so --token release --pin-file pin \\\n"
		    "    --key release-2026 --certificate chain.pem --timestamp http://tsa.example/ \\\n"
		    "    --timestamp-roots tsa.pem --output setup-signed.exe setup.exe\n",
	.min = 1,
	.max = 1,
};

static gboolean parse(struct sign_options *o, int *argc, char **argv, gboolean *as_json, int *status)
{
	const GOptionEntry entries[] = {
		{ "module", 0, 0, G_OPTION_ARG_FILENAME, &o->module, "The token's PKCS#11 module", "SO" },
		{ "token", 0, 0, G_OPTION_ARG_STRING, &o->token, "The token's label", "LABEL" },
		{ "pin-file", 0, 0, G_OPTION_ARG_FILENAME, &o->pin_file,
		    "A file of yours alone with the PIN in its first line", "F" },
		{ "key", 0, 0, G_OPTION_ARG_STRING, &o->key, "The key's label", "LABEL" },
		{ "certificate", 0, 0, G_OPTION_ARG_FILENAME, &o->certificate,
		    "Its certificate and chain, leaf first; for OpenPGP its public key (.asc)", "CHAIN.pem" },
		{ "format", 0, 0, G_OPTION_ARG_STRING, &o->format,
		    "authenticode, cms, openpgp … (default: the native one, or cms)", "NAME" },
		{ "timestamp", 0, 0, G_OPTION_ARG_STRING, &o->timestamp, "An RFC 3161 timestamp authority", "URL" },
		{ "timestamp-roots", 0, 0, G_OPTION_ARG_FILENAME, &o->timestamp_roots,
		    "The roots that its certificate must chain to", "PEM" },
		{ "append", 0, 0, G_OPTION_ARG_NONE, &o->append, "Add to a signature that is there already", NULL },
		{ "replace", 0, 0, G_OPTION_ARG_NONE, &o->replace, "Take a signature that is there out first", NULL },
		{ "description", 0, 0, G_OPTION_ARG_STRING, &o->description, "Authenticode: the program's name", "TEXT" },
		{ "url", 0, 0, G_OPTION_ARG_STRING, &o->url, "Authenticode: the program's page", "URL" },
		{ "output", 0, 0, G_OPTION_ARG_FILENAME, &o->output,
		    "The signed file, or the signature where it stands beside the file", "OUT" },
		G_OPTION_ENTRY_NULL,
	};

	return command_options(&usage, entries, argc, argv, as_json, status);
}

/* Options that must be there, or must not be together. */
static gboolean check(const struct sign_options *o, GError **error)
{
	const struct {
		const char *name, *value;
	} wanted[] = {
		{ "--module", o->module },
		{ "--token", o->token },
		{ "--pin-file", o->pin_file },
		{ "--key", o->key },
		{ "--certificate", o->certificate },
		{ "--output", o->output },
	};
	const char *why = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
		if (wanted[i].value == NULL) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "%s is missing; see tagseal sign --help",
			    wanted[i].name);
			return FALSE;
		}
	if (o->append && o->replace)
		why = "--append and --replace contradict each other";
	else if (o->timestamp != NULL && o->timestamp_roots == NULL)
		why = "--timestamp needs --timestamp-roots: a stamp that nothing vouches for proves nothing";
	else if (o->timestamp == NULL && o->timestamp_roots != NULL)
		why = "--timestamp-roots is of no use without --timestamp";
	if (why != NULL)
		g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, why);
	return why == NULL;
}

static gboolean tell(const struct signing *signing, const char *output, gboolean as_json)
{
	autoptr(json) report = NULL;

	if (!as_json) {
		command_print_result("signed", output);
		return fflush(stdout) == 0;
	}
	report = signing_report(signing);
	command_print_json(report);
	return fflush(stdout) == 0;
}

static gboolean run(const struct sign_options *o, const char *file, gboolean as_json, GError **error)
{
	struct sign_request request = { .file = file, .output = o->output, .format = o->format };
	g_autoptr(GBytes) certificates = file_read(o->certificate, PEM_MAX, error), roots = NULL;
	autoptr(signing) signing = NULL;
	autoptr(hsm) hsm = NULL;

	if (certificates == NULL ||
	    (o->timestamp_roots != NULL && (roots = file_read(o->timestamp_roots, PEM_MAX, error)) == NULL))
		return FALSE;
	request.parameters = (struct format_parameters){ .certificates = certificates,
		.description = o->description,
		.url = o->url,
		.append = o->append,
		.replace = o->replace };
	request.timestamp_url = o->timestamp;
	request.timestamp_roots = roots;
	if ((signing = signing_new(&request, error)) == NULL ||
	    (hsm = hsm_open(o->module, o->token, o->pin_file, error)) == NULL ||
	    !signing_finish(signing, hsm, o->key, error))
		return FALSE;
	if (!tell(signing, o->output, as_json)) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the output is signed, but stdout is gone");
		return FALSE;
	}
	return TRUE;
}

static void clear(struct sign_options *o)
{
	char **const texts[] = { &o->module, &o->token, &o->pin_file, &o->key, &o->certificate, &o->format,
		&o->timestamp, &o->timestamp_roots, &o->output, &o->description, &o->url };

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
		g_clear_pointer(texts[i], g_free);
}

/*
 * Scripts start us once a file, so that starting is most of the work. OpenSSL: no openssl.cnf, which could also load
 * engines into the process that signs; no table of error texts, since ours are sentences; nothing freed at exit.
 * Memory: one piece that is kept and made present at once, in place of some 150 page faults.
 */
static void start_fast(void)
{
	char *heap;
	uintptr_t page = sysconf(_SC_PAGESIZE), from;

	OPENSSL_init_crypto(
	    OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_NO_ATEXIT, NULL);
	mallopt(M_MMAP_THRESHOLD, 4 * HEAP_SIZE);
	mallopt(M_TRIM_THRESHOLD, 64 * HEAP_SIZE);
	if ((heap = malloc(HEAP_SIZE)) == NULL)
		return;
	from = ((uintptr_t)heap + page - 1) / page * page;
	madvise((void *)from, HEAP_SIZE - page, MADV_POPULATE_WRITE);
	free(heap);
}

int cmd_sign(int argc, char **argv)
{
	struct sign_options options = { 0 };
	g_autoptr(GError) error = NULL;
	gboolean as_json = FALSE;
	int status = 0;

	start_fast();
	if (parse(&options, &argc, argv, &as_json, &status)) {
		if (!check(&options, &error) || !run(&options, argv[1], as_json, &error))
			status = command_fail(error);
	}
	clear(&options);
	return status;
}
