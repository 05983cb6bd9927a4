/* `tagseald check`: what would keep the server from working, each finding with what mends it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/mirror.h"
#include "gitops/policy.h"
#include "server/budget.h"
#include "server/cli.h"
#include "server/config.h"
#include "server/names.h"
#include "signer/hsm.h"
#include "signer/scan.h"

struct check {
	const struct config *config;
	struct json *findings;
	gboolean as_json;
	int worst; /* exit status so far */
};

/* One finding: what was looked at, and NULL or what is wrong with it. */
static void found(struct check *check, const char *what, const GError *error)
{
	struct json *row = json_object_new();

	json_set_string(row, "what", what);
	json_set_boolean(row, "good", error == NULL);
	if (error != NULL) {
		g_autofree char *clean = g_utf8_make_valid(error->message, -1);
		json_set_string(row, "why", clean);
		check->worst = check->worst == 1 ? 1 : error_exit_status(error) == 2 ? 1 : error_exit_status(error);
	}
	if (!check->as_json)
		printf("%s %s%s%s\n", error == NULL ? "good" : "bad ", what, error != NULL ? ": " : "",
		    error != NULL ? error->message : "");
	json_append(check->findings, row);
}

/* What the person does about it, behind the sentence that says what is wrong. */
static void mend(GError **error, const char *how)
{
	if (*error != NULL) {
		char *whole = g_strdup_printf("%s; to mend it, %s", (*error)->message, how);

		g_free((*error)->message);
		(*error)->message = whole;
	}
}

/* The nearest folder above that there is: where the server would make the rest. */
static char *above(const char *path)
{
	g_autofree char *at = g_path_get_dirname(path);

	while (access(at, F_OK) < 0 && strlen(at) > 1) {
		char *next = g_path_get_dirname(at);

		g_free(at);
		at = next;
	}
	return g_steal_pointer(&at);
}

static void check_state(struct check *check)
{
	g_autoptr(GError) error = NULL;
	const char *state = check->config->state;
	gboolean there = access(state, F_OK) == 0;
	g_autofree char *folder = there ? g_strdup(state) : above(state);
	g_autofree char *what =
	    g_strdup_printf("state folder %s%s", state, there ? "" : " (is made when the server first starts)");
	struct stat about;

	if (stat(folder, &about) < 0)
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "%s", g_strerror(errno));
	else if (!S_ISDIR(about.st_mode))
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "%s is no folder", folder);
	else if (access(folder, W_OK | X_OK) < 0)
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "this user may not write to %s", folder);
	mend(&error, "give the folder to the user that serves, or name another by \"state\"");
	found(check, what, error);
}

static void check_hooks(struct check *check)
{
	for (guint i = 0; i < check->config->hook_count; i++)
		for (char **path = check->config->hooks[i].secret_files; *path != NULL; path++) {
			g_autoptr(GError) error = NULL;
			g_autofree char *what = g_strdup_printf("webhook secret of %s", check->config->hooks[i].host);
			GBytes *secret = secret_read(*path, &error);
			if (secret != NULL && g_bytes_get_size(secret) < 16)
				g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
				    "the secret in %s is shorter than 16 bytes", *path);
			secret_free(secret);
			mend(&error, "write a new secret into a file of the server's user alone (chmod 600), and "
				     "give it to the host as well");
			found(check, what, error);
		}
}

static void check_keys(struct check *check, struct hsm *hsm, const struct config_token *token)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) keys = hsm_keys(hsm, &error);

	for (guint i = 0; keys != NULL && i < keys->len; i++) {
		const struct hsm_key_info *key = g_ptr_array_index(keys, i);
		const char *weakness = key->is_private ? hsm_key_weakness(key) : NULL;
		g_autoptr(GError) weak = NULL;
		g_autofree char *what = g_strdup_printf("key %s on token %s", key->label, token->name);
		if (!key->is_private)
			continue;
		if (weakness != NULL)
			g_set_error(&weak, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED, "%s: fit for test only", weakness);
		mend(&weak, "make a new one with tagseald key generate");
		found(check, what, weak);
	}
	if (keys == NULL) {
		mend(&error, "try tagseald key list with the same module, token and PIN file");
		found(check, token->name, error);
	}
}

static void check_ledger_key(struct check *check, struct hsm *hsm, const struct config_token *token)
{
	g_autoptr(GError) error = NULL;

	if (!g_str_equal(token->name, check->config->ledger_token))
		return;
	hsm_public_key(hsm, check->config->ledger_key, &error);
	mend(&error, "name the key that is there by ledger.key, or make it with tagseald key generate --kind p256");
	found(check, "ledger key", error);
}

static void check_tokens(struct check *check)
{
	for (guint i = 0; i < check->config->token_count; i++) {
		const struct config_token *token = &check->config->tokens[i];
		g_autoptr(GError) error = NULL;
		g_autofree char *what = g_strdup_printf("token %s", token->name);
		autoptr(hsm) hsm = hsm_open(token->module, token->label, token->pin_file, &error);

		mend(&error, "set module, label and pin_file of this [[token]] (with SoftHSM, SOFTHSM2_CONF as well)");
		found(check, what, error);
		if (hsm == NULL)
			continue;
		check_keys(check, hsm, token);
		check_ledger_key(check, hsm, token);
	}
}

