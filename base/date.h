/* Calendar days and instants. A day is the count of days since 1970-01-01 in the proleptic Gregorian calendar. */
#ifndef SLUICE_BASE_DATE_H
#define SLUICE_BASE_DATE_H

#include "base/text.h"

#define DATE_TEXT_SIZE 11         /* "2024-02-29" and NUL */
#define DATE_INSTANT_TEXT_SIZE 28 /* "2024-02-29T12:00:00.123456Z" and NUL */

/* "YYYY-MM-DD", year 0001 to 9999 (RFC 3339 full-date). False for anything else, 2023-02-30 included. */
bool date_parse(struct text text, int32_t *day) __attribute__((warn_unused_result));
/* RFC 3339 date-time, with offset; microseconds since the epoch, further digits dropped.
 * Within years 0001 to 9999 in UTC too. */
bool date_parse_instant(struct text text, int64_t *microseconds) __attribute__((warn_unused_result));
int32_t date_from_civil(int year, unsigned month, unsigned day);
void date_to_civil(int32_t day, int *year, unsigned *month, unsigned *day_of_month);
/* A day outside years 0001 to 9999, which this form cannot hold, is written as the nearest of them. */
void date_format(int32_t day, char out[DATE_TEXT_SIZE]);
/* UTC with microseconds; bounded as date_format. */
void date_format_instant(int64_t microseconds, char out[DATE_INSTANT_TEXT_SIZE]);

/* A length of time in calendar terms: "30d", "12w", "6m", "1y" (ISO 8601 duration's units, one unit only). */
struct date_window {
    int32_t months; /* m and y */
    int32_t days;   /* d and w */
};
/* A whole number from 1 and a unit d, w, m or y, at most 200 years. False otherwise. */
bool date_window_parse(struct text text, struct date_window *window) __attribute__((warn_unused_result));

#endif
