/* The in-process table of limits: what decides without Redis. */
#ifndef SLUICE_LIMIT_STORE_H
#define SLUICE_LIMIT_STORE_H

#include "limit/bucket.h"

/* Any thread. False: out of memory. */
bool store_ask(struct limiter_store *store, struct text key, const struct limit_ask *ask, uint64_t instances,
               struct limit_grant *grant);

/* One key for a caller and one kind of limits, in `memory`; of a long caller's name its hash. */
#define STORE_KEY_SIZE 256
struct text store_key(struct text key, uint64_t kind, char memory[STORE_KEY_SIZE]);

#endif
