/* The planner's answer: what will be carried out, where, and how it may be kept. The executor only carries it out. */
#ifndef SLUICE_QUERY_PLAN_H
#define SLUICE_QUERY_PLAN_H

#include "base/arena.h"
#include "drivers/postgres.h"

enum plan_target { PLAN_WAREHOUSE, PLAN_ANALYTICS, PLAN_UPLOAD };
enum plan_lane { PLAN_FAST, PLAN_SCAN, PLAN_CUSTOMER, PLAN_COPY };
const char *plan_target_name(enum plan_target target); /* "warehouse" */
const char *plan_lane_name(enum plan_lane lane);       /* "fast" */

#define PLAN_MAX_PARAMETERS 24
struct plan {
    enum plan_target target;
    enum plan_lane lane;
    struct text relation;                /* the main relation's configured name */
    struct postgres_statement statement; /* text in the arena it was made in, or static */
    struct text parameters[PLAN_MAX_PARAMETERS];
    uint64_t version;      /* of all relations read, taken before the plan runs; 0: not known */
    uint64_t rows_at_most; /* what keys and bounds allow; 0: not known */
};

#endif
