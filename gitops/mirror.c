/*
 * Fetching: look at what the source advertises, and only where that differs from what stands here, bring the objects, keep what is about
 * to lose its name, then set the names.
 */
#include "gitops/mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <string.h>
#include <sys/file.h>

#include "gitops/base/bytes.h"
#include "gitops/transport.h"

#define SEEN "refs/tagseal/seen/"
#define FIRST "refs/tagseal/first/"
#define LOCK_PAUSE_MS 20
#define REFS_MOST 200000

static void ref_free(gpointer data)
{
	struct mirror_ref *ref = data;

	g_free(ref->name);
	g_free(ref->id);
	g_free(ref);
}

/* "refs/tags/STAR" (one star, at the end) or a full name. */
static gboolean matches(const char *const *sources, const char *name)
{
	for (; *sources != NULL; sources++) {
		size_t length = strlen(*sources);

		if (length > 0 && (*sources)[length - 1] == '*' ? strncmp(name, *sources, length - 1) == 0
								: strcmp(name, *sources) == 0)
			return TRUE;
	}
	return FALSE;
}

/* Those of the remote's refs that are asked for; peeled ones ("^{}") and names that git itself would not take are not. */
static gboolean advertised(
    struct transport *t, git_remote *remote, const char *const *sources, GPtrArray *refs, GError **error)
{
	const git_remote_head **heads = NULL;
	size_t count = 0;

	if (git_remote_ls(&heads, &count, remote) != 0)
		return transport_failed(t, "listed", error);
	for (size_t i = 0; i < count; i++) {
		char hex[GIT_OID_HEXSZ + 1];
		struct mirror_ref *ref;

		if (!is_ref_name(heads[i]->name) || !matches(sources, heads[i]->name))
			continue;
		if (refs->len >= REFS_MOST) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_TOO_LARGE,
			    "%s has more than %d tags and branches", t->url, REFS_MOST);
			return FALSE;
		}
		ref = g_new0(struct mirror_ref, 1);
		ref->name = g_strdup(heads[i]->name);
		ref->id = g_strdup(git_oid_tostr(hex, sizeof(hex), &heads[i]->oid));
		g_ptr_array_add(refs, ref);
	}
	return TRUE;
}

static gboolean open_remote(struct transport *t, git_repository *repository, git_remote **remote, GError **error)
{
	git_remote_callbacks callbacks = GIT_REMOTE_CALLBACKS_INIT;
	git_remote_connect_options options = GIT_REMOTE_CONNECT_OPTIONS_INIT;

	if (!transport_remote(t, repository, remote, error))
		return FALSE;
	transport_callbacks(t, &callbacks);
	options.callbacks = callbacks;
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	if (git_remote_connect_ext(*remote, GIT_DIRECTION_FETCH, &options) != 0)
		return transport_failed(t, "reached", error);
	return TRUE;
}

gboolean mirror_list(const char *url, const struct mirror_limits *limits, GPtrArray **refs, GError **error)
{
	static const char *const all[] = { "*", NULL };
	struct transport t;
	git_remote *remote = NULL;
	g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(ref_free);
	gboolean ok = transport_begin(&t, url, limits, error) && open_remote(&t, NULL, &remote, error) &&
		      advertised(&t, remote, all, found, error);

	git_remote_free(remote);
	transport_end(&t);
	if (ok)
		*refs = g_steal_pointer(&found);
	return ok;
}

/* ---- what stands here ---- */

struct fetch {
	struct transport transport;
	const char *path;
	const char *const *sources;
	git_repository *repository;
	git_remote *remote;
	int lock;
	GPtrArray *refs; /* advertised */
	GHashTable *here; /* name -> id, of the mirror, matching */
};

static gboolean mirror_failed(const struct fetch *f, const char *doing, GError **error)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the mirror %s could not be %s: %s", f->path,
	    doing, last != NULL ? last->message : g_strerror(errno));
	return FALSE;
}

/* Another process may be fetching: it is waited for, but no longer than for the source itself. */
static gboolean lock_mirror(struct fetch *f, GError **error)
{
	while (flock(f->lock, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return mirror_failed(f, "locked", error);
		if (g_get_monotonic_time() / 1000 >= f->transport.stream.deadline) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
			    "%s: another process has been fetching it for too long", f->transport.url);
			return FALSE;
		}
		g_usleep(LOCK_PAUSE_MS * 1000);
	}
	return TRUE;
}

