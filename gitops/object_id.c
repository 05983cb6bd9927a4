/* Apart from the rest, so that a program that only reads signatures needs no libgit2. */
#include <git2.h>

#include "gitops/object.h"

char *object_id(GBytes *raw, const char *type, GError **error)
{
	static gsize started;
	char hex[GIT_OID_HEXSZ + 1];
	git_oid oid;
	size_t size;
	const void *data = g_bytes_get_data(raw, &size);

	if (g_once_init_enter(&started)) {
		git_libgit2_init();
		g_once_init_leave(&started, 1);
	}
	if (git_odb_hash(&oid, data != NULL ? data : "", size, git_object_string2type(type)) != 0) {
		const git_error *e = git_error_last();
		error_refused(error, "the %s has no object id: %s", type, e != NULL ? e->message : "unknown reason");
		return NULL;
	}
	git_oid_tostr(hex, sizeof(hex), &oid);
	return g_strdup(hex);
}
