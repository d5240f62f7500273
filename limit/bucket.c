#include "limit/bucket.h"

#include "base/date.h"

#define DAY_US ((int64_t)86400 * 1000000)
#define LEASE_US 100000      /* how long a lease lasts, and how much of the rate it may hold */
#define WORTHWHILE_TOKENS 40 /* a round trip for fewer costs more than it brings */
#define LONGEST_WAIT_US 1000000

/* A rate's share of one instance, in units of 1/(window_us * instances) of a token: all of it stays whole. */
struct share {
    unsigned __int128 unit; /* units in a token */
    unsigned __int128 capacity;
    uint64_t per_us; /* units gained in a microsecond */
    uint64_t whole;  /* tokens that fit */
};

static struct share share_of(const struct limit_policy *policy, uint64_t instances)
{
    struct share share = {.unit = (unsigned __int128)policy->window_ms * 1000 * instances, .per_us = policy->tokens};
    share.whole = policy->burst / instances > 0 ? policy->burst / instances : 1;
    share.capacity = share.unit * share.whole;
    return share;
}

static uint64_t quota_limit(const struct limit_policy *policy, uint64_t instances)
{
    return policy->tokens / instances > 0 ? policy->tokens / instances : 1;
}

static int64_t period_of(const struct limit_policy *policy, int64_t now_us, int64_t *ends_us)
{
    int64_t day = now_us / DAY_US;
    int year;
    unsigned month, of_month;
    if (policy->period == LIMIT_DAY) {
        *ends_us = (day + 1) * DAY_US;
        return day;
    }
    date_to_civil((int32_t)day, &year, &month, &of_month);
    *ends_us = (month == 12 ? date_from_civil(year + 1, 1, 1) : date_from_civil(year, month + 1, 1)) * DAY_US;
    return (int64_t)year * 12 + month;
}

void bucket_start(struct limit_bucket *bucket, const struct limit_policy *policy, uint64_t instances, int64_t now_us)
{
    int64_t ends_us;
    if (policy->period == LIMIT_NONE)
        *bucket = (struct limit_bucket){(uint64_t)share_of(policy, instances).capacity, now_us};
    else
        *bucket = (struct limit_bucket){0, period_of(policy, now_us, &ends_us)};
}

/* Brings a state up to now; returns the whole tokens that are free. */
static uint64_t advance(struct limit_bucket *bucket, const struct limit_policy *policy, uint64_t instances,
                        uint64_t give, int64_t now_us)
{
    if (policy->period != LIMIT_NONE) {
        int64_t ends_us, period = period_of(policy, now_us, &ends_us);
        uint64_t limit = quota_limit(policy, instances);
        if (period != bucket->time_us)
            *bucket = (struct limit_bucket){0, period};
        return bucket->level < limit ? limit - bucket->level : 0;
    }
    struct share share = share_of(policy, instances);
    uint64_t since = now_us > bucket->time_us ? (uint64_t)(now_us - bucket->time_us) : 0;
    unsigned __int128 level =
        bucket->level + (unsigned __int128)since * share.per_us + (unsigned __int128)give * share.unit;
    bucket->level = (uint64_t)(level < share.capacity ? level : share.capacity);
    /* A clock that was set back gives nothing twice. */
    bucket->time_us = now_us > bucket->time_us ? now_us : bucket->time_us;
    return (uint64_t)(bucket->level / share.unit);
}

static void take(struct limit_bucket *bucket, const struct limit_policy *policy, uint64_t instances, uint64_t tokens)
{
    if (policy->period != LIMIT_NONE)
        bucket->level += tokens;
    else
        bucket->level -= (uint64_t)(share_of(policy, instances).unit * tokens);
}

static uint64_t divide_up(unsigned __int128 a, uint64_t b)
{
    return (uint64_t)((a + b - 1) / b);
}

/* Until `tokens` are free; 0: they are. */
static uint64_t time_until(const struct limit_bucket *bucket, const struct limit_policy *policy, uint64_t instances,
                           uint64_t tokens, int64_t now_us)
{
    if (policy->period != LIMIT_NONE) {
        int64_t ends_us;
        period_of(policy, now_us, &ends_us);
        return bucket->level + tokens > quota_limit(policy, instances) ? (uint64_t)(ends_us - now_us) : 0;
    }
    struct share share = share_of(policy, instances);
    unsigned __int128 wanted = share.unit * tokens;
    return wanted > bucket->level ? divide_up(wanted - bucket->level, share.per_us) : 0;
}

