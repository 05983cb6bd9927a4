#include "signer/verify.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/ssh.h"
#include "signer/allowed_signers.h"
#include "signer/certificate.h"
#include "gitops/cms.h"
#include "signer/file_digest.h"
#include "signer/timestamp.h"
#include "signer/type.h"

#define SSH_NAMESPACE "file"
#define CLOCK_SKEW_MS (10 * 60 * 1000)

/* What a detached signature is, by its first bytes. NULL for what nobody knows. */
static const char *detached_format(GBytes *detached)
{
	static const struct {
		const char *start, *format;
	} starts[] = {
		{ "-----BEGIN CMS-----", "cms" },
		{ "-----BEGIN PKCS7-----", "cms" },
		{ "-----BEGIN PGP SIGNATURE-----", "openpgp" },
		{ "-----BEGIN SSH SIGNATURE-----", "sshsig" },
		{ "\x30", "cms" },
		{ "\x88", "openpgp" }, /* signature packets: old headers with a length of 1 or 2 octets, and the new one */
		{ "\x89", "openpgp" },
		{ "\xC2", "openpgp" },
	};
	gsize size;
	const char *data = g_bytes_get_data(detached, &size);

	for (guint i = 0; i < G_N_ELEMENTS(starts); i++) {
		size_t length = strlen(starts[i].start);
		if (size >= length && memcmp(data, starts[i].start, length) == 0)
			return starts[i].format;
	}
	return NULL;
}

static const struct format *format_of_detached(GBytes *detached, GError **error)
{
	const char *name = detached_format(detached);
	const struct format *format = name != NULL ? format_named(name) : NULL;

	if (name == NULL)
		error_refused(error, "the detached signature is neither CMS, OpenPGP nor SSH");
	else if (format == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "this program does not verify detached signatures of the format %s", name);
	return format;
}

static const struct format *format_of_file(int fd, GError **error)
{
	const struct file_type *type = file_type_of(fd);
	const struct format *format;

	if (type->structure != NULL && !type->structure(fd, NULL, error))
		return NULL;
	if (type->native_format == NULL) {
		error_refused(
		    error, "a file of type %s holds no signature: name the one beside it with --detached", type->name);
		return NULL;
	}
	format = format_native(type);
	if (format == NULL)
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "this program cannot verify the signatures inside a file of type %s yet", type->name);
	return format;
}

/* One signature on its way through the checks, with what is told of it. */
struct judged {
	const struct verify_options *options;
	const struct format_signature *signature;
	struct json *report;
	struct timestamp_facts stamp;
	int64_t time_ms; /* when it counts as made */
};

static void report_certificate(const struct judged *j)
{
	X509 *certificate = j->signature->certificate;
	g_autofree char *subject = certificate_subject(certificate), *issuer = certificate_issuer(certificate);
	g_autofree char *serial = certificate_serial(certificate);

	json_set_string(j->report, "subject", subject);
	json_set_string(j->report, "issuer", issuer);
	json_set_string(j->report, "serial", serial);
}

static void report_signature(const struct judged *j)
{
	json_set_string(j->report, "format", j->signature->format);
	json_set_string(j->report, "digest", j->signature->digest);
	json_set_string(j->report, "key", j->signature->key);
	json_set_integer(j->report, "nesting", j->signature->nesting);
	json_set_boolean(j->report, "stamped", j->signature->token != NULL);
	if (j->signature->certificate != NULL)
		report_certificate(j);
}

static void report_stamp(const struct judged *j)
{
	struct json *stamp = json_object_new();
	g_autofree char *time = time_format_ms(j->stamp.time_ms);

	json_set_string(stamp, "time", time);
	json_set_string(stamp, "authority", j->stamp.authority);
	json_set_string(stamp, "policy", j->stamp.policy);
	json_set_string(stamp, "serial", j->stamp.serial);
	json_set(j->report, "timestamp", stamp);
}

