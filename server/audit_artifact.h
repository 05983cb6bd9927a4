/*
 * What `tagseal audit` asks of a release's signatures, from the evidence alone: the artifacts themselves do not stand in the log.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"

/* struct audit_options' `artifact`. REFUSED where a signature or token is not what the record says; UNKNOWN where there is no evidence of it. */
gboolean audit_artifact(const struct json *record, GHashTable *files, void *data, GError **error);
/* audit_options.stamped: by the table of formats. */
gboolean audit_stamped(const char *format);
