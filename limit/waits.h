/* Calls that wait for a verdict. */
#ifndef SLUICE_LIMIT_WAITS_H
#define SLUICE_LIMIT_WAITS_H

#include "limit/bucket.h"

struct slot;
struct limit_wait {
    struct limit_wait *next;
    struct slot *slot;
    uint64_t weight;
    limit_answer on_answer; /* NULL: cancelled after it was asked for */
    void *context;
};

struct waits { /* first come, first served */
    struct limit_wait *first, *last;
};

void waits_push(struct waits *waits, struct limit_wait *wait);
struct limit_wait *waits_pop(struct waits *waits); /* NULL: none is left */
/* False: it is not among them. */
bool waits_remove(struct waits *waits, struct limit_wait *wait);
void waits_free(struct waits *waits);

/* Moves the first calls to `asked` (empty), as many as fit one ask, and writes them into ask->runs. */
void waits_ask(struct waits *waits, struct waits *asked, struct limit_ask *ask);
/* Pops the next of the calls that waits_ask moved, in the same order; *place is {0} at the start, and *admitted says
 * what the grant says of it. */
struct waits_place {
    size_t run;
    uint64_t in_run;
};
struct limit_wait *waits_next(struct waits *asked, struct waits_place *place, const struct limit_grant *grant,
                              bool *admitted);

#endif
