/* Loopback sockets for tests of servers. */
#pragma once

#include <glib.h>

/* A port of 127.0.0.1 that nobody listens at. */
guint16 free_port(void);
/* A connection to it, with a time limit on reads and writes. */
int dial(guint16 port);
/* A socket that takes connections and never says a word: its port. */
guint16 listen_silently(int *fd);
