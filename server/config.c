#include "server/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/base/toml.h"

#define AT(member) offsetof(struct config, member)

static const struct toml_field top_fields[] = {
	{ "state", TOML_T_STRING, AT(state), .dflt = "\"/var/lib/tagseal\"",
	    .help = "Everything that the server writes stands below this folder" },
	{ "store", TOML_T_STRING, AT(store), .dflt = "\"sqlite:store.db\"",
	    .help = "The job store; a relative path is below state" },
	{ "spool", TOML_T_STRING, AT(spool), .dflt = "\"spool\"",
	    .help = "Artifacts by their SHA-256; a relative path is below state" },
	{ "public_url", TOML_T_STRING, AT(public_url), .dflt = "\"http://127.0.0.1:8080\"",
	    .help = "How the world reaches us: it stands in answers and links" },
};

static const struct toml_field listen_fields[] = {
	{ "http", TOML_T_STRING, AT(listen_http), .dflt = "\"127.0.0.1:8080\"",
	    .help = "Address and port for HTTP; \"\" for none" },
	{ "https", TOML_T_STRING, AT(listen_https), .dflt = "\"\"", .help = "Address and port for HTTPS; \"\" for none" },
	{ "certificate", TOML_T_STRING, AT(listen_certificate), .dflt = "\"\"", .help = "PEM chain of the HTTPS server" },
	{ "private_key", TOML_T_STRING, AT(listen_private_key), .dflt = "\"\"", .help = "PEM key of the HTTPS server" },
	{ "max_body", TOML_T_SIZE, AT(listen_max_body), .dflt = "\"1M\"", .min = 1024, .max = 32 << 20,
	    .help = "Larger webhooks are refused with 413 before they are read" },
	{ "max_connections", TOML_T_INTEGER, AT(listen_max_connections), .dflt = "256", .min = 1, .max = 3000,
	    .help = "More at once wait in the kernel" },
	{ "deadline", TOML_T_DURATION, AT(listen_deadline), .dflt = "\"10s\"", .min = 100, .max = 600000,
	    .help = "A request that is not complete by then is cut off" },
	{ "max_waiting", TOML_T_INTEGER, AT(listen_max_waiting), .dflt = "10000", .min = 1, .max = 1000000,
	    .help = "With so many unfinished releases webhooks are answered with 429" },
};

#define HOOK(member) offsetof(struct config_hook, member)
static const struct toml_field hook_fields[] = {
	{ "host", TOML_T_CHOICE, HOOK(host), .required = TRUE, .choices = "github|standard",
	    .help = "Which host's webhooks: POST /hooks/HOST" },
	{ "secret_files", TOML_T_STRINGS, HOOK(secret_files), .required = TRUE,
	    .help = "One secret a file; several at once while you change it" },
};

static const struct toml_field policy_fields[] = {
	{ "url", TOML_T_STRING, AT(policy_url), .required = TRUE, .help = "The policy repository" },
	{ "branch", TOML_T_STRING, AT(policy_branch), .dflt = "\"main\"", .help = "Its branch" },
	{ "root", TOML_T_STRING, AT(policy_root), .required = TRUE,
	    .help = "The commit where trust starts, in full: it is in force because it stands here" },
};

static const struct toml_field git_fields[] = {
	{ "workers", TOML_T_INTEGER, AT(git_workers), .dflt = "2", .min = 1, .max = 64,
	    .help = "Processes that fetch and verify" },
	{ "poll", TOML_T_DURATION, AT(git_poll), .dflt = "\"5m\"", .min = 100, .max = 86400000,
	    .help = "How often sources are looked at without being asked to: hosts forget to send" },
	{ "deadline", TOML_T_DURATION, AT(git_deadline), .dflt = "\"2m\"", .min = 100, .max = 3600000,
	    .help = "Of one fetch" },
	{ "max_bytes", TOML_T_SIZE, AT(git_max_bytes), .dflt = "\"2G\"", .min = 1, .max = G_MAXINT64 >> 10,
	    .help = "Of one fetch" },
	{ "max_objects", TOML_T_INTEGER, AT(git_max_objects), .dflt = "5000000", .min = 1, .max = G_MAXUINT32,
	    .help = "Of one fetch" },
	{ "ca_file", TOML_T_STRING, AT(git_ca_file), .dflt = "\"\"",
	    .help = "PEM roots for https sources; \"\" for the system's" },
	{ "ssh_key_file", TOML_T_STRING, AT(git_ssh_key_file), .dflt = "\"\"",
	    .help = "Private key for ssh sources (Ed25519 or ECDSA)" },
	{ "ssh_known_hosts_file", TOML_T_STRING, AT(git_ssh_known_hosts_file), .dflt = "\"\"",
	    .help = "Host keys of ssh sources" },
	{ "user", TOML_T_STRING, AT(git_user), .dflt = "\"\"", .help = "User name for https sources" },
	{ "password_file", TOML_T_STRING, AT(git_password_file), .dflt = "\"\"",
	    .help = "Password or token for https sources" },
	{ "allow_private", TOML_T_BOOLEAN, AT(git_allow_private), .dflt = "false",
	    .help = "Sources may stand on private and loopback addresses" },
	{ "allow_http", TOML_T_BOOLEAN, AT(git_allow_http), .dflt = "false",
	    .help = "Sources may be asked over plain http" },
};

