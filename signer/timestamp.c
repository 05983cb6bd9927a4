/*
 * RFC 3161. The token is walked by our own reader, over its own bytes; OpenSSL's CMS verifies it once more, with the chain
 * judged for time stamping at the token's own time. OpenSSL's TS_RESP_verify_response() is not used: what TS_REQ_to_TS_VERIFY_CTX()
 * sets up accepts a token whose signature is corrupted, looks neither at the time nor at trailing bytes, and judges chains now.
 */
#include "signer/timestamp.h"

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "signer/certificate.h"
#include "gitops/cms.h"
#include "signer/tst_info.h"

#define RESPONSE_MAX (1024 * 1024) /* tokens have 3 to 10 KiB */
#define SKEW_MS (60 * 1000) /* between our clock and the authority's */
#define ACCURACY_MAX_MS (60 * 1000)
#define OID_TIME_STAMPING "1.3.6.1.5.5.7.3.8"
#define WHAT "timestamp response"

static gboolean refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean refuse(GError **error, const char *format, ...)
{
	g_autofree char *reason = NULL;
	va_list arguments;

	va_start(arguments, format);
	reason = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	error_refused(error, "timestamp: %s", reason);
	return FALSE;
}

GBytes *timestamp_query(GBytes *data, GError **error)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	size_t whole = der_open(out, DER_SEQUENCE), imprint;
	uint8_t digest[32], nonce[8];

	if (RAND_bytes(nonce, sizeof(nonce)) != 1) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "no random bytes for a timestamp's nonce");
		return NULL;
	}
	nonce[0] = (nonce[0] & 0x7F) | 0x40; /* positive, and always 8 octets */
	EVP_Digest(g_bytes_get_data(data, NULL), g_bytes_get_size(data), digest, NULL, EVP_sha256(), NULL);
	der_write_small(out, 1);
	imprint = der_open(out, DER_SEQUENCE);
	der_write_algorithm(out, cms_hash_named("sha256")->oid, TRUE);
	der_write(out, DER_OCTETS, digest, sizeof(digest));
	der_close(out, imprint);
	der_write_unsigned(out, nonce, sizeof(nonce));
	der_write(out, DER_BOOLEAN, "\xFF", 1);
	der_close(out, whole);
	return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

void timestamp_facts_clear(struct timestamp_facts *facts)
{
	g_clear_pointer(&facts->serial, g_free);
	g_clear_pointer(&facts->policy, g_free);
	g_clear_pointer(&facts->authority, g_free);
}

/* PKIStatusInfo's words, for the person who waits. */
static char *status_words(struct cursor *info)
{
	struct cursor texts;
	struct der text;

	if (!der_next_is(info, DER_SEQUENCE) || !der_enter(info, DER_SEQUENCE, &texts, "statusString") ||
	    !der_take_any(&texts, &text, "statusString"))
		return g_strdup("it gives no reason");
	return text_escape((const char *)text.data, text.size, 200);
}

GBytes *timestamp_token(GBytes *response, GError **error)
{
	struct cursor c, whole, info;
	struct der status, token;
	g_autofree char *words = NULL;

	if (g_bytes_get_size(response) > RESPONSE_MAX)
		return (void)refuse(error, "a response of more than 1 MiB"), NULL;
	if (!der_check(g_bytes_get_data(response, NULL), g_bytes_get_size(response), WHAT, error))
		return NULL;
	cursor_init(&c, g_bytes_get_data(response, NULL), g_bytes_get_size(response));
	if (!der_enter(&c, DER_SEQUENCE, &whole, "TimeStampResp") ||
	    !der_enter(&whole, DER_SEQUENCE, &info, "PKIStatusInfo"))
		return (void)cursor_fail(&whole, WHAT, error), NULL;
	if (!der_take(&info, DER_INTEGER, &status, "status"))
		return (void)cursor_fail(&info, WHAT, error), NULL;
	words = status_words(&info);
	if (status.size != 1 || status.data[0] > 1)
		return (void)refuse(error, "the authority refused (status %d): %s",
			   status.size == 1 ? status.data[0] : -1, words),
		       NULL;
	if (cursor_left(&whole) == 0)
		return (void)refuse(error, "the response says granted and holds no token"), NULL;
	if (!der_take(&whole, DER_SEQUENCE, &token, "token"))
		return (void)cursor_fail(&whole, WHAT, error), NULL;
	if (!cursor_end(&whole, WHAT, error))
		return NULL;
	return g_bytes_new(token.whole, token.whole_size);
}

