/* Mirrors: real repositories by file, http, https and ssh, and servers that mean harm. */
#include "tests/unit/support_net.h"
#include "tests/unit/support.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "gitops/mirror.h"

static const char *const sources[] = { "refs/tags/*", "refs/heads/*", NULL };
static const struct mirror_limits usual = {
	.max_bytes = 64 << 20,
	.max_objects = 10000,
	.deadline_ms = 20000,
	.allow_private = TRUE,
};

static void git(const char *path, const char *script)
{
	g_autofree char *out = NULL;
	g_autofree char *whole = g_strdup_printf("cd '%s' && %s", path, script);

	out = support_must("sh", "-e", "-c", whole, NULL);
}

static char *git_text(const char *path, const char *what)
{
	return support_must("git", "-C", path, "rev-parse", what, NULL);
}

/* One commit on main, tags v1 (annotated) and light (not). */
static char *source(const char *name)
{
	char *path = support_folder(name);

	git(path,
	    "git init -q -b main . && git commit -q --allow-empty -m one && git tag -a v1 -m v1 && git tag light");
	return path;
}

static const char *find(const GPtrArray *refs, const char *name)
{
	for (guint i = 0; i < refs->len; i++) {
		const struct mirror_ref *ref = refs->pdata[i];

		if (g_str_equal(ref->name, name))
			return ref->id;
	}
	return NULL;
}

static GPtrArray *fetch(const char *mirror, const char *url, const struct mirror_limits *limits)
{
	g_autoptr(GError) error = NULL;
	GPtrArray *refs = NULL;

	gboolean done = mirror_fetch(mirror, url, sources, limits, &refs, &error);

	assert_ok(done, error);
	return refs;
}

static gboolean has(const char *mirror, const char *format, const char *id)
{
	g_autofree char *name = g_strdup_printf("%s%s", format, id);
	autoptr(run) run = support_run("git", "-C", mirror, "rev-parse", "-q", "--verify", name, NULL);

	return run->status == 0;
}

/* Does the mirror keep what that ref left behind? */
static gboolean keeps(const char *mirror, const char *ref, const char *id)
{
	g_autofree char *folder = mirror_seen(ref);

	return has(mirror, folder, id);
}

static void tags_and_branches_come_under_their_own_names(void **state)
{
	g_autofree char *path = source("names"), *mirror = support_path("names.git"), *tag = git_text(path, "v1");
	g_autofree char *commit = git_text(path, "main"), *here = NULL;
	g_autoptr(GPtrArray) refs = fetch(mirror, path, &usual);

	(void)state;
	assert_int_equal(refs->len, 3);
	assert_string_equal(find(refs, "refs/tags/v1"), tag);
	assert_string_equal(find(refs, "refs/tags/light"), commit);
	assert_string_equal(find(refs, "refs/heads/main"), commit);
	here = git_text(mirror, "refs/tags/v1");
	assert_string_equal(here, tag);
}

static void a_moved_tag_shows_and_its_old_object_stays(void **state)
{
	g_autofree char *path = source("moved"), *mirror = support_path("moved.git"), *old = git_text(path, "v1");
	g_autofree char *new = NULL;
	g_autoptr(GPtrArray) before = fetch(mirror, path, &usual), after = NULL;

	(void)state;
	git(path, "git tag -f -a v1 -m again");
	new = git_text(path, "v1");
	after = fetch(mirror, path, &usual);
	assert_string_equal(find(after, "refs/tags/v1"), new);
	assert_true(keeps(mirror, "refs/tags/v1", old));
	git(mirror, "git reflog expire --all --expire=now && git gc -q --prune=now");
	assert_true(has(mirror, "", old));
}

static void a_deleted_tag_goes_and_its_object_stays(void **state)
{
	g_autofree char *path = source("deleted"), *mirror = support_path("deleted.git"), *old = git_text(path, "v1");
	g_autoptr(GPtrArray) before = fetch(mirror, path, &usual), after = NULL;

	(void)state;
	git(path, "git tag -d v1 >/dev/null");
	after = fetch(mirror, path, &usual);
	assert_null(find(after, "refs/tags/v1"));
	assert_false(has(mirror, "refs/tags/", "v1"));
	assert_true(keeps(mirror, "refs/tags/v1", old));
}

