/* Calls to limiters and what came of them. */
#ifndef TESTS_UNIT_LIMIT_CALLS_H
#define TESTS_UNIT_LIMIT_CALLS_H

#include "tests/unit/limit/redis_server.h"

#include "limit/limiter.h"

#define RATE(name_, tokens_, window_, burst_)                                                                          \
    {                                                                                                                  \
        .name = name_, .tokens = tokens_, .window_ms = window_, .burst = burst_                                        \
    }
#define QUOTA(name_, tokens_, period_)                                                                                 \
    {                                                                                                                  \
        .name = name_, .tokens = tokens_, .period = period_                                                            \
    }

/* What must be reached within a time is reached in one of a few trials, unless the machine stands still in all of them;
 * what must never be passed is asserted in each. */
#define TRIALS 5

struct calls {
    size_t asked, answered, admitted;
    struct limit_verdict last;
};

static inline void on_verdict(void *context, const struct limit_verdict *verdict)
{
    struct calls *calls = context;
    calls->answered++;
    calls->admitted += verdict->admitted;
    calls->last = *verdict;
}

/* Sends a call off; its answer may come at once or later. */
static inline struct limit_wait *call(struct limiter *limiter, const char *key, const struct limit_tier *tier,
                                      uint64_t weight, struct calls *calls)
{
    size_t before = calls->answered;
    calls->asked++;
    struct limit_wait *wait = limiter_check(limiter, text_from_string(key), tier, weight, on_verdict, calls);
    assert_int_equal(calls->answered - before, wait == NULL);
    return wait;
}

/* Makes a call and waits for its answer. */
static inline struct limit_verdict ask(struct limiter *limiter, const char *key, const struct limit_tier *tier,
                                       uint64_t weight)
{
    struct calls calls = {0};
    call(limiter, key, tier, weight, &calls);
    loop_until(calls.answered == 1);
    return calls.last;
}

/* How many of `count` calls, one after the other, are admitted. */
static inline size_t admitted_of(struct limiter *limiter, const char *key, const struct limit_tier *tier, size_t count)
{
    size_t admitted = 0;
    for (size_t i = 0; i < count; i++)
        admitted += ask(limiter, key, tier, 1).admitted;
    return admitted;
}

/* What of `seconds` is left now, rounded up as verdicts are: so much at least, where `since_us` was before the first
 * call. */
static inline uint32_t left_of(uint32_t seconds, uint64_t since_us)
{
    uint64_t passed = (clock_monotonic_us() - since_us) / 1000000 + 1;
    return passed < seconds ? seconds - (uint32_t)passed : 0;
}

static inline void assert_refused_by(struct limit_verdict verdict, const char *policy)
{
    assert_false(verdict.admitted);
    assert_non_null(verdict.policy);
    assert_string_equal(verdict.policy->name, policy);
    assert_true(verdict.retry_after_s >= 1);
}

static inline struct limiter *limiter_on(struct redis *redis, struct limiter_store *own_store, uint32_t instances)
{
    struct limiter_options options = {
        .redis = redis, .prefix = "test:", .store = own_store, .instances = instances, .max_keys = 1000};
    struct limiter *limiter = limiter_create(loop, &options);
    assert_non_null(limiter);
    return limiter;
}

#endif
