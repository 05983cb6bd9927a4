/* Times as RFC 3339 text, in milliseconds since 1970. */
#include "gitops/base/bytes.h"

#include <time.h>

int64_t time_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

char *time_format_ms(int64_t ms)
{
	int64_t part = (ms % 1000 + 1000) % 1000;
	time_t seconds = (time_t)((ms - part) / 1000);
	struct tm tm = { 0 };

	gmtime_r(&seconds, &tm);
	return g_strdup_printf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, (int)part);
}

/* Exactly `count` digits with a value in min..max; moves `*text` on. */
static gboolean take_number(const char **text, int count, int min, int max, int *out)
{
	*out = 0;
	for (int i = 0; i < count; i++, (*text)++) {
		if (!g_ascii_isdigit(**text))
			return FALSE;
		*out = *out * 10 + (**text - '0');
	}
	return *out >= min && *out <= max;
}

static gboolean take_one_of(const char **text, const char *set)
{
	for (; *set != '\0'; set++) {
		if (**text == *set) {
			(*text)++;
			return TRUE;
		}
	}
	return FALSE;
}

/* ".125": any number of digits, of which three count. */
static gboolean take_fraction(const char **text, int *ms)
{
	int weight = 100;

	*ms = 0;
	if (!take_one_of(text, "."))
		return TRUE;
	if (!g_ascii_isdigit(**text))
		return FALSE;
	for (; g_ascii_isdigit(**text); (*text)++, weight /= 10)
		*ms += (**text - '0') * weight;
	return TRUE;
}

/* "Z" or "+01:30", in seconds east of UTC. */
static gboolean take_offset(const char **text, int *seconds)
{
	int hours, minutes, sign = **text == '-' ? -1 : 1;

	*seconds = 0;
	if (take_one_of(text, "Zz"))
		return TRUE;
	if (!take_one_of(text, "+-") || !take_number(text, 2, 0, 23, &hours) || !take_one_of(text, ":") ||
	    !take_number(text, 2, 0, 59, &minutes))
		return FALSE;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return TRUE;
}

gboolean time_parse_ms(const char *text, int64_t *ms)
{
	int year, month, day, hour, minute, second, fraction, offset;

	if (text == NULL || !take_number(&text, 4, 1, 9999, &year) || !take_one_of(&text, "-") ||
	    !take_number(&text, 2, 1, 12, &month) || !take_one_of(&text, "-") || !take_number(&text, 2, 1, 31, &day) ||
	    !take_one_of(&text, "Tt") || !take_number(&text, 2, 0, 23, &hour) || !take_one_of(&text, ":") ||
	    !take_number(&text, 2, 0, 59, &minute) || !take_one_of(&text, ":") ||
	    !take_number(&text, 2, 0, 59, &second) || !take_fraction(&text, &fraction) || !take_offset(&text, &offset))
		return FALSE;
	if (*text != '\0' || !g_date_valid_dmy((GDateDay)day, (GDateMonth)month, (GDateYear)year))
		return FALSE;

	struct tm tm = {
		.tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute,
		.tm_sec = second,
	};
	*ms = ((int64_t)timegm(&tm) - offset) * 1000 + fraction;
	return TRUE;
}