static void a_branch_that_goes_on_leaves_no_extra_name_but_a_rewound_one_does(void **state)
{
	g_autofree char *path = source("branch"), *mirror = support_path("branch.git"), *one = git_text(path, "main");
	g_autofree char *two = NULL;
	g_autoptr(GPtrArray) a = fetch(mirror, path, &usual), b = NULL, c = NULL;

	(void)state;
	git(path, "git commit -q --allow-empty -m two");
	two = git_text(path, "main");
	b = fetch(mirror, path, &usual);
	assert_false(keeps(mirror, "refs/heads/main", one));
	git(path, "git reset -q --hard HEAD~1");
	c = fetch(mirror, path, &usual);
	assert_true(keeps(mirror, "refs/heads/main", two));
}

static void a_tag_may_become_a_folder_of_tags(void **state)
{
	g_autofree char *path = source("folder"), *mirror = support_path("folder.git");
	g_autoptr(GPtrArray) before = NULL, after = NULL;

	(void)state;
	git(path, "git tag -a rel -m rel");
	before = fetch(mirror, path, &usual);
	git(path, "git tag -d rel >/dev/null && git tag -a rel/1 -m rel");
	after = fetch(mirror, path, &usual);
	assert_true(has(mirror, "refs/tags/", "rel/1"));
}

static void nothing_is_fetched_when_nothing_changed(void **state)
{
	g_autofree char *path = source("same"), *mirror = support_path("same.git"), *before = NULL, *after = NULL;
	g_autoptr(GPtrArray) one = fetch(mirror, path, &usual), two = NULL;

	(void)state;
	before = support_must("sh", "-c",
	    "find \"$1\" -type f -newermt 2000-01-01 -printf '%p %T@\\n' | grep -v lock | sort", "sh", mirror, NULL);
	two = fetch(mirror, path, &usual);
	after = support_must("sh", "-c",
	    "find \"$1\" -type f -newermt 2000-01-01 -printf '%p %T@\\n' | grep -v lock | sort", "sh", mirror, NULL);
	assert_string_equal(before, after);
	assert_int_equal(two->len, 3);
}

static void what_a_source_advertises_can_be_listed_without_a_mirror(void **state)
{
	g_autofree char *path = source("list"), *tag = git_text(path, "v1");
	g_autoptr(GPtrArray) refs = NULL;
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_ok(mirror_list(path, &usual, &refs, &error), error);
	assert_string_equal(find(refs, "refs/tags/v1"), tag);
	assert_null(find(refs, "refs/tags/v1^{}"));
}

static void objects_are_read_within_a_limit_and_of_the_type_asked_for(void **state)
{
	g_autofree char *path = source("objects"), *tag = git_text(path, "v1");
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = mirror_object(path, tag, "tag", 4096, &error);

	(void)state;
	assert_ok(bytes != NULL, error);
	assert_true(g_str_has_prefix(g_bytes_get_data(bytes, NULL), "object "));
	assert_fails(
	    mirror_object(path, tag, "commit", 4096, &error), error, TAGSEAL_ERROR_NOT_FOUND, "there is no commit");
	assert_fails(mirror_object(path, tag, "tag", 10, &error), error, TAGSEAL_ERROR_TOO_LARGE, "at most 10");
	assert_fails(mirror_object(path, "v1", "tag", 10, &error), error, TAGSEAL_ERROR_NOT_FOUND, "40 lower-case");
}

static void a_commit_is_found_on_the_branches_that_match(void **state)
{
	g_autofree char *path = source("on"), *one = git_text(path, "main"), *two = NULL, *branch = NULL, *none = NULL;
	const char *const main_only[] = { "main", NULL }, *const release[] = { "release/*", NULL };
	g_autoptr(GError) error = NULL;

	(void)state;
	git(path, "git checkout -q -b release/1 && git commit -q --allow-empty -m two");
	two = git_text(path, "release/1");
	assert_ok(mirror_branch_of(path, one, main_only, &branch, &error), error);
	assert_string_equal(branch, "main");
	g_clear_pointer(&branch, g_free);
	assert_ok(mirror_branch_of(path, one, release, &branch, &error), error);
	assert_string_equal(branch, "release/1");
	assert_ok(mirror_branch_of(path, two, main_only, &none, &error), error);
	assert_null(none);
}

