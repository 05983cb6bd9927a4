/* The commands of `tagseal` that need git, OpenPGP or the scanner: tagseal starts this in its place. */
#include "server/cli.h"

static const struct command commands[] = {
	{ "scan", "scan files for malware, as the scan gate does", cmd_scan },
	{ "verify-tag", "say whose signature is on a raw tag object", cmd_verify_tag },
	{ "verify-commit", "say whose signature is on a raw commit", cmd_verify_commit },
	{ "policy", "check a policy, or the history of a policy repository", cmd_policy },
	{ "verify-approval", "say whether a raw commit counts as an approval", cmd_verify_approval },
	{ "range", "say what changed since the last signed release, and who made each commit", cmd_range },
	{ "manifest", "list a commit's files by SHA-256", cmd_manifest },
	{ "audit", "check a clone of the audit repository", cmd_audit },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	return command_main("tagseal", commands, argc, argv, NULL);
}
