/* What a column's comment says of a measure: "words [unit; function]". */
#ifndef SLUICE_QUERY_COMMENT_H
#define SLUICE_QUERY_COMMENT_H

#include "query/catalog.h"

/* Fills description, unit and aggregate (mean unless told); the slices point into `comment`. STATUS_INVALID: an unknown
 * function after the semicolon. A comment without brackets at its end is all words. */
enum status comment_parse(struct text comment, struct catalog_measure *measure) MUST_CHECK;
/* "mean", "sum", "min" or "max". */
bool comment_parse_aggregate(struct text name, enum aggregate *aggregate) MUST_CHECK;

#endif
