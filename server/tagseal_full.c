/* The commands of `tagseal` that need git, OpenPGP or the scanner: tagseal starts this in its place. */
#include "server/cli.h"

static const struct command commands[] = {
	{ "scan", "scan files for malware, as the scan gate does", cmd_scan },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	return command_main("tagseal", commands, argc, argv, NULL);
}
