/* What a process takes for a message of another one. */
#include "tests/fuzz/fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#include "server/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GError) error = NULL;
	struct message *m;
	int pair[2];

	if (size == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return 0;
	if (send(pair[0], data, size, 0) == (ssize_t)size) {
		m = message_receive(pair[1], &error);
		g_assert((m == NULL) == (error != NULL));
		message_free(m);
	}
	close(pair[0]);
	close(pair[1]);
	return 0;
}