static gboolean judge_stamp(struct judged *j, GError **error)
{
	const struct format_signature *s = j->signature;

	if (s->token == NULL)
		return TRUE;
	if (!timestamp_verify(s->token, s->signature, NULL, NULL, j->options->timestamp_roots, &j->stamp, error))
		return FALSE;
	report_stamp(j);
	/* A lifetime-signing certificate wants its stamp not to prolong it. */
	if (s->certificate == NULL || !certificate_has_purpose(s->certificate, OID_LIFETIME_SIGNING))
		j->time_ms = j->stamp.time_ms;
	return TRUE;
}

static gboolean judge_certificate(struct judged *j, GError **error)
{
	const struct format_signature *s = j->signature;
	const char *weakness = certificate_weakness(s->certificate);
	g_autofree char *subject = certificate_subject(s->certificate);
	autoptr(cms) cms = NULL;

	if (weakness != NULL) {
		error_refused(error, "the certificate of %s may not sign code: %s", subject, weakness);
		return FALSE;
	}
	if (j->options->roots == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "whether %s is to be trusted cannot be judged without roots: give them with --roots", subject);
		return FALSE;
	}
	cms = cms_read(s->cms, "the signature", error);
	return cms != NULL && certificate_chains(s->certificate, cms->certificates, j->options->roots, j->time_ms, error);
}

/*
 * OpenPGP has no stamp, so what a signature says of when it was made proves nothing: it must be good at the time that is asked
 * for.
 */
static gboolean judge_dates(const struct judged *j, GError **error)
{
	const struct format_signature *s = j->signature;
	g_autofree char *made = time_format_ms(s->made_ms), *expires = time_format_ms(s->expires_ms);

	if (s->made_ms > j->time_ms + CLOCK_SKEW_MS)
		error_refused(
		    error, "%s signature: it was made at %s, after the time that it is judged at", s->format, made);
	else if (s->expires_ms != 0 && s->expires_ms <= j->time_ms)
		error_refused(error,
		    "%s signature: it or its key expired at %s; if you saw it before then, say when with --at",
		    s->format, expires);
	else
		return TRUE;
	return FALSE;
}

/* FALSE and UNKNOWN where a root or key is missing, FALSE and REFUSED where it is bad. */
static gboolean judge_trust(struct judged *j, GError **error)
{
	g_autoptr(GError) unknown = NULL;

	if (!judge_stamp(j, &unknown)) {
		if (!g_error_matches(unknown, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN)) {
			g_propagate_error(error, g_steal_pointer(&unknown));
			return FALSE;
		}
		/* Nothing will be called good below; but a chain that held when the stamp says is not called bad either. */
		timestamp_claimed_ms(j->signature->token, &j->time_ms);
	}
	/* OpenPGP: read() found the key among those given, which are the ones trusted. */
	if (!(j->signature->certificate != NULL ? judge_certificate(j, error) : judge_dates(j, error)))
		return FALSE;
	if (unknown == NULL)
		return TRUE;
	g_propagate_error(error, g_steal_pointer(&unknown));
	return FALSE;
}

static gboolean judge_bytes(const struct judged *j, GError **error)
{
	const struct format_signature *s = j->signature;

	if (s->digest_matches && s->intact)
		return TRUE;
	error_refused(error, "%s signature: %s", s->format, s->why != NULL ? s->why : "it does not verify");
	return FALSE;
}

static gboolean judge_one(
    const struct verify_options *options, const struct format_signature *s, struct json *all, GError **error)
{
	struct judged j = { .options = options,
		.signature = s,
		.report = json_object_new(),
		.time_ms = options->at_ms != 0 ? options->at_ms : time_now_ms() };
	g_autoptr(GError) why = NULL;
	g_autofree char *time = NULL;
	gboolean good;

	report_signature(&j);
	good = judge_bytes(&j, &why) && judge_trust(&j, &why);
	time = time_format_ms(j.time_ms);
	json_set_string(j.report, "time", time);
	json_set_boolean(j.report, "good", good);
	json_set_string(j.report, "why", good ? NULL : why->message);
	json_append(all, j.report);
	timestamp_facts_clear(&j.stamp);
	if (!good)
		g_propagate_error(error, g_steal_pointer(&why));
	return good;
}

