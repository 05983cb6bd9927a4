/*
 * `tagseal audit`: history first (one line, every commit of the ledger's key, nothing ever changed or removed), then each document in
 * its order. Nothing that stands in the log is believed about itself.
 */
#include "gitops/audit.h"

#include <string.h>

#include "gitops/audit_private.h"
#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/ledger_index.h"
#include "gitops/ledger_key.h"
#include "gitops/ledger_tree.h"
#include "gitops/mirror.h"

#define KEY_FILE_MAX (64 * 1024)
#define BLOB_MAX ((size_t)64 << 20)

/* ---- findings ---- */

static void tell(struct audit *a, const char *word, const char *format, va_list args) G_GNUC_PRINTF(3, 0);
static void tell(struct audit *a, const char *word, const char *format, va_list args)
{
	g_autofree char *text = g_strdup_vprintf(format, args);
	g_autofree char *line =
	    g_strdup_printf("%s: %s%s%s", word, a->about != NULL ? a->about : "", a->about != NULL ? ": " : "", text);

	if (a->options->finding != NULL)
		a->options->finding(line, a->options->data);
}

void audit_bad(struct audit *a, const char *format, ...)
{
	va_list args;

	a->result->bad++;
	va_start(args, format);
	tell(a, "bad", format, args);
	va_end(args);
}

void audit_unknown(struct audit *a, const char *format, ...)
{
	va_list args;

	a->result->unknown++;
	va_start(args, format);
	tell(a, "unknown", format, args);
	va_end(args);
}

void audit_error(struct audit *a, const char *doing, const GError *error)
{
	if (g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED))
		audit_bad(a, "%s: %s", doing, error->message);
	else
		audit_unknown(a, "%s: %s", doing, error->message);
}

GBytes *audit_blob(struct audit *a, const git_oid *id, git_object_t type, GError **error)
{
	git_odb_object *object = NULL;
	git_object_t found = GIT_OBJECT_INVALID;
	size_t size = 0;
	GBytes *bytes = NULL;
	char hex[GIT_OID_HEXSZ + 1];

	if (git_odb_read_header(&size, &found, a->odb, id) == 0 && found == type && size <= BLOB_MAX &&
	    git_odb_read(&object, a->odb, id) == 0)
		bytes = g_bytes_new(git_odb_object_data(object), git_odb_object_size(object));
	git_odb_object_free(object);
	if (bytes == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, "the %s %s cannot be read from this clone",
		    git_object_type2string(type), git_oid_tostr(hex, sizeof(hex), id));
	return bytes;
}

/* ---- one commit ---- */

struct step { /* a commit of the log, and what the next one is held against */
	git_oid id, tree;
	gboolean first;
};

/* "records/00/12/34-ID.json" of what number and id? The path must be the very one that the ledger writes. */
static gboolean parse_record_path(const char *path, gint64 *sequence, char **id)
{
	const char *dash = strchr(path, '-'), *dot = dash != NULL ? strstr(dash, ".json") : NULL;
	g_autofree char *place = NULL, *again = NULL;
	gint64 number = 0;

	if (dot == NULL || strlen(path) > 100)
		return FALSE;
	for (const char *at = path; at < dash; at++) {
		if (g_ascii_isdigit(*at))
			number = number * 10 + (*at - '0');
	}
	*id = g_strndup(dash + 1, (gsize)(dot - dash - 1));
	place = sequence_path(number);
	again = g_strdup_printf("records/%s-%s.json", place, *id);
	*sequence = number;
	return is_ulid(*id) && g_str_equal(again, path);
}

struct document {
	gint64 sequence;
	char *id;
	git_oid blob;
	GHashTable *files; /* evidence name -> GBytes; NULL after one could not be read */
};

static void document_free(gpointer data)
{
	struct document *document = data;

	g_free(document->id);
	g_clear_pointer(&document->files, g_hash_table_unref);
	g_free(document);
}

static gint compare_documents(gconstpointer a, gconstpointer b)
{
	gint64 one = (*(struct document *const *)a)->sequence, other = (*(struct document *const *)b)->sequence;

	return one < other ? -1 : one > other;
}

static void take_record(struct audit *a, GPtrArray *documents, const struct audit_file *file)
{
	struct document *document = g_new0(struct document, 1);

	document->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	document->blob = file->id;
	if (parse_record_path(file->path, &document->sequence, &document->id)) {
		g_ptr_array_add(documents, document);
		return;
	}
	audit_bad(a, "%s is no place for a record", file->path);
	document_free(document);
}

