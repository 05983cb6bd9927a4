/*
 * Fetches as the gitops role does, once: tests/bench/run measures it beside `git fetch`.
 *
 *   mirror FOLDER URL SOURCE…
 */
#include <stdio.h>

#include "gitops/mirror.h"

int main(int argc, char **argv)
{
	const struct mirror_limits limits = {
		.max_bytes = (uint64_t)4 << 30,
		.max_objects = 5000000,
		.deadline_ms = 10 * 60 * 1000,
		.allow_private = TRUE,
		.allow_http = TRUE,
	};
	g_autoptr(GError) error = NULL;

	if (argc < 4) {
		fprintf(stderr, "usage: mirror FOLDER URL SOURCE…\n");
		return 2;
	}
	if (mirror_init(&error) && mirror_fetch(argv[1], argv[2], (const char *const *)argv + 3, &limits, NULL, &error))
		return 0;
	fprintf(stderr, "mirror: %s\n", error->message);
	return 1;
}
