/* What the subcommands of `tagseal policy` share. */
#pragma once

#include "gitops/policy.h"

/* `policy simulate`, with argv[0] its whole name. */
int cmd_policy_simulate(int argc, char **argv);

/* A working copy of the policy repository. NULL: its mistakes have been told, and *status is what to end with. */
struct policy *policy_of_folder(const char *dir, int *status);
