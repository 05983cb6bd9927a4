/* One approval, denial or withdrawal: a signed commit and its trailers. */
#include "gitops/decide_private.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

#define PREFIX "Tagseal-"

/*
 * What each trailer is for. A reserved trailer without a row (Resign, Promote, …) has no meaning here
 * yet: a commit that carries one might mean something else than we understand, so it does not count.
 */
static const struct {
	const char *key;
	guint words;
	size_t offset;
} known[] = {
	{ PREFIX "Approve", WORD_APPROVE, offsetof(struct approval, tag) },
	{ PREFIX "Deny", WORD_DENY, offsetof(struct approval, tag) },
	{ PREFIX "Withdraw", WORD_WITHDRAW, offsetof(struct approval, withdrawn) },
	{ PREFIX "Tag", WORD_APPROVE | WORD_DENY | WORD_WITHDRAW, offsetof(struct approval, tag_object) },
	{ PREFIX "Tree", WORD_APPROVE | WORD_DENY, offsetof(struct approval, tree) },
	{ PREFIX "Project", WORD_APPROVE | WORD_DENY | WORD_WITHDRAW, offsetof(struct approval, project) },
	{ PREFIX "Policy", WORD_APPROVE | WORD_DENY | WORD_WITHDRAW, offsetof(struct approval, policy) },
	{ PREFIX "Range", WORD_APPROVE | WORD_DENY, offsetof(struct approval, range) },
	{ PREFIX "Reason", WORD_APPROVE | WORD_DENY | WORD_WITHDRAW, offsetof(struct approval, reason) },
	{ PREFIX "Artifact", WORD_APPROVE | WORD_DENY, 0 }, /* one a file: trailers_artifacts() */
};

void approval_free(struct approval *approval)
{
	g_clear_pointer(&approval->artifacts, g_hash_table_unref);
	g_clear_pointer(&approval->commit, commit_free);
	g_clear_pointer(&approval->trailers, g_ptr_array_unref);
	g_free(approval);
}

gboolean approval_is_one(const char *message)
{
	static const char *const words[] = { PREFIX "Approve:", PREFIX "Deny:", PREFIX "Withdraw:" };

	for (const char *line = message; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
			if (g_str_has_prefix(line, words[i]))
				return TRUE;
	}
	return FALSE;
}

static gboolean has(const GPtrArray *trailers, const char *key)
{
	for (guint i = 0; i < trailers->len; i++)
		if (g_str_equal(((const struct trailer *)trailers->pdata[i])->key, key))
			return TRUE;
	return FALSE;
}

/* It says one thing: approve, deny or withdraw. */
static gboolean read_word(struct approval *approval, GError **error)
{
	guint words = 0;

	words |= has(approval->trailers, PREFIX "Approve") ? WORD_APPROVE : 0;
	words |= has(approval->trailers, PREFIX "Deny") ? WORD_DENY : 0;
	words |= has(approval->trailers, PREFIX "Withdraw") ? WORD_WITHDRAW : 0;
	approval->word = words;
	if (words == 0)
		error_refused(error, "it has no trailer Tagseal-Approve, Tagseal-Deny or Tagseal-Withdraw");
	else if ((words & (words - 1)) != 0)
		error_refused(error, "it has more than one of Tagseal-Approve, Tagseal-Deny and Tagseal-Withdraw");
	else
		return TRUE;
	return FALSE;
}

static gboolean check_known(const struct approval *approval, GError **error)
{
	for (guint i = 0; i < approval->trailers->len; i++) {
		const struct trailer *trailer = approval->trailers->pdata[i];
		size_t row = 0;

		if (!g_str_has_prefix(trailer->key, PREFIX))
			continue;
		while (row < G_N_ELEMENTS(known) && !g_str_equal(known[row].key, trailer->key))
			row++;
		if (row < G_N_ELEMENTS(known) && (known[row].words & approval->word) != 0)
			continue;
		error_refused(error, "it carries the trailer %s, which has no meaning there", trailer->key);
		return FALSE;
	}
	return TRUE;
}

static gboolean read_trailers(struct approval *approval, GError **error)
{
	approval->trailers = trailers_parse(approval->commit->message, error);
	if (approval->trailers == NULL || !read_word(approval, error) || !check_known(approval, error))
		return FALSE;
	for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
		const char *value = NULL;

		if (g_str_equal(known[i].key, PREFIX "Artifact"))
			continue;
		if (!trailer_single(approval->trailers, known[i].key, &value, error))
			return FALSE;
		if (value != NULL)
			G_STRUCT_MEMBER(const char *, approval, known[i].offset) = value;
	}
	if (approval->range != NULL && !is_sha256_text(approval->range)) {
		error_refused(error, "Tagseal-Range must be \"sha256:\" and 64 lower-case hex digits");
		return FALSE;
	}
	approval->artifacts = trailers_artifacts(approval->trailers, error);
	return approval->artifacts != NULL;
}

struct approval *approval_read(GBytes *raw, GError **error)
{
	autoptr(approval) approval = g_new0(struct approval, 1);

