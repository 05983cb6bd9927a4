#include "server/judge.h"

struct verdicts {
	guint max;
	GHashTable *by_key; /* char * -> struct json * */
	GQueue *order; /* the keys, oldest first; borrowed from the table */
};

static void value_free(void *value)
{
	json_unref(value);
}

struct verdicts *verdicts_new(guint max)
{
	struct verdicts *v = g_new0(struct verdicts, 1);

	v->max = max;
	v->by_key = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, value_free);
	v->order = g_queue_new();
	return v;
}

void verdicts_free(struct verdicts *v)
{
	g_queue_free(v->order);
	g_hash_table_unref(v->by_key);
	g_free(v);
}

/* The newest word on a blob replaces an older one: a second scan with newer databases may find what the first did not. */
void verdicts_put(struct verdicts *v, const char *key, struct json *value)
{
	char *own = g_strdup(key);
	GList *old = g_queue_find_custom(v->order, key, (GCompareFunc)g_strcmp0);

	if (old != NULL)
		g_queue_delete_link(v->order, old);
	g_hash_table_replace(v->by_key, own, value);
	g_queue_push_tail(v->order, own);
	if (g_hash_table_size(v->by_key) > v->max)
		g_hash_table_remove(v->by_key, g_queue_pop_head(v->order));
}

void verdicts_agree(struct verdicts *v, const char *key, struct json *value)
{
	struct json *first = g_hash_table_lookup(v->by_key, key);
	g_autoptr(GBytes) was = first != NULL ? json_canonical(first) : NULL, is = json_canonical(value);

	if (first == NULL) {
		verdicts_put(v, key, value);
		return;
	}
	if (!g_bytes_equal(was, is))
		json_set_boolean(first, "contradicted", TRUE);
	json_unref(value);
}

const struct json *verdicts_get(const struct verdicts *v, const char *key)
{
	return g_hash_table_lookup(v->by_key, key);
}

char *verdicts_digest_key(const char *blob, const char *format, const char *hash)
{
	return g_strjoin(" ", blob, format, hash, NULL);
}
