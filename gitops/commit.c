#include "gitops/object_text.h"

#include <string.h>

void commit_free(struct commit *commit)
{
	if (commit == NULL)
		return;
	g_free(commit->tree);
	g_strfreev(commit->parents);
	identity_clear(&commit->author);
	identity_clear(&commit->committer);
	g_free(commit->message);
	g_free(commit->signature);
	g_clear_pointer(&commit->payload, g_bytes_unref);
	g_free(commit);
}

static gboolean parents_take(struct cursor *c, struct commit *commit)
{
	g_autoptr(GStrvBuilder) parents = g_strv_builder_new();
	gboolean ok = TRUE;

	while (ok && object_next_is(c, "parent")) {
		g_autofree char *id = NULL;

		if ((ok = object_header_id(c, "parent", &id)))
			g_strv_builder_add(parents, id);
	}
	commit->parents = g_strv_builder_end(parents);
	return ok;
}

/* The header's value: its first line, and all that follow with one space before them. */
static char *unfold(struct cursor *c)
{
	g_autoptr(GString) value = g_string_new(NULL);
	gboolean more = TRUE;
	const char *line;
	size_t size;

	c->at += strlen("gpgsig ");
	while (more) {
		if (!cursor_line(c, &line, &size, "gpgsig"))
			return NULL;
		g_string_append_len(value, line, size);
		g_string_append_c(value, '\n');
		more = cursor_left(c) > 0 && c->data[c->at] == ' ';
		if (more)
			c->at++;
	}
	return g_string_free(g_steal_pointer(&value), FALSE);
}

/* What was signed is everything but this one header. */
static gboolean signature_take(struct cursor *c, struct commit *commit)
{
	size_t start = c->at;
	const char *refusal;
	GByteArray *payload;

	commit->is_signed = object_next_is(c, "gpgsig");
	if (!commit->is_signed) {
		commit->payload = g_bytes_new(c->data, c->size);
		return TRUE;
	}
	if ((commit->signature = unfold(c)) == NULL)
		return FALSE;
	refusal = armor_refusal(commit->signature, strlen(commit->signature), &commit->format);
	if (refusal != NULL)
		return cursor_refuse(c, "gpgsig", "%s", refusal);
	payload = g_byte_array_new();
	g_byte_array_append(payload, c->data, start);
	g_byte_array_append(payload, c->data + c->at, cursor_left(c));
	commit->payload = g_byte_array_free_to_bytes(payload);
	return TRUE;
}

/*
 * `git merge` of a signed tag keeps that tag, whole, in a header; octopus merges one a parent. It is signed along with all
 * else, and its own signature, folded as it stands, says nothing about this commit: it is passed over, line by line.
 */
static gboolean mergetags_skip(struct cursor *c, const struct commit *commit)
{
	guint left = g_strv_length(commit->parents);
	const char *line;
	size_t size;

	while (object_next_is(c, "mergetag")) {
		if (left-- < 2)
			return cursor_refuse(c, "mergetag", "more merged tags than merged parents");
		do {
			if (!cursor_line(c, &line, &size, "mergetag"))
				return FALSE;
		} while (cursor_left(c) > 0 && c->data[c->at] == ' ');
	}
	return TRUE;
}

/* Headers that git knows and we refuse, each with its reason; object_headers_end() refuses all others. */
static gboolean extra_refuse(struct cursor *c)
{
	static const struct {
		const char *key, *reason;
	} extras[] = {
		{ "gpgsig", "a second signature; exactly one must stand" },
		{ "gpgsig-sha256", "a signature for SHA-256 repositories; they are not supported" },
		{ "mergetag", "a merged tag stands before the signature only" },
		{ "encoding", "messages must be UTF-8 without an encoding header (git config i18n.commitEncoding)" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(extras); i++)
		if (object_next_is(c, extras[i].key))
			return cursor_refuse(c, extras[i].key, "%s", extras[i].reason);
	return TRUE;
}

/* A signature in the message is none: some readers (libgit2) would take it for the commit's own. */
static gboolean message_take(struct cursor *c, struct commit *commit)
{
	const char *text = (const char *)c->data;
	g_autofree char *message = g_strndup(text + c->at, cursor_left(c));
	gboolean lures = armor_next(text, c->at, c->size) != c->size || g_str_has_prefix(message, "gpgsig -----BEGIN") ||
			 strstr(message, "\ngpgsig -----BEGIN") != NULL;

	if (lures)
		return cursor_refuse(
		    c, "message", "a signature stands in the message; it belongs into the gpgsig header");
	commit->message = g_steal_pointer(&message);
	return TRUE;
}

struct commit *commit_parse(GBytes *raw, GError **error)
{
	g_autofree char *text = object_text(raw, "commit", error);
	autoptr(commit) commit = g_new0(struct commit, 1);
	struct cursor c;

	if (text == NULL)
		return NULL;
	cursor_init(&c, text, g_bytes_get_size(raw));
	if (!object_header_id(&c, "tree", &commit->tree) || !parents_take(&c, commit) ||
	    !object_identity(&c, "author", &commit->author) || !object_identity(&c, "committer", &commit->committer) ||
	    !mergetags_skip(&c, commit) || !signature_take(&c, commit) || !extra_refuse(&c) ||
	    !object_headers_end(&c) || !message_take(&c, commit)) {
		cursor_fail(&c, "commit", error);
		return NULL;
	}
	return g_steal_pointer(&commit);
}
