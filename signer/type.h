/*
 * What a file is, and whether every reader sees the same in it (the structure gate). One file a type
 * (type_*.c), one row in the table. Recognised by content, never by name alone. A type's canonical shape is
 * written at the top of its file, rule by rule.
 */
#pragma once

#include <glib.h>

#include "gitops/base/json.h"

struct file_type {
	const char *name; /* "pe", … "raw" */
	const char *native_format; /* the format of format.h that is native to it, or NULL */
	gboolean (*claims)(int fd);
	/* One canonical shape: REFUSED with "RULE at offset N: …". `facts` (may be NULL) gets what inspect
	 * shows. NULL: we know the type, but have no rules for it yet. */
	gboolean (*structure)(int fd, struct json *facts, GError **error);
};
extern const struct file_type *const file_types[]; /* NULL-terminated, most specific first; the last is raw and claims everything */
const struct file_type *file_type_of(int fd);
const struct file_type *file_type_named(const char *name);
/* The structure gate: structure(), and REFUSED where a type has none. */
gboolean file_type_check(const struct file_type *type, int fd, struct json *facts, GError **error);
