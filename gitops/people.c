#include "gitops/people.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/toml.h"
#include "gitops/policy_files.h"
#include "gitops/signature.h"

#define ID_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789._-"

/* A new format is one row here. */
static const struct signature_scheme *const schemes[] = { &signature_ssh, &signature_openpgp, &signature_x509 };

struct revocation {
	int64_t since; /* ms; G_MININT64: nothing ever counted */
	char *why;
};

struct person {
	char *id, *file, *name;
	char **email, **groups;
	const struct toml *keys[G_N_ELEMENTS(schemes)], *revoked; /* borrowed, while the file is read */
	GHashTable *revocations; /* key -> struct revocation */
};

struct people {
	GHashTable *persons; /* id -> struct person */
	GHashTable *keys; /* key, subkey or "AUTHORITY NAME" -> struct person, borrowed */
	GHashTable *revoked; /* key that stands in [[revoked]] -> struct person, borrowed: the first of them */
	GHashTable *addresses; /* lower-case address -> struct person, borrowed */
	void *keyrings[G_N_ELEMENTS(schemes)];
	char **names; /* sorted; borrows nothing */
};

static const struct toml_field person_fields[] = {
	{ "name", TOML_T_STRING, offsetof(struct person, name), .required = TRUE, .help = "Shown to people" },
	{ "email", TOML_T_STRINGS, offsetof(struct person, email), .help = "Addresses that only this person may use" },
	{ "groups", TOML_T_STRINGS, offsetof(struct person, groups), .help = "Named @group in project files" },
	{ "ssh", TOML_T_NODE, offsetof(struct person, keys[0]), .help = "Lines of .pub files" },
	{ "openpgp", TOML_T_NODE, offsetof(struct person, keys[1]), .help = "Certificates beside the file" },
	{ "x509", TOML_T_NODE, offsetof(struct person, keys[2]), .help = "Certificate subjects and their roots" },
	{ "revoked", TOML_T_NODE, offsetof(struct person, revoked), .help = "Keys that no longer count" },
};

static void revocation_free(void *data)
{
	struct revocation *revocation = data;

	g_free(revocation->why);
	g_free(revocation);
}

static void person_free(void *data)
{
	struct person *person = data;

	toml_clear(person_fields, G_N_ELEMENTS(person_fields), person);
	g_free(person->id);
	g_free(person->file);
	g_hash_table_unref(person->revocations);
	g_free(person);
}

/* --- loading --- */

struct loading {
	struct people *people;
	struct person *person;
	policy_files *files;
	const struct toml *entry;
};

static gboolean is_free(const struct loading *l, GHashTable *owners, const char *key, GError **error)
{
	const struct person *owner = g_hash_table_lookup(owners, key);

	return owner == NULL || owner == l->person ||
	       toml_fail(l->entry, error,
		   "the key %s stands in %s too; a key may belong to one person only: remove it from one of the files",
		   key, owner->file);
}

/* A key belongs to one person, also when it is revoked: else one human could be counted as two. */
static gboolean claim_key(void *data, const char *key, GError **error)
{
	struct loading *l = data;

	if (!is_free(l, l->people->keys, key, error) || !is_free(l, l->people->revoked, key, error))
		return FALSE;
	g_hash_table_insert(l->people->keys, g_strdup(key), l->person);
	return TRUE;
}

/* Two may revoke a key that neither of them claims, such as the authority of both. */
static gboolean claim_revoked(struct loading *l, const char *key, GError **error)
{
	if (!is_free(l, l->people->keys, key, error))
		return FALSE;
	if (!g_hash_table_contains(l->people->revoked, key))
		g_hash_table_insert(l->people->revoked, g_strdup(key), l->person);
	return TRUE;
}

static gboolean array_of(const struct toml *node, enum toml_kind kind, const char *what, GError **error)
{
	if (toml_kind(node) != TOML_ARRAY)
		return toml_fail(node, error, "it must be an array of %s", what);
	for (guint i = 0; i < toml_length(node); i++)
		if (toml_kind(toml_at(node, i)) != kind)
			return toml_fail(toml_at(node, i), error, "it must be one of the %s", what);
	return TRUE;
}

/* By which an authority may know the person: the file's name, and each address. */
static char **names_of(const struct person *p)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

	g_strv_builder_add(builder, p->id);
	for (guint i = 0; p->email != NULL && p->email[i] != NULL; i++)
		g_strv_builder_add(builder, p->email[i]);
	return g_strv_builder_end(builder);
}

