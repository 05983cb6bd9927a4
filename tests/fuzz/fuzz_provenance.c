/* Statements as a trusted builder could write them: nothing is covered that no subject names. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitops/provenance_private.h"

static const struct provenance_artifact artifact = { "widget.exe",
	"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) payload = g_bytes_new(data, size);
	struct dsse envelope = { .type = (char *)"application/vnd.in-toto+json", .payload = payload };
	const struct provenance_wish wish = { .source = "https://git.example.org/acme/widget",
		.commit = "0123456789abcdef0123456789abcdef01234567" };
	struct statement statement;
	gboolean covered;

	if (statement_read(&envelope, &statement, NULL)) {
		g_autofree char *text = json_text(statement.root);

		covered = statement_covers(&statement, &artifact, FALSE, NULL);
		if (covered && g_strstr_len(text, -1, artifact.sha256) == NULL)
			abort();
		if (!covered && statement_covers(&statement, &artifact, TRUE, NULL))
			abort();
		if (statement_built_from(&statement, &wish, NULL) && g_strstr_len(text, -1, wish.commit) == NULL)
			abort();
		source_match(statement.builder, wish.source);
		if (source_match(statement.builder, statement.builder) != SOURCE_FOUND)
			abort();
	}
	statement_clear(&statement);
	return 0;
}
