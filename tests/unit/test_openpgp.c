/* OpenPGP keys and detached signatures of keys on the token: gpg, gpgv, sqv and rnp judge ours, we judge gpg's, and the
 * forged twins are refused. */
#include "tests/unit/support.h"

#include <string.h>
#include <fcntl.h>

#include "signer/format.h"
#include "signer/openpgp.h"
#include "tests/unit/support_hsm.h"

#define CREATED 1700000000
#define USER_ID "Acme Release <release@acme.example>"
#define DATA "the file that was signed\n"

static struct softhsm *softhsm;
static struct hsm *hsm;
static const struct format *openpgp;

static int open_file(const char *name)
{
	g_autofree char *path = softhsm_path(softhsm, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static GBytes *contents(const char *name)
{
	g_autofree char *path = softhsm_path(softhsm, name);

	return support_read_bytes(path);
}

static void put(const char *name, GBytes *bytes)
{
	g_autofree char *path = softhsm_file(softhsm, name, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), 0600);
}

/* The armored public key of the token's key `kind`, made at the first use. */
static GBytes *certificate(const char *kind)
{
	g_autoptr(GError) error = NULL;
	GBytes *asc;

	if (hsm_public_key(hsm, kind, NULL) == NULL)
		assert_ok(hsm_generate(hsm, kind, kind, &error), error);
	asc = openpgp_certificate(hsm, kind, USER_ID, CREATED, &error);
	assert_ok(asc, error);
	return asc;
}

/* DATA signed as format.h splits the work. */
static GBytes *sign(const char *kind, const char *hash)
{
	g_autoptr(GBytes) asc = certificate(kind), tbs = NULL, value = NULL;
	struct format_parameters p = { .hash = hash, .certificates = asc, .time_ms = time_now_ms() };
	struct format_digest digest = { 0 };
	g_autofree char *data = softhsm_file(softhsm, "data", DATA, -1, 0600);
	g_autofree char *out = softhsm_file(softhsm, "data.asc", "", 0, 0600);
	g_autoptr(GError) error = NULL;
	autofd int in = open_file("data"), to = open(out, O_RDWR | O_CLOEXEC);

	assert_ok(openpgp->digest(in, &p, &digest, &error), error);
	tbs = openpgp->to_be_signed(&digest, &p, &error);
	value = hsm_sign_digest(
	    hsm, kind, pgp_hash(pgp_hash_number(hash)), g_bytes_get_data(tbs, NULL), g_bytes_get_size(tbs), &error);
	assert_ok(value, error);
	assert_ok(openpgp->attach(in, to, &digest, &p, value, NULL, &error), error);
	g_free(digest.hash);
	return contents("data.asc");
}

/* NULL if it is good; else why not. Caller frees. */
static char *judge(const char *file, GBytes *signature, GBytes *keys)
{
	autofd int fd = open_file(file);
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) found = openpgp->read(fd, signature, keys, &error);
	const struct format_signature *one;

	if (found == NULL)
		return g_strdup(error->message);
	assert_int_equal(found->len, 1);
	one = g_ptr_array_index(found, 0);
	return one->intact && one->digest_matches ? NULL : g_strdup(one->why);
}

static void assert_good(const char *file, GBytes *signature, GBytes *keys)
{
	g_autofree char *why = judge(file, signature, keys);

	if (why != NULL)
		fail_msg("%s", why);
}

static void assert_bad(const char *file, GBytes *signature, GBytes *keys, const char *words)
{
	g_autofree char *why = judge(file, signature, keys);

	assert_non_null(why);
	assert_contains(why, words);
}

static void assert_runs(const char *command)
{
	g_autofree char *said = NULL;

	if (softhsm_run(softhsm, &said, "%s", command) != 0)
		fail_msg("%s: %s", command, said);
}

