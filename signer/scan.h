/*
 * Malware scanning by libclamav, failing closed: clean means rc 0, at least one layer inspected, no error or
 * warning told, and the canary found since the engine was loaded. Anything else is an error (UNKNOWN: not
 * scanned) or a finding (REFUSED). The engine is loaded once and may be shared by forked processes. One scan
 * at a time a process.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"

struct scan_options {
	const char *database; /* folder */
	const char *temp; /* private writable folder, must exist */
	guint min_signatures; /* fewer loaded: refused (0: at least one) */
	int64_t max_database_age_ms; /* 0: any */
	uint64_t max_size; /* of a file; at most 2 GiB - 1 */
	guint max_files, max_depth, max_seconds; /* 0: our defaults */
};

struct scanner;
struct scanner *scanner_open(const struct scan_options *options, GError **error);
void scanner_free(struct scanner *scanner);
DEFINE_CLEANUP(scanner, scanner_free)
/* After fork(): temporary files go into this folder from now on. Forks draw the same "random" names for them, and where two
 * scan at once, the second one would find its name taken and tell of a fault. */
gboolean scanner_move(struct scanner *scanner, const char *temp, GError **error);
/* The record's "scan" without "verdict": engine, database_version, database_time, signatures. Caller unrefs.
 */
struct json *scanner_facts(const struct scanner *scanner);
/* Runs the canary (plain, and inside a zip): FALSE when the engine does not find it. */
gboolean scanner_canary(struct scanner *scanner, GError **error);
/* TRUE: clean. REFUSED: infected, "NAME found". UNKNOWN: not scanned, and why. `report` (may be NULL) gets
 * the record's "scan" with its verdict. */
gboolean scanner_scan(struct scanner *scanner, int fd, struct json **report, GError **error);
/* TRUE if the databases on disk are no longer those that were loaded. */
gboolean scanner_stale(const struct scanner *scanner);