/* The certificate is one for stamps and nothing else (RFC 3161, 2.3). */
static gboolean check_purpose(X509 *certificate, GError **error)
{
	int at = X509_get_ext_by_NID(certificate, NID_ext_key_usage, -1);
	EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
	int count = sk_ASN1_OBJECT_num(usage);
	uint32_t keys = X509_get_key_usage(certificate);

	EXTENDED_KEY_USAGE_free(usage);
	if (at < 0 || !certificate_has_purpose(certificate, OID_TIME_STAMPING))
		return refuse(error, "the authority's certificate is not one for timeStamping");
	if (!X509_EXTENSION_get_critical(X509_get_ext(certificate, at)))
		return refuse(error, "the timeStamping usage of the authority's certificate is not critical");
	if (count != 1)
		return refuse(error, "the authority's certificate is for more than timeStamping");
	if (keys != UINT32_MAX && (keys & ~(uint32_t)(KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) != 0)
		return refuse(error, "the authority's key may do more than sign");
	return TRUE;
}

static gboolean check_signer(const struct cms *cms, const struct cms_signer *signer, GError **error)
{
	uint8_t actual[EVP_MAX_MD_SIZE];
	gsize size, digest_size;
	const void *content = g_bytes_get_data(cms->content, &size);
	const void *digest = g_bytes_get_data(signer->attributes_digest, &digest_size);
	g_autofree char *flaw = cms_signer_flaw(signer);
	const char *id_flaw = cms_certificate_id_flaw(signer);

	EVP_Digest(content, size, actual, NULL, signer->hash->md(), NULL);
	if (memcmp(actual, digest, digest_size) != 0)
		return refuse(error, "the token's content is not what was signed");
	if (flaw != NULL)
		return refuse(error, "%s", flaw);
	if (cms_attribute_value(signer->attributes, OID_SIGNING_CERTIFICATE_V2) == NULL &&
	    cms_attribute_value(signer->attributes, OID_SIGNING_CERTIFICATE) == NULL)
		return refuse(error, "the token does not say with which certificate it was signed");
	return id_flaw != NULL ? refuse(error, "%s", id_flaw) : check_purpose(signer->certificate, error);
}

/* By OpenSSL as well, over its own reading of the token: signature, ESS, and the chain at the token's time. */
static gboolean check_by_openssl(GBytes *token, GBytes *roots, int64_t time_ms, GError **error)
{
	X509_STORE *store = certificate_store(roots, "the timestamp roots", error);
	const uint8_t *at = g_bytes_get_data(token, NULL);
	CMS_ContentInfo *cms;
	BIO *content;
	gboolean good;

	if (store == NULL)
		return FALSE;
	X509_STORE_set_purpose(store, X509_PURPOSE_TIMESTAMP_SIGN);
	X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store), time_ms / 1000);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_get0_param(store), 2);
	cms = d2i_CMS_ContentInfo(NULL, &at, g_bytes_get_size(token));
	content = BIO_new(BIO_s_mem());
	ERR_clear_error();
	good = cms != NULL && CMS_verify(cms, NULL, store, NULL, content, CMS_BINARY | CMS_CADES) == 1;
	if (!good) {
		const char *data = NULL;
		int flags = 0;
		unsigned long code = ERR_peek_last_error_all(NULL, NULL, NULL, &data, &flags);
		refuse(error, "no good chain to the timestamp roots given: %s%s%s",
		    code != 0 ? ERR_reason_error_string(code) : "unreadable", data != NULL && *data != '\0' ? ", " : "",
		    data != NULL ? data : "");
	}
	ERR_clear_error();
	BIO_free(content);
	CMS_ContentInfo_free(cms);
	X509_STORE_free(store);
	return good;
}

static gboolean san_holds(X509 *certificate, const struct der *name)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	gboolean found = FALSE;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		uint8_t *der = NULL;
		int size = i2d_GENERAL_NAME(sk_GENERAL_NAME_value(names, i), &der);
		found |= size > 0 && (size_t)size == name->whole_size && memcmp(der, name->whole, size) == 0;
		OPENSSL_free(der);
	}
	GENERAL_NAMES_free(names);
	return found;
}

