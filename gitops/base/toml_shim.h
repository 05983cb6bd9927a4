/*
 * Between toml.c and toml_shim.cpp alone: toml++ reads, C builds the nodes. Plain structs only, no exception and no
 * C++ type crosses.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* toml.h cannot be included: its `struct toml` is toml++'s namespace. The same kinds in the same order. */
enum toml_shim_kind { SHIM_STRING, SHIM_INTEGER, SHIM_FLOAT, SHIM_BOOLEAN, SHIM_TIME, SHIM_ARRAY, SHIM_TABLE };

/* One node as toml++ found it; pointers live until `add` returns. */
struct toml_shim_node {
	enum toml_shim_kind kind;
	const char *key; /* NULL in an array */
	size_t key_size;
	unsigned line, column; /* of the key, or of the value in an array */
	const char *text; /* strings; times with an offset, as RFC 3339 text */
	size_t text_size;
	int64_t integer;
	int boolean;
};

struct toml_shim_error {
	unsigned line, column;
	char reason[256];
};

/* Adds a node below `parent` and returns it as the parent of its own children. Must not throw. */
typedef void *(*toml_shim_add)(void *parent, const struct toml_shim_node *node);

/* 1, or 0 with `error` filled. Tells every node below the root table, parents first; members in no particular order. */
int toml_shim_read(const char *text, size_t size, toml_shim_add add, void *root, struct toml_shim_error *error);

#ifdef __cplusplus
}
#endif
