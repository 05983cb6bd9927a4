/* A watchdog over calls that may hang for ever (PKCS#11, a parser led astray): the process ends, and the supervisor starts it anew. */
#pragma once

#include <glib.h>
#include <stdint.h>

/* Ends this process after `ms` with `sentence` (static text) on stderr, unless deadline_end() comes before. One at a time. */
void deadline_begin(int64_t ms, const char *sentence);
void deadline_end(void);
