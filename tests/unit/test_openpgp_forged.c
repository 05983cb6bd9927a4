/* Certificates and signatures that gpg does not make, each beside its good twin. */
#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/people.h"
#include "tests/unit/support_pgp.h"
#include "tests/unit/support_trust.h"

/* --- helpers --- */

#define MADE 0x63b0cd00 /* 2023-01-01, when keys were made */
#define SIGNED INT64_C(1675209600000) /* 2023-02-01, in ms: when the tag was signed and seen */
#define DAY INT64_C(86400000)

static struct pgp_key primary, subkey, other;
static const char uid[] = "alice <alice@example.org>";

/* What signatures usually say: 2 created, 27 key flags, 33 issuer. */
#define SELF "2=63b0cd00 27=03 33=issuer"
#define BINDING "2=63b0cd00 27=02 33=issuer 32=embedded"
#define BACK "2=63b0cd00 33=issuer"
#define DATA "2=63d9ab80 33=issuer"

static void put_self(GByteArray *to, struct pgp_making m)
{
	g_autoptr(GByteArray) over = pgp_over(&primary, uid, NULL);

	m.type = m.type != 0 ? m.type : 0x13;
	pgp_put_signature(to, pgp_sign(&primary, over, m));
}

/* The key, the user id, and that self-signature. */
static GByteArray *certificate_of(struct pgp_making self)
{
	GByteArray *certificate = g_byte_array_new();

	pgp_put_key(certificate, &primary);
	pgp_put_uid(certificate, uid);
	put_self(certificate, self);
	return certificate;
}

static GByteArray *certificate_new(void)
{
	return certificate_of((struct pgp_making){ .hashed = SELF });
}

/* A signature over the primary key alone, or over it and the subkey. */
static void put_key_signature(GByteArray *to, const struct pgp_key *by, const struct pgp_key *sub, struct pgp_making m)
{
	g_autoptr(GByteArray) over = pgp_over(&primary, NULL, sub);

	pgp_put_signature(to, pgp_sign(by, over, m));
}

/* The subkey, bound by `binding` with the cross-certification `back` (by whomever) embedded. */
static void put_bound(GByteArray *to, struct pgp_making binding, const struct pgp_key *by, struct pgp_making back)
{
	g_autoptr(GByteArray) over = pgp_over(&primary, NULL, &subkey), embedded = NULL;

	back.type = back.type != 0 ? back.type : 0x19;
	embedded = pgp_sign(by, over, back);
	binding.type = 0x18;
	binding.embedded = embedded;
	pgp_put_subkey(to, &subkey);
	put_key_signature(to, &primary, &subkey, binding);
}

static void person_has(GByteArray *certificate)
{
	g_autofree char *armor = pgp_armor(certificate, "PUBLIC KEY BLOCK");

	trust_run("rm -rf people; mkdir people");
	support_write("people/alice.asc", armor);
	support_write("people/alice.toml", "name = \"Alice\"\nopenpgp = [\"alice.asc\"]\n");
	g_byte_array_unref(certificate);
}

static GBytes *tag_by(const struct pgp_key *key, struct pgp_making m)
{
	g_autofree char *payload =
	    g_strdup_printf("object %040d\ntype commit\ntag v9\ntagger Alice <a@b> 1 +0000\n\nRelease\n", 1);
	g_autoptr(GByteArray) over = g_byte_array_new(), packets = g_byte_array_new();
	g_autofree char *armor = NULL, *text = NULL;

	g_byte_array_append(over, (const guint8 *)payload, strlen(payload));
	pgp_put_signature(packets, pgp_sign(key, over, m));
	armor = pgp_armor(packets, "SIGNATURE");
	text = g_strconcat(payload, armor, NULL);
	return g_bytes_new(text, strlen(text));
}

static void good_at(const struct pgp_key *key, int64_t at)
{
	g_autoptr(GBytes) raw = tag_by(key, (struct pgp_making){ .hashed = DATA });
	g_autoptr(GError) error = NULL;
	g_autofree char *fingerprint = pgp_fingerprint(&primary);
	struct signer signer = { 0 };

	if (!trust_tag_verified(raw, at, &signer, &error))
		fail_msg("%s", error->message);
	assert_string_equal(signer.person, "alice");
	assert_string_equal(signer.key, fingerprint);
	signer_clear(&signer);
}

