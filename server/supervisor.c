/*
 * The parent of all roles: reads the configuration, makes the socket pairs, starts each role as a separate process with its sockets and nothing else, reaps and
 * restarts. It reads no message and no stranger's byte. It keeps both ends of every pair, so that a role that died is started again on the very
 * same channels; the role's greeting (HELLO) tells its peers that it forgot what it was asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/cli.h"
#include "server/role.h"
#include "server/sandbox.h"

#define FIRST_DELAY_MS 100
#define LAST_DELAY_MS 10000
#define CALM_MS 10000 /* a role that lived so long is started again at once */
#define GRACE_MS 5000

struct channel {
	enum role role[2];
	guint index[2];
	int fd[2];
};

struct unit { /* one process that we start: one instance of a role, or the zygote of all scan workers */
	enum role role;
	guint first, count;
	pid_t pid;
	gint64 started, start_at; /* ms, monotonic; start_at 0: is running */
	gint64 delay;
	gboolean lost; /* the last one did not end in order: what it was asked went with it */
};

struct supervisor {
	int config_fd;
	char *config_name;
	GArray *channels, *units;
};

static gint64 now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

static gboolean make_channels(struct supervisor *s, const struct config *config, GError **error)
{
	s->channels = g_array_new(FALSE, FALSE, sizeof(struct channel));
	for (guint a = 0; a < ROLE_COUNT; a++)
		for (guint b = a + 1; b < ROLE_COUNT; b++) {
			guint count_a = role_rows[a].count(config), count_b = role_rows[b].count(config);
			for (guint n = 0; role_linked(a, b) && n < count_a * count_b; n++) {
				struct channel c = { { a, b }, { n / count_b, n % count_b }, { -1, -1 } };
				if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c.fd) < 0) {
					g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNAVAILABLE,
					    "cannot make the channel between %s and %s: %s", role_name(a), role_name(b),
					    g_strerror(errno));
					return FALSE;
				}
				g_array_append_val(s->channels, c);
			}
		}
	return TRUE;
}

static void make_units(struct supervisor *s, const struct config *config)
{
	s->units = g_array_new(FALSE, TRUE, sizeof(struct unit));
	for (guint r = 0; r < ROLE_COUNT; r++) {
		guint count = role_rows[r].count(config), together = r == ROLE_SCAN ? count : 1;
		for (guint first = 0; first < count; first += together) {
			struct unit unit = {
				.role = r, .first = first, .count = together, .start_at = 1, .delay = FIRST_DELAY_MS
			};
			g_array_append_val(s->units, unit);
		}
	}
}

/* In the child: argv of the role, its own ends made inheritable, every signal as it was. */
static void G_GNUC_NORETURN become(const struct supervisor *s, const struct unit *unit)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	sigset_t none;

	g_ptr_array_add(argv, g_strdup("tagseald"));
	g_ptr_array_add(argv, g_strdup_printf("--role=%s", role_name(unit->role)));
	g_ptr_array_add(argv, g_strdup_printf("--index=%u", unit->first));
	if (unit->lost)
		g_ptr_array_add(argv, g_strdup("--again"));
	g_ptr_array_add(argv, g_strdup_printf("--config-fd=%d", s->config_fd));
	g_ptr_array_add(argv, g_strdup_printf("--config-name=%s", s->config_name));
	fcntl(s->config_fd, F_SETFD, 0);
	for (guint i = 0; i < s->channels->len; i++) {
		const struct channel *c = &g_array_index(s->channels, struct channel, i);
		for (guint end = 0; end < 2; end++)
			if (c->role[end] == unit->role && c->index[end] >= unit->first &&
			    c->index[end] < unit->first + unit->count) {
				g_ptr_array_add(argv, g_strdup_printf("--peer=%u:%s:%u:%d", c->index[end],
							  role_name(c->role[!end]), c->index[!end], c->fd[end]));
				fcntl(c->fd[end], F_SETFD, 0);
			}
	}
	g_ptr_array_add(argv, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", (char **)argv->pdata);
	_exit(127);
}

