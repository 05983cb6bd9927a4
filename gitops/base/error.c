#include "gitops/base/error.h"

G_DEFINE_QUARK(tagseal - error, tagseal_error)

int error_exit_status(const GError *error)
{
	if (g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_REFUSED))
		return 1;
	if (g_error_matches(error, TAGSEAL_ERROR, TAGSEAL_ERROR_USAGE))
		return 2;
	return 3;
}