static void good(const struct pgp_key *key)
{
	good_at(key, SIGNED);
}

static void refused_at(const struct pgp_key *key, int64_t at, const char *words)
{
	g_autoptr(GBytes) raw = tag_by(key, (struct pgp_making){ .hashed = DATA });

	trust_tag_refused(raw, at, words);
}

static void refused(const struct pgp_key *key, const char *words)
{
	refused_at(key, SIGNED, words);
}

static int setup(void **state)
{
	pgp_key_init(&primary, MADE);
	pgp_key_init(&subkey, MADE);
	pgp_key_init(&other, MADE);
	return trust_setup(state);
}

static int teardown(void **state)
{
	pgp_key_clear(&primary);
	pgp_key_clear(&subkey);
	pgp_key_clear(&other);
	return trust_teardown(state);
}

/* --- what the certificate says of its primary key --- */

static void self_refused(struct pgp_making self, const char *words)
{
	person_has(certificate_of(self));
	refused(&primary, words);
}

static void a_certificate_made_by_hand_is_good(void **state)
{
	g_autofree char *sqv = NULL, *fingerprint = pgp_fingerprint(&primary);
	g_autoptr(GBytes) raw = tag_by(&primary, (struct pgp_making){ .hashed = DATA });
	g_autofree char *text = g_strndup(g_bytes_get_data(raw, NULL), g_bytes_get_size(raw));
	char *armor = strstr(text, "-----BEGIN");

	person_has(certificate_new());
	good(&primary);
	support_write("forged.sig", armor);
	*armor = '\0';
	support_write("forged.txt", text);
	sqv = trust_text("sqv --keyring people/alice.asc forged.sig forged.txt"); /* another judge */
	assert_string_equal(sqv, fingerprint);
}

static void only_signed_key_flags_allow_to_sign(void **state)
{
	self_refused((struct pgp_making){ .hashed = "2=63b0cd00 27=01 33=issuer" }, "key flags do not allow signing");
	self_refused((struct pgp_making){ .hashed = "2=63b0cd00 33=issuer", .unhashed = "27=03" },
	    "key flags do not allow signing");
	self_refused((struct pgp_making){ .hashed = "2=63b0cd00 27=01 33=issuer", .unhashed = "27=03" },
	    "key flags do not allow signing");
	self_refused((struct pgp_making){ .hashed = "2=63b0cd00 33=issuer" }, "key flags do not allow signing");
	self_refused((struct pgp_making){ .hashed = SELF " 27=03" }, "does not bind it"); /* twice: which one holds? */
}

static void what_nothing_signs_cannot_end_a_key(void **state)
{
	person_has(certificate_of((struct pgp_making){ .hashed = SELF, .unhashed = "9=00000e10" }));
	good(&primary);
	self_refused((struct pgp_making){ .hashed = SELF " 9=00000e10" }, "it expired on 2023-01-01T01:00:00.000Z");
}

static void self_signatures_must_hold(void **state)
{
	self_refused((struct pgp_making){ .hashed = SELF, .broken = TRUE }, "does not bind it");
	self_refused((struct pgp_making){ .hashed = SELF " 3=00000e10" }, "does not bind it"); /* it expired itself */
	self_refused((struct pgp_making){ .hashed = SELF " !20=80000000000100016178" }, "does not bind it");
	self_refused((struct pgp_making){ .hashed = "2=ef000000 27=03 33=issuer" }, "does not bind it"); /* in 2097 */
}

static void self_signatures_by_sha1_count_where_they_are_old(void **state)
{
	person_has(certificate_of((struct pgp_making){ .hashed = SELF, .hash = 2 }));
	good(&primary);
	self_refused((struct pgp_making){ .hashed = "2=67000000 27=03 33=issuer", .hash = 2 }, "does not bind it");
	self_refused((struct pgp_making){ .hashed = SELF, .hash = 1 }, "does not bind it");
	self_refused((struct pgp_making){ .hashed = "2=40000000 27=03 33=issuer", .hash = 1 }, "does not bind it");
}