	approval->commit = commit_parse(raw, error);
	if (approval->commit == NULL)
		return NULL;
	if (!approval->commit->is_signed) {
		error_refused(error, "it is not signed");
		return NULL;
	}
	return read_trailers(approval, error) ? g_steal_pointer(&approval) : NULL;
}

static gboolean differs(GError **error, const char *what, const char *theirs, const char *ours)
{
	g_autofree char *shown = text_escape(theirs, -1, 200);

	error_refused(error, "it is for %s %s, and this release is of %s %s", what, shown, what, ours);
	return FALSE;
}

/* The tag object by its id, or, where there was none yet, the tree of the commit that was to be tagged. */
static gboolean check_object(const struct approval *approval, const struct approval_names *names, GError **error)
{
	const char *id = approval->tag_object != NULL ? approval->tag_object : approval->tree;

	if (approval->tag_object != NULL && approval->tree != NULL)
		error_refused(error, "it names both a tag object (Tagseal-Tag) and a tree (Tagseal-Tree)");
	else if (id == NULL)
		error_refused(error, "it names neither a tag object (Tagseal-Tag) nor a tree (Tagseal-Tree)");
	else if (!is_object_id(id))
		error_refused(error, "%s must be a full id of 40 hex digits",
		    approval->tag_object != NULL ? PREFIX "Tag" : PREFIX "Tree");
	else if (approval->tag_object != NULL)
		return g_str_equal(id, names->tag_object) || differs(error, "tag object", id, names->tag_object);
	else if (names->tree == NULL)
		error_refused(error, "it names a tree, and the tagged commit's tree is not known here");
	else
		return g_str_equal(id, names->tree) || differs(error, "tree", id, names->tree);
	return FALSE;
}

static gboolean check_name(const char *key, const char *what, const char *theirs, const char *ours, GError **error)
{
	if (theirs == NULL) {
		error_refused(error, "it has no trailer %s", key);
		return FALSE;
	}
	return g_str_equal(theirs, ours) || differs(error, what, theirs, ours);
}

/* A withdrawal names its approval by id; what else it says must be right, but need not be said. */
static gboolean check_withdrawal(const struct approval *approval, const struct approval_names *names, GError **error)
{
	if (!is_object_id(approval->withdrawn)) {
		error_refused(error, "Tagseal-Withdraw must name the approval by its full id of 40 hex digits");
		return FALSE;
	}
	return (approval->tag_object == NULL || check_object(approval, names, error)) &&
	       (approval->project == NULL || check_name(NULL, "project", approval->project, names->project, error)) &&
	       (approval->policy == NULL || check_name(NULL, "policy", approval->policy, names->policy, error));
}

gboolean approval_check_names(const struct approval *approval, const struct approval_names *names, GError **error)
{
	if (approval->word == WORD_WITHDRAW)
		return check_withdrawal(approval, names, error);
	return check_name(PREFIX "Approve", "tag", approval->tag, names->tag, error) &&
	       check_object(approval, names, error) &&
	       check_name(PREFIX "Project", "project", approval->project, names->project, error) &&
	       check_name(PREFIX "Policy", "policy", approval->policy, names->policy, error);
}

char **approval_lines(GBytes *raw)
{
	static const char *const words[] = { PREFIX "Approve: ", PREFIX "Deny: ", PREFIX "Withdraw: ", PREFIX "Tag: " };
	g_autoptr(GStrvBuilder) found = g_strv_builder_new();
	size_t size;
	const char *data = g_bytes_get_data(raw, &size);
	g_autofree char *text = g_strndup(data, size);

	if (approval_is_one(text)) {
		g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

		for (guint i = 0; lines[i] != NULL; i++)
			for (size_t n = 0; n < G_N_ELEMENTS(words); n++)
				if (g_str_has_prefix(lines[i], words[n]))
					g_strv_builder_add(found, lines[i]);
	}
	return g_strv_builder_end(found);
}

char **approval_lines_of(const char *tag, const char *tag_object)
{
	char **lines = g_new0(char *, 4);

	lines[0] = g_strconcat(PREFIX "Approve: ", tag, NULL);
	lines[1] = g_strconcat(PREFIX "Deny: ", tag, NULL);
	lines[2] = g_strconcat(PREFIX "Tag: ", tag_object, NULL);
	return lines;
}

char *approval_line_withdrawing(const char *commit)
{
	return g_strconcat(PREFIX "Withdraw: ", commit, NULL);
}

gboolean approval_verify(const struct people *people, const char *project, const char *tag, const char *tag_object,
    const char *tree, const char *policy, GBytes *raw, int64_t at_ms, struct signer *signer, GError **error)
{
	const struct approval_names names = { project, tag, tag_object, tree, policy };
	autoptr(approval) approval = approval_read(raw, error);

	memset(signer, 0, sizeof(*signer));
	if (approval == NULL)
		return FALSE;
	if (approval->word != WORD_APPROVE) {
		error_refused(
		    error, "it is a %s, not an approval", approval->word == WORD_DENY ? "denial" : "withdrawal");
		return FALSE;
	}
	return approval_check_names(approval, &names, error) &&
	       people_verify_commit(people, approval->commit, at_ms, signer, error);
}
