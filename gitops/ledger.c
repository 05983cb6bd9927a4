/*
 * Appending: documents and evidence become blobs, the folders on their path are written anew, one signed commit names the new root, and
 * all of it is one pack; then the ref moves by compare-and-swap. What a crash leaves before that move is a pack that nothing names.
 */
#include "gitops/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <string.h>
#include <sys/file.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "gitops/ledger_commit.h"
#include "gitops/ledger_index.h"
#include "gitops/ledger_key.h"
#include "gitops/ledger_setup.h"
#include "gitops/ledger_tree.h"
#include "gitops/mirror.h"
#include "gitops/record.h"

#define BRANCH "refs/heads/main"
#define BATCH_MOST 100 /* documents of one commit: its message must stay one that our own parser takes */
#define PACKS_MOST 48
#define CACHE_EVERY 1000

struct ledger {
	char *path, *packs, *cache, *principal;
	ledger_sign sign;
	void *data;
	struct people *keys;
	int lock;
	git_repository *repository;
	git_oid tip;
	gboolean has_tip, moved;
	char tip_hex[GIT_OID_HEXSZ + 1];
	gint64 tip_seconds, cached;
	struct tree *tree; /* of the tip; NULL: to be loaded */
	struct ledger_index index;
};

static gboolean git_failed(const struct ledger *ledger, const char *what, GError **error)
{
	const git_error *last = git_error_last();

	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the audit repository %s: %s: %s", ledger->path,
	    what, last != NULL ? last->message : "unknown reason");
	return FALSE;
}

/* ---- opening ---- */

static gboolean take_lock(struct ledger *ledger, GError **error)
{
	g_autofree char *path = g_build_filename(ledger->path, "tagseal.lock", NULL);

	g_mkdir_with_parents(ledger->path, 0750);
	ledger->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (ledger->lock >= 0 && flock(ledger->lock, LOCK_EX | LOCK_NB) == 0)
		return TRUE;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the audit repository %s %s: %s", ledger->path,
	    errno == EWOULDBLOCK ? "is written by another process" : "could not be locked", g_strerror(errno));
	return FALSE;
}

/* We hold the lock, so whoever left these is dead. */
static void sweep(const struct ledger *ledger)
{
	g_autofree char *ref_lock = g_build_filename(ledger->path, BRANCH ".lock", NULL);
	g_autofree char *config_lock = g_build_filename(ledger->path, "config.lock", NULL);
	g_autofree char *head_lock = g_build_filename(ledger->path, "HEAD.lock", NULL);

	unlink(ref_lock);
	unlink(config_lock);
	unlink(head_lock);
	pack_sweep(ledger->packs);
}

static void set_tip(struct ledger *ledger, const git_oid *tip, gint64 seconds)
{
	ledger->tip = *tip;
	ledger->has_tip = TRUE;
	ledger->tip_seconds = seconds;
	git_oid_tostr(ledger->tip_hex, sizeof(ledger->tip_hex), tip);
}

static GBytes *read_object(git_repository *repository, const git_oid *id)
{
	git_odb *odb = NULL;
	git_odb_object *object = NULL;
	GBytes *bytes = NULL;

	if (git_repository_odb(&odb, repository) == 0 && git_odb_read(&object, odb, id) == 0)
		bytes = g_bytes_new(git_odb_object_data(object), git_odb_object_size(object));
	git_odb_object_free(object);
	git_odb_free(odb);
	return bytes;
}

/* The tip must be of our key: we do not build on what somebody else wrote. */
static gboolean load_tip(struct ledger *ledger, const git_oid *tip, GError **error)
{
	g_autoptr(GBytes) raw = read_object(ledger->repository, tip);
	autoptr(commit) commit = NULL;
	git_oid tree;

	if (raw == NULL)
		return git_failed(ledger, "its newest commit could not be read", error);
	if ((commit = ledger_verify(ledger->keys, raw, error)) == NULL) {
		g_prefix_error(error, "the newest commit of %s is not of this ledger's key: ", ledger->path);
		return FALSE;
	}
	if (git_oid_fromstr(&tree, commit->tree) != 0 ||
	    !ledger_index_load(&ledger->index, ledger->repository, &tree, ledger->cache, error))
		return FALSE;
	set_tip(ledger, tip, commit->committer.time);
	ledger->cached = ledger->index.last;
	return TRUE;
}

