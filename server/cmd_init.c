/* `tagseald init`: folders, secrets, token, the ledger's key, a policy repository and a configuration: a working server in one command. */
#include <errno.h>
#include <git2.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/mirror.h"
#include "gitops/policy.h"
#include "server/cli.h"
#include "signer/hsm.h"

#define LEDGER_KEY "tagseal-ledger"

struct init {
	char *folder, *module, *token, *policy_url, *listen;
	char **maintainers; /* NAME:FILE with an SSH public key */
	char *pin_file; /* of a token that there is, or else made here */
	char *root; /* made here */
	GPtrArray *made; /* paths, to be taken away again if it does not come to an end */
	gboolean made_token; /* which holds for good, and its secrets with it */
};

static char *below(const struct init *init, const char *path)
{
	return g_build_filename(init->folder, path, NULL);
}

static gboolean usage_error(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean usage_error(GError **error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "");
	g_free((*error)->message);
	(*error)->message = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	return FALSE;
}

/* A folder that was there before is not ours to take away. */
static gboolean make_folder(struct init *init, const char *path, int mode, GError **error)
{
	gboolean was_there = access(path, F_OK) == 0;

	if (g_mkdir_with_parents(path, mode) < 0)
		return usage_error(error, "the folder %s cannot be made: %s", path, g_strerror(errno));
	if (!was_there)
		g_ptr_array_add(init->made, g_strdup(path));
	return TRUE;
}

/* The last first. Secrets of a token that was made are the only way to it: they stay. */
static void take_away(struct init *init)
{
	g_autofree char *secrets = below(init, "secrets");

	for (guint i = init->made->len; i > 0; i--) {
		const char *path = init->made->pdata[i - 1];

		if (!(init->made_token && (g_str_has_prefix(path, secrets) || g_str_has_prefix(secrets, path))))
			path_remove(path);
	}
}

static gboolean make_folders(struct init *init, GError **error)
{
	static const struct {
		const char *path;
		int mode;
	} folders[] = { { "", 0755 }, { "secrets", 0700 }, { "state", 0700 } };
	g_autofree char *config = below(init, "config.toml");

	if (access(config, F_OK) == 0)
		return usage_error(
		    error, "%s exists already: this folder has been set up before; take another one", config);
	for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
		g_autofree char *path = below(init, folders[i].path);
		if (!make_folder(init, path, folders[i].mode, error))
			return FALSE;
	}
	return TRUE;
}

/* A secret of that many random bytes, as digits that any token's keypad rules take, or as a Standard Webhooks secret. */
static gboolean make_secret(struct init *init, const char *name, size_t bytes, gboolean webhook, GError **error)
{
	g_autofree char *path = below(init, name), *text = NULL, *line = NULL;
	uint8_t random[64];
	gboolean written;

	if (access(path, F_OK) == 0)
		return usage_error(error, "%s exists already: whatever it opens, it is not overwritten", path);
	if (RAND_bytes(random, bytes) != 1)
		return usage_error(error, "there are no random numbers");
	g_ptr_array_add(init->made, g_strdup(path));
	text = webhook ? g_base64_encode(random, bytes) : hex_encode(random, bytes);
	line = g_strdup_printf("%s%s\n", webhook ? "whsec_" : "", text);
	written = file_write(path, line, strlen(line), 0600, error);
	explicit_bzero(random, sizeof(random));
	explicit_bzero(text, strlen(text));
	explicit_bzero(line, strlen(line));
	return written;
}

static gboolean has_key(struct hsm *hsm, const char *label)
{
	return hsm_public_key(hsm, label, NULL) != NULL;
}

/* A token that there is keeps what it holds, the ledger's key too. */
static gboolean use_token(struct init *init, GError **error)
{
	autoptr(hsm) hsm = hsm_open(init->module, init->token, init->pin_file, error);

	return hsm != NULL && (has_key(hsm, LEDGER_KEY) || hsm_generate(hsm, LEDGER_KEY, "p256", error));
}

static gboolean make_token(struct init *init, GError **error)
{
	g_autofree char *so_pin = below(init, "secrets/so-pin");

	init->pin_file = below(init, "secrets/pin");
	if (!make_secret(init, "secrets/pin", 8, FALSE, error) || !make_secret(init, "secrets/so-pin", 8, FALSE, error))
		return FALSE;
	if (!hsm_init_token(init->module, init->token, init->pin_file, so_pin, error)) {
		if (g_error_matches(*error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED))
			g_prefix_error(error, "give another --token, or --pin-file F to use that one as it is: ");
		return FALSE;
	}
	init->made_token = TRUE;
	if (use_token(init, error))
		return TRUE;
	g_prefix_error(error,
	    "the token \"%s\" was made, and its PIN stands in %s (give both to the next attempt): ", init->token,
	    init->pin_file);
	return FALSE;
}

