/* Rate limits (GCRA: ITU-T I.371's virtual scheduling, as a token bucket with rate and burst) and calendar quotas,
 * exact across instances: one Lua script in Redis, leases of at most 100 ms worth of tokens, refused calls cost
 * nothing. Without Redis the same algorithm runs on a table in this process, at the share 1/instances. One limiter a
 * worker; the workers of a process share the store, and in it their leases: one asks Redis, all draw (locks of the
 * store's own; a worker that spends what it drew takes none).
 * draft-ietf-httpapi-ratelimit-headers. */
#ifndef SLUICE_LIMIT_LIMITER_H
#define SLUICE_LIMIT_LIMITER_H

#include "base/text.h"
#include "drivers/redis.h"

enum limit_period { LIMIT_NONE, LIMIT_DAY, LIMIT_MONTH }; /* UTC */

struct limit_policy {
    char name[24];   /* for RateLimit-Policy: "second", "minute", "hour", "day", "month", or with a number behind when
                        repeated: ^[a-z][a-z0-9]*$ */
    uint64_t tokens; /* rate: tokens per window. Quota: the limit */
    uint64_t window_ms;       /* rate: 1000, 60000, 3600000. Quota: 0 */
    uint64_t burst;           /* rate: the bucket's size, >= 1 */
    enum limit_period period; /* quota, else LIMIT_NONE */
};
#define LIMIT_MAX_POLICIES 8
struct limit_tier { /* immutable, from the configuration */
    char name[48];
    struct limit_policy policies[LIMIT_MAX_POLICIES];
    size_t count;
};

struct limiter;
struct limiter_store; /* one a process, thread-safe; outlives its limiters and their connections to Redis */
struct limiter_store *limiter_store_create(size_t max_keys);
void limiter_store_destroy(struct limiter_store *store);

struct limiter_options {
    struct redis *redis;         /* NULL: in-process only. Borrowed */
    const char *prefix;          /* of keys in Redis */
    struct limiter_store *store; /* never NULL; also what stands in while Redis is away */
    uint32_t instances;          /* >= 1 */
    size_t max_keys;             /* leases and refusals remembered in this worker */
};
struct limiter *limiter_create(struct loop *loop, const struct limiter_options *options);
/* From the next question to the store on. */
void limiter_set_instances(struct limiter *limiter, uint32_t instances);
/* What is left of leases goes back with the next question of another worker, or is lost with the last one. */
void limiter_destroy(struct limiter *limiter);

struct limit_verdict {
    bool admitted;
    const struct limit_policy *policy; /* the one that refused, or the one with the least left in proportion */
    uint64_t remaining;                /* whole tokens left in it, as last known */
    uint32_t reset_s;                  /* until it is full again (rate) or starts anew (quota); rounded up */
    uint32_t retry_after_s;            /* refused: until a call of this weight may pass; rounded up, >= 1 */
};
typedef void (*limit_answer)(void *context, const struct limit_verdict *verdict);
struct limit_wait;
/* One call of `weight` tokens by `key` (e.g. "customer:acme", "address:10.0.0.1"; a key has always the same tier's
 * policies, or starts anew when they change). All policies must admit, or nothing is taken from any. Answered within
 * the call (returns NULL) from a lease, a remembered refusal or the in-process store; otherwise later, after one round
 * trip that all calls of this loop turn share, or that another worker is making for this key. A Redis that does not
 * answer in its timeout: the in-process store decides. A weight above a policy's burst or limit is refused. */
struct limit_wait *limiter_check(struct limiter *limiter, struct text key, const struct limit_tier *tier,
                                 uint64_t weight, limit_answer on_answer, void *context);
void limiter_cancel(struct limit_wait *wait);
struct limiter_statistics {
    uint64_t admitted, refused, local /* answered without Redis */, scripts /* script runs */, fallbacks;
};
struct limiter_statistics limiter_statistics(const struct limiter *limiter);

#endif
