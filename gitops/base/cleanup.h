/*
 * One owner, freed in one place: `autoptr(tag) tag = tag_parse(...)` frees when its block ends; g_steal_pointer() hands it on.
 * As g_autoptr() for our own structs (which has no room for types that are plain `struct NAME`). After a struct's free function:
 *   DEFINE_CLEANUP(tag, tag_free)
 * For descriptors: autofd int fd = open(...).
 */
#pragma once

#include <glib.h>
#include <unistd.h>

#define DEFINE_CLEANUP(name, free_function)                                                                            \
	static inline void name##_cleanup_(struct name **pointer)                                                      \
	{                                                                                                              \
		if (*pointer != NULL)                                                                                  \
			free_function(*pointer);                                                                       \
	}
#define autoptr(name) __attribute__((cleanup(name##_cleanup_))) struct name *

static inline void fd_cleanup_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define autofd __attribute__((cleanup(fd_cleanup_)))