static gboolean prepare_token(struct init *init, GError **error)
{
	char *whole;

	if (init->pin_file == NULL)
		return make_token(init, error);
	whole = g_canonicalize_filename(init->pin_file, NULL);
	g_free(init->pin_file);
	init->pin_file = whole;
	return use_token(init, error);
}

/* policy.toml and people/NAME.toml of the root commit. */
static gboolean first_policy(const struct init *init, policy_files *files, GError **error)
{
	g_autoptr(GString) names = g_string_new(NULL);
	g_autofree char *policy = NULL;

	for (char **m = init->maintainers; *m != NULL; m++) {
		g_auto(GStrv) parts = g_strsplit(*m, ":", 2);
		g_autoptr(GBytes) key = parts[1] != NULL ? file_read(parts[1], 1 << 16, error) : NULL;
		g_autofree char *line = NULL, *person = NULL;

		if (parts[1] == NULL)
			return usage_error(error,
			    "--maintainer takes NAME:FILE, the file being an SSH public key; \"%s\" has no file", *m);
		if (key == NULL)
			return FALSE;
		line = g_strchomp(g_strndup(g_bytes_get_data(key, NULL), g_bytes_get_size(key)));
		person = g_strdup_printf("name = \"%s\"\nssh = [\"%s\"]\n", parts[0], line);
		g_string_append_printf(names, "%s\"%s\"", names->len > 0 ? ", " : "", parts[0]);
		g_hash_table_insert(
		    files, g_strdup_printf("people/%s.toml", parts[0]), g_bytes_new(person, strlen(person)));
	}
	policy = g_strdup_printf(
	    "maintainers = [%s]\nthreshold = %u\n", names->str, g_strv_length(init->maintainers) > 1 ? 2 : 1);
	g_hash_table_insert(files, g_strdup("policy.toml"), g_bytes_new(policy, strlen(policy)));
	return TRUE;
}

static gboolean git_failed(GError **error, const char *doing)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "the policy repository cannot %s: %s", doing,
	    last != NULL ? last->message : "no reason told");
	return FALSE;
}

static gboolean write_tree(git_repository *repository, policy_files *files, git_oid *tree, GError **error)
{
	g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(files), (GCompareFunc)strcmp);
	git_index *index = NULL;
	gboolean done = git_index_new(&index) == 0;

	for (GList *n = names; done && n != NULL; n = n->next) {
		GBytes *bytes = g_hash_table_lookup(files, n->data);
		git_index_entry entry = { .mode = GIT_FILEMODE_BLOB, .path = n->data };
		done = git_blob_create_from_buffer(
			   &entry.id, repository, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)) == 0 &&
		       git_index_add(index, &entry) == 0;
	}
	done = done && git_index_write_tree_to(tree, index, repository) == 0;
	git_index_free(index);
	return done || git_failed(error, "be written");
}

/* The root needs no signature: it is in force because the configuration pins it. */
static gboolean commit_root(struct init *init, const char *path, policy_files *files, GError **error)
{
	git_repository *repository = NULL;
	git_signature *who = NULL;
	git_tree *tree = NULL;
	git_oid tree_id, commit;
	char hex[GIT_OID_HEXSZ + 1];
	gboolean done;

	if (git_repository_init(&repository, path, 1) < 0)
		return git_failed(error, "be made");
	done = write_tree(repository, files, &tree_id, error) &&
	       ((git_signature_now(&who, "tagseal", "init@tagseal") == 0 &&
		    git_tree_lookup(&tree, repository, &tree_id) == 0 &&
		    git_commit_create(&commit, repository, "refs/heads/main", who, who, NULL, "Begin the policy\n",
			tree, 0, NULL) == 0 &&
		    git_repository_set_head(repository, "refs/heads/main") == 0) ||
		   git_failed(error, "be written"));
	if (done)
		init->root = g_strdup(git_oid_tostr(hex, sizeof(hex), &commit));
	git_signature_free(who);
	git_tree_free(tree);
	git_repository_free(repository);
	return done;
}

/* Read before anything is made: a mistake in what was asked leaves nothing behind. */
static policy_files *read_policy(const struct init *init, GError **error)
{
	g_autoptr(GHashTable) files =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	autoptr(policy) checked = NULL;

	if (!first_policy(init, files, error) || (checked = policy_load(files, error)) == NULL)
		return NULL;
	return g_steal_pointer(&files);
}

static gboolean make_policy(struct init *init, policy_files *files, GError **error)
{
	g_autofree char *path = below(init, "policy.git");

	if (access(path, F_OK) == 0)
		return usage_error(error, "%s exists already, and is not overwritten", path);
	g_ptr_array_add(init->made, g_strdup(path));
	return mirror_init(error) && commit_root(init, path, files, error);
}

