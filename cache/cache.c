#include "cache/cache.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/lru.h"

#define MAX_ENTRIES 1000000
#define MAX_LOADS 1024                  /* under way at once */
#define BUCKETS 1024                    /* of loads under way, by key */
#define REDIS_PAYLOAD ((size_t)1 << 20) /* bytes; larger payloads stay in the worker */
#define RETRY_MS 200                    /* after a failed load a stale entry stands in this long without another try */

/* In front of a payload in Redis. Little-endian machines only share one Redis with their like. */
struct stored {
    uint64_t check; /* hash_stable of all that follows: a foreign, cut or older form of value is a miss */
    uint64_t version;
    int64_t loaded_ms; /* since the epoch: the neighbour's clock goes on where ours was */
};

/* What is in the LRU; `shown` is what others hold. */
struct entry {
    struct cache_entry shown;
    unsigned references;
    uint64_t loaded_ms; /* monotonic: when it was last known to be true */
    uint64_t retry_ms;  /* no load before this moment, while it stands in */
    char payload[];
};

struct cache_wait {
    struct cache_wait *previous, *next; /* of its load */
    struct cache_load *load;
    struct cache_wait **returned; /* what cache_get is about to return, while it runs; NULL afterwards */
    cache_answer on_answer;
    void *context;
};

struct cache_load {
    struct cache *cache; /* NULL: the cache has gone; nobody waits */
    struct cache_load *next;
    struct cache_wait *waits, *last_wait; /* first come, first served */
    void (*load)(struct cache_load *load, const void *argument);
    void *owner;
    uint64_t version, hash;
    size_t key_size;
    void *argument;
    char key[];
};

struct cache {
    struct loop *loop;
    struct cache_options options;
    struct lru *entries;
    struct cache_load *loads[BUCKETS];
    size_t load_count;
    struct buffer redis_key;
    struct cache_statistics statistics;
};

static struct entry *entry_of(const struct cache_entry *entry)
{
    return (struct entry *)((char *)(uintptr_t)entry - offsetof(struct entry, shown));
}

void cache_entry_ref(const struct cache_entry *entry)
{
    entry_of(entry)->references++;
}

void cache_entry_unref(const struct cache_entry *entry)
{
    struct entry *owner = entry_of(entry);
    if (--owner->references == 0)
        free(owner);
}

static void release(void *value)
{
    cache_entry_unref(&((struct entry *)value)->shown);
}

/* One reference; NULL: out of memory. */
static struct entry *make_entry(const struct cache *cache, struct text payload, uint64_t version, bool stale)
{
    struct entry *entry = malloc(sizeof(*entry) + payload.size);
    if (entry == NULL)
        return NULL;
    *entry = (struct entry){
        .shown = {.version = version, .stale = stale}, .references = 1, .loaded_ms = loop_now_ms(cache->loop)};
    if (payload.size != 0)
        memcpy(entry->payload, payload.data, payload.size);
    entry->shown.payload = text_of(entry->payload, payload.size);
    return entry;
}

struct cache *cache_create(struct loop *loop, const struct cache_options *options)
{
    struct cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return NULL;
    cache->loop = loop;
    cache->options = *options;
    cache->entries = lru_create(MAX_ENTRIES, options->memory, release);
    buffer_init(&cache->redis_key, 65536);
    if (cache->entries == NULL) {
        free(cache);
        return NULL;
    }
    return cache;
}

void cache_set_ttl(struct cache *cache, uint32_t ttl_ms)
{
    cache->options.ttl_ms = ttl_ms;
}

void cache_destroy(struct cache *cache)
{
    if (cache == NULL)
        return;
    /* A load under way is finished by whoever carries it out, later: it only must not find us. Its waiters' owners have
     * cancelled them, or must not be called any more. */
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct cache_load *load = cache->loads[i]; load != NULL; load = load->next) {
            load->cache = NULL;
            while (load->waits != NULL)
                cache_cancel(load->waits);
        }
    lru_destroy(cache->entries);
    buffer_free(&cache->redis_key);
    free(cache);
}

static bool is_fresh(const struct cache *cache, struct entry *entry, uint64_t version)
{
    uint64_t now = loop_now_ms(cache->loop);
    if (version == 0)
        return now - entry->loaded_ms < cache->options.ttl_ms;
    if (entry->shown.version < version)
        return false;
    entry->loaded_ms = now;
    return true;
}