static gboolean write_commit(struct ledger *ledger, struct pack *pack, const char *message, GError **error);

/* The very first commit. */
static gboolean begin(struct ledger *ledger, const char *public_key, GError **error)
{
	g_autofree char *readme = ledger_readme(ledger->principal);
	g_autofree char *signers = ledger_allowed_signers(ledger->principal, public_key);
	autoptr(pack) pack = pack_new();
	git_oid one, other;

	if (!ledger_index_load(&ledger->index, ledger->repository, NULL, ledger->cache, error))
		return FALSE;
	ledger->tree = tree_open(ledger->repository, NULL, error);
	return pack_add(pack, GIT_OBJECT_BLOB, readme, strlen(readme), &one, error) &&
	       pack_add(pack, GIT_OBJECT_BLOB, signers, strlen(signers), &other, error) &&
	       tree_put(ledger->tree, "README.md", &one, error) &&
	       tree_put(ledger->tree, "allowed_signers", &other, error) &&
	       write_commit(ledger, pack, "Begin the audit log\n", error);
}

static gboolean ready(struct ledger *ledger, const char *public_key, GError **error)
{
	git_oid tip;
	int found;

	sweep(ledger);
	if ((ledger->repository = ledger_repository(ledger->path, error)) == NULL)
		return FALSE;
	found = git_reference_name_to_id(&tip, ledger->repository, BRANCH);
	if (found == 0)
		return load_tip(ledger, &tip, error);
	if (found != GIT_ENOTFOUND)
		return git_failed(ledger, "its branch main could not be read", error);
	return begin(ledger, public_key, error);
}

struct ledger *ledger_open(
    const char *path, const char *principal, const char *public_key, ledger_sign sign, void *data, GError **error)
{
	autoptr(ledger) ledger = g_new0(struct ledger, 1);

	ledger->lock = -1;
	ledger->path = g_strdup(path);
	ledger->packs = g_build_filename(path, "objects/pack", NULL);
	ledger->cache = g_build_filename(path, "tagseal-index.json", NULL);
	ledger->principal = g_strdup(principal);
	ledger->sign = sign;
	ledger->data = data;
	if (!mirror_init(error) || (ledger->keys = ledger_keys(public_key, error)) == NULL ||
	    !ledger_folder_fits(path, error) || !take_lock(ledger, error) || !ready(ledger, public_key, error))
		return NULL;
	return g_steal_pointer(&ledger);
}

void ledger_free(struct ledger *ledger)
{
	if (ledger == NULL)
		return;
	/* Only a shortcut for the next start, which checks it: no harm if it cannot be kept. */
	if (ledger->has_tip && ledger->index.last > ledger->cached)
		ledger_index_save(&ledger->index, ledger->cache, NULL);
	tree_free(ledger->tree);
	ledger_index_clear(&ledger->index);
	git_repository_free(ledger->repository);
	if (ledger->keys != NULL)
		people_free(ledger->keys);
	if (ledger->lock >= 0)
		close(ledger->lock);
	g_free(ledger->path);
	g_free(ledger->packs);
	g_free(ledger->cache);
	g_free(ledger->principal);
	g_free(ledger);
}

/* ---- one commit ---- */

/* A ref that is not what we knew is somebody else's work; nothing of ours is written until the log was opened anew. */
static gboolean move_ref(struct ledger *ledger, const git_oid *id, GError **error)
{
	git_reference *ref = NULL;
	int done = git_reference_create_matching(
	    &ref, ledger->repository, BRANCH, id, TRUE, ledger->has_tip ? &ledger->tip : NULL, "append");

	git_reference_free(ref);
	if (done == 0)
		return TRUE;
	if (done != GIT_EMODIFIED && done != GIT_ENOTFOUND)
		return git_failed(ledger, "its branch main could not be moved", error);
	ledger->moved = TRUE;
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_MOVED,
	    "somebody else moved the branch main of %s; open it again", ledger->path);
	return FALSE;
}

/* Signs the tree as it stands in memory, and checks with our own public key what came back. */
static GBytes *make_commit(struct ledger *ledger, const git_oid *tree, const char *message, gint64 seconds, GError **error)
{
	struct ledger_draft draft = { .tree = tree,
		.parent = ledger->has_tip ? &ledger->tip : NULL,
		.principal = ledger->principal,
		.message = message,
		.seconds = seconds };
	g_autoptr(GBytes) raw = ledger_commit(&draft, ledger->sign, ledger->data, error);
	autoptr(commit) checked = raw != NULL ? ledger_verify(ledger->keys, raw, error) : NULL;

	if (checked == NULL) {
		g_prefix_error(error, "the ledger's key gave no good signature for a commit: ");
		return NULL;
	}
	return g_steal_pointer(&raw);
}