static gboolean write_config(const struct init *init, GError **error)
{
	g_autofree char *path = below(init, "config.toml"), *policy = below(init, "policy.git");
	g_autofree char *url =
	    init->policy_url != NULL ? g_strdup(init->policy_url) : g_strconcat("file://", policy, NULL);
	g_autofree char *text = g_strdup_printf(
	    "# Made by tagseald init. Every option, with its default and its reason: config.example.toml.\n"
	    "state = \"state\"\n"
	    "public_url = \"http://%s\"\n\n"
	    "[listen]\nhttp = \"%s\"\n\n"
	    "[[hook]]\nhost = \"standard\"\nsecret_files = [\"secrets/hook-standard\"]\n\n"
	    "[policy]\nurl = \"%s\"\nroot = \"%s\"\n\n"
	    "[[token]]\nname = \"main\"\nmodule = \"%s\"\nlabel = \"%s\"\npin_file = \"%s\"\n\n"
	    "[ledger]\ntoken = \"main\"\nkey = \"" LEDGER_KEY "\"\n\n",
	    init->listen, init->listen, url, init->root, init->module, init->token,
	    init->made_token ? "secrets/pin" : init->pin_file);

	return file_write(path, text, strlen(text), 0644, error);
}

static void tell(const struct init *init)
{
	printf("made %s\n\n", init->folder);
	printf("  config.toml             the configuration: add [git], [artifacts], [scan], [[timestamp]] and "
	       "[publish] as you need them\n"
	       "  policy.git              the policy repository; its root %s is pinned in config.toml\n"
	       "  secrets/hook-standard   the secret for hooks/post-receive\n"
	       "%s"
	       "  the token \"%s\"         holds the ledger's key \"" LEDGER_KEY "\"; its PIN is read from %s\n\n"
	       "Next: tagseald key generate (a key to sign with), commit it to the policy, tagseald check --config "
	       "%s/config.toml\n",
	    init->root,
	    init->made_token ? "  secrets/pin, so-pin     of the token; keep a copy of so-pin elsewhere\n" : "",
	    init->token, init->pin_file, init->folder);
}

static int run(struct init *init)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GHashTable) files = NULL;
	char *whole;

	if (init->folder == NULL || init->maintainers == NULL) {
		usage_error(
		    &error, "give --folder DIR and --maintainer NAME:FILE (an SSH public key; several are possible)");
		return command_fail(error);
	}
	whole = g_canonicalize_filename(init->folder, NULL);
	g_free(init->folder);
	init->folder = whole;
	if ((files = read_policy(init, &error)) == NULL || !make_folders(init, &error) ||
	    !make_secret(init, "secrets/hook-standard", 32, TRUE, &error) || !make_policy(init, files, &error) ||
	    !prepare_token(init, &error) || !write_config(init, &error)) {
		take_away(init);
		return command_fail(error);
	}
	tell(init);
	return 0;
}

static void otherwise(char **option, const char *dflt)
{
	if (*option == NULL)
		*option = g_strdup(dflt);
}

int cmd_init(int argc, char **argv)
{
	g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
	struct init init = { .made = made };
	const GOptionEntry entries[] = {
		{ "folder", 0, 0, G_OPTION_ARG_FILENAME, &init.folder, "Where all is made; must not be set up yet",
		    "DIR" },
		{ "maintainer", 0, 0, G_OPTION_ARG_STRING_ARRAY, &init.maintainers,
		    "Who may change the policy: name and SSH public key", "NAME:FILE" },
		{ "module", 0, 0, G_OPTION_ARG_FILENAME, &init.module, "PKCS#11 module of the token (default: SoftHSM)",
		    "SO" },
		{ "token", 0, 0, G_OPTION_ARG_STRING, &init.token, "Label of the token to make (default: tagseal)",
		    "LABEL" },
		{ "pin-file", 0, 0, G_OPTION_ARG_FILENAME, &init.pin_file,
		    "Use the token that bears this label already; its PIN", "F" },
		{ "policy-url", 0, 0, G_OPTION_ARG_STRING, &init.policy_url,
		    "Where policy.git will be served from (default: its file)", "URL" },
		{ "listen", 0, 0, G_OPTION_ARG_STRING, &init.listen, "Address and port (default: 127.0.0.1:8080)",
		    "ADDRESS:PORT" },
		G_OPTION_ENTRY_NULL,
	};
	const struct command_usage usage = { "tagseald", "--folder DIR --maintainer NAME:FILE…",
		"Makes folders, token, the ledger's key, a policy repository and a configuration.",
		"Example:\n  tagseald init --folder /etc/tagseal --maintainer alice:alice.pub --maintainer "
		"carol:carol.pub\n",
		0, 0 };
	int status;

	if (command_options(&usage, entries, &argc, argv, NULL, &status)) {
		otherwise(&init.module, "/usr/lib/softhsm/libsofthsm2.so");
		otherwise(&init.token, "tagseal");
		otherwise(&init.listen, "127.0.0.1:8080");
		status = run(&init);
	}
	g_free(init.folder);
	g_free(init.module);
	g_free(init.token);
	g_free(init.listen);
	g_free(init.policy_url);
	g_free(init.pin_file);
	g_free(init.root);
	g_strfreev(init.maintainers);
	return status;
}