static gboolean open_mirror(struct fetch *f, GError **error)
{
	g_autofree char *lock = g_build_filename(f->path, "tagseal.lock", NULL);

	if (git_repository_open_bare(&f->repository, f->path) != 0 &&
	    git_repository_init(&f->repository, f->path, TRUE) != 0)
		return mirror_failed(f, "opened", error);
	f->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	return f->lock >= 0 ? lock_mirror(f, error) : mirror_failed(f, "locked", error);
}

static int note_ref(git_reference *ref, void *data)
{
	struct fetch *f = data;
	const git_oid *id = git_reference_target(ref);
	char hex[GIT_OID_HEXSZ + 1];

	if (id != NULL && matches(f->sources, git_reference_name(ref)))
		g_hash_table_insert(
		    f->here, g_strdup(git_reference_name(ref)), g_strdup(git_oid_tostr(hex, sizeof(hex), id)));
	git_reference_free(ref);
	return 0;
}

static gboolean is_current(const struct fetch *f)
{
	if (g_hash_table_size(f->here) != f->refs->len)
		return FALSE;
	for (guint i = 0; i < f->refs->len; i++) {
		const struct mirror_ref *ref = f->refs->pdata[i];

		if (g_strcmp0(g_hash_table_lookup(f->here, ref->name), ref->id) != 0)
			return FALSE;
	}
	return TRUE;
}

/* ---- bringing ---- */

static gboolean download(struct fetch *f, GError **error)
{
	git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
	g_autoptr(GPtrArray) specs = g_ptr_array_new_with_free_func(g_free);
	git_strarray list;
	int done;

	for (const char *const *source = f->sources; *source != NULL; source++)
		g_ptr_array_add(specs, g_strdup_printf("+%s:%s", *source, *source));
	list = (git_strarray){ (char **)specs->pdata, specs->len };
	transport_callbacks(&f->transport, &options.callbacks);
	options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	options.update_fetchhead = 0;
	done = git_remote_download(f->remote, &list, &options);
	return done == 0 || transport_failed(&f->transport, "fetched", error);
}

/* Another advertisement may have come with the download than the one we looked at; and a source may promise what it does not send. */
static gboolean all_arrived(struct fetch *f, GError **error)
{
	git_odb *odb = NULL;
	gboolean ok = git_repository_odb(&odb, f->repository) == 0 || mirror_failed(f, "read", error);

	for (guint i = 0; ok && i < f->refs->len; i++) {
		const struct mirror_ref *ref = f->refs->pdata[i];
		git_oid id;

		ok = git_oid_fromstr(&id, ref->id) == 0 && git_odb_exists(odb, &id);
		if (!ok)
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
			    "%s advertises %s but did not send it", f->transport.url, ref->name);
	}
	git_odb_free(odb);
	return ok;
}

/* ---- names ---- */

static gboolean set_ref(struct fetch *f, const char *name, const char *id, GError **error)
{
	git_reference *ref = NULL;
	git_oid oid;

	if (git_oid_fromstr(&oid, id) != 0 || git_reference_create(&ref, f->repository, name, &oid, TRUE, "fetch") != 0)
		return mirror_failed(f, "updated", error);
	git_reference_free(ref);
	return TRUE;
}

char *mirror_seen(const char *ref)
{
	g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, ref, -1);

	return g_strconcat(SEEN, hash, "/", NULL);
}

static char *first_name(const char *ref)
{
	g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, ref, -1);

	return g_strconcat(FIRST, hash, NULL);
}

/* Written once, when a tag leaves its first object. */
static gboolean keep_first(struct fetch *f, const char *ref, const char *id, GError **error)
{
	g_autofree char *name = first_name(ref);
	git_oid known;

	if (!g_str_has_prefix(ref, "refs/tags/") || git_reference_name_to_id(&known, f->repository, name) == 0)
		return TRUE;
	return set_ref(f, name, id, error);
}