/* Each signature is judged, so that the report is whole; what is bad is told before what could not be found out. */
static gboolean judge_all(const struct verify_options *options, const GPtrArray *found, struct json *all, GError **error)
{
	g_autoptr(GError) worst = NULL;

	for (guint i = 0; i < found->len; i++) {
		g_autoptr(GError) why = NULL;
		if (judge_one(options, g_ptr_array_index(found, i), all, &why))
			continue;
		if (worst == NULL || (!g_error_matches(worst, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED) &&
					 g_error_matches(why, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED))) {
			g_clear_error(&worst);
			worst = g_steal_pointer(&why);
		}
	}
	if (worst == NULL)
		return TRUE;
	g_propagate_error(error, g_steal_pointer(&worst));
	return FALSE;
}

/* The principals whose key signed the file so; NULL with the reason. */
static char *ssh_signer(
    int fd, const struct verify_options *options, const struct ssh_signature *signature, int64_t at_ms, GError **error)
{
	const EVP_MD *md = g_str_equal(ssh_signature_hash(signature), "sha256") ? EVP_sha256() : EVP_sha512();
	autoptr(ssh_key) key = ssh_key_read(ssh_signature_key(signature), error);
	uint8_t digest[EVP_MAX_MD_SIZE];
	uint64_t size;

	if (key == NULL || !file_digest(fd, md, digest, NULL, &size, error) ||
	    !ssh_signature_verify(signature, key, digest, EVP_MD_get_size(md), error))
		return NULL;
	if (options->allowed_signers != NULL)
		return allowed_signers_find(
		    options->allowed_signers, ssh_signature_key(signature), SSH_NAMESPACE, at_ms, error);
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
	    "whether the SSH key is to be trusted cannot be judged without --allowed-signers");
	return NULL;
}

/* SSH signatures have no certificates and no stamps, so none of the judging above is for them. */
static gboolean verify_ssh(int fd, const struct verify_options *options, struct json **report, GError **error)
{
	autoptr(ssh_signature) signature = ssh_signature_read_file(options->detached, SSH_NAMESPACE, error);
	int64_t at_ms = options->at_ms != 0 ? options->at_ms : time_now_ms();
	g_autofree char *principals = NULL, *shown = NULL, *fingerprint = NULL, *time = time_format_ms(at_ms);
	g_autoptr(GError) why = NULL;
	struct json *entry;

	if (signature == NULL)
		return FALSE;
	principals = ssh_signer(fd, options, signature, at_ms, &why);
	fingerprint = ssh_fingerprint(ssh_signature_key(signature));
	shown = principals != NULL ? text_escape(principals, -1, 200) : NULL;
	if (report != NULL) {
		entry = json_object_new();
		json_set_string(entry, "format", "sshsig");
		json_set_string(entry, "key", fingerprint);
		json_set_string(entry, "principals", shown);
		json_set_string(entry, "time", time);
		json_set_boolean(entry, "good", principals != NULL);
		json_set_string(entry, "why", principals != NULL ? NULL : why->message);
		*report = json_array_new();
		json_append(*report, entry);
	}
	if (principals == NULL)
		g_propagate_error(error, g_steal_pointer(&why));
	return principals != NULL;
}

gboolean verify_file(int fd, const struct verify_options *options, struct json **report, GError **error)
{
	autoptr(json) all = NULL;
	const struct format *format;
	g_autoptr(GPtrArray) found = NULL;
	gboolean good;

	if (options->detached != NULL && g_strcmp0(detached_format(options->detached), "sshsig") == 0)
		return verify_ssh(fd, options, report, error);
	all = json_array_new();
	format = options->detached != NULL ? format_of_detached(options->detached, error) : format_of_file(fd, error);
	if (format == NULL || (found = format->read(fd, options->detached, options->openpgp_keys, error)) == NULL)
		return FALSE;
	if (found->len == 0) {
		error_refused(error, "it bears no signature");
		return FALSE;
	}
	good = judge_all(options, found, all, error);
	if (report != NULL)
		*report = g_steal_pointer(&all);
	return good;
}
