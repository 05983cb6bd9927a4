/*
 * MSG_FETCH: an artifact into the descriptor that the engine gave us, hashed on its way. A transfer that is cut goes on where it stopped, if the server
 * still has the same file (If-Range, RFC 9110, 13.1.5); what it has instead is taken from its beginning. Each redirect is checked as the first address was.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/courier.h"

#define HOPS_MAX 5
#define TRIES_MAX 3

struct fetch {
	struct transfer transfer; /* curl hands it back */
	struct job job;
	char *url;
	struct address *address; /* of url */
	const char *expected; /* "sha256:…" or NULL */
	uint64_t max_size, written;
	int64_t end; /* monotonic ms */
	int output; /* the request's */
	int source; /* of a file: URL, or -1 */
	struct pump *pump;
	EVP_MD_CTX *sha256;
	guint hops, tries;
	gboolean begun; /* the present answer's body is ours to keep */
	char *etag; /* strong, of the bytes written so far */
	uint64_t range_start; /* of the present answer, G_MAXUINT64 if it has none */
	GError *refusal; /* why we ended the transfer */
};

static struct fetch *fetch_of(struct job *job)
{
	return (struct fetch *)(void *)((char *)job - offsetof(struct fetch, job));
}

static void fetch_free(struct job *job)
{
	struct fetch *f = fetch_of(job);

	transfer_clear(job->courier, &f->transfer);
	pump_free(f->pump);
	g_free(f->url);
	address_free(f->address);
	EVP_MD_CTX_free(f->sha256);
	g_free(f->etag);
	g_clear_error(&f->refusal);
	if (f->source >= 0)
		close(f->source);
	g_free(f);
}

static void end(struct fetch *f, const GError *error)
{
	job_end(&f->job, message_answer(f->job.request, MSG_FETCHED, error));
}

static char *finish_digest(struct fetch *f)
{
	uint8_t digest[SHA256_SIZE];
	g_autofree char *hex = NULL;

	EVP_DigestFinal_ex(f->sha256, digest, NULL);
	hex = hex_encode(digest, sizeof(digest));
	return g_strconcat("sha256:", hex, NULL);
}

/* All bytes are there: are they the ones that were meant? */
static void finish(struct fetch *f)
{
	g_autofree char *digest = finish_digest(f);
	g_autoptr(GError) error = NULL;
	struct message *answer;

	if (f->expected != NULL && strcmp(f->expected, digest) != 0)
		error_refused(&error,
		    "%s: its %" G_GUINT64_FORMAT
		    " bytes have the digest %s, and the release names %s; the artifact was replaced, or the release "
		    "names another build",
		    f->address->shown, f->written, digest, f->expected);
	answer = message_answer(f->job.request, MSG_FETCHED, error);
	json_set_integer(answer->body, "size", f->written);
	json_set_string(answer->body, "sha256", digest);
	job_end(&f->job, answer);
}

static gboolean begin_again(struct fetch *f)
{
	f->written = 0;
	return EVP_DigestInit_ex(f->sha256, EVP_sha256(), NULL) == 1 && ftruncate(f->output, 0) == 0 &&
	       lseek(f->output, 0, SEEK_SET) == 0;
}

static gboolean too_large(struct fetch *f, GError **error)
{
	error_refused(error,
	    "%s: the artifact is larger than %" G_GUINT64_FORMAT " bytes, the most that is taken; see max_size",
	    f->address->shown, f->max_size);
	return FALSE;
}

/* The answer's head is in: is its body ours to keep, and where does it begin? */
static gboolean begin_body(struct fetch *f, GError **error)
{
	curl_off_t length = -1;
	long status = 0;

	curl_easy_getinfo(f->transfer.curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(f->transfer.curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	f->begun = status == 200 || status == 206;
	if (!f->begun)
		return TRUE;
	if (status == 206 && f->range_start != f->written) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
		    "%s: the server went on at another place than it was asked to", f->address->shown);
		return FALSE;
	}
	if (status == 200 && !begin_again(f)) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the artifact cannot be written: %s",
		    g_strerror(errno));
		return FALSE;
	}
	return length <= 0 || (uint64_t)length <= f->max_size - f->written || too_large(f, error);
}

static size_t on_data(char *data, size_t one, size_t size, void *to)
{
	struct fetch *f = to;

	(void)one;
	if (!f->begun && !begin_body(f, &f->refusal))
		return 0;
	if (!f->begun)
		return size; /* the page that comes with an error: curl's deadline bounds it */
	if (size > f->max_size - f->written) {
		too_large(f, &f->refusal);
		return 0;
	}
	if (!fd_write_all(f->output, data, size, &f->refusal)) {
		f->refusal->code = TAGSEAL_ERROR_UNAVAILABLE; /* a full disk may have room again */
		return 0;
	}
	EVP_DigestUpdate(f->sha256, data, size);
	f->written += size;
	return size;
}

