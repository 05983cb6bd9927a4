/*
 * The one error domain. A failure is told once, by the place that knows who is waiting; libraries fill GError
 * and never log. Convention of the whole tree: TRUE or an object is success; FALSE or NULL comes with `error`
 * set.
 *
 * The message is the sentence that a person reads as it stands: what, where, which rule, how to mend it. No
 * full stop, no "error:", no line break; nothing secret; text made by strangers goes through text_escape()
 * (bytes.h).
 */
#pragma once

#include <glib.h>

#include "gitops/base/cleanup.h"

#define TAGSEAL_ERROR (tagseal_error_quark())
GQuark tagseal_error_quark(void);

/* What a caller acts on. The exit statuses of our commands follow from these: see error_exit_status(). */
enum tagseal_error {
	TAGSEAL_ERROR_FAILED = 1, /* we could not, and trying again will not help (a bug, a broken file of ours) */
	TAGSEAL_ERROR_REFUSED, /* checked, and the evidence is bad: the answer is no */
	TAGSEAL_ERROR_USAGE, /* asked wrongly: options, configuration */
	TAGSEAL_ERROR_UNKNOWN, /* could not find out: a file, database or anchor is missing */
	TAGSEAL_ERROR_NOT_FOUND, /* the thing named does not exist */
	TAGSEAL_ERROR_UNAVAILABLE, /* what we need is away (token, authority, git host, disk): try again later
				    */
	TAGSEAL_ERROR_MOVED, /* somebody else wrote in between: look again */
	TAGSEAL_ERROR_TOO_LARGE, /* a limit was reached */
};

/* Exit status of a command that ended with this error: 1 refused, 2 usage, 3 everything else ("could not find
 * out"). */
int error_exit_status(const GError *error);

#define error_refused(error, ...) g_set_error((error), TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED, __VA_ARGS__)
