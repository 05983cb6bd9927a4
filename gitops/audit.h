/*
 * `tagseal audit DIR`: checks a clone of the audit repository with nothing but what the auditor brought. History is one line of commits by
 * the ledger's key, to which files were only added; each record is canonical, stands in its chains, and has exactly the evidence that it
 * speaks of; tag, approvals and policy are verified and decided again from the raw evidence; signatures and timestamps are over what the
 * record says; every use of a key stands in one record or is void. What the auditor gave no anchor for is "could not find out", never good.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"
#include "gitops/provenance_policy.h"

struct audit_options {
	const char *policy_root; /* 40 hex, or NULL: then what hangs on it is "could not find out" */
	const char *policy_repo; /* clone of the policy repository, or NULL: then likewise */
	const char *ledger_key; /* file with "ssh-… AAAA…" line(s), or NULL */
	const char *since; /* commit already checked, or NULL */
	void (*finding)(const char *line, void *data); /* one line a finding, as it is made */
	void (*progress)(guint done, guint all, void *data);
	void *data;
	/* Signatures and timestamp tokens over the recorded digests: signer/verify.c hands this down, since
	 * gitops knows no artifact format. `files`: evidence name -> GBytes*. NULL: that part is "could not
	 * find out". */
	gboolean (*artifact)(const struct json *record, GHashTable *files, void *data, GError **error);
	/* The time that a timestamp proves (gitops/provenance_policy.h). NULL: provenance under certificates that only a timestamp keeps good is bad. */
	stamp_time_fn stamp_time;
	/* Has a signature of that format a place for a timestamp? Where it has none, none can be demanded. NULL: all have. */
	gboolean (*stamped)(const char *format);
	/* How the evidence of a signature of that format ends (".p7s"), NULL: there is no such format. Itself NULL: ".p7s" or ".asc". */
	const char *(*ending)(const char *format);
};
struct audit_result {
	guint records, events, commits;
	guint bad, unknown; /* findings: refused; could not find out */
};
/* FALSE only if the folder cannot be read at all. */
gboolean audit_run(const char *dir, const struct audit_options *options, struct audit_result *result, GError **error);