const struct cache_entry *cache_peek(struct cache *cache, struct text key, uint64_t version)
{
    struct entry *entry = lru_get(cache->entries, key, hash_text(key));
    if (entry == NULL || !is_fresh(cache, entry, version))
        return NULL;
    cache->statistics.hits_memory++;
    return &entry->shown;
}

/* An outdated entry that may still stand in. */
static struct entry *find_stale(struct cache *cache, struct text key, uint64_t hash)
{
    struct entry *entry = lru_get(cache->entries, key, hash);
    return entry != NULL && loop_now_ms(cache->loop) - entry->loaded_ms <= cache->options.stale_ms ? entry : NULL;
}

/* Loads under way. */

/* The newest load of the key; NULL: none is under way. */
static struct cache_load *find_load(struct cache *cache, struct text key, uint64_t hash)
{
    struct cache_load *load = cache->loads[hash % BUCKETS];
    while (load != NULL && !(load->hash == hash && text_equal(text_of(load->key, load->key_size), key)))
        load = load->next;
    return load;
}

static struct cache_load *create_load(struct cache *cache, const struct cache_request *request, uint64_t hash)
{
    struct cache_load *load = malloc(sizeof(*load) + request->key.size);
    if (load == NULL)
        return NULL;
    *load = (struct cache_load){.cache = cache,
                                .load = request->load,
                                .owner = request->owner,
                                .version = request->version,
                                .hash = hash,
                                .key_size = request->key.size,
                                .argument = malloc(request->argument_size + 1)};
    if (load->argument == NULL) {
        free(load);
        return NULL;
    }
    memcpy(load->key, request->key.data, request->key.size);
    if (request->argument_size != 0)
        memcpy(load->argument, request->argument, request->argument_size);
    load->next = cache->loads[hash % BUCKETS];
    cache->loads[hash % BUCKETS] = load;
    cache->load_count++;
    return load;
}

static void free_load(struct cache_load *load)
{
    free(load->argument);
    free(load);
}

/* Takes the load off the table and answers all who wait: nobody can join it any more. */
static void conclude(struct cache_load *load, enum status status, struct entry *entry, enum cache_source source)
{
    struct cache *cache = load->cache;
    struct cache_load **place = &cache->loads[load->hash % BUCKETS];
    while (*place != load)
        place = &(*place)->next;
    *place = load->next;
    cache->load_count--;
    while (load->waits != NULL) {
        struct cache_wait *wait = load->waits;
        load->waits = wait->next;
        if (wait->next != NULL)
            wait->next->previous = NULL;
        else
            load->last_wait = NULL;
        cache_answer on_answer = wait->on_answer;
        void *context = wait->context;
        if (wait->returned != NULL)
            *wait->returned = NULL;
        free(wait);
        on_answer(context, status, entry != NULL ? &entry->shown : NULL, source);
    }
    free_load(load);
}

static struct cache_wait *add_wait(struct cache_load *load, cache_answer on_answer, void *context)
{
    struct cache_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL)
        return NULL;
    *wait = (struct cache_wait){.load = load, .previous = load->last_wait, .on_answer = on_answer, .context = context};
    if (load->last_wait != NULL)
        load->last_wait->next = wait;
    else
        load->waits = wait;
    load->last_wait = wait;
    return wait;
}

void cache_cancel(struct cache_wait *wait)
{
    if (wait->previous != NULL)
        wait->previous->next = wait->next;
    else
        wait->load->waits = wait->next;
    if (wait->next != NULL)
        wait->next->previous = wait->previous;
    else
        wait->load->last_wait = wait->previous;
    free(wait);
}

void *cache_load_owner(const struct cache_load *load)
{
    return load->owner;
}

/* The second level. */

static struct text redis_key(struct cache *cache, struct text key)
{
    buffer_clear(&cache->redis_key);
    buffer_append_string(&cache->redis_key, cache->options.prefix);
    buffer_append_literal(&cache->redis_key, "c:");
    buffer_append_text(&cache->redis_key, key);
    return buffer_text(&cache->redis_key);
}

