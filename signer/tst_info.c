#include "signer/tst_info.h"

#include <string.h>
#include <time.h>

#define WHAT_INFO "timestamp"
#define WHAT_QUERY "timestamp query"

static gboolean fail_in(struct cursor *c, const struct cursor *inside)
{
	*c = *inside;
	return FALSE;
}

static gboolean take_version(struct cursor *c)
{
	struct der version;

	if (!der_take(c, DER_INTEGER, &version, "version"))
		return FALSE;
	return (version.size == 1 && version.data[0] == 1) || cursor_refuse(c, "version", "it is not 1");
}

static gboolean take_imprint(struct cursor *c, struct tst_imprint *out)
{
	g_autofree char *oid = NULL;
	struct cursor inside;
	struct der value;

	if (!der_enter(c, DER_SEQUENCE, &inside, "imprint") ||
	    (oid = der_take_algorithm(&inside, NULL, "imprint's hash")) == NULL ||
	    !der_take(&inside, DER_OCTETS, &value, "imprint"))
		return fail_in(c, &inside);
	out->hash = cms_hash_of_oid(oid);
	if (out->hash == NULL)
		return cursor_refuse(c, "imprint's hash", "%s is not SHA-256, SHA-384 or SHA-512",
		    cms_hash_old_name(oid) != NULL ? cms_hash_old_name(oid) : oid);
	if (value.size != (size_t)EVP_MD_get_size(out->hash->md()) || cursor_left(&inside) > 0)
		return cursor_refuse(c, "imprint", "it is not a %s", out->hash->name);
	out->value = value.data;
	out->size = value.size;
	return TRUE;
}

static gboolean digits(const char *text, guint count, int *out)
{
	*out = 0;
	for (guint i = 0; i < count; i++) {
		if (!g_ascii_isdigit(text[i]))
			return FALSE;
		*out = *out * 10 + (text[i] - '0');
	}
	return TRUE;
}

/* YYYYMMDDhhmmss[.f…]Z, the fraction without trailing zeros (RFC 3161, 2.4.2). */
static gboolean parse_time(const struct der *time, int64_t *out)
{
	g_autofree char *text = g_strndup((const char *)time->data, time->size);
	struct tm tm = { 0 };
	int ms = 0, scale = 100;
	const char *at = text + 14;

	if (strlen(text) != time->size || time->size < 15 || !digits(text, 4, &tm.tm_year) ||
	    !digits(text + 4, 2, &tm.tm_mon) || !digits(text + 6, 2, &tm.tm_mday) ||
	    !digits(text + 8, 2, &tm.tm_hour) || !digits(text + 10, 2, &tm.tm_min) || !digits(text + 12, 2, &tm.tm_sec))
		return FALSE;
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
	    tm.tm_sec > 60)
		return FALSE;
	if (*at == '.') {
		if (at[1] == 'Z')
			return FALSE;
		for (at++; g_ascii_isdigit(*at); at++, scale /= 10)
			ms += (*at - '0') * scale;
		if (at[-1] == '0')
			return FALSE;
	}
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*out = (int64_t)timegm(&tm) * 1000 + ms;
	return strcmp(at, "Z") == 0;
}

static int64_t number_of(const struct der *element)
{
	int64_t value = 0;

	for (size_t i = 0; i < element->size && i < 7; i++)
		value = value << 8 | element->data[i];
	return value;
}

static gboolean take_accuracy(struct cursor *c, int64_t *out)
{
	struct cursor inside;
	struct der part;

	*out = 0;
	if (!der_next_is(c, DER_SEQUENCE))
		return TRUE;
	der_enter(c, DER_SEQUENCE, &inside, "accuracy");
	while (cursor_left(&inside) > 0) {
		if (!der_take_any(&inside, &part, "accuracy"))
			return fail_in(c, &inside);
		if (part.tag == DER_INTEGER)
			*out += number_of(&part) * 1000;
		else if (part.tag == DER_CONTEXT_PRIMITIVE(0))
			*out += number_of(&part);
		else if (part.tag != DER_CONTEXT_PRIMITIVE(1))
			return cursor_refuse(c, "accuracy", "it has a part that is none of its own");
	}
	return TRUE;
}

