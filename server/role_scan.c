/*
 * scan: a zygote that loads the engine once, and long-lived workers forked from it that share its memory. A worker that dies on an input is forked again on the
 * same channels; new databases mean a new zygote, so the old one lets its workers finish and ends.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/role.h"
#include "signer/scan.h"

#define LOOK_FOR_DATABASES_S 30

struct scan { /* what a worker has */
	struct scanner *scanner; /* NULL: not loaded, and why */
	GError *away;
};

/* judge hears the verdict on a channel that engine cannot touch, and before engine hears it. */
static void tell_judge(struct role_context *role, const char *blob, const struct json *report)
{
	struct peer *judge = NULL;
	autoptr(message) seen = message_new(MSG_SCAN_SEEN, 0);

	for (guint i = 0; i < role->peer_count && judge == NULL; i++)
		judge = role->peers[i].role == ROLE_JUDGE ? &role->peers[i] : NULL;
	if (judge == NULL)
		return;
	json_set_string(seen->body, "blob", blob);
	json_set(seen->body, "report", json_copy(report));
	role_send(role, judge, seen);
}

static gboolean scan_blob(struct role_context *role, const struct message *request, struct json **report, GError **error)
{
	struct scan *scan = role->data;
	const struct message_file *blob = message_require(request, "blob", error);
	g_autofree char *digest = NULL;
	uint64_t size;
	gboolean clean;

	if (blob == NULL)
		return FALSE;
	if (scan->scanner == NULL) {
		g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, scan->away->message);
		return FALSE;
	}
	if ((digest = sha256_text_fd(blob->fd, &size, error)) ==
	    NULL) /* judge is told of the bytes that were scanned, whatever engine calls them */
		return FALSE;
	clean = scanner_scan(scan->scanner, blob->fd, report, error);
	tell_judge(role, digest, *report);
	return clean;
}

/* SIGTERM waits until the answer is given. */
static void terminable(int how)
{
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(how, &term, NULL);
}

static void scan_request(struct role_context *role, struct peer *from, struct message *request)
{
	autoptr(message) answer = NULL;
	autoptr(json) report = NULL;
	g_autoptr(GError) error = NULL;

	alarm(role->config->scan_deadline / 1000 +
	      1); /* then this process dies by SIGALRM, and the release has used up one attempt */
	scan_blob(role, request, &report, &error);
	alarm(0);
	answer = message_answer(request, MSG_SCANNED, error);
	if (report != NULL)
		json_set(answer->body, "report", json_ref(report));
	role_answer(role, from, answer);
	terminable(SIG_UNBLOCK);
}

static const struct role_verb verbs[] = {
	{ MSG_SCAN, scan_request },
	{ MSG_COUNT, NULL },
};

static void own_folder(const struct role_context *zygote, guint index, struct scan *scan)
{
	g_autofree char *name = g_strdup_printf("temp/scan/%u", index);
	g_autofree char *folder = config_path(zygote->config, name);

	if (scan->scanner == NULL)
		return;
	if (g_mkdir_with_parents(folder, 0700) < 0)
		g_set_error(&scan->away, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE, "the folder %s cannot be made: %s",
		    folder, g_strerror(errno));
	else if (scanner_move(scan->scanner, folder, &scan->away))
		return;
	log_event("err", "%s", scan->away->message);
	g_clear_pointer(&scan->scanner, scanner_free);
}

/* In the child: only its own channels stay open. */
static void G_GNUC_NORETURN become_worker(
    const struct role_context *zygote, guint index, gboolean again, struct scan *scan)
{
	struct role_context role = {
		.self = ROLE_SCAN, .index = index, .again = again, .config = zygote->config, .data = scan
	};
	g_autofree char *name = g_strdup_printf("scan.%u", index);
	sigset_t child;
	int status;

	role.peers = g_new0(struct peer, zygote->peer_count);
	for (guint i = 0; i < zygote->peer_count; i++)
		if (zygote->peers[i].own == index)
			role.peers[role.peer_count++] = zygote->peers[i];
		else
			close(zygote->peers[i].fd);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &child, NULL);
	terminable(SIG_UNBLOCK);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_role(name);
	own_folder(zygote, index, scan);
	role_greet(&role);
	status = role_serve(&role, verbs);
	_exit(status);
}

static pid_t start_worker(const struct role_context *zygote, guint index, gboolean again, struct scan *scan)
{
	pid_t pid = fork();

	if (pid == 0)
		become_worker(zygote, index, again, scan);
	if (pid < 0)
		log_event("err", "event=fork %s", g_strerror(errno));
	return pid;
}

static struct scanner *load(const struct role_context *zygote, const char *temp, GError **error)
{
	const struct config *config = zygote->config;
	struct scan_options options = { .database = config->scan_database,
		.temp = temp,
		.min_signatures = config->scan_min_signatures,
		.max_database_age_ms = config->scan_max_database_age,
		.max_size = config->scan_max_size,
		.max_seconds = config->scan_deadline / 1000 };
	struct scanner *scanner = scanner_open(&options, error);

	if (scanner != NULL) {
		autoptr(json) facts = scanner_facts(scanner);
		g_autofree char *text = json_text(facts);
		log_event("notice", "event=loaded %s", text);
	} else {
		log_event("err", "%s", (*error)->message);
	}
	return scanner;
}

/* Idle workers have no question that could get lost; busy ones end after their answer. */
static void drain(pid_t *workers, guint count)
{
	for (guint i = 0; i < count; i++)
		if (workers[i] > 0)
			kill(workers[i], SIGTERM);
	for (guint i = 0; i < count; i++)
		if (workers[i] > 0)
			waitpid(workers[i], NULL, 0);
}

static gboolean worth_a_new_zygote(const struct scan *scan)
{
	return scan->scanner != NULL ? scanner_stale(scan->scanner) : TRUE;
}

int role_scan(struct role_context *zygote)
{
	guint count = zygote->config->scan_workers;
	g_autofree pid_t *workers = g_new0(pid_t, count);
	g_autofree char *temp = config_path(zygote->config, "temp/scan");
	struct scan scan = { NULL, NULL };
	sigset_t signals;

	if (g_mkdir_with_parents(temp, 0700) < 0)
		log_event("err", "the folder %s cannot be made: %s", temp, g_strerror(errno));
	scan.scanner = load(zygote, temp, &scan.away);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	for (;;) {
		struct timespec wait = { LOOK_FOR_DATABASES_S, 0 };
		int signo;
		pid_t pid;

		for (guint i = 0; i < count; i++)
			if (workers[i] <= 0)
				workers[i] = start_worker(zygote, i, zygote->again || workers[i] < 0, &scan);
		signo = sigtimedwait(&signals, NULL, &wait);
		if (signo == SIGTERM || (signo < 0 && errno == EAGAIN && worth_a_new_zygote(&scan))) {
			drain(workers, count);
			return EXIT_SUCCESS;
		}
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			for (guint i = 0; i < count; i++)
				if (workers[i] == pid) {
					log_event("warning", "worker=%u ended, it is started again", i);
					workers[i] = -1;
				}
	}
}