static gboolean keys_load(struct loading *l, GError **error)
{
	g_auto(GStrv) names = names_of(l->person);

	for (size_t s = 0; s < G_N_ELEMENTS(schemes); s++) {
		const struct toml *array = l->person->keys[s];

		if (array != NULL && !array_of(array, schemes[s]->kind, schemes[s]->entries, error))
			return FALSE;
		for (guint i = 0; array != NULL && i < toml_length(array); i++) {
			l->entry = toml_at(array, i);
			if (!schemes[s]->keyring_add(l->people->keyrings[s], l->entry, l->files,
				(const char *const *)names, claim_key, l, error))
				return FALSE;
		}
	}
	return TRUE;
}

struct revoked_entry {
	char *key, *why;
	int64_t since;
};

static gboolean revocation_take(struct loading *l, struct revoked_entry *entry, GError **error)
{
	struct revocation *revocation;
	gboolean known = FALSE;

	for (size_t s = 0; s < G_N_ELEMENTS(schemes); s++)
		known = known || schemes[s]->is_key(entry->key);
	if (!known)
		return toml_fail(l->entry, error,
		    "\"%s\" is no full key id: an SSH or X.509 key is named \"SHA256:…\" (ssh-keygen -lf), an OpenPGP "
		    "key by "
		    "its whole upper-case fingerprint without spaces",
		    entry->key);
	if (g_hash_table_contains(l->person->revocations, entry->key))
		return toml_fail(l->entry, error, "the key %s is revoked twice", entry->key);
	if (!claim_revoked(l, entry->key, error))
		return FALSE;
	revocation = g_new(struct revocation, 1);
	revocation->since = toml_get(l->entry, "since") != NULL ? entry->since : G_MININT64;
	revocation->why = g_steal_pointer(&entry->why);
	g_hash_table_insert(l->person->revocations, g_strdup(entry->key), revocation);
	return TRUE;
}

static gboolean revocations_load(struct loading *l, GError **error)
{
	static const struct toml_field fields[] = {
		{ "key", TOML_T_STRING, offsetof(struct revoked_entry, key), .required = TRUE },
		{ "since", TOML_T_TIME, offsetof(struct revoked_entry, since) },
		{ "why", TOML_T_STRING, offsetof(struct revoked_entry, why) },
	};
	const struct toml *array = l->person->revoked;

	if (array == NULL)
		return TRUE;
	if (!array_of(array, TOML_TABLE, "tables [[revoked]]", error))
		return FALSE;
	for (guint i = 0; i < toml_length(array); i++) {
		struct revoked_entry entry = { 0 };
		gboolean ok;

		l->entry = toml_at(array, i);
		ok = toml_read(l->entry, fields, G_N_ELEMENTS(fields), &entry, "[[revoked]]", error) &&
		     revocation_take(l, &entry, error);
		toml_clear(fields, G_N_ELEMENTS(fields), &entry);
		if (!ok)
			return FALSE;
	}
	return TRUE;
}

/* Where the n-th string of a list stands, for messages. */
static const struct toml *item_of(const struct toml *root, const char *key, guint index)
{
	return toml_at(toml_get(root, key), index);
}

/* Addresses compare by ASCII case alone and without blanks around them, so that look-alikes of case do not slip by. */
static char *address_fold(const char *email)
{
	char *folded = g_ascii_strdown(email, -1);

	return g_strstrip(folded);
}

static gboolean address_take(struct loading *l, const struct toml *root, guint i, GError **error)
{
	const char *email = l->person->email[i];
	g_autofree char *folded = address_fold(email);
	const struct person *owner = g_hash_table_lookup(l->people->addresses, folded);

	if (strchr(email, '@') == NULL || strpbrk(email, " <>\t") != NULL || !text_is_clean(email, strlen(email)))
		return toml_fail(item_of(root, "email", i), error, "not a mail address: give it as name@host");
	if (owner != NULL && owner != l->person)
		return toml_fail(item_of(root, "email", i), error, "the address %s stands in %s too", email, owner->file);
	g_hash_table_insert(l->people->addresses, g_steal_pointer(&folded), l->person);
	return TRUE;
}

static gboolean texts_check(struct loading *l, const struct toml *root, GError **error)
{
	const struct person *p = l->person;

	if (*p->name == '\0' || !text_is_clean(p->name, strlen(p->name)))
		return toml_fail(toml_get(root, "name"), error, "a name must be one line of printable text");
	for (guint i = 0; p->groups != NULL && p->groups[i] != NULL; i++)
		if (p->groups[i][0] == '\0' || p->groups[i][strspn(p->groups[i], ID_CHARACTERS)] != '\0')
			return toml_fail(item_of(root, "groups", i),
			    error, "a group's name is made of a-z, 0-9, \".\", \"_\" and \"-\" (the @ stands in project files only)");
	for (guint i = 0; p->email != NULL && p->email[i] != NULL; i++)
		if (!address_take(l, root, i, error))
			return FALSE;
	return TRUE;
}

