/* A source to load from, whose loads end at once or when the test says so, and answers that are written down. */
#ifndef TESTS_UNIT_CACHE_SOURCE_H
#define TESTS_UNIT_CACHE_SOURCE_H

#include "tests/unit/limit/redis_server.h"

#include "cache/cache.h"

static struct {
    enum status status; /* how loads that end at once end */
    bool deferred, keep;
    size_t payload_size; /* 0: the text "payload N" of the Nth load; else it is followed by zeroes. SIZE_MAX: empty */
    size_t started;
    struct {
        struct cache_load *load;
        size_t number;
    } pending[16]; /* deferred, oldest first */
    size_t pending_count;
    char argument[64]; /* of the last load */
    void *owner;
} source;

struct answer {
    size_t answers;
    enum status status;
    enum cache_source source;
    bool had_entry, stale;
    uint64_t version;
    char payload[32];
    size_t size; /* of the whole payload */
    /* What to do from within the answer; NULL: nothing. */
    struct cache_wait *cancels; /* unless `rival`, whose it is, has its answer already */
    struct answer *rival;
    const char *asks_first; /* this key, before looking at the entry; else "a", at the end */
    struct answer *asks_again;
    struct cache *cache;
};

static inline void source_reset(void)
{
    memset(&source, 0, sizeof(source));
    source.keep = true;
}

static inline void source_finish(struct cache_load *load, size_t number, enum status status)
{
    size_t size = source.payload_size == SIZE_MAX ? 0 : source.payload_size;
    char *payload = calloc(1, size + 32);
    snprintf(payload, 32, "payload %zu", number);
    if (source.payload_size == 0)
        size = strlen(payload);
    cache_load_finish(load, status, status == STATUS_OK ? text_of(payload, size) : TEXT_NONE, source.keep);
    free(payload);
}

static inline void source_finish_next(enum status status)
{
    if (source.pending_count == 0)
        return;
    struct cache_load *load = source.pending[0].load;
    size_t number = source.pending[0].number;
    memmove(source.pending, source.pending + 1, --source.pending_count * sizeof(source.pending[0]));
    source_finish(load, number, status);
}

static inline void source_load(struct cache_load *load, const void *argument)
{
    source.started++;
    source.owner = cache_load_owner(load);
    memcpy(source.argument, argument, sizeof(source.argument));
    if (!source.deferred) {
        source_finish(load, source.started, source.status);
        return;
    }
    assert_true(source.pending_count < 16);
    source.pending[source.pending_count].number = source.started;
    source.pending[source.pending_count++].load = load;
}

/* Valid until the next call: the cache must have copied key and argument by then. */
static inline struct cache_request request_for(const char *key, uint64_t version)
{
    static char key_copy[64], argument[64];
    snprintf(key_copy, sizeof(key_copy), "%s", key);
    memset(argument, 0, sizeof(argument));
    snprintf(argument, sizeof(argument), "%s", key);
    return (struct cache_request){.key = text_from_string(key_copy),
                                  .version = version,
                                  .load = source_load,
                                  .argument = argument,
                                  .argument_size = sizeof(argument),
                                  .owner = &source};
}

static inline struct cache_wait *start(struct cache *cache, const char *key, uint64_t version, struct answer *answer);

static inline void on_answer(void *context, enum status status, const struct cache_entry *entry, enum cache_source from)
{
    struct answer *answer = context;
    answer->answers++;
    answer->status = status;
    answer->source = from;
    assert_int_equal(entry != NULL, status == STATUS_OK);
    if (answer->asks_first != NULL)
        start(answer->cache, answer->asks_first, 1, answer->asks_again);
    if (entry != NULL) {
        answer->had_entry = true;
        answer->stale = entry->stale;
        answer->version = entry->version;
        answer->size = entry->payload.size;
        snprintf(answer->payload, sizeof(answer->payload), "%.*s",
                 (int)(entry->payload.size < 31 ? entry->payload.size : 31), entry->payload.data);
    }
    if (answer->cancels != NULL && answer->rival->answers == 0)
        cache_cancel(answer->cancels);
    if (answer->asks_again != NULL && answer->asks_first == NULL)
        start(answer->cache, "a", 1, answer->asks_again);
}

static inline struct cache_wait *start(struct cache *cache, const char *key, uint64_t version, struct answer *answer)
{
    struct cache_request request = request_for(key, version);
    size_t before = answer->answers;
    struct cache_wait *wait = cache_get(cache, &request, on_answer, answer);
    assert_int_equal(answer->answers - before, wait == NULL);
    return wait;
}

static inline struct answer get(struct cache *cache, const char *key, uint64_t version)
{
    struct answer answer = {0};
    start(cache, key, version, &answer);
    loop_until(answer.answers == 1);
    return answer;
}

#define assert_answer(answer_, source_, payload_)                                                                      \
    do {                                                                                                               \
        struct answer asserted = (answer_);                                                                            \
        assert_int_equal(asserted.answers, 1);                                                                         \
        assert_int_equal(asserted.status, STATUS_OK);                                                                  \
        assert_string_equal(cache_source_name(asserted.source), cache_source_name(source_));                           \
        assert_string_equal(asserted.payload, payload_);                                                               \
    } while (0)

static inline struct cache *cache_on(struct redis *redis, size_t memory, uint32_t ttl_ms, uint32_t stale_ms)
{
    struct cache_options options = {
        .memory = memory, .ttl_ms = ttl_ms, .stale_ms = stale_ms, .redis = redis, .prefix = "test:"};
    struct cache *cache = cache_create(loop, &options);
    assert_non_null(cache);
    return cache;
}

#endif
