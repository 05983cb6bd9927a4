/* Names of people's choosing (projects, tokens, keys) as parts of file names, and the mirrors that the gitops role keeps and judge reads. */
#pragma once

#include <glib.h>

#include "gitops/mirror.h"
#include "server/config.h"

/* Letters, digits, '_' and '.' (not the first) stay, as does '-' if `dash`; all else becomes %XX, so that no two names meet. Caller frees. */
char *name_escape(const char *name, gboolean dash);

/* STATE/mirrors/policy.git, and a project's own; `approvals`: the repository of its own that a project may name for them. Caller frees. */
char *mirror_path_policy(const struct config *config);
char *mirror_path_project(const struct config *config, const char *project, gboolean approvals);
/* The first line of git.password_file, NULL if the option is not set. Freed (and wiped) with mirror_password_free(). */
gboolean mirror_password_read(const struct config *config, char **password, GError **error);
void mirror_password_free(char *password); /* NULL is fine */
/* What a mirror of ours may cost; the strings are borrowed from the configuration, `password` may be NULL. */
void mirror_limits_fill(const struct config *config, const char *password, struct mirror_limits *limits);

/* The id that a reference of a mirror has now: NOT_FOUND if there is none, UNAVAILABLE if the mirror itself is not there yet. Caller frees. */
char *mirror_ref_id(const char *path, const char *ref, GError **error);
/* Names of the references below `prefix` ("refs/tagseal/seen/"), with their ids: of struct mirror_ref. */
GPtrArray *mirror_refs_below(const char *path, const char *prefix, GError **error);
