/* [policy.provenance]: what a project may ask for, and what it makes of an envelope. */
#include "tests/unit/support_builder.h"
#include "tests/unit/support_policy.h"

#include <string.h>

#include "gitops/policy_rights.h"
#include "gitops/provenance_policy.h"

#define WIDGET "https://git.example.org/acme/widget.git"
#define COMMIT "5f2ab3c0d1e2f30415263748596a7b8c9dae0f12"
#define OTHER "1111111111111111111111111111111111111111"
#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define NAME "widget-1.2.0.zip"

static policy_files *files_with_provenance(void)
{
	policy_files *files = sample_files();

	sample_pin_by_provenance(files);
	return files;
}

/* --- the policy's own rules --- */

static void refused_with(const char *from, const char *to, const char *words)
{
	g_autoptr(GHashTable) files = files_with_provenance();
	g_autoptr(GError) error = NULL;

	sample_replace(files, SAMPLE_PROJECT, from, to);
	assert_refused(policy_load(files, &error), error, words);
}

static void provenance_may_be_asked_for(void **state)
{
	autoptr(policy) policy = sample_load(files_with_provenance());
	const struct policy_rule *rule = &policy_project(policy, "acme/widget")->rules[0];

	assert_string_equal(rule->provenance.fetch, "https://ci.example.org/{commit}/provenance.jsonl");
	assert_string_equal(rule->provenance.builders[0], "https://ci.example.org/builder");
	assert_null(rule->provenance.source);
}

static void what_asks_for_nothing_or_too_much_is_refused(void **state)
{
	refused_with("[\"provenance\"]", "[\"tag\"]", "nothing asks for provenance: pinned_by does not name it");
	refused_with("[policy.provenance]\nfetch", "[policy.provenence]\nfetch",
	    "unknown key \"provenence\"; did you mean \"provenance\"?");
	refused_with("keys = [\"builder.pem\"]\n", "", "either keys or roots say whose statements count");
	refused_with("keys = [\"builder.pem\"]\n", "keys = [\"builder.pem\"]\nroots = \"builder.pem\"\n",
	    "either keys or roots");
	refused_with("keys = [\"builder.pem\"]\n", "keys = [\"builder.pem\"]\nissuer = \"https://x.example.org\"\n",
	    "identities, issuer and timestamp_roots are about certificates, and go with roots");
	refused_with("keys = [\"builder.pem\"]\n", "keys = [\"other.pem\"]\n", "there is no file projects/other.pem");
	refused_with("keys = [\"builder.pem\"]\n", "roots = \"builder.pem\"\n",
	    "builder.pem: no certificate in PEM stands there");
	refused_with("keys = [\"builder.pem\"]\n", "keys = [\"acme-widget.toml\"]\n",
	    "acme-widget.toml holds no public key in PEM");
	refused_with("builders = [\"https://ci.example.org/builder\"]", "builders = []",
	    "builders is empty: no statement would ever count");
	refused_with("{commit}/provenance", "{comit}/provenance", "{comit}");
}

static void pinned_by_provenance_alone_says_who_may_sign_it(void **state)
{
	g_autoptr(GHashTable) files = sample_files();
	g_autoptr(GError) error = NULL;

	sample_replace(files, SAMPLE_PROJECT, "[\"approval\"]", "[\"approval\", \"provenance\"]");
	assert_refused(policy_load(files, &error),
	    error, "projects/acme-widget.toml:5:1: pinned_by names \"provenance\", and no [policy.provenance] says who may sign it");
}

static void assert_widens(const char *from, const char *to, const char *words)
{
	policy_files *files = files_with_provenance();
	autoptr(policy) before = sample_load(files_with_provenance());
	autoptr(policy) now = NULL;
	g_autofree char *told = NULL;

	if (from != NULL)
		sample_replace(files, SAMPLE_PROJECT, from, to);
	now = sample_load(files);
	told = policy_widens(before, now, "alice");
	if (words != NULL)
		assert_contains(told, words);
	else
		assert_null(told);
}

static void having_others_vouch_is_a_right(void **state)
{
	assert_widens(NULL, NULL, NULL);
	assert_widens("builder\"]", "builder\", \"https://ci.example.org/*\"]", "has others vouch for its provenance");
	assert_widens(
	    "keys =", "source = \"https://git.example.org/alice/widget\"\nkeys =", "has others vouch for its provenance");
	assert_widens("{commit}/provenance", "{tag}/provenance", NULL);
}

