/* What one process takes from another: who may say what to whom, and what is no message at all. */
#include "tests/unit/support_role.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OF_NOTHING "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* ---- the tables ---- */

static void assert_goes(enum message_kind kind, enum role from, enum role to)
{
	for (guint a = 0; a < ROLE_COUNT; a++)
		for (guint b = 0; b < ROLE_COUNT; b++)
			assert_int_equal(message_permitted(kind, a, b), a == from && b == to);
}

static void a_key_is_used_at_judges_word_alone(void **state)
{
	assert_goes(MSG_USE, ROLE_JUDGE, ROLE_SIGN);
	assert_goes(MSG_SIGN_COMMIT, ROLE_LEDGER, ROLE_SIGN);
}

static void verdicts_and_digests_come_from_those_who_made_them(void **state)
{
	assert_goes(MSG_SCAN_SEEN, ROLE_SCAN, ROLE_JUDGE);
	assert_goes(MSG_DIGEST_SEEN, ROLE_SEAL, ROLE_JUDGE);
}

static void only_roles_that_may_talk_are_linked(void **state)
{
	for (guint a = 0; a < ROLE_COUNT; a++) {
		assert_int_equal(role_linked(ROLE_SIGN, a), a == ROLE_JUDGE || a == ROLE_LEDGER);
		for (guint b = 0; b < ROLE_COUNT; b++)
			for (guint kind = MSG_HELLO + 1; kind < MSG_COUNT; kind++)
				if (message_permitted(kind, a, b))
					assert_true(role_linked(a, b));
	}
}

/* ---- a role that is told what it may not be ---- */

static const struct peer wires[] = { { .role = ROLE_JUDGE }, { .role = ROLE_ENGINE }, { .role = ROLE_COUNT } };

static int status_after(enum role as, enum message_kind kind)
{
	g_autofree char *folder = support_folder("state");
	struct config *config =
	    test_config(folder, NULL, "[[token]]\nname = \"main\"\nlabel = \"x\"\npin_file = \"y\"\n");
	struct test_role *role = test_role_start(role_seal, ROLE_SEAL, 0, config, wires);
	autoptr(message) m = message_new(kind, 0);
	int status;

	test_role_tell(role, as, m);
	status = kind == MSG_HELLO ? test_role_stop(role) : test_role_wait(role);
	config_free(config);
	return status;
}

static void a_role_ends_when_it_is_sent_what_that_peer_may_not_send(void **state)
{
	assert_int_equal(status_after(ROLE_ENGINE, MSG_HELLO), 0);
	assert_int_equal(status_after(ROLE_ENGINE, MSG_USE), 70);
	assert_int_equal(status_after(ROLE_JUDGE, MSG_INSPECT), 70);
}

/* ---- bytes ---- */

static struct message *received(const char *bytes, size_t size, int with, GError **error)
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { (void *)bytes, size };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct message *m;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	if (with >= 0) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&header) = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS
		};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &with, sizeof(int));
	}
	assert_int_equal(sendmsg(pair[0], &header, 0), size);
	m = message_receive(pair[1], error);
	close(pair[0]);
	close(pair[1]);
	return m;
}

static void assert_no_message(const char *text, int with, const char *words)
{
	g_autoptr(GError) error = NULL;

	assert_refused(received(text, strlen(text), with, &error), error, words);
}

static void what_is_no_message_is_refused(void **state)
{
	autofd int null = memfd_new("null", NULL);

	assert_no_message("hello", -1, "");
	assert_no_message("{\"body\":{},\"files\":[],\"kind\":\"open-sesame\",\"number\":1}", -1,
	    "there is no message \"open-sesame\"");
	assert_no_message("{\"body\":{},\"files\":[],\"kind\":\"hello\"}", -1, "\"number\"");
	assert_no_message("{\"body\":[],\"files\":[],\"kind\":\"hello\",\"number\":1}", -1, "\"body\"");
	assert_no_message("{\"body\":{},\"extra\":1,\"files\":[],\"kind\":\"hello\",\"number\":1}", -1, "\"extra\"");
	assert_no_message("{\"number\":1,\"kind\":\"hello\",\"files\":[],\"body\":{}}", -1, "");
	assert_no_message(
	    "{\"body\":{},\"files\":[],\"kind\":\"hello\",\"number\":1}", null, "names 0 files and brings 1");
	assert_no_message("{\"body\":{},\"files\":[{\"name\":\"blob\",\"size\":0}],\"kind\":\"hello\",\"number\":1}",
	    -1, "names 1 files and brings 0");
}

static void a_message_that_is_too_large_is_refused(void **state)
{
	g_autofree char *bytes = g_malloc0(MESSAGE_MAX + 1);
	g_autoptr(GError) error = NULL;

	assert_refused(received(bytes, MESSAGE_MAX + 1, -1, &error), error, "larger than 65536 bytes");
}

static void a_file_that_is_not_what_the_message_says_is_refused(void **state)
{
	g_autoptr(GError) error = NULL, other = NULL;
	autoptr(message) m = message_new(MSG_INSPECT, 1);
	g_autoptr(GBytes) hello = g_bytes_new_static("hello\n", 6), read = NULL;
	autofd int fd = memfd_from_bytes("blob", hello, &error);

	assert_ok(message_add_bytes(m, "good", hello, &error), error);
	assert_ok(message_add_fd(m, "forged", fd, OF_NOTHING, 6, &error), error);
	read = message_bytes(m, "good", 64, &error);
	assert_ok(read, error);
	assert_true(g_bytes_equal(read, hello));
	assert_refused(message_bytes(m, "forged", 64, &other), other, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_used_at_judges_word_alone),
		cmocka_unit_test(verdicts_and_digests_come_from_those_who_made_them),
		cmocka_unit_test(only_roles_that_may_talk_are_linked),
		cmocka_unit_test(a_role_ends_when_it_is_sent_what_that_peer_may_not_send),
		cmocka_unit_test(what_is_no_message_is_refused),
		cmocka_unit_test(a_message_that_is_too_large_is_refused),
		cmocka_unit_test(a_file_that_is_not_what_the_message_says_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
