/* What reads a relation of a customer's, when another one takes its place or when it goes. */
#ifndef SLUICE_HANDLERS_ANALYTICS_SWAP_H
#define SLUICE_HANDLERS_ANALYTICS_SWAP_H

#include "handlers/own_task.h"

#define ANALYTICS_READERS_MAX 500

struct analytics_reader; /* a view that reads it */
struct analytics_swap {
    struct own_task *task;
    struct text name; /* of the analysis */
    struct analytics_reader *readers;
    size_t count;
};
/* Drops the old one with the views that read it. */
enum status analytics_take_down(struct analytics_swap *swap, struct text oid, char kind) MUST_CHECK;
/* Makes those again, on the new one; fails with a conflict that names the one that would break. */
enum status analytics_put_up(struct analytics_swap *swap) MUST_CHECK;
/* For good: a conflict that names its readers where there are any. */
enum status analytics_drop(struct own_task *task, struct text name, struct text oid, char kind) MUST_CHECK;

#endif
