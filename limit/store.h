/* The in-process table of limits: what decides without Redis. */
#ifndef SLUICE_LIMIT_STORE_H
#define SLUICE_LIMIT_STORE_H

#include "limit/bucket.h"

/* Any thread. False: out of memory. */
bool store_ask(struct limiter_store *store, struct text key, const struct limit_ask *ask, uint64_t instances,
               struct limit_grant *grant);

#endif