static void write_redis(struct cache *cache, struct text key, const struct entry *entry)
{
    uint64_t keep_ms = (uint64_t)cache->options.ttl_ms + cache->options.stale_ms;
    size_t size = sizeof(struct stored) + entry->shown.payload.size;
    if (cache->options.redis == NULL || !redis_is_up(cache->options.redis) ||
        entry->shown.payload.size > REDIS_PAYLOAD || keep_ms == 0)
        return;
    char milliseconds[24], *value = malloc(size);
    if (value == NULL)
        return;
    struct stored stored = {.version = entry->shown.version, .loaded_ms = clock_wall_us() / 1000};
    memcpy(value + sizeof(stored), entry->payload, entry->shown.payload.size);
    memcpy(value, &stored, sizeof(stored));
    stored.check = hash_stable(text_of(value + sizeof(stored.check), size - sizeof(stored.check)));
    memcpy(value, &stored.check, sizeof(stored.check));
    int digits = snprintf(milliseconds, sizeof(milliseconds), "%llu", (unsigned long long)keep_ms);
    struct text arguments[] = {TEXT("SET"), redis_key(cache, key), text_of(value, size), TEXT("PX"),
                               text_of(milliseconds, (size_t)digits)};
    /* A full queue costs a load elsewhere, no more. */
    enum status ignored = redis_send(cache->options.redis, 5, arguments, NULL, NULL);
    (void)ignored;
    free(value);
}

/* One reference, as old as it is; NULL: nothing of ours. */
static struct entry *read_redis(const struct cache *cache, const struct redis_reply *reply)
{
    struct stored stored;
    if (reply == NULL || reply->type != REDIS_TEXT || reply->text.size < sizeof(stored))
        return NULL;
    struct text value = reply->text;
    memcpy(&stored, value.data, sizeof(stored));
    if (hash_stable(text_of(value.data + sizeof(stored.check), value.size - sizeof(stored.check))) != stored.check)
        return NULL;
    struct entry *entry =
        make_entry(cache, text_of(value.data + sizeof(stored), value.size - sizeof(stored)), stored.version, false);
    int64_t age_ms = clock_wall_us() / 1000 - stored.loaded_ms;
    if (entry != NULL && age_ms > 0) /* clocks of two machines differ: never younger than now */
        entry->loaded_ms -= (uint64_t)age_ms < entry->loaded_ms ? (uint64_t)age_ms : entry->loaded_ms;
    return entry;
}

/* Puts the entry into the table, unless a later version is there: a load that a newer one overtook doesn't replace what
 * that one brought. A version that is not known is the newest there is. */
static void keep_entry(struct cache *cache, struct text key, uint64_t hash, struct entry *entry)
{
    struct entry *known = lru_get(cache->entries, key, hash);
    if (known != NULL && entry->shown.version != 0 && known->shown.version > entry->shown.version)
        return;
    entry->references++;
    lru_put(cache->entries, key, hash, entry, sizeof(*entry) + entry->shown.payload.size + key.size);
}

void cache_put(struct cache *cache, struct text key, uint64_t version, struct text payload)
{
    struct entry *entry = make_entry(cache, payload, version, false);
    if (entry == NULL)
        return;
    keep_entry(cache, key, hash_text(key), entry);
    cache_entry_unref(&entry->shown);
}

/* The entry's reference is taken over. */
static void adopt(struct cache_load *load, struct entry *entry, enum cache_source source, bool keep)
{
    if (keep)
        keep_entry(load->cache, text_of(load->key, load->key_size), load->hash, entry);
    conclude(load, STATUS_OK, entry, source);
    cache_entry_unref(&entry->shown);
}

static void on_redis(void *context, const struct redis_reply *reply)
{
    struct cache_load *load = context;
    struct cache *cache = load->cache;
    if (cache == NULL) {
        free_load(load);
        return;
    }
    struct entry *entry = read_redis(cache, reply);
    if (entry != NULL && is_fresh(cache, entry, load->version)) {
        cache->statistics.hits_redis++;
        adopt(load, entry, CACHE_REDIS, true);
        return;
    }
    if (entry != NULL) {
        /* Outdated: it may stand in, if this worker has nothing itself. */
        if (lru_get(cache->entries, text_of(load->key, load->key_size), load->hash) == NULL)
            keep_entry(load->cache, text_of(load->key, load->key_size), load->hash, entry);
        cache_entry_unref(&entry->shown);
    }
    cache->statistics.misses++;
    load->load(load, load->argument);
}

