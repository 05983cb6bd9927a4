/* SSH certificates.   PROTOCOL.certkeys */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/ssh_private.h"

#define TYPE_USER 1
#define PRINCIPALS_MAX 256 /* as OpenSSH */
#define WHAT "SSH certificate"

struct ssh_certificate {
	GBytes *blob; /* what the spans point into */
	struct ssh_key *key; /* the certified one */
	char *id, *authority; /* fingerprints of the certified key and of the authority's */
	GPtrArray *principals; /* char *, NULL-terminated once read */
	uint64_t serial, valid_after, valid_before; /* seconds since 1970 */
	char *name; /* the key id that the authority wrote into it, for messages */
	struct span body, signature; /* what the authority signed, and its signature */
};

void ssh_certificate_free(struct ssh_certificate *certificate)
{
	if (certificate == NULL)
		return;
	ssh_key_free(certificate->key);
	g_clear_pointer(&certificate->blob, g_bytes_unref);
	g_clear_pointer(&certificate->principals, g_ptr_array_unref);
	g_free(certificate->id);
	g_free(certificate->authority);
	g_free(certificate->name);
	g_free(certificate);
}

const struct ssh_key *ssh_certificate_key(const struct ssh_certificate *certificate)
{
	return certificate->key;
}

const char *ssh_certificate_id(const struct ssh_certificate *certificate)
{
	return certificate->id;
}

const char *ssh_certificate_authority(const struct ssh_certificate *certificate)
{
	return certificate->authority;
}

const char *const *ssh_certificate_principals(const struct ssh_certificate *certificate)
{
	return (const char *const *)certificate->principals->pdata;
}

/* --- reading --- */

gboolean ssh_is_certificate(GBytes *blob)
{
	struct cursor c;
	struct span name;

	cursor_init(&c, g_bytes_get_data(blob, NULL), g_bytes_get_size(blob));
	return ssh_take(&c, &name, "key type") && ssh_type_find(name, TRUE) != NULL;
}

static char *span_fingerprint(struct span s)
{
	g_autoptr(GBytes) bytes = g_bytes_new_static(s.data, s.size);

	return ssh_fingerprint(bytes);
}

static void put_string(GByteArray *to, const void *data, guint32 size)
{
	guint32 length = GUINT32_TO_BE(size);

	g_byte_array_append(to, (const guint8 *)&length, sizeof(length));
	g_byte_array_append(to, data, size);
}

/* The key's fields, and its fingerprint: that of the plain key, whose blob is its type and the same fields. */
static gboolean certified_take(struct cursor *c, const struct ssh_type *type, struct ssh_certificate *certificate)
{
	g_autoptr(GByteArray) plain = g_byte_array_new();
	size_t start = c->at;

	certificate->key = g_new0(struct ssh_key, 1);
	if (!ssh_key_take(c, type, certificate->key))
		return FALSE;
	put_string(plain, type->name, strlen(type->name));
	g_byte_array_append(plain, c->data + start, c->at - start);
	certificate->id = span_fingerprint((struct span){ plain->data, plain->len });
	return TRUE;
}

/* A list within a string of its own. */
static gboolean list_take(struct cursor *c, struct cursor *list, const char *field)
{
	struct span s;

	if (!ssh_take(c, &s, field))
		return FALSE;
	cursor_init(list, s.data, s.size);
	return TRUE;
}

/* To `c`, as its own, goes why the list could not be read. */
static gboolean list_fail(struct cursor *c, const struct cursor *list)
{
	return cursor_refuse(c, list->field, "%s", list->reason);
}

static gboolean principals_take(struct cursor *c, struct ssh_certificate *certificate)
{
	struct cursor list;
	struct span name;

	if (!list_take(c, &list, "principals"))
		return FALSE;
	certificate->principals = g_ptr_array_new_with_free_func(g_free);
	while (cursor_left(&list) > 0) {
		if (!ssh_take(&list, &name, "principals"))
			return list_fail(c, &list);
		if (name.size == 0 || memchr(name.data, 0, name.size) != NULL)
			return cursor_refuse(c, "principals", "one is empty or holds a NUL byte");
		if (certificate->principals->len == PRINCIPALS_MAX)
			return cursor_refuse(c, "principals", "more than %d", PRINCIPALS_MAX);
		g_ptr_array_add(certificate->principals, g_strndup((const char *)name.data, name.size));
	}
	if (certificate->principals->len == 0)
		return cursor_refuse(c, "principals", "it names nobody, which would mean everybody");
	g_ptr_array_add(certificate->principals, NULL);
	return TRUE;
}

/*
 * Whoever wrote a critical option forbids to accept the certificate where the option cannot be seen to. The others that OpenSSH
 * has, force-command and source-address, allow a login of some kind only: such a key is not meant to vouch for anything.
 */