static void check_scanner(struct check *check)
{
	const struct config *c = check->config;
	g_autoptr(GError) error = NULL;
	g_autofree char *temp = g_dir_make_tmp("tagseal-check-XXXXXX", &error);
	struct scan_options options = { .database = c->scan_database,
		.temp = temp,
		.min_signatures = c->scan_min_signatures,
		.max_database_age_ms = c->scan_max_database_age,
		.max_size = c->scan_max_size };
	autoptr(scanner) scanner = temp != NULL ? scanner_open(&options, &error) : NULL;

	mend(&error, "let freshclam fetch them, and name their folder by scan.database");
	found(check, "malware databases", error);
	if (temp != NULL)
		rmdir(temp);
}

static void check_authorities(struct check *check)
{
	if (check->config->authority_count == 0) {
		g_autoptr(GError) none = g_error_new(TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "there is no [[timestamp]], so a release whose policy wants a timestamp would wait for ever; to "
		    "mend it, add a "
		    "[[timestamp]] with the authority's url and the file of its roots");
		found(check, "timestamp authorities", none);
	}
	for (guint i = 0; i < check->config->authority_count; i++) {
		const struct config_authority *a = &check->config->authorities[i];
		g_autoptr(GError) error = NULL;
		g_autofree char *what = g_strdup_printf("timestamp authority %s", a->url);
		g_autoptr(GBytes) roots = file_read(a->roots, 1 << 20, &error);
		mend(&error, "get the authority's root certificates, and name their PEM file by roots");
		found(check, what, error);
	}
}

/* Uses are counted by the running server alone, which warns of them in its log. */
static void check_budgets(struct check *check, const struct policy *policy)
{
	for (guint i = 0; i < policy_key_count(policy); i++) {
		const struct policy_key *key = policy_key_at(policy, i);
		g_autofree char *what = g_strdup_printf("budget of the key %s", key->name);
		g_auto(GStrv) warnings = budget_warnings(policy, key, -1, time_now_ms());
		g_autoptr(GError) error = NULL;

		if (budget_check_days(policy, key, time_now_ms(), &error) && warnings[0] != NULL)
			g_set_error_literal(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, warnings[0]);
		mend(&error, "make a new key (`tagseald key generate`) and let the policy name it");
		found(check, what, error);
	}
}

static void check_policy(struct check *check)
{
	const struct config *c = check->config;
	g_autoptr(GError) error = NULL;
	g_autofree char *temp = g_dir_make_tmp("tagseal-check-XXXXXX", &error), *path = NULL, *ref = NULL;
	const char *sources[] = { NULL, NULL };
	char *password = NULL;
	struct mirror_limits limits;
	g_autoptr(GPtrArray) refs = NULL;
	struct policy_chain chain = { NULL };

	if (temp == NULL || !mirror_init(&error)) {
		mend(&error, "give this user a place for temporary files (TMPDIR)");
		found(check, "policy", error);
		return;
	}
	path = g_build_filename(temp, "policy.git", NULL);
	ref = g_strconcat("refs/heads/", c->policy_branch, NULL);
	sources[0] = ref;
	if (mirror_password_read(c, &password, &error))
		mirror_limits_fill(c, password, &limits);
	if (error == NULL && mirror_fetch(path, c->policy_url, sources, &limits, &refs, &error) && refs->len == 0)
		error_refused(&error, "%s has no branch \"%s\"", c->policy_url, c->policy_branch);
	if (error == NULL &&
	    policy_verify(path, c->policy_root, NULL, ((struct mirror_ref *)g_ptr_array_index(refs, 0))->id, NULL, NULL,
		&chain, &error) &&
	    policy_project_count(chain.policy) == 0)
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "it has no projects/*.toml yet: nothing would be signed; to mend it, commit one with its key "
		    "and its people (README.md, \"Add a project\")");
	else
		mend(&error,
		    "see that policy.url can be fetched from here and that policy.root and policy.branch are its own");
	found(check, "policy", error);
	if (chain.policy != NULL)
		check_budgets(check, chain.policy);
	policy_chain_clear(&chain);
	mirror_password_free(password);
	g_spawn_sync(NULL, (char *[]){ (char *)"rm", (char *)"-rf", (char *)"--", temp, NULL }, NULL,
	    G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

static void (*const checks[])(
    struct check *) = { check_state, check_hooks, check_tokens, check_policy, check_scanner, check_authorities };

int cmd_check(int argc, char **argv)
{
	g_autofree char *path = NULL;
	const GOptionEntry entries[] = {
		{ "config", 'c', 0, G_OPTION_ARG_FILENAME, &path,
		    "The configuration (default /etc/tagseal/config.toml)", "FILE" },
		G_OPTION_ENTRY_NULL,
	};
	const struct command_usage usage = { "tagseald", "[--config FILE]",
		"Reads the configuration and tries everything it names: tokens, keys, databases, policy, secrets.",
		"Exit: 0 all good, 1 something is wrong, 3 something could not be found out.\n", 0, 0 };
	struct check check = { .findings = json_array_new() };
	autoptr(json) findings = check.findings;
	g_autoptr(GError) error = NULL;
	autoptr(config) config = NULL;
	int status;

	if (!command_options(&usage, entries, &argc, argv, &check.as_json, &status))
		return status;
	if (path == NULL)
		path = g_strdup(CONFIG_DEFAULT);
	if ((config = config_read(path, &error)) == NULL)
		return command_fail(error);
	check.config = config;
	for (guint i = 0; i < G_N_ELEMENTS(checks); i++)
		checks[i](&check);
	if (check.as_json)
		command_print_json(findings);
	return check.worst;
}