static void commits_between_two_points_are_listed_newest_first(void **state)
{
	g_autofree char *path = source("between"), *one = git_text(path, "main"), *three = NULL;
	g_auto(GStrv) ids = NULL, all = NULL;
	g_autoptr(GError) error = NULL;

	(void)state;
	git(path, "git commit -q --allow-empty -m two && git commit -q --allow-empty -m three");
	three = git_text(path, "main");
	ids = mirror_commits(path, three, one, 10, &error);
	assert_ok(ids != NULL, error);
	assert_int_equal(g_strv_length(ids), 2);
	assert_string_equal(ids[0], three);
	all = mirror_commits(path, three, NULL, 3, &error);
	assert_int_equal(g_strv_length(all), 3);
	assert_fails(mirror_commits(path, three, NULL, 2, &error), error, TAGSEAL_ERROR_TOO_LARGE, "more than 2 commits");
}

static void urls_that_may_not_be_used_are_refused(void **state)
{
	static const char *const bad[][2] = {
		{ "git://example.org/a.git", "use https://" },
		{ "ftp://example.org/a.git", "use https://" },
		{ "relative/path", "use https://" },
		{ "ext::sh -c id", "use https://" },
		{ "https://user:secret@example.org/a.git", "credentials belong" },
		{ "https://user@example.org/a.git", "credentials belong" },
		{ "https:///a.git", "names no host" },
		{ "ssh://-oProxyCommand=id/a.git", "" },
		{ "https://example.org/a\n.git", "one line" },
		{ "http://127.0.0.1:1/a.git", "private address" },
		{ "https://localhost:1/a.git", "private address" },
		{ "https://[::1]:1/a.git", "private address" },
		{ "https://0x7f.1:1/a.git", "private address" },
		{ "ssh://git@127.0.0.1:1/a.git", "private address" },
	};
	struct mirror_limits limits = usual;

	(void)state;
	limits.allow_private = FALSE;
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GPtrArray) refs = NULL;
		g_autoptr(GError) error = NULL;

		assert_fails(mirror_list(bad[i][0], &limits, &refs, &error), error, TAGSEAL_ERROR_REFUSED, bad[i][1]);
	}
}

static void a_fetch_of_too_many_objects_is_cut(void **state)
{
	g_autofree char *path = source("many"), *mirror = support_path("many.git");
	struct mirror_limits limits = usual;
	g_autoptr(GError) error = NULL;

	(void)state;
	limits.max_objects = 1;
	assert_fails(
	    mirror_fetch(mirror, path, sources, &limits, NULL, &error), error, TAGSEAL_ERROR_TOO_LARGE, "more objects");
}

static void a_source_that_is_not_there_is_unavailable(void **state)
{
	g_autofree char *path = support_path("nothing"), *mirror = support_path("nothing.git");
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_fails(
	    mirror_fetch(mirror, path, sources, &usual, NULL, &error), error, TAGSEAL_ERROR_UNAVAILABLE, "nothing");
}

/* ---- servers that mean harm: a forked child with a listening socket ---- */

static void say_nothing(int fd, const void *data)
{
	char byte;

	(void)data;
	while (read(fd, &byte, 1) > 0)
		;
}

/* A well-formed advertisement without an end. */
static void advertise_for_ever(int fd, const void *data)
{
	static const char head[] =
	    "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n"
	    "001e# service=git-upload-pack\n0000";
	static const char line[] = "003f0123456789abcdef0123456789abcdef01234567 refs/heads/longname1\n";

	(void)data;
	if (write(fd, head, sizeof(head) - 1) < 0)
		return;
	while (write(fd, line, 0x3f) > 0)
		;
}

static void a_silent_server_is_left_at_the_deadline(void **state)
{
	static const char *const schemes[] = { "http", "https" };
	struct mirror_limits limits = usual;
	guint16 port;
	pid_t pid = serve(say_nothing, NULL, &port);

	(void)state;
	limits.deadline_ms = 700;
	for (guint i = 0; i < G_N_ELEMENTS(schemes); i++) {
		g_autofree char *url = g_strdup_printf("%s://127.0.0.1:%u/a.git", schemes[i], port);
		g_autoptr(GPtrArray) refs = NULL;
		g_autoptr(GError) error = NULL;
		gint64 began = g_get_monotonic_time();

		assert_fails(mirror_list(url, &limits, &refs, &error), error, TAGSEAL_ERROR_UNAVAILABLE,
		    "did not answer in time");
		assert_in_range(g_get_monotonic_time() - began, 600 * 1000, 3000 * 1000);
	}
	end_child(pid);
}

