/* `tagseal inspect`: what a file is, its digest, and what signatures and stamps it bears. Nobody's trust is judged here. */
#include <stdio.h>

#include "gitops/base/bytes.h"
#include "server/cli.h"
#include "server/command_file.h"
#include "signer/certificate.h"
#include "signer/format.h"
#include "signer/tst_info.h"
#include "signer/type.h"

/* The time that a token claims; its signature is not looked at. */
static struct json *describe_stamp(GBytes *token)
{
	autoptr(cms) cms = cms_read(token, "timestamp token", NULL);
	struct json *stamp = json_object_new();
	struct tst_info info = { 0 };

	if (cms != NULL && cms->content != NULL && tst_info_read(cms->content, &info, NULL)) {
		g_autofree char *time = time_format_ms(info.time_ms);
		const struct cms_signer *signer = g_ptr_array_index(cms->signers, 0);
		g_autofree char *authority = certificate_subject(signer->certificate);
		json_set_string(stamp, "time", time);
		json_set_string(stamp, "authority", authority);
		json_set_string(stamp, "policy", info.policy);
	} else
		json_set_string(stamp, "why", "not a timestamp token");
	tst_info_clear(&info);
	return stamp;
}

static struct json *describe_signature(const struct format_signature *s)
{
	struct json *object = json_object_new();

	json_set_string(object, "format", s->format);
	json_set_string(object, "digest", s->digest);
	json_set_string(object, "key", s->key);
	json_set_integer(object, "nesting", s->nesting);
	json_set_boolean(object, "intact", s->intact);
	json_set_boolean(object, "digest_matches", s->digest_matches);
	json_set_string(object, "why", s->why);
	if (s->certificate != NULL) {
		g_autofree char *subject = certificate_subject(s->certificate),
				*issuer = certificate_issuer(s->certificate);
		g_autofree char *serial = certificate_serial(s->certificate);
		json_set_string(object, "subject", subject);
		json_set_string(object, "issuer", issuer);
		json_set_string(object, "serial", serial);
	}
	if (s->token != NULL)
		json_set(object, "timestamp", describe_stamp(s->token));
	return object;
}

static gboolean describe_signatures(int fd, const struct file_type *type, struct json *out, GError **error)
{
	const struct format *format = format_native(type);
	g_autoptr(GPtrArray) found = NULL;

	if (format == NULL)
		return TRUE;
	if ((found = format->read(fd, NULL, NULL, error)) == NULL)
		return FALSE;
	for (guint i = 0; i < found->len; i++)
		json_append(out, describe_signature(g_ptr_array_index(found, i)));
	return TRUE;
}

static struct json *describe(int fd, GError **error)
{
	const struct file_type *type = file_type_of(fd);
	autoptr(json) object = json_object_new();
	struct json *facts = json_object_new(), *signatures = json_array_new();
	g_autofree char *digest = NULL;
	uint64_t size;

	json_set(object, "facts", facts);
	json_set(object, "signatures", signatures);
	if ((digest = sha256_text_fd(fd, &size, error)) == NULL ||
	    (type->structure != NULL && !type->structure(fd, facts, error)) ||
	    !describe_signatures(fd, type, signatures, error))
		return NULL;
	if (type->native_format != NULL && format_native(type) == NULL)
		json_set_string(facts, "unread", "signatures inside: this program cannot read those of this type yet");
	json_set_string(object, "type", type->name);
	json_set_string(object, "sha256", digest);
	json_set_integer(object, "size", size);
	return g_steal_pointer(&object);
}

static void print_signature(const struct json *s)
{
	const struct json *stamp = json_get(s, "timestamp");
	gboolean good = json_boolean(s, "intact", FALSE) && json_boolean(s, "digest_matches", FALSE);

	printf("%ssignature %s %s by %s, issued by %s: %s\n", json_integer(s, "nesting", 0) > 0 ? "  nested " : "",
	    json_string(s, "format"), json_string(s, "digest"),
	    json_string(s, "subject") != NULL ? json_string(s, "subject") : json_string(s, "key"),
	    json_string(s, "issuer") != NULL ? json_string(s, "issuer") : "nobody",
	    good ? "intact" : json_string(s, "why"));
	if (stamp != NULL && json_string(stamp, "time") != NULL)
		printf("  timestamp %s by %s\n", json_string(stamp, "time"), json_string(stamp, "authority"));
	else if (stamp != NULL)
		printf("  timestamp: %s\n", json_string(stamp, "why"));
}

static void print_text(const struct json *object)
{
	const struct json *facts = json_get(object, "facts"), *signatures = json_get(object, "signatures");
	const char *key;

	printf("%s %s\n", json_string(object, "type"), json_string(object, "sha256"));
	printf("size %" G_GINT64_FORMAT "\n", json_integer(object, "size", 0));
	for (guint i = 0; i < json_length(facts); i++) {
		const struct json *value = json_member(facts, i, &key);
		g_autofree char *text = json_text(value);
		printf("%s %s\n", key, json_kind(value) == JSON_STRING ? json_as_string(value) : text);
	}
	for (guint i = 0; i < json_length(signatures); i++)
		print_signature(json_at(signatures, i));
}

int cmd_inspect(int argc, char **argv)
{
	static const struct command_usage usage = { "tagseal", "FILE",
		"Tells what a file is, its digest, and what signatures and timestamps it bears.",
		"Nothing here says whom to trust: tagseal verify does.", 1, 1 };
	g_autoptr(GError) error = NULL;
	autoptr(json) object = NULL;
	autofd int fd = -1;
	gboolean as_json;
	int status;

	if (!command_options(&usage, NULL, &argc, argv, &as_json, &status))
		return status;
	fd = command_open(argv[1], &error);
	if (fd < 0 || (object = describe(fd, &error)) == NULL)
		return command_fail(error);
	if (as_json)
		command_print_json(object);
	else
		print_text(object);
	return 0;
}
