/* Case 3: a region's series of days, weeks, months or years. */
#ifndef SLUICE_QUERY_SERIES_H
#define SLUICE_QUERY_SERIES_H

#include "query/catalog.h"
#include "query/plan.h"
#include "query/versions.h"

enum series_grain { SERIES_DAY, SERIES_WEEK, SERIES_MONTH, SERIES_YEAR };
struct series_request {
    const struct catalog_view *view; /* weather, market or forecast */
    struct text region_id;           /* whose rows: the source's region */
    bool has_from, has_to;
    int32_t from, to; /* days, inclusive */
    enum series_grain grain;
    const struct text *fields; /* measures in this order; count 0: all */
    size_t field_count;
};
/* Columns: "day" (or "week": the Monday of the ISO week, "month", "year": the first day of it), at
 * grain day each measure under its name; at the others "days" (rows aggregated), then each measure as
 * <name>_<aggregate>: temperature_c_mean, precipitation_mm_sum. Not region_id, the same in every row: whoever shows it
 * has it from the request. Ordered by time. Lane scan (fast when keys and bounds allow at most 400 rows? measure: see
 * report). STATUS_INVALID: an unknown field (names the known ones), more than 64 fields, a field twice. */
enum status series_plan(const struct versions *versions, const struct series_request *request, struct arena *arena,
                        struct plan *plan, struct failure *failure) MUST_CHECK;

#endif
