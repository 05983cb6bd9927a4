/*
 * A policy repository of many commits, verified from its root: prints the microseconds a commit costs among the first thousand and among all
 * ten thousand, and those of the whole walk and of a second look, when one change (two commits) has come on top. Medians of ROUNDS.
 *
 *   chain ROUNDS FOLDER
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gitops/base/bytes.h"
#include "gitops/mirror.h"
#include "gitops/pack.h"
#include "gitops/policy.h"
#include "gitops/policy_history.h"
#include "server/policy_follow.h"
#include "tests/unit/support_ledger.h"

#define FEW 1000
#define MANY 10000
#define PEOPLE 12
#define PROJECTS 8

struct repository {
	struct pack *pack;
	struct test_key *keys[PEOPLE];
	GHashTable *folders; /* "people" and "keys": id of the tree */
	char *projects[PROJECTS]; /* ids of their files */
	char *ids[MANY + 3]; /* commits, the root first */
};

static void die(const char *what, const GError *error)
{
	fprintf(stderr, "chain: %s: %s\n", what, error != NULL ? error->message : g_strerror(errno));
	exit(1);
}

static char *put(struct repository *r, git_object_t type, const void *data, size_t size)
{
	g_autoptr(GError) error = NULL;
	git_oid id;

	if (!pack_add(r->pack, type, data, size, &id, &error))
		die("pack", error);
	return g_strdup(git_oid_tostr_s(&id));
}

static char *put_text(struct repository *r, char *text)
{
	char *id = put(r, GIT_OBJECT_BLOB, text, strlen(text));

	g_free(text);
	return id;
}

static void entry(GByteArray *tree, const char *mode, const char *name, const char *id)
{
	g_autofree char *head = g_strdup_printf("%s %s", mode, name);
	git_oid oid;

	git_oid_fromstr(&oid, id);
	g_byte_array_append(tree, (const guint8 *)head, (guint)strlen(head) + 1);
	g_byte_array_append(tree, oid.id, sizeof(oid.id));
}

static char *put_tree(struct repository *r, GByteArray *tree)
{
	char *id = put(r, GIT_OBJECT_TREE, tree->data, tree->len);

	g_byte_array_unref(tree);
	return id;
}

static char *people(struct repository *r)
{
	GByteArray *tree = g_byte_array_new();

	for (int i = 0; i < PEOPLE; i++) {
		g_autofree char *name = g_strdup_printf("person-%02d.toml", i);
		g_autofree char *id = NULL;

		r->keys[i] = test_key_new();
		id = put_text(r, g_strdup_printf("name = \"Person %d\"\nemail = [\"p%d@example.org\"]\n"
						 "groups = [\"developers\"%s]\nssh = [\"%s\"]\n",
				     i, i, i < 4 ? ", \"security\"" : "", test_key_line(r->keys[i])));
		entry(tree, "100644", name, id);
	}
	return put_tree(r, tree);
}

static char *project(struct repository *r, int number, int days)
{
	return put_text(r,
	    g_strdup_printf(
		"name = \"acme/p%d\"\nsource = \"https://git.example.org/acme/p%d.git\"\n\n[[policy]]\n"
		"name = \"release\"\ntags = [\"v[0-9]*\"]\nnot_tags = [\"*-rc*\"]\nbranches = [\"main\"]\n"
		"taggers = [\"@developers\"]\nquorum = [{ of = [\"@developers\"], count = 2 }, "
		"{ of = [\"@security\"], count = 1 }]\napprove_within = \"%dd\"\nkey = \"release\"\n"
		"purpose = \"release\"\npinned_by = [\"approval\"]\n\n[[policy.artifact]]\n"
		"name = \"p-{version}.zip\"\nfetch = \"https://ci.example.org/{commit}/p.zip\"\nsign = \"openpgp\"\n",
		number, number, days));
}

/* The whole tree, with the project's file as it stands after that many changes. */
static char *tree_after(struct repository *r, int changes)
{
	GByteArray *root = g_byte_array_new(), *projects = g_byte_array_new();
	int number = changes % PROJECTS;
	g_autofree char *id = NULL, *policy = NULL;

	g_free(r->projects[number]);
	r->projects[number] = project(r, number, 6000 - changes);
	for (int i = 0; i < PROJECTS; i++) {
		g_autofree char *name = g_strdup_printf("p%d.toml", i);

		entry(projects, "100644", name, r->projects[i]);
	}
	id = put_tree(r, projects);
	policy = put_text(r, g_strdup("maintainers = [\"person-00\", \"person-01\", \"person-02\"]\nthreshold = 2\n"));
	entry(root, "40000", "keys", g_hash_table_lookup(r->folders, "keys"));
	entry(root, "40000", "people", g_hash_table_lookup(r->folders, "people"));
	entry(root, "100644", "policy.toml", policy);
	entry(root, "40000", "projects", id);
	return put_tree(r, root);
}

