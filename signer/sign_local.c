#include "signer/sign_local.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gitops/base/bytes.h"
#include "gitops/base/json.h"
#include "signer/certificate.h"
#include "signer/key_parts.h"
#include "signer/openpgp.h"
#include "signer/timestamp.h"
#include "signer/type.h"

struct signing {
	const struct sign_request *request;
	struct format_parameters parameters;
	const struct file_type *type;
	const struct format *format;
	int in, out;
	mode_t mode;
	struct format_digest digest;
	GBytes *to_be_signed, *signature, *token;
	EVP_PKEY *key; /* the certificate's */
	char *signer; /* "certificate" or "key" of the report */
	char *temporary, *folder;
	struct timestamp_facts stamp;
};

void signing_free(struct signing *s)
{
	if (s == NULL)
		return;
	if (s->temporary != NULL)
		unlink(s->temporary);
	if (s->in >= 0)
		close(s->in);
	if (s->out >= 0)
		close(s->out);
	g_free(s->digest.hash);
	g_clear_pointer(&s->to_be_signed, g_bytes_unref);
	g_clear_pointer(&s->signature, g_bytes_unref);
	g_clear_pointer(&s->token, g_bytes_unref);
	EVP_PKEY_free(s->key);
	g_free(s->signer);
	g_free(s->temporary);
	g_free(s->folder);
	timestamp_facts_clear(&s->stamp);
	g_free(s);
}

static gboolean fail_errno(GError **error, const char *path, const char *what)
{
	g_set_error(error, TAGSEAL_ERROR, errno == ENOENT ? TAGSEAL_ERROR_NOT_FOUND : TAGSEAL_ERROR_UNAVAILABLE,
	    "%s %s: %s", path, what, g_strerror(errno));
	return FALSE;
}

static gboolean usage(GError **error, const char *why)
{
	g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, why);
	return FALSE;
}

/* The output must not be the input, by whatever name: a failure would have to undo a change to what was signed. */
static gboolean open_input(struct signing *s, GError **error)
{
	const struct sign_request *r = s->request;
	struct stat in, out;

	s->in = open(r->file, O_RDONLY | O_CLOEXEC);
	if (s->in < 0 || fstat(s->in, &in) != 0)
		return fail_errno(error, r->file, "cannot be read");
	if (!S_ISREG(in.st_mode))
		return usage(error, "only regular files are signed");
	s->mode = in.st_mode & 0777;
	if (stat(r->output, &out) != 0)
		return TRUE;
	if (out.st_dev == in.st_dev && out.st_ino == in.st_ino)
		return usage(error, "the output is the input itself: give --output another name");
	return S_ISREG(out.st_mode) || usage(error, "the output exists and is not a regular file");
}

static gboolean choose_format(struct signing *s, GError **error)
{
	const char *name = s->request->format;

	s->type = file_type_of(s->in);
	if (name == NULL && s->type->native_format != NULL && format_native(s->type) == NULL) {
		g_set_error(error, TAGSEAL_ERROR,
		    TAGSEAL_ERROR_USAGE, "a file of the type %s is signed as %s, which this program cannot do yet: --format cms or openpgp signs it detached",
		    s->type->name, s->type->native_format);
		return FALSE;
	}
	if (name == NULL)
		name = s->type->native_format != NULL ? s->type->native_format : "cms";
	if ((s->format = format_named(name)) == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "there is no format \"%s\"", name);
		return FALSE;
	}
	if (!s->format->supports(s->type->name)) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "a file of the type %s cannot be signed as %s",
		    s->type->name, name);
		return FALSE;
	}
	if (s->request->timestamp_url != NULL && !s->format->stamped) {
		g_set_error(
		    error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE, "the format %s has no place for a timestamp", name);
		return FALSE;
	}
	return TRUE;
}