static void the_newest_self_signature_holds(void **state)
{
	GByteArray *certificate = certificate_of((struct pgp_making){ .hashed = SELF " 9=00000e10" });

	put_self(certificate, (struct pgp_making){ .hashed = "2=63b0cd01 27=03 33=issuer" });
	person_has(certificate);
	good(&primary);
	certificate = certificate_new();
	put_self(certificate, (struct pgp_making){ .hashed = "2=63b0cd01 27=01 33=issuer" });
	person_has(certificate);
	refused(&primary, "key flags do not allow signing");
	certificate = certificate_of((struct pgp_making){ .hashed = SELF " 9=00000e10" });
	put_self(certificate, (struct pgp_making){ .hashed = "2=63b0cd01 27=03 33=issuer", .broken = TRUE });
	person_has(certificate);
	refused(&primary, "it expired");
}

/* The primary key with a direct-key signature, and then the user id. */
static GByteArray *certificate_with(const struct pgp_key *by, struct pgp_making on_key, const char *self)
{
	GByteArray *certificate = g_byte_array_new();

	pgp_put_key(certificate, &primary);
	put_key_signature(certificate, by, NULL, on_key);
	pgp_put_uid(certificate, uid);
	put_self(certificate, (struct pgp_making){ .hashed = self });
	return certificate;
}

static void the_stricter_of_two_statements_wins(void **state)
{
	person_has(certificate_with(&primary, (struct pgp_making){ .type = 0x1f, .hashed = SELF }, SELF));
	good(&primary);
	person_has(certificate_with(&primary, (struct pgp_making){ .type = 0x1f, .hashed = SELF " 9=00000e10" }, SELF));
	refused(&primary, "it expired");
	person_has(certificate_with(&primary, (struct pgp_making){ .type = 0x1f, .hashed = SELF }, SELF " 9=00000e10"));
	refused(&primary, "it expired");
	person_has(certificate_with(
	    &primary, (struct pgp_making){ .type = 0x1f, .hashed = "2=63b0cd00 27=01 33=issuer" }, SELF));
	refused(&primary, "key flags do not allow signing");
}

static void a_user_id_that_was_taken_back_proves_nothing(void **state)
{
	GByteArray *certificate = certificate_new();

	put_self(certificate, (struct pgp_making){ .type = 0x30, .hashed = "2=63b0cd01 29=2074 33=issuer" });
	person_has(certificate);
	refused(&primary, "does not bind it");
}

static void a_signature_older_than_its_key_is_refused(void **state)
{
	g_autoptr(GBytes) raw = tag_by(&primary, (struct pgp_making){ .hashed = "2=63b0ccff 33=issuer" });

	person_has(certificate_new());
	trust_tag_refused(raw, SIGNED, "is older than its key");
}

/* --- revocations --- */

/* The primary key, revoked so. */
static void revoked(const struct pgp_key *by, const char *hashed, const char *unhashed, uint8_t hash)
{
	person_has(certificate_with(
	    by, (struct pgp_making){ .type = 0x20, .hashed = hashed, .unhashed = unhashed, .hash = hash }, SELF));
}

static void a_revocation_counts_however_weak_its_hash_is(void **state)
{
	revoked(&primary, "2=67000000 33=issuer", NULL, 0);
	refused(&primary, "it is revoked (no reason given)");
	revoked(&primary, "2=67000000 33=issuer", NULL, 2);
	refused(&primary, "it is revoked (no reason given)");
	revoked(&primary, "2=67000000 33=issuer", NULL, 1);
	refused(&primary, "it is revoked (no reason given)");
	revoked(&primary, "2=67000000 29=0274 3=00000e10 33=issuer", NULL, 0);
	refused(&primary, "it is revoked (compromised)");
}

static void only_a_signed_reason_makes_a_revocation_mild(void **state)
{
	revoked(&primary, "2=67000000 29=0174 33=issuer", NULL, 0);
	good(&primary);
	refused_at(&primary, INT64_C(0x67000000) * 1000, "it is revoked (superseded)");
	revoked(&primary, "2=67000000 33=issuer", "29=0174", 0);
	refused(&primary, "it is revoked (no reason given)");
}

static void a_strangers_revocation_is_none(void **state)
{
	revoked(&other, "2=63b0cd00 33=issuer", NULL, 0);
	good(&primary);
}