static gboolean write_commit(struct ledger *ledger, struct pack *pack, const char *message, GError **error)
{
	gint64 seconds = MAX(time_now_ms() / 1000, ledger->tip_seconds);
	g_autoptr(GBytes) raw = NULL;
	git_oid root, id;

	if (!tree_write(ledger->tree, pack, &root, error) ||
	    (raw = make_commit(ledger, &root, message, seconds, error)) == NULL ||
	    !pack_add(pack, GIT_OBJECT_COMMIT, g_bytes_get_data(raw, NULL), g_bytes_get_size(raw), &id, error) ||
	    !pack_write(pack, ledger->packs, error) || !move_ref(ledger, &id, error))
		return FALSE;
	set_tip(ledger, &id, seconds);
	return TRUE;
}

static gboolean ensure_tree(struct ledger *ledger, GError **error)
{
	git_commit *commit = NULL;

	if (ledger->tree != NULL)
		return TRUE;
	if (git_commit_lookup(&commit, ledger->repository, &ledger->tip) != 0)
		return git_failed(ledger, "its newest commit could not be read", error);
	ledger->tree = tree_open(ledger->repository, git_commit_tree_id(commit), error);
	git_commit_free(commit);
	return ledger->tree != NULL;
}

/* Keeps few packs and a fresh shortcut. Neither is needed for what was just written, so a failure waits for the next time. */
static void tidy(struct ledger *ledger)
{
	gboolean merged = FALSE;
	git_repository *fresh;

	if (ledger->index.last - ledger->cached >= CACHE_EVERY && ledger_index_save(&ledger->index, ledger->cache, NULL))
		ledger->cached = ledger->index.last;
	pack_merge(ledger->packs, PACKS_MOST, &merged, NULL);
	if (!merged || (fresh = ledger_repository(ledger->path, NULL)) == NULL)
		return;
	g_clear_pointer(&ledger->tree, tree_free);
	git_repository_free(ledger->repository);
	ledger->repository = fresh;
}

/* ---- a batch ---- */

struct batch {
	struct ledger *ledger;
	struct pack *pack;
	GHashTable *own; /* id -> index into entries: new in this batch */
	GHashTable *newest; /* project -> digest, of this batch */
	GArray *lines; /* of struct ledger_line; documents and digests are the batch's */
	gint64 next;
};

static void line_clear(gpointer data)
{
	struct ledger_line *line = data;

	json_unref((struct json *)line->document);
	g_free((char *)line->sha256);
}

static void batch_init(struct batch *batch, struct ledger *ledger)
{
	batch->ledger = ledger;
	batch->pack = pack_new();
	batch->own = g_hash_table_new(g_str_hash, g_str_equal);
	batch->newest = g_hash_table_new(g_str_hash, g_str_equal);
	batch->lines = g_array_new(FALSE, TRUE, sizeof(struct ledger_line));
	g_array_set_clear_func(batch->lines, line_clear);
	batch->next = ledger->index.last + 1;
}

static void batch_clear(struct batch *batch)
{
	pack_free(batch->pack);
	g_hash_table_unref(batch->own);
	g_hash_table_unref(batch->newest);
	g_array_unref(batch->lines);
}

static gboolean is_event(const struct json *document)
{
	return json_get(document, "event") != NULL;
}

static gboolean name_is_good(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(name);

	/* two digits would be a folder of a longer sequence number */
	return length > 0 && length <= 200 && g_ascii_isalnum(*name) && strspn(name, good) == length &&
	       !(length == 2 && g_ascii_isdigit(name[0]) && g_ascii_isdigit(name[1]));
}

static gboolean put_blob(struct batch *batch, const char *path, GBytes *bytes, GError **error)
{
	gsize size;
	const void *data = g_bytes_get_data(bytes, &size);
	git_oid id;

	return pack_add(batch->pack, GIT_OBJECT_BLOB, size > 0 ? data : "", size, &id, error) &&
	       tree_put(batch->ledger->tree, path, &id, error);
}

