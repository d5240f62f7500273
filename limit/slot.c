#include "limit/slot.h"

#include <stdlib.h>

#include "limit/tier.h"

#define MEASURE_MS 50       /* demand is counted anew after this */
#define LEAST_MEASURE_MS 20 /* a few calls that come together say little of those to come */

struct slot *slot_create(struct limiter *limiter, struct text key, const struct limit_tier *tier, struct pool *pool)
{
    struct slot *slot = calloc(1, sizeof(*slot) + key.size);
    if (slot == NULL)
        return NULL;
    slot->limiter = limiter;
    slot->key_size = key.size;
    if (key.size != 0)
        memcpy(slot->key, key.data, key.size);
    slot->tier = tier;
    tier_ref(tier);
    slot->lease_most = bucket_lease(tier, &slot->spacing_us);
    if (slot->lease_most == 0)
        slot->spacing_us = 0;
    else
        slot->pool = pool;
    return slot;
}

static void end(struct slot *slot)
{
    if (slot->pool != NULL && slot->from_redis) {
        struct pool_key key = slot_pool_key(slot);
        pool_return(slot->pool, &key, slot->lease.tokens);
    }
    tier_unref(slot->tier);
    free(slot);
}

void slot_let_go(struct slot *slot)
{
    if (slot->evicted && slot->waiting.first == NULL && slot->asked.first == NULL && !slot->queued && slot->pins == 0)
        end(slot);
}

void slot_evict(struct slot *slot)
{
    slot->evicted = true;
    slot_let_go(slot);
}

struct pool_key slot_pool_key(const struct slot *slot)
{
    return (struct pool_key){text_of(slot->key, slot->key_size), slot->tier};
}

void slot_measure(struct slot *slot, uint64_t now_ms)
{
    uint64_t elapsed = now_ms > slot->measured_ms ? now_ms - slot->measured_ms : 0;
    uint64_t span = elapsed < LEASE_MS ? elapsed : LEASE_MS;
    uint64_t wanted = slot->tokens_wanted * LEASE_MS / (span > LEAST_MEASURE_MS ? span : LEAST_MEASURE_MS);
    if (elapsed >= MEASURE_MS) {
        slot->demand.wanted = wanted;
        slot->tokens_wanted = 0;
        slot->measured_ms = now_ms;
    } else if (wanted > slot->demand.wanted) {
        slot->demand.wanted = wanted;
    }
}
