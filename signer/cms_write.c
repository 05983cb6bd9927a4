#include <string.h>

#include "signer/cms_write.h"

#define OID_RSA "1.2.840.113549.1.1.1"

GBytes *cms_attribute_new(const char *oid, GBytes *value)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	size_t mark = der_open(out, DER_SEQUENCE), set;

	der_write_oid(out, oid);
	set = der_open(out, DER_SET);
	der_write_bytes(out, value);
	der_close(out, set);
	der_close(out, mark);
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

void cms_attribute_add(GPtrArray *attributes, const char *oid, GBytes *value)
{
	g_ptr_array_add(attributes, cms_attribute_new(oid, value));
	g_bytes_unref(value);
}

static GBytes *certificate_der(X509 *certificate)
{
	uint8_t *der = NULL;
	int size = i2d_X509(certificate, &der);
	GBytes *bytes = g_bytes_new(der, size);

	OPENSSL_free(der);
	return bytes;
}

static void write_certificates(GByteArray *out, STACK_OF(X509) * certificates)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);

	for (int i = 0; i < sk_X509_num(certificates); i++)
		g_ptr_array_add(all, certificate_der(sk_X509_value(certificates, i)));
	der_write_set(out, DER_CONTEXT(0), all);
}

/* IssuerAndSerialNumber, as the certificate itself encodes both. */
static void write_signer_name(GByteArray *out, X509 *leaf)
{
	size_t mark = der_open(out, DER_SEQUENCE);
	uint8_t *serial = NULL;
	const unsigned char *name;
	size_t name_size;
	int serial_size = i2d_ASN1_INTEGER(X509_get0_serialNumber(leaf), &serial);

	X509_NAME_get0_der(X509_get_issuer_name(leaf), &name, &name_size);
	g_byte_array_append(out, name, name_size);
	g_byte_array_append(out, serial, serial_size);
	OPENSSL_free(serial);
	der_close(out, mark);
}

static void write_token(GByteArray *out, const struct cms_recipe *r)
{
	size_t mark = der_open(out, DER_CONTEXT(1));
	g_autoptr(GBytes) attribute = cms_attribute_new(r->token_oid, r->token);

	der_write_bytes(out, attribute);
	der_close(out, mark);
}

static void write_signer(GByteArray *out, const struct cms_recipe *r)
{
	X509 *leaf = sk_X509_value(r->certificates, 0);
	gboolean rsa = EVP_PKEY_get_base_id(X509_get0_pubkey(leaf)) == EVP_PKEY_RSA;
	size_t mark = der_open(out, DER_SEQUENCE), attributes;
	gsize size;
	const void *signature = g_bytes_get_data(r->signature, &size);

	der_write_small(out, 1);
	write_signer_name(out, leaf);
	der_write_algorithm(out, r->hash->oid, r->null_parameters);
	attributes = out->len;
	der_write_bytes(out, r->attributes);
	out->data[attributes] = DER_CONTEXT(0);
	der_write_algorithm(out, rsa ? OID_RSA : r->hash->ecdsa, rsa);
	der_write(out, DER_OCTETS, signature, size);
	if (r->token != NULL)
		write_token(out, r);
	der_close(out, mark);
}

static void write_content(GByteArray *out, const struct cms_recipe *r)
{
	size_t mark = der_open(out, DER_SEQUENCE), wrapped;

	der_write_oid(out, r->content_type);
	if (r->content_element != NULL) {
		wrapped = der_open(out, DER_CONTEXT(0));
		der_write_bytes(out, r->content_element);
		der_close(out, wrapped);
	}
	der_close(out, mark);
}

