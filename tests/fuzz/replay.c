/* Stands in for libFuzzer: feeds the target every file that is named, or lies in a folder that is named. */
#include "tests/fuzz/fuzz.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FALSE if it cannot be read: a corpus that silently vanished would test nothing. */
static gboolean replay_file(const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *data = NULL;
	uint8_t *exact;
	size_t size;

	if (!g_file_get_contents(path, &data, &size, &error)) {
		fprintf(stderr, "replay: %s\n", error->message);
		return FALSE;
	}
	/* Without the NUL that GLib adds, so that reading one byte too far is seen; as libFuzzer does, never NULL. */
	exact = malloc(size);
	if (exact == NULL)
		return FALSE;
	memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return TRUE;
}

static int replay_folder(const char *path)
{
	g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
	const char *name;
	int count = 0;

	while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
		g_autofree char *file = g_build_filename(path, name, NULL);

		if (!replay_file(file))
			return -1;
		count++;
	}
	if (count == 0)
		fprintf(stderr, "replay: %s is missing or empty\n", path);
	return count == 0 ? -1 : count;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		gboolean is_file = g_file_test(argv[i], G_FILE_TEST_IS_REGULAR);
		int count = is_file ? (replay_file(argv[i]) ? 1 : -1) : replay_folder(argv[i]);

		if (count < 0)
			return EXIT_FAILURE;
		total += count;
	}
	printf("replayed %d inputs\n", total);
	return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