static void a_server_that_never_ends_is_cut_at_the_byte_limit(void **state)
{
	struct mirror_limits limits = usual;
	guint16 port;
	pid_t pid = serve(advertise_for_ever, NULL, &port);
	g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/a.git", port);
	g_autoptr(GPtrArray) refs = NULL;
	g_autoptr(GError) error = NULL;

	(void)state;
	limits.max_bytes = 256 * 1024;
	assert_fails(mirror_list(url, &limits, &refs, &error), error, TAGSEAL_ERROR_TOO_LARGE, "sent more bytes");
	end_child(pid);
}

/* ---- real servers ---- */

/* Writes ca.pem, and server.pem/key for 127.0.0.1 and localhost signed by it; other.pem is a stranger. */
static void certificates(const char *folder)
{
	git(folder,
	    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 9 "
	    "-subj /CN=ca "
	    "2>/dev/null; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out "
	    "other.pem "
	    "-days 9 -subj /CN=other 2>/dev/null; openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
	    "-keyout server.key "
	    "-out server.csr -subj /CN=server 2>/dev/null; printf 'subjectAltName=IP:127.0.0.1\\n' >ext; openssl x509 "
	    "-req -in "
	    "server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -extfile ext -out server.pem 2>/dev/null");
}

struct web {
	char *folder, *http, *https; /* URLs up to the folder that holds repositories */
	pid_t nginx, fcgiwrap;
};

/* A test that fails in between must not leave its servers behind. */
static void die_with_parent(gpointer data)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static pid_t spawn(char **argv)
{
	GPid pid;
	g_autoptr(GError) error = NULL;

	assert_ok(g_spawn_async(NULL, argv, NULL,
		      G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL |
			  G_SPAWN_STDOUT_TO_DEV_NULL,
		      die_with_parent, NULL, &pid, &error),
	    error);
	return pid;
}

static void wait_for_port(guint16 port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};

	for (guint i = 0; i < 100; i++) {
		autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return;
		g_usleep(50 * 1000);
	}
	fail_msg("nothing listens on port %u", port);
}

static const char cgi_parameters[] =
    "fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;\n"
    "fastcgi_param GIT_HTTP_EXPORT_ALL 1; fastcgi_param PATH_INFO $1;\n"
    "fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string;\n"
    "fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;\n"
    "fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;\n";

/* nginx before git's own http-backend, serving the repositories in the test's folder. */
static struct web *web_start(void)
{
	struct web *web = g_new0(struct web, 1);
	guint16 http = free_port(), https = free_port();
	g_autofree char *conf = NULL, *path = NULL, *socket_path = NULL, *listen_on = NULL, *unlocked = NULL;

	web->folder = support_folder("web");
	certificates(web->folder);
	socket_path = g_build_filename(web->folder, "cgi", NULL);
	conf =
	    g_strdup_printf("daemon off; user %s; pid pid; error_log error; worker_processes 1; events {}\n"
			    "http { access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c;\n"
			    "uwsgi_temp_path d; scgi_temp_path e;\n"
			    "server { listen 127.0.0.1:%u; listen 127.0.0.1:%u ssl; ssl_certificate server.pem;\n"
			    "ssl_certificate_key server.key; ssl_protocols TLSv1.3;\n"
			    "location ~ ^(/.*)$ { fastcgi_pass unix:%s; fastcgi_param GIT_PROJECT_ROOT %s;\n%s } } }\n",
		g_get_user_name(), http, https, socket_path, support_tmp(), cgi_parameters);
	path = g_build_filename(web->folder, "nginx.conf", NULL);
	support_write(path, conf);
	listen_on = g_strdup_printf("unix:%s", socket_path);
	web->fcgiwrap = spawn((char *[]){ (char *)"fcgiwrap", (char *)"-s", listen_on, NULL });
	web->nginx = spawn((char *[]){ (char *)"nginx", (char *)"-p", web->folder, (char *)"-c", path, NULL });
	wait_for_port(https);
	unlocked = support_must("sh", "-c",
	    "for i in 1 2 3 4 5 6 7 8 9; do [ -S \"$1\" ] && break; sleep 0.1; done; chmod 777 \"$1\"", "sh",
	    socket_path, NULL);
	web->http = g_strdup_printf("http://127.0.0.1:%u", http);
	web->https = g_strdup_printf("https://127.0.0.1:%u", https);
	return web;
}

