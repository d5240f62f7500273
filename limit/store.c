#include "limit/store.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/lru.h"
#include "limit/key.h"

#define SHARDS 16     /* each with its own lock, so that workers seldom meet */
#define POOL_SHARE 16 /* one in so many keys may be leased at the same time: a lease lasts 100 ms */

struct state { /* of one key under one tier's policies */
    int64_t slot_us;
    struct limit_bucket buckets[LIMIT_MAX_POLICIES];
};

struct limiter_store {
    struct shard {
        pthread_mutex_t lock;
        struct lru *states;
    } shards[2 * SHARDS]; /* the second half holds what has a quota: no flood of addresses pushes that out */
    struct pool *pool;    /* of what stands in Redis */
};

struct limiter_store *limiter_store_create(size_t max_keys)
{
    struct limiter_store *store = calloc(1, sizeof(*store));
    size_t each = max_keys / SHARDS + 1;
    if (store == NULL)
        return NULL;
    for (size_t i = 0; i < 2 * SHARDS; i++) {
        pthread_mutex_init(&store->shards[i].lock, NULL);
        store->shards[i].states = lru_create(each, each, free);
        if (store->shards[i].states == NULL) {
            limiter_store_destroy(store);
            return NULL;
        }
    }
    store->pool = pool_create(max_keys / POOL_SHARE + 1);
    if (store->pool == NULL) {
        limiter_store_destroy(store);
        return NULL;
    }
    return store;
}

void limiter_store_destroy(struct limiter_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < 2 * SHARDS && store->shards[i].states != NULL; i++) {
        lru_destroy(store->shards[i].states);
        pthread_mutex_destroy(&store->shards[i].lock);
    }
    pool_destroy(store->pool);
    free(store);
}

struct pool *store_pool(struct limiter_store *store)
{
    return store->pool;
}

/* The tier's name is none of it: what counts is what it allows. */
static uint64_t fingerprint_of(const struct limit_tier *tier, uint64_t instances)
{
    uint64_t content[LIMIT_MAX_POLICIES * 4 + 2] = {instances, tier->count};
    for (size_t i = 0; i < tier->count; i++) {
        const struct limit_policy *policy = &tier->policies[i];
        uint64_t *at = content + 2 + i * 4;
        at[0] = policy->tokens;
        at[1] = policy->window_ms;
        at[2] = policy->burst;
        at[3] = (uint64_t)policy->period;
    }
    return hash_stable(text_of((const char *)content, sizeof(content)));
}

static struct state *find_state(struct lru *states, struct text key, uint64_t hash, const struct limit_tier *tier,
                                uint64_t instances, int64_t now_us)
{
    struct state *state = lru_get(states, key, hash);
    if (state != NULL)
        return state;
    state = calloc(1, sizeof(*state));
    if (state == NULL)
        return NULL;
    for (size_t i = 0; i < tier->count; i++)
        bucket_start(&state->buckets[i], &tier->policies[i], instances, now_us);
    return lru_put(states, key, hash, state, 1) ? state : NULL;
}

static bool has_quota(const struct limit_tier *tier)
{
    for (size_t i = 0; i < tier->count; i++)
        if (tier->policies[i].period != LIMIT_NONE)
            return true;
    return false;
}

bool store_ask(struct limiter_store *store, struct text key, const struct limit_ask *ask, uint64_t instances,
               struct limit_grant *grant)
{
    /* What counts is what the tier allows. A caller whose tokens name two tiers has a state for each: were it one that
     * starts anew with every change, taking turns would make them unlimited. */
    uint64_t fingerprint = fingerprint_of(ask->tier, instances);
    char memory[KEY_PLACE_SIZE];
    key = key_place(key, fingerprint, memory);
    uint64_t hash = hash_text(key);
    size_t half = has_quota(ask->tier) ? SHARDS : 0;
    struct shard *shard =
        &store->shards[half + (hash >> 32 & (SHARDS - 1))]; /* the table within takes the lowest bits */
    int64_t now_us = clock_wall_us();
    pthread_mutex_lock(&shard->lock);
    struct state *state = find_state(shard->states, key, hash, ask->tier, instances, now_us);
    if (state != NULL)
        bucket_ask(state->buckets, &state->slot_us, ask, instances, now_us, grant);
    pthread_mutex_unlock(&shard->lock);
    return state != NULL;
}
