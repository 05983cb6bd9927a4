/*
 * JSON values: strict reading (yajl, with the checks it lacks) and canonical writing (RFC 8785 for the subset
 * that our documents use: objects, arrays, strings, integers, booleans, null).
 *
 * Reading refuses, with line and column: duplicate keys, depth over 64, invalid UTF-8 (also overlong and
 * surrogates), NUL in a string or key, trailing bytes. Integers are held as int64 within ±(2^53-1); any other
 * number ("-0" too) is refused unless JSON_OTHER_NUMBERS is given (strangers' webhooks), and then kept as JSON_NUMBER
 * with its text.
 *
 * Values are reference counted and not thread-safe. Getters on NULL or the wrong kind return NULL, 0 or
 * FALSE, so that paths can be chained; who must know asks json_require_*().
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/cleanup.h"

enum json_kind { JSON_NULL, JSON_BOOLEAN, JSON_INTEGER, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
enum json_flags { JSON_STRICT = 0, JSON_OTHER_NUMBERS = 1 };

struct json;
struct json *json_parse(const void *data, size_t size, enum json_flags flags, GError **error);
struct json *json_parse_bytes(GBytes *bytes, GError **error);
/* As json_parse(), and refuses bytes that are not already canonical. */
struct json *json_parse_canonical(const void *data, size_t size, GError **error);
GBytes *json_canonical(const struct json *value);
/* Canonical, as a NUL-terminated string. Caller frees. */
char *json_text(const struct json *value);
/* For people: two spaces of indent, keys in canonical order, no line break at the end; characters that could deceive
 * the eye or a terminal are escaped. Caller frees. */
char *json_pretty(const struct json *value);

struct json *json_ref(struct json *value);
void json_unref(struct json *value); /* NULL is fine */
DEFINE_CLEANUP(json, json_unref)
struct json *json_copy(const struct json *value); /* deep */
gboolean json_equal(const struct json *a, const struct json *b);

enum json_kind json_kind(const struct json *value); /* JSON_NULL for NULL */

/* Reading. Borrowed: they live as long as the value. */
struct json *json_get(const struct json *object, const char *key);
/* A path of keys and array indexes: json_path(r, "source.signature.person"), "artifacts.0.sha256". */
struct json *json_path(const struct json *value, const char *path);
const char *json_string(const struct json *object, const char *key); /* the member, if it is a string */
int64_t json_integer(const struct json *object, const char *key, int64_t otherwise);
gboolean json_boolean(const struct json *object, const char *key, gboolean otherwise);
const char *json_as_string(const struct json *value);
int64_t json_as_integer(const struct json *value, int64_t otherwise);
guint json_length(const struct json *array_or_object);
struct json *json_at(const struct json *array, guint index);
/* Members in canonical order; *key borrowed. */
struct json *json_member(const struct json *object, guint index, const char **key);

/* The member, or an error naming it: "release: \"tag\" is missing or not a string". */
const char *json_require_string(const struct json *object, const char *key, const char *what, GError **error);
gboolean json_require_integer(const struct json *object, const char *key, int64_t min, int64_t max, int64_t *out,
    const char *what, GError **error);
struct json *json_require(
    const struct json *object, const char *key, enum json_kind kind, const char *what, GError **error);
/* Refuses members that are not in the NULL-terminated list. */
gboolean json_only_keys(const struct json *object, const char *const *keys, const char *what, GError **error);

/* Building. Setters take the value over (a NULL string or value removes the member). What we build can always be read
 * again: a byte that is not UTF-8 becomes U+FFFD, an integer beyond ±(2^53-1) becomes null. */
struct json *json_object_new(void);
struct json *json_array_new(void);
struct json *json_string_new(const char *text);
struct json *json_integer_new(int64_t number);
struct json *json_boolean_new(gboolean value);
struct json *json_null_new(void);
void json_set(struct json *object, const char *key, struct json *value);
void json_set_string(struct json *object, const char *key, const char *text);
void json_set_integer(struct json *object, const char *key, int64_t number);
void json_set_boolean(struct json *object, const char *key, gboolean value);
void json_append(struct json *array, struct json *value);
void json_append_string(struct json *array, const char *text);
