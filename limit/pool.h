/* What the workers of one process share of the keys that are leased: the tokens that one of them took from Redis, the
 * pause that Redis imposed, and who is asking right now. So a process asks once in the time that a lease lasts, however
 * many workers it has. Tokens are only moved: none is in two hands, and what expires here goes back with the next ask.
 * Any thread; times are milliseconds of CLOCK_MONOTONIC, as the loops tell them. The limiters of one pool ask the same
 * Redis with the same prefix. */
#ifndef SLUICE_LIMIT_POOL_H
#define SLUICE_LIMIT_POOL_H

#include "limit/lease.h"

#define POOL_ASK_MS                                                                                                    \
    50 /* a worker that waits for another's ask asks for itself after this: less than Redis' timeout                   \
        */

struct pool;
struct pool *pool_create(size_t max_keys); /* NULL: out of memory. The least recently used keys are forgotten */
void pool_destroy(struct pool *pool);

/* A caller's key under one tier: the tier is known by its address. */
struct pool_key {
    struct text name;
    const struct limit_tier *tier;
};

/* A worker's demand, and what it told the pool of it. */
struct pool_demand {
    uint64_t wanted; /* tokens in LEASE_MS, by its recent calls */
    uint64_t told, told_period;
};

enum pool_outcome {
    POOL_DRAWN,   /* *lease admits a call of `weight` */
    POOL_REFUSED, /* *lease refuses it */
    POOL_ASK,     /* *turn says how to ask: pool_settle or pool_abandon must follow */
    POOL_WAIT     /* another worker is asking, or nothing is here (without a turn): look again in a moment */
};
struct pool_turn {
    uint64_t number; /* never 0 */
    uint64_t give;   /* tokens to give back */
    uint64_t wanted; /* by all workers, in LEASE_MS */
};
/* Puts what is left of *lease in, and draws as much as the worker needs for a short while, at least `weight`, with the
 * expiry of its grant. `turn`: NULL for who doesn't mean to ask. Out of memory: POOL_ASK with nothing to give, or
 * POOL_WAIT. */
enum pool_outcome pool_draw(struct pool *pool, const struct pool_key *key, uint64_t weight, struct pool_demand *demand,
                            struct lease *lease, struct pool_turn *turn, uint64_t now_ms);
/* The ask's answer: its lease is everybody's from now on. */
void pool_settle(struct pool *pool, const struct pool_key *key, uint64_t number, const struct limit_grant *grant,
                 uint64_t now_ms);
/* The ask came to nothing. `give`: tokens that were not given back after all. */
void pool_abandon(struct pool *pool, const struct pool_key *key, uint64_t number, uint64_t give);
/* Tokens that a worker has no more use for; they go back with the next ask. */
void pool_return(struct pool *pool, const struct pool_key *key, uint64_t tokens);

#endif
