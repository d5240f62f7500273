/* What one worker knows of a key under one tier: its lease, its demand, and the calls that wait. */
#ifndef SLUICE_LIMIT_SLOT_H
#define SLUICE_LIMIT_SLOT_H

#include "limit/pool.h"
#include "limit/waits.h"

struct slot {
    struct limiter *limiter;
    struct slot *next; /* of those to ask about at the end of the turn, or in a moment */
    const struct limit_tier *tier;
    struct pool *pool; /* NULL: the tier is not leased, or there is no Redis to lease from */
    struct lease lease;
    bool from_redis; /* the lease, or the refusal; otherwise they are the store's */
    uint64_t lease_most, spacing_us;
    uint64_t tokens_wanted, measured_ms; /* by calls since then */
    struct pool_demand demand;
    uint64_t turn;               /* of the pool, to ask; 0: none */
    struct waits waiting, asked; /* asked: their answer is on the way */
    unsigned pins;               /* callbacks on its behalf are running */
    bool queued, evicted;
    size_t key_size;
    char key[];
};

struct slot *slot_create(struct limiter *limiter, struct text key, const struct limit_tier *tier, struct pool *pool);
/* It has left the table: it ends when nothing is under way any more. */
void slot_evict(struct slot *slot);
/* After work for a slot that may have been evicted meanwhile. */
void slot_let_go(struct slot *slot);

struct pool_key slot_pool_key(const struct slot *slot);
/* Brings demand.wanted up to date. */
void slot_measure(struct slot *slot, uint64_t now_ms);

#endif