/* The ref is about to leave `id`: unless the new one contains it (a branch that went on), it gets a name of its own. */
static gboolean keep(struct fetch *f, const char *ref, const char *id, const char *now, GError **error)
{
	g_autofree char *folder = mirror_seen(ref), *name = g_strconcat(folder, id, NULL);
	git_oid old, new;

	if (!keep_first(f, ref, id, error))
		return FALSE;
	if (now != NULL && git_oid_fromstr(&old, id) == 0 && git_oid_fromstr(&new, now) == 0 &&
	    git_graph_descendant_of(f->repository, &new, &old) == 1)
		return TRUE;
	return set_ref(f, name, id, error);
}

gboolean mirror_first(const char *path, const char *ref, char **id, GError **error)
{
	struct fetch f = { .path = path };
	g_autofree char *name = first_name(ref);
	char hex[GIT_OID_HEXSZ + 1];
	git_oid oid;
	int found = -1;

	*id = NULL;
	if (mirror_init(error) && git_repository_open_ext(&f.repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) == 0 &&
	    (found = git_reference_name_to_id(&oid, f.repository, name)) == 0)
		*id = g_strdup(git_oid_tostr(hex, sizeof(hex), &oid));
	git_repository_free(f.repository);
	return found == 0 || found == GIT_ENOTFOUND || mirror_failed(&f, "read", error);
}

/* What goes, goes first: "a" must make room for "a/b". */
static gboolean prune(struct fetch *f, GHashTable *new, GError **error)
{
	GHashTableIter iter;
	gpointer name, id;

	g_hash_table_iter_init(&iter, f->here);
	while (g_hash_table_iter_next(&iter, &name, &id)) {
		if (g_hash_table_contains(new, name))
			continue;
		if (!keep(f, name, id, NULL, error))
			return FALSE;
		if (git_reference_remove(f->repository, name) != 0)
			return mirror_failed(f, "updated", error);
	}
	return TRUE;
}

static gboolean set_names(struct fetch *f, GError **error)
{
	g_autoptr(GHashTable) new = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < f->refs->len; i++) {
		struct mirror_ref *ref = f->refs->pdata[i];

		g_hash_table_insert(new, ref->name, ref->id);
	}
	if (!prune(f, new, error))
		return FALSE;
	for (guint i = 0; i < f->refs->len; i++) {
		const struct mirror_ref *ref = f->refs->pdata[i];
		const char *old = g_hash_table_lookup(f->here, ref->name);

		if (g_strcmp0(old, ref->id) == 0)
			continue;
		if ((old != NULL && !keep(f, ref->name, old, ref->id, error)) || !set_ref(f, ref->name, ref->id, error))
			return FALSE;
	}
	return TRUE;
}

/* Thousands of names are made durable at once at the end rather than each by itself. */
static gboolean update_names(struct fetch *f, GError **error)
{
	gboolean ok;

	git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 0);
	ok = set_names(f, error);
	git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
	return ok && (syncfs(f->lock) == 0 || mirror_failed(f, "made durable", error));
}

static gboolean fetch(struct fetch *f, const char *url, const struct mirror_limits *limits, GError **error)
{
	if (!transport_begin(&f->transport, url, limits, error) || !open_mirror(f, error) ||
	    !open_remote(&f->transport, f->repository, &f->remote, error) ||
	    !advertised(&f->transport, f->remote, f->sources, f->refs, error))
		return FALSE;
	if (git_reference_foreach(f->repository, note_ref, f) != 0)
		return mirror_failed(f, "read", error);
	return is_current(f) || (download(f, error) && all_arrived(f, error) && update_names(f, error));
}

gboolean mirror_fetch(const char *path, const char *url, const char *const *sources, const struct mirror_limits *limits,
    GPtrArray **refs, GError **error)
{
	struct fetch f = { .path = path, .sources = sources, .lock = -1 };
	gboolean ok;

	f.refs = g_ptr_array_new_with_free_func(ref_free);
	f.here = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	ok = fetch(&f, url, limits, error);
	git_remote_free(f.remote);
	git_repository_free(f.repository);
	transport_end(&f.transport);
	if (f.lock >= 0)
		close(f.lock);
	g_hash_table_unref(f.here);
	if (ok && refs != NULL)
		*refs = g_ptr_array_ref(f.refs);
	g_ptr_array_unref(f.refs);
	return ok;
}
