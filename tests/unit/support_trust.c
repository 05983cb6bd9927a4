#include "tests/unit/support_trust.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int trust_setup(void **state)
{
	/* Each script says by its configuration who it is. */
	static const char *const identities[] = { "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME",
		"GIT_COMMITTER_EMAIL" };

	(void)state;
	support_isolate();
	g_setenv("TRUST", support_tmp(), TRUE);
	for (size_t i = 0; i < G_N_ELEMENTS(identities); i++)
		g_unsetenv(identities[i]);
	return chdir(support_tmp());
}

int trust_teardown(void **state)
{
	(void)state;
	return chdir("/");
}

/* Both outputs go to files of the folder, where NUL bytes survive. */
static int script_status(const char *format, va_list args)
{
	g_autofree char *body = g_strdup_vprintf(format, args);
	g_autofree char *script = g_strconcat("exec >.stdout 2>.stderr </dev/null\n", body, NULL);
	char *argv[] = { "/bin/bash", "-ec", script, NULL };
	int status = -1;

	assert_true(g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, NULL));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void must_succeed(const char *format, va_list args)
{
	int status = script_status(format, args);

	if (status != 0) {
		g_autoptr(GBytes) messages = support_read_bytes(".stderr");
		fail_msg("exit %d of: %s\n%.*s", status, format, (int)g_bytes_get_size(messages),
		    (const char *)g_bytes_get_data(messages, NULL));
	}
}

void trust_run(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	must_succeed(format, args);
	va_end(args);
}

int trust_status(const char *format, ...)
{
	va_list args;
	int status;

	va_start(args, format);
	status = script_status(format, args);
	va_end(args);
	return status;
}

GBytes *trust_output(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	must_succeed(format, args);
	va_end(args);
	return support_read_bytes(".stdout");
}

char *trust_text(const char *format, ...)
{
	va_list args;
	g_autoptr(GBytes) output = NULL;

	va_start(args, format);
	must_succeed(format, args);
	va_end(args);
	output = support_read_bytes(".stdout");
	return g_strchomp(g_strndup(g_bytes_get_data(output, NULL), g_bytes_get_size(output)));
}

GBytes *trust_replace(GBytes *text, const char *from, const char *to)
{
	gsize size, skip = strlen(from);
	const char *data = g_bytes_get_data(text, &size), *at = g_strstr_len(data, size, from);
	GByteArray *out = g_byte_array_new();

	assert_non_null(at);
	g_byte_array_append(out, (const guint8 *)data, at - data);
	g_byte_array_append(out, (const guint8 *)to, strlen(to));
	g_byte_array_append(out, (const guint8 *)at + skip, data + size - at - skip);
	return g_byte_array_free_to_bytes(out);
}

void assert_refusal(const GError *error, const char *words)
{
	assert_non_null(error);
	if (!g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED) || strstr(error->message, words) == NULL)
		fail_msg("\"%s\" (code %d) does not say \"%s\"", error->message, error->code, words);
}

gboolean trust_tag_verified(GBytes *raw, int64_t at_ms, struct signer *signer, GError **error)
{
	autoptr(people) people = people_load_dir("people", error);
	autoptr(tag) tag = people != NULL ? tag_parse(raw, error) : NULL;

	return tag != NULL && people_verify_tag(people, tag, at_ms, signer, error);
}

void trust_tag_refused(GBytes *raw, int64_t at_ms, const char *words)
{
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	if (trust_tag_verified(raw, at_ms, &signer, &error))
		fail_msg("accepted; should be refused with \"%s\"", words);
	assert_null(signer.person);
	assert_refusal(error, words);
}

void trust_people_refused(const char *words)
{
	g_autoptr(GError) error = NULL;
	autoptr(people) people = people_load_dir("people", &error);

	assert_null(people);
	assert_refusal(error, words);
}

int trust_command_setup(void **state)
{
	g_autofree char *program = NULL;

	if (trust_setup(state) != 0)
		return -1;
	program = support_program("tagseal");
	g_setenv("TAGSEAL", program, TRUE);
	trust_run("ssh-keygen -q -t ed25519 -N '' -C a -f a; mkdir people\n"
		  "printf 'name = \"Alice\"\\nssh = [\"%%s\"]\\n' \"$(cat a.pub)\" >people/alice.toml\n"
		  "git init -q repo; cd repo; git config gpg.format ssh; git config user.signingkey ../a\n"
		  "git config user.name Alice; git config user.email alice@example.org");
	return 0;
}
