#include "limit/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/lru.h"
#include "limit/key.h"
#include "limit/tier.h"

#define SHARDS 16
#define DRAW_MS 20 /* a worker draws for this long: what lies idle at one is missing at another */

struct entry {
    const struct limit_tier *tier; /* a reference: while the entry is here no other tier has this address */
    struct lease lease;
    uint64_t give;                /* tokens of past leases */
    uint64_t asking, asked_until; /* number of the ask under way (0: none), and how long others wait for it */
    /* Sums of what the workers told, by periods of LEASE_MS: each tells at most one figure a period. */
    uint64_t period, wanted_now, wanted_before;
};

struct pool {
    struct shard {
        pthread_mutex_t lock;
        struct lru *entries;
        uint64_t last_number;
    } shards[SHARDS];
};

static void release_entry(void *value)
{
    struct entry *entry = value;
    tier_unref(entry->tier);
    free(entry);
}

struct pool *pool_create(size_t max_keys)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    size_t each = max_keys / SHARDS + 1;
    if (pool == NULL)
        return NULL;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&pool->shards[i].lock, NULL);
        pool->shards[i].entries = lru_create(each, each, release_entry);
        if (pool->shards[i].entries == NULL) {
            pool_destroy(pool);
            return NULL;
        }
    }
    return pool;
}

void pool_destroy(struct pool *pool)
{
    if (pool == NULL)
        return;
    for (size_t i = 0; i < SHARDS && pool->shards[i].entries != NULL; i++) {
        lru_destroy(pool->shards[i].entries);
        pthread_mutex_destroy(&pool->shards[i].lock);
    }
    free(pool);
}

/* Locks the key's shard; *entry: NULL when memory ran out. */
static struct shard *enter(struct pool *pool, const struct pool_key *key, struct entry **entry)
{
    char memory[KEY_PLACE_SIZE];
    struct text place = key_place(key->name, (uintptr_t)key->tier, memory);
    uint64_t hash = hash_text(place);
    struct shard *shard = &pool->shards[hash >> 32 & (SHARDS - 1)]; /* the table within takes the lowest bits */
    pthread_mutex_lock(&shard->lock);
    *entry = lru_get(shard->entries, place, hash);
    if (*entry == NULL) {
        *entry = calloc(1, sizeof(**entry));
        if (*entry != NULL) {
            (*entry)->tier = key->tier;
            tier_ref(key->tier);
        }
        if (*entry != NULL && !lru_put(shard->entries, place, hash, *entry, 1))
            *entry = NULL;
    }
    return shard;
}

static void leave(struct shard *shard)
{
    pthread_mutex_unlock(&shard->lock);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void tell(struct entry *entry, struct pool_demand *demand, uint64_t now_ms)
{
    uint64_t period = now_ms / LEASE_MS;
    if (period > entry->period) {
        entry->wanted_before = entry->period + 1 == period ? entry->wanted_now : 0;
        entry->wanted_now = 0;
        entry->period = period;
    }
    if (demand->told_period == entry->period) /* anew: the latest figure counts */
        entry->wanted_now -= smaller(demand->told, entry->wanted_now);
    entry->wanted_now += demand->wanted;
    demand->told = demand->wanted;
    demand->told_period = entry->period;
}

/* What is left of a worker's lease: still good if it is of the grant that lies here. */
static void take_back(struct entry *entry, struct lease *lease, uint64_t now_ms)
{
    if (lease->until_ms == entry->lease.until_ms && now_ms < lease->until_ms)
        entry->lease.tokens += lease->tokens;
    else
        entry->give += lease->tokens;
    lease->tokens = 0;
}

static void hand_out(struct entry *entry, uint64_t weight, uint64_t wanted, struct lease *lease)
{
    uint64_t enough = wanted * DRAW_MS / LEASE_MS + 1;
    *lease = entry->lease;
    lease->tokens = smaller(entry->lease.tokens, enough > weight ? enough : weight);
    lease->refused_until_ms = 0; /* not before the tokens here are used up */
    entry->lease.tokens -= lease->tokens;
    lease->remaining += entry->lease.tokens;
}

static void begin_ask(struct shard *shard, struct entry *entry, struct pool_turn *turn, uint64_t now_ms)
{
    uint64_t wanted = entry->wanted_now > entry->wanted_before ? entry->wanted_now : entry->wanted_before;
    *turn =
        (struct pool_turn){.number = ++shard->last_number, .give = entry->give + entry->lease.tokens, .wanted = wanted};
    entry->give = entry->lease.tokens = 0;
    entry->asking = turn->number;
    entry->asked_until = now_ms + POOL_ASK_MS;
}

enum pool_outcome pool_draw(struct pool *pool, const struct pool_key *key, uint64_t weight, struct pool_demand *demand,
                            struct lease *lease, struct pool_turn *turn, uint64_t now_ms)
{
    struct entry *entry;
    struct shard *shard = enter(pool, key, &entry);
    enum pool_outcome outcome = POOL_WAIT;
    if (entry == NULL) {
        if (turn != NULL) {
            *turn = (struct pool_turn){.number = ++shard->last_number, .wanted = demand->wanted};
            outcome = POOL_ASK;
        }
        leave(shard);
        return outcome;
    }
    tell(entry, demand, now_ms);
    take_back(entry, lease, now_ms);
    if (lease_admits(&entry->lease, weight, now_ms)) {
        hand_out(entry, weight, demand->wanted, lease);
        outcome = POOL_DRAWN;
    } else if (lease_refuses(&entry->lease, weight, now_ms)) {
        *lease = entry->lease;
        lease->tokens = 0;
        outcome = POOL_REFUSED;
    } else if (turn != NULL && (entry->asking == 0 || now_ms >= entry->asked_until)) {
        begin_ask(shard, entry, turn, now_ms);
        outcome = POOL_ASK;
    }
    leave(shard);
    return outcome;
}

void pool_settle(struct pool *pool, const struct pool_key *key, uint64_t number, const struct limit_grant *grant,
                 uint64_t now_ms)
{
    struct entry *entry;
    struct shard *shard = enter(pool, key, &entry);
    if (entry != NULL) {
        struct lease old = entry->lease;
        lease_start(&entry->lease, grant, now_ms);
        if (old.tokens != 0 && now_ms < old.until_ms) { /* of somebody who asked at the same time */
            entry->lease.tokens += old.tokens;
            entry->lease.until_ms = smaller(old.until_ms, entry->lease.until_ms);
        } else {
            entry->give += old.tokens;
        }
        if (entry->asking == number)
            entry->asking = 0;
    }
    leave(shard);
}

void pool_abandon(struct pool *pool, const struct pool_key *key, uint64_t number, uint64_t give)
{
    struct entry *entry;
    struct shard *shard = enter(pool, key, &entry);
    if (entry != NULL) {
        entry->give += give;
        if (entry->asking == number)
            entry->asking = 0;
    }
    leave(shard);
}

void pool_return(struct pool *pool, const struct pool_key *key, uint64_t tokens)
{
    struct entry *entry;
    if (tokens == 0)
        return;
    struct shard *shard = enter(pool, key, &entry);
    if (entry != NULL)
        entry->give += tokens;
    leave(shard);
}