static void web_stop(struct web *web)
{
	kill(web->nginx, SIGTERM);
	waitpid(web->nginx, NULL, 0);
	end_child(web->fcgiwrap);
	g_free(web->folder);
	g_free(web->http);
	g_free(web->https);
	g_free(web);
}

static struct mirror_limits with_ca(const char *ca)
{
	struct mirror_limits limits = usual;

	limits.ca_file = ca;
	return limits;
}

static void http_and_https_fetch_and_only_certificates_that_are_right_pass(void **state)
{
	struct web *web;
	g_autofree char *path = NULL, *ca = NULL, *other = NULL, *url = NULL, *by_name = NULL, *plain = NULL,
			*mirror = NULL;
	struct mirror_limits good, bad;
	g_autoptr(GPtrArray) refs = NULL, again = NULL;
	g_autoptr(GError) error = NULL;

	(void)state;
	if (!support_has("nginx") || !support_has("fcgiwrap"))
		skip();
	web = web_start();
	path = source("served");
	ca = g_build_filename(web->folder, "ca.pem", NULL);
	other = g_build_filename(web->folder, "other.pem", NULL);
	url = g_strconcat(web->https, "/served/.git", NULL);
	plain = g_strconcat(web->http, "/served/.git", NULL);
	by_name = g_strconcat("https://localhost", strrchr(web->https, ':'), "/served/.git", NULL);
	mirror = support_path("served.git");
	good = with_ca(ca);
	bad = with_ca(other);

	refs = fetch(mirror, url, &good);
	assert_int_equal(refs->len, 3);
	git(path, "git commit -q --allow-empty -m two && git tag -a v2 -m v2");
	again = fetch(mirror, plain, &usual);
	assert_non_null(find(again, "refs/tags/v2"));
	assert_fails(mirror_list(url, &bad, &refs, &error), error, TAGSEAL_ERROR_REFUSED, "certificate of 127.0.0.1");
	assert_fails(mirror_list(by_name, &good, &refs, &error), error, TAGSEAL_ERROR_REFUSED, "ostname mismatch");
	good.max_bytes = 300;
	assert_fails(mirror_list(url, &good, &refs, &error), error, TAGSEAL_ERROR_TOO_LARGE, "sent more bytes");
	web_stop(web);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_and_branches_come_under_their_own_names),
		cmocka_unit_test(a_moved_tag_shows_and_its_old_object_stays),
		cmocka_unit_test(a_deleted_tag_goes_and_its_object_stays),
		cmocka_unit_test(a_branch_that_goes_on_leaves_no_extra_name_but_a_rewound_one_does),
		cmocka_unit_test(a_tag_may_become_a_folder_of_tags),
		cmocka_unit_test(nothing_is_fetched_when_nothing_changed),
		cmocka_unit_test(what_a_source_advertises_can_be_listed_without_a_mirror),
		cmocka_unit_test(objects_are_read_within_a_limit_and_of_the_type_asked_for),
		cmocka_unit_test(a_commit_is_found_on_the_branches_that_match),
		cmocka_unit_test(commits_between_two_points_are_listed_newest_first),
		cmocka_unit_test(urls_that_may_not_be_used_are_refused),
		cmocka_unit_test(a_fetch_of_too_many_objects_is_cut),
		cmocka_unit_test(a_source_that_is_not_there_is_unavailable),
		cmocka_unit_test(a_silent_server_is_left_at_the_deadline),
		cmocka_unit_test(a_server_that_never_ends_is_cut_at_the_byte_limit),
		cmocka_unit_test(http_and_https_fetch_and_only_certificates_that_are_right_pass),
	};

	support_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