/* "people/alice.toml" -> "alice"; NULL for a file that is no person's. */
static char *person_id(const char *path)
{
	if (!g_str_has_prefix(path, "people/") || !g_str_has_suffix(path, ".toml"))
		return NULL;
	return g_strndup(path + strlen("people/"), strlen(path) - strlen("people/") - strlen(".toml"));
}

static gboolean person_load(struct people *people, const char *path, policy_files *files, GError **error)
{
	GBytes *bytes = g_hash_table_lookup(files, path);
	autoptr(toml) root = toml_parse(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), path, error);
	struct person *person;
	struct loading l;
	gboolean ok;

	if (root == NULL)
		return FALSE;
	person = g_new0(struct person, 1);
	person->id = person_id(path);
	person->file = g_strdup(path);
	person->revocations = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, revocation_free);
	g_hash_table_insert(people->persons, person->id, person);
	l = (struct loading){ .people = people, .person = person, .files = files };
	if (*person->id == '\0' || *person->id == '.' || person->id[strspn(person->id, ID_CHARACTERS)] != '\0')
		return toml_fail(root, error, "a person's file name is made of a-z, 0-9, \".\", \"_\" and \"-\"");
	ok = toml_read(root, person_fields, G_N_ELEMENTS(person_fields), person, "a person's file", error) &&
	     texts_check(&l, root, error) && keys_load(&l, error) && revocations_load(&l, error);
	memset(person->keys, 0, sizeof(person->keys));
	person->revoked = NULL;
	return ok;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The people files' paths in one order everywhere, so that the same fault is told the same way. */
static char **person_paths(policy_files *files)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	GHashTableIter iter;
	void *path;
	char **paths;

	g_hash_table_iter_init(&iter, files);
	while (g_hash_table_iter_next(&iter, &path, NULL)) {
		g_autofree char *id = person_id(path);

		if (id != NULL)
			g_strv_builder_add(builder, path);
	}
	paths = g_strv_builder_end(builder);
	qsort(paths, g_strv_length(paths), sizeof(*paths), compare_names);
	return paths;
}

static void names_fill(struct people *people)
{
	guint count = 0;
	void **ids = g_hash_table_get_keys_as_array(people->persons, &count);

	people->names = g_new0(char *, count + 1);
	for (guint i = 0; i < count; i++)
		people->names[i] = g_strdup(ids[i]);
	qsort(people->names, count, sizeof(*people->names), compare_names);
	g_free(ids);
}

/* `mistakes` NULL: the first one ends it; else each file's is added there, and what comes back serves for nothing else. */
static struct people *load(policy_files *files, GPtrArray *mistakes, GError **error)
{
	autoptr(people) people = g_new0(struct people, 1);
	g_auto(GStrv) paths = person_paths(files);

	people->persons = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, person_free);
	people->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	people->revoked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	people->addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	for (size_t s = 0; s < G_N_ELEMENTS(schemes); s++)
		if ((people->keyrings[s] = schemes[s]->keyring_new(error)) == NULL)
			return NULL;
	for (guint i = 0; paths[i] != NULL; i++) {
		g_autoptr(GError) why = NULL;

		if (person_load(people, paths[i], files, &why))
			continue;
		if (mistakes == NULL) {
			g_propagate_error(error, g_steal_pointer(&why));
			return NULL;
		}
		g_ptr_array_add(mistakes, g_strdup(why->message));
	}
	names_fill(people);
	return g_steal_pointer(&people);
}

struct people *people_load(policy_files *files, GError **error)
{
	return load(files, NULL, error);
}

gboolean people_mistakes(policy_files *files, GPtrArray *mistakes, GError **error)
{
	autoptr(people) people = load(files, mistakes, error);

	return people != NULL;
}

struct people *people_load_dir(const char *dir, GError **error)
{
	g_autoptr(GHashTable) files = policy_files_of_people(dir, error);
	autoptr(people) people = files != NULL ? people_load(files, error) : NULL;

	if (people != NULL && people->names[0] == NULL) {
		g_set_error(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN,
		    "%s holds no person: there must be a NAME.toml for each (as in a policy's people/)", dir);
		return NULL;
	}
	return g_steal_pointer(&people);
}

