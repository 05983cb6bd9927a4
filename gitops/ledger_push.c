/* Handing the log on: what stands here goes to a remote, and only ever forward. */
#include <git2.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/ledger.h"
#include "gitops/transport.h"

#define REFSPEC "refs/heads/main:refs/heads/main"

/* The remote's own words, for a ref that it did not take. */
static int note_answer(const char *ref, const char *status, void *data)
{
	struct transport *t = data;
	g_autofree char *shown = NULL;

	if (status == NULL)
		return 0;
	shown = text_escape(status, -1, 200);
	if (t->stream.error == NULL)
		t->stream.error =
		    g_error_new(TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED, "the remote did not take %s: %s", ref, shown);
	return GIT_EUSER;
}

static gboolean push(struct transport *t, git_repository *repository, GError **error)
{
	git_push_options options = GIT_PUSH_OPTIONS_INIT;
	git_remote *remote = NULL;
	char *spec = (char *)REFSPEC;
	git_strarray specs = { &spec, 1 };
	int done;

	if (!transport_remote(t, repository, &remote, error))
		return FALSE;
	transport_callbacks(t, &options.callbacks);
	options.callbacks.push_update_reference = note_answer;
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	done = git_remote_push(remote, &specs, &options);
	git_remote_free(remote);
	if (done == GIT_ENONFASTFORWARD) {
		error_refused(
		    error, "%s holds commits on main that this log does not: it was pushed to by somebody else, or this log was set back",
		    t->url);
		return FALSE;
	}
	return done == 0 || transport_failed(t, "pushed to", error);
}

gboolean ledger_push(struct ledger *ledger, const char *url, const void *mirror_limits, GError **error)
{
	git_repository *repository = NULL;
	struct transport t;
	gboolean ok = transport_begin(&t, url, mirror_limits, error);

	/* A handle of its own: packs may have been joined since the ledger opened its. */
	if (ok && git_repository_open_bare(&repository, ledger_path(ledger)) != 0)
		ok = transport_failed(&t, "pushed to", error);
	ok = ok && push(&t, repository, error);
	git_repository_free(repository);
	transport_end(&t);
	return ok;
}