static size_t on_header(char *line, size_t one, size_t size, void *to)
{
	struct fetch *f = to;
	g_autofree char *text = g_strstrip(g_strndup(line, size));

	(void)one;
	if (g_str_has_prefix(text, "HTTP/")) {
		f->range_start = G_MAXUINT64;
		if (strstr(text, " 206") == NULL) /* what was written before is of no further use */
			g_clear_pointer(&f->etag, g_free);
	} else if (g_ascii_strncasecmp(text, "etag: \"", 7) == 0) { /* a weak one (W/) does not vouch for the bytes */
		g_free(f->etag);
		f->etag = g_strdup(text + 6);
	} else if (g_ascii_strncasecmp(text, "content-range: bytes ", 21) == 0) {
		const char *start = text + 21;
		g_autofree char *number = g_strndup(start, strspn(start, "0123456789"));
		if (!g_ascii_string_to_unsigned(number, 10, 0, G_MAXINT64, &f->range_start, NULL))
			f->range_start = G_MAXUINT64;
	}
	return size;
}

static void on_done(struct transfer *t, CURLcode result);

static gboolean go(struct fetch *f, GError **error)
{
	struct courier *c = f->job.courier;
	char **private_hosts = c->role->config->fetch_private_hosts;
	CURL *curl;

	transfer_clear(c, &f->transfer);
	if (!transfer_prepare(c, &f->transfer, f->url, f->end - g_get_monotonic_time() / 1000, error))
		return FALSE;
	curl = f->transfer.curl;
	f->transfer.done = on_done;
	f->transfer.may_be_private = FALSE;
	for (; private_hosts != NULL && *private_hosts != NULL; private_hosts++)
		f->transfer.may_be_private |= g_ascii_strcasecmp(*private_hosts, f->address->host) == 0;
	f->transfer.headers = curl_slist_append(f->transfer.headers, "Accept-Encoding: identity");
	f->begun = FALSE;
	if (f->written > 0 && f->etag != NULL) {
		g_autofree char *range = g_strdup_printf("%" G_GUINT64_FORMAT "-", f->written),
				*same = g_strconcat("If-Range: ", f->etag, NULL);
		curl_easy_setopt(curl, CURLOPT_RANGE, range);
		f->transfer.headers = curl_slist_append(f->transfer.headers, same);
	}
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, f);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
	return transfer_start(c, &f->transfer, error);
}

/* TRUE: on the way to it. */
static gboolean follow(struct fetch *f, GError **error)
{
	const char *where = NULL;
	struct address *next;

	curl_easy_getinfo(f->transfer.curl, CURLINFO_REDIRECT_URL, (char **)&where);
	if (where == NULL || ++f->hops > HOPS_MAX) {
		error_refused(error, "%s: %s", f->address->shown,
		    where == NULL ? "a redirect that leads nowhere"
				  : "more than 5 redirects; name the last address of them");
		return FALSE;
	}
	if ((next = address_parse(f->job.courier->role->config, where, error)) == NULL) {
		g_prefix_error(error, "%s redirects: ", f->address->shown);
		return FALSE;
	}
	if (strcmp(next->scheme, "https") != 0 &&
	    (strcmp(next->scheme, "http") != 0 || strcmp(f->address->scheme, "http") != 0)) {
		error_refused(
		    error, "%s redirects to %s: a redirect may lead to https only", f->address->shown, next->shown);
		address_free(next);
		return FALSE;
	}
	g_free(f->url);
	f->url = g_strdup(where);
	address_free(f->address);
	f->address = next;
	g_clear_pointer(&f->etag, g_free);
	return go(f, error);
}

static gboolean is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void tell_status(const struct fetch *f, long status, GError **error)
{
	g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s: %s: HTTP %ld", f->address->shown,
	    status == 404 || status == 410   ? "the artifact is not there yet"
	    : status == 401 || status == 403 ? "the server does not let us have the artifact"
					     : "the server could not give the artifact",
	    status);
}

/* The transfer went to its end. TRUE: there is nothing more to wait for. */
static gboolean complete(struct fetch *f, GError **error)
{
	long status = 0;

	curl_easy_getinfo(f->transfer.curl, CURLINFO_RESPONSE_CODE, &status);
	if (is_redirect(status))
		return !follow(f, error);
	if (!f->begun && !begin_body(f, error)) /* an empty body */
		return TRUE;
	if (!f->begun)
		tell_status(f, status, error);
	return TRUE;
}