void people_free(struct people *people)
{
	if (people == NULL)
		return;
	for (size_t s = 0; s < G_N_ELEMENTS(schemes); s++)
		if (people->keyrings[s] != NULL)
			schemes[s]->keyring_free(people->keyrings[s]);
	g_hash_table_unref(people->keys);
	g_hash_table_unref(people->revoked);
	g_hash_table_unref(people->addresses);
	g_hash_table_unref(people->persons);
	g_strfreev(people->names);
	g_free(people);
}

/* --- asking --- */

gboolean people_exists(const struct people *people, const char *person)
{
	return g_hash_table_contains(people->persons, person);
}

gboolean people_in_group(const struct people *people, const char *person, const char *group)
{
	const struct person *p = g_hash_table_lookup(people->persons, person);

	return p != NULL && p->groups != NULL && g_strv_contains((const char *const *)p->groups, group);
}

const char *const *people_names(const struct people *people)
{
	return (const char *const *)people->names;
}

const char *people_by_email(const struct people *people, const char *email)
{
	g_autofree char *folded = address_fold(email);
	const struct person *p = g_hash_table_lookup(people->addresses, folded);

	return p != NULL ? p->id : NULL;
}

/* From when on the key does not count for that person: G_MAXINT64 if it is not revoked. */
static int64_t revoked_since(const struct person *p, const char *key)
{
	const struct revocation *revocation = g_hash_table_lookup(p->revocations, key);

	return revocation != NULL ? revocation->since : G_MAXINT64;
}

static gboolean keys_widened(
    const struct people *before, const struct person *was, const struct people *now, const struct person *is)
{
	GHashTableIter iter;
	void *key, *owner;

	g_hash_table_iter_init(&iter, now->keys);
	while (g_hash_table_iter_next(&iter, &key, &owner))
		if (owner == is && g_hash_table_lookup(before->keys, key) != was)
			return TRUE;
	return FALSE;
}

/* A revocation taken back or moved to later is a right given, as much as a new key; also of a key that stands nowhere else:
 * an authority may vouch for it. */
static gboolean revocations_widened(const struct person *was, const struct person *is)
{
	GHashTableIter iter;
	void *key;

	g_hash_table_iter_init(&iter, was->revocations);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		if (revoked_since(is, key) > revoked_since(was, key))
			return TRUE;
	return FALSE;
}

gboolean people_widened(const struct people *before, const struct people *now, const char *person)
{
	const struct person *was = g_hash_table_lookup(before->persons, person);
	const struct person *is = g_hash_table_lookup(now->persons, person);

	if (is == NULL || was == NULL)
		return is != NULL;
	for (guint i = 0; is->groups != NULL && is->groups[i] != NULL; i++)
		if (!people_in_group(before, person, is->groups[i]))
			return TRUE;
	return keys_widened(before, was, now, is) || revocations_widened(was, is);
}

/* --- verifying --- */

void signer_clear(struct signer *signer)
{
	g_clear_pointer(&signer->person, g_free);
	g_clear_pointer(&signer->key, g_free);
	g_clear_pointer(&signer->through, g_free);
}

static gboolean not_revoked(const struct person *p, const char *key, int64_t at_ms, GError **error)
{
	const struct revocation *revocation = g_hash_table_lookup(p->revocations, key);
	g_autofree char *since = NULL;
	g_autofree char *why = NULL;

	if (revocation == NULL || revocation->since > at_ms)
		return TRUE;
	why = text_escape(revocation->why != NULL ? revocation->why : "no reason given", -1, 100);
	since = revocation->since != G_MININT64 ? time_format_ms(revocation->since) : g_strdup("ever");
	error_refused(error, "the key %s of %s is revoked since %s (%s, %s)", key, p->id, since, why, p->file);
	return FALSE;
}

gboolean people_not_revoked(const struct people *people, const struct signer *signer, int64_t at_ms, GError **error)
{
	const struct person *p = g_hash_table_lookup(people->persons, signer->person);

	if (p != NULL)
		return not_revoked(p, signer->key, at_ms, error) &&
		       (signer->through == NULL || not_revoked(p, signer->through, at_ms, error));
	error_refused(error, "%s stands in no file of people/", signer->person);
	return FALSE;
}

static void signed_by_clear(struct signed_by *by)
{
	g_free(by->key);
	g_free(by->through);
	g_strfreev(by->claims);
}

