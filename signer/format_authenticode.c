/*
 * Authenticode for PE images (Microsoft, "Windows Authenticode Portable Executable Signature Format"): a PKCS#7 SignedData over
 * SpcIndirectDataContent, in the certificate table. What is signed is deterministic: no signing time stands in it, the RFC 3161
 * token tells the time.
 */
#include <errno.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "signer/certificate.h"
#include "signer/cms_write.h"
#include "signer/format.h"
#include "signer/pe.h"

extern const struct format format_authenticode;

#define OID_STATEMENT_TYPE "1.3.6.1.4.1.311.2.1.11"
#define OID_OPUS_INFO "1.3.6.1.4.1.311.2.1.12"
#define OID_PE_IMAGE_DATA "1.3.6.1.4.1.311.2.1.15"
#define OID_INDIVIDUAL "1.3.6.1.4.1.311.2.1.21"
#define TEXT_MAX 1024 /* of a description or URL */
#define NESTING_MAX 1

static gboolean supports(const char *type)
{
	return strcmp(type, "pe") == 0;
}

static const struct cms_hash *hash_of(const char *name, GError **error)
{
	const struct cms_hash *hash = cms_hash_named(name);

	if (hash == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "Authenticode has no hash \"%s\": sha256, sha384 or sha512", name);
	return hash;
}

/* Signatures already there: refused, or to be added to only if the first of them is good. */
static gboolean check_signed(int fd, const struct format_parameters *p, GError **error)
{
	g_autoptr(GPtrArray) present = NULL;
	const struct format_signature *first;

	if (p->replace)
		return TRUE;
	if (!p->append) {
		error_refused(error,
		    "the file bears an Authenticode signature already: --append adds to it, --replace takes it out");
		return FALSE;
	}
	present = format_authenticode.read(fd, NULL, NULL, error);
	if (present == NULL)
		return FALSE;
	first = g_ptr_array_index(present, 0);
	if (first->digest_matches && first->intact)
		return TRUE;
	error_refused(error, "nothing is added to a signature that is not good: %s", first->why);
	return FALSE;
}

static gboolean authenticode_digest(int fd, const struct format_parameters *p, struct format_digest *out, GError **error)
{
	const struct cms_hash *hash = hash_of(p->hash, error);
	struct pe pe;

	memset(out, 0, sizeof(*out));
	if (hash == NULL || !pe_read(fd, &pe, error))
		return FALSE;
	if (pe.table_size > 0 && !check_signed(fd, p, error))
		return FALSE;
	if (!pe_digest(fd, &pe, hash->md(), out->value, error))
		return FALSE;
	out->hash = g_strdup(hash->name);
	out->size = EVP_MD_get_size(hash->md());
	out->file_size = pe.size;
	out->was_signed = pe.table_size > 0;
	return TRUE;
}

/* SpcPeImageData without resources, its file an empty string: what today's signtool writes. */
static void write_image_data(GByteArray *out)
{
	static const uint8_t value[] = { 0x30, 0x09, 0x03, 0x01, 0x00, 0xA0, 0x04, 0xA2, 0x02, 0x80, 0x00 };
	size_t mark = der_open(out, DER_SEQUENCE);

	der_write_oid(out, OID_PE_IMAGE_DATA);
	g_byte_array_append(out, value, sizeof(value));
	der_close(out, mark);
}

static GBytes *indirect_data(const struct format_digest *d, const struct cms_hash *hash)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	size_t mark = der_open(out, DER_SEQUENCE), digest;

	write_image_data(out);
	digest = der_open(out, DER_SEQUENCE);
	der_write_algorithm(out, hash->oid, TRUE);
	der_write(out, DER_OCTETS, d->value, d->size);
	der_close(out, digest);
	der_close(out, mark);
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

/* SpcString: ASCII as it is, anything else as UTF-16BE. */
static gboolean write_program_name(GByteArray *out, const char *text, GError **error)
{
	size_t mark = der_open(out, DER_CONTEXT(0));
	g_autofree gunichar2 *wide = NULL;
	glong count = 0;

	if (g_str_is_ascii(text))
		der_write(out, DER_CONTEXT_PRIMITIVE(1), text, strlen(text));
	else {
		wide = g_utf8_to_utf16(text, -1, NULL, &count, NULL);
		if (wide == NULL) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "the description is not UTF-8");
			return FALSE;
		}
		for (glong i = 0; i < count; i++)
			wide[i] = GUINT16_TO_BE(wide[i]);
		der_write(out, DER_CONTEXT_PRIMITIVE(0), wide, count * 2);
	}
	der_close(out, mark);
	return TRUE;
}