static void a_designated_revoker_is_heeded(void **state)
{
	g_autofree char *hex = hex_encode(other.fingerprint, 20);
	g_autofree char *self = g_strdup_printf(SELF " 12=8016%s", hex);

	person_has(certificate_with(&primary, (struct pgp_making){ .type = 0x1f, .hashed = SELF }, self));
	good(&primary);
	person_has(certificate_with(&other, (struct pgp_making){ .type = 0x20, .hashed = "2=63b0cd00 33=issuer" }, self));
	refused(&primary, "it is revoked (perhaps: by a designated revoker");
}

/* --- subkeys --- */

static void subkey_has(struct pgp_making binding, const struct pgp_key *by, struct pgp_making back)
{
	GByteArray *certificate = certificate_new();

	put_bound(certificate, binding, by, back);
	person_has(certificate);
}

static void subkey_refused(struct pgp_making binding, const struct pgp_key *by, struct pgp_making back, const char *words)
{
	subkey_has(binding, by, back);
	refused(&subkey, words);
}

static const struct pgp_making binding_good = { .hashed = BINDING }, back_good = { .hashed = BACK };

static void cross_certified_subkeys_are_good(void **state)
{
	subkey_has(binding_good, &subkey, back_good);
	good(&subkey);
	/* as gpg does it: the cross-certification is signed in itself */
	subkey_has((struct pgp_making){ .hashed = "2=63b0cd00 27=02 33=issuer", .unhashed = "32=embedded" }, &subkey,
	    back_good);
	good(&subkey);
}

static void a_subkey_must_have_certified_its_primary(void **state)
{
	const struct pgp_making none = { .hashed = "2=63b0cd00 27=02 33=issuer" };

	subkey_refused(none, &subkey, back_good, "does not bind it");
	subkey_refused(binding_good, &other, back_good, "does not bind it");
	subkey_refused(binding_good, &primary, back_good, "does not bind it");
	subkey_refused(binding_good, &subkey, (struct pgp_making){ .hashed = BACK, .broken = TRUE }, "does not bind it");
	subkey_refused(binding_good, &subkey, (struct pgp_making){ .hashed = BACK, .type = 0x18 }, "does not bind it");
	subkey_refused(binding_good, &subkey, (struct pgp_making){ .hashed = BACK " 3=00000e10" }, "does not bind it");
	subkey_refused(binding_good, &subkey, (struct pgp_making){ .hashed = BACK, .hash = 1 }, "does not bind it");
}

static void a_subkey_without_signed_flags_does_not_sign(void **state)
{
	static const char *const flags[] = { "2=63b0cd00 33=issuer", "2=63b0cd00 27=0c 33=issuer",
		"2=63b0cd00 27=20 33=issuer", "2=63b0cd00 27=01 33=issuer" };

	for (size_t i = 0; i < G_N_ELEMENTS(flags); i++)
		subkey_refused(
		    (struct pgp_making){ .hashed = flags[i] }, &subkey, back_good, "key flags do not allow signing");
	subkey_refused((struct pgp_making){ .hashed = "2=63b0cd00 33=issuer", .unhashed = "27=02 32=embedded" },
	    &subkey, back_good, "key flags do not allow signing");
}

static void bindings_must_hold(void **state)
{
	subkey_refused((struct pgp_making){ .hashed = BINDING, .broken = TRUE }, &subkey, back_good, "does not bind it");
	subkey_refused((struct pgp_making){ .hashed = BINDING " 3=00000e10" }, &subkey, back_good, "does not bind it");
	subkey_refused((struct pgp_making){ .hashed = BINDING " 9=00000e10" }, &subkey, back_good, "it expired on");
}

/* librnp says no more than "invalid" of such a key, and its end must not excuse what else it lacks. */
static void the_end_of_a_key_excuses_nothing(void **state)
{
	const struct pgp_making none = { .hashed = "2=63b0cd00 27=02 33=issuer" };
	GByteArray *certificate = certificate_of((struct pgp_making){ .hashed = SELF " 9=00400000" });

	put_bound(certificate, none, &subkey, back_good);
	person_has(certificate);
	refused(&subkey, "does not bind it");
	certificate = certificate_of((struct pgp_making){ .hashed = SELF " 9=00400000" });
	put_bound(certificate, binding_good, &subkey, back_good);
	person_has(certificate);
	good(&subkey);
	certificate = certificate_new();
	put_bound(certificate, none, &subkey, back_good);
	put_key_signature(certificate, &primary, &subkey,
	    (struct pgp_making){ .type = 0x28, .hashed = "2=64000000 29=0174 33=issuer" });
	person_has(certificate);
	refused(&subkey, "does not bind it");
}