GBytes *cms_write(const struct cms_recipe *r, GError **error)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	size_t info, wrapped, data, set;

	if (!cms_signature_verifies(sk_X509_value(r->certificates, 0), r->hash, r->attributes, r->signature, error))
		return NULL;
	info = der_open(out, DER_SEQUENCE);
	der_write_oid(out, OID_SIGNED_DATA);
	wrapped = der_open(out, DER_CONTEXT(0));
	data = der_open(out, DER_SEQUENCE);
	der_write_small(out, 1);
	set = der_open(out, DER_SET);
	der_write_algorithm(out, r->hash->oid, r->null_parameters);
	der_close(out, set);
	write_content(out, r);
	write_certificates(out, r->certificates);
	set = der_open(out, DER_SET);
	write_signer(out, r);
	der_close(out, set);
	der_close(out, data);
	der_close(out, wrapped);
	der_close(out, info);
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

/* All unsigned attributes of the signer, with `value` added to (or as) `oid`. */
static void write_unsigned(GByteArray *out, const struct cms_signer *signer, const char *oid, GBytes *value)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	gboolean added = FALSE;

	for (guint i = 0; i < signer->unsigned_attributes->len; i++) {
		const struct cms_attribute *a = g_ptr_array_index(signer->unsigned_attributes, i);
		g_autoptr(GPtrArray) values = g_ptr_array_new();
		GByteArray *one = g_byte_array_new();
		size_t mark = der_open(one, DER_SEQUENCE);
		for (guint j = 0; j < a->values->len; j++)
			g_ptr_array_add(values, g_ptr_array_index(a->values, j));
		if (strcmp(a->oid, oid) == 0) {
			g_ptr_array_add(values, value);
			added = TRUE;
		}
		der_write_oid(one, a->oid);
		der_write_set(one, DER_SET, values);
		der_close(one, mark);
		g_ptr_array_add(all, g_byte_array_free_to_bytes(one));
	}
	if (!added)
		g_ptr_array_add(all, cms_attribute_new(oid, value));
	der_write_set(out, DER_CONTEXT(1), all);
}

static void copy_range(GByteArray *out, const uint8_t *from, const uint8_t *to)
{
	g_byte_array_append(out, from, to - from);
}

/* The message is copied as it stands; only the signer's unsigned attributes and the lengths around them are made anew. */
GBytes *cms_add_unsigned(const struct cms *cms, const char *oid, GBytes *value, GError **error)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	struct cursor c, info, wrapped, data, set, signer;
	struct der any;
	size_t marks[5];
	const uint8_t *fixed;

	if (cms->signers->len != 1) {
		error_refused(error, "a signature with %u signers cannot be added to", cms->signers->len);
		return NULL;
	}
	cursor_init(&c, g_bytes_get_data(cms->der, NULL), g_bytes_get_size(cms->der));
	der_enter(&c, DER_SEQUENCE, &info, "message");
	der_take(&info, DER_OID, &any, "message's type");
	marks[0] = der_open(out, DER_SEQUENCE);
	g_byte_array_append(out, any.whole, any.whole_size);
	der_enter(&info, DER_CONTEXT(0), &wrapped, "message");
	marks[1] = der_open(out, DER_CONTEXT(0));
	der_enter(&wrapped, DER_SEQUENCE, &data, "message");
	marks[2] = der_open(out, DER_SEQUENCE);
	fixed = data.data + data.at;
	do
		der_take_any(&data, &any, "message");
	while (cursor_left(&data) > 0);
	copy_range(out, fixed, any.whole);
	marks[3] = der_open(out, DER_SET);
	cursor_init(&set, any.data, any.size);
	der_enter(&set, DER_SEQUENCE, &signer, "signer");
	marks[4] = der_open(out, DER_SEQUENCE);
	fixed = signer.data + signer.at;
	while (cursor_left(&signer) > 0 && !(der_next_is(&signer, DER_CONTEXT(1))))
		der_take_any(&signer, &any, "signer");
	copy_range(out, fixed, signer.data + signer.at);
	write_unsigned(out, g_ptr_array_index(cms->signers, 0), oid, value);
	for (int i = 4; i >= 0; i--)
		der_close(out, marks[i]);
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}
