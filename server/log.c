#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "server/role.h"

static char log_prefix[64] = "tagseald";

void log_role(const char *name)
{
	g_snprintf(log_prefix, sizeof(log_prefix), "%s", name);
}

/* One write a line, so that lines of several processes do not mix. */
void log_event(const char *level, const char *format, ...)
{
	g_autofree char *text = NULL, *clean = NULL, *now = time_format_ms(time_now_ms()), *line = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	clean = g_strdup(text);
	for (char *c = clean; *c != '\0';
	     c++) /* what strangers named was escaped by text_escape(); this is the last line of defence */
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	line = g_strdup_printf("%s level=%s role=%s %s\n", now, level, log_prefix, clean);
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		return; /* nobody is left to be told */
}