/* Evidence stands beside a record of the same commit, or it is nobody's. */
static void take_evidence(struct audit *a, GPtrArray *documents, const struct audit_file *file)
{
	const char *name = strrchr(file->path, '/') + 1;
	g_autoptr(GBytes) bytes = NULL;
	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < documents->len; i++) {
		struct document *document = documents->pdata[i];
		g_autofree char *place = sequence_path(document->sequence);
		g_autofree char *folder = g_strdup_printf("evidence/%s/", place);

		if (strncmp(file->path, folder, (gsize)(name - file->path)) != 0 ||
		    strlen(folder) != (gsize)(name - file->path))
			continue;
		if ((bytes = audit_blob(a, &file->id, GIT_OBJECT_BLOB, &error)) == NULL) {
			audit_error(a, file->path, error);
			g_clear_pointer(&document->files, g_hash_table_unref);
		} else if (document->files != NULL) {
			g_hash_table_insert(document->files, g_strdup(name), g_steal_pointer(&bytes));
		}
		return;
	}
	audit_bad(a, "%s belongs to no record of this commit", file->path);
}

static GPtrArray *sort_out(struct audit *a, const GPtrArray *added, gboolean first)
{
	GPtrArray *documents = g_ptr_array_new_with_free_func(document_free);

	for (guint i = 0; i < added->len; i++) {
		const struct audit_file *file = added->pdata[i];

		if (g_str_has_prefix(file->path, "records/"))
			take_record(a, documents, file);
		else if (!g_str_has_prefix(file->path, "evidence/") &&
			 !(first &&
			     (g_str_equal(file->path, "README.md") || g_str_equal(file->path, "allowed_signers"))))
			audit_bad(a, "it adds %s, which is no part of a log", file->path);
	}
	g_ptr_array_sort(documents, compare_documents);
	for (guint i = 0; i < added->len; i++) {
		if (g_str_has_prefix(((struct audit_file *)added->pdata[i])->path, "evidence/"))
			take_evidence(a, documents, added->pdata[i]);
	}
	return documents;
}

static void check_documents(struct audit *a, const GPtrArray *documents, const char *message)
{
	for (guint i = 0; i < documents->len; i++) {
		struct document *document = documents->pdata[i];
		g_autofree char *about = g_strdup_printf("record %" G_GINT64_FORMAT, document->sequence);
		g_autoptr(GError) error = NULL;
		g_autoptr(GBytes) bytes = NULL;

		a->about = about;
		if (document->sequence != a->last + 1)
			audit_bad(
			    a, "the number before it is %" G_GINT64_FORMAT ": there is a gap or a repetition", a->last);
		a->last = document->sequence;
		if ((bytes = audit_blob(a, &document->blob, GIT_OBJECT_BLOB, &error)) == NULL)
			audit_error(a, "its bytes", error);
		else
			audit_document(a, document->sequence, document->id, bytes, document->files, message);
		a->about = NULL;
	}
}

static gboolean is_child_of(const struct commit *commit, const struct step *before)
{
	char hex[GIT_OID_HEXSZ + 1];
	guint parents = g_strv_length(commit->parents);

	if (before->first)
		return parents == 0;
	return parents == 1 && g_str_equal(commit->parents[0], git_oid_tostr(hex, sizeof(hex), &before->id));
}

/* Checks one commit and makes it the one that the next is held against. */
static void check_commit(struct audit *a, const git_oid *id, struct step *before)
{
	char hex[GIT_OID_HEXSZ + 1];
	g_autofree char *about = g_strdup_printf("commit %s", git_oid_tostr(hex, sizeof(hex), id));
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) raw = audit_blob(a, id, GIT_OBJECT_COMMIT, &error);
	autoptr(commit) commit = raw != NULL ? commit_parse(raw, &error) : NULL;
	autoptr(commit) verified = commit != NULL ? ledger_verify(a->keys, raw, &error) : NULL;
	g_autoptr(GPtrArray) added = NULL, documents = NULL;
	git_oid tree;

	a->about = about;
	a->result->commits++;
	if (verified == NULL)
		audit_error(a, "its signature", error);
	if (commit != NULL && git_oid_fromstr(&tree, commit->tree) == 0) {
		if (!is_child_of(commit, before))
			audit_bad(a, "history is not one line here");
		added = audit_added(a, before->first ? NULL : &before->tree, &tree);
		documents = sort_out(a, added, before->first);
		check_documents(a, documents, commit->message);
		before->tree = tree;
	}
	before->id = *id;
	before->first = FALSE;
	a->about = NULL;
}