/* `tsa`, where it is told, is a name of the certificate. */
static gboolean check_name(X509 *certificate, const struct der *name, GError **error)
{
	const unsigned char *subject;
	size_t size;

	X509_NAME_get0_der(X509_get_subject_name(certificate), &subject, &size);
	if (name->whole_size == 0 || san_holds(certificate, name))
		return TRUE;
	if (name->tag == DER_CONTEXT(4) && name->size == size && memcmp(name->data, subject, size) == 0)
		return TRUE;
	return refuse(error, "the token names another authority than its certificate does");
}

static gboolean check_query(const struct tst_info *info, const struct tst_query *query, GError **error)
{
	if (info->imprint.hash != query->imprint.hash ||
	    memcmp(info->imprint.value, query->imprint.value, info->imprint.size) != 0)
		return refuse(error, "the token is over other data than was asked for");
	if (query->nonce.size > 0 && (info->nonce.size != query->nonce.size ||
					 memcmp(info->nonce.data, query->nonce.data, info->nonce.size) != 0))
		return refuse(error, "the token's nonce is not the query's");
	if (query->policy != NULL && strcmp(query->policy, info->policy) != 0)
		return refuse(error, "the token's policy is %s and not the one asked for", info->policy);
	return TRUE;
}

static gboolean check_imprint(const struct tst_info *info, GBytes *data, GBytes *digest, GError **error)
{
	uint8_t actual[EVP_MAX_MD_SIZE];
	const uint8_t *expected = actual;
	gsize size = info->imprint.size;

	if (data != NULL)
		EVP_Digest(
		    g_bytes_get_data(data, NULL), g_bytes_get_size(data), actual, NULL, info->imprint.hash->md(), NULL);
	else if (digest != NULL)
		expected = g_bytes_get_data(digest, &size);
	else
		return TRUE;
	if (size == info->imprint.size && memcmp(expected, info->imprint.value, size) == 0)
		return TRUE;
	return refuse(error, "the token is over other data");
}

static void tell_facts(const struct tst_info *info, X509 *certificate, struct timestamp_facts *facts)
{
	facts->time_ms = info->time_ms;
	facts->serial = hex_encode(info->serial.data, info->serial.size);
	facts->policy = g_strdup(info->policy);
	facts->authority = certificate_subject(certificate);
}

struct wanted {
	GBytes *data, *digest; /* one, or neither */
	const struct tst_query *query; /* or NULL */
	int64_t earliest_ms, latest_ms; /* of the token's time */
	GBytes *roots; /* NULL: whose clock it is is not asked (timestamp_examine() alone) */
};

static gboolean check_info(const struct tst_info *info, const struct wanted *wanted, X509 *certificate, GError **error)
{
	g_autofree char *time = time_format_ms(info->time_ms);

	if (!check_imprint(info, wanted->data, wanted->digest, error) ||
	    (wanted->query != NULL && !check_query(info, wanted->query, error)))
		return FALSE;
	if (info->time_ms < wanted->earliest_ms || info->time_ms > wanted->latest_ms)
		return refuse(error, "its time %s is not within a minute of the exchange by our clock", time);
	if (info->accuracy_ms > ACCURACY_MAX_MS)
		return refuse(error, "its accuracy is worse than a minute");
	return check_name(certificate, &info->name, error);
}

static gboolean check_token(GBytes *token, const struct wanted *wanted, struct timestamp_facts *facts, GError **error)
{
	autoptr(cms) cms = cms_read(token, "timestamp token", error);
	const struct cms_signer *signer;
	struct tst_info info;
	gboolean good;

	if (cms == NULL)
		return FALSE;
	if (strcmp(cms->content_type, OID_TST_INFO) != 0 || cms->content == NULL)
		return refuse(error, "the token holds %s and no TSTInfo", cms->content_type);
	if (cms->signers->len != 1)
		return refuse(error, "the token has %u signers instead of one", cms->signers->len);
	signer = g_ptr_array_index(cms->signers, 0);
	if (!tst_info_read(cms->content, &info, error)) {
		tst_info_clear(&info);
		return FALSE;
	}
	good = check_signer(cms, signer, error) && check_info(&info, wanted, signer->certificate, error) &&
	       (wanted->roots == NULL || check_by_openssl(token, wanted->roots, info.time_ms, error));
	if (good && facts != NULL)
		tell_facts(&info, signer->certificate, facts);
	tst_info_clear(&info);
	return good;
}