static const struct toml_field artifact_fields[] = {
	{ "folders", TOML_T_STRINGS, AT(fetch_folders), .dflt = "[]",
	    .help = "file: URLs are taken from below these folders only" },
	{ "private_hosts", TOML_T_STRINGS, AT(fetch_private_hosts), .dflt = "[]",
	    .help = "Hosts that may stand on private or loopback addresses" },
	{ "http_hosts", TOML_T_STRINGS, AT(fetch_http_hosts), .dflt = "[]",
	    .help = "Hosts that may be asked over plain http" },
	{ "ca_file", TOML_T_STRING, AT(fetch_ca_file), .dflt = "\"\"",
	    .help = "PEM roots for https; \"\" for the system's" },
	{ "deadline", TOML_T_DURATION, AT(fetch_deadline), .dflt = "\"10m\"", .min = 100, .max = 86400000,
	    .help = "Of one artifact" },
	{ "max_size", TOML_T_SIZE, AT(fetch_max_size), .dflt = "\"4G\"", .min = 1, .max = G_MAXINT64 >> 10,
	    .help = "Larger artifacts are refused, whatever a project says" },
	{ "wait", TOML_T_DURATION, AT(wait_for_artifact), .dflt = "\"6h\"", .min = 0, .max = G_MAXINT64 >> 20,
	    .help = "How long a release waits for an artifact that is not there yet" },
};

static const struct toml_field scan_fields[] = {
	{ "database", TOML_T_STRING, AT(scan_database), .dflt = "\"/var/lib/clamav\"",
	    .help = "Folder of the malware databases" },
	{ "workers", TOML_T_INTEGER, AT(scan_workers), .dflt = "2", .min = 1, .max = 64,
	    .help = "Processes that scan; they share one engine" },
	{ "min_signatures", TOML_T_INTEGER, AT(scan_min_signatures), .dflt = "1000000", .min = 1, .max = G_MAXUINT32,
	    .help = "With fewer loaded nothing is scanned: the databases are not whole" },
	{ "max_database_age", TOML_T_DURATION, AT(scan_max_database_age), .dflt = "\"7d\"", .min = 0,
	    .max = G_MAXINT64 >> 20, .help = "With older databases nothing is scanned; \"0s\" for any age" },
	{ "max_size", TOML_T_SIZE, AT(scan_max_size), .dflt = "\"1G\"", .min = 1, .max = 2147483647,
	    .help = "Larger files are not scanned, so they do not pass" },
	{ "deadline", TOML_T_DURATION, AT(scan_deadline), .dflt = "\"10m\"", .min = 100, .max = 86400000,
	    .help = "Of one file" },
};

static const struct toml_field seal_fields[] = {
	{ "workers", TOML_T_INTEGER, AT(seal_workers), .dflt = "2", .min = 1, .max = 64,
	    .help = "Processes that read and write artifacts" },
	{ "deadline", TOML_T_DURATION, AT(seal_deadline), .dflt = "\"5m\"", .min = 100, .max = 86400000,
	    .help = "Of one file" },
};

static const struct toml_field sign_fields[] = {
	{ "deadline", TOML_T_DURATION, AT(sign_deadline), .dflt = "\"30s\"", .min = 100, .max = 600000,
	    .help = "A token that does not answer by then is taken for gone" },
};

