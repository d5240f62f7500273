/* The planner's rules: each decides one thing from what is known of a read before it runs. */
#ifndef SLUICE_QUERY_RULES_H
#define SLUICE_QUERY_RULES_H

#include "query/select.h"

/* What is read as a customer is his: an upload, or else an analysis. Everything else is the warehouse's. */
enum plan_target rules_target(const struct dataset *dataset);
/* A customer's: his own login. Equality on a whole unique key: the fast lane. Everything else: scan. */
enum plan_lane rules_lane(const struct dataset *dataset, const struct select_plan *select);
/* Whether a scan may be read from a standby that holds everything committed before `fresh_ms` (0: none does): where the
 * version is known (not 0), it must have been seen before that, so that the rows are those of the version or newer, as
 * the primary's are; where it is not, rows are as old as the standby. */
bool rules_may_lag(enum plan_lane lane, uint64_t version, uint64_t version_seen_ms, uint64_t fresh_ms);
/* Whether a read that failed on a standby, before its first row was sent, is asked of the primary: all but what would
 * fail, or last as long, there too. */
bool rules_goes_home(const struct postgres_error *error);
/* Nothing whose version is not known is kept, nor what may differ from one caller, or from one moment, to the next. */
enum plan_cache rules_cache(const struct dataset *dataset);
/* Whether PostgreSQL's planner is asked before it runs: all but key look-ups. */
bool rules_needs_estimate(const struct plan *plan);

/* Bytes from the server that a result may have to be fetched in one piece. */
#define RULES_WHOLE_BYTES ((size_t)1 << 20)
/* Whether it is: by a limit of the caller's, or by an estimate so far below the bound that it may be wrong by half.
 * One piece costs less than row by row. */
bool rules_comes_whole(const struct plan *plan);

struct rules_budget { /* of a tier; 0: no limit */
    double cost;
    uint64_t rows, bytes;
};
enum rules_excess { RULES_WITHIN, RULES_COST, RULES_ROWS, RULES_BYTES };
const char *rules_excess_name(enum rules_excess excess); /* "cost", "rows", "bytes" */
enum rules_excess rules_judge(const struct plan_estimate *estimate, const struct rules_budget *budget);
/* What a caller may do about a plan over its budget, in words: the filter that is missing, or a limit. In `arena`;
 * TEXT_NONE when it is full. */
struct text rules_narrow(const struct dataset *dataset, const struct select_plan *select, struct arena *arena);

#endif
