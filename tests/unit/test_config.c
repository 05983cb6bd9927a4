/* The configuration: example and table held together, and mistakes told with file, line and column. */
#include "tests/unit/support.h"

#include <string.h>
#include <sys/stat.h>

#include "gitops/base/bytes.h"
#include "gitops/base/toml.h"
#include "server/config.h"

static char *example_text(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *path = g_build_filename(TESTS_DIR, "..", "config.example.toml", NULL);
	g_autoptr(GBytes) bytes = file_read(path, 1 << 20, &error);

	assert_ok(bytes, error);
	return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static struct config *parse(const char *text, GError **error)
{
	return config_parse(text, strlen(text), "/etc/tagseal/config.toml", error);
}

static void the_example_is_a_valid_configuration(void **state)
{
	g_autofree char *text = example_text();
	g_autoptr(GError) error = NULL;
	autoptr(config) config = parse(text, &error);

	(void)state;
	assert_ok(config, error);
	assert_string_equal(config->tokens[0].pin_file, "/etc/tagseal/secrets/pin");
}

static void every_option_stands_in_the_example_with_its_default_and_its_reason(void **state)
{
	g_autofree char *text = example_text();

	(void)state;
	for (guint i = 0; i < config_section_count; i++) {
		const struct config_section *section = &config_sections[i];
		g_autofree char *head = g_strdup_printf("[%s]\n", section->name);
		const char *begin = *section->name != '\0' ? strstr(text, head) : text;

		if (g_str_has_prefix(section->name, "[")) {
			g_autofree char *array = g_strdup_printf("[%s]\n", section->name);
			begin = strstr(text, array);
		}
		assert_non_null(begin);
		for (guint n = 0; n < section->count; n++) {
			const struct toml_field *field = &section->fields[n];
			g_autofree char *line = field->required
						    ? g_strdup_printf("\n%s = ", field->key)
						    : g_strdup_printf("\n#%s = %s\n", field->key, field->dflt);
			if (strstr(begin, line) == NULL || strstr(text, field->help) == NULL)
				fail_msg("config.example.toml lacks in [%s]: # %s%s", section->name, field->help, line);
		}
	}
}

/* The example with one text put in place of another, refused with these words. */
static void refused_with(const char *from, const char *to, const char *words)
{
	g_autofree char *text = example_text();
	g_auto(GStrv) parts = g_strsplit(text, from, 2);
	g_autofree char *changed = g_strjoin(to, parts[0], parts[1], NULL);
	g_autoptr(GError) error = NULL;
	autoptr(config) config = NULL;

	assert_int_equal(g_strv_length(parts), 2);
	config = parse(changed, &error);
	assert_refused(config, error, words);
}

static void a_mistyped_option_is_told_with_line_column_and_the_nearest_name(void **state)
{
	(void)state;
	refused_with("#workers = 2", "worker = 2", "did you mean \"workers\"");
	refused_with("#workers = 2", "worker = 2", "/etc/tagseal/config.toml:");
}

static void a_mistyped_section_is_refused(void **state)
{
	(void)state;
	refused_with("[publish]", "[publsih]", "did you mean \"publish\"");
}

static void a_missing_section_with_a_required_option_is_refused(void **state)
{
	(void)state;
	refused_with("[policy]", "[listen.policy]", "policy");
}

static void a_wrong_type_is_refused(void **state)
{
	(void)state;
	refused_with("#workers = 2", "workers = \"two\"", "workers");
}

static void an_abbreviated_policy_root_is_refused(void **state)
{
	(void)state;
	refused_with("root = \"0123456789abcdef0123456789abcdef01234567\"", "root = \"0123456\"", "not a full commit id");
}

static void a_ledger_on_an_unknown_token_is_refused(void **state)
{
	(void)state;
	refused_with("token = \"main\"", "token = \"mian\"", "there is no [[token]] with the name \"mian\"");
}

static void a_secret_that_others_may_read_is_refused(void **state)
{
	g_autofree char *path = support_path("secret");
	g_autoptr(GError) error = NULL;
	GBytes *secret;

	(void)state;
	assert_true(file_write(path, "s3cret\n", 7, 0644, NULL));
	assert_refused(secret_read(path, &error), error, "chmod 600");
	assert_int_equal(chmod(path, 0600), 0);
	secret = secret_read(path, NULL);
	assert_non_null(secret);
	assert_memory_equal(g_bytes_get_data(secret, NULL), "s3cret", 6);
	secret_free(secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_is_a_valid_configuration),
		cmocka_unit_test(every_option_stands_in_the_example_with_its_default_and_its_reason),
		cmocka_unit_test(a_mistyped_option_is_told_with_line_column_and_the_nearest_name),
		cmocka_unit_test(a_mistyped_section_is_refused),
		cmocka_unit_test(a_missing_section_with_a_required_option_is_refused),
		cmocka_unit_test(a_wrong_type_is_refused),
		cmocka_unit_test(an_abbreviated_policy_root_is_refused),
		cmocka_unit_test(a_ledger_on_an_unknown_token_is_refused),
		cmocka_unit_test(a_secret_that_others_may_read_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
