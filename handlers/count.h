/* How many rows the filters let through (Prefer: count=…), asked before the rows. */
#ifndef SLUICE_HANDLERS_COUNT_H
#define SLUICE_HANDLERS_COUNT_H

#include "handlers/read.h"

struct count {
    bool known;
    uint64_t total; /* exact, or PostgreSQL's estimate, as asked */
    /* Under way. */
    struct postgres_statement statement, explain;
    const struct postgres_statement *judged; /* asked when it is within the budget; NULL: none is judged now */
    struct plan_estimate planned;
    uint64_t counted;
    bool plans; /* EXPLAIN is asked */
};
/* For execute(): STAGE_NEXT when no count was asked for; otherwise waits. `count` stands in the request's state until
 * then, zeroed at first. */
enum stage_verdict count_begin(struct request *request, struct count *count);
/* After the wait: STAGE_NEXT when the total is known. */
enum stage_verdict count_resume(struct request *request, struct count *count);

#endif
