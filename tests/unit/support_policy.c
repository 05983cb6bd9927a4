#include "tests/unit/support_policy.h"

#include <string.h>

static const char policy_toml[] = "maintainers = [\"alice\", \"carol\", \"dave\"]\nthreshold = 2\n";

static const char project_toml[] = "name = \"acme/widget\"\n"
				   "source = \"https://git.example.org/acme/widget.git\"\n"
				   "hooks = [\"acme/widget\"]\n"
				   "\n"
				   "[[policy]]\n"
				   "name = \"release\"\n"
				   "tags = [\"v[0-9]*\"]\n"
				   "not_tags = [\"*-rc*\"]\n"
				   "taggers = [\"@release-managers\"]\n"
				   "quorum = [{ of = [\"@developers\"], count = 2 }]\n"
				   "approve_within = \"14d\"\n"
				   "key = \"release-2026\"\n"
				   "purpose = \"release\"\n"
				   "pinned_by = [\"approval\"]\n"
				   "[[policy.artifact]]\n"
				   "name = \"widget-{version}.zip\"\n"
				   "fetch = \"https://ci.example.org/{commit}/widget-{version}.zip\"\n"
				   "type = \"zip\"\n"
				   "sign = \"openpgp\"\n"
				   "\n"
				   "[[policy]]\n"
				   "name = \"test\"\n"
				   "tags = [\"*-rc*\"]\n"
				   "taggers = [\"@release-managers\", \"bob\"]\n"
				   "quorum = []\n"
				   "key = \"test\"\n"
				   "purpose = \"test\"\n"
				   "pinned_by = [\"tag\"]\n"
				   "timestamp = false\n"
				   "[[policy.artifact]]\n"
				   "name = \"widget-{version}.zip\"\n"
				   "fetch = \"https://ci.example.org/{commit}/widget-{version}.zip\"\n"
				   "sign = [\"openpgp\", \"cms\"]\n";

static const char release_toml[] =
    "purpose = \"release\"\nchain = \"release.pem\"\n"
    "require = { quorum = 2, timestamp = true, scan = true, max_database_age = \"2d\" }\n"
    "budget = { projects = 1, signatures = 5000, days = 460 }\nmodules = [\"SoftHSM*\"]\n";
static const char test_toml[] = "label = \"test-key\"\npurpose = \"test\"\nchain = \"test.pem\"\n";

static const char release_pem[] = "-----BEGIN CERTIFICATE-----\n"
				  "MIIBfjCCASWgAwIBAgIUTXWyCN4mOKI6LZliFV6bN/1zNB8wCgYIKoZIzj0EAwIw\n"
				  "FTETMBEGA1UEAwwKUmVsZWFzZSBDQTAeFw0yNjExMjQxMDI1NDhaFw0zNjExMjEx\n"
				  "MDI1NDhaMBUxEzARBgNVBAMMClJlbGVhc2UgQ0EwWTATBgcqhkjOPQIBBggqhkjO\n"
				  "PQMBBwNCAAR8vXkT49YYKW/gHuf2jKXhxdL51xOHc/2TiDkVtugDJvUymkU2dPsI\n"
				  "p3Q2l7Gfk2zmEk6fdfVyI6lUIDBczaP0o1MwUTAdBgNVHQ4EFgQUeN5fv04xnWld\n"
				  "LVaIPM0RyvaFMO8wHwYDVR0jBBgwFoAUeN5fv04xnWldLVaIPM0RyvaFMO8wDwYD\n"
				  "VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBYlkOXKgp9Wogmhg/IZW/y\n"
				  "7mVi75sJ0QgJ2o2ayVcJMQIgBTMiOXl+wlUWtkJ3jNwtztBNZPKjoHgrsa8s84A2\n"
				  "DAQ=\n"
				  "-----END CERTIFICATE-----\n";
