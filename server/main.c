/* `tagseald`: the server, and the admin's commands. */
#include "server/cli.h"
#include "server/role.h"

static const struct command commands[] = {
	{ "serve", "serve, in the foreground; what tagseald does without a command as well", cmd_serve },
	{ "init", "folders, token, ledger key, policy repository and configuration, in one command", cmd_init },
	{ "check", "what would keep the server from working, each finding with its mend", cmd_check },
	{ "key", "make, list, probe and export keys on the token", cmd_key },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	if (argc > 1 && g_str_has_prefix(argv[1], "--role="))
		return role_main(argc, argv);
	return command_main("tagseald", commands, argc, argv, cmd_serve);
}
