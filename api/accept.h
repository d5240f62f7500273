/* Content negotiation (RFC 9110 section 12.5). */
#ifndef SLUICE_API_ACCEPT_H
#define SLUICE_API_ACCEPT_H

#include "base/status.h"
#include "query/rows.h"

/* The format of highest quality among JSON, CSV and NDJSON; the one named first of several. No header, an empty one and
 * any that takes JSON by a wildcard alone give JSON. STATUS_INVALID: none of ours fits (406). */
enum status accept_choose(struct text accept, enum rows_format *format) MUST_CHECK;
/* Accept-Encoding takes gzip. Without the header: no. */
bool accept_gzip(struct text accept_encoding);

#endif
