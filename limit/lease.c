#include "limit/lease.h"

#define REMEMBER_MS 10000 /* of a refusal; then Redis is asked again: the quota may have been cleared there */

void lease_start(struct lease *lease, const struct limit_grant *grant, uint64_t now_ms)
{
    /* Also without a refusal: the bucket gave less than a lease, and others have their turn first. */
    uint64_t wait_ms = (grant->wait_us + 999) / 1000;
    *lease = (struct lease){
        .tokens = grant->lease,
        .until_ms = now_ms + LEASE_MS,
        .refused_until_ms = wait_ms == 0 ? 0 : now_ms + (wait_ms < REMEMBER_MS ? wait_ms : REMEMBER_MS),
        .refused_weight = grant->refused != 0 ? grant->refused : 1,
        .granted_ms = now_ms,
        .remaining = grant->remaining,
        .reset_us = grant->reset_us,
        .retry_us = grant->retry_us,
        .policy = grant->policy,
    };
}

bool lease_admits(const struct lease *lease, uint64_t weight, uint64_t now_ms)
{
    return lease->tokens >= weight && now_ms < lease->until_ms;
}

bool lease_refuses(const struct lease *lease, uint64_t weight, uint64_t now_ms)
{
    return now_ms < lease->refused_until_ms && weight >= lease->refused_weight;
}

static uint32_t seconds_left(uint64_t microseconds, uint64_t age_ms)
{
    uint64_t milliseconds = (microseconds + 999) / 1000;
    uint64_t seconds = milliseconds > age_ms ? (milliseconds - age_ms + 999) / 1000 : 0;
    return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

struct limit_verdict lease_verdict(const struct lease *lease, const struct limit_tier *tier, bool admitted,
                                   uint64_t now_ms)
{
    /* Another worker's clock, read at the start of its turn, may be ahead. */
    uint64_t age_ms = now_ms > lease->granted_ms ? now_ms - lease->granted_ms : 0;
    struct limit_verdict verdict = {.admitted = admitted,
                                    .policy = &tier->policies[lease->policy],
                                    .remaining = lease->remaining + lease->tokens,
                                    .reset_s = seconds_left(lease->reset_us, age_ms)};
    if (!admitted) {
        uint32_t retry = seconds_left(lease->retry_us, age_ms);
        verdict.retry_after_s = retry > 0 ? retry : 1;
    }
    return verdict;
}
