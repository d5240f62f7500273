#include "limit/store.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/lru.h"

#define SHARDS 16 /* each with its own lock, so that workers seldom meet */

struct state {            /* of one key */
    uint64_t fingerprint; /* of the tier's policies: others start anew */
    int64_t slot_us;
    struct limit_bucket buckets[LIMIT_MAX_POLICIES];
};

struct limiter_store {
    struct shard {
        pthread_mutex_t lock;
        struct lru *states;
    } shards[SHARDS];
};

struct limiter_store *limiter_store_create(size_t max_keys)
{
    struct limiter_store *store = calloc(1, sizeof(*store));
    size_t each = max_keys / SHARDS + 1;
    if (store == NULL)
        return NULL;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&store->shards[i].lock, NULL);
        store->shards[i].states = lru_create(each, each, free);
        if (store->shards[i].states == NULL) {
            limiter_store_destroy(store);
            return NULL;
        }
    }
    return store;
}

void limiter_store_destroy(struct limiter_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < SHARDS && store->shards[i].states != NULL; i++) {
        lru_destroy(store->shards[i].states);
        pthread_mutex_destroy(&store->shards[i].lock);
    }
    free(store);
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
    uint64_t fingerprint = fingerprint_of(tier, instances);
    struct state *state = lru_get(states, key, hash);
    if (state == NULL) {
        state = calloc(1, sizeof(*state));
        if (state == NULL || !lru_put(states, key, hash, state, 1))
            return NULL;
    }
    if (state->fingerprint != fingerprint) {
        state->fingerprint = fingerprint;
        state->slot_us = 0;
        for (size_t i = 0; i < tier->count; i++)
            bucket_start(&state->buckets[i], &tier->policies[i], instances, now_us);
    }
    return state;
}

bool store_ask(struct limiter_store *store, struct text key, const struct limit_ask *ask, uint64_t instances,
               struct limit_grant *grant)
{
    uint64_t hash = hash_text(key);
    struct shard *shard = &store->shards[hash % SHARDS];
    int64_t now_us = clock_wall_us();
    pthread_mutex_lock(&shard->lock);
    struct state *state = find_state(shard->states, key, hash, ask->tier, instances, now_us);
    if (state != NULL)
        bucket_ask(state->buckets, &state->slot_us, ask, instances, now_us, grant);
    pthread_mutex_unlock(&shard->lock);
    return state != NULL;
}
