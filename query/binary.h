/* Values in PostgreSQL's binary form (the send functions of its types), turned into the text that its output functions
 * would print. The server's own printing of floating point costs more than all the rest of a short series: so it sends
 * bits, and the digits are made here. */
#ifndef SLUICE_QUERY_BINARY_H
#define SLUICE_QUERY_BINARY_H

#include "base/buffer.h"

/* Whether values of this type (OID) can be read: bool, int2, int4, int8, float8, numeric, date, time, timestamp,
 * timestamptz, uuid, bytea and the text types. Not float4, whose shortest digits are another computation, nor interval.
 * timestamptz comes out as in a session whose time zone is UTC, whatever the session's is: ask for text in any other.
 */
bool binary_knows(uint32_t type);
#define BINARY_PUT_SIZE 40
/* The same for the common ones (whole numbers, finite float8, days and times of four-digit years, uuid), at `at`, where
 * BINARY_PUT_SIZE bytes are free. Returns the end; NULL for all others, which binary_append takes. `near` is the day
 * written last. */
struct binary_day {
    int32_t day; /* since 2000-01-01 */
    char text[10];
};
char *binary_put(char *at, uint32_t type, struct text value, struct binary_day *near);
/* Appends the text of a value that is not null. A value of a wrong size, which no server sends, appends nothing. */
void binary_append(struct buffer *out, uint32_t type, struct text value);

#endif