static void begin(struct cache_load *load)
{
    struct cache *cache = load->cache;
    if (cache->options.redis != NULL && redis_is_up(cache->options.redis)) {
        struct text arguments[] = {TEXT("GET"), redis_key(cache, text_of(load->key, load->key_size))};
        if (redis_send(cache->options.redis, 2, arguments, on_redis, load) == STATUS_OK)
            return;
    }
    cache->statistics.misses++;
    load->load(load, load->argument);
}

static bool may_stand_in(enum status status)
{
    return status == STATUS_UNAVAILABLE || status == STATUS_BUSY || status == STATUS_TIMEOUT || status == STATUS_FAILED;
}

/* An answer that says of itself that it is outdated: a copy, because the entry may be confirmed later. */
static struct entry *stale_copy(struct cache *cache, const struct entry *entry)
{
    struct entry *copy = make_entry(cache, entry->shown.payload, entry->shown.version, true);
    if (copy != NULL)
        cache->statistics.stale++;
    return copy;
}

void cache_load_finish(struct cache_load *load, enum status status, struct text payload, bool keep)
{
    struct cache *cache = load->cache;
    struct text key = text_of(load->key, load->key_size);
    if (cache == NULL) {
        free_load(load);
        return;
    }
    if (status == STATUS_OK) {
        struct entry *entry = make_entry(cache, payload, load->version, false);
        if (entry == NULL) {
            conclude(load, STATUS_FAILED, NULL, CACHE_LOADED);
            return;
        }
        if (keep)
            write_redis(cache, key, entry);
        adopt(load, entry, CACHE_LOADED, keep);
        return;
    }
    struct entry *old = may_stand_in(status) ? find_stale(cache, key, load->hash) : NULL;
    struct entry *copy = old != NULL ? stale_copy(cache, old) : NULL;
    if (old != NULL)
        old->retry_ms = loop_now_ms(cache->loop) + RETRY_MS;
    conclude(load, copy != NULL ? STATUS_OK : status, copy, CACHE_STALE);
    if (copy != NULL)
        cache_entry_unref(&copy->shown);
}

/* While the source is known to be away the outdated entry answers at once. */
static bool answer_stale(struct cache *cache, struct text key, uint64_t hash, cache_answer on_answer, void *context)
{
    struct entry *old = find_stale(cache, key, hash);
    if (old == NULL || old->retry_ms <= loop_now_ms(cache->loop))
        return false;
    struct entry *copy = stale_copy(cache, old);
    if (copy == NULL)
        return false;
    on_answer(context, STATUS_OK, &copy->shown, CACHE_STALE);
    cache_entry_unref(&copy->shown);
    return true;
}

struct cache_wait *cache_get(struct cache *cache, const struct cache_request *request, cache_answer on_answer,
                             void *context)
{
    const struct cache_entry *fresh = cache_peek(cache, request->key, request->version);
    if (fresh != NULL) {
        cache_entry_ref(fresh); /* the answer may call us, and push it out */
        on_answer(context, STATUS_OK, fresh, CACHE_MEMORY);
        cache_entry_unref(fresh);
        return NULL;
    }
    uint64_t hash = hash_text(request->key);
    if (answer_stale(cache, request->key, hash, on_answer, context))
        return NULL;
    /* A load that began before the version rose may bring what is outdated already: then another one is made beside it.
     */
    struct cache_load *load = find_load(cache, request->key, hash);
    bool joined = load != NULL && load->version >= request->version;
    if (joined)
        cache->statistics.coalesced++;
    else
        load = cache->load_count < MAX_LOADS ? create_load(cache, request, hash) : NULL;
    struct cache_wait *wait = load != NULL ? add_wait(load, on_answer, context) : NULL;
    if (wait == NULL) {
        if (load != NULL && !joined)
            conclude(load, STATUS_BUSY, NULL, CACHE_LOADED);
        on_answer(context, STATUS_BUSY, NULL, CACHE_LOADED);
        return NULL;
    }
    if (joined)
        return wait;
    wait->returned = &wait;
    begin(load);
    if (wait != NULL)
        wait->returned = NULL;
    return wait;
}

struct cache_statistics cache_statistics(const struct cache *cache)
{
    struct cache_statistics statistics = cache->statistics;
    statistics.bytes = lru_weight(cache->entries);
    statistics.entries = lru_count(cache->entries);
    return statistics;
}