/* ---- the whole ---- */

static gboolean unreadable(const char *dir, GError **error)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, "%s cannot be read as an audit repository: %s", dir,
	    last != NULL ? last->message : "unknown reason");
	return FALSE;
}

static gboolean find_tip(git_repository *repository, const char *dir, git_oid *tip, GError **error)
{
	static const char *const names[] = { "refs/heads/main", "refs/remotes/origin/main" };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		if (git_reference_name_to_id(tip, repository, names[i]) == 0)
			return TRUE;
	}
	return unreadable(dir, error);
}

/* Oldest first, by first parents, down to the root or to `since` (not included). What is no line shows at each commit. */
static GArray *list_commits(struct audit *a, const git_oid *tip, const git_oid *since, GError **error)
{
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(git_oid));
	git_oid at = *tip;

	while (since == NULL || !git_oid_equal(&at, since)) {
		g_autoptr(GBytes) raw = audit_blob(a, &at, GIT_OBJECT_COMMIT, error);
		autoptr(commit) commit = raw != NULL ? commit_parse(raw, error) : NULL;

		if (commit == NULL)
			return NULL;
		g_array_append_val(ids, at);
		if (commit->parents[0] == NULL || git_oid_fromstr(&at, commit->parents[0]) != 0) {
			if (since == NULL)
				break;
			error_refused(error, "the commit named by --since is not in this history: it was rewritten");
			return NULL;
		}
	}
	for (guint i = 0; i < ids->len / 2; i++) {
		git_oid other = g_array_index(ids, git_oid, i);

		g_array_index(ids, git_oid, i) = g_array_index(ids, git_oid, ids->len - 1 - i);
		g_array_index(ids, git_oid, ids->len - 1 - i) = other;
	}
	return g_steal_pointer(&ids);
}

/* All documents of a tree of the log, in their order. */
static GPtrArray *documents_of(struct audit *a, const git_oid *root)
{
	GPtrArray *documents = g_ptr_array_new_with_free_func(document_free);
	g_autoptr(GPtrArray) files = NULL;
	git_tree *tree = NULL;
	const git_tree_entry *records = NULL;

	if (git_tree_lookup(&tree, a->repository, root) == 0)
		records = git_tree_entry_byname(tree, "records");
	if (records != NULL)
		files = audit_added(a, NULL, git_tree_entry_id(records));
	git_tree_free(tree);
	for (guint i = 0; files != NULL && i < files->len; i++) {
		struct audit_file *file = files->pdata[i];
		char *path = g_strconcat("records/", file->path, NULL);

		g_free(file->path);
		file->path = path;
		take_record(a, documents, file);
	}
	g_ptr_array_sort(documents, compare_documents);
	return documents;
}

/* Later documents are held against earlier ones: what those say is read again, though they are not checked again. */
static void remember(struct audit *a, const git_oid *root)
{
	g_autoptr(GPtrArray) documents = documents_of(a, root);

	for (guint i = 0; i < documents->len; i++) {
		const struct document *document = documents->pdata[i];
		g_autoptr(GError) error = NULL;
		g_autoptr(GBytes) bytes = audit_blob(a, &document->blob, GIT_OBJECT_BLOB, &error);

		if (bytes != NULL)
			audit_remember(a, document->id, bytes);
		else
			audit_error(a, "a record before --since", error);
	}
}

/* What was checked up to `since` is taken from its tree: the last number and each project's newest record. */
static gboolean start_at(struct audit *a, const git_oid *since, struct step *step, GError **error)
{
	g_autoptr(GBytes) raw = audit_blob(a, since, GIT_OBJECT_COMMIT, error);
	autoptr(commit) commit = raw != NULL ? commit_parse(raw, error) : NULL;
	struct ledger_index index = { NULL };
	GHashTableIter iter;
	gpointer project, newest;

	if (commit == NULL || git_oid_fromstr(&step->tree, commit->tree) != 0 ||
	    !ledger_index_load(&index, a->repository, &step->tree, "", error)) {
		ledger_index_clear(&index);
		return FALSE;
	}
	step->id = *since;
	step->first = FALSE;
	a->last = index.last;
	g_hash_table_iter_init(&iter, index.projects);
	while (g_hash_table_iter_next(&iter, &project, &newest))
		g_hash_table_insert(a->newest, g_strdup(project), g_strdup(((struct ledger_newest *)newest)->sha256));
	ledger_index_clear(&index);
	remember(a, &step->tree);
	return TRUE;
}

