#include "api/replica_lag.h"

static void pass_marks(struct replica_lag *lag)
{
    while (lag->count != 0 && lag->replayed >= lag->marks[lag->first].position) {
        lag->fresh_ms = lag->marks[lag->first].asked_ms;
        lag->fresh_until = lag->marks[lag->first].position;
        lag->first = (lag->first + 1) % REPLICA_LAG_MARKS;
        lag->count--;
    }
}

void replica_lag_written(struct replica_lag *lag, uint64_t asked_ms, uint64_t position)
{
    if (lag->count == REPLICA_LAG_MARKS) { /* without the oldest one the lag counts as longer than it is */
        lag->first = (lag->first + 1) % REPLICA_LAG_MARKS;
        lag->count--;
    }
    lag->marks[(lag->first + lag->count) % REPLICA_LAG_MARKS] = (struct replica_lag_mark){position, asked_ms};
    lag->count++;
    pass_marks(lag);
}

void replica_lag_replayed(struct replica_lag *lag, uint64_t position)
{
    lag->replayed = position;
    if (position < lag->fresh_until)
        lag->fresh_ms = lag->fresh_until = 0;
    pass_marks(lag);
}

void replica_lag_forget(struct replica_lag *lag)
{
    lag->replayed = lag->fresh_ms = lag->fresh_until = 0;
}

uint64_t replica_lag_ms(const struct replica_lag *lag, uint64_t now_ms)
{
    if (lag->fresh_ms == 0)
        return REPLICA_LAG_UNKNOWN;
    return lag->count == 0 || now_ms < lag->fresh_ms ? 0 : now_ms - lag->fresh_ms;
}
