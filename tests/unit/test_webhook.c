/* The webhooks' authentication and reading: the hosts' own known answers, and what must not pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/webhook.h"

#define GITHUB_SECRET "It's a Secret to Everybody"
#define STANDARD_SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define NOW (1614265330 * G_GINT64_CONSTANT(1000))
#define OLD "0000000000000000000000000000000000000000"
#define NEW "61f6bd4c0f7b3eb1d1c0d4a8a7c5c1a3b2d4e5f6"

struct delivery {
	struct webhook_request in;
	const struct webhook_host *host;
	GPtrArray *keys;
	char *body;
};

static void delivery_free(struct delivery *d)
{
	g_hash_table_unref(d->in.headers);
	g_ptr_array_unref(d->keys);
	g_free(d->body);
	g_free(d);
}
DEFINE_CLEANUP(delivery, delivery_free)

static void add_key(struct delivery *d, const char *secret)
{
	g_autoptr(GBytes) bytes = g_bytes_new(secret, strlen(secret));
	g_autoptr(GError) error = NULL;
	GBytes *key = d->host->key(bytes, &error);

	assert_non_null(key);
	g_ptr_array_add(d->keys, key);
}

static void header(struct delivery *d, const char *name, const char *value)
{
	g_hash_table_replace(d->in.headers, g_strdup(name), g_strdup(value));
}

static struct delivery *delivery(const char *host, const char *secret, const char *body)
{
	struct delivery *d = g_new0(struct delivery, 1);

	d->host = webhook_find(host);
	d->keys = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	d->in.headers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	d->body = g_strdup(body);
	d->in.body = (uint8_t *)d->body;
	d->in.size = strlen(body);
	d->in.now = NOW;
	if (secret != NULL)
		add_key(d, secret);
	return d;
}

static struct delivery *github(const char *event, const char *body)
{
	struct delivery *d = delivery("github", GITHUB_SECRET, body);

	header(d, "x-github-event", event);
	header(d, "x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958");
	return d;
}

static struct delivery *standard(const char *body, const char *signature)
{
	struct delivery *d = delivery("standard", STANDARD_SECRET, body);

	header(d, "webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek");
	header(d, "webhook-timestamp", "1614265330");
	if (signature != NULL)
		header(d, "webhook-signature", signature);
	return d;
}

static void assert_authentic(const struct delivery *d)
{
	g_autoptr(GError) error = NULL;

	if (!d->host->authenticate(&d->in, d->keys, &error))
		fail_msg("%s", error->message);
}

static void assert_forged(const struct delivery *d, const char *words)
{
	g_autoptr(GError) error = NULL;

	assert_false(d->host->authenticate(&d->in, d->keys, &error));
	assert_true(g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED));
	if (strstr(error->message, words) == NULL)
		fail_msg("\"%s\" does not tell \"%s\"", error->message, words);
}

static struct webhook_event *assert_read(const struct delivery *d)
{
	g_autoptr(GError) error = NULL;
	struct webhook_event *event = d->host->read(&d->in, &error);

	if (event == NULL)
		fail_msg("%s", error->message);
	return event;
}

static void assert_unreadable(const struct delivery *d, const char *words)
{
	g_autoptr(GError) error = NULL;
	autoptr(webhook_event) event = d->host->read(&d->in, &error);

	assert_null(event);
	if (strstr(error->message, words) == NULL)
		fail_msg("\"%s\" does not tell \"%s\"", error->message, words);
}

#define KNOWN "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
#define KNOWN_BODY "Hello, World!"

static void github_s_known_answer_is_authentic(void **state)
{
	autoptr(delivery) d = github("push", KNOWN_BODY);

	(void)state;
	header(d, "x-hub-signature-256", KNOWN);
	assert_authentic(d);
}

static void a_changed_body_is_forged(void **state)
{
	autoptr(delivery) d = github("push", "Hello, World?");

	(void)state;
	header(d, "x-hub-signature-256", KNOWN);
	assert_forged(d, "does not match");
}

static void a_missing_empty_short_or_long_signature_is_forged(void **state)
{
	static const char *const bad[] = { NULL, "", "sha256=", "sha256=7571", KNOWN "00", "sha1=757107ea", KNOWN "\n",
		"SHA256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" };

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		autoptr(delivery) d = github("push", KNOWN_BODY);
		if (bad[i] != NULL)
			header(d, "x-hub-signature-256", bad[i]);
		assert_forged(d, "64 hexadecimal digits");
	}
}

static void any_of_several_secrets_will_do(void **state)
{
	autoptr(delivery) d = delivery("github", "the secret of last year", KNOWN_BODY);

	(void)state;
	header(d, "x-hub-signature-256", KNOWN);
	assert_forged(d, "not one of those in our secret files");
	add_key(d, GITHUB_SECRET);
	add_key(d, "the secret of next year");
	assert_authentic(d);
}

static void without_any_secret_nothing_is_authentic(void **state)
{
	autoptr(delivery) d = delivery("github", NULL, KNOWN_BODY);

	(void)state;
	header(d, "x-hub-signature-256", KNOWN);
	assert_forged(d, "does not match");
}

static void a_short_secret_is_refused(void **state)
{
	g_autoptr(GBytes) short_one = g_bytes_new_static("hunter2", 7);
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_null(webhook_github.key(short_one, &error));
	assert_non_null(strstr(error->message, "openssl rand"));
}

static void a_push_of_a_tag_is_read(void **state)
{
	autoptr(delivery) d = github("push",
	    "{\"ref\":\"refs/tags/v1\",\"before\":\"" OLD "\",\"after\":\"" NEW
	    "\",\"created\":true,\"score\":1.5,\"repository\":{\"id\":186853002,\"full_name\":\"acme/widget\"}}");
	autoptr(webhook_event) event = assert_read(d);

	(void)state;
	assert_null(event->nothing);
	assert_string_equal(event->delivery, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
	assert_string_equal(event->project, "acme/widget");
	assert_string_equal(event->ref, "refs/tags/v1");
	assert_string_equal(event->old, OLD);
	assert_string_equal(event->new, NEW);
}

static void pings_creations_and_releases_are_nothing_to_do(void **state)
{
	static const char *const others[] = { "ping", "create", "release", "delete" };

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
		autoptr(delivery) d = github(others[i], "{}");
		autoptr(webhook_event) event = assert_read(d);
		assert_non_null(event->nothing);
	}
}

static void a_note_that_was_pushed_is_nothing_to_do(void **state)
{
	autoptr(delivery) d = github("push", "{\"ref\":\"refs/notes/x\",\"before\":\"" OLD "\",\"after\":\"" NEW
					     "\",\"repository\":{\"full_name\":\"a/b\"}}");
	autoptr(webhook_event) event = assert_read(d);

	(void)state;
	assert_non_null(event->nothing);
}

static void a_bad_push_is_told_what_is_wrong_with_it(void **state)
{
#define PUSH(ref, after, rest) "{\"ref\":" ref ",\"before\":\"" OLD "\",\"after\":" after rest "}"
#define REPOSITORY ",\"repository\":{\"full_name\":\"a/b\"}"
	static const struct {
		const char *body, *words;
	} bad[] = {
		{ "", "not a JSON object" },
		{ "[1]", "not a JSON object" },
		{ "{\"ref\":\"a\",\"ref\":\"b\"}", "not a JSON object" },
		{ PUSH("\"v1\"", "\"" NEW "\"", REPOSITORY), "full name" },
		{ PUSH("\"refs/tags/a..b\"", "\"" NEW "\"", REPOSITORY), "full name" },
		{ PUSH("\"refs/tags/v1\"", "\"61f6\"", REPOSITORY), "40 lower-case" },
		{ PUSH("\"refs/tags/v1\"", "7", REPOSITORY), "40 lower-case" },
		{ PUSH("\"refs/tags/v1\"", "\"" NEW "\"", ""), "name its project" },
		{ PUSH("\"refs/tags/v1\"", "\"" NEW "\"", ",\"repository\":{\"full_name\":\"a\\u001bb\"}"),
		    "name its project" },
	};

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		autoptr(delivery) d = github("push", bad[i].body);
		assert_unreadable(d, bad[i].words);
	}
}

#define STANDARD_BODY "{\"test\": 2432232314}"
#define STANDARD_KNOWN "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static void the_standard_s_known_answer_is_authentic(void **state)
{
	autoptr(delivery) d = standard(STANDARD_BODY, STANDARD_KNOWN);

	(void)state;
	assert_authentic(d);
}

static void one_good_signature_in_a_list_is_enough(void **state)
{
	autoptr(delivery) d = standard(STANDARD_BODY, "v1a,AAAA v1,Zm9v v1, " STANDARD_KNOWN);

	(void)state;
	assert_authentic(d);
}

static void a_standard_delivery_is_forged_if_any_signed_part_differs(void **state)
{
	static const char *const bad[] = { NULL, "", "v1,",
		"v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
		"g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" };
	autoptr(delivery) other_id = standard(STANDARD_BODY, STANDARD_KNOWN);
	autoptr(delivery) other_time = standard(STANDARD_BODY, STANDARD_KNOWN);

	(void)state;
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		autoptr(delivery) d = standard(STANDARD_BODY, bad[i]);
		assert_forged(d, "no signature in webhook-signature matches");
	}
	header(other_id, "webhook-id", "msg_other");
	assert_forged(other_id, "no signature");
	header(other_time, "webhook-timestamp", "1614265331");
	assert_forged(other_time, "no signature");
}

static void an_old_or_early_delivery_is_refused(void **state)
{
	autoptr(delivery) d = standard(STANDARD_BODY, STANDARD_KNOWN);

	(void)state;
	d->in.now = NOW + 300000;
	assert_authentic(d);
	d->in.now = NOW + 300001;
	assert_forged(d, "300");
	d->in.now = NOW - 300001;
	assert_forged(d, "300");
	header(d, "webhook-timestamp", "-1");
	assert_forged(d, "seconds since 1970");
	header(d, "webhook-timestamp", "18446744073709551615");
	assert_forged(d, "seconds since 1970");
}

static void an_id_with_a_full_stop_is_refused(void **state)
{
	autoptr(delivery) d = standard(STANDARD_BODY, STANDARD_KNOWN);

	(void)state;
	header(d, "webhook-id", "msg.1");
	assert_forged(d, "full stop");
}

static void a_standard_secret_must_say_that_it_is_one(void **state)
{
	g_autoptr(GBytes) raw = g_bytes_new_static("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 32);
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_null(webhook_standard.key(raw, &error));
	assert_non_null(strstr(error->message, "whsec_"));
}

static void a_standard_push_is_read(void **state)
{
	autoptr(delivery) d =
	    standard("{\"type\":\"push\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"data\":{\"project\":"
		     "\"https://git.example.org/acme/widget.git\",\"ref\":\"refs/heads/main\",\"old\":\"" OLD
		     "\",\"new\":\"" NEW "\"}}",
		NULL);
	autoptr(webhook_event) event = assert_read(d);
	autoptr(delivery) other = standard("{\"type\":\"invoice.paid\",\"data\":{}}", NULL);
	autoptr(webhook_event) nothing = assert_read(other);

	(void)state;
	assert_string_equal(event->project, "https://git.example.org/acme/widget.git");
	assert_string_equal(event->ref, "refs/heads/main");
	assert_non_null(nothing->nothing);
}

static void a_standard_body_needs_its_type(void **state)
{
	autoptr(delivery) d = standard("{\"data\":{}}", NULL);

	(void)state;
	assert_unreadable(d, "\"type\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(github_s_known_answer_is_authentic),
		cmocka_unit_test(a_changed_body_is_forged),
		cmocka_unit_test(a_missing_empty_short_or_long_signature_is_forged),
		cmocka_unit_test(any_of_several_secrets_will_do),
		cmocka_unit_test(without_any_secret_nothing_is_authentic),
		cmocka_unit_test(a_short_secret_is_refused),
		cmocka_unit_test(a_push_of_a_tag_is_read),
		cmocka_unit_test(pings_creations_and_releases_are_nothing_to_do),
		cmocka_unit_test(a_note_that_was_pushed_is_nothing_to_do),
		cmocka_unit_test(a_bad_push_is_told_what_is_wrong_with_it),
		cmocka_unit_test(the_standard_s_known_answer_is_authentic),
		cmocka_unit_test(one_good_signature_in_a_list_is_enough),
		cmocka_unit_test(a_standard_delivery_is_forged_if_any_signed_part_differs),
		cmocka_unit_test(an_old_or_early_delivery_is_refused),
		cmocka_unit_test(an_id_with_a_full_stop_is_refused),
		cmocka_unit_test(a_standard_secret_must_say_that_it_is_one),
		cmocka_unit_test(a_standard_push_is_read),
		cmocka_unit_test(a_standard_body_needs_its_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