static void start(struct supervisor *s, struct unit *unit)
{
	pid_t pid = fork();

	if (pid == 0)
		become(s, unit);
	if (pid < 0) {
		log_event(
		    "err", "unit=%s.%u cannot be started: %s", role_name(unit->role), unit->first, g_strerror(errno));
		unit->start_at = now_ms() + LAST_DELAY_MS;
		return;
	}
	unit->pid = pid;
	unit->started = now_ms();
	unit->start_at = 0;
}

/* Takes note of every child that ended. TRUE if one of them says that starting again will not help. */
static gboolean reap(struct supervisor *s, gboolean stopping)
{
	gboolean hopeless = FALSE;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (guint i = 0; i < s->units->len; i++) {
			struct unit *unit = &g_array_index(s->units, struct unit, i);
			if (unit->pid != pid)
				continue;
			unit->pid = 0;
			unit->lost = !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS;
			if (now_ms() - unit->started >= CALM_MS)
				unit->delay = FIRST_DELAY_MS;
			unit->start_at = now_ms() + unit->delay;
			unit->delay = MIN(unit->delay * 2, LAST_DELAY_MS);
			hopeless |= WIFEXITED(status) && WEXITSTATUS(status) == ROLE_EXIT_CONFIGURATION;
			if (!stopping)
				log_event("warning", "unit=%s.%u ended by %s %d, it is started again",
				    role_name(unit->role), unit->first, WIFSIGNALED(status) ? "signal" : "status",
				    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		}
	return hopeless;
}

/* Starts what is due; the time until the next is due, in ms (at most a minute). */
static gint64 start_due(struct supervisor *s)
{
	gint64 wait = 60000;

	for (guint i = 0; i < s->units->len; i++) {
		struct unit *unit = &g_array_index(s->units, struct unit, i);
		if (unit->pid == 0 && unit->start_at <= now_ms())
			start(s, unit);
		if (unit->pid == 0)
			wait = MIN(wait, MAX(1, unit->start_at - now_ms()));
	}
	return wait;
}

static void signal_all(const struct supervisor *s, int signo)
{
	for (guint i = 0; i < s->units->len; i++)
		if (g_array_index(s->units, struct unit, i).pid > 0)
			kill(g_array_index(s->units, struct unit, i).pid, signo);
}

static gboolean any_left(const struct supervisor *s)
{
	for (guint i = 0; i < s->units->len; i++)
		if (g_array_index(s->units, struct unit, i).pid > 0)
			return TRUE;
	return FALSE;
}

static void stop(struct supervisor *s)
{
	gint64 end = now_ms() + GRACE_MS;

	signal_all(s, SIGTERM);
	while (any_left(s) && now_ms() < end) {
		g_usleep(5000);
		reap(s, TRUE);
	}
	signal_all(s, SIGKILL);
	while (any_left(s)) {
		g_usleep(1000);
		reap(s, TRUE);
	}
}

static int supervise(struct supervisor *s)
{
	sigset_t signals;
	int signo = 0, status = EXIT_SUCCESS;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	while (signo != SIGTERM && signo != SIGINT && status == EXIT_SUCCESS) {
		gint64 wait = start_due(s);
		struct timespec timeout = { wait / 1000, wait % 1000 * 1000000 };
		signo = sigtimedwait(&signals, NULL, &timeout);
		if (reap(s, FALSE))
			status = 3;
	}
	stop(s);
	log_event("notice", "event=stopped");
	return status;
}

/* The folders that roles write to stand before any of them starts, closed to others. */
static gboolean make_folders(const struct config *config, GError **error)
{
	const char *const below[] = { ".", config->spool, "mirrors", "judge", "journal", "temp", NULL };

	for (guint i = 0; below[i] != NULL; i++) {
		g_autofree char *path = config_path(config, below[i]);
		if (g_mkdir_with_parents(path, 0700) < 0) {
			g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE,
			    "the folder %s cannot be made: %s (option \"state\" of %s)", path, g_strerror(errno),
			    config->name);
			return FALSE;
		}
	}
	return TRUE;
}

