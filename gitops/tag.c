#include "gitops/object_text.h"

#include <string.h>

#include "gitops/base/bytes.h"

void tag_free(struct tag *tag)
{
	if (tag == NULL)
		return;
	g_free(tag->object);
	g_free(tag->type);
	g_free(tag->name);
	identity_clear(&tag->tagger);
	g_free(tag->message);
	g_free(tag->signature);
	g_clear_pointer(&tag->payload, g_bytes_unref);
	g_free(tag);
}

static gboolean type_take(struct cursor *c, struct tag *tag)
{
	g_autofree char *shown = NULL;

	if (!object_header(c, "type", &tag->type))
		return FALSE;
	if (g_str_equal(tag->type, "commit"))
		return TRUE;
	shown = text_escape(tag->type, -1, 16);
	return cursor_refuse(c, "type", "a tag of a %s is refused; tag the commit itself", shown);
}

/* git tag takes no name that begins with a dash, though git check-ref-format does: a command would read it as an option. */
static gboolean name_take(struct cursor *c, struct tag *tag)
{
	g_autofree char *ref = NULL;

	if (!object_header(c, "tag", &tag->name))
		return FALSE;
	ref = g_strconcat("refs/tags/", tag->name, NULL);
	return (tag->name[0] != '-' && is_ref_name(ref)) ||
	       cursor_refuse(c, "tag", "not a name that git allows for a tag");
}

/* Message and signature: all that is left, and exactly one armor at the end of it. */
static gboolean message_take(struct cursor *c, GBytes *raw, struct tag *tag)
{
	const char *text = (const char *)c->data, *refusal;
	size_t start = armor_next(text, c->at, c->size);

	if (start == c->size)
		return cursor_refuse(c, "signature", "the tag is not signed; make it with git tag -s");
	if (armor_next(text, start + 1, c->size) != c->size)
		return cursor_refuse(c, "signature", "more than one signature; exactly one must stand, at the end");
	tag->message = g_strndup(text + c->at, start - c->at);
	c->at = start;
	refusal = armor_refusal(text + start, c->size - start, &tag->format);
	if (refusal != NULL)
		return cursor_refuse(c, "signature", "%s", refusal);
	tag->signature = g_strndup(text + start, c->size - start);
	tag->payload = g_bytes_new_from_bytes(raw, 0, start);
	return TRUE;
}

struct tag *tag_parse(GBytes *raw, GError **error)
{
	g_autofree char *text = object_text(raw, "tag", error);
	autoptr(tag) tag = g_new0(struct tag, 1);
	struct cursor c;

	if (text == NULL)
		return NULL;
	cursor_init(&c, text, g_bytes_get_size(raw));
	if (!object_header_id(&c, "object", &tag->object) || !type_take(&c, tag) || !name_take(&c, tag) ||
	    !object_identity(&c, "tagger", &tag->tagger) || !object_headers_end(&c) || !message_take(&c, raw, tag)) {
		cursor_fail(&c, "tag", error);
		return NULL;
	}
	return g_steal_pointer(&tag);
}