static void every_other_program_accepts_every_kind_of_key(void **state)
{
	static const struct {
		const char *kind, *hash;
	} kinds[] = { { "rsa3072", "sha256" }, { "p256", "sha256" }, { "p384", "sha384" }, { "p521", "sha512" } };

	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
		g_autoptr(GBytes) asc = certificate(kinds[i].kind), signature = sign(kinds[i].kind, kinds[i].hash);
		put("key.asc", asc);
		assert_runs("rm -rf g r && mkdir -m 700 g r && gpg --homedir g --batch --import key.asc");
		assert_runs("gpg --homedir g --batch --status-fd 1 --verify data.asc data | grep -q GOODSIG");
		assert_runs("gpg --homedir g --batch --export >key.gpg && gpgv --keyring ./key.gpg data.asc data");
		assert_runs("sqv --keyring key.asc data.asc data");
		assert_runs("rnpkeys --homedir r --import-keys key.asc && "
			    "rnp --homedir r --verify data.asc --source data");
		assert_good("data", signature, asc);
	}
}

static void a_fixed_creation_time_gives_the_same_key_again(void **state)
{
	g_autoptr(GBytes) a = certificate("rsa3072"), b = certificate("rsa3072");
	g_autoptr(GPtrArray) keys = openpgp_keys_read(a, NULL);
	const struct openpgp_key *key = g_ptr_array_index(keys, 0);

	assert_true(g_bytes_equal(a, b)); /* PKCS#1 v1.5 is deterministic too */
	assert_int_equal(key->created, CREATED);
	assert_string_equal(key->user_id, USER_ID);
	assert_null(key->unusable);
}

static void an_sha256_signature_by_a_p384_key_is_not_made(void **state)
{
	g_autoptr(GBytes) asc = certificate("p384");
	struct format_parameters p = { .hash = "sha256", .certificates = asc, .time_ms = time_now_ms() };
	struct format_digest digest = { 0 };
	g_autoptr(GError) error = NULL;
	g_autofree char *data = softhsm_file(softhsm, "data", DATA, -1, 0600);
	autofd int in = open_file("data");

	assert_fails(openpgp->digest(in, &p, &digest, &error), error, TAGSEAL_ERROR_USAGE, "needs the hash sha384");
	p.hash = "sha384";
	p.time_ms = (CREATED - 1) * 1000LL;
	assert_refused(openpgp->digest(in, &p, &digest, &error), error, "would be older than the key");
}

static void user_ids_and_times_that_make_no_key_are_wrong_usage(void **state)
{
	g_autoptr(GBytes) asc = certificate("p256");
	g_autoptr(GError) error = NULL;

	assert_fails(openpgp_certificate(hsm, "p256", "", CREATED, &error), error, TAGSEAL_ERROR_USAGE, "user id");
	assert_fails(openpgp_certificate(hsm, "p256", "a\nb", CREATED, &error), error, TAGSEAL_ERROR_USAGE, "user id");
	assert_fails(openpgp_certificate(hsm, "p256", USER_ID, time_now_ms() / 1000 + 9999, &error), error,
	    TAGSEAL_ERROR_USAGE, "future");
}

static void another_file_is_refused(void **state)
{
	g_autoptr(GBytes) signature = sign("p256", "sha256"), asc = certificate("p256");
	g_autofree char *other = softhsm_file(softhsm, "other", "another file\n", -1, 0600);

	assert_bad("other", signature, asc, "over other data");
}

static void a_stranger_s_key_is_refused(void **state)
{
	g_autoptr(GBytes) signature = sign("p256", "sha256"), asc = certificate("p384");

	assert_bad("data", signature, asc, "is not among the keys given");
}

static void without_keys_we_cannot_say(void **state)
{
	g_autoptr(GBytes) signature = sign("p256", "sha256");
	g_autoptr(GError) error = NULL;
	autofd int fd = open_file("data");

	assert_fails(openpgp->read(fd, signature, NULL, &error), error, TAGSEAL_ERROR_UNKNOWN, "no public keys");
}