static gboolean critical_take(struct cursor *c, struct ssh_key *key)
{
	g_autofree char *shown = NULL;
	struct cursor list;
	struct span name, value;

	if (!list_take(c, &list, "critical options"))
		return FALSE;
	while (cursor_left(&list) > 0) {
		if (!ssh_take(&list, &name, "critical options") || !ssh_take(&list, &value, "critical options"))
			return list_fail(c, &list);
		shown = text_escape((const char *)name.data, name.size, 40);
		if (!span_is(name, "verify-required"))
			return cursor_refuse(c, "critical options", "\"%s\" cannot be fulfilled here", shown);
		if (value.size != 0 || key->verify_required || !key->type->security_key)
			return cursor_refuse(c, "critical options", "verify-required stands wrongly");
		key->verify_required = TRUE;
		g_clear_pointer(&shown, g_free);
	}
	return TRUE;
}

/* What stands here must not be understood to be obeyed: it is only read for its form. */
static gboolean extensions_take(struct cursor *c)
{
	struct cursor list;
	struct span s;

	if (!list_take(c, &list, "extensions"))
		return FALSE;
	while (cursor_left(&list) > 0)
		if (!ssh_take(&list, &s, "extensions") || !ssh_take(&list, &s, "extensions"))
			return list_fail(c, &list);
	return TRUE;
}

static gboolean type_take(struct cursor *c, const struct ssh_type **type)
{
	g_autofree char *shown = NULL;
	struct span name, nonce;

	if (!ssh_take(c, &name, "certificate type"))
		return FALSE;
	if ((*type = ssh_type_find(name, TRUE)) != NULL)
		return ssh_take(c, &nonce, "nonce");
	shown = text_escape((const char *)name.data, name.size, 40);
	return cursor_refuse(c, "certificate type", "\"%s\" is not supported", shown);
}

static gboolean certificate_take(struct cursor *c, struct ssh_certificate *certificate)
{
	const struct ssh_type *type;
	struct span name, reserved, authority;
	uint32_t kind;

	if (!type_take(c, &type) || !certified_take(c, type, certificate) ||
	    !cursor_be64(c, &certificate->serial, "serial") || !cursor_be32(c, &kind, "kind"))
		return FALSE;
	if (kind != TYPE_USER)
		return cursor_refuse(c, "kind", "%u is no user's certificate", kind);
	if (!ssh_take(c, &name, "key id") || !principals_take(c, certificate) ||
	    !cursor_be64(c, &certificate->valid_after, "valid after") ||
	    !cursor_be64(c, &certificate->valid_before, "valid before") || !critical_take(c, certificate->key) ||
	    !extensions_take(c) || !ssh_take(c, &reserved, "reserved") || !ssh_take(c, &authority, "authority"))
		return FALSE;
	certificate->name = text_escape((const char *)name.data, name.size, 60);
	certificate->authority = span_fingerprint(authority);
	certificate->body = (struct span){ c->data, c->at };
	return ssh_take(c, &certificate->signature, "signature");
}

struct ssh_certificate *ssh_certificate_read(GBytes *blob, GError **error)
{
	autoptr(ssh_certificate) certificate = g_new0(struct ssh_certificate, 1);
	struct cursor c;

	certificate->blob = g_bytes_ref(blob);
	cursor_init(&c, g_bytes_get_data(blob, NULL), g_bytes_get_size(blob));
	if (!certificate_take(&c, certificate)) {
		cursor_fail(&c, WHAT, error);
		return NULL;
	}
	return cursor_end(&c, WHAT, error) ? g_steal_pointer(&certificate) : NULL;
}

/* --- believing --- */

static gboolean is_of_its_time(const struct ssh_certificate *certificate, int64_t at_ms, GError **error)
{
	uint64_t at = at_ms > 0 ? at_ms / 1000 : 0;
	g_autofree char *when = NULL;

	if (at >= certificate->valid_after && at < certificate->valid_before)
		return TRUE;
	if (certificate->valid_before <= certificate->valid_after)
		error_refused(error, "it ends before it begins");
	else if (at < certificate->valid_after)
		error_refused(error, "it was not valid yet when the object was first seen: its time begins later");
	else {
		when = time_format_ms((int64_t)certificate->valid_before * 1000);
		error_refused(error, "it expired on %s; have a new one made, and sign again", when);
	}
	return FALSE;
}

gboolean ssh_certificate_check(
    const struct ssh_certificate *certificate, const struct ssh_key *authority, int64_t at_ms, GError **error)
{
	if (!ssh_key_verify(authority, certificate->signature, certificate->body, "the authority's signature", error))
		g_prefix_error(error, "its authority did not sign it so: ");
	else if (is_of_its_time(certificate, at_ms, error))
		return TRUE;
	g_prefix_error(error, "SSH certificate \"%s\" (serial %" G_GUINT64_FORMAT ") for the key %s: ", certificate->name,
	    certificate->serial, certificate->id);
	return FALSE;
}
