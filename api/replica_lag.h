/* How far a standby is behind its primary, by the primary's log alone: no clock is compared with another machine's, and
 * a primary that writes nothing makes nobody late. Knows no connection. */
#ifndef SLUICE_API_REPLICA_LAG_H
#define SLUICE_API_REPLICA_LAG_H

#include <stddef.h>
#include <stdint.h>

#define REPLICA_LAG_MARKS 256 /* ends of the log that are remembered: a minute's */
#define REPLICA_LAG_UNKNOWN UINT64_MAX

struct replica_lag { /* zero before first use */
    struct replica_lag_mark {
        uint64_t position, asked_ms;
    } marks[REPLICA_LAG_MARKS]; /* where the primary's log ended, and the standby has not come to yet; a ring */
    size_t first, count;
    uint64_t replayed;              /* how far the standby was when it was last asked */
    uint64_t fresh_ms, fresh_until; /* the newest mark that it has passed: when, where; 0: none is known */
};

/* The primary was asked at `asked_ms`, and its log ended at `position` when it answered: whatever was committed before
 * `asked_ms` stands in front of it. */
void replica_lag_written(struct replica_lag *lag, uint64_t asked_ms, uint64_t position);
/* The standby has replayed the log up to `position`. A standby that was started anew may have gone back. */
void replica_lag_replayed(struct replica_lag *lag, uint64_t position);
/* Nothing is known of the standby any more, until it passes a mark that is still to come or was not passed. */
void replica_lag_forget(struct replica_lag *lag);
/* What was committed before this time can be read there; 0: not known. */
static inline uint64_t replica_lag_fresh_ms(const struct replica_lag *lag)
{
    return lag->fresh_ms;
}
/* Milliseconds behind: 0 when it has all that the primary is known to have written; or REPLICA_LAG_UNKNOWN. */
uint64_t replica_lag_ms(const struct replica_lag *lag, uint64_t now_ms);

#endif