static gboolean put_evidence(struct batch *batch, const char *place, const struct ledger_entry *entry, GError **error)
{
	for (guint i = 0; i < entry->file_count; i++) {
		const struct ledger_file *file = &entry->files[i];
		g_autofree char *path = g_strdup_printf("evidence/%s/%s", place, file->name);

		if (!name_is_good(file->name)) {
			g_autofree char *shown = text_escape(file->name, -1, 64);

			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED,
			    "\"%s\" is no name for evidence: [a-z0-9][a-z0-9._-]*, not two digits", shown);
			return FALSE;
		}
		if (!put_blob(batch, path, file->data, error))
			return FALSE;
	}
	return TRUE;
}

/* Name and digest of each file: so the record's own digest stands for its evidence as well. */
static struct json *digests_of(const struct ledger_entry *entry)
{
	struct json *digests = json_object_new();

	for (guint i = 0; i < entry->file_count; i++) {
		g_autofree char *sha256 = sha256_text_bytes(entry->files[i].data);

		json_set_string(digests, entry->files[i].name, sha256);
	}
	return digests;
}

/* A copy with what only the ledger knows. */
static struct json *complete(struct batch *batch, const struct ledger_entry *entry, GError **error)
{
	autoptr(json) whole = json_copy(entry->document);
	const char *project = json_string(whole, "project");

	json_set(whole, "previous", NULL);
	json_set_integer(whole, "sequence", batch->next);
	if (is_event(whole))
		return record_event_check(whole, error) ? g_steal_pointer(&whole) : NULL;
	json_set(whole, "evidence", entry->file_count > 0 ? digests_of(entry) : NULL);
	if (project != NULL) {
		const char *own = g_hash_table_lookup(batch->newest, project);

		json_set_string(whole, "previous", own != NULL ? own : ledger_previous(batch->ledger, project));
	}
	return record_check(whole, error) ? g_steal_pointer(&whole) : NULL;
}

static gboolean put_entry(struct batch *batch, struct ledger_entry *entry, GError **error)
{
	struct json *whole = complete(batch, entry, error);
	g_autofree char *place = sequence_path(batch->next), *path = NULL;
	g_autoptr(GBytes) bytes = NULL;
	struct ledger_line line;

	if (whole == NULL)
		return FALSE;
	bytes = json_canonical(whole);
	line = (struct ledger_line){ whole, sha256_text_bytes(bytes) };
	g_array_append_val(batch->lines, line);
	path = g_strdup_printf("records/%s-%s.json", place, json_string(whole, "id"));
	if (!put_blob(batch, path, bytes, error) || !put_evidence(batch, place, entry, error))
		return FALSE;
	g_hash_table_insert(batch->own, (char *)json_string(whole, "id"), GUINT_TO_POINTER(batch->lines->len));
	if (!is_event(whole))
		g_hash_table_replace(batch->newest, (char *)json_string(whole, "project"), (char *)line.sha256);
	entry->sequence = batch->next++;
	entry->sha256 = g_strdup(line.sha256);
	return TRUE;
}

/* ---- what stands in the log already ---- */

/* The blob at that path in a commit's tree; FALSE if it is not there. */
static gboolean blob_at(
    git_repository *repository, const git_oid *commit_id, const char *path, git_oid *blob, git_oid *parent)
{
	git_commit *commit = NULL;
	git_tree *tree = NULL;
	git_tree_entry *entry = NULL;
	gboolean found = git_commit_lookup(&commit, repository, commit_id) == 0 &&
			 git_commit_tree(&tree, commit) == 0 && git_tree_entry_bypath(&entry, tree, path) == 0;

	if (found)
		*blob = *git_tree_entry_id(entry);
	memset(parent, 0, sizeof(*parent));
	if (found && git_commit_parentcount(commit) > 0)
		*parent = *git_commit_parent_id(commit, 0);
	git_tree_entry_free(entry);
	git_tree_free(tree);
	git_commit_free(commit);
	return found;
}