/* The policy to tell of: the one that keeps the caller waiting longest, or the one with the least left in proportion.
 */
static void choose_policy(const struct limit_bucket *buckets, const struct limit_ask *ask, uint64_t instances,
                          int64_t now_us, uint64_t refused, struct limit_grant *grant)
{
    double least = 2;
    for (size_t i = 0; i < ask->tier->count; i++) {
        const struct limit_policy *policy = &ask->tier->policies[i];
        bool is_quota = policy->period != LIMIT_NONE;
        struct share share = share_of(policy, instances);
        uint64_t limit = is_quota ? quota_limit(policy, instances) : share.whole;
        uint64_t left = is_quota ? (buckets[i].level < limit ? limit - buckets[i].level : 0)
                                 : (uint64_t)(buckets[i].level / share.unit);
        uint64_t wait = refused != 0 ? time_until(&buckets[i], policy, instances, refused, now_us) : 0;
        double proportion = (double)left / (double)limit;
        if (refused != 0 ? wait <= grant->retry_us : proportion >= least)
            continue;
        least = proportion;
        int64_t ends_us = now_us;
        if (is_quota)
            period_of(policy, now_us, &ends_us);
        grant->policy = i;
        grant->remaining = left;
        grant->retry_us = wait;
        grant->reset_us =
            is_quota ? (uint64_t)(ends_us - now_us) : divide_up(share.capacity - buckets[i].level, share.per_us);
    }
}

void bucket_ask(struct limit_bucket *buckets, int64_t *slot_us, const struct limit_ask *ask, uint64_t instances,
                int64_t now_us, struct limit_grant *grant)
{
    const struct limit_tier *tier = ask->tier;
    uint64_t available = UINT64_MAX, taken = 0, refused = 0;
    *grant = (struct limit_grant){0};
    for (size_t i = 0; i < tier->count; i++) {
        uint64_t left = advance(&buckets[i], &tier->policies[i], instances, ask->give, now_us);
        available = left < available ? left : available;
    }
    for (size_t i = 0; i < ask->run_count; i++) {
        uint64_t fitting = (available - taken) / ask->runs[i].weight;
        uint64_t count = fitting < ask->runs[i].count ? fitting : ask->runs[i].count;
        grant->admitted[i] = count;
        taken += count * ask->runs[i].weight;
        if (count < ask->runs[i].count && (refused == 0 || ask->runs[i].weight < refused))
            refused = ask->runs[i].weight;
    }
    grant->refused = refused;
    if (refused == 0) {
        grant->lease = ask->extra < available - taken ? ask->extra : available - taken;
        taken += grant->lease;
    }
    for (size_t i = 0; i < tier->count; i++)
        take(&buckets[i], &tier->policies[i], instances, taken);
    choose_policy(buckets, ask, instances, now_us, refused, grant);
    if (refused == 0)
        return;
    grant->wait_us = grant->retry_us;
    if (ask->spacing_us != 0) {
        int64_t slot = (*slot_us > now_us ? *slot_us : now_us) + (int64_t)ask->spacing_us;
        *slot_us = slot < now_us + LONGEST_WAIT_US ? slot : now_us + LONGEST_WAIT_US;
        if ((uint64_t)(*slot_us - now_us) > grant->wait_us)
            grant->wait_us = (uint64_t)(*slot_us - now_us);
    }
}

uint64_t bucket_lease(const struct limit_tier *tier, uint64_t *spacing_us)
{
    uint64_t lease = UINT64_MAX, spacing = 0;
    for (size_t i = 0; i < tier->count; i++) {
        const struct limit_policy *policy = &tier->policies[i];
        if (policy->period != LIMIT_NONE || policy->tokens * 1000 < policy->window_ms * 10)
            return 0;
        uint64_t window_us = policy->window_ms * 1000;
        uint64_t most = policy->tokens * LEASE_US / window_us;
        /* Time for a worthwhile number of tokens, but never so much that a small bucket runs over meanwhile. */
        uint64_t worthwhile = WORTHWHILE_TOKENS * window_us / policy->tokens;
        uint64_t half_full = policy->burst * window_us / policy->tokens / 2;
        uint64_t longest = half_full < LEASE_US ? half_full : LEASE_US;
        uint64_t apart = worthwhile < longest ? worthwhile : longest;
        lease = most < lease ? most : lease;
        spacing = apart > spacing ? apart : spacing;
    }
    *spacing_us = spacing;
    return tier->count != 0 ? lease : 0;
}
