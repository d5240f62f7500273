/* The planner's answer: what will be carried out, where, and how it may be kept. The executor only carries it out. */
#ifndef SLUICE_QUERY_PLAN_H
#define SLUICE_QUERY_PLAN_H

#include "base/arena.h"
#include "drivers/postgres.h"

enum plan_target { PLAN_WAREHOUSE, PLAN_ANALYTICS, PLAN_UPLOAD };
enum plan_lane { PLAN_FAST, PLAN_SCAN, PLAN_CUSTOMER, PLAN_COPY, PLAN_REPLICA };
/* Whether an encoded answer may be kept: never, or as long as the version of what it was made from stands. */
enum plan_cache { PLAN_CACHE_NONE, PLAN_CACHE_VERSION };
const char *plan_target_name(enum plan_target target); /* "warehouse" */
const char *plan_lane_name(enum plan_lane lane);       /* "fast" */

struct plan_estimate { /* PostgreSQL's own planner's: EXPLAIN */
    bool known;
    double cost; /* in its units: about a page read from disk in order each */
    double rows, bytes;
    bool refuted; /* a result was far larger */
};

struct plan_replica {  /* of the lane of that name */
    unsigned place;    /* which standby, as configured */
    uint64_t fresh_ms; /* what was committed before this time (monotonic clock) can be read there; 0: not known */
};

struct plan {
    enum plan_target target;
    enum plan_lane lane;
    enum plan_cache cache;
    struct plan_replica replica;
    struct text relation;                    /* the main relation's configured name */
    struct postgres_statement statement;     /* text in the arena it was made in, or static */
    struct text *parameters;                 /* of the statement; in the arena that the plan was made in */
    const struct postgres_setting *settings; /* for this statement only; NULL: none */
    size_t setting_count;
    uint64_t version;      /* of all relations read, taken before the plan runs; 0: not known */
    uint64_t rows_at_most; /* what keys and bounds allow; 0: not known */
    struct plan_estimate estimate;
    uint64_t verdict; /* under what the estimate is remembered (query/verdicts.h); 0: it is not */
};

/* Room for so many parameters, null all. False: the arena is full. */
bool plan_parameters(struct plan *plan, struct arena *arena, size_t count) MUST_CHECK;

#endif
