/* MSG_COPY, and the pump under it: large files go piece by piece, so that other transfers go on meanwhile. */
#include <errno.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/courier.h"

#define PIECE (4 << 20)

struct pump {
	int from, to; /* borrowed */
	uint64_t at, size;
	EVP_MD_CTX *sha256; /* borrowed, or NULL */
	struct event *turn;
	void (*done)(void *data, const GError *error);
	void *data;
};

static gboolean hash_piece(struct pump *p, uint64_t size, GError **error)
{
	g_autofree uint8_t *buffer = g_malloc(size);

	if (!fd_pread_all(p->from, buffer, size, p->at, error))
		return FALSE;
	EVP_DigestUpdate(p->sha256, buffer, size);
	return fd_write_all(p->to, buffer, size, error);
}

static void on_turn(evutil_socket_t fd, short what, void *data)
{
	struct pump *p = data;
	uint64_t size = MIN(p->size - p->at, PIECE);
	g_autoptr(GError) error = NULL;

	(void)fd;
	(void)what;
	if (size > 0 && (p->sha256 != NULL ? hash_piece(p, size, &error) : fd_copy(p->from, p->at, size, p->to, &error)))
		p->at += size;
	if (error != NULL || p->at == p->size)
		p->done(p->data, error); /* frees us */
	else
		event_active(p->turn, EV_TIMEOUT, 0);
}

struct pump *pump_new(struct courier *c, int from, int to, uint64_t size, void *sha256,
    void (*done)(void *data, const GError *error), void *data)
{
	struct pump *p = g_new0(struct pump, 1);

	p->from = from;
	p->to = to;
	p->size = size;
	p->sha256 = sha256;
	p->done = done;
	p->data = data;
	p->turn = evtimer_new(c->base, on_turn, p);
	event_active(p->turn, EV_TIMEOUT, 0);
	return p;
}

void pump_free(struct pump *pump)
{
	if (pump == NULL)
		return;
	event_free(pump->turn);
	g_free(pump);
}

struct copy {
	struct job job;
	struct pump *pump;
	int to;
};

static void copy_free(struct job *job)
{
	struct copy *copy = (struct copy *)job;

	pump_free(copy->pump);
	g_free(copy);
}

static void on_copied(void *data, const GError *failure)
{
	struct copy *copy = data;
	g_autoptr(GError) error = NULL;

	/* What is published must be there after a power cut too. */
	if (failure == NULL && fsync(copy->to) < 0)
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the copy cannot be made durable: %s",
		    g_strerror(errno));
	else if (failure != NULL) /* a full disk: it may have room again */
		g_set_error(&error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "cannot copy: %s", failure->message);
	job_end(&copy->job, message_answer(copy->job.request, MSG_COPIED, error));
}

void courier_copy(struct courier *c, struct message *request)
{
	g_autoptr(GError) error = NULL;
	const struct message_file *from = message_require(request, "from", &error);
	const struct message_file *to = from == NULL ? NULL : message_require(request, "to", &error);
	struct copy *copy;
	uint64_t size;

	if (to == NULL || !fd_size(from->fd, &size, &error)) {
		courier_refuse(c, request, MSG_COPIED, error);
		message_free(request);
		return;
	}
	copy = g_new0(struct copy, 1);
	job_begin(c, &copy->job, request, copy_free);
	copy->to = to->fd;
	copy->pump = pump_new(c, from->fd, to->fd, size, NULL, on_copied, copy);
}
