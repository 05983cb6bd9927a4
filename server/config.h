/*
 * The server's configuration: one option table (config.c), read from TOML. Every option stands in config.example.toml; a test holds the two together.
 * Read once by the supervisor, which hands the text to each role as a descriptor; a role reads it again by the same table.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/cleanup.h"

#define CONFIG_DEFAULT "/etc/tagseal/config.toml"

struct config_hook { /* [[hook]] */
	char *host; /* a name of the webhook table: "github" "standard" */
	char **secret_files; /* several at once for rotation */
};

struct config_token { /* [[token]] */
	char *name, *module, *label, *pin_file;
};

struct config_authority { /* [[timestamp]]: in this order */
	char *url, *roots; /* roots: PEM file */
	int64_t deadline;
};

struct config_remote { /* [[audit_remote]] */
	char *url;
	gboolean required;
};

struct toml;

struct config {
	char *name; /* of the file, for messages */
	const struct toml *section_scratch; /* the reader's own */

	char *state; /* folder of everything that the server writes */
	char *store; /* "sqlite:store.db": relative to state */
	char *spool; /* blobs by SHA-256 */

	char *listen_http, *listen_https; /* "127.0.0.1:8080", "" for none */
	char *listen_certificate, *listen_private_key;
	char *public_url; /* how the world reaches us */
	uint64_t listen_max_body;
	int64_t listen_max_connections, listen_max_waiting; /* connections; unfinished releases before 429 */
	int64_t listen_deadline; /* of one request, ms */

	char *policy_url, *policy_branch, *policy_root;

	int64_t git_workers, git_poll, git_deadline, git_max_objects;
	uint64_t git_max_bytes;
	char *git_ca_file, *git_ssh_key_file, *git_ssh_known_hosts_file, *git_user, *git_password_file;
	gboolean git_allow_private, git_allow_http;

	char *fetch_ca_file;
	char **fetch_folders; /* file: URLs are taken from below these folders only */
	char **fetch_private_hosts; /* hosts that may resolve to private or loopback addresses */
	char **fetch_http_hosts; /* hosts that may be asked over plain HTTP; loopback always may */
	int64_t fetch_deadline;
	uint64_t fetch_max_size;
	int64_t wait_for_artifact; /* how long a missing artifact is waited for */

	char *scan_database;
	int64_t scan_workers, scan_min_signatures, scan_max_database_age, scan_deadline;
	uint64_t scan_max_size;

	int64_t seal_workers, seal_deadline;

	int64_t sign_deadline; /* watchdog over one use of the token, ms */

	char *ledger_token, *ledger_key, *ledger_principal, *ledger_repository;

	char *publish_folder; /* "" for none */

	struct config_hook *hooks;
	guint hook_count;
	struct config_token *tokens;
	guint token_count;
	struct config_authority *authorities;
	guint authority_count;
	struct config_remote *remotes;
	guint remote_count;
};

/* `name` is the file's name, for messages: "FILE:LINE:COLUMN: sentence". Relative paths are taken from the folder of `name`. */
struct config *config_parse(const char *text, size_t size, const char *name, GError **error);
struct config *config_read(const char *path, GError **error);
void config_free(struct config *config);
DEFINE_CLEANUP(config, config_free)

/* A path below `state` (or absolute as it is). Caller frees. */
char *config_path(const struct config *config, const char *path);
/* Every option, in the order of config.example.toml, for --help and the test. */
struct toml_field;
struct config_section {
	const char *name; /* "" for the top, "listen", "[token]" for an array of tables */
	const struct toml_field *fields;
	guint count;
};
extern const struct config_section config_sections[];
extern const guint config_section_count;
/* The first line of a secret file; refused if others than the owner (and group) may read it. Wipe with secret_free(). */
GBytes *secret_read(const char *path, GError **error);
void secret_free(GBytes *secret);
