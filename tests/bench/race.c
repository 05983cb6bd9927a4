/*
 * What do commands cost, side by side? Each round runs every command once, so that whatever else the machine does falls
 * on all of them alike; of several rounds the first only warms up. Prints a line for each command with the medians of
 * its CPU time (user and system, microseconds), its wall time (microseconds) and its peak memory (KiB).
 *
 *   race ROUNDS OUTPUT COMMAND… [::: OUTPUT COMMAND…]
 *
 * OUTPUT is removed before each run of its command.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNNERS_MAX 8

struct cost {
	int64_t cpu, wall, memory;
};

struct runner {
	const char *output;
	char **command;
	struct cost *costs;
};

static void die(const char *what)
{
	fprintf(stderr, "race: %s: %s\n", what, strerror(errno));
	exit(3);
}

static int64_t microseconds(struct timeval t)
{
	return t.tv_sec * INT64_C(1000000) + t.tv_usec;
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* What it says is shown only when it fails. */
static void become(char **command, int said)
{
	dup2(said, STDOUT_FILENO);
	dup2(said, STDERR_FILENO);
	execvp(command[0], command);
	die(command[0]);
}

static struct cost run(const struct runner *r)
{
	struct rusage usage;
	int said = memfd_create("said", MFD_CLOEXEC), status;
	off_t start = 0;
	int64_t began;
	pid_t pid;

	unlink(r->output);
	began = now();
	pid = fork();
	if (pid == 0)
		become(r->command, said);
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
		die(r->command[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		sendfile(STDERR_FILENO, said, &start, 65536);
		fprintf(stderr, "race: %s failed (status %d)\n", r->command[0], status);
		exit(1);
	}
	close(said);
	return (
	    struct cost){ microseconds(usage.ru_utime) + microseconds(usage.ru_stime), now() - began, usage.ru_maxrss };
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t median(const struct cost *costs, size_t count, size_t member)
{
	int64_t *values = calloc(count, sizeof(*values)), middle;

	for (size_t i = 0; i < count; i++)
		memcpy(&values[i], (const char *)&costs[i] + member, sizeof(*values));
	qsort(values, count, sizeof(*values), compare);
	middle = values[count / 2];
	free(values);
	return middle;
}

/* Cuts the arguments at ":::" into runners. */
static size_t take_runners(char **arguments, struct runner *runners)
{
	size_t count = 0;

	while (*arguments != NULL) {
		if (count == RUNNERS_MAX || arguments[1] == NULL)
			return 0;
		runners[count++] = (struct runner){ .output = arguments[0], .command = arguments + 1 };
		while (*arguments != NULL && strcmp(*arguments, ":::") != 0)
			arguments++;
		if (*arguments != NULL)
			*arguments++ = NULL;
	}
	return count;
}

int main(int argc, char **argv)
{
	struct runner runners[RUNNERS_MAX];
	int rounds = argc > 3 ? atoi(argv[1]) : 0;
	size_t count = rounds > 0 ? take_runners(argv + 2, runners) : 0;

	if (count == 0) {
		fprintf(stderr, "Usage: race ROUNDS OUTPUT COMMAND… [::: OUTPUT COMMAND…]\n");
		return 2;
	}
	for (size_t i = 0; i < count; i++)
		runners[i].costs = calloc(rounds + 1, sizeof(struct cost));
	for (int round = rounds > 1 ? 0 : 1; round <= rounds; round++)
		for (size_t i = 0; i < count; i++)
			runners[i].costs[round] = run(&runners[i]);
	for (size_t i = 0; i < count; i++) {
		const struct cost *costs = runners[i].costs + 1;
		printf("%lld %lld %lld\n", (long long)median(costs, rounds, offsetof(struct cost, cpu)),
		    (long long)median(costs, rounds, offsetof(struct cost, wall)),
		    (long long)median(costs, rounds, offsetof(struct cost, memory)));
	}
	return 0;
}
