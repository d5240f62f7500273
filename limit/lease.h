/* What was granted last for a key, where it is held: by a worker or by the process. */
#ifndef SLUICE_LIMIT_LEASE_H
#define SLUICE_LIMIT_LEASE_H

#include "limit/bucket.h"

#define LEASE_MS 100 /* from its grant on, wherever the tokens are */

struct lease {
    uint64_t tokens, until_ms;
    uint64_t refused_until_ms, refused_weight; /* calls of at least this weight are refused until then */
    uint64_t granted_ms;
    uint64_t remaining, reset_us, retry_us; /* what the grant said, as of granted_ms */
    size_t policy;
};

void lease_start(struct lease *lease, const struct limit_grant *grant, uint64_t now_ms);
bool lease_admits(const struct lease *lease, uint64_t weight, uint64_t now_ms);
bool lease_refuses(const struct lease *lease, uint64_t weight, uint64_t now_ms);
struct limit_verdict lease_verdict(const struct lease *lease, const struct limit_tier *tier, bool admitted,
                                   uint64_t now_ms);

#endif