/* The signature in binary, so that a test can change a byte of it. */
static GByteArray *binary_signature(const char *kind)
{
	g_autoptr(GBytes) armored = sign(kind, "sha256");
	GBytes *binary = pgp_dearmor(armored, "SIGNATURE", NULL);

	return g_bytes_unref_to_array(binary);
}

static void assert_changed_is_bad(const char *kind, int at, uint8_t flip, const char *words)
{
	g_autoptr(GByteArray) bytes = binary_signature(kind);
	g_autoptr(GBytes) asc = certificate(kind), changed = NULL;

	bytes->data[at < 0 ? (int)bytes->len + at : at] ^= flip;
	changed = g_bytes_new(bytes->data, bytes->len);
	assert_bad("data", changed, asc, words);
}

/* An RSA packet: 3 bytes of header; version, type, algorithm, hash; lengths; fingerprint and time subpackets. */
static void every_changed_field_of_a_signature_is_refused(void **state)
{
	assert_changed_is_bad("rsa3072", -1, 0x01, "does not verify");
	assert_changed_is_bad("rsa3072", 3, 0x04 ^ 0x03, "3 is not read, only version 4");
	assert_changed_is_bad("rsa3072", 4, 0x01, "its type is 0x01");
	assert_changed_is_bad("rsa3072", 5, 0x01 ^ 0x11, "17 is none of RSA");
	assert_changed_is_bad("rsa3072", 6, 0x08 ^ 0x02, "SHA-1");
	assert_changed_is_bad("rsa3072", 12, 0x01, "is not among the keys");
	assert_changed_is_bad("rsa3072", 35, 0x01, "over other data");
	assert_changed_is_bad("rsa3072", 33, 0x02 ^ 0x28, "no creation time");
	assert_changed_is_bad("rsa3072", 33, 0x02 ^ 0xc1, "is critical and not known");
	assert_changed_is_bad("rsa3072", 0, 0x80, "armor");
	assert_changed_is_bad("rsa3072", 2, 0x01, " at offset ");
}

/* The test key of RFC 8032, 7.1, as an OpenPGP key made in 2020, and its signature over "hello\n". */
static void a_known_key_and_signature_are_read(void **state)
{
	static const char key_hex[] =
	    "c633045e0be10016092b06010401da470f01010740d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	    "cd"
	    "1754657374203c74657374406578616d706c652e636f6d3ec2890413160800311621046ba900248d02e023fa608875cf2d8fb97a0c"
	    "941a05025e0be100021b03040b09080704150a090803160201021e01000a0910cf2d8fb97a0c941ad91f0100e8fc80271f131c0680"
	    "19318a02a1bde1da3c7b9e6db84c8d088c60cc58f5beb40100df3283609a43db2d8771e4e5a0865d73dd263575700ef8abd9ccdc6e"
	    "0bd5390d";
	static const char signature_text[] = "-----BEGIN PGP SIGNATURE-----\n\n"
					     "wnUEABYIAB0WIQRrqQAkjQLgI/pgiHXPLY+5egyUGgUCXgvhAAAKCRDPLY+5egyU\n"
					     "GhmZAP4j3ussdmuYJIcTrnMmjoeKmHvFgGpBWs8F0zTqaMbptwD/dGLBcMcGAHvt\n"
					     "q86ef3/FBP0+NmuMCuZOo/+tWQ/9aQs=\n=mf3o\n-----END PGP SIGNATURE-----\n";
	uint8_t key[(sizeof(key_hex) - 1) / 2];
	g_autoptr(GBytes) keys = NULL, signature = g_bytes_new_static(signature_text, strlen(signature_text));
	g_autofree char *path = softhsm_file(softhsm, "hello", "hello\n", -1, 0600);

	assert_true(hex_decode(key_hex, key, sizeof(key)));
	keys = g_bytes_new(key, sizeof(key));
	assert_good("hello", signature, keys);
	key[sizeof(key) - 1] ^= 1;
	g_bytes_unref(keys);
	keys = g_bytes_new(key, sizeof(key));
	assert_bad("hello", signature, keys, "no self-signature of it is good");
}