static GBytes *opus_info(const struct format_parameters *p, GError **error)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	size_t mark = der_open(out, DER_SEQUENCE), url;

	if ((p->description != NULL && strlen(p->description) > TEXT_MAX) ||
	    (p->url != NULL && (strlen(p->url) > TEXT_MAX || !g_str_is_ascii(p->url)))) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "description and URL have at most %d bytes, and the URL is ASCII", TEXT_MAX);
		return NULL;
	}
	if (p->description != NULL && !write_program_name(out, p->description, error))
		return NULL;
	if (p->url != NULL) {
		url = der_open(out, DER_CONTEXT(1));
		der_write(out, DER_CONTEXT_PRIMITIVE(0), p->url, strlen(p->url));
		der_close(out, url);
	}
	der_close(out, mark);
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

static GBytes *element_of_oid(const char *oid)
{
	GByteArray *out = g_byte_array_new();

	der_write_oid(out, oid);
	return g_byte_array_free_to_bytes(out);
}

static GBytes *statement_type(void)
{
	GByteArray *out = g_byte_array_new();
	size_t mark = der_open(out, DER_SEQUENCE);

	der_write_oid(out, OID_INDIVIDUAL);
	der_close(out, mark);
	return g_byte_array_free_to_bytes(out);
}

/* As in PKCS#7: over the contents of the SEQUENCE, without its tag and length. */
static GBytes *message_digest(GBytes *content_element, const struct cms_hash *hash)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	uint8_t value[EVP_MAX_MD_SIZE];
	struct cursor c;
	struct der sequence;

	cursor_init(&c, g_bytes_get_data(content_element, NULL), g_bytes_get_size(content_element));
	der_take_any(&c, &sequence, "content");
	EVP_Digest(sequence.data, sequence.size, value, NULL, hash->md(), NULL);
	der_write(out, DER_OCTETS, value, EVP_MD_get_size(hash->md()));
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

static GBytes *to_be_signed(const struct format_digest *d, const struct format_parameters *p, GError **error)
{
	g_autoptr(GPtrArray) attributes = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	g_autoptr(GBytes) content = NULL, opus = NULL;
	const struct cms_hash *hash = hash_of(d->hash, error);
	GByteArray *out;

	if (hash == NULL || (opus = opus_info(p, error)) == NULL)
		return NULL;
	content = indirect_data(d, hash);
	cms_attribute_add(attributes, OID_CONTENT_TYPE, element_of_oid(OID_SPC_INDIRECT_DATA));
	cms_attribute_add(attributes, OID_STATEMENT_TYPE, statement_type());
	cms_attribute_add(attributes, OID_OPUS_INFO, g_bytes_ref(opus));
	cms_attribute_add(attributes, OID_MESSAGE_DIGEST, message_digest(content, hash));
	out = g_byte_array_new();
	der_write_set(out, DER_SET, attributes);
	return g_byte_array_free_to_bytes(out);
}

static GBytes *signed_data(
    const struct format_digest *d, const struct format_parameters *p, GBytes *signature, GBytes *token, GError **error)
{
	STACK_OF(X509) *certificates = certificates_load(p->certificates, p->time_ms, error);
	g_autoptr(GBytes) attributes = certificates != NULL ? to_be_signed(d, p, error) : NULL;
	g_autoptr(GBytes) content = NULL;
	GBytes *cms = NULL;

	if (attributes != NULL) {
		content = indirect_data(d, cms_hash_named(d->hash));
		cms = cms_write(&(struct cms_recipe){ .content_type = OID_SPC_INDIRECT_DATA,
				    .content_element = content,
				    .certificates = certificates,
				    .hash = cms_hash_named(d->hash),
				    .attributes = attributes,
				    .signature = signature,
				    .token_oid = OID_AUTHENTICODE_TOKEN,
				    .token = token,
				    .null_parameters = TRUE },
		    error);
	}
	sk_X509_pop_free(certificates, X509_free);
	return cms;
}