static gboolean take_openpgp_key(struct signing *s, GError **error)
{
	g_autoptr(GPtrArray) keys = openpgp_keys_read(s->request->parameters.certificates, error);
	struct openpgp_key *key;

	if (keys == NULL)
		return FALSE;
	key = g_ptr_array_index(keys, 0);
	s->key = g_steal_pointer(&key->key);
	s->signer = openpgp_fingerprint_text(key->fingerprint);
	return TRUE;
}

static gboolean take_certificate_key(struct signing *s, GError **error)
{
	STACK_OF(X509) *chain = certificates_load(s->parameters.certificates, s->parameters.time_ms, error);

	if (chain == NULL)
		return FALSE;
	s->key = X509_get_pubkey(sk_X509_value(chain, 0));
	s->signer = certificate_subject(sk_X509_value(chain, 0));
	sk_X509_pop_free(chain, X509_free);
	return s->key != NULL;
}

static gboolean prepare(struct signing *s, GError **error)
{
	struct format_parameters *p = &s->parameters;

	if (!open_input(s, error) || !choose_format(s, error) ||
	    (s->type->structure != NULL && !s->type->structure(s->in, NULL, error)))
		return FALSE;
	if (!(s->format->prehashed ? take_openpgp_key(s, error) : take_certificate_key(s, error)))
		return FALSE;
	if (p->hash == NULL)
		p->hash = key_hash_name(s->key);
	if (!s->format->digest(s->in, p, &s->digest, error))
		return FALSE;
	s->to_be_signed = s->format->to_be_signed(&s->digest, p, error);
	return s->to_be_signed != NULL;
}

struct signing *signing_new(const struct sign_request *request, GError **error)
{
	autoptr(signing) s = g_new0(struct signing, 1);

	s->request = request;
	s->parameters = request->parameters;
	s->in = s->out = -1;
	if (s->parameters.time_ms == 0)
		s->parameters.time_ms = time_now_ms();
	return prepare(s, error) ? g_steal_pointer(&s) : NULL;
}

static const EVP_MD *hash_of(const struct signing *s)
{
	return pgp_hash(pgp_hash_number(s->parameters.hash));
}

static gboolean sign(struct signing *s, struct hsm *hsm, const char *label, GError **error)
{
	EVP_PKEY *key = hsm_private_key(hsm, label, error);
	gsize size;
	const void *data = g_bytes_get_data(s->to_be_signed, &size);

	if (key == NULL)
		return FALSE;
	if (EVP_PKEY_eq(key, s->key) != 1) {
		ERR_clear_error();
		error_refused(error, "the certificate is not that of the key \"%s\": their public keys differ", label);
		return FALSE;
	}
	s->signature = s->format->prehashed ? hsm_sign_digest(hsm, label, hash_of(s), data, size, error)
					    : hsm_sign(hsm, label, hash_of(s), data, size, error);
	return s->signature != NULL;
}

static gboolean stamp(struct signing *s, GError **error)
{
	g_autoptr(GBytes) query = NULL, response = NULL;
	int64_t sent;

	if (s->request->timestamp_url == NULL)
		return TRUE;
	if ((query = timestamp_query(s->signature, error)) == NULL)
		return FALSE;
	sent = time_now_ms();
	if ((response = timestamp_fetch(s->request->timestamp_url, query, error)) == NULL)
		return FALSE;
	s->token = timestamp_accept(response, query, s->request->timestamp_roots, sent, time_now_ms(), &s->stamp, error);
	return s->token != NULL;
}

/* Beside the output, so that the last step is a rename; a detached signature gets the usual mode. */
static gboolean open_temporary(struct signing *s, GError **error)
{
	mode_t mask = umask(0);

	umask(mask);
	s->folder = g_path_get_dirname(s->request->output);
	s->temporary = g_build_filename(s->folder, ".tagseal-XXXXXX", NULL);
	s->out = mkostemp(s->temporary, O_CLOEXEC);
	if (s->out < 0) {
		g_clear_pointer(&s->temporary, g_free);
		return fail_errno(error, s->folder, "cannot be written to");
	}
	if (fchmod(s->out, s->format->suffix != NULL ? 0666 & ~mask : s->mode) != 0)
		return fail_errno(error, s->temporary, "cannot be given its mode");
	return TRUE;
}