static gboolean roots_given(GBytes *roots, GError **error)
{
	if (roots == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "a timestamp cannot be judged without the roots of its authority");
	return roots != NULL;
}

GBytes *timestamp_accept(GBytes *response, GBytes *query, GBytes *roots, int64_t sent_ms, int64_t received_ms,
    struct timestamp_facts *facts, GError **error)
{
	g_autoptr(GBytes) token = NULL;
	struct tst_query asked = { 0 };
	struct wanted wanted = {
		.query = &asked, .roots = roots, .earliest_ms = sent_ms - SKEW_MS, .latest_ms = received_ms + SKEW_MS
	};
	gboolean good = roots_given(roots, error) && tst_query_read(query, &asked, error) &&
			(token = timestamp_token(response, error)) != NULL && check_token(token, &wanted, facts, error);

	tst_query_clear(&asked);
	return good ? g_steal_pointer(&token) : NULL;
}

/* A TimeStampResp begins with a SEQUENCE in its SEQUENCE, a token with an OBJECT IDENTIFIER. */
static gboolean is_response(GBytes *bytes)
{
	struct cursor c, whole;

	cursor_init(&c, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
	return der_enter(&c, DER_SEQUENCE, &whole, "it") && der_next_is(&whole, DER_SEQUENCE);
}

gboolean timestamp_verify(GBytes *token, GBytes *data, GBytes *digest, GBytes *query, GBytes *roots,
    struct timestamp_facts *facts, GError **error)
{
	g_autoptr(GBytes) inside = NULL;
	struct tst_query asked = { 0 };
	struct wanted wanted = { .data = data,
		.digest = digest,
		.query = query != NULL ? &asked : NULL,
		.roots = roots,
		.earliest_ms = 0,
		.latest_ms = time_now_ms() + SKEW_MS };
	gboolean good;

	if (!roots_given(roots, error))
		return FALSE;
	if (data == NULL && digest == NULL && query == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
		    "a timestamp is verified over data, a digest or a query");
		return FALSE;
	}
	inside = is_response(token) ? timestamp_token(token, error) : g_bytes_ref(token);
	good = inside != NULL && (query == NULL || tst_query_read(query, &asked, error)) &&
	       check_token(inside, &wanted, facts, error);
	tst_query_clear(&asked);
	return good;
}

gboolean timestamp_examine(GBytes *token, GBytes *data, GBytes *query, struct timestamp_facts *facts, GError **error)
{
	struct tst_query asked = { 0 };
	struct wanted wanted = { .data = data, .query = &asked, .earliest_ms = 0, .latest_ms = time_now_ms() + SKEW_MS };
	gboolean good = tst_query_read(query, &asked, error);

	/* Without a nonce, and without a wish for the certificate, it is no query of ours. */
	if (good && (asked.nonce.size == 0 || !asked.certificate))
		good = refuse(error, "the query asks for no nonce, or not for the certificate");
	good = good && check_token(token, &wanted, facts, error);
	tst_query_clear(&asked);
	return good;
}

gboolean timestamp_proves(GBytes *token, GBytes *data, const void *roots, int64_t *time_ms, GError **error)
{
	struct timestamp_facts facts = { 0 };

	if (!timestamp_verify(token, data, NULL, NULL, (GBytes *)roots, &facts, error))
		return FALSE;
	*time_ms = facts.time_ms;
	timestamp_facts_clear(&facts);
	return TRUE;
}

gboolean timestamp_claimed_ms(GBytes *token, int64_t *time_ms)
{
	autoptr(cms) cms = cms_read(token, "timestamp token", NULL);
	struct tst_info info = { 0 };
	gboolean good = cms != NULL && cms->content != NULL && tst_info_read(cms->content, &info, NULL);

	if (good)
		*time_ms = info.time_ms;
	tst_info_clear(&info);
	return good;
}
