#include "server/names.h"

#include <git2.h>
#include <string.h>

char *name_escape(const char *name, gboolean dash)
{
	GString *out = g_string_new(NULL);

	for (const char *c = name; *c != '\0'; c++) {
		gboolean stays = g_ascii_isalnum(*c) || *c == '_' || (*c == '.' && c != name) || (dash && *c == '-');

		if (stays)
			g_string_append_c(out, *c);
		else
			g_string_append_printf(out, "%%%02X", (guchar)*c);
	}
	return g_string_free(out, FALSE);
}

char *mirror_path_policy(const struct config *config)
{
	return config_path(config, "mirrors/policy.git");
}

char *mirror_path_project(const struct config *config, const char *project, gboolean approvals)
{
	g_autofree char *escaped = name_escape(project, TRUE);
	/* policy.git is taken; "%a" is no escape, so no project's name leads there either. */
	const char *mark = approvals ? "%approvals" : g_str_equal(escaped, "policy") ? "%project" : "";
	g_autofree char *path = g_strdup_printf("mirrors/%s%s.git", escaped, mark);

	return config_path(config, path);
}

gboolean mirror_password_read(const struct config *config, char **password, GError **error)
{
	GBytes *secret;

	*password = NULL;
	if (config->git_password_file == NULL || config->git_password_file[0] == '\0')
		return TRUE;
	secret = secret_read(config->git_password_file, error);
	if (secret != NULL)
		*password = g_strndup(g_bytes_get_data(secret, NULL), g_bytes_get_size(secret));
	secret_free(secret);
	return *password != NULL;
}

void mirror_password_free(char *password)
{
	if (password != NULL)
		explicit_bzero(password, strlen(password));
	g_free(password);
}

void mirror_limits_fill(const struct config *config, const char *password, struct mirror_limits *limits)
{
#define SET(text) ((text) != NULL && (text)[0] != '\0' ? (text) : NULL)
	*limits = (struct mirror_limits){
		.max_bytes = config->git_max_bytes,
		.max_objects = (uint32_t)config->git_max_objects,
		.deadline_ms = config->git_deadline,
		.ca_file = SET(config->git_ca_file),
		.allow_private = config->git_allow_private,
		.allow_http = config->git_allow_http,
		.ssh_key_file = SET(config->git_ssh_key_file),
		.ssh_known_hosts_file = SET(config->git_ssh_known_hosts_file),
		.user = SET(config->git_user),
		.password = password,
	};
#undef SET
}

static void repository_cleanup(git_repository **repository)
{
	git_repository_free(*repository);
}
#define autorepo __attribute__((cleanup(repository_cleanup))) git_repository *

/* Sets the error from libgit2's last one; always FALSE. */
static gboolean fail_git(const char *what, const char *path, int code, GError **error)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, code, "%s: %s: %s", path, what,
	    last != NULL && last->message != NULL ? last->message : "unknown failure");
	return FALSE;
}

static git_repository *open_mirror(const char *path, GError **error)
{
	git_repository *repository = NULL;

	if (git_repository_open_ext(&repository, path, GIT_REPOSITORY_OPEN_BARE | GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) !=
	    0)
		fail_git("no mirror there yet", path, TAGSEAL_ERROR_UNAVAILABLE, error);
	return repository;
}

char *mirror_ref_id(const char *path, const char *ref, GError **error)
{
	autorepo repository = open_mirror(path, error);
	char id[GIT_OID_HEXSZ + 1];
	git_oid oid;
	int r;

	if (repository == NULL)
		return NULL;
	r = git_reference_name_to_id(&oid, repository, ref);
	if (r != 0) {
		fail_git(ref, path, r == GIT_ENOTFOUND ? TAGSEAL_ERROR_NOT_FOUND : TAGSEAL_ERROR_UNAVAILABLE, error);
		return NULL;
	}
	return g_strdup(git_oid_tostr(id, sizeof(id), &oid));
}

static void ref_free(void *data)
{
	struct mirror_ref *ref = data;

	g_free(ref->name);
	g_free(ref->id);
	g_free(ref);
}

GPtrArray *mirror_refs_below(const char *path, const char *prefix, GError **error)
{
	autorepo repository = open_mirror(path, error);
	g_autoptr(GPtrArray) refs = g_ptr_array_new_with_free_func(ref_free);
	g_autofree char *glob = g_strconcat(prefix, "*", NULL);
	git_reference_iterator *iterator = NULL;
	git_reference *reference;

	if (repository == NULL)
		return NULL;
	if (git_reference_iterator_glob_new(&iterator, repository, glob) != 0) {
		fail_git("its references cannot be listed", path, TAGSEAL_ERROR_UNAVAILABLE, error);
		return NULL;
	}
	while (git_reference_next(&reference, iterator) == 0) {
		const git_oid *oid = git_reference_target(reference);
		char id[GIT_OID_HEXSZ + 1];

		if (oid != NULL) {
			struct mirror_ref *ref = g_new0(struct mirror_ref, 1);
			ref->name = g_strdup(git_reference_name(reference));
			ref->id = g_strdup(git_oid_tostr(id, sizeof(id), oid));
			g_ptr_array_add(refs, ref);
		}
		git_reference_free(reference);
	}
	git_reference_iterator_free(iterator);
	return g_steal_pointer(&refs);
}