/* A cut transfer that got somewhere is worth another try. TRUE: it is on its way. */
static gboolean resume(struct fetch *f, GError **error)
{
	if (!f->begun || f->written == 0 || ++f->tries >= TRIES_MAX || f->end <= g_get_monotonic_time() / 1000)
		return FALSE;
	return go(f, error);
}

static void on_done(struct transfer *t, CURLcode result)
{
	struct fetch *f = (struct fetch *)t;
	g_autoptr(GError) error = g_steal_pointer(&f->refusal);

	if (error == NULL && result == CURLE_OK && !complete(f, &error))
		return;
	if (error == NULL && result != CURLE_OK) {
		if (resume(f, &error))
			return;
		if (error == NULL)
			transfer_error(t, result, f->address->shown, &error);
	}
	if (error != NULL)
		end(f, error);
	else
		finish(f);
}

/* Below one of the folders, whatever links and dots say: the kernel resolves it (openat2(2), RESOLVE_BENEATH). */
static int open_below(const struct config *config, const struct address *address, GError **error)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	for (char **folder = config->fetch_folders; folder != NULL && *folder != NULL; folder++) {
		size_t size = strlen(*folder);
		autofd int below = -1;
		int fd;

		while (size > 0 && (*folder)[size - 1] == '/')
			size--;
		if (strncmp(address->path, *folder, size) != 0 || address->path[size] != '/')
			continue;
		below = open(*folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
		fd = below < 0 ? -1 : syscall(SYS_openat2, below, address->path + size + 1, &how, sizeof(how));
		if (fd < 0 && errno == EXDEV)
			error_refused(error, "%s: the path leads out of %s, below which artifacts are taken",
			    address->shown, *folder);
		else if (fd < 0)
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
			    "%s: the artifact is not there yet: %s", address->shown, g_strerror(errno));
		return fd;
	}
	error_refused(error, "%s: files are taken only from below the folders in artifacts.folders", address->shown);
	return -1;
}

static void on_pumped(void *data, const GError *failure)
{
	struct fetch *f = data;
	g_autoptr(GError) error = NULL;

	if (failure == NULL) {
		finish(f);
		return;
	}
	g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "%s: %s", f->address->shown, failure->message);
	end(f, error);
}

static gboolean copy_file(struct fetch *f, GError **error)
{
	struct courier *c = f->job.courier;
	struct stat about;

	if ((f->source = open_below(c->role->config, f->address, error)) < 0)
		return FALSE;
	if (fstat(f->source, &about) < 0 || !S_ISREG(about.st_mode)) {
		error_refused(error, "%s: it is not a regular file", f->address->shown);
		return FALSE;
	}
	if ((uint64_t)about.st_size > f->max_size)
		return too_large(f, error);
	f->written = about.st_size;
	f->pump = pump_new(c, f->source, f->output, about.st_size, f->sha256, on_pumped, f);
	return TRUE;
}

static struct fetch *fetch_new(const struct config *config, const struct message *request, GError **error)
{
	const struct message_file *output = message_require(request, "output", error);
	const char *url = output == NULL ? NULL : json_require_string(request->body, "url", "fetch", error);
	autoptr(address) address = NULL;
	int64_t max_size;
	struct fetch *f;

	if (url == NULL ||
	    !json_require_integer(request->body, "max_size", 0, G_MAXINT64 >> 10, &max_size, "fetch", error) ||
	    (address = address_parse(config, url, error)) == NULL)
		return NULL;
	f = g_new0(struct fetch, 1);
	f->url = g_strdup(url);
	f->address = g_steal_pointer(&address);
	f->expected = json_string(request->body, "sha256");
	f->max_size = MIN((uint64_t)max_size, config->fetch_max_size);
	f->end = g_get_monotonic_time() / 1000 + config->fetch_deadline;
	f->output = output->fd;
	f->source = -1;
	f->sha256 = EVP_MD_CTX_new();
	return f;
}

void courier_fetch(struct courier *c, struct message *request)
{
	g_autoptr(GError) error = NULL;
	struct fetch *f = fetch_new(c->role->config, request, &error);

	if (f == NULL) {
		courier_refuse(c, request, MSG_FETCHED, error);
		message_free(request);
		return;
	}
	job_begin(c, &f->job, request, fetch_free);
	if (!begin_again(f))
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_FAILED, "the artifact cannot be written: %s",
		    g_strerror(errno));
	else if (strcmp(f->address->scheme, "file") == 0 ? copy_file(f, &error) : go(f, &error))
		return;
	end(f, error);
}
