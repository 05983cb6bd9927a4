/*
 * libgit2's connections, by our own hand: it has no time limits, no TLS 1.3 and no say in which address is connected to. Registered for
 * the whole process; what one fetch may do stands in a context of its thread. OpenSSL; RFC 6125 for names, iPAddress for addresses.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/base/error.h"

struct stream_context {
	int64_t deadline; /* g_get_monotonic_time()/1000 at which everything fails */
	uint64_t bytes_left; /* that may still be received */
	const char *ca_file; /* PEM, or NULL: the system's */
	gboolean allow_private, allow_http;
	GError *error; /* the first refusal, for the caller: libgit2 keeps only text */
};

/* TRUE: libgit2 connects through us. FALSE: by itself, as its ssh transport needs. */
gboolean stream_register(gboolean ours, GError **error);
/* For this thread, until NULL. A connection without a context is refused. */
void stream_use(struct stream_context *context);
/* Is every address of that host one that the context allows? For ssh, where the connection itself is libgit2's. */
gboolean stream_host_allowed(struct stream_context *context, const char *host, const char *port, GError **error);
