/* The arithmetic of limits: a token bucket (the continuous-state leaky bucket of ITU-T I.371, which admits what its
 * GCRA admits) and calendar quotas, in integers. script.c holds the same in Lua. Pure functions of the time given. */
#ifndef SLUICE_LIMIT_BUCKET_H
#define SLUICE_LIMIT_BUCKET_H

#include "limit/limiter.h"

/* What is asked of one key's policies, all or nothing for each call. */
#define LIMIT_MAX_RUNS 32
struct limit_run { /* `count` calls of `weight` tokens each */
    uint64_t count, weight;
};
struct limit_ask {
    const struct limit_tier *tier;
    struct limit_run runs[LIMIT_MAX_RUNS]; /* in the order of coming; a lighter one may fit where a heavier did not */
    size_t run_count;
    uint64_t give;       /* tokens of an expired lease, given back */
    uint64_t extra;      /* tokens wanted for a lease */
    uint64_t spacing_us; /* leased tiers: how far apart those who were refused shall come again */
};
struct limit_grant {
    uint64_t admitted[LIMIT_MAX_RUNS]; /* calls of each run */
    uint64_t refused;                  /* the least weight that was refused; 0: none was */
    uint64_t lease;                    /* tokens */
    size_t policy;      /* index of the one that refused, or of the one with the least left in proportion */
    uint64_t remaining; /* whole tokens in it */
    uint64_t reset_us;  /* until it is full, or starts anew */
    uint64_t retry_us;  /* refused: until a call of weight `refused` may pass */
    uint64_t wait_us;   /* refused, or the bucket was emptied by the lease: before this, don't ask again */
};

/* One policy's state. */
struct limit_bucket {
    uint64_t level;  /* rate: tokens left, times unit. Quota: tokens used */
    int64_t time_us; /* rate: when `level` was true. Quota: number of the period */
};
/* The state of a key that nobody has seen yet. */
void bucket_start(struct limit_bucket *bucket, const struct limit_policy *policy, uint64_t instances, int64_t now_us);
/* Decides and takes. `buckets` has one state for each of the tier's policies, *slot_us the last moment handed out by
 * spacing; each policy counts for 1/instances, at least one token. */
void bucket_ask(struct limit_bucket *buckets, int64_t *slot_us, const struct limit_ask *ask, uint64_t instances,
                int64_t now_us, struct limit_grant *grant);

/* How a tier is leased: the most tokens that one process takes at a time (0: no lease), and spacing. A tier with a rate
 * below 10/s, or with a quota, is never leased: a token lost with a killed instance would be missing from the quota. */
uint64_t bucket_lease(const struct limit_tier *tier, uint64_t *spacing_us);

#endif