/* Puts a signature as a nested one into the first that is there. */
static GBytes *nest(int in, const struct pe *pe, GBytes *signature, GError **error)
{
	g_autoptr(GPtrArray) present = pe_certificates(in, pe, error);
	autoptr(cms) first = NULL;

	if (present == NULL)
		return NULL;
	if (present->len != 1) {
		error_refused(error, "the image has %u certificate entries: none of them is added to", present->len);
		return NULL;
	}
	first = cms_read(g_ptr_array_index(present, 0), "the signature already there", error);
	return first != NULL ? cms_add_unsigned(first, OID_NESTED_SIGNATURE, signature, error) : NULL;
}

static gboolean attach(int in, int out, const struct format_digest *d, const struct format_parameters *p,
    GBytes *signature, GBytes *token, GError **error)
{
	g_autoptr(GBytes) cms = signed_data(d, p, signature, token, error);
	g_autoptr(GBytes) whole = NULL;
	struct pe pe;

	if (cms == NULL || !pe_read(in, &pe, error))
		return FALSE;
	if (pe.table_size > 0 && p->append)
		whole = nest(in, &pe, cms, error);
	else if (pe.table_size == 0 || p->replace)
		whole = g_bytes_ref(cms);
	else
		error_refused(error, "the file bears a signature already");
	return whole != NULL && pe_write(in, out, &pe, whole, error);
}

struct reading {
	int fd;
	const struct pe *pe;
	uint32_t checksum;
	GPtrArray *found;
};

/* SpcIndirectDataContent: its type is a PE image's, its digest is returned. The rest of the image data means nothing. */
static gboolean read_indirect_data(
    const struct cms *cms, const struct cms_hash **hash, const uint8_t **digest, GError **error)
{
	static const char what[] = "SpcIndirectDataContent";
	g_autofree char *type = NULL, *algorithm = NULL;
	struct cursor c, whole, data, info;
	struct der value;

	if (strcmp(cms->content_type, OID_SPC_INDIRECT_DATA) != 0 || cms->content == NULL) {
		error_refused(error, "the signature's content is %s and not %s", cms->content_type, what);
		return FALSE;
	}
	cursor_init(&c, g_bytes_get_data(cms->content_element, NULL), g_bytes_get_size(cms->content_element));
	if (!der_enter(&c, DER_SEQUENCE, &whole, what) || !der_enter(&whole, DER_SEQUENCE, &data, "data"))
		return cursor_fail(&whole, what, error);
	if ((type = der_take_oid(&data, "type")) == NULL)
		return cursor_fail(&data, what, error);
	/* Debian's signer of EFI images writes the purpose's identifier there, which no other kind of file has. */
	if (strcmp(type, OID_PE_IMAGE_DATA) != 0 && strcmp(type, OID_INDIVIDUAL) != 0) {
		error_refused(error, "the signature is one of another kind of file (%s), not of a PE image", type);
		return FALSE;
	}
	if (!der_enter(&whole, DER_SEQUENCE, &info, "messageDigest") ||
	    (algorithm = der_take_algorithm(&info, NULL, "digestAlgorithm")) == NULL ||
	    !der_take(&info, DER_OCTETS, &value, "digest"))
		return cursor_fail(&info, what, error);
	*hash = cms_hash_of_oid(algorithm);
	if (*hash == NULL || value.size != (size_t)EVP_MD_get_size((*hash)->md())) {
		error_refused(error, "the file's digest is %s, and not SHA-256, SHA-384 or SHA-512",
		    cms_hash_old_name(algorithm) != NULL ? cms_hash_old_name(algorithm) : algorithm);
		return FALSE;
	}
	*digest = value.data;
	return cursor_end(&info, what, error) && cursor_end(&whole, what, error);
}

static gboolean compare_digest(const struct reading *r, const struct cms_hash *hash, const uint8_t *claimed,
    struct format_signature *s, GError **error)
{
	uint8_t actual[EVP_MAX_MD_SIZE];
	size_t size = EVP_MD_get_size(hash->md());
	g_autofree char *hex = hex_encode(claimed, size);

	if (!pe_digest(r->fd, r->pe, hash->md(), actual, error))
		return FALSE;
	s->digest = g_strdup_printf("%s:%s", hash->name, hex);
	if (memcmp(actual, claimed, size) != 0)
		s->why = g_strdup("the file's digest is not the one that was signed: the file was changed");
	else if (r->pe->checksum != r->checksum)
		s->why =
		    g_strdup_printf("the header's checksum is %08X where %08X is right", r->pe->checksum, r->checksum);
	s->digest_matches = s->why == NULL;
	return TRUE;
}

