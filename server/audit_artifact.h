/*
 * What `tagseal audit` asks of a release's signatures, from the evidence alone: the artifacts themselves do not stand in the log.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"

struct audit_stamps {
	GBytes *roots; /* of the timestamp authorities that the auditor trusts, PEM; NULL: whose clocks they were is not asked */
	guint unanchored; /* timestamps that were not held against roots, because there were none */
};

/* For struct audit_options' `artifact`: REFUSED where a signature or token is not what the record says, or there is no evidence of it. `stamps` may be NULL. */
gboolean audit_artifact(const struct json *record, GHashTable *files, struct audit_stamps *stamps, GError **error);
/* audit_options.stamped and .ending: by the table of formats. */
gboolean audit_stamped(const char *format);
const char *audit_ending(const char *format);