#define TOKEN(member) offsetof(struct config_token, member)
static const struct toml_field token_fields[] = {
	{ "name", TOML_T_STRING, TOKEN(name), .required = TRUE, .help = "What we call it" },
	{ "module", TOML_T_STRING, TOKEN(module), .dflt = "\"/usr/lib/softhsm/libsofthsm2.so\"",
	    .help = "Its PKCS#11 module" },
	{ "label", TOML_T_STRING, TOKEN(label), .required = TRUE, .help = "Its label (slot numbers are not stable)" },
	{ "pin_file", TOML_T_STRING, TOKEN(pin_file), .required = TRUE,
	    .help = "File with its PIN, readable by the server alone" },
};

#define AUTHORITY(member) offsetof(struct config_authority, member)
static const struct toml_field timestamp_fields[] = {
	{ "url", TOML_T_STRING, AUTHORITY(url), .required = TRUE,
	    .help = "RFC 3161 over HTTP(S); several are asked in this order" },
	{ "roots", TOML_T_STRING, AUTHORITY(roots), .required = TRUE,
	    .help = "PEM roots of this authority, and of nothing else" },
	{ "deadline", TOML_T_DURATION, AUTHORITY(deadline), .dflt = "\"20s\"", .min = 100, .max = 600000,
	    .help = "Then the next one is asked" },
};

static const struct toml_field ledger_fields[] = {
	{ "repository", TOML_T_STRING, AT(ledger_repository), .dflt = "\"audit.git\"",
	    .help = "The audit repository; a relative path is below state" },
	{ "token", TOML_T_STRING, AT(ledger_token), .required = TRUE,
	    .help = "Name of the token with the ledger's own key" },
	{ "key", TOML_T_STRING, AT(ledger_key), .required = TRUE,
	    .help = "Label of that key: it signs commits and nothing else" },
	{ "principal", TOML_T_STRING, AT(ledger_principal), .dflt = "\"ledger@tagseal\"",
	    .help = "Its name in allowed_signers" },
};

#define REMOTE(member) offsetof(struct config_remote, member)
static const struct toml_field remote_fields[] = {
	{ "url", TOML_T_STRING, REMOTE(url), .required = TRUE, .help = "Where the audit repository is pushed to" },
	{ "required", TOML_T_BOOLEAN, REMOTE(required), .dflt = "false",
	    .help = "Nothing is published before this remote has it" },
};

static const struct toml_field publish_fields[] = {
	{ "folder", TOML_T_STRING, AT(publish_folder), .dflt = "\"\"",
	    .help = "Signed artifacts go to FOLDER/PROJECT/TAG/; \"\" for none" },
};

const struct config_section config_sections[] = {
	{ "", top_fields, G_N_ELEMENTS(top_fields) },
	{ "listen", listen_fields, G_N_ELEMENTS(listen_fields) },
	{ "[hook]", hook_fields, G_N_ELEMENTS(hook_fields) },
	{ "policy", policy_fields, G_N_ELEMENTS(policy_fields) },
	{ "git", git_fields, G_N_ELEMENTS(git_fields) },
	{ "artifacts", artifact_fields, G_N_ELEMENTS(artifact_fields) },
	{ "scan", scan_fields, G_N_ELEMENTS(scan_fields) },
	{ "seal", seal_fields, G_N_ELEMENTS(seal_fields) },
	{ "[token]", token_fields, G_N_ELEMENTS(token_fields) },
	{ "sign", sign_fields, G_N_ELEMENTS(sign_fields) },
	{ "[timestamp]", timestamp_fields, G_N_ELEMENTS(timestamp_fields) },
	{ "ledger", ledger_fields, G_N_ELEMENTS(ledger_fields) },
	{ "[audit_remote]", remote_fields, G_N_ELEMENTS(remote_fields) },
	{ "publish", publish_fields, G_N_ELEMENTS(publish_fields) },
};
const guint config_section_count = G_N_ELEMENTS(config_sections);

/* Arrays of tables: where in struct config they go, and how large one is. */
static const struct {
	const char *name;
	size_t array, count, size;
} arrays[] = {
	{ "[hook]", AT(hooks), AT(hook_count), sizeof(struct config_hook) },
	{ "[token]", AT(tokens), AT(token_count), sizeof(struct config_token) },
	{ "[timestamp]", AT(authorities), AT(authority_count), sizeof(struct config_authority) },
	{ "[audit_remote]", AT(remotes), AT(remote_count), sizeof(struct config_remote) },
};

static const struct toml *empty_table(void)
{
	static struct toml *empty;

	if (empty == NULL)
		empty = toml_parse("", 0, "configuration", NULL);
	return empty;
}