/* Goes back to the commit that brought it: asked again mostly for what is new, so the way is short. */
static gboolean answer_again(struct ledger *ledger, struct ledger_entry *entry, const char *id, GError **error)
{
	gint64 sequence = GPOINTER_TO_SIZE(g_hash_table_lookup(ledger->index.ids, id));
	g_autofree char *place = sequence_path(sequence), *path = g_strdup_printf("records/%s-%s.json", place, id);
	g_autoptr(GBytes) bytes = NULL;
	git_oid at = ledger->tip, blob, parent, earlier;
	char hex[GIT_OID_HEXSZ + 1];

	if (!blob_at(ledger->repository, &at, path, &blob, &parent) ||
	    (bytes = read_object(ledger->repository, &blob)) == NULL)
		return git_failed(ledger, "a record could not be read again", error);
	while (!git_oid_is_zero(&parent)) {
		git_oid before = parent;

		if (!blob_at(ledger->repository, &before, path, &earlier, &parent))
			break;
		at = before;
	}
	entry->sequence = sequence;
	entry->sha256 = sha256_text_bytes(bytes);
	entry->commit = g_strdup(git_oid_tostr(hex, sizeof(hex), &at));
	return TRUE;
}

static void commit_batch_to_memory(struct batch *batch)
{
	for (guint i = 0; i < batch->lines->len; i++) {
		const struct ledger_line *line = &g_array_index(batch->lines, struct ledger_line, i);
		const struct json *document = line->document;

		ledger_index_add(&batch->ledger->index, json_string(document, "id"),
		    json_integer(document, "sequence", 0), is_event(document) ? NULL : json_string(document, "project"),
		    line->sha256);
	}
}

static gboolean write_batch(struct batch *batch, GError **error)
{
	g_autofree char *message = NULL;

	if (batch->lines->len == 0)
		return TRUE;
	message = ledger_message((const struct ledger_line *)(void *)batch->lines->data, batch->lines->len);
	if (!write_commit(batch->ledger, batch->pack, message, error))
		return FALSE;
	commit_batch_to_memory(batch);
	return TRUE;
}

static gboolean fill_batch(struct batch *batch, struct ledger_entry *entries, guint count, GError **error)
{
	for (guint i = 0; i < count; i++) {
		const char *id = json_string(entries[i].document, "id");

		ledger_entry_clear(&entries[i]);
		if (id == NULL || !is_ulid(id)) {
			error_refused(error, "a document for the log needs an \"id\" that is a ULID");
			return FALSE;
		}
		if (!g_hash_table_contains(batch->ledger->index.ids, id) && !g_hash_table_contains(batch->own, id) &&
		    !put_entry(batch, &entries[i], error))
			return FALSE;
	}
	return TRUE;
}

static gboolean answer(struct ledger *ledger, struct ledger_entry *entries, guint count, GError **error)
{
	for (guint i = 0; i < count; i++) {
		if (entries[i].sha256 != NULL)
			entries[i].commit = g_strdup(ledger->tip_hex);
		else if (!answer_again(ledger, &entries[i], json_string(entries[i].document, "id"), error))
			return FALSE;
	}
	return TRUE;
}

static gboolean append_batch(struct ledger *ledger, struct ledger_entry *entries, guint count, GError **error)
{
	struct batch batch;
	gboolean ok;

	batch_init(&batch, ledger);
	ok = ensure_tree(ledger, error) && fill_batch(&batch, entries, count, error) && write_batch(&batch, error) &&
	     answer(ledger, entries, count, error);
	if (!ok) /* it may hold what was not written */
		g_clear_pointer(&ledger->tree, tree_free);
	else if (batch.lines->len > 0)
		tidy(ledger);
	batch_clear(&batch);
	return ok;
}

gboolean ledger_append(struct ledger *ledger, struct ledger_entry *entries, guint count, GError **error)
{
	if (ledger->moved) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_MOVED,
		    "somebody else moved the branch main of %s; open it again", ledger->path);
		return FALSE;
	}
	for (guint at = 0; at < count; at += BATCH_MOST) {
		if (!append_batch(ledger, entries + at, MIN(count - at, BATCH_MOST), error))
			return FALSE;
	}
	return TRUE;
}

void ledger_entry_clear(struct ledger_entry *entry)
{
	g_clear_pointer(&entry->sha256, g_free);
	g_clear_pointer(&entry->commit, g_free);
	entry->sequence = 0;
}

const char *ledger_path(const struct ledger *ledger)
{
	return ledger->path;
}

const char *ledger_tip(const struct ledger *ledger)
{
	return ledger->has_tip ? ledger->tip_hex : NULL;
}

const char *ledger_previous(const struct ledger *ledger, const char *project)
{
	const struct ledger_newest *newest = g_hash_table_lookup(ledger->index.projects, project);

	return newest != NULL ? newest->sha256 : NULL;
}