int cmd_serve(int argc, char **argv)
{
	g_autofree char *path = NULL;
	const GOptionEntry entries[] = {
		{ "config", 'c', 0, G_OPTION_ARG_FILENAME, &path,
		    "The configuration (default /etc/tagseal/config.toml)", "FILE" },
		G_OPTION_ENTRY_NULL,
	};
	const struct command_usage usage = { "tagseald", "[--config FILE]",
		"Serves, in the foreground, until SIGTERM or SIGINT.",
		"Examples:\n  tagseald --config /etc/tagseal/config.toml\n  tagseald check --config FILE      what "
		"would keep it from working\n",
		0, 0 };
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) text = NULL;
	autoptr(config) config = NULL;
	struct supervisor s = { .config_fd = -1 };
	int status;

	if (!command_options(&usage, entries, &argc, argv, NULL, &status))
		return status;
	if (path == NULL)
		path = g_strdup(CONFIG_DEFAULT);
	if ((config = config_read(path, &error)) == NULL || (text = file_read(path, 1 << 20, &error)) == NULL ||
	    !make_folders(config, &error) || (s.config_fd = memfd_from_bytes("config", text, &error)) < 0 ||
	    !make_channels(&s, config, &error))
		return command_fail(error) == 1 ? 2 : error_exit_status(error);
	s.config_name = g_strdup(config->name);
	make_units(&s, config);
	log_role("supervisor");
	log_event("notice", "event=start version=%s state=%s", TAGSEAL_VERSION, config->state);
	return supervise(&s);
}

static gboolean parse_peer(const char *text, struct peer *peer)
{
	g_auto(GStrv) parts = g_strsplit(text, ":", -1);

	if (g_strv_length(parts) != 4 || !role_parse(parts[1], &peer->role))
		return FALSE;
	peer->own = strtoul(parts[0], NULL, 10);
	peer->index = strtoul(parts[2], NULL, 10);
	peer->fd = atoi(parts[3]);
	return fcntl(peer->fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* In the order in which a blocking role reads them: who asks for the last decision comes last (roles.c numbers engine first). */
static int peer_order(gconstpointer a, gconstpointer b)
{
	const struct peer *p = a, *q = b;

	if ((p->role == ROLE_ENGINE) != (q->role == ROLE_ENGINE))
		return p->role == ROLE_ENGINE ? 1 : -1;
	return p->role != q->role ? (int)p->role - (int)q->role : (int)p->index - (int)q->index;
}

int role_main(int argc, char **argv)
{
	g_autofree char *name = NULL, *config_name = NULL;
	g_auto(GStrv) peers = NULL;
	int index = 0, config_fd = -1;
	gboolean again = FALSE;
	const GOptionEntry entries[] = {
		{ "role", 0, 0, G_OPTION_ARG_STRING, &name, NULL, NULL },
		{ "index", 0, 0, G_OPTION_ARG_INT, &index, NULL, NULL },
		{ "again", 0, 0, G_OPTION_ARG_NONE, &again, NULL, NULL },
		{ "config-fd", 0, 0, G_OPTION_ARG_INT, &config_fd, NULL, NULL },
		{ "config-name", 0, 0, G_OPTION_ARG_FILENAME, &config_name, NULL, NULL },
		{ "peer", 0, 0, G_OPTION_ARG_STRING_ARRAY, &peers, NULL, NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) text = NULL;
	autoptr(config) config = NULL;
	struct role_context role = { .index = 0 };
	g_autofree char *shown = NULL;

	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error) || name == NULL || !role_parse(name, &role.self) ||
	    peers == NULL)
		return ROLE_EXIT_CONFIGURATION;
	shown = g_strdup_printf("%s.%d", name, index);
	log_role(shown);
	prctl(PR_SET_NAME, name);
	if ((text = fd_read(config_fd, 1 << 20, &error)) == NULL ||
	    (config = config_parse(g_bytes_get_data(text, NULL), g_bytes_get_size(text), config_name, &error)) == NULL ||
	    !sandbox_enter(role.self, &error)) {
		log_event("err", "%s", error->message);
		return ROLE_EXIT_CONFIGURATION;
	}
	close(config_fd);
	role.index = index;
	role.again = again;
	role.config = config;
	role.peer_count = g_strv_length(peers);
	role.peers = g_new0(struct peer, role.peer_count);
	for (guint i = 0; i < role.peer_count; i++)
		if (!parse_peer(peers[i], &role.peers[i]))
			return ROLE_EXIT_CONFIGURATION;
	qsort(role.peers, role.peer_count, sizeof(*role.peers), peer_order);
	index = role_rows[role.self].run(&role);
	g_free(role.peers);
	return index;
}
