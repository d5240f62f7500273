/* What came of the process's loads, jobs and checks of SQL, for /metrics. Counted where they end, on any thread. */
#ifndef SLUICE_API_ACTIVITY_H
#define SLUICE_API_ACTIVITY_H

#include "base/buffer.h"

struct activity;                        /* the process's */
struct activity *activity_create(void); /* NULL: out of memory */
void activity_destroy(struct activity *activity);

struct activity_load {
    bool warehouse; /* into a table of the warehouse; else an upload */
    bool replayed;  /* its Idempotency-Key was known: nothing was loaded anew */
    enum status status;
    uint64_t rows, bytes, quarantined; /* bytes: of the body, as sent */
    uint64_t took_us;
};
void activity_count_load(struct activity *activity, const struct activity_load *load);

enum activity_job { ACTIVITY_JOB_DONE, ACTIVITY_JOB_FAILED, ACTIVITY_JOB_CANCELLED, ACTIVITY_JOB_OUTCOMES };
/* Cancelled: deleted, or the process ended. `took_us` 0: it never ran. */
void activity_count_job(struct activity *activity, enum activity_job outcome, uint64_t took_us);
/* A caller's SQL that the check did not let through. */
void activity_count_sql_refused(struct activity *activity);

/* Prometheus text. */
void activity_append(struct buffer *out, struct activity *activity);

#endif