static void check_intact(const struct cms *cms, const struct cms_signer *signer, struct format_signature *s)
{
	uint8_t actual[EVP_MAX_MD_SIZE];
	gsize size, expected_size;
	const void *content = g_bytes_get_data(cms->content, &size);
	const void *expected = g_bytes_get_data(signer->attributes_digest, &expected_size);
	g_autofree char *flaw = cms_signer_flaw(signer);

	EVP_Digest(content, size, actual, NULL, signer->hash->md(), NULL);
	if (flaw == NULL && memcmp(actual, expected, expected_size) != 0)
		flaw = g_strdup("its messageDigest attribute is not the content's");
	s->intact = flaw == NULL;
	if (s->why == NULL)
		s->why = g_steal_pointer(&flaw);
}

static gboolean read_one(struct reading *r, GBytes *der, guint nesting, GError **error);

static gboolean read_nested(struct reading *r, const struct cms_signer *signer, guint nesting, GError **error)
{
	GPtrArray *values = cms_attribute_values(signer->unsigned_attributes, OID_NESTED_SIGNATURE);

	if (values != NULL && nesting == NESTING_MAX) {
		error_refused(error, "a signature is nested in a nested one: Windows does not look there");
		return FALSE;
	}
	for (guint i = 0; values != NULL && i < values->len; i++)
		if (!read_one(r, g_ptr_array_index(values, i), nesting + 1, error))
			return FALSE;
	return TRUE;
}

static gboolean read_one(struct reading *r, GBytes *der, guint nesting, GError **error)
{
	autoptr(cms) cms = cms_read(der, nesting > 0 ? "nested Authenticode signature" : "Authenticode signature", error);
	const struct cms_signer *signer;
	const struct cms_hash *hash;
	const uint8_t *digest;
	struct format_signature *s;
	GBytes *token;

	if (cms == NULL || !read_indirect_data(cms, &hash, &digest, error))
		return FALSE;
	if (cms->signers->len != 1) {
		error_refused(error, "the signature has %u signers where Authenticode has one", cms->signers->len);
		return FALSE;
	}
	signer = g_ptr_array_index(cms->signers, 0);
	s = g_new0(struct format_signature, 1);
	g_ptr_array_add(r->found, s);
	s->format = g_strdup("authenticode");
	s->certificate = signer->certificate;
	X509_up_ref(s->certificate);
	s->key = certificate_sha256(s->certificate);
	s->signature = g_bytes_ref(signer->signature);
	s->cms = g_bytes_ref(der);
	s->nesting = nesting;
	token = cms_attribute_value(signer->unsigned_attributes, OID_AUTHENTICODE_TOKEN);
	s->token = token != NULL ? g_bytes_ref(token) : NULL;
	if (!compare_digest(r, hash, digest, s, error))
		return FALSE;
	check_intact(cms, signer, s);
	return read_nested(r, signer, nesting, error);
}

static GPtrArray *authenticode_read(int fd, GBytes *detached G_GNUC_UNUSED, GBytes *keys G_GNUC_UNUSED, GError **error)
{
	g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)format_signature_free);
	g_autoptr(GPtrArray) entries = NULL;
	struct pe pe;
	struct reading r = { .fd = fd, .pe = &pe, .found = found };

	if (!pe_read(fd, &pe, error) || (entries = pe_certificates(fd, &pe, error)) == NULL)
		return NULL;
	if (entries->len > 0 && !pe_checksum(fd, &pe, &r.checksum, error))
		return NULL;
	for (guint i = 0; i < entries->len; i++)
		if (!read_one(&r, g_ptr_array_index(entries, i), 0, error))
			return NULL;
	return g_steal_pointer(&found);
}

static gboolean strip(int in, int out, GError **error)
{
	struct pe pe;

	if (!pe_read(in, &pe, error))
		return FALSE;
	if (pe.table_size > 0)
		return pe_write(in, out, &pe, NULL, error);
	error_refused(error, "there is no signature in it to take out");
	return FALSE;
}

const struct format format_authenticode = {
	.name = "authenticode",
	.stamped = TRUE,
	.supports = supports,
	.digest = authenticode_digest,
	.to_be_signed = to_be_signed,
	.attach = attach,
	.read = authenticode_read,
	.strip = strip,
};