static void a_second_signature_or_anything_else_after_it_is_refused(void **state)
{
	g_autoptr(GByteArray) bytes = binary_signature("p256");
	g_autoptr(GBytes) asc = certificate("p256"), twice = NULL, trailing = NULL;
	guint size = bytes->len;
	g_autofree uint8_t *copy = g_memdup2(bytes->data, size);

	g_byte_array_append(bytes, copy, size);
	twice = g_bytes_new(bytes->data, bytes->len);
	assert_bad("data", twice, asc, "exactly one is expected");
	trailing = g_bytes_new(bytes->data, size + 1);
	assert_bad("data", trailing, asc, "exactly one is expected");
}

static void armor_that_is_not_whole_is_refused(void **state)
{
	g_autoptr(GBytes) asc = certificate("p256"), good = sign("p256", "sha256"), bad = NULL;
	g_autofree char *text = g_strndup(g_bytes_get_data(good, NULL), g_bytes_get_size(good)), *changed = NULL;
	char *crc = strstr(text, "\n=");

	changed = g_strconcat("text before\n", text, NULL);
	bad = g_bytes_new(changed, strlen(changed));
	assert_bad("data", bad, asc, "the line is not");
	crc[2] = crc[2] == 'A' ? 'B' : 'A';
	g_bytes_unref(bad);
	bad = g_bytes_new(text, strlen(text));
	assert_bad("data", bad, asc, "the checksum is not that of the block");
	g_bytes_unref(bad);
	bad = g_bytes_new(text, 100);
	assert_bad("data", bad, asc, "armor");
}

#define GPG "gpg --homedir g --batch --pinentry-mode loopback --passphrase '' "

static void gpg_key(const char *algorithm, const char *usage)
{
	g_autofree char *said = NULL;

	if (softhsm_run(softhsm, &said,
		"rm -rf g && mkdir -m 700 g && " GPG "--quick-gen-key test@example.org %s %s never && " GPG
		"--armor --export >gpg.asc && printf '%%s\\n' data >data && rm -f gpg.sig && " GPG
		"-o gpg.sig --detach-sign data",
		algorithm, usage) != 0)
		fail_msg("%s", said);
}

static void signatures_of_gpg_are_read(void **state)
{
	static const char *const algorithms[] = { "rsa3072", "ed25519", "nistp384" };

	for (guint i = 0; i < G_N_ELEMENTS(algorithms); i++) {
		g_autoptr(GBytes) keys = NULL, signature = NULL;
		gpg_key(algorithms[i], "sign,cert");
		keys = contents("gpg.asc");
		signature = contents("gpg.sig");
		assert_good("data", signature, keys);
	}
}

static void a_signing_subkey_counts(void **state)
{
	g_autoptr(GBytes) keys = NULL, signature = NULL;

	gpg_key("ed25519", "sign,cert");
	assert_runs(GPG "--quick-add-key $(" GPG
			"--with-colons -K | sed -n 's/^fpr:*\\([0-9A-F]*\\):/\\1/p') rsa3072 sign && " GPG
			"--armor --export >gpg.asc && rm gpg.sig && " GPG "-o gpg.sig --detach-sign data");
	keys = contents("gpg.asc");
	signature = contents("gpg.sig");
	assert_good("data", signature, keys);
}

static void a_revoked_key_is_refused(void **state)
{
	g_autoptr(GBytes) keys = NULL, signature = NULL;

	gpg_key("ed25519", "sign,cert");
	assert_runs("sed 's/^:-----/-----/' g/openpgp-revocs.d/*.rev | gpg --homedir g --batch --import && " GPG
		    "--armor --export >gpg.asc");
	keys = contents("gpg.asc");
	signature = contents("gpg.sig");
	assert_bad("data", signature, keys, "it was revoked");
}

