/* Loopback sockets for tests of servers. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* A port of 127.0.0.1 that nobody listens at. */
guint16 free_port(void);
/* A connection to it, with a time limit on reads and writes. */
int dial(guint16 port);
/* A socket that takes connections and never says a word: its port. */
guint16 listen_silently(int *fd);
/* A child that talks with one peer after the other at that port, until it is ended; it never outlives the test. */
pid_t serve(void (*conversation)(int peer, const void *data), const void *data, guint16 *port);
/* Kills it, and waits until it is gone. */
void end_child(pid_t pid);
