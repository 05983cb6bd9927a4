/* Questions to the other roles: workers get one at a time, evented roles and judge several. */
#include <stdlib.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/engine.h"

struct question {
	enum role role;
	struct message *message;
	enum message_kind answer_kind;
	char *release; /* id, or NULL */
	answer_fn answer;
	gpointer data;
	struct peer *peer; /* that it was put to */
	struct engine *engine;
	GError *unfit; /* why it cannot be put to anybody */
};

/* How many questions one process of that role may have at once. */
static const guint most_at_once[ROLE_COUNT] = {
	[ROLE_GITOPS] = 1,
	[ROLE_COURIER] = 64,
	[ROLE_SCAN] = 1,
	[ROLE_SEAL] = 1,
	[ROLE_JUDGE] = 8,
	[ROLE_LEDGER] = 1,
};

static void question_free(struct question *q)
{
	message_free(q->message);
	g_free(q->release);
	g_clear_error(&q->unfit);
	g_free(q);
}

static guint out_at(const struct engine *engine, const struct peer *peer)
{
	guint count = 0;

	for (guint i = 0; i < engine->asked->len; i++)
		count += ((struct question *)g_ptr_array_index(engine->asked, i))->peer == peer;
	return count;
}

/* What a question to gitops is about. Its mirror is one process's at a time, and its source may hang: it takes one worker, and no second one. */
static const char *project_of(const struct question *q)
{
	const char *project = json_string(q->message->body, "project");

	return project != NULL ? project : json_as_string(json_at(json_get(q->message->body, "projects"), 0));
}

static gboolean may_be_put(const struct engine *engine, const struct question *q)
{
	const char *project = q->role == ROLE_GITOPS ? project_of(q) : NULL;

	for (guint i = 0; project != NULL && i < engine->asked->len; i++) {
		const struct question *out = g_ptr_array_index(engine->asked, i);
		if (out->role == ROLE_GITOPS && g_strcmp0(project_of(out), project) == 0)
			return FALSE;
	}
	return TRUE;
}

static struct question *pop_question(const struct engine *engine, GQueue *waiting)
{
	for (GList *one = waiting->head; one != NULL; one = one->next) {
		struct question *q = one->data;
		if (may_be_put(engine, q)) {
			g_queue_delete_link(waiting, one);
			return q;
		}
	}
	return NULL;
}

/* Puts waiting questions of a role to its processes, the least busy first. */
static void put_questions(struct engine *engine, enum role role)
{
	GQueue *waiting = engine->questions[role];

	while (!g_queue_is_empty(waiting)) {
		struct peer *best = NULL;
		guint best_out = most_at_once[role];
		struct question *q;

		for (guint i = 0; i < engine->role->peer_count; i++) {
			struct peer *peer = &engine->role->peers[i];
			guint out = peer->role == role ? out_at(engine, peer) : G_MAXUINT;
			if (out < best_out) {
				best = peer;
				best_out = out;
			}
		}
		if (best == NULL)
			return;
		q = pop_question(engine, waiting);
		if (q == NULL)
			return;
		q->peer = best;
		g_ptr_array_add(engine->asked, q);
		role_send(engine->role, best, q->message);
		for (guint i = 0; i < q->message->files->len; i++) /* descriptors are theirs now */
			close(g_array_index(q->message->files, struct message_file, i).fd),
			    g_array_index(q->message->files, struct message_file, i).fd = -1;
	}
}

static void give(struct engine *engine, struct question *q, struct message *answer, const GError *error)
{
	struct release *release = q->release != NULL ? g_hash_table_lookup(engine->releases, q->release) : NULL;

	if (q->release == NULL || release != NULL)
		q->answer(engine, release, answer, error, q->data);
	question_free(q);
}

static void give_unfit(evutil_socket_t fd, short what, void *data)
{
	struct question *q = data;

	(void)fd;
	(void)what;
	give(q->engine, q, NULL, q->unfit);
}

void engine_ask(struct engine *engine, enum role role, struct message *message, enum message_kind answer_kind,
    struct release *release, answer_fn answer, gpointer data)
{
	struct question *q = g_new0(struct question, 1);

	q->role = role;
	q->message = message;
	q->answer_kind = answer_kind;
	q->release = release != NULL ? g_strdup(release->id) : NULL;
	q->answer = answer;
	q->data = data;
	q->engine = engine;
	/* One release that is too large must not end the engine, again and again. Its answer comes from the loop, as all do. */
	if (!message_fits(message, &q->unfit)) {
		static const struct timeval at_once = { 0, 0 };
		q->unfit->code = TAGSEAL_ERROR_FAILED;
		event_base_once(engine->base, -1, EV_TIMEOUT, give_unfit, q, &at_once);
		return;
	}
	g_queue_push_tail(engine->questions[role], q);
	put_questions(engine, role);
}

void engine_answered(struct role_context *role, struct peer *from, struct message *answer)
{
	struct engine *engine = role->data;

	for (guint i = 0; i < engine->asked->len; i++) {
		struct question *q = g_ptr_array_index(engine->asked, i);
		g_autoptr(GError) error = NULL;

		if (q->peer != from || q->message->number != answer->number || q->answer_kind != answer->kind)
			continue;
		g_ptr_array_remove_index(engine->asked, i);
		message_outcome(answer, &error);
		give(engine, q, answer, error);
		put_questions(engine, from->role);
		return;
	}
	/* Nobody waits for it any more: it answers a question that was put to the process before this one. */
}

void engine_greeted(struct role_context *role, struct peer *from, struct message *hello)
{
	struct engine *engine = role->data;
	/* scan and seal die on what they parse: the same input is not tried for ever. The others are just away. */
	gboolean on_input = from->role == ROLE_SCAN || from->role == ROLE_SEAL;
	g_autoptr(GError) error = g_error_new(TAGSEAL_ERROR, on_input ? TAGSEAL_ERROR_UNKNOWN : TAGSEAL_ERROR_UNAVAILABLE,
	    "the process %s ended while it worked on this; it is asked again", role_name(from->role));
	g_autoptr(GPtrArray) lost = g_ptr_array_new();

	if (from->role == ROLE_JUDGE)
		engine->judge_since = time_now_ms();
	for (guint i = 0; message_is_again(hello) && i < engine->asked->len;)
		if (((struct question *)g_ptr_array_index(engine->asked, i))->peer == from)
			g_ptr_array_add(lost, g_ptr_array_remove_index(engine->asked, i));
		else
			i++;
	for (guint i = 0; i < lost->len; i++)
		give(engine, g_ptr_array_index(lost, i), NULL, error);
	put_questions(engine, from->role);
}
