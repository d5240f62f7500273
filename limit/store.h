/* The in-process table of limits: what decides without Redis; it also holds the pool of leases. */
#ifndef SLUICE_LIMIT_STORE_H
#define SLUICE_LIMIT_STORE_H

#include "limit/pool.h"

/* Any thread. False: out of memory. */
bool store_ask(struct limiter_store *store, struct text key, const struct limit_ask *ask, uint64_t instances,
               struct limit_grant *grant);

/* What its workers share of leases from Redis; lives as long as the store. */
struct pool *store_pool(struct limiter_store *store);

#endif
