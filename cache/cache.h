/* Answers and metadata by key: worker memory, then Redis, then a loader, with one load for any number of simultaneous
 * misses; outdated entries stand in while the source is away. One per worker; belongs to its thread. */
#ifndef SLUICE_CACHE_CACHE_H
#define SLUICE_CACHE_CACHE_H

#include "base/text.h"
#include "drivers/redis.h"

struct cache;
struct cache_options {
    size_t memory;       /* bytes of this worker */
    uint32_t ttl_ms;     /* freshness of entries without version */
    uint32_t stale_ms;   /* how long an outdated entry may stand in */
    struct redis *redis; /* NULL: none. Borrowed */
    const char *prefix;
};
struct cache *cache_create(struct loop *loop, const struct cache_options *options);
void cache_destroy(struct cache *cache);
/* For entries that are asked for from now on. */
void cache_set_ttl(struct cache *cache, uint32_t ttl_ms);

/* Immutable, counted (this worker's thread only). `payload` is opaque to the cache. */
struct cache_entry {
    struct text payload;
    uint64_t version; /* of the data, as known before it was read; 0: not known, TTL only */
    bool stale;       /* set on the copy given out when it stood in for a failed load */
};
void cache_entry_ref(const struct cache_entry *entry);
void cache_entry_unref(const struct cache_entry *entry);

enum cache_source { CACHE_MEMORY, CACHE_REDIS, CACHE_LOADED, CACHE_STALE };
static inline const char *cache_source_name(enum cache_source source)
{
    static const char *const names[] = {"memory", "redis", "miss", "stale"};
    return names[source];
}

/* entry is NULL unless status is STATUS_OK; borrowed for the call. */
typedef void (*cache_answer)(void *context, enum status status, const struct cache_entry *entry,
                             enum cache_source source);
struct cache_load; /* a load under way: outlives the request that started it */
struct cache_wait;

struct cache_request {
    struct text key;  /* copied on a miss; without the version */
    uint64_t version; /* of the data now, 0: not known. An entry of this version or a later one is fresh */
    /* Starts the load: must call cache_load_finish exactly once, now or later. `argument` is copied (argument_size
     * bytes) and given to it. */
    void (*load)(struct cache_load *load, const void *argument);
    const void *argument;
    size_t argument_size;
    void *owner; /* given to load through cache_load_owner: the worker's part of whoever loads */
};
/* Keeps a copy of an answer that was made without a load, in this worker's memory only; what does not fit is dropped.
 */
void cache_put(struct cache *cache, struct text key, uint64_t version, struct text payload);
/* The entry at once if it is fresh in memory: the fast path. NULL otherwise. Borrowed until the next call into the
 * cache. */
const struct cache_entry *cache_peek(struct cache *cache, struct text key, uint64_t version);
/* Answers within the call (returns NULL) from memory; otherwise later. A load that ends with STATUS_UNAVAILABLE, BUSY,
 * TIMEOUT or FAILED is answered by a stale entry if there is one; STATUS_NOT_FOUND and others are passed on. */
struct cache_wait *cache_get(struct cache *cache, const struct cache_request *request, cache_answer on_answer,
                             void *context);
void cache_cancel(struct cache_wait *wait);
void *cache_load_owner(const struct cache_load *load);
/* Takes a copy of payload. `keep` false: give the answer to those who wait, but do not store it. */
void cache_load_finish(struct cache_load *load, enum status status, struct text payload, bool keep);
struct cache_statistics {
    uint64_t hits_memory, hits_redis, misses, stale, coalesced;
    size_t bytes, entries;
};
struct cache_statistics cache_statistics(const struct cache *cache);

#endif