static void a_subkeys_revocation_counts_however_weak_its_hash_is(void **state)
{
	GByteArray *certificate = certificate_new();

	put_bound(certificate, binding_good, &subkey, back_good);
	put_key_signature(certificate, &primary, &subkey,
	    (struct pgp_making){ .type = 0x28, .hashed = "2=63b0cd00 33=issuer", .hash = 1 });
	person_has(certificate);
	refused(&subkey, "it is revoked (no reason given)");
	good(&primary);
}

/* --- the signature over the document --- */

static void data_refused(struct pgp_making m, const char *words)
{
	g_autoptr(GBytes) raw = tag_by(&primary, m);

	trust_tag_refused(raw, SIGNED, words);
}

static void areas_of_the_signature_are_told_apart(void **state)
{
	g_autoptr(GBytes) hint = tag_by(&primary, (struct pgp_making){ .hashed = "2=63d9ab80", .unhashed = "16=keyid" });
	struct signer signer = { 0 };

	person_has(certificate_new());
	assert_true(trust_tag_verified(hint, SIGNED, &signer, NULL));
	signer_clear(&signer);
	data_refused((struct pgp_making){ .hashed = "33=issuer", .unhashed = "2=63d9ab80" },
	    "subpacket 2 stands where nothing signs it");
	data_refused((struct pgp_making){ .hashed = "33=issuer" }, "creation time");
	data_refused((struct pgp_making){ .hashed = DATA, .unhashed = "3=00f00000" },
	    "subpacket 3 stands where nothing signs it");
	data_refused((struct pgp_making){ .hashed = DATA, .unhashed = "32=04" }, "stands where nothing signs it");
	data_refused((struct pgp_making){ .hashed = DATA " 2=63d9ab80" }, "stands twice");
	data_refused((struct pgp_making){ .hashed = "2=63d9ab80" }, "it does not say which key made it");
	data_refused((struct pgp_making){ .hashed = DATA " !99=00" }, "critical subpacket 99 is not understood");
}

static void other_versions_and_types_are_refused(void **state)
{
	person_has(certificate_new());
	data_refused((struct pgp_making){ .hashed = DATA, .version = 3 }, "version 3; only 4 is supported");
	data_refused((struct pgp_making){ .hashed = DATA, .version = 5 }, "version 5; only 4 is supported");
	data_refused((struct pgp_making){ .hashed = DATA, .version = 6 }, "version 6; only 4 is supported");
	data_refused((struct pgp_making){ .hashed = DATA, .type = 0x10 }, "is no signature over a document");
	data_refused((struct pgp_making){ .hashed = DATA, .broken = TRUE }, "does not fit these bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_made_by_hand_is_good),
		cmocka_unit_test(only_signed_key_flags_allow_to_sign),
		cmocka_unit_test(what_nothing_signs_cannot_end_a_key),
		cmocka_unit_test(self_signatures_must_hold),
		cmocka_unit_test(self_signatures_by_sha1_count_where_they_are_old),
		cmocka_unit_test(the_newest_self_signature_holds),
		cmocka_unit_test(the_stricter_of_two_statements_wins),
		cmocka_unit_test(a_user_id_that_was_taken_back_proves_nothing),
		cmocka_unit_test(a_signature_older_than_its_key_is_refused),
		cmocka_unit_test(a_revocation_counts_however_weak_its_hash_is),
		cmocka_unit_test(only_a_signed_reason_makes_a_revocation_mild),
		cmocka_unit_test(a_strangers_revocation_is_none),
		cmocka_unit_test(a_designated_revoker_is_heeded),
		cmocka_unit_test(cross_certified_subkeys_are_good),
		cmocka_unit_test(a_subkey_must_have_certified_its_primary),
		cmocka_unit_test(a_subkey_without_signed_flags_does_not_sign),
		cmocka_unit_test(bindings_must_hold),
		cmocka_unit_test(the_end_of_a_key_excuses_nothing),
		cmocka_unit_test(a_subkeys_revocation_counts_however_weak_its_hash_is),
		cmocka_unit_test(areas_of_the_signature_are_told_apart),
		cmocka_unit_test(other_versions_and_types_are_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