/* The repository's own word on its key is better than nothing, and is not called good. */
static gboolean load_keys(struct audit *a, const git_oid *tip, GError **error)
{
	g_autofree char *text = NULL;
	g_autoptr(GBytes) bytes = NULL;
	git_object *signers = NULL;
	char spec[GIT_OID_HEXSZ + 32];

	if (a->options->ledger_key != NULL) {
		if ((bytes = file_read(a->options->ledger_key, KEY_FILE_MAX, error)) == NULL)
			return FALSE;
	} else {
		git_oid_tostr(spec, sizeof(spec), tip);
		g_strlcat(spec, ":allowed_signers", sizeof(spec));
		if (git_revparse_single(&signers, a->repository, spec) == 0)
			bytes = audit_blob(a, git_object_id(signers), GIT_OBJECT_BLOB, NULL);
		git_object_free(signers);
		audit_unknown(a, "commits are held against the log's own allowed_signers: whose key that is, only "
				 "--ledger-key can tell");
	}
	if (bytes == NULL) {
		audit_bad(a, "there is no allowed_signers");
		bytes = g_bytes_new_static("", 0);
	}
	text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	a->keys = ledger_keys(text, error);
	return a->keys != NULL;
}

static gboolean check_history(struct audit *a, const char *dir, GError **error)
{
	struct step step = { .first = TRUE };
	git_oid tip, since;
	const git_oid *from = NULL;
	g_autoptr(GArray) ids = NULL;

	if (!find_tip(a->repository, dir, &tip, error) || !load_keys(a, &tip, error))
		return FALSE;
	if (a->options->since != NULL) {
		if (!is_object_id(a->options->since) || git_oid_fromstr(&since, a->options->since) != 0) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
			    "--since wants a commit's full id, 40 hex digits");
			return FALSE;
		}
		from = &since;
	}
	if ((ids = list_commits(a, &tip, from, error)) == NULL || (from != NULL && !start_at(a, from, &step, error)))
		return FALSE;
	for (guint i = 0; i < ids->len; i++) {
		check_commit(a, &g_array_index(ids, git_oid, i), &step);
		if (a->options->progress != NULL)
			a->options->progress(i + 1, ids->len, a->options->data);
	}
	audit_finish(a);
	return TRUE;
}

static GHashTable *table(GDestroyNotify free_value)
{
	return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_value);
}

static void audit_init(struct audit *a)
{
	a->newest = table(g_free);
	a->ids = table(NULL);
	a->digests = table(NULL);
	a->names = table(g_free);
	a->signed_once = table(g_free);
	a->releases = audit_releases_new();
	a->uses = table((GDestroyNotify)g_array_unref);
	a->policies = table(audit_policy_free);
}

static void audit_clear(struct audit *a)
{
	g_hash_table_unref(a->newest);
	g_hash_table_unref(a->ids);
	g_hash_table_unref(a->digests);
	g_hash_table_unref(a->names);
	g_hash_table_unref(a->signed_once);
	g_hash_table_unref(a->releases);
	g_hash_table_unref(a->uses);
	g_hash_table_unref(a->policies);
	if (a->keys != NULL)
		people_free(a->keys);
	g_free(a->policy_tip);
	g_clear_pointer(&a->policy_history, g_bytes_unref);
	git_odb_free(a->odb);
	git_repository_free(a->repository);
}

gboolean audit_run(const char *dir, const struct audit_options *options, struct audit_result *result, GError **error)
{
	struct audit a = { .options = options, .result = result };
	gboolean ok;

	memset(result, 0, sizeof(*result));
	audit_init(&a);
	ok = mirror_init(error);
	if (ok && (git_repository_open_ext(&a.repository, dir, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0 ||
		      git_repository_odb(&a.odb, a.repository) != 0))
		ok = unreadable(dir, error);
	ok = ok && check_history(&a, dir, error);
	audit_clear(&a);
	return ok;
}