static void a_key_without_its_self_signature_is_refused(void **state)
{
	g_autoptr(GBytes) keys = NULL, signature = NULL, bare = NULL;
	struct pgp_packet packet;
	struct cursor c;

	gpg_key("ed25519", "sign,cert");
	assert_runs("gpg --homedir g --export >gpg.bin");
	keys = contents("gpg.bin");
	signature = contents("gpg.sig");
	cursor_init(&c, g_bytes_get_data(keys, NULL), g_bytes_get_size(keys));
	assert_true(pgp_packet_take(&c, &packet) && pgp_packet_take(&c, &packet));
	bare = g_bytes_new_from_bytes(keys, 0, c.at);
	assert_bad("data", signature, bare, "no self-signature of it is good");
}

static void a_signature_from_the_future_is_refused(void **state)
{
	g_autoptr(GBytes) keys = NULL, signature = NULL;

	gpg_key("ed25519", "sign,cert");
	assert_runs("rm gpg.sig && " GPG "--faked-system-time $(($(date +%s) + 86400)) -o gpg.sig --detach-sign data");
	keys = contents("gpg.asc");
	signature = contents("gpg.sig");
	assert_bad("data", signature, keys, "is from the future");
}

static void a_key_that_may_not_sign_is_refused(void **state)
{
	g_autoptr(GBytes) keys = NULL;
	g_autoptr(GPtrArray) found = NULL;
	g_autoptr(GError) error = NULL;

	assert_runs("rm -rf g && mkdir -m 700 g && " GPG "--quick-gen-key test@example.org ed25519 cert never && " GPG
		    "--armor --export >gpg.asc");
	keys = contents("gpg.asc");
	found = openpgp_keys_read(keys, &error);
	assert_ok(found, error);
	assert_contains(((struct openpgp_key *)g_ptr_array_index(found, 0))->unusable, "do not allow signing");
}

static void secret_keys_are_refused(void **state)
{
	g_autoptr(GBytes) keys = NULL;
	g_autoptr(GError) error = NULL;

	gpg_key("ed25519", "sign,cert");
	assert_runs(GPG "--export-secret-keys >gpg.secret");
	keys = contents("gpg.secret");
	assert_refused(openpgp_keys_read(keys, &error), error, "is a secret key");
}

static int start(void **state)
{
	softhsm = softhsm_start();
	hsm = softhsm_open(softhsm);
	openpgp = format_named("openpgp");
	return openpgp == NULL;
}

static int stop(void **state)
{
	hsm_free(hsm);
	softhsm_stop(softhsm);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_other_program_accepts_every_kind_of_key),
		cmocka_unit_test(a_fixed_creation_time_gives_the_same_key_again),
		cmocka_unit_test(an_sha256_signature_by_a_p384_key_is_not_made),
		cmocka_unit_test(user_ids_and_times_that_make_no_key_are_wrong_usage),
		cmocka_unit_test(another_file_is_refused),
		cmocka_unit_test(a_stranger_s_key_is_refused),
		cmocka_unit_test(without_keys_we_cannot_say),
		cmocka_unit_test(every_changed_field_of_a_signature_is_refused),
		cmocka_unit_test(a_known_key_and_signature_are_read),
		cmocka_unit_test(a_second_signature_or_anything_else_after_it_is_refused),
		cmocka_unit_test(armor_that_is_not_whole_is_refused),
		cmocka_unit_test(signatures_of_gpg_are_read),
		cmocka_unit_test(a_signing_subkey_counts),
		cmocka_unit_test(a_revoked_key_is_refused),
		cmocka_unit_test(a_key_without_its_self_signature_is_refused),
		cmocka_unit_test(a_signature_from_the_future_is_refused),
		cmocka_unit_test(a_key_that_may_not_sign_is_refused),
		cmocka_unit_test(secret_keys_are_refused),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