/* Behind the fields that must be there: accuracy, ordering, nonce, tsa, extensions, each optional and in this order. */
static gboolean take_optional(struct cursor *c, struct tst_info *out)
{
	struct cursor inside;
	struct der ignored;

	if (!take_accuracy(c, &out->accuracy_ms))
		return FALSE;
	if (der_next_is(c, DER_BOOLEAN) && !der_take(c, DER_BOOLEAN, &ignored, "ordering"))
		return FALSE;
	if (der_next_is(c, DER_INTEGER) && !der_take(c, DER_INTEGER, &out->nonce, "nonce"))
		return FALSE;
	if (der_next_is(c, DER_CONTEXT(0)) &&
	    (!der_enter(c, DER_CONTEXT(0), &inside, "tsa") || !der_take_any(&inside, &out->name, "tsa")))
		return fail_in(c, &inside);
	return !der_next_is(c, DER_CONTEXT(1)) || der_take(c, DER_CONTEXT(1), &ignored, "extensions");
}

static gboolean take_info(struct cursor *all, struct tst_info *out)
{
	struct cursor c;
	struct der time;

	if (!der_enter(all, DER_SEQUENCE, &c, "TSTInfo") || !take_version(&c) ||
	    (out->policy = der_take_oid(&c, "policy")) == NULL || !take_imprint(&c, &out->imprint) ||
	    !der_take(&c, DER_INTEGER, &out->serial, "serialNumber") ||
	    !der_take(&c, DER_GENERALIZED_TIME, &time, "genTime"))
		return fail_in(all, &c);
	if (!parse_time(&time, &out->time_ms))
		return cursor_refuse(all, "genTime", "it is not a time in UTC");
	if (!take_optional(&c, out))
		return fail_in(all, &c);
	return cursor_left(&c) == 0 || cursor_refuse(all, "TSTInfo", "%zu bytes too many", cursor_left(&c));
}

gboolean tst_info_read(GBytes *der, struct tst_info *out, GError **error)
{
	struct cursor c;
	gsize size;
	const void *data = g_bytes_get_data(der, &size);

	memset(out, 0, sizeof(*out));
	if (!der_check(data, size, WHAT_INFO, error))
		return FALSE;
	cursor_init(&c, data, size);
	return take_info(&c, out) || cursor_fail(&c, WHAT_INFO, error);
}

void tst_info_clear(struct tst_info *info)
{
	g_clear_pointer(&info->policy, g_free);
}

static gboolean take_query(struct cursor *all, struct tst_query *out)
{
	struct cursor c;
	struct der wish;

	if (!der_enter(all, DER_SEQUENCE, &c, "TimeStampReq") || !take_version(&c) || !take_imprint(&c, &out->imprint) ||
	    (der_next_is(&c, DER_OID) && (out->policy = der_take_oid(&c, "reqPolicy")) == NULL) ||
	    (der_next_is(&c, DER_INTEGER) && !der_take(&c, DER_INTEGER, &out->nonce, "nonce")))
		return fail_in(all, &c);
	if (der_next_is(&c, DER_BOOLEAN)) {
		der_take(&c, DER_BOOLEAN, &wish, "certReq");
		out->certificate = wish.size == 1 && wish.data[0] != 0;
	}
	if (der_next_is(&c, DER_CONTEXT(0)) && !der_take(&c, DER_CONTEXT(0), &wish, "extensions"))
		return fail_in(all, &c);
	return cursor_left(&c) == 0 || cursor_refuse(all, "TimeStampReq", "%zu bytes too many", cursor_left(&c));
}

gboolean tst_query_read(GBytes *der, struct tst_query *out, GError **error)
{
	struct cursor c;
	gsize size;
	const void *data = g_bytes_get_data(der, &size);

	memset(out, 0, sizeof(*out));
	if (!der_check(data, size, WHAT_QUERY, error))
		return FALSE;
	cursor_init(&c, data, size);
	return take_query(&c, out) || cursor_fail(&c, WHAT_QUERY, error);
}

void tst_query_clear(struct tst_query *query)
{
	g_clear_pointer(&query->policy, g_free);
}