static const char test_pem[] = "-----BEGIN CERTIFICATE-----\n"
			       "MIIBeTCCAR+gAwIBAgIUJuBvU+c1VcPYAGwzPIACK8KGlcswCgYIKoZIzj0EAwIw\n"
			       "EjEQMA4GA1UEAwwHVGVzdCBDQTAeFw0yNjExMjQxMDI1NDhaFw0zNjExMjExMDI1\n"
			       "NDhaMBIxEDAOBgNVBAMMB1Rlc3QgQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n"
			       "AATC1SeTtNh4HAv+eB4N+PWieLTZFJ2PJEGcNiZV/5y9NwjIAy0wiso2w1jXAoqG\n"
			       "VmRSgbYTUhqu2MmNWDb1k6aXo1MwUTAdBgNVHQ4EFgQU/alVWH6ULgn5/dATzUbv\n"
			       "V0+Th+gwHwYDVR0jBBgwFoAU/alVWH6ULgn5/dATzUbvV0+Th+gwDwYDVR0TAQH/\n"
			       "BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAplSsXHUe82OZT613g8bwxe/C8C6Y\n"
			       "wdCMG5VfsTEs984CIHj6ErPtRTvi1yM2x6Opjqno9yfvK6ishHncgZh3SMMj\n"
			       "-----END CERTIFICATE-----\n";

char *sample_ssh_key(const char *person)
{
	char *path = support_path("ssh-%s", person);

	if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
		g_autofree char *said =
		    support_must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path, NULL);
	}
	return path;
}

void sample_set(policy_files *files, const char *path, const char *text)
{
	g_hash_table_insert(files, g_strdup(path), g_bytes_new(text, strlen(text)));
}

void sample_replace(policy_files *files, const char *path, const char *from, const char *to)
{
	GBytes *old = g_hash_table_lookup(files, path);
	g_autofree char *text = NULL;
	g_autofree char *rest = NULL;
	char *at;

	assert_non_null(old);
	text = g_strndup(g_bytes_get_data(old, NULL), g_bytes_get_size(old));
	at = strstr(text, from);
	if (at == NULL)
		fail_msg("%s does not hold \"%s\"", path, from);
	*at = '\0';
	rest = g_strconcat(text, to, at + strlen(from), NULL);
	sample_set(files, path, rest);
}

static void set_person(policy_files *files, const char *person, const char *name, const char *groups)
{
	g_autofree char *key = sample_ssh_key(person);
	g_autofree char *pub = g_strconcat(key, ".pub", NULL);
	g_autofree char *line = g_strstrip(support_read(pub));
	g_autofree char *path = g_strdup_printf("people/%s.toml", person);
	g_autofree char *text = g_strdup_printf(
	    "name = \"%s\"\nemail = [\"%s@example.org\"]\ngroups = [%s]\nssh = [\"%s\"]\n", name, person, groups, line);

	sample_set(files, path, text);
}

policy_files *sample_files(void)
{
	policy_files *files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);

	set_person(files, "alice", "Alice Example", "\"release-managers\"");
	set_person(files, "bob", "Bob Example", "\"developers\"");
	set_person(files, "carol", "Carol Example", "\"developers\", \"security\"");
	set_person(files, "dave", "Dave Example", "");
	sample_set(files, SAMPLE_POLICY, policy_toml);
	sample_set(files, SAMPLE_PROJECT, project_toml);
	sample_set(files, SAMPLE_KEY, release_toml);
	sample_set(files, "keys/test.toml", test_toml);
	sample_set(files, "keys/release.pem", release_pem);
	sample_set(files, "keys/test.pem", test_pem);
	return files;
}

struct policy *sample_load(policy_files *files)
{
	g_autoptr(GError) error = NULL;
	struct policy *policy = policy_load(files, &error);

	assert_ok(policy, error);
	g_hash_table_unref(files);
	return policy;
}

static char *armor(const char *payload, const char *person)
{
	g_autofree char *key = sample_ssh_key(person);
	g_autofree char *path = support_path("payload");
	g_autofree char *signature = support_path("payload.sig");
	g_autofree char *said = NULL;

	support_write(path, payload);
	unlink(signature);
	said = support_must("ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", key, path, NULL);
	return support_read(signature);
}

GBytes *sample_sign_tag(const char *payload, const char *person)
{
	g_autofree char *signature = armor(payload, person);
	char *text = g_strconcat(payload, signature, NULL);

	return g_bytes_new_take(text, strlen(text));
}

GBytes *sample_sign_commit(const char *payload, const char *person)
{
	g_autofree char *signature = g_strchomp(armor(payload, person));
	g_auto(GStrv) lines = g_strsplit(signature, "\n", -1);
	g_autofree char *folded = g_strjoinv("\n ", lines);
	const char *headers_end = strstr(payload, "\n\n");
	char *text;

	assert_non_null(headers_end);
	text = g_strdup_printf("%.*s\ngpgsig %s%s", (int)(headers_end - payload), payload, folded, headers_end);
	return g_bytes_new_take(text, strlen(text));
}