/* The one person whom the authority can mean, or NULL with error. */
static const struct person *person_named(const struct people *people, const struct signed_by *by, GError **error)
{
	const struct person *found = NULL, *p;

	for (guint i = 0; by->claims[i] != NULL; i++) {
		p = g_hash_table_lookup(people->keys, by->claims[i]);
		if (p != NULL && found != NULL && p != found) {
			error_refused(error,
			    "the certificate of the key %s names both %s and %s; it must name one person", by->key,
			    found->id, p->id);
			return NULL;
		}
		found = p != NULL ? p : found;
	}
	if (found == NULL)
		error_refused(error,
		    "the certificate of the key %s names nobody whose file lists its authority %s: a principal must be "
		    "the "
		    "name of the person's file or one of their addresses",
		    by->key, by->through);
	return found;
}

/* Nobody signs as another: neither with a key that is listed for someone else, nor by an authority that is someone's own key. */
static gboolean is_nobody_elses(const struct people *people, const struct person *p, const char *key, GError **error)
{
	const struct person *owner = g_hash_table_lookup(people->keys, key);

	if (owner == NULL || owner == p)
		return TRUE;
	error_refused(error, "the certificate is %s's, but the key %s belongs to %s", p->id, key, owner->id);
	return FALSE;
}

/* Whose signature it is, if that person's keys may count. */
static const struct person *signer_find(
    const struct people *people, const struct signed_by *by, int64_t at_ms, GError **error)
{
	const struct person *p;

	if (by->claims != NULL)
		p = person_named(people, by, error);
	else if ((p = g_hash_table_lookup(people->keys, by->key)) == NULL)
		error_refused(error, "the key %s that signed belongs to no known person", by->key);
	if (p == NULL || !not_revoked(p, by->key, at_ms, error) || !is_nobody_elses(people, p, by->key, error))
		return NULL;
	if (by->through != NULL &&
	    (!not_revoked(p, by->through, at_ms, error) || !is_nobody_elses(people, p, by->through, error)))
		return NULL;
	return p;
}

gboolean people_verify(const struct people *people, enum signature_format format, const char *armor, GBytes *payload,
    int64_t at_ms, struct signer *signer, GError **error)
{
	struct signed_by by = { 0 };
	const struct person *p;
	size_t s = 0;

	while (s < G_N_ELEMENTS(schemes) && schemes[s]->format != format)
		s++;
	g_assert(s < G_N_ELEMENTS(schemes));
	if (!schemes[s]->verify(people->keyrings[s], armor, payload, at_ms, &by, error))
		return FALSE;
	if ((p = signer_find(people, &by, at_ms, error)) != NULL)
		*signer = (struct signer){ g_strdup(p->id), format, g_steal_pointer(&by.key), by.hardware,
			g_steal_pointer(&by.through) };
	signed_by_clear(&by);
	return p != NULL;
}

/* Names and addresses are only claims; but one that is another known person's would deceive whoever reads it. */
static gboolean own_address(const struct people *people, const struct identity *identity, const char *role,
    const struct signer *signer, GError **error)
{
	const char *owner = people_by_email(people, identity->email);
	g_autofree char *email = NULL;

	if (owner == NULL || g_str_equal(owner, signer->person))
		return TRUE;
	email = text_escape(identity->email, -1, 100);
	error_refused(error, "%s signed it, but the %s's address %s is %s's: sign with the address of the key's owner",
	    signer->person, role, email, owner);
	return FALSE;
}

gboolean people_verify_tag(
    const struct people *people, const struct tag *tag, int64_t at_ms, struct signer *signer, GError **error)
{
	struct signer by = { 0 };

	if (!people_verify(people, tag->format, tag->signature, tag->payload, at_ms, &by, error))
		return FALSE;
	if (!own_address(people, &tag->tagger, "tagger", &by, error)) {
		signer_clear(&by);
		return FALSE;
	}
	*signer = by;
	return TRUE;
}

gboolean people_verify_commit(
    const struct people *people, const struct commit *commit, int64_t at_ms, struct signer *signer, GError **error)
{
	struct signer by = { 0 };

	if (!commit->is_signed) {
		error_refused(error, "the commit is not signed; make it with git commit -S");
		return FALSE;
	}
	if (!people_verify(people, commit->format, commit->signature, commit->payload, at_ms, &by, error))
		return FALSE;
	if (!own_address(people, &commit->author, "author", &by, error) ||
	    !own_address(people, &commit->committer, "committer", &by, error)) {
		signer_clear(&by);
		return FALSE;
	}
	*signer = by;
	return TRUE;
}
