#include "server/budget.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/certificate.h"
#include "server/pins.h"
#include "signer/openpgp.h"

#define DAY_MS INT64_C(86400000)
#define WARN_PERCENT 80

static gboolean chain_begin(GBytes *pem, const char *path, int64_t *begin_ms, GError **error)
{
	STACK_OF(X509) *chain = certificates_parse(pem, path, error);
	gboolean good = chain != NULL;

	if (good)
		*begin_ms = certificate_time_ms(X509_get0_notBefore(sk_X509_value(chain, 0)));
	certificates_free(chain);
	return good;
}

static gboolean openpgp_begin(GBytes *file, int64_t *begin_ms, GError **error)
{
	g_autoptr(GPtrArray) keys = openpgp_keys_read(file, error);

	if (keys == NULL)
		return FALSE;
	*begin_ms = ((const struct openpgp_key *)keys->pdata[0])->created * 1000;
	return TRUE;
}

/* *begin_ms stays -1 for a key without certificate: nothing can be signed with it. */
static gboolean begin_of(const struct policy *policy, const struct policy_key *key, int64_t *begin_ms, GError **error)
{
	g_autofree char *path = NULL;
	GBytes *file = key_file(policy, key, FALSE, &path);

	*begin_ms = -1;
	if (file != NULL)
		return chain_begin(file, path, begin_ms, error);
	g_clear_pointer(&path, g_free);
	file = key_file(policy, key, TRUE, &path);
	return file == NULL || openpgp_begin(file, begin_ms, error);
}

static int64_t age_days(int64_t begin_ms, int64_t now_ms)
{
	return begin_ms < 0 || now_ms < begin_ms ? 0 : (now_ms - begin_ms) / DAY_MS;
}

gboolean budget_check_days(const struct policy *policy, const struct policy_key *key, int64_t now_ms, GError **error)
{
	int64_t begin;
	g_autofree char *since = NULL;

	if (key->budget_days == 0)
		return TRUE;
	if (!begin_of(policy, key, &begin, error))
		return FALSE;
	if (age_days(begin, now_ms) < key->budget_days)
		return TRUE;
	since = time_format_ms(begin);
	error_refused(error,
	    "the key \"%s\" is %" G_GINT64_FORMAT
	    " days old (its certificate begins at %s), and its budget is %" G_GINT64_FORMAT
	    " days (%s): make a new key",
	    key->name, age_days(begin, now_ms), since, key->budget_days, key->file);
	return FALSE;
}

static void warn(GStrvBuilder *to, const struct policy_key *key, int64_t used, int64_t budget, const char *what)
{
	g_autofree char *line = NULL;

	if (budget == 0 || used * 100 < budget * WARN_PERCENT)
		return;
	line = g_strdup_printf("the key \"%s\" has used %" G_GINT64_FORMAT " of its budget of %" G_GINT64_FORMAT
			       " %s (%" G_GINT64_FORMAT " %%, %s)",
	    key->name, used, budget, what, used * 100 / budget, key->file);
	g_strv_builder_add(to, line);
}

char **budget_warnings(const struct policy *policy, const struct policy_key *key, int64_t used, int64_t now_ms)
{
	g_autoptr(GStrvBuilder) lines = g_strv_builder_new();
	int64_t begin;

	if (key->budget_projects > 1)
		warn(lines, key, policy_key_projects(policy, key, NULL), key->budget_projects, "projects");
	if (used >= 0)
		warn(lines, key, used, key->budget_signatures, "signatures");
	if (key->budget_days > 0 && begin_of(policy, key, &begin, NULL))
		warn(lines, key, age_days(begin, now_ms), key->budget_days, "days");
	return g_strv_builder_end(lines);
}
