/* Content negotiation (RFC 9110 section 12.5). */
#ifndef SLUICE_API_ACCEPT_H
#define SLUICE_API_ACCEPT_H

#include "base/status.h"
#include "query/rows.h"

/* The format of highest quality among JSON, CSV and NDJSON; the one named first of several. No header, an empty one and
 * any that takes JSON by a wildcard alone give JSON. STATUS_INVALID: none of ours fits (406). */
enum status accept_choose(struct text accept, enum rows_format *format) MUST_CHECK;

struct accept_rows { /* the form that a dataset's rows take */
    enum rows_format format;
    bool singular;            /* one object, not an array of them */
    bool strip_nulls;         /* members whose value is null are left out */
    struct text content_type; /* of the answer; static */
};
/* The same for a dataset's rows, with the dialect's own media types (application/vnd.pgrst.object+json, …array+json,
 * each with nulls=stripped or without) beside ours. Of entries of one quality the client's first wins, wildcards among
 * them: "application/json" then "text/csv" is JSON, the other way round CSV. No header gives JSON. */
enum status accept_rows(struct text accept, struct accept_rows *rows) MUST_CHECK;
/* What the query parameter `format` names: json, csv, ndjson. False: none of them. */
bool accept_rows_named(struct text format, struct accept_rows *rows) MUST_CHECK;

/* Accept-Encoding takes gzip. Without the header: no. */
bool accept_gzip(struct text accept_encoding);

#endif
