/* What comments in the database say: of a measure "words [unit; function]"; of a relation sentences among its words. */
#ifndef SLUICE_QUERY_COMMENT_H
#define SLUICE_QUERY_COMMENT_H

#include "query/catalog.h"

/* Fills description, unit and aggregate (mean unless told); the slices point into `comment`. STATUS_INVALID: an unknown
 * function after the semicolon. A comment without brackets at its end is all words. */
enum status comment_parse(struct text comment, struct catalog_measure *measure) MUST_CHECK;
/* "mean", "sum", "min" or "max". */
bool comment_parse_aggregate(struct text name, enum aggregate *aggregate) MUST_CHECK;

/* "Expected lag: 3 days", "Expected every: 14 days", "Time: column", "Grain: day", "Key: a, b": each a sentence (up to
 * a period or the end of its line), in any order and case. A sentence that doesn't say what it should is left among the
 * words. */
struct comment_relation {
    struct text description;                  /* the other words; TEXT_NONE: none */
    struct text time_column, key;             /* TEXT_NONE: not told. `key`: names with commas between them */
    const char *grain;                        /* static; NULL: not told */
    int64_t expected_lag_s, expected_every_s; /* -1: not told. "Expected lag: none" is 0 */
};
/* `description` is in the arena, the other slices point into `comment`. STATUS_TOO_LARGE: the arena is full. */
enum status comment_parse_relation(struct text comment, struct arena *arena, struct comment_relation *told) MUST_CHECK;
/* second, minute, hour, day, week, month, quarter, year: a static one, in lower case; NULL: none of them. */
const char *comment_parse_grain(struct text name);

#endif
