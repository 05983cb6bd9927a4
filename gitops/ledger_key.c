#include "gitops/ledger_key.h"

#include <string.h>

#include "gitops/base/bytes.h"

/* Appends the line's type and key; what else stands in it (principal, options, comment) says nothing about the key. */
static gboolean take_key(GString *list, const char *line, GError **error)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=@.-";
	g_auto(GStrv) words = g_strsplit_set(line, " \t", -1);

	for (guint i = 0; words[i] != NULL && words[i + 1] != NULL; i++) {
		const char *type = words[i], *key = words[i + 1];

		if (!g_str_has_prefix(type, "ssh-") && !g_str_has_prefix(type, "ecdsa-sha2-") &&
		    !g_str_has_prefix(type, "sk-"))
			continue;
		if (strspn(type, good) != strlen(type) || strspn(key, good) != strlen(key) || *key == '\0')
			break;
		g_string_append_printf(list, "%s\"%s %s\"", list->len > 0 ? ", " : "", type, key);
		return TRUE;
	}
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
	    "a ledger key must be a line \"ssh-… AAAA…\" as ssh-keygen writes it");
	return FALSE;
}

struct people *ledger_keys(const char *text, GError **error)
{
	g_autoptr(GHashTable) files =
	    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	g_autoptr(GString) list = g_string_new(NULL);
	g_autofree char *file = NULL;

	for (guint i = 0; lines[i] != NULL; i++) {
		const char *line = g_strstrip(lines[i]);

		if (*line != '\0' && *line != '#' && !take_key(list, line, error))
			return NULL;
	}
	if (list->len == 0) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "no ledger key is given: a line \"ssh-… AAAA…\" is needed");
		return NULL;
	}
	file = g_strdup_printf("name = \"ledger\"\nssh = [%s]\n", list->str);
	g_hash_table_insert(files, g_strdup("people/ledger.toml"), g_bytes_new(file, strlen(file)));
	return people_load(files, error);
}

struct commit *ledger_verify(const struct people *keys, GBytes *raw, GError **error)
{
	autoptr(commit) commit = commit_parse(raw, error);
	struct signer signer = { NULL };
	gboolean good;

	if (commit == NULL)
		return NULL;
	if (!commit->is_signed || commit->format != SIGNATURE_SSH) {
		error_refused(error, "the commit carries no SSH signature");
		return NULL;
	}
	good = people_verify(keys, commit->format, commit->signature, commit->payload, time_now_ms(), &signer, error);
	signer_clear(&signer);
	return good ? g_steal_pointer(&commit) : NULL;
}
