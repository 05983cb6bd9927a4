/* Making sets of policy files. Internal to gitops/; what they are stands in people.h. */
#pragma once

#include "gitops/people.h"

/* Empty; paths and bytes are taken over on insertion and freed with it. */
policy_files *policy_files_new(void);
/* The files of a folder that is itself a policy's people/: "alice.toml" becomes "people/alice.toml". */
policy_files *policy_files_of_people(const char *dir, GError **error);