static char *commit(struct repository *r, const char *tree, const char *parent, int person, const char *approves)
{
	g_autofree char *above = parent != NULL ? g_strdup_printf("parent %s\n", parent) : g_strdup("");
	g_autofree char *who = g_strdup_printf("Person %d <p%d@example.org> 1767225600 +0000", person, person);
	g_autofree char *head = g_strdup_printf("tree %s\n%sauthor %s\ncommitter %s\n", tree, above, who, who);
	g_autofree char *message = approves != NULL
				       ? g_strdup_printf("\nApprove\n\nTagseal-Approve-Policy: %s\n", approves)
				       : g_strdup("\nChange the policy\n");
	g_autofree char *payload = g_strconcat(head, message, NULL), *text = NULL, *whole = NULL;
	g_autoptr(GBytes) bytes = g_bytes_new(payload, strlen(payload));
	g_autoptr(GBytes) armor = test_key_sign(r->keys[person], bytes, NULL);
	g_auto(GStrv) lines = NULL;

	text = g_strchomp(g_strndup(g_bytes_get_data(armor, NULL), g_bytes_get_size(armor)));
	lines = g_strsplit(text, "\n", -1);
	g_free(text);
	text = g_strjoinv("\n ", lines);
	whole = g_strconcat(head, "gpgsig ", text, "\n", message, NULL);
	return put(r, GIT_OBJECT_COMMIT, whole, strlen(whole));
}

/* Candidates and their second signatures by turns: each pair brings one new version into force. */
static void make(struct repository *r, const char *folder)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = NULL;
	GByteArray *keys = g_byte_array_new();
	g_autofree char *key = NULL;

	r->pack = pack_new();
	r->folders = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
	key = put_text(r, g_strdup("purpose = \"release\"\nrequire = { quorum = 2, timestamp = true }\n"));
	entry(keys, "100644", "release.toml", key);
	g_hash_table_insert(r->folders, (char *)"keys", put_tree(r, keys));
	g_hash_table_insert(r->folders, (char *)"people", people(r));
	for (int i = 0; i < PROJECTS; i++)
		r->projects[i] = project(r, i, 7000);
	for (int i = 0, changes = 0; i < MANY + 3; i++) {
		g_autofree char *tree = tree_after(r, changes);
		const char *below = i > 0 ? r->ids[i - 1] : NULL;
		gboolean approval = i > 0 && i % 2 == 0;

		r->ids[i] = commit(r, tree, below, approval, approval ? below : NULL);
		changes += !(i % 2);
	}
	bytes = pack_finish(r->pack);
	if (!policy_history_read(bytes, folder, &error))
		die(folder, error);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Follows to the n-th commit, as the server does; the mark is what it remembers. */
static double follow(const struct repository *r, const char *folder, const char *mark, int n)
{
	struct policy_chain chain = { NULL };
	g_autoptr(GError) error = NULL;
	double start = now_us();

	if (!policy_follow(mark, folder, r->ids[0], r->ids[n], &chain, &error) || !g_str_equal(chain.commit, r->ids[n]))
		die("policy_follow", error);
	policy_chain_clear(&chain);
	return now_us() - start;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare);
	return values[count / 2];
}

int main(int argc, char **argv)
{
	struct repository r = { NULL };
	int rounds = argc == 3 ? atoi(argv[1]) : 0;
	double few[100], many[100], again[100];
	g_autofree char *mark = argc == 3 ? g_strconcat(argv[2], "/mark", NULL) : NULL;

	if (rounds < 1 || rounds > 100)
		die("wants ROUNDS and FOLDER", NULL);
	if (!mirror_init(NULL))
		die("libgit2", NULL);
	make(&r, argv[2]);
	for (int i = 0; i < rounds; i++) {
		remove(mark);
		few[i] = follow(&r, argv[2], mark, FEW);
		remove(mark);
		many[i] = follow(&r, argv[2], mark, MANY);
		again[i] = follow(&r, argv[2], mark, MANY + 2);
	}
	printf("%.1f %.1f %.0f %.0f\n", median(few, rounds) / FEW, median(many, rounds) / MANY, median(many, rounds),
	    median(again, rounds));
	return 0;
}
