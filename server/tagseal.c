/* `tagseal`: what auditors and users run. Light, since scripts start it once a file; rows without a function
 * stand in tagseal-full. */
#include "server/cli.h"

static const struct command commands[] = {
	{ "scan", "scan files for malware, as the scan gate does", NULL },
	{ "verify-tag", "say whose signature is on a raw tag object", NULL },
	{ "verify-commit", "say whose signature is on a raw commit", NULL },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	return command_main("tagseal", commands, argc, argv, NULL);
}
