/* `tagseal`: what auditors and users run. Light, since scripts start it once a file; rows without a function
 * stand in tagseal-full. */
#include "server/cli.h"

static const struct command commands[] = {
	{ "sign", "sign one file with a key on a token", cmd_sign },
	{ "inspect", "what a file is, and what signatures it bears", cmd_inspect },
	{ "verify", "are a file's signatures and timestamps good?", cmd_verify },
	{ "strip", "take the signatures out of a file", cmd_strip },
	{ "verify-timestamp", "is an RFC 3161 timestamp good?", cmd_verify_timestamp },
	{ "verify-provenance", "say whether artifacts were built from a commit", cmd_verify_provenance },
	{ "scan", "scan files for malware, as the scan gate does", NULL },
	{ "verify-tag", "say whose signature is on a raw tag object", NULL },
	{ "verify-commit", "say whose signature is on a raw commit", NULL },
	{ "policy", "check a policy, or the history of a policy repository", NULL },
	{ "verify-approval", "say whether a raw commit counts as an approval", NULL },
	{ "range", "say what changed since the last signed release, and who made each commit", NULL },
	{ "manifest", "list a commit's files by SHA-256", NULL },
	{ "audit", "check a clone of the audit repository", NULL },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	return command_main("tagseal", commands, argc, argv, NULL);
}
