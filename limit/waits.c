#include "limit/waits.h"

#include <stdlib.h>

void waits_push(struct waits *waits, struct limit_wait *wait)
{
    wait->next = NULL;
    if (waits->last != NULL)
        waits->last->next = wait;
    else
        waits->first = wait;
    waits->last = wait;
}

struct limit_wait *waits_pop(struct waits *waits)
{
    struct limit_wait *wait = waits->first;
    if (wait != NULL) {
        waits->first = wait->next;
        if (waits->first == NULL)
            waits->last = NULL;
    }
    return wait;
}

bool waits_remove(struct waits *waits, struct limit_wait *wait)
{
    struct limit_wait *previous = NULL;
    for (struct limit_wait *at = waits->first; at != NULL; previous = at, at = at->next) {
        if (at != wait)
            continue;
        if (previous != NULL)
            previous->next = wait->next;
        else
            waits->first = wait->next;
        if (waits->last == wait)
            waits->last = previous;
        return true;
    }
    return false;
}

void waits_free(struct waits *waits)
{
    for (struct limit_wait *wait; (wait = waits_pop(waits)) != NULL;)
        free(wait);
}

void waits_ask(struct waits *waits, struct waits *asked, struct limit_ask *ask)
{
    while (waits->first != NULL) {
        uint64_t weight = waits->first->weight;
        struct limit_run *run = ask->run_count != 0 ? &ask->runs[ask->run_count - 1] : NULL;
        if (run == NULL || run->weight != weight) {
            if (ask->run_count == LIMIT_MAX_RUNS)
                break;
            run = &ask->runs[ask->run_count++];
            *run = (struct limit_run){0, weight};
        }
        run->count++;
        waits_push(asked, waits_pop(waits));
    }
}

struct limit_wait *waits_next(struct waits *asked, struct waits_place *place, const struct limit_grant *grant,
                              bool *admitted)
{
    struct limit_wait *wait = waits_pop(asked);
    if (wait == NULL)
        return NULL;
    *admitted = place->in_run < grant->admitted[place->run];
    place->in_run++;
    if (asked->first != NULL && asked->first->weight != wait->weight)
        *place = (struct waits_place){place->run + 1, 0};
    return wait;
}
