#include "server/cmd_verify_object.h"

#include <stdio.h>

#include "gitops/base/bytes.h"
#include "server/cli.h"

gboolean at_parse(const char *text, int64_t *at_ms, GError **error)
{
	g_autofree char *shown = NULL;

	*at_ms = time_now_ms();
	if (text == NULL || time_parse_ms(text, at_ms))
		return TRUE;
	shown = text_escape(text, -1, 60);
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
	    "--at \"%s\" is no time; write it like 2026-03-01T00:00:00Z", shown);
	return FALSE;
}

void signer_print(const struct signer *signer, GBytes *raw, const char *type, gboolean as_json)
{
	const char *format = signature_format_name(signer->format);
	g_autofree char *id = NULL;
	autoptr(json) json = NULL;

	if (!as_json) {
		printf("good %s %s %s\n", signer->person, format, signer->key);
		return;
	}
	id = object_id(raw, type, NULL);
	json = json_object_new();
	json_set_string(json, "result", "good");
	json_set_string(json, "person", signer->person);
	json_set_string(json, "format", format);
	json_set_string(json, "key", signer->key);
	json_set_boolean(json, "hardware", signer->hardware);
	json_set_string(json, "object", id);
	command_print_json(json);
}
