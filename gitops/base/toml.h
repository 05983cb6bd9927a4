/*
 * TOML through toml++ (toml_shim.cpp is the only C++ in the tree), and one table-driven reader for everything
 * that we read from TOML: the server's configuration and the policy's files. A field is a row; unknown keys,
 * missing keys, wrong types and bad values are errors with file, line and column: "people/bob.toml:3:1:
 * unknown key \"opengpg\"; did you mean \"openpgp\"?"
 */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include "gitops/base/cleanup.h"

enum toml_kind { TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOLEAN, TOML_TIME, TOML_ARRAY, TOML_TABLE };

struct toml; /* one node; the root owns all nodes below it */
/* `name` is the file's name for messages. At most 1 MiB. The root is always a table. Refused (REFUSED) with
 * name:line:column. */
struct toml *toml_parse(const char *text, size_t size, const char *name, GError **error);
void toml_free(struct toml *root); /* NULL is fine */
DEFINE_CLEANUP(toml, toml_free)

enum toml_kind toml_kind(const struct toml *node);
/* Where its key stands; in an array, where the value does. */
guint toml_line(const struct toml *node);
const char *toml_file(const struct toml *node);
/* Borrowed from the root. */
const struct toml *toml_get(const struct toml *table, const char *key);
guint toml_length(const struct toml *array_or_table);
const struct toml *toml_at(const struct toml *array, guint index);
const struct toml *toml_member(const struct toml *table, guint index, const char **key); /* in the file's order */
const char *toml_as_string(const struct toml *node);
int64_t toml_as_integer(const struct toml *node);
gboolean toml_as_boolean(const struct toml *node);
/* An offset date-time as UTC milliseconds. 0 for local ones, which toml_has_time() tells apart and fields refuse. */
int64_t toml_as_time_ms(const struct toml *node);
gboolean toml_has_time(const struct toml *node);

/* "file:line:column: " and the sentence; always FALSE. Code REFUSED. */
gboolean toml_fail(const struct toml *node, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* What a field holds, and the C type that toml_read() writes at its offset. */
enum toml_type {
	TOML_T_STRING, /* char *, owned */
	TOML_T_STRINGS, /* char ** (GStrv), owned; an array of strings */
	TOML_T_INTEGER, /* int64_t, within min..max */
	TOML_T_BOOLEAN, /* gboolean */
	TOML_T_SIZE, /* uint64_t bytes: an integer, or "64K" "500M" "2G" (powers of 1024) */
	TOML_T_DURATION, /* int64_t milliseconds: "500ms" "30s" "5m" "6h" "14d" */
	TOML_T_TIME, /* int64_t milliseconds since 1970: an offset date-time */
	TOML_T_CHOICE, /* char *, owned: one of `choices`, separated by '|' */
	TOML_T_NODE, /* const struct toml *, borrowed: the reader of a nested table or array does the rest */
};

struct toml_field {
	const char *key;
	enum toml_type type;
	size_t offset; /* offsetof(struct, member) */
	const char *dflt; /* TOML text of the default; round strings, choices, sizes and durations the quotes may be
			   * left out ("64M", "[]" …). NULL: zero, NULL, an empty GStrv. Not for nodes. */
	gboolean required;
	int64_t min, max; /* integers, sizes, durations; both 0: no bound */
	const char *choices; /* TOML_T_CHOICE: "release|test" */
	const char *help; /* one line of why; shown by `tagseald --help config` and held to config.example.toml */
};

/* Fills `out` (already zeroed) from `table`; `what` names the table for messages ("[listen]"). After a failure nothing
 * in `out` is left to be freed. */
gboolean toml_read(const struct toml *table, const struct toml_field *fields, size_t count, void *out, const char *what,
    GError **error);
/* Frees what toml_read() allocated in `out`. */
void toml_clear(const struct toml_field *fields, size_t count, void *out);