static void another_key_in_the_same_file_is_one_too(void **state)
{
	policy_files *files = files_with_provenance();
	autoptr(policy) before = sample_load(files_with_provenance());
	autoptr(policy) now = NULL;
	g_autofree char *told = NULL, *pem = support_must("sh", "-c",
					  "openssl genpkey -quiet -algorithm ed25519 | openssl pkey -pubout", NULL);

	sample_set(files, "projects/builder.pem", pem);
	now = sample_load(files);
	told = policy_widens(before, now, "alice");
	assert_contains(told, "has others vouch for its provenance");
}

/* --- deciding by it --- */

static gboolean decided(policy_files *files, GBytes *file, const char *name, struct json **section, GError **error)
{
	autoptr(policy) policy = sample_load(files);
	const struct policy_project *project = policy_project(policy, "acme/widget");
	const struct provenance_artifact artifact = { name, DIGEST + strlen("sha256:"), NULL };
	const struct provenance_question q = { .policy = policy,
		.project = project,
		.rule = &project->rules[0],
		.commit = COMMIT,
		.first_seen_ms = 1767225600000,
		.artifacts = &artifact,
		.artifact_count = 1 };

	return provenance_decide(file, &q, section, error);
}

static void what_the_builder_built_from_the_commit_is_good(void **state)
{
	g_autoptr(GBytes) file = sample_provenance(WIDGET, COMMIT, NAME, DIGEST);
	g_autoptr(GError) error = NULL;
	autoptr(json) section = NULL;
	g_autofree char *digest = sha256_text_bytes(file);

	assert_ok(decided(files_with_provenance(), file, NAME, &section, &error), error);
	assert_string_equal(json_string(section, "sha256"), digest);
	assert_string_equal(json_string(section, "first_seen"), "2026-01-01T00:00:00.000Z");
	assert_string_equal(json_string(section, "source"), WIDGET);
}

static void assert_not(policy_files *files, GBytes *file, const char *words)
{
	g_autoptr(GBytes) mine = file;
	g_autoptr(GError) error = NULL;

	assert_refused(decided(files, mine, NAME, NULL, &error), error, words);
}

static void what_was_built_otherwise_is_refused_by_the_rule(void **state)
{
	policy_files *files = files_with_provenance();

	assert_not(files_with_provenance(), sample_provenance(WIDGET, OTHER, NAME, DIGEST),
	    "the provenance does not vouch, as policy \"release\" (projects/acme-widget.toml:5) demands: the "
	    "statement's "
	    "buildDefinition.resolvedDependencies is the source at commit " OTHER ", and not at " COMMIT);
	assert_not(files_with_provenance(),
	    sample_provenance("https://git.example.org/mallory/widget.git", COMMIT, NAME, DIGEST),
	    "is \"git+https://git.example.org/mallory/widget.git\", and not the source " WIDGET);
	assert_not(files_with_provenance(),
	    sample_provenance(
		WIDGET, COMMIT, NAME, "sha256:0000000000000000000000000000000000000000000000000000000000000000"),
	    "the statement's subject \"" NAME "\" has another digest than this file's " DIGEST);
	sample_replace(files, SAMPLE_PROJECT, "https://ci.example.org/builder\"", "https://ci.example.org/other/*\"");
	assert_not(files, sample_provenance(WIDGET, COMMIT, NAME, DIGEST),
	    "the statement's builder is \"https://ci.example.org/builder\", and not https://ci.example.org/other/*");
}

static void the_source_may_have_another_name_at_the_builder(void **state)
{
	policy_files *files = files_with_provenance();
	g_autoptr(GBytes) file = sample_provenance("https://mirror.example.org/w", COMMIT, NAME, DIGEST);
	g_autoptr(GError) error = NULL;

	sample_replace(files, SAMPLE_PROJECT, "keys = [\"builder.pem\"]",
	    "keys = [\"builder.pem\"]\nsource = \"https://mirror.example.org/w\"");
	assert_ok(decided(files, file, NAME, NULL, &error), error);
	assert_not(files_with_provenance(), sample_provenance("https://mirror.example.org/w", COMMIT, NAME, DIGEST),
	    "and not the source " WIDGET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(provenance_may_be_asked_for),
		cmocka_unit_test(what_asks_for_nothing_or_too_much_is_refused),
		cmocka_unit_test(pinned_by_provenance_alone_says_who_may_sign_it),
		cmocka_unit_test(having_others_vouch_is_a_right),
		cmocka_unit_test(another_key_in_the_same_file_is_one_too),
		cmocka_unit_test(what_the_builder_built_from_the_commit_is_good),
		cmocka_unit_test(what_was_built_otherwise_is_refused_by_the_rule),
		cmocka_unit_test(the_source_may_have_another_name_at_the_builder),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
