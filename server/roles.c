/* Which roles there are, how many of each, and who is wired to whom: two tables. */
#include "server/role.h"

static guint one(const struct config *config)
{
	(void)config;
	return 1;
}

static guint gitops_count(const struct config *config)
{
	return config->git_workers;
}

static guint scan_count(const struct config *config)
{
	return config->scan_workers;
}

static guint seal_count(const struct config *config)
{
	return config->seal_workers;
}

static guint sign_count(const struct config *config)
{
	return config->token_count;
}

const struct role_row role_rows[ROLE_COUNT] = {
	[ROLE_ENGINE] = { ROLE_ENGINE, role_engine, one },
	[ROLE_LISTEN] = { ROLE_LISTEN, role_listen, one },
	[ROLE_GITOPS] = { ROLE_GITOPS, role_gitops, gitops_count },
	[ROLE_COURIER] = { ROLE_COURIER, role_courier, one },
	[ROLE_SCAN] = { ROLE_SCAN, role_scan, scan_count },
	[ROLE_SEAL] = { ROLE_SEAL, role_seal, seal_count },
	[ROLE_JUDGE] = { ROLE_JUDGE, role_judge, one },
	[ROLE_SIGN] = { ROLE_SIGN, role_sign, sign_count },
	[ROLE_LEDGER] = { ROLE_LEDGER, role_ledger, one },
};

/* judge alone talks to sign (and ledger, for commits); scan and seal answer judge on sockets that engine cannot touch. */
static const enum role links[][2] = {
	{ ROLE_ENGINE, ROLE_LISTEN },
	{ ROLE_ENGINE, ROLE_GITOPS },
	{ ROLE_ENGINE, ROLE_COURIER },
	{ ROLE_ENGINE, ROLE_SCAN },
	{ ROLE_ENGINE, ROLE_SEAL },
	{ ROLE_ENGINE, ROLE_JUDGE },
	{ ROLE_ENGINE, ROLE_LEDGER },
	{ ROLE_SCAN, ROLE_JUDGE },
	{ ROLE_SEAL, ROLE_JUDGE },
	{ ROLE_JUDGE, ROLE_SIGN },
	{ ROLE_LEDGER, ROLE_SIGN },
};

gboolean role_linked(enum role a, enum role b)
{
	for (guint i = 0; i < G_N_ELEMENTS(links); i++)
		if ((links[i][0] == a && links[i][1] == b) || (links[i][0] == b && links[i][1] == a))
			return TRUE;
	return FALSE;
}
