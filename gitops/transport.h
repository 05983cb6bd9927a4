/*
 * One conversation with a remote through libgit2, within limits: what mirror.c (fetch) and ledger_push.c share. The URL is judged first,
 * then the thread's stream context, the credentials and the host key check are set.
 */
#pragma once

#include <git2.h>

#include "gitops/mirror.h"
#include "gitops/tls_stream.h"

struct transport {
	const struct mirror_limits *limits;
	struct stream_context stream;
	char *url, *user, *host, *port; /* host NULL: a file; user only of ssh */
	gboolean is_ssh;
	guint asked; /* for credentials */
};
/* REFUSED for a URL that may not be used. transport_end() is due in any case. */
gboolean transport_begin(struct transport *t, const char *url, const struct mirror_limits *limits, GError **error);
void transport_end(struct transport *t);
/* The remote, of no name; repository may be NULL (just to look). */
gboolean transport_remote(struct transport *t, git_repository *repository, git_remote **remote, GError **error);
void transport_callbacks(struct transport *t, git_remote_callbacks *callbacks);
/* Why libgit2's last call failed: our own refusal if there was one, else UNAVAILABLE with its words. Always FALSE. */
gboolean transport_failed(struct transport *t, const char *doing, GError **error);