static gboolean read_array(
    const struct toml *root, const struct config_section *section, guint row, struct config *config, GError **error)
{
	g_autofree char *key = g_strndup(section->name + 1, strlen(section->name) - 2);
	const struct toml *array = toml_get(root, key);
	guint count = array != NULL ? toml_length(array) : 0;
	char *items = g_malloc0_n(MAX(count, 1), arrays[row].size);

	*(char **)((char *)config + arrays[row].array) = items;
	*(guint *)((char *)config + arrays[row].count) = count;
	if (array == NULL)
		return TRUE;
	if (toml_kind(array) != TOML_ARRAY)
		return toml_fail(array, error, "\"%s\" is an array of tables: write [[%s]]", key, key);
	for (guint i = 0; i < count; i++) {
		if (toml_kind(toml_at(array, i)) != TOML_TABLE)
			return toml_fail(
			    toml_at(array, i), error, "\"%s\" is an array of tables: write [[%s]]", key, key);
		if (!toml_read(
			toml_at(array, i), section->fields, section->count, items + i * arrays[row].size, key, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean read_section(
    const struct toml *root, const struct config_section *section, struct config *config, GError **error)
{
	const struct toml *table = toml_get(root, section->name);

	for (guint row = 0; row < G_N_ELEMENTS(arrays); row++)
		if (g_str_equal(arrays[row].name, section->name))
			return read_array(root, section, row, config, error);
	if (table != NULL && toml_kind(table) != TOML_TABLE)
		return toml_fail(table, error, "\"%s\" is a table: write [%s]", section->name, section->name);
	if (table == NULL) {
		for (guint i = 0; i < section->count; i++)
			if (section->fields[i].required)
				return toml_fail(root, error, "the section [%s] is missing: it must give \"%s\"",
				    section->name, section->fields[i].key);
		table = empty_table();
	}
	return toml_read(table, section->fields, section->count, config, section->name, error);
}

/* The top table holds the sections as well as its own options, so it is read through a field list that knows both. */
static gboolean read_top(const struct toml *root, struct config *config, GError **error)
{
	g_autoptr(GArray) fields = g_array_new(FALSE, TRUE, sizeof(struct toml_field));
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

	g_array_append_vals(fields, top_fields, G_N_ELEMENTS(top_fields));
	for (guint i = 1; i < config_section_count; i++) {
		const char *name = config_sections[i].name;
		char *key = name[0] == '[' ? g_strndup(name + 1, strlen(name) - 2) : g_strdup(name);
		struct toml_field field = { key, TOML_T_NODE, AT(section_scratch) };
		g_ptr_array_add(names, key);
		g_array_append_val(fields, field);
	}
	return toml_read(root, (const struct toml_field *)fields->data, fields->len, config, "the configuration", error);
}

/* Options that name files: a relative one is taken from the configuration's own folder, as an operator expects. */
static void resolve_paths(struct config *config)
{
	static const size_t paths[] = { AT(state), AT(listen_certificate), AT(listen_private_key), AT(git_ca_file),
		AT(git_ssh_key_file), AT(git_ssh_known_hosts_file), AT(git_password_file), AT(fetch_ca_file),
		AT(scan_database), AT(publish_folder) };
	g_autofree char *folder = g_path_get_dirname(config->name);
	g_autoptr(GPtrArray) all = g_ptr_array_new();

	for (guint i = 0; i < G_N_ELEMENTS(paths); i++)
		g_ptr_array_add(all, (char *)config + paths[i]);
	for (guint i = 0; i < config->hook_count; i++)
		for (char **s = config->hooks[i].secret_files; *s != NULL; s++)
			g_ptr_array_add(all, s);
	for (char **s = config->fetch_folders; *s != NULL; s++)
		g_ptr_array_add(all, s);
	for (guint i = 0; i < config->token_count; i++)
		g_ptr_array_add(all, &config->tokens[i].pin_file);
	for (guint i = 0; i < config->authority_count; i++)
		g_ptr_array_add(all, &config->authorities[i].roots);
	for (guint i = 0; i < all->len; i++) {
		char **path = g_ptr_array_index(all, i);
		if (**path != '\0' && !g_path_is_absolute(*path)) {
			char *whole = g_canonicalize_filename(*path, folder);
			g_free(*path);
			*path = whole;
		}
	}
}

static const struct config_token *token_named(const struct config *config, const char *name)
{
	for (guint i = 0; i < config->token_count; i++)
		if (g_str_equal(config->tokens[i].name, name))
			return &config->tokens[i];
	return NULL;
}

/* What no single option can tell. */
static gboolean check_whole(const struct toml *root, const struct config *config, GError **error)
{
	const struct toml *policy = toml_get(root, "policy"), *ledger = toml_get(root, "ledger");

	if (!is_object_id(config->policy_root))
		return toml_fail(
		    toml_get(policy, "root"), error, "\"root\" is not a full commit id (40 lower-case hex digits)");
	if (token_named(config, config->ledger_token) == NULL)
		return toml_fail(toml_get(ledger, "token"), error, "there is no [[token]] with the name \"%s\"",
		    config->ledger_token);
	if (!g_str_has_prefix(config->store, "sqlite:"))
		return toml_fail(toml_get(root, "store"), error, "\"store\" must start with \"sqlite:\"");
	if (*config->listen_https != '\0' && (*config->listen_certificate == '\0' || *config->listen_private_key == '\0'))
		return toml_fail(toml_get(root, "listen"), error, "\"https\" needs \"certificate\" and \"private_key\"");
	if (*config->listen_http == '\0' && *config->listen_https == '\0')
		return toml_fail(
		    toml_get(root, "listen"), error, "give \"http\" or \"https\": the server would listen nowhere");
	for (guint i = 0; i < config->token_count; i++)
		if (token_named(config, config->tokens[i].name) != &config->tokens[i])
			return toml_fail(toml_get(root, "token"), error, "two [[token]] bear the name \"%s\"",
			    config->tokens[i].name);
	return TRUE;
}

struct config *config_parse(const char *text, size_t size, const char *name, GError **error)
{
	autoptr(toml) root = toml_parse(text, size, name, error);
	autoptr(config) config = g_new0(struct config, 1);

	config->name = g_canonicalize_filename(name, NULL);
	if (root == NULL || !read_top(root, config, error))
		return NULL;
	for (guint i = 1; i < config_section_count; i++)
		if (!read_section(root, &config_sections[i], config, error))
			return NULL;
	if (!check_whole(root, config, error))
		return NULL;
	resolve_paths(config);
	return g_steal_pointer(&config);
}

struct config *config_read(const char *path, GError **error)
{
	g_autoptr(GBytes) bytes = file_read(path, 1 << 20, error);

	if (bytes == NULL) {
		g_prefix_error(error, "the configuration %s: ", path);
		return NULL;
	}
	return config_parse(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), path, error);
}

void config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (guint i = 0; i < config_section_count; i++) {
		const struct config_section *section = &config_sections[i];
		guint row = 0;

		while (row < G_N_ELEMENTS(arrays) && !g_str_equal(arrays[row].name, section->name))
			row++;
		if (row == G_N_ELEMENTS(arrays)) {
			toml_clear(section->fields, section->count, config);
			continue;
		}
		char *items = *(char **)((char *)config + arrays[row].array);
		for (guint n = 0; items != NULL && n < *(guint *)((char *)config + arrays[row].count); n++)
			toml_clear(section->fields, section->count, items + n * arrays[row].size);
		g_free(items);
	}
	g_free(config->name);
	g_free(config);
}

char *config_path(const struct config *config, const char *path)
{
	return g_canonicalize_filename(path, config->state);
}

GBytes *secret_read(const char *path, GError **error)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat about;
	char buffer[4096];
	ssize_t size;
	GBytes *secret;

	if (fd < 0 || fstat(fd, &about) < 0) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "the secret file %s cannot be read: %s", path,
		    g_strerror(errno));
		return NULL;
	}
	if (!S_ISREG(about.st_mode) || (about.st_mode & 07) != 0) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "the secret file %s may be read by others: chmod 600 %s", path, path);
		return NULL;
	}
	size = read(fd, buffer, sizeof(buffer));
	if (size > 0) {
		char *end = memchr(buffer, '\n', size);
		size = end != NULL ? end - buffer : size;
	}
	secret = size > 0 ? g_bytes_new(buffer, size) : NULL;
	explicit_bzero(buffer, sizeof(buffer));
	if (secret == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "the secret file %s is empty: its first line must be the secret", path);
	return secret;
}

void secret_free(GBytes *secret)
{
	size_t size;
	gpointer data;

	if (secret == NULL)
		return;
	data = g_bytes_unref_to_data(secret, &size);
	explicit_bzero(data, size);
	g_free(data);
}
