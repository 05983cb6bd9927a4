/*
 * Inside json_*.c only: what a JSON value is made of.
 */
#pragma once

#include "gitops/base/json.h"

struct json_member {
	char *key;
	struct json *value;
	size_t offset; /* of the key's end in the text read; used while reading */
};

struct json {
	int refs;
	enum json_kind kind;
	union {
		gboolean boolean;
		int64_t integer;
		char *text; /* JSON_STRING; JSON_NUMBER as it was written */
		GPtrArray *items; /* JSON_ARRAY: of struct json */
		GArray *members; /* JSON_OBJECT: of struct json_member, in canonical order */
	};
};

#define JSON_INTEGER_MAX ((INT64_C(1) << 53) - 1)
#define JSON_DEPTH_MAX 64

struct json *json_value_new(enum json_kind kind);
/* RFC 8785 section 3.2.3: by UTF-16 code units. */
int json_key_compare(const char *a, const char *b);
/* Adds at the end: the reader sorts once, when the object is whole. */
void json_member_append(struct json *object, char *key, struct json *value, size_t offset);