static gboolean attach(struct signing *s, GError **error)
{
	return s->format->attach(s->in, s->out, &s->digest, &s->parameters, s->signature, s->token, error);
}

static gboolean unlike(GError **error, const char *why)
{
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "what was written does not pass when read again: %s",
	    why != NULL ? why : "no reason told");
	return FALSE;
}

static gboolean same_bytes(GBytes *a, GBytes *b)
{
	return (a == NULL && b == NULL) || (a != NULL && b != NULL && g_bytes_equal(a, b));
}

/* Every signature in the output is good, and the one just made is among them with its stamp. */
static gboolean read_back(struct signing *s, GError **error)
{
	gboolean detached = s->format->suffix != NULL, ours = FALSE;
	g_autoptr(GBytes) beside = detached ? fd_read(s->out, 16 * 1024 * 1024, error) : NULL;
	g_autoptr(GPtrArray) found = NULL;

	if (detached && beside == NULL)
		return FALSE;
	found = s->format->read(detached ? s->in : s->out, beside, s->parameters.certificates, error);
	if (found == NULL)
		return FALSE;
	for (guint i = 0; i < found->len; i++) {
		const struct format_signature *one = g_ptr_array_index(found, i);
		if (!one->digest_matches || !one->intact)
			return unlike(error, one->why);
		ours |= same_bytes(one->signature, s->signature) && same_bytes(one->token, s->token);
	}
	return ours || unlike(error, "the signature just made is not among those there");
}

/* Without its signatures the output has the digest that the input had: nothing else was changed. */
static gboolean compare_stripped(struct signing *s, GError **error)
{
	struct format_digest bare = { 0 };
	autofd int fd = -1;
	gboolean same;

	if (s->format->strip == NULL)
		return TRUE;
	if ((fd = memfd_new("stripped", error)) < 0 || !s->format->strip(s->out, fd, error) ||
	    !s->format->digest(fd, &s->parameters, &bare, error))
		return FALSE;
	same = !bare.was_signed && bare.size == s->digest.size && memcmp(bare.value, s->digest.value, bare.size) == 0;
	g_free(bare.hash);
	return same || unlike(error, "the file itself came out changed");
}

static gboolean give_name(struct signing *s, GError **error)
{
	autofd int folder = -1;

	if (fsync(s->out) != 0)
		return fail_errno(error, s->temporary, "cannot be written to the disk");
	if (rename(s->temporary, s->request->output) != 0)
		return fail_errno(error, s->request->output, "cannot be written");
	g_clear_pointer(&s->temporary, g_free);
	folder = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || fsync(folder) != 0)
		return fail_errno(error, s->folder, "cannot be written to the disk");
	return TRUE;
}

gboolean signing_finish(struct signing *s, struct hsm *hsm, const char *label, GError **error)
{
	return sign(s, hsm, label, error) && stamp(s, error) && open_temporary(s, error) && attach(s, error) &&
	       read_back(s, error) && compare_stripped(s, error) && give_name(s, error);
}

struct json *signing_report(const struct signing *s)
{
	struct json *report = json_object_new();
	g_autofree char *hex = hex_encode(s->digest.value, s->digest.size);
	g_autofree char *digest = g_strdup_printf("%s:%s", s->parameters.hash, hex);

	json_set_string(report, "output", s->request->output);
	json_set_string(report, "type", s->type->name);
	json_set_string(report, "format", s->format->name);
	json_set_string(report, "digest", digest);
	json_set_string(report, s->format->prehashed ? "key" : "certificate", s->signer);
	if (s->token != NULL) {
		g_autofree char *time = time_format_ms(s->stamp.time_ms);
		json_set_string(report, "timestamp", time);
	}
	return report;
}
