/* An analysis as its owner sees it. */
#ifndef SLUICE_HANDLERS_ANALYTICS_SHOW_H
#define SLUICE_HANDLERS_ANALYTICS_SHOW_H

#include "base/json.h"
#include "drivers/postgres.h"

/* Analyses in the order of their names, what was made with SQL on the customer's own login among them. $1: the schema
 * of analyses, $2: of uploads, $3: the one name, or null for all, $4: behind which name (null: from the first), $5: how
 * many. */
#define ANALYTICS_SHOW_PARAMETERS 5
extern const char analytics_show_sql[];
/* `version`: TEXT_NONE where it is not known. */
void analytics_append(struct json *json, const struct postgres_rows *rows, size_t row, struct text version);

#endif
