/* `tagseald`: the server, and the admin's commands. */
#include "server/cli.h"

static const struct command commands[] = {
	{ "key", "make, list, probe and export keys on the token", cmd_key },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	return command_main("tagseald", commands, argc, argv, NULL);
}
