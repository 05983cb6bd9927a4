#include "server/deadline.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static const char *volatile sentence_;

/* Only what a signal handler may do: the call that hangs may hold any lock. */
static void ended(int signal_number)
{
	(void)signal_number;
	if (write(STDERR_FILENO, sentence_, strlen(sentence_)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
		_exit(2);
	_exit(1);
}

static void arm(int64_t ms)
{
	struct itimerval timer = { .it_value = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 } };

	setitimer(ITIMER_REAL, &timer, NULL);
}

void deadline_begin(int64_t ms, const char *sentence)
{
	struct sigaction action = { .sa_handler = ended };
	sigset_t set;

	sentence_ = sentence;
	sigemptyset(&action.sa_mask);
	sigaction(SIGALRM, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	arm(MAX(ms, 1));
}

void deadline_end(void)
{
	arm(0);
}
